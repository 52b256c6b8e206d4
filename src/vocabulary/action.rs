//! Drafts and actions: an interpretation of a command, before the permission gate has decided on
//! it.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::vocabulary::condition::Condition;
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::timing::{Span, Timing};
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
    pub device: SharedStr,
    /// The property, which the device may not have.
    pub property: Property,
    /// The operation.
    pub op: Op,
    /// The value to set, the amount of a relative change, or the value asked about.
    pub value: Option<Value>,
}

impl Action {
    /// Returns the value that a question asks about: its own, as "running" of a robot is
    /// `cleaning`, or the state of the question.
    pub fn wanted(&self, query: Option<&StateQuery>) -> Option<Value> {
        let of_question = || query.map(|query| query.value(&self.property));
        self.value.clone().or_else(of_question)
    }
}

/// The actions of one command; most commands have one.
pub type ActionList = SmallVec<[Action; 1]>;

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
    /// "Is the light on?", where several are meant.
    Each(&'static str),
}

impl StateQuery {
    /// Returns the word of the state, such as `on` or `open`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Which(word)
            | Self::HowMany(word)
            | Self::All(word)
            | Self::Any(word)
            | Self::Each(word) => word,
        }
    }

    /// Returns the state as a value of `property`.
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
    /// Time at which the actions are to be carried out, or `None` for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// The states on which the actions depend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// The time after which the actions are taken back, where they wait for a time or a state
    /// first: "for ten minutes when the door opens".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasting: Option<Span>,
    /// The form of a question about several devices, which get one answer. Set by the grammar only;
    /// never cached.
    #[serde(skip)]
    pub state_query: Option<StateQuery>,
    /// The interpretations of the possible answers to `question`. Set by the grammar only; never
    /// cached.
    #[serde(skip)]
    pub choices: Vec<Choice>,
    /// Extent of a collective phrase such as "all the lights". Set by the grammar only; never
    /// cached.
    #[serde(skip)]
    pub scope: TargetScope,
    /// Devices that a collective phrase means and that cannot do what it asks for. Set by the
    /// grammar and the sentence templates only; never cached.
    #[serde(skip)]
    pub left_out: Vec<LeftOut>,
}

impl Draft {
    /// Returns the same draft for now: without its time and its condition.
    #[must_use]
    pub fn for_now(&self) -> Self {
        Self {
            timing: None,
            condition: None,
            lasting: None,
            ..self.clone()
        }
    }

    /// Returns whether the actions are for several devices that were named one by one.
    pub fn lists_devices(&self) -> bool {
        let mut devices = self.actions.iter().map(|action| &action.device);
        let first = devices.next();
        self.scope == TargetScope::Named && devices.any(|device| Some(device) != first)
    }

    /// Returns whether both drafts do and say the same. They may differ in the devices they leave
    /// out.
    pub fn does_the_same(&self, other: &Self) -> bool {
        let is_same_choice = |(one, other): (&Choice, &Choice)| {
            one.names == other.names && one.places == other.places && one.actions == other.actions
        };
        self.actions == other.actions
            && self.speech == other.speech
            && self.question == other.question
            && self.timing == other.timing
            && self.condition == other.condition
            && self.lasting == other.lasting
            && self.state_query == other.state_query
            && self.scope == other.scope
            && self.choices.len() == other.choices.len()
            && self.choices.iter().zip(&other.choices).all(is_same_choice)
    }
}

/// A device that a collective phrase means and that is not commanded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The identifier of the device.
    pub device: String,
    /// The reason.
    pub why: Unfit,
    /// The reported value with which there is nothing to do for this device: a window that is
    /// closed already is not named after "close everything".
    pub unless: Option<(Property, Value)>,
}

/// The reason why a device cannot take part in a collective command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfit {
    /// It lacks the property, or the way to change it.
    Incapable,
    /// The value is outside its range.
    OutOfRange,
    /// It could do it, but the phrase does not include devices of its kind.
    NotIncluded,
}

/// Extent of a phrase, which decides whether one device that may not be commanded stops the others,
/// and whether the whole command must be confirmed.
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
    /// Devices that the answer means and that cannot do it.
    pub left_out: Vec<LeftOut>,
}
