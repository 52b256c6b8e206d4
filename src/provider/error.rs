//! Errors of a call, classified by the caller's next step. `provider::status` makes them from
//! HTTP statuses and error bodies.

use std::time::Duration;

use serde_json::Value as Json;

use crate::provider::json::text;
use crate::provider::message::Usage;

/// The most characters kept of a provider's own words about an error.
const LONGEST_EXCERPT: usize = 200;

/// Reasons why there is no completion. See [`ProviderError::disposition`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No connection, a reset, or no complete answer in time.
    #[error("{why}")]
    Unreachable {
        /// The cause: `no answer within 5 s`.
        why: String,
        /// Whether the request may have reached the model, and so may be billed.
        sent: bool,
    },
    /// The time of the command ended before the answer came, which says nothing about the provider.
    #[error("no answer within {:.1} s, which was left to the command", .within.as_secs_f64())]
    CutOff {
        /// The time the call had.
        within: Duration,
    },
    /// The server is in trouble (408, 409, 425, 5xx), or a proxy answered in its place.
    #[error("status {status}{why}")]
    ServerError {
        /// The HTTP status.
        status: u16,
        /// The server's own words, after `: `.
        why: String,
        /// The wait the server asked for.
        retry_after: Option<Duration>,
    },
    /// A complete answer that cannot be used.
    #[error("malformed answer: {why}")]
    Malformed {
        /// The fault.
        why: String,
        /// Tokens, as far as they were counted.
        usage: Usage,
    },
    /// The answer ran into the token limit: it is never acted on.
    #[error("the answer was cut off at the token limit")]
    Truncated {
        /// Tokens, as far as they were counted.
        usage: Usage,
    },
    /// Too many requests or tokens for now.
    #[error("rate limited{}", .retry_after.map_or_else(String::new, |d| format!(", retry after {} s", d.as_secs_f64())))]
    Limited {
        /// The wait the server asked for.
        retry_after: Option<Duration>,
    },
    /// The key, the credit, the model, the address or the region: the operator has to correct
    /// something.
    #[error("{why}")]
    Unusable {
        /// The remedy.
        why: String,
    },
    /// Access was denied (403) without a stated cause: the key may lack a right, or the text of
    /// this request may be blocked.
    #[error("{why}")]
    Denied {
        /// The provider's own words.
        why: String,
    },
    /// This request is not accepted by this provider; another one may accept it.
    #[error("the request was rejected: {why}")]
    Rejected {
        /// The provider's own words.
        why: String,
    },
    /// A filter of the provider refused the text before the model had it.
    #[error("refused by the provider's filter (status {status}{why})")]
    Filtered {
        /// The HTTP status.
        status: u16,
        /// The provider's own words, after `: `.
        why: String,
    },
    /// The model refused to answer.
    #[error("refused to answer")]
    Declined {
        /// Tokens, as far as they were counted.
        usage: Usage,
    },
}

/// The reaction to an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Back off and try the same provider again, then the next. Counts for its breaker.
    Retry {
        /// The shortest wait.
        after: Option<Duration>,
    },
    /// Try the next provider at once; this one rests. Does not count for its breaker.
    Rest {
        /// Time for which the provider is not called, if the server stated one.
        rest: Option<Duration>,
    },
    /// Try the next provider at once: this one would give the same bad answer again. Counts for its
    /// breaker.
    Unfit,
    /// Try the next provider at once: the error concerns this request at this provider only.
    Skip,
    /// Try the next provider at once; this one is disabled if a free probe is denied as well,
    /// because one sentence must not take a provider from all others.
    Doubt,
    /// Try the next provider at once; this one is disabled for a while.
    Disable,
    /// Stop: the model or a filter refused, and no other model is asked to do it.
    GiveUp,
}

impl ProviderError {
    /// Returns the reaction to this error.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable { .. } => Disposition::Retry { after: None },
            Self::ServerError { retry_after, .. } => Disposition::Retry {
                after: *retry_after,
            },
            Self::Malformed { .. } => Disposition::Unfit,
            Self::Limited { retry_after } => Disposition::Rest { rest: *retry_after },
            Self::Truncated { .. } | Self::Rejected { .. } | Self::CutOff { .. } => {
                Disposition::Skip
            }
            Self::Denied { .. } => Disposition::Doubt,
            Self::Unusable { .. } => Disposition::Disable,
            Self::Filtered { .. } | Self::Declined { .. } => Disposition::GiveUp,
        }
    }

    /// Returns the error with its words replaced by what `map` makes of them.
    pub(super) fn map_words(mut self, map: impl FnOnce(String) -> String) -> Self {
        match &mut self {
            Self::Unreachable { why, .. }
            | Self::ServerError { why, .. }
            | Self::Malformed { why, .. }
            | Self::Unusable { why }
            | Self::Denied { why }
            | Self::Rejected { why }
            | Self::Filtered { why, .. } => *why = map(std::mem::take(why)),
            Self::CutOff { .. }
            | Self::Truncated { .. }
            | Self::Limited { .. }
            | Self::Declined { .. } => {}
        }
        self
    }

    /// Returns the tokens to bill for a failed call, where some may be billed; `reserved` where the
    /// answer had no count.
    pub fn billed(&self, reserved: Usage) -> Option<Usage> {
        match self {
            Self::Malformed { usage, .. }
            | Self::Truncated { usage }
            | Self::Declined { usage } => Some(usage.or_reserved(reserved)),
            Self::Unreachable { sent: true, .. } | Self::CutOff { .. } => Some(reserved),
            // An error status is not billed.
            _ => None,
        }
    }
}

/// Returns an error for an answer that cannot be used.
pub(super) fn malformed(why: impl Into<String>, usage: Usage) -> ProviderError {
    ProviderError::Malformed {
        why: why.into(),
        usage,
    }
}

/// The `error` value of a body, as an API module reads it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ErrorBody {
    /// The HTTP status the error stands for, where the body states or implies it.
    pub status: Option<u16>,
    /// The server's own words: `: code: message`.
    pub words: String,
    /// Cause that the status does not show.
    pub cause: Option<ErrorCause>,
    /// The wait stated in the body.
    pub retry_after: Option<Duration>,
}

/// Cause that the body states, independent of the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCause {
    /// The operator has to correct something.
    Fault(ProviderFault),
    /// A filter refused this text. Other commands are not concerned.
    Filter,
    /// The same request may succeed a moment later.
    Chance,
}

/// A fault that the operator has to correct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderFault {
    /// The key is wrong.
    Key,
    /// There is no credit.
    Credit,
    /// The key or the region is not allowed.
    Forbidden,
    /// A spending limit at the provider is reached.
    SpendingLimit,
    /// The free quota of the day is used up.
    DailyQuota,
    /// The model does not know a setting.
    Setting,
    /// There is no such model, or the address is not that of the API.
    Model,
    /// The address is another server's.
    Redirect,
    /// The machine of the model has too little memory for it.
    Memory,
}

/// Returns the server's words: `: code: message`, as far as there is any. Servers that are not
/// quite the API put them in `detail`, or send a bare text.
pub(super) fn words(error: &Json, codes: &[&str]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for code in codes {
        parts.extend(text(error, code).map(excerpt));
    }
    let message = error
        .as_str()
        .or_else(|| text(error, "message"))
        .map(str::to_owned)
        .or_else(|| error.get("detail").map(crate::provider::json::as_text));
    parts.extend(message.as_deref().map(excerpt));
    parts.iter().fold(String::new(), |mut words, part| {
        words.push_str(": ");
        words.push_str(part);
        words
    })
}

/// Returns the status of an error body: a numeric `code`, as text or number.
pub(super) fn numeric_status(error: &Json) -> Option<u16> {
    let code = crate::provider::json::count(error, "code")
        .or_else(|| crate::provider::json::count(error, "status"))?;
    u16::try_from(code)
        .ok()
        .filter(|code| (400..600).contains(code))
}

/// Returns the text of a provider without control characters, cut to the length of a log line.
pub(super) fn excerpt(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_EXCERPT)
        .collect()
}

/// Returns a body without the byte order mark that some servers send first.
pub(super) fn without_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}
