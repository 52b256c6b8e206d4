//! Publishing a permitted plan: in order for each device, before the deadline, and never twice
//! where a repetition does harm.

use std::time::Duration;

use smallvec::SmallVec;

use crate::clock::now;
use crate::command::Command;
use crate::command::reply::Refusal;
use crate::delivery::{Delivery, Undelivered};
use crate::home::permit::{Plan, Step};
use crate::pipeline::handle::Pipeline;
use crate::pipeline::publish::{OutboundAction, planned_publish};
use crate::store::journal::{Durability, Seq};
use crate::vocabulary::action::{Action, Op};
use crate::vocabulary::slug::Slug;

/// An action that was not done, or may not have been.
pub(super) struct ActionFailure {
    pub(super) action: Action,
    pub(super) refusal: Refusal,
}

/// The results of publishing a plan.
pub(super) struct Dispatched {
    /// The actions that failed, in the order of the plan.
    pub(super) failures: Vec<ActionFailure>,
    /// The refusal of the whole command, if any. A plan of which only parts were superseded before
    /// they were published counts as done.
    pub(super) refusal: Option<Refusal>,
    /// Durability that the reply needs before it is sent.
    pub(super) durability: Durability,
}

/// Some steps of a plan; most plans have one.
type StepList<'a> = SmallVec<[&'a Step; 1]>;

/// The steps of a plan before they are published.
struct ClaimedSteps<'a> {
    /// Those that may be published.
    claimed: StepList<'a>,
    /// Those whose device belongs to a newer command.
    superseded: StepList<'a>,
    /// Whether an older command without a reply may be for one of the devices. The plan then goes
    /// into the journal before it is published, so that the older command is not carried out behind
    /// it after a crash.
    is_behind_unfinished: bool,
}

/// A published message whose acknowledgement is awaited.
pub(super) struct InFlightAction<'a> {
    pub(super) device: &'a Slug,
    pub(super) action: &'a Action,
    pub(super) acknowledged: Delivery,
}

/// The messages of a command in flight; most commands have one.
pub(super) type InFlightActions<'a> = SmallVec<[InFlightAction<'a>; 1]>;

impl Pipeline {
    /// Publishes a plan and waits until the broker has it. `durability` is how durable the plan has
    /// to be at least before its first message is published.
    pub(super) async fn dispatch(
        &self,
        command: &Command,
        seq: Option<Seq>,
        plan: &Plan,
        durability: Durability,
    ) -> Dispatched {
        let ClaimedSteps {
            claimed,
            superseded,
            is_behind_unfinished,
        } = self.claim(command, plan);
        let mut failures: Vec<ActionFailure> = Vec::new();
        for step in superseded {
            self.services.counters.actions_superseded.increment();
            failures.push(failure_of(step, Refusal::Superseded));
        }
        let (claimed, doubtful) = self.without_doubtful(command, claimed);
        let is_doubtful = !doubtful.is_empty();
        failures.extend(doubtful);
        if claimed.is_empty() {
            let refusal = if is_doubtful {
                Refusal::Undelivered
            } else {
                Refusal::Superseded
            };
            return Dispatched {
                failures,
                refusal: Some(refusal),
                durability,
            };
        }
        let least = if is_behind_unfinished {
            durability.max(Durability::Kernel)
        } else {
            durability
        };
        let durability = claimed
            .iter()
            .map(|step| durability_of(step))
            .fold(least, Ord::max);
        let must_wait = durability > Durability::None || self.has_queue(&claimed);
        if must_wait || !self.try_admit(command) {
            Box::pin(self.wait_in_order(command, &claimed, seq, durability)).await;
        }
        let undelivered = if command.is_late() {
            self.forget_assumed(claimed.iter().map(|step| step.device()));
            self.services.counters.commands_expired.increment();
            claimed
                .iter()
                .map(|step| failure_of(step, Refusal::TooLate))
                .collect()
        } else {
            self.acknowledged(self.publish(command, &claimed)).await
        };
        let refusal = match undelivered.last() {
            Some(failure) => Some(failure.refusal.clone()),
            None => is_doubtful.then_some(Refusal::Undelivered),
        };
        failures.extend(undelivered);
        Dispatched {
            failures,
            refusal,
            durability,
        }
    }

    /// Splits a plan into the steps that may still be published and those whose device belongs to a
    /// newer command. From now on no older command can claim the devices, and the next relative
    /// change starts from the value that the device is about to have.
    fn claim<'a>(&self, command: &Command, plan: &'a Plan) -> ClaimedSteps<'a> {
        self.claim_for_short(command.seq);
        let mut order = self.shared.device_order();
        let devices = plan.steps().iter().map(Step::device);
        let is_behind_unfinished = order.decide(command.seq, devices);
        let (claimed, superseded): (StepList<'_>, StepList<'_>) = plan
            .steps()
            .iter()
            .partition(|step| order.claim(step.device(), command.seq));
        drop(order);
        self.drop_reverts(|device| claimed.iter().any(|step| step.device().as_str() == device));
        let home = self.home();
        let mut state = self.shared.state();
        for step in &claimed {
            if let Some(value) = step.target_value() {
                let change = (&step.action().property, value.clone());
                home.assume(&mut state, step.device(), change, now());
            }
        }
        ClaimedSteps {
            claimed,
            superseded,
            is_behind_unfinished,
        }
    }

    /// Returns whether an earlier leader of a pair may have begun the command.
    pub(super) fn may_have_begun(&self, command: &Command) -> bool {
        let replica = self.replica.as_ref();
        replica.is_some_and(|replica| replica.may_have_begun(command.seq))
    }

    /// Splits off the steps that do harm twice, if an earlier leader of a pair may have begun the
    /// command.
    fn without_doubtful<'a>(
        &self,
        command: &Command,
        claimed: StepList<'a>,
    ) -> (StepList<'a>, Vec<ActionFailure>) {
        if !self.may_have_begun(command) {
            return (claimed, Vec::new());
        }
        let is_harmless = |step: &&Step| durability_of(step) == Durability::None;
        let (claimed, doubtful): (StepList<'a>, StepList<'a>) =
            claimed.into_iter().partition(is_harmless);
        self.forget_assumed(doubtful.iter().map(|step| step.device()));
        let failures = doubtful
            .into_iter()
            .map(|step| failure_of(step, Refusal::Undelivered));
        (claimed, failures.collect())
    }

    /// Returns whether an earlier plan for one of the devices waits to be published.
    fn has_queue(&self, steps: &[&Step]) -> bool {
        let devices = steps.iter().map(|step| step.device());
        self.shared.device_order().has_queue(devices)
    }

    /// Returns whether the actions of the command may be begun at once: always without a pair.
    fn try_admit(&self, command: &Command) -> bool {
        let replica = self.replica.as_ref();
        replica.is_none_or(|replica| replica.try_admit(command.seq))
    }

    /// Waits until the plan is durable, the earlier plans for its devices are published, and in a
    /// pair until few enough commands are begun and without a reply.
    ///
    /// An absolute action does not wait for the disk: repeated after a crash it is harmless. Behind
    /// an unfinished command it is handed to the kernel, which takes no time. A plan behind one
    /// that waits keeps its place.
    async fn wait_in_order(
        &self,
        command: &Command,
        steps: &[&Step],
        seq: Option<Seq>,
        durability: Durability,
    ) {
        let since = now();
        let devices = steps.iter().map(|step| step.device());
        let ticket = self.shared.device_order().enqueue(devices);
        let queued = Queued {
            pipeline: self,
            steps,
            ticket,
        };
        // A timer is not in the journal: its own record says that it was started.
        if durability > Durability::None
            && let Some(seq) = seq
        {
            self.plan_publishes(seq, steps);
            self.persist(durability).await;
        }
        queued.until_first().await;
        // In its queue, so that a newer plan for one of its devices does not pass it.
        if let Some(replica) = &self.replica {
            replica.admitted(command.seq, since).await;
        }
    }

    /// Hands the messages to the broker connection, in order.
    fn publish<'a>(&self, command: &Command, steps: &[&'a Step]) -> InFlightActions<'a> {
        let mut in_flight = InFlightActions::with_capacity(steps.len());
        let is_marked = match &self.replica {
            Some(replica) => {
                let planned = steps.iter().map(|step| planned_publish(step));
                replica.begun(command.seq, planned.collect())
            }
            None => true,
        };
        for step in steps {
            if !is_marked {
                in_flight.push(InFlightAction {
                    device: step.device(),
                    action: step.action(),
                    acknowledged: Delivery::ended(Err(Undelivered::Full)),
                });
                continue;
            }
            let outbound = OutboundAction {
                publication: step.publication().clone(),
                device: step.device().into(),
                seq: command.seq,
                deadline: command.deadline,
                repeatable: step.repeatable(),
                hops: command.hops + 1,
            };
            in_flight.push(InFlightAction {
                device: step.device(),
                action: step.action(),
                acknowledged: (self.shared.publish)(outbound),
            });
        }
        in_flight
    }

    /// Waits until the broker has every message, and returns those that failed.
    pub(super) async fn acknowledged(&self, in_flight: InFlightActions<'_>) -> Vec<ActionFailure> {
        let mut failures = Vec::new();
        for published in in_flight {
            match published.acknowledged.await {
                Ok(()) => self.services.counters.actions_delivered.increment(),
                Err(undelivered) => {
                    self.forget_assumed([published.device]);
                    failures.push(ActionFailure {
                        action: published.action.clone(),
                        refusal: refusal_of(&undelivered),
                    });
                }
            }
        }
        failures
    }

    /// Forgets the values that devices were assumed to have after a message that did not arrive.
    fn forget_assumed<'a>(&self, devices: impl IntoIterator<Item = &'a Slug>) {
        let mut state = self.shared.state();
        for device in devices {
            state.discard_assumed(device);
        }
    }
}

/// A plan in the queues of its devices; the next plan proceeds when this is dropped.
struct Queued<'a> {
    pipeline: &'a Pipeline,
    steps: &'a [&'a Step],
    ticket: u64,
}

impl Queued<'_> {
    async fn until_first(&self) {
        let shared = &self.pipeline.shared;
        loop {
            let mut dequeued = std::pin::pin!(shared.dequeued.notified());
            dequeued.as_mut().enable();
            let devices = self.steps.iter().map(|step| step.device());
            if shared.device_order().is_first(self.ticket, devices) {
                return;
            }
            dequeued.await;
        }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let shared = &self.pipeline.shared;
        let devices = self.steps.iter().map(|step| step.device());
        shared.device_order().dequeue(self.ticket, devices);
        shared.dequeued.notify_waiters();
    }
}

fn failure_of(step: &Step, refusal: Refusal) -> ActionFailure {
    ActionFailure {
        action: step.action().clone(),
        refusal,
    }
}

/// Returns how durable a step has to be before it is published. A step that is not harmless twice,
/// or was computed from a state that will have changed, must not be computed again after a crash.
pub(super) fn durability_of(step: &Step) -> Durability {
    let is_relative = matches!(step.action().op, Op::Toggle | Op::Increase | Op::Decrease);
    if is_relative || !step.repeatable() {
        Durability::Disk
    } else {
        Durability::None
    }
}

fn refusal_of(undelivered: &Undelivered) -> Refusal {
    match undelivered {
        Undelivered::Full => Refusal::Busy {
            retry_after: Duration::from_secs(1),
        },
        Undelivered::Late => Refusal::TooLate,
        Undelivered::Closed => Refusal::Stopping,
        Undelivered::Superseded => Refusal::Superseded,
        Undelivered::Refused { .. } => Refusal::BrokerRefused,
        Undelivered::Uncertain => Refusal::Undelivered,
    }
}
