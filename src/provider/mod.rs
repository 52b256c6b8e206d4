//! Language models behind one interface: a [`Prompt`] in, a [`Completion`] out, whatever the API.
//! Knows nothing of homes, commands or devices. Each API is one file of pure encode and decode; `http.rs` is the one client.

mod connect_error;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, HeaderName};
use serde_json::Value as Json;

use crate::provider::price::{Limits, Prices};
use crate::provider::stream::Stream;
use crate::secret::Secret;

pub mod anthropic;
#[cfg(test)]
mod fixture;
pub mod gemini;
mod headers;
pub mod http;
pub mod model;
pub mod ollama;
pub mod openai;
pub mod price;
mod redact;
mod sse;
pub mod stream;

/// Of a provider's own words about an error, at most so many characters are kept.
const LONGEST_WHY: usize = 200;

/// One API, as pure translation: what to send for a prompt, and what an answer means. Does no input or output of its own.
pub trait Provider: Send + Sync {
    /// The request that asks `prompt`.
    fn encode(&self, prompt: &Prompt) -> HttpRequest;

    /// The completion in the body of a 2xx answer.
    ///
    /// # Errors
    /// When the body is malformed, cut, refused or an error in disguise.
    fn decode(&self, body: &[u8]) -> Result<Completion, ProviderError>;

    /// The request that asks `prompt`, for an answer in pieces.
    fn encode_stream(&self, prompt: &Prompt) -> HttpRequest;

    /// What a GET of may tell that the server is there, and costs nothing; and what headers that takes.
    fn free(&self) -> Option<(&'static str, &HeaderMap)> {
        None
    }

    /// Reads the pieces of one 2xx answer.
    fn stream(&self) -> Box<dyn Stream + '_>;

    /// What an answer of another status means. `now` is for headers that tell a date.
    fn fault(
        &self,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> ProviderError;

    /// What the headers of any answer say is left of the provider's limits.
    fn remaining(&self, headers: &HeaderMap) -> Remaining;
}

/// A POST, before it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRequest {
    /// What follows the base URL: `/chat/completions`.
    pub path: String,
    /// Who asks, and what kind of body it is.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// What is left of a provider's own limits; empty where it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remaining {
    /// Of requests.
    pub requests: Option<Allowance>,
    /// Of tokens.
    pub tokens: Option<Allowance>,
}

/// What is left of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// How much may still be used.
    pub left: u64,
    /// The whole, where it was told.
    pub limit: Option<u64>,
    /// In what time the whole is there again.
    pub reset: Duration,
}

impl Allowance {
    /// How long until `wanted` of it is there, taking it to come back evenly. Zero where it is there already.
    pub fn wait_for(&self, wanted: u64) -> Duration {
        if self.left >= wanted {
            return Duration::ZERO;
        }
        let missing = wanted - self.left;
        match self.limit.map(|limit| limit.saturating_sub(self.left)) {
            Some(used) if used > missing => self.reset.mul_f64(to_f64(missing) / to_f64(used)),
            _ => self.reset,
        }
    }
}

fn to_f64(n: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share of a limit: the last digits do not matter"
    )]
    {
        n as f64
    }
}

impl Remaining {
    /// How long until a request of `tokens` fits in.
    pub fn wait_for(&self, tokens: u64) -> Duration {
        let requests = self.requests.map_or(Duration::ZERO, |a| a.wait_for(1));
        requests.max(self.tokens.map_or(Duration::ZERO, |a| a.wait_for(tokens)))
    }
}

/// What a model is asked. The prefix and the schema are the same bytes for every phrase of one home,
/// so that a provider's prompt cache works; the phrase comes last and alone in its own message.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The instructions and the registry of the home.
    pub prefix: Arc<str>,
    /// Names the prefix: the same for the same bytes.
    pub prefix_key: Arc<str>,
    /// What was said.
    pub phrase: String,
    /// The JSON Schema of the answer.
    pub schema: Arc<Json>,
    /// The most tokens the answer may take.
    pub max_output_tokens: u32,
}

/// What a model answered: complete, not refused, not yet believed.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The text of the answer: should be JSON of the schema.
    pub body: String,
    /// What it cost.
    pub usage: Usage,
}

/// Tokens, as the API counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// All tokens of the prompt, cached ones included.
    pub input: u64,
    /// Of these, read from the provider's cache.
    pub cached: u64,
    /// Of the prompt's, written to the provider's cache, which may cost more than plain ones.
    pub written: u64,
    /// All tokens of the answer, reasoning included.
    pub output: u64,
}

/// Why there is no completion, cut by what to do next. See [`ProviderError::disposition`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No connection, reset, or no answer in time.
    #[error("{why}")]
    Unreachable {
        /// What happened: `no answer within 5 s`.
        why: String,
    },
    /// A status of the server's own trouble (408, 409, 5xx).
    #[error("status {status}")]
    Troubled {
        /// The HTTP status.
        status: u16,
        /// When it asked to be tried again.
        retry_after: Option<Duration>,
    },
    /// A 200 whose body is cut, malformed, empty, or an error inside a stream.
    #[error("malformed answer: {why}")]
    Malformed {
        /// What was wrong.
        why: String,
    },
    /// The answer ran into the token limit: never to be acted on.
    #[error("the answer was cut off at the token limit")]
    Truncated,
    /// Too many requests or tokens for now.
    #[error("rate limited{}", .retry_after.map_or_else(String::new, |d| format!(", retry after {} s", d.as_secs_f64())))]
    Limited {
        /// When it asked to be tried again.
        retry_after: Option<Duration>,
    },
    /// The key, the credit, the model or the region: out until that changes.
    #[error("{why}")]
    Unusable {
        /// What the operator should mend.
        why: String,
    },
    /// The request itself: the same body fails everywhere.
    #[error("the request was rejected: {why}")]
    Rejected {
        /// What the provider said.
        why: String,
    },
    /// The model would not answer.
    #[error("refused to answer")]
    Declined,
}

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Back off, try the same provider again, then the next. Counts for its breaker.
    Retry {
        /// Not before.
        after: Option<Duration>,
    },
    /// The next provider at once; this one rests. Does not count for its breaker.
    Next {
        /// For how long it rests, where it said.
        rest: Option<Duration>,
    },
    /// The next provider at once; this one is out until its key, credit or model changes.
    Bench,
    /// Nobody else will do better.
    GiveUp,
}

impl ProviderError {
    /// What to do next.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable { .. } | Self::Malformed { .. } => Disposition::Retry { after: None },
            Self::Troubled { retry_after, .. } => Disposition::Retry {
                after: *retry_after,
            },
            Self::Limited { retry_after } => Disposition::Next { rest: *retry_after },
            Self::Truncated => Disposition::Next {
                rest: Some(Duration::ZERO),
            },
            Self::Unusable { .. } => Disposition::Bench,
            Self::Rejected { .. } | Self::Declined => Disposition::GiveUp,
        }
    }
}

fn malformed(why: impl Into<String>) -> ProviderError {
    ProviderError::Malformed { why: why.into() }
}

/// A provider's own words, cut to what fits a log line.
fn short(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_WHY)
        .collect()
}

/// A provider's own words after ours: `: code: message`, as far as there is any.
fn words<'a>(said: impl IntoIterator<Item = &'a str>) -> String {
    let parts = std::iter::once(String::new()).chain(said.into_iter().map(short));
    parts.collect::<Vec<_>>().join(": ")
}

/// The key cannot be sent in a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key has characters that cannot be sent: look for line breaks in its file")]
pub struct UnsendableKey;

/// The API a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// Chat Completions: `OpenAI`, llama.cpp, vLLM, Groq, `OpenRouter`, LM Studio, Ollama's `/v1`.
    OpenAi,
    /// Messages, of Anthropic.
    Anthropic,
    /// `generateContent`, of Google.
    Gemini,
    /// Ollama's own `/api/chat`.
    Ollama,
}

impl Api {
    /// Whether its limits count tokens read from its cache. Source: Anthropic's "Rate limits", cache-aware ITPM, November 2026.
    pub fn counts_cached(self) -> bool {
        self != Self::Anthropic
    }
}

/// How the answer is held to the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Structure {
    /// `json_schema`, strict: the decoder cannot leave the schema.
    #[default]
    Schema,
    /// `json_object`: any JSON, for servers that know no schema; the instructions describe it.
    Json,
    /// Nothing: the instructions alone.
    None,
}

/// One provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What the operator calls it: in logs, replies and `sayso/health`.
    pub name: String,
    /// The API it speaks.
    pub api: Api,
    /// Up to and with the version: `https://api.openai.com/v1`.
    pub base_url: String,
    /// The model's id.
    pub model: String,
    /// The key; none for a server of one's own.
    pub key: Option<Secret>,
    /// The header the key goes in, as it is; none is the API's usual way, for most `authorization: Bearer`.
    pub key_header: Option<HeaderName>,
    /// Sent along, and in place of the API's own of these names: a version, or what a gateway in between wants.
    pub headers: HeaderMap,
    /// How the answer is held to the schema.
    pub structure: Structure,
    /// How much the model thinks first, in the words of the API; `none` is fastest. None is what suits its family.
    pub reasoning_effort: Option<String>,
    /// The most tokens an answer may take.
    pub max_output_tokens: u32,
    /// Requests per minute; none is no limit of ours.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens per minute, prompt and answer together; none is no limit of ours.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Calls at the same time: 4 for a service, 1 for a model on this machine.
    pub concurrency: NonZeroUsize,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// What its tokens cost; none where that is not known.
    pub prices: Option<Prices>,
    /// Its share of the work among neighbours of the same API and model that have one too.
    pub weight: Option<NonZeroU32>,
    /// The most to spend at it.
    pub spend: Limits,
    /// Whether it is looked after while it is away, by a question that costs nothing.
    pub probe: bool,
}

/// How long to wait for a provider. No wait is without a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection, TLS included.
    pub connect: Duration,
    /// From the request to the first byte of the answer's headers.
    pub first_byte: Duration,
    /// Between two pieces of the body.
    pub between_bytes: Duration,
    /// For one attempt in all.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            connect: s(3),
            first_byte: s(8),
            between_bytes: s(5),
            total: s(12),
        }
    }
}

#[cfg(test)]
mod tests;
