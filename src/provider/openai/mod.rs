//! Chat Completions, as `OpenAI` defines it and as others copy it: llama.cpp, vLLM, Groq, `OpenRouter`, LM Studio, Ollama's `/v1`.
//! Pure encode and decode. Source: requests of the official SDK 3.54.0, captured November 2026.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::provider::model::family_of;
use crate::provider::openai::answer::{Answer, Gathered};
use crate::provider::sse::Sse;
use crate::provider::stream::{AnswerPiece, Framed, Messages, Stream};
use crate::provider::{
    Allowance, Api, Completion, HttpRequest, Prompt, Provider, ProviderError, Remaining, Settings,
    Structure, UnsendableKey, headers, malformed, short, words,
};

mod answer;

/// The name the schema goes by; it is part of the provider's cache key, so it stays.
const SCHEMA_NAME: &str = "device_command";

/// One server that speaks Chat Completions.
#[derive(Debug)]
pub struct OpenAi {
    model: String,
    structure: Structure,
    reasoning_effort: Option<String>,
    max_output_tokens: u32,
    /// The service itself, whose newest fields the others may not know.
    genuine: bool,
    /// The model takes a mark in the prompt up to which it should be cached.
    marks: bool,
    headers: HeaderMap,
}

impl OpenAi {
    /// The server at `url` as set up.
    ///
    /// # Errors
    /// When the key has characters that no header may have.
    pub fn new(settings: &Settings, url: &Url) -> Result<Self, UnsendableKey> {
        let genuine = url
            .host_str()
            .is_some_and(|host| host == "openai.com" || host.ends_with(".openai.com"));
        let family = family_of(Api::OpenAi, &settings.model).filter(|_| genuine);
        Ok(Self {
            model: settings.model.clone(),
            structure: settings.structure,
            reasoning_effort: settings
                .reasoning_effort
                .clone()
                .or_else(|| family?.effort.map(str::to_owned)),
            max_output_tokens: settings.max_output_tokens,
            genuine,
            marks: family.is_some_and(|family| family.marks),
            headers: headers::outgoing(settings, &AUTHORIZATION)?,
        })
    }

    fn request(&self, prompt: &Prompt, stream: bool) -> HttpRequest {
        let most = prompt.max_output_tokens.min(self.max_output_tokens);
        let body = Body {
            model: &self.model,
            // The copies know `system` and `max_tokens`; some reject what they do not know.
            messages: [
                Message {
                    role: if self.genuine { "developer" } else { "system" },
                    content: self.prefix(&prompt.prefix),
                },
                Message {
                    role: "user",
                    content: Text::Plain(&prompt.phrase),
                },
            ],
            max_completion_tokens: self.genuine.then_some(most),
            max_tokens: (!self.genuine).then_some(most),
            prompt_cache_key: self.genuine.then_some(&*prompt.prefix_key),
            reasoning_effort: self.reasoning_effort.as_deref(),
            // The service's reasoning models reject it; local models need it to be steady.
            temperature: (!self.genuine).then_some(0),
            response_format: self.response_format(&prompt.schema),
            stream,
            stream_options: stream.then(|| json!({"include_usage": true})),
        };
        let body = serde_json::to_vec(&body).expect("strings, numbers and JSON always serialise");
        HttpRequest {
            path: "/chat/completions".to_owned(),
            headers: self.headers.clone(),
            body,
        }
    }

    fn prefix<'a>(&self, text: &'a str) -> Text<'a> {
        if !self.marks {
            return Text::Plain(text);
        }
        Text::Marked([
            json!({"type": "text", "text": text, "prompt_cache_breakpoint": {"mode": "explicit"}}),
        ])
    }

    fn response_format<'a>(&self, schema: &'a Json) -> Option<ResponseFormat<'a>> {
        match self.structure {
            Structure::Schema => Some(ResponseFormat::JsonSchema {
                json_schema: Named {
                    name: SCHEMA_NAME,
                    strict: true,
                    schema,
                },
            }),
            Structure::Json => Some(ResponseFormat::JsonObject),
            Structure::None => None,
        }
    }

    /// Takes an answer, or a part of one, and gives the text that it adds.
    fn take(&self, answer: Answer, gathered: &mut Gathered) -> Result<AnswerPiece, ProviderError> {
        let Some(fault) = answer.error else {
            return Ok(gathered.take(answer));
        };
        Err(match fault.status() {
            Some(status) => self.fault(
                status,
                &HeaderMap::new(),
                json!({"error": fault.json}).to_string().as_bytes(),
                UNIX_EPOCH,
            ),
            None => malformed(format!("an error in place of an answer{}", fault.words())),
        })
    }
}

/// The request's body. The order of the fields is the order on the wire, the same every time.
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
    response_format: Option<ResponseFormat<'a>>,
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
enum ResponseFormat<'a> {
    JsonSchema { json_schema: Named<'a> },
    JsonObject,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    strict: bool,
    schema: &'a Json,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Text<'a> {
    Plain(&'a str),
    /// To be cached up to its end, and no further: what is said differs each time.
    Marked([Json; 1]),
}

impl Provider for OpenAi {
    fn encode(&self, prompt: &Prompt) -> HttpRequest {
        self.request(prompt, false)
    }

    fn free(&self) -> Option<(&'static str, &HeaderMap)> {
        Some(("/models", &self.headers))
    }

    fn decode(&self, body: &[u8]) -> Result<Completion, ProviderError> {
        let mut gathered = Gathered::default();
        self.take(Answer::read(body)?, &mut gathered)?;
        gathered.finish()
    }

    fn encode_stream(&self, prompt: &Prompt) -> HttpRequest {
        self.request(prompt, true)
    }

    fn stream(&self) -> Box<dyn Stream + '_> {
        Box::new(Framed::<Sse, _>::new(Reading {
            api: self,
            gathered: Gathered::default(),
            done: false,
        }))
    }

    fn fault(
        &self,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> ProviderError {
        let said = serde_json::from_slice::<Answer>(body)
            .ok()
            .and_then(|answer| answer.error)
            .unwrap_or_default();
        let why = said.words();
        let unusable = |mend: &str| ProviderError::Unusable {
            why: format!("{mend} (status {status}{why})"),
        };
        match status {
            _ if said.names("insufficient_quota") => {
                unusable("no credit left: see its billing page")
            }
            401 => unusable("the key was refused: mend its key file"),
            402 => unusable("no credit left: see its billing page"),
            403 => unusable("not allowed with this key or from this region"),
            404 => unusable(&format!(
                "no such model or address: mend `model` (`{}`) or `base_url`",
                self.model
            )),
            300..400 => unusable("it redirects elsewhere: mend `base_url`"),
            400 if said.names("unsupported_parameter") || said.names("unsupported_value") => {
                unusable(
                    "the model does not know a setting: mend `structure` or `reasoning_effort`",
                )
            }
            429 => ProviderError::Limited {
                retry_after: limited_for(headers, now),
            },
            408 | 409 | 500.. => ProviderError::Troubled {
                status,
                retry_after: headers::retry_after(headers, now),
            },
            _ => ProviderError::Rejected {
                why: format!("status {status}{why}"),
            },
        }
    }

    fn remaining(&self, headers: &HeaderMap) -> Remaining {
        let allowance = |what: &str| {
            let header = |part: &str| headers::text(headers, &format!("x-ratelimit-{part}-{what}"));
            let limit = header("limit").and_then(|t| t.parse().ok());
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
}

/// How long a 429 lasts: as told, or until the limit that is used up is there again.
fn limited_for(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    headers::retry_after(headers, now).or_else(|| {
        let not_soon = headers::text(headers, "x-should-retry") == Some("false");
        let used_up = |what: &str| {
            headers::text(headers, &format!("x-ratelimit-remaining-{what}")) == Some("0")
        };
        let reset = |what: &str| {
            headers::go_duration(headers::text(
                headers,
                &format!("x-ratelimit-reset-{what}"),
            )?)
        };
        let resets = ["requests", "tokens"]
            .into_iter()
            .filter(|&what| used_up(what))
            .filter_map(reset);
        if not_soon { None } else { resets.max() }
    })
}

/// An answer that comes in pieces.
struct Reading<'a> {
    api: &'a OpenAi,
    gathered: Gathered,
    done: bool,
}

impl Messages for Reading<'_> {
    fn take(&mut self, message: &str) -> Result<AnswerPiece, ProviderError> {
        if message.trim() == "[DONE]" {
            self.done = true;
            return Ok(AnswerPiece::new());
        }
        self.api
            .take(Answer::read(message.as_bytes())?, &mut self.gathered)
    }

    fn is_over(&self) -> bool {
        self.done
    }

    /// Not every copy says `[DONE]`, but all say why they end.
    fn finish(self) -> Result<Completion, ProviderError> {
        if self.gathered.is_whole() {
            self.gathered.finish()
        } else {
            Err(malformed("it ended before its finish_reason"))
        }
    }
}

#[cfg(test)]
mod tests;
