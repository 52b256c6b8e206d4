//! What goes out: publications, replies and acknowledgements. Nothing here waits for the broker; each message is kept until
//! the broker has acknowledged it, over as many connections as that takes.

use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Polling, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot, watch};

use crate::clock::now;
use crate::command::ReplyTo;
use crate::command::reply::Reply;
use crate::telemetry::counters::Counters;

use crate::mqtt::inbox::AckToken;
use crate::vocabulary::topic::{BadTopic, Filter, Topic};
use crate::wire;

/// The longest correlation data, in bytes: its length travels in two bytes (MQTT 5, section 1.5.6).
const LONGEST_CORRELATION: usize = 65_535;

/// How much longer than the grace period [`Outbox::close`] waits for the connection to say that it ended.
const LAST_WORD: Duration = Duration::from_millis(500);

/// So many messages that wait keep the broker busy; whoever would add to them can wait as well.
const PLENTY: usize = 128;

/// One answer to what was turned away leaves after so many other messages, where both wait.
const TURN: usize = 4;

/// One message to the broker, sent with `QoS` 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundMessage {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// The MQTT 5 correlation data of the question this answers.
    pub correlation: Option<Vec<u8>>,
    /// True: the broker keeps it for those who come later.
    pub retain: bool,
    /// Not sent after this; the broker is told to drop it then as well, in whole seconds, 1 s at least.
    pub deadline: Option<Instant>,
    /// What it decides, such as one property of one device. Of messages on the same subject that were on their way when the
    /// connection broke, only the last is sent again: the receiver may have heard them all, and must not hear an old one after it.
    pub subject: Option<Box<str>>,
    /// True where hearing it twice does no harm: it is sent again when the connection broke before the broker acknowledged it.
    pub repeatable: bool,
    /// How often what it follows from has gone through sayso, this time included; 0 where it is no action.
    pub hops: u8,
}

/// There is no room for one more message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many messages wait for the broker")]
pub struct Full;

/// Why a message did not reach the broker, or may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// Its deadline passed before it left. It was not sent.
    #[error("its time ran out before the broker was there")]
    Late,
    /// It left, and the connection broke before the broker acknowledged it. It may have arrived.
    #[error("the connection broke while it was on its way")]
    Uncertain,
    /// It left, the connection broke, and a newer message on its subject was sent again in its place.
    #[error("a newer message took its place")]
    Superseded,
    /// The broker said no, or it cannot be sent at all.
    #[error("the broker does not take it: {why}")]
    Refused {
        /// What the broker said.
        why: String,
    },
    /// sayso stopped before it was sent.
    #[error("sayso stopped before it was sent")]
    Closed,
}

/// Resolves when the broker has acknowledged the message, or it is clear that it will not. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "without it nobody knows whether the message arrived"]
pub struct Delivery(oneshot::Receiver<Result<(), Undelivered>>);

impl Future for Delivery {
    type Output = Result<(), Undelivered>;

    fn poll(mut self: Pin<&mut Self>, polling: &mut Polling<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(polling)
            .map(|told| told.unwrap_or(Err(Undelivered::Closed)))
    }
}

/// The way out, shared by whoever has something to say.
#[derive(Clone)]
pub struct Outbox {
    pub(super) shared: Arc<Shared>,
    pub(super) counters: Arc<Counters>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("is_up", &self.is_up())
            .finish_non_exhaustive()
    }
}

/// A message and who waits for its fate.
#[derive(Debug)]
pub(super) struct QueuedMessage {
    pub(super) message: OutboundMessage,
    /// True once it left on a connection that broke: then it may have arrived.
    pub(super) left: bool,
    /// `None` for `online` and `offline`, which belong to one connection.
    pub(super) waits: Option<oneshot::Sender<Result<(), Undelivered>>>,
    /// The command it is the answer to, where that is acknowledged once this is delivered.
    pub(super) receipt: Option<AckToken>,
}

impl QueuedMessage {
    /// Tells the one who waits, where somebody does.
    pub(super) fn resolve(self, fate: Result<(), Undelivered>) {
        if let Some(waits) = self.waits {
            let _ = waits.send(fate);
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.message
            .deadline
            .is_some_and(|deadline| deadline <= now)
    }
}

/// What the outbox and the connection share.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    pub(super) wake: Notify,
    /// A message left the line, or the connection went: there may be room.
    freed: Notify,
    pub(super) ended: watch::Sender<bool>,
    capacity: usize,
}

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<QueuedMessage>,
    /// Answers to what was turned away, in a line of their own: in a flood there are more of them than of anything else.
    turned_away: VecDeque<QueuedMessage>,
    /// How many others left since the last of them.
    passed: usize,
    /// No deadline of what waits is before this.
    soonest: Option<Instant>,
    receipts: Vec<AckToken>,
    follow: Option<Vec<Filter>>,
    up: bool,
    progress: Instant,
    closing: Option<Instant>,
}

pub(super) fn outbox(capacity: NonZeroUsize, counters: Arc<Counters>) -> Outbox {
    let queue = Queue {
        waiting: VecDeque::new(),
        turned_away: VecDeque::new(),
        passed: 0,
        soonest: None,
        receipts: Vec::new(),
        follow: None,
        up: false,
        progress: now(),
        closing: None,
    };
    let shared = Shared {
        queue: Mutex::new(queue),
        wake: Notify::new(),
        freed: Notify::new(),
        ended: watch::Sender::new(false),
        capacity: capacity.get(),
    };
    Outbox {
        shared: Arc::new(shared),
        counters,
    }
}

impl Outbox {
    /// Puts a message in line for the broker. Messages leave in the order of these calls.
    ///
    /// # Errors
    /// When too many wait already.
    pub fn publish(&self, message: OutboundMessage) -> Result<Delivery, Full> {
        self.put(message, None).map_err(|_| Full)
    }

    /// Puts the answer in line to a command that goes no further, and acknowledges that once the broker has the answer.
    /// Gives the receipt back where there is no room.
    pub(super) fn turn_away(
        &self,
        reply: &Reply,
        to: &ReplyTo,
        deadline: Instant,
        receipt: AckToken,
    ) -> Result<(), AckToken> {
        let message = answer(reply, to, Some(deadline));
        let queued = self.put(message, Some(receipt));
        if queued.is_ok() {
            self.counters.replies_sent.increment();
        }
        // Without a receipt there is none to give back, and here there was one.
        queued
            .map(drop)
            .map_err(|receipt| receipt.unwrap_or(AckToken { epoch: 0, pkid: 0 }))
    }

    fn put(
        &self,
        message: OutboundMessage,
        receipt: Option<AckToken>,
    ) -> Result<Delivery, Option<AckToken>> {
        let (tell, told) = oneshot::channel();
        let fault = unsendable(&message);
        let mut parcel = QueuedMessage {
            message,
            left: false,
            waits: Some(tell),
            receipt,
        };
        let mut queue = self.shared.queue();
        if let Some(why) = fault {
            queue.receipts.extend(parcel.receipt.take());
            parcel.resolve(Err(Undelivered::Refused { why }));
        } else if queue.closing.is_some() {
            parcel.resolve(Err(Undelivered::Closed));
        } else if queue.line(&parcel).len() >= self.shared.capacity {
            return Err(parcel.receipt.take());
        } else {
            queue.soonest = earlier(queue.soonest, parcel.message.deadline);
            queue.line(&parcel).push_back(parcel);
            drop(queue);
            self.shared.wake.notify_one();
        }
        Ok(Delivery(told))
    }

    /// Puts a reply in line. It may be heard twice, which its id makes plain.
    ///
    /// # Errors
    /// When too many messages wait already.
    pub fn reply(
        &self,
        reply: &Reply,
        to: &ReplyTo,
        deadline: Option<Instant>,
    ) -> Result<Delivery, Full> {
        let delivery = self.publish(answer(reply, to, deadline))?;
        self.counters.replies_sent.increment();
        Ok(delivery)
    }

    /// Tells the broker that a command cannot be lost any more. It hears so once everything received earlier is acknowledged
    /// as well; a receipt of an earlier connection is dropped, for the broker sends that command again.
    pub fn acknowledge(&self, receipt: AckToken) {
        self.shared.queue().receipts.push(receipt);
        self.shared.wake.notify_one();
    }

    /// Follows these state topics from now on, and no others.
    ///
    /// # Errors
    /// When one is no filter; then nothing changes.
    pub fn follow(&self, state_topics: Vec<String>) -> Result<(), BadTopic> {
        let filters = state_topics
            .into_iter()
            .map(Filter::new)
            .collect::<Result<Vec<_>, _>>()?;
        self.shared.queue().follow = Some(filters);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Waits while plenty waits for a broker that is there: whoever takes in more then makes everybody wait here, instead of
    /// where each source has its share.
    pub async fn until_room(&self) {
        loop {
            let mut freed = std::pin::pin!(self.shared.freed.notified());
            freed.as_mut().enable();
            if !self.shared.is_crowded() {
                return;
            }
            freed.await;
        }
    }

    /// True while the broker is there and the subscriptions stand.
    pub fn is_up(&self) -> bool {
        self.shared.queue().up
    }

    /// When the poll loop last turned. It turns every few seconds, broker or not: an old moment is a loop that hangs.
    pub fn last_progress(&self) -> Instant {
        self.shared.queue().progress
    }

    /// How many messages wait for the broker, those on their way not counted.
    pub fn waiting(&self) -> usize {
        let queue = self.shared.queue();
        queue.waiting.len() + queue.turned_away.len()
    }

    /// Takes no more messages, sends what waits, says `offline` by hand, disconnects, and ends the connection; after `grace`
    /// whatever is left is given up, and the last will says `offline`.
    pub async fn close(&self, grace: Duration) {
        let until = now() + grace;
        self.shared.queue().closing.get_or_insert(until);
        self.shared.wake.notify_one();
        let mut ended = self.shared.ended.subscribe();
        let _ = tokio::time::timeout(grace + LAST_WORD, ended.wait_for(|ended| *ended)).await;
    }
}

/// The connection's side.
impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    fn is_crowded(&self) -> bool {
        let queue = self.queue();
        queue.up && queue.waiting.len() >= self.capacity.min(PLENTY)
    }

    /// The loop turned. Gives the receipts handed in since.
    pub(super) fn turned(&self, now: Instant) -> Vec<AckToken> {
        let mut queue = self.queue();
        queue.progress = now;
        std::mem::take(&mut queue.receipts)
    }

    /// The state topics to follow, where they changed.
    pub(super) fn follow(&self) -> Option<Vec<Filter>> {
        self.queue().follow.take()
    }

    /// The connection came or went.
    pub(super) fn set_up(&self, up: bool) {
        self.queue().up = up;
        self.freed.notify_waiters();
    }

    /// The next message to send. Those whose time ran out are resolved on the way.
    pub(super) fn next(&self, now: Instant) -> Option<QueuedMessage> {
        self.sweep(now);
        let next = self.queue().pop();
        self.freed.notify_waiters();
        next
    }

    /// Puts messages back to the head of the line, in this order.
    pub(super) fn put_back(&self, parcels: impl DoubleEndedIterator<Item = QueuedMessage>) {
        let mut queue = self.queue();
        for parcel in parcels.rev() {
            queue.soonest = earlier(queue.soonest, parcel.message.deadline);
            queue.waiting.push_front(parcel);
        }
    }

    /// Resolves the messages in line whose time ran out.
    pub(super) fn sweep(&self, now: Instant) {
        let mut queue = self.queue();
        if queue.soonest.is_none_or(|soonest| soonest > now) {
            return;
        }
        let split = |line: &mut VecDeque<QueuedMessage>| -> (VecDeque<_>, VecDeque<_>) {
            std::mem::take(line)
                .into_iter()
                .partition(|parcel| parcel.is_over(now))
        };
        let (mut over, waiting) = split(&mut queue.waiting);
        let (turned_away_over, turned_away) = split(&mut queue.turned_away);
        over.extend(turned_away_over);
        (queue.waiting, queue.turned_away) = (waiting, turned_away);
        queue.soonest = queue
            .waiting
            .iter()
            .chain(&queue.turned_away)
            .filter_map(|parcel| parcel.message.deadline)
            .min();
        queue
            .receipts
            .extend(over.iter_mut().filter_map(|parcel| parcel.receipt.take()));
        drop(queue);
        for parcel in over {
            let fate = if parcel.left {
                Undelivered::Uncertain
            } else {
                Undelivered::Late
            };
            parcel.resolve(Err(fate));
        }
    }

    /// The connection is gone, and with it the right to acknowledge what came by it.
    pub(super) fn forget_receipts(&self) {
        self.queue().turned_away.clear();
    }

    /// When something here wants to be looked at again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let queue = self.queue();
        earlier(queue.soonest, queue.closing)
    }

    /// Where the outbox is closing: when the grace ends.
    pub(super) fn closing(&self) -> Option<Instant> {
        self.queue().closing
    }

    /// True where nothing is in line.
    pub(super) fn is_drained(&self) -> bool {
        let queue = self.queue();
        queue.waiting.is_empty() && queue.turned_away.is_empty()
    }

    /// The connection ended for good: whoever waits is told.
    pub(super) fn end(&self) {
        let left = {
            let mut queue = self.queue();
            queue.up = false;
            queue.closing.get_or_insert_with(now);
            let turned_away = std::mem::take(&mut queue.turned_away);
            std::mem::take(&mut queue.waiting)
                .into_iter()
                .chain(turned_away)
        };
        for parcel in left {
            let fate = if parcel.left {
                Undelivered::Uncertain
            } else {
                Undelivered::Closed
            };
            parcel.resolve(Err(fate));
        }
        self.freed.notify_waiters();
        self.ended.send_replace(true);
    }
}

impl Queue {
    /// The line a message belongs to.
    fn line(&mut self, parcel: &QueuedMessage) -> &mut VecDeque<QueuedMessage> {
        if parcel.receipt.is_some() {
            &mut self.turned_away
        } else {
            &mut self.waiting
        }
    }

    fn pop(&mut self) -> Option<QueuedMessage> {
        let is_turn = self.waiting.is_empty() || self.passed >= TURN;
        let turned_away = if is_turn {
            self.turned_away.pop_front()
        } else {
            None
        };
        self.passed = if turned_away.is_some() {
            0
        } else {
            self.passed + 1
        };
        turned_away.or_else(|| self.waiting.pop_front())
    }
}

fn answer(reply: &Reply, to: &ReplyTo, deadline: Option<Instant>) -> OutboundMessage {
    let (topic, correlation) = (to.topic.clone(), to.correlation.clone());
    OutboundMessage {
        topic,
        payload: wire::encode(reply).into(),
        correlation,
        retain: false,
        subject: None,
        deadline,
        repeatable: true,
        hops: 0,
    }
}

fn unsendable(message: &OutboundMessage) -> Option<String> {
    let correlation = message.correlation.as_ref().map_or(0, Vec::len);
    let long = (correlation > LONGEST_CORRELATION)
        .then(|| "its correlation data is longer than 65535 bytes".to_owned());
    Topic::new(message.topic.as_str())
        .err()
        .map(|error| error.to_string())
        .or(long)
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &str, deadline: Option<Instant>) -> OutboundMessage {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        OutboundMessage {
            topic: "t".to_owned(),
            payload,
            correlation: None,
            retain: false,
            subject: None,
            deadline,
            repeatable: true,
            hops: 0,
        }
    }

    fn room_for(n: usize) -> Outbox {
        outbox(NonZeroUsize::new(n).unwrap(), Arc::default())
    }

    #[tokio::test]
    async fn one_message_too_many_is_turned_away() {
        let outbox = room_for(2);
        let _kept = (
            outbox.publish(message("a", None)).unwrap(),
            outbox.publish(message("b", None)).unwrap(),
        );
        assert_eq!(outbox.publish(message("c", None)).unwrap_err(), Full);
    }

    #[tokio::test]
    async fn a_flood_that_is_turned_away_leaves_room_for_what_is_done() {
        let outbox = room_for(4);
        let to = ReplyTo {
            topic: "t".to_owned(),
            correlation: None,
        };
        let reply = Reply::refused(
            "1".into(),
            String::new(),
            &crate::command::reply::Refusal::Busy {
                retry_after: Duration::from_secs(1),
            },
        );
        let later = now() + Duration::from_mins(1);
        let turned_away = (0..6)
            .filter(|_| {
                outbox
                    .turn_away(&reply, &to, later, AckToken { epoch: 1, pkid: 0 })
                    .is_ok()
            })
            .count();
        assert_eq!(turned_away, 4);
        let _kept = [(); 4].map(|()| outbox.publish(message("done", None)).unwrap());
        let left =
            std::iter::from_fn(|| outbox.shared.next(now())).map(|parcel| parcel.receipt.is_none());
        assert_eq!(
            left.collect::<Vec<_>>(),
            [true, true, true, true, false, false, false, false]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_room_goes_on_when_there_is_some_or_no_broker() {
        let outbox = room_for(4);
        let waits = || async {
            tokio::time::timeout(Duration::from_secs(1), outbox.until_room())
                .await
                .is_err()
        };
        let _kept = [(); 4].map(|()| outbox.publish(message("a", None)).unwrap());
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
        let outbox = room_for(2);
        let soon = now() + Duration::from_secs(5);
        let late = outbox.publish(message("a", Some(soon))).unwrap();
        let _kept = outbox.publish(message("b", None)).unwrap();
        tokio::time::advance(Duration::from_secs(5)).await;
        let next = outbox.shared.next(now()).unwrap();
        assert_eq!(&next.message.payload[..], b"b");
        assert_eq!(late.await, Err(Undelivered::Late));
        assert_eq!(outbox.shared.next_look(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_left_and_ran_out_of_time_is_uncertain() {
        let outbox = room_for(2);
        let sent = outbox
            .publish(message("a", Some(now() + Duration::from_secs(5))))
            .unwrap();
        let mut parcel = outbox.shared.next(now()).unwrap();
        parcel.left = true;
        outbox.shared.put_back([parcel].into_iter());
        tokio::time::advance(Duration::from_secs(6)).await;
        outbox.shared.sweep(now());
        assert_eq!(sent.await, Err(Undelivered::Uncertain));
    }

    #[tokio::test]
    async fn what_is_no_topic_is_refused_at_once() {
        let bad = OutboundMessage {
            topic: "a/+".to_owned(),
            ..message("a", None)
        };
        assert!(matches!(
            room_for(1).publish(bad).unwrap().await,
            Err(Undelivered::Refused { .. })
        ));
    }

    #[tokio::test]
    async fn after_the_end_nothing_waits_for_ever() {
        let outbox = room_for(2);
        let waiting = outbox.publish(message("a", None)).unwrap();
        outbox.shared.end();
        assert_eq!(waiting.await, Err(Undelivered::Closed));
        assert_eq!(
            outbox.publish(message("b", None)).unwrap().await,
            Err(Undelivered::Closed)
        );
        outbox.close(Duration::from_secs(1)).await;
    }
}
