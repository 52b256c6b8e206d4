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

/// Least agreement over all languages, and of our own languages, in per cent of the sentences that
/// the original understands.
const LEAST_AGREEMENT: f64 = 99.0;

/// Least agreement of any other language with more than [`FEW_TEMPLATES`] templates.
const LEAST_OF_OTHERS: f64 = 97.0;

/// Templates up to which a language is too incomplete to be judged.
const FEW_TEMPLATES: u64 = 100;

/// Sentences below which the agreement of a single language says little.
const FEW_SENTENCES: u32 = 500;

/// The languages of sayso's own grammar.
const OWN: [&str; 5] = ["de", "en", "es", "fr", "nl"];

#[derive(Default)]
struct Count {
    /// Templates of the language.
    templates: u64,
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
        compiled: None,
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
    let well = table(&mut counts, &templates);
    starts(&folders, counts.keys());
    well
}

/// Prints how long each language takes to load: compiled anew, and from the compiled form on disk.
fn starts<'a>(folders: &TemplateFolders, languages: impl Iterator<Item = &'a String>) {
    let compiled = tempfile::tempdir().expect("a temporary folder");
    let folders = TemplateFolders {
        compiled: Some(compiled.path().to_owned()),
        ..folders.clone()
    };
    let load = |language: &str| {
        let begin = Instant::now();
        let templates = Templates::open(&folders).expect("the folder of templates is there");
        let loaded = templates.prepare(language);
        loaded.expect("the language was compiled before");
        begin.elapsed().as_micros()
    };
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for language in languages {
        cold.push(load(language));
        warm.push(load(language));
    }
    println!(
        "start     compiled anew: median {} us, longest {} us; from disk: median {} us, longest {} us",
        quantile(&mut cold, 50),
        quantile(&mut cold, 100),
        quantile(&mut warm, 50),
        quantile(&mut warm, 100),
    );
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
    count.templates = sentence["templates"].as_u64().unwrap_or(0);
    let intent = sentence["intent"].as_str()?;
    count.understood += 1;
    let mut theirs: BTreeMap<String, String> = sentence["slots"]
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
            // Where spaces have no meaning, sayso's values have none.
            if language.starts_with("zh") {
                for value in slots.values_mut().chain(theirs.values_mut()) {
                    value.retain(|c| c != ' ');
                }
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
        "language  sentences understood agreement% silent intent slots  KiB   us p50  us p99  original p50      p99"
    );
    let mut failed = false;
    let (mut agreed, mut understood, mut other) = (0, 0, 0);
    for (language, count) in &mut *counts {
        let percent = 100.0 * f64::from(count.agreed) / f64::from(count.understood.max(1));
        failed |= count.understood >= FEW_SENTENCES && percent < least(language, count.templates);
        agreed += count.agreed;
        understood += count.understood;
        other += count.other_intent + count.other_slots;
        println!(
            "{language:9} {:9} {:10} {percent:10.2} {:6} {:6} {:5} {:5} {:8} {:8} {:8} {:8}",
            count.sentences,
            count.understood,
            count.silent,
            count.other_intent,
            count.other_slots,
            templates.memory(language) / 1024,
            quantile(&mut count.ours, 50) / 1000,
            quantile(&mut count.ours, 99) / 1000,
            quantile(&mut count.theirs, 50) / 1000,
            quantile(&mut count.theirs, 99) / 1000,
        );
    }
    let percent = 100.0 * f64::from(agreed) / f64::from(understood.max(1));
    let other = 100.0 * f64::from(other) / f64::from(understood.max(1));
    println!(
        "all       {understood} understood by the original, {percent:.3} % read alike, \
         {other:.3} % differently"
    );
    ExitCode::from(u8::from(failed || percent < LEAST_AGREEMENT))
}

/// Returns the least agreement that a language must have.
fn least(language: &str, templates: u64) -> f64 {
    if OWN.contains(&language) {
        LEAST_AGREEMENT
    } else if templates > FEW_TEMPLATES {
        LEAST_OF_OTHERS
    } else {
        0.0
    }
}

fn quantile(values: &mut [u128], percent: usize) -> u128 {
    values.sort_unstable();
    values
        .get((values.len() * percent / 100).min(values.len().saturating_sub(1)))
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
