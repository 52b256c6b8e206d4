//! One command as it lies on disk, and by what it is known again.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::command::reply::{ActionIssue, ActionReport, RefusalCode, Reply};
use crate::vocabulary::Value;
use crate::vocabulary::action::{Action, Op};

/// A command as it came from the broker, enough to take it up again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The topic it came on.
    pub topic: String,
    /// The payload as it came.
    #[serde(with = "text_or_bytes")]
    pub payload: Vec<u8>,
    /// The MQTT 5 response topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_topic: Option<String>,
    /// The MQTT 5 correlation data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Vec<u8>>,
    /// The speaker's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When its time is over, by the journal's own clock.
    pub until: u64,
}

/// What is about to be sent for a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedPublish {
    /// What was understood.
    pub action: Action,
    /// The value the device will have, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub becomes: Option<Value>,
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: String,
    /// True where sending it again after a crash does no harm.
    pub repeatable: bool,
}

/// All that is kept of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalRecord {
    pub(super) received: Received,
    /// When it was heard, by the journal's own clock.
    pub(super) heard: u64,
    /// In how many lives it was begun and not finished.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) deaths: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sending: Option<Vec<PlannedPublish>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<Reply>,
    /// True once the broker has the answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) told: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl JournalRecord {
    /// Reads what [`JournalRecord::write`] wrote; anything else is none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// How it lies on disk: readable, for whoever looks into a store that was put aside.
    pub fn write(&self) -> Vec<u8> {
        // It is made of texts and finite numbers: there is nothing in it that JSON cannot hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// How far it has come: nothing that is written down of it is ever taken back.
    pub(super) fn progress(&self) -> [bool; 3] {
        [self.told, self.answer.is_some(), self.sending.is_some()]
    }

    /// The devices that heard something for it: what was said to them earlier must not be sent any more.
    pub fn devices(&self) -> Vec<String> {
        let answered = self.answer.iter().flat_map(|reply| &reply.actions);
        let sent = answered
            .filter(|done| done.publish.is_none() && !is_superseded(done))
            .map(|done| &done.action);
        sent.filter(|action| action.op != Op::Query)
            .map(|action| action.device.clone())
            .collect()
    }

    /// True where the answer is "not now", and was told: when it is said again, it is a new command.
    pub(super) fn is_put_off(&self) -> bool {
        self.told
            && self.answer.as_ref().is_some_and(|reply| {
                reply.retry_after.is_some() || reply.why == Some(RefusalCode::Stopping)
            })
    }
}

fn is_superseded(report: &ActionReport) -> bool {
    report.why == Some(ActionIssue::Code(RefusalCode::Superseded))
}

fn hash(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// The names a speaker gave the command: its id and its correlation data, each within its topic.
pub(super) fn strong_keys(received: &Received) -> Vec<u64> {
    let id = received
        .id
        .as_ref()
        .map(|id| hash(("id", &received.topic, id)));
    let correlation = received
        .correlation
        .as_ref()
        .map(|data| hash(("correlation", &received.topic, data)));
    id.into_iter().chain(correlation).collect()
}

/// What a command without a name is known by.
pub(super) fn weak_key(received: &Received) -> u64 {
    hash(("payload", &received.topic, &received.payload))
}

/// Payloads are text but for the strangest, and are kept readable.
mod text_or_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either<'a> {
        Text(std::borrow::Cow<'a, str>),
        Bytes(std::borrow::Cow<'a, [u8]>),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        std::str::from_utf8(bytes)
            .map_or_else(
                |_| Either::Bytes(bytes.into()),
                |text| Either::Text(text.into()),
            )
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        Ok(match Either::deserialize(deserializer)? {
            Either::Text(text) => text.into_owned().into_bytes(),
            Either::Bytes(bytes) => bytes.into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_payload_survives_the_record() {
        for payload in [b"turn on".to_vec(), vec![0xff, 0x00, 0x80], vec![]] {
            let received = Received {
                topic: "t".into(),
                payload,
                response_topic: None,
                correlation: None,
                id: None,
                until: 1,
            };
            let bytes = serde_json::to_vec(&received).unwrap();
            assert_eq!(
                serde_json::from_slice::<Received>(&bytes).unwrap(),
                received
            );
        }
    }
}
