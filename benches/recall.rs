//! The cost of a cache hit: the key, the draft from memory, and the permission gate.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot go on should say where"
)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use sayso::testing::cache::DraftCache;
use sayso::testing::cache::settings::CacheSettings;
use sayso::testing::command::phrase::Phrase;
use sayso::testing::grammar::{LocalGrammar, Settings};
use sayso::testing::home::Home;
use sayso::testing::home::device::{Device, Kind};
use sayso::testing::home::permit::PermitRequest;
use sayso::testing::home::rights::Rights;
use sayso::testing::home::state::State;
use sayso::testing::prompt::{Composer, rights_class};
use sayso::testing::vocabulary::action::{Action, Draft, Op};
use sayso::testing::vocabulary::slug::Slug;
use sayso::testing::vocabulary::{Property, Value};

fn home(devices: usize) -> Home {
    let slug = |text: &str| Slug::new(text).unwrap();
    let devices = (0..devices)
        .map(|n| Device::new(slug(&format!("lamp_{n}")), Kind::new(slug("light"))))
        .collect();
    Home::new(Vec::new(), devices, Rights::default(), "sayso").unwrap()
}

fn draft(actions: usize) -> Draft {
    let on = |n| Action {
        device: format!("lamp_{n}").into(),
        property: Property::Power,
        op: Op::Set,
        value: Some(Value::text("on")),
    };
    Draft {
        actions: (0..actions).map(on).collect(),
        ..Draft::default()
    }
}

fn said_before(bench: &mut Criterion) {
    let home = home(300);
    let recall = DraftCache::new(
        &CacheSettings::default(),
        vec!["model".to_owned()],
        None,
        Arc::default(),
    );
    let phrase = Phrase::new("turn on the lamp", Some("kitchen"), None);
    let composer = Composer::default();
    let key = |phrase| {
        recall.key(
            phrase,
            composer.fingerprint(&home),
            rights_class(home.rights(), "panel"),
        )
    };
    recall.keep(&key(&phrase), "model", &draft(1), true);
    bench.bench_function("recall from memory", |b| {
        b.iter(|| recall.said(&key(black_box(&phrase))).unwrap().unwrap());
    });
    let state = State::default();
    let local = LocalGrammar::new(&Settings::default()).expect("the built-in language is sound");
    let asker = PermitRequest {
        source: "panel",
        command: "c1",
        confirmed: false,
        now: tokio::time::Instant::now().into_std(),
        speech: local.speech(&Phrase::new("", None, None)),
    };
    for actions in [1, 100] {
        let draft = draft(actions);
        bench.bench_function(&format!("permit {actions} of 300 devices"), |b| {
            b.iter(|| home.permit(black_box(&draft), &state, asker).unwrap());
        });
    }
}

criterion_group!(benches, said_before);
criterion_main!(benches);
