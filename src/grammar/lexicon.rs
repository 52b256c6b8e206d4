//! The words of one language, read from `config/language/<code>.toml`: what each word, or run of words, can stand for.
//! Data only: no home, no grammar.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;

use serde::Deserialize;

use crate::grammar::phrase_index::PhraseIndex;
use crate::grammar::sense::{Act, Level, More, Place, Sense, State};
use crate::grammar::spelling::Spelling;
use crate::grammar::tokens::words;
use crate::vocabulary::Property;
use crate::vocabulary::speech::Speech;

/// What devices are called by what they are.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "traits of a noun, each by itself, as the file has them"
)]
pub(super) struct Noun {
    pub(super) one: Vec<String>,
    pub(super) many: Vec<String>,
    /// Fit whatever their name.
    pub(super) kinds: Vec<String>,
    /// Fit with the word in their name.
    pub(super) named: Vec<String>,
    /// The sort of kind meant: `blind` of `cover`.
    pub(super) classes: Vec<String>,
    /// A device without a class, or of a kind without classes, fits only with the word in its name.
    pub(super) strict: bool,
    /// Forms whose singular stands for all of a place: "the light in the kitchen".
    pub(super) collective: Vec<String>,
    /// Where some have the word in their name, only these are meant.
    pub(super) narrow: bool,
    /// May be left out at the end of a name.
    pub(super) drops: bool,
    /// What "on" means for a climate device called so.
    pub(super) mode: Option<String>,
    /// So general a word that a name with it says nothing: of a thermostat and the "bedroom heating", "the heating" is either.
    pub(super) vague: bool,
    /// All that can be switched, whatever it is.
    pub(super) everything: bool,
}

/// A language file. Every table but `say` may be left out: what it would say is then not understood.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    spelling: Spelling,
    #[serde(default)]
    grammar: Grammar,
    #[serde(default)]
    options: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    words: BTreeMap<Function, Vec<String>>,
    #[serde(default)]
    acts: BTreeMap<Act, Vec<String>>,
    #[serde(default)]
    gerunds: BTreeMap<Act, Vec<String>>,
    #[serde(default)]
    states: BTreeMap<State, Vec<String>>,
    #[serde(default)]
    participles: BTreeMap<State, Vec<String>>,
    #[serde(default)]
    more: BTreeMap<More, Vec<String>>,
    #[serde(default)]
    properties: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    targets: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    how: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    numbers: BTreeMap<String, f64>,
    #[serde(default)]
    counting: Counting,
    #[serde(default)]
    units: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    levels: BTreeMap<Level, Vec<String>>,
    #[serde(default)]
    colors: BTreeMap<String, String>,
    #[serde(default)]
    whites: BTreeMap<String, f64>,
    #[serde(default)]
    noun: Vec<Noun>,
    #[serde(default)]
    typos: Typos,
    #[serde(default)]
    consent: ConfirmationWords,
    #[serde(default)]
    choosing: Choosing,
    #[serde(default)]
    long: Long,
    say: Speech,
}

/// How sentences of a language are built, where languages differ.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "traits of a language, each by itself, as the file has them"
)]
pub(super) struct Grammar {
    /// A verb that opens may stand after what it opens: "die rollos öffnen".
    pub(super) verb_last: bool,
    /// A verb stands before what it is done to: "la persiana baja" is no wish.
    pub(super) verb_first: bool,
    /// What stands for "by" stands before a time as well: "um 5".
    pub(super) by_is_a_time: bool,
    /// Where may stand between the verb and the thing: "mach in der küche das licht aus".
    pub(super) place_after_verb: bool,
    /// What a thing is stands first, in its name and before what it is like: "lampe de chevet", "lampe rouge".
    pub(super) head_first: bool,
    /// What makes a word of the home's own many: `s`.
    pub(super) plural: String,
    /// What may stand between the words of a name: "lampe [du] salon".
    pub(super) joins: Vec<String>,
}

/// The words that hold a sentence together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Function {
    Silence,
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
    HowMany,
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
            Self::Silence => Sense::Silence,
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
            Self::HowMany => Sense::HowMany,
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
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
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
    /// What stands before the decimals, besides a point.
    pub(super) decimal: Option<char>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Typos {
    never: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfirmationWords {
    yes: Vec<String>,
    no: Vec<String>,
}

/// What asks for many words.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    words: Vec<String>,
}

/// How one of several is chosen.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Choosing {
    /// The first, the second, ..
    pub(super) order: Vec<Vec<String>>,
    pub(super) last: Vec<String>,
    pub(super) all: Vec<String>,
    /// Says nothing beside a name: "the kitchen one".
    pub(super) one: Vec<String>,
}

/// One language, ready for looking up.
#[derive(Debug)]
pub(super) struct Lexicon {
    runs: PhraseIndex,
    pub(super) spelling: Spelling,
    pub(super) grammar: Grammar,
    /// What the devices' own words are called: option → as it is said.
    pub(super) options: BTreeMap<String, Vec<String>>,
    pub(super) numbers: HashMap<Box<str>, f64>,
    pub(super) counting: Counting,
    pub(super) nouns: Vec<Noun>,
    pub(super) units: Vec<String>,
    pub(super) colors: Vec<String>,
    pub(super) say: Speech,
    pub(super) choosing: Choosing,
    never_typos: HashSet<String>,
    yes: HashSet<String>,
    no: HashSet<String>,
    long: Vec<String>,
}

impl FromStr for Lexicon {
    type Err = toml::de::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut raw: Raw = toml::from_str(text)?;
        let spelling = std::mem::take(&mut raw.spelling);
        let runs = runs(&raw, &spelling);
        let plain = |texts: Vec<String>| {
            texts
                .iter()
                .map(|text| words(&spelling.plain(text)).join(" "))
                .collect()
        };
        let mut counting = raw.counting;
        for list in [
            &mut counting.one,
            &mut counting.joins,
            &mut counting.point,
            &mut counting.half,
            &mut counting.minus,
        ] {
            for text in list.iter_mut() {
                *text = spelling.plain(text).into_owned();
            }
        }
        counting.times = counting
            .times
            .into_iter()
            .map(|(word, times)| (spelling.plain(&word).into_owned(), times))
            .collect();
        let mut nouns = raw.noun;
        for form in nouns
            .iter_mut()
            .flat_map(|noun| noun.one.iter_mut().chain(&mut noun.many))
        {
            *form = spelling.plain(form).into_owned();
        }
        Ok(Self {
            runs,
            numbers: raw
                .numbers
                .into_iter()
                .map(|(word, n)| (spelling.plain(&word).into(), n))
                .collect(),
            counting,
            grammar: raw.grammar,
            options: raw.options,
            nouns,
            units: raw.units.into_keys().collect(),
            colors: raw.colors.into_values().collect(),
            say: raw.say,
            choosing: raw.choosing,
            never_typos: raw
                .typos
                .never
                .iter()
                .map(|text| spelling.plain(text).into_owned())
                .collect(),
            yes: plain(raw.consent.yes),
            no: plain(raw.consent.no),
            long: raw
                .long
                .words
                .iter()
                .map(|text| words(&spelling.plain(text)).join(" "))
                .collect(),
            spelling,
        })
    }
}

/// Every run of words the file has, with what it stands for.
fn runs(raw: &Raw, spelling: &Spelling) -> PhraseIndex {
    let mut runs = PhraseIndex::default();
    verbs(&raw.acts, spelling, &mut runs);
    let mut add = |sense, spoken: &[String]| {
        for text in spoken {
            runs.add(sense, &spelling.plain(text));
        }
    };
    raw.words
        .iter()
        .for_each(|(function, spoken)| add(function.sense(), spoken));
    raw.gerunds
        .iter()
        .for_each(|(act, spoken)| add(Sense::Gerund(*act), spoken));
    raw.states
        .iter()
        .for_each(|(state, spoken)| add(Sense::State(*state), spoken));
    raw.participles
        .iter()
        .for_each(|(state, spoken)| add(Sense::Participle(*state), spoken));
    raw.more
        .iter()
        .for_each(|(more, spoken)| add(Sense::More(*more), spoken));
    raw.levels
        .iter()
        .for_each(|(level, spoken)| add(Sense::Level(*level), spoken));
    raw.properties
        .iter()
        .filter_map(|(name, spoken)| Some((standard(name)?, spoken)))
        .for_each(|(p, spoken)| add(Sense::Property(p), spoken));
    raw.targets
        .iter()
        .filter_map(|(name, spoken)| Some((standard(name)?, spoken)))
        .for_each(|(p, spoken)| add(Sense::Target(p), spoken));
    raw.how
        .iter()
        .filter_map(|(name, spoken)| Some((standard(name)?, spoken)))
        .for_each(|(p, spoken)| add(Sense::How(p), spoken));
    raw.units
        .values()
        .enumerate()
        .for_each(|(i, spoken)| add(Sense::Unit(index(i)), spoken));
    raw.colors
        .keys()
        .enumerate()
        .for_each(|(i, spoken)| add(Sense::Color(index(i)), std::slice::from_ref(spoken)));
    raw.whites
        .iter()
        .for_each(|(spoken, kelvin)| add(Sense::White(*kelvin), std::slice::from_ref(spoken)));
    for (i, noun) in raw.noun.iter().enumerate() {
        add(Sense::Noun(index(i), false), &noun.one);
        add(Sense::Noun(index(i), true), &noun.many);
    }
    // "quatre-vingt-dix" is one number of several words.
    raw.numbers
        .iter()
        .filter(|(spoken, _)| spoken.contains([' ', '-']))
        .for_each(|(spoken, n)| add(Sense::Number(*n), std::slice::from_ref(spoken)));
    let counting = &raw.counting;
    let counted = raw.numbers.keys().chain(counting.times.keys());
    for text in counted.chain(
        counting
            .joins
            .iter()
            .chain(&counting.point)
            .chain(&counting.half)
            .chain(&counting.minus),
    ) {
        for word in words(&spelling.plain(text)) {
            runs.knows(word);
        }
    }
    runs
}

/// Verbs, and those in two parts, written with dots between them: "schliess .. ab".
fn verbs(acts: &BTreeMap<Act, Vec<String>>, spelling: &Spelling, runs: &mut PhraseIndex) {
    let mut particles: Vec<&str> = Vec::new();
    for (act, spoken) in acts
        .iter()
        .flat_map(|(act, spoken)| spoken.iter().map(|text| (*act, text)))
    {
        let Some((verb, particle)) = spoken.split_once(" .. ") else {
            runs.add(Sense::Act(act), &spelling.plain(spoken));
            continue;
        };
        let id = particles
            .iter()
            .position(|known| *known == particle)
            .unwrap_or_else(|| {
                particles.push(particle);
                particles.len() - 1
            });
        runs.add(Sense::Split(act, index(id)), &spelling.plain(verb));
        runs.add(Sense::Particle(index(id)), &spelling.plain(particle));
    }
}

impl Lexicon {
    /// What the words from the first of `said` on can stand for, with how many words each takes.
    pub(super) fn senses<'a>(
        &'a self,
        said: &'a [&str],
    ) -> impl Iterator<Item = (usize, Sense)> + 'a {
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
    pub(super) fn consent(&self, text: &str) -> Option<bool> {
        let plain = self.spelling.plain(text);
        let text = words(&plain)
            .iter()
            .filter(|w| !matches!(**w, "," | "." | "!"))
            .copied()
            .collect::<Vec<_>>()
            .join(" ");
        if self.yes.contains(&text) {
            return Some(true);
        }
        self.no.contains(&text).then_some(false)
    }

    /// Whether some of the words ask for many.
    pub(super) fn asks_for_many_words(&self, text: &str) -> bool {
        let plain = self.spelling.plain(text);
        let said = format!(" {} ", words(&plain).join(" "));
        self.long
            .iter()
            .any(|words| said.contains(&format!(" {words} ")))
    }
}

/// The position of a property in the vocabulary.
pub(super) fn standard(name: &str) -> Option<u16> {
    Property::standard()
        .position(|p| p.name() == name)
        .map(index)
}

/// A position as it is kept in a [`Sense`]: tables longer than 65,535 have no entry of that kind beyond.
pub(super) fn index(i: usize) -> u16 {
    u16::try_from(i).unwrap_or(u16::MAX)
}
