//! The connection as seen from the poll loop: what each event means, and what is to be sent next. Nothing here waits.

mod incoming;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::Outgoing as Sent;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Packet, PubAck, PubAckReason, Publish, PublishProperties,
};
use rumqttc::v5::{AsyncClient, Event};
use tracing::{debug, warn};

use crate::clock::now;
use crate::command::ReplyTo;
use crate::command::reply::Reply;
use crate::telemetry::counters::Counters;

use crate::mqtt::inbox::{AckToken, InboxSender, Incoming};
use crate::mqtt::inflight::{PendingAcks, UnackedPublishes};
use crate::mqtt::outbox::{OutboundMessage, Outbox, QueuedMessage, Undelivered};
use crate::mqtt::subscriptions::Subscriptions;
use crate::wire;
use crate::wire::WireRules;

/// Messages on their way at once, where the broker allows it. One less than rumqttc's own limit: at that it holds back
/// acknowledgements as well.
pub(super) const WINDOW: u16 = 63;

/// More than the header, lengths, packet id and properties of any of our messages take, in bytes.
const HEADER: usize = 64;

/// The largest packet MQTT knows, in bytes: its length has four times seven bits (MQTT 5, section 1.5.5).
const LARGEST: usize = 268_435_455;

/// The loop turns at least this often, so that [`Outbox::last_progress`] is honest.
const TICK: Duration = Duration::from_secs(5);

/// How far the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No broker.
    Down,
    /// Connected; the subscriptions are on their way.
    Subscribing,
    /// In use.
    Open,
    /// `offline` is on its way.
    Farewell,
    /// DISCONNECT is on its way.
    Leaving,
    /// All is said.
    Gone,
}

/// What the poll loop knows.
pub(super) struct Session {
    client: AsyncClient,
    rules: WireRules,
    subscriptions: Subscriptions,
    outbox: Outbox,
    intake: Arc<InboxSender>,
    flight: UnackedPublishes<QueuedMessage>,
    owed: PendingAcks,
    phase: Phase,
    /// Counts the connections; 0 before the first.
    epoch: u64,
    /// When the broker was last heard, and when this connection began.
    heard: Instant,
    began: Instant,
    /// True if the broker kept the session of the connection before this one.
    resumed: bool,
    /// The largest packet the broker takes, in bytes.
    largest: usize,
    /// Answers to commands that went no further, and found no room in the outbox yet.
    turned_away: VecDeque<(Reply, ReplyTo, AckToken)>,
    /// True once `Down` was told and no `Up` since.
    told_down: bool,
}

impl Session {
    pub(super) fn new(
        client: AsyncClient,
        rules: WireRules,
        subscriptions: Subscriptions,
        outbox: Outbox,
        intake: Arc<InboxSender>,
    ) -> Self {
        let now = now();
        Self {
            client,
            rules,
            subscriptions,
            outbox,
            intake,
            flight: UnackedPublishes::new(0),
            owed: PendingAcks::default(),
            phase: Phase::Down,
            epoch: 0,
            heard: now,
            began: now,
            resumed: false,
            largest: LARGEST,
            turned_away: VecDeque::new(),
            told_down: false,
        }
    }

    /// Whether the reader of what comes in should have a turn before more is taken in.
    pub(super) fn is_half_full(&self) -> bool {
        self.intake.is_half_full()
    }

    /// Resolves when somebody has something to send or wants the connection closed.
    pub(super) async fn wake(&self) {
        self.outbox.shared.wake.notified().await;
    }

    /// When the loop should turn again, events or not.
    pub(super) fn next_look(&self, now: Instant, patience: Duration) -> Instant {
        let silent = self
            .waits_since()
            .map(|since| since + patience)
            .filter(|at| *at > now);
        self.outbox
            .shared
            .next_look()
            .into_iter()
            .chain(silent)
            .chain([now + TICK])
            .min()
            .unwrap_or(now)
    }

    /// True where the broker has said nothing for `patience`, or has left the subscriptions unanswered for as long.
    pub(super) fn is_silent(&self, now: Instant, patience: Duration) -> bool {
        self.waits_since()
            .is_some_and(|since| now.saturating_duration_since(since) >= patience)
    }

    fn waits_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Down => None,
            Phase::Subscribing => Some(self.began),
            _ => Some(self.heard),
        }
    }

    /// True where nothing is left to do: all is said, or the grace is over, or there is no broker and nothing to say.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let Some(until) = self.outbox.shared.closing() else {
            return false;
        };
        self.phase == Phase::Gone
            || until <= now
            || (self.phase == Phase::Down && self.outbox.shared.is_drained())
    }

    /// How long the connection stood at `now`, where it did.
    pub(super) fn stood(&self, now: Instant) -> Duration {
        if self.phase == Phase::Down {
            Duration::ZERO
        } else {
            now.saturating_duration_since(self.began)
        }
    }

    /// Takes in one event.
    pub(super) fn on(&mut self, event: Event, now: Instant) {
        match event {
            Event::Outgoing(Sent::Publish(pkid)) => self.flight.departed(pkid),
            Event::Outgoing(Sent::Subscribe(pkid)) => self.subscriptions.left(pkid),
            Event::Outgoing(Sent::Disconnect) => self.phase = Phase::Gone,
            Event::Outgoing(_) => {}
            Event::Incoming(packet) => {
                self.heard = now;
                match packet {
                    Packet::ConnAck(answer) => self.connected(&answer, now),
                    Packet::SubAck(answer) => self.subscriptions.answered(&answer),
                    Packet::PubAck(answer) => self.delivered(&answer),
                    Packet::Publish(publish) => self.received(&publish, now),
                    _ => {}
                }
            }
        }
    }

    /// Hands to the client whatever may go now.
    pub(super) fn tend(&mut self, now: Instant) {
        self.answer_turned_away(now);
        self.acknowledge(now);
        self.outbox.shared.sweep(now);
        if let Some(states) = self.outbox.shared.follow() {
            self.subscriptions.follow(states, self.phase != Phase::Down);
        }
        if self.phase == Phase::Down {
            return;
        }
        self.subscriptions.send(&self.client);
        if self.phase == Phase::Subscribing && self.subscriptions.stand() {
            self.up();
        }
        if self.phase == Phase::Open {
            self.send(now);
        }
        self.part();
    }

    /// The connection is lost: whatever was on its way is decided here, in its first order.
    pub(super) fn lost(&mut self, why: &str) {
        let mut again = Vec::new();
        for (mut parcel, left) in self.flight.broken() {
            parcel.left |= left;
            // The command of a receipt comes again on the next connection, and is answered then.
            if parcel.waits.is_none() || parcel.receipt.is_some() {
                continue;
            }
            if parcel.message.repeatable || !parcel.left {
                again.push(parcel);
            } else {
                parcel.resolve(Err(Undelivered::Uncertain));
            }
        }
        self.outbox.shared.put_back(newest(again).into_iter());
        self.owed = PendingAcks::default();
        self.turned_away.clear();
        self.outbox.shared.forget_receipts();
        self.subscriptions.forget();
        if self.phase != Phase::Down {
            self.counters().broker_disconnects.increment();
        }
        self.phase = Phase::Down;
        self.outbox.shared.set_up(false);
        if self.told_down {
            debug!(why, "still no broker");
        } else {
            self.told_down = true;
            self.intake.link(Incoming::Down {
                why: why.to_owned(),
            });
        }
    }

    fn counters(&self) -> &Counters {
        &self.outbox.counters
    }

    fn connected(&mut self, answer: &ConnAck, now: Instant) {
        let properties = answer.properties.as_ref();
        // Packets the broker takes at once; the protocol forbids 0.
        let window = properties
            .and_then(|p| p.receive_max)
            .map_or(WINDOW, |max| max.saturating_sub(1).clamp(1, WINDOW));
        self.largest = properties
            .and_then(|p| p.max_packet_size)
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(LARGEST)
            .min(LARGEST);
        self.flight = UnackedPublishes::new(usize::from(window));
        self.epoch += 1;
        self.began = now;
        self.resumed = answer.session_present;
        self.phase = Phase::Subscribing;
        self.subscriptions.begin();
    }

    fn up(&mut self) {
        self.phase = Phase::Open;
        self.told_down = false;
        self.say_status("online");
        self.outbox.shared.set_up(true);
        self.intake.link(Incoming::Up {
            session_present: self.resumed,
        });
    }

    /// `online` or `offline`. It belongs to this connection alone, so nobody waits for it and it is not sent again.
    fn say_status(&mut self, status: &'static str) {
        let topic = format!("{}/status", self.rules.prefix);
        let payload = Bytes::from_static(status.as_bytes());
        let message = OutboundMessage {
            topic,
            payload,
            correlation: None,
            retain: true,
            subject: None,
            deadline: None,
            repeatable: false,
            hops: 0,
        };
        let parcel = QueuedMessage {
            message,
            left: false,
            waits: None,
            receipt: None,
        };
        // The client's queue is empty at both moments this is said; were it not, the last will would say it.
        let _ = self.hand(parcel, now());
    }

    fn acknowledge(&mut self, now: Instant) {
        for receipt in self.outbox.shared.turned(now) {
            // On another connection the same number is another message.
            if receipt.epoch == self.epoch {
                self.owed.ready(receipt.pkid);
            }
        }
        if self.phase == Phase::Down {
            return;
        }
        while let Some(pkid) = self.owed.next() {
            let publish = Publish {
                pkid,
                qos: QoS::AtLeastOnce,
                ..Publish::default()
            };
            if self.client.try_ack(&publish).is_err() {
                return;
            }
            self.owed.paid();
        }
    }

    fn send(&mut self, now: Instant) {
        while self.flight.has_room() {
            let Some(parcel) = self.outbox.shared.next(now) else {
                return;
            };
            if let Some(parcel) = self.hand(parcel, now) {
                self.outbox.shared.put_back([parcel].into_iter());
                return;
            }
        }
    }

    /// Hands one message to the client; gives it back where the client's queue is full.
    fn hand(&mut self, parcel: QueuedMessage, now: Instant) -> Option<QueuedMessage> {
        let message = &parcel.message;
        let size = HEADER
            + message.topic.len()
            + message.payload.len()
            + message.correlation.as_ref().map_or(0, Vec::len);
        if size > self.largest {
            // Sent all the same it would end the connection, again and again.
            let why = format!(
                "it has about {size} bytes, more than the broker's {}",
                self.largest
            );
            self.owed.settle(parcel.receipt.as_ref());
            parcel.resolve(Err(Undelivered::Refused { why }));
            return None;
        }
        let properties = PublishProperties {
            message_expiry_interval: message
                .deadline
                .map(|deadline| whole_seconds(deadline.saturating_duration_since(now))),
            user_properties: (message.hops > 0)
                .then(|| (wire::HOPS.to_owned(), message.hops.to_string()))
                .into_iter()
                .collect(),
            correlation_data: message
                .correlation
                .as_ref()
                .map(|data| Bytes::copy_from_slice(data)),
            ..PublishProperties::default()
        };
        let payload = message.payload.clone();
        match self.client.try_publish_with_properties(
            message.topic.as_str(),
            QoS::AtLeastOnce,
            message.retain,
            payload,
            properties,
        ) {
            Ok(()) => {
                self.flight.handed(parcel);
                None
            }
            Err(_) => Some(parcel),
        }
    }

    /// Says goodbye, step by step, once everything else is said.
    fn part(&mut self) {
        let drained =
            self.flight.is_empty() && self.owed.next().is_none() && self.outbox.shared.is_drained();
        if !drained || self.outbox.shared.closing().is_none() {
            return;
        }
        match self.phase {
            Phase::Open => {
                self.say_status("offline");
                self.phase = Phase::Farewell;
            }
            Phase::Farewell if self.client.try_disconnect().is_ok() => self.phase = Phase::Leaving,
            _ => {}
        }
    }

    fn delivered(&mut self, answer: &PubAck) {
        let Some(parcel) = self.flight.arrived(answer.pkid) else {
            return;
        };
        self.owed.settle(parcel.receipt.as_ref());
        if matches!(
            answer.reason,
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers
        ) {
            parcel.resolve(Ok(()));
        } else {
            let why = format!("{:?}", answer.reason);
            warn!(
                topic = parcel.message.topic,
                why, "the broker refuses a message: allow it in the broker's access list"
            );
            parcel.resolve(Err(Undelivered::Refused { why }));
        }
    }
}

/// Without those that had left and have a newer one on their subject, in their order.
fn newest(parcels: Vec<QueuedMessage>) -> Vec<QueuedMessage> {
    let (mut kept, mut decided) = (Vec::with_capacity(parcels.len()), HashSet::new());
    for parcel in parcels.into_iter().rev() {
        let newer = parcel
            .message
            .subject
            .clone()
            .is_some_and(|subject| !decided.insert(subject));
        if newer && parcel.left {
            parcel.resolve(Err(Undelivered::Superseded));
        } else {
            kept.push(parcel);
        }
    }
    kept.reverse();
    kept
}

impl Drop for Session {
    fn drop(&mut self) {
        for (parcel, left) in self.flight.broken() {
            parcel.resolve(Err(if left {
                Undelivered::Uncertain
            } else {
                Undelivered::Closed
            }));
        }
        self.outbox.shared.end();
        self.intake.end();
    }
}

/// At least 1: with 0 the broker would drop it at once.
fn whole_seconds(left: Duration) -> u32 {
    u32::try_from(left.as_secs()).unwrap_or(u32::MAX).max(1)
}
