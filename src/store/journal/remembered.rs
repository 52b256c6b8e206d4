//! A command in memory: its whole record until the broker has the reply, and from then on only the
//! parts that later decisions need.

use std::borrow::Cow;
use std::sync::Arc;

use crate::store::journal::duplicate_keys::DuplicateKeys;
use crate::store::journal::entry::JournalEntry;
use crate::store::journal::packed_reply::PackedReply;
use crate::store::journal::received::{NO_PACKET, Received};
use crate::store::journal::record::{JournalRecord, MAX_KEPT_TEXT};

/// Bytes of a command in the tables of the index. Source: measured with 5,000 commands.
const IN_TABLES: usize = 80;

/// A record and its state in this run.
#[derive(Debug)]
pub(super) struct RememberedCommand {
    pub(super) record: CommandRecord,
    pub(super) keys: DuplicateKeys,
    /// The connection it was last received on; 0 for an earlier run. Each equal payload of another
    /// connection stands for one.
    pub(super) connection: u64,
    /// Bytes of it that are counted.
    pub(super) bytes: usize,
    /// Number of devices that have received a message for it, and none for a later command.
    pub(super) newest_of: u32,
    /// Whether its acknowledgement has left for the broker, which may not have it yet.
    pub(super) is_ack_sent: bool,
    /// Whether the other node of a pair may finish it.
    pub(super) is_set_aside: bool,
    /// Whether it has been written.
    pub(super) is_written: bool,
    /// The state in which the write-ahead log has it.
    pub(super) logged: Logged,
}

/// The state of a record in the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logged {
    /// It is not there.
    No,
    /// It is there without a reply.
    Open,
    /// It is there with its reply.
    Answered,
    /// It is there, and that the broker has its reply as well.
    Acked,
}

/// The record of a command in memory.
#[derive(Debug)]
pub(super) enum CommandRecord {
    /// The broker may not have the reply.
    Open(Box<OpenRecord>),
    /// The broker has the reply.
    Finished(FinishedRecord),
}

/// The whole record of a command.
#[derive(Debug)]
pub(super) struct OpenRecord {
    pub(super) record: JournalRecord,
    /// The number of changes when it was entered, if it may have ended an earlier run.
    pub(super) suspect: Option<u64>,
}

/// The part of a record that is needed once the broker has the reply: the command never runs again,
/// and a duplicate of it brings its own text and reply topic.
#[derive(Debug)]
pub(super) struct FinishedRecord {
    /// Shared with the other commands of its source.
    topic: Arc<str>,
    /// See [`Received::identity`].
    identity: Option<Box<str>>,
    reply: Option<PackedReply>,
    /// Time at which it was received, on the journal's own scale.
    received_at: u64,
    /// Time at which it expires, on the journal's own scale.
    until: u64,
    /// See [`Received::packet`].
    packet: Option<u16>,
    /// Whether the client named it.
    is_named: bool,
    /// See [`JournalRecord::has_ack`].
    has_ack: bool,
}

impl FinishedRecord {
    /// Takes the part from the whole record.
    fn new(record: &mut JournalRecord, topic: Arc<str>) -> Self {
        let received = &mut record.received;
        let reply = record.answer.take();
        Self {
            topic,
            identity: received.identity.take().map(String::into_boxed_str),
            reply: reply.map(|reply| reply.without_text_above(MAX_KEPT_TEXT)),
            received_at: record.received_at,
            until: received.until,
            packet: received.packet,
            is_named: received.is_named(),
            has_ack: record.has_ack,
        }
    }

    /// Returns the record for the disk. In the place of the client's names for the command, of
    /// which the keys are made, is an empty one.
    fn to_record(&self, keys: DuplicateKeys) -> JournalRecord {
        let received = Received {
            topic: self.topic.to_string(),
            payload: Vec::new(),
            response_topic: None,
            correlation: None,
            id: self.is_named.then(String::new),
            packet: self.packet,
            identity: self.identity.as_deref().map(str::to_owned),
            is_dated: false,
            until: self.until,
        };
        JournalRecord {
            answer: self.reply.clone(),
            reply_acked: true,
            has_ack: self.has_ack,
            keys,
            ..JournalRecord::new(received, self.received_at)
        }
    }

    fn bytes(&self) -> usize {
        let identity = self.identity.as_ref().map_or(0, |identity| identity.len());
        identity + self.reply.as_ref().map_or(0, PackedReply::bytes)
    }
}

impl RememberedCommand {
    /// Makes a command in memory of its record, and the keys of that.
    pub(super) fn new(record: JournalRecord, keys: DuplicateKeys, connection: u64) -> Self {
        let record = OpenRecord {
            record,
            suspect: None,
        };
        Self {
            record: CommandRecord::Open(Box::new(record)),
            keys,
            connection,
            bytes: 0,
            newest_of: 0,
            is_ack_sent: false,
            is_set_aside: false,
            is_written: false,
            logged: Logged::No,
        }
    }

    /// Notes the number of changes at which it was entered, if it may have ended an earlier run.
    pub(super) fn note_suspect(&mut self, entered_at: Option<u64>) {
        if let CommandRecord::Open(open) = &mut self.record {
            open.suspect = entered_at;
        }
    }

    /// Keeps only the parts that are needed once the broker has the reply. `topic` is its own,
    /// shared.
    pub(super) fn finish(&mut self, topic: Arc<str>) {
        if let CommandRecord::Open(open) = &mut self.record {
            let finished = FinishedRecord::new(&mut open.record, topic);
            self.record = CommandRecord::Finished(finished);
        }
    }

    /// Returns the record, while the broker may not have the reply.
    pub(super) fn open(&self) -> Option<&OpenRecord> {
        match &self.record {
            CommandRecord::Open(open) => Some(open),
            CommandRecord::Finished(_) => None,
        }
    }

    /// Returns the record to change, while the broker may not have the reply.
    pub(super) fn open_mut(&mut self) -> Option<&mut JournalRecord> {
        match &mut self.record {
            CommandRecord::Open(open) => Some(&mut open.record),
            CommandRecord::Finished(_) => None,
        }
    }

    /// Returns whether the broker has the reply.
    pub(super) fn is_finished(&self) -> bool {
        matches!(self.record, CommandRecord::Finished(_))
    }

    pub(super) fn topic(&self) -> &str {
        match &self.record {
            CommandRecord::Open(open) => &open.record.received.topic,
            CommandRecord::Finished(finished) => &finished.topic,
        }
    }

    /// Returns when its time is over, on the journal's own scale.
    pub(super) fn until(&self) -> u64 {
        match &self.record {
            CommandRecord::Open(open) => open.record.received.until,
            CommandRecord::Finished(finished) => finished.until,
        }
    }

    /// Returns when it was received, on the journal's own scale.
    pub(super) fn received_at(&self) -> u64 {
        match &self.record {
            CommandRecord::Open(open) => open.record.received_at,
            CommandRecord::Finished(finished) => finished.received_at,
        }
    }

    #[cfg(test)]
    pub(super) fn received_at_mut(&mut self) -> &mut u64 {
        match &mut self.record {
            CommandRecord::Open(open) => &mut open.record.received_at,
            CommandRecord::Finished(finished) => &mut finished.received_at,
        }
    }

    /// Returns the identifier of its packet, see [`Received::packet`].
    pub(super) fn packet(&self) -> Option<u16> {
        match &self.record {
            CommandRecord::Open(open) => open.record.received.packet,
            CommandRecord::Finished(finished) => finished.packet,
        }
    }

    pub(super) fn identity(&self) -> Option<&str> {
        match &self.record {
            CommandRecord::Open(open) => open.record.received.identity.as_deref(),
            CommandRecord::Finished(finished) => finished.identity.as_deref(),
        }
    }

    /// Returns the crashes during it, while the broker may not have the reply.
    pub(super) fn crashes(&self) -> u32 {
        self.open().map_or(0, |open| open.record.crashes)
    }

    pub(super) fn reply(&self) -> Option<&PackedReply> {
        match &self.record {
            CommandRecord::Open(open) => open.record.answer.as_ref(),
            CommandRecord::Finished(finished) => finished.reply.as_ref(),
        }
    }

    /// Returns the entry of a duplicate of the command.
    pub(super) fn entry(&self) -> JournalEntry {
        match self.reply().and_then(PackedReply::reply) {
            None => JournalEntry::Pending,
            Some(reply) => JournalEntry::Answered(Box::new(reply)),
        }
    }

    /// Returns whether the client was asked to come back later: when it does, its command is new.
    pub(super) fn is_put_off(&self) -> bool {
        self.is_finished() && self.reply().is_some_and(PackedReply::is_put_off)
    }

    /// Returns whether the broker has the acknowledgement, see [`JournalRecord::has_ack`].
    pub(super) fn has_ack(&self) -> bool {
        match &self.record {
            CommandRecord::Open(open) => open.record.has_ack,
            CommandRecord::Finished(finished) => finished.has_ack,
        }
    }

    /// Enters that the broker has the acknowledgement, if that has left. Returns whether that
    /// changed the record.
    pub(super) fn note_ack(&mut self) -> bool {
        let has_ack = match &mut self.record {
            CommandRecord::Open(open) => &mut open.record.has_ack,
            CommandRecord::Finished(finished) => &mut finished.has_ack,
        };
        let is_new = self.is_ack_sent && !*has_ack;
        *has_ack |= self.is_ack_sent;
        is_new
    }

    /// Notes that the packet of the command will not be sent again. Returns false if that was
    /// known, or does not matter: a command that the client named is recognised by its name.
    pub(super) fn end_session(&mut self) -> bool {
        let (is_named, packet, has_ack) = match &mut self.record {
            CommandRecord::Open(open) => {
                let record = &mut open.record;
                let received = &mut record.received;
                let is_named = received.is_named();
                (is_named, &mut received.packet, &mut record.has_ack)
            }
            CommandRecord::Finished(finished) => (
                finished.is_named,
                &mut finished.packet,
                &mut finished.has_ack,
            ),
        };
        let is_known = *has_ack && *packet == Some(NO_PACKET);
        if is_named || is_known {
            return false;
        }
        *has_ack = true;
        *packet = Some(NO_PACKET);
        true
    }

    /// Returns about how many bytes it takes in memory, with its entries in the tables of the
    /// index.
    pub(super) fn count_bytes(&self) -> usize {
        let own = match &self.record {
            CommandRecord::Open(open) => size_of::<OpenRecord>() + open.record.bytes(),
            CommandRecord::Finished(finished) => finished.bytes(),
        };
        IN_TABLES + size_of::<Self>() + own
    }

    /// Returns the record for the disk.
    pub(super) fn stored(&self) -> Cow<'_, JournalRecord> {
        match &self.record {
            CommandRecord::Open(open) => Cow::Borrowed(&open.record),
            CommandRecord::Finished(finished) => Cow::Owned(finished.to_record(self.keys)),
        }
    }
}
