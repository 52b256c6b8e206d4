//! Chat Completions, as `OpenAI` defines it and compatible servers copy it: llama.cpp, vLLM, Groq,
//! `OpenRouter`, LM Studio, Azure, Ollama's `/v1`. Pure encoding and decoding. Source: requests of
//! the official SDK 3.54.0, captured November 2026.

use std::sync::Arc;

use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use crate::provider::allowance::{Allowance, Remaining};
use crate::provider::api::{HttpRequest, Provider};
use crate::provider::error::{
    ErrorBody, ErrorCause, ProviderError, ProviderFault, numeric_status, words,
};
use crate::provider::gathered::Gathered;
use crate::provider::google_errors;
use crate::provider::headers;
use crate::provider::json::{as_text, count, list, text};
use crate::provider::message::{Prompt, Usage};
use crate::provider::prompt_parts::{AnswerSchema, PromptText, SchemaLimits};
use crate::provider::spec::{ApiSpec, Family, HOSTED_CONCURRENCY, Settings, Structure, Timeouts};
use crate::provider::status::ErrorSource;

/// The table of this API.
pub const SPEC: ApiSpec = ApiSpec {
    name: "openai",
    base_url: "https://api.openai.com/v1",
    default_model: Some("gpt-6-luna"),
    version: None,
    key_header: "authorization",
    concurrency: HOSTED_CONCURRENCY,
    timeouts: Timeouts::HOSTED,
    free_probe: Some("/models"),
    counts_cached: true,
    is_local: false,
    schema: SchemaLimits {
        longest_enum: 200,
        accepts_max_items: true,
    },
    missing_model: "correct `model` (`{model}`) or `base_url`",
    families: &FAMILIES,
    build: |settings, url| Ok(Box::new(OpenAi::new(settings, url))),
    read_message,
    read_error,
    read_limits,
};

/// Families of models on 23 November 2026, from the model pages and the price map of litellm
/// 1.106.2.
pub(super) const FAMILIES: [Family; 4] = [
    Family {
        effort: Some("none"),
        marks: true,
        ..Family::priced("gpt-6-luna", [100, 10, 125, 500])
    },
    Family {
        effort: Some("none"),
        marks: true,
        ..Family::unpriced("gpt-6")
    },
    Family {
        marks: true,
        ..Family::priced("gpt-5.6-luna", [200, 20, 250, 1200])
    },
    Family::priced("gpt-5.4-nano", [200, 20, 200, 1250]),
];

/// The name of the schema; it is part of the provider's cache key, so it never changes.
pub(super) const SCHEMA_NAME: &str = "device_command";

/// The request encoder of one server.
#[derive(Debug)]
struct OpenAi {
    model: String,
    structure: Structure,
    reasoning_effort: Option<String>,
    max_output_tokens: u32,
    /// The service itself, whose newest fields compatible servers may reject.
    is_genuine: bool,
    /// The model accepts a mark in the prompt up to which it is cached.
    marks: bool,
}

/// Returns whether the address is that of the service itself.
pub(super) fn is_genuine(url: &Url) -> bool {
    url.host_str()
        .is_some_and(|host| host == "openai.com" || host.ends_with(".openai.com"))
}

impl OpenAi {
    fn new(settings: &Settings, url: &Url) -> Self {
        let is_genuine = is_genuine(url);
        let family = SPEC.family_of(&settings.model).filter(|_| is_genuine);
        Self {
            model: settings.model.clone(),
            structure: settings.structure,
            reasoning_effort: settings.effort(family),
            max_output_tokens: settings.max_output_tokens,
            is_genuine,
            marks: family.is_some_and(|family| family.marks),
        }
    }

    fn prefix<'a>(&self, text: &'a PromptText) -> Text<'a> {
        if !self.marks {
            return Text::Prefix(text);
        }
        Text::Marked([MarkedText {
            kind: "text",
            text,
            prompt_cache_breakpoint: CacheBreakpoint { mode: "explicit" },
        }])
    }

    fn response_format(&self, schema: &AnswerSchema) -> Option<ResponseFormat> {
        match self.structure {
            Structure::Schema => Some(ResponseFormat::JsonSchema {
                json_schema: Named {
                    name: SCHEMA_NAME,
                    strict: true,
                    schema: schema.adapted(SPEC.schema),
                },
            }),
            Structure::Json => Some(ResponseFormat::JsonObject),
            Structure::None => None,
        }
    }
}

impl Provider for OpenAi {
    fn encode(&self, prompt: &Prompt, stream: bool) -> HttpRequest {
        let max_tokens = prompt.max_output_tokens.min(self.max_output_tokens);
        let is_genuine = self.is_genuine;
        let body = Body {
            model: &self.model,
            // Compatible servers know `system` and `max_tokens`; some reject what they do not know.
            messages: [
                Message {
                    role: if is_genuine { "developer" } else { "system" },
                    content: self.prefix(&prompt.prefix),
                },
                Message {
                    role: "user",
                    content: Text::Phrase(&prompt.phrase),
                },
            ],
            max_completion_tokens: is_genuine.then_some(max_tokens),
            max_tokens: (!is_genuine).then_some(max_tokens),
            prompt_cache_key: is_genuine.then_some(&*prompt.prefix_key),
            reasoning_effort: self.reasoning_effort.as_deref(),
            // The service's reasoning models reject it; local models need it to be steady.
            temperature: (!is_genuine).then_some(0),
            response_format: self.response_format(&prompt.schema),
            stream,
            stream_options: stream.then(|| json!({"include_usage": true})),
        };
        HttpRequest::new("/chat/completions", prompt, &body)
    }
}

/// The request body. The fields are sent in this order every time.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: [Message<'a>; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Json>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: Text<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ResponseFormat {
    JsonSchema { json_schema: Named },
    JsonObject,
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
    strict: bool,
    schema: Arc<RawValue>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Text<'a> {
    Phrase(&'a str),
    Prefix(&'a PromptText),
    /// Cached up to its end and no further, because the phrase differs each time.
    Marked([MarkedText<'a>; 1]),
}

#[derive(Serialize)]
struct MarkedText<'a> {
    prompt_cache_breakpoint: CacheBreakpoint,
    text: &'a PromptText,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct CacheBreakpoint {
    mode: &'static str,
}

/// Adds a whole answer or a part of one: they have the same shape but for `message` and `delta`.
fn read_message(message: &Json, answer: &mut Gathered) -> Result<(), ProviderError> {
    if let Some(usage) = message.get("usage") {
        answer.count(read_usage(usage));
    }
    let Some(choice) = list(message, "choices").first() else {
        return Ok(());
    };
    let reason = text(choice, "finish_reason");
    let error = &choice["error"];
    if reason == Some("error") || error.is_object() {
        // So `OpenRouter` ends an answer when the provider behind it fails.
        let source = ErrorSource {
            spec: &SPEC,
            model: "",
        };
        return Err(source.of_body(&read_error(error)));
    }
    answer.end(reason);
    if choice.get("message").is_some() {
        answer.mark_whole();
    }
    let content = ["message", "delta"]
        .iter()
        .filter_map(|key| choice.get(key))
        .find(|content| content.is_object());
    let Some(content) = content else {
        // The legacy completions shape.
        answer.add_text(text(choice, "text").unwrap_or_default());
        return Ok(());
    };
    if text(content, "refusal").is_some() {
        answer.refuse();
    }
    read_content(&content["content"], answer);
    for (place, call) in (0..).zip(list(content, "tool_calls")) {
        let index = count(call, "index").unwrap_or(place);
        answer.add_call(index, &as_text(&call["function"]["arguments"]));
    }
    if let Some(call) = content.get("function_call") {
        answer.add_call(0, &as_text(&call["arguments"]));
    }
    Ok(())
}

/// Reads the content, which is a text, a list of parts, or on some servers the JSON itself.
fn read_content(content: &Json, answer: &mut Gathered) {
    let Json::Array(parts) = content else {
        answer.add_text(&as_text(content));
        return;
    };
    for part in parts {
        let is_text = text(part, "type").is_none_or(|kind| kind.ends_with("text"));
        if is_text {
            answer.add_text(text(part, "text").unwrap_or_default());
        }
    }
}

fn read_usage(usage: &Json) -> Usage {
    let details = &usage["prompt_tokens_details"];
    let either = |one, other| count(usage, one).or_else(|| count(usage, other));
    Usage {
        input: either("prompt_tokens", "input_tokens").unwrap_or_default(),
        cached: count(details, "cached_tokens").unwrap_or_default(),
        written: count(details, "cache_write_tokens").unwrap_or_default(),
        output: either("completion_tokens", "output_tokens").unwrap_or_default(),
    }
}

/// Reads an error: its code and type are judged, its message is for people, but for those of
/// servers that state no more.
pub(super) fn read_error(error: &Json) -> ErrorBody {
    let names = |name: &str| text(error, "code") == Some(name) || text(error, "type") == Some(name);
    let any_of = |all: &[&str]| all.iter().any(|name| names(name));
    let fault = if any_of(&["insufficient_quota", "billing_hard_limit_reached"]) {
        Some(ProviderFault::Credit)
    } else if any_of(&["unsupported_parameter", "unsupported_value"]) {
        Some(ProviderFault::Setting)
    } else if names("model_not_found") || is_about_model(error) {
        Some(ProviderFault::Model)
    } else {
        None
    };
    let cause = match fault {
        Some(fault) => Some(ErrorCause::Fault(fault)),
        None if is_filtered(error) => Some(ErrorCause::Filter),
        // Groq samples an answer that misses the schema; the next one may not.
        None if names("json_validate_failed") => Some(ErrorCause::Chance),
        // Gemini's copy of this API states its own details.
        None => google_errors::cause(error),
    };
    let implied = || {
        let of_name = [
            (429, ["rate_limit_exceeded", "rate_limit_error"]),
            (401, ["invalid_api_key", "authentication_error"]),
            (500, ["server_error", "internal_error"]),
            (503, ["unavailable_error", "overloaded_error"]),
            (
                400,
                ["context_length_exceeded", "exceed_context_size_error"],
            ),
        ];
        let found = of_name.into_iter().find(|(_, all)| any_of(all));
        found.map(|(status, _)| status)
    };
    ErrorBody {
        status: numeric_status(error).or_else(implied),
        words: words(error, &["code"]),
        cause,
        retry_after: google_errors::retry_delay(error),
    }
}

/// Returns whether a filter refused the text: `OpenAI`'s and Azure's codes, and the metadata of
/// `OpenRouter`, which answers as it does to a key without rights.
fn is_filtered(error: &Json) -> bool {
    let codes = [
        text(error, "code"),
        text(error, "type"),
        text(&error["innererror"], "code"),
        text(&error["metadata"], "error_type"),
    ];
    let is_filter = |code: &str| {
        matches!(
            code,
            "content_filter"
                | "content_policy_violation"
                | "moderation_blocked"
                | "ResponsibleAIPolicyViolation"
        )
    };
    // The code is also that of prompts with another fault.
    let message = || text(error, "message").unwrap_or_default();
    let is_flagged = text(error, "code") == Some("invalid_prompt")
        && ["flagged", "safety"]
            .iter()
            .any(|word| message().contains(word));
    let metadata = &error["metadata"];
    codes.into_iter().flatten().any(is_filter)
        || is_flagged
        || text(metadata, "flagged_input").is_some()
        || !list(metadata, "reasons").is_empty()
}

/// Returns whether the message of a server that states no code is about the model or the address:
/// `OpenRouter`, `LiteLLM`, `DeepSeek`, and LM Studio.
fn is_about_model(error: &Json) -> bool {
    let message = error.as_str().or_else(|| text(error, "message"));
    let message = message.unwrap_or_default().to_lowercase();
    [
        "not a valid model id",
        "invalid model name",
        "model not exist",
        "unexpected endpoint or method",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// Reads the `x-ratelimit-*` headers.
pub(super) fn read_limits(headers: &HeaderMap) -> Remaining {
    let allowance = |what: &str| {
        let header = |part: &str| headers::text(headers, &format!("x-ratelimit-{part}-{what}"));
        let limit = header("limit").and_then(|text| text.parse().ok());
        let reset = header("reset").and_then(headers::go_duration)?;
        Some(Allowance {
            left: header("remaining")?.parse().ok()?,
            limit,
            reset,
        })
    };
    Remaining {
        requests: allowance("requests"),
        tokens: allowance("tokens"),
    }
}
