//! A client whose commands have no id and the same two texts again and again: each one that is
//! answered `done` was done, also right after a reconnect.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::caller::Caller;
use crate::ledger::Ledger;

/// The device it commands.
pub(crate) const DEVICE: &str = "green_lamp";

/// How long it waits for a reply before it goes on.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long after its command a message may reach the device: its time to live and some more.
const LATEST: Duration = Duration::from_secs(24);

/// A command that was answered `done`.
struct Done {
    at: Instant,
    value: &'static str,
}

/// The client and its commands.
pub(crate) struct Repeater {
    caller: Caller,
    done: Mutex<Vec<Done>>,
}

impl Repeater {
    pub(crate) fn new(port: u16) -> Arc<Self> {
        Arc::new(Self {
            caller: Caller::new("repeater", port),
            done: Mutex::default(),
        })
    }

    /// Sends commands for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        for n in 0.. {
            let value = if n % 2 == 0 { "on" } else { "off" };
            let text = format!("turn {value} the green lamp");
            let at = Instant::now();
            self.caller.send(&json!({"text": text, "ttl": "20s"}));
            let is_it = |json: &serde_json::Value| json["text"] == text;
            let reply = loop {
                let reply = self.caller.reply(PATIENCE, is_it).await;
                match reply {
                    Some(reply) if reply.at < at && at.elapsed() < PATIENCE => {
                        sleep(Duration::from_millis(20)).await;
                    }
                    other => break other.filter(|reply| reply.at >= at),
                }
            };
            match reply {
                Some(reply) if reply.json["outcome"] == "done" => {
                    self.done.lock().unwrap().push(Done { at, value });
                }
                Some(_) => {}
                // Its reply must not be taken for that of the next equal one.
                None => sleep(LATEST).await,
            }
            sleep(Duration::from_millis(400)).await;
        }
    }

    /// Returns how many commands were done, and those of which the device has received nothing.
    pub(crate) fn judge(&self, ledger: &Ledger) -> (usize, Vec<String>) {
        let done = self.done.lock().unwrap();
        let mut faults = Vec::new();
        for one in done.iter() {
            let value = format!("set \"{}\"", one.value);
            let mut heard = ledger.others.iter().filter(|other| other.device == DEVICE);
            let is_done = heard.any(|other| {
                other.value == value && other.at >= one.at && other.at <= one.at + LATEST
            });
            if !is_done && !ledger.was_forgotten(one.at, one.at + LATEST) {
                faults.push(format!(
                    "a command without an id was answered `done` and not done: {}",
                    one.value
                ));
            }
        }
        (done.len(), faults)
    }
}
