//! The words of one language, read from `config/language/<code>.toml`: what each word, or run of words, can stand for.
//! Data only: no home, no grammar.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;

use serde::Deserialize;

use super::runs::Runs;
use super::sense::{Act, Level, More, Place, Sense, State};
use super::tokens::words;
use crate::home::capability::Property;

/// What devices are called by what they are.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "traits of a noun, each by itself, as the file has them")]
pub(super) struct Noun {
    pub(super) one: Vec<String>,
    pub(super) many: Vec<String>,
    /// Fit whatever their name.
    pub(super) kinds: Vec<String>,
    /// Fit with the word in their name.
    pub(super) named: Vec<String>,
    /// The sort of kind meant: `blind` of `cover`.
    pub(super) classes: Vec<String>,
    /// A device without a class fits only with the word in its name.
    pub(super) strict: bool,
    /// Forms whose singular stands for all of a place: "the light in the kitchen".
    pub(super) collective: Vec<String>,
    /// Where some have the word in their name, only these are meant.
    pub(super) narrow: bool,
    /// May be left out at the end of a name.
    pub(super) drops: bool,
    /// What "on" means for a climate device called so.
    pub(super) mode: Option<String>,
    /// All that can be switched, whatever it is.
    pub(super) everything: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    words: BTreeMap<Function, Vec<String>>,
    acts: BTreeMap<Act, Vec<String>>,
    states: BTreeMap<State, Vec<String>>,
    participles: BTreeMap<State, Vec<String>>,
    more: BTreeMap<More, Vec<String>>,
    properties: BTreeMap<String, Vec<String>>,
    how: BTreeMap<String, Vec<String>>,
    numbers: BTreeMap<String, f64>,
    counting: Counting,
    units: BTreeMap<String, Vec<String>>,
    levels: BTreeMap<Level, Vec<String>>,
    colors: BTreeMap<String, String>,
    whites: BTreeMap<String, f64>,
    noun: Vec<Noun>,
    typos: Typos,
    consent: Consent,
    say: Say,
}

/// The words that hold a sentence together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Function {
    Skip,
    Polite,
    Article,
    All,
    Any,
    Both,
    Except,
    And,
    Or,
    In,
    To,
    At,
    By,
    Here,
    House,
    It,
    Them,
    Be,
    What,
    Whether,
    Ensure,
    Mode,
    Status,
    Much,
    Possessive,
}

impl Function {
    fn sense(self) -> Sense {
        match self {
            Self::Skip => Sense::Skip,
            Self::Polite => Sense::Polite,
            Self::Article => Sense::Article,
            Self::All => Sense::All,
            Self::Any => Sense::Any,
            Self::Both => Sense::Both,
            Self::Except => Sense::Except,
            Self::And => Sense::And,
            Self::Or => Sense::Or,
            Self::In => Sense::In,
            Self::To => Sense::To,
            Self::At => Sense::At,
            Self::By => Sense::By,
            Self::Here => Sense::Place(Place::Here),
            Self::House => Sense::Place(Place::House),
            Self::It => Sense::It,
            Self::Them => Sense::Them,
            Self::Be => Sense::Be,
            Self::What => Sense::What,
            Self::Whether => Sense::Whether,
            Self::Ensure => Sense::Ensure,
            Self::Mode => Sense::Mode,
            Self::Status => Sense::Status,
            Self::Much => Sense::Much,
            Self::Possessive => Sense::Possessive,
        }
    }
}

/// How numbers are put together from words.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counting {
    /// Multiply what stands before them.
    pub(super) times: BTreeMap<String, f64>,
    /// Stand for one before these.
    pub(super) one: Vec<String>,
    /// Between hundreds and the rest.
    pub(super) joins: Vec<String>,
    pub(super) point: Vec<String>,
    pub(super) half: Vec<String>,
    pub(super) minus: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typos {
    never: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Consent {
    yes: Vec<String>,
    no: Vec<String>,
}

/// What is asked back.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Say {
    /// With `{choices}`: devices.
    pub(super) which: String,
    /// With `{choices}`: areas.
    pub(super) r#where: String,
    /// Before the last choice.
    pub(super) or: String,
}

/// One language, ready for looking up.
#[derive(Debug)]
pub(super) struct Lexicon {
    runs: Runs,
    pub(super) numbers: HashMap<Box<str>, f64>,
    pub(super) counting: Counting,
    pub(super) nouns: Vec<Noun>,
    pub(super) units: Vec<String>,
    pub(super) colors: Vec<String>,
    pub(super) say: Say,
    never_typos: HashSet<String>,
    yes: HashSet<String>,
    no: HashSet<String>,
}

impl FromStr for Lexicon {
    type Err = toml::de::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let raw: Raw = toml::from_str(text)?;
        let mut entries = Runs::default();
        entries.add_all(raw.words.iter().map(|(f, w)| (f.sense(), w)));
        entries.add_all(raw.acts.iter().map(|(a, w)| (Sense::Act(*a), w)));
        entries.add_all(raw.states.iter().map(|(s, w)| (Sense::State(*s), w)));
        entries.add_all(raw.participles.iter().map(|(s, w)| (Sense::Participle(*s), w)));
        entries.add_all(raw.more.iter().map(|(m, w)| (Sense::More(*m), w)));
        entries.add_all(raw.levels.iter().map(|(l, w)| (Sense::Level(*l), w)));
        entries.add_all(raw.properties.iter().filter_map(|(p, w)| Some((Sense::Property(standard(p)?), w))));
        entries.add_all(raw.how.iter().filter_map(|(p, w)| Some((Sense::How(standard(p)?), w))));
        entries.add_all(raw.units.values().enumerate().map(|(i, w)| (Sense::Unit(index(i)), w)));
        for (i, spoken) in raw.colors.keys().enumerate() {
            entries.add(Sense::Color(index(i)), spoken);
        }
        for (spoken, kelvin) in &raw.whites {
            entries.add(Sense::White(*kelvin), spoken);
        }
        for (i, noun) in raw.noun.iter().enumerate() {
            noun.one.iter().for_each(|w| entries.add(Sense::Noun(index(i), false), w));
            noun.many.iter().for_each(|w| entries.add(Sense::Noun(index(i), true), w));
        }
        let counting = &raw.counting;
        let counted = raw.numbers.keys().chain(counting.times.keys());
        for text in counted.chain(counting.joins.iter().chain(&counting.point).chain(&counting.half).chain(&counting.minus)) {
            for word in words(text) {
                entries.knows(word);
            }
        }
        Ok(Self {
            runs: entries,
            numbers: raw.numbers.into_iter().map(|(w, n)| (w.into(), n)).collect(),
            counting: raw.counting,
            nouns: raw.noun,
            units: raw.units.into_keys().collect(),
            colors: raw.colors.into_values().collect(),
            say: raw.say,
            never_typos: raw.typos.never.into_iter().collect(),
            yes: raw.consent.yes.iter().map(|t| words(t).join(" ")).collect(),
            no: raw.consent.no.iter().map(|t| words(t).join(" ")).collect(),
        })
    }
}

impl Lexicon {
    /// What the words from the first of `said` on can stand for, with how many words each takes.
    pub(super) fn senses<'a>(&'a self, said: &'a [&str]) -> impl Iterator<Item = (usize, Sense)> + 'a {
        self.runs.senses(said)
    }

    /// Whether the word occurs in any run.
    pub(super) fn knows(&self, word: &str) -> bool {
        self.runs.known.contains(word)
    }

    /// Whether a word that is not known may still be a name mistyped.
    pub(super) fn may_be_a_slip(&self, word: &str) -> bool {
        !self.never_typos.contains(word)
    }

    /// Whether the words, all of them, are a yes or a no.
    pub(super) fn consent(&self, said: &[&str]) -> Option<bool> {
        let text = said.iter().filter(|w| !matches!(**w, "," | "." | "!")).copied().collect::<Vec<_>>().join(" ");
        if self.yes.contains(&text) {
            return Some(true);
        }
        self.no.contains(&text).then_some(false)
    }
}

/// The position of a property in the vocabulary.
pub(super) fn standard(name: &str) -> Option<u16> {
    Property::standard().position(|p| p.name() == name).map(index)
}

/// A position as it is kept in a [`Sense`]: tables longer than 65,535 have no entry of that kind beyond.
pub(super) fn index(i: usize) -> u16 {
    u16::try_from(i).unwrap_or(u16::MAX)
}
