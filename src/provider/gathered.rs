//! The parts of one answer so far, the same for all APIs, and the rule that decides whether it
//! can be used. Pure.

use std::collections::BTreeMap;

use crate::provider::envelope::object_in;
use crate::provider::error::{ProviderError, excerpt, malformed};
use crate::provider::message::{Completion, Usage};

/// The most messages that are noted as no part of the answer.
const MOST_COMMENTARIES: usize = 32;

/// Reasons to end that mean the answer is complete.
const COMPLETE: [&str; 7] = [
    "stop",
    "end_turn",
    "stop_sequence",
    "tool_calls",
    "tool_use",
    "function_call",
    "completed",
];

/// Reasons to end that mean the answer was cut.
const TRUNCATED: [&str; 8] = [
    "length",
    "max_tokens",
    "max_output_tokens",
    "max_length",
    "model_length",
    "max_new_tokens",
    "model_context_window_exceeded",
    "incomplete",
];

/// Reasons to end that mean the model or a filter refused.
const REFUSED: [&str; 12] = [
    "content_filter",
    "content_filtered",
    "refusal",
    "refused",
    "safety",
    "recitation",
    "blocklist",
    "prohibited_content",
    "spii",
    "image_safety",
    "sensitive",
    "guardrail_intervened",
];

/// An answer as it is gathered from one or many messages.
#[derive(Debug, Default)]
pub struct Gathered {
    text: String,
    /// The arguments of each tool call, by its index.
    calls: BTreeMap<u64, String>,
    /// The places of the messages that are no part of the answer.
    commentary: Vec<u64>,
    /// Text added since it was last taken.
    added: String,
    ending: Option<String>,
    refused: bool,
    usage: Usage,
    /// The message had the form of a whole answer, or the end was marked.
    is_whole: bool,
    /// The end of the stream was marked: nothing more is expected.
    is_over: bool,
}

impl Gathered {
    /// Adds text of the answer.
    pub fn add_text(&mut self, text: &str) {
        self.text.push_str(text);
        self.added.push_str(text);
    }

    /// Adds arguments of the tool call with this index.
    pub fn add_call(&mut self, index: u64, arguments: &str) {
        self.calls.entry(index).or_default().push_str(arguments);
        self.added.push_str(arguments);
    }

    /// Returns the index of the newest tool call; zero before the first.
    pub fn newest_call(&self) -> u64 {
        self.calls.keys().next_back().copied().unwrap_or_default()
    }

    /// Returns the index for one more tool call.
    pub fn next_call(&self) -> u64 {
        self.calls.keys().next_back().map_or(0, |last| last + 1)
    }

    /// Notes that the message at this place is no part of the answer.
    pub fn mark_commentary(&mut self, index: u64) {
        if self.commentary.len() < MOST_COMMENTARIES {
            self.commentary.push(index);
        }
    }

    /// Returns whether the message at this place is not a part of the answer.
    pub fn is_commentary(&self, index: u64) -> bool {
        self.commentary.contains(&index)
    }

    /// Returns whether any text or arguments have been received.
    pub fn has_content(&self) -> bool {
        !self.text.is_empty() || !self.calls.is_empty()
    }

    /// Notes the reason to end. An empty one does not replace one given before.
    pub fn end(&mut self, reason: Option<&str>) {
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            self.ending = Some(reason.to_lowercase());
        }
    }

    /// Notes that the model or a filter refused.
    pub fn refuse(&mut self) {
        self.refused = true;
    }

    /// Notes the token counts; those that are zero leave earlier ones.
    pub fn count(&mut self, usage: Usage) {
        let newer = |new: u64, old: u64| if new > 0 { new } else { old };
        self.usage = Usage {
            input: newer(usage.input, self.usage.input),
            cached: newer(usage.cached, self.usage.cached),
            written: newer(usage.written, self.usage.written),
            output: newer(usage.output, self.usage.output),
        };
    }

    /// Notes that the message had the form of a whole answer.
    pub fn mark_whole(&mut self) {
        self.is_whole = true;
    }

    /// Notes that the end was marked.
    pub fn mark_over(&mut self) {
        self.is_whole = true;
        self.is_over = true;
    }

    /// Returns whether the API has marked the end of the answer.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns whether the API has given a reason to end.
    pub fn has_ended(&self) -> bool {
        self.ending.is_some() || self.refused
    }

    /// Returns the token counts received so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes the text added since the last call.
    pub(super) fn take_added(&mut self) -> String {
        std::mem::take(&mut self.added)
    }

    /// Returns the completion.
    ///
    /// # Errors
    /// When the answer was refused, cut, broken off, or has nothing to use. A reason to end that is
    /// not known does not matter where the object is complete.
    pub(super) fn finish(self) -> Result<Completion, ProviderError> {
        let usage = self.usage;
        let ending = self.ending.as_deref();
        let is_one_of = |reasons: &[&str]| ending.is_some_and(|ending| reasons.contains(&ending));
        if self.refused || is_one_of(&REFUSED) {
            return Err(ProviderError::Declined { usage });
        }
        if is_one_of(&TRUNCATED) {
            return Err(ProviderError::Truncated { usage });
        }
        if ending.is_none() && !self.is_whole {
            return Err(ProviderError::Unreachable {
                why: "the answer broke off before its end".to_owned(),
                sent: true,
            });
        }
        let is_complete = is_one_of(&COMPLETE);
        let why = match ending {
            Some(ending) => format!("it ended with `{}`", excerpt(ending)),
            None => "it has no reason to end".to_owned(),
        };
        let body = self.body()?;
        if is_complete || object_in(&body).is_some() {
            return Ok(Completion { body, usage });
        }
        Err(malformed(why, usage))
    }

    /// Returns the text, or the arguments of the one tool call.
    fn body(self) -> Result<String, ProviderError> {
        let usage = self.usage;
        let mut calls: Vec<String> = self.calls.into_values().collect();
        calls.retain(|call| !call.trim().is_empty());
        calls.dedup();
        let call = match calls.len() {
            0 => None,
            1 => calls.pop(),
            n => return Err(malformed(format!("{n} tool calls in place of one"), usage)),
        };
        let Some(call) = call else {
            return if self.text.trim().is_empty() {
                Err(malformed("an empty answer", usage))
            } else {
                Ok(self.text)
            };
        };
        match (object_in(&call), object_in(&self.text)) {
            (Some(one), Some(other)) if one != other => {
                Err(malformed("a tool call and a text that differ", usage))
            }
            (None, Some(_)) => Ok(self.text),
            // Text beside a call is commentary.
            _ => Ok(call),
        }
    }
}
