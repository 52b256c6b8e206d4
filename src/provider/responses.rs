//! `OpenAI`'s Responses API. Pure encoding and decoding. Source: requests of the official SDK
//! 3.54.0, captured November 2026.

use std::sync::Arc;

use reqwest::Url;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use crate::provider::api::{HttpRequest, Provider};
use crate::provider::error::{ErrorBody, ProviderError};
use crate::provider::gathered::Gathered;
use crate::provider::json::{as_text, count, list, text};
use crate::provider::message::{Prompt, Usage};
use crate::provider::openai;
use crate::provider::prompt_parts::{AnswerSchema, PromptText};
use crate::provider::spec::{ApiSpec, Settings, Structure};
use crate::provider::status::ErrorSource;

/// The table of this API: the same service as Chat Completions, with other messages.
pub const SPEC: ApiSpec = ApiSpec {
    name: "responses",
    build: |settings, url| Ok(Box::new(Responses::new(settings, url))),
    read_message,
    ..openai::SPEC
};

/// The request encoder of the service or a compatible server.
#[derive(Debug)]
struct Responses {
    model: String,
    structure: Structure,
    reasoning_effort: Option<String>,
    max_output_tokens: u32,
    is_genuine: bool,
}

impl Responses {
    fn new(settings: &Settings, url: &Url) -> Self {
        let is_genuine = openai::is_genuine(url);
        let family = SPEC.family_of(&settings.model).filter(|_| is_genuine);
        Self {
            model: settings.model.clone(),
            structure: settings.structure,
            reasoning_effort: settings.effort(family),
            max_output_tokens: settings.max_output_tokens,
            is_genuine,
        }
    }

    fn text(&self, schema: &AnswerSchema) -> Option<TextSettings> {
        let format = match self.structure {
            Structure::Schema => Format {
                name: Some(openai::SCHEMA_NAME),
                schema: Some(schema.adapted(SPEC.schema)),
                strict: Some(true),
                kind: "json_schema",
            },
            Structure::Json => Format {
                kind: "json_object",
                ..Format::default()
            },
            Structure::None => return None,
        };
        Some(TextSettings { format })
    }
}

impl Provider for Responses {
    fn encode(&self, prompt: &Prompt, stream: bool) -> HttpRequest {
        let body = Body {
            model: &self.model,
            instructions: &prompt.prefix,
            input: &prompt.phrase,
            max_output_tokens: prompt.max_output_tokens.min(self.max_output_tokens),
            prompt_cache_key: self.is_genuine.then_some(&*prompt.prefix_key),
            reasoning: self
                .reasoning_effort
                .as_deref()
                .map(|effort| json!({ "effort": effort })),
            // The service keeps nothing of what is said in a home.
            store: false,
            text: self.text(&prompt.schema),
            stream,
        };
        HttpRequest::new("/responses", prompt, &body)
    }
}

/// The request body. The fields are sent in this order every time.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    instructions: &'a PromptText,
    input: &'a str,
    max_output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Json>,
    store: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<TextSettings>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct TextSettings {
    format: Format,
}

#[derive(Serialize, Default)]
struct Format {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Arc<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// Adds a whole response or one event of a stream. Unknown events are skipped.
fn read_message(message: &Json, answer: &mut Gathered) -> Result<(), ProviderError> {
    let kind = text(message, "type").unwrap_or_default();
    let index = count(message, "output_index").unwrap_or_default();
    match kind {
        "response.output_item.added" if is_commentary(&message["item"]) => {
            answer.mark_commentary(index);
        }
        "response.output_text.delta" if answer.is_commentary(index) => {}
        "response.output_text.delta" => {
            answer.add_text(text(message, "delta").unwrap_or_default());
        }
        "response.function_call_arguments.delta" => {
            answer.add_call(index, text(message, "delta").unwrap_or_default());
        }
        "response.refusal.delta" | "response.refusal.done" => answer.refuse(),
        "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
            read_response(&message["response"], answer)?;
            answer.mark_over();
        }
        "error" => return Err(origin().of_body(&openai::read_error(message))),
        "" => {
            read_response(message, answer)?;
            answer.mark_whole();
        }
        _ => {}
    }
    Ok(())
}

/// Returns whether an item is a remark on the way to the answer, which is a message of its own.
fn is_commentary(item: &Json) -> bool {
    text(item, "phase") == Some("commentary")
}

fn origin() -> ErrorSource<'static> {
    ErrorSource {
        spec: &SPEC,
        model: "",
    }
}

/// Adds a whole response. In a stream its text came before, in parts.
fn read_response(response: &Json, answer: &mut Gathered) -> Result<(), ProviderError> {
    if let Some(error) = origin().in_answer(response) {
        return Err(error);
    }
    answer.count(read_usage(&response["usage"]));
    let is_new = !answer.has_content();
    let output = list(response, "output");
    let has_answer = output
        .iter()
        .any(|item| text(item, "type") == Some("message") && !is_commentary(item));
    for item in output {
        if has_answer && is_commentary(item) {
            continue;
        }
        for content in list(item, "content") {
            match text(content, "type") {
                Some("refusal") => answer.refuse(),
                Some("output_text") if is_new => {
                    answer.add_text(text(content, "text").unwrap_or_default());
                }
                _ => {}
            }
        }
        if is_new && text(item, "type") == Some("function_call") {
            answer.add_call(answer.next_call(), &as_text(&item["arguments"]));
        }
    }
    let status = text(response, "status");
    if let Some(status @ ("cancelled" | "failed" | "in_progress" | "queued")) = status {
        let words = format!(": the response is `{status}`");
        return Err(origin().of_body(&ErrorBody {
            words,
            ..ErrorBody::default()
        }));
    }
    let reason = text(&response["incomplete_details"], "reason").or(status);
    answer.end(reason);
    Ok(())
}

fn read_usage(usage: &Json) -> Usage {
    let details = &usage["input_tokens_details"];
    Usage {
        input: count(usage, "input_tokens").unwrap_or_default(),
        cached: count(details, "cached_tokens").unwrap_or_default(),
        written: count(details, "cache_write_tokens").unwrap_or_default(),
        output: count(usage, "output_tokens").unwrap_or_default(),
    }
}
