//! Polite words around a request: "can you .. please".
//!
//! In: the words of a sentence. Out: the words between them.

use crate::grammar::lexicon::Lexicon;

/// Removes polite words around a request: "can you", "por favor".
pub(super) fn without_fillers<'t>(lexicon: &Lexicon, mut input: Vec<&'t str>) -> Vec<&'t str> {
    let polite_start = |input: &[&str]| {
        let length = lexicon.polite_phrase(input);
        (1..input.len()).contains(&length).then_some(length)
    };
    while let Some(length) = polite_start(&input) {
        input.drain(..length);
    }
    let polite_end = |input: &[&str]| {
        (1..input.len()).find(|at| {
            let rest = &input[*at..];
            let mut senses = lexicon.senses(rest);
            senses.any(|(length, sense)| length == rest.len() && sense.is_filler())
        })
    };
    while let Some(at) = polite_end(&input) {
        input.truncate(at);
    }
    input
}
