//! The path of a command, top to bottom: wait for its turn, understand, permit, dispatch, reply.
//!
//! Knows no MQTT: messages are handed to [`PublishFn`], which the daemon connects to the outbox.
//! Each step takes values and returns values; the reply is built in one place, `reply.rs`.

mod admin;
pub mod admission;
mod aptitude;
mod aptitude_run;
mod condition_speech;
mod conditional;
mod confirmation;
mod construction;
mod conversation;
mod delivery;
mod device_order;
mod dialogue;
mod dispatch;
mod dry_run;
mod due_time;
mod examples;
mod firing;
mod follow_up;
mod for_a_while;
mod handle;
mod home_updates;
mod interpretation;
mod model_request;
#[cfg(test)]
mod model_test;
mod model_waiters;
mod orphaned_rules;
mod players;
mod publish;
mod questions;
mod replica;
mod reply;
mod report_wait;
mod rule_states;
mod services;
mod settings;
mod shared;
mod shared_result;
#[cfg(test)]
pub mod simulated_model;
pub mod single_flight;
mod source_order;
mod state_budget;
mod status;
mod time_speech;
mod timed;
mod timer_requests;
mod timer_set;
mod timer_store;
mod timer_writes;
mod uncertain;
mod undo;
mod unfinished_commands;
mod unknown_area;

use std::sync::Arc;
use std::time::Instant;

use tracing::{Instrument, debug, debug_span};

use crate::cache::Key;
use crate::clock::now;
use crate::command::Command;
use crate::command::phrase::Phrase;
use crate::command::reply::{Outcome, Refusal, Reply, Via};
use crate::grammar::When;
use crate::grammar::explain::Explanation;
use crate::home::Home;
use crate::home::permit::{Denied, PermitRequest, Plan};
use crate::pipeline::dispatch::Dispatched;
use crate::pipeline::interpretation::{Interpretation, Request, is_doubtful, is_doubtful_after};
use crate::pipeline::questions::QuestionAnswer;
use crate::pipeline::reply::{Handled, Success};
use crate::pipeline::shared_result::ModelAnswer;
use crate::pipeline::unknown_area::unknown_area;
use crate::prompt::rights_class;
use crate::router::RoutedAnswer;
use crate::router::answer_stream::AnswerStream;
use crate::router::settings::Streaming;
use crate::store::journal::Seq;
use crate::vocabulary::action::{Draft, Op};

pub use crate::pipeline::delivery::InProgress;
pub use crate::pipeline::firing::TimerEvent;
pub use crate::pipeline::handle::{Pipeline, StreamFn};
pub use crate::pipeline::publish::{OutboundAction, PublishFn};
pub use crate::pipeline::replica::Replica;
pub use crate::pipeline::reply::CommandAnswer;
pub use crate::pipeline::report_wait::ReportWait;
pub use crate::pipeline::services::Services;
pub use crate::pipeline::settings::{CommandOrder, PipelineSettings};

impl Pipeline {
    /// Processes a command and returns its one reply. `seq` is its entry in the journal, if any.
    pub async fn answer(&self, command: &Command, seq: Option<Seq>) -> Reply {
        self.answer_in_full(command, seq).await.reply
    }

    /// Processes a command like [`answer`](Self::answer), and returns the encoded reply and the
    /// states to wait for as well.
    pub async fn answer_in_full(&self, command: &Command, seq: Option<Seq>) -> CommandAnswer {
        let phrase = Phrase::of(command);
        let pending = (!command.dry_run).then(|| self.pending(command));
        let stream = self.answer_stream(command, &phrase);
        let span = debug_span!("command", command_id = command.id.as_str());
        let mut handled = self
            .handle_in_order(command, &phrase, seq, stream.as_ref())
            .instrument(span)
            .await;
        if self.may_have_begun(command) {
            handled = handled.uncertain_where_refused();
        }
        handled = self.uncertain_where_late(command, handled);
        let report_wait = handled.report_wait.take();
        let durability = handled.durability;
        let earlier = std::mem::take(&mut handled.earlier);
        let reference = handled.reference.clone();
        let reply = handled.into_reply(command, self.services.grammar.speech(&phrase), now());
        // It can be long, and the disk is waited for below.
        drop(phrase);
        self.remember(command, reference, earlier, &reply);
        drop(pending);
        if let Some(stream) = &stream {
            let is_answer = reply.outcome == Outcome::Answered;
            stream.end(is_answer.then_some(&reply.speech));
        }
        let payload = self.commit(command, seq, &reply, durability).await;
        CommandAnswer {
            reply,
            payload,
            report_wait,
        }
    }

    /// Handles a command, with `order = "source"` after the earlier commands of the same source.
    async fn handle_in_order(
        &self,
        command: &Command,
        phrase: &Phrase,
        seq: Option<Seq>,
        stream: Option<&Arc<AnswerStream>>,
    ) -> Handled {
        let _turn = match self.settings.order {
            CommandOrder::Device => None,
            CommandOrder::Source => {
                let wait = self
                    .shared
                    .source_order
                    .wait(&command.source, command.deadline);
                match Box::pin(wait).await {
                    Ok(turn) => Some(turn),
                    Err(refusal) => return Handled::refused(refusal),
                }
            }
        };
        if let Some(seq) = seq {
            self.services.journal.persist_if_suspect(seq).await;
        }
        self.handle(command, phrase, seq, stream).await
    }

    async fn handle(
        &self,
        command: &Command,
        phrase: &Phrase,
        seq: Option<Seq>,
        stream: Option<&Arc<AnswerStream>>,
    ) -> Handled {
        if command.is_late() {
            self.services.counters.commands_expired.increment();
            return Handled::refused(Refusal::TooLate);
        }
        let home = self.home();
        let request = Request {
            command,
            phrase,
            home: &home,
        };
        let answer = self.answer_to_question(&request);
        let is_known = matches!(answer, QuestionAnswer::Known(_));
        if self.services.grammar.when() != When::Never && !is_known {
            if let Some(handled) = self.handle_examples(&request) {
                return handled;
            }
            // Boxed like all rare paths below: the task of an everyday command stays small.
            if let Some(asked) = self.timer_request(&request)
                && let Some(handled) = Box::pin(self.handle_timer_request(&request, asked)).await
            {
                return handled;
            }
        }
        let understood = match answer {
            QuestionAnswer::Known(answer) => *answer,
            QuestionAnswer::ForModel(exchange) => {
                self.understand(&request, Some(exchange), stream).await
            }
            QuestionAnswer::None => self.understand(&request, None, stream).await,
        };
        // The home may have changed while a model was asked: its rights and risks of now apply.
        let home = self.home();
        let request = Request {
            home: &home,
            ..request
        };
        let interpretation = match understood {
            Ok(interpretation) => self.choose_player(interpretation, &home),
            Err(refusal) => {
                debug!(text = command.logged_text(), why = %refusal.code(), "not understood");
                return Handled::refused(refusal);
            }
        };
        if !is_known && let Some(refusal) = unknown_area(&request, &interpretation) {
            return Handled::refused(refusal);
        }
        debug!(
            text = command.logged_text(),
            via = %interpretation.via,
            actions = ?interpretation.draft.actions,
            question = interpretation.draft.question,
            "understood"
        );
        self.execute(&request, interpretation, seq).await
    }

    /// Executes an interpretation now, or keeps it for its time or its condition.
    async fn execute(
        &self,
        request: &Request<'_>,
        interpretation: Interpretation,
        seq: Option<Seq>,
    ) -> Handled {
        if let Some(condition) = interpretation.draft.condition.clone()
            && interpretation.draft.question.is_none()
        {
            let handled = self.handle_conditional(request, interpretation, condition, seq);
            return Box::pin(handled).await;
        }
        if let Some(timing) = interpretation.draft.timing.clone()
            && interpretation.draft.question.is_none()
        {
            return Box::pin(self.handle_timed(request, &interpretation, &timing, seq)).await;
        }
        self.permit_and_dispatch(request, &interpretation, seq)
            .await
    }

    /// Passes an interpretation through the permission gate, and publishes the plan.
    async fn permit_and_dispatch(
        &self,
        request: &Request<'_>,
        interpretation: &Interpretation,
        seq: Option<Seq>,
    ) -> Handled {
        let command = request.command;
        let permitted = self.permit(request, interpretation);
        self.keep_draft(interpretation, &permitted);
        let handled = Handled::understood(interpretation);
        if command.dry_run {
            let reports = self.rehearse(request, interpretation);
            return handled
                .with_actions(reports)
                .with_result(permitted.map(Success::of));
        }
        match permitted {
            Err(refusal) => handled.with_result(Err(refusal)),
            Ok(plan) if plan.steps().is_empty() => handled.with_result(Ok(Success::of(plan))),
            Ok(plan) => {
                let durability = interpretation.durability();
                let earlier = self.states_before(&plan);
                let since = now();
                let dispatched = self.dispatch(command, seq, &plan, durability).await;
                let report_wait = self.expected_states(command, (&plan, &dispatched), since);
                let speech = self.services.grammar.speech(request.phrase);
                handled
                    .with_dispatched(plan, &dispatched, request.home, speech)
                    .with_earlier(earlier)
                    .with_report_wait(report_wait)
            }
        }
    }

    /// Returns the states of devices to wait for after a plan, unless the configuration turns this
    /// off.
    fn expected_states(
        &self,
        command: &Command,
        published: (&Plan, &Dispatched),
        since: Instant,
    ) -> Option<ReportWait> {
        if !self.settings.awaits_reports {
            return None;
        }
        let counters = &self.services.counters;
        ReportWait::expected(&self.shared, counters, command, published, since)
    }

    /// Finds the meaning of a command, from the cheapest source to the most expensive one.
    /// `exchange` is the open question of a model that the command may answer.
    async fn understand(
        &self,
        request: &Request<'_>,
        exchange: Option<String>,
        stream: Option<&Arc<AnswerStream>>,
    ) -> Result<Interpretation, Refusal> {
        let Request {
            command,
            phrase,
            home,
        } = *request;
        let services = &self.services;
        if services.grammar.when() == When::First
            && let Some(understood) = self.understand_locally(request).await
        {
            services.counters.commands_understood_locally.increment();
            return understood;
        }
        let earlier = match exchange {
            Some(exchange) => vec![exchange],
            None => self.earlier_for_model(request),
        };
        if earlier.is_empty() && services.grammar.is_bare_answer(phrase) {
            return Err(Refusal::NoQuestion);
        }
        if !earlier.is_empty() {
            return Box::pin(self.ask_about_earlier(request, &earlier, stream)).await;
        }
        let key = self.draft_key(phrase, home, command.source.as_str());
        if let Some(cached) = services.cache.said(&key) {
            services.counters.cache_hits.increment();
            return cached.map(|draft| Interpretation::new(draft, Via::Cache));
        }
        let answer = Box::pin(self.ask_model(request, &key, stream)).await;
        if matches!(answer, Ok(ModelAnswer::OfOtherNode(_))) {
            services.counters.cache_hits.increment();
        } else {
            services.counters.cache_misses.increment();
        }
        match answer {
            Ok(ModelAnswer::OfOtherNode(draft)) => Ok(Interpretation::new(draft, Via::Cache)),
            Ok(ModelAnswer::Own(answer)) => {
                let is_doubtful =
                    !answer.trusted && is_doubtful(&answer, request, &services.grammar);
                let is_doubtful = is_doubtful || !self.may_execute(&answer).await;
                Ok(Interpretation {
                    is_doubtful,
                    // A draft that has to be confirmed is confirmed each time.
                    model_draft: (!is_doubtful).then_some((key, answer.origin)),
                    ..Interpretation::new(answer.answer, Via::Provider(answer.provider))
                })
            }
            Err(refusal) => {
                let fallback = self.local_fallback(request, &refusal);
                if fallback.is_none() {
                    services.cache.keep_refusal(&key, &refusal);
                }
                fallback.ok_or(refusal)
            }
        }
    }

    /// Returns the key under which the draft of a phrase from `source` is cached.
    fn draft_key(&self, phrase: &Phrase, home: &Home, source: &str) -> Key {
        let class = rights_class(home.rights(), source);
        let fingerprint = self.services.composer.fingerprint(home);
        self.services.cache.key(phrase, fingerprint, class)
    }

    /// Asks a model for the meaning of a phrase that refers to earlier commands. The draft depends
    /// on them, so it is not cached.
    async fn ask_about_earlier(
        &self,
        request: &Request<'_>,
        earlier: &[String],
        stream: Option<&Arc<AnswerStream>>,
    ) -> Result<Interpretation, Refusal> {
        let answer = self.ask_model_after(request, earlier, stream).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(refusal) => {
                let fallback = self.local_fallback(request, &refusal);
                return fallback.ok_or(refusal);
            }
        };
        let grammar = &self.services.grammar;
        let is_doubtful = !answer.trusted && is_doubtful_after(&answer, request, earlier, grammar);
        Ok(Interpretation {
            is_doubtful: is_doubtful || !self.may_execute(&answer).await,
            ..Interpretation::new(answer.answer, Via::Provider(answer.provider))
        })
    }

    /// Returns whether the model of a draft is apt enough for its actions, where it has any.
    async fn may_execute(&self, answer: &RoutedAnswer<Draft>) -> bool {
        let mut actions = answer.answer.actions.iter();
        let acts = actions.any(|action| action.op != Op::Query);
        !acts || answer.trusted || Box::pin(self.is_apt(&answer.provider)).await
    }

    /// Returns the local meaning of a command no model could answer, or `None` unless `[local]` has
    /// `use = "last"`.
    fn local_fallback(&self, request: &Request<'_>, refusal: &Refusal) -> Option<Interpretation> {
        let is_last = self.services.grammar.when() == When::Last;
        let no_model_answered = matches!(
            refusal,
            Refusal::NoModel
                | Refusal::Misunderstood(_)
                | Refusal::NobodyAnswered { .. }
                | Refusal::OverBudget { .. }
        );
        if !is_last || !no_model_answered {
            return None;
        }
        let draft = self.services.grammar.draft(request.phrase, request.home)?;
        Some(Interpretation::new(draft, Via::Local))
    }

    /// Passes the draft through the one gate to the devices.
    fn permit(
        &self,
        request: &Request<'_>,
        interpretation: &Interpretation,
    ) -> Result<Plan, Refusal> {
        let draft = &interpretation.draft;
        let text = interpretation.text(request.command);
        if let Some(question) = &draft.question {
            return Err(self.ask_back(request.command, text, draft, question.clone()));
        }
        let context = self.permit_context(request, interpretation.confirmed);
        let speech = context.speech;
        let now_draft;
        let gate_draft = match &draft.timing {
            // The caller waits for the time or the state, or takes the command back then.
            None if draft.condition.is_none() => draft,
            _ => {
                now_draft = draft.for_now();
                &now_draft
            }
        };
        let permitted = request
            .home
            .permit(gate_draft, &self.shared.state(), context);
        let plan = permitted.map_err(|denied| match denied {
            Denied::Unconfirmed { question } => {
                self.ask_back(request.command, text, draft, question)
            }
            Denied::StateUnknown { .. } => Refusal::Unclear {
                question: denied.sentence(speech),
            },
            denied => {
                self.services.counters.actions_denied.increment();
                Refusal::NotPermitted {
                    why: denied.sentence(speech),
                }
            }
        })?;
        if !interpretation.is_doubtful {
            return Ok(plan);
        }
        let what = plan.speech().trim_end_matches('.');
        let question = speech.confirmation(what);
        Err(self.ask_back(request.command, text, draft, question))
    }

    fn permit_context<'a>(&'a self, request: &Request<'a>, confirmed: bool) -> PermitRequest<'a> {
        PermitRequest {
            source: request.command.source.as_str(),
            command: &request.command.id,
            confirmed,
            now: now(),
            speech: self.services.grammar.speech(request.phrase),
        }
    }

    /// Keeps a model's draft for the next equal phrase; one that the gate rejected for a short
    /// time.
    fn keep_draft(&self, interpretation: &Interpretation, permitted: &Result<Plan, Refusal>) {
        let Some((key, model)) = &interpretation.model_draft else {
            return;
        };
        let passed = !matches!(permitted, Err(Refusal::NotPermitted { .. }));
        let draft = &interpretation.draft;
        self.services.cache.keep(key, model, draft, passed);
    }

    /// Returns the stream of a command whose answer is sent in pieces: where the command or the
    /// configuration asks for it, or the phrase asks for a long answer.
    fn answer_stream(&self, command: &Command, phrase: &Phrase) -> Option<Arc<AnswerStream>> {
        let stream = self.stream.clone()?;
        let is_wanted = match (self.services.router.streaming(), command.stream) {
            (Streaming::Never, _) => false,
            (_, Some(is_wanted)) => is_wanted,
            (Streaming::Always, None) => true,
            (Streaming::Auto, None) => self.services.grammar.wants_long_answer(phrase),
        };
        if !is_wanted {
            return None;
        }
        let reply_to = command.reply_to.clone();
        Some(Arc::new(AnswerStream::new(
            command.id.clone(),
            Box::new(move |piece| stream(piece, &reply_to)),
        )))
    }

    /// Returns the services of this pipeline.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Returns the current snapshot of the home.
    pub fn home(&self) -> Arc<Home> {
        Arc::clone(&self.shared.home())
    }

    /// Returns how the local grammar reads each word of a phrase.
    pub fn explain(&self, phrase: &Phrase) -> Option<Explanation> {
        self.services.grammar.explain(phrase, &self.home())
    }

    /// Ends all waiting for models: the commands that wait are answered `stopping`.
    pub fn stop_waiting(&self) {
        self.shared.stopping.send_replace(true);
    }

    /// Removes expired entries from the cache; to be called from time to time.
    pub fn sweep(&self) {
        let fingerprint = self.services.composer.fingerprint(&self.home());
        self.services.cache.sweep(fingerprint);
    }
}
