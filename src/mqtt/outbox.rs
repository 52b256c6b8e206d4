//! The outgoing queue: publications, replies and acknowledgements.
//!
//! Callers never wait for the broker; each message is kept until the broker has acknowledged it,
//! over as many connections as that takes. The poll loop takes messages out through `OutboxState`.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot, watch};

use crate::clock::{now, suspended};
use crate::command::ReplyTo;
use crate::command::reply::Reply;
use crate::delivery::{Delivery, Undelivered};
use crate::pair::CommandIdentity;
use crate::telemetry::counters::Counters;
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::topic::{BadTopic, Filter, Topic};

use crate::mqtt::inbox::AckToken;
use crate::wire;
use crate::wire::DeviceTopics;

/// The pause before a reply is put again into an outbox that is full.
const REPLY_RETRY: Duration = Duration::from_millis(50);

/// The longest correlation data in bytes: its length is encoded in two bytes (MQTT 5, section
/// 1.5.6).
const MAX_CORRELATION: usize = 65_535;

/// The most bytes that may wait in each of the two queues. A single message always fits an empty
/// queue.
const MAX_BYTES: usize = 4 << 20;

/// Bytes to which a reply is shortened that the broker refused.
const SHORT_REPLY: usize = 512;

/// Time for which [`Outbox::close`] waits for the end of the connection, beyond the grace period.
const CLOSE_MARGIN: Duration = Duration::from_millis(500);

/// So many waiting messages keep the broker busy; [`Outbox::until_room`] waits above this.
const HIGH_WATER: usize = 128;

/// While both queues have messages, one rejection leaves after this many other messages.
const REJECTION_SHARE: usize = 4;

/// One message to the broker, sent with `QoS` 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundMessage {
    topic: SharedStr,
    payload: Bytes,
    /// The MQTT 5 correlation data of the request this answers.
    correlation: Option<Vec<u8>>,
    is_retained: bool,
    /// Whether a payload that is too large for the broker may be shortened, as an encoded reply.
    is_reply: bool,
    /// The message is not sent after this; its remaining time is also its MQTT message expiry, in
    /// whole seconds, at least 1.
    deadline: Option<Instant>,
    /// Total time for which the machine had been suspended when the deadline was set.
    suspended: Duration,
    /// The device the message commands, and the sequence number of the command. Of messages for one
    /// device that were in flight when a connection broke, only those of the newest command are
    /// sent again: the device may have received them all, and must not receive an older one after a
    /// newer one.
    target: Option<(SharedStr, u64)>,
    /// Whether the message may be delivered twice: then it is sent again after a broken connection.
    is_repeatable: bool,
    /// Number of times the command behind this message has passed through sayso, this time
    /// included; 0 for other messages.
    hops: u8,
    /// The command it answers, in a pair.
    identity: Option<CommandIdentity>,
}

impl OutboundMessage {
    /// Creates a message that is not retained, may be repeated and has no deadline.
    pub fn to(topic: impl Into<SharedStr>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            correlation: None,
            is_retained: false,
            is_reply: false,
            deadline: None,
            suspended: Duration::ZERO,
            target: None,
            is_repeatable: true,
            hops: 0,
            identity: None,
        }
    }

    /// Creates the message of an encoded reply. It is shortened if the broker does not accept its
    /// size.
    pub fn reply(payload: impl Into<Bytes>, to: &ReplyTo) -> Self {
        Self {
            is_reply: true,
            ..Self::to(to.topic.as_str(), payload).with_correlation(to.correlation.clone())
        }
    }

    /// Sets the correlation data.
    #[must_use]
    pub fn with_correlation(self, correlation: Option<Vec<u8>>) -> Self {
        Self {
            correlation,
            ..self
        }
    }

    /// Asks the broker to keep the message for later subscribers.
    #[must_use]
    pub fn retained(self) -> Self {
        Self {
            is_retained: true,
            ..self
        }
    }

    /// Sets the deadline. The time in which the machine is suspended counts.
    #[must_use]
    pub fn until(self, deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            suspended: suspended(),
            ..self
        }
    }

    /// Makes it a message of command number `seq` to `device`.
    #[must_use]
    pub fn for_device(self, device: impl Into<SharedStr>, seq: u64) -> Self {
        Self {
            target: Some((device.into(), seq)),
            ..self
        }
    }

    /// Sets whether it may be delivered twice.
    #[must_use]
    pub fn repeatable(self, is_repeatable: bool) -> Self {
        Self {
            is_repeatable,
            ..self
        }
    }

    /// Sets how often the command behind it has passed through sayso.
    #[must_use]
    pub fn with_hops(self, hops: u8) -> Self {
        Self { hops, ..self }
    }

    /// Sets the command it answers, for the other node of a pair.
    #[must_use]
    pub fn answering(self, identity: Option<CommandIdentity>) -> Self {
        Self { identity, ..self }
    }

    /// Returns the command it answers.
    pub(super) fn identity(&self) -> Option<CommandIdentity> {
        self.identity
    }

    /// Returns the topic it is published on.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns the topic as a packet has it, which is not copied.
    pub(super) fn topic_bytes(&self) -> Bytes {
        self.topic.clone().into()
    }

    /// Returns the payload, which may have been shortened for the broker.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Returns the correlation data.
    pub(super) fn correlation(&self) -> Option<&[u8]> {
        self.correlation.as_deref()
    }

    /// Returns whether the broker is asked to keep it.
    pub(super) fn is_retained(&self) -> bool {
        self.is_retained
    }

    /// Returns whether it may be delivered twice.
    pub(super) fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }

    /// Returns the moment after which it is not sent, or `None` if it never expires.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns the device and the command's sequence number.
    pub(super) fn target(&self) -> Option<(&str, u64)> {
        let (device, seq) = self.target.as_ref()?;
        Some((device.as_str(), *seq))
    }

    /// Returns how often the command behind it has passed through sayso.
    pub(super) fn hops(&self) -> u8 {
        self.hops
    }

    /// Returns the bytes of its variable parts.
    pub(super) fn bytes(&self) -> usize {
        let correlation = self.correlation.as_ref().map_or(0, Vec::len);
        self.topic.len() + self.payload.len() + correlation
    }

    /// Shortens a reply by at least `excess` bytes; returns whether that was possible.
    pub(super) fn shorten(&mut self, excess: usize) -> bool {
        let max_bytes = self.payload.len().saturating_sub(excess);
        let shorter = if self.is_reply {
            wire::shorten_reply(&self.payload, max_bytes)
        } else {
            None
        };
        let Some(payload) = shorter else {
            return false;
        };
        self.payload = payload.into();
        true
    }

    /// Shortens a long reply to a few hundred bytes; returns whether it was long, and a reply. The
    /// broker may have refused it for its length, with a limit that it does not announce.
    pub(super) fn shorten_refused(&mut self) -> bool {
        let excess = self.payload.len().saturating_sub(SHORT_REPLY);
        excess > 0 && self.shorten(excess)
    }

    /// Returns why it can never be sent.
    pub(super) fn fault(&self) -> Option<String> {
        if let Err(error) = Topic::check(&self.topic) {
            return Some(error.to_string());
        }
        let correlation = self.correlation.as_ref().map_or(0, Vec::len);
        (correlation > MAX_CORRELATION)
            .then(|| "its correlation data is longer than 65535 bytes".to_owned())
    }
}

/// The outbox has no room for one more message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many messages wait for the broker")]
pub struct Full;

/// The sending end, shared by all tasks that publish.
#[derive(Clone)]
pub struct Outbox {
    pub(super) shared: Arc<OutboxState>,
    pub(super) counters: Arc<Counters>,
    /// Topics on which no reply may be published.
    device_topics: DeviceTopics,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("is_up", &self.is_up())
            .finish_non_exhaustive()
    }
}

/// A message in the outbox or in flight, and the task that waits for it.
#[derive(Debug)]
pub(super) struct QueuedMessage {
    pub(super) message: OutboundMessage,
    /// Whether it left on a connection that broke: then it may have arrived.
    pub(super) left_before: bool,
    /// Whether a newer command for its device was acknowledged before it.
    pub(super) is_overtaken: bool,
    /// Number of connections that ended right after it had left.
    pub(super) losses: u8,
    /// `None` for `online` and `offline`, which belong to one connection.
    pub(super) delivery: Option<oneshot::Sender<Result<(), Undelivered>>>,
    /// The rejected command it answers, which is acknowledged once this is delivered.
    pub(super) ack_token: Option<AckToken>,
}

impl QueuedMessage {
    /// Creates a message that nobody waits for.
    pub(super) fn detached(message: OutboundMessage) -> Self {
        Self {
            message,
            left_before: false,
            is_overtaken: false,
            losses: 0,
            delivery: None,
            ack_token: None,
        }
    }

    /// Reports its fate to the task that waits for it.
    pub(super) fn resolve(self, fate: Result<(), Undelivered>) {
        if let Some(delivery) = self.delivery {
            let _ = delivery.send(fate);
        }
    }

    /// Resolves it as never acknowledged: uncertain if it left before, else `otherwise`.
    fn abandon(self, otherwise: Undelivered) {
        let fate = if self.left_before {
            Undelivered::Uncertain
        } else {
            otherwise
        };
        self.resolve(Err(fate));
    }

    fn is_late(&self, now: Instant) -> bool {
        let asleep = suspended().saturating_sub(self.message.suspended);
        self.message
            .deadline
            .is_some_and(|deadline| deadline <= now + asleep)
    }
}

/// State shared by the outbox and the poll loop.
#[derive(Debug)]
pub(super) struct OutboxState {
    queues: Mutex<Queues>,
    /// Wakes the poll loop.
    pub(super) wake: Notify,
    /// Wakes tasks that wait for room: a message left the queue, or the connection is down.
    freed: Notify,
    pub(super) ended: watch::Sender<bool>,
    capacity: usize,
}

#[derive(Debug)]
struct Queues {
    messages: MessageQueue,
    /// Replies to commands that were rejected, apart from the rest: in a flood they outnumber all
    /// other messages.
    rejections: MessageQueue,
    /// Messages that left since the last rejection did.
    since_rejection: usize,
    /// A lower bound of the deadlines of all waiting messages.
    earliest_deadline: Option<Instant>,
    /// Total time for which the machine had been suspended when the deadlines were last checked.
    suspended: Duration,
    ack_tokens: Vec<AckToken>,
    new_state_filters: Option<Vec<Filter>>,
    is_up: bool,
    last_progress: Instant,
    closing: Option<Instant>,
}

#[derive(Debug, Default)]
struct MessageQueue {
    waiting: VecDeque<QueuedMessage>,
    bytes: usize,
}

impl MessageQueue {
    fn has_room(&self, message: &OutboundMessage, capacity: usize) -> bool {
        let fits_bytes = self.waiting.is_empty() || self.bytes + message.bytes() <= MAX_BYTES;
        fits_bytes && self.waiting.len() < capacity
    }

    fn push_back(&mut self, message: QueuedMessage) {
        self.bytes += message.message.bytes();
        self.waiting.push_back(message);
    }

    fn push_front(&mut self, message: QueuedMessage) {
        self.bytes += message.message.bytes();
        self.waiting.push_front(message);
    }

    fn pop_front(&mut self) -> Option<QueuedMessage> {
        let message = self.waiting.pop_front()?;
        self.bytes -= message.message.bytes();
        Some(message)
    }

    /// Removes and returns the messages whose deadline has passed.
    fn take_late(&mut self, now: Instant) -> Vec<QueuedMessage> {
        let (late, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<VecDeque<_>, _>(|message| message.is_late(now));
        self.waiting = waiting;
        self.bytes -= late.iter().map(|late| late.message.bytes()).sum::<usize>();
        late.into()
    }

    fn take_all(&mut self) -> VecDeque<QueuedMessage> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting)
    }
}

/// Creates an outbox for `capacity` messages.
pub(super) fn outbox(capacity: NonZeroUsize, counters: Arc<Counters>) -> Outbox {
    let queues = Queues {
        messages: MessageQueue::default(),
        rejections: MessageQueue::default(),
        since_rejection: 0,
        earliest_deadline: None,
        suspended: suspended(),
        ack_tokens: Vec::new(),
        new_state_filters: None,
        is_up: false,
        last_progress: now(),
        closing: None,
    };
    let shared = OutboxState {
        queues: Mutex::new(queues),
        wake: Notify::new(),
        freed: Notify::new(),
        ended: watch::Sender::new(false),
        capacity: capacity.get(),
    };
    Outbox {
        shared: Arc::new(shared),
        counters,
        device_topics: DeviceTopics::default(),
    }
}

impl Outbox {
    /// Returns the topics of the devices, on which the session allows no reply.
    pub fn device_topics(&self) -> &DeviceTopics {
        &self.device_topics
    }

    /// Queues a message. Messages leave in the order of these calls.
    ///
    /// # Errors
    /// When too many messages, or too many bytes, wait already.
    pub fn publish(&self, message: OutboundMessage) -> Result<Delivery, Full> {
        self.enqueue(message, None).map_err(|_| Full)
    }

    /// Queues the reply to a rejected command, which is acknowledged once the broker has the reply.
    /// Gives the token back if there is no room.
    pub(super) fn reject(
        &self,
        reply: &Reply,
        to: &ReplyTo,
        deadline: Instant,
        token: AckToken,
    ) -> Result<(), AckToken> {
        let message = OutboundMessage::reply(reply.to_json(), to).until(deadline);
        match self.enqueue(message, Some(token)) {
            Ok(_) => {
                self.counters.replies_sent.increment();
                Ok(())
            }
            Err(token) => Err(token.unwrap_or(AckToken {
                connection: 0,
                pkid: 0,
            })),
        }
    }

    fn enqueue(
        &self,
        message: OutboundMessage,
        token: Option<AckToken>,
    ) -> Result<Delivery, Option<AckToken>> {
        let (sender, receiver) = oneshot::channel();
        let fault = message.fault();
        let mut message = QueuedMessage {
            delivery: Some(sender),
            ack_token: token,
            ..QueuedMessage::detached(message)
        };
        let mut queues = self.shared.queues();
        if let Some(why) = fault {
            queues.ack_tokens.extend(message.ack_token.take());
            message.resolve(Err(Undelivered::Refused { why }));
        } else if queues.closing.is_some() {
            message.resolve(Err(Undelivered::Closed));
        } else if !queues
            .queue_of(&message)
            .has_room(&message.message, self.shared.capacity)
        {
            return Err(message.ack_token.take());
        } else {
            queues.earliest_deadline = earlier(queues.earliest_deadline, message.message.deadline);
            queues.queue_of(&message).push_back(message);
            drop(queues);
            self.shared.wake.notify_one();
        }
        Ok(Delivery::Pending(receiver))
    }

    /// Queues an encoded reply. It may be delivered twice; its id shows that. `identity` is that of
    /// its command in a pair.
    ///
    /// # Errors
    /// When too many messages, or too many bytes, wait already.
    pub fn reply(
        &self,
        payload: impl Into<Bytes>,
        to: &ReplyTo,
        identity: Option<CommandIdentity>,
    ) -> Result<Delivery, Full> {
        let delivery = self.publish(OutboundMessage::reply(payload, to).answering(identity))?;
        self.counters.replies_sent.increment();
        Ok(delivery)
    }

    /// Queues an encoded reply. Waits for room rather than lose it.
    pub async fn queue_reply(
        &self,
        payload: Bytes,
        to: &ReplyTo,
        identity: Option<CommandIdentity>,
    ) -> Delivery {
        loop {
            match self.reply(payload.clone(), to, identity) {
                Ok(delivery) => return delivery,
                Err(_) => tokio::time::sleep(REPLY_RETRY).await,
            }
        }
    }

    /// Acknowledges a command that cannot be lost any more. The acknowledgement leaves once
    /// everything received earlier is acknowledged; a token of an earlier connection is dropped,
    /// because the broker sends that command again.
    pub fn acknowledge(&self, token: AckToken) {
        self.shared.queues().ack_tokens.push(token);
        self.shared.wake.notify_one();
    }

    /// Replaces the subscriptions to state topics.
    ///
    /// # Errors
    /// When one is not a topic filter; then nothing changes.
    pub fn follow(&self, state_topics: Vec<String>) -> Result<(), BadTopic> {
        let filters = state_topics
            .into_iter()
            .map(Filter::new)
            .collect::<Result<Vec<_>, _>>()?;
        self.shared.queues().new_state_filters = Some(filters);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Drops everything that waits: this node of a pair does not lead any more.
    pub fn clear(&self) {
        for message in self.shared.take_all() {
            message.abandon(Undelivered::Closed);
        }
    }

    /// Waits while many messages wait for a connected broker, so that commands queue in the inbox,
    /// where each source has its share, and not in the outbox.
    pub async fn until_room(&self) {
        loop {
            let mut freed = std::pin::pin!(self.shared.freed.notified());
            freed.as_mut().enable();
            if self.has_room() {
                return;
            }
            freed.await;
        }
    }

    /// Returns whether [`Outbox::until_room`] would not wait.
    pub fn has_room(&self) -> bool {
        !self.shared.is_crowded()
    }

    /// Returns whether the broker is connected and has acknowledged the subscriptions.
    pub fn is_up(&self) -> bool {
        self.shared.queues().is_up
    }

    /// Returns when the poll loop last ran. It runs every few seconds, with or without a broker.
    pub fn last_progress(&self) -> Instant {
        self.shared.queues().last_progress
    }

    /// Returns how many messages wait for the broker, without those in flight.
    pub fn waiting(&self) -> usize {
        let queues = self.shared.queues();
        queues.messages.waiting.len() + queues.rejections.waiting.len()
    }

    /// Refuses further messages, sends those that wait, publishes `offline`, disconnects, and ends
    /// the poll loop. After `grace` the rest is given up, and the last will says `offline`.
    pub async fn close(&self, grace: Duration) {
        let until = now() + grace;
        self.shared.queues().closing.get_or_insert(until);
        self.shared.wake.notify_one();
        let mut ended = self.shared.ended.subscribe();
        let _ = tokio::time::timeout(grace + CLOSE_MARGIN, ended.wait_for(|ended| *ended)).await;
    }
}

/// The side of the poll loop.
impl OutboxState {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock()
    }

    fn is_crowded(&self) -> bool {
        let queues = self.queues();
        queues.is_up && queues.messages.waiting.len() >= self.capacity.min(HIGH_WATER)
    }

    /// Records that the poll loop ran; returns the acknowledgements allowed since.
    pub(super) fn take_ack_tokens(&self, now: Instant) -> Vec<AckToken> {
        let mut queues = self.queues();
        queues.last_progress = now;
        std::mem::take(&mut queues.ack_tokens)
    }

    /// Returns the state filters to subscribe to, if they changed.
    pub(super) fn take_state_filters(&self) -> Option<Vec<Filter>> {
        self.queues().new_state_filters.take()
    }

    /// Records whether the broker is connected.
    pub(super) fn set_up(&self, is_up: bool) {
        self.queues().is_up = is_up;
        self.freed.notify_waiters();
    }

    /// Returns the next message to send; resolves the late ones first.
    pub(super) fn next(&self, now: Instant) -> Option<QueuedMessage> {
        self.resolve_late(now);
        let next = self.queues().pop();
        self.freed.notify_waiters();
        next
    }

    /// Puts messages back to the head of their queue, in this order.
    pub(super) fn put_back(&self, messages: impl DoubleEndedIterator<Item = QueuedMessage>) {
        let mut queues = self.queues();
        for message in messages.rev() {
            queues.earliest_deadline = earlier(queues.earliest_deadline, message.message.deadline);
            queues.queue_of(&message).push_front(message);
        }
    }

    /// Resolves the waiting messages whose deadline has passed.
    pub(super) fn resolve_late(&self, now: Instant) {
        let mut queues = self.queues();
        let suspended = suspended();
        let was_suspended = suspended > queues.suspended;
        queues.suspended = suspended;
        let is_any_late = |deadline| was_suspended || deadline <= now;
        if !queues.earliest_deadline.is_some_and(is_any_late) {
            return;
        }
        let mut late = queues.messages.take_late(now);
        late.extend(queues.rejections.take_late(now));
        let waiting = queues.messages.waiting.iter();
        queues.earliest_deadline = waiting
            .chain(&queues.rejections.waiting)
            .filter_map(|message| message.message.deadline)
            .min();
        let tokens = late.iter_mut().filter_map(|late| late.ack_token.take());
        queues.ack_tokens.extend(tokens);
        drop(queues);
        for message in late {
            message.abandon(Undelivered::Late);
        }
    }

    /// Drops the rejections: their commands come again on the next connection.
    pub(super) fn drop_rejections(&self) {
        self.queues().rejections.take_all();
    }

    /// Returns when the poll loop must run again for the sake of this queue.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let queues = self.queues();
        earlier(queues.earliest_deadline, queues.closing)
    }

    /// Returns when the grace period ends, if the outbox is closing.
    pub(super) fn closing(&self) -> Option<Instant> {
        self.queues().closing
    }

    /// Returns whether no message waits.
    pub(super) fn is_drained(&self) -> bool {
        let queues = self.queues();
        queues.messages.waiting.is_empty() && queues.rejections.waiting.is_empty()
    }

    /// Removes and returns everything that waits.
    fn take_all(&self) -> VecDeque<QueuedMessage> {
        let mut queues = self.queues();
        let mut all = queues.messages.take_all();
        all.extend(queues.rejections.take_all());
        all
    }

    /// Resolves everything that waits: the poll loop has ended.
    pub(super) fn end(&self) {
        {
            let mut queues = self.queues();
            queues.is_up = false;
            queues.closing.get_or_insert_with(now);
        }
        for message in self.take_all() {
            message.abandon(Undelivered::Closed);
        }
        self.freed.notify_waiters();
        self.ended.send_replace(true);
    }
}

impl Queues {
    fn queue_of(&mut self, message: &QueuedMessage) -> &mut MessageQueue {
        if message.ack_token.is_some() {
            &mut self.rejections
        } else {
            &mut self.messages
        }
    }

    fn pop(&mut self) -> Option<QueuedMessage> {
        let is_rejections_turn =
            self.messages.waiting.is_empty() || self.since_rejection >= REJECTION_SHARE;
        if is_rejections_turn && let Some(rejection) = self.rejections.pop_front() {
            self.since_rejection = 0;
            return Some(rejection);
        }
        self.since_rejection += 1;
        self.messages.pop_front()
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &str) -> OutboundMessage {
        OutboundMessage::to("t", payload.as_bytes().to_vec())
    }

    fn outbox_for(n: usize) -> Outbox {
        outbox(NonZeroUsize::new(n).unwrap(), Arc::default())
    }

    #[tokio::test]
    async fn a_full_outbox_accepts_no_more_messages() {
        let outbox = outbox_for(2);
        let _kept = (
            outbox.publish(message("a")).unwrap(),
            outbox.publish(message("b")).unwrap(),
        );
        assert_eq!(outbox.publish(message("c")).unwrap_err(), Full);
    }

    #[tokio::test]
    async fn the_outbox_is_bounded_in_bytes_too() {
        let outbox = outbox_for(1000);
        let large = || OutboundMessage::to("t", vec![b'a'; MAX_BYTES / 4]);
        let kept: Vec<_> = std::iter::from_fn(|| outbox.publish(large()).ok()).collect();
        assert_eq!(kept.len(), 3);
        drop(outbox.shared.next(now()));
        assert!(outbox.publish(large()).is_ok());
        let huge = OutboundMessage::to("t", vec![b'a'; MAX_BYTES + 1]);
        assert!(outbox_for(1).publish(huge).is_ok(), "one always fits");
    }

    #[tokio::test]
    async fn a_flood_of_rejections_does_not_displace_other_messages() {
        let outbox = outbox_for(4);
        let to = ReplyTo {
            topic: "t".to_owned(),
            correlation: None,
        };
        let busy = crate::command::reply::Refusal::Busy {
            retry_after: Duration::from_secs(1),
        };
        let reply = Reply::refused("1".into(), "".into(), &busy);
        let later = now() + Duration::from_mins(1);
        let reject = || {
            outbox.reject(
                &reply,
                &to,
                later,
                AckToken {
                    connection: 1,
                    pkid: 0,
                },
            )
        };
        let accepted = (0..6).filter(|_| reject().is_ok()).count();
        assert_eq!(accepted, 4);
        let _kept = [(); 4].map(|()| outbox.publish(message("done")).unwrap());
        let are_messages: Vec<_> = std::iter::from_fn(|| outbox.shared.next(now()))
            .map(|next| next.ack_token.is_none())
            .collect();
        assert_eq!(
            are_messages,
            [true, true, true, true, false, false, false, false]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_waits_for_room_only_while_the_broker_is_connected() {
        let outbox = outbox_for(4);
        let waits = || async {
            tokio::time::timeout(Duration::from_secs(1), outbox.until_room())
                .await
                .is_err()
        };
        let _kept = [(); 4].map(|()| outbox.publish(message("a")).unwrap());
        assert!(!waits().await, "nothing moves without a broker");
        outbox.shared.set_up(true);
        assert!(waits().await);
        tokio::join!(outbox.until_room(), async {
            outbox.shared.next(now()).map(drop)
        });
        assert!(!waits().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_past_its_deadline_is_late_and_makes_room() {
        let outbox = outbox_for(2);
        let soon = now() + Duration::from_secs(5);
        let late = outbox.publish(message("a").until(soon)).unwrap();
        let _kept = outbox.publish(message("b")).unwrap();
        tokio::time::advance(Duration::from_secs(5)).await;
        let next = outbox.shared.next(now()).unwrap();
        assert_eq!(&next.message.payload[..], b"b");
        assert_eq!(late.await, Err(Undelivered::Late));
        assert_eq!(outbox.shared.next_deadline(), None);
    }

    #[tokio::test]
    async fn the_time_of_a_message_runs_out_while_the_machine_is_suspended() {
        crate::clock::simulate_suspend(Duration::from_mins(5));
        let outbox = outbox_for(2);
        let soon = now() + Duration::from_mins(1);
        let late = outbox.publish(message("a").until(soon)).unwrap();
        crate::clock::simulate_suspend(Duration::from_mins(65));
        let fresh = now() + Duration::from_mins(1);
        let _fresh = outbox.publish(message("b").until(fresh)).unwrap();
        let next = outbox.shared.next(now()).unwrap();
        assert_eq!(&next.message.payload[..], b"b");
        assert_eq!(late.await, Err(Undelivered::Late));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_left_before_its_deadline_passed_is_uncertain() {
        let outbox = outbox_for(2);
        let deadline = now() + Duration::from_secs(5);
        let sent = outbox.publish(message("a").until(deadline)).unwrap();
        let mut message = outbox.shared.next(now()).unwrap();
        message.left_before = true;
        outbox.shared.put_back([message].into_iter());
        tokio::time::advance(Duration::from_secs(6)).await;
        outbox.shared.resolve_late(now());
        assert_eq!(sent.await, Err(Undelivered::Uncertain));
    }

    #[tokio::test]
    async fn a_message_to_no_topic_is_refused_at_once() {
        let bad = OutboundMessage::to("a/+", "a");
        assert!(matches!(
            outbox_for(1).publish(bad).unwrap().await,
            Err(Undelivered::Refused { .. })
        ));
    }

    #[tokio::test]
    async fn after_the_end_nothing_waits_for_ever() {
        let outbox = outbox_for(2);
        let waiting = outbox.publish(message("a")).unwrap();
        outbox.shared.end();
        assert_eq!(waiting.await, Err(Undelivered::Closed));
        assert_eq!(
            outbox.publish(message("b")).unwrap().await,
            Err(Undelivered::Closed)
        );
        outbox.close(Duration::from_secs(1)).await;
    }
}
