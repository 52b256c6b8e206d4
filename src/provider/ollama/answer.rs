//! What Ollama answers: the same shape whole and in parts.

use serde::Deserialize;

use crate::provider::ollama::{malformed, short};
use crate::provider::stream::{AnswerPiece, Messages};
use crate::provider::{Completion, ProviderError, Usage};

/// An answer, a part of one in a stream, or an error.
#[derive(Deserialize)]
pub(super) struct Answer {
    message: Option<Message>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
    pub(super) error: Option<String>,
}

/// What the model said. What it thought stands beside it, and is passed over.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: String,
}

impl Answer {
    pub(super) fn read(body: &[u8]) -> Result<Self, ProviderError> {
        serde_json::from_slice(body)
            .map_err(|error| malformed(format!("not an answer of a chat: {error}")))
    }
}

/// What is known of an answer so far.
#[derive(Default)]
pub(super) struct Gathered {
    text: String,
    done: bool,
    done_reason: Option<String>,
    usage: Usage,
}

impl Gathered {
    /// Takes an answer, or a part of one, and gives the text that it adds.
    ///
    /// # Errors
    /// When it is an error.
    pub(super) fn add(&mut self, answer: Answer) -> Result<AnswerPiece, ProviderError> {
        if let Some(error) = answer.error {
            return Err(malformed(format!(
                "an error in place of an answer: {}",
                short(&error)
            )));
        }
        if answer.done {
            self.done = true;
            self.done_reason = answer.done_reason;
            self.usage = Usage {
                input: answer.prompt_eval_count.unwrap_or_default(),
                output: answer.eval_count.unwrap_or_default(),
                ..Usage::default()
            };
        }
        let added = answer
            .message
            .map(|message| message.content)
            .unwrap_or_default();
        self.text.push_str(&added);
        Ok(added)
    }
}

impl Messages for Gathered {
    fn take(&mut self, message: &str) -> Result<AnswerPiece, ProviderError> {
        self.add(Answer::read(message.as_bytes())?)
    }

    fn is_over(&self) -> bool {
        self.done
    }

    fn finish(self) -> Result<Completion, ProviderError> {
        if !self.done {
            return Err(malformed("it ended before it was done"));
        }
        match self.done_reason.as_deref() {
            // Older versions give no reason.
            None | Some("stop") => {}
            Some("length") => return Err(ProviderError::Truncated),
            Some(other) => return Err(malformed(format!("done_reason `{}`", short(other)))),
        }
        if self.text.trim().is_empty() {
            return Err(malformed("an empty answer"));
        }
        Ok(Completion {
            body: self.text,
            usage: self.usage,
        })
    }
}
