//! The sender of commands and the devices of a simulated house, with the record of their messages.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use crate::daemon::simulation::ledger::{
    DeviceMessage, PUT_OFF, SentKind, SentText, SimulatedLedger,
};
use crate::daemon::simulation::trace;
use crate::mqtt::simulated_broker::SimulatedBroker;

/// Time to live of a command, in seconds: of an ordinary one, and of a hurried one.
const TTL: [u64; 2] = [40, 3];

/// Clients of the broker, except the daemon.
pub(super) struct SimulatedClients {
    pub(super) random: StdRng,
    pub(super) broker: SimulatedBroker,
    pub(super) ledger: SimulatedLedger,
    /// Topics and payloads of the commands.
    payloads: Vec<(String, String)>,
    /// The last reported states of devices.
    states: BTreeMap<&'static str, Json>,
}

impl SimulatedClients {
    pub(super) fn new(seed: u64) -> Self {
        let broker = SimulatedBroker::new(seed);
        let states = [
            ("red_lamp", json!({"power": "off"})),
            ("dial", json!({"level": 1})),
        ];
        for (device, state) in &states {
            broker.publish(&format!("sayso/state/{device}"), state.to_string(), true);
        }
        Self {
            random: StdRng::seed_from_u64(seed),
            broker,
            ledger: SimulatedLedger::default(),
            payloads: Vec::new(),
            states: states.into(),
        }
    }

    /// Notes the messages that devices and the sender have received.
    pub(super) fn receive(&mut self) {
        for receipt in self.broker.take_received() {
            trace(|| {
                format!(
                    "{} {}",
                    receipt.topic,
                    String::from_utf8_lossy(&receipt.payload)
                )
            });
            let json: Json = serde_json::from_slice(&receipt.payload).unwrap_or_default();
            if let Some(device) = receipt.topic.strip_prefix("sayso/action/") {
                self.act(device, &json, receipt.left);
            } else if receipt.topic == "sayso/reply/anonymous" {
                let id = json["id"].as_str().unwrap_or_default().to_owned();
                self.ledger.chime_replies.insert(id);
            } else if receipt.topic.starts_with("sayso/reply/") {
                self.take_reply(&json);
            }
        }
    }

    fn take_reply(&mut self, reply: &Json) {
        let number = |id: &str| id.strip_prefix('c')?.parse::<usize>().ok();
        let Some(n) = reply["id"].as_str().and_then(number) else {
            return;
        };
        let Some(sent) = self.ledger.sent.get_mut(n) else {
            return;
        };
        // Events follow a reply on a topic below it.
        let Some(outcome) = reply["outcome"].as_str() else {
            return;
        };
        let end = reply["why"].as_str().unwrap_or(outcome).to_owned();
        let is_put_off = end == PUT_OFF;
        sent.answers.push((Instant::now(), end));
        if is_put_off && !n.is_multiple_of(2) {
            self.send_again(n);
        }
    }

    /// Sends a command once more, as it was.
    pub(super) fn send_again(&mut self, n: usize) {
        let (topic, payload) = self.payloads[n].clone();
        trace(|| format!("again: {topic} {payload}"));
        self.broker.publish(&topic, payload, false);
        self.ledger.sent[n].is_repeated = true;
    }

    fn act(&mut self, device: &str, action: &Json, left: Instant) {
        if device == "chime" {
            self.ledger.chimes.1 += 1;
            return;
        }
        let (op, property) = (action["op"].as_str(), action["property"].as_str());
        let (op, property) = (op.unwrap_or_default(), property.unwrap_or_default());
        let value = &action["value"];
        let id = action["command"].as_str().unwrap_or_default();
        let n = id.strip_prefix('c').and_then(|n| n.parse().ok());
        match n {
            Some(n) => self.ledger.received.push(DeviceMessage {
                device: device.into(),
                n,
                value: format!("{op} {value}"),
                left,
            }),
            None => self
                .ledger
                .other
                .push(format!("a message of nobody: {action}")),
        }
        let Some((name, state)) = self.states.iter_mut().find(|(name, _)| **name == device) else {
            return;
        };
        if op == "set" {
            state[property] = value.clone();
        }
        let (topic, state) = (format!("sayso/state/{name}"), state.to_string());
        self.broker.publish(&topic, state, true);
    }

    /// Stops the broker from receiving and sending for 0.5 to 8 s.
    pub(super) fn freeze_broker(&mut self) {
        self.ledger.fault("broker frozen");
        let time = self.random.random_range(500..8000);
        self.broker.freeze(Duration::from_millis(time));
    }

    /// Drops the broker's acknowledgements for 0.1 to 3 s.
    pub(super) fn mute_broker(&mut self) {
        self.ledger.fault("acknowledgements swallowed");
        let time = self.random.random_range(100..3000);
        self.broker.mute(Duration::from_millis(time));
    }

    /// Delays packets by up to a random time below `longest` milliseconds from now on.
    pub(super) fn slow_down(&mut self, longest: u64) {
        self.ledger.fault("network slow");
        let delay = self.random.random_range(1..longest);
        self.broker.set_longest_delay(Duration::from_millis(delay));
    }

    /// Sends a command.
    pub(super) fn send(&mut self) {
        let n = self.ledger.sent.len();
        let (kind, text) = match self.random.random_range(0..100) {
            0..25 => (SentKind::Level, format!("set the alpha level to {n}")),
            25..35 => (SentKind::Level, format!("set the beta level to {n}")),
            35..50 => (SentKind::ModelLevel, format!("do job alpha {n}")),
            50..65 => (SentKind::Toggle, "toggle the red lamp".to_owned()),
            65..75 => (
                SentKind::Relative,
                format!("increase the dial level by {}", 1 + n % 7),
            ),
            75..88 => (SentKind::Press, "press the bell".to_owned()),
            88..94 => (SentKind::Query, "what is the alpha level".to_owned()),
            _ => {
                self.ledger.chimes.0 += 1;
                self.broker
                    .publish("sayso/command/anonymous", "press the chime", false);
                return;
            }
        };
        let ttl = TTL[usize::from(self.random.random_bool(0.15))];
        let is_repeated = self.random.random_bool(0.04);
        self.send_text(kind, &text, (ttl, is_repeated));
    }

    /// Sends this command, with its time to live in seconds, and possibly twice.
    pub(super) fn send_text(
        &mut self,
        kind: SentKind,
        text: &str,
        (ttl, is_repeated): (u64, bool),
    ) {
        let n = self.ledger.sent.len();
        let ts = crate::clock::wall()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let payload = json!({
            "id": format!("c{n}"),
            "text": text,
            "ttl": format!("{ttl}s"),
            "ts": ts.as_secs_f64(),
        });
        let source = ["hall", "tablet"][self.random.random_range(0..2)];
        let topic = format!("sayso/command/{source}");
        trace(|| format!("{topic} {payload}"));
        for _ in 0..=usize::from(is_repeated) {
            self.broker.publish(&topic, payload.to_string(), false);
        }
        self.payloads.push((topic, payload.to_string()));
        self.ledger.sent.push(SentText {
            kind,
            at: Instant::now(),
            ttl: Duration::from_secs(ttl),
            answers: Vec::new(),
            is_repeated,
        });
    }
}
