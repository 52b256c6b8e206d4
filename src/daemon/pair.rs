//! The event loop of a node of a pair: takes over, processes the commands that the broker sends
//! again by their progress, and steps down.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tracing::{info, warn};

use crate::clock::now;
use crate::command::reply::Reply;
use crate::command::{Command, Redelivery};
use crate::daemon::event_loop::EventLoop;
use crate::daemon::pair_node::{HeldCommand, PairStep, QUERY_TTL};
use crate::mqtt::inbox::{AckToken, InboundCommand, RefusedCommand};
use crate::mqtt::outbox::{Delivery, OutboundMessage};
use crate::pair::{CommandIdentity, LeaderClaim, PairEffect, PairMark, Progress};
use crate::store::journal::{JournalEntry, PlannedPublish, Recovered, Unfinished};
use crate::systemd::Notify;

/// Commands that may wait for the barrier. The broker bounds those it waits for; others are refused
/// beyond this.
const MAX_HELD: usize = 1024;

impl EventLoop {
    /// Takes one step of the pair.
    pub(super) fn take_pair_step(&mut self, step: PairStep, notify: &Notify) {
        let effect = match step {
            PairStep::Effect(effect) => effect,
            PairStep::Barrier(is_acknowledged) => return self.note_barrier(is_acknowledged),
        };
        match effect {
            PairEffect::Introduce => drop(self.publish_report()),
            PairEffect::Query => self.query_leader(),
            PairEffect::SendSnapshot => self.send_snapshot(),
            PairEffect::Connect => self.connect_as_leader(),
            PairEffect::Claim {
                epoch,
                connection,
                session_present,
            } => self.claim(epoch, connection, session_present),
            PairEffect::Serve => self.serve_as_leader(),
            PairEffect::Announce => self.announce(),
            PairEffect::Answer => self.answer_operator(),
            PairEffect::StepDown => self.step_down(),
        }
        notify.status(&self.status_line());
    }

    /// Notes that the broker has acknowledged the barrier, or that its connection has ended.
    fn note_barrier(&mut self, is_acknowledged: bool) {
        if let Some(node) = &mut self.pair {
            node.barrier = None;
            if is_acknowledged {
                node.pair().barrier_acknowledged();
            }
        }
    }

    /// Publishes the report of this node.
    pub(super) fn publish_report(&self) -> Option<Delivery> {
        let node = self.pair.as_ref()?;
        let mut sections = self.config.sections();
        let revision = self.task.pipeline.home().revision();
        sections.insert("home".to_owned(), format!("{revision:016x}"));
        let pair = node.pair();
        let report = pair.own_report(env!("CARGO_PKG_VERSION"), sections);
        // It consists of texts and numbers.
        let payload = serde_json::to_vec(&report).unwrap_or_default();
        let message = OutboundMessage::to(pair.report_topic(), payload).retained();
        node.observer.publish(message).ok()
    }

    /// Publishes the figures of the pair that change with time.
    pub(super) fn show_pair(&mut self) {
        let Some(node) = &self.pair else {
            return;
        };
        if node.is_serving {
            let beat = node.pair().next_beat();
            drop(self.publish_mark(&beat));
        }
        drop(self.publish_report());
        let report = self.pair.as_ref().map(|node| node.pair().report());
        let other = report.and_then(|report| report.other);
        let differences = other.map_or_else(Vec::new, |other| other.differences);
        if differences != self.status.pair_differences {
            if !differences.is_empty() {
                let parts = differences.join(", ");
                warn!(
                    parts,
                    "the configuration of the other node differs: make these parts equal on both nodes"
                );
            }
            self.status.pair_differences = differences;
        }
    }

    fn publish_mark(&self, mark: &PairMark) -> Option<Delivery> {
        let message = self.pair.as_ref()?.replica.message(mark);
        self.task.outbox.publish(message).ok()
    }

    fn query_leader(&self) {
        let Some(node) = &self.pair else {
            return;
        };
        node.publish_as_observer(&PairMark::Query {
            node: node.pair().node().to_owned(),
        });
    }

    /// Sends the known progress of commands to the other node, which has started.
    fn send_snapshot(&self) {
        let Some(node) = &self.pair else {
            return;
        };
        for mark in node.pair().snapshot() {
            node.publish_as_observer(&mark);
        }
    }

    /// Begins to connect with the shared id, with nothing left of an earlier time as leader.
    fn connect_as_leader(&mut self) {
        self.task.outbox.clear();
        if let Some(node) = &self.pair {
            info!(node = node.pair().node(), "taking over");
            node.pair().open_gate();
        }
    }

    /// Claims the leadership, and publishes the barrier behind which the progress of every command
    /// is known.
    fn claim(&mut self, epoch: u64, connection: u64, session_present: bool) {
        let Some(node) = &mut self.pair else {
            return;
        };
        node.connection = Some(connection);
        node.last_connection = connection;
        node.held.retain(|held| held.connection() == connection);
        let pair = Arc::clone(node.pair());
        let was_ours = pair.leader().is_none_or(|claim| claim.node == pair.node());
        let unfinished = std::mem::take(&mut node.unfinished);
        let barrier = pair.begin_barrier(session_present);
        self.publish_claim(epoch);
        let barrier = self.publish_mark(&barrier);
        if let Some(node) = &mut self.pair {
            node.barrier = barrier;
        }
        if !session_present && was_ours {
            self.retake_unfinished(unfinished);
        }
    }

    fn publish_claim(&self, epoch: u64) {
        let Some(node) = &self.pair else {
            return;
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let claim = LeaderClaim {
            node: node.pair().node().to_owned(),
            epoch,
            since: since.unwrap_or_default().as_secs(),
        };
        // It consists of texts and numbers.
        let payload = serde_json::to_vec(&claim).unwrap_or_default();
        let message = OutboundMessage::to(node.pair().topic("leader"), payload).retained();
        drop(self.task.outbox.publish(message));
    }

    /// Publishes `online` and the claim once more, for a node that has doubts.
    fn announce(&self) {
        let Some(node) = &self.pair else {
            return;
        };
        let status = format!("{}/status", self.config.mqtt.prefix);
        let online = OutboundMessage::to(status, "online").retained();
        drop(self.task.outbox.publish(online));
        if let Some(claim) = node
            .pair()
            .leader()
            .filter(|c| c.node == node.pair().node())
        {
            self.publish_claim(claim.epoch);
        }
    }

    /// Processes the commands received since the connection, and all that follow.
    fn serve_as_leader(&mut self) {
        let Some(node) = &mut self.pair else {
            return;
        };
        node.is_serving = true;
        let held = std::mem::take(&mut node.held);
        let has_home = node.has_home;
        let pair = Arc::clone(node.pair());
        info!(
            node = pair.node(),
            waiting = held.len(),
            "leading, serving commands"
        );
        let records = pair.timers();
        let is_first_ever = pair.leader().is_none_or(|claim| claim.epoch <= 1);
        if records.is_empty() && is_first_ever {
            self.task.pipeline.publish_timers();
        } else {
            self.task.pipeline.replace_timers(&records);
        }
        for command in held {
            match command {
                HeldCommand::Received(command) => self.process(*command),
                HeldCommand::Refused(refused) => self.answer_refused(*refused),
            }
        }
        self.status.was_connected = true;
        self.answer_operator();
        self.show_pair();
        drop(self.publish_health());
        if has_home {
            self.release();
        } else {
            self.build_and_release();
        }
    }

    /// Answers the request of an operator for a takeover, if there was one.
    fn answer_operator(&self) {
        let Some(node) = &self.pair else {
            return;
        };
        if let Some((answer, correlation)) = node.pair().take_answer() {
            let topic = node.pair().topic("takeover/answer");
            let message = OutboundMessage::to(topic, answer.to_string())
                .with_correlation(Some(correlation))
                .until(now() + QUERY_TTL);
            drop(self.task.outbox.publish(message));
        }
    }

    /// Gives up everything in progress: the broker sends it to the next leader, which may be this
    /// node.
    fn step_down(&mut self) {
        self.give_up_commands();
        self.task.pipeline.stop_timers();
        self.task.outbox.clear();
        let unfinished = self.task.journal.take_unfinished();
        let Some(node) = &mut self.pair else {
            return;
        };
        node.replica.clear();
        node.held.clear();
        node.barrier = None;
        node.connection = None;
        if std::mem::take(&mut node.is_serving) {
            info!(
                node = node.pair().node(),
                unfinished = unfinished.len(),
                "not leading any more"
            );
        }
        node.unfinished.extend(unfinished);
    }

    /// Keeps the commands that the earlier run of the program left unfinished. The broker sends
    /// them again, unless it has lost the session.
    pub(super) fn keep_unfinished(&mut self, recovered: &Recovered) {
        if recovered.unfinished.is_empty() {
            return;
        }
        let unfinished = self.task.journal.take_unfinished();
        if let Some(node) = &mut self.pair {
            node.unfinished = unfinished;
        }
    }

    fn retake_unfinished(&mut self, unfinished: Vec<Unfinished>) {
        let journal = Arc::clone(&self.task.journal);
        let present = journal.moment(Duration::ZERO);
        for mut command in unfinished {
            let left = command.received.until.saturating_sub(present);
            command.left = Duration::from_millis(left);
            let received = command.received.clone();
            let JournalEntry::New(seq) = journal.receive(received, 0, Redelivery::No) else {
                continue;
            };
            command.mark = seq;
            if let Some(planned) = &command.sending {
                journal.sending(seq, planned.clone());
            }
            self.retake(command);
        }
    }

    /// Takes in a command: at once while this node leads, or when the barrier has passed.
    pub(super) fn receive_as_leader(&mut self, command: Box<InboundCommand>) {
        let Some(node) = &mut self.pair else {
            return;
        };
        if node.is_serving && node.connection == Some(command.epoch) {
            return self.process(*command);
        }
        // One of a connection that has ended is sent again.
        let is_current = match node.connection {
            Some(connection) => command.epoch == connection,
            None => command.epoch > node.last_connection,
        };
        if is_current && node.held.len() < MAX_HELD {
            node.held.push(HeldCommand::Received(command));
        }
    }

    /// Takes in a command that cannot be processed.
    pub(super) fn receive_refused(&mut self, refused: Box<RefusedCommand>) {
        let Some(node) = &mut self.pair else {
            return;
        };
        if node.is_serving && node.connection == Some(refused.epoch) {
            self.answer_refused(*refused);
        } else if node.held.len() < MAX_HELD {
            node.held.push(HeldCommand::Refused(refused));
        }
    }

    fn answer_refused(&mut self, refused: RefusedCommand) {
        let Some(node) = &self.pair else {
            return;
        };
        let replica = Arc::clone(&node.replica);
        let progress = replica.pair.progress(refused.identity);
        let is_sent_again = refused.redelivery != Redelivery::No;
        if is_sent_again && matches!(progress, Progress::Answered { .. }) {
            return replica.acknowledge(refused.ack_token);
        }
        self.spawn(async move {
            let ends = (refused.identity, refused.ack_token);
            replica
                .answer(&refused.reply, &refused.reply_to, ends)
                .await;
        });
    }

    /// Processes a command by its progress.
    fn process(&mut self, mut inbound: InboundCommand) {
        let (Some(node), Some(identity)) = (&self.pair, inbound.identity) else {
            return;
        };
        let pair = Arc::clone(node.pair());
        if !inbound.command.id_given {
            // The same on both nodes.
            identity.to_string()[..9].clone_into(&mut inbound.command.id);
        }
        // Without an acknowledgement nothing is sent again, and no packet has an identifier. A
        // named command that the broker does not mark may be the client's own repetition.
        let is_sent_again = inbound.ack_token.is_expected()
            && match inbound.redelivery {
                Redelivery::Certain | Redelivery::Marked => true,
                Redelivery::Possible => !identity.is_named(),
                Redelivery::No => false,
            };
        let progress = match pair.progress(identity) {
            progress if is_sent_again || identity.is_named() => progress,
            _ => Progress::New,
        };
        match progress {
            Progress::Answered { devices, reply } => {
                self.claim_devices(&devices);
                // A client that has sent it again expects the reply.
                let reply = reply.filter(|_| !is_sent_again);
                self.repeat_or_acknowledge(inbound, identity, reply);
            }
            Progress::Begun { plan, overtaken } if is_sent_again => {
                self.continue_begun(inbound, identity, (plan, overtaken));
            }
            Progress::Begun { .. } | Progress::New => self.begin(inbound, identity),
        }
    }

    /// Acknowledges a command that was answered, after its reply if that is expected again.
    fn repeat_or_acknowledge(
        &mut self,
        inbound: InboundCommand,
        identity: CommandIdentity,
        reply: Option<Bytes>,
    ) {
        let Some(replica) = self.pair.as_ref().map(|node| Arc::clone(&node.replica)) else {
            return;
        };
        self.task.counters.commands_duplicate.increment();
        let reply = reply.and_then(|reply| serde_json::from_slice::<Reply>(&reply).ok());
        let Some(reply) = reply else {
            return replica.acknowledge(inbound.ack_token);
        };
        let (reply_to, token) = (inbound.command.reply_to, inbound.ack_token);
        self.spawn(async move {
            replica.answer(&reply, &reply_to, (identity, token)).await;
        });
    }

    /// Keeps older commands from the devices that a newer one has reached.
    fn claim_devices(&self, devices: &[String]) {
        let seq = self.task.journal.next_number();
        self.task.pipeline.claim_devices(devices, seq);
    }

    /// Processes a new command.
    fn begin(&mut self, inbound: InboundCommand, identity: CommandIdentity) {
        let (mut command, entry, token) = self.enter(inbound);
        let Some(replica) = self.pair.as_ref().map(|node| Arc::clone(&node.replica)) else {
            return;
        };
        match entry {
            JournalEntry::New(seq) => {
                command.seq = seq.number();
                replica.track(seq, identity, token);
                self.task.pipeline.expect(&command);
                self.start(self.task.clone().answer(command, seq));
            }
            JournalEntry::Answered(reply) => {
                self.task.counters.commands_duplicate.increment();
                let reply_to = command.reply_to;
                self.spawn(async move {
                    replica.answer(&reply, &reply_to, (identity, token)).await;
                });
            }
            JournalEntry::Pending => {
                self.task.counters.commands_duplicate.increment();
                if let Err(token) = replica.attach(identity, token) {
                    replica.acknowledge(token);
                }
            }
        }
    }

    /// Continues a command whose actions the earlier leader has begun: what is absolute, and the
    /// newest for its device, is published again; the rest is uncertain.
    fn continue_begun(
        &mut self,
        inbound: InboundCommand,
        identity: CommandIdentity,
        (plan, overtaken): (serde_json::Value, Vec<String>),
    ) {
        let (mut command, entry, token) = self.enter(inbound);
        let Some(replica) = self.pair.as_ref().map(|node| Arc::clone(&node.replica)) else {
            return;
        };
        let seq = match entry {
            JournalEntry::New(seq) => seq,
            JournalEntry::Answered(reply) => {
                let reply_to = command.reply_to;
                return self.spawn(async move {
                    replica.answer(&reply, &reply_to, (identity, token)).await;
                });
            }
            JournalEntry::Pending => {
                if let Err(token) = replica.attach(identity, token) {
                    replica.acknowledge(token);
                }
                return;
            }
        };
        command.seq = seq.number();
        replica.track(seq, identity, token);
        let planned: Option<Vec<PlannedPublish>> = serde_json::from_value(plan).ok();
        let Some(mut planned) = planned else {
            return self.start(self.task.clone().report_uncertain(command, seq));
        };
        for publish in &mut planned {
            publish.repeatable &= !overtaken.contains(&publish.action.device);
        }
        self.task.journal.sending(seq, planned.clone());
        self.start(self.task.clone().resume(command, seq, planned));
    }

    /// Enters a command in the journal. Duplicates without a name are recognised by the progress of
    /// the pair alone.
    fn enter(&self, inbound: InboundCommand) -> (Command, JournalEntry, AckToken) {
        let InboundCommand {
            command,
            ack_token,
            epoch,
            topic,
            payload,
            ..
        } = inbound;
        let received = self.received(&command, topic, &payload);
        let entry = self.task.journal.receive(received, epoch, Redelivery::No);
        (command, entry, ack_token)
    }
}
