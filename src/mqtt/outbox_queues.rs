//! The two queues of the outbox, of messages and of rejections, with their limits in count and
//! bytes.
//!
//! They wake nobody and have no lock; `outbox_state` has both.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::clock::suspended;
use crate::delivery::Undelivered;
use crate::mqtt::inbox::AckToken;
use crate::mqtt::outbound_message::OutboundMessage;
use crate::vocabulary::topic::Filter;

/// The most bytes that may wait in each of the two queues. A single message always fits an empty
/// queue.
pub(super) const MAX_BYTES: usize = 4 << 20;

/// While both queues have messages, one rejection leaves after this many other messages.
const REJECTION_SHARE: usize = 4;

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
    pub(super) fn abandon(self, otherwise: Undelivered) {
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

#[derive(Debug)]
pub(super) struct Queues {
    pub(super) messages: MessageQueue,
    /// Replies to commands that were rejected, apart from the rest: in a flood they outnumber all
    /// other messages.
    pub(super) rejections: MessageQueue,
    /// Messages that left since the last rejection did.
    pub(super) since_rejection: usize,
    /// A lower bound of the deadlines of all waiting messages.
    pub(super) earliest_deadline: Option<Instant>,
    /// Total time for which the machine had been suspended when the deadlines were last checked.
    pub(super) suspended: Duration,
    pub(super) ack_tokens: Vec<AckToken>,
    pub(super) new_state_filters: Option<Vec<Filter>>,
    pub(super) is_up: bool,
    pub(super) last_progress: Instant,
    pub(super) closing: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct MessageQueue {
    pub(super) waiting: VecDeque<QueuedMessage>,
    pub(super) bytes: usize,
}

impl MessageQueue {
    pub(super) fn has_room(&self, message: &OutboundMessage, capacity: usize) -> bool {
        let fits_bytes = self.waiting.is_empty() || self.bytes + message.bytes() <= MAX_BYTES;
        fits_bytes && self.waiting.len() < capacity
    }

    pub(super) fn push_back(&mut self, message: QueuedMessage) {
        self.bytes += message.message.bytes();
        self.waiting.push_back(message);
    }

    pub(super) fn push_front(&mut self, message: QueuedMessage) {
        self.bytes += message.message.bytes();
        self.waiting.push_front(message);
    }

    fn pop_front(&mut self) -> Option<QueuedMessage> {
        let message = self.waiting.pop_front()?;
        self.bytes -= message.message.bytes();
        Some(message)
    }

    /// Removes and returns the messages whose deadline has passed.
    pub(super) fn take_late(&mut self, now: Instant) -> Vec<QueuedMessage> {
        let (late, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<VecDeque<_>, _>(|message| message.is_late(now));
        self.waiting = waiting;
        self.bytes -= late.iter().map(|late| late.message.bytes()).sum::<usize>();
        late.into()
    }

    pub(super) fn take_all(&mut self) -> VecDeque<QueuedMessage> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting)
    }
}

impl Queues {
    pub(super) fn queue_of(&mut self, message: &QueuedMessage) -> &mut MessageQueue {
        if message.ack_token.is_some() {
            &mut self.rejections
        } else {
            &mut self.messages
        }
    }

    pub(super) fn pop(&mut self) -> Option<QueuedMessage> {
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

pub(super) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}
