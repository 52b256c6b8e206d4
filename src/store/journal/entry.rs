//! The journal's answer to a received command: new, in progress, or answered before.

use crate::command::reply::Reply;
use crate::store::journal::seq::Seq;

/// The journal's answer to a received command.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalEntry {
    /// The command is new.
    New(Seq),
    /// The command was received before and has no reply yet.
    Pending,
    /// The command was received before; this was its reply.
    Answered(Box<Reply>),
}
