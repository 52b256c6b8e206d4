//! Ollama's own `/api/chat`. Pure encode and decode.
//! Source: requests of the official library 0.6.3, captured November 2026.
//! Unlike its `/v1`, it can be told not to think, to keep the model loaded, and how long a prompt may be.

use std::time::SystemTime;

use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde::Serialize;
use serde_json::Value as Json;

use crate::provider::ollama::answer::{Answer, Gathered};
use crate::provider::sse::JsonLines;
use crate::provider::stream::{Framed, Messages, Stream};
use crate::provider::{
    Completion, HttpRequest, Prompt, Provider, ProviderError, Remaining, Settings, Structure,
    UnsendableKey, headers, malformed, short,
};

mod answer;

/// How long the model stays in memory after a call: loading it takes longer than anybody waits.
const KEEP_ALIVE: &str = "30m";

/// The room for prompt and answer, in tokens, where none is asked for. What is longer is cut without a word.
const USUAL_ROOM: u32 = 4096;

/// The fewest bytes a token takes of a registry full of ids, so that there is rather too much room than too little.
const BYTES_PER_TOKEN: usize = 3;

/// A model on a machine of one's own.
#[derive(Debug)]
pub struct Ollama {
    model: String,
    structure: Structure,
    think: Think,
    max_output_tokens: u32,
    headers: HeaderMap,
}

/// A grammar and thinking exclude each other, so it is off unless asked for. Some models know levels, others only yes or no.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Think {
    Whether(bool),
    Level(String),
}

impl Ollama {
    /// The server as set up.
    ///
    /// # Errors
    /// When the key has characters that no header may have.
    pub fn new(settings: &Settings) -> Result<Self, UnsendableKey> {
        let think = match settings.reasoning_effort.as_deref() {
            None | Some("none") => Think::Whether(false),
            Some("on") => Think::Whether(true),
            Some(level) => Think::Level(level.to_owned()),
        };
        let headers = headers::outgoing(settings, &AUTHORIZATION)?;
        Ok(Self {
            model: settings.model.clone(),
            structure: settings.structure,
            think,
            max_output_tokens: settings.max_output_tokens,
            headers,
        })
    }

    fn request(&self, prompt: &Prompt, stream: bool) -> HttpRequest {
        let most = prompt.max_output_tokens.min(self.max_output_tokens);
        let instructions = self.instructions(prompt);
        let body = Body {
            model: &self.model,
            messages: [
                Message {
                    role: "system",
                    content: &instructions,
                },
                Message {
                    role: "user",
                    content: &prompt.phrase,
                },
            ],
            format: match self.structure {
                Structure::Schema => Some(Format::Schema(&prompt.schema)),
                Structure::Json => Some(Format::Word("json")),
                Structure::None => None,
            },
            think: &self.think,
            keep_alive: KEEP_ALIVE,
            options: Options {
                temperature: 0,
                num_predict: most,
                num_ctx: room(instructions.len() + prompt.phrase.len(), most),
            },
            stream,
        };
        let body = serde_json::to_vec(&body).expect("strings, numbers and JSON always serialise");
        HttpRequest {
            path: "/api/chat".to_owned(),
            headers: self.headers.clone(),
            body,
        }
    }

    /// The schema holds the model's hand but is not shown to it: it has to be told as well.
    fn instructions(&self, prompt: &Prompt) -> String {
        match self.structure {
            Structure::Schema => format!(
                "{}\n\nAnswer with JSON of this schema:\n{}",
                prompt.prefix, prompt.schema
            ),
            Structure::Json | Structure::None => prompt.prefix.to_string(),
        }
    }
}

/// The tokens a prompt of so many bytes and its answer need, as a power of two, so that it seldom changes: another size
/// loads the model anew. None where the usual is enough.
fn room(bytes: usize, answer: u32) -> Option<u32> {
    let prompt = u32::try_from(bytes / BYTES_PER_TOKEN).unwrap_or(u32::MAX);
    let wanted = prompt.saturating_add(answer);
    if wanted <= USUAL_ROOM {
        None
    } else {
        wanted.checked_next_power_of_two()
    }
}

/// The request's body. The order of the fields is the order on the wire, the same every time.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: [Message<'a>; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
    think: &'a Think,
    keep_alive: &'a str,
    options: Options,
    stream: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Format<'a> {
    Schema(&'a Json),
    Word(&'a str),
}

#[derive(Serialize)]
struct Options {
    temperature: u8,
    num_predict: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_ctx: Option<u32>,
}

impl Provider for Ollama {
    fn encode(&self, prompt: &Prompt) -> HttpRequest {
        self.request(prompt, false)
    }

    fn free(&self) -> Option<(&'static str, &HeaderMap)> {
        Some(("/api/tags", &self.headers))
    }

    fn decode(&self, body: &[u8]) -> Result<Completion, ProviderError> {
        let mut gathered = Gathered::default();
        gathered.add(Answer::read(body)?)?;
        gathered.finish()
    }

    fn encode_stream(&self, prompt: &Prompt) -> HttpRequest {
        self.request(prompt, true)
    }

    fn stream(&self) -> Box<dyn Stream + '_> {
        Box::new(Framed::<JsonLines, _>::new(Gathered::default()))
    }

    fn fault(
        &self,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> ProviderError {
        let said = Answer::read(body).ok().and_then(|answer| answer.error);
        let why = said.map_or_else(String::new, |said| format!(": {}", short(&said)));
        let unusable = |mend: &str| ProviderError::Unusable {
            why: format!("{mend} (status {status}{why})"),
        };
        let retry_after = headers::retry_after(headers, now);
        match status {
            401 => unusable("the key was refused: mend its key file"),
            402 => unusable("no credit left: see its billing page"),
            403 => unusable("not allowed with this key or from here"),
            404 => unusable(&format!(
                "no such model or address: run `ollama pull {}`, or mend `base_url`",
                self.model
            )),
            300..=399 => unusable("it redirects elsewhere: mend `base_url`"),
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

    /// It has no limits to tell.
    fn remaining(&self, _: &HeaderMap) -> Remaining {
        Remaining::default()
    }
}

#[cfg(test)]
mod tests;
