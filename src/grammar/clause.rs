//! The syntax of one part of a sentence: verb, targets, state and amount.
//!
//! A clause knows no devices: names and nouns are indexes into [`super::names::Names`].

use smallvec::SmallVec;

use crate::grammar::sense::{Comparative, Level, Place, StateWord, Verb};

/// The preposition before an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Preposition {
    /// No preposition: "brightness 20".
    #[default]
    Bare,
    To,
    /// "at", which may also precede a time: "at nine".
    At,
    By,
}

/// A value or an amount, as given in the sentence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Amount {
    Number(f64),
    /// A number with a unit, by its index in `Names::units`.
    Measured(f64, u16),
    Level(Level),
    Color(u16),
    Hex([u8; 3]),
    /// A white, in kelvin.
    White(f64),
    /// Index into `Names::options`.
    Choice(u32),
}

impl Amount {
    /// Returns whether the amount is a colour or a white.
    pub(super) fn is_color(self) -> bool {
        matches!(self, Self::Color(_) | Self::Hex(_) | Self::White(_))
    }
}

/// Distinction between questions by the form of their answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuestionType {
    /// "is it ..": answered by yes or no.
    YesNo,
    /// "what is ..", "which ..", "how many ..".
    Open,
}

/// The main word of a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Head {
    /// Index into `Names::entries`, with the noun of the same spelling if there is one.
    Name(u32, Option<(u16, bool)>),
    /// Index into `Names::nouns`, and whether it is a plural.
    Noun(u16, bool),
    /// A place without a noun: "dim the kitchen".
    Area,
    It,
    Them,
}

/// Distinction between certain targets, and any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Determiner {
    /// "the lights", "my lights", "all lights".
    #[default]
    Definite,
    /// An indefinite article: before one thing, "a light" (`true`), or before several.
    Indefinite(bool),
    /// "this light", "those lights".
    Pointing,
    /// "are lights on", "brennt Licht".
    Bare,
}

/// A device or group the clause is about, as described in the sentence.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word that was present or not"
)]
pub(super) struct Target {
    pub(super) head: Head,
    pub(super) determiner: Determiner,
    pub(super) all: bool,
    pub(super) both: bool,
    /// Places of the target; the device is in one of them.
    pub(super) places: Vec<Place>,
    /// Places of a later target, used if this one has devices there: "the lamp and the fan in the
    /// bedroom".
    pub(super) shared_places: Vec<Place>,
    /// The name behind "of", by its index in `Names::entries`: "the lamp of Anna".
    pub(super) owner: Option<u32>,
    /// The noun beside a name: "movie scene".
    pub(super) extra_noun: Option<u16>,
    /// Whether that noun is a plural: "bedside lights".
    pub(super) extra_is_plural: bool,
    /// Whether the place follows the head: "the lamp in the kitchen".
    pub(super) trailing_place: bool,
}

impl Target {
    /// Creates a target with nothing but its head.
    pub(super) fn new(head: Head) -> Self {
        Self {
            head,
            determiner: Determiner::Definite,
            all: false,
            both: false,
            places: Vec::new(),
            shared_places: Vec::new(),
            owner: None,
            extra_noun: None,
            extra_is_plural: false,
            trailing_place: false,
        }
    }
}

/// One request or question of a sentence.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word that was present or not"
)]
pub(super) struct Clause {
    pub(super) question: Option<QuestionType>,
    pub(super) verb: Option<Verb>,
    /// Whether the clause asks for a number: "how many ..".
    pub(super) count: bool,
    /// Whether the clause asks for any of several: "is any ..".
    pub(super) any: bool,
    /// Whether the verb demands a state: "make sure ..", "i want ..".
    pub(super) ensure: bool,
    /// Whether the demand may be a supposition: "should be".
    pub(super) supposed: bool,
    pub(super) state: Option<StateWord>,
    /// Whether the clause names both states: "on or off".
    pub(super) either: bool,
    pub(super) comparative: Option<Comparative>,
    /// Whether the comparative stands before its target: "[lower] the blinds".
    pub(super) leads: bool,
    /// "a bit"
    pub(super) slightly: bool,
    /// Index into `Names::properties`.
    pub(super) property: Option<u16>,
    /// Whether the set value of the property is meant, not the measured one.
    pub(super) set_point: bool,
    /// The word "mode" was present.
    pub(super) mode: bool,
    /// The word "status" was present.
    pub(super) status: bool,
    pub(super) amount: Option<Amount>,
    /// The preposition before the amount.
    pub(super) preposition: Preposition,
    /// Whether the amount is a part of the whole: "zu 80 Prozent".
    pub(super) is_share: bool,
    pub(super) targets: SmallVec<[Target; 1]>,
    /// Places of the whole clause: "in the kitchen turn off ..", "the temperature in the kitchen".
    pub(super) places: Vec<Place>,
    pub(super) except: Vec<Target>,
    /// Whether the clause is about the devices of the previous clause.
    pub(super) repeats: bool,
}

impl Clause {
    /// Returns the question that the clause is where the sentence ends with a question mark and has
    /// no verb: "front door locked?", "bedroom temperature?"
    pub(super) fn short_question(&self) -> Option<QuestionType> {
        let is_named = !self.targets.is_empty() || !self.places.is_empty();
        let rest = Self {
            state: None,
            property: None,
            targets: SmallVec::new(),
            places: Vec::new(),
            ..self.clone()
        };
        if rest != Self::default() {
            return None;
        }
        match (self.state, self.property) {
            (Some(_), None) if !self.targets.is_empty() => Some(QuestionType::YesNo),
            (None, Some(_)) if is_named => Some(QuestionType::Open),
            _ => None,
        }
    }

    /// Returns whether the clause has targets or places and nothing else yet.
    pub(super) fn is_only_named(&self) -> bool {
        let named = !self.targets.is_empty() || !self.places.is_empty();
        let targets_only = Self {
            targets: self.targets.clone(),
            places: self.places.clone(),
            ..Self::default()
        };
        named && *self == targets_only
    }
}
