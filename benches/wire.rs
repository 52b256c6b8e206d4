//! The cost of decoding a message on a command topic.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sayso::testing::wire::{DeviceTopics, Inbound, WireRules, decode};

fn letter(payload: &[u8]) -> Inbound<'_> {
    Inbound {
        topic: "sayso/command/hall",
        payload,
        response_topic: Some("sayso/reply/panel"),
        correlation: Some(b"0123456789abcdef"),
        expiry: Some(Duration::from_secs(30)),
        heard_at: tokio::time::Instant::now().into_std(),
        hops: 0,
        wall_clock: None,
    }
}

fn reading(criterion: &mut Criterion) {
    let rules = WireRules {
        prefix: "sayso".to_owned(),
        reply_prefixes: Vec::new(),
        devices: DeviceTopics::default(),
        ttl: Duration::from_mins(1),
    };
    let object = br#"{"text":"turn off the kitchen light and lock up","id":"7f3a9c","area":"kitchen","language":"en","ttl":"10s","ts":"2026-11-23T18:05:00Z"}"#;
    let mut group = criterion.benchmark_group("decode");
    for (name, payload) in [
        ("text", &b"turn off the kitchen light and lock up"[..]),
        ("object", object),
    ] {
        let letter = letter(payload);
        group.bench_function(name, |bencher| {
            bencher.iter(|| decode(black_box(&letter), &rules));
        });
    }
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
