//! The reply to a command, built from the values that its steps returned.

use std::time::Instant;

use crate::command::Command;
use crate::command::reply::{ActionIssue, ActionReport, Outcome, Refusal, Reply, Scheduled, Via};
use crate::home::Home;
use crate::home::permit::Plan;
use crate::pipeline::dialogue::Earlier;
use crate::pipeline::dispatch::Dispatched;
use crate::pipeline::interpretation::{Interpretation, Reference};
use crate::pipeline::report_wait::ReportWait;
use crate::store::journal::{Durability, PlannedPublish};
use crate::vocabulary::action::Action;
use crate::vocabulary::speech::{Speech, fill, sentence};

/// The reply to a command, with its encoded form.
pub struct CommandAnswer {
    /// The one reply.
    pub reply: Reply,
    /// The reply as it is sent.
    pub payload: Vec<u8>,
    /// The states of devices to wait for once it is sent, if any.
    pub report_wait: Option<ReportWait>,
}

/// The success of a command, with the sentence for the speaker.
pub(super) enum Success {
    /// Everything was published.
    Done(String),
    /// A question was answered.
    Answered(String),
}

impl Success {
    pub(super) fn of(plan: Plan) -> Self {
        if plan.steps().is_empty() {
            Self::Answered(plan.into_speech())
        } else {
            Self::Done(plan.into_speech())
        }
    }
}

/// A command that was processed: everything its reply is built from.
pub(super) struct Handled {
    via: Via,
    actions: Vec<ActionReport>,
    result: Result<Success, Refusal>,
    /// The sentence of a refusal after which some actions were done all the same.
    partial: Option<String>,
    /// Durability that the reply needs before it is sent.
    pub(super) durability: Durability,
    /// The role of the command in the conversation.
    pub(super) reference: Reference,
    /// The states before the command.
    pub(super) earlier: Vec<Earlier>,
    /// The states of devices to wait for once the reply is sent.
    pub(super) report_wait: Option<ReportWait>,
    /// The timer that the command has set.
    scheduled: Option<Box<Scheduled>>,
}

impl Handled {
    /// Creates the result of a command that was refused before it was understood.
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self {
            via: Via::None,
            actions: Vec::new(),
            result: Err(refusal),
            partial: None,
            durability: Durability::None,
            reference: Reference::default(),
            earlier: Vec::new(),
            report_wait: None,
            scheduled: None,
        }
    }

    /// Creates the result of a command that was understood. It counts as undelivered until its
    /// actions have been published.
    pub(super) fn understood(interpretation: &Interpretation) -> Self {
        let actions = interpretation.draft.actions.iter().cloned();
        Self {
            via: interpretation.via.clone(),
            actions: actions.map(ActionReport::from).collect(),
            durability: interpretation.durability(),
            reference: interpretation.reference.clone(),
            ..Self::refused(Refusal::Undelivered)
        }
    }

    /// Creates the result of a command of an earlier run of the program, whose messages are
    /// published again.
    pub(super) fn resumed(planned: &[PlannedPublish]) -> Self {
        let actions = planned.iter().map(|publish| publish.action.clone());
        Self {
            actions: actions.map(ActionReport::from).collect(),
            durability: Durability::Disk,
            ..Self::refused(Refusal::Undelivered)
        }
    }

    /// Creates the result of a command of an earlier run of the program, which may have published
    /// these actions.
    pub(super) fn uncertain(actions: &[Action]) -> Self {
        let reports = actions.iter().cloned().map(ActionReport::from);
        let mut handled = Self::refused(Refusal::Undelivered).with_actions(reports.collect());
        for action in actions {
            handled.mark_failed(action, &Refusal::Undelivered);
        }
        handled
    }

    pub(super) fn with_actions(self, actions: Vec<ActionReport>) -> Self {
        Self { actions, ..self }
    }

    pub(super) fn with_report_wait(self, report_wait: Option<ReportWait>) -> Self {
        Self {
            report_wait,
            ..self
        }
    }

    pub(super) fn with_result(self, result: Result<Success, Refusal>) -> Self {
        Self { result, ..self }
    }

    /// Returns whether the command is refused because its time is over.
    pub(super) fn is_late(&self) -> bool {
        matches!(self.result, Err(Refusal::TooLate))
    }

    /// Makes a command that may have been carried out before uncertain, where it is refused now for
    /// a cause of the moment.
    pub(super) fn uncertain_where_refused(self) -> Self {
        match &self.result {
            Err(refusal) if refusal.depends_on_moment() => {
                self.with_result(Err(Refusal::Undelivered))
            }
            _ => self,
        }
    }

    /// Adds the results of publishing `plan`.
    pub(super) fn with_dispatched(
        self,
        plan: Plan,
        dispatched: &Dispatched,
        home: &Home,
        speech: &Speech,
    ) -> Self {
        let done = plan.steps().len() - dispatched.failures.len();
        let partial = if done > 0 && !dispatched.failures.is_empty() {
            Some(partial_sentence(&plan, dispatched, home, speech))
        } else {
            None
        };
        let durability = dispatched.durability;
        let result = match &dispatched.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(Success::Done(plan.into_speech())),
        };
        let mut handled = self.with_result(result);
        for failure in &dispatched.failures {
            handled.mark_failed(&failure.action, &failure.refusal);
        }
        Self {
            partial,
            durability,
            ..handled
        }
    }

    /// Adds the timer that the command has set.
    pub(super) fn with_scheduled(self, scheduled: Scheduled) -> Self {
        Self {
            scheduled: Some(Box::new(scheduled)),
            ..self
        }
    }

    /// Adds the states before the command.
    pub(super) fn with_earlier(self, earlier: Vec<Earlier>) -> Self {
        Self { earlier, ..self }
    }

    /// Notes why an action was not done, or may not have been.
    pub(super) fn mark_failed(&mut self, action: &Action, refusal: &Refusal) {
        let report = self
            .actions
            .iter_mut()
            .find(|report| report.action == *action);
        if let Some(report) = report {
            report.why = Some(ActionIssue::Code(refusal.code()));
        }
    }

    /// Builds the one reply.
    pub(super) fn into_reply(self, command: &Command, speech: &Speech, now: Instant) -> Reply {
        let elapsed = now.saturating_duration_since(command.received_at);
        let micros = u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX);
        let base = match self.result {
            Err(refusal) => {
                let reply = Reply::refused(command.id.clone(), command.text.clone(), &refusal);
                match speech.refused.get(refusal.form()) {
                    Some(form) => Reply {
                        speech: refusal.sentence_as(form),
                        ..reply
                    },
                    None => reply,
                }
            }
            Ok(success) => {
                let (outcome, speech) = match success {
                    Success::Done(speech) => (Outcome::Done, speech),
                    Success::Answered(speech) => (Outcome::Answered, speech),
                };
                let speech = match &self.reference.note {
                    Some(note) => format!("{speech} {}", sentence(note)),
                    None => speech,
                };
                Reply {
                    id: command.id.clone(),
                    text: command.text.clone(),
                    outcome,
                    actions: Vec::new(),
                    speech,
                    via: Via::None,
                    ms: 0.0,
                    why: None,
                    retry_after: None,
                    scheduled: None,
                }
            }
        };
        Reply {
            actions: self.actions,
            via: self.via,
            ms: f64::from(micros) / 1000.0,
            speech: self.partial.unwrap_or(base.speech),
            scheduled: self.scheduled,
            ..base
        }
    }
}

/// Writes which devices received their commands, which did not, and why.
fn partial_sentence(plan: &Plan, dispatched: &Dispatched, home: &Home, speech: &Speech) -> String {
    let is_failed = |action: &Action| {
        dispatched
            .failures
            .iter()
            .any(|failure| failure.action == *action)
    };
    let name = |action: &Action| match home.device(&action.device) {
        Some(device) => device.name.clone(),
        None => action.device.to_string(),
    };
    let mut done: Vec<String> = Vec::new();
    let mut failed: Vec<String> = Vec::new();
    for step in plan.steps() {
        let names = if is_failed(step.action()) {
            &mut failed
        } else {
            &mut done
        };
        let name = name(step.action());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut reasons: Vec<String> = Vec::new();
    for failure in &dispatched.failures {
        let reason = match speech.refused.get(failure.refusal.form()) {
            Some(form) => failure.refusal.sentence_as(form),
            None => failure.refusal.sentence(),
        };
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let places = [
        ("done", speech.list(&done)),
        ("failed", speech.list(&failed)),
        ("why", reasons.join(" ").into()),
    ];
    let places = places.each_ref().map(|(place, text)| (*place, &**text));
    fill(&speech.partial, &places)
}
