//! Fires the timers that are due, publishes their events, and the list of those that wait.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::clock::ClockSteps;
use crate::delivery::Undelivered;
use crate::mqtt::outbound_message::OutboundMessage;
use crate::mqtt::outbox::Outbox;
use crate::pipeline::{Pipeline, TimerEvent};

/// The largest list of timers that is published.
const MAX_LIST_BYTES: usize = 256 << 10;

/// The pause before a message for which there was no room is tried again.
const NO_ROOM: std::time::Duration = std::time::Duration::from_millis(200);

/// The task that waits for timers.
pub(super) struct TimerTask {
    /// The newest pipeline.
    pub(super) pipeline: watch::Receiver<Arc<Pipeline>>,
    pub(super) outbox: Outbox,
    /// The topic of the list of timers.
    pub(super) topic: String,
}

impl TimerTask {
    /// Runs until it is dropped.
    pub(super) async fn run(mut self) {
        let mut firing = JoinSet::new();
        let mut published = String::new();
        let steps = ClockSteps::new();
        if let Err(error) = &steps {
            debug!(%error, "the kernel does not report changes of the wall clock: it is read from time to time");
        }
        let steps = steps.ok();
        let mut is_written = true;
        loop {
            let pipeline = Arc::clone(&self.pipeline.borrow_and_update());
            tokio::select! {
                () = pipeline.until_due(steps.as_ref()) => {}
                Some(_) = firing.join_next() => {}
                changed = self.pipeline.changed() => if changed.is_err() { return },
                // Behind the write of a disk that hangs.
                () = pipeline.write_timers(), if !is_written => {}
                () = pipeline.until_write_is_repeated() => {}
            }
            is_written = pipeline.write_due_timers().await;
            for (timer, late) in pipeline.take_due() {
                let (pipeline, outbox) = (Arc::clone(&pipeline), self.outbox.clone());
                firing.spawn(async move {
                    let Some(event) = pipeline.fire(timer, late).await else {
                        return;
                    };
                    if deliver(&pipeline, &outbox, &event).await {
                        pipeline.note_delivered(&event);
                        pipeline.forget_timer(event.id).await;
                    }
                });
            }
            self.publish_list(&pipeline, &mut published);
        }
    }

    /// Publishes the list of timers, retained, if it has changed.
    fn publish_list(&self, pipeline: &Pipeline, published: &mut String) {
        let list = pipeline.timers_document().to_string();
        // The first list is published also where it is empty: after a crash the broker may keep
        // another one.
        if list == *published || list.len() > MAX_LIST_BYTES {
            return;
        }
        let message = OutboundMessage::to(self.topic.clone(), list.clone()).retained();
        // Without room the next change publishes the list.
        if self.outbox.publish(message).is_ok() {
            *published = list;
        }
    }
}

/// Publishes an event, and waits until the broker has it. Returns false where the connection is
/// closed: the next run of the program repeats the event, or in a pair the next leader.
async fn deliver(pipeline: &Pipeline, outbox: &Outbox, event: &TimerEvent) -> bool {
    let topic = format!("{}/event", event.reply_to.topic);
    loop {
        // A message that is left by a standby is published when it leads again, long after.
        if !pipeline.fires_timers() {
            return false;
        }
        let message = OutboundMessage::to(topic.clone(), event.payload.to_string())
            .with_correlation(event.reply_to.correlation.clone());
        let Ok(delivery) = outbox.publish(message) else {
            tokio::time::sleep(NO_ROOM).await;
            continue;
        };
        return match delivery.await {
            Ok(()) => true,
            Err(Undelivered::Refused { why }) => {
                warn!(topic, why, "the broker refuses an event");
                true
            }
            Err(_) => false,
        };
    }
}
