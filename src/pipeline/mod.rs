//! THE WAY OF A COMMAND, top to bottom: understood at home? recalled? admitted? asked and read; permitted; acted; answered.
//! Knows no MQTT: what is to be sent goes out through [`act::PublishFn`], which `daemon.rs` ties to the outbox.

mod admin;
pub mod admission;
mod confirmation;
mod device_order;
mod dispatch;
#[cfg(test)]
mod model_test;
mod services;
pub mod single_flight;
mod status;
use std::sync::Arc;

use tracing::{Instrument, debug_span};

pub use crate::pipeline::dispatch::{OutboundAction, PublishFn, PublishFuture, Undelivered};
pub use crate::pipeline::services::{CommandOrder, Pipeline, Services, Speak};

use crate::cache::Key;
use crate::clock::now;
use crate::command::Command;
use crate::command::phrase::Phrase;
use crate::command::reply::{Outcome, Refusal, Reply};
use crate::grammar::When;
use crate::home::Home;
use crate::home::permit::{Denied, PermitContext, Plan};
use crate::pipeline::services::ReplyBuilder;
use crate::prompt::rights_class;
use crate::router::RoutedAnswer;
use crate::router::answer_stream::AnswerStream;
use crate::store::journal::Seq;
use crate::vocabulary::action::Draft;

/// A command on its way to being understood.
struct Request<'a> {
    command: &'a Command,
    phrase: &'a Phrase,
}

/// A phrase understood: what it was taken to mean, and by whom.
struct Interpretation {
    draft: Draft,
    /// `local`, `cache`, or the provider's name.
    via: String,
    /// Where to keep it once it has passed the gate, and which model's it is; only a model's answer has one.
    keep: Option<(Key, Arc<str>)>,
    /// True where it is the yes to a question.
    confirmed: bool,
}

impl Pipeline {
    /// Takes a command all the way, and gives its one reply. `mark` is its place in the journal,
    /// where it has one.
    pub async fn answer(&self, command: &Command, mark: Option<Seq>) -> Reply {
        let _in_order = self.in_order(&command.source).await;
        if let Some(mark) = mark {
            self.rooms.journal.begun(mark).await;
        }
        let mut told = ReplyBuilder::default();
        let span = debug_span!("command", command_id = command.id);
        let phrase = Phrase::of(command); //                              what was said, made canonical
        let result = self
            .follow(command, &phrase, mark, &mut told)
            .instrument(span)
            .await;
        let (voice, once, delicate) = (told.voice.take(), told.once, told.delicate);
        let reply = told.reply(command, result, self.rooms.local.speech(&phrase), now());
        if let Some(voice) = &voice {
            voice.end((reply.outcome == Outcome::Answered).then_some(&reply.speech));
        }
        if let Some(mark) = mark {
            self.rooms.journal.answered(mark, &reply);
            let done = matches!(
                reply.outcome,
                Outcome::Done | Outcome::Answered | Outcome::Unclear
            );
            if once || !done {
                self.written(delicate || !done).await; //                 what would come to something else after a crash is not said before
            }
        }
        self.book(command, &reply);
        reply
    }

    async fn follow(
        &self,
        command: &Command,
        phrase: &Phrase,
        mark: Option<Seq>,
        told: &mut ReplyBuilder,
    ) -> Result<(), Refusal> {
        if now() >= command.deadline {
            self.rooms.counters.commands_expired.increment();
            return Err(Refusal::TooLate);
        }
        let home = self.home(); //                                        what exists at this moment
        let asked = Request { command, phrase };
        let understood = self.understand(&asked, &home, told).await?; //  what is meant, not yet believed
        told.understood(&understood);
        if command.dry_run {
            told.actions = self.rehearse(command, phrase, &understood, &home);
        }
        let plan = self.permit(command, phrase, &understood, &home); //   the one gate to the devices
        if let Some((key, model)) = &understood.keep {
            let passed = !matches!(plan, Err(Refusal::NotPermitted { .. }));
            self.rooms
                .recall
                .keep(key, model, &understood.draft, passed); // what did not pass only for a moment
        }
        let plan = plan?;
        told.planned(&plan);
        if command.dry_run || plan.steps().is_empty() {
            return Ok(());
        }
        self.act(command, mark, &plan, told).await //                     sent, and taken by the broker
    }

    async fn understand(
        &self,
        asked: &Request<'_>,
        home: &Home,
        told: &mut ReplyBuilder,
    ) -> Result<Interpretation, Refusal> {
        let Request { command, phrase } = *asked;
        told.voice = self.voice(command, || false); //                  where it is asked for, it is told in pieces
        if let Some(settled) = self.settle(command, phrase) {
            return settled; //                                            the yes or no to a question of ours
        }
        let rooms = &self.rooms;
        let here = |via: &str, draft| Interpretation {
            draft,
            via: via.to_owned(),
            keep: None,
            confirmed: false,
        };
        if rooms.local.when() == When::First
            && let Some(draft) = rooms.local.draft(phrase, home)
        {
            rooms.counters.commands_understood_locally.increment();
            return Ok(here("local", draft)); //                           certain, or silent
        }
        if told.voice.is_none() {
            told.voice = self.voice(command, || rooms.local.wants_long_answer(phrase)); // a long answer is told while it comes
        }
        let class = rights_class(home.rights(), command.source.as_str());
        let key = rooms
            .recall
            .key(phrase, rooms.composer.edition(home), class);
        if let Some(said) = rooms.recall.said(&key) {
            rooms.counters.cache_hits.increment();
            return said.map(|draft| here("cache", draft)); //             said before: costs nothing
        }
        rooms.counters.cache_misses.increment();
        match self.ask(asked, home, &key, told.voice.clone()).await {
            Ok(answer) => Ok(Interpretation {
                draft: answer.draft,
                via: answer.provider.to_string(),
                keep: Some((key, answer.model)),
                confirmed: false,
            }),
            Err(
                refusal @ (Refusal::NoModel
                | Refusal::NobodyAnswered { .. }
                | Refusal::OverBudget { .. }),
            ) if rooms.local.when() == When::Last => rooms
                .local
                .draft(phrase, home)
                .map(|draft| here("local", draft))
                .ok_or(refusal),
            Err(refusal) => {
                rooms.recall.keep_refusal(&key, &refusal);
                Err(refusal)
            }
        }
    }

    /// Asks a model: within the quota, one question for equal phrases in flight, retried and failed over inside the deadline.
    async fn ask(
        &self,
        asked: &Request<'_>,
        home: &Home,
        key: &Key,
        voice: Option<Arc<AnswerStream>>,
    ) -> Result<RoutedAnswer, Refusal> {
        let (rooms, source) = (&self.rooms, &asked.command.source);
        if rooms.ask.is_empty() {
            return Err(rooms.no_model(asked.phrase));
        }
        // Whoever joins a question costs nothing, and takes no place.
        if !self.flight.is_under_way(key) {
            rooms
                .admit
                .one(source)
                .inspect_err(|_| rooms.counters.commands_rate_limited.increment())?;
        }
        let deadline = asked.command.deadline.min(now() + self.patience);
        let ask = || async {
            let _place = self
                .questions
                .try_acquire()
                .map_err(|_| self.too_many_questions())?;
            let prompt = rooms.composer.compose(asked.phrase, home, source.as_str());
            rooms.ask.first(&prompt, deadline, voice.clone()).await
        };
        tokio::select! {
            shared = self.flight.share(key, ask) => {
                if shared.joined {
                    rooms.counters.model_requests_shared.increment();
                }
                shared.answer
            }
            () = self.closing() => Err(Refusal::Stopping),
        }
    }

    fn permit(
        &self,
        command: &Command,
        phrase: &Phrase,
        understood: &Interpretation,
        home: &Home,
    ) -> Result<Plan, Refusal> {
        let (draft, speech) = (&understood.draft, self.rooms.local.speech(phrase));
        if let Some(question) = &draft.question {
            if !command.dry_run && !draft.choices.is_empty() {
                self.consent().ask(&command.source, draft.clone(), now());
            }
            return Err(Refusal::Unclear {
                question: question.clone(),
            });
        }
        let asker = PermitContext {
            source: command.source.as_str(),
            command: &command.id,
            confirmed: understood.confirmed,
            now: now(),
            speech,
        };
        home.permit(draft, &self.state(), asker)
            .map_err(|denied| match denied {
                Denied::Unconfirmed { question } => {
                    if !command.dry_run {
                        self.consent().ask(&command.source, draft.clone(), now());
                    }
                    Refusal::Unclear { question }
                }
                Denied::StateUnknown { .. } => Refusal::Unclear {
                    question: denied.sentence(speech),
                },
                denied => {
                    self.rooms.counters.actions_denied.increment();
                    Refusal::NotPermitted {
                        why: denied.sentence(speech),
                    }
                }
            })
    }

    /// The answer to a question of ours, where one stands for this source: do it, or leave it.
    fn settle(
        &self,
        command: &Command,
        phrase: &Phrase,
    ) -> Option<Result<Interpretation, Refusal>> {
        // Whatever else is said withdraws the question: a yes said later must not be taken for an answer to it.
        let draft = self.consent().take(&command.source, now())?;
        if !draft.choices.is_empty() {
            return Some(Ok(Interpretation {
                draft: self.rooms.local.answer(phrase, &draft)?,
                via: "local".to_owned(),
                keep: None,
                confirmed: false,
            }));
        }
        let yes = self.rooms.local.confirmation(phrase)?;
        let left = Draft {
            speech: Some(self.rooms.local.speech(phrase).left.clone()),
            ..Draft::default()
        };
        let draft = if yes { draft } else { left };
        Some(Ok(Interpretation {
            draft,
            via: "local".to_owned(),
            keep: None,
            confirmed: yes,
        }))
    }
}
