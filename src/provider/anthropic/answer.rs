//! What Anthropic answers.

use serde::Deserialize;
use serde_json::Value as Json;

use crate::provider::anthropic::{malformed, short, words};
use crate::provider::stream::AnswerPiece;
use crate::provider::{Completion, ProviderError, Usage};

/// A whole answer, or an error.
#[derive(Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    content: Vec<Block>,
    stop_reason: Option<String>,
    #[serde(default)]
    usage: UsageIn,
    pub(super) error: Option<Fault>,
}

/// A block of content. Thinking, and kinds not yet known, are passed over.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    Text {
        text: String,
    },
    ToolUse {
        input: Json,
    },
    #[serde(other)]
    Other,
}

/// One event of an answer in pieces. Pings, and kinds not yet known, are passed over.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        content_block: Block,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    MessageDelta {
        delta: Stop,
        #[serde(default)]
        usage: UsageIn,
    },
    MessageStop,
    Error {
        error: Fault,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
pub(super) struct Start {
    #[serde(default)]
    usage: UsageIn,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
pub(super) enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
pub(super) struct Stop {
    stop_reason: Option<String>,
}

/// Tokens as told: the three kinds of input exclude each other.
#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
pub(super) struct UsageIn {
    #[serde(rename = "input_tokens")]
    plain: Option<u64>,
    #[serde(rename = "cache_creation_input_tokens")]
    written: Option<u64>,
    #[serde(rename = "cache_read_input_tokens")]
    cached: Option<u64>,
    #[serde(rename = "output_tokens")]
    output: Option<u64>,
}

impl UsageIn {
    /// These, and what was told before where these say nothing: the counts are sums.
    fn or(self, before: Self) -> Self {
        Self {
            plain: self.plain.or(before.plain),
            written: self.written.or(before.written),
            cached: self.cached.or(before.cached),
            output: self.output.or(before.output),
        }
    }

    fn total(self) -> Usage {
        let (cached, written) = (
            self.cached.unwrap_or_default(),
            self.written.unwrap_or_default(),
        );
        let input = self
            .plain
            .unwrap_or_default()
            .saturating_add(cached)
            .saturating_add(written);
        Usage {
            input,
            cached,
            written,
            output: self.output.unwrap_or_default(),
        }
    }
}

/// What is known of an answer so far.
#[derive(Default)]
pub(super) struct Gathered {
    text: String,
    /// The input of each tool that is used.
    calls: Vec<String>,
    stop_reason: Option<String>,
    usage: UsageIn,
    /// The end of a stream was marked.
    stopped: bool,
}

impl From<Answer> for Gathered {
    fn from(answer: Answer) -> Self {
        let mut gathered = Self {
            stop_reason: answer.stop_reason,
            usage: answer.usage,
            ..Self::default()
        };
        for block in answer.content {
            match block {
                Block::ToolUse { input } => gathered.calls.push(input.to_string()),
                Block::Text { text } => gathered.text.push_str(&text),
                Block::Other => {}
            }
        }
        gathered
    }
}

impl Gathered {
    /// Takes an event, and gives the text that it adds.
    pub(super) fn take(&mut self, event: Event) -> AnswerPiece {
        match event {
            Event::MessageStart { message } => self.usage = message.usage,
            Event::ContentBlockStart {
                content_block: Block::Text { text },
            }
            | Event::ContentBlockDelta {
                delta: Delta::Text { text },
            } => {
                self.text.push_str(&text);
                return text;
            }
            // Its input follows in pieces.
            Event::ContentBlockStart {
                content_block: Block::ToolUse { .. },
            } => self.calls.push(String::new()),
            Event::ContentBlockDelta {
                delta: Delta::InputJson { partial_json },
            } => {
                if let Some(call) = self.calls.last_mut() {
                    call.push_str(&partial_json);
                }
                return partial_json;
            }
            Event::MessageDelta { delta, usage } => {
                self.stop_reason = delta.stop_reason.or(self.stop_reason.take());
                self.usage = usage.or(self.usage);
            }
            Event::MessageStop => self.stopped = true,
            Event::ContentBlockStart { .. }
            | Event::ContentBlockDelta { .. }
            | Event::Error { .. }
            | Event::Other => {}
        }
        AnswerPiece::new()
    }

    /// True once the end of a stream was marked.
    pub(super) fn is_over(&self) -> bool {
        self.stopped
    }

    /// The completion, where it is whole.
    ///
    /// # Errors
    /// When it was cut, refused, or has nothing in it.
    pub(super) fn finish(self) -> Result<Completion, ProviderError> {
        match self.stop_reason.as_deref() {
            Some("end_turn" | "stop_sequence" | "tool_use") => {}
            Some("max_tokens" | "model_context_window_exceeded") => {
                return Err(ProviderError::Truncated);
            }
            Some("refusal") => return Err(ProviderError::Declined),
            Some(other) => return Err(malformed(format!("stop_reason `{}`", short(other)))),
            None => return Err(malformed("no stop_reason")),
        }
        let usage = self.usage.total();
        let body = match <[String; 1]>::try_from(self.calls) {
            // What stands beside a tool's input is only talk.
            Ok([input]) => input,
            Err(calls) if calls.is_empty() => self.text,
            Err(calls) => {
                return Err(malformed(format!(
                    "{} tool uses in place of one",
                    calls.len()
                )));
            }
        };
        if body.trim().is_empty() {
            Err(malformed("an empty answer"))
        } else {
            Ok(Completion { body, usage })
        }
    }
}

/// The error of a body. Its type is judged; its message is for people.
#[derive(Deserialize, Default)]
pub(super) struct Fault {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) message: Option<String>,
}

impl Fault {
    /// `: type: message`, as far as there is any.
    pub(super) fn words(&self) -> String {
        words(
            [self.kind.as_deref(), self.message.as_deref()]
                .into_iter()
                .flatten(),
        )
    }

    /// The status it would have come with.
    pub(super) fn status(&self) -> Option<u16> {
        Some(match self.kind.as_deref()? {
            "invalid_request_error" => 400,
            "authentication_error" => 401,
            "billing_error" => 402,
            "permission_error" => 403,
            "not_found_error" => 404,
            "conflict_error" => 409,
            "request_too_large" => 413,
            "rate_limit_error" => 429,
            "api_error" => 500,
            "timeout_error" => 504,
            "overloaded_error" => 529,
            _ => return None,
        })
    }

    /// A limit of spending is told from a faulty request by its words alone: both have the same status and type.
    pub(super) fn is_about_money(&self) -> bool {
        let message = self.message.as_deref().unwrap_or_default().to_lowercase();
        [
            "usage limit",
            "spend limit",
            "spending limit",
            "credit balance",
        ]
        .iter()
        .any(|words| message.contains(words))
    }
}
