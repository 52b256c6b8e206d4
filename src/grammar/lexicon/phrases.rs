//! Index of all phrases in a language file.
//!
//! In: the tables of the file and its rules of spelling. Out: the phrases with their senses.

use std::collections::BTreeMap;

use crate::grammar::lexicon::function_word::FunctionWord;
use crate::grammar::lexicon::indexes::{index, standard};
use crate::grammar::lexicon::language_file::Raw;
use crate::grammar::phrase_index::PhraseIndex;
use crate::grammar::sense::{Place, Sense, Verb};
use crate::grammar::spelling::Spelling;
use crate::grammar::tokens::words;

/// Builds the index of all phrases in the file.
pub(super) fn runs(raw: &Raw, spelling: &Spelling) -> PhraseIndex {
    let mut runs = PhraseIndex::default();
    verbs(&raw.acts, spelling, &mut runs);
    let mut add = |sense, spoken: &[String]| {
        for text in spoken {
            runs.add(sense, &spelling.plain(text));
        }
    };
    let be_any = raw.words.get(&FunctionWord::BeAny);
    for (function, spoken) in &raw.words {
        let is_meant = |text: &&String| {
            *function != FunctionWord::Be || be_any.is_none_or(|any| !any.contains(text))
        };
        let spoken: Vec<String> = spoken.iter().filter(is_meant).cloned().collect();
        add(function.sense(), &spoken);
    }
    add(Sense::It, &raw.follow_up.it);
    add(Sense::Them, &raw.follow_up.them);
    add(Sense::Other, &raw.follow_up.other);
    add(Sense::Place(Place::There), &raw.follow_up.there);
    for (verb, spoken) in &raw.gerunds {
        add(Sense::Gerund(*verb), spoken);
    }
    for (verb, spoken) in &raw.requests {
        add(Sense::Request(*verb), spoken);
    }
    for (verb, spoken) in &raw.indicative {
        add(Sense::Indicative(*verb), spoken);
    }
    for (state, spoken) in &raw.states {
        add(Sense::State(*state), spoken);
    }
    for (state, spoken) in &raw.participles {
        add(Sense::Participle(*state), spoken);
    }
    for (state, spoken) in &raw.asking {
        add(Sense::Asking(*state), spoken);
    }
    for (comparative, spoken) in &raw.more {
        add(Sense::Comparative(*comparative), spoken);
    }
    for (wish, spoken) in &raw.complaints {
        add(Sense::Complaint(*wish), spoken);
    }
    for (level, spoken) in &raw.levels {
        add(Sense::Level(*level), spoken);
    }
    for (i, spoken) in raw.units.values().enumerate() {
        add(Sense::Unit(index(i)), spoken);
    }
    for (i, noun) in raw.noun.iter().enumerate() {
        add(Sense::Noun(index(i), false), &noun.one);
        add(Sense::Noun(index(i), true), &noun.many);
    }
    add_properties(raw, &mut add);
    add_colors(raw, &mut add);
    add_numbers(raw, spelling, &mut runs);
    runs
}

/// Adds the words of properties, set points and questions for a property.
fn add_properties(raw: &Raw, add: &mut impl FnMut(Sense, &[String])) {
    let mut add_table = |table: &BTreeMap<String, Vec<String>>, sense: fn(u16) -> Sense| {
        for (name, spoken) in table {
            if let Some(property) = standard(name) {
                add(sense(property), spoken);
            }
        }
    };
    add_table(&raw.properties, Sense::Property);
    add_table(&raw.targets, Sense::Target);
    add_table(&raw.how, Sense::How);
    add_table(&raw.how_set, Sense::HowSet);
}

/// Adds colours and whites.
fn add_colors(raw: &Raw, add: &mut impl FnMut(Sense, &[String])) {
    for (i, spoken) in raw.colors.keys().enumerate() {
        add(Sense::Color(index(i)), std::slice::from_ref(spoken));
    }
    for (spoken, kelvin) in &raw.whites {
        add(Sense::White(*kelvin), std::slice::from_ref(spoken));
    }
}

/// Adds numbers of several words as phrases ("quatre-vingt-dix"), and the parts of all other
/// numbers as known words.
fn add_numbers(raw: &Raw, spelling: &Spelling, runs: &mut PhraseIndex) {
    for (spoken, n) in &raw.numbers {
        if spoken.contains([' ', '-']) {
            runs.add(Sense::Number(*n), &spelling.plain(spoken));
        }
    }
    let counting = &raw.counting;
    let parts = [
        &counting.joins,
        &counting.point,
        &counting.half,
        &counting.minus,
    ];
    let numbers = raw.numbers.keys().chain(counting.times.keys());
    for text in numbers.chain(parts.into_iter().flatten()) {
        for word in words(&spelling.plain(text)) {
            runs.add_known(word);
        }
    }
}

/// Adds verbs; the two parts of separable verbs are written with dots between them: "schliess ..
/// ab".
fn verbs(acts: &BTreeMap<Verb, Vec<String>>, spelling: &Spelling, runs: &mut PhraseIndex) {
    let mut particles: Vec<&str> = Vec::new();
    for (act, spoken) in acts
        .iter()
        .flat_map(|(act, spoken)| spoken.iter().map(|text| (*act, text)))
    {
        let Some((verb, particle)) = spoken.split_once(" .. ") else {
            runs.add(Sense::Verb(act), &spelling.plain(spoken));
            continue;
        };
        let id = particles
            .iter()
            .position(|known| *known == particle)
            .unwrap_or_else(|| {
                particles.push(particle);
                particles.len() - 1
            });
        runs.add(Sense::SplitVerb(act, index(id)), &spelling.plain(verb));
        runs.add(Sense::Particle(index(id)), &spelling.plain(particle));
    }
}
