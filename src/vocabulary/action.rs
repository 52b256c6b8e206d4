//! Drafts and actions: an interpretation of a command, before the permission gate has decided on
//! it.

use serde::{Deserialize, Serialize};

use crate::vocabulary::timing::Timing;
use crate::vocabulary::{Property, Value};

/// An operation on a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Sets the value.
    Set,
    /// Switches to the other of two values.
    Toggle,
    /// Raises by `value`, or by the capability's step.
    Increase,
    /// Lowers by `value`, or by the capability's step.
    Decrease,
    /// Stops a movement.
    Stop,
    /// Asks for the value.
    Query,
}

/// One operation on one device as it was understood. Nothing about it is checked yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The identifier of the device, which may not exist.
    pub device: String,
    /// The property, which the device may not have.
    pub property: Property,
    /// The operation.
    pub op: Op,
    /// The value to set, the amount of a relative change, or the value asked about.
    pub value: Option<Value>,
}

/// The form of a question about several devices, with the word of the state it asks about: `on`,
/// `open`, `locked`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateQuery {
    /// "Which are on?"
    Which(&'static str),
    /// "How many are on?"
    HowMany(&'static str),
    /// "Are all on?"
    All(&'static str),
    /// "Is any on?"
    Any(&'static str),
}

impl StateQuery {
    /// The word of the state.
    pub fn word(&self) -> &'static str {
        let (Self::Which(word) | Self::HowMany(word) | Self::All(word) | Self::Any(word)) = self;
        word
    }

    /// The state as a value of `property`.
    pub fn value(&self, property: &Property) -> Value {
        match (property, self.word()) {
            (Property::Position, "open") => Value::Number(100.0),
            (Property::Position, "closed") => Value::Number(0.0),
            (Property::Mute, _) => Value::text("on"),
            (_, word) => Value::text(word),
        }
    }
}

/// An interpretation of a phrase. It contains no state and no time, so that it can be cached.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// The actions, in the order of the phrase.
    pub actions: Vec<Action>,
    /// An answer in words, for a question that is not about the state of a device.
    #[serde(default)]
    pub speech: Option<String>,
    /// A question to ask back where the phrase is ambiguous. Nothing is done then.
    #[serde(default)]
    pub question: Option<String>,
    /// When the actions are to be carried out; now, where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// The form of a question about several devices, which get one answer. Set by the grammar only;
    /// never cached.
    #[serde(skip)]
    pub state_query: Option<StateQuery>,
    /// The interpretations of the possible answers to `question`. Set by the grammar only; never
    /// cached.
    #[serde(skip)]
    pub choices: Vec<Choice>,
    /// How far a collective phrase such as "all the lights" reaches. Set by the grammar only; never
    /// cached.
    #[serde(skip)]
    pub scope: TargetScope,
}

/// How far a phrase reaches, which decides whether one device that may not be commanded stops the
/// others, and whether the whole command must be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetScope {
    /// Devices that were named.
    #[default]
    Named,
    /// All devices of a kind or an area: "all the lights", "the blinds upstairs".
    Group,
    /// Devices of every kind: "everything".
    Everything,
}

/// One possible answer to a question of which device, or where.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The names of the device or of the area; empty for "all of them".
    pub names: Vec<String>,
    /// The names of the area of the device.
    pub places: Vec<String>,
    /// The interpretation of the answer.
    pub actions: Vec<Action>,
}
