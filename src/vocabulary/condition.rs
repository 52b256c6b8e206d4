//! The states of devices on which a command depends, as its sentence says it.

use serde::{Deserialize, Serialize};

use crate::vocabulary::timing::TimePoint;
use crate::vocabulary::{Property, Value};

/// The states on which a command depends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Times at which it is evaluated.
    pub mode: ConditionMode,
    /// The states.
    pub tests: Vec<StateTest>,
    /// Whether one of the states is enough.
    #[serde(default)]
    pub any: bool,
    /// The last moment of a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<TimePoint>,
}

/// Times at which a condition is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionMode {
    /// Now: "if the window is open".
    Now,
    /// The next time that it becomes true: "when the window opens".
    Once,
    /// Each time that it becomes true: "whenever the window opens".
    Always,
}

/// A state that a condition names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateTest {
    /// A state of a device.
    Device {
        /// Identifier of the device.
        device: String,
        /// Property that has or gets the state.
        property: Property,
        /// The state.
        is: ExpectedState,
    },
    /// The sun is below the horizon, or above it where false.
    Dark(bool),
}

/// The state that a device must have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedState {
    /// This value.
    Equal(Value),
    /// A number above this one.
    Above(f64),
    /// A number below this one.
    Below(f64),
}
