//! The intents there are, independent of the wording and of the device.

use crate::grammar::clause::Amount;
use crate::grammar::sense::StateWord;

/// A request or question, independent of the wording and of the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::grammar) enum Intent {
    Switch(bool),
    /// Switches on and sets a value.
    OnAt(Option<u16>, Amount),
    /// Switches off, or closes covers and valves.
    Shut,
    Toggle,
    Open(bool),
    /// Extends (`true`) or retracts an awning.
    Extend(bool),
    /// Extends an awning by this part of its way.
    ExtendTo(Amount),
    Lock(bool),
    /// Changes a value relative to the present one.
    Change(RelativeChange),
    SetValue(Option<u16>, Amount),
    /// Switches one property on or off.
    SetFlag(u16, bool),
    Stop,
    Start,
    Pause,
    Play,
    Skip(bool),
    Mute(bool),
    Dock,
    Locate,
    Clean,
    Mow,
    Perform,
    Press,
    Arm(bool),
    Query(Option<u16>, Option<QueryFocus>),
}

/// A change relative to the present value.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "how it was said, each by itself"
)]
pub(in crate::grammar) struct RelativeChange {
    pub(in crate::grammar) property: Option<u16>,
    pub(in crate::grammar) up: bool,
    pub(in crate::grammar) by: Option<Amount>,
    /// "up" and "down", which open and close covers completely; not set for "up a bit".
    pub(in crate::grammar) vertical: bool,
    /// Without a verb: "volume up".
    pub(in crate::grammar) bare: bool,
    /// "warmer", which means a lower colour temperature for a light.
    pub(in crate::grammar) warmth: bool,
}

/// The aspect of a device a question asks about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::grammar) enum QueryFocus {
    /// Whether the device is in this state.
    Is(StateWord),
    /// Whether the property has this value.
    At(Amount),
    /// Whether the property is set to this value.
    SetAt(Amount),
    /// The property this state belongs to: "on or off?"
    Of(StateWord),
    /// The set value: "target temperature".
    Target,
    /// The reading in the name of a sensor: "what is the outdoor temperature".
    Named,
}
