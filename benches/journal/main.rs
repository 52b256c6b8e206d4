//! What the journal costs: `cargo bench --bench journal [-- --growth]`.
//!
//! Latency from command to action with the journal on disk and without, side by side in one run; the bytes the kernel wrote to
//! the disk for each command, understood at home and recalled, at a slow and a quick pace. With `--growth` instead: the size of the
//! store over 1,000,000 commands. Needs mosquitto; listens on loopback only; ends by itself in about two minutes.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until};

mod growth;

type Fault = Box<dyn Error + Send + Sync>;

/// How often the two sides alternate, how long each is measured, and how many commands a second are said meanwhile.
const ROUNDS: usize = 6;
const ROUND: Duration = Duration::from_secs(3);
const RATE: u32 = 100;
/// How long the last actions of a round may take.
const TAIL: Duration = Duration::from_secs(2);
/// Commands for each figure of bytes, and how many a second.
const PACES: [(u32, u32); 3] = [(1, 30), (10, 200), (100, 1500)];

fn main() -> ExitCode {
    let growth = std::env::args().any(|argument| argument == "--growth");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(Fault::from).and_then(|runtime| runtime.block_on(async { if growth { growth::grow().await } else { measure().await } }));
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

/// A program that is killed when it is dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    /// What the kernel counted as written to the disk for it, in bytes.
    fn written(&self) -> Result<u64, Fault> {
        let counts = fs::read_to_string(format!("/proc/{}/io", self.0.id()))?;
        let line = counts.lines().find_map(|line| line.strip_prefix("write_bytes: ")).ok_or("the kernel does not count what is written")?;
        Ok(line.trim().parse()?)
    }
}

fn mosquitto(folder: &Path, port: u16) -> Result<Program, Fault> {
    let file = folder.join("mosquitto.conf");
    fs::write(
        &file,
        format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nset_tcp_nodelay true\nlog_type none\n"),
    )?;
    let start = |name: &str| Command::new(name).arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Ok(Program(start("mosquitto").or_else(|_| start("/usr/sbin/mosquitto")).map_err(|_| "mosquitto is not installed: `apt-get install mosquitto`")?))
}

fn sayso(folder: &Path, prefix: &str, port: u16, model: u16, journal: bool) -> Result<Program, Fault> {
    let folder: PathBuf = folder.join(prefix);
    fs::create_dir(&folder)?;
    let store = if journal { "[store]\npath = \"store\"\n" } else { "" };
    let provider = format!("[[provider]]\nname = \"m\"\napi = \"openai\"\nbase_url = \"http://127.0.0.1:{model}/v1\"\nmodel = \"scripted\"\n");
    let mqtt = format!("[mqtt]\nhost = \"127.0.0.1\"\nport = {port}\nclient_id = \"{prefix}\"\nprefix = \"{prefix}\"\n");
    fs::write(folder.join("sayso.toml"), format!("home = \"home.toml\"\n{mqtt}{store}{provider}"))?;
    fs::write(folder.join("home.toml"), "[device.lamp]\nkind = \"light\"\n")?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_sayso"));
    command.args(["run", "--config"]).arg(folder.join("sayso.toml")).env("RUST_LOG", "warn").env_remove("STATE_DIRECTORY");
    Ok(Program(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?))
}

/// A model that always turns the lamp on.
async fn model(listener: TcpListener) {
    let action = json!({"device": "lamp", "property": "power", "op": "set", "value": "on"});
    let said = json!({"actions": [action], "speech": null, "question": null}).to_string();
    let body = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}).to_string();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut read = vec![0; 1 << 20];
        let mut had = 0;
        // The request is over when nothing more comes for a moment.
        while let Ok(Ok(n @ 1..)) = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut read)).await {
            had += n;
        }
        if had > 0 {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }
}

/// Who commands, and hears the actions.
struct Load {
    client: AsyncClient,
    events: EventLoop,
    waiting: HashMap<String, Instant>,
    said: usize,
}

impl Load {
    fn connect(port: u16, prefixes: &[&str]) -> Result<Self, Fault> {
        let mut options = MqttOptions::new("load", "127.0.0.1", port);
        let mut network = rumqttc::NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, events) = AsyncClient::new(options, 1024);
        for prefix in prefixes {
            client.try_subscribe(format!("{prefix}/action/+"), QoS::AtMostOnce)?;
        }
        Ok(Self { client, events, waiting: HashMap::new(), said: 0 })
    }

    fn say(&mut self, prefix: &str, text: &str) -> Result<(), Fault> {
        self.said += 1;
        let id = format!("n{}", self.said);
        self.waiting.insert(id.clone(), Instant::now());
        let payload = json!({"text": text, "id": id}).to_string();
        Ok(self.client.try_publish(format!("{prefix}/command/load"), QoS::AtLeastOnce, false, payload)?)
    }

    fn arrived(&mut self, event: &Event) -> Option<Duration> {
        let Event::Incoming(Packet::Publish(action)) = event else { return None };
        let action: Json = serde_json::from_slice(&action.payload).ok()?;
        Some(self.waiting.remove(action["command"].as_str()?)?.elapsed())
    }

    /// Says `count` commands at `rate` a second; gives how long each took to its action.
    async fn paced(&mut self, prefix: &str, text: &str, rate: u32, count: u32) -> Result<Vec<Duration>, Fault> {
        let mut clock = interval(Duration::from_secs(1) / rate);
        let (mut latencies, mut said) = (Vec::new(), 0);
        let mut end = None;
        while !(said == count && (self.waiting.is_empty() || end.is_some_and(|end| Instant::now() >= end))) {
            tokio::select! {
                event = self.events.poll() => latencies.extend(self.arrived(&event?)),
                _ = clock.tick(), if said < count => {
                    self.say(prefix, text)?;
                    said += 1;
                    if said == count {
                        end = Some(Instant::now() + TAIL);
                    }
                }
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => {}
            }
        }
        self.waiting.clear();
        Ok(latencies)
    }

    /// Waits until the program acts.
    async fn ready(&mut self, prefix: &str) -> Result<(), Fault> {
        let end = Instant::now() + Duration::from_secs(20);
        while self.paced(prefix, "turn on the lamp", 10, 1).await?.is_empty() {
            if Instant::now() > end {
                return Err(format!("`{prefix}` does nothing").into());
            }
        }
        Ok(())
    }
}

async fn measure() -> Result<(), Fault> {
    let folder = tempfile::Builder::new().prefix("journal-bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?.port();
    let _broker = mosquitto(folder.path(), port)?;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
        sleep(Duration::from_millis(10)).await;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let model_port = listener.local_addr()?.port();
    let mut beside = JoinSet::new();
    beside.spawn(model(listener));
    let with = sayso(folder.path(), "with", port, model_port, true)?;
    let _without = sayso(folder.path(), "without", port, model_port, false)?;
    let mut load = Load::connect(port, &["with", "without"])?;
    load.ready("with").await?;
    load.ready("without").await?;
    latency(&mut load).await?;
    bytes(&mut load, &with).await
}

async fn latency(load: &mut Load) -> Result<(), Fault> {
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
    say(&format!("{:<36}{:>12}{:>12}{:>8}", "command to action at 100/s", "no journal", "journal", "ratio"));
    for (name, at) in [("median", 50), ("90th percentile", 90), ("99th percentile", 99)] {
        let [without, with] = sides.each_ref().map(|side| side.get(side.len() * at / 100).copied().unwrap_or_default().as_secs_f64() * 1000.0);
        say(&format!("  {name:<34}{without:>9.3} ms{with:>9.3} ms{:>8.2}", with / without));
    }
    Ok(())
}

async fn bytes(load: &mut Load, program: &Program) -> Result<(), Fault> {
    // Asked once; from then on it is recalled.
    load.paced("with", "make it a little less gloomy in here", 1, 1).await?;
    sleep(Duration::from_secs(3)).await;
    say("bytes written to the disk for one command, by the kernel's count");
    for (rate, count) in PACES {
        let mut line = format!("  at {rate:>3}/s");
        for (name, text) in [("understood at home", "turn on the lamp"), ("recalled", "make it a little less gloomy in here")] {
            let before = program.written()?;
            let arrived = load.paced("with", text, rate, count).await?.len();
            sleep(Duration::from_secs(1)).await;
            let each = (program.written()? - before) / u64::from(count);
            // Writing to a text cannot fail.
            let _ = write!(line, "   {name} {each:>6} ({arrived} of {count} acted)");
        }
        say(&line);
    }
    Ok(())
}
