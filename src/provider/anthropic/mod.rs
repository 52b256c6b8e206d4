//! Messages, as Anthropic defines them. Pure encode and decode.
//! Source: requests of the official SDK 2.12.0 for version 2026-10-21 of the API, captured November 2026.

use std::time::SystemTime;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::provider::anthropic::answer::{Answer, Event, Fault, Gathered};
use crate::provider::model::family_of;
use crate::provider::sse::Sse;
use crate::provider::stream::{AnswerPiece, Framed, Messages, Stream};
use crate::provider::{
    Allowance, Api, Completion, HttpRequest, Prompt, Provider, ProviderError, Remaining, Settings,
    Structure, UnsendableKey, headers, malformed, short, words,
};

mod answer;

/// The header that names the version of the API.
pub const VERSION_HEADER: HeaderName = HeaderName::from_static("anthropic-version");

/// The version of the API these files were written for. It refuses sampling parameters.
pub const VERSION: &str = "2026-10-21";

/// Anthropic's service, or a gateway to it.
#[derive(Debug)]
pub struct Anthropic {
    model: String,
    structure: Structure,
    effort: Option<String>,
    /// Told not to think: its model would by itself, and somebody waits for the light.
    thoughtless: bool,
    max_output_tokens: u32,
    headers: HeaderMap,
}

impl Anthropic {
    /// The service as set up.
    ///
    /// # Errors
    /// When the key has characters that no header may have.
    pub fn new(settings: &Settings) -> Result<Self, UnsendableKey> {
        let family = family_of(Api::Anthropic, &settings.model);
        let asked = settings.reasoning_effort.as_deref();
        let effort = asked
            .or_else(|| family?.effort)
            .filter(|effort| *effort != "none");
        let mut headers = headers::outgoing(settings, &AUTHORIZATION)?;
        headers
            .entry(VERSION_HEADER)
            .or_insert(HeaderValue::from_static(VERSION));
        Ok(Self {
            model: settings.model.clone(),
            structure: settings.structure,
            effort: effort.map(str::to_owned),
            thoughtless: match asked {
                None => family.is_some_and(|family| family.thinks),
                Some(effort) => effort == "none",
            },
            max_output_tokens: settings.max_output_tokens,
            headers,
        })
    }

    fn request(&self, prompt: &Prompt, stream: bool) -> HttpRequest {
        let format = (self.structure == Structure::Schema).then_some(Format {
            kind: "json_schema",
            schema: &prompt.schema,
        });
        let effort = self.effort.as_deref();
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
            thinking: self.thoughtless.then(|| json!({"type": "disabled"})),
            output_config: (format.is_some() || effort.is_some())
                .then_some(OutputConfig { effort, format }),
            stream,
        };
        let body = serde_json::to_vec(&body).expect("strings, numbers and JSON always serialise");
        HttpRequest {
            path: "/messages".to_owned(),
            headers: self.headers.clone(),
            body,
        }
    }
}

/// The request's body. The order of the fields is the order on the wire, the same every time.
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
    text: &'a str,
    cache_control: CacheControl,
}

/// For an hour: a home is spoken to too seldom for the usual five minutes.
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
    schema: &'a Json,
}

impl Provider for Anthropic {
    fn encode(&self, prompt: &Prompt) -> HttpRequest {
        self.request(prompt, false)
    }

    fn decode(&self, body: &[u8]) -> Result<Completion, ProviderError> {
        let answer: Answer = serde_json::from_slice(body)
            .map_err(|error| malformed(format!("not a message: {error}")))?;
        match answer.error {
            Some(fault) => Err(self.hidden(&fault)),
            None => Gathered::from(answer).finish(),
        }
    }

    fn encode_stream(&self, prompt: &Prompt) -> HttpRequest {
        self.request(prompt, true)
    }

    fn stream(&self) -> Box<dyn Stream + '_> {
        Box::new(Framed::<Sse, _>::new(Reading {
            api: self,
            gathered: Gathered::default(),
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
        let retry_after = headers::retry_after(headers, now);
        match status {
            401 => unusable("the key was refused: mend its key file"),
            402 => unusable("no credit left: see its billing page"),
            403 => unusable("not allowed with this key or from this region"),
            404 => unusable(&format!(
                "no such model or address: mend `model` (`{}`) or `base_url`",
                self.model
            )),
            300..=399 => unusable("it redirects elsewhere: mend `base_url`"),
            400 if said.is_about_money() => {
                unusable("the spending limit is reached: see its billing page")
            }
            429 => match retry_after.or_else(|| used_up_for(headers)) {
                // A tier's cap on spending is a 429 as well, but there is nothing to wait for.
                None => unusable("the spending limit is reached: see its billing page"),
                wait => ProviderError::Limited { retry_after: wait },
            },
            408 | 409 | 500.. => ProviderError::Troubled {
                status,
                retry_after,
            },
            _ => ProviderError::Rejected {
                why: format!("status {status}{why}"),
            },
        }
    }

    fn remaining(&self, headers: &HeaderMap) -> Remaining {
        // `tokens` is the limit that is reached first, where several hold.
        Remaining {
            requests: allowance(headers, "requests"),
            tokens: allowance(headers, "tokens").or_else(|| allowance(headers, "input-tokens")),
        }
    }
}

impl Anthropic {
    /// What an error means that has no status of its own: one in a stream, or in a 200.
    fn hidden(&self, fault: &Fault) -> ProviderError {
        let Some(status) = fault.status() else {
            return malformed(format!("an error in place of an answer{}", fault.words()));
        };
        let body = json!({"error": {"type": fault.kind, "message": fault.message}}).to_string();
        match status {
            // What a header would say of it is not known, so its being a cap on spending is not either.
            429 => ProviderError::Limited { retry_after: None },
            _ => self.fault(
                status,
                &HeaderMap::new(),
                body.as_bytes(),
                SystemTime::UNIX_EPOCH,
            ),
        }
    }
}

/// An answer that comes in pieces.
struct Reading<'a> {
    api: &'a Anthropic,
    gathered: Gathered,
}

impl Messages for Reading<'_> {
    fn take(&mut self, message: &str) -> Result<AnswerPiece, ProviderError> {
        let event: Event = serde_json::from_str(message)
            .map_err(|error| malformed(format!("not an event of a message: {error}")))?;
        match event {
            Event::Error { error } => Err(self.api.hidden(&error)),
            event => Ok(self.gathered.take(event)),
        }
    }

    fn is_over(&self) -> bool {
        self.gathered.is_over()
    }

    fn finish(self) -> Result<Completion, ProviderError> {
        if self.gathered.is_over() {
            self.gathered.finish()
        } else {
            Err(malformed("it ended before its message_stop"))
        }
    }
}

fn allowance(headers: &HeaderMap, what: &str) -> Option<Allowance> {
    let header = |part: &str| headers::text(headers, &format!("anthropic-ratelimit-{what}-{part}"));
    let reset = headers::until(headers, &format!("anthropic-ratelimit-{what}-reset"))?;
    Some(Allowance {
        left: header("remaining")?.parse().ok()?,
        limit: header("limit").and_then(|limit| limit.parse().ok()),
        reset,
    })
}

/// How long until the limits that are used up are there again.
fn used_up_for(headers: &HeaderMap) -> Option<std::time::Duration> {
    let all = ["requests", "tokens", "input-tokens", "output-tokens"]
        .into_iter()
        .filter_map(|what| allowance(headers, what));
    all.filter(|allowance| allowance.left == 0)
        .map(|allowance| allowance.reset)
        .max()
}

#[cfg(test)]
mod tests;
