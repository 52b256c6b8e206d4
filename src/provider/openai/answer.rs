//! What a server of Chat Completions answers: much the same shape whole and in parts. The copies leave much of it out.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use crate::provider::openai::{malformed, short, words};
use crate::provider::stream::AnswerPiece;
use crate::provider::{Completion, ProviderError, Usage};

/// An answer, a part of one in a stream, or an error.
#[derive(Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<UsageIn>,
    pub(super) error: Option<Fault>,
}

impl Answer {
    pub(super) fn read(body: &[u8]) -> Result<Self, ProviderError> {
        serde_json::from_slice(body)
            .map_err(|error| malformed(format!("not a chat completion: {error}")))
    }
}

#[derive(Deserialize)]
struct Choice {
    message: Option<Said>,
    /// What a part of a stream adds.
    delta: Option<Said>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<Content>,
    refusal: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

impl Content {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => parts.into_iter().map(|part| part.text).collect(),
        }
    }
}

#[derive(Deserialize)]
struct ToolCall {
    /// Which call a part of a stream belongs to.
    index: Option<u64>,
    function: Option<Call>,
}

impl ToolCall {
    /// Text; some copies send the JSON itself.
    fn arguments(self) -> String {
        match self.function.and_then(|call| call.arguments) {
            None => String::new(),
            Some(Json::String(text)) => text,
            Some(arguments) => arguments.to_string(),
        }
    }
}

#[derive(Deserialize)]
struct Call {
    arguments: Option<Json>,
}

#[derive(Deserialize)]
struct UsageIn {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

impl UsageIn {
    fn total(&self) -> Usage {
        let count = |of: fn(&Details) -> Option<u64>| {
            self.prompt_tokens_details
                .as_ref()
                .and_then(of)
                .unwrap_or_default()
        };
        let (cached, written) = (
            count(|details| details.cached_tokens),
            count(|details| details.cache_write_tokens),
        );
        Usage {
            input: self.prompt_tokens,
            cached,
            written,
            output: self.completion_tokens,
        }
    }
}

/// What is known of an answer so far.
#[derive(Default)]
pub(super) struct Gathered {
    /// There was a choice at all.
    begun: bool,
    text: String,
    refused: bool,
    /// The arguments of each tool that is called.
    calls: BTreeMap<u64, String>,
    finish_reason: Option<String>,
    usage: Usage,
}

impl Gathered {
    /// Takes an answer, or a part of one, and gives the text that it adds.
    pub(super) fn take(&mut self, answer: Answer) -> AnswerPiece {
        let mut added = AnswerPiece::new();
        if let Some(usage) = answer.usage {
            self.usage = usage.total();
        }
        let Some(choice) = answer.choices.into_iter().next() else {
            return added;
        };
        self.begun = true;
        self.finish_reason = choice.finish_reason.or(self.finish_reason.take());
        let Some(said) = choice.message.or(choice.delta) else {
            return added;
        };
        self.refused |= said.refusal.is_some_and(|words| !words.is_empty());
        added = said.content.map(Content::text).unwrap_or_default();
        self.text.push_str(&added);
        for (place, call) in (0..).zip(said.tool_calls.unwrap_or_default()) {
            let arguments = self.calls.entry(call.index.unwrap_or(place)).or_default();
            let more = call.arguments();
            added.push_str(&more);
            arguments.push_str(&more);
        }
        added
    }

    /// True once it was told why it ends; only how much it was may follow.
    pub(super) fn is_whole(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// The completion, where it is whole.
    ///
    /// # Errors
    /// When it was cut, refused, or has nothing in it.
    pub(super) fn finish(self) -> Result<Completion, ProviderError> {
        if !self.begun {
            return Err(malformed("no choices"));
        }
        match self.finish_reason.as_deref() {
            Some("length") => return Err(ProviderError::Truncated),
            Some("content_filter") => return Err(ProviderError::Declined),
            // Some copies give a whole answer no reason.
            None | Some("stop" | "tool_calls" | "function_call") => {}
            Some(other) => return Err(malformed(format!("finish_reason `{}`", short(other)))),
        }
        if self.refused {
            return Err(ProviderError::Declined);
        }
        if !self.text.trim().is_empty() {
            return Ok(Completion {
                body: self.text,
                usage: self.usage,
            });
        }
        match <[String; 1]>::try_from(self.calls.into_values().collect::<Vec<_>>()) {
            Ok([body]) if !body.is_empty() => Ok(Completion {
                body,
                usage: self.usage,
            }),
            Err(calls) if calls.len() > 1 => Err(malformed(format!(
                "{} tool calls in place of one",
                calls.len()
            ))),
            _ => Err(malformed("an empty answer")),
        }
    }
}

/// The error of a body. Only its code and type are judged; its message is for people.
#[derive(Default)]
pub(super) struct Fault {
    pub(super) json: Json,
    message: Option<String>,
    kind: Option<String>,
    code: Option<Json>,
}

impl<'de> Deserialize<'de> for Fault {
    /// An object with the known fields, or a bare string as some servers send.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
        let message = json.as_str().map(str::to_owned).or_else(|| text("message"));
        let (kind, code) = (text("type"), json.get("code").cloned());
        Ok(Self {
            json,
            message,
            kind,
            code,
        })
    }
}

impl Fault {
    /// `: code: message`, as far as there is any.
    pub(super) fn words(&self) -> String {
        let code = self.code.as_ref().and_then(Json::as_str);
        words(code.into_iter().chain(self.message.as_deref()))
    }

    /// True where its code or type is this.
    pub(super) fn names(&self, name: &str) -> bool {
        self.code.as_ref().and_then(Json::as_str) == Some(name)
            || self.kind.as_deref() == Some(name)
    }

    /// The status of an error that hides in a 200: `OpenRouter` and others put an upstream's there.
    pub(super) fn status(&self) -> Option<u16> {
        let code = self
            .code
            .as_ref()
            .and_then(Json::as_u64)
            .and_then(|code| u16::try_from(code).ok());
        code.filter(|code| (400..600).contains(code))
    }
}
