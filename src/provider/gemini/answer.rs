//! What Gemini answers: the same shape whole and in parts.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use crate::provider::gemini::{headers, malformed, short, words};
use crate::provider::stream::AnswerPiece;
use crate::provider::{Completion, ProviderError, Usage};

/// An answer, a part of one in a stream, or an error.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    #[serde(default)]
    candidates: Vec<Candidate>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<UsageIn>,
    pub(super) error: Option<Fault>,
}

impl Answer {
    pub(super) fn read(body: &[u8]) -> Result<Self, ProviderError> {
        serde_json::from_slice(body)
            .map_err(|error| malformed(format!("not generated content: {error}")))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    content: Content,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(default)]
    text: String,
    /// What the model thought, not what it answers.
    #[serde(default)]
    thought: bool,
    function_call: Option<Call>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    args: Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
struct UsageIn {
    #[serde(rename = "promptTokenCount")]
    prompt: Option<u64>,
    #[serde(rename = "cachedContentTokenCount")]
    cached: Option<u64>,
    #[serde(rename = "candidatesTokenCount")]
    answer: Option<u64>,
    #[serde(rename = "thoughtsTokenCount")]
    thoughts: Option<u64>,
}

impl UsageIn {
    /// Cached tokens are among those of the prompt; thoughts are not among those of the answer, but cost as much.
    fn total(self) -> Usage {
        let output = self
            .answer
            .unwrap_or_default()
            .saturating_add(self.thoughts.unwrap_or_default());
        Usage {
            input: self.prompt.unwrap_or_default(),
            cached: self.cached.unwrap_or_default(),
            written: 0,
            output,
        }
    }
}

/// What is known of an answer so far.
#[derive(Default)]
pub(super) struct Gathered {
    text: String,
    /// The arguments of each function that is called.
    calls: Vec<String>,
    finish_reason: Option<String>,
    blocked: bool,
    usage: UsageIn,
}

impl Gathered {
    /// Takes an answer, or a part of one, and gives the text that it adds.
    pub(super) fn take(&mut self, answer: Answer) -> AnswerPiece {
        let mut added = AnswerPiece::new();
        self.blocked |= answer
            .prompt_feedback
            .is_some_and(|feedback| feedback.block_reason.is_some());
        self.usage = answer.usage_metadata.unwrap_or(self.usage);
        let Some(candidate) = answer.candidates.into_iter().next() else {
            return added;
        };
        self.finish_reason = candidate.finish_reason.or(self.finish_reason.take());
        for part in candidate
            .content
            .parts
            .into_iter()
            .filter(|part| !part.thought)
        {
            added.push_str(&part.text);
            self.text.push_str(&part.text);
            if let Some(call) = part.function_call {
                let arguments = call.args.to_string();
                added.push_str(&arguments);
                self.calls.push(arguments);
            }
        }
        added
    }

    /// True once the last part was taken.
    pub(super) fn is_over(&self) -> bool {
        self.blocked || self.finish_reason.is_some()
    }

    /// The completion, where it is whole.
    ///
    /// # Errors
    /// When it was cut, refused, or has nothing in it.
    pub(super) fn finish(self) -> Result<Completion, ProviderError> {
        if self.blocked {
            return Err(ProviderError::Declined);
        }
        match self.finish_reason.as_deref() {
            Some("STOP") => {}
            Some("MAX_TOKENS") => return Err(ProviderError::Truncated),
            Some("SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII") => {
                return Err(ProviderError::Declined);
            }
            Some(other) => return Err(malformed(format!("finishReason `{}`", short(other)))),
            None => return Err(malformed("no finishReason")),
        }
        let usage = self.usage.total();
        let body = match <[String; 1]>::try_from(self.calls) {
            // What stands beside a call is only talk.
            Ok([arguments]) => arguments,
            Err(calls) if calls.is_empty() => self.text,
            Err(calls) => {
                return Err(malformed(format!(
                    "{} function calls in place of one",
                    calls.len()
                )));
            }
        };
        if body.trim().is_empty() {
            Err(malformed("an empty answer"))
        } else {
            Ok(Completion { body, usage })
        }
    }
}

/// The error of a body. Its status, reasons and quotas are judged; its message is for people.
#[derive(Default)]
pub(super) struct Fault {
    pub(super) code: Option<u16>,
    pub(super) json: Json,
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let code = json
            .get("code")
            .and_then(Json::as_u64)
            .and_then(|code| u16::try_from(code).ok());
        Ok(Self { code, json })
    }
}

impl Fault {
    /// The error in a body, which may be wrapped in a list of one; an empty one where there is none.
    pub(super) fn in_body(body: &[u8]) -> Self {
        let json: Json = serde_json::from_slice(body).unwrap_or_default();
        let error = json
            .get("error")
            .or_else(|| json.get(0)?.get("error"))
            .cloned();
        error
            .and_then(|error| serde_json::from_value(error).ok())
            .unwrap_or_default()
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.json.get(key).and_then(Json::as_str)
    }

    fn details(&self) -> impl Iterator<Item = &Json> {
        self.json
            .get("details")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
    }

    /// `: status: message`, as far as there is any.
    pub(super) fn words(&self) -> String {
        words(
            [self.text("status"), self.text("message")]
                .into_iter()
                .flatten(),
        )
    }

    /// True where its status or one of its reasons is this.
    pub(super) fn names(&self, name: &str) -> bool {
        self.text("status") == Some(name) || self.details().any(|detail| detail["reason"] == name)
    }

    /// How long it asks us to wait (`google.rpc.RetryInfo`).
    pub(super) fn retry_delay(&self) -> Option<Duration> {
        self.details()
            .find_map(|detail| headers::go_duration(detail["retryDelay"].as_str()?))
    }

    /// True where a quota is used up that comes back only the next day (`google.rpc.QuotaFailure`).
    pub(super) fn is_daily(&self) -> bool {
        let mut violations = self
            .details()
            .filter_map(|detail| detail["violations"].as_array())
            .flatten();
        violations.any(|violation| {
            violation["quotaId"]
                .as_str()
                .is_some_and(|id| id.contains("PerDay"))
        })
    }
}
