//! Phrasebooks of German, Spanish, French and Dutch, each for a home of its own and for one with
//! English names. A sentence has exactly the expected meaning or none, and replies are in the
//! language of the command.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sayso::testing::command::phrase::Phrase;
use sayso::testing::command::reply::{Refusal, RefusalCode};
use sayso::testing::config::{Config, ConfigLocation, Scope};
use sayso::testing::grammar::{LocalGrammar, Settings};
use sayso::testing::home::Home;

use crate::phrasebook::{Expected, Line, Verdict, folder, judge, sorted};

pub(crate) const LANGUAGES: [&str; 4] = ["de", "es", "fr", "nl"];

/// Every third line was not looked at while the language files were written.
const ASIDE: usize = 3;

static LOCAL: LazyLock<LocalGrammar> =
    LazyLock::new(|| LocalGrammar::new(&Settings::default()).unwrap());

pub(crate) fn home(name: &str) -> Arc<Home> {
    let file = folder().join("homes").join(name).with_extension("toml");
    let place = ConfigLocation {
        config: None,
        home: Some(file),
        needs: Scope::Home,
        ..ConfigLocation::default()
    };
    let config = Config::load(&place).unwrap_or_else(|faults| panic!("{name}: {faults}"));
    config.home
}

pub(crate) fn book(language: &str) -> Vec<Line> {
    let text = fs::read_to_string(folder().join(language).with_extension("jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// The names in braces of a sentence.
fn places(form: &str) -> BTreeSet<&str> {
    let opened = form.split('{').skip(1);
    opened.filter_map(|rest| rest.split('}').next()).collect()
}

#[test]
fn every_refusal_has_a_sentence_in_every_language() {
    let forms = |language: &str| {
        LOCAL
            .speech(&Phrase::new("x", None, Some(language)))
            .refused
            .clone()
    };
    let english = forms("en");
    for refusal in [
        Refusal::OverBudget {
            retry_after: Duration::from_secs(3601),
        },
        Refusal::NobodyAnswered {
            why: "away".to_owned(),
            retry_after: Some(Duration::from_secs(7)),
        },
        Refusal::NobodyAnswered {
            why: "away".to_owned(),
            retry_after: None,
        },
        Refusal::Declined,
    ] {
        assert_eq!(
            refusal.sentence_as(&english[refusal.form()]),
            refusal.sentence(),
            "{refusal:?}"
        );
    }
    // The sentence of these is their parameter.
    let without_form = [RefusalCode::Unclear, RefusalCode::NotPermitted];
    for code in RefusalCode::ALL {
        let has_form = english.contains_key(code.as_str());
        assert_ne!(has_form, without_form.contains(code), "{code}");
    }
    for language in LANGUAGES {
        let forms = forms(language);
        assert_eq!(
            forms.keys().collect::<Vec<_>>(),
            english.keys().collect::<Vec<_>>(),
            "{language}"
        );
        assert!(
            forms.iter().all(|(name, form)| form != &english[name]),
            "{language}"
        );
        for (name, form) in &forms {
            let message = format!("{language}: {name}");
            assert_eq!(places(form), places(&english[name]), "{message}");
        }
        let spent = Refusal::OverBudget {
            retry_after: Duration::from_secs(3601),
        };
        assert!(
            spent.sentence_as(&forms[spent.form()]).contains(" 2 "),
            "two hours"
        );
    }
}

/// Returns the verdicts for one language: of the lines that were looked at, and of those that were
/// not.
fn score(language: &str) -> [BTreeMap<(bool, Verdict), usize>; 2] {
    let house = format!("house_{language}");
    let grange = format!("grange_{language}");
    let homes: BTreeMap<&str, Arc<Home>> = [language, "mixed", &house, &grange]
        .into_iter()
        .map(|name| (name, home(name)))
        .collect();
    let mut scores = [BTreeMap::new(), BTreeMap::new()];
    for (i, line) in book(language).iter().enumerate() {
        let phrase = Phrase::new(&line.text, line.area.as_deref(), Some(language));
        let draft = LOCAL.draft(&phrase, &homes[line.home.as_str()]);
        let verdict = judge(&line.expect, draft.as_ref());
        let aside = i % ASIDE == ASIDE - 1;
        let acts = !matches!(&line.expect, Expected::Word(word) if word == "silent");
        *scores[usize::from(aside)]
            .entry((acts, verdict))
            .or_default() += 1;
        if verdict != Verdict::Exact {
            let got = draft.map_or_else(
                || "nothing".to_owned(),
                |d| d.question.unwrap_or_else(|| sorted(&d.actions).join(" ")),
            );
            println!(
                "{language} {verdict:?}: {:?} ({:?})\n    wanted {:?}\n    got {got}",
                line.text, line.area, line.expect
            );
        }
    }
    scores
}

#[test]
fn every_language_is_understood_as_meant() {
    let mut faults = Vec::new();
    for language in LANGUAGES {
        let mut all = [0, 0];
        for (part, score) in ["read", "kept aside"].into_iter().zip(score(language)) {
            let of = |acts, verdict| score.get(&(acts, verdict)).copied().unwrap_or(0);
            let (lines, silent): (usize, usize) = (
                score.values().sum(),
                score
                    .iter()
                    .filter(|((acts, _), _)| !acts)
                    .map(|(_, n)| n)
                    .sum(),
            );
            let exact = of(true, Verdict::Exact) + of(false, Verdict::Exact);
            let wrong = of(true, Verdict::Wrong) + of(false, Verdict::Wrong);
            let (acting, acted) = (lines - silent, of(true, Verdict::Exact));
            println!(
                "{language}, {part}: {exact} of {lines} exact ({:.1} %), {wrong} wrong; of {acting} that act {acted}, of {silent} that must not {} silent",
                100.0 * f64::from(u32::try_from(exact).unwrap())
                    / f64::from(u32::try_from(lines).unwrap()),
                of(false, Verdict::Exact),
            );
            if wrong > 0 || of(false, Verdict::Exact) < silent || acted * 10 < acting * 9 {
                faults.push(format!("{language}, {part}"));
            }
            all = [all[0] + lines, all[1] + silent];
        }
        assert!(
            all[0] >= 150 && all[1] >= 50,
            "{language}: the phrasebook has shrunk to {all:?}"
        );
    }
    assert!(
        faults.is_empty(),
        "not read well enough: {}",
        faults.join("; ")
    );
}

#[test]
fn sentences_that_only_resemble_commands_have_no_meaning() {
    for language in LANGUAGES {
        let home = home(language);
        let text = fs::read_to_string(folder().join("silent").join(language).with_extension("txt"))
            .unwrap();
        let drafted = |line: &&str| {
            LOCAL
                .draft(&Phrase::new(line, None, Some(language)), &home)
                .is_some()
        };
        let obeyed: Vec<&str> = text.lines().filter(drafted).collect();
        println!(
            "{language}: {} lines that only sound like a command",
            text.lines().count()
        );
        assert!(
            text.lines().count() >= 60 && obeyed.is_empty(),
            "{language}: {obeyed:?}"
        );
    }
}

#[test]
fn every_language_has_confirmations() {
    let consents = |language, text| LOCAL.confirmation(&Phrase::new(text, None, Some(language)));
    for (language, yes, no) in [
        ("de", "Ja, bitte!", "lieber nicht"),
        ("es", "Sí", "No, gracias."),
        ("fr", "Vas-y !", "non merci"),
        ("nl", "Ja, doe maar", "laat maar"),
    ] {
        assert_eq!(
            (consents(language, yes), consents(language, no)),
            (Some(true), Some(false)),
            "{language}"
        );
        assert_eq!(consents(language, "123"), None, "{language}");
    }
}

#[test]
fn a_time_or_condition_that_is_understood_is_not_the_cause() {
    let home = crate::dialogue::home("en");
    let cases = [
        ("turn off the toaster in ten minutes", "no_such_device"),
        ("turn on the toaster at half past nine", "no_such_device"),
        ("every day at seven turn on the toaster", "no_such_device"),
        (
            "if the kitchen light is on turn off the toaster",
            "no_such_device",
        ),
        (
            "set the thermostat to 90 degrees at eight pm",
            "out_of_range",
        ),
        ("when it rains turn off the kitchen light", "condition"),
        ("turn off the kitchen light if pigs fly", "condition"),
        ("turn on the kitchen light at half past", "time"),
    ];
    for (text, code) in cases {
        let phrase = Phrase::new(text, None, None);
        assert_eq!(LOCAL.draft(&phrase, &home), None, "{text}");
        let cause = LOCAL.reason(&phrase, &home).expect(text);
        assert_eq!(
            Refusal::Misunderstood(cause).code().as_str(),
            code,
            "{text}"
        );
        let explained = LOCAL.explain(&phrase, &home).expect(text);
        assert!(explained.verdict.is_err(), "{text}: {explained}");
    }
    // Not every way to divide a long text is tried.
    let long = "if the light is on in ten minutes ".repeat(50);
    let cause = LOCAL.reason(&Phrase::new(&long, None, None), &home);
    assert_eq!(
        Refusal::Misunderstood(cause.unwrap()).code().as_str(),
        "condition"
    );
    let text = "turn off the kitchen light in ten minutes";
    let explained = LOCAL
        .explain(&Phrase::new(text, None, None), &home)
        .unwrap();
    assert!(explained.verdict.is_ok(), "{explained}");
    assert!(!explained.to_string().contains("unknown"), "{explained}");
}

#[test]
fn the_cause_of_a_misunderstanding_is_known_in_every_language() {
    let cases = [
        (
            "de",
            [
                ("schalte die Stehlampe nicht an", "negation"),
                ("wenn es regnet, schalte die Stehlampe aus", "condition"),
                ("schalte die Stehlampe morgen an", "time"),
                ("schalte den Toaster an", "no_such_device"),
                ("mach nichts", "negation"),
                ("stell die Badheizung im Bad auf 80 Grad", "out_of_range"),
            ],
        ),
        (
            "es",
            [
                ("no enciendas la lámpara", "negation"),
                ("si llueve apaga la lámpara", "condition"),
                ("enciende la lámpara mañana", "time"),
                ("enciende la tostadora", "no_such_device"),
                ("no hagas nada", "negation"),
                ("pon el radiador en el baño a 80 grados", "out_of_range"),
            ],
        ),
        (
            "fr",
            [
                ("n'allume pas la lampe", "negation"),
                ("s'il pleut éteins la lampe", "condition"),
                ("allume la lampe demain", "time"),
                ("allume le grille-pain", "no_such_device"),
                ("n'ouvre rien", "negation"),
                (
                    "mets le radiateur dans la salle de bain à 80 degrés",
                    "out_of_range",
                ),
            ],
        ),
        (
            "nl",
            [
                ("doe de lamp niet aan", "negation"),
                ("als het regent doe de lamp uit", "condition"),
                ("doe de lamp morgen aan", "time"),
                ("zet de broodrooster aan", "no_such_device"),
                ("doe niets", "negation"),
                (
                    "zet de radiator in de badkamer op 80 graden",
                    "out_of_range",
                ),
            ],
        ),
    ];
    for (language, sentences) in cases {
        let home = home(language);
        for (text, code) in sentences {
            let phrase = Phrase::new(text, None, Some(language));
            assert_eq!(LOCAL.draft(&phrase, &home), None, "{text}");
            let refusal = Refusal::Misunderstood(LOCAL.reason(&phrase, &home).expect(text));
            assert_eq!(refusal.code().as_str(), code, "{text}");
            let forms = &LOCAL.speech(&phrase).refused;
            let english = refusal.sentence();
            assert_ne!(
                refusal.sentence_as(&forms[refusal.form()]),
                english,
                "{text}"
            );
        }
    }
}
