//! Meanings of words and phrases: the vocabulary of the grammar, shared by all languages.

use serde::Deserialize;

/// Meaning of a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verb {
    /// Needs a state or a value: "turn .. on".
    Turn,
    Set,
    On,
    /// Switches on, but increases warmth and sound: "dreh die Heizung auf".
    TurnUp,
    Off,
    /// "shut down": closes covers and valves, switches everything else off.
    Shut,
    Toggle,
    Open,
    Close,
    /// Opens an awning.
    Extend,
    Retract,
    Lock,
    LockUp,
    Unlock,
    /// Opens covers, increases numbers.
    Raise,
    Lower,
    Increase,
    Decrease,
    /// Increases the speed.
    Hasten,
    Slow,
    /// Switches lights on: "illuminate the kitchen".
    Illuminate,
    /// Switches on the lights of the area of the command: "i need some light".
    Enlighten,
    Dim,
    /// Dims lights, but may also mean the shutters of a room: "verdunkle das Schlafzimmer".
    Darken,
    Brighten,
    Warm,
    Cool,
    Stop,
    Start,
    Pause,
    Play,
    Next,
    Previous,
    Mute,
    Unmute,
    /// Needs a destination: "send the robot home".
    Send,
    Dock,
    Locate,
    Clean,
    Mow,
    /// Opens the valves that water a place: "water the garden".
    Water,
    /// "stop watering"
    StopWater,
    Perform,
    Press,
    Arm,
    Disarm,
    /// Switches on where nothing else is named: "pon la radio".
    PutOn,
    /// Switches off where nothing else is named: "quita la luz".
    TakeOff,
}

/// A state of a device, asked about or requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StateWord {
    On,
    Off,
    Up,
    Down,
    Open,
    /// Open to the end: "wide open".
    FullyOpen,
    /// Open a little: a state to ask about, but none to set.
    Ajar,
    Closed,
    Locked,
    Unlocked,
    Playing,
    Paused,
    Stopped,
    Muted,
    Cleaning,
    Mowing,
    Docked,
    /// Of a person: at home.
    Home,
}

impl StateWord {
    /// Returns whether the word states how far something is open.
    pub(super) fn is_extent(self) -> bool {
        matches!(self, Self::FullyOpen | Self::Ajar)
    }

    /// Returns whether a device in this state does something, or lets somebody in.
    pub(super) fn is_active(self) -> bool {
        !matches!(
            self,
            Self::Off
                | Self::Down
                | Self::Closed
                | Self::Locked
                | Self::Paused
                | Self::Stopped
                | Self::Docked
        )
    }

    /// Returns the word of the vocabulary for this state.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Up | Self::Open | Self::FullyOpen | Self::Ajar => "open",
            Self::Down | Self::Closed => "closed",
            Self::Locked => "locked",
            Self::Unlocked => "unlocked",
            Self::Playing => "playing",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Muted => "muted",
            Self::Cleaning => "cleaning",
            Self::Mowing => "mowing",
            Self::Docked => "docked",
            Self::Home => "home",
        }
    }
}

/// A comparative: more or less of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Comparative {
    Brighter,
    Darker,
    Warmer,
    Cooler,
    Louder,
    Quieter,
    Faster,
    Slower,
    Higher,
    Lower,
    /// Only with an amount: "two degrees more".
    More,
    Less,
}

/// A part of the full range, given in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Low,
    Quarter,
    Third,
    Half,
    TwoThirds,
    ThreeQuarters,
    Full,
    /// Steps of a fan with three speeds.
    SpeedLow,
    SpeedMedium,
    SpeedHigh,
}

impl Level {
    /// Returns the percentage of the range; `None` for the lowest level, which depends on the
    /// property.
    pub(super) fn percent(self) -> Option<f64> {
        match self {
            Self::Low => None,
            Self::Quarter => Some(25.0),
            Self::Third | Self::SpeedLow => Some(33.0),
            Self::Half => Some(50.0),
            Self::TwoThirds | Self::SpeedMedium => Some(67.0),
            Self::ThreeQuarters => Some(75.0),
            Self::Full | Self::SpeedHigh => Some(100.0),
        }
    }

    /// Returns the part that is left of the whole, for a part of it.
    pub(super) fn rest(self) -> Option<Self> {
        Some(match self {
            Self::Quarter => Self::ThreeQuarters,
            Self::Third => Self::TwoThirds,
            Self::Half => Self::Half,
            Self::TwoThirds => Self::Third,
            Self::ThreeQuarters => Self::Quarter,
            _ => return None,
        })
    }

    /// Returns whether the level is between the ends of the range.
    pub(super) fn is_part(self) -> bool {
        !self.is_speed() && !matches!(self, Self::Low | Self::Full)
    }

    /// Returns whether the level is a step of a fan.
    pub(super) fn is_speed(self) -> bool {
        matches!(self, Self::SpeedLow | Self::SpeedMedium | Self::SpeedHigh)
    }
}

/// A location named by the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Index into the areas of the home.
    Area(u16),
    /// Index into `Names::floors`.
    Floor(u16),
    /// Index into `Names::fronts`.
    Front(u16),
    /// One of several areas, by its index into `Names::alternatives`.
    OneOf(u16),
    /// The area of the last command.
    There,
    /// The area the command was given in.
    Here,
    /// The whole home.
    House,
}

/// How a word leaves open which device is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Indefinite {
    /// "a light"
    One,
    /// "some lights"
    Some,
    /// "that light", which points at one of several.
    Pointing,
}

/// One meaning a phrase can have.
///
/// The value is small and `Copy`: anything long is an index into the lexicon or the names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sense {
    /// A phrase that prevents every interpretation of its sentence.
    Veto,
    /// A word without meaning for the command: "please".
    Filler,
    /// A word of somebody who thinks, "um": behind a name another one may replace it.
    Hesitation,
    /// A statement that is the reason for a request behind or before a comma: "it is dark".
    Reason,
    /// A polite request in the form of a question: "can you".
    Polite,
    Article,
    /// An article that leaves open which of several devices is meant.
    Indefinite(Indefinite),
    All,
    Any,
    Both,
    Except,
    And,
    Comma,
    Or,
    In,
    To,
    /// Before a part of the whole: "zu 80 Prozent", which is 20 percent open for a closing cover.
    Share,
    At,
    By,
    It,
    Them,
    /// The other one of two devices, of which the last command was about one.
    Other,
    Be,
    What,
    HowMany,
    /// "who is", which asks for persons at home only.
    Who,
    Whether,
    /// The start of a wish: "make sure", "i want".
    Ensure,
    /// "is there a": whether any device is in a state.
    BeAny,
    /// "est-elle" behind a target, which makes a statement a question.
    Inverted,
    /// A verb that asks for a state: "brennt das licht", "läuft der ventilator".
    Asking(StateWord),
    /// "has to be" after a target: the start of a wish.
    Shall,
    /// "should be" after a target: the start of a wish, or of a supposition about the present.
    Should,
    /// "still" and "already": with "should be" they make a supposition.
    Still,
    /// "may" and "can" of a language in which "the light may off" is a command; before the name it
    /// begins a question.
    May,
    /// The pronoun of a formal request, directly after the verb: "schalten Sie".
    Formal,
    Mode,
    Status,
    /// "set to" in a question, which is about the set value.
    SetAt,
    /// An unspecified small amount: "a bit".
    Slightly,
    Possessive,
    Place(Place),
    Verb(Verb),
    /// First part of a separable verb, with the index of the particle that must follow:
    /// "schliess .. [ab]".
    SplitVerb(Verb, u16),
    /// Second part of a separable verb.
    Particle(u16),
    State(StateWord),
    /// A verb that is valid only after a polite question: "would you mind turning ..".
    Gerund(Verb),
    /// A verb of the second person, which is a request in a question only: "¿me apagas ..?"
    Request(Verb),
    /// A verb of the third person, which is a request behind a wish only: "ik wil dat je de lamp
    /// dimt".
    Indicative(Verb),
    /// A state that is valid only in questions and after [`Sense::Ensure`].
    Participle(StateWord),
    Comparative(Comparative),
    /// A complaint about the place of the speaker, "it is too dark": a wish for this, if nothing
    /// else is asked for, and otherwise the reason for it.
    Complaint(Comparative),
    /// Index into `Names::properties`.
    Property(u16),
    /// Index of a property whose set value is meant, not the measured one: "target temperature".
    Target(u16),
    /// Index of a property, in a question for it: "how warm".
    How(u16),
    /// Index of a property, in a question for its set value: "auf wie viel Grad steht".
    HowSet(u16),
    Number(f64),
    /// Index into `Names::units`.
    Unit(u16),
    Level(Level),
    /// Index into `Lexicon::colors`.
    Color(u16),
    /// A colour in hexadecimal digits.
    Hex([u8; 3]),
    /// A white, in kelvin.
    White(f64),
    /// Index into `Names::nouns`, and whether the phrase is a plural.
    Noun(u16, bool),
    /// Index into `Names::entries`, with the noun of the same spelling if there is one.
    Name(u32, Option<(u16, bool)>),
    /// Index into `Names::options`.
    OptionName(u32),
}

impl Sense {
    /// Returns whether the word is an article.
    pub(super) fn is_article(&self) -> bool {
        matches!(self, Self::Article | Self::Indefinite(_))
    }

    /// Returns whether the word may stand before a place or a value.
    pub(super) fn is_preposition(&self) -> bool {
        matches!(
            self,
            Self::In | Self::To | Self::Share | Self::At | Self::By
        )
    }

    /// Returns whether the word has no meaning for the command.
    pub(super) fn is_filler(self) -> bool {
        matches!(self, Self::Filler | Self::Hesitation | Self::Still)
    }

    /// Returns whether the word makes a sentence of names, states and values.
    pub(super) fn may_begin(&self) -> bool {
        matches!(
            self,
            Self::Polite
                | Self::Be
                | Self::BeAny
                | Self::Inverted
                | Self::Asking(_)
                | Self::What
                | Self::HowMany
                | Self::Who
                | Self::Whether
                | Self::Ensure
                | Self::Shall
                | Self::Should
                | Self::Verb(_)
                | Self::SplitVerb(..)
                | Self::Gerund(_)
                | Self::Request(_)
                | Self::Indicative(_)
                | Self::Comparative(_)
                | Self::Complaint(_)
                | Self::How(_)
                | Self::HowSet(_)
        )
    }
}
