//! Answers to the question "which one do you mean?": by position, or by words only one choice has.

use crate::command::phrase::Phrase;
use crate::grammar::lexicon::Lexicon;
use crate::grammar::sense::{Place, Sense};
use crate::grammar::tokens::words;
use crate::vocabulary::action::Choice;

/// The selected choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    /// Index of the choice.
    One(usize),
    /// All of them.
    All,
}

/// Returns the choice `text` selects, or `None` if it is not such an answer or fits several.
pub(super) fn choose(lexicon: &Lexicon, text: &str, choices: &[Choice]) -> Option<Selection> {
    let plain = lexicon.spelling.plain(text);
    let input = telling(lexicon, &plain);
    let is = |forms: &[String]| {
        forms
            .iter()
            .any(|form| telling(lexicon, &lexicon.spelling.plain(form)) == input)
    };
    let choosing = &lexicon.choosing;
    let whole = |word: &[&str]| {
        lexicon
            .senses(word)
            .any(|(length, sense)| length == word.len() && sense == Sense::Place(Place::House))
    };
    if is(&choosing.all) || whole(&input) {
        return Some(Selection::All);
    }
    let listed = choices
        .iter()
        .filter(|choice| !choice.names.is_empty())
        .count();
    if is(&choosing.last) {
        return listed.checked_sub(1).map(Selection::One);
    }
    if let Some(at) = choosing.order.iter().position(|forms| is(forms)) {
        return (at < listed).then_some(Selection::One(at));
    }
    let named: Vec<&str> = input
        .into_iter()
        .filter(|word| !choosing.one.iter().any(|one| one == word))
        .collect();
    let mut fits =
        (0..choices.len()).filter(|&i| !named.is_empty() && has_all(lexicon, &choices[i], &named));
    let first = fits.next()?;
    let only = fits.next().is_none();
    only.then_some(Selection::One(first))
}

/// Returns the words without articles, fillers and prepositions.
fn telling<'a>(lexicon: &Lexicon, plain: &'a str) -> Vec<&'a str> {
    let is_filler = |word: &str| {
        lexicon
            .senses(&[word])
            .any(|(_, sense)| matches!(sense, Sense::Article | Sense::Filler | Sense::In))
    };
    words(plain)
        .into_iter()
        .filter(|word| !matches!(*word, "," | "." | "!") && !is_filler(word))
        .collect()
}

/// Returns whether every word is in the names or places of the choice.
fn has_all(lexicon: &Lexicon, choice: &Choice, named: &[&str]) -> bool {
    let canonical: Vec<Phrase> = choice
        .names
        .iter()
        .chain(&choice.places)
        .map(|name| Phrase::new(name, None, None))
        .collect();
    let plain: Vec<_> = canonical
        .iter()
        .map(|name| lexicon.spelling.plain(name.text()))
        .collect();
    named
        .iter()
        .all(|word| plain.iter().any(|name| words(name).contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_fits_one_choice_or_none() {
        let lexicon: Lexicon = include_str!("../../config/language/en.toml")
            .parse()
            .unwrap();
        let choice = |name: &str, place: &str| Choice {
            names: vec![name.to_owned()],
            places: vec![place.to_owned()],
            actions: Vec::new(),
        };
        let choices = [
            choice("Ceiling light", "Kitchen"),
            choice("Ceiling light", "Living room"),
            choice("Floor lamp", "Living room"),
        ];
        for (text, chosen) in [
            ("the first one", Some(0)),
            ("second", Some(1)),
            ("number three please", Some(2)),
            ("the last one", Some(2)),
            ("the kitchen one", Some(0)),
            ("the one in the kitchen", Some(0)),
            ("floor lamp", Some(2)),
            ("the living room ceiling light", Some(1)),
            ("the living room one", None),
            ("the fourth one", None),
            ("the ceiling light", None),
            ("the kitchen light off", None),
            ("one", None),
            ("yes", None),
            ("", None),
        ] {
            assert_eq!(
                choose(&lexicon, text, &choices),
                chosen.map(Selection::One),
                "{text}"
            );
        }
        for text in ["both", "all of them", "everywhere"] {
            assert_eq!(
                choose(&lexicon, text, &choices),
                Some(Selection::All),
                "{text}"
            );
        }
    }
}
