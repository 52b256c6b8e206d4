//! The event loop of a node of a pair: takes over, processes the commands that the broker sends
//! again by their progress, and steps down.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;
use tracing::{error, info, warn};

use crate::clock::now;
use crate::daemon::event_loop::EventLoop;
use crate::daemon::pair_commands::commanded_devices;
use crate::daemon::pair_node::{HeldCommand, PairStep, QUERY_TTL};
use crate::daemon::pair_replica::planned_devices;
use crate::delivery::Delivery;
use crate::mqtt::outbound_message::OutboundMessage;
use crate::pair::{CommandIdentity, HOME_SECTION, KnownCommand, LeaderClaim, PairEffect, PairMark};
use crate::store::journal::{IdentifiedCommand, Recovered};
use crate::systemd::Notify;

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
            PairEffect::SendSnapshot { to } => self.send_snapshot(&to),
            PairEffect::Beat => self.beat(),
            PairEffect::Probe { number } => self.probe(number),
            PairEffect::Connect { is_after_silence } => self.connect_as_leader(is_after_silence),
            PairEffect::Claim {
                is_after_silence,
                epoch,
                connection,
                session_present,
            } => self.claim(epoch, is_after_silence, connection, session_present),
            PairEffect::Serve { is_confirmed } => self.serve_as_leader(is_confirmed),
            PairEffect::Announce => self.announce(),
            PairEffect::Answer => self.answer_operator(),
            PairEffect::StepDown => self.step_down(),
        }
        self.report_namesake();
        notify.status(&self.status_line());
    }

    /// Reports once that another program uses the name of this node.
    fn report_namesake(&mut self) {
        let Some(node) = &mut self.pair else {
            return;
        };
        if !node.has_namesake && node.pair().report().has_namesake {
            node.has_namesake = true;
            error!(
                node = node.pair().node(),
                "another node has the name of this one: give each its own `pair.node`"
            );
        }
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
        // Until the retained announcements are read, the home says nothing about the configuration.
        if node.has_home {
            let revision = self.task.pipeline.home().revision();
            sections.insert(HOME_SECTION.to_owned(), format!("{revision:016x}"));
        }
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
            if differences.is_empty() {
                info!("the configuration of the other node is the same again");
            } else {
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

    /// Publishes a sign of life, which is of no use once the next one is due.
    fn beat(&self) {
        let Some(node) = &self.pair else {
            return;
        };
        let beat = node.replica.message(&node.pair().last_beat());
        let until = now() + node.pair().beat_interval();
        drop(self.task.outbox.publish(beat.until(until)));
    }

    /// Publishes a probe that comes back if the broker and the observer's connection work.
    fn probe(&self, number: u64) {
        let Some(node) = &self.pair else {
            return;
        };
        let probe = PairMark::Probe {
            node: node.pair().node().to_owned(),
            number,
        };
        let _ = node.publish_as_observer(&probe);
    }

    fn query_leader(&self) {
        let Some(node) = &self.pair else {
            return;
        };
        let query = PairMark::Query {
            node: node.pair().node().to_owned(),
        };
        let _ = node.publish_as_observer(&query);
    }

    /// Sends the known progress of commands to another node, which has started.
    fn send_snapshot(&self, to: &str) {
        let Some(node) = &self.pair else {
            return;
        };
        // Without one part the others are of no use.
        let marks = node.pair().snapshot(to);
        let _ = marks.iter().all(|mark| node.publish_as_observer(mark));
    }

    /// Begins to connect with the shared id, with nothing left of an earlier time as leader.
    fn connect_as_leader(&mut self, is_after_silence: bool) {
        self.task.outbox.clear();
        if let Some(node) = &self.pair {
            if is_after_silence {
                warn!("the leader sends no messages although the broker is reachable");
            }
            info!(node = node.pair().node(), "taking over");
            node.pair().open_gate();
        }
    }

    /// Claims the leadership, and publishes the barrier behind which the progress of every command
    /// is known.
    fn claim(
        &mut self,
        epoch: u64,
        is_after_silence: bool,
        connection: u64,
        session_present: bool,
    ) {
        let Some(node) = &mut self.pair else {
            return;
        };
        node.connection = Some(connection);
        node.last_connection = connection;
        node.held.retain(|held| held.connection() == connection);
        let pair = Arc::clone(node.pair());
        let was_ours = pair.leader().is_none_or(|claim| claim.node == pair.node());
        let barrier = pair.begin_barrier(session_present);
        self.publish_claim(epoch, is_after_silence);
        let barrier = self.publish_mark(&barrier);
        if let Some(node) = &mut self.pair {
            node.barrier = barrier;
        }
        if !session_present && was_ours {
            self.take_back();
        }
    }

    fn publish_claim(&self, epoch: u64, is_after_silence: bool) {
        let Some(node) = &self.pair else {
            return;
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let claim = LeaderClaim {
            node: node.pair().node().to_owned(),
            epoch,
            since: since.unwrap_or_default().as_secs(),
            beat_ms: u64::try_from(node.pair().beat_interval().as_millis()).unwrap_or(u64::MAX),
            is_after_silence,
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
            self.publish_claim(claim.epoch, claim.is_after_silence);
        }
    }

    /// Processes the commands received since the connection, and all that follow.
    fn serve_as_leader(&mut self, is_confirmed: bool) {
        let Some(node) = &mut self.pair else {
            return;
        };
        if !is_confirmed {
            warn!("leading without the progress of commands: the barrier was not received in time");
            node.pair().note_missed_marks();
        }
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
        if let Some(node) = &self.pair
            && !node.replica.has_doubtful()
        {
            node.pair().note_informed();
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
        let unfinished = self.task.journal.set_aside();
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
                unfinished, "not leading any more"
            );
        }
    }

    /// Notes the progress of the commands of an earlier run. The broker sends those without a reply
    /// again, unless it has lost the session.
    pub(super) fn recall(&mut self, recovered: Recovered) {
        let Some(node) = &self.pair else {
            return;
        };
        let journal = &self.task.journal;
        self.task.pipeline.restore_device_order(recovered.commanded);
        journal.set_earlier_aside();
        let identified = journal.identified();
        let commands = identified.iter().filter_map(recalled);
        node.pair().recall(commands.collect(), journal.is_safe());
    }

    /// Takes back the commands that this node had not finished when it last led: the broker does
    /// not send them again.
    fn take_back(&mut self) {
        let recovered = self.task.journal.take_back();
        let open = recovered.unfinished.iter();
        let open = open.map(|one| (one.seq, &one.received.identity));
        let unsent = recovered.unsent.iter();
        let unsent = unsent.map(|one| (one.seq, &one.received.identity));
        if let Some(node) = &self.pair {
            for (seq, identity) in open.chain(unsent) {
                let identity = identity.as_deref().and_then(CommandIdentity::parse);
                if let Some(identity) = identity {
                    node.replica.track(seq, identity, None);
                }
            }
        }
        self.finish_recovered(recovered);
    }
}

/// Returns the progress of a command of the journal, and its reply if the broker has it; `None` if
/// it was neither begun nor answered.
fn recalled(command: &IdentifiedCommand) -> Option<(KnownCommand, Option<Vec<u8>>)> {
    let identity = CommandIdentity::parse(&command.identity)?;
    let reply = command.reply.as_ref();
    let (devices, plan) = match (&command.sending, reply) {
        (_, Some(reply)) => (commanded_devices(reply), Json::Null),
        (Some(planned), None) => (
            planned_devices(planned),
            serde_json::to_value(planned).unwrap_or_default(),
        ),
        (None, None) => return None,
    };
    let known = KnownCommand {
        command: identity,
        devices,
        plan,
        is_answered: reply.is_some(),
    };
    let reply = reply.and_then(|reply| serde_json::to_vec(reply).ok());
    Some((known, reply))
}
