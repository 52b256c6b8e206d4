//! The state that the outbox shares with the poll loop, and the side of the poll loop.
//!
//! The poll loop takes messages out, puts back those that a broken connection left unacknowledged,
//! and resolves those whose deadline has passed. It does not know the packets.

use std::collections::VecDeque;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use crate::clock::{now, suspended};
use crate::delivery::Undelivered;
use crate::mqtt::inbox::AckToken;
use crate::mqtt::outbox_queues::{QueuedMessage, Queues, earlier};
use crate::vocabulary::topic::Filter;

/// So many waiting messages keep the broker busy; `Outbox::until_room` waits above this.
const HIGH_WATER: usize = 128;

/// State shared by the outbox and the poll loop.
#[derive(Debug)]
pub(super) struct OutboxState {
    pub(super) queues: Mutex<Queues>,
    /// Wakes the poll loop.
    pub(super) wake: Notify,
    /// Wakes tasks that wait for room: a message left the queue, or the connection is down.
    pub(super) freed: Notify,
    pub(super) ended: watch::Sender<bool>,
    pub(super) capacity: usize,
}

/// The side of the poll loop.
impl OutboxState {
    pub(super) fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock()
    }

    pub(super) fn is_crowded(&self) -> bool {
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
    pub(super) fn take_all(&self) -> VecDeque<QueuedMessage> {
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
