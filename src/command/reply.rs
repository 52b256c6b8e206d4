//! The one reply to a command: the actions understood, the outcome, and the reason if something
//! was not done.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::binding::Publication;
use crate::command::cut;
pub use crate::command::outcome::Outcome;
pub use crate::command::refusal::{Refusal, RefusalCode};
use crate::vocabulary::action::{Action, Op};
use crate::vocabulary::condition::Condition;
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::timing::Recurrence;
use crate::vocabulary::{Property, Value};

/// The part of the program that understood a command: the field `via` of replies and of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Via {
    /// The command was not understood.
    #[default]
    None,
    /// The local grammar.
    Local,
    /// A draft kept from an earlier answer of a model.
    Cache,
    /// The provider of this name.
    Provider(Arc<str>),
}

impl Via {
    /// Returns the name as it is written in payloads and logs.
    pub fn as_str(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Local => "local",
            Self::Cache => "cache",
            Self::Provider(name) => name,
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<String> for Via {
    fn from(name: String) -> Self {
        match name.as_str() {
            "none" => Self::None,
            "local" => Self::Local,
            "cache" => Self::Cache,
            provider => Self::Provider(provider.into()),
        }
    }
}

impl Serialize for Via {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The reason an action of a reply was not done, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ActionIssue {
    /// The code of a refusal.
    Code(RefusalCode),
    /// A sentence, used by dry runs.
    Text(String),
}

impl fmt::Display for ActionIssue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => f.write_str(code.as_str()),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// One action of a reply, with its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionReport {
    /// The action as understood: `device`, `property`, `op`, `value`.
    #[serde(flatten)]
    pub action: Action,
    /// The messages it results in; set by a dry run only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<Vec<MessagePreview>>,
    /// The reason it was not done, or may not have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<ActionIssue>,
}

/// A message as a dry run shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagePreview {
    /// The device's command topic.
    pub topic: String,
    /// The payload as text.
    pub payload: String,
}

impl From<&Publication> for MessagePreview {
    fn from(publication: &Publication) -> Self {
        Self {
            topic: publication.topic.to_string(),
            payload: publication.payload.clone(),
        }
    }
}

impl From<Action> for ActionReport {
    fn from(action: Action) -> Self {
        Self {
            action,
            publish: None,
            why: None,
        }
    }
}

/// Bytes that the JSON of nearly all replies fits in.
const USUAL_JSON: usize = 512;

/// Bytes of the text that the reply to a refused command repeats at most.
const MAX_REFUSED_TEXT: usize = 1 << 10;

/// The reply to a command. Exactly one is sent for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The command's id.
    pub id: SharedStr,
    /// The command's text.
    pub text: SharedStr,
    /// The end of the command.
    pub outcome: Outcome,
    /// The actions as understood, with their results.
    pub actions: Vec<ActionReport>,
    /// The sentence for the speaker.
    pub speech: String,
    /// The part of the program that understood the command.
    pub via: Via,
    /// Milliseconds from receiving the command to this reply.
    pub ms: f64,
    /// The reason, where the command was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<RefusalCode>,
    /// Seconds after which the command may be sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<f64>,
    /// The timer that the command has set. Boxed: most commands set none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Box<Scheduled>>,
}

/// A timer that a command has set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scheduled {
    /// Its number; missing in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The time at which it is due, as RFC 3339; missing while the clock is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// The seconds until then; missing for a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// The rule of a command that is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Recurrence>,
    /// The state that a rule waits for; it has no due time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// The actions it will have.
    pub actions: Vec<ActionReport>,
    /// The number of an equal timer that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<String>,
}

impl Reply {
    /// Makes the reply to a command that is refused before anything was understood of it. A long
    /// text is cut: in a flood of long commands, to repeat each would be most of the work.
    pub fn refused(id: SharedStr, text: SharedStr, refusal: &Refusal) -> Self {
        let code = refusal.code();
        let text = if text.len() > MAX_REFUSED_TEXT {
            let mut beginning = text.to_string();
            cut(&mut beginning, MAX_REFUSED_TEXT);
            beginning.into()
        } else {
            text
        };
        Self {
            id,
            text,
            outcome: code.outcome(),
            actions: Vec::new(),
            speech: refusal.sentence(),
            via: Via::None,
            ms: 0.0,
            why: Some(code),
            retry_after: refusal.retry_after().map(|after| after.as_secs_f64()),
            scheduled: None,
        }
    }

    /// Encodes it as one JSON object, as it is sent and recorded.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(USUAL_JSON);
        // Plain data with text keys always serialises; an empty payload would still end the
        // client's wait.
        match serde_json::to_writer(&mut json, self) {
            Ok(()) => json,
            Err(_) => Vec::new(),
        }
    }

    /// Returns the devices that received a message for the command: earlier messages to them must
    /// not be sent any more.
    pub fn commanded_devices(&self) -> impl Iterator<Item = &str> {
        let sent = self
            .actions
            .iter()
            .filter(|done| done.publish.is_none() && !done.is_superseded())
            .map(|done| &done.action);
        sent.filter(|action| action.op != Op::Query)
            .map(|action| action.device.as_str())
    }

    /// Returns whether the client was asked to come back later: when it does, its command is new.
    pub fn is_put_off(&self) -> bool {
        self.retry_after.is_some() || self.why == Some(RefusalCode::Stopping)
    }
}

impl ActionReport {
    fn is_superseded(&self) -> bool {
        self.why == Some(ActionIssue::Code(RefusalCode::Superseded))
    }
}

/// The event after a reply: whether the devices reported the states they were commanded to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfirmationEvent {
    /// The command's id.
    pub id: SharedStr,
    /// `confirmed`, or `not confirmed within 5 s`.
    pub event: String,
    /// Each state that a device was commanded to, with the one it reported.
    pub devices: Vec<DeviceReport>,
    /// Milliseconds from the first message to a device to this event.
    pub ms: u64,
}

/// The state that a device was commanded to, and the one it reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// The identifier of the device.
    pub device: String,
    /// Property that was commanded.
    pub property: Property,
    /// The value it was commanded to.
    pub value: Value,
    /// The value it reported since, or the text that is no value, such as `JAMMED`; `None` where it
    /// reported nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Value>,
    /// Whether the reported value is the commanded one.
    pub confirmed: bool,
    /// Whether the device reports that it is moving towards the commanded value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moving: bool,
}

impl ConfirmationEvent {
    /// Makes the event of a command that waited `waited`, and at most `patience`.
    pub fn new(
        id: SharedStr,
        devices: Vec<DeviceReport>,
        waited: Duration,
        patience: Duration,
    ) -> Self {
        let event = if devices.iter().all(|report| report.confirmed) {
            "confirmed".to_owned()
        } else {
            format!("not confirmed within {} s", patience.as_secs())
        };
        let ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        Self {
            id,
            event,
            devices,
            ms,
        }
    }

    /// Returns whether every device reported the state it was commanded to.
    pub fn is_confirmed(&self) -> bool {
        self.devices.iter().all(|report| report.confirmed)
    }

    /// Returns whether each device that did not is moving towards the commanded state.
    pub fn is_moving(&self) -> bool {
        let mut open = self.devices.iter().filter(|report| !report.confirmed);
        open.all(|report| report.moving)
    }

    /// Returns the identifiers of the devices that did not.
    pub fn unconfirmed(&self) -> Vec<&str> {
        let open = self.devices.iter().filter(|report| !report.confirmed);
        let mut names: Vec<&str> = open.map(|report| report.device.as_str()).collect();
        names.dedup();
        names
    }
}

/// A piece of a long answer, sent before the reply, which still contains the whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The command's id.
    pub id: SharedStr,
    /// The number of the answer: after an answer breaks off, the next one has the next number.
    pub answer: u32,
    /// The number of the piece within its answer, from 1.
    pub n: u32,
    /// The text to append.
    pub text: String,
    /// True for the last piece of the command.
    pub last: bool,
    /// True where this answer has broken off and its pieces are void.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_command_is_repeated_up_to_a_bound() {
        let busy = Refusal::Busy {
            retry_after: Duration::from_secs(1),
        };
        let usual = SharedStr::from("turn on the kitchen light");
        let reply = Reply::refused("1".into(), usual.clone(), &busy);
        assert_eq!(reply.text, usual);
        let reply = Reply::refused("2".into(), "ä".repeat(8 << 10).into(), &busy);
        assert!(reply.text.len() <= MAX_REFUSED_TEXT);
        assert!(reply.text.ends_with("ä…"), "{}", reply.text);
    }
}
