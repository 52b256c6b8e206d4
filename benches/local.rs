//! What is promised of the local reading, over the sentences of the phrasebook: in a home of 60 devices 20 µs (median) and 100 µs (99th
//! percentile), in one of 1,000 devices 500 µs (99th percentile); under 3 MB for a language and the names of a home; and no phrase,
//! however made, that takes long. `cargo bench -p sayso-benches --bench local` prints them before criterion's own figures.

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use sayso::testing::command::phrase::Phrase;
use sayso::testing::config::{Config, ConfigLocation, Scope};
use sayso::testing::grammar::{LocalGrammar, Settings};
use sayso::testing::home::Home;
use sayso::testing::home::capability::Capability;
use sayso::testing::home::device::{Area, Device, Kind};
use sayso::testing::home::rights::Rights;
use sayso::testing::vocabulary::Property;
use sayso::testing::vocabulary::slug::Slug;
use tokio::time::Instant;

/// How often each sentence is read: the median of these is its time.
const TIMES: usize = 15;

/// How many readings, each with a language and a home's names of its own, the memory is measured over.
const COPIES: u32 = 8;

/// Phrases of every length, and some that are not understood.
const SAID: [&str; 5] = [
    "turn on the floor lamp",
    "kitchen lights off",
    "could you please close all the blinds except the kitchen, thanks",
    "what is the weather like",
    "lock up",
];

const KINDS: [(&str, &str); 6] = [
    ("light", "lamp"),
    ("cover", "blind"),
    ("climate", "thermostat"),
    ("lock", "door"),
    ("fan", "fan"),
    ("media_player", "tv"),
];

fn slug(text: &str) -> Slug {
    Slug::new(text).expect("made of words and digits")
}

fn phrasebook() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/phrasebook")
}

/// The family house of the phrasebook, with rooms of six devices added until there are as many as wanted.
fn home(devices: usize) -> Home {
    let place = ConfigLocation {
        config: None,
        home: Some(phrasebook().join("homes/maple.toml")),
        needs: Scope::Home,
        ..ConfigLocation::default()
    };
    let house = Config::load(&place)
        .unwrap_or_else(|faults| unreachable!("{faults}"))
        .home;
    let (mut areas, mut all) = (house.areas().to_vec(), house.devices().to_vec());
    for i in 0..devices.saturating_sub(all.len()) {
        let (room, (kind, noun)) = (i / KINDS.len(), KINDS[i % KINDS.len()]);
        if i % KINDS.len() == 0 {
            areas.push(Area {
                id: slug(&format!("room_{room}")),
                name: format!("Room {room}"),
                aliases: Vec::new(),
                floor: Some(format!("floor {}", room / 10)),
            });
        }
        let mut device = Device::new(slug(&format!("{noun}_of_{room}")), Kind::new(slug(kind)));
        device.name = format!("Room {room} {noun}");
        device.area = Some(slug(&format!("room_{room}")));
        if kind == "light" {
            device
                .capabilities
                .extend([Property::Color, Property::ColorTemp].map(Capability::standard));
        }
        all.push(device);
    }
    Home::new(areas, all, Rights::default(), "sayso").expect("names differ by room")
}

/// What people say, from every book of the phrasebook, with the area it was said in.
fn sentences() -> Vec<Phrase> {
    let mut said = Vec::new();
    for entry in
        fs::read_dir(phrasebook().join("written")).expect("the books are in the repository")
    {
        let text = fs::read_to_string(entry.expect("a book").path()).expect("a book is text");
        for line in text.lines().filter(|line| !line.starts_with(['#', '$'])) {
            let line = line.split('|').next().unwrap_or_default().trim();
            let area = line
                .strip_prefix('[')
                .and_then(|rest| rest.split_once("] "));
            said.push(area.map_or_else(
                || Phrase::new(line, None, None),
                |(area, text)| Phrase::new(text, Some(area), None),
            ));
        }
    }
    said
}

fn micros(local: &LocalGrammar, home: &Home, phrase: &Phrase) -> f64 {
    let mut times: Vec<f64> = (0..TIMES)
        .map(|_| {
            let start = Instant::now();
            black_box(local.draft(black_box(phrase), home));
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[TIMES / 2]
}

fn percentiles(local: &LocalGrammar, home: &Home, phrases: &[Phrase]) -> [f64; 4] {
    let mut times: Vec<f64> = phrases
        .iter()
        .map(|phrase| micros(local, home, phrase))
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() - 1) * share / 1000];
    [at(500), at(950), at(990), at(1000)]
}

/// The memory the process has, in bytes, as the system sees it.
fn resident() -> f64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<f64>().ok());
    pages.unwrap_or_default() * 4096.0
}

#[expect(clippy::print_stdout, reason = "the figures are what it is run for")]
fn promises() {
    let local = LocalGrammar::new(&Settings::default()).expect("the built-in languages are sound");
    let phrases = sentences();
    for devices in [60, 1000] {
        let home = home(devices);
        let [p50, p95, p99, most] = percentiles(&local, &home, &phrases);
        println!(
            "{} sentences, {devices} devices: p50 {p50:.1} us, p95 {p95:.1} us, p99 {p99:.1} us, most {most:.1} us",
            phrases.len()
        );
        let hard = [
            "the ".repeat(200),
            "turn on ".repeat(100),
            "lamp and ".repeat(100),
            "switch off the light on ".repeat(9),
            "open shut off on up down ".repeat(8),
            "a".repeat(10_000),
            "kichen ".repeat(48),
        ];
        let hardest = hard
            .iter()
            .map(|text| micros(&local, &home, &Phrase::new(text, None, None)))
            .fold(0.0, f64::max);
        println!("phrases made to take long, {devices} devices: most {hardest:.1} us");
        let before = resident();
        let copies: Vec<LocalGrammar> = (0..COPIES)
            .filter_map(|_| LocalGrammar::new(&Settings::default()).ok())
            .collect();
        for copy in &copies {
            black_box(copy.draft(&phrases[0], &home));
        }
        println!(
            "a language and the names of {devices} devices: {:.2} MB",
            (resident() - before) / f64::from(COPIES) / 1e6
        );
    }
}

fn reading(c: &mut Criterion) {
    promises();
    let local = LocalGrammar::new(&Settings::default()).expect("the built-in languages are sound");
    for devices in [60, 1000] {
        let home = home(devices);
        for said in SAID {
            let phrase = Phrase::new(said, None, None);
            c.bench_function(&format!("{devices} devices: {said}"), |b| {
                b.iter(|| local.draft(black_box(&phrase), &home));
            });
        }
    }
}

fn canonical(c: &mut Criterion) {
    let said = "  Could you please turn ON the “Living Room” lamp? ";
    c.bench_function("canonical phrase", |b| {
        b.iter(|| Phrase::new(black_box(said), Some("Kitchen"), Some("en")));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = reading, canonical
}
criterion_main!(benches);
