//! Ollama's own `/api/chat`. Pure encoding and decoding. Source: requests of the official library
//! 0.6.3, captured November 2026. Unlike its `/v1`, it accepts how long the model stays loaded and
//! how long a prompt may be.

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::provider::allowance::Remaining;
use crate::provider::api::{HttpRequest, Provider};
use crate::provider::error::{
    ErrorBody, ErrorCause, ProviderError, ProviderFault, numeric_status, words,
};
use crate::provider::gathered::Gathered;
use crate::provider::json::{as_text, count, list, text};
use crate::provider::message::{Prompt, Usage};
use crate::provider::prompt_parts::{PromptText, SchemaLimits};
use crate::provider::spec::{ApiSpec, Settings, Structure, Timeouts};

/// The table of this API.
pub const SPEC: ApiSpec = ApiSpec {
    name: "ollama",
    base_url: "http://localhost:11434",
    default_model: None,
    version: None,
    key_header: "authorization",
    // A model on a small machine takes one request after the other.
    concurrency: NonZeroUsize::MIN,
    timeouts: Timeouts::LOCAL,
    free_probe: Some("/api/tags"),
    counts_cached: true,
    is_local: true,
    schema: SchemaLimits {
        longest_enum: 200,
        accepts_max_items: true,
    },
    missing_model: "run `ollama pull {model}`, or correct `base_url`",
    families: &[],
    build: |settings, _| Ok(Box::new(Ollama::new(settings))),
    read_message,
    read_error,
    // The server has no limits of its own.
    read_limits: |_| Remaining {
        requests: None,
        tokens: None,
    },
};

/// Time for which the model stays in memory after a call: loading it takes longer than a person
/// waits.
const KEEP_ALIVE: &str = "30m";

/// The smallest context requested. The default of older servers is as large, and longer prompts are
/// cut silently, so the size is always stated.
const SMALLEST_CONTEXT: u32 = 2048;

/// The fewest bytes of a token in a listing full of identifiers, so that the context is rather too
/// large than too small.
const BYTES_PER_TOKEN: usize = 3;

/// The request encoder of a local server.
#[derive(Debug)]
struct Ollama {
    model: String,
    structure: Structure,
    think: Think,
    max_output_tokens: u32,
}

/// Reasoning. A grammar and thinking exclude each other, so it is off unless configured. Some
/// models know levels, others only on and off.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Think {
    Switch(bool),
    Level(String),
}

impl Ollama {
    fn new(settings: &Settings) -> Self {
        let think = match settings.reasoning_effort.as_deref() {
            None | Some("none") => Think::Switch(false),
            Some("on") => Think::Switch(true),
            Some(level) => Think::Level(level.to_owned()),
        };
        Self {
            model: settings.model.clone(),
            structure: settings.structure,
            think,
            max_output_tokens: settings.max_output_tokens,
        }
    }
}

impl Provider for Ollama {
    fn encode(&self, prompt: &Prompt, stream: bool) -> HttpRequest {
        let max_tokens = prompt.max_output_tokens.min(self.max_output_tokens);
        let body = Body {
            model: &self.model,
            messages: (
                Message {
                    role: "system",
                    content: &prompt.prefix,
                },
                Message {
                    role: "user",
                    content: &prompt.phrase,
                },
            ),
            format: match self.structure {
                Structure::Schema => Some(Format::Schema(prompt.schema.adapted(SPEC.schema))),
                Structure::Json => Some(Format::Word("json")),
                Structure::None => None,
            },
            think: &self.think,
            keep_alive: KEEP_ALIVE,
            options: Options {
                temperature: 0,
                num_predict: max_tokens,
                num_ctx: context_size(prompt.prefix.len() + prompt.phrase.len(), max_tokens),
            },
            stream,
        };
        HttpRequest::new("/api/chat", prompt, &body)
    }
}

/// Returns the context size, in tokens, for a prompt of this number of bytes and its answer. It is
/// a power of two, so that it seldom changes: Ollama loads the model again for another size.
fn context_size(bytes: usize, answer: u32) -> u32 {
    let prompt = u32::try_from(bytes / BYTES_PER_TOKEN).unwrap_or(u32::MAX);
    let wanted = prompt.saturating_add(answer);
    wanted
        .checked_next_power_of_two()
        .unwrap_or(u32::MAX)
        .max(SMALLEST_CONTEXT)
}

/// The request body. The fields are sent in this order every time.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: (Message<'a, PromptText>, Message<'a, str>),
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
    think: &'a Think,
    keep_alive: &'a str,
    options: Options,
    stream: bool,
}

#[derive(Serialize)]
struct Message<'a, T: ?Sized> {
    role: &'a str,
    content: &'a T,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Format<'a> {
    Schema(Arc<RawValue>),
    Word(&'a str),
}

#[derive(Serialize)]
struct Options {
    temperature: u8,
    num_predict: u32,
    num_ctx: u32,
}

/// Adds an answer or a part of one: they have the same shape. The model's thoughts are beside its
/// answer and is skipped.
fn read_message(message: &Json, answer: &mut Gathered) -> Result<(), ProviderError> {
    let content = &message["message"];
    answer.add_text(&as_text(&content["content"]));
    for call in list(content, "tool_calls") {
        answer.add_call(answer.next_call(), &as_text(&call["function"]["arguments"]));
    }
    if message["done"] == true {
        let reason = text(message, "done_reason");
        // The server loaded the model, and did not run it.
        if reason == Some("load") && !answer.has_content() {
            return Err(ProviderError::ServerError {
                status: 200,
                why: ": the model was loaded, and gave no answer yet".to_owned(),
                retry_after: None,
            });
        }
        answer.end(reason);
        answer.count(Usage {
            input: count(message, "prompt_eval_count").unwrap_or_default(),
            output: count(message, "eval_count").unwrap_or_default(),
            ..Usage::default()
        });
        // Older versions give no reason.
        answer.mark_over();
    }
    Ok(())
}

/// Reads an error, which is a bare text.
fn read_error(error: &Json) -> ErrorBody {
    let message = error.as_str().unwrap_or_default();
    let is_memory = message.contains("requires more system memory");
    ErrorBody {
        status: numeric_status(error),
        words: words(error, &[]),
        cause: is_memory.then_some(ErrorCause::Fault(ProviderFault::Memory)),
        ..ErrorBody::default()
    }
}
