//! The costs of a pair and of Redis, side by side in one run: the time from a command to its reply,
//! and the memory of each node.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::caller::Caller;
use crate::model::request;
use crate::redis::Redis;
use crate::stage::{Broker, Daemon};
use crate::{house, say, settings};

/// The longest wait for a reply.
const PATIENCE: Duration = Duration::from_secs(20);

/// Commands before the first one that counts.
const WARM_UP: usize = 20;

/// One gateway or pair with a broker of its own.
struct House {
    name: &'static str,
    daemons: Vec<Daemon>,
    caller: Caller,
    local: Vec<Duration>,
    model: Vec<Duration>,
    _broker: Broker,
    _folder: TempDir,
}

impl House {
    async fn start(
        name: &'static str,
        program: &Path,
        model: u16,
        (tables, nodes): (&str, &[&str]),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = Broker::start(folder.path()).await;
        let mut daemons = Vec::new();
        for node in nodes {
            let place = folder.path().join(format!("node-{node}"));
            std::fs::create_dir_all(place.join("disk")).unwrap();
            std::fs::write(place.join("home.toml"), house::HOME).unwrap();
            let tables = tables.replace("$node", node);
            let config = settings(broker.port, model) + &tables;
            std::fs::write(place.join("sayso.toml"), config).unwrap();
            daemons.push(Daemon::start(program, &place));
        }
        let caller = Caller::new("costs", broker.port);
        let house = Self {
            name,
            daemons,
            caller,
            local: Vec::new(),
            model: Vec::new(),
            _broker: broker,
            _folder: folder,
        };
        let served = house.caller.ask("first", "turn on the red lamp", PATIENCE);
        assert!(served.await.is_some(), "{name} does not serve");
        house
    }

    /// Returns the time from a command to its reply.
    async fn time(&self, id: &str, text: &str) -> Duration {
        let begun = Instant::now();
        let reply = self.caller.ask_once(id, text, PATIENCE).await;
        let reply = reply.unwrap_or_else(|| panic!("{}: no reply to {text}", self.name));
        reply.at.saturating_duration_since(begun)
    }

    /// Takes one time of a local command and one of a command for the model.
    async fn turn(&mut self, n: usize) {
        let text = format!("set the alpha level to {n}");
        let local = self.time(&format!("l{n}"), &text).await;
        let text = format!("why is number {n} the one you like");
        let model = self.time(&format!("m{n}"), &text).await;
        self.local.push(local);
        self.model.push(model);
    }

    fn report(&mut self, what: &str) {
        let memory: Vec<String> = self
            .daemons
            .iter()
            .map(|daemon| format!("{} MiB", daemon.peak_memory().unwrap_or_default()))
            .collect();
        say(&format!(
            "  {:<30} {}   {}   {}",
            format!("{}{what}", self.name),
            summary(&mut self.local),
            summary(&mut self.model),
            memory.join(", ")
        ));
    }
}

/// Returns the median and the 99th percentile in milliseconds.
fn summary(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: usize| {
        let time = times.get(times.len() * share / 100);
        time.copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    format!("{:>7.2} {:>7.2}", at(50), at(99))
}

/// A model that answers at once.
async fn quick_model() -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            connections.spawn(async move {
                while request(&mut stream).await.is_some() {
                    let said = json!({"actions": [], "speech": "No.", "question": null});
                    let message = json!({"role": "assistant", "content": said.to_string()});
                    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
                    let usage = json!({"prompt_tokens": 100, "completion_tokens": 20});
                    let body = json!({"choices": [choice], "usage": usage}).to_string();
                    let length = body.len();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                         content-length: {length}\r\n\r\n"
                    );
                    if stream.write_all((head + &body).as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, serving)
}

/// Measures `times` commands of each type, by turns.
pub(crate) async fn costs(program: &Path, times: usize) -> bool {
    let (model, serving) = quick_model().await;
    let redis = Redis::start().await;
    let shared = format!(
        "[redis]\nurl = \"redis://127.0.0.1:{}\"\nnode = \"$node\"\n",
        redis.port()
    );
    let pair = "[pair]\nnode = \"$node\"\n";
    let mut houses = [
        House::start("alone", program, model, ("", &["a"])).await,
        House::start("pair", program, model, (pair, &["a", "b"])).await,
        House::start("alone, Redis", program, model, (&shared, &["a"])).await,
    ];
    for n in 0..WARM_UP + times {
        for house in &mut houses {
            house.turn(n).await;
        }
        if n + 1 == WARM_UP {
            for house in &mut houses {
                house.local.clear();
                house.model.clear();
            }
        }
    }
    say("  milliseconds                   local: median, p99   model: median, p99   peak memory");
    for house in &mut houses {
        house.report("");
    }
    redis.freeze();
    for house in &mut houses {
        (house.local, house.model) = (Vec::new(), Vec::new());
    }
    // By turns as before: a command right behind another one of the same gateway takes longer.
    for n in 0..times.max(4) {
        for house in &mut houses {
            house.turn(WARM_UP + times + n).await;
        }
    }
    let [alone, _, house] = &mut houses;
    alone.report(", meanwhile");
    let first: Vec<String> = house
        .model
        .iter()
        .take(4)
        .map(|time| format!("{:.1}", time.as_secs_f64() * 1e3))
        .collect();
    house.report(", which hangs");
    say(&format!(
        "  the first commands for the model took {} ms",
        first.join(", ")
    ));
    redis.thaw();
    serving.abort();
    true
}
