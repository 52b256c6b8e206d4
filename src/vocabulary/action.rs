//! What is meant, before anybody has asked whether it may be: the draft and its actions.

use serde::{Deserialize, Serialize};

use crate::vocabulary::{Property, Value};

/// What to do with a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// Make it this value.
    Set,
    /// Make it the other of two.
    Toggle,
    /// More of it: by `value`, or by the capability's own step.
    Increase,
    /// Less of it.
    Decrease,
    /// Stop it where it is.
    Stop,
    /// Say what it is.
    Query,
}

/// One thing meant for one device, as it was understood. It is believed only by the gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// The device's identifier; may name none.
    pub device: String,
    /// The property; may not be one of the device's.
    pub property: Property,
    /// What to do with it.
    pub op: Op,
    /// The value to set, the amount to go by, or the value asked about.
    pub value: Option<Value>,
}

/// How a question about several devices is put, with the word of the state it is about: `on`, `open`, `locked`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Which are so.
    Which(&'static str),
    /// How many are so.
    HowMany(&'static str),
    /// Whether all are so.
    All(&'static str),
    /// Whether any is so.
    Any(&'static str),
}

impl Asked {
    /// The state's word.
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

/// What a phrase was taken to mean. It carries no state and no time, so it can be kept and used again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// What to do, in the order it was said.
    pub actions: Vec<Action>,
    /// An answer in words, for a question that is not about a device's state.
    #[serde(default)]
    pub speech: Option<String>,
    /// What to ask back, where the phrase can be taken in several ways. Nothing is done then.
    #[serde(default)]
    pub question: Option<String>,
    /// How it asks about several devices, so that they get one answer. Of the local reading alone, and never kept.
    #[serde(skip)]
    pub asked: Option<Asked>,
    /// What the answers to its question come to. Of the local reading alone, and never kept.
    #[serde(skip)]
    pub choices: Vec<Choice>,
}

/// One answer to a question of which, or where.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What it is called: the device's names, or the area's; none where it is all of them together.
    pub names: Vec<String>,
    /// Where it is.
    pub places: Vec<String>,
    /// What it comes to.
    pub actions: Vec<Action>,
}
