//! Anthropic's Messages API. Pure encoding and decoding. Source: requests of the official SDK
//! 2.12.0 for version 2026-10-21 of the API, captured November 2026.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use crate::provider::allowance::{Allowance, Remaining};
use crate::provider::api::{HttpRequest, Provider};
use crate::provider::error::{ErrorBody, ErrorCause, ProviderError, ProviderFault, words};
use crate::provider::gathered::Gathered;
use crate::provider::headers;
use crate::provider::json::{as_text, count, list, text};
use crate::provider::message::{Prompt, Usage};
use crate::provider::prompt_parts::{PromptText, SchemaLimits};
use crate::provider::spec::{
    ApiSpec, ApiVersion, Family, HOSTED_CONCURRENCY, Settings, Structure, Timeouts,
};

/// The table of this API.
pub const SPEC: ApiSpec = ApiSpec {
    name: "anthropic",
    base_url: "https://api.anthropic.com/v1",
    default_model: Some("claude-haiku-5-5"),
    // This version rejects sampling parameters.
    version: Some(ApiVersion::InHeader("anthropic-version", "2026-10-21")),
    key_header: "authorization",
    concurrency: HOSTED_CONCURRENCY,
    timeouts: Timeouts::HOSTED,
    free_probe: None,
    // Source: Anthropic's "Rate limits", cache-aware input tokens per minute, November 2026.
    counts_cached: false,
    is_local: false,
    // Large enums make the compiled grammar too large, a limit that is not published.
    schema: SchemaLimits {
        longest_enum: 64,
        accepts_max_items: false,
    },
    missing_model: "correct `model` (`{model}`) or `base_url`",
    families: &FAMILIES,
    build: |settings, _| Ok(Box::new(Anthropic::new(settings))),
    read_message,
    read_error,
    read_limits,
};

/// Families of models on 23 November 2026. Writing to the cache is priced for one hour, as it is
/// requested. Left out: the fivefold price of Haiku 5.5 for prompts of over 100,000 tokens, a
/// hundred times those of a home.
const FAMILIES: [Family; 2] = [
    Family {
        effort: Some("low"),
        thinks: true,
        ..Family::priced("claude-haiku-5-5", [100, 10, 200, 500])
    },
    Family::priced("claude-haiku-4-5", [1000, 100, 2000, 5000]),
];

/// The request encoder of the service or a gateway to it.
#[derive(Debug)]
struct Anthropic {
    model: String,
    structure: Structure,
    effort: Option<String>,
    /// Thinking is switched off: the model would think by itself, and a person waits for the light.
    disables_thinking: bool,
    max_output_tokens: u32,
}

impl Anthropic {
    fn new(settings: &Settings) -> Self {
        let family = SPEC.family_of(&settings.model);
        let configured = settings.reasoning_effort.as_deref();
        let effort = configured
            .or_else(|| family?.effort)
            .filter(|effort| *effort != "none");
        Self {
            model: settings.model.clone(),
            structure: settings.structure,
            effort: effort.map(str::to_owned),
            disables_thinking: match configured {
                None => family.is_some_and(|family| family.thinks),
                Some(effort) => effort == "none",
            },
            max_output_tokens: settings.max_output_tokens,
        }
    }
}

impl Provider for Anthropic {
    fn encode(&self, prompt: &Prompt, stream: bool) -> HttpRequest {
        let format = (self.structure == Structure::Schema).then(|| Format {
            kind: "json_schema",
            schema: prompt.schema.adapted(SPEC.schema),
        });
        let effort = self.effort.as_deref();
        let needs_config = format.is_some() || effort.is_some();
        let body = Body {
            model: &self.model,
            max_tokens: prompt.max_output_tokens.min(self.max_output_tokens),
            system: [System {
                kind: "text",
                text: &prompt.prefix,
                cache_control: CacheControl {
                    kind: "ephemeral",
                    ttl: "1h",
                },
            }],
            messages: [Message {
                role: "user",
                content: &prompt.phrase,
            }],
            thinking: self.disables_thinking.then(|| json!({"type": "disabled"})),
            output_config: needs_config.then_some(OutputConfig { effort, format }),
            stream,
        };
        HttpRequest::new("/messages", prompt, &body)
    }
}

/// The request body. The fields are sent in this order every time.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    system: [System<'a>; 1],
    messages: [Message<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct System<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    text: &'a PromptText,
    cache_control: CacheControl,
}

/// One hour: a home gets too few commands for the usual five minutes.
#[derive(Serialize)]
struct CacheControl {
    #[serde(rename = "type")]
    kind: &'static str,
    ttl: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
}

#[derive(Serialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    schema: Arc<RawValue>,
}

/// Adds a whole message or one event of a stream. Pings and unknown events and blocks are skipped.
#[expect(clippy::unnecessary_wraps, reason = "the signature of the table")]
fn read_message(message: &Json, answer: &mut Gathered) -> Result<(), ProviderError> {
    match text(message, "type").unwrap_or("message") {
        "message" => {
            answer.mark_whole();
            answer.count(read_usage(&message["usage"]));
            answer.end(text(message, "stop_reason"));
            for block in list(message, "content") {
                read_block(block, answer);
            }
        }
        "message_start" => answer.count(read_usage(&message["message"]["usage"])),
        "content_block_start" => {
            let block = &message["content_block"];
            match text(block, "type") {
                // Its input follows in parts.
                Some("tool_use") => answer.add_call(answer.next_call(), ""),
                _ => read_block(block, answer),
            }
        }
        "content_block_delta" => {
            let delta = &message["delta"];
            match text(delta, "type") {
                Some("text_delta") => answer.add_text(text(delta, "text").unwrap_or_default()),
                Some("input_json_delta") => {
                    let part = text(delta, "partial_json").unwrap_or_default();
                    answer.add_call(answer.newest_call(), part);
                }
                _ => {}
            }
        }
        "message_delta" => {
            answer.end(text(&message["delta"], "stop_reason"));
            answer.count(read_usage(&message["usage"]));
        }
        "message_stop" => answer.mark_over(),
        _ => {}
    }
    Ok(())
}

fn read_block(block: &Json, answer: &mut Gathered) {
    match text(block, "type") {
        Some("text") => answer.add_text(text(block, "text").unwrap_or_default()),
        Some("tool_use") => answer.add_call(answer.next_call(), &as_text(&block["input"])),
        _ => {}
    }
}

/// Reads the token counts. The API's three counts of input exclude each other, so that their sum is
/// the input.
fn read_usage(usage: &Json) -> Usage {
    let number = |key| count(usage, key).unwrap_or_default();
    let cached = number("cache_read_input_tokens");
    let written = number("cache_creation_input_tokens");
    let plain = number("input_tokens");
    Usage {
        input: plain.saturating_add(cached).saturating_add(written),
        cached,
        written,
        output: number("output_tokens"),
    }
}

/// Reads an error: its type is judged, its message is for people but for spending limits and
/// filters, which have the status and type of other errors.
fn read_error(error: &Json) -> ErrorBody {
    let message = text(error, "message").unwrap_or_default().to_lowercase();
    let is_about_spending = [
        "usage limit",
        "spend limit",
        "spend cap",
        "spending limit",
        "credit balance",
    ]
    .iter()
    .any(|words| message.contains(words));
    let cause = if is_about_spending {
        Some(ErrorCause::Fault(ProviderFault::SpendingLimit))
    } else if message.contains("content filtering policy") {
        Some(ErrorCause::Filter)
    } else {
        None
    };
    let status = match text(error, "type").unwrap_or_default() {
        "invalid_request_error" => Some(400),
        "authentication_error" => Some(401),
        "billing_error" => Some(402),
        "permission_error" => Some(403),
        "not_found_error" => Some(404),
        "conflict_error" => Some(409),
        "request_too_large" => Some(413),
        "rate_limit_error" => Some(429),
        "api_error" => Some(500),
        "timeout_error" => Some(504),
        "overloaded_error" => Some(529),
        _ => None,
    };
    ErrorBody {
        status,
        words: words(error, &["type"]),
        cause,
        retry_after: None,
    }
}

/// Reads the `anthropic-ratelimit-*` headers. `tokens` is the limit that is reached first, where
/// several hold.
fn read_limits(headers: &HeaderMap) -> Remaining {
    Remaining {
        requests: allowance(headers, "requests"),
        tokens: allowance(headers, "tokens").or_else(|| allowance(headers, "input-tokens")),
    }
}

fn allowance(headers: &HeaderMap, what: &str) -> Option<Allowance> {
    let header = |part: &str| headers::text(headers, &format!("anthropic-ratelimit-{what}-{part}"));
    let reset: Duration = headers::until(headers, &format!("anthropic-ratelimit-{what}-reset"))?;
    Some(Allowance {
        left: header("remaining")?.parse().ok()?,
        limit: header("limit").and_then(|limit| limit.parse().ok()),
        reset,
    })
}
