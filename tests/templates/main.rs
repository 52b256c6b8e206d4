//! Compares the recognition of sentence templates with the original program, sentence by sentence.
//!
//! Reads what `tests/templates/peer.py` printed, asks the same of sayso, and prints the agreement
//! per language. Exits with 1 when a language agrees less than required. Usage: `templates FOLDER
//! HOME.json SENTENCES.jsonl`.

#![allow(clippy::print_stdout, reason = "a table is what this program is for")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use tokio::time::Instant;

use sayso::testing::command::phrase::Phrase;
use sayso::testing::home::Home;
use sayso::testing::home::device::{Area, Device, Kind};
use sayso::testing::home::rights::Rights;
use sayso::testing::templates::{TemplateFolders, Templates};
use sayso::testing::vocabulary::slug::Slug;
use serde_json::Value as Json;

/// Least agreement of any language, in per cent of the sentences that the original understands.
const LEAST_AGREEMENT: f64 = 97.0;

#[derive(Default)]
struct Count {
    sentences: u32,
    understood: u32,
    agreed: u32,
    other_intent: u32,
    other_slots: u32,
    silent: u32,
    ours: Vec<u128>,
    theirs: Vec<u128>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(home), Some(sentences)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        println!("usage: templates FOLDER HOME.json SENTENCES.jsonl [differences to print]");
        return ExitCode::from(2);
    };
    let shown: usize = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(20);
    let folders = TemplateFolders {
        published: Some(folder.into()),
        custom: None,
    };
    let templates = Templates::open(&folders).expect("the folder of templates is there");
    let home = home_of(&std::fs::read_to_string(home).expect("the home is there"));
    let sentences = std::fs::read_to_string(sentences).expect("the sentences are there");
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut differences = 0;
    for line in sentences.lines() {
        let sentence: Json = serde_json::from_str(line).expect("each line is JSON");
        let language = sentence["language"].as_str().expect("a language");
        if let Err(error) = templates.prepare(language) {
            println!(
                "{language}: {error}: {:?}",
                std::error::Error::source(&error)
            );
        }
        let difference = compare(
            &templates,
            &home,
            &sentence,
            counts.entry(language.to_owned()).or_default(),
        );
        if let Some(difference) = difference
            && differences < shown
        {
            println!("{difference}");
            differences += 1;
        }
    }
    table(&mut counts, &templates)
}

/// Compares one sentence, and describes the difference if there is one.
fn compare(
    templates: &Templates,
    home: &Home,
    sentence: &Json,
    count: &mut Count,
) -> Option<String> {
    let language = sentence["language"].as_str()?;
    let phrase = Phrase::new(
        sentence["text"].as_str()?,
        sentence["area"].as_str(),
        Some(language),
    );
    let begin = Instant::now();
    let ours = templates.slots(&phrase, language, home);
    count.ours.push(begin.elapsed().as_nanos());
    count
        .theirs
        .push(u128::from(sentence["us"].as_u64().unwrap_or(0)) * 1000);
    count.sentences += 1;
    let intent = sentence["intent"].as_str()?;
    count.understood += 1;
    let theirs: BTreeMap<String, String> = sentence["slots"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(slot, value)| (slot.clone(), comparable(value.as_str().unwrap_or(""))))
        .collect();
    let kind = match &ours {
        None => {
            count.silent += 1;
            "silent"
        }
        Some((ours, _)) if ours != intent => {
            count.other_intent += 1;
            "other intent"
        }
        Some((_, slots)) => {
            let mut slots: BTreeMap<_, _> = slots
                .iter()
                .map(|(slot, value)| (slot.clone(), comparable(value)))
                .collect();
            if let (Some(area), false) = (theirs.get("area"), slots.contains_key("area")) {
                slots.insert("area".to_owned(), area.clone());
            }
            if slots == theirs {
                count.agreed += 1;
                return None;
            }
            count.other_slots += 1;
            "other slots"
        }
    };
    Some(format!(
        "{language} {kind}: {:?}\n    original {intent} {theirs:?}\n    sayso    {ours:?}",
        phrase.text()
    ))
}

/// One form of a value: numbers without trailing zeros, text in lower case.
fn comparable(value: &str) -> String {
    match value.trim().parse::<f64>() {
        Ok(number) => number.to_string(),
        Err(_) => value
            .trim()
            .to_lowercase()
            .replace('\'', "\"")
            .replace(", ", ","),
    }
}

fn table(counts: &mut BTreeMap<String, Count>, templates: &Templates) -> ExitCode {
    println!(
        "language  sentences understood agreement% silent intent slots  KiB   us p50  us p99  original p50"
    );
    let mut failed = false;
    for (language, count) in counts {
        let percent = 100.0 * f64::from(count.agreed) / f64::from(count.understood.max(1));
        failed |= percent < LEAST_AGREEMENT;
        println!(
            "{language:9} {:9} {:10} {percent:10.2} {:6} {:6} {:5} {:5} {:8} {:8} {:8}",
            count.sentences,
            count.understood,
            count.silent,
            count.other_intent,
            count.other_slots,
            templates.memory(language) / 1024,
            quantile(&mut count.ours, 50) / 1000,
            quantile(&mut count.ours, 99) / 1000,
            quantile(&mut count.theirs, 50) / 1000,
        );
    }
    ExitCode::from(u8::from(failed))
}

fn quantile(values: &mut [u128], percent: usize) -> u128 {
    values.sort_unstable();
    values
        .get(values.len() * percent / 100)
        .copied()
        .unwrap_or(0)
}

fn home_of(json: &str) -> Home {
    let json: Json = serde_json::from_str(json).expect("the home is JSON");
    let texts = |value: &Json| -> Vec<String> {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .map(str::to_owned)
            .collect()
    };
    let floors = texts(&json["floors"]);
    let areas = texts(&json["areas"])
        .into_iter()
        .enumerate()
        .map(|(n, name)| Area {
            id: Slug::new(&format!("area_{n}")).expect("a slug"),
            name,
            aliases: Vec::new(),
            floor: floors.get(n).cloned(),
        });
    let devices = json["devices"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(n, device)| {
            let kind =
                Kind::new(Slug::new(device["domain"].as_str().expect("a domain")).expect("a slug"));
            let mut made = Device::new(Slug::new(&format!("device_{n}")).expect("a slug"), kind);
            let mut names = texts(&device["names"]).into_iter();
            made.name = names.next().expect("a name");
            made.aliases = names.collect();
            made
        });
    Home::new(
        areas.collect(),
        devices.collect(),
        Rights::default(),
        "sayso",
    )
    .expect("the home is sound")
}
