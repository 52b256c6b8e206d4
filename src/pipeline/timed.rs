//! Commands with a time: they are checked now, stored, and carried out when they are due.
//!
//! The gate decides twice: when the command is given, so that the speaker learns at once that
//! something is not allowed, and when it is due, with the rights, the home and the state of then.
//! Nothing is opened or unlocked at a later time unless the operator set its risk to `auto`.

use std::collections::BTreeMap;

use crate::command::Command;
use crate::command::phrase::Phrase;
use crate::command::reply::{ActionReport, Refusal, Scheduled};
use crate::home::Home;
use crate::home::capability::Risk;
use crate::home::permit::{Denied, PermitRequest, Plan, Step, is_opening};
use crate::pipeline::dialogue::shortened;
use crate::pipeline::due_time::{DueTime, due_time};
use crate::pipeline::handle::Pipeline;
use crate::pipeline::interpretation::{Interpretation, Request};
use crate::pipeline::reply::{Handled, Success};
use crate::pipeline::time_speech::{
    fault_in_words, lasting_in_words, rfc3339, scheduled_in_words, with_replaced,
};
use crate::schedule::timer::{StartState, Task, Timer, TimerId};
use crate::schedule::timers::TooManyTimers;
use crate::store::journal::Seq;
use crate::vocabulary::action::{Draft, TargetScope};
use crate::vocabulary::speech::{Speech, fill};
use crate::vocabulary::timing::Timing;

impl Pipeline {
    /// Handles a command with a time.
    pub(super) async fn handle_timed(
        &self,
        request: &Request<'_>,
        interpretation: &Interpretation,
        timing: &Timing,
        seq: Option<Seq>,
    ) -> Handled {
        let handled = Handled::understood(interpretation);
        let is_now = matches!(timing, Timing::For(_) | Timing::Until(_));
        let due = match self.due_time_of(request, timing) {
            Ok(due) => due,
            Err(refusal) => return handled.with_result(Err(refusal)),
        };
        if is_now {
            return self.do_for_a_while(request, interpretation, due, seq).await;
        }
        let handled = handled.with_actions(Vec::new());
        let plan = match self.permit_later(request, interpretation) {
            Ok(plan) => plan,
            Err(refusal) => return handled.with_result(Err(refusal)),
        };
        if let Err(refusal) = self.check_end(request, &interpretation.draft, &plan) {
            return handled.with_result(Err(refusal));
        }
        let task = Task::of(&interpretation.draft, interpretation.confirmed);
        let speech = self.services.grammar.speech(request.phrase);
        let time = self.due_in_words(speech, &due);
        let time = lasting_in_words(speech, interpretation.draft.lasting, time);
        let sentence = scheduled_in_words(speech, &plan, &time);
        let text = interpretation.text(request.command);
        match self.add_timer(request.command, text, task, due).await {
            Ok(scheduled) => with_timer(handled, speech, sentence, scheduled),
            Err(refusal) => handled.with_result(Err(refusal)),
        }
    }

    /// Passes a draft for later through the gate, as of now.
    pub(super) fn permit_later(
        &self,
        request: &Request<'_>,
        interpretation: &Interpretation,
    ) -> Result<Plan, Refusal> {
        if interpretation.draft.question.is_none() {
            self.refuse_opening(request, &interpretation.draft)?;
        }
        self.permit(request, interpretation)
    }

    /// Refuses a draft that would open, unlock or disarm something at a later time.
    pub(super) fn refuse_opening(
        &self,
        request: &Request<'_>,
        draft: &Draft,
    ) -> Result<(), Refusal> {
        let context = PermitRequest {
            confirmed: true,
            ..self.permit_context(request, true)
        };
        let now_draft = draft.for_now();
        let state = self.shared.state();
        let Ok(plan) = request.home.permit(&now_draft, &state, context) else {
            // The gate says why below.
            return Ok(());
        };
        let unconfirmed = PermitRequest {
            confirmed: false,
            ..context
        };
        let asks = request.home.permit(&now_draft, &state, unconfirmed);
        drop(state);
        let must_be_confirmed = matches!(asks, Err(Denied::Unconfirmed { .. }));
        let opens = plan.steps().iter().any(|step| opens(step, request));
        let is_own_choice = draft.scope == TargetScope::Everything
            || plan.steps().iter().any(|step| asks_always(step, request));
        if !opens && (!must_be_confirmed || is_own_choice) {
            return Ok(());
        }
        let speech = context.speech;
        let what = plan.speech().trim_end_matches('.');
        Err(Refusal::NotPermitted {
            why: fill(&speech.time.unsafe_later, &[("what", what)]),
        })
    }

    /// Stores a timer, so that it survives the same events as a command.
    /// `text` is that of the command, or of the one whose question it answers.
    pub(super) async fn add_timer(
        &self,
        command: &Command,
        text: &str,
        task: Task,
        due: DueTime,
    ) -> Result<Scheduled, Refusal> {
        if command.dry_run {
            return Ok(scheduled(&task, &due));
        }
        let (_, scheduled) = self.enter_timer(command, text, task, &due)?;
        self.store_changes().await;
        Ok(scheduled)
    }

    /// Adds a timer to the set, to be written. A command that is processed again after a crash or
    /// a takeover has the timer that it set then.
    pub(super) fn enter_timer(
        &self,
        command: &Command,
        text: &str,
        task: Task,
        due: &DueTime,
    ) -> Result<(TimerId, Scheduled), Refusal> {
        let scheduled = scheduled(&task, due);
        if let Some(known) = self.timer_of(command) {
            let id = Some(known.id.to_string());
            return Ok((known.id, Scheduled { id, ..scheduled }));
        }
        let physical = physical_devices(&task, &self.home());
        let timer = Timer {
            id: 0,
            source: command.source.clone(),
            command_id: command.id.to_string(),
            seq: command.seq,
            text: shortened(text).to_owned(),
            answer: (*text != *command.text).then(|| shortened(&command.text).to_owned()),
            language: command.language.clone(),
            reply_to: command.reply_to.clone(),
            due: due.due.clone(),
            task,
            started: StartState::NotStarted,
            event: None,
            repeat: due.repeat.clone(),
            condition: due.condition.clone(),
            occurrence_of: None,
            skipped: 0,
            physical,
            written_with: None,
        };
        let added = self.shared.timers().add(timer, &self.clocks());
        let (id, replaced) = added.map_err(|full| self.too_many(command, full))?;
        let scheduled = Scheduled {
            id: Some(id.to_string()),
            replaced: replaced.map(|id| id.to_string()),
            ..scheduled
        };
        Ok((id, scheduled))
    }

    pub(super) fn too_many(&self, command: &Command, full: TooManyTimers) -> Refusal {
        let speech = self.services.grammar.speech(&Phrase::of(command));
        let count = match full {
            TooManyTimers::OfSource => crate::schedule::timers::MAX_OF_SOURCE,
            TooManyTimers::InTotal => crate::schedule::timers::MAX_TIMERS,
        };
        let count = count.to_string();
        Refusal::NotPermitted {
            why: fill(&speech.time.too_many, &[("count", &count)]),
        }
    }

    /// Returns the timer that this command has set, where it is processed again: after a crash it
    /// has the same number in the journal, after a takeover the name that its source gave it.
    pub(super) fn timer_of(&self, command: &Command) -> Option<Timer> {
        let is_in_pair = self.replica.is_some();
        let text = shortened(&command.text);
        let is_of = |timer: &Timer| {
            let is_same_command = if is_in_pair {
                command.id_given && command.id == timer.command_id
            } else {
                command.seq > 0 && timer.seq == command.seq
            };
            let said = timer.answer.as_deref().unwrap_or(&timer.text);
            is_same_command && timer.source == command.source && said == text
        };
        self.shared.timers().find(is_of).cloned()
    }

    /// Returns the due time of a command.
    pub(super) fn due_time(
        &self,
        request: &Request<'_>,
        timing: &Timing,
    ) -> Result<DueTime, Refusal> {
        let speech = self.services.grammar.speech(request.phrase);
        let clocks = self.clocks();
        let location = &self.services.location;
        due_time(timing, &clocks, location).map_err(|fault| fault_in_words(fault, timing, speech))
    }

    /// Returns the due time of a command that sets a timer, also where it has set it already.
    pub(super) fn due_time_of(
        &self,
        request: &Request<'_>,
        timing: &Timing,
    ) -> Result<DueTime, Refusal> {
        match self.timer_of(request.command) {
            Some(timer) => Ok(self.due_of(&timer)),
            None => self.due_time(request, timing),
        }
    }
}

/// Returns a timer that is set, without its number.
fn scheduled(task: &Task, due: &DueTime) -> Scheduled {
    let actions = task.actions().iter().cloned();
    Scheduled {
        id: None,
        due: due.wall.as_ref().map(rfc3339),
        seconds: due.condition.is_none().then_some(due.wait.as_secs()),
        repeats: due.repeat.as_ref().map(|repeat| repeat.recurrence),
        condition: due.condition.clone(),
        actions: actions.map(ActionReport::from).collect(),
        replaced: None,
    }
}

/// Returns the result of a command that has set a timer.
pub(super) fn with_timer(
    handled: Handled,
    speech: &Speech,
    text: String,
    scheduled: Scheduled,
) -> Handled {
    let text = with_replaced(speech, text, &scheduled);
    handled
        .with_scheduled(scheduled)
        .with_result(Ok(Success::Done(text)))
}

/// Returns whether a step opens, unlocks or disarms something that the operator has not set to
/// `auto`. The present state proves nothing about a later one.
pub(super) fn opens(step: &Step, request: &Request<'_>) -> bool {
    let Some(device) = request.home.device(step.device().as_str()) else {
        return true;
    };
    let property = &step.action().property;
    let Some(capability) = device.capability(property) else {
        return true;
    };
    capability.guard.opening != Risk::Auto
        && is_opening(device, property, step.action().op, step.target_value())
}

/// Returns whether the operator requires a confirmation of every change of a capability.
fn asks_always(step: &Step, request: &Request<'_>) -> bool {
    let device = request.home.device(step.device().as_str());
    let capability = device.and_then(|device| device.capability(&step.action().property));
    capability.is_some_and(|capability| capability.guard.otherwise == Risk::Confirm)
}

/// Returns the identity of each announced device that a task commands, by its identifier.
fn physical_devices(task: &Task, home: &Home) -> BTreeMap<String, String> {
    let mut physical = BTreeMap::new();
    for action in task.actions() {
        let device = home.device(&action.device);
        if let Some(identity) = device.and_then(|device| device.physical.as_ref()) {
            physical.insert(action.device.to_string(), identity.clone());
        }
    }
    physical
}
