//! The cost of sayso compared with a bare relay: the same commands through the same real broker in
//! one run.
//!
//! `cargo bench -p sayso-benches --bench relay [-- --quick] [--program PATH]`. The relay is a rumqttc client that
//! publishes the same two messages for a command without understanding, recording or checking
//! anything: the work that remains when the purpose of sayso is taken away. `--program` measures
//! that program instead of the one built with the benchmark. It needs mosquitto, uses only loopback,
//! and ends after a minute and a half.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

mod bare;
#[path = "../shared/client.rs"]
mod client;
#[path = "../shared/figures.rs"]
mod figures;
mod load;
#[path = "../shared/program.rs"]
mod program;
mod stage;

use figures::{ms, per_thousand, quantile};
use load::{Load, Paced, Route};
use program::Program;
use stage::Stage;

/// Any error ends the benchmark, so its type does not matter.
type BenchError = Box<dyn Error + Send + Sync>;

/// The topics of the relay, as long as those of sayso.
const RELAY: Route = Route {
    prefix: "relay",
    base: "baredevices",
};
/// The topics of sayso, with the default base of `Zigbee2MQTT`.
const SAYSO: Route = Route {
    prefix: "sayso",
    base: "zigbee2mqtt",
};
/// Commands per second while latency is measured: far more than a house needs, far fewer than
/// either program can take.
const RATE: u32 = 100;
/// Commands in flight while throughput is measured.
const IN_FLIGHT: usize = 64;
/// The idle time before memory is read.
const IDLE: Duration = Duration::from_secs(3);

/// The duration of each measurement and the number of rounds.
struct Plan {
    rounds: u32,
    paced: Duration,
    flooded: Duration,
}

const FULL: Plan = Plan {
    rounds: 4,
    paced: Duration::from_millis(2500),
    flooded: Duration::from_millis(2500),
};
const QUICK: Plan = Plan {
    rounds: 2,
    paced: Duration::from_secs(1),
    flooded: Duration::from_secs(1),
};

/// The results of one program over all rounds.
#[derive(Default)]
struct Side {
    latencies: Vec<Duration>,
    lost: usize,
    paced: u32,
    paced_cpu: Duration,
    flooded: u32,
    flooded_for: Duration,
    flooded_cpu: Duration,
    first_action: Duration,
    resident_kib: u32,
}

/// A row of the table.
struct Row {
    name: &'static str,
    unit: &'static str,
    digits: usize,
    of: fn(&Side) -> f64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [role, port] if role == bare::ROLE => bare::run(port),
        _ => bench(if arguments.iter().any(|argument| argument == "--quick") {
            &QUICK
        } else {
            &FULL
        }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // Standard error may be closed; the exit code reports the failure in any case.
            let _ = writeln!(io::stderr(), "went wrong: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn bench(plan: &Plan) -> Result<(), BenchError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measure(plan))
}

async fn measure(plan: &Plan) -> Result<(), BenchError> {
    let stage = Stage::new().await?;
    let mut load = Load::connect(stage.port(), &[RELAY, SAYSO]).await?;
    let (mut relay, mut sayso) = (Side::default(), Side::default());
    let relay_program = begin(&mut load, RELAY, || stage.relay(), &mut relay).await?;
    let sayso_program = begin(&mut load, SAYSO, || stage.sayso(), &mut sayso).await?;
    for round in 1..=plan.rounds {
        play(&mut load, RELAY, &relay_program, plan, &mut relay).await?;
        play(&mut load, SAYSO, &sayso_program, plan, &mut sayso).await?;
        let rate = |side: &Side| per_second(side.flooded, side.flooded_for);
        say(&format!(
            "round {round} of {}: so far relay {:.0}/s, sayso {:.0}/s",
            plan.rounds,
            rate(&relay),
            rate(&sayso)
        ))?;
    }
    table(&mut relay, &mut sayso)
}

/// Starts a program and measures its start-up time and its idle memory.
async fn begin(
    load: &mut Load,
    route: Route,
    start: impl FnOnce() -> Result<Program, BenchError>,
    side: &mut Side,
) -> Result<Program, BenchError> {
    let began = tokio::time::Instant::now();
    let program = start()?;
    side.first_action = load.first_action(route, began).await?;
    load.rest(IDLE).await?;
    side.resident_kib = program.resident_kib()?;
    Ok(program)
}

/// One round of one program.
async fn play(
    load: &mut Load,
    route: Route,
    program: &Program,
    plan: &Plan,
    side: &mut Side,
) -> Result<(), BenchError> {
    let before = program.cpu()?;
    let Paced { latencies, lost } = load.paced(route, RATE, plan.paced).await?;
    let between = program.cpu()?;
    side.lost += lost;
    side.paced += u32::try_from(latencies.len())?;
    side.latencies.extend(latencies);
    side.paced_cpu += between.saturating_sub(before);
    let flooded = load.flooded(route, IN_FLIGHT, plan.flooded).await?;
    side.flooded += u32::try_from(flooded.done)?;
    side.flooded_for += flooded.took;
    side.lost += flooded.lost;
    side.flooded_cpu += program.cpu()?.saturating_sub(between);
    Ok(())
}

/// The lines of the table.
fn rows() -> [Row; 7] {
    let row = |name, unit, digits, of| Row {
        name,
        unit,
        digits,
        of,
    };
    [
        row("command to action at 100/s, median", "ms", 2, |side| {
            ms(quantile(&side.latencies, 0.5))
        }),
        row("command to action at 100/s, p99", "ms", 2, |side| {
            ms(quantile(&side.latencies, 0.99))
        }),
        row("commands a second, 64 in flight", "/s", 0, |side| {
            per_second(side.flooded, side.flooded_for)
        }),
        row("CPU for 1,000 commands, at 100/s", "ms", 0, |side| {
            per_thousand(side.paced_cpu, side.paced)
        }),
        row("CPU for 1,000 commands, 64 in flight", "ms", 0, |side| {
            per_thousand(side.flooded_cpu, side.flooded)
        }),
        row(
            "exec to first action",
            "ms",
            0,
            |side| ms(side.first_action),
        ),
        row("resident after 3 s idle", "MiB", 1, |side| {
            f64::from(side.resident_kib) / 1024.0
        }),
    ]
}

fn table(relay: &mut Side, sayso: &mut Side) -> Result<(), BenchError> {
    relay.latencies.sort_unstable();
    sayso.latencies.sort_unstable();
    let rows = rows();
    say(&format!(
        "\n{:<38} {:>12} {:>12} {:>8}",
        "", "relay", "sayso", "ratio"
    ))?;
    for Row {
        name,
        unit,
        digits,
        of,
    } in rows
    {
        let (bare, ours) = (of(relay), of(sayso));
        say(&format!(
            "{name:<38} {:>12} {:>12} {:>8.2}",
            format!("{bare:.digits$} {unit}"),
            format!("{ours:.digits$} {unit}"),
            ours / bare
        ))?;
    }
    say(&format!(
        "\n{} commands at {RATE}/s and {} in flight for sayso; without an action: relay {}, sayso {}",
        sayso.paced, sayso.flooded, relay.lost, sayso.lost
    ))?;
    if relay.lost + sayso.lost > 0 {
        Err("commands were left without an action".into())
    } else {
        Ok(())
    }
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

fn per_second(count: u32, took: Duration) -> f64 {
    f64::from(count) / took.as_secs_f64()
}
