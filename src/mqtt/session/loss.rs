//! The end of a connection: which messages are sent again, which are given up, and which reports
//! follow.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::json;
use tracing::{debug, error, info};

use crate::delivery::Undelivered;
use crate::mqtt::inbox::Incoming;
use crate::mqtt::inflight::InFlight;
use crate::mqtt::outbound_message::OutboundMessage;
use crate::mqtt::outbox_queues::QueuedMessage;
use crate::mqtt::session::role::SessionRole;
use crate::mqtt::session::state::{Phase, Session};
use crate::pair::PairEvent;

/// Connections that may end right after a message has left before it is sent alone; if the
/// connection ends then as well, the message is given up.
pub(super) const MAX_LOSSES: u8 = 2;

/// A connection the broker closes within this time of a message's departure may have ended because
/// of it.
const BLAME: Duration = Duration::from_secs(2);

/// So many connections in use, closed by the broker within [`CONFLICT_WINDOW`] with none refused
/// between them, may mean that another client takes the session over: mosquitto names the reason
/// in a form that rumqttc 0.25 does not read. A broker that is restarted does the same.
const CONFLICT_CLOSURES: usize = 3;

/// See [`CONFLICT_CLOSURES`].
const CONFLICT_WINDOW: Duration = Duration::from_mins(1);

/// Bytes of a payload that a dead letter quotes.
const QUOTED_BYTES: usize = 1024;

/// The advice for two clients with one id.
const CONFLICT: &str =
    "another client connects with the same `mqtt.client_id`: give each daemon its own";

/// The advice for connections that end again and again without a reason.
const POSSIBLE_CONFLICT: &str = "the broker closed the connection three times within a minute \
    without a reason: it was restarted, or another client connects with the same \
    `mqtt.client_id` (`sayso doctor` finds out)";

/// The advice for a connection that the broker closes before it answers: most often one side uses
/// TLS and the other does not.
const CLOSED_AT_ONCE: &str = "the broker closed the connection before it answered: the port may \
    be one for TLS, which needs `[mqtt.tls]`, or one without, or the broker demands a client \
    certificate (`sayso doctor` finds out)";

/// Reasons why a connection ended, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mqtt) enum Loss {
    /// The broker closed it without a reason.
    Closed,
    /// The broker ended it with this reason.
    Ended(String),
    /// The broker sent a packet that cannot be read, for this reason: possibly as its answer to a
    /// message.
    Unreadable(String),
    /// The broker reported that another client uses our id.
    TakenOver,
    /// The broker accepts no retained messages, also not as a last will.
    NoRetain,
    /// No packet arrived in time.
    Silent,
    /// A message was not acknowledged in time.
    Unacknowledged,
    /// It could not be made, or failed otherwise.
    Failed(String),
}

impl Loss {
    /// Returns whether the broker ended the connection on purpose, so that something it received
    /// may be the cause.
    fn is_by_broker(&self) -> bool {
        matches!(self, Self::Closed | Self::Ended(_) | Self::Unreadable(_))
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the broker closed the connection",
            Self::Ended(reason) => return write!(f, "the broker ended the connection: {reason}"),
            Self::Unreadable(reason) => {
                return write!(f, "a packet of the broker cannot be read: {reason}");
            }
            Self::TakenOver => CONFLICT,
            Self::NoRetain => "the broker keeps no retained messages: connecting without them",
            Self::Silent => "the broker is silent",
            Self::Unacknowledged => "the broker does not acknowledge what it receives",
            Self::Failed(why) => why,
        })
    }
}

impl Session {
    /// Ends the connection: decides the fate of everything in flight, in its order, and reports the
    /// loss.
    pub(in crate::mqtt) fn lost(&mut self, loss: &Loss, now: Instant) {
        self.note_closure(loss, now);
        self.subscriptions.end(loss.is_by_broker());
        let mut undecided = Vec::new();
        for in_flight in self.unacked.take_all() {
            let is_blamed = in_flight.left && self.is_to_blame(loss, in_flight.since, now);
            undecided.extend(self.decide(in_flight, is_blamed));
        }
        self.outbox
            .shared
            .put_back(without_overtaken(undecided).into_iter());
        self.remember_redeliverable(loss, now);
        self.rejections.clear();
        self.outbox.shared.drop_rejections();
        let was_up = self.phase != Phase::Down;
        if was_up {
            self.counters().broker_disconnects.increment();
        }
        self.phase = Phase::Down;
        self.outbox.shared.set_up(false);
        match &self.role {
            SessionRole::Alone => {}
            SessionRole::Leader(pair) => {
                info!(cause = %loss, "the connection of the leader has ended");
                pair.close_gate();
                pair.on(PairEvent::Disconnected);
            }
            SessionRole::Observer { pair, .. } => pair.on(PairEvent::ObserverDown),
        }
        self.report(loss, was_up);
    }

    /// Reports the cause once, and again when it changes.
    fn report(&mut self, loss: &Loss, was_up: bool) {
        let may_be_conflict = self.unexplained.len() >= CONFLICT_CLOSURES;
        let cause = match loss {
            Loss::Closed if !was_up => CLOSED_AT_ONCE.to_owned(),
            Loss::Closed if may_be_conflict => POSSIBLE_CONFLICT.to_owned(),
            _ => loss.to_string(),
        };
        if self.reported_cause.as_ref() == Some(&cause) {
            debug!(cause, "still no broker");
            return;
        }
        self.reported_cause = Some(cause.clone());
        // The observer of a pair reports for both of its connections: the end of that of the leader
        // is an ordinary event.
        if self.leader_of().is_none() {
            self.inbox.connection(Incoming::Down { why: cause });
        }
    }

    /// Counts connections in use that the broker closed although nothing was in flight.
    fn note_closure(&mut self, loss: &Loss, now: Instant) {
        match loss {
            Loss::Failed(_) => self.unexplained.clear(),
            Loss::Closed if self.phase == Phase::Open && self.unacked.is_empty() => {
                self.unexplained.push_back(now);
            }
            // A broker that starts accepts connections before it answers them.
            Loss::Closed if self.phase == Phase::Down => self.unexplained.clear(),
            _ => {}
        }
        while let Some(first) = self.unexplained.front()
            && (*first + CONFLICT_WINDOW < now || self.unexplained.len() > CONFLICT_CLOSURES)
        {
            self.unexplained.pop_front();
        }
    }

    /// Returns whether a message that left at `since` may be the cause of this loss.
    fn is_to_blame(&self, loss: &Loss, since: Instant, now: Instant) -> bool {
        match loss {
            Loss::Closed | Loss::Ended(_) | Loss::Unreadable(_) => {
                now.saturating_duration_since(since) <= BLAME
            }
            // A broker that sent something meanwhile is not frozen: it does not acknowledge this
            // message.
            Loss::Unacknowledged => self.last_packet > since + BLAME,
            _ => false,
        }
    }

    /// Decides the fate of one message, or returns it: it may be sent again.
    fn decide(
        &mut self,
        in_flight: InFlight<QueuedMessage>,
        is_blamed: bool,
    ) -> Option<QueuedMessage> {
        let mut message = in_flight.message;
        message.left_before |= in_flight.left;
        message.losses += u8::from(is_blamed);
        // A rejected command comes again on the next connection, and is answered then.
        if message.delivery.is_none() || message.ack_token.is_some() {
            return None;
        }
        if message.losses > MAX_LOSSES {
            self.give_up(message);
            return None;
        }
        Some(message)
    }

    /// Gives up a message over which the broker ends every connection, and publishes a dead letter
    /// in its place.
    fn give_up(&mut self, message: QueuedMessage) {
        let topic = message.message.topic().to_owned();
        let payload = message.message.payload();
        let quoted = payload.get(..QUOTED_BYTES).unwrap_or(payload);
        let why = "the broker ended the connection each time it was sent";
        error!(topic, "a message is given up: {why}");
        let letter = json!({
            "topic": topic,
            "payload": String::from_utf8_lossy(quoted),
            "attempts": message.losses,
            "why": why,
        });
        let dead = format!("{}/dead", self.rules.prefix);
        if topic != dead {
            let letter = OutboundMessage::to(dead, letter.to_string());
            // Without room for the letter the log line has to do.
            drop(self.outbox.publish(letter));
        }
        // The broker may have passed on to a device what it did not acknowledge.
        let end = if message.message.target().is_some() {
            Undelivered::Uncertain
        } else {
            Undelivered::Refused {
                why: why.to_owned(),
            }
        };
        message.resolve(Err(end));
    }

    /// Remembers the commands that the broker may send again on the next connection.
    fn remember_redeliverable(&mut self, loss: &Loss, now: Instant) {
        let acks = std::mem::take(&mut self.acks);
        if self.phase == Phase::Down {
            return;
        }
        // Until the broker closed it the connection worked; a silent one worked until the last
        // packet.
        let last_sign = match loss {
            Loss::Closed | Loss::Ended(_) | Loss::Unreadable(_) | Loss::TakenOver => now,
            _ => self.last_packet,
        };
        let again = acks.redeliverable(last_sign).into_iter();
        self.redeliverable.extend(again.map(|one| (one.pkid, one)));
    }
}

/// Returns the messages to send again. Of those that left, the ones for a device that has a newer
/// command in flight are superseded, and the ones that must not be delivered twice are uncertain.
fn without_overtaken(messages: Vec<QueuedMessage>) -> Vec<QueuedMessage> {
    let mut newest: HashMap<String, u64> = HashMap::new();
    for message in &messages {
        if let Some((device, seq)) = message.message.target() {
            let newest = newest.entry(device.to_owned()).or_default();
            *newest = (*newest).max(seq);
        }
    }
    let mut kept = Vec::with_capacity(messages.len());
    for message in messages {
        let is_older = message
            .message
            .target()
            .is_some_and(|(device, seq)| newest.get(device).is_some_and(|newest| seq < *newest));
        if !message.left_before {
            kept.push(message);
        } else if !message.message.is_repeatable() {
            message.resolve(Err(Undelivered::Uncertain));
        } else if is_older || message.is_overtaken {
            message.resolve(Err(Undelivered::Superseded));
        } else {
            kept.push(message);
        }
    }
    kept
}
