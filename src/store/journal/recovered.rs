//! The commands and replies of an earlier run that the daemon has to continue.

use std::time::Duration;

use crate::command::reply::Reply;
use crate::store::journal::received::Received;
use crate::store::journal::record::{JournalRecord, PlannedPublish};
use crate::store::journal::seq::Seq;

/// A command of an earlier run that has no reply.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// Its number.
    pub seq: Seq,
    /// The command as received.
    pub received: Received,
    /// Its remaining time to live.
    pub left: Duration,
    /// The messages planned for it, if it had come that far.
    pub sending: Option<Vec<PlannedPublish>>,
    /// Crashes during this command.
    pub crashes: u32,
}

/// A reply of an earlier run that the broker may not have.
#[derive(Debug, Clone)]
pub struct UnsentReply {
    /// The command's number.
    pub seq: Seq,
    /// The command as received.
    pub received: Received,
    /// Reply to send again.
    pub reply: Reply,
}

/// The data of an earlier run.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// Commands without a reply, oldest first.
    pub unfinished: Vec<Unfinished>,
    /// Replies to send again, oldest first.
    pub unsent: Vec<UnsentReply>,
    /// Devices that may have received a message, and the number of the command.
    pub commanded: Vec<(String, Seq)>,
    /// Records that could not be read and were dropped.
    pub unreadable: usize,
    /// Number of the last syncs that are missing: the store is damaged, and their data is lost.
    pub missing: u64,
}

impl Recovered {
    /// Adds a command without a delivered reply. `now` is a moment of the journal's scale.
    pub(super) fn add(&mut self, seq: Seq, record: &JournalRecord, now: u64) {
        let received = record.received.clone();
        match record.reply() {
            Some(reply) => self.unsent.push(UnsentReply {
                seq,
                received,
                reply,
            }),
            None => self.unfinished.push(Unfinished {
                seq,
                left: Duration::from_millis(received.until.saturating_sub(now)),
                received,
                sending: record.sending.clone(),
                crashes: record.crashes,
            }),
        }
    }
}

/// A command of a pair, as the journal knows it.
#[derive(Debug, Clone)]
pub struct IdentifiedCommand {
    /// Identity by which both nodes of a pair know it.
    pub identity: String,
    /// The messages planned for it, if it had come that far and has no reply.
    pub sending: Option<Vec<PlannedPublish>>,
    /// Its reply, if the broker has it.
    pub reply: Option<Reply>,
}
