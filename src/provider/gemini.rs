//! Google's `generateContent`. Pure encoding and decoding. Source: requests of the official SDK
//! 3.4.0 for version v1 of the API, captured November 2026.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use crate::provider::allowance::Remaining;
use crate::provider::api::{HttpRequest, Provider};
use crate::provider::error::{ErrorBody, ProviderError, numeric_status, words};
use crate::provider::gathered::Gathered;
use crate::provider::google_errors;
use crate::provider::json::{as_text, count, list, text};
use crate::provider::message::{Prompt, Usage};
use crate::provider::prompt_parts::{PromptText, SchemaLimits};
use crate::provider::spec::{
    ApiSpec, ApiVersion, Family, HOSTED_CONCURRENCY, Settings, Structure, Timeouts,
};

/// The table of this API.
pub const SPEC: ApiSpec = ApiSpec {
    name: "gemini",
    base_url: "https://generativelanguage.googleapis.com",
    default_model: Some("gemini-3.5-flash-lite"),
    version: Some(ApiVersion::InPath("v1")),
    // In the address, as examples show it, the key would stand in the log of every proxy.
    key_header: "x-goog-api-key",
    concurrency: HOSTED_CONCURRENCY,
    timeouts: Timeouts::HOSTED,
    free_probe: None,
    counts_cached: true,
    is_local: false,
    // The ceiling on enum values is not published.
    schema: SchemaLimits {
        longest_enum: 100,
        accepts_max_items: true,
    },
    missing_model: "correct `model` (`{model}`) or `base_url`",
    families: &FAMILIES,
    build: |settings, _| Ok(Box::new(Gemini::new(settings))),
    read_message,
    read_error,
    // The service does not state its limits.
    read_limits: |_| Remaining {
        requests: None,
        tokens: None,
    },
};

/// Families of models on 23 November 2026.
const FAMILIES: [Family; 5] = [
    thinking(Family::priced("gemini-3.8-flash", [750, 75, 750, 3750])),
    thinking(Family::priced(
        "gemini-3.5-flash-lite",
        [300, 30, 300, 2500],
    )),
    thinking(Family::priced(
        "gemini-3.1-flash-lite",
        [250, 25, 250, 1500],
    )),
    Family::priced("gemini-2.5-flash-lite", [100, 10, 100, 400]),
    thinking(Family::unpriced("gemini-flash")),
];

const fn thinking(family: Family) -> Family {
    Family {
        effort: Some("minimal"),
        thinks: true,
        ..family
    }
}

/// The request encoder of the service or a gateway to it. The service caches a steady prefix
/// without a hint.
#[derive(Debug)]
struct Gemini {
    model: String,
    structure: Structure,
    /// The thinking level; `MINIMAL` is the least for models that think.
    thinking: Option<String>,
    max_output_tokens: u32,
}

impl Gemini {
    fn new(settings: &Settings) -> Self {
        let model = settings
            .model
            .strip_prefix("models/")
            .unwrap_or(&settings.model);
        let family = SPEC.family_of(model);
        let thinking = match settings.reasoning_effort.as_deref() {
            None | Some("none") => family.and_then(|family| family.effort),
            configured => configured,
        };
        Self {
            model: model.to_owned(),
            structure: settings.structure,
            thinking: thinking.map(str::to_uppercase),
            max_output_tokens: settings.max_output_tokens,
        }
    }
}

impl Provider for Gemini {
    fn encode(&self, prompt: &Prompt, stream: bool) -> HttpRequest {
        let body = Body {
            contents: [Content {
                role: "user",
                parts: [Part {
                    text: &prompt.phrase,
                }],
            }],
            system_instruction: Content {
                role: "user",
                parts: [Part {
                    text: &prompt.prefix,
                }],
            },
            generation_config: GenerationConfig {
                temperature: 0.0,
                max_output_tokens: prompt.max_output_tokens.min(self.max_output_tokens),
                response_mime_type: (self.structure != Structure::None)
                    .then_some("application/json"),
                response_json_schema: (self.structure == Structure::Schema)
                    .then(|| prompt.schema.adapted(SPEC.schema)),
                thinking_config: self
                    .thinking
                    .as_deref()
                    .map(|level| json!({"thinkingLevel": level})),
            },
        };
        let method = if stream {
            "streamGenerateContent?alt=sse"
        } else {
            "generateContent"
        };
        HttpRequest::new(format!("/models/{}:{method}", self.model), prompt, &body)
    }
}

/// The request body. The fields are sent in this order every time.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    system_instruction: Content<'a, PromptText>,
    contents: [Content<'a, str>; 1],
    generation_config: GenerationConfig<'a>,
}

#[derive(Serialize)]
struct Content<'a, T: ?Sized> {
    role: &'a str,
    parts: [Part<'a, T>; 1],
}

#[derive(Serialize)]
struct Part<'a, T: ?Sized> {
    text: &'a T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    temperature: f32,
    max_output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<Arc<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<Json>,
}

/// Adds an answer or a part of one: they have the same shape.
#[expect(clippy::unnecessary_wraps, reason = "the signature of the table")]
fn read_message(message: &Json, answer: &mut Gathered) -> Result<(), ProviderError> {
    if text(&message["promptFeedback"], "blockReason").is_some() {
        answer.refuse();
        answer.mark_over();
    }
    if let Some(usage) = message.get("usageMetadata") {
        answer.count(read_usage(usage));
    }
    let Some(candidate) = list(message, "candidates").first() else {
        return Ok(());
    };
    for part in list(&candidate["content"], "parts") {
        // What the model thought is not its answer.
        if part["thought"] == true {
            continue;
        }
        answer.add_text(text(part, "text").unwrap_or_default());
        if let Some(call) = part.get("functionCall").filter(|call| call.is_object()) {
            answer.add_call(answer.next_call(), &as_text(&call["args"]));
        }
    }
    let reason = text(candidate, "finishReason").filter(|r| *r != "FINISH_REASON_UNSPECIFIED");
    answer.end(reason);
    if reason.is_some() {
        answer.mark_over();
    }
    Ok(())
}

/// Reads the token counts. The count of the prompt includes cached tokens; that of the answer does
/// not include thoughts, which cost as much.
fn read_usage(usage: &Json) -> Usage {
    let number = |key| count(usage, key).unwrap_or_default();
    Usage {
        input: number("promptTokenCount"),
        cached: number("cachedContentTokenCount"),
        written: 0,
        output: number("candidatesTokenCount").saturating_add(number("thoughtsTokenCount")),
    }
}

/// Reads an error: its status, reasons and quotas are judged, its message is for people.
fn read_error(error: &Json) -> ErrorBody {
    ErrorBody {
        status: numeric_status(error),
        words: words(error, &["status"]),
        cause: google_errors::cause(error),
        retry_after: google_errors::retry_delay(error),
    }
}
