//! The wait for the states of devices after a command. The reply is sent as soon as the broker has
//! the messages; afterwards the state that each device reports is compared with the one it was
//! commanded to.
//!
//! Knows no topics: the daemon publishes the event on the reply topic of the command.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout_at};
use tracing::{debug, info};

use crate::clock::now;
use crate::command::reply::{ConfirmationEvent, DeviceReport};
use crate::command::{Command, Source};
use crate::home::permit::Plan;
use crate::home::state::{Known, Observation};
use crate::pipeline::dispatch::Dispatched;
use crate::pipeline::shared::Shared;
use crate::telemetry::counters::Counters;
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Property, Value};

/// The time in which a device confirms a command. Zigbee and Z-Wave devices report within one
/// second, also through a few routers; a blind is still moving after it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The least time between two looks at the state, so that a flood of reports costs little.
const PAUSE: Duration = Duration::from_millis(10);

/// The most states that one command waits for. It is also the most an event lists.
const MAX_STATES: usize = 64;

/// The wait for the states that devices report after a command.
pub struct ReportWait {
    id: SharedStr,
    source: Source,
    seq: u64,
    /// The time before the first message was published: a later report is an answer to it.
    since: Instant,
    expected: Vec<Expected>,
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    _permit: OwnedSemaphorePermit,
}

/// A state that one device was commanded to.
struct Expected {
    device: Slug,
    property: Property,
    value: Value,
    /// The first number that the device reported since: later ones show which way it moves.
    first: Option<f64>,
}

impl ReportWait {
    /// Returns the states to wait for after a plan was published at `since`; `None` where no device
    /// of the plan reports its state, or too many commands wait already.
    pub(super) fn expected(
        shared: &Arc<Shared>,
        counters: &Arc<Counters>,
        command: &Command,
        (plan, dispatched): (&Plan, &Dispatched),
        since: Instant,
    ) -> Option<Self> {
        let Ok(permit) = Arc::clone(&shared.report_waits).try_acquire_owned() else {
            debug!(
                command_id = command.id.as_str(),
                "too many commands wait for their devices"
            );
            return None;
        };
        let home = shared.home().clone();
        let mut expected: Vec<Expected> = Vec::with_capacity(plan.steps().len());
        for step in plan.steps() {
            let action = step.action();
            let failed = dispatched.failures.iter().any(|f| f.action == *action);
            let capability = home
                .device(step.device().as_str())
                .and_then(|device| device.capability(&action.property));
            let reports = capability.is_some_and(|found| !found.binding.state.is_empty());
            let Some(value) = step.target_value().filter(|_| reports && !failed) else {
                continue;
            };
            let is_same =
                |e: &&mut Expected| e.device == *step.device() && e.property == action.property;
            match expected.iter_mut().find(is_same) {
                Some(earlier) => earlier.value = value.clone(),
                None => expected.push(Expected {
                    device: step.device().clone(),
                    property: action.property.clone(),
                    value: value.clone(),
                    first: None,
                }),
            }
        }
        expected.truncate(MAX_STATES);
        if expected.is_empty() {
            return None;
        }
        Some(Self {
            id: command.id.clone(),
            source: command.source.clone(),
            seq: command.seq,
            since,
            expected,
            shared: Arc::clone(shared),
            counters: Arc::clone(counters),
            _permit: permit,
        })
    }

    /// Waits until every device has reported its state, or the time is over. Returns the event to
    /// publish; `None` where newer commands took over all devices.
    pub async fn wait(mut self) -> Option<ConfirmationEvent> {
        let deadline = now() + PATIENCE;
        let all_reported = timeout_at(deadline.into(), self.until_reported()).await;
        self.drop_superseded();
        if self.expected.is_empty() {
            return None;
        }
        let since = if all_reported.is_ok() {
            Some(self.since)
        } else {
            // A device that was in this state before has no reason to report it again.
            None
        };
        let devices: Vec<DeviceReport> = self
            .expected
            .iter()
            .map(|expected| self.report_of(expected, since))
            .collect();
        let event = ConfirmationEvent::new(
            self.id.clone(),
            devices,
            now().saturating_duration_since(self.since),
            PATIENCE,
        );
        let confirmed = event.is_confirmed();
        let counter = if confirmed {
            &self.counters.commands_confirmed
        } else {
            &self.counters.commands_unconfirmed
        };
        counter.increment();
        let unconfirmed = event.unconfirmed().join(", ");
        info!(
            command_id = self.id.as_str(),
            source = self.source.as_str(),
            confirmed,
            unconfirmed = (!confirmed).then_some(unconfirmed),
            "device confirmation"
        );
        Some(event)
    }

    async fn until_reported(&mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let mut reported = std::pin::pin!(shared.reported.notified());
            reported.as_mut().enable();
            self.drop_superseded();
            self.keep_first_numbers();
            let is_open =
                |expected: &Expected| !self.report_of(expected, Some(self.since)).confirmed;
            if !self.expected.iter().any(is_open) {
                return;
            }
            reported.await;
            sleep(PAUSE).await;
        }
    }

    /// Forgets the devices that a newer command has claimed: their state is the answer to that one.
    fn drop_superseded(&mut self) {
        let order = self.shared.device_order();
        self.expected
            .retain(|expected| order.newest(&expected.device) == Some(self.seq));
    }

    fn keep_first_numbers(&mut self) {
        let shared = Arc::clone(&self.shared);
        let state = shared.state();
        for expected in self.expected.iter_mut().filter(|e| e.first.is_none()) {
            expected.first = state
                .get(&expected.device, &expected.property)
                .filter(|seen| seen.at >= self.since)
                .and_then(|seen| seen.reported()?.number());
        }
    }

    /// Compares the last observation with the expected state. With `since`, only a report after it
    /// counts.
    fn report_of(&self, expected: &Expected, since: Option<Instant>) -> DeviceReport {
        let home = self.shared.home().clone();
        let state = self.shared.state();
        let seen: Option<&Observation> = state
            .get(&expected.device, &expected.property)
            .filter(|seen| since.is_none_or(|since| seen.at >= since));
        let capability = home
            .device(expected.device.as_str())
            .and_then(|device| device.capability(&expected.property));
        let confirmed = match (capability, seen.and_then(Observation::reported)) {
            (Some(capability), Some(value)) => capability.is_reached(&expected.value, value),
            _ => false,
        };
        let reported = seen.and_then(|seen| match &seen.known {
            Known::Reported(value) => Some(value.clone()),
            Known::Unrecognized(payload) => Some(Value::text(&shortened(payload))),
            Known::Commanded(_) => None,
        });
        let moving = !confirmed
            && seen
                .filter(|seen| seen.at >= self.since)
                .is_some_and(|seen| is_moving(expected, &seen.known));
        DeviceReport {
            moving,
            device: expected.device.to_string(),
            property: expected.property.clone(),
            value: expected.value.clone(),
            reported,
            confirmed,
        }
    }
}

/// Returns whether a device reports that it is moving towards the commanded value: by a word for
/// it, or by a number that has come nearer.
fn is_moving(expected: &Expected, known: &Known) -> bool {
    let target = &expected.value;
    match known {
        Known::Unrecognized(payload) => {
            let word = payload.trim_matches(|c: char| !c.is_alphanumeric());
            leads_to(&word.to_lowercase(), target)
        }
        Known::Reported(value) => match (expected.first, value.number(), target.number()) {
            (Some(first), Some(last), Some(target)) => {
                (target - last).abs() < (target - first).abs()
            }
            _ => false,
        },
        Known::Commanded(_) => false,
    }
}

/// Returns whether a transitional state leads to `target`. The words are those of Home Assistant
/// and of its integrations.
fn leads_to(word: &str, target: &Value) -> bool {
    if let Some(target) = target.number() {
        return match word {
            "opening" => target > 0.0,
            "closing" => target < 100.0,
            _ => false,
        };
    }
    let Value::Text(target) = target else {
        return false;
    };
    let ways: &[&str] = match target.as_str() {
        "locked" => &["locking"],
        "unlocked" => &["unlocking"],
        "docked" => &["returning"],
        "on" => &["arming", "opening"],
        "off" => &["disarming", "closing"],
        _ => &[],
    };
    ways.contains(&word)
}

/// Returns the first characters of a payload that is no value.
fn shortened(payload: &str) -> String {
    payload.chars().take(80).collect()
}
