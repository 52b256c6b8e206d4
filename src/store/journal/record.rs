//! The record of one command, and the keys by which duplicates are recognised.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::command::reply::Reply;
use crate::store::journal::entry::JournalEntry;
use crate::vocabulary::Value;
use crate::vocabulary::action::Action;

/// Bytes of a record besides its texts.
const OVERHEAD: usize = 256;

/// The longest payload kept of a command that has a reply, and the longest text kept once the broker
/// has that reply, in bytes. Of a longer one the keys are enough, by which a duplicate is recognised.
const MAX_KEPT_TEXT: usize = 1024;

/// A command as received from the broker, with everything needed to continue it after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The topic it was received on.
    pub topic: String,
    /// The payload.
    #[serde(with = "text_or_bytes")]
    pub payload: Vec<u8>,
    /// The topic of the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_topic: Option<String>,
    /// The MQTT 5 correlation data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Vec<u8>>,
    /// The id the client gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The identifier of the packet; 0 with `QoS` 0, `None` where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet: Option<u16>,
    /// The identity of the command in a pair, which is equal on both nodes and in each run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Whether its sender gave its time: then its time is over at the same moment each time it is
    /// received.
    #[serde(skip)]
    pub is_dated: bool,
    /// When its time is over, on the journal's own scale.
    pub until: u64,
}

impl Received {
    /// Returns whether the client named the command: then it is recognised by that name.
    pub(super) fn is_named(&self) -> bool {
        self.id.is_some() || self.correlation.is_some()
    }

    /// Lets the time of a command that its sender dates end at `until`, when it ended for the same
    /// command before. The clocks may have been set since.
    pub(super) fn limit(&mut self, until: u64) {
        if self.is_dated {
            self.until = self.until.min(until);
        }
    }
}

/// A message planned for a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedPublish {
    /// The action it carries out.
    pub action: Action,
    /// The value the property will have, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub becomes: Option<Value>,
    /// The topic.
    pub topic: String,
    /// The payload.
    pub payload: String,
    /// Whether it may be published again after a crash.
    pub repeatable: bool,
}

/// Everything kept of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalRecord {
    pub(super) received: Received,
    /// When it was received, on the journal's own scale.
    pub(super) heard: u64,
    /// Crashes during this command.
    #[serde(rename = "deaths", default, skip_serializing_if = "is_zero")]
    pub(super) crashes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sending: Option<Vec<PlannedPublish>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<Reply>,
    /// Whether the broker has the reply.
    #[serde(rename = "told", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) reply_acked: bool,
    /// Whether the broker has the acknowledgement of the command, so that it does not send the
    /// command again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) acknowledged: bool,
    /// The keys of a command whose payload is not kept any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl JournalRecord {
    /// Creates the record of a command received at `now`.
    pub(super) fn new(received: Received, now: u64) -> Self {
        Self {
            received,
            heard: now,
            crashes: 0,
            sending: None,
            answer: None,
            reply_acked: false,
            acknowledged: false,
            keys: Vec::new(),
        }
    }

    /// Returns the keys by which a duplicate of the command is recognised.
    pub(super) fn keys(&self) -> Vec<u64> {
        if !self.keys.is_empty() {
            return self.keys.clone();
        }
        let mut keys = strong_keys(&self.received);
        if keys.is_empty() {
            keys.push(weak_key(&self.received));
        }
        keys.extend(self.received.identity.as_deref().map(identity_key));
        keys
    }

    /// Drops a long payload once there is a reply: the command is not processed again, and a
    /// duplicate is recognised by `keys`, which are those of this record.
    pub(super) fn drop_long_payload(&mut self, keys: &[u64]) {
        if self.answer.is_some() && self.received.payload.len() > MAX_KEPT_TEXT {
            self.keys = keys.to_vec();
            self.received.payload = Vec::new();
        }
    }

    /// Records that the broker has the reply: the command never runs again. Of a long one only the
    /// keys and the reply without its text are kept.
    pub(super) fn ack_reply(&mut self) {
        self.reply_acked = true;
        self.sending = None;
        if self.received.payload.len() > MAX_KEPT_TEXT {
            self.keys = self.keys();
            self.received.payload = Vec::new();
        }
        if let Some(reply) = &mut self.answer
            && reply.text.len() > MAX_KEPT_TEXT
        {
            reply.text = String::new();
        }
    }

    /// Returns the entry of a duplicate of the command.
    pub(super) fn entry(&self) -> JournalEntry {
        match &self.answer {
            None => JournalEntry::Pending,
            Some(reply) => JournalEntry::Answered(Box::new(reply.clone())),
        }
    }

    /// Parses the output of [`JournalRecord::write`]; returns `None` for anything else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Encodes the record for the disk: readable, for an operator who looks into a store that was
    /// set aside.
    pub fn write(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.bytes());
        match serde_json::to_writer(&mut text, self) {
            Ok(()) => text,
            // It consists of texts and finite numbers: JSON can hold all of it.
            Err(_) => Vec::new(),
        }
    }

    /// Notes that the packet of the command will not be sent again. Returns false if that was
    /// known, or does not matter: a command that the client named is recognised by its name.
    pub(super) fn end_session(&mut self) -> bool {
        if self.received.is_named() {
            return false;
        }
        // No packet has this identifier.
        let none = Some(0);
        let is_new = !self.acknowledged || self.received.packet != none;
        self.acknowledged = true;
        self.received.packet = none;
        is_new
    }

    /// Returns how far the command has come: none of this is ever taken back.
    pub(super) fn progress(&self) -> [bool; 3] {
        [
            self.reply_acked,
            self.answer.is_some(),
            self.sending.is_some(),
        ]
    }

    /// Returns about how many bytes the record takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let received = &self.received;
        let texts = [&received.response_topic, &received.id, &received.identity];
        let texts = texts.into_iter().flatten().map(String::len).sum::<usize>();
        let correlation = received.correlation.as_ref().map_or(0, Vec::len);
        let planned = self.sending.iter().flatten();
        let planned = planned.map(|one| one.topic.len() + one.payload.len() + OVERHEAD);
        let reply = self.answer.as_ref().map_or(0, |reply| {
            reply.text.len() + reply.speech.len() + reply.actions.len() * OVERHEAD
        });
        let received = received.topic.len() + received.payload.len() + texts + correlation;
        OVERHEAD + received + planned.sum::<usize>() + reply
    }

    /// Moves the record's times by this many milliseconds.
    pub(super) fn shift(&mut self, shift: i64) {
        self.heard = self.heard.saturating_add_signed(shift);
        self.received.until = self.received.until.saturating_add_signed(shift);
    }

    /// Counts the end of the run this unfinished command belongs to. The first crash is counted for
    /// every unfinished command; from then on only the one that was in progress, because each of
    /// them is run under a marker.
    pub(super) fn count_crash(&mut self, was_running: bool) {
        if self.crashes == 0 || was_running {
            self.crashes += 1;
        }
    }

    /// Returns the devices that received a message for this command: earlier messages to them must
    /// not be sent any more.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        let replies = self.answer.iter();
        replies.flat_map(Reply::commanded_devices)
    }

    /// Returns whether the client was asked to come back later: when it does, its command is new.
    pub(super) fn is_put_off(&self) -> bool {
        self.reply_acked && self.answer.as_ref().is_some_and(Reply::is_put_off)
    }
}

fn hash(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// Returns the keys made of the client's names for the command: id and correlation data, each
/// within its topic and with the payload. A client that counts from 1 again after a restart sends
/// new commands under old ids.
fn strong_keys(received: &Received) -> Vec<u64> {
    // The payload is hashed once: it can be long.
    let payload = hash(&received.payload);
    let key = |kind: &str, name: &[u8]| hash((kind, &received.topic, name, payload));
    let id = received.id.as_ref();
    let correlation = received.correlation.as_ref();
    id.map(|id| key("id", id.as_bytes()))
        .into_iter()
        .chain(correlation.map(|data| key("correlation", data)))
        .collect()
}

/// Returns the key made of the identity of a command in a pair.
pub(super) fn identity_key(identity: &str) -> u64 {
    hash(("identity", identity))
}

/// Returns the key of a command that the client did not name.
fn weak_key(received: &Received) -> u64 {
    hash(("payload", &received.topic, &received.payload))
}

/// Payloads are nearly always text, and are kept readable.
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
                packet: Some(7),
                identity: None,
                is_dated: false,
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
