//! What comes in on the connection: each message is put in line, answered at once, or left to the broker.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};
use tracing::{debug, info, warn};

use crate::command::ReplyTo;
use crate::command::reply::{Refusal, Reply};

use crate::mqtt::inbox::{AckToken, InboundCommand, Rejected};
use crate::mqtt::session::Session;
use crate::mqtt::subscriptions::SubscriptionKind;
use crate::wire;
use crate::wire::Inbound;

/// For how long after a connection what is heard may have been heard before.
const MAYBE_AGAIN: Duration = Duration::from_secs(5);

/// How long a reply written here may wait for the broker.
const REPLY_WAITS: Duration = Duration::from_mins(1);

/// Answers of this kind that may wait for room: as many as the broker sends without an acknowledgement.
const MOST_TURNED_AWAY: usize = 256;

/// How often a message has gone through sayso; a count that is none is too often.
fn hops(properties: &PublishProperties) -> u8 {
    let count = properties
        .user_properties
        .iter()
        .find(|(name, _)| name == wire::HOPS);
    count.map_or(0, |(_, count)| count.parse().unwrap_or(u8::MAX))
}

impl Session {
    pub(super) fn received(&mut self, publish: &Publish, now: Instant) {
        self.owed.received(publish.pkid);
        let receipt = AckToken {
            epoch: self.epoch,
            pkid: publish.pkid,
        };
        let topic = str::from_utf8(&publish.topic).unwrap_or_default();
        match self.subscriptions.kind(topic) {
            SubscriptionKind::Command => self.command(topic, publish, receipt, now),
            SubscriptionKind::Control => {
                self.owed.ready(receipt.pkid);
                let correlation = publish
                    .properties
                    .as_ref()
                    .and_then(|p| p.correlation_data.as_deref())
                    .map(<[u8]>::to_vec);
                if publish.retain
                    || !self.intake.control(
                        topic.to_owned(),
                        Bytes::copy_from_slice(&publish.payload),
                        correlation,
                    )
                {
                    warn!(
                        topic,
                        "dropped an operator's request: it was retained, too long, or one too many"
                    );
                }
            }
            SubscriptionKind::State => {
                self.owed.ready(receipt.pkid);
                // Copied: a slice would keep the whole read buffer alive while it waits.
                if self.intake.state(
                    topic.to_owned(),
                    Bytes::copy_from_slice(&publish.payload),
                    publish.retain,
                ) {
                    self.counters().states_received.increment();
                } else {
                    self.counters().states_dropped.increment();
                }
            }
            SubscriptionKind::Neither => self.owed.ready(receipt.pkid),
        }
    }

    fn command(&mut self, topic: &str, publish: &Publish, receipt: AckToken, now: Instant) {
        if publish.retain {
            self.counters().commands_retained.increment();
            warn!(
                topic,
                "dropped a retained command: publish commands without the retain flag"
            );
            self.owed.ready(receipt.pkid);
            return;
        }
        let properties = publish.properties.as_ref();
        let letter = Inbound {
            topic,
            payload: &publish.payload,
            response_topic: properties.and_then(|p| p.response_topic.as_deref()),
            correlation: properties.and_then(|p| p.correlation_data.as_deref()),
            hops: properties.map_or(0, hops),
            expiry: properties
                .and_then(|p| p.message_expiry_interval)
                .map(|s| Duration::from_secs(s.into())),
            heard_at: now,
            wall_clock: Some(SystemTime::now()),
        };
        match wire::decode(&letter, &self.rules) {
            Ok(command) => {
                let again = publish.dup
                    || ((self.resumed || self.epoch > 1)
                        && now.saturating_duration_since(self.began) < MAYBE_AGAIN);
                let payload = Bytes::copy_from_slice(&publish.payload);
                self.admit(
                    Box::new(InboundCommand {
                        command,
                        receipt,
                        redelivered: again,
                        epoch: self.epoch,
                        topic: topic.to_owned(),
                        payload,
                    }),
                    now,
                );
            }
            Err(rejected) => {
                self.counters().commands_malformed.increment();
                info!(topic, outcome = "refused", why = "malformed", detail = %rejected.refusal, "command");
                let rejected = *rejected;
                let reply = Reply::refused(rejected.id, rejected.text, &rejected.refusal);
                self.turn_away(reply, rejected.reply_to, receipt, now);
            }
        }
    }

    fn admit(&mut self, heard: Box<InboundCommand>, now: Instant) {
        let Err((turned, heard)) = self.intake.command(heard) else {
            return self.counters().commands_received.increment();
        };
        let refusal = match turned {
            Rejected::Busy { retry_after } => {
                self.counters().commands_rejected.increment();
                Refusal::Busy { retry_after }
            }
            // The broker keeps it for the next start, where it can.
            Rejected::Closed if heard.receipt.pkid != 0 => return,
            Rejected::Closed => Refusal::Stopping,
        };
        let InboundCommand {
            command, receipt, ..
        } = *heard;
        self.turn_away(
            Reply::refused(command.id, command.text, &refusal),
            command.reply_to,
            receipt,
            now,
        );
    }

    /// Answers a command that goes no further. It is acknowledged once the broker has the answer: until then it is not lost.
    fn turn_away(&mut self, reply: Reply, to: ReplyTo, receipt: AckToken, now: Instant) {
        // What came by an earlier connection comes again by this one.
        if receipt.epoch != self.epoch && receipt.pkid != 0 {
            return;
        }
        self.turned_away.push_back((reply, to, receipt));
        self.answer_turned_away(now);
        // Without an acknowledgement nothing holds the broker back, and memory is small.
        if self.turned_away.len() > MOST_TURNED_AWAY {
            let dropped = self.turned_away.pop_back();
            self.owed
                .settle(dropped.as_ref().map(|(.., receipt)| receipt));
            // Not a warning: in the flood that makes this happen there would be one for each command.
            self.counters().replies_dropped.increment();
            debug!("a reply is lost: too many messages wait for the broker");
        }
    }

    /// Hands these answers to the outbox, as far as it has room.
    pub(super) fn answer_turned_away(&mut self, now: Instant) {
        while let Some((reply, to, receipt)) = self.turned_away.pop_front() {
            if let Err(receipt) = self
                .outbox
                .turn_away(&reply, &to, now + REPLY_WAITS, receipt)
            {
                return self.turned_away.push_front((reply, to, receipt));
            }
        }
    }
}
