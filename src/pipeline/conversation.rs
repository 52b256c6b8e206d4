//! Commands that belong together: those that may refer to each other, or answer each other's
//! questions.

use crate::command::{Command, Source};

/// A source, and the context that its command names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Conversation {
    pub(super) source: Source,
    pub(super) context: Option<String>,
}

impl Conversation {
    /// Returns the conversation of a command.
    pub(super) fn of(command: &Command) -> Self {
        Self {
            source: command.source.clone(),
            context: command.context.clone(),
        }
    }
}
