//! A command and its reply. Knows nothing of MQTT packets, stores or models.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::vocabulary::shared_str::SharedStr;

pub mod misunderstanding;
mod outcome;
pub mod phrase;
pub mod refusal;
pub mod reply;

/// The most bytes of a command's text in a log line. A text may have 16 KiB.
const MAX_LOGGED_TEXT: usize = 256;

/// The sender of a command: the MQTT topic level after `command/`, which the broker's ACL guards.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Source(Arc<str>);

impl Source {
    /// Makes a source from its topic level, which has no `/`, `+` or `#`.
    pub fn new(level: &str) -> Self {
        Self(level.into())
    }

    /// Returns the topic level.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The address of the one reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// `sayso/reply/<source>`, or the MQTT 5 response topic where its prefix is allowed.
    pub topic: String,
    /// The MQTT 5 correlation data, returned unchanged.
    pub correlation: Option<Vec<u8>>,
}

/// One command as it was received.
#[derive(Debug, Clone)]
pub struct Command {
    /// The id given by the source, or a generated one. Its reply shares it.
    pub id: SharedStr,
    /// True where the source gave the id: only then does it identify duplicates.
    pub id_given: bool,
    /// The text, unchanged. Its reply shares it.
    pub text: SharedStr,
    /// The sender.
    pub source: Source,
    /// The area it was sent from: the meaning of "here".
    pub area: Option<String>,
    /// The language of the text, where the source names one: `en`, `de`.
    pub language: Option<String>,
    /// The conversation within the source that it belongs to, where it names one.
    pub context: Option<String>,
    /// The moment it was received.
    pub received_at: Instant,
    /// The moment after which it is not executed any more.
    pub deadline: Instant,
    /// Whether the source gave its time: then its deadline is the same each time it is sent.
    pub is_dated: bool,
    /// Total time for which the machine had been suspended when it was received.
    pub suspended: Duration,
    /// True where the reply only describes the actions, without executing them.
    pub dry_run: bool,
    /// Whether a long answer is sent in pieces; `None` leaves it to the phrase.
    pub stream: Option<bool>,
    /// The address of the reply.
    pub reply_to: ReplyTo,
    /// The number of times the text passed through a sayso; messages sent for it carry one more.
    pub hops: u8,
    /// The order of receipt over all sources, kept for each device. Assigned by the journal.
    pub seq: u64,
}

#[cfg(test)]
impl Command {
    /// Creates a command for a test, received now.
    pub(crate) fn for_test(source: &str, text: &str) -> Self {
        let now = crate::clock::now();
        Self {
            id: text.into(),
            id_given: false,
            text: text.into(),
            source: Source::new(source),
            area: None,
            language: None,
            context: None,
            received_at: now,
            deadline: now,
            is_dated: false,
            suspended: crate::clock::suspended(),
            dry_run: false,
            stream: None,
            reply_to: ReplyTo {
                topic: String::new(),
                correlation: None,
            },
            hops: 0,
            seq: 0,
        }
    }
}

impl Command {
    /// Returns the beginning of the text, at most 256 bytes, for a log line.
    pub fn logged_text(&self) -> &str {
        &self.text[..self.text.floor_char_boundary(MAX_LOGGED_TEXT)]
    }

    /// Returns the address of the reply. The text, which can be long, is not kept any longer.
    pub fn into_reply_to(self) -> ReplyTo {
        self.reply_to
    }

    /// Returns the time left at `now` in which it may be executed.
    pub fn remaining(&self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }

    /// Returns whether its time is over. The time in which the machine was suspended counts,
    /// although the deadline does not come closer meanwhile.
    pub fn is_late(&self) -> bool {
        crate::clock::now_with_suspend() >= self.deadline + self.suspended
    }
}

/// Shortens `text` to at most `bytes`, on a character boundary, and marks the cut.
pub fn cut(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        let end = text.floor_char_boundary(bytes.saturating_sub('…'.len_utf8()));
        text.truncate(end);
        text.push('…');
    }
}

/// Possibility that a received command was received before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redelivery {
    /// It is new.
    No,
    /// The process before this one may have received it.
    Possible,
    /// The broker marks it as sent again, and this process has not received it: its first delivery
    /// was lost with the connection, or went to the process before this one.
    Marked,
    /// This process has received it, and the broker may not have got the acknowledgement.
    Certain,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_command_runs_out_while_the_machine_is_suspended() {
        crate::clock::simulate_suspend(Duration::from_mins(5));
        let mut command = Command::for_test("hall", "open the garage door");
        command.deadline = command.received_at + Duration::from_mins(1);
        assert!(!command.is_late());
        crate::clock::simulate_suspend(Duration::from_mins(65));
        assert!(command.is_late());
    }
}
