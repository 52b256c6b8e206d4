//! What somebody said, and to whom the answer goes. Knows nothing of MQTT packets, stores or models.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub mod misunderstanding;
pub mod phrase;
pub mod reply;

/// Who speaks: the MQTT topic level after `command/`, which the broker's ACL guards.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Source(Arc<str>);

impl Source {
    /// A source by its topic level. The level comes from a topic, so it has no `/`, `+` or `#`.
    pub fn new(level: &str) -> Self {
        Self(level.into())
    }

    /// The level.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the one reply goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// `sayso/reply/<source>`, or the MQTT 5 response topic where its prefix is allowed.
    pub topic: String,
    /// The MQTT 5 correlation data, handed back as it came.
    pub correlation: Option<Vec<u8>>,
}

/// One command, from the moment it was heard.
#[derive(Debug, Clone)]
pub struct Command {
    /// The speaker's own id, or one made up here.
    pub id: String,
    /// True where the speaker gave the id: only then does it name duplicates.
    pub id_given: bool,
    /// What was said, as it was said.
    pub text: String,
    /// Who said it.
    pub source: Source,
    /// The area it was said in: what "here" is.
    pub area: Option<String>,
    /// The language it was said in, where the speaker knows: `en`, `de`.
    pub language: Option<String>,
    /// When it was heard.
    pub heard_at: Instant,
    /// After this nothing is done any more.
    pub deadline: Instant,
    /// True: say what would be done, and do nothing.
    pub dry_run: bool,
    /// Whether a long answer goes out in pieces; `None` leaves it to the phrase.
    pub stream: Option<bool>,
    /// Where the reply goes.
    pub reply_to: ReplyTo,
    /// How often what is said has gone through sayso, this one or another: what is sent for it counts one more.
    pub hops: u8,
    /// The order in which commands were received, over all sources: what devices hear keeps it.
    pub turn: u64,
}

impl Command {
    /// How long it may still be acted on at `now`.
    pub fn left(&self, now: Instant) -> Duration {
        self.deadline.saturating_duration_since(now)
    }
}

/// Whether a received command may be one that was received before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redelivery {
    /// It is new.
    No,
    /// The process before this one may have received it.
    Possible,
    /// The broker marks it as sent again, or did not get the acknowledgement of an equal one.
    Certain,
}
