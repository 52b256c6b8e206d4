//! A language model for simulations, under virtual time: it knows "do job <device> <number>", takes
//! its time, and fails now and then.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use crate::clock::now;
use crate::command::Command;
use crate::command::reply::Refusal;
use crate::router::RoutedAnswer;
use crate::vocabulary::action::{Action, Draft, Op};
use crate::vocabulary::{Property, Value};

thread_local! {
    static MODEL: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// Lets the model of this seed answer all questions on this thread.
pub(crate) fn simulate_model(seed: u64) {
    MODEL.set(Some(StdRng::seed_from_u64(seed)));
}

/// Returns the answer, or `None` where no model is simulated.
pub(super) async fn answer(
    command: &Command,
    deadline: Instant,
) -> Option<Result<RoutedAnswer<Draft>, Refusal>> {
    let (pause, fails) = MODEL.with_borrow_mut(|model| {
        let model = model.as_mut()?;
        let longest = if model.random_bool(0.2) { 20_000 } else { 2000 };
        let pause = Duration::from_millis(model.random_range(20..longest));
        Some((pause, model.random_bool(0.1)))
    })?;
    let left = deadline.saturating_duration_since(now());
    sleep(pause.min(left)).await;
    if pause >= left {
        return Some(Err(Refusal::TooLate));
    }
    let draft = if fails { None } else { draft(&command.text) };
    Some(draft.ok_or(Refusal::Declined).map(|answer| RoutedAnswer {
        answer,
        provider: "simulated".into(),
        model: "simulated".into(),
        usage: crate::provider::Usage::default(),
        trusted: true,
        is_small: false,
    }))
}

fn draft(text: &str) -> Option<Draft> {
    let (device, number) = text.strip_prefix("do job ")?.split_once(' ')?;
    let action = Action {
        device: device.into(),
        property: Property::from("level"),
        op: Op::Set,
        value: Some(Value::Number(number.parse().ok()?)),
    };
    Some(Draft {
        actions: vec![action],
        ..Draft::default()
    })
}
