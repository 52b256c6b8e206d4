//! The state of the connection as the poll loop sees it: the meaning of each event, and the next
//! message to send. Nothing here waits.

mod client_faults;
mod incoming;
mod loss;
mod role;
mod state;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rumqttc::Outgoing;
use rumqttc::v5::Event;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Packet, PubAck, PubAckReason, Publish, PublishProperties,
};
use tracing::warn;

use crate::clock::now;
use crate::telemetry::counters::Counters;
use crate::telemetry::log_limit::LogLimit;

use crate::delivery::Undelivered;
use crate::mqtt::inbox::{InboxSender, Incoming};
use crate::mqtt::inflight::{PendingAcks, UnackedPublishes};
use crate::mqtt::outbound_message::OutboundMessage;
use crate::mqtt::outbox::Outbox;
use crate::mqtt::outbox_queues::QueuedMessage;
use crate::mqtt::requests::RequestSender;
use crate::mqtt::session::client_faults::ClientFault;
use crate::mqtt::session::loss::MAX_LOSSES;
use crate::mqtt::subscriptions::Subscriptions;
use crate::pair::{IDENTITY, Pair, PairEvent};
use crate::wire;
use crate::wire::WireRules;

pub(super) use crate::mqtt::session::loss::Loss;
pub(super) use crate::mqtt::session::role::SessionRole;
use crate::mqtt::session::state::Phase;
pub(super) use crate::mqtt::session::state::Session;

/// Messages in flight at once, where the broker allows it. One less than rumqttc's own limit: at
/// that it holds back acknowledgements as well.
pub(super) const WINDOW: u16 = 63;

/// Most bytes of a PUBLISH in addition to topic, payload and properties: its type and length, the
/// lengths of topic and properties, and the packet id (MQTT 5, section 3.3).
const HEADER: usize = 5 + 2 + 3 + 2;

/// Bytes of a message expiry interval, of the length of correlation data with its type, and of the
/// lengths of a user property with its type.
const EXPIRY: usize = 5;
const CORRELATION: usize = 3;
const USER_PROPERTY: usize = 5;

/// The digits of a number of hops, which is at most [`wire::MAX_HOPS`].
const HOPS_DIGITS: usize = 1;

/// The largest packet MQTT knows, in bytes: its length has four times seven bits (MQTT 5, section
/// 1.5.5).
const MAX_PACKET: usize = 268_435_455;

/// The longest time between two runs of the loop, so that [`Outbox::last_progress`] is recent.
const TICK: Duration = Duration::from_secs(5);

/// Longest time the broker may take to acknowledge a message before the connection is given up.
/// Brokers do so within milliseconds; the watchdog of the unit waits 30 s.
const ACK_TIMEOUT: Duration = Duration::from_secs(15);

impl Session {
    pub(super) fn new(
        client: RequestSender,
        rules: WireRules,
        subscriptions: Subscriptions,
        outbox: Outbox,
        inbox: Arc<InboxSender>,
    ) -> Self {
        let now = now();
        Self {
            role: SessionRole::Alone,
            client,
            rules,
            subscriptions,
            outbox,
            inbox,
            unacked: UnackedPublishes::new(0),
            acks: PendingAcks::default(),
            phase: Phase::Down,
            connection: 0,
            last_packet: now,
            began: now,
            resumed: false,
            continues_earlier_run: true,
            clock_set: None,
            retains: true,
            max_packet: MAX_PACKET,
            rejections: VecDeque::new(),
            redeliverable: HashMap::new(),
            reported_cause: None,
            unexplained: VecDeque::new(),
            client_faults: LogLimit::default(),
        }
    }

    /// Returns the pair, if the connection is that of its leader.
    pub(super) fn leader_of(&self) -> Option<&Arc<Pair>> {
        self.role.leader()
    }

    /// Sets the use of the connection.
    pub(super) fn with_role(mut self, role: SessionRole) -> Self {
        self.role = role;
        self
    }

    /// Returns whether the waiting commands are so many that their reader should run before more
    /// are received.
    pub(super) fn is_half_full(&self) -> bool {
        self.inbox.is_half_full()
    }

    /// Resolves when a task has something to send or closes the outbox.
    pub(super) async fn wake(&self) {
        self.outbox.shared.wake.notified().await;
    }

    /// Returns when the loop must run again, with or without an event.
    pub(super) fn next_run(&self, now: Instant, patience: Duration) -> Instant {
        let silent = self.waits_since().map(|since| since + patience);
        let unacked = self.unacked.oldest().map(|since| since + ACK_TIMEOUT);
        let timeouts = silent.into_iter().chain(unacked).filter(|at| *at > now);
        timeouts
            .chain(self.outbox.shared.next_deadline())
            .chain([now + TICK])
            .min()
            .unwrap_or(now)
    }

    /// Returns the reason to give up the connection: no packet for `patience`, no answer to the
    /// subscriptions, or a message that is not acknowledged in time.
    pub(super) fn timed_out(&self, now: Instant, patience: Duration) -> Option<Loss> {
        let elapsed = |since: Instant| now.saturating_duration_since(since);
        if self
            .waits_since()
            .is_some_and(|since| elapsed(since) >= patience)
        {
            return Some(Loss::Silent);
        }
        let oldest = self.unacked.oldest()?;
        (elapsed(oldest) >= ACK_TIMEOUT).then_some(Loss::Unacknowledged)
    }

    fn waits_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Down => None,
            Phase::Subscribing => Some(self.began),
            _ => Some(self.last_packet),
        }
    }

    /// Returns whether the outbox is closing and nothing is left to do.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let Some(until) = self.outbox.shared.closing() else {
            return false;
        };
        self.phase == Phase::Gone
            || until <= now
            || (self.phase == Phase::Down && self.outbox.shared.is_drained())
    }

    /// Returns how long the connection has existed.
    pub(super) fn age(&self, now: Instant) -> Duration {
        if self.phase == Phase::Down {
            Duration::ZERO
        } else {
            now.saturating_duration_since(self.began)
        }
    }

    /// Processes one event.
    pub(super) fn on(&mut self, event: Event, now: Instant) {
        match event {
            // With QoS 0 nothing is in flight afterwards.
            Event::Outgoing(Outgoing::Publish(0)) => {}
            Event::Outgoing(Outgoing::Publish(pkid)) => self.unacked.departed(pkid),
            Event::Outgoing(Outgoing::Subscribe(pkid)) => self.subscriptions.departed(pkid),
            Event::Outgoing(Outgoing::Disconnect) => self.phase = Phase::Gone,
            Event::Outgoing(_) => {}
            Event::Incoming(packet) => {
                self.last_packet = now;
                match packet {
                    Packet::ConnAck(answer) => self.connected(&answer, now),
                    Packet::SubAck(answer) => self.subscriptions.acked(&answer),
                    Packet::PubAck(answer) => self.delivered(&answer),
                    Packet::Publish(publish) => self.received(&publish, now),
                    _ => {}
                }
            }
        }
    }

    /// Hands to the client every message that may be sent now.
    pub(super) fn send_pending(&mut self, now: Instant) {
        self.report_counted_faults(now);
        self.queue_rejections(now);
        self.acknowledge(now);
        self.outbox.shared.resolve_late(now);
        if let Some(states) = self.outbox.shared.take_state_filters() {
            self.subscriptions.follow(states, self.phase != Phase::Down);
        }
        if self.phase == Phase::Down {
            return;
        }
        self.subscriptions.send(&self.client);
        if self.phase == Phase::Subscribing && self.subscriptions.is_complete() {
            self.open(now);
        }
        if self.phase == Phase::Open {
            self.send_messages(now);
        }
        self.disconnect_when_drained(now);
    }

    /// Reports a fault, with its topic or source: at once, or with a count when a minute has passed
    /// since the last report of the same.
    fn report_client_fault(
        &mut self,
        fault: ClientFault,
        subject: &str,
        why: Option<&str>,
        now: Instant,
    ) {
        if let Some(line) = self.client_faults.note(fault, subject, now) {
            ClientFault::write(&line, why);
        }
    }

    /// Writes the counts of faults whose minute has passed.
    pub(super) fn report_counted_faults(&mut self, now: Instant) {
        for line in self.client_faults.take_due(now) {
            ClientFault::write(&line, None);
        }
    }

    fn counters(&self) -> &Counters {
        &self.outbox.counters
    }

    fn connected(&mut self, answer: &ConnAck, now: Instant) {
        let properties = answer.properties.as_ref();
        // The protocol forbids a receive maximum of 0.
        let window = properties
            .and_then(|p| p.receive_max)
            .map_or(WINDOW, |max| max.saturating_sub(1).clamp(1, WINDOW));
        self.max_packet = properties
            .and_then(|p| p.max_packet_size)
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(MAX_PACKET)
            .min(MAX_PACKET);
        self.unacked = UnackedPublishes::new(usize::from(window));
        self.connection += 1;
        self.began = now;
        self.resumed = answer.session_present;
        if properties.and_then(|p| p.retain_available) == Some(0) {
            self.stop_retaining();
        }
        if !self.resumed {
            self.continues_earlier_run = false;
            self.redeliverable.clear();
        }
        self.phase = Phase::Subscribing;
        self.subscriptions.begin(self.max_packet);
    }

    /// Publishes nothing with the retain flag from now on: the broker would end the connection.
    pub(super) fn stop_retaining(&mut self) {
        if std::mem::replace(&mut self.retains, false) {
            warn!(
                "the broker keeps no retained messages: status, health and timers are published \
                 without the retain flag"
            );
        }
    }

    fn open(&mut self, now: Instant) {
        self.phase = Phase::Open;
        self.reported_cause = None;
        if self.role.has_status() {
            self.publish_status("online", now);
        }
        self.outbox.shared.set_up(true);
        let (session_present, connection) = (self.resumed, self.connection);
        let up = Incoming::Up {
            session_present,
            connection,
        };
        match &self.role {
            SessionRole::Alone => self.inbox.connection(up),
            SessionRole::Leader(pair) => pair.on(PairEvent::Connected {
                connection,
                session_present,
            }),
            SessionRole::Observer { pair, .. } => {
                pair.observer_up(session_present);
                self.inbox.connection(up);
            }
        }
    }

    /// Publishes `online` or `offline`. It belongs to this connection alone and is not sent again.
    fn publish_status(&mut self, status: &'static str, now: Instant) {
        let topic = format!("{}/status", self.rules.prefix);
        let message = OutboundMessage::to(topic, Bytes::from_static(status.as_bytes())).retained();
        // The client's queue is empty at both moments this is published; were it not, the last will
        // would say it.
        let _ = self.hand(QueuedMessage::detached(message), now);
    }

    fn acknowledge(&mut self, now: Instant) {
        for token in self.outbox.shared.take_ack_tokens(now) {
            // On another connection the same number is another message.
            if token.connection == self.connection {
                self.acks.ready(token.pkid);
            }
        }
        if self.phase == Phase::Down {
            return;
        }
        while let Some(pkid) = self.acks.next() {
            if !self.client.acknowledge(pkid) {
                return;
            }
            self.acks.acked(now);
        }
    }

    fn send_messages(&mut self, now: Instant) {
        while self.unacked.has_room(now) && !self.is_suspect_in_flight() {
            let Some(message) = self.outbox.shared.next(now) else {
                return;
            };
            // A message that may have ended connections travels alone, so that the next end shows
            // whether it did.
            let must_wait = message.losses >= MAX_LOSSES && !self.unacked.is_empty();
            let unsent = if must_wait {
                Some(message)
            } else {
                self.hand(message, now)
            };
            if let Some(message) = unsent {
                self.outbox.shared.put_back([message].into_iter());
                return;
            }
        }
    }

    fn is_suspect_in_flight(&mut self) -> bool {
        self.unacked
            .iter_mut()
            .any(|message| message.losses >= MAX_LOSSES)
    }

    /// Shortens a message to the size the broker accepts: a larger one would end the connection at
    /// every attempt.
    ///
    /// # Errors
    /// When it cannot be shortened; with the reason.
    fn fit(&mut self, message: &mut OutboundMessage) -> Result<(), String> {
        let size = packet_bytes(message);
        let excess = size.saturating_sub(self.max_packet);
        if excess == 0 || message.shorten(excess) {
            return Ok(());
        }
        let max = self.max_packet;
        let why = format!("it has about {size} bytes, more than the broker's {max}");
        self.report_client_fault(ClientFault::TooLarge, message.topic(), Some(&why), now());
        Err(why)
    }

    /// Hands a message to the client that nobody waits for; returns whether the client takes it.
    pub(super) fn publish_at_most_once(
        &mut self,
        mut message: OutboundMessage,
        now: Instant,
    ) -> bool {
        if message.fault().is_some() || self.fit(&mut message).is_err() {
            return false;
        }
        self.client.publish(Publish {
            qos: QoS::AtMostOnce,
            ..publish(&message, now)
        })
    }

    /// Hands one message to the client; gives it back if the client's queue is full. A message that
    /// is too large for the broker is shortened, or refused.
    fn hand(&mut self, mut queued: QueuedMessage, now: Instant) -> Option<QueuedMessage> {
        if let Err(why) = self.fit(&mut queued.message) {
            self.acks.settle(queued.ack_token.as_ref());
            queued.resolve(Err(Undelivered::Refused { why }));
            return None;
        }
        let publish = Publish {
            retain: queued.message.is_retained() && self.retains,
            ..publish(&queued.message, now)
        };
        if !self.client.publish(publish) {
            return Some(queued);
        }
        self.unacked.hand(queued, now);
        None
    }

    /// Publishes `offline` and then disconnects, once the outbox is closing and everything else is
    /// sent.
    fn disconnect_when_drained(&mut self, now: Instant) {
        let is_drained = self.unacked.is_empty()
            && self.acks.next().is_none()
            && self.outbox.shared.is_drained();
        if !is_drained || self.outbox.shared.closing().is_none() {
            return;
        }
        match self.phase {
            Phase::Open => {
                if self.role.has_status() {
                    self.publish_status("offline", now);
                }
                self.phase = Phase::Farewell;
            }
            Phase::Farewell if self.client.disconnect() => self.phase = Phase::Leaving,
            _ => {}
        }
    }

    fn delivered(&mut self, answer: &PubAck) {
        let Some(mut queued) = self.unacked.acked(answer.pkid) else {
            return;
        };
        if is_about_content(answer.reason) && queued.message.shorten_refused() {
            self.outbox.shared.put_back([queued].into_iter());
            return;
        }
        self.mark_overtaken(&queued);
        self.acks.settle(queued.ack_token.as_ref());
        if matches!(
            answer.reason,
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers
        ) {
            queued.resolve(Ok(()));
        } else {
            let why = format!("{:?}", answer.reason);
            let fault = if is_about_content(answer.reason) {
                ClientFault::RefusedContent
            } else {
                ClientFault::RefusedTopic
            };
            self.report_client_fault(fault, queued.message.topic(), Some(&why), now());
            queued.resolve(Err(Undelivered::Refused { why }));
        }
    }

    /// Marks the messages in flight that are for the same device and of an older command: the
    /// device has received a newer one, so they must not be sent again.
    fn mark_overtaken(&mut self, delivered: &QueuedMessage) {
        let Some((device, newer)) = delivered.message.target() else {
            return;
        };
        for other in self.unacked.iter_mut() {
            if let Some((same, seq)) = other.message.target()
                && same == device
                && seq < newer
            {
                other.is_overtaken = true;
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for in_flight in self.unacked.take_all() {
            let fate = if in_flight.left {
                Undelivered::Uncertain
            } else {
                Undelivered::Closed
            };
            in_flight.message.resolve(Err(fate));
        }
        self.outbox.shared.end();
        if self.role.has_status() {
            self.inbox.end();
        }
    }
}

/// Returns whether the broker may have refused a message for its length.
fn is_about_content(reason: PubAckReason) -> bool {
    matches!(
        reason,
        PubAckReason::UnspecifiedError
            | PubAckReason::ImplementationSpecificError
            | PubAckReason::QuotaExceeded
    )
}

/// Returns the packet of a message, which is not retained.
fn publish(message: &OutboundMessage, now: Instant) -> Publish {
    Publish {
        qos: QoS::AtLeastOnce,
        topic: message.topic_bytes(),
        payload: message.payload().clone(),
        properties: Some(properties(message, now)),
        ..Publish::default()
    }
}

fn properties(message: &OutboundMessage, now: Instant) -> PublishProperties {
    let mut properties = PublishProperties {
        message_expiry_interval: message
            .deadline()
            .map(|deadline| whole_seconds(deadline.saturating_duration_since(now))),
        correlation_data: message.correlation().map(Bytes::copy_from_slice),
        ..PublishProperties::default()
    };
    if let Some(identity) = message.identity() {
        let identity = (IDENTITY.to_owned(), identity.to_string());
        properties.user_properties.push(identity);
    }
    if message.hops() > 0 {
        let hops = (wire::HOPS.to_owned(), message.hops().to_string());
        properties.user_properties.push(hops);
    }
    properties
}

/// Returns the size of a message as a packet, at most.
fn packet_bytes(message: &OutboundMessage) -> usize {
    let mut bytes = HEADER + message.bytes();
    if message.deadline().is_some() {
        bytes += EXPIRY;
    }
    if message.correlation().is_some() {
        bytes += CORRELATION;
    }
    if let Some(identity) = message.identity() {
        bytes += USER_PROPERTY + IDENTITY.len() + identity.to_string().len();
    }
    if message.hops() > 0 {
        bytes += USER_PROPERTY + wire::HOPS.len() + HOPS_DIGITS;
    }
    bytes
}

/// Rounds down to whole seconds, but at least 1: with 0 the broker would drop the message at once.
fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).max(1)
}
