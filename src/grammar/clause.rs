//! What one part of a phrase says: what is done, to what, how much. Knows no devices.

use crate::grammar::sense::{Act, Level, More, Place, State};

/// How a value stands to what it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Preposition {
    /// Side by side: "brightness 20".
    #[default]
    Bare,
    To,
    /// May be a time: "at nine".
    At,
    By,
}

/// How much, or which.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Amount {
    Number(f64),
    /// By position in `Names::units`.
    Measured(f64, u16),
    Level(Level),
    Color(u16),
    Hex([u8; 3]),
    White(f64),
    Choice(u32),
}

impl Amount {
    /// Whether it is a colour or a white.
    pub(super) fn is_color(self) -> bool {
        matches!(self, Self::Color(_) | Self::Hex(_) | Self::White(_))
    }
}

/// What kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueryVerb {
    /// "is it .."
    Whether,
    /// "what is .."
    What,
}

/// What is spoken of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum What {
    Called(u32, Option<(u16, bool)>),
    Noun(u16, bool),
    /// An area and nothing in it: "dim the kitchen".
    Room,
    It,
    Them,
}

/// One thing, or one group, that is spoken of.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word that was said or not"
)]
pub(super) struct Target {
    pub(super) what: What,
    pub(super) all: bool,
    pub(super) both: bool,
    /// Where; one of these.
    pub(super) places: Vec<Place>,
    /// Where it is if it can be: said after a later one ("the lamp and the fan in the bedroom").
    pub(super) maybe: Vec<Place>,
    /// The noun beside a name: "movie scene".
    pub(super) also: Option<u16>,
    /// That noun was of many: "bedside lights".
    pub(super) many: bool,
    /// The place was said after it.
    pub(super) trailing: bool,
}

impl Target {
    /// It, without anything else said of it.
    pub(super) fn new(what: What) -> Self {
        Self {
            what,
            all: false,
            both: false,
            places: Vec::new(),
            maybe: Vec::new(),
            also: None,
            many: false,
            trailing: false,
        }
    }
}

/// One thing wished or asked.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word that was said or not"
)]
pub(super) struct Clause {
    pub(super) ask: Option<QueryVerb>,
    pub(super) act: Option<Act>,
    /// "how many .."
    pub(super) count: bool,
    /// "is any .."
    pub(super) any: bool,
    /// "make sure .."
    pub(super) ensure: bool,
    pub(super) state: Option<State>,
    /// "on or off"
    pub(super) either: bool,
    pub(super) more: Option<More>,
    pub(super) much: bool,
    pub(super) property: Option<u16>,
    /// "the target temperature": what was set, and not what is.
    pub(super) target: bool,
    pub(super) mode: bool,
    pub(super) status: bool,
    pub(super) amount: Option<Amount>,
    pub(super) link: Preposition,
    pub(super) targets: Vec<Target>,
    /// Where, said for the clause: "in the kitchen turn off ..", "the temperature in the kitchen".
    pub(super) places: Vec<Place>,
    pub(super) except: Vec<Target>,
    /// It speaks of what the clause before spoke of.
    pub(super) again: bool,
}

impl Clause {
    /// Whether it says of whom, and nothing of what yet.
    pub(super) fn is_only_named(&self) -> bool {
        let named = !self.targets.is_empty() || !self.places.is_empty();
        named
            && *self
                == Self {
                    targets: self.targets.clone(),
                    places: self.places.clone(),
                    ..Self::default()
                }
    }
}
