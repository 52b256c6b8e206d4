//! Commands at the leader of a pair: refused or processed, and continued where the node before left
//! them.
//!
//! It does not decide which node leads. A received command enters; its progress is published as
//! marks, and it is acknowledged after its reply.

use std::sync::Arc;

use crate::command::reply::{Refusal, Reply};
use crate::command::{Command, Redelivery};
use crate::daemon::event_loop::EventLoop;
use crate::daemon::in_flight::dead_letter;
use crate::daemon::pair_node::HeldCommand;
use crate::mqtt::inbox::{InboundCommand, RefusedCommand};
use crate::pair::{CommandIdentity, Progress};
use crate::store::journal::{JournalEntry, MAX_CRASHES, PlannedPublish, Seq};

/// Commands that may wait for the barrier. The broker bounds those it waits for; others are refused
/// beyond this.
const MAX_HELD: usize = 1024;

impl EventLoop {
    /// Takes in a command: at once while this node leads, or when the barrier has passed.
    pub(super) fn receive_as_leader(&mut self, command: Box<InboundCommand>) {
        let Some(node) = &mut self.pair else {
            return;
        };
        if node.is_serving && node.connection == Some(command.connection) {
            return self.process(*command);
        }
        if node.is_current(command.connection) && node.held.len() < MAX_HELD {
            node.held.push(HeldCommand::Received(command));
        }
    }

    /// Takes in a command that cannot be processed.
    pub(super) fn receive_refused(&mut self, refused: Box<RefusedCommand>) {
        let Some(node) = &mut self.pair else {
            return;
        };
        if node.is_serving && node.connection == Some(refused.connection) {
            self.answer_refused(*refused);
        } else if node.is_current(refused.connection) && node.held.len() < MAX_HELD {
            node.held.push(HeldCommand::Refused(refused));
        }
    }

    pub(super) fn answer_refused(&mut self, refused: RefusedCommand) {
        let Some(node) = &self.pair else {
            return;
        };
        let replica = Arc::clone(&node.replica);
        let RefusedCommand {
            mut reply,
            reply_to,
            ack_token,
            redelivery,
            identity,
            ..
        } = refused;
        if redelivery != Redelivery::No {
            match replica.pair.progress(identity) {
                Progress::Answered { .. } => return replica.acknowledge(ack_token),
                // There was no room for it, and its actions may have been published.
                Progress::Begun { .. } => {
                    reply = Reply::refused(reply.id, reply.text, &Refusal::Undelivered);
                }
                Progress::New => {}
            }
        }
        self.spawn(async move {
            replica.answer(&reply, &reply_to, identity, ack_token).await;
        });
    }

    /// Processes a command by its progress.
    pub(super) fn process(&mut self, mut inbound: InboundCommand) {
        let (Some(node), Some(identity)) = (&self.pair, inbound.identity) else {
            return;
        };
        let pair = Arc::clone(node.pair());
        if !inbound.command.id_given {
            // The same on both nodes.
            inbound.command.id = identity.to_string()[..9].into();
        }
        let may_have_begun = is_of_earlier_leader(&inbound, identity) && pair.is_uninformed();
        inbound.redelivery = repetition(&inbound, identity);
        let is_sent_again = inbound.redelivery == Redelivery::Certain;
        let progress = match inbound.redelivery {
            Redelivery::No => Progress::New,
            _ => pair.progress(identity),
        };
        match progress {
            Progress::Answered { devices, reply } => {
                let reply = reply.and_then(|reply| serde_json::from_slice::<Reply>(&reply).ok());
                if is_sent_again {
                    self.claim_devices(&devices);
                    self.repeat_or_acknowledge(inbound, identity, None);
                } else if reply.as_ref().is_some_and(Reply::is_put_off) {
                    self.begin(inbound, identity, false);
                } else {
                    // A client that has sent it again expects the reply.
                    self.repeat_or_acknowledge(inbound, identity, reply);
                }
            }
            Progress::Begun { plan, overtaken } => {
                self.continue_begun(inbound, identity, (plan, overtaken));
            }
            Progress::New => self.begin(inbound, identity, may_have_begun),
        }
    }

    /// Acknowledges a command that was answered, after its reply if that is expected again.
    fn repeat_or_acknowledge(
        &mut self,
        inbound: InboundCommand,
        identity: CommandIdentity,
        reply: Option<Reply>,
    ) {
        let Some(replica) = self.pair.as_ref().map(|node| Arc::clone(&node.replica)) else {
            return;
        };
        self.task.counters.commands_duplicate.increment();
        let Some(reply) = reply else {
            return replica.acknowledge(inbound.ack_token);
        };
        let (reply_to, token) = (inbound.command.reply_to, inbound.ack_token);
        self.spawn(async move {
            replica.answer(&reply, &reply_to, identity, token).await;
        });
    }

    /// Keeps older commands from the devices that a newer one has reached.
    fn claim_devices(&self, devices: &[String]) {
        let seq = self.task.journal.next_number();
        self.task.pipeline.claim_devices(devices, seq);
    }

    /// Processes a command of which no actions are known.
    fn begin(&mut self, inbound: InboundCommand, identity: CommandIdentity, may_have_begun: bool) {
        let Some((command, seq)) = self.enter(inbound, identity) else {
            return;
        };
        let task = self.task.clone();
        if may_have_begun && let Some(node) = &self.pair {
            node.replica.doubt(seq);
        }
        self.task.pipeline.expect(&command);
        match self.task.journal.crashes(seq) {
            0 => self.start(task.answer(command, seq)),
            MAX_CRASHES.. => {
                let prefix = &self.config.mqtt.prefix;
                let letter = dead_letter(prefix, &command, command.text.as_bytes());
                self.start(task.give_up(command, seq, letter));
            }
            _ => {
                let journal = Arc::clone(&self.task.journal);
                self.start(journal.attribute(seq, task.answer(command, seq)));
            }
        }
    }

    /// Continues a command whose actions an earlier leader has begun: an absolute action that is
    /// the newest for its device is published again; the rest is uncertain.
    fn continue_begun(
        &mut self,
        inbound: InboundCommand,
        identity: CommandIdentity,
        (plan, overtaken): (serde_json::Value, Vec<String>),
    ) {
        let Some((command, seq)) = self.enter(inbound, identity) else {
            return;
        };
        let planned: Option<Vec<PlannedPublish>> = serde_json::from_value(plan).ok();
        let Some(mut planned) = planned else {
            return self.start(self.task.clone().report_uncertain(command, seq));
        };
        for publish in &mut planned {
            let device = &publish.action.device;
            publish.repeatable &= !overtaken.iter().any(|one| device == one);
        }
        self.task.journal.record_plan(seq, planned.clone());
        self.start(self.task.clone().resume(command, seq, planned));
    }

    /// Enters a command in the journal. A duplicate waits for the reply to the first, or gets the
    /// reply that was made; then `None` is returned.
    fn enter(
        &mut self,
        inbound: InboundCommand,
        identity: CommandIdentity,
    ) -> Option<(Command, Seq)> {
        let InboundCommand {
            mut command,
            ack_token: token,
            redelivery,
            topic,
            payload,
            ..
        } = inbound;
        let replica = Arc::clone(&self.pair.as_ref()?.replica);
        let mut received = self.journal_input(&command, topic, payload);
        received.identity = Some(identity.to_string());
        let entry = self.task.journal.receive_in_pair(received, redelivery);
        if let JournalEntry::New(seq) = entry {
            self.assign_seq(&mut command, seq);
            replica.track(seq, identity, Some(token));
            return Some((command, seq));
        }
        self.task.counters.commands_duplicate.increment();
        match entry {
            JournalEntry::Answered(reply) => {
                if redelivery == Redelivery::Certain {
                    let devices = commanded_devices(&reply);
                    self.claim_devices(&devices);
                }
                let reply_to = command.reply_to;
                let pipeline = Arc::clone(&self.task.pipeline);
                self.spawn(async move {
                    pipeline.reply_persisted(&reply).await;
                    replica.answer(&reply, &reply_to, identity, token).await;
                });
            }
            JournalEntry::Pending | JournalEntry::New(_) => {
                if let Err(token) = replica.attach(identity, token) {
                    replica.acknowledge(token);
                }
            }
        }
        None
    }
}

/// Returns whether an earlier leader may have processed a command: the broker sends it again, or it
/// waited at the broker for a leader, and its client may have sent it for the second time.
fn is_of_earlier_leader(inbound: &InboundCommand, identity: CommandIdentity) -> bool {
    match inbound.redelivery {
        Redelivery::Certain | Redelivery::Marked => true,
        Redelivery::Possible => identity.is_named(),
        Redelivery::No => false,
    }
}

/// Returns whether a command was received before: certainly if the broker sends it again, possibly
/// if its client may have done so.
fn repetition(inbound: &InboundCommand, identity: CommandIdentity) -> Redelivery {
    let is_repeatable = identity.is_named();
    // Without an acknowledgement nothing is sent again, and no packet has an identifier. A named
    // command that the broker does not mark may be the client's own repetition.
    match inbound.redelivery {
        Redelivery::Certain | Redelivery::Marked if inbound.ack_token.is_expected() => {
            Redelivery::Certain
        }
        Redelivery::Possible if inbound.ack_token.is_expected() && !is_repeatable => {
            Redelivery::Certain
        }
        _ if is_repeatable => Redelivery::Possible,
        _ => Redelivery::No,
    }
}

pub(super) fn commanded_devices(reply: &Reply) -> Vec<String> {
    reply.commanded_devices().map(str::to_owned).collect()
}
