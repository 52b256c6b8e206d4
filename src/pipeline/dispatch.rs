//! Doing what was permitted: in order for each device, in time, and never twice what is not harmless twice.

use std::borrow::Borrow;
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use crate::binding::Publication;
use crate::clock::now;
use crate::command::Command;
use crate::command::phrase::Phrase;
use crate::command::reply::{Done, Message, Refusal, Reply};
use crate::home::Home;
use crate::home::permit::{PermitContext, Plan, Step};
use crate::pipeline::Interpretation;
use crate::pipeline::services::{Pipeline, ReplyBuilder};
use crate::store::journal::{PlannedPublish, Seq};
use crate::vocabulary::action::{Action, Draft, Op};
use crate::vocabulary::slug::Slug;

/// One message on its way to a device.
#[derive(Debug, Clone)]
pub struct OutboundAction {
    /// Where to, and what.
    pub publication: Publication,
    /// The device it commands.
    pub device: String,
    /// Sequence number of the command.
    pub seq: u64,
    /// After this it must not leave.
    pub deadline: Instant,
    /// True where it may be sent again after a broken connection.
    pub repeatable: bool,
    /// How often what was said has gone through sayso, this time included.
    pub hops: u8,
}

/// Why a message did not arrive, or may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undelivered {
    /// There was no room for it: it was not sent.
    Full,
    /// Its time ran out before it left.
    Late,
    /// The connection broke, and a newer one on its subject took its place.
    Superseded,
    /// sayso stopped before it left.
    Stopping,
    /// The broker would not have it.
    Refused,
    /// It left, and nobody knows whether it arrived.
    Uncertain,
}

/// Takes a parcel at once, in order; the future ends when the broker has it.
pub type PublishFn = Box<dyn Fn(OutboundAction) -> PublishFuture + Send + Sync>;

/// A parcel on its way.
pub type PublishFuture = Pin<Box<dyn Future<Output = Result<(), Undelivered>> + Send>>;

impl Pipeline {
    pub(super) async fn act(
        &self,
        command: &Command,
        mark: Option<Seq>,
        plan: &Plan,
        told: &mut ReplyBuilder,
    ) -> Result<(), Refusal> {
        let steps = self.claim(command, plan, told);
        if steps.is_empty() {
            return Err(Refusal::Superseded);
        }
        let devices = || steps.iter().map(|step| step.device());
        // What is absolute does not wait for the disk: done again after a crash it is harmless. What a model made of it is given
        // to the kernel first, for it may make something else of it. Everything else is in the journal before it is sent, and
        // whatever comes behind it for the same device keeps its place.
        told.delicate |= steps.iter().any(|step| is_delicate(step));
        told.once |= told.delicate;
        if told.once || self.turns().anyone_waits(devices()) {
            let place = self.turns().line_up(devices());
            if told.once {
                if let Some(mark) = mark {
                    self.rooms
                        .journal
                        .sending(mark, steps.iter().map(|step| sending(step)).collect());
                }
                self.written(told.delicate).await;
            }
            self.until_first(place, &steps).await;
            self.turns().go(place, devices());
            self.moved.notify_waiters();
        }
        if now() >= command.deadline {
            self.forget(devices());
            self.rooms.counters.commands_expired.increment();
            return Err(Refusal::TooLate);
        }
        let parcels = steps.iter().map(|step| {
            let parcel = OutboundAction {
                publication: step.publish().clone(),
                device: step.device().to_string(),
                seq: command.turn,
                deadline: command.deadline,
                repeatable: step.repeatable(),
                hops: command.hops + 1,
            };
            (step.device(), step.action(), (self.deliver)(parcel))
        });
        let on_their_way = parcels.collect::<Vec<_>>();
        self.arrive(on_their_way, told).await
    }

    /// Waits until the journal survives a crash; where what it holds is delicate, a power cut too.
    pub(super) async fn written(&self, delicate: bool) {
        if delicate {
            self.rooms.journal.synced().await;
        } else {
            self.rooms.journal.outlives().await;
        }
    }

    /// The steps that may still be taken: no newer command has spoken to their devices, and from now on no older one will.
    /// The next relative change starts from what is about to be, not from what the device said last.
    fn claim<'a>(
        &self,
        command: &Command,
        plan: &'a Plan,
        told: &mut ReplyBuilder,
    ) -> Vec<&'a Step> {
        let (mut turns, mut state) = (self.turns(), self.state());
        let (mine, gone): (Vec<_>, Vec<_>) = plan
            .steps()
            .iter()
            .partition(|step| turns.take(step.device(), command.turn));
        for step in &mine {
            if let Some(value) = step.becomes() {
                state.told(step.device(), &step.action().property, value.clone(), now());
            }
        }
        for step in gone {
            self.rooms.counters.actions_superseded.increment();
            told.not_done(step.action(), "superseded");
        }
        mine
    }

    /// Waits for those that stand before this plan at its devices.
    async fn until_first(&self, place: u64, steps: &[&Step]) {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            if self
                .turns()
                .is_first(place, steps.iter().map(|step| step.device()))
            {
                return;
            }
            moved.await;
        }
    }

    /// Waits until the broker has taken everything.
    async fn arrive(
        &self,
        on_their_way: Vec<(impl Borrow<Slug>, &Action, PublishFuture)>,
        told: &mut ReplyBuilder,
    ) -> Result<(), Refusal> {
        let mut result = Ok(());
        for (device, action, delivery) in on_their_way {
            match delivery.await {
                Ok(()) => self.rooms.counters.actions_delivered.increment(),
                Err(why) => {
                    self.forget([device.borrow()]);
                    let refusal = refusal(why);
                    told.not_done(action, refusal.code());
                    result = Err(refusal);
                }
            }
        }
        result
    }

    /// What a dry run shows: each action by itself, with the messages it comes to, or why there are none.
    pub(super) fn rehearse(
        &self,
        command: &Command,
        phrase: &Phrase,
        understood: &Interpretation,
        home: &Home,
    ) -> Vec<Done> {
        let speech = self.rooms.local.speech(phrase);
        let asker = PermitContext {
            source: command.source.as_str(),
            command: &command.id,
            confirmed: understood.confirmed,
            now: now(),
            speech,
        };
        let state = self.state();
        let alone = |action: &Action| {
            home.permit(
                &Draft {
                    actions: vec![action.clone()],
                    ..Draft::default()
                },
                &state,
                asker,
            )
        };
        let rehearsed = understood.draft.actions.iter().map(|action| {
            let mut done = Done::from(action.clone());
            match alone(action) {
                Ok(plan) if plan.steps().is_empty() => {
                    done.why = Some("a question, answered from state".to_owned());
                }
                Ok(plan) => {
                    done.publish = Some(
                        plan.steps()
                            .iter()
                            .map(|step| Message::from(step.publish()))
                            .collect(),
                    );
                }
                Err(denied) => done.why = Some(denied.sentence(speech)),
            }
            done
        });
        rehearsed.collect()
    }

    /// Takes up a command that an earlier life had come to send: what is harmless twice is sent again, the rest is told as uncertain.
    pub async fn resume(
        &self,
        command: &Command,
        mark: Seq,
        sending: Vec<PlannedPublish>,
    ) -> Reply {
        self.rooms.journal.begun(mark).await;
        let speech = self.rooms.local.speech(&Phrase::of(command));
        let mut told = ReplyBuilder::default();
        told.actions = sending
            .iter()
            .map(|step| Done::from(step.action.clone()))
            .collect();
        let (mut result, mut on_their_way) = (Ok(()), Vec::new());
        for step in &sending {
            let device = Slug::new(&step.action.device)
                .ok()
                .filter(|_| step.repeatable && now() < command.deadline);
            let Some(device) = device.filter(|device| self.turns().take(device, command.turn))
            else {
                // It may have been sent before the crash; nobody knows.
                told.not_done(&step.action, Refusal::Undelivered.code());
                result = Err(Refusal::Undelivered);
                continue;
            };
            if let Some(value) = &step.becomes {
                self.state()
                    .told(&device, &step.action.property, value.clone(), now());
            }
            let publication = Publication::new(step.topic.clone(), step.payload.clone());
            let parcel = OutboundAction {
                device: device.to_string(),
                seq: command.turn,
                publication,
                deadline: command.deadline,
                repeatable: true,
                hops: command.hops + 1,
            };
            on_their_way.push((device, &step.action, (self.deliver)(parcel)));
        }
        result = self
            .arrive(on_their_way, &mut told)
            .await
            .map_err(|_| Refusal::Undelivered)
            .and(result);
        if result.is_ok() {
            told.speech.clone_from(&speech.resumed);
        }
        let reply = told.reply(command, result, speech, now());
        self.rooms.journal.answered(mark, &reply);
        self.rooms.journal.synced().await;
        self.book(command, &reply);
        reply
    }

    /// Gives up a command that was begun in too many lives: it may be what ended them.
    pub async fn bury(&self, command: &Command, mark: Seq) -> Reply {
        let speech = self.rooms.local.speech(&Phrase::of(command));
        let reply = ReplyBuilder::default().reply(command, Err(Refusal::Dead), speech, now());
        self.rooms.journal.answered(mark, &reply);
        self.rooms.journal.synced().await;
        self.book(command, &reply);
        tracing::error!(command_id = command.id, source = %command.source, "a command was begun and not finished three times: given up, see the dead letters");
        reply
    }

    /// What was expected did not happen: better to know nothing.
    fn forget<'a>(&self, devices: impl IntoIterator<Item = &'a Slug>) {
        let mut state = self.state();
        for device in devices {
            state.forget_told(device);
        }
    }
}

/// True of what may not be worked out again after a crash: what is not harmless twice, and what was made absolute from a state
/// that will have changed.
fn is_delicate(step: &Step) -> bool {
    !step.repeatable() || matches!(step.action().op, Op::Toggle | Op::Increase | Op::Decrease)
}

fn sending(step: &Step) -> PlannedPublish {
    let publication = step.publish();
    PlannedPublish {
        action: step.action().clone(),
        becomes: step.becomes().cloned(),
        topic: publication.topic.clone(),
        payload: publication.payload.clone(),
        repeatable: step.repeatable(),
    }
}

fn refusal(why: Undelivered) -> Refusal {
    match why {
        Undelivered::Full => Refusal::Busy {
            retry_after: std::time::Duration::from_secs(1),
        },
        Undelivered::Late => Refusal::TooLate,
        Undelivered::Stopping => Refusal::Stopping,
        Undelivered::Superseded => Refusal::Superseded,
        Undelivered::Refused => Refusal::BrokerRefused,
        Undelivered::Uncertain => Refusal::Undelivered,
    }
}
