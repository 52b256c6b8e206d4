//! Claims about the set of timers.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::schedule::due::{Clocks, Due, Wait};
use crate::schedule::examples::{SET, now, seconds, timer};
use crate::schedule::moment::HomeLocation;
use crate::schedule::timer::{Repeat, Task, Timer, TimerId};
use crate::schedule::timers::{MAX_TIMERS, Timers, TooManyTimers};
use crate::vocabulary::action::Action;
use crate::vocabulary::timing::Recurrence;

#[test]
fn a_delay_ends_at_another_wall_time_after_the_clock_was_set() {
    let mut timers = Timers::default();
    for (device, set) in [("fan", SET), ("lamp", 1000)] {
        let before = now(set, 50, "a");
        let due = Due::after(seconds(100), &before);
        timers.add(timer("a", device, due), &before).unwrap();
    }
    let place = HomeLocation {
        zone: jiff::tz::TimeZone::UTC,
        position: None,
    };
    let day = 86_400;
    assert!(timers.take_due(&now(SET + day, 60, "a"), &place).is_empty());
    let ends = Timestamp::from_second(SET + day + 90).ok();
    for timer in timers.waiting() {
        assert_eq!(timer.due.wall(), ends);
    }
    timers.take_changed();
    assert!(
        timers
            .take_due(&now(SET + day + 1, 61, "a"), &place)
            .is_empty()
    );
    assert!(timers.take_changed().is_empty(), "it stays as it is");
}

#[test]
fn timers_are_bounded_by_source_and_in_total_and_duplicates_replace() {
    let mut timers = Timers::default();
    let early = now(SET - 60, 50, "a");
    let mut add = |source: &str, device: &str| {
        let due = Due::At {
            wall_ms: SET * 1000,
        };
        timers.add(timer(source, device, due), &early)
    };
    for n in 0..MAX_OF_SOURCE {
        assert!(add("a", &n.to_string()).is_ok());
    }
    assert_eq!(add("a", "x"), Err(TooManyTimers::OfSource));
    let (_, replaced) = add("a", "0").unwrap();
    assert_eq!(replaced, Some(1));
    for source in ["b", "c", "d"] {
        for n in 0..MAX_OF_SOURCE {
            assert!(add(source, &n.to_string()).is_ok());
        }
    }
    assert_eq!(add("e", "0"), Err(TooManyTimers::InTotal));
    assert_eq!(timers.pending.len(), MAX_TIMERS);
}

#[test]
fn a_timer_of_another_due_time_is_not_replaced() {
    let mut timers = Timers::default();
    let mut add = |text: &str, due: Due| {
        let timer = Timer {
            text: text.to_owned(),
            ..timer("a", "0", due)
        };
        timers.add(timer, &now(SET, 50, "a")).unwrap()
    };
    let at = |seconds: i64| Due::At {
        wall_ms: (SET + seconds) * 1000,
    };
    let after = |delay: u64, since: u64| {
        let now = now(SET, 50 + since, "a");
        Due::after(seconds(delay), &now)
    };
    assert_eq!(add("at six", at(6)), (1, None));
    assert_eq!(add("at nine", at(900)), (2, None));
    assert_eq!(add("once more at six", at(6)), (3, Some(1)));
    assert_eq!(add("in ten minutes", after(600, 0)), (4, None));
    assert_eq!(add("in ten minutes", after(600, 9)), (5, Some(4)));
    assert_eq!(add("in twenty minutes", after(1200, 9)), (6, None));
    assert_eq!(add("in two days", at(172_800)), (7, None));
    assert_eq!(add("in two days", at(172_805)), (8, Some(7)));
    // The same words on another day are another time.
    assert_eq!(add("tomorrow at six", at(86_400)), (9, None));
    assert_eq!(add("tomorrow at six", at(186_400)), (10, None));
}

#[test]
fn a_timer_that_is_due_is_not_replaced_by_the_next_one() {
    let mut timers = Timers::default();
    let due = |seconds| Due::At {
        wall_ms: (SET + seconds) * 1000,
    };
    let (first, _) = timers
        .add(timer("a", "0", due(2)), &now(SET, 50, "a"))
        .unwrap();
    // The disk hangs: nothing was taken meanwhile.
    let later = now(SET + 4, 54, "a");
    let (second, replaced) = timers.add(timer("a", "0", due(9)), &later).unwrap();
    assert_eq!(replaced, None);
    let place = HomeLocation {
        zone: jiff::tz::TimeZone::UTC,
        position: None,
    };
    let taken = |timers: &mut Timers, now: &Clocks| -> Vec<TimerId> {
        let due = timers.take_due(now, &place);
        due.iter().map(|(timer, _)| timer.id).collect()
    };
    assert_eq!(taken(&mut timers, &later), [first]);
    assert_eq!(taken(&mut timers, &now(SET + 9, 59, "a")), [second]);
}

#[test]
fn a_revert_is_dropped_for_devices_that_were_commanded_since() {
    let mut timers = Timers::default();
    let mut revert = timer("a", "fan", Due::after(seconds(9), &now(SET, 1, "a")));
    let lamp = Action {
        device: "lamp".into(),
        ..revert.task.actions()[0].clone()
    };
    let fan = revert.task.actions()[0].clone();
    revert.task = Task::Revert {
        actions: vec![fan, lamp],
        expected: Vec::new(),
    };
    let (id, _) = timers.add(revert, &now(SET, 1, "a")).unwrap();
    let now = now(SET, 2, "a");
    assert_eq!(timers.commanded(|device| device == "fan", &now), [id]);
    assert_eq!(timers.get(id).unwrap().task.actions().len(), 1);
    assert_eq!(timers.commanded(|device| device == "lamp", &now), [id]);
    // It is due at once, without an action, for its event.
    let rest = timers.get(id).unwrap();
    assert!(rest.task.actions().is_empty());
    assert_eq!(rest.due.wait(&now), Wait::Late(Duration::ZERO));
}

#[test]
fn an_occurrence_with_a_record_of_its_own_moves_to_that_of_its_command() {
    let due = || Due::At {
        wall_ms: SET * 1000,
    };
    let rule = Recurrence::Interval {
        seconds: 3600,
        until: None,
    };
    let command = Timer {
        id: 3,
        repeat: Some(Repeat::new(rule, None)),
        ..timer("a", "fan", due())
    };
    let occurrence = Timer {
        id: 5,
        occurrence_of: Some(3),
        ..timer("a", "fan", due())
    };
    // As an earlier version wrote them: without the fields that are new.
    let written = [&command, &occurrence].map(|timer| {
        let mut record = serde_json::to_value(timer).unwrap();
        record.as_object_mut().unwrap().remove("seq");
        record
    });
    let read = written.map(|record| serde_json::from_value::<Timer>(record).unwrap());
    let mut timers = Timers::restored(read.to_vec());
    assert_eq!(timers.take_changed(), BTreeSet::from([3, 5]));
    let ids: Vec<TimerId> = timers.record(3).iter().map(|timer| timer.id).collect();
    assert_eq!(ids, [3, 5]);
    assert!(timers.record(5).is_empty());
    // A crash between the two writes leaves the occurrence in both records.
    let both = [command.clone(), occurrence.clone(), occurrence];
    let again = Timers::restored(both.to_vec());
    assert_eq!(again.pending.len(), 2);
}

proptest! {
    /// Checks that, over clock steps and restarts with and without a clock, each timer is
    /// handed out exactly once, and never early by the clock it runs by.
    #[test]
    fn every_timer_is_handed_out_exactly_once_and_never_early(
        delays in proptest::collection::vec((1_u64..5000, any::<bool>()), 1..40),
        events in proptest::collection::vec((0_u8..4, 1_u64..900), 1..60),
    ) {
        let mut timers = Timers::default();
        let (mut wall, mut uptime, mut boot) = (SET, 10_u64, 0_u32);
        let start = now(wall, uptime, "0");
        for (n, (delay, civil)) in delays.iter().enumerate() {
            let due = if *civil {
                Due::At { wall_ms: (SET + i64::try_from(*delay).unwrap()) * 1000 }
            } else {
                Due::after(seconds(*delay), &start)
            };
            let timer = timer(&(n / 40).to_string(), &n.to_string(), due);
            timers.add(timer, &start).unwrap();
        }
        let mut handed = BTreeSet::new();
        let far = i64::from(u16::MAX);
        for (kind, amount) in events.into_iter().chain([(0, 900), (4, 0)]) {
            let amount_signed = i64::try_from(amount).unwrap();
            match kind {
                0 => { wall += amount_signed; uptime += amount; }
                1 => wall -= amount_signed,
                2 => wall += amount_signed,
                3 => {
                    // A restart of the gateway, with the timers read from disk.
                    boot += 1;
                    uptime = 1;
                    wall += amount_signed;
                    timers = Timers::restored(timers.waiting().cloned().collect());
                }
                _ => { wall = SET + far; uptime += 1_000_000; }
            }
            let at = now(wall, uptime, &boot.to_string());
            for (timer, late) in timers.take_due(&at, &HomeLocation::default()) {
                prop_assert!(late.is_some());
                prop_assert!(!matches!(timer.due.wait(&at), Wait::For(_)), "early");
                prop_assert!(handed.insert(timer.id), "twice");
                timers.forget(timer.id);
            }
        }
        prop_assert_eq!(handed.len(), delays.len(), "lost");
    }
}
