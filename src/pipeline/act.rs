//! Doing what was permitted: in order for each device, in time, and never twice what is not harmless twice.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use super::Understood;
use super::rooms::{Pipeline, Told, now};
use crate::command::Command;
use crate::command::phrase::Phrase;
use crate::command::reply::{Done, Message, Outcome, Refusal, Reply};
use crate::home::Home;
use crate::home::action::{Action, Draft, Op};
use crate::home::binding::Publication;
use crate::home::permit::{Asker, Plan, Step};
use crate::home::slug::Slug;
use crate::store::journal::{Mark, Sending};

/// One message on its way to a device.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Where to, and what.
    pub publication: Publication,
    /// The device and property it decides: `lamp/power`.
    pub subject: String,
    /// After this it must not leave.
    pub deadline: Instant,
    /// True where it may be sent again after a broken connection.
    pub repeatable: bool,
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
    /// The broker would not have it.
    Refused,
    /// It left, and nobody knows whether it arrived.
    Uncertain,
}

/// Takes a parcel at once, in order; the future ends when the broker has it.
pub type Deliver = Box<dyn Fn(Parcel) -> Pin<Box<dyn Future<Output = Result<(), Undelivered>> + Send>> + Send + Sync>;

impl Pipeline {
    pub(super) async fn act(&self, command: &Command, mark: Option<Mark>, plan: &Plan, told: &mut Told) -> Result<(), Refusal> {
        let devices = || plan.steps().iter().map(Step::device);
        self.expect(plan);
        // What is absolute does not wait for the disk: done again after a crash it is harmless.
        // Everything else is in the journal first, and a plan behind it for the same device keeps its place.
        if plan.steps().iter().any(is_delicate) || self.turns().anyone_waits(devices()) {
            self.turns().wait(devices());
            if let Some(mark) = mark {
                self.rooms.journal.sending(mark, plan.steps().iter().map(sending).collect());
            }
            self.rooms.journal.synced().await;
            self.turns().go(devices());
        }
        if now() >= command.deadline {
            self.forget(devices());
            self.rooms.tally.late();
            return Err(Refusal::TooLate);
        }
        let mut on_their_way = Vec::with_capacity(plan.steps().len());
        for step in plan.steps() {
            if self.turns().take(step.device(), command.turn) {
                let subject = format!("{}/{}", step.device(), step.action().property);
                let parcel = Parcel { publication: step.publish().clone(), subject, deadline: command.deadline, repeatable: step.repeatable() };
                on_their_way.push((step, (self.deliver)(parcel)));
            } else {
                self.rooms.tally.superseded();
                told.not_done(step, "superseded");
            }
        }
        if on_their_way.is_empty() {
            return Err(Refusal::Superseded);
        }
        let mut result = Ok(());
        for (step, delivery) in on_their_way {
            match delivery.await {
                Ok(()) => self.rooms.tally.acted(),
                Err(why) => {
                    self.forget([step.device()]);
                    let refusal = refusal(why);
                    told.not_done(step, refusal.code());
                    result = Err(refusal);
                }
            }
        }
        result
    }

    /// What a dry run shows: each action by itself, with the messages it comes to, or why there are none.
    pub(super) fn rehearse(&self, command: &Command, phrase: &Phrase, understood: &Understood, home: &Home) -> Vec<Done> {
        let speech = self.rooms.local.speech(phrase);
        let asker = Asker { source: command.source.as_str(), command: &command.id, confirmed: understood.confirmed, now: now(), speech };
        let state = self.state();
        let alone = |action: &Action| home.permit(&Draft { actions: vec![action.clone()], ..Draft::default() }, &state, asker);
        let rehearsed = understood.draft.actions.iter().map(|action| {
            let mut done = Done::from(action.clone());
            match alone(action) {
                Ok(plan) if plan.steps().is_empty() => done.why = Some("a question, answered from state".to_owned()),
                Ok(plan) => done.publish = Some(plan.steps().iter().map(|step| Message::from(step.publish())).collect()),
                Err(denied) => done.why = Some(denied.sentence(speech)),
            }
            done
        });
        rehearsed.collect()
    }

    /// Takes up a command that an earlier life had come to send: what is harmless twice is sent again, the rest is told as uncertain.
    pub async fn resume(&self, command: &Command, mark: Mark, sending: Vec<Sending>) -> Reply {
        let speech = self.rooms.local.speech(&Phrase::of(command));
        let mut told = Told::default();
        let mut result = Ok(());
        let in_time = now() < command.deadline;
        for step in sending {
            let again = step.repeatable && in_time && Slug::new(&step.device).is_ok_and(|device| self.turns().take(&device, command.turn));
            let publication = Publication::new(step.topic, step.payload);
            let parcel =
                Parcel { subject: format!("{}/{}", step.device, publication.topic), publication, deadline: command.deadline, repeatable: step.repeatable };
            if !again || (self.deliver)(parcel).await.is_err() {
                result = Err(Refusal::Undelivered);
            }
        }
        if result.is_ok() {
            told.speech.clone_from(&speech.resumed);
        }
        let reply = told.reply(command, result, speech, now());
        self.rooms.journal.answered(mark, &reply);
        self.book(command, &reply);
        debug_assert!(matches!(reply.outcome, Outcome::Done | Outcome::Failed));
        reply
    }

    /// The next relative change starts from what is about to be, not from what the device said last.
    fn expect(&self, plan: &Plan) {
        let mut state = self.state();
        for step in plan.steps() {
            if let Some(value) = step.becomes() {
                state.told(step.device(), &step.action().property, value.clone(), now());
            }
        }
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

fn sending(step: &Step) -> Sending {
    let publication = step.publish();
    Sending { device: step.device().to_string(), topic: publication.topic.clone(), payload: publication.payload.clone(), repeatable: step.repeatable() }
}

fn refusal(why: Undelivered) -> Refusal {
    match why {
        Undelivered::Full => Refusal::Busy { retry_after: std::time::Duration::from_secs(1) },
        Undelivered::Late => Refusal::TooLate,
        Undelivered::Superseded => Refusal::Superseded,
        Undelivered::Refused => Refusal::BrokerRefused,
        Undelivered::Uncertain => Refusal::Undelivered,
    }
}
