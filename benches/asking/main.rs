//! The cost of asking a model, and of a failing model, with a real broker and a model server on
//! loopback.
//!
//! - `cargo bench -p sayso-benches --bench asking`: sayso and a bare program that makes one call
//!   per command and publishes the same two messages, in one run; a minute. With `-- --small` the
//!   model counts as small, as a local one does: its prompt is narrowed to the words of the command.
//! - `cargo bench -p sayso-benches --bench asking -- --faults`: the first of three providers fails
//!   while 100 new commands arrive at 20 per second; a minute.
//! - `cargo bench -p sayso-benches --bench asking -- --memory [COMMANDS]`: memory, tasks, threads
//!   and open files over many commands; some minutes for 100,000.
//!
//! `--program PATH` measures that program instead of the one built with the benchmark.
//!
//! The bare program makes as many calls at a time as there are commands. The default of sayso is 16
//! for a hosted model; here it is 64, so that the limit is not measured. Everything else is as on a
//! gateway: the journal and the drafts on disk, the whole home in every prompt, and a rate limit
//! that no source reaches.
//!
//! It needs mosquitto and uses only loopback.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

mod bare;
#[path = "../shared/client.rs"]
mod client;
mod fake;
#[path = "../shared/figures.rs"]
mod figures;
mod load;
#[path = "../shared/program.rs"]
mod program;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use fake::{Fake, GOOD, HANGS};
use figures::{ms, per_thousand, quantile};
use load::{DEVICES, Heard, Load};
use program::{Program, mosquitto};

/// Any error ends the benchmark, so its type does not matter.
type BenchError = Box<dyn Error + Send + Sync>;

/// The first level of the bare program's topics.
const BARE: &str = "plain";
/// The first level of sayso's topics.
const SAYSO: &str = "sayso";
/// Commands in flight while throughput is measured.
const IN_FLIGHT: usize = 64;
/// The time after which idle resources are released: reqwest closes connections unused for 90 s at
/// a check every 90 s, tokio ends a thread after 10 s.
const LEFT_ALONE: Duration = Duration::from_secs(185);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        [role, broker, model] if *role == bare::ROLE => bare::run(broker, model),
        ["--faults", ..] => block_on(faults()),
        ["--memory", rest @ ..] => block_on(memory(
            rest.first()
                .and_then(|count| count.parse().ok())
                .unwrap_or(100_000),
        )),
        _ => block_on(beside()),
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

fn block_on(measurement: impl Future<Output = Result<(), BenchError>>) -> Result<(), BenchError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(measurement)
}

/// sayso and the bare program in alternation.
async fn beside() -> Result<(), BenchError> {
    let (folder, model) = (tempfile::tempdir()?, Fake::start()?);
    let (_broker, port) = mosquitto(folder.path()).await?;
    let mut load = Load::connect(port, &[BARE, SAYSO]).await?;
    let plain = Program::start(Command::new(std::env::current_exe()?).args([
        bare::ROLE,
        &port.to_string(),
        &model.port.to_string(),
    ]))?;
    let ours = sayso(folder.path(), port, &[&model])?;
    let mut sides = [
        (BARE, &plain, Side::default()),
        (SAYSO, &ours, Side::default()),
    ];
    for (prefix, ..) in &sides {
        load.until_it_serves(prefix).await?;
    }
    for round in 1..=4 {
        for (prefix, program, side) in &mut sides {
            let before = program.cpu()?;
            let heard = load.paced(prefix, 250, (100, 0)).await?;
            side.take(heard)?;
            let between = program.cpu()?;
            side.cpu_paced += between.saturating_sub(before);
            let (heard, took) = load.flooded(prefix, IN_FLIGHT, 3000).await?;
            side.done += u32::try_from(heard.new.len())?;
            side.took += took;
            side.lost += heard.not_done.values().sum::<usize>();
            side.cpu_flooded += program.cpu()?.saturating_sub(between);
        }
        say(&format!("round {round} of 4"))?;
    }
    let [(_, _, plain), (_, _, ours)] = &sides;
    print_table(plain, ours)
}

/// Prints the figures of both sides and their ratios.
fn print_table(plain: &Side, ours: &Side) -> Result<(), BenchError> {
    let row = |name: &str, wanted: &str, of: &dyn Fn(&Side) -> f64| {
        let (bare, ours) = (of(plain), of(ours));
        say(&format!(
            "{name:<44} {bare:>10.2} {ours:>10.2} {:>8.2}   {wanted}",
            ours / bare
        ))
    };
    say(&format!(
        "\n{:<44} {:>10} {:>10} {:>8}   wanted",
        "", "bare", "sayso", "ratio"
    ))?;
    row(
        "new command to reply at 100/s, median, ms",
        "at most 2",
        &|side| ms(quantile_unsorted(&side.latencies, 0.5)),
    )?;
    row("new command to reply at 100/s, p99, ms", "", &|side| {
        ms(quantile_unsorted(&side.latencies, 0.99))
    })?;
    row(
        "new commands a second, 64 in flight",
        "at least 0.5",
        &|side| f64::from(side.done) / side.took.as_secs_f64(),
    )?;
    row("CPU for 1,000 commands at 100/s, ms", "", &|side| {
        per_thousand(side.cpu_paced, side.paced)
    })?;
    row("CPU for 1,000 commands, 64 in flight, ms", "", &|side| {
        per_thousand(side.cpu_flooded, side.done)
    })?;
    say(&format!(
        "commands not done: bare {}, sayso {}",
        plain.lost, ours.lost
    ))
}

/// The results of one program.
#[derive(Default)]
struct Side {
    latencies: Vec<Duration>,
    paced: u32,
    cpu_paced: Duration,
    done: u32,
    took: Duration,
    cpu_flooded: Duration,
    lost: usize,
}

impl Side {
    fn take(&mut self, heard: Heard) -> Result<(), BenchError> {
        if heard.new.is_empty() {
            return Err(format!("nothing was done: {:?}", heard.not_done).into());
        }
        self.paced += u32::try_from(heard.new.len())?;
        self.latencies.extend(heard.new);
        self.lost += heard.not_done.values().sum::<usize>();
        Ok(())
    }
}

/// The number of alternations of quiet and fault.
const TURNS: usize = 4;

/// Makes the first of three providers fail. Known commands arrive beside the new ones, without and
/// with the fault.
async fn faults() -> Result<(), BenchError> {
    let mut table = format!(
        "\n{:<6} {:>8} {:>10} {:>10} {:>12} {:>9} {:>14} {:>14} {:>7}\n",
        "first",
        "done",
        "median ms",
        "slowest ms",
        "calls to it",
        "not done",
        "known p99 quiet",
        "in the fault",
        "ratio"
    );
    for (name, status) in [("429", 429), ("500", 500), ("hang", HANGS)] {
        let folder = tempfile::tempdir()?;
        let (_broker, port) = mosquitto(folder.path()).await?;
        let models = [Fake::start()?, Fake::start()?, Fake::start()?];
        let mut load = Load::connect(port, &[SAYSO]).await?;
        let _ours = sayso(folder.path(), port, &[&models[0], &models[1], &models[2]])?;
        load.until_it_serves(SAYSO).await?;
        load.paced(SAYSO, 20, (20, 200)).await?; // everything warm
        let mut quiet = load.paced(SAYSO, 100, (20, 200)).await?;
        models[0].turn(status);
        let mut fault = load.paced(SAYSO, 100, (20, 200)).await?;
        let calls = models[0].calls();
        // Known commands are measured in alternation, so that other load of the machine affects
        // both.
        for _ in 1..TURNS {
            models[0].turn(GOOD);
            quiet
                .known
                .extend(load.paced(SAYSO, 100, (20, 200)).await?.known);
            models[0].turn(status);
            fault
                .known
                .extend(load.paced(SAYSO, 100, (20, 200)).await?.known);
        }
        let (before, during) = (
            ms(quantile_of(&mut quiet.known, 0.99)),
            ms(quantile_of(&mut fault.known, 0.99)),
        );
        writeln!(
            table,
            "{name:<6} {:>8} {:>10.1} {:>10.1} {calls:>12} {:>9} {before:>15.2} {during:>14.2} {:>7.2}",
            fault.new.len(),
            ms(quantile_of(&mut fault.new, 0.5)),
            ms(quantile_of(&mut fault.new, 1.0)),
            fault.not_done.values().sum::<usize>(),
            during / before
        )?;
        say(&format!("{name}: measured; not done: {:?}", fault.not_done))?;
    }
    table += "wanted: all done but what a later command for the same device overtook; of 429 and 500 the slowest within 1000 ms; of hang the median within 20 ms and the slowest within 2500 ms;\n";
    table += "at most 10 calls to it; known commands at most 1.1 times their quiet p99\n";
    say(&table)
}

/// The resources sayso holds during `count` new commands, by its own metrics and by the kernel's
/// counters.
async fn memory(count: usize) -> Result<(), BenchError> {
    let (folder, model) = (tempfile::tempdir()?, Fake::start()?);
    let (_broker, port) = mosquitto(folder.path()).await?;
    let mut load = Load::connect(port, &[SAYSO]).await?;
    let ours = sayso(folder.path(), port, &[&model])?;
    load.until_it_serves(SAYSO).await?;
    say(&format!(
        "{:>9} {:>13} {:>8} {:>8} {:>12}",
        "commands", "resident MiB", "tasks", "threads", "descriptors"
    ))?;
    let steps = 20;
    for step in 0..=steps {
        // A pause longer than idle connections are kept, at the beginning and the end: the rest is
        // a leak.
        load.rest(if step % steps == 0 {
            LEFT_ALONE
        } else {
            Duration::from_secs(2)
        })
        .await?;
        let page = page(&folder.path().join("metrics")).await?;
        let (resident, threads) = (
            f64::from(ours.resident_kib()?) / 1024.0,
            ours.status("Threads:")?,
        );
        let [tasks, open] = ["sayso_tasks", "process_open_fds"].map(|name| value(&page, name));
        say(&format!(
            "{:>9} {resident:>13.1} {tasks:>8} {threads:>8} {open:>12}",
            count / steps * step
        ))?;
        if step < steps {
            let (heard, _) = load.flooded(SAYSO, IN_FLIGHT / 2, count / steps).await?;
            if !heard.not_done.is_empty() {
                say(&format!("not done: {:?}", heard.not_done))?;
            }
        }
    }
    Ok(())
}

/// The metrics page of sayso.
async fn page(socket: &Path) -> Result<String, BenchError> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await?;
    Ok(page)
}

/// A gauge of a metrics page; "?" if it is missing.
fn value<'a>(page: &'a str, name: &str) -> &'a str {
    page.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .unwrap_or("?")
}

/// Starts sayso as on a gateway, with these models in this order.
fn sayso(folder: &Path, port: u16, models: &[&Fake]) -> Result<Program, BenchError> {
    let mut home = String::new();
    for n in 0..DEVICES {
        writeln!(
            home,
            "[device.d{n}]\nname = \"lamp {n}\"\nkind = \"light\"\ncan = [\"power\"]\nzigbee2mqtt = \"lamp {n}\""
        )?;
    }
    std::fs::write(folder.join("home.toml"), home)?;
    let mut settings = format!(
        "[mqtt]\nhost = \"127.0.0.1\"\nport = {port}\n[discovery]\nhomeassistant = \"\"\nzigbee2mqtt = []\ntasmota = false\n[store]\npath = '{}'\n[limits]\nper_minute = 100000\nburst = 100000\n[log]\nfilter = \"error\"\n[metrics]\nlisten = 'unix:{}'\n",
        folder.join("store").display(),
        folder.join("metrics").display()
    );
    let size = if std::env::args().any(|argument| argument == "--small") {
        "trusted = true"
    } else {
        "small = false"
    };
    for (n, model) in models.iter().enumerate() {
        writeln!(
            settings,
            "[[provider]]\nname = \"model{n}\"\nbase_url = \"http://127.0.0.1:{}/v1\"\nmodel = \"m\"\n{size}\nconcurrency = {}",
            model.port,
            if models.len() == 1 { IN_FLIGHT } else { 4 }
        )?;
    }
    let file = folder.join("sayso.toml");
    std::fs::write(&file, settings)?;
    Program::start(
        Command::new(program::sayso()?)
            .arg("run")
            .arg("--config")
            .arg(file),
    )
}

fn say(text: &str) -> Result<(), BenchError> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

fn quantile_of(times: &mut [Duration], q: f64) -> Duration {
    times.sort_unstable();
    quantile(times, q)
}

fn quantile_unsorted(times: &[Duration], q: f64) -> Duration {
    let mut sorted = times.to_vec();
    quantile_of(&mut sorted, q)
}
