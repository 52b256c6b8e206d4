//! The English phrasebook, for different homes: the local grammar finds exactly the expected
//! meaning, asks back, or finds none.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use sayso::testing::command::phrase::Phrase;
use sayso::testing::grammar::{LocalGrammar, Settings};
use sayso::testing::home::Home;
use sayso::testing::home::capability::Capability;
use sayso::testing::home::device::{Area, Device, Kind};
use sayso::testing::home::rights::Rights;
use sayso::testing::vocabulary::Domain;
use sayso::testing::vocabulary::action::{Action, Draft};
use sayso::testing::vocabulary::properties::PROPERTIES;
use sayso::testing::vocabulary::slug::Slug;
use serde::Deserialize;

#[derive(Deserialize)]
struct HomeFile {
    areas: Vec<AreaLine>,
    devices: Vec<DeviceLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AreaLine {
    id: String,
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    floor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceLine {
    id: String,
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    area: Option<String>,
    kind: String,
    class: Option<String>,
    /// Properties besides the default ones of the kind.
    #[serde(default)]
    more: Vec<String>,
    /// Properties that can be read but not set.
    #[serde(default)]
    readings: Vec<String>,
    #[serde(default)]
    choices: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    numbers: BTreeMap<String, (f64, f64, String)>,
    #[serde(default)]
    flags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) home: String,
    pub(crate) text: String,
    pub(crate) area: Option<String>,
    pub(crate) expect: Expected,
}

#[derive(Deserialize, Debug)]
#[serde(untagged)]
pub(crate) enum Expected {
    Actions(Vec<Action>),
    Word(String),
}

pub(crate) fn folder() -> std::path::PathBuf {
    Path::new(crate::REPOSITORY).join("tests/phrasebook")
}

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

fn device(line: DeviceLine) -> Device {
    let mut device = Device::new(slug(&line.id), Kind::new(slug(&line.kind)));
    let property = |name: &String| Capability::standard(name.as_str().into());
    device.name = line.name;
    device.aliases = line.aliases;
    device.area = line.area.as_deref().map(slug);
    device.class = line.class;
    device.capabilities.extend(line.more.iter().map(property));
    device
        .capabilities
        .extend(line.readings.iter().map(|name| Capability {
            settable: false,
            ..property(name)
        }));
    device.capabilities.extend(
        line.choices
            .into_iter()
            .map(|(name, options)| property(&name).with_domain(Domain::Choice(options))),
    );
    device.capabilities.extend(
        line.flags
            .iter()
            .map(|name| property(name).with_domain(Domain::Boolean)),
    );
    let numbers = line.numbers.into_iter();
    device
        .capabilities
        .extend(numbers.map(|(name, (min, max, unit))| {
            property(&name).with_domain(Domain::Number {
                min,
                max,
                step: None,
                unit,
            })
        }));
    device.apply_default_guards();
    device
}

#[test]
fn every_property_is_meant_by_a_sentence() {
    for spec in &PROPERTIES {
        let is_meant = |line: &Line| match &line.expect {
            Expected::Actions(actions) => actions.iter().any(|a| a.property == spec.property),
            Expected::Word(_) => false,
        };
        assert!(BOOK.iter().any(is_meant), "en.jsonl lacks {}", spec.name);
    }
}

static HOMES: LazyLock<BTreeMap<String, Home>> = LazyLock::new(homes);
static BOOK: LazyLock<Vec<Line>> = LazyLock::new(read_book);
static LOCAL: LazyLock<Vec<(&str, LocalGrammar)>> =
    LazyLock::new(|| HOMES.keys().map(|name| (name.as_str(), local())).collect());

pub(crate) fn homes() -> BTreeMap<String, Home> {
    let text = fs::read_to_string(folder().join("homes.json")).unwrap();
    let files: BTreeMap<String, HomeFile> = serde_json::from_str(&text).unwrap();
    let area = |a: AreaLine| Area {
        id: slug(&a.id),
        name: a.name,
        aliases: a.aliases,
        floor: a.floor,
    };
    let home = |file: HomeFile| {
        Home::new(
            file.areas.into_iter().map(area).collect(),
            file.devices.into_iter().map(device).collect(),
            Rights::default(),
            "sayso",
        )
        .unwrap()
    };
    files
        .into_iter()
        .map(|(name, file)| (name, home(file)))
        .collect()
}

fn local() -> LocalGrammar {
    LocalGrammar::new(&Settings::default()).unwrap()
}

/// Returns the actions in an order that does not depend on the sentence.
pub(crate) fn sorted(actions: &[Action]) -> Vec<String> {
    let mut lines: Vec<String> = actions
        .iter()
        .map(|a| serde_json::to_string(a).unwrap())
        .collect();
    lines.sort();
    lines
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Debug, Clone, Copy)]
pub(crate) enum Verdict {
    Exact,
    Silent,
    Asked,
    Wrong,
}

pub(crate) fn judge(expect: &Expected, draft: Option<&Draft>) -> Verdict {
    match (expect, draft) {
        // A command for later is neither done now nor ignored.
        (Expected::Word(word), Some(draft))
            if draft.timing.is_some() || draft.condition.is_some() =>
        {
            if word == "later" {
                Verdict::Exact
            } else {
                Verdict::Wrong
            }
        }
        (Expected::Actions(_), Some(draft))
            if draft.timing.is_some() || draft.condition.is_some() =>
        {
            Verdict::Wrong
        }
        (Expected::Word(word), None) if word == "silent" => Verdict::Exact,
        (_, None) => Verdict::Silent,
        (Expected::Word(word), Some(draft)) if draft.question.is_some() => {
            if word == "ask" {
                Verdict::Exact
            } else {
                Verdict::Asked
            }
        }
        (Expected::Actions(_), Some(draft)) if draft.question.is_some() => Verdict::Asked,
        (Expected::Actions(actions), Some(draft)) if sorted(actions) == sorted(&draft.actions) => {
            Verdict::Exact
        }
        _ => Verdict::Wrong,
    }
}

pub(crate) fn read_book() -> Vec<Line> {
    let text = fs::read_to_string(folder().join("en.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

#[test]
fn the_phrasebook_is_understood_as_meant() {
    let (book, homes, local) = (&*BOOK, &*HOMES, local());
    let mut tally: BTreeMap<(&str, Verdict), usize> = BTreeMap::new();
    let mut misread = Vec::new();
    for line in book {
        let draft = local.draft(
            &Phrase::new(&line.text, line.area.as_deref(), None),
            &homes[&line.home],
        );
        let verdict = judge(&line.expect, draft.as_ref());
        let category = match &line.expect {
            Expected::Actions(_) => "act",
            Expected::Word(word) if word == "silent" => "be silent",
            Expected::Word(_) => "ask",
        };
        *tally.entry((category, verdict)).or_default() += 1;
        if verdict != Verdict::Exact {
            let got = draft.map_or_else(
                || "nothing".to_owned(),
                |d| d.question.unwrap_or_else(|| sorted(&d.actions).join(" ")),
            );
            misread.push(format!(
                "{verdict:?}: {:?} in {} ({:?})\n    wanted {:?}\n    got {got}",
                line.text, line.home, line.area, line.expect
            ));
        }
    }
    for ((category, verdict), count) in &tally {
        println!("{category}: {count} {verdict:?}");
    }
    let of = |category| {
        tally
            .iter()
            .filter(|((c, _), _)| *c == category)
            .map(|(_, n)| n)
            .sum::<usize>()
    };
    assert!(
        of("act") >= 300 && of("be silent") >= 120 && of("ask") >= 15,
        "the phrasebook has shrunk: {tally:?}"
    );
    assert!(
        misread.is_empty(),
        "{} of {} misread:\n{}",
        misread.len(),
        book.len(),
        misread.join("\n")
    );
}

#[test]
fn drafts_name_only_existing_capabilities() {
    let local = local();
    for line in &*BOOK {
        let home = &HOMES[&line.home];
        let Some(draft) = local.draft(&Phrase::new(&line.text, line.area.as_deref(), None), home)
        else {
            continue;
        };
        for action in draft.actions {
            let device = home.device(&action.device).unwrap();
            assert!(
                device.capability(&action.property).is_some(),
                "{}: {action:?}",
                line.text
            );
        }
    }
}

#[test]
fn a_phrase_in_an_unknown_language_has_no_meaning() {
    let homes = homes();
    let said = |language| {
        local()
            .draft(
                &Phrase::new("turn on the sofa lamp", None, Some(language)),
                &homes["flat"],
            )
            .is_some()
    };
    assert!(said("en") && said("en-GB"));
    assert!(!said("xx"));
}

#[test]
fn confirmations_are_recognized() {
    let local = local();
    let consents = |text| local.confirmation(&Phrase::new(text, None, None));
    for yes in [
        "yes",
        "Yes, please!",
        "go ahead",
        "OK",
        "do it",
        "sure, go ahead",
    ] {
        assert_eq!(consents(yes), Some(true), "{yes}");
    }
    for no in [
        "no",
        "No.",
        "cancel",
        "never mind",
        "don't do it",
        "no, thanks",
    ] {
        assert_eq!(consents(no), Some(false), "{no}");
    }
    for neither in [
        "",
        "turn on the lamp",
        "yes and no",
        "yesterday",
        "no lamp",
        "yes turn it on",
    ] {
        assert_eq!(consents(neither), None, "{neither}");
    }
}

#[test]
fn a_language_file_in_the_folder_replaces_the_built_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        folder: Some(folder.path().to_owned()),
        ..Settings::default()
    };
    let built_in =
        fs::read_to_string(Path::new(crate::REPOSITORY).join("config/language/en.toml")).unwrap();
    fs::write(
        folder.path().join("en.toml"),
        built_in.replace("toggle = [\"toggle\"", "toggle = [\"zap\""),
    )
    .unwrap();
    let homes = homes();
    let zap = Phrase::new("zap the sofa lamp", None, None);
    assert!(local().draft(&zap, &homes["flat"]).is_none());
    assert!(
        LocalGrammar::new(&settings)
            .unwrap()
            .draft(&zap, &homes["flat"])
            .is_some()
    );
    fs::write(folder.path().join("en.toml"), "words = 3").unwrap();
    assert!(
        LocalGrammar::new(&settings)
            .unwrap_err()
            .to_string()
            .contains("en.toml")
    );
    let unknown = LocalGrammar::new(&Settings {
        language: "xx".to_owned(),
        ..Settings::default()
    })
    .unwrap_err();
    assert!(unknown.to_string().contains("xx"));
}

#[test]
fn a_changed_home_is_understood_by_its_new_names() {
    let local = local();
    let home = |name: &str| {
        let mut lamp = Device::new(slug("lamp"), Kind::new(slug("light")));
        lamp.name = name.to_owned();
        Home::new(Vec::new(), vec![lamp], Rights::default(), "sayso").unwrap()
    };
    let said = |home: &Home, text| local.draft(&Phrase::new(text, None, None), home).is_some();
    let (old, new) = (home("Piano lamp"), home("Guitar lamp"));
    assert!(said(&old, "turn on the piano lamp") && !said(&old, "turn on the guitar lamp"));
    assert!(said(&new, "turn on the guitar lamp") && !said(&new, "turn on the piano lamp"));
}

#[test]
fn a_text_longer_than_any_sentence_refers_to_nothing() {
    let long_word = "x".repeat(3 << 10);
    for (home, local) in &*LOCAL {
        let refers = |text: &str| {
            let phrase = Phrase::new(text, None, None);
            local.spanned(&phrase, &HOMES[*home]).refers_back()
        };
        assert!(refers("turn it off x"));
        assert!(!refers(&format!("turn it off {long_word}")));
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_grammar(text in "\\PC{0,80}", area in proptest::option::of("\\PC{0,10}")) {
        let phrase = Phrase::new(&text, area.as_deref(), None);
        for (home, local) in &*LOCAL {
            local.draft(&phrase, &HOMES[*home]);
            local.confirmation(&phrase);
        }
    }

    #[test]
    fn shuffled_words_of_commands_break_nothing_and_invent_nothing(picks in proptest::collection::vec(0_usize..10_000, 1..14)) {
        let words: Vec<&str> = BOOK.iter().flat_map(|line| line.text.split(' ')).collect();
        let text = picks.iter().map(|i| words[i % words.len()]).collect::<Vec<_>>().join(" ");
        for (home, local) in &*LOCAL {
            let home = &HOMES[*home];
            let draft = local.draft(&Phrase::new(&text, Some("kitchen"), None), home).unwrap_or_default();
            for action in draft.actions {
                let capability = home.device(&action.device).and_then(|d| d.capability(&action.property));
                prop_assert!(capability.is_some_and(|c| c.settable || action.op == sayso::testing::vocabulary::action::Op::Query), "{}: {:?}", text, action);
            }
        }
    }
}
