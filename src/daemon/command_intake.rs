//! The way of a command into the daemon: taken from the inbox when there is room, recorded in the
//! journal, begun, or answered from the journal.
//!
//! It does not know what a command means. A received command enters; a task that processes it is
//! spawned, and the packet is acknowledged when that is allowed.

use std::future::Future;

use bytes::Bytes;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::clock::now;
use crate::command::reply::Reply;
use crate::command::{Command, Redelivery, ReplyTo};
use crate::daemon::event_loop::EventLoop;
use crate::mqtt::inbox::{InboundCommand, Inbox, Incoming};
use crate::mqtt::outbox::Outbox;
use crate::store::journal::{JournalEntry, Received, Seq};
use crate::systemd::Notify;

/// The most commands in progress. Of these only a bounded part may wait for models; past it the
/// inbox fills and answers `busy`.
const MAX_COMMANDS: usize = 2048;

/// The most messages that are taken in before the loop looks at its other events.
const MAX_TAKEN: usize = 32;

impl EventLoop {
    /// Returns whether the next message may be taken from the inbox.
    ///
    /// While commands are held back for the home, the inbox is always read: the message that ends
    /// the wait is in it, and recovered commands may already use up the journal's room.
    pub(super) fn has_room(&self) -> bool {
        self.held.is_some() || (self.commands.len() < MAX_COMMANDS && self.task.journal.has_room())
    }

    /// Returns whether the next message may be a command. Held commands take memory: where they, or
    /// recovered ones, use up the journal's room, further ones wait in the inbox, which is bounded.
    pub(super) fn takes_commands(&self) -> bool {
        self.held.is_none() || self.pair.is_some() || self.task.journal.has_room()
    }

    /// Takes in the messages that arrived with the last one, so that the loop does not look at all
    /// of its other events for each of them.
    pub(super) fn take_waiting(&mut self, outbox: &Outbox, inbox: &mut Inbox, notify: &Notify) {
        for _ in 0..MAX_TAKEN {
            // The events of a pair come between two messages.
            let may_take = self.pair.is_none() && self.has_room() && self.takes_commands();
            if !may_take || !outbox.has_room() {
                return;
            }
            let Some(incoming) = inbox.take_waiting() else {
                return;
            };
            self.take(incoming, notify);
        }
    }

    /// Takes in one message from the broker connection.
    pub(super) fn take(&mut self, incoming: Incoming, notify: &Notify) {
        match incoming {
            Incoming::Command(command) if self.pair.is_some() => self.receive_as_leader(command),
            Incoming::Command(command) => self.receive(*command),
            Incoming::Refused(refused) => self.receive_refused(refused),
            Incoming::Control {
                topic,
                payload,
                correlation,
            } => self.answer_admin(topic, payload, correlation),
            Incoming::State { topic, payload, .. } if self.homes.is_announcement(&topic) => {
                self.homes.announce(topic, payload, &self.task.pipeline);
            }
            Incoming::State {
                topic,
                payload,
                is_retained: true,
            } => self.task.pipeline.observe_retained(&topic, &payload),
            Incoming::State { topic, payload, .. } => self.task.pipeline.observe(&topic, &payload),
            Incoming::Up {
                session_present,
                connection,
            } => self.connected(session_present, connection, notify),
            Incoming::Down { why } => {
                warn!(
                    why,
                    broker = self.broker,
                    "the broker is offline, trying again"
                );
                self.status.broker_error = Some(why);
                self.task.pipeline.forget_rule_states();
                if self.pair.is_none() {
                    self.held.get_or_insert_default();
                }
                notify.status(&self.status_line());
            }
        }
    }

    /// Enters a command in the journal and starts it. The broker's copy is acknowledged once the
    /// journal has it on disk.
    pub(super) fn receive(&mut self, inbound: InboundCommand) {
        let InboundCommand {
            mut command,
            ack_token,
            redelivery,
            connection,
            topic,
            payload,
            identity: _,
        } = inbound;
        let mut received = self.journal_input(&command, topic, payload);
        received.packet = Some(ack_token.packet());
        let entry = self.task.journal.receive(received, connection, redelivery);
        let seq = match &entry {
            JournalEntry::New(seq) => Some(*seq),
            JournalEntry::Pending | JournalEntry::Answered(_) => None,
        };
        match entry {
            JournalEntry::New(seq) => {
                self.assign_seq(&mut command, seq);
                debug!(
                    command_id = command.id.as_str(),
                    seq = command.seq,
                    ?redelivery,
                    "received"
                );
                self.task.pipeline.expect(&command);
                // An earlier run may have carried out what the broker sends again.
                let task = self.task.clone();
                if matches!(redelivery, Redelivery::Marked | Redelivery::Certain) {
                    self.start(task.answer_again(command, seq));
                } else {
                    self.start(task.answer(command, seq));
                }
            }
            JournalEntry::Answered(reply) => {
                self.task.counters.commands_duplicate.increment();
                self.repeat_reply(*reply, command.reply_to);
            }
            JournalEntry::Pending => self.task.counters.commands_duplicate.increment(),
        }
        // There is nothing to acknowledge with QoS 0. The channel has room for every token the
        // broker waits for; without one it sends the command again.
        if ack_token.is_expected() {
            let _ = self.ack_tokens.try_send((ack_token, seq));
        }
    }

    /// Notes the number of a command, and the deadline that it had when it was first received.
    pub(super) fn assign_seq(&self, command: &mut Command, seq: Seq) {
        command.seq = seq.number();
        if command.is_dated
            && let Some(left) = self.task.journal.remaining(seq)
        {
            command.deadline = command.deadline.min(now() + left);
        }
    }

    /// Returns the entry of a command for the journal.
    pub(super) fn journal_input(
        &self,
        command: &Command,
        topic: String,
        payload: Bytes,
    ) -> Received {
        Received {
            topic,
            payload: payload.into(),
            response_topic: Some(command.reply_to.topic.clone()),
            correlation: command.reply_to.correlation.clone(),
            id: command.id_given.then(|| command.id.to_string()),
            packet: None,
            identity: None,
            is_dated: command.is_dated,
            until: self.task.journal.moment(command.remaining(now())),
        }
    }

    /// Starts a task that is not a command, at once.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.commands.spawn(task);
    }

    /// Ends all commands in progress, and holds those that follow.
    pub(super) fn give_up_commands(&mut self) {
        self.commands = JoinSet::new();
        self.held = Some(Vec::new());
    }

    /// Returns whether commands may be started once the home is known.
    pub(super) fn may_release(&self) -> bool {
        match &self.pair {
            Some(node) => node.is_serving,
            None => self.task.outbox.is_up(),
        }
    }

    fn repeat_reply(&mut self, reply: Reply, reply_to: ReplyTo) {
        let task = self.task.clone();
        self.commands.spawn(async move {
            task.pipeline.reply_persisted(&reply).await;
            task.send_reply(None, reply.to_json(), &reply_to).await;
        });
    }

    /// Starts a command, once the home is known.
    pub(super) fn start(&mut self, command: impl Future<Output = ()> + Send + 'static) {
        let Some(held) = &mut self.held else {
            self.commands.spawn(command);
            return;
        };
        held.push(Box::pin(command));
        if held.len() >= MAX_COMMANDS {
            self.release();
        }
    }

    /// Starts the commands that waited for the home.
    pub(super) fn release(&mut self) {
        self.task.pipeline.start_timers();
        for command in self.held.take().into_iter().flatten() {
            self.commands.spawn(command);
        }
    }
}
