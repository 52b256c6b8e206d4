//! The words of one language, read from `config/language/<code>.toml`, with their senses.
//!
//! In: the text of a language file (`language_file`), and later words of a sentence. Out: the
//! senses of these words. It is data only: it knows neither the home nor the grammar.

mod counting;
mod function_word;
mod indexes;
mod language_file;
mod noun;
mod phrases;

pub(super) use crate::grammar::lexicon::indexes::{index, standard};
pub(super) use crate::grammar::lexicon::language_file::{Grammar, PlaceWords, UnsupportedMeaning};
pub(super) use crate::grammar::lexicon::noun::Noun;

use std::collections::{BTreeMap, HashSet};
use std::str::FromStr;

use crate::grammar::condition_words::ConditionWords;
use crate::grammar::example_words::ExampleWords;
use crate::grammar::follow_up_words::FollowUpWords;
use crate::grammar::lexicon::counting::Counting;
use crate::grammar::lexicon::function_word::FunctionWord;
use crate::grammar::lexicon::language_file::{Choosing, Raw};
use crate::grammar::lexicon::phrases::runs;
use crate::grammar::phrase_filter::PhraseFilter;
use crate::grammar::phrase_index::PhraseIndex;
use crate::grammar::sense::Sense;
use crate::grammar::sides::Sides;
use crate::grammar::spelling::Spelling;
use crate::grammar::time_words::TimeWords;
use crate::grammar::timer_phrases::TimerPhrases;
use crate::grammar::tokens::{has_phrase, is_hyphenated, words};
use crate::vocabulary::speech::Speech;

/// Longest confirmation, in words: "yes please, go ahead and do it".
const MOST_CONFIRMATION_WORDS: usize = 8;

/// The words of one language, indexed for lookup.
#[derive(Debug)]
pub(super) struct Lexicon {
    runs: PhraseIndex,
    pub(super) spelling: Spelling,
    pub(super) grammar: Grammar,
    /// Spoken forms of options of devices, by option.
    pub(super) options: BTreeMap<String, Vec<String>>,
    pub(super) numbers: foldhash::HashMap<Box<str>, f64>,
    pub(super) counting: Counting,
    pub(super) nouns: Vec<Noun>,
    pub(super) units: Vec<String>,
    pub(super) colors: Vec<String>,
    pub(super) say: Speech,
    pub(super) choosing: Choosing,
    /// Words for left, right, front and back.
    pub(super) sides: Sides,
    /// Words for places that the home may call something else.
    pub(super) places: Vec<PlaceWords>,
    /// Phrases for requests about timers.
    pub(super) timers: TimerPhrases,
    /// Words for conditions.
    pub(super) conditions: ConditionWords,
    /// Words for the request for examples.
    pub(super) examples: ExampleWords,
    /// Words for times.
    pub(super) time: TimeWords,
    /// Words and sentences that refer to an earlier command.
    pub(super) follow_up: FollowUpWords,
    /// Single words for "and", in names with `&` or `+`.
    pub(super) ands: Vec<String>,
    /// Words for readings and settings outside the vocabulary, by property.
    pub(super) custom: BTreeMap<String, Vec<String>>,
    /// Questions for readings outside the vocabulary, by property.
    pub(super) custom_how: BTreeMap<String, Vec<String>>,
    never_typos: HashSet<String>,
    yes: HashSet<String>,
    no: HashSet<String>,
    /// Phrases that ask for a long answer.
    long: Vec<String>,
    long_words: PhraseFilter,
    /// Phrases as they are compared, and as they are written.
    unsupported: BTreeMap<UnsupportedMeaning, Vec<(String, String)>>,
}

impl FromStr for Lexicon {
    type Err = toml::de::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut raw: Raw = toml::from_str(text)?;
        let spelling = std::mem::take(&mut raw.spelling);
        let runs = runs(&raw, &spelling);
        let plain = |text: &String| spelling.plain(text).into_owned();
        let joined = |text: &String| words(&spelling.plain(text)).join(" ");
        let mut nouns = raw.noun;
        for form in nouns.iter_mut().flat_map(Noun::words_mut) {
            *form = spelling.plain(form).into_owned();
        }
        let number = |(text, n): (&String, &f64)| (joined(text).into_boxed_str(), *n);
        let ands = raw.words.get(&FunctionWord::And).into_iter().flatten();
        let is_word = |text: &&String| text.chars().all(char::is_alphabetic);
        let ands = ands.filter(is_word).map(plain).collect();
        let long: Vec<String> = raw.long.words.iter().map(joined).collect();
        Ok(Self {
            runs,
            numbers: raw.numbers.iter().map(number).collect(),
            counting: raw.counting.normalized(&spelling),
            grammar: raw.grammar,
            options: raw.options,
            units: raw.units.into_keys().collect(),
            colors: raw.colors.into_values().collect(),
            say: raw.say,
            choosing: raw.choosing,
            sides: raw.sides.normalized(&spelling),
            places: raw.place,
            timers: raw
                .timers
                .normalized(|text| spelling.plain(text).into_owned()),
            conditions: raw
                .conditions
                .normalized(|text| spelling.plain(text).into_owned()),
            examples: raw
                .examples
                .normalized(|text| spelling.plain(text).into_owned()),
            time: raw
                .time
                .normalized(|text| spelling.plain(text).into_owned()),
            follow_up: raw
                .follow_up
                .normalized(|text| spelling.plain(text).into_owned()),
            custom: outside_vocabulary(raw.properties),
            custom_how: outside_vocabulary(raw.how),
            ands,
            never_typos: raw.typos.never.iter().map(plain).collect(),
            yes: raw.consent.yes.iter().map(joined).collect(),
            no: raw.consent.no.iter().map(joined).collect(),
            long_words: PhraseFilter::new(&long),
            long,
            unsupported: raw
                .unsupported
                .iter()
                .map(|(what, phrases)| {
                    let with_spelling = |text: &String| (joined(text), text.clone());
                    (*what, phrases.iter().map(with_spelling).collect())
                })
                .collect(),
            spelling: spelling.with_heads(nouns.iter().flat_map(Noun::words)),
            nouns,
        })
    }
}

impl Lexicon {
    /// Splits a text in plain spelling into words. A pronoun behind a verb and a hyphen is one,
    /// though the word is an article as well: "mets-le en rouge".
    pub(super) fn words<'a>(&'a self, plain: &'a str) -> Vec<&'a str> {
        let mut input = words(plain);
        if self.follow_up.clitics.is_empty() || !plain.contains('-') {
            return input;
        }
        for at in 1..input.len() {
            if let Some(pronoun) = self.pronoun_for(input[at])
                && is_hyphenated(plain, input[at])
                && self.is_verb(input[at - 1])
            {
                input[at] = pronoun;
            }
        }
        input
    }

    /// Returns the pronoun that an attached one stands for: "ça" for "le", "eux" for "les".
    pub(super) fn pronoun_for(&self, clitic: &str) -> Option<&str> {
        let forms = &self.follow_up;
        let is_in = |list: &[String]| list.iter().any(|form| form == clitic);
        let pronouns = if is_in(&forms.clitics) {
            &forms.it
        } else if is_in(&forms.clitics_many) {
            &forms.them
        } else {
            return None;
        };
        pronouns.first().map(String::as_str)
    }

    /// Returns whether the word alone is a verb.
    pub(super) fn is_verb(&self, word: &str) -> bool {
        let input = [word];
        let mut senses = self.senses(&input);
        senses.any(|(_, sense)| matches!(sense, Sense::Verb(_)))
    }

    /// Returns the senses of phrases at the start of `input`, each with its number of words.
    pub(super) fn senses<'a>(
        &'a self,
        input: &'a [&str],
    ) -> impl Iterator<Item = (usize, Sense)> + 'a {
        self.runs.senses(input)
    }

    /// Returns whether the word occurs in any phrase.
    pub(super) fn knows(&self, word: &str) -> bool {
        self.runs.known.contains(word)
    }

    /// Returns whether an unknown word may be a mistyped name.
    pub(super) fn may_be_typo(&self, word: &str) -> bool {
        !self.never_typos.contains(word)
    }

    /// Returns the only word of the language that has two neighbouring letters of `word` exchanged:
    /// "trun" for "turn". The first letter must be right.
    pub(super) fn transposition_of(&self, word: &str) -> Option<&str> {
        let letters: Vec<char> = word.chars().collect();
        let mut found = None;
        for at in 1..letters.len().saturating_sub(1) {
            let mut swapped = letters.clone();
            swapped.swap(at, at + 1);
            let swapped: String = swapped.into_iter().collect();
            let Some(known) = self.runs.known.get(swapped.as_str()) else {
                continue;
            };
            if found.is_some_and(|other| other != &**known) {
                return None;
            }
            found = Some(&**known);
        }
        found
    }

    /// Returns whether the text is a yes (`true`) or a no, and nothing else. It may be composed of
    /// several: "yeah, do it".
    pub(super) fn confirmation(&self, text: &str) -> Option<bool> {
        let plain = self.spelling.plain(text);
        let input: Vec<&str> = words(&plain)
            .into_iter()
            .filter(|word| !matches!(*word, "," | "." | "!"))
            .collect();
        let is_of = |set: &HashSet<String>| {
            // `ends[i]` tells whether the first `i` words are composed of phrases of the set.
            let mut ends = vec![true];
            for end in 1..=input.len() {
                let is_end =
                    (0..end).any(|start| ends[start] && set.contains(&input[start..end].join(" ")));
                ends.push(is_end);
            }
            ends[input.len()]
        };
        if input.is_empty() || input.len() > MOST_CONFIRMATION_WORDS {
            return None;
        }
        if is_of(&self.yes) {
            return Some(true);
        }
        is_of(&self.no).then_some(false)
    }

    /// Returns the first phrase among the words that expresses a meaning the grammar does not
    /// support, as it is written. "If" in "if you can" is none.
    pub(super) fn unsupported_in(
        &self,
        input: &[&str],
        meaning: UnsupportedMeaning,
    ) -> Option<String> {
        let phrases = self.unsupported.get(&meaning)?;
        let mut at = 0;
        while at < input.len() {
            // "Morgen" in "guten Morgen" is no time.
            let skipped = self.polite_phrase(&input[at..]);
            let found = phrases.iter().find(|(phrase, _)| {
                let phrase = words(phrase);
                input[at..].starts_with(&phrase) && skipped <= phrase.len()
            });
            if let Some((_, written)) = found {
                return Some(written.clone());
            }
            at += skipped.max(1);
        }
        None
    }

    /// Returns the number of words of the longest phrase without meaning at the start of `input`.
    pub(in crate::grammar) fn polite_phrase(&self, input: &[&str]) -> usize {
        let senses = self.senses(input);
        let is_polite = |sense: Sense| sense.is_filler() || sense == Sense::Polite;
        let polite = senses.filter(|(_, sense)| is_polite(*sense));
        polite.map(|(length, _)| length).max().unwrap_or(0)
    }

    /// Returns whether the text contains a phrase that asks for a long answer.
    pub(super) fn wants_long_answer(&self, text: &str) -> bool {
        let plain = self.spelling.plain(text);
        if !self.long_words.has_words_of_one(&plain) {
            return false;
        }
        has_phrase(&self.long, &words(&plain))
    }
}

/// Returns the words for properties outside the vocabulary.
fn outside_vocabulary(mut table: BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    table.retain(|name, _| standard(name).is_none());
    table
}
