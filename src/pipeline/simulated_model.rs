//! A language model for simulations, under virtual time: it understands "do job <device> <number>",
//! takes its time, and fails now and then, either finally or so that the client may try again
//! later.

use std::cell::RefCell;
use std::collections::BTreeSet;
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

/// The end of a question that fails the first time.
pub(crate) const TWICE: &str = " after a failure";

thread_local! {
    static MODEL: RefCell<Option<StdRng>> = const { RefCell::new(None) };
    static TWICE_ASKED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Lets the model of this seed answer all questions on this thread.
pub(crate) fn simulate_model(seed: u64) {
    MODEL.set(Some(StdRng::seed_from_u64(seed)));
    TWICE_ASKED.take();
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
    if is_first_of_two(&command.text) {
        return Some(Err(put_off()));
    }
    let left = deadline.saturating_duration_since(now());
    sleep(pause.min(left)).await;
    if pause >= left {
        return Some(Err(Refusal::TooLate));
    }
    if fails && pause.as_millis().is_multiple_of(2) {
        return Some(Err(put_off()));
    }
    let draft = if fails { None } else { draft(&command.text) };
    Some(draft.ok_or(Refusal::Declined).map(|answer| RoutedAnswer {
        answer,
        provider: "simulated".into(),
        origin: "simulated".into(),
        usage: crate::provider::Usage::default(),
        trusted: true,
        is_small: false,
    }))
}

fn put_off() -> Refusal {
    Refusal::NobodyAnswered {
        why: "simulated".to_owned(),
        retry_after: Some(Duration::from_secs(1)),
    }
}

/// Returns whether a question is to fail once, and is asked for the first time.
fn is_first_of_two(text: &str) -> bool {
    text.ends_with(TWICE) && TWICE_ASKED.with_borrow_mut(|asked| asked.insert(text.to_owned()))
}

fn draft(text: &str) -> Option<Draft> {
    let text = text.strip_suffix(TWICE).unwrap_or(text);
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
