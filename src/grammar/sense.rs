//! What a run of words can stand for: the vocabulary of the grammar, the same for every language.

use serde::Deserialize;

/// Something to be done: what a verb says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Act {
    /// Wants a state or a value: "turn .. on".
    Turn,
    Set,
    On,
    Off,
    /// "shut down": off, or closed.
    Shut,
    Toggle,
    Open,
    Close,
    /// Of an awning: open.
    Extend,
    Retract,
    Lock,
    LockUp,
    Unlock,
    /// Up: open what opens, more of what has more.
    Raise,
    Lower,
    Increase,
    Decrease,
    /// Faster.
    Hasten,
    Slow,
    /// On, of lights: "illuminate the kitchen".
    Illuminate,
    /// On, of the lights of where it was said: "i need some light".
    Enlighten,
    Dim,
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
    /// Wants "home".
    Send,
    Dock,
    Locate,
    Clean,
    Mow,
    Perform,
    Press,
    Arm,
    Disarm,
}

/// How something is or shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    On,
    Off,
    Up,
    Down,
    Open,
    Closed,
    Locked,
    Unlocked,
    Playing,
    Paused,
    Stopped,
    Muted,
    Cleaning,
    Docked,
}

impl State {
    /// The vocabulary's word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Up | Self::Open => "open",
            Self::Down | Self::Closed => "closed",
            Self::Locked => "locked",
            Self::Unlocked => "unlocked",
            Self::Playing => "playing",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Muted => "muted",
            Self::Cleaning => "cleaning",
            Self::Docked => "docked",
        }
    }
}

/// More or less of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum More {
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
}

/// A level without a number.
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
}

impl Level {
    /// How much of the whole it is, %. The lowest has no number.
    pub(super) fn percent(self) -> Option<f64> {
        match self {
            Self::Low => None,
            Self::Quarter => Some(25.0),
            Self::Third => Some(33.0),
            Self::Half => Some(50.0),
            Self::TwoThirds => Some(67.0),
            Self::ThreeQuarters => Some(75.0),
            Self::Full => Some(100.0),
        }
    }

    /// Whether it is some of it, and not all.
    pub(super) fn is_part(self) -> bool {
        !matches!(self, Self::Low | Self::Full)
    }
}

/// Where something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// By position among the home's areas.
    Area(u16),
    /// By position among the home's floors.
    Floor(u16),
    /// The area the command was said in.
    Here,
    /// All of the home.
    House,
}

/// What a run of words can stand for. Small and `Copy`: what is long is an index into the lexicon or the names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sense {
    /// Makes no command of what it stands in.
    Silence,
    Skip,
    Polite,
    Article,
    All,
    Any,
    Both,
    Except,
    And,
    Comma,
    Or,
    In,
    To,
    At,
    By,
    It,
    Them,
    Be,
    What,
    HowMany,
    Whether,
    Ensure,
    Mode,
    Status,
    Much,
    Possessive,
    Place(Place),
    Act(Act),
    /// The first part of a verb in two, and by position in the lexicon what must follow: "schliess .. [ab]".
    Split(Act, u16),
    /// The second part of a verb in two.
    Particle(u16),
    State(State),
    /// What is done, but only after a polite question: "would you mind turning ..".
    Gerund(Act),
    /// A state, but only where something is said to be so.
    Participle(State),
    More(More),
    /// By position in `Names::properties`.
    Property(u16),
    /// The same, of what was set: "target temperature".
    Target(u16),
    /// A question after a property.
    How(u16),
    Number(f64),
    /// By position in `Names::units`.
    Unit(u16),
    Level(Level),
    /// By position in `Lexicon::colors`.
    Color(u16),
    /// A colour by its digits.
    Hex([u8; 3]),
    /// A white, in kelvin.
    White(f64),
    /// By position in `Names::nouns`; true of the plural.
    Noun(u16, bool),
    /// By position in `Names::called`; with the noun that is spelt the same.
    Called(u32, Option<(u16, bool)>),
    /// By position in `Names::options`.
    Choice(u32),
}
