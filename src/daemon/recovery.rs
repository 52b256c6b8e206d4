//! The commands and replies that an earlier run of the program left unfinished.

use std::sync::Arc;

use tracing::info;

use crate::clock::now;
use crate::command::ReplyTo;
use crate::command::reply::Reply;
use crate::daemon::event_loop::EventLoop;
use crate::daemon::in_flight::dead_letter;
use crate::store::journal::{MAX_CRASHES, Recovered, Unfinished};
use crate::wire::{self, Inbound, RejectedPayload};

impl EventLoop {
    /// Finishes the work of the earlier run: sends its replies, and processes its commands.
    pub(super) fn recover(&mut self, recovered: Recovered) {
        if self.pair.is_some() {
            return self.recall(recovered);
        }
        self.finish_recovered(recovered);
    }

    /// Sends the replies of an earlier run, and processes its commands.
    pub(super) fn finish_recovered(&mut self, recovered: Recovered) {
        self.task.pipeline.restore_device_order(recovered.commanded);
        for unsent in recovered.unsent {
            let reply_to = ReplyTo {
                topic: unsent.received.response_topic.unwrap_or_default(),
                correlation: unsent.received.correlation,
            };
            let task = self.task.clone();
            self.start(async move {
                let payload = unsent.reply.to_json();
                task.send_reply(Some(unsent.seq), payload, &reply_to).await;
            });
        }
        // Others may wait for a model meanwhile. The order of each device is that of the planned
        // commands, whoever is first.
        let (planned, others): (Vec<_>, Vec<_>) = recovered
            .unfinished
            .into_iter()
            .partition(|unfinished| unfinished.sending.is_some());
        for unfinished in planned.into_iter().chain(others) {
            self.retake(unfinished);
        }
    }

    /// Processes a command that has no reply yet.
    fn retake(&mut self, unfinished: Unfinished) {
        let Unfinished {
            seq,
            received,
            left,
            sending: planned,
            crashes,
        } = unfinished;
        let inbound = Inbound {
            topic: &received.topic,
            payload: &received.payload,
            response_topic: received.response_topic.as_deref(),
            correlation: received.correlation.as_deref(),
            // The journal does not keep it: after a restart a loop may go round a few times more.
            hops: 0,
            expiry: None,
            heard_at: now(),
            wall_clock: None,
        };
        let task = self.task.clone();
        let mut command = match wire::decode(&inbound, &self.config.mqtt.rules()) {
            Ok(command) => command,
            // It was decoded when it was received: the rules have changed since.
            Err(rejected) => {
                let RejectedPayload {
                    refusal,
                    reply_to,
                    id,
                    text,
                } = *rejected;
                let reply = Reply::refused(id, text, &refusal);
                let payload = task.journal.record_reply(seq, &reply);
                self.start(async move { task.send_reply(Some(seq), payload, &reply_to).await });
                return;
            }
        };
        command.deadline = command.received_at + left;
        command.seq = seq.number();
        info!(
            command_id = command.id.as_str(),
            source = %command.source,
            crashes,
            "taking up a command from before the restart"
        );
        if crashes >= MAX_CRASHES {
            let letter = dead_letter(&self.config.mqtt.prefix, &command, &received.payload);
            self.start(task.give_up(command, seq, letter));
            return;
        }
        let journal = Arc::clone(&task.journal);
        match planned {
            Some(planned) => {
                self.start(journal.attribute(seq, task.resume(command, seq, planned)));
            }
            None => self.start(journal.attribute(seq, task.answer_again(command, seq))),
        }
    }
}
