//! The published sentence templates beside our own phrasebooks, in the folder `$SAYSO_TEMPLATES`:
//! no language that is loaded may turn a sentence into something else. `tests/templates/run`
//! installs the templates and runs these tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use sayso::testing::command::phrase::Phrase;
use sayso::testing::grammar::{LocalGrammar, Settings};
use sayso::testing::home::Home;
use sayso::testing::templates::{TemplateFolders, Templates};
use sayso::testing::vocabulary::action::{Draft, Op};

use crate::languages;
use crate::phrasebook::{self, Expected, Line, Verdict, folder, judge, sorted};

fn folders() -> TemplateFolders {
    let folder = std::env::var_os("SAYSO_TEMPLATES").expect("the folder in $SAYSO_TEMPLATES");
    TemplateFolders {
        published: Some(PathBuf::from(folder)),
        custom: None,
        compiled: None,
    }
}

fn grammar(templates: TemplateFolders) -> LocalGrammar {
    LocalGrammar::new(&Settings {
        templates,
        ..Settings::default()
    })
    .unwrap()
}

/// All sentences of the phrasebooks, and those that must not act, with their homes.
fn sentences() -> Vec<(&'static str, Line, Arc<Home>)> {
    let homes: BTreeMap<String, Arc<Home>> = phrasebook::homes()
        .into_iter()
        .map(|(name, home)| (name, Arc::new(home)))
        .collect();
    let english = phrasebook::read_book().into_iter();
    let mut all: Vec<_> = english
        .map(|line| ("en", homes[&line.home].clone(), line))
        .map(|(language, home, line)| (language, line, home))
        .collect();
    for language in languages::LANGUAGES {
        let house = format!("house_{language}");
        let grange = format!("grange_{language}");
        let own = [language, "mixed", &house, &grange].map(|name| (name, languages::home(name)));
        let homes = BTreeMap::from(own);
        for line in languages::book(language) {
            let home = homes[line.home.as_str()].clone();
            all.push((language, line, home));
        }
        let silent = folder().join("silent").join(language);
        for text in fs::read_to_string(silent.with_extension("txt"))
            .unwrap()
            .lines()
        {
            let line = Line {
                home: language.to_owned(),
                text: text.to_owned(),
                area: None,
                expect: Expected::Word("silent".to_owned()),
            };
            all.push((language, line, homes[language].clone()));
        }
    }
    all
}

/// Judges a draft. A question about a state where none was expected has no effect, and is silence.
fn verdict(line: &Line, draft: Option<&Draft>) -> Verdict {
    let asks = |draft: &Draft| draft.actions.iter().all(|action| action.op == Op::Query);
    let is_question = match &line.expect {
        Expected::Word(word) => word != "silent",
        Expected::Actions(actions) => actions.iter().all(|action| action.op == Op::Query),
    };
    let draft = draft.filter(|draft| is_question || !asks(draft));
    judge(&line.expect, draft)
}

/// Returns whether a sentence of one language is one of another language by chance, or has a
/// meaning as a template that is too uncertain for the grammar.
fn means_something_else(code: &str, text: &str) -> bool {
    let pairs = [
        // Verbs there: "open", "para" (stop) and "pausa".
        ("nl", "bedroom blind open"),
        ("ca", "para la lámpara de pie"),
        ("ca", "para el cortacésped"),
        ("ca", "pausa la música del salón"),
        // "le" is "down" there.
        ("hu", "le salon"),
        // The temperature of a room is that of its thermostat there.
        ("it", "temperatura del salón"),
        // The lamps of the room, though it has a thermostat.
        ("en", "set the master bedroom to 20"),
    ];
    pairs.contains(&(code, text))
}

fn described(verdict: Verdict, line: &Line, got: Option<&Draft>) -> String {
    let got = got.map_or_else(
        || "nothing".to_owned(),
        |draft| sorted(&draft.actions).join(" "),
    );
    format!(
        "{verdict:?} {:?} ({:?}) in {}\n    wanted {:?}\n    got {got}",
        line.text, line.area, line.home, line.expect
    )
}

#[test]
#[ignore = "needs the published templates: tests/templates/run"]
fn phrasebooks_are_read_as_meant_with_the_templates_of_their_language() {
    let (with, without) = (grammar(folders()), grammar(TemplateFolders::default()));
    let (mut wrong, mut lost, mut lines) = (Vec::new(), Vec::new(), 0);
    for (language, line, home) in sentences() {
        let phrase = Phrase::new(&line.text, line.area.as_deref(), Some(language));
        let draft = with.draft(&phrase, &home);
        let verdict = verdict(&line, draft.as_ref());
        let before = judge(&line.expect, without.draft(&phrase, &home).as_ref());
        lines += 1;
        if means_something_else(language, &line.text) {
            continue;
        }
        if verdict == Verdict::Wrong {
            wrong.push(format!(
                "{language} {}",
                described(verdict, &line, draft.as_ref())
            ));
        } else if verdict != before && before == Verdict::Exact {
            lost.push(format!(
                "{language} {}",
                described(verdict, &line, draft.as_ref())
            ));
        }
    }
    println!(
        "{lines} sentences, {} wrong, {} lost",
        wrong.len(),
        lost.len()
    );
    assert!(lines > 1_500, "only {lines} sentences");
    println!("{}", lost.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(lost.is_empty(), "{} lost", lost.len());
}

#[test]
#[ignore = "needs the published templates: tests/templates/run"]
fn no_installed_language_does_something_else_with_a_sentence_of_ours() {
    let with = grammar(folders());
    let templates = Templates::open(&folders()).unwrap();
    let codes = templates.codes();
    assert!(codes.len() >= 60, "only {} languages", codes.len());
    let sentences = sentences();
    let (mut wrong, mut understood) = (Vec::new(), 0);
    for code in &codes {
        for (_, line, home) in &sentences {
            let phrase = Phrase::new(&line.text, line.area.as_deref(), Some(code));
            let Some(draft) = with.draft(&phrase, home) else {
                continue;
            };
            understood += 1;
            let verdict = verdict(line, Some(&draft));
            if verdict == Verdict::Wrong && !means_something_else(code, &line.text) {
                wrong.push(format!("{code} {}", described(verdict, line, Some(&draft))));
            }
        }
    }
    println!("{} languages, {understood} understood", codes.len());
    assert!(
        wrong.is_empty(),
        "{} wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
