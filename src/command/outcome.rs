//! The outcome of a command, in one word.

use serde::{Deserialize, Serialize};

/// The end of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All actions were delivered to the broker.
    Done,
    /// A question of the speaker was answered.
    Answered,
    /// The speaker has to answer a question first.
    Unclear,
    /// Nothing was done, on purpose.
    Refused,
    /// Something failed; some actions may have been done.
    Failed,
}

impl Outcome {
    /// Returns the outcome as it is written in payloads and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Answered => "answered",
            Self::Unclear => "unclear",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}
