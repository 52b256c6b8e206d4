//! A phrasebook of sentences that continue an earlier command, written by hand, for one house in
//! five languages: `FIRST > NEXT | MEANING`. `-` stands for no meaning.

use std::fs;
use std::sync::LazyLock;

use sayso::testing::command::phrase::Phrase;
use sayso::testing::grammar::follow_up::Antecedents;
use sayso::testing::grammar::{LocalGrammar, Settings};
use sayso::testing::home::Home;
use sayso::testing::vocabulary::action::Action;

use crate::languages::home;
use crate::phrasebook::folder;

static LOCAL: LazyLock<LocalGrammar> =
    LazyLock::new(|| LocalGrammar::new(&Settings::default()).unwrap());

/// The language, its house, and the fewest lines it has.
const BOOKS: [(&str, &str, usize); 5] = [
    ("en", "grange", 100),
    ("de", "grange_de", 40),
    ("fr", "grange_fr", 40),
    ("es", "grange_es", 40),
    ("nl", "grange_nl", 40),
];

/// An action in the book's form: `lamp.brightness=40`, `lamp.power?`.
fn written(action: &Action) -> String {
    let op = serde_json::to_value(action.op).unwrap();
    let sign = match op.as_str().unwrap() {
        "set" => "=",
        "increase" => "+",
        "decrease" => "-",
        "toggle" => "~",
        "query" => "?",
        _ => "!",
    };
    let value = action.value.as_ref().filter(|_| sign != "?");
    let value = value.map(ToString::to_string).unwrap_or_default();
    format!("{}.{}{sign}{value}", action.device, action.property.name())
}

fn all_written(actions: &[Action]) -> String {
    let mut all: Vec<String> = actions.iter().map(written).collect();
    all.sort();
    all.join("; ")
}

/// The meaning of a sentence after another one.
pub(crate) fn meaning(language: &str, home: &Home, first: &str, next: &str) -> String {
    let first = LOCAL.draft(&Phrase::new(first, None, Some(language)), home);
    let Some(first) = first.filter(|draft| draft.question.is_none()) else {
        return "the first sentence has no meaning".to_owned();
    };
    let last = Antecedents {
        is_list: first.lists_devices(),
        actions: first.actions.into(),
        ..Antecedents::default()
    };
    let phrase = Phrase::new(next, None, Some(language));
    if let Some(asked) = LOCAL.follow_up(&phrase) {
        return format!("{asked:?}").to_lowercase();
    }
    let draft = LOCAL.draft_after(&LOCAL.spanned(&phrase, home), &last);
    if let Some(draft) = draft.filter(|draft| draft.question.is_none()) {
        return all_written(&draft.actions);
    }
    match LOCAL.continuation(&phrase, home, &last) {
        Some(found) if found.instead => format!("instead {}", all_written(&found.draft.actions)),
        Some(found) => all_written(&found.draft.actions),
        None => "-".to_owned(),
    }
}

#[test]
fn every_follow_up_of_the_books_has_its_meaning() {
    let mut faults = Vec::new();
    for (language, house, fewest) in BOOKS {
        let home = home(house);
        let file = folder().join("follow_ups").join(language);
        let book = fs::read_to_string(file.with_extension("txt")).unwrap();
        let lines = book.lines().filter(|line| !line.starts_with('#'));
        let mut count = 0;
        for line in lines {
            let (said, meant) = line.split_once(" | ").expect(line);
            let (first, next) = said.split_once(" > ").expect(line);
            let found = meaning(language, &home, first, next);
            if found != meant {
                faults.push(format!("{language}: {line}\n    found {found}"));
            }
            count += 1;
        }
        assert!(count >= fewest, "{language}: {count} lines");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
