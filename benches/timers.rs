//! Memory of 10,000 waiting timers, and the time until one of them wakes the program.
//!
//! `cargo bench -p sayso-benches --bench timers --profile dev` prints both. The program keeps at
//! most 256 timers in a set, so the timers are in as many sets as needed.

use std::alloc::System;
use std::error::Error;
use std::io::Write;
use std::time::Duration;

use sayso::testing::schedule::{Clocks, Timer, Timers};
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TIMERS: usize = 10_000;

/// Timers of one set: four sources with as many as each may have, less than the bound of a set.
const SOURCES: usize = 4;
const OF_SOURCE: usize = 62;

/// The longest time without a look at the wall clock, as the program has it.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);

const BOOT: &str = "0f8fad5bd9cb469fa16570867728950e";

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let now = Clocks::new(
        "2026-06-01T10:00:00Z".parse()?,
        Duration::ZERO,
        BOOT.to_owned(),
    );
    let region = Region::new(ALLOCATOR);
    let mut sets: Vec<Timers> = Vec::new();
    let mut count = 0;
    while count < TIMERS {
        let mut set = Timers::default();
        for n in (0..SOURCES * OF_SOURCE).take(TIMERS - count) {
            let added = set.add(timer(n)?, &now);
            added.map_err(|full| format!("a set is full: {full:?}"))?;
            count += 1;
        }
        // Written to the disk.
        drop(set.take_changed());
        sets.push(set);
    }
    let change = region.change();
    let kept = change
        .bytes_allocated
        .saturating_sub(change.bytes_deallocated);
    let waits = sets
        .iter()
        .filter_map(|set| set.next_wait(&now, LONGEST_SLEEP));
    let first = waits.min().ok_or("nothing waits")?;
    writeln!(
        std::io::stdout(),
        "{count} timers: {} KiB, {} bytes each; {} bytes of it are the value itself\n\
         the first of them, due in 20 min, wakes the program in {} s; until then nothing does",
        kept / 1024,
        kept / count,
        size_of::<Timer>(),
        first.as_secs(),
    )?;
    Ok(())
}

/// Returns a timer for one device, as "turn off .. in .. minutes" sets it.
fn timer(n: usize) -> Result<Timer, serde_json::Error> {
    let minutes = 20 + n;
    let after_ms = 60_000 * minutes;
    serde_json::from_value(json!({
        "id": 0,
        "source": format!("room{}", n / OF_SOURCE),
        "command": format!("{n:08x}"),
        "text": format!("turn off the kitchen light in {minutes} minutes"),
        "language": "en",
        "reply_to": {"topic": "sayso/reply/room", "correlation": null},
        "due": {"delay": {
            "wall_ms": 1_780_308_000_000_u64 + u64::try_from(after_ms).unwrap_or_default(),
            "boot": BOOT,
            "uptime_ms": after_ms,
        }},
        "task": {"command": {
            "actions": [{
                "device": format!("light_{n}"),
                "property": "power",
                "op": "set",
                "value": "off",
            }],
            "scope": "named",
            "confirmed": false,
        }},
        "started": null,
    }))
}
