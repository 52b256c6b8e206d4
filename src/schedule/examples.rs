//! Clocks and timers for the tests of this module.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::EARLIEST_BELIEVABLE;
use crate::command::{ReplyTo, Source};
use crate::schedule::due::{Clocks, Due};
use crate::schedule::timer::{StartState, Task, Timer};
use crate::vocabulary::Value;
use crate::vocabulary::action::{Action, Op, TargetScope};

pub(super) const SET: i64 = EARLIEST_BELIEVABLE.as_secs().cast_signed() + 1_000_000;

pub(super) fn now(wall: i64, uptime: u64, boot: &str) -> Clocks {
    let wall = Timestamp::from_second(wall).unwrap();
    Clocks::new(wall, Duration::from_secs(uptime), boot.to_owned())
}

pub(super) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) fn timer(source: &str, device: &str, due: Due) -> Timer {
    let action = Action {
        device: device.into(),
        property: "power".into(),
        op: Op::Set,
        value: Some(Value::text("off")),
    };
    Timer {
        id: 0,
        source: Source::new(source),
        command_id: "c".to_owned(),
        seq: 0,
        text: "t".to_owned(),
        answer: None,
        language: None,
        reply_to: ReplyTo {
            topic: "r".to_owned(),
            correlation: None,
        },
        due,
        task: Task::Command {
            actions: vec![action],
            scope: TargetScope::Named,
            confirmed: false,
            left_out: Vec::new(),
            lasting: None,
        },
        started: StartState::NotStarted,
        event: None,
        repeat: None,
        condition: None,
        occurrence_of: None,
        skipped: 0,
        physical: BTreeMap::new(),
        written_with: None,
    }
}
