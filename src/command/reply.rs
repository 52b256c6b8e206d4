//! The one answer to a command: what was understood, what was done, or why not and what to do next.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::binding::Publication;
use crate::vocabulary::action::Action;
use crate::vocabulary::speech::fill;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The actions were delivered to the broker.
    Done,
    /// A question was answered.
    Answered,
    /// There is a question to ask back.
    Unclear,
    /// Nothing was done, on purpose.
    Refused,
    /// Something broke.
    Failed,
}

impl Outcome {
    /// The word for it in payloads and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Answered => "answered",
            Self::Unclear => "unclear",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// One action of a reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// What was understood: `device`, `property`, `op`, `value`.
    #[serde(flatten)]
    pub action: Action,
    /// The messages it comes to; told by a dry run only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Vec<Message>>,
    /// Why this one was not done: `superseded`, `uncertain`, or what the gate said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A message as a dry run shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: String,
}

impl From<&Publication> for Message {
    fn from(publication: &Publication) -> Self {
        Self {
            topic: publication.topic.clone(),
            payload: publication.payload.clone(),
        }
    }
}

impl From<Action> for Done {
    fn from(action: Action) -> Self {
        Self {
            action,
            publish: None,
            why: None,
        }
    }
}

/// The answer to a command. Exactly one goes out for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The command's id.
    pub id: String,
    /// What was said.
    pub text: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was understood.
    pub actions: Vec<Done>,
    /// What to tell the speaker.
    pub speech: String,
    /// Who understood it: `local`, `cache`, or the provider's name; `none` where nobody did.
    pub via: String,
    /// From hearing to answering, in milliseconds.
    pub ms: f64,
    /// One word for a program, where it was not done: `busy`, `late`, `not_understood`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// After how many seconds it may be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<f64>,
}

impl Reply {
    /// The reply to what is refused before anything was understood of it.
    pub fn refused(id: String, text: String, refusal: &Refusal) -> Self {
        Self {
            id,
            text,
            outcome: refusal.outcome(),
            actions: Vec::new(),
            speech: refusal.sentence(),
            via: "none".to_owned(),
            ms: 0.0,
            why: Some(refusal.code().to_owned()),
            retry_after: refusal.retry_after().map(|d| d.as_secs_f64()),
        }
    }
}

/// A piece of a long answer, sent on before the reply, which still has the whole. It is worth nothing before the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The command's id.
    pub id: String,
    /// Which answer it is of: where one breaks off, the next begins anew under the next number.
    pub answer: u32,
    /// Its number within that answer, from 1.
    pub n: u32,
    /// What it adds.
    pub text: String,
    /// True for the last piece of the command.
    pub last: bool,
    /// True where this answer has broken off: forget what it said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// Why a command is not done, as data the speaker hears. Each says what to do next.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The payload is no command.
    #[error("that is not a command: {why}")]
    Malformed {
        /// What is wrong with it.
        why: String,
    },
    /// The queue is full.
    #[error("too many commands at once, try again in {} s", seconds(*.retry_after))]
    Busy {
        /// When there will be room.
        retry_after: Duration,
    },
    /// The source has used its quota.
    #[error("{source_name} has asked the language models too often, try again in {} s", seconds(*.retry_after))]
    TooSoon {
        /// Whose quota.
        source_name: String,
        /// When the next is allowed.
        retry_after: Duration,
    },
    /// Its time ran out before it could be done.
    #[error("it came too late to be done safely")]
    TooLate,
    /// Not understood here, and there is no model to ask.
    #[error("I did not understand that, and no language model is configured")]
    NoModel,
    /// Nobody here reads the language the command came with, and there is no model to ask.
    #[error("I do not know the language {language}: I know {known}")]
    UnknownLanguage {
        /// What the command named.
        language: String,
        /// The languages there are.
        known: String,
    },
    /// Every provider failed, or is resting.
    #[error("no language model could answer{}", wait(*.retry_after))]
    NobodyAnswered {
        /// What the last one said, for the log and the reply's `why`.
        why: String,
        /// When one may be up again.
        retry_after: Option<Duration>,
    },
    /// What may be spent on models is spent.
    #[error("what may be spent on language models is spent, try again in {} h", hours(*.retry_after))]
    OverBudget {
        /// When there is something to spend again.
        retry_after: Duration,
    },
    /// A model would not answer this.
    #[error("the language model refused to answer that")]
    Declined,
    /// The answer of the model was not one.
    #[error("the language model's answer could not be used ({why})")]
    NotUnderstood {
        /// What was wrong with it.
        why: String,
    },
    /// There are several ways to take it.
    #[error("{question}")]
    Unclear {
        /// What to ask back.
        question: String,
    },
    /// It is known what is meant, and it may not be done.
    #[error("{why}")]
    NotPermitted {
        /// Why, in words.
        why: String,
    },
    /// sayso is stopping, and did not get to it.
    #[error("sayso is stopping, say it again in a moment")]
    Stopping,
    /// A newer command for the same devices was done first.
    #[error("a newer command for the same device was done first")]
    Superseded,
    /// The broker's access rules forbid the device's topic.
    #[error("the broker does not let sayso command that device: its ACL must allow the topic")]
    BrokerRefused,
    /// The broker did not take the actions in time.
    #[error("the broker did not take the action in time; it may or may not have been done")]
    Undelivered,
    /// It was begun in three lives of sayso, and finished in none.
    #[error(
        "sayso ended three times while it was at this, so it was given up: say it differently, and look at the log"
    )]
    Dead,
}

fn seconds(duration: Duration) -> u64 {
    duration
        .as_millis()
        .div_ceil(1000)
        .try_into()
        .unwrap_or(u64::MAX)
}

/// What is hours or weeks away is not said in seconds.
fn hours(duration: Duration) -> u64 {
    seconds(duration).div_ceil(3600)
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters
        .next()
        .map(|c| c.to_uppercase().collect::<String>())
        .unwrap_or_default();
    let end = if words.ends_with(['.', '?', '!']) {
        ""
    } else {
        "."
    };
    format!("{first}{}{end}", letters.as_str())
}

fn wait(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |d| format!(", try again in {} s", seconds(d)))
}

impl Refusal {
    /// How the command ends with it.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unclear { .. } => Outcome::Unclear,
            Self::NobodyAnswered { .. }
            | Self::NotUnderstood { .. }
            | Self::BrokerRefused
            | Self::Undelivered
            | Self::Dead => Outcome::Failed,
            _ => Outcome::Refused,
        }
    }

    /// Its words as a sentence: a capital first, a full stop or question mark last.
    pub fn sentence(&self) -> String {
        sentence(&self.to_string())
    }

    /// The same in the form a language has for it, with `{seconds}`, `{hours}`, `{why}`, `{source}`, `{language}` and `{known}`.
    pub fn sentence_as(&self, form: &str) -> String {
        let after = |unit: fn(Duration) -> u64| {
            self.retry_after()
                .map(|after| unit(after).to_string())
                .unwrap_or_default()
        };
        let more = match self {
            Self::NotUnderstood { why } => [("why", why.as_str()), ("", "")],
            Self::TooSoon { source_name, .. } => [("source", source_name.as_str()), ("", "")],
            Self::UnknownLanguage { language, known } => {
                [("language", language.as_str()), ("known", known.as_str())]
            }
            _ => [("", ""); 2],
        };
        sentence(&fill(
            form,
            &[
                ("seconds", &after(seconds)),
                ("hours", &after(hours)),
                more[0],
                more[1],
            ],
        ))
    }

    /// Under which name a language has a form for it.
    pub fn form(&self) -> &'static str {
        match self {
            Self::NobodyAnswered {
                retry_after: Some(_),
                ..
            } => "nobody_answered_in",
            other => other.code(),
        }
    }

    /// One word for it, for programs and the log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::Busy { .. } => "busy",
            Self::TooSoon { .. } => "too_soon",
            Self::TooLate => "late",
            Self::NoModel => "no_model",
            Self::UnknownLanguage { .. } => "unknown_language",
            Self::NobodyAnswered { .. } => "nobody_answered",
            Self::OverBudget { .. } => "over_budget",
            Self::Declined => "declined",
            Self::NotUnderstood { .. } => "not_understood",
            Self::Unclear { .. } => "unclear",
            Self::NotPermitted { .. } => "not_permitted",
            Self::Stopping => "stopping",
            Self::Superseded => "superseded",
            Self::BrokerRefused => "broker_refused",
            Self::Undelivered => "uncertain",
            Self::Dead => "dead",
        }
    }

    /// When it may be tried again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after }
            | Self::TooSoon { retry_after, .. }
            | Self::OverBudget { retry_after } => Some(*retry_after),
            Self::NobodyAnswered { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
