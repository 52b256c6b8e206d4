//! Questions back to the speaker, and the commands that answer them.

use crate::clock::now_with_suspend;
use crate::command::Command;
use crate::command::phrase::Phrase;
use crate::command::reply::{Refusal, Via};
use crate::pipeline::confirmation::{OpenQuestion, Question};
use crate::pipeline::handle::Pipeline;
use crate::pipeline::interpretation::{Interpretation, Reference, Request};
use crate::vocabulary::action::Draft;

impl Pipeline {
    /// Returns the interpretation of a command that answers the open question of its source. Any
    /// other command withdraws the question. A dry run leaves the question as it is.
    pub(super) fn answer_to_question(
        &self,
        request: &Request<'_>,
    ) -> Option<Result<Interpretation, Refusal>> {
        let Command {
            source,
            seq,
            dry_run,
            ..
        } = request.command;
        let mut confirmations = self.shared.confirmations();
        let (question, is_current) = match confirmations.peek(source, *seq, now_with_suspend()) {
            Some(OpenQuestion::Current(question)) => (Some(question), true),
            Some(OpenQuestion::JustReplaced(question)) => (Some(question), false),
            None => (None, true),
        };
        let answer = question
            .as_ref()
            .and_then(|question| self.read_answer(request.phrase, &question.draft));
        if *dry_run {
            return answer.map(Ok);
        }
        let (Some(question), Some(answer)) = (question, answer) else {
            confirmations.withdraw(source, *seq, now_with_suspend());
            return None;
        };
        if !is_current && !answer.draft.actions.is_empty() {
            confirmations.renew(source, now_with_suspend());
            return Some(Err(Refusal::Unclear {
                question: question.text,
            }));
        }
        confirmations.close(source, *seq, now_with_suspend());
        Some(Ok(answer))
    }

    /// Reads a phrase as an answer to the question about `draft`: yes, no, or one of its choices.
    fn read_answer(&self, phrase: &Phrase, draft: &Draft) -> Option<Interpretation> {
        let grammar = &self.services.grammar;
        if !draft.choices.is_empty() {
            let chosen = grammar.answer(phrase, draft)?;
            let other = other_choice(draft, &chosen);
            return Some(Interpretation {
                reference: Reference {
                    other,
                    ..Reference::default()
                },
                ..Interpretation::new(chosen, Via::Local)
            });
        }
        if grammar.confirmation(phrase)? {
            let confirmed = Interpretation::new(draft.clone(), Via::Local);
            return Some(Interpretation {
                confirmed: true,
                ..confirmed
            });
        }
        let nothing = Draft {
            speech: Some(grammar.speech(phrase).left.clone()),
            ..Draft::default()
        };
        Some(Interpretation::new(nothing, Via::Local))
    }

    /// Returns the refusal that asks the speaker `text`, and opens the question where a later
    /// command can answer it.
    pub(super) fn ask_back(&self, command: &Command, draft: &Draft, text: String) -> Refusal {
        let has_answer = draft.question.is_none() || !draft.choices.is_empty();
        if has_answer && !command.dry_run {
            let question = Question {
                draft: draft.clone(),
                text: text.clone(),
            };
            let mut confirmations = self.shared.confirmations();
            if !confirmations.ask(&command.source, question, command.seq, now_with_suspend()) {
                return Refusal::QuestionOpen;
            }
        }
        Refusal::Unclear { question: text }
    }
}

/// Returns the device of the choice that was not taken, where there were two.
fn other_choice(question: &Draft, chosen: &Draft) -> Option<String> {
    let [first, second] = question.choices.as_slice() else {
        return None;
    };
    let other = match (
        first.actions == chosen.actions,
        second.actions == chosen.actions,
    ) {
        (true, false) => second,
        (false, true) => first,
        _ => return None,
    };
    let device = &other.actions.first()?.device;
    let is_one = other.actions.iter().all(|action| action.device == *device);
    is_one.then(|| device.to_string())
}
