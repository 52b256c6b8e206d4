//! Questions back to the speaker, and the commands that answer them.

use crate::clock::now_with_suspend;
use crate::command::Command;
use crate::command::phrase::Phrase;
use crate::command::reply::{Refusal, Via};
use crate::pipeline::confirmation::{OpenQuestion, Question};
use crate::pipeline::conversation::Conversation;
use crate::pipeline::dialogue::{one_line, shortened};
use crate::pipeline::handle::Pipeline;
use crate::pipeline::interpretation::{Interpretation, Reference, Request};
use crate::vocabulary::action::Draft;

/// The meaning of a command as an answer to the open question of its conversation.
pub(super) enum QuestionAnswer {
    /// There is no question, or the command is something else.
    None,
    /// It answers the question, or has to wait for it.
    Known(Box<Result<Interpretation, Refusal>>),
    /// It may answer a question that a model asked: the command before, and the question, for the
    /// model that reads the answer.
    ForModel(String),
}

impl Pipeline {
    /// Returns the meaning of a command as an answer to the open question of its conversation. Any
    /// other command withdraws the question. A dry run leaves the question as it is.
    pub(super) fn answer_to_question(&self, request: &Request<'_>) -> QuestionAnswer {
        let Command {
            seq, dry_run, text, ..
        } = request.command;
        let conversation = Conversation::of(request.command);
        let mut confirmations = self.shared.confirmations();
        let open = confirmations.peek(&conversation, *seq, now_with_suspend());
        let (question, is_current) = match open {
            Some(OpenQuestion::Current(question)) => (Some(question), true),
            Some(OpenQuestion::JustReplaced(question)) => (Some(question), false),
            None => (None, true),
        };
        let answer = question
            .as_ref()
            .and_then(|question| self.read_answer(request.phrase, &question.draft));
        if *dry_run {
            return answer.map_or(QuestionAnswer::None, |answer| {
                QuestionAnswer::Known(Box::new(Ok(answer)))
            });
        }
        let (question, answer) = match (question, answer) {
            (Some(question), Some(answer)) => (question, answer),
            (Some(question), None)
                if is_free(&question.draft) && is_current && *text != question.command =>
            {
                if self.services.grammar.is_bare_answer(request.phrase) {
                    confirmations.close(&conversation, *seq, now_with_suspend());
                } else {
                    confirmations.withdraw(&conversation, *seq, now_with_suspend());
                }
                return QuestionAnswer::ForModel(exchange(&question));
            }
            _ => {
                confirmations.withdraw(&conversation, *seq, now_with_suspend());
                return QuestionAnswer::None;
            }
        };
        if !is_current && !answer.draft.actions.is_empty() {
            confirmations.renew(&conversation, now_with_suspend());
            return QuestionAnswer::Known(Box::new(Err(Refusal::Unclear {
                question: question.text,
            })));
        }
        confirmations.close(&conversation, *seq, now_with_suspend());
        let reference = Reference {
            asked_by: Some(question.command),
            ..answer.reference
        };
        QuestionAnswer::Known(Box::new(Ok(Interpretation {
            reference,
            ..answer
        })))
    }

    /// Reads a phrase as an answer to the question about `draft`: yes, no, or one of its choices.
    /// The answer to a question in a model's own words is left to a model.
    fn read_answer(&self, phrase: &Phrase, draft: &Draft) -> Option<Interpretation> {
        let grammar = &self.services.grammar;
        if is_free(draft) {
            return None;
        }
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
    /// command can answer it. `asked_by` is the text of the command that raises it.
    pub(super) fn ask_back(
        &self,
        command: &Command,
        asked_by: &str,
        draft: &Draft,
        text: String,
    ) -> Refusal {
        if !command.dry_run {
            let question = Question {
                draft: draft.clone(),
                text: text.clone(),
                command: shortened(asked_by).into(),
            };
            let conversation = Conversation::of(command);
            let mut confirmations = self.shared.confirmations();
            if !confirmations.ask(&conversation, question, command.seq, now_with_suspend()) {
                return Refusal::QuestionOpen;
            }
        }
        Refusal::Unclear { question: text }
    }
}

/// Returns whether the question of a draft is in a model's own words, with no choices that the
/// program knows.
fn is_free(draft: &Draft) -> bool {
    draft.question.is_some() && draft.choices.is_empty()
}

/// Returns a command and the question that it raised as one line, as a model is shown it.
fn exchange(question: &Question) -> String {
    one_line(&format!(
        "{} => question: {}",
        question.command, question.text
    ))
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
