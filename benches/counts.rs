//! The allocations of one command, one state message and one announcement, beside a committed
//! baseline. Counts do not depend on the speed of the machine, so that a regression shows at once.
//!
//! - `cargo bench -p sayso-benches --bench counts --profile dev`: prints each scenario with its
//!   difference to `benches/counts.txt`, and fails if one is more than a tenth above it.
//! - the same with `-- --write`: writes the baseline.
//!
//! Measured is everything between the packet received and the packets sent: reading the payload,
//! understanding, the permission gate, the journal in memory and the encoded reply. The model of the
//! scenario `model` is a server in another process.

use std::alloc::System;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};
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
use sayso::testing::pipeline::{OutboundAction, Pipeline};
use sayso::testing::store::journal::{Journal, JournalEntry, Received};
use sayso::testing::telemetry::counters::Counters;
use sayso::testing::wire::{Inbound, WireRules, decode, encode};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
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

/// Allocations of one run, and their bytes.
#[derive(Debug, Clone, Copy)]
struct Allocations {
    count: usize,
    bytes: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [MODEL] => serve_model().map(|()| true),
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let measured = runtime.block_on(measure())?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.txt");
    let mut out = std::io::stdout();
    if write {
        let lines = measured
            .iter()
            .map(|(name, one)| format!("{name} {} {}\n", one.count, one.bytes));
        fs::write(&path, lines.collect::<String>())?;
    }
    let baseline = read_baseline(&fs::read_to_string(&path)?)?;
    let mut is_good = true;
    writeln!(
        out,
        "scenario       allocations  baseline      bytes  baseline"
    )?;
    for (name, one) in &measured {
        let before = baseline
            .get(*name)
            .ok_or("a scenario has no baseline: run with --write")?;
        let limit = before.count + before.count * TOLERANCE_PERCENT / 100;
        let verdict = if one.count > limit { "  MORE" } else { "" };
        is_good &= one.count <= limit;
        writeln!(
            out,
            "{name:<14} {:>11} {:>9} {:>10} {:>9}{verdict}",
            one.count, before.count, one.bytes, before.bytes
        )?;
    }
    Ok(is_good)
}

fn read_baseline(text: &str) -> Result<BTreeMap<String, Allocations>, CountError> {
    let mut baseline = BTreeMap::new();
    for line in text.lines() {
        let [name, count, bytes] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("counts.txt: not a line of the baseline: {line}").into());
        };
        let one = Allocations {
            count: count.parse()?,
            bytes: bytes.parse()?,
        };
        baseline.insert(name.to_owned(), one);
    }
    Ok(baseline)
}

async fn measure() -> Result<Vec<(&'static str, Allocations)>, CountError> {
    let mut model = Process::new(env::current_exe()?)
        .arg(MODEL)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut port = [0; 5];
    model
        .stdout
        .take()
        .ok_or("no output of the model")?
        .read_exact(&mut port)?;
    let port: u16 = std::str::from_utf8(&port)?.trim().parse()?;
    let counted = scenarios(port).await;
    model.kill()?;
    model.wait()?;
    counted
}

async fn scenarios(port: u16) -> Result<Vec<(&'static str, Allocations)>, CountError> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::new(folder.path(), port)?;
    let mut counted = vec![
        (
            "local",
            stage.commands("turn on the kitchen light", "done").await?,
        ),
        (
            "refused",
            stage.commands("unlock the front door", "refused").await?,
        ),
    ];
    // The first run asks the model; the others are answered from the cache.
    counted.push((
        "cached",
        stage.commands("a cosy kitchen for cooking", "done").await?,
    ));
    counted.push(("model", stage.new_questions().await?));
    counted.push(("state", stage.states()));
    counted.push(("announcement", stage.announcements()?));
    Ok(counted)
}

/// The pipeline of a small home, without a broker.
struct Stage {
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
        let publish = Box::new(|_: OutboundAction| {
            Box::pin(std::future::ready(Ok(()))) as sayso::testing::pipeline::PublishFuture
        });
        let counters = Arc::new(Counters::default());
        let pipeline = pipeline(&config, None, Arc::clone(&journal), counters, publish)?;
        let rules = WireRules {
            prefix: "sayso".to_owned(),
            reply_prefixes: Vec::new(),
            ttl: Duration::from_mins(1),
        };
        Ok(Self {
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
            id: None,
            packet: None,
            identity: None,
            is_dated: false,
            until: self.journal.moment(Duration::from_mins(1)),
        };
        let JournalEntry::New(seq) = self.journal.receive(received, 1, Redelivery::No) else {
            return Err("taken for a duplicate".into());
        };
        command.seq = seq.number();
        let reply = self.pipeline.answer(&command, Some(seq)).await;
        self.journal.reply_acked(seq);
        Ok(encode(&reply))
    }

    async fn commands(&self, text: &str, outcome: &str) -> Result<Allocations, CountError> {
        let outcome = format!("\"outcome\":\"{outcome}\"");
        for _ in 0..WARM_UP {
            let reply = String::from_utf8(self.command(text.as_bytes()).await?)?;
            if !reply.contains(&outcome) {
                return Err(format!("{text}: {reply}").into());
            }
        }
        let region = Region::new(ALLOCATOR);
        for _ in 0..RUNS {
            self.command(text.as_bytes()).await?;
        }
        Ok(per_run(&region))
    }

    /// Phrases the model has not answered before.
    async fn new_questions(&self) -> Result<Allocations, CountError> {
        let texts: Vec<String> = (0..WARM_UP + RUNS)
            .map(|n| format!("a cosy kitchen for cooking, number {n}"))
            .collect();
        for text in &texts[..WARM_UP] {
            self.command(text.as_bytes()).await?;
        }
        let region = Region::new(ALLOCATOR);
        for text in &texts[WARM_UP..] {
            self.command(text.as_bytes()).await?;
        }
        Ok(per_run(&region))
    }

    fn states(&self) -> Allocations {
        let payloads = [
            r#"{"state":"ON","brightness":10}"#,
            r#"{"state":"OFF","brightness":20}"#,
        ];
        let state = |n: usize| {
            let payload = payloads[n % payloads.len()];
            self.pipeline
                .observe("zigbee2mqtt/Kitchen light", payload.as_bytes());
        };
        (0..WARM_UP).for_each(state);
        let region = Region::new(ALLOCATOR);
        (0..RUNS).for_each(state);
        per_run(&region)
    }

    /// An announcement, and the home built from it.
    fn announcements(&self) -> Result<Allocations, CountError> {
        let settings = self.config.discovery.clone();
        let home = Arc::clone(&self.config.home);
        let mut finder = Finder::new(settings, home, "sayso");
        let mut total = Allocations { count: 0, bytes: 0 };
        for n in 0..RUNS {
            let announcement =
                ANNOUNCEMENT.replace("Desk", if n % 2 == 0 { "Desk" } else { "Wall" });
            let region = Region::new(ALLOCATOR);
            finder.receive(
                ANNOUNCED_TOPIC,
                announcement.as_bytes(),
                Instant::now().into_std(),
            );
            finder
                .build()
                .map_err(|_| "the announcement conflicts with the home")?;
            let one = region.change();
            total.count += one.allocations + one.reallocations;
            total.bytes += one.bytes_allocated;
        }
        Ok(Allocations {
            count: total.count / RUNS,
            bytes: total.bytes / RUNS,
        })
    }
}

fn per_run(region: &Region<'_, System>) -> Allocations {
    let change = region.change();
    Allocations {
        count: (change.allocations + change.reallocations) / RUNS,
        bytes: change.bytes_allocated / RUNS,
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
