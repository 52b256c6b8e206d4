//! What a question to a model weighs, and what it costs. `cargo it prompt:: -- --nocapture` prints
//! the table.

use std::collections::HashSet;

use sayso::testing::command::phrase::Phrase;
use sayso::testing::home::Home;
use sayso::testing::home::capability::Capability;
use sayso::testing::home::device::{Area, Device, Kind};
use sayso::testing::home::rights::{Rights, Rules, Selector};
use sayso::testing::prompt::Composer;
use sayso::testing::provider::price::{Money, cost};
use sayso::testing::provider::{ApiSpec, Prompt, Usage, anthropic, gemini, openai};
use sayso::testing::vocabulary::slug::Slug;
use sayso::testing::vocabulary::{Domain, Property};

/// The areas of a large house, and the floor each is on.
const AREAS: [(&str, &str); 20] = [
    ("Kitchen", "ground floor"),
    ("Living room", "ground floor"),
    ("Dining room", "ground floor"),
    ("Hall", "ground floor"),
    ("Office", "ground floor"),
    ("Guest toilet", "ground floor"),
    ("Landing", "upstairs"),
    ("Bedroom", "upstairs"),
    ("Nursery", "upstairs"),
    ("Guest room", "upstairs"),
    ("Bathroom", "upstairs"),
    ("Dressing room", "upstairs"),
    ("Attic", "attic"),
    ("Studio", "attic"),
    ("Cellar", "basement"),
    ("Workshop", "basement"),
    ("Laundry", "basement"),
    ("Garage", "outside"),
    ("Terrace", "outside"),
    ("Garden", "outside"),
];

/// What stands in each of them: as people call it there, its kind and class.
const THINGS: [(&str, &str, Option<&str>); 15] = [
    ("ceiling light", "light", None),
    ("wall light", "light", None),
    ("floor lamp", "light", None),
    ("strip", "light", None),
    ("left blind", "cover", Some("blind")),
    ("right blind", "cover", Some("blind")),
    ("window", "binary_sensor", Some("window")),
    ("thermostat", "climate", None),
    ("climate", "sensor", None),
    ("motion", "binary_sensor", Some("motion")),
    ("socket", "switch", Some("outlet")),
    ("heater plug", "switch", Some("outlet")),
    ("speaker", "media_player", None),
    ("fan", "fan", None),
    ("evening", "scene", None),
];

fn slug(text: &str) -> Slug {
    Slug::new(&text.to_lowercase().replace(' ', "_")).unwrap()
}

fn reading(property: &str, min: f64, max: f64, unit: &str) -> Capability {
    let takes = Domain::Number {
        min,
        max,
        step: None,
        unit: unit.to_owned(),
    };
    Capability {
        settable: false,
        domain: takes,
        ..Capability::standard(Property::from(property))
    }
}

/// A device as the announcements of a gateway make it: named by area and thing, its capabilities
/// those of its model.
fn device(area: &str, (thing, kind, class): (&str, &str, Option<&str>), n: usize) -> Device {
    let name = format!("{area} {thing}");
    let mut device = Device {
        area: Some(slug(area)),
        class: class.map(str::to_owned),
        ..Device::new(slug(&name), Kind::new(slug(kind)))
    };
    device.name = name;
    match (kind, thing) {
        ("light", "strip") => device
            .capabilities
            .push(Capability::standard(Property::Color)),
        ("light", "floor lamp") => {
            let takes = Domain::Number {
                min: 2202.0,
                max: 4000.0,
                step: None,
                unit: "K".to_owned(),
            };
            device
                .capabilities
                .push(Capability::standard(Property::ColorTemp).with_domain(takes));
        }
        ("sensor", _) => {
            device.capabilities = vec![
                reading("temperature", -20.0, 60.0, "°C"),
                reading("humidity", 0.0, 100.0, "%"),
            ];
        }
        ("binary_sensor", _) => {
            let flag = Capability {
                settable: false,
                ..Capability::standard(Property::from(thing)).with_domain(Domain::Boolean)
            };
            device.capabilities = vec![flag];
        }
        _ => {}
    }
    // Now and then somebody wrote another name.
    if n.is_multiple_of(10) {
        device.aliases = vec![format!("the old {thing}")];
    }
    device
}

/// A house of 300 devices in 20 areas.
fn large(rights: Rights) -> Home {
    let areas = AREAS.iter().map(|(name, floor)| Area {
        id: slug(name),
        name: (*name).to_owned(),
        aliases: Vec::new(),
        floor: Some((*floor).to_owned()),
    });
    let devices = AREAS
        .iter()
        .flat_map(|(area, _)| THINGS.iter().map(move |thing| (*area, *thing)));
    let devices = devices
        .enumerate()
        .map(|(n, (area, thing))| device(area, thing, n))
        .collect();
    Home::new(areas.collect(), devices, rights, "sayso").unwrap()
}

fn asked(home: &Home, source: &str) -> Prompt {
    Composer::default().compose(
        &Phrase::new("make the living room cosy", None, None),
        home,
        source,
    )
}

/// As many as the router reckons with: 3.5 bytes to a token.
fn tokens(bytes: usize) -> u64 {
    u64::try_from(bytes * 2).unwrap().div_ceil(7)
}

/// What a command costs whose prefix the provider has not in its cache, and one whose prefix it
/// has.
fn costs(prompt: &Prompt, api: &ApiSpec, id: &str) -> (Money, Money) {
    let prices = api.prices(id).unwrap();
    let prefix = tokens(prompt.prefix.len() + prompt.schema.to_string().len());
    // Three actions of some 28 tokens, and the object around them.
    let usage = Usage {
        input: prefix + tokens(prompt.phrase.len()),
        output: 100,
        ..Usage::default()
    };
    (
        cost(
            Usage {
                written: prefix,
                ..usage
            },
            &prices,
        ),
        cost(
            Usage {
                cached: prefix,
                ..usage
            },
            &prices,
        ),
    )
}

#[test]
fn a_home_of_300_devices_fits_and_costs_little() {
    let small = Home::new(
        Vec::new(),
        vec![device("Kitchen", THINGS[0], 1)]
            .into_iter()
            .map(|d| Device { area: None, ..d })
            .collect(),
        Rights::default(),
        "sayso",
    );
    let (small, large) = (small.unwrap(), large(Rights::default()));
    assert_eq!(large.devices().len(), 300);
    println!(
        "{:<22} {:>10} {:>10}  {:<24} {:>11} {:>11}",
        "home", "bytes", "tokens ~", "model", "cold", "cached"
    );
    for (name, home) in [("1 device", &small), ("300 devices", &large)] {
        let prompt = asked(home, "panel");
        let bytes = prompt.prefix.len();
        for (api, id) in [
            (&openai::SPEC, "gpt-6-luna"),
            (&anthropic::SPEC, "claude-haiku-5-5"),
            (&gemini::SPEC, "gemini-3.5-flash-lite"),
        ] {
            let (cold, cached) = costs(&prompt, api, id);
            println!(
                "{name:<22} {bytes:>10} {:>10}  {id:<24} {cold:>11} {cached:>11}",
                tokens(bytes)
            );
            assert!(
                cached < Money::dollars(0.001),
                "a thousand commands for a dollar, at the most"
            );
        }
    }
    let bytes = asked(&large, "panel").prefix.len();
    assert!(bytes < 16 << 10, "{bytes} bytes");
}

#[test]
fn every_device_of_a_large_home_is_in_its_prompt() {
    let home = large(Rights::default());
    let prompt = asked(&home, "panel");
    let ids: HashSet<&str> = prompt
        .prefix
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    for device in home.devices() {
        assert!(ids.contains(device.id.as_str()), "{}", device.id);
    }
}

#[test]
fn a_source_that_may_little_asks_for_little() {
    let rules = Rules {
        allow: vec![Selector::parse("area:nursery").unwrap()],
        deny: Vec::new(),
    };
    let home = large(Rights {
        by_source: [("tablet".to_owned(), rules)].into(),
        ..Rights::default()
    });
    let (all, slice) = (asked(&home, "panel"), asked(&home, "tablet"));
    assert!(
        slice.prefix.len() * 2 < all.prefix.len(),
        "{} of {} bytes",
        slice.prefix.len(),
        all.prefix.len()
    );
    assert!(slice.prefix.contains("nursery_strip") && !slice.prefix.contains("garage_strip"));
}
