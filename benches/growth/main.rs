//! Growth: latency, CPU time and memory with more devices, more cached drafts and more sources.
//!
//! `cargo bench -p sayso-benches --bench growth [-- --program PATH] [--quick]`. All cases of a
//! group run at the same time, each with a program and a broker of its own, so that other load of
//! the machine affects all of them, and their commands are staggered. It prints a table, and writes
//! the chart `docs/growth.svg`; `--quick` measures fewer commands and writes nothing. `--program`
//! measures that program instead of the one built with the benchmark. It needs mosquitto, uses only
//! loopback, and ends after three minutes.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

mod case;
mod chart;
#[path = "../shared/client.rs"]
mod client;
#[path = "../shared/figures.rs"]
mod figures;
mod load;
#[path = "../shared/program.rs"]
mod program;
mod stage;
mod table;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use case::{Case, Dimension};
use load::Load;
use stage::Stage;
use table::{Figures, Group};

/// Any error ends the benchmark, so its type does not matter.
type BenchError = Box<dyn Error + Send + Sync>;

/// Commands per second of each program: far more than a house needs, and far fewer than it can
/// take.
const RATE: u32 = 50;
/// Commands per second during the warm-up.
const WARM_UP_RATE: u32 = 200;
/// The pause after the warm-up, in which the journal writes and the devices are confirmed.
const SETTLED: Duration = Duration::from_secs(2);
/// The chart, in the repository.
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/growth.svg");

/// The arguments.
#[derive(Debug)]
struct Options {
    program: PathBuf,
    /// Measured commands of each case.
    commands: u32,
    writes_chart: bool,
}

impl Options {
    fn parse() -> Result<Self, BenchError> {
        let mut options = Self {
            program: program::sayso()?,
            commands: 1_500,
            writes_chart: true,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {}
                "--quick" => {
                    options.commands = 250;
                    options.writes_chart = false;
                }
                // Read by `program::sayso`.
                "--program" => {
                    arguments.next();
                }
                other => return Err(format!("unknown argument `{other}`").into()),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // Standard error may be closed; the exit code reports the failure in any case.
            let _ = writeln!(io::stderr(), "went wrong: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), BenchError> {
    let options = Options::parse()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measure(&options))
}

async fn measure(options: &Options) -> Result<(), BenchError> {
    let mut groups = Vec::new();
    for dimension in Dimension::ALL {
        groups.push(group(dimension, options).await?);
        writeln!(io::stdout(), "{}: measured", dimension.name())?;
    }
    writeln!(io::stdout(), "\n{}", table::table(&groups))?;
    if options.writes_chart {
        std::fs::write(Path::new(CHART), chart::svg(&groups))?;
    }
    Ok(())
}

/// Measures all sizes of a dimension at the same time.
async fn group(dimension: Dimension, options: &Options) -> Result<Group, BenchError> {
    // All stages first: a client that waits while drafts are written loses its connection.
    let mut stages = Vec::new();
    for case in dimension.cases() {
        stages.push((case, Stage::start(case, &options.program).await?));
    }
    let mut ready = Vec::new();
    for (case, stage) in stages {
        let mut load = Load::connect(case, stage.port).await?;
        let served = load.until_it_serves().await;
        served.map_err(|fault| format!("{case}: {fault}"))?;
        ready.push((case, stage, load));
    }
    let count = ready.len();
    let between = Duration::from_secs(1) / RATE / u32::try_from(count)?;
    let warm = Arc::new(Barrier::new(count));
    let mut running = JoinSet::new();
    let mut delay = SETTLED;
    for (case, stage, load) in ready {
        let turn = Turn {
            warm: Arc::clone(&warm),
            delay,
            commands: options.commands,
        };
        running.spawn(async move {
            let figures = row(case, stage, load, turn).await;
            figures.map_err(|fault| format!("{case}: {fault}"))
        });
        delay += between;
    }
    let mut figures = Vec::new();
    while let Some(row) = running.join_next().await {
        figures.push(row??);
    }
    figures.sort_unstable_by_key(|figures: &Figures| figures.case.size);
    Ok(Group { dimension, figures })
}

/// The measurement of one case among those of its group.
struct Turn {
    /// Is passed when all cases are warm.
    warm: Arc<Barrier>,
    /// The time from then to the first command.
    delay: Duration,
    commands: u32,
}

/// Warms up and measures one case.
async fn row(case: Case, stage: Stage, mut load: Load, turn: Turn) -> Result<Figures, BenchError> {
    load.paced(case.dimension.warm_up(), WARM_UP_RATE).await?;
    turn.warm.wait().await;
    load.rest(turn.delay).await?;
    let before = stage.program.cpu()?;
    let latencies = load.paced(turn.commands, RATE).await?;
    let cpu = stage.program.cpu()?.saturating_sub(before);
    let resident_kib = stage.program.resident_kib()?;
    Ok(Figures::new(case, latencies, cpu, resident_kib))
}
