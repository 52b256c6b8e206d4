//! A client that sets timers: none is lost, none fires early, and none presses a button twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep};

use crate::caller::Caller;
use crate::ledger::{Ledger, OtherAction};

/// The devices it commands.
pub(crate) const DEVICES: [&str; 2] = ["delta", "buzzer"];

/// How long it waits for a reply.
const PATIENCE: Duration = Duration::from_secs(20);

/// The difference of two clocks that is no fault.
const ROUNDING: Duration = Duration::from_millis(300);

/// How long after it was due the messages about a timer may be on their way.
const LATEST: Duration = Duration::from_mins(1);

/// A timer that was set.
struct SetTimer {
    id: String,
    /// The number of the timer, in the reply.
    timer: String,
    /// When it is due at the earliest.
    due: Instant,
    device: &'static str,
    level: u64,
}

/// The client and its timers.
pub(crate) struct Timekeeper {
    caller: Caller,
    timers: Mutex<Vec<SetTimer>>,
}

impl Timekeeper {
    pub(crate) fn new(port: u16) -> Arc<Self> {
        Arc::new(Self {
            caller: Caller::new("timekeeper", port),
            timers: Mutex::default(),
        })
    }

    /// Sets timers for ever.
    pub(crate) async fn run(self: Arc<Self>, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        for n in 0.. {
            let seconds = random.random_range(2..15);
            let device = DEVICES[usize::from(random.random_bool(0.4))];
            let text = if device == "delta" {
                format!("set the delta level to {n} in {seconds} seconds")
            } else {
                format!("press the buzzer in {seconds} seconds")
            };
            let id = format!("timer-{n}");
            let at = Instant::now();
            let reply = self.caller.ask(&id, &text, PATIENCE).await;
            let timer =
                reply.and_then(|reply| reply["scheduled"]["id"].as_str().map(str::to_owned));
            if let Some(timer) = timer {
                self.timers.lock().unwrap().push(SetTimer {
                    id,
                    timer,
                    due: at + Duration::from_secs(seconds),
                    device,
                    level: n,
                });
                // An equal command of the same source replaces its timer.
                let wait = if device == "buzzer" { seconds + 1 } else { 1 };
                sleep(Duration::from_secs(wait)).await;
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Returns whether the events of all timers have been received.
    pub(crate) fn is_complete(&self) -> bool {
        let events = self.outcomes();
        let timers = self.timers.lock().unwrap();
        timers.iter().all(|timer| events.contains_key(&timer.id))
    }

    /// Returns the event of each command that set a timer.
    fn outcomes(&self) -> HashMap<String, String> {
        let events = self.caller.events().into_iter();
        let timers = events.filter(|event| event.json["timer"].is_string());
        let outcome = timers.filter_map(|event| {
            let id = event.json["id"].as_str()?.to_owned();
            Some((id, event.json["event"].as_str()?.to_owned()))
        });
        outcome.collect()
    }

    /// Returns how many timers were set, and their faults.
    pub(crate) fn judge(&self, ledger: &Ledger) -> (usize, Vec<String>) {
        let outcomes = self.outcomes();
        let timers = self.timers.lock().unwrap();
        let mut faults = Vec::new();
        for timer in timers.iter() {
            let heard = messages_of(timer, ledger);
            let outcome = outcomes.get(&timer.id).map(String::as_str);
            let mut fault = |what: &str| {
                faults.push(format!("{} (timer {}): {what}", timer.id, timer.timer));
            };
            if heard.iter().any(|one| one.at + ROUNDING < timer.due) {
                fault("fired early");
            }
            if timer.device == "buzzer" && heard.len() > 1 {
                fault("pressed the button twice");
            }
            let forgotten = ledger.was_forgotten(timer.due, timer.due + LATEST);
            match outcome {
                None if !forgotten => fault("lost: no event"),
                Some("fired" | "late") if heard.is_empty() && !forgotten => {
                    fault("fired, and the device received nothing");
                }
                Some("missed" | "dropped") if !heard.is_empty() => {
                    fault("missed, and done all the same");
                }
                Some(_) | None => {}
            }
        }
        (timers.len(), faults)
    }
}

/// Returns the messages that a device has received because of a timer.
fn messages_of<'a>(timer: &SetTimer, ledger: &'a Ledger) -> Vec<&'a OtherAction> {
    let is_its = |other: &&OtherAction| {
        let is_same = other.device == timer.device && other.command == timer.id;
        let has_level = other.value == format!("set {}", timer.level)
            || other.value == format!("set {}.0", timer.level);
        is_same || (timer.device == "delta" && other.device == "delta" && has_level)
    };
    ledger.others.iter().filter(is_its).collect()
}
