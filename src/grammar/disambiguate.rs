//! Answers to the questions "which one do you mean?" and "where?".

use std::collections::HashSet;

use crate::command::phrase::Phrase;
use crate::grammar::lexicon::Lexicon;
use crate::grammar::number::number;
use crate::grammar::sense::{Place, Sense};
use crate::grammar::tokens::words;
use crate::vocabulary::action::{Action, Choice, Draft, LeftOut, TargetScope};
use crate::vocabulary::speech::fill;

/// Most choices named in a question.
const MOST_CHOICES: usize = 6;

/// The meaning of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Selection {
    /// Index of the choice.
    One(usize),
    /// All choices.
    All,
    /// Indexes of the choices the answer fits: it must be asked again.
    Several(Vec<usize>),
    /// None of the choices.
    Nothing,
}

/// Returns the draft that follows from an answer to the question of `pending`, or `None` if `text`
/// is not an answer.
///
/// An answer that fits several choices leads to a question about these. An answer that cannot be
/// right, such as "both" to three choices, repeats the question.
pub(super) fn answer(lexicon: &Lexicon, text: &str, pending: &Draft) -> Option<Draft> {
    let choices = &pending.choices;
    let listed = choices.iter().filter(|c| !c.names.is_empty()).count();
    let (actions, left_out) = match select(lexicon, text, choices)? {
        Selection::Nothing => {
            return Some(Draft {
                speech: Some(lexicon.say.left.clone()),
                ..Draft::default()
            });
        }
        Selection::Several(fits) if fits.len() == listed => return Some(pending.clone()),
        Selection::Several(fits) => {
            let choices: Vec<Choice> = fits.iter().map(|&i| choices[i].clone()).collect();
            return Some(Draft {
                timing: pending.timing.clone(),
                condition: pending.condition.clone(),
                lasting: pending.lasting,
                question: Some(question(lexicon, &lexicon.say.which, labels(&choices))),
                choices,
                ..Draft::default()
            });
        }
        Selection::One(at) => of(choices.get(at)?),
        // The last choice of "where?" has no name and stands for all areas.
        Selection::All => match choices.last()? {
            all if all.names.is_empty() => of(all),
            _ => (
                choices.iter().flat_map(|c| c.actions.clone()).collect(),
                choices.iter().flat_map(|c| c.left_out.clone()).collect(),
            ),
        },
    };
    Some(Draft {
        scope: reach(&actions, &left_out),
        actions,
        left_out,
        timing: pending.timing.clone(),
        condition: pending.condition.clone(),
        lasting: pending.lasting,
        ..Draft::default()
    })
}

fn of(choice: &Choice) -> (Vec<Action>, Vec<LeftOut>) {
    (choice.actions.clone(), choice.left_out.clone())
}

/// Returns how far an answer reaches: the answer "everywhere" means more than one device.
fn reach(actions: &[Action], left_out: &[LeftOut]) -> TargetScope {
    let is_one = actions
        .windows(2)
        .all(|pair| pair[0].device == pair[1].device);
    if is_one && left_out.is_empty() {
        TargetScope::Named
    } else {
        TargetScope::Group
    }
}

/// Returns the question with the choices, of which at most [`MOST_CHOICES`] are named.
pub(super) fn question(lexicon: &Lexicon, form: &str, mut choices: Vec<String>) -> String {
    if choices.len() > MOST_CHOICES {
        choices.truncate(MOST_CHOICES);
        choices.push("…".to_owned());
    }
    let listed = match choices.split_last() {
        Some((last, front)) if !front.is_empty() && form == lexicon.say.which => {
            format!("{} {} {last}", front.join(", "), lexicon.say.or)
        }
        _ => choices.join(", "),
    };
    fill(form, &[("choices", &listed)])
}

/// Returns the name of each choice, with its place where two have the same name.
fn labels(choices: &[Choice]) -> Vec<String> {
    let name = |choice: &Choice| choice.names.first().cloned().unwrap_or_default();
    let label = |choice: &Choice| {
        let own = name(choice);
        let same = choices
            .iter()
            .filter(|other| name(other).eq_ignore_ascii_case(&own));
        match choice.places.first() {
            Some(place) if same.count() > 1 => format!("{own} ({place})"),
            _ => own,
        }
    };
    choices.iter().map(label).collect()
}

/// Returns the choices `text` selects, or `None` if it is not an answer.
fn select(lexicon: &Lexicon, text: &str, choices: &[Choice]) -> Option<Selection> {
    let choosing = &lexicon.choosing;
    let plain = lexicon.spelling.plain(text);
    let input = telling(lexicon, &plain);
    let is = |forms: &[String]| {
        let same = |form: &String| telling(lexicon, &lexicon.spelling.plain(form)) == input;
        forms.iter().any(same)
    };
    if choices.len() == 1 && lexicon.confirmation(text) == Some(true) {
        return Some(Selection::One(0));
    }
    if is(&choosing.none) || lexicon.confirmation(text) == Some(false) {
        return Some(Selection::Nothing);
    }
    let listed = choices.iter().filter(|c| !c.names.is_empty()).count();
    let everywhere = lexicon
        .senses(&input)
        .any(|(length, sense)| length == input.len() && sense == Sense::Place(Place::House));
    if is(&choosing.all) || everywhere {
        return Some(Selection::All);
    }
    for (count, forms) in [(2, &choosing.two), (3, &choosing.three)] {
        if is(forms) && count == listed {
            return Some(Selection::All);
        }
        if is(forms) {
            return Some(Selection::Several((0..listed).collect()));
        }
    }
    if is(&choosing.last) {
        return listed.checked_sub(1).map(Selection::One);
    }
    if let Some(at) = choosing.order.iter().position(|forms| is(forms)) {
        return (at < listed).then_some(Selection::One(at));
    }
    let is_one = |word: &&str| choosing.one.iter().any(|one| one == word);
    let named: Vec<&str> = input.iter().copied().filter(|word| !is_one(word)).collect();
    if named.is_empty() {
        return None;
    }
    let fits: Vec<usize> = (0..choices.len())
        .filter(|&i| has_all(lexicon, &choices[i], &named))
        .collect();
    match fits.as_slice() {
        [] => None,
        [single] => Some(Selection::One(*single)),
        _ => Some(Selection::Several(fits)),
    }
}

/// Returns whether the text can only be an answer to a question: a yes, a no, a number, or a choice
/// by its place in an order. Alone it means nothing.
pub(super) fn is_bare_answer(lexicon: &Lexicon, text: &str) -> bool {
    if lexicon.confirmation(text).is_some() {
        return true;
    }
    let choosing = &lexicon.choosing;
    let plain = lexicon.spelling.plain(text);
    let input = telling(lexicon, &plain);
    if input.is_empty() {
        return false;
    }
    let choices = choosing.bare.get_or_init(|| bare_choices(lexicon));
    if choices.contains(&input.join(" ")) {
        return true;
    }
    let is_one = |word: &&str| choosing.one.iter().any(|one| one == word);
    let counted: Vec<&str> = input.into_iter().filter(|word| !is_one(word)).collect();
    number(lexicon, &counted).is_some_and(|(_, length)| length == counted.len())
}

/// Returns the phrases that choose by a number or a place in an order, as they are compared.
fn bare_choices(lexicon: &Lexicon) -> HashSet<String> {
    let choosing = &lexicon.choosing;
    let order = choosing.order.iter().flatten();
    let forms = order
        .chain(&choosing.none)
        .chain(&choosing.all)
        .chain(&choosing.two)
        .chain(&choosing.three)
        .chain(&choosing.last);
    forms
        .map(|form| telling(lexicon, &lexicon.spelling.plain(form)).join(" "))
        .collect()
}

/// Returns the words without articles, fillers and prepositions.
fn telling<'a>(lexicon: &Lexicon, plain: &'a str) -> Vec<&'a str> {
    let is_filler = |word: &str| {
        lexicon
            .senses(&[word])
            .any(|(_, sense)| sense.is_filler() || sense.is_article() || sense == Sense::In)
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

    fn lexicon() -> Lexicon {
        let english = include_str!("../../config/language/en.toml");
        english.parse().unwrap()
    }

    fn language_file(code: &str) -> Lexicon {
        let path = format!("{}/config/language/{code}.toml", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap().parse().unwrap()
    }

    fn choices() -> [Choice; 3] {
        let choice = |name: &str, place: &str| Choice {
            names: vec![name.to_owned()],
            places: vec![place.to_owned()],
            actions: Vec::new(),
            left_out: Vec::new(),
        };
        [
            choice("Ceiling light", "Kitchen"),
            choice("Ceiling light", "Living room"),
            choice("Floor lamp", "Living room"),
        ]
    }

    #[test]
    fn an_answer_selects_one_choice() {
        let (lexicon, choices) = (lexicon(), choices());
        for (text, index) in [
            ("the first one", 0),
            ("second", 1),
            ("number three please", 2),
            ("the last one", 2),
            ("the kitchen one", 0),
            ("the one in the kitchen", 0),
            ("floor lamp", 2),
            ("the living room ceiling light", 1),
        ] {
            let selected = select(&lexicon, text, &choices);
            assert_eq!(selected, Some(Selection::One(index)), "{text}");
        }
    }

    #[test]
    fn an_answer_selects_all_choices() {
        for text in ["all of them", "everywhere", "all three"] {
            let selected = select(&lexicon(), text, &choices());
            assert_eq!(selected, Some(Selection::All), "{text}");
        }
    }

    #[test]
    fn other_sentences_are_no_answers() {
        for text in ["the fourth one", "the kitchen light off", "one", "yes", ""] {
            assert_eq!(select(&lexicon(), text, &choices()), None, "{text}");
        }
    }

    #[test]
    fn an_answer_without_a_question_is_recognized() {
        for (language, texts) in [
            (
                "en",
                ["yes", "no thanks", "the first one", "both", "20", "twenty"],
            ),
            (
                "de",
                ["ja", "nein danke", "das erste", "beide", "20", "zwanzig"],
            ),
            (
                "fr",
                ["oui", "non merci", "le premier", "les deux", "20", "vingt"],
            ),
            (
                "es",
                ["sí", "no gracias", "el primero", "los dos", "20", "veinte"],
            ),
            (
                "nl",
                ["ja", "nee bedankt", "de eerste", "allebei", "20", "twintig"],
            ),
        ] {
            let lexicon = language_file(language);
            let others = texts.iter().filter(|text| !is_bare_answer(&lexicon, text));
            assert_eq!(others.collect::<Vec<_>>(), [&""; 0], "{language}");
        }
    }

    #[test]
    fn a_sentence_is_no_bare_answer() {
        let lexicon = language_file("en");
        for text in [
            "",
            "the kitchen light",
            "20 degrees in the bedroom",
            "make it cosy",
        ] {
            assert!(!is_bare_answer(&lexicon, text), "{text}");
        }
    }

    #[test]
    fn an_answer_that_fits_several_choices_is_asked_again_about_these() {
        let pending = Draft {
            question: Some("Which?".to_owned()),
            choices: choices().to_vec(),
            ..Draft::default()
        };
        let asked = |text| answer(&lexicon(), text, &pending).unwrap();
        let places = |draft: &Draft| {
            let place = |c: &Choice| c.places[0].clone();
            draft.choices.iter().map(place).collect::<Vec<_>>()
        };
        let narrowed = asked("the ceiling light");
        assert_eq!(places(&narrowed), ["Kitchen", "Living room"]);
        let text = narrowed.question.unwrap();
        assert!(
            text.contains("Ceiling light (Kitchen) or Ceiling light (Living room)"),
            "{text}"
        );
        assert_eq!(asked("the living room").choices.len(), 2);
        assert_eq!(asked("both"), pending, "two of three is not all");
    }

    #[test]
    fn no_choice_leaves_everything_as_it_is() {
        let pending = Draft {
            choices: choices().to_vec(),
            ..Draft::default()
        };
        for text in ["none", "none of them", "never mind", "no", "neither"] {
            let draft = answer(&lexicon(), text, &pending).unwrap();
            assert!(draft.actions.is_empty() && draft.speech.is_some(), "{text}");
        }
    }
}
