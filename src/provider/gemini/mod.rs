//! `generateContent`, as Google defines it. Pure encode and decode.
//! Source: requests of the official SDK 3.4.0 for version v1 of the API, captured November 2026.

use std::time::SystemTime;

use reqwest::header::{HeaderMap, HeaderName};
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::provider::gemini::answer::{Answer, Fault, Gathered};
use crate::provider::model::family_of;
use crate::provider::sse::Sse;
use crate::provider::stream::{AnswerPiece, Framed, Messages, Stream};
use crate::provider::{
    Api, Completion, HttpRequest, Prompt, Provider, ProviderError, Remaining, Settings, Structure,
    UnsendableKey, headers, malformed, short, words,
};

mod answer;

/// The version of the API these files were written for: the last part of its address.
pub const VERSION: &str = "v1";

/// The header the key goes in. In the address, as examples show it, it would stand in every log on the way.
const KEY_HEADER: HeaderName = HeaderName::from_static("x-goog-api-key");

/// Google's service, or a gateway to it. Its cache takes a steady prefix by itself, without a hint.
#[derive(Debug)]
pub struct Gemini {
    model: String,
    structure: Structure,
    /// `MINIMAL` is the least for those that think.
    thinking: Option<String>,
    max_output_tokens: u32,
    headers: HeaderMap,
}

impl Gemini {
    /// The service as set up.
    ///
    /// # Errors
    /// When the key has characters that no header may have.
    pub fn new(settings: &Settings) -> Result<Self, UnsendableKey> {
        let model = settings
            .model
            .strip_prefix("models/")
            .unwrap_or(&settings.model);
        let family = family_of(Api::Gemini, model);
        let thinking = match settings.reasoning_effort.as_deref() {
            None | Some("none") => family.and_then(|family| family.effort),
            asked => asked,
        };
        Ok(Self {
            model: model.to_owned(),
            structure: settings.structure,
            thinking: thinking.map(str::to_uppercase),
            max_output_tokens: settings.max_output_tokens,
            headers: headers::outgoing(settings, &KEY_HEADER)?,
        })
    }

    fn request(&self, method: &str, prompt: &Prompt) -> HttpRequest {
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
                    .then_some(&*prompt.schema),
                thinking_config: self
                    .thinking
                    .as_deref()
                    .map(|level| json!({"thinkingLevel": level})),
            },
        };
        let body = serde_json::to_vec(&body).expect("strings, numbers and JSON always serialise");
        HttpRequest {
            path: format!("/models/{}:{method}", self.model),
            headers: self.headers.clone(),
            body,
        }
    }
}

/// The request's body. The order of the fields is the order on the wire, the same every time.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    system_instruction: Content<'a>,
    contents: [Content<'a>; 1],
    generation_config: GenerationConfig<'a>,
}

#[derive(Serialize)]
struct Content<'a> {
    role: &'a str,
    parts: [Part<'a>; 1],
}

#[derive(Serialize)]
struct Part<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig<'a> {
    temperature: f32,
    max_output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<Json>,
}

impl Provider for Gemini {
    fn encode(&self, prompt: &Prompt) -> HttpRequest {
        self.request("generateContent", prompt)
    }

    fn decode(&self, body: &[u8]) -> Result<Completion, ProviderError> {
        let mut gathered = Gathered::default();
        self.take(Answer::read(body)?, &mut gathered)?;
        gathered.finish()
    }

    fn encode_stream(&self, prompt: &Prompt) -> HttpRequest {
        self.request("streamGenerateContent?alt=sse", prompt)
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
        let said = Fault::in_body(body);
        let why = said.words();
        let unusable = |mend: &str| ProviderError::Unusable {
            why: format!("{mend} (status {status}{why})"),
        };
        // It tells the wait in the body; what stands between us and it may in a header.
        let retry_after = said
            .retry_delay()
            .or_else(|| headers::retry_after(headers, now));
        match status {
            400 if said.names("API_KEY_INVALID") => {
                unusable("the key was refused: mend its key file")
            }
            400 if said.names("FAILED_PRECONDITION") => {
                unusable("not allowed with this key or from this region")
            }
            401 => unusable("the key was refused: mend its key file"),
            402 => unusable("no credit left: see its billing page"),
            403 => unusable("not allowed with this key or from this region"),
            404 => unusable(&format!(
                "no such model or address: mend `model` (`{}`) or `base_url`",
                self.model
            )),
            300..=399 => unusable("it redirects elsewhere: mend `base_url`"),
            // The delay it tells beside this one is that of another limit.
            429 if said.is_daily() => {
                unusable("the quota of the day is used up: see its billing page")
            }
            429 => ProviderError::Limited { retry_after },
            408 | 409 | 500.. => ProviderError::Troubled {
                status,
                retry_after,
            },
            _ => ProviderError::Rejected {
                why: format!("status {status}{why}"),
            },
        }
    }

    /// It does not say.
    fn remaining(&self, _: &HeaderMap) -> Remaining {
        Remaining::default()
    }
}

impl Gemini {
    /// Takes an answer, or a part of one, and gives the text that it adds.
    fn take(&self, answer: Answer, gathered: &mut Gathered) -> Result<AnswerPiece, ProviderError> {
        match &answer.error {
            None => Ok(gathered.take(answer)),
            Some(fault) => Err(match fault.code {
                Some(status @ 400..600) => self.fault(
                    status,
                    &HeaderMap::new(),
                    json!({"error": fault.json}).to_string().as_bytes(),
                    SystemTime::UNIX_EPOCH,
                ),
                _ => malformed(format!("an error in place of an answer{}", fault.words())),
            }),
        }
    }
}

/// An answer that comes in pieces.
struct Reading<'a> {
    api: &'a Gemini,
    gathered: Gathered,
}

impl Messages for Reading<'_> {
    fn take(&mut self, message: &str) -> Result<AnswerPiece, ProviderError> {
        self.api
            .take(Answer::read(message.as_bytes())?, &mut self.gathered)
    }

    fn is_over(&self) -> bool {
        self.gathered.is_over()
    }

    fn finish(self) -> Result<Completion, ProviderError> {
        self.gathered.finish()
    }
}

#[cfg(test)]
mod tests;
