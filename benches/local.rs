//! What is promised of the local reading: 20 µs (median) in a home of 60 devices, 500 µs (99th percentile) in one of 1,000.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sayso::command::phrase::Phrase;
use sayso::home::Home;
use sayso::home::capability::{Capability, Property};
use sayso::home::device::{Area, Device, Kind};
use sayso::home::rights::Rights;
use sayso::home::slug::Slug;
use sayso::local::{Local, Settings};

/// Phrases of every length, and some that are not understood.
const SAID: [&str; 12] = [
    "turn on the room 3 lamp",
    "room 2 lights off",
    "turn off all the lights",
    "dim the lights in room 4 to 40 percent",
    "could you please close all the blinds except room 1, thanks",
    "is the room 5 door locked?",
    "set the room 2 thermostat to twenty one and a half degrees",
    "turn on the room 1 lamp and the room 2 fan and open the room 3 blind",
    "turn on the rom 3 lamp tomorrow",
    "what is the weather like in london",
    "make the room 6 lamp warm white",
    "lock up",
];

const KINDS: [(&str, &str); 6] = [("light", "lamp"), ("cover", "blind"), ("climate", "thermostat"), ("lock", "door"), ("fan", "fan"), ("media_player", "tv")];

fn slug(text: &str) -> Slug {
    Slug::new(text).expect("made of words and digits")
}

/// `devices` devices, six to a room.
fn home(devices: usize) -> Home {
    let rooms = devices.div_ceil(KINDS.len());
    let area = |i: usize| Area { id: slug(&format!("room_{i}")), name: format!("Room {i}"), aliases: Vec::new(), floor: Some(format!("floor {}", i / 10)) };
    let device = |i: usize| {
        let (kind, noun) = KINDS[i % KINDS.len()];
        let room = i / KINDS.len();
        let mut device = Device::new(slug(&format!("{noun}_{room}")), Kind::new(slug(kind)));
        device.name = format!("Room {room} {noun}");
        device.area = Some(slug(&format!("room_{room}")));
        if kind == "light" {
            device.capabilities.extend([Property::Color, Property::ColorTemp].map(Capability::standard));
        }
        device
    };
    Home::new((0..rooms).map(area).collect(), (0..devices).map(device).collect(), Rights::default(), "sayso").expect("names differ by room")
}

fn reading(c: &mut Criterion) {
    let local = Local::new(&Settings::default()).expect("the built-in language is sound");
    for devices in [60, 1000] {
        let home = home(devices);
        for said in SAID {
            let phrase = Phrase::new(said, None, None);
            c.bench_function(&format!("{devices} devices: {said}"), |b| b.iter(|| local.draft(black_box(&phrase), &home)));
        }
    }
}

fn canonical(c: &mut Criterion) {
    let said = "  Could you please turn ON the “Living Room” lamp? ";
    c.bench_function("canonical phrase", |b| b.iter(|| Phrase::new(black_box(said), Some("Kitchen"), Some("en"))));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = reading, canonical
}
criterion_main!(benches);
