//! The cost of the journal: `cargo bench -p sayso-benches --bench journal [-- --latency | --bytes |
//! --growth]`.
//!
//! Latency from command to action with the journal on disk and without, in one run; the bytes the
//! kernel wrote to the disk for each command, understood locally and from the cache, at three
//! rates. With `--growth` alone: the size of the store over 1,000,000 commands. It needs mosquitto,
//! uses only loopback, and ends after about five minutes.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

mod growth;
mod load;
#[path = "../shared/program.rs"]
#[expect(
    dead_code,
    reason = "the relay's benchmark counts more of it, and has a broker of its own"
)]
mod program;
mod stage;
mod wear;

use load::Load;
use stage::Stage;

type BenchError = Box<dyn Error + Send + Sync>;

/// The number of alternations, the duration of each, and the commands per second.
const ROUNDS: usize = 20;
const ROUND: Duration = Duration::from_secs(3);
const RATE: u32 = 100;

fn main() -> ExitCode {
    let wanted = |what: &str| std::env::args().any(|argument| argument == what);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime.map_err(BenchError::from).and_then(|runtime| {
        runtime.block_on(async {
            if wanted("--growth") {
                return growth::grow().await;
            }
            let stage = Stage::open().await?;
            if !wanted("--bytes") {
                latency(&stage).await?;
            }
            if !wanted("--latency") {
                wear::bytes(&stage).await?;
            }
            Ok(())
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            let _ = writeln!(io::stderr(), "went wrong: {fault}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

async fn latency(stage: &Stage) -> Result<(), BenchError> {
    let _programs = [stage.sayso("with", true)?, stage.sayso("without", false)?];
    let mut load = Load::connect("load", stage.port, &["with", "without"])?;
    load.ready("with").await?;
    load.ready("without").await?;
    let mut sides = [Vec::new(), Vec::new()];
    let count = RATE * u32::try_from(ROUND.as_secs())?;
    for _ in 0..ROUNDS {
        for (side, prefix) in sides.iter_mut().zip(["without", "with"]) {
            side.extend(load.paced(prefix, "turn on the lamp", RATE, count).await?);
        }
    }
    for side in &mut sides {
        side.sort_unstable();
    }
    say(&format!(
        "{:<36}{:>12}{:>12}{:>8}",
        "command to action at 100/s", "no journal", "journal", "ratio"
    ));
    for (name, at) in [
        ("median", 50),
        ("90th percentile", 90),
        ("99th percentile", 99),
    ] {
        let [without, with] = sides.each_ref().map(|side| {
            side.get(side.len() * at / 100)
                .copied()
                .unwrap_or_default()
                .as_secs_f64()
                * 1000.0
        });
        say(&format!(
            "  {name:<34}{without:>9.3} ms{with:>9.3} ms{:>8.2}",
            with / without
        ));
    }
    Ok(())
}
