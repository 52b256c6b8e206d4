//! The result of the gate: messages that may be published. Their fields can be set only inside the
//! gate.

use crate::binding::Publication;
use crate::vocabulary::Value;
use crate::vocabulary::action::Action;
use crate::vocabulary::slug::Slug;

/// The most actions one command may have. A home of 100 lamps can still be switched off at once; a
/// model that repeats itself cannot flood the broker.
pub const MOST_ACTIONS: usize = 256;

/// The messages to publish: checked, and absolute where possible.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) speech: PlanSpeech,
}

/// The text of a reply, and the part of it that is about changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct PlanSpeech {
    pub(super) text: String,
    /// The length of the sentences about changes, without their last full stop.
    pub(super) changes: usize,
}

/// One message to one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub(super) device: Slug,
    pub(super) action: Action,
    pub(super) target_value: Option<Value>,
    pub(super) publication: Publication,
    pub(super) repeatable: bool,
}

impl Step {
    /// Returns the device. Messages to one device are published in the order of their commands.
    pub fn device(&self) -> &Slug {
        &self.device
    }

    /// Returns the action as it was understood.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// Returns the value that the property will have, or `None` if that is not known, as for the
    /// next track.
    pub fn target_value(&self) -> Option<&Value> {
        self.target_value.as_ref()
    }

    /// Returns the topic and payload to publish.
    pub fn publication(&self) -> &Publication {
        &self.publication
    }

    /// Returns true if delivering the message twice does no harm.
    pub fn repeatable(&self) -> bool {
        self.repeatable
    }
}

impl Plan {
    /// Returns the messages, in the order in which they are published.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the text of the reply.
    pub fn speech(&self) -> &str {
        &self.speech.text
    }

    /// Returns the text of the reply, once nothing else of the plan is needed.
    pub fn into_speech(self) -> String {
        self.speech.text
    }

    /// Returns the sentences about changes, without their last full stop, and those that follow:
    /// about devices that are offline or left out.
    pub fn changes_and_notes(&self) -> (&str, &str) {
        let (changes, notes) = self.speech.text.split_at(self.speech.changes);
        (changes, notes.trim_start_matches(['.', ' ']))
    }
}
