//! The tables of a language file, as they are written. The words are not normalized yet.

use std::collections::{BTreeMap, HashSet};
use std::sync::OnceLock;

use serde::Deserialize;

use crate::grammar::condition_words::ConditionWords;
use crate::grammar::example_words::ExampleWords;
use crate::grammar::follow_up_words::FollowUpWords;
use crate::grammar::lexicon::counting::Counting;
use crate::grammar::lexicon::function_word::FunctionWord;
use crate::grammar::lexicon::noun::Noun;
use crate::grammar::sense::{Comparative, Level, StateWord, Verb};
use crate::grammar::sides::Sides;
use crate::grammar::spelling::Spelling;
use crate::grammar::time_words::TimeWords;
use crate::grammar::timer_phrases::TimerPhrases;
use crate::vocabulary::speech::Speech;

/// A language file. Every table except `say` is optional.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(default)]
    pub(super) spelling: Spelling,
    #[serde(default)]
    pub(super) grammar: Grammar,
    #[serde(default)]
    pub(super) options: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(super) words: BTreeMap<FunctionWord, Vec<String>>,
    #[serde(default)]
    pub(super) acts: BTreeMap<Verb, Vec<String>>,
    #[serde(default)]
    pub(super) gerunds: BTreeMap<Verb, Vec<String>>,
    #[serde(default)]
    pub(super) requests: BTreeMap<Verb, Vec<String>>,
    #[serde(default)]
    pub(super) indicative: BTreeMap<Verb, Vec<String>>,
    #[serde(default)]
    pub(super) states: BTreeMap<StateWord, Vec<String>>,
    #[serde(default)]
    pub(super) participles: BTreeMap<StateWord, Vec<String>>,
    #[serde(default)]
    pub(super) asking: BTreeMap<StateWord, Vec<String>>,
    #[serde(default)]
    pub(super) sides: Sides,
    #[serde(default)]
    pub(super) place: Vec<PlaceWords>,
    #[serde(default)]
    pub(super) more: BTreeMap<Comparative, Vec<String>>,
    #[serde(default)]
    pub(super) complaints: BTreeMap<Comparative, Vec<String>>,
    #[serde(default)]
    pub(super) properties: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(super) targets: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(super) how: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(super) how_set: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(super) numbers: BTreeMap<String, f64>,
    #[serde(default)]
    pub(super) counting: Counting,
    #[serde(default)]
    pub(super) units: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(super) levels: BTreeMap<Level, Vec<String>>,
    #[serde(default)]
    pub(super) colors: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) whites: BTreeMap<String, f64>,
    #[serde(default)]
    pub(super) noun: Vec<Noun>,
    #[serde(default)]
    pub(super) typos: Typos,
    #[serde(default)]
    pub(super) consent: ConfirmationWords,
    #[serde(default)]
    pub(super) choosing: Choosing,
    #[serde(default)]
    pub(super) time: TimeWords,
    #[serde(default)]
    pub(super) timers: TimerPhrases,
    #[serde(default)]
    pub(super) examples: ExampleWords,
    #[serde(default)]
    pub(super) conditions: ConditionWords,
    #[serde(default)]
    pub(super) follow_up: FollowUpWords,
    #[serde(default)]
    pub(super) long: Long,
    #[serde(default)]
    pub(super) unsupported: BTreeMap<UnsupportedMeaning, Vec<String>>,
    pub(super) say: Speech,
}

/// Words for a place that the home may call something else.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::grammar) struct PlaceWords {
    /// Words for the place, in addition to its names.
    pub(in crate::grammar) said: Vec<String>,
    /// Names of areas: if the home has exactly one of them, all of these words mean it.
    pub(in crate::grammar) areas: Vec<String>,
    /// Names of floors: if the home has exactly one of them, the words in `said` mean it.
    pub(in crate::grammar) floors: Vec<String>,
    /// Words in the names of devices and areas that are there: "garden" for "outside".
    pub(in crate::grammar) marks: Vec<String>,
}

/// Word order and inflection of a language.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "traits of a language, each by itself, as the file has them"
)]
pub(in crate::grammar) struct Grammar {
    /// Whether the verb may follow its object: "die rollos öffnen".
    pub(in crate::grammar) verb_last: bool,
    /// Whether the verb must precede its object: "la persiana baja" is not a command.
    pub(in crate::grammar) verb_first: bool,
    /// Whether the word for "by" also precedes times: "um 5".
    pub(in crate::grammar) by_is_a_time: bool,
    /// Greatest number behind "at" that is an hour, where hours are counted to twelve: "at 20" is no
    /// time in English.
    pub(in crate::grammar) last_hour: Option<u8>,
    /// Whether the place may stand between verb and object: "mach in der küche das licht aus".
    pub(in crate::grammar) place_after_verb: bool,
    /// Whether the noun comes first in names and before adjectives: "lampe de chevet", "lampe
    /// rouge".
    pub(in crate::grammar) head_first: bool,
    /// Whether to close a door that is known only by its lock is to lock it: "sluit de voordeur".
    pub(in crate::grammar) close_is_lock: bool,
    /// Whether an area that is switched means its lights: "apaga la cocina".
    pub(in crate::grammar) area_is_lights: bool,
    /// Whether a light that is opened is switched on: "ouvre la lumière".
    pub(in crate::grammar) light_opens: bool,
    /// Plural ending of the words of the home: `s`.
    pub(in crate::grammar) plural: String,
    /// Words before the number of a name: "lamp number 2".
    pub(in crate::grammar) number: Vec<String>,
    /// Words that may stand between the words of a name: "lampe [du] salon".
    pub(in crate::grammar) joins: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Typos {
    pub(super) never: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfirmationWords {
    pub(super) yes: Vec<String>,
    pub(super) no: Vec<String>,
}

/// Phrases that ask for a long answer.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Long {
    pub(super) words: Vec<String>,
}

/// Meanings the grammar recognizes only to explain why a command was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::grammar) enum UnsupportedMeaning {
    Negation,
    Condition,
    Time,
}

/// Words of an answer to "which one do you mean?".
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::grammar) struct Choosing {
    /// Ordinals: the first, the second, ..
    pub(in crate::grammar) order: Vec<Vec<String>>,
    pub(in crate::grammar) last: Vec<String>,
    pub(in crate::grammar) all: Vec<String>,
    /// All, if there are two choices: "both".
    pub(in crate::grammar) two: Vec<String>,
    /// All, if there are three choices: "all three".
    pub(in crate::grammar) three: Vec<String>,
    /// None of the choices: "neither".
    pub(in crate::grammar) none: Vec<String>,
    /// Words without meaning beside a name: "the kitchen one".
    pub(in crate::grammar) one: Vec<String>,
    /// The phrases that only choose, such as "the first one", computed when first needed.
    #[serde(skip)]
    pub(in crate::grammar) bare: OnceLock<HashSet<String>>,
}
