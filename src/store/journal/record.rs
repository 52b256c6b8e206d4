//! The record of one command in the journal: the message as received, its plan, its reply, and the
//! progress of both.

use std::io;

use serde::{Deserialize, Serialize};

use crate::command::reply::Reply;
use crate::store::journal::duplicate_keys::DuplicateKeys;
use crate::store::journal::packed_reply::PackedReply;
use crate::store::journal::received::Received;
use crate::vocabulary::Value;
use crate::vocabulary::action::Action;
use crate::vocabulary::shared_str::SharedStr;

/// The longest payload kept of a command that has a reply, and the longest text kept once the
/// broker has that reply, in bytes. Of a longer one the keys are enough, by which a duplicate is
/// recognised.
pub(super) const MAX_KEPT_TEXT: usize = 1024;

/// A message planned for a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedPublish {
    /// The action it carries out.
    pub action: Action,
    /// The value the property will have, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub becomes: Option<Value>,
    /// Topic on which the device is commanded.
    pub topic: SharedStr,
    /// Payload in the format of the device.
    pub payload: String,
    /// Whether it may be published again after a crash.
    pub repeatable: bool,
}

/// Everything kept of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalRecord {
    pub(super) received: Received,
    /// Time at which it was received, on the journal's own scale.
    #[serde(rename = "heard")]
    pub(super) received_at: u64,
    /// Crashes during this command.
    #[serde(rename = "deaths", default, skip_serializing_if = "is_zero")]
    pub(super) crashes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sending: Option<Vec<PlannedPublish>>,
    /// Serialised by [`JournalRecord::write_to`], because it is JSON already.
    #[serde(default, skip_serializing)]
    pub(super) answer: Option<PackedReply>,
    /// Whether the broker has the reply.
    #[serde(rename = "told", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) reply_acked: bool,
    /// Whether the broker has the acknowledgement of the command, so that it does not send the
    /// command again.
    #[serde(
        rename = "acknowledged",
        default,
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub(super) has_ack: bool,
    /// The keys of a command whose payload is not kept any more.
    #[serde(default, skip_serializing_if = "DuplicateKeys::is_empty")]
    pub(super) keys: DuplicateKeys,
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
            received_at: now,
            crashes: 0,
            sending: None,
            answer: None,
            reply_acked: false,
            has_ack: false,
            keys: DuplicateKeys::default(),
        }
    }

    /// Returns the keys by which a duplicate of the command is recognised.
    pub(super) fn keys(&self) -> DuplicateKeys {
        if self.keys.is_empty() {
            DuplicateKeys::of(&self.received)
        } else {
            self.keys
        }
    }

    /// Enters the reply. A long payload is dropped: the command is not processed again, and a
    /// duplicate is recognised by `keys`, which are those of this record.
    pub(super) fn enter_reply(&mut self, reply: PackedReply, keys: DuplicateKeys) {
        self.answer = Some(reply);
        if self.received.payload.len() > MAX_KEPT_TEXT {
            self.keys = keys;
            self.received.payload = Vec::new();
        }
    }

    /// Notes that the broker has the reply: the command never runs again.
    pub(super) fn ack_reply(&mut self) {
        self.reply_acked = true;
        self.sending = None;
    }

    /// Parses the output of [`JournalRecord::write_to`]; returns `None` for anything else.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Appends the record as stored on disk: readable, for an operator who looks into a store that
    /// was set aside.
    ///
    /// # Errors
    /// Never: it consists of texts and finite numbers, and JSON can hold all of it.
    pub fn write_to(&self, text: &mut Vec<u8>) -> io::Result<()> {
        serde_json::to_writer(&mut *text, self)?;
        if let Some(reply) = &self.answer {
            // The reply becomes the last field.
            text.pop();
            text.extend_from_slice(br#","answer":"#);
            reply.unpack(text);
            text.push(b'}');
        }
        Ok(())
    }

    /// Returns how far the command has come: none of this is ever taken back.
    pub(super) fn progress(&self) -> [bool; 3] {
        [
            self.reply_acked,
            self.answer.is_some(),
            self.sending.is_some(),
        ]
    }

    /// Returns the approximate number of bytes that the record has on the heap.
    pub(super) fn bytes(&self) -> usize {
        let received = &self.received;
        let texts = [&received.response_topic, &received.id, &received.identity];
        let texts = texts.into_iter().flatten().map(String::len).sum::<usize>();
        let correlation = received.correlation.as_ref().map_or(0, Vec::len);
        let planned = self.sending.iter().flatten();
        let planned = planned
            .map(|one| one.topic.len() + one.payload.len() + size_of::<PlannedPublish>())
            .sum::<usize>();
        let reply = self.answer.as_ref().map_or(0, PackedReply::bytes);
        received.topic.len() + received.payload.len() + texts + correlation + planned + reply
    }

    /// Moves the record's times by this many milliseconds.
    pub(super) fn shift(&mut self, shift: i64) {
        self.received_at = self.received_at.saturating_add_signed(shift);
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

    /// Returns the reply, or `None` if it has none yet or it cannot be read.
    pub fn reply(&self) -> Option<Reply> {
        self.answer.as_ref().and_then(PackedReply::reply)
    }
}
