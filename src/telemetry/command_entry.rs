//! The log entry at the end of a command. `docs/mqtt.md` describes its fields.

use tracing::info;

/// The fields of the entry; those that are `None` are left out.
#[derive(Debug, Default)]
pub struct CommandEntry<'a> {
    /// The id of the command.
    pub command_id: &'a str,
    /// The source.
    pub source: &'a str,
    /// The topic of a command that could not be read.
    pub topic: Option<&'a str>,
    /// The result, in one word.
    pub outcome: &'a str,
    /// What understood the command.
    pub via: Option<&'a str>,
    /// The reason for a refusal or failure, one word.
    pub why: Option<&'a str>,
    /// What is wrong with a command that could not be read.
    pub detail: Option<&'a str>,
    /// The number of actions.
    pub actions: Option<usize>,
    /// The time from the receipt to the reply, in microseconds.
    pub latency_us: Option<u64>,
    /// `Some(true)` for a dry run.
    pub dry_run: Option<bool>,
}

impl CommandEntry<'_> {
    /// Writes the entry. The text of a command is not in it.
    pub fn log(&self) {
        info!(
            command_id = self.command_id,
            source = %self.source,
            topic = self.topic,
            outcome = self.outcome,
            via = self.via,
            why = self.why,
            detail = self.detail,
            actions = self.actions,
            latency_us = self.latency_us,
            dry_run = self.dry_run,
            "command"
        );
    }
}
