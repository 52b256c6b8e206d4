//! Commands that refer to earlier ones of their source: pronouns, repetitions, corrections, undo,
//! and questions for the last result.

use crate::clock::now;
use crate::command::Command;
use crate::command::reply::{Outcome, Refusal, Reply, Via};
use crate::grammar::SpannedPhrase;
use crate::grammar::follow_up::{Antecedents, FollowUp};
use crate::home::device::Device;
use crate::home::permit::{Plan, is_so};
use crate::home::state::Observation;
use crate::pipeline::dialogue::{Earlier, Turn, TurnResult, one_line, shortened, shortened_shared};
use crate::pipeline::handle::Pipeline;
use crate::pipeline::interpretation::{Interpretation, Reference, Request};
use crate::pipeline::undo::Restoration;
use crate::vocabulary::action::{Action, ActionList, Draft, Op, StateQuery};
use crate::vocabulary::speech::{fill, sentence};
use crate::vocabulary::{Property, Value};

/// The earlier commands that a model is shown.
const SHOWN_TO_MODEL: usize = 2;

/// The most bytes of an earlier command, and of its actions, that a model is shown.
const SHOWN_BYTES: usize = 600;

/// Ends the registration of a command in its conversation.
pub(super) struct PendingTurn<'a> {
    pipeline: &'a Pipeline,
    command: &'a Command,
}

impl Drop for PendingTurn<'_> {
    fn drop(&mut self) {
        self.pipeline.shared.dialogue().end(self.command);
        self.pipeline.shared.turn_ended.notify_waiters();
    }
}

impl Pipeline {
    /// Registers a command in its conversation before it is started, so that a later one can wait
    /// for its result. To be called in the order of receipt.
    pub fn expect(&self, command: &Command) {
        if !command.dry_run {
            self.shared.dialogue().begin(command, now());
        }
    }

    /// Keeps a command registered until the returned value is dropped.
    pub(super) fn pending<'a>(&'a self, command: &'a Command) -> PendingTurn<'a> {
        self.expect(command);
        PendingTurn {
            pipeline: self,
            command,
        }
    }

    /// Returns the local meaning of a command, which may refer to an earlier one.
    pub(super) async fn understand_locally(
        &self,
        request: &Request<'_>,
    ) -> Option<Result<Interpretation, Refusal>> {
        let grammar = &self.services.grammar;
        let Request {
            command,
            phrase,
            home,
        } = *request;
        let spanned = grammar.spanned(phrase, home);
        if self.has_unfinished_referent(command, &spanned) {
            Box::pin(self.wait_for_referent(command)).await;
        }
        let last = self.last_command(command);
        let draft = match &last {
            Some(last) => grammar.draft_after(&spanned, last),
            None => grammar.draft_of(&spanned),
        };
        let question = match draft {
            Some(draft) if draft.question.is_none() => {
                return Some(Ok(Interpretation::new(draft, Via::Local)));
            }
            question => question,
        };
        if let Some(form) = grammar.follow_up(phrase)
            && let Some(answer) = self.fixed_form(request, form)
        {
            return Some(answer);
        }
        if let Some(last) = &last
            && let Some(continuation) = grammar.continuation(phrase, home, last)
        {
            return Some(Ok(if continuation.instead {
                self.correction(request, continuation.draft)
            } else {
                Interpretation::new(continuation.draft, Via::Local)
            }));
        }
        let question = question.or_else(|| {
            // A model would know a shortened name.
            let has_model = !self.services.router.is_empty();
            (!has_model).then(|| grammar.suggestion(phrase, home))?
        });
        question.map(|draft| Ok(Interpretation::new(draft, Via::Local)))
    }

    /// Returns the command that a sentence may refer to.
    fn last_command(&self, command: &Command) -> Option<Antecedents> {
        let dialogue = self.shared.dialogue();
        let turn = dialogue.referent(command, now())?;
        Some(Antecedents {
            actions: turn.actions.clone(),
            is_list: turn.is_list,
            is_timed: turn.timer.is_some(),
            other: turn.other.clone(),
        })
    }

    /// Returns whether a command refers to an earlier one of its conversation that has no result
    /// yet.
    fn has_unfinished_referent(&self, command: &Command, spanned: &SpannedPhrase<'_>) -> bool {
        !command.dry_run && self.shared.dialogue().has_earlier(command) && spanned.refers_back()
    }

    /// Waits until the earlier commands of the conversation have a result.
    async fn wait_for_referent(&self, command: &Command) {
        let ended = async {
            loop {
                let mut ended = std::pin::pin!(self.shared.turn_ended.notified());
                ended.as_mut().enable();
                if !self.shared.dialogue().has_earlier(command) {
                    return;
                }
                ended.await;
            }
        };
        // After the deadline the command is refused as late before anything is published.
        let _ = tokio::time::timeout_at(command.deadline.into(), ended).await;
    }

    fn fixed_form(
        &self,
        request: &Request<'_>,
        form: FollowUp,
    ) -> Option<Result<Interpretation, Refusal>> {
        let referent = || {
            let dialogue = self.shared.dialogue();
            dialogue.referent(request.command, now()).cloned()
        };
        match form {
            FollowUp::Undo => Some(Ok(self.undo(request))),
            FollowUp::Again => {
                let turn = referent().filter(|turn| turn.part == TurnResult::Acted)?;
                Some(Ok(acting(turn.actions.to_vec())))
            }
            FollowUp::More => Some(Ok(acting(changed_again(&referent()?, true)?))),
            FollowUp::Less => Some(Ok(acting(changed_again(&referent()?, false)?))),
            FollowUp::Last => Some(Ok(self.describe_last(request, false))),
            FollowUp::Why => Some(Ok(self.describe_last(request, true))),
            FollowUp::Wrong => self.reject_last(request),
        }
    }

    /// Returns the restoration of the states before the last command that acted.
    fn undo(&self, request: &Request<'_>) -> Interpretation {
        let speech = self.services.grammar.speech(request.phrase);
        let Some((seq, restoration)) = self.restoration(request) else {
            return aside(&speech.dialogue.undo_nothing);
        };
        let note = restoration.note(speech);
        if restoration.actions.is_empty() {
            let nothing = &speech.dialogue.undo_nothing;
            return aside(note.as_ref().unwrap_or(nothing));
        }
        Interpretation {
            reference: Reference {
                undoes: Some(seq),
                restores: true,
                note,
                ..Reference::default()
            },
            ..acting(restoration.actions)
        }
    }

    /// Returns the number of the command that `undo` means, and its restoration.
    fn restoration(&self, request: &Request<'_>) -> Option<(u64, Restoration)> {
        let dialogue = self.shared.dialogue();
        let turn = dialogue.undoable(request.command, now())?.clone();
        let own = dialogue.reverted_since(request.command, turn.seq);
        drop(dialogue);
        let order = self.shared.device_order();
        let is_changed = |device: &Device| {
            let newest = order.newest(&device.id);
            newest.is_some_and(|newest| newest != turn.seq && !own.contains(&newest))
        };
        let restoration = Restoration::of(&turn.earlier, request.home, is_changed);
        Some((turn.seq, restoration))
    }

    /// Returns the draft of a correction: the devices that the last command changed are restored,
    /// and the same is done with the devices that were meant.
    fn correction(&self, request: &Request<'_>, meant: Draft) -> Interpretation {
        let speech = self.services.grammar.speech(request.phrase);
        let (undoes, mut restoration) = match self.restoration(request) {
            Some((seq, restoration)) => (Some(seq), restoration),
            None => (None, Restoration::default()),
        };
        let is_meant = |action: &Action| meant.actions.iter().any(|a| a.device == action.device);
        restoration.actions.retain(|action| !is_meant(action));
        let note = restoration.note(speech);
        let mut actions = restoration.actions;
        actions.extend(meant.actions.iter().cloned());
        Interpretation {
            reference: Reference {
                undoes,
                meant: Some(meant.actions),
                note,
                ..Reference::default()
            },
            ..acting(actions)
        }
    }

    /// Returns the answer to the question for the last command, or for the origin of its result.
    fn describe_last(&self, request: &Request<'_>, origin: bool) -> Interpretation {
        let forms = &self.services.grammar.speech(request.phrase).dialogue;
        let dialogue = self.shared.dialogue();
        let Some(turn) = dialogue.last(request.command, now()) else {
            return aside(&forms.nothing_yet);
        };
        let form = match &turn.via {
            _ if !origin => &forms.last,
            _ if turn.part == TurnResult::Failed => &forms.why_refused,
            Via::Local | Via::None => &forms.why_local,
            Via::Cache => &forms.why_cache,
            Via::Provider(_) => &forms.why_model,
        };
        let places = [
            ("text", turn.text.trim_end_matches(['.', '!', '?'])),
            ("speech", turn.speech.trim_end_matches('.')),
            ("model", turn.via.as_str()),
        ];
        aside(&fill(form, &places))
    }

    /// Forgets the meaning that a model gave to the last command, and offers to undo it.
    fn reject_last(&self, request: &Request<'_>) -> Option<Result<Interpretation, Refusal>> {
        let speech = self.services.grammar.speech(request.phrase);
        let forms = &speech.dialogue;
        let last = {
            let dialogue = self.shared.dialogue();
            dialogue.referent(request.command, now()).cloned()?
        };
        let by_model = matches!(last.via, Via::Cache | Via::Provider(_));
        if by_model && !request.command.dry_run {
            let phrase = crate::command::phrase::Phrase::new(&last.text, None, None);
            if let Err(error) = self.services.cache.forget(Some(&phrase)) {
                tracing::warn!(%error, "a rejected draft could not be removed from the cache");
            }
        }
        let sorry = if by_model {
            &forms.wrong
        } else {
            &forms.wrong_local
        };
        let restoration = self.restoration(request).map(|(_, found)| found.actions);
        let Some(actions) = restoration.filter(|actions| !actions.is_empty()) else {
            return Some(Ok(aside(sorry)));
        };
        let question = speech.undo_offer(sorry);
        let draft = Draft {
            actions,
            ..Draft::default()
        };
        Some(Err(self.ask_back(
            request.command,
            &request.command.text,
            &draft,
            question,
        )))
    }

    /// Returns the states that a plan is about to change.
    pub(super) fn states_before(&self, plan: &Plan) -> Vec<Earlier> {
        let state = self.shared.state();
        let value = |step: &crate::home::permit::Step, property: &Property| {
            let seen = state.current(step.device(), property, now());
            seen.and_then(Observation::value).cloned()
        };
        let steps = plan.steps().iter();
        steps
            .map(|step| Earlier {
                action: step.action().clone(),
                became: step.target_value().cloned(),
                before: value(step, &step.action().property),
                power: value(step, &Property::Power),
            })
            .collect()
    }

    /// Returns the questions about the devices that the answer names, which are those that "it" and
    /// "them" mean afterwards: those that are in the state, or the exceptions in "not all". All of
    /// them where the answer names none.
    fn named_in_answer(&self, asked: ActionList, query: &StateQuery) -> ActionList {
        let is_about_exceptions = match query {
            StateQuery::Which(_) | StateQuery::HowMany(_) | StateQuery::Any(_) => false,
            StateQuery::All(_) => true,
            StateQuery::Each(_) => return asked,
        };
        if asked.len() < 2 {
            return asked;
        }
        let (home, state, now) = (self.home(), self.shared.state(), now());
        let is_named = |action: &&Action| {
            let device = home.device(&action.device);
            let seen = device.and_then(|d| state.current(&d.id, &action.property, now));
            let (Some(found), Some(wanted)) = (
                seen.and_then(Observation::value),
                action.wanted(Some(query)),
            ) else {
                return false;
            };
            is_so(&action.property, &wanted, found) != is_about_exceptions
        };
        let named: ActionList = asked.iter().filter(is_named).cloned().collect();
        if named.is_empty() { asked } else { named }
    }

    /// Remembers a command and its result for later commands of the conversation.
    pub(super) fn remember(
        &self,
        command: &Command,
        reference: Reference,
        earlier: Vec<Earlier>,
        reply: &Reply,
    ) {
        let Reference {
            other,
            is_list,
            undoes,
            restores,
            meant,
            is_aside,
            state_query,
            ..
        } = reference;
        let timer = reply.scheduled.as_ref().and_then(|set| set.id.clone());
        if command.dry_run || (is_aside && timer.is_none()) {
            return;
        }
        let done = reply.actions.iter().filter(|report| report.why.is_none());
        let done = done.map(|report| &report.action);
        let actions: ActionList = match meant {
            Some(meant) => {
                let is_done = |action: &Action| done.clone().any(|done| done == action);
                meant.into_iter().filter(is_done).collect()
            }
            None => match &state_query {
                Some(query) => self.named_in_answer(done.cloned().collect(), query),
                None => done.cloned().collect(),
            },
        };
        let acted = matches!(reply.outcome, Outcome::Done | Outcome::Answered);
        let part = match Turn::part_of(reply.outcome, &actions) {
            TurnResult::Acted if restores => TurnResult::Restored,
            part => part,
        };
        let turn = Turn {
            seq: command.seq,
            at: now(),
            part,
            text: shortened_shared(&command.text),
            speech: shortened(&reply.speech).to_owned(),
            via: reply.via.clone(),
            actions,
            is_list,
            other,
            earlier,
            timer,
            undone: false,
        };
        let mut dialogue = self.shared.dialogue();
        if let Some(undone) = undoes.filter(|_| acted) {
            dialogue.mark_undone(command, undone);
        }
        dialogue.remember(command, turn);
    }

    /// Returns the earlier commands that a model needs to understand this one, as data; empty where
    /// the phrase does not refer to any.
    pub(super) fn earlier_for_model(&self, request: &Request<'_>) -> Vec<String> {
        let Request {
            command,
            phrase,
            home,
        } = *request;
        let dialogue = self.shared.dialogue();
        let recent = dialogue.recent(command, now(), SHOWN_TO_MODEL);
        if recent.is_empty() || !self.services.grammar.spanned(phrase, home).refers_back() {
            return Vec::new();
        }
        let shown = |text: &str| {
            let line = one_line(text);
            line.chars().take(SHOWN_BYTES / 4).collect::<String>()
        };
        recent
            .into_iter()
            .map(|turn| {
                let actions = serde_json::to_string(&*turn.actions).unwrap_or_default();
                let actions = if actions.len() > SHOWN_BYTES {
                    "[]".to_owned()
                } else {
                    actions
                };
                format!("{} => {actions}", shown(&turn.text))
            })
            .collect()
    }
}

fn acting(actions: Vec<Action>) -> Interpretation {
    let draft = Draft {
        actions,
        ..Draft::default()
    };
    Interpretation::new(draft, Via::Local)
}

/// Returns an answer about the conversation.
pub(super) fn aside(speech: &str) -> Interpretation {
    let draft = Draft {
        speech: Some(sentence(speech)),
        ..Draft::default()
    };
    Interpretation {
        reference: Reference {
            is_aside: true,
            ..Reference::default()
        },
        ..Interpretation::new(draft, Via::Local)
    }
}

/// Returns the actions of "a bit more" (`more`) or "a bit less" after a command, or `None` where
/// the direction is not certain.
fn changed_again(turn: &Turn, more: bool) -> Option<Vec<Action>> {
    let step = |action: &Action, op: Op| Action {
        op,
        value: None,
        ..action.clone()
    };
    turn.actions
        .iter()
        .map(|action| match (action.op, more) {
            (Op::Increase | Op::Decrease, true) => Some(step(action, action.op)),
            (Op::Increase, false) => Some(step(action, Op::Decrease)),
            (Op::Set, _) if was_raised(turn, action) => {
                let op = if more { Op::Increase } else { Op::Decrease };
                Some(step(action, op))
            }
            _ => None,
        })
        .collect()
}

/// Returns whether a command raised a level to a value: "a bit more" then means higher.
fn was_raised(turn: &Turn, action: &Action) -> bool {
    let is_level = matches!(
        action.property,
        Property::Brightness
            | Property::Volume
            | Property::Speed
            | Property::Temperature
            | Property::Humidity
    );
    let before = turn
        .earlier
        .iter()
        .find(|earlier| earlier.action == *action)
        .and_then(|earlier| earlier.before.as_ref());
    let before = before.and_then(Value::number);
    let after = action.value.as_ref().and_then(Value::number);
    is_level && matches!((before, after), (Some(before), Some(after)) if after > before)
}
