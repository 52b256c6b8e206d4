//! The allocations and the instructions of one command, one state message and one announcement,
//! beside a committed baseline. Counts do not depend on the speed of the machine, so that a
//! regression shows at once.
//!
//! - `cargo bench -p sayso-benches --bench counts --profile dev`: prints each scenario with its
//!   difference to `benches/counts.txt`, and fails if one is more than a tenth above it.
//! - the same with `-- --write`: writes the baseline.
//! - without `--profile dev`: the counts of a release build, which the baseline does not hold for.
//!
//! Measured is everything between the packet received and the packets sent: reading the payload,
//! understanding, the permission gate, the journal in memory and the encoded reply. The model of the
//! scenario `model` is a server in another process. Instructions are counted by valgrind's callgrind
//! in a second run of this program, and left out where valgrind is not installed.

use std::alloc::System;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command as Process, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use sayso::testing::command::Redelivery;
use sayso::testing::config::{Config, ConfigLocation};
use sayso::testing::daemon::pipeline;
use sayso::testing::discovery::finder::Finder;
use sayso::testing::mqtt::outbox::Delivery;
use sayso::testing::pipeline::{OutboundAction, Pipeline};
use sayso::testing::store::journal::{Journal, JournalEntry, Received};
use sayso::testing::telemetry::counters::Counters;
use sayso::testing::wire::{DeviceTopics, Inbound, WireRules, decode};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type CountError = Box<dyn Error + Send + Sync>;

/// Runs of each scenario before and while allocations are counted.
const WARM_UP: usize = 20;
const RUNS: usize = 100;

/// The share above the baseline that fails, in percent.
const TOLERANCE_PERCENT: usize = 10;

/// The first argument of the process that stands in for a model.
const MODEL: &str = "--model";

/// The argument of the process whose instructions callgrind counts.
const SCENARIOS: &str = "--scenarios";

/// Commands of the scenario `remembered`.
const REMEMBERED: usize = 5000;

/// The names of the scenarios, in the order they are run. The instructions of the last one are not
/// counted: it is the memory that the journal holds for each command whose reply the broker has.
const NAMES: [&str; 7] = [
    "local",
    "refused",
    "cached",
    "model",
    "state",
    "announcement",
    "remembered",
];

const HOME: &str = r#"
[area.kitchen]
[device.kitchen_light]
kind = "light"
area = "kitchen"
can = ["power", "brightness"]
zigbee2mqtt = "Kitchen light"
[device.front_door]
kind = "lock"
zigbee2mqtt = "Front door"
risk = "never"
"#;

const ANNOUNCED_TOPIC: &str = "homeassistant/light/lamp/config";
const ANNOUNCEMENT: &str = r#"{"name":"Desk lamp","unique_id":"lamp","command_topic":"lamp/set",
"state_topic":"lamp","schema":"json","brightness":true}"#;

/// The cost of one run of a scenario.
#[derive(Debug, Clone, Copy)]
struct Cost {
    allocations: usize,
    bytes: usize,
    /// `None` where valgrind is not installed.
    instructions: Option<usize>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [MODEL] => serve_model().map(|()| true),
        [SCENARIOS] => count_allocations().map(|_| true),
        ["--write"] => run(true),
        [] => run(false),
        _ => Err("usage: counts [--write]".into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "counts: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures every scenario; returns whether all are within the tolerance.
fn run(write: bool) -> Result<bool, CountError> {
    let mut measured = count_allocations()?;
    let instructions = count_instructions()?;
    for (cost, instructions) in measured.iter_mut().zip(instructions) {
        cost.instructions = Some(instructions);
    }
    // Not in callgrind: the time of the first ones would be over before the last one.
    let folder = tempfile::tempdir()?;
    measured.push(Stage::new(folder.path(), 1)?.remembered_commands()?);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.txt");
    if write {
        let lines = NAMES.iter().zip(&measured).map(|(name, one)| {
            let instructions = one.instructions.unwrap_or_default();
            format!("{name} {} {} {instructions}\n", one.allocations, one.bytes)
        });
        fs::write(&path, lines.collect::<String>())?;
    }
    compare(&measured, &read_baseline(&fs::read_to_string(&path)?)?)
}

/// Prints each scenario beside its baseline; returns whether all are within the tolerance.
fn compare(measured: &[Cost], baseline: &BTreeMap<String, Cost>) -> Result<bool, CountError> {
    let mut out = std::io::stdout();
    let mut is_good = true;
    writeln!(
        out,
        "scenario       allocations  baseline      bytes  baseline   instructions   baseline"
    )?;
    for (name, one) in NAMES.iter().zip(measured) {
        let before = baseline
            .get(*name)
            .ok_or("a scenario has no baseline: run with --write")?;
        let counted = one.instructions.zip(before.instructions);
        let is_more = exceeds(one.allocations, before.allocations)
            || exceeds(one.bytes, before.bytes)
            || counted.is_some_and(|(now, before)| exceeds(now, before));
        is_good &= !is_more;
        let instructions = one.instructions.map_or("-".to_owned(), |n| n.to_string());
        writeln!(
            out,
            "{name:<14} {:>11} {:>9} {:>10} {:>9} {instructions:>14} {:>10}{}",
            one.allocations,
            before.allocations,
            one.bytes,
            before.bytes,
            before.instructions.unwrap_or_default(),
            if is_more { "  MORE" } else { "" }
        )?;
    }
    Ok(is_good)
}

fn exceeds(now: usize, before: usize) -> bool {
    now > before + before * TOLERANCE_PERCENT / 100
}

fn read_baseline(text: &str) -> Result<BTreeMap<String, Cost>, CountError> {
    let mut baseline = BTreeMap::new();
    for line in text.lines() {
        let [name, allocations, bytes, instructions] = line.split(' ').collect::<Vec<_>>()[..]
        else {
            return Err(format!("counts.txt: not a line of the baseline: {line}").into());
        };
        let one = Cost {
            allocations: allocations.parse()?,
            bytes: bytes.parse()?,
            instructions: Some(instructions.parse()?),
        };
        baseline.insert(name.to_owned(), one);
    }
    Ok(baseline)
}

/// Runs all scenarios in callgrind, and returns the instructions of one run of each; nothing where
/// valgrind is not installed.
fn count_instructions() -> Result<Vec<usize>, CountError> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("callgrind");
    let ran = Process::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(format!("--dump-after={MEASURED}"))
        .arg(format!("--callgrind-out-file={}", output.display()))
        .arg(env::current_exe()?)
        .arg(SCENARIOS)
        .output();
    let ran = match ran {
        Ok(ran) => ran,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    if !ran.status.success() {
        return Err(String::from_utf8_lossy(&ran.stderr).into());
    }
    (1..NAMES.len())
        .map(|part| {
            let text = fs::read_to_string(output.with_extension(part.to_string()))?;
            let summary = text.lines().find_map(|line| line.strip_prefix("summary: "));
            let total: usize = summary.ok_or("callgrind counted nothing")?.trim().parse()?;
            Ok(total / RUNS)
        })
        .collect()
}

/// The function whose instructions callgrind counts.
const MEASURED: &str = "counts::measured_runs";

/// Runs a scenario. Nothing else is in this function, so that callgrind can find it.
#[inline(never)]
fn measured_runs(run: &mut dyn FnMut(usize) -> Result<(), CountError>) -> Result<(), CountError> {
    (0..RUNS).try_for_each(run)
}

/// Runs a scenario a few times, and then counts.
fn measure(mut run: impl FnMut(usize) -> Result<(), CountError>) -> Result<Cost, CountError> {
    (RUNS..RUNS + WARM_UP).try_for_each(&mut run)?;
    let region = Region::new(ALLOCATOR);
    measured_runs(&mut run)?;
    let change = region.change();
    Ok(Cost {
        allocations: (change.allocations + change.reallocations) / RUNS,
        bytes: change.bytes_allocated / RUNS,
        instructions: None,
    })
}

/// Runs all scenarios but the last, in the order of their names.
fn count_allocations() -> Result<Vec<Cost>, CountError> {
    let mut model = Process::new(env::current_exe()?)
        .arg(MODEL)
        .stdout(Stdio::piped())
        // If this process crashes, nobody shall wait for the end of its output.
        .stderr(Stdio::null())
        .spawn()?;
    let mut port = [0; 5];
    model
        .stdout
        .take()
        .ok_or("no output of the model")?
        .read_exact(&mut port)?;
    let port: u16 = std::str::from_utf8(&port)?.trim().parse()?;
    let counted = scenarios(port);
    model.kill()?;
    model.wait()?;
    counted
}

fn scenarios(port: u16) -> Result<Vec<Cost>, CountError> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(folder.path(), port)?;
    Ok(vec![
        stage.commands("turn on the kitchen light", "done")?,
        stage.commands("unlock the front door", "refused")?,
        // The first run asks the model; the others are answered from the cache.
        stage.commands("a cosy kitchen for cooking", "done")?,
        stage.new_questions()?,
        stage.states()?,
        stage.announcements()?,
    ])
}

/// The pipeline of a small home, without a broker.
struct Stage {
    runtime: Runtime,
    pipeline: Pipeline,
    journal: Arc<Journal>,
    rules: WireRules,
    config: Config,
}

impl Stage {
    fn new(folder: &Path, port: u16) -> Result<Self, CountError> {
        fs::write(folder.join("home.toml"), HOME)?;
        let config = format!(
            "[limits]\nburst = 1000\nper_minute = 60000\n[[provider]]\nname = \"fake\"\nmodel = \"m\"\ntrusted = true\n\
             base_url = \"http://127.0.0.1:{port}/v1\"\n"
        );
        fs::write(folder.join("sayso.toml"), config)?;
        let location = ConfigLocation {
            config: Some(folder.join("sayso.toml")),
            home: Some(folder.join("home.toml")),
            ..ConfigLocation::default()
        };
        let config = Config::load(&location).map_err(|faults| faults.to_string())?;
        let journal = Arc::new(Journal::in_memory(Duration::from_mins(1)));
        let publish = Box::new(|_: OutboundAction| Delivery::ended(Ok(())));
        let counters = Arc::new(Counters::default());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let pipeline = pipeline(&config, None, Arc::clone(&journal), counters, publish)?;
        drop(entered);
        let rules = WireRules {
            prefix: "sayso".to_owned(),
            reply_prefixes: Vec::new(),
            devices: DeviceTopics::default(),
            ttl: Duration::from_mins(1),
        };
        Ok(Self {
            runtime,
            pipeline,
            journal,
            rules,
            config,
        })
    }

    /// Processes one command, and returns the encoded reply.
    async fn command(&self, payload: &[u8]) -> Result<Vec<u8>, CountError> {
        let inbound = Inbound {
            topic: "sayso/command/me",
            payload,
            response_topic: None,
            correlation: None,
            expiry: None,
            hops: 0,
            heard_at: Instant::now().into_std(),
            wall_clock: None,
        };
        let mut command = decode(&inbound, &self.rules).map_err(|_| "not a command")?;
        let received = Received {
            topic: inbound.topic.to_owned(),
            payload: payload.to_vec(),
            response_topic: Some(command.reply_to.topic.clone()),
            correlation: None,
            id: command.id_given.then(|| command.id.to_string()),
            packet: None,
            identity: None,
            is_dated: false,
            until: self.journal.moment(Duration::from_mins(1)),
        };
        let JournalEntry::New(seq) = self.journal.receive(received, 1, Redelivery::No) else {
            return Err("taken for a duplicate".into());
        };
        command.seq = seq.number();
        let answer = self.pipeline.answer_in_full(&command, Some(seq)).await;
        self.journal.record_reply_ack(seq);
        Ok(answer.payload)
    }

    fn commands(&self, text: &str, outcome: &str) -> Result<Cost, CountError> {
        let outcome = format!("\"outcome\":\"{outcome}\"");
        measure(|_| {
            let reply = self.runtime.block_on(self.command(text.as_bytes()))?;
            let is_expected = reply
                .windows(outcome.len())
                .any(|part| part == outcome.as_bytes());
            if is_expected {
                return Ok(());
            }
            Err(format!("{text}: {}", String::from_utf8_lossy(&reply)).into())
        })
    }

    /// Phrases the model has not answered before.
    fn new_questions(&self) -> Result<Cost, CountError> {
        let texts: Vec<String> = (0..RUNS + WARM_UP)
            .map(|n| format!("a cosy kitchen for cooking, number {n}"))
            .collect();
        measure(|n| {
            let command = self.command(texts[n].as_bytes());
            self.runtime.block_on(command).map(|_| ())
        })
    }

    fn states(&self) -> Result<Cost, CountError> {
        let payloads = [
            r#"{"state":"ON","brightness":10}"#,
            r#"{"state":"OFF","brightness":20}"#,
        ];
        measure(|n| {
            let payload = payloads[n % payloads.len()];
            let _runtime = self.runtime.enter();
            self.pipeline
                .observe("zigbee2mqtt/Kitchen light", payload.as_bytes());
            Ok(())
        })
    }

    /// An announcement, and the home built from it.
    fn announcements(&self) -> Result<Cost, CountError> {
        let settings = self.config.discovery.clone();
        let home = Arc::clone(&self.config.home);
        let mut finder = Finder::new(settings, home, "sayso");
        let announcements = ["Desk", "Wall"].map(|name| ANNOUNCEMENT.replace("Desk", name));
        measure(|n| {
            let announcement = &announcements[n % announcements.len()];
            finder.receive(
                ANNOUNCED_TOPIC,
                announcement.as_bytes(),
                Instant::now().into_std(),
            );
            finder
                .build()
                .map_err(|_| "the announcement conflicts with the home")?;
            Ok(())
        })
    }

    /// Finishes commands, and returns the allocations and bytes that the journal holds for each.
    fn remembered_commands(&self) -> Result<Cost, CountError> {
        let finish = |n: usize| {
            let payload = format!("{{\"id\":\"{n}\",\"text\":\"turn on the kitchen light\"}}");
            let command = self.command(payload.as_bytes());
            self.runtime.block_on(command).map(|_| ())
        };
        (0..WARM_UP).try_for_each(finish)?;
        let region = Region::new(ALLOCATOR);
        (WARM_UP..WARM_UP + REMEMBERED).try_for_each(finish)?;
        let change = region.change();
        let (remembered, _) = self.journal.counts();
        if remembered != WARM_UP + REMEMBERED {
            return Err(format!("only {remembered} commands are remembered").into());
        }
        Ok(Cost {
            allocations: (change.allocations - change.deallocations) / REMEMBERED,
            bytes: (change.bytes_allocated - change.bytes_deallocated) / REMEMBERED,
            instructions: None,
        })
    }
}

/// A model that turns on the kitchen light, whatever the question. Ends with its parent.
fn serve_model() -> Result<(), CountError> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    write!(std::io::stdout(), "{port:>5}")?;
    std::io::stdout().flush()?;
    for stream in listener.incoming() {
        answer_all(stream?)?;
    }
    Ok(())
}

fn answer_all(mut stream: TcpStream) -> Result<(), CountError> {
    let draft = r#"{"actions":[{"device":"kitchen_light","op":"set","property":"power","value":"on"}],"question":null,"speech":null}"#;
    let body = serde_json::json!({
        "choices": [{"message": {"role": "assistant", "content": draft}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 30},
    })
    .to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut bytes = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        let read = stream.read(&mut part)?;
        if read == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&part[..read]);
        if is_whole(&bytes) {
            bytes.clear();
            stream.write_all(answer.as_bytes())?;
        }
    }
}

/// Returns whether the bytes are a request with its whole body.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_none_or(|length| body.len() >= length)
}
