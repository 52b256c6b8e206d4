//! The outgoing queue: publications, replies and acknowledgements.
//!
//! Callers never wait for the broker; each message is kept until the broker has acknowledged it,
//! over as many connections as that takes. The poll loop takes messages out through `OutboxState`.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};

use crate::clock::{now, suspended};
use crate::command::ReplyTo;
use crate::command::reply::Reply;
use crate::delivery::{Delivery, Undelivered};
use crate::mqtt::inbox::AckToken;
use crate::mqtt::outbound_message::OutboundMessage;
use crate::mqtt::outbox_queues::{MessageQueue, QueuedMessage, Queues, earlier};
use crate::mqtt::outbox_state::OutboxState;
use crate::pair::CommandIdentity;
use crate::telemetry::counters::Counters;
use crate::vocabulary::topic::{BadTopic, Filter};
use crate::wire::DeviceTopics;

/// The pause before a reply is put again into an outbox that is full.
const REPLY_RETRY: Duration = Duration::from_millis(50);

/// Time for which [`Outbox::close`] waits for the end of the connection, beyond the grace period.
const CLOSE_MARGIN: Duration = Duration::from_millis(500);

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::outbox_queues::MAX_BYTES;

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
        assert_eq!(&next.message.payload()[..], b"b");
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
        assert_eq!(&next.message.payload()[..], b"b");
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
