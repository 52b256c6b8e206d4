//! Exactly-once processing: the entries a command makes in the journal, and the commands an earlier
//! run of the program left unfinished.
//!
//! Before a plan is published that must not be computed again, it is written to the journal. After
//! a crash such a plan is published again as it was written, where a repetition is harmless; other
//! messages are reported as uncertain.

use std::sync::Arc;

use crate::binding::Publication;
use crate::clock::now;
use crate::command::Command;
use crate::command::phrase::Phrase;
use crate::command::reply::{Outcome, Refusal, Reply};
use crate::home::permit::Step;
use crate::pipeline::dispatch::{InFlightAction, InFlightActions};
use crate::pipeline::handle::Pipeline;
use crate::pipeline::publish::{OutboundAction, planned_publish};
use crate::pipeline::reply::{Handled, Success};
use crate::pipeline::shared::Shared;
use crate::store::journal::{Durability, PlannedPublish, Seq};
use crate::vocabulary::slug::Slug;

/// A command from its receipt until its reply is in the journal.
pub struct InProgress {
    shared: Arc<Shared>,
    seq: u64,
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.shared.device_order().end(self.seq);
        self.shared.unfinished().end(self.seq);
    }
}

impl Pipeline {
    /// Registers a command that was received, or recovered, so that newer ones for its devices are
    /// kept before they overtake it. To be called before it is started.
    pub fn begin(&self, seq: Seq) -> InProgress {
        self.shared.device_order().begin(seq.number());
        InProgress {
            shared: Arc::clone(&self.shared),
            seq: seq.number(),
        }
    }

    /// Registers a command whose messages an earlier run of the program had planned, and may have
    /// published: no older command reaches their devices any more.
    pub fn begin_planned(&self, seq: Seq, planned: &[PlannedPublish]) -> InProgress {
        let in_progress = self.begin(seq);
        let devices = planned.iter().map(|one| Slug::new(&one.action.device));
        let devices: Vec<Slug> = devices.flatten().collect();
        let mut order = self.shared.device_order();
        order.decide(seq.number(), &devices);
        for device in &devices {
            order.claim(device, seq.number());
        }
        in_progress
    }

    /// Writes the messages of a plan to the journal before they are published.
    pub(super) fn plan_publishes(&self, seq: Seq, steps: &[&Step]) {
        let planned = steps.iter().map(|step| planned_publish(step)).collect();
        self.services.journal.record_plan(seq, planned);
    }

    /// Waits until all entries of the journal survive a crash of this kind.
    pub(super) async fn persist(&self, durability: Durability) {
        self.services.journal.wait_until_persisted(durability).await;
    }

    /// Enters the reply to a command in the journal and in the statistics. Every reply survives a
    /// crash of the program before it is sent, so that no command is answered in two ways; a
    /// refusal survives a power cut as well, because processing the command again could have
    /// another result. Returns the payload of the reply.
    pub(super) async fn commit(
        &self,
        command: &Command,
        seq: Option<Seq>,
        reply: &Reply,
        durability: Durability,
    ) -> Vec<u8> {
        let journal = &self.services.journal;
        let payload = match seq {
            Some(seq) => {
                let payload = journal.record_reply(seq, reply);
                let durability = durability.max(durability_of_reply(reply));
                journal.wait_until_record_persisted(seq, durability).await;
                payload
            }
            None => reply.to_json(),
        };
        self.record(command, reply);
        payload
    }

    /// Waits until a reply that is sent again survives the events that it has to survive before it
    /// is sent for the first time, because it may still wait for the disk.
    pub async fn reply_persisted(&self, reply: &Reply) {
        self.persist(durability_of_reply(reply)).await;
    }

    /// Restores the order of devices after a restart: each with the newest command published to it.
    pub fn restore_device_order(&self, published: Vec<(String, Seq)>) {
        let mut order = self.shared.device_order();
        for (device, seq) in published {
            if let Ok(device) = Slug::new(&device) {
                order.claim(&device, seq.number());
            }
        }
    }

    /// Keeps commands older than number `seq` from these devices.
    pub fn claim_devices(&self, devices: &[String], seq: u64) {
        let mut order = self.shared.device_order();
        for device in devices {
            if let Ok(device) = Slug::new(device) {
                order.claim(&device, seq);
            }
        }
    }

    /// Finishes a command whose plan an earlier run of the program wrote to the journal: messages
    /// that are harmless twice are published again, the others are reported as uncertain. Returns
    /// the payload of the reply.
    pub async fn resume(
        &self,
        command: &Command,
        seq: Seq,
        planned: Vec<PlannedPublish>,
    ) -> Vec<u8> {
        self.services.journal.persist_if_suspect(seq).await;
        self.claim_for_short(command.seq);
        let speech = self.services.grammar.speech(&Phrase::of(command));
        let mut handled = Handled::resumed(&planned);
        let mut uncertain = false;
        let claimed: Vec<_> = planned
            .iter()
            .map(|publish| self.claim_again(command, publish))
            .collect();
        let mut in_flight = InFlightActions::new();
        let is_marked = claimed.iter().all(Option::is_none) || self.mark_again(command, &planned);
        for (publish, device) in planned.iter().zip(&claimed) {
            if let Some(device) = device.as_ref().filter(|_| is_marked) {
                in_flight.push(self.republish(command, publish, device));
                continue;
            }
            // It may have been published before the crash.
            handled.mark_failed(&publish.action, &Refusal::Undelivered);
            uncertain = true;
        }
        for failure in self.acknowledged(in_flight).await {
            handled.mark_failed(&failure.action, &failure.refusal);
            uncertain = true;
        }
        let result = if uncertain {
            Err(Refusal::Undelivered)
        } else {
            Ok(Success::Done(speech.resumed.clone()))
        };
        let reply = handled
            .with_result(result)
            .into_reply(command, speech, now());
        self.commit(command, Some(seq), &reply, Durability::Disk)
            .await
    }

    /// Claims the device of a message that may be published again. Returns `None` if a repetition
    /// does harm, it is too late, or a newer command has claimed the device.
    fn claim_again(&self, command: &Command, planned: &PlannedPublish) -> Option<Slug> {
        if !planned.repeatable || command.is_late() {
            return None;
        }
        let device = Slug::new(&planned.action.device).ok()?;
        let is_newest = self.shared.device_order().claim(&device, command.seq);
        is_newest.then_some(device)
    }

    /// Reports to the other node of a pair the plan that is published again: the plan may only be
    /// in the journal of this one. Returns false where that is not possible.
    fn mark_again(&self, command: &Command, planned: &[PlannedPublish]) -> bool {
        let replica = self.replica.as_ref();
        replica.is_none_or(|replica| replica.begun(command.seq, planned.to_vec()))
    }

    /// Publishes a message again.
    fn republish<'a>(
        &self,
        command: &Command,
        planned: &'a PlannedPublish,
        device: &'a Slug,
    ) -> InFlightAction<'a> {
        let property = &planned.action.property;
        if let Some(value) = &planned.becomes {
            let change = (property, value.clone());
            self.home()
                .assume(&mut self.shared.state(), device, change, now());
        }
        let outbound = OutboundAction {
            publication: Publication::new(planned.topic.clone(), planned.payload.clone()),
            device: device.into(),
            seq: command.seq,
            deadline: command.deadline,
            repeatable: true,
            hops: command.hops + 1,
        };
        InFlightAction {
            device,
            action: &planned.action,
            acknowledged: (self.shared.publish)(outbound),
        }
    }

    /// Replies to a command that is not processed, and notes the reply on the disk. Returns the
    /// payload of the reply.
    pub(super) async fn end_without_plan(
        &self,
        command: &Command,
        seq: Seq,
        handled: Handled,
    ) -> Vec<u8> {
        let speech = self.services.grammar.speech(&Phrase::of(command));
        let reply = handled.into_reply(command, speech, now());
        self.commit(command, Some(seq), &reply, Durability::Disk)
            .await
    }

    /// Gives up a command that several runs of the program began and did not finish: it may have
    /// ended them. Its meaning is not looked up, because the look-up may have ended them: devices
    /// that it reached before a power cut took its plan are not kept from older commands. Returns
    /// the payload of the reply.
    pub async fn give_up(&self, command: &Command, seq: Seq) -> Vec<u8> {
        let handled = Handled::refused(Refusal::Dead);
        let payload = self.end_without_plan(command, seq, handled).await;
        tracing::error!(
            command_id = command.id.as_str(),
            source = %command.source,
            "a command was begun and not finished three times: given up, see the dead letters"
        );
        payload
    }
}

/// Returns how durable a reply has to be at least before it is sent.
fn durability_of_reply(reply: &Reply) -> Durability {
    match reply.outcome {
        Outcome::Done | Outcome::Answered | Outcome::Unclear => Durability::Kernel,
        Outcome::Refused | Outcome::Failed => Durability::Disk,
    }
}
