//! A command that waits for its time, as it is stored.
//!
//! The permitted draft waits, not the text: a name may belong to another lamp by then. The types
//! here are the format on disk; an earlier version may have written them. They do not know the
//! other timers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::command::{ReplyTo, Source};
use crate::schedule::due::Due;
use crate::vocabulary::action::{Action, Draft, LeftOut, TargetScope};
use crate::vocabulary::condition::Condition;
use crate::vocabulary::timing::{Recurrence, Span};

/// The action of a timer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Execute the actions of a command.
    Command {
        /// The actions, as they were permitted when the command was given.
        actions: Vec<Action>,
        /// Extent of a collective phrase.
        scope: TargetScope,
        /// True where the speaker has confirmed it.
        confirmed: bool,
        /// The devices of the collective phrase that cannot do it, to be named when it is due; at
        /// most [`MAX_LEFT_OUT`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_out: Vec<LeftOut>,
        /// The time after which it is taken back: "for ten minutes when the door opens".
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasting: Option<Span>,
    },
    /// The end of "for ten minutes".
    Revert {
        /// The actions that restore the states before.
        actions: Vec<Action>,
        /// The states that the command set: in another one a device is left alone.
        expected: Vec<Action>,
    },
    /// A timer with nothing but a signal.
    Signal {
        /// Its name, where it has one.
        name: Option<String>,
    },
}

/// The most devices that cannot do it which one timer keeps: no sentence lists more.
const MAX_LEFT_OUT: usize = 64;

impl Task {
    /// Makes the task of a command that waits.
    pub fn of(draft: &Draft, confirmed: bool) -> Self {
        Self::Command {
            actions: draft.actions.clone(),
            scope: draft.scope,
            confirmed,
            left_out: draft.left_out.iter().take(MAX_LEFT_OUT).cloned().collect(),
            lasting: draft.lasting,
        }
    }

    /// Returns whether it only signals.
    pub fn is_signal(&self) -> bool {
        matches!(self, Self::Signal { .. })
    }

    /// Returns the actions with the values that they may result in. What is only for a while is
    /// taken back, so that any value may follow.
    pub fn effects(&self) -> Vec<Action> {
        let is_for_a_while = matches!(
            self,
            Self::Command {
                lasting: Some(_),
                ..
            }
        );
        let mut actions = self.actions().to_vec();
        if is_for_a_while {
            for action in &mut actions {
                action.value = None;
            }
        }
        actions
    }

    /// Returns the actions of a command or a revert, and none for a signal.
    pub fn actions(&self) -> &[Action] {
        match self {
            Self::Command { actions, .. } | Self::Revert { actions, .. } => actions,
            Self::Signal { .. } => &[],
        }
    }
}

/// The number of a timer.
pub type TimerId = u64;

/// Whether the messages of a timer may have been published. Set before they are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum StartState {
    /// None of them was.
    #[default]
    NotStarted,
    /// They may be published once more.
    Repeatable,
    /// They must not be published twice.
    Once,
}

/// The stored form of [`StartState`]: `null`, or whether the messages may be published twice.
mod stored_start {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::StartState;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    pub(super) fn serialize<S: Serializer>(
        started: &StartState,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let stored = match started {
            StartState::NotStarted => None,
            StartState::Repeatable => Some(true),
            StartState::Once => Some(false),
        };
        stored.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<StartState, D::Error> {
        Ok(match Option::<bool>::deserialize(deserializer)? {
            None => StartState::NotStarted,
            Some(true) => StartState::Repeatable,
            Some(false) => StartState::Once,
        })
    }
}

/// A command that waits for its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timer {
    /// The number; unique while the timer exists.
    pub id: TimerId,
    /// The source that set it, with whose rights it fires.
    pub source: Source,
    /// The id of the command that set it.
    #[serde(rename = "command")]
    pub command_id: String,
    /// The number of that command in the journal of this node.
    #[serde(default)]
    pub seq: u64,
    /// The text of that command, or of the one that raised the question it answers.
    pub text: String,
    /// The text of the answer, where a question was answered: "yes".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The language of its replies.
    pub language: Option<String>,
    /// The address of its replies.
    pub reply_to: ReplyTo,
    /// The time at which it fires.
    pub due: Due,
    /// The action.
    pub task: Task,
    /// Whether its messages may have been published.
    #[serde(default, with = "stored_start")]
    pub started: StartState,
    /// The event, once everything but its delivery is done.
    #[serde(default)]
    pub event: Option<serde_json::Value>,
    /// The recurrence, for a command that is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// The state that a rule waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// For one occurrence of a repeated command: the timer of which it is one.
    #[serde(default, rename = "of", skip_serializing_if = "Option::is_none")]
    pub occurrence_of: Option<TimerId>,
    /// The occurrences before this one that were missed.
    #[serde(default)]
    pub skipped: u32,
    /// The identity of each announced device it commands, by the device's identifier, as of the
    /// time it was set: another device with that identifier is not meant.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub physical: BTreeMap<String, String>,
    /// The number of the record in which it is written, where that is not its own: a change of
    /// several timers is one write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_with: Option<TimerId>,
}

impl Timer {
    /// Returns the number of its record.
    pub(super) fn record_id(&self) -> TimerId {
        self.written_with.or(self.occurrence_of).unwrap_or(self.id)
    }

    /// Returns the number under which its source knows it.
    pub fn known_as(&self) -> TimerId {
        self.occurrence_of.unwrap_or(self.id)
    }
}

/// The recurrence of a repeated command, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeat {
    /// Rule from which the next occurrence is computed.
    #[serde(rename = "rule")]
    pub recurrence: Recurrence,
    /// The last moment, in milliseconds since 1970.
    pub end_ms: Option<i64>,
    /// The last occurrence, in milliseconds since 1970.
    #[serde(default)]
    pub last_ms: Option<i64>,
}

impl Repeat {
    /// Makes a recurrence that has had no occurrence yet.
    pub fn new(recurrence: Recurrence, end_ms: Option<i64>) -> Self {
        Self {
            recurrence,
            end_ms,
            last_ms: None,
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.recurrence, self.end_ms) == (other.recurrence, other.end_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::examples::timer;

    #[test]
    fn the_stored_form_of_a_timer_is_that_of_earlier_versions() {
        for (state, stored) in [
            (StartState::NotStarted, serde_json::Value::Null),
            (StartState::Repeatable, true.into()),
            (StartState::Once, false.into()),
        ] {
            let due = Due::At { wall_ms: 1 };
            let timer = Timer {
                started: state,
                occurrence_of: Some(3),
                ..timer("a", "fan", due)
            };
            let mut record = serde_json::to_value(&timer).unwrap();
            assert_eq!(record["started"], stored);
            assert_eq!(
                (&record["command"], &record["of"]),
                (&"c".into(), &3.into())
            );
            assert_eq!(
                serde_json::from_value::<Timer>(record.clone()).unwrap(),
                timer
            );
            record.as_object_mut().unwrap().remove("started");
            let without: Timer = serde_json::from_value(record).unwrap();
            assert_eq!(without.started, StartState::NotStarted);
        }
    }
}
