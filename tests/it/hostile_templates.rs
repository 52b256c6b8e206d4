//! Hostile files of sentence templates: each is read within its bounds or rejected, and whatever
//! was read recognizes any sentence within its bounds.
//!
//! `SAYSO_HOSTILE_SECONDS=600 cargo it hostile_templates::` goes on for ten minutes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use sayso::testing::command::phrase::Phrase;
use sayso::testing::home::Home;
use sayso::testing::templates::{TemplateFolders, Templates};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

/// Files of the ordinary run.
const FILES: usize = 10;

/// Pieces of templates, most of which do not fit together.
const PIECES: [&str; 24] = [
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "<",
    ">",
    "|",
    ";",
    ":",
    ",",
    " ",
    "..",
    "<r0>",
    "<r1>",
    "{name}",
    "{area:floor}",
    "{l0:x}",
    "{0..100,5:y}",
    "licht",
    "é",
    "\u{200d}",
    "\\",
];

/// How hostile the templates of a file are.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// Well formed, without rules.
    Plain,
    /// Well formed, with rules that may refer to themselves.
    Rules,
    /// Pieces that do not fit together.
    Wild,
}

/// A template of random parts.
fn template(random: &mut StdRng, depth: usize, style: Style) -> String {
    if style == Style::Wild && random.random_range(0..2) == 0 {
        let count = random.random_range(0..40);
        let pieces = (0..count).map(|_| *PIECES.choose(random).unwrap());
        return pieces.collect();
    }
    let mut parts = Vec::new();
    for _ in 0..random.random_range(1..4) {
        parts.push(if depth > 4 {
            "wort".to_owned()
        } else {
            template(random, depth + 1, style)
        });
    }
    match random.random_range(0..6) {
        0 => format!("[{}]", parts.join("|")),
        1 => format!("({})", parts.join("|")),
        2 if parts.len() > 1 => format!("({})", parts.join(";")),
        3 if style != Style::Plain => format!("<r{}>", random.random_range(0..4)),
        4 => format!("{{l{}}}", random.random_range(0..3)),
        _ => parts.join(" "),
    }
}

/// A file whose parts have the right types, and hostile contents.
fn structured(random: &mut StdRng) -> Json {
    let style = *[Style::Plain, Style::Rules, Style::Wild]
        .choose(random)
        .unwrap();
    let mut rules = serde_json::Map::new();
    let mut lists = serde_json::Map::new();
    for n in 0..4 {
        let inner = if style == Style::Rules && n > 0 {
            Style::Plain
        } else {
            style
        };
        rules.insert(format!("r{n}"), json!(template(random, 0, inner)));
        let list = match random.random_range(0..4) {
            0 => json!({"wildcard": true}),
            1 => json!({"range": {"from": -1e300, "to": 1e300, "step": 0, "multiplier": -1e300}}),
            2 => json!({"values": vec!["x".repeat(7); random.random_range(0..6000)]}),
            _ => json!({"values": [{"in": "x [y]", "out": [1, {"a": null}]}]}),
        };
        lists.insert(format!("l{n}"), list);
    }
    let mut sentences = Vec::new();
    for _ in 0..random.random_range(1..30) {
        sentences.push(template(random, 0, style));
    }
    json!({
        "lists": lists, "expansion_rules": rules, "skip_words": ["", " ", "wort", "%"],
        "settings": {"ignore_whitespace": random.random_range(0..2) == 0},
        "intents": {"HassTurnOn": {"data": [{"sentences": sentences, "slots": {"a": "b"}}]}},
    })
}

/// The bytes of a file with some of them changed, doubled or removed.
fn damaged(random: &mut StdRng, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..bytes.len());
        let end = (at + random.random_range(1..200)).min(bytes.len());
        match random.random_range(0..4) {
            0 => bytes[at] = random.random(),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => bytes.truncate(end.max(2)),
        }
        if bytes.len() < 2 {
            break;
        }
    }
    bytes
}

/// Reads the file, and recognizes sentences with it if it is one. Returns whether it was.
fn survives(random: &mut StdRng, folder: &Path, bytes: &[u8]) -> bool {
    fs::write(folder.join("xx.json"), bytes).unwrap();
    let folders = TemplateFolders {
        published: Some(folder.to_owned()),
        custom: None,
        compiled: None,
    };
    let templates = Templates::open(&folders).unwrap();
    let is_read = match templates.prepare("xx") {
        Ok(()) => true,
        Err(error) => {
            assert!(error.to_string().contains("xx.json"), "{error}");
            false
        }
    };
    let home = Home::empty("sayso");
    for _ in 0..4 {
        let count = random.random_range(1..12);
        let words = (0..count).map(|_| {
            *["wort", "licht", "7", "x", "é", "%"]
                .choose(random)
                .unwrap()
        });
        let words: Vec<_> = words.collect();
        let phrase = Phrase::new(&words.join(" "), None, Some("xx"));
        templates.recognize(&phrase, "xx", &home);
    }
    is_read
}

#[test]
fn a_hostile_file_is_bounded_or_rejected() {
    let seconds = std::env::var_os("SAYSO_HOSTILE_SECONDS");
    let seconds = seconds.and_then(|text| text.to_str()?.parse().ok());
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut random = StdRng::seed_from_u64(16);
    let folder = tempfile::tempdir().unwrap();
    let (mut files, mut read) = (0, 0);
    while until.map_or(files < FILES, |until| Instant::now() < until) {
        let whole = structured(&mut random).to_string();
        let bytes = match random.random_range(0..3) {
            0 => damaged(&mut random, &whole),
            _ => whole.into_bytes(),
        };
        read += usize::from(survives(&mut random, folder.path(), &bytes));
        files += 1;
    }
    println!("{files} hostile files, {read} of them usable");
    assert!(read > 0, "some files are usable");
}

#[test]
fn the_worst_files_are_rejected_or_small() {
    let mut random = StdRng::seed_from_u64(17);
    let folder = tempfile::tempdir().unwrap();
    let rejects = |random: &mut StdRng, file: &Json| {
        !survives(random, folder.path(), file.to_string().as_bytes())
    };
    let file = |rules: Json, sentence: &str| {
        json!({"expansion_rules": rules,
            "intents": {"HassTurnOn": {"data": [{"sentences": [sentence]}]}}})
    };
    let itself = file(json!({"r": "a <r>"}), "<r>");
    assert!(rejects(&mut random, &itself));
    let circle = file(json!({"a": "<b>", "b": "<c>", "c": "[<a>] x"}), "<a>");
    assert!(rejects(&mut random, &circle));
    let permuted = file(json!({}), "(a;b;c;d;e;f;g;h;i;j;k)");
    assert!(rejects(&mut random, &permuted));
    let deep = file(
        json!({}),
        &format!("{}a{}", "[".repeat(5000), "]".repeat(5000)),
    );
    assert!(rejects(&mut random, &deep));
    // Each rule has the next one in every order: 24^11 sentences.
    let mut rules = serde_json::Map::new();
    for n in 0..11 {
        let next = format!("<r{}>", n + 1);
        rules.insert(
            format!("r{n}"),
            json!(format!("({next} a;{next} b;{next} c;{next} d)")),
        );
    }
    rules.insert("r11".to_owned(), json!("z"));
    assert!(rejects(&mut random, &file(Json::Object(rules), "<r0>")));
    let long = json!({"lists": {"l": {"values": vec!["value"; 1_500_000]}},
        "intents": {"HassTurnOn": {"data": [{"sentences": ["{l}"]}]}}});
    assert!(rejects(&mut random, &long), "10 MB of one list");
}
