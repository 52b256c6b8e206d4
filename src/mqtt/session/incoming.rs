//! Received messages: each is put into the inbox, answered at once, or left to the broker.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};
use tracing::debug;

use crate::command::reply::{Refusal, Reply};
use crate::command::{Redelivery, ReplyTo};

use crate::mqtt::inbox::{AckToken, InboundCommand, RefusedCommand, Rejected};
use crate::mqtt::inflight::{Redeliverable, digest};
use crate::mqtt::outbound_message::OutboundMessage;
use crate::mqtt::session::client_faults::ClientFault;
use crate::mqtt::session::role::SessionRole;
use crate::mqtt::session::state::Session;
use crate::mqtt::subscriptions::SubscriptionKind;
use crate::pair::{CommandIdentity, IDENTITY, ObservedMessage};
use crate::telemetry::command_entry::CommandEntry;
use crate::wire;
use crate::wire::Inbound;

/// Time after the beginning of a connection in which a command without the DUP flag may be one that
/// was received before.
const REDELIVERY_WINDOW: Duration = Duration::from_secs(5);

/// Interval at which a change of the wall clock is looked for.
const CLOCK_CHECK: Duration = Duration::from_mins(1);

/// Longest time a rejection may wait for the broker.
const REJECTION_PATIENCE: Duration = Duration::from_mins(1);

/// Rejections that may wait for room in the outbox: as many as the broker should send without an
/// acknowledgement. mosquitto 2.0.11 sends more once it has had the first acknowledgements.
const MAX_REJECTIONS: usize = 256;

/// Returns how often a message has passed through sayso; a count that is not a number is too high.
fn hops(properties: &PublishProperties) -> u8 {
    let count = properties
        .user_properties
        .iter()
        .find(|(name, _)| name == wire::HOPS);
    match count {
        Some((_, count)) => count.parse().unwrap_or(u8::MAX),
        None => 0,
    }
}

/// Returns the identity of the command that a reply answers.
fn answered_identity(properties: &PublishProperties) -> Option<&str> {
    let named = |(name, _): &&(String, String)| name == IDENTITY;
    let (_, identity) = properties.user_properties.iter().find(named)?;
    Some(identity)
}

/// The packet of a command that goes no further.
struct RefusedPacket {
    ack_token: AckToken,
    /// The identity of the command in a pair.
    identity: Option<CommandIdentity>,
    redelivery: Redelivery,
}

impl Session {
    pub(super) fn received(&mut self, publish: &Publish, now: Instant) {
        self.acks.received(publish.pkid);
        let token = AckToken {
            connection: self.connection,
            pkid: publish.pkid,
        };
        let topic = str::from_utf8(&publish.topic).unwrap_or_default();
        match self.subscriptions.kind(topic) {
            SubscriptionKind::Command => self.command(topic, publish, token, now),
            SubscriptionKind::Control => {
                self.acks.ready(token.pkid);
                self.control(topic, publish, now);
            }
            SubscriptionKind::State => {
                self.acks.ready(token.pkid);
                // Copied: a slice would keep the whole read buffer alive while it waits.
                let payload = Bytes::copy_from_slice(&publish.payload);
                if self.inbox.state(topic.to_owned(), payload, publish.retain) {
                    self.counters().states_received.increment();
                } else {
                    self.counters().states_dropped.increment();
                }
            }
            SubscriptionKind::Pair => {
                self.observed(topic, publish);
                self.keep_progress(token);
            }
            SubscriptionKind::Neither => self.acks.ready(token.pkid),
        }
    }

    fn control(&mut self, topic: &str, publish: &Publish, now: Instant) {
        if publish.retain {
            return self.report_client_fault(ClientFault::ControlRetained, topic, None, now);
        }
        let properties = publish.properties.as_ref();
        let correlation = properties.and_then(|p| p.correlation_data.as_deref());
        if correlation.is_some_and(|data| data.len() > wire::MAX_CORRELATION) {
            return self.report_client_fault(ClientFault::ControlTooLong, topic, None, now);
        }
        let payload = Bytes::copy_from_slice(&publish.payload);
        let correlation = correlation.map(<[u8]>::to_vec);
        if let Err(rejected) = self.inbox.control(topic.to_owned(), payload, correlation) {
            self.report_client_fault(rejected.into(), topic, None, now);
        }
    }

    fn command(&mut self, topic: &str, publish: &Publish, token: AckToken, now: Instant) {
        if publish.retain {
            self.counters().commands_retained.increment();
            self.report_client_fault(ClientFault::CommandRetained, topic, None, now);
            self.acks.ready(token.pkid);
            return;
        }
        let redelivery = self.redelivery(topic, publish, now);
        let properties = publish.properties.as_ref();
        let expiry = properties.and_then(|p| p.message_expiry_interval);
        let inbound = Inbound {
            topic,
            payload: &publish.payload,
            response_topic: properties.and_then(|p| p.response_topic.as_deref()),
            correlation: properties.and_then(|p| p.correlation_data.as_deref()),
            hops: properties.map_or(0, hops),
            expiry: expiry.map(|seconds| Duration::from_secs(seconds.into())),
            heard_at: now,
            wall_clock: self.wall_clock(now),
        };
        match wire::decode(&inbound, &self.rules) {
            Ok(command) => {
                let identity = self.identity(&inbound, token.pkid, command.id_given, &command.id);
                let command = InboundCommand {
                    identity,
                    command,
                    ack_token: token,
                    redelivery,
                    connection: self.connection,
                    topic: topic.to_owned(),
                    payload: Bytes::copy_from_slice(&publish.payload),
                };
                self.admit(Box::new(command), now);
            }
            Err(rejected) => {
                self.counters().commands_malformed.increment();
                let rejected = *rejected;
                let detail = rejected.refusal.to_string();
                let entry = CommandEntry {
                    command_id: rejected.id.as_str(),
                    source: self.rules.source(topic).unwrap_or_default(),
                    topic: Some(topic),
                    outcome: "refused",
                    why: Some("malformed"),
                    detail: Some(&detail),
                    ..CommandEntry::default()
                };
                entry.log();
                let identity = self.identity(&inbound, token.pkid, false, "");
                let reply = Reply::refused(rejected.id, rejected.text, &rejected.refusal);
                let packet = RefusedPacket {
                    ack_token: token,
                    identity,
                    redelivery,
                };
                self.refuse(reply, rejected.reply_to, packet, now);
            }
        }
    }

    /// Returns the wall clock, if timestamps of other machines may be compared with it.
    fn wall_clock(&mut self, now: Instant) -> Option<SystemTime> {
        let (_, is_set) = match self.clock_set {
            Some((at, is_set)) if now.saturating_duration_since(at) < CLOCK_CHECK => (at, is_set),
            _ => *self
                .clock_set
                .insert((now, crate::clock::is_synchronized())),
        };
        is_set.then(crate::clock::wall)
    }

    /// Passes a message of the pair on.
    pub(super) fn observed(&self, topic: &str, publish: &Publish) {
        let properties = publish.properties.as_ref();
        if let SessionRole::Observer { pair, .. } = &self.role {
            pair.receive(ObservedMessage {
                topic,
                payload: &publish.payload,
                identity: properties.and_then(answered_identity),
                correlation: properties.and_then(|p| p.correlation_data.as_deref()),
                is_retained: publish.retain,
            });
        }
    }

    /// Keeps the progress of commands that a message has changed for the next run of this node. The
    /// message is acknowledged afterwards: until then the broker sends it again.
    fn keep_progress(&mut self, token: AckToken) {
        let SessionRole::Observer {
            pair,
            log: Some(log),
        } = &self.role
        else {
            return self.acks.ready(token.pkid);
        };
        let mut records = pair.take_records();
        let Some(last) = records.pop() else {
            return self.acks.ready(token.pkid);
        };
        for record in records {
            log.append(record, || {});
        }
        let outbox = self.outbox.clone();
        log.append(last, move || outbox.acknowledge(token));
    }

    /// Returns the identity of a command in a pair.
    fn identity(
        &self,
        inbound: &Inbound<'_>,
        pkid: u16,
        id_given: bool,
        id: &str,
    ) -> Option<CommandIdentity> {
        self.leader_of()?;
        let (topic, payload) = (inbound.topic, inbound.payload);
        Some(match inbound.correlation {
            _ if id_given => CommandIdentity::named(topic, id.as_bytes(), payload),
            Some(correlation) => CommandIdentity::named(topic, correlation, payload),
            None => CommandIdentity::numbered(topic, pkid, payload),
        })
    }

    /// Answers a command that goes no further. In a pair the event loop does so: the command may
    /// have an answer already.
    fn refuse(&mut self, reply: Reply, reply_to: ReplyTo, packet: RefusedPacket, now: Instant) {
        let RefusedPacket {
            ack_token,
            identity,
            redelivery,
        } = packet;
        match identity {
            Some(identity) if ack_token.is_expected() && self.inbox.has_room_for_refused() => {
                self.inbox.refused(Box::new(RefusedCommand {
                    reply,
                    reply_to,
                    ack_token,
                    redelivery,
                    connection: self.connection,
                    identity,
                }));
            }
            _ => self.reject(reply, reply_to, ack_token, now),
        }
    }

    /// Returns whether the command may have been received before.
    fn redelivery(&mut self, topic: &str, publish: &Publish, now: Instant) -> Redelivery {
        let digest = digest(topic, &publish.payload, publish.pkid);
        self.acks.is_command(publish.pkid, digest);
        let is_early = self.age(now) < REDELIVERY_WINDOW;
        // The flag alone says only that the broker has sent it before: its first delivery may have
        // been lost with the connection, and then it is new.
        let is_again = |known: &Redeliverable| {
            known.digest == digest && (publish.dup || (is_early && known.is_expected))
        };
        // Any other command in its place says that the broker has the earlier acknowledgement.
        let known = self.redeliverable.remove(&publish.pkid);
        if known.as_ref().is_some_and(is_again) {
            return Redelivery::Certain;
        }
        let is_in_pair = self.leader_of().is_some();
        match publish.dup {
            true if is_in_pair => Redelivery::Certain,
            true if self.continues_earlier_run => Redelivery::Marked,
            // The process before this one may have received it, or the other node of a pair.
            false if is_early && self.resumed && (self.connection == 1 || is_in_pair) => {
                Redelivery::Possible
            }
            _ => Redelivery::No,
        }
    }

    fn admit(&mut self, command: Box<InboundCommand>, now: Instant) {
        let Err((rejected, command)) = self.inbox.command(command) else {
            return self.counters().commands_received.increment();
        };
        let refusal = match rejected {
            Rejected::Busy { retry_after } => {
                self.counters().commands_rejected.increment();
                let source = command.command.source.to_string();
                self.report_client_fault(ClientFault::Busy, &source, None, now);
                Refusal::Busy { retry_after }
            }
            // The broker keeps it for the next start, where it can.
            Rejected::Closed if command.ack_token.pkid != 0 => return,
            Rejected::Closed => Refusal::Stopping,
        };
        let InboundCommand {
            command,
            ack_token,
            identity,
            redelivery,
            ..
        } = *command;
        let reply = Reply::refused(command.id, command.text, &refusal);
        let packet = RefusedPacket {
            ack_token,
            identity,
            redelivery,
        };
        self.refuse(reply, command.reply_to, packet, now);
    }

    /// Answers a command that goes no further. It is acknowledged once the broker has the answer:
    /// until then it is not lost.
    fn reject(&mut self, reply: Reply, to: ReplyTo, token: AckToken, now: Instant) {
        // A command of an earlier connection comes again on this one.
        if token.connection != self.connection && token.pkid != 0 {
            return;
        }
        self.rejections.push_back((reply, to, token));
        self.queue_rejections(now);
        if self.rejections.len() > MAX_REJECTIONS
            && let Some((reply, to, token)) = self.rejections.pop_back()
        {
            self.reject_at_once(&reply, &to, &token, now);
        }
    }

    /// Answers a rejected command with `QoS` 0, because too many replies wait already, and
    /// acknowledges it: to wait for the broker's acknowledgement would take memory without a bound,
    /// since in a flood it comes behind further commands. The broker processes packets in their
    /// order, so it has the reply before the acknowledgement.
    fn reject_at_once(&mut self, reply: &Reply, to: &ReplyTo, token: &AckToken, now: Instant) {
        let message = OutboundMessage::reply(reply.to_json(), to);
        if self.publish_at_most_once(message, now) {
            self.counters().replies_sent.increment();
        } else {
            // Not a warning: in the flood that makes this happen there would be one for each
            // command.
            self.counters().replies_dropped.increment();
            debug!("a reply is lost: too many messages wait for the broker");
        }
        self.acks.ready(token.pkid);
    }

    /// Moves rejections to the outbox, as far as it has room.
    pub(super) fn queue_rejections(&mut self, now: Instant) {
        while let Some((reply, to, token)) = self.rejections.pop_front() {
            let deadline = now + REJECTION_PATIENCE;
            if let Err(token) = self.outbox.reject(&reply, &to, deadline, token) {
                return self.rejections.push_front((reply, to, token));
            }
        }
    }
}
