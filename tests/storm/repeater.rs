//! A client whose commands have no id and the same two texts again and again: each one has a reply
//! of its own, and each one that is answered `done` was done, also right after a reconnect.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use crate::caller::Caller;
use crate::ledger::Ledger;

/// The device it commands.
pub(crate) const DEVICE: &str = "green_lamp";

/// How long it waits for a reply before it goes on.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long after its command a message may reach the device: its time to live and some more.
const LATEST: Duration = Duration::from_secs(24);

/// How often it looks for a reply.
const LOOK: Duration = Duration::from_millis(20);

/// The end of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    /// It was refused, or its end is not known.
    Other,
    /// Only replies to earlier commands came.
    Confused,
    Silent,
}

/// A command and its end.
#[derive(Debug)]
struct Sent {
    at: Instant,
    value: &'static str,
    end: End,
}

/// The client and its commands.
pub(crate) struct Repeater {
    caller: Caller,
    sent: Mutex<Vec<Sent>>,
}

impl Repeater {
    pub(crate) fn new(port: u16) -> Arc<Self> {
        Arc::new(Self {
            caller: Caller::new("repeater", port),
            sent: Mutex::default(),
        })
    }

    /// Sends commands for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        // A reply is sent again after a crash, and then is no reply to a newer equal command.
        let mut answered = HashSet::new();
        for n in 0.. {
            let value = if n % 2 == 0 { "on" } else { "off" };
            let text = format!("turn {value} the green lamp");
            let at = Instant::now();
            self.caller.send(&json!({"text": text, "ttl": "20s"}));
            let mut end = self.end(&text, at, &mut answered, PATIENCE).await;
            if matches!(end, End::Silent | End::Confused) {
                // Its reply must not be taken for that of the next equal one.
                end = self.end(&text, at, &mut answered, LATEST).await;
            }
            self.sent.lock().unwrap().push(Sent { at, value, end });
            sleep(Duration::from_millis(400)).await;
        }
    }

    /// Waits for a reply to the command sent at `at`, whose id is not in `answered`.
    async fn end(
        &self,
        text: &str,
        at: Instant,
        answered: &mut HashSet<String>,
        patience: Duration,
    ) -> End {
        let until = Instant::now() + patience;
        let id = |json: &Json| json["id"].as_str().unwrap_or_default().to_owned();
        loop {
            let is_own = |json: &Json| json["text"] == text && !answered.contains(&id(json));
            let own = self.caller.reply(Duration::ZERO, is_own).await;
            if let Some(reply) = own.filter(|reply| reply.at >= at) {
                answered.insert(id(&reply.json));
                let is_done = reply.json["outcome"] == "done";
                return if is_done { End::Done } else { End::Other };
            }
            if Instant::now() >= until {
                let is_it = |json: &Json| json["text"] == text;
                let any = self.caller.reply(Duration::ZERO, is_it).await;
                let is_confused = any.is_some_and(|reply| reply.at >= at);
                return if is_confused {
                    End::Confused
                } else {
                    End::Silent
                };
            }
            sleep(LOOK).await;
        }
    }

    /// Returns how many commands were done, those of which the device has received nothing, and
    /// those that were answered by the reply to an earlier one.
    pub(crate) fn judge(&self, ledger: &Ledger) -> (usize, Vec<String>) {
        let sent = self.sent.lock().unwrap();
        let mut faults = Vec::new();
        let mut done = 0;
        for one in sent.iter() {
            let value = format!("set \"{}\"", one.value);
            let mut heard = ledger.others.iter().filter(|other| other.device == DEVICE);
            let is_heard = heard.any(|other| {
                other.value == value && other.at >= one.at && other.at <= one.at + LATEST
            });
            done += usize::from(one.end == End::Done);
            let what = match one.end {
                End::Done => "was answered `done` and not done",
                End::Confused => "was answered by the reply to an earlier one, and not done",
                End::Other | End::Silent => continue,
            };
            if !is_heard && !ledger.was_forgotten(one.at, one.at + LATEST) {
                faults.push(format!("a command without an id {what}: {}", one.value));
            }
        }
        (done, faults)
    }
}
