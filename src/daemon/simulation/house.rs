//! A house with a daemon: its sender of commands, its devices, and all that goes wrong in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::config::{Config, ConfigLocation};
use crate::daemon::simulation::ledger::{DeviceMessage, SentKind, SentText, SimulatedLedger};
use crate::daemon::storage::Storage;
use crate::daemon::{BrokerEnds, DaemonSignal, Handles, finder, serve};
use crate::mqtt::simulated_broker::{SimulatedBroker, connect_simulated};
use crate::pipeline::simulated_model::simulate_model;
use crate::store::journal::simulated_disk::{self, DiskBehaviour, copied, simulate_disk};
use crate::systemd::Notify;
use crate::telemetry::counters::Counters;
use crate::telemetry::log::Log;

/// Steps of one history.
const STEPS: usize = 60;

/// How long the last commands may take to be answered once nothing fails any more.
const DRAIN: Duration = Duration::from_mins(3);

/// How long after a failure of the disk the journal promises nothing.
const UNSAFE: Duration = Duration::from_secs(15);

/// How long a command may take, in seconds: an ordinary one, and a hurried one.
const TTL: [u64; 2] = [40, 3];

const CONFIG: &str = r#"
home = "home.toml"
[mqtt]
host = "127.0.0.1"
keep_alive = "5s"
[store]
path = "store"
[discovery]
homeassistant = "homeassistant"
zigbee2mqtt = []
tasmota = false
[limits]
per_minute = 100000
burst = 1000
[ask]
deadline = "12s"
[[provider]]
name = "simulated"
api = "openai"
base_url = "http://127.0.0.1:9/v1"
model = "simulated"
"#;

const HOME: &str = r#"
[device.alpha]
kind = "counter"
[device.alpha.property.level]
range = [0, 10000000]
[device.beta]
kind = "counter"
[device.beta.property.level]
range = [0, 10000000]
[device.dial]
kind = "counter"
[device.dial.property.level]
range = [0, 10000000]
[device.red_lamp]
kind = "light"
can = ["power"]
[device.bell]
kind = "button"
[device.chime]
kind = "button"
"#;

/// One run of the daemon.
struct DaemonLife {
    task: JoinHandle<()>,
    signals: mpsc::Sender<DaemonSignal>,
}

/// The house.
pub(super) struct SimulatedHouse {
    random: StdRng,
    broker: SimulatedBroker,
    /// The disk of the daemon.
    folder: TempDir,
    life: DaemonLife,
    ledger: SimulatedLedger,
    /// The last reported states of devices.
    states: BTreeMap<&'static str, Json>,
    disk: DiskBehaviour,
    /// The journal promises nothing before.
    unsafe_until: Instant,
}

fn begin_life(folder: &Path, broker: SimulatedBroker) -> DaemonLife {
    let (signals, told) = mpsc::channel(4);
    let config = Config::load(&ConfigLocation::at(folder.join("sayso.toml"))).unwrap();
    let task = tokio::task::spawn_local(async move {
        let counters = Arc::new(Counters::default());
        let storage = Storage::open(&config).unwrap();
        let finder = finder(&config);
        let topics = finder.subscriptions(&config.home);
        let ends = connect_simulated(&config.mqtt, topics, Arc::clone(&counters), broker);
        let (connection, inbox, outbox) = ends.unwrap();
        let ends = BrokerEnds {
            connection: connection.run(),
            inbox,
            outbox,
            counters,
            pair: None,
        };
        let handles = Handles {
            notify: Notify::new(None),
            told,
            log: Log::default(),
        };
        let daemon = Box::pin(serve(config, handles, storage, finder, ends));
        daemon.await.unwrap();
    });
    DaemonLife { task, signals }
}

impl SimulatedHouse {
    pub(super) fn start(seed: u64) -> Self {
        crate::clock::simulate_clocks();
        simulate_model(seed);
        let disk = DiskBehaviour::default();
        simulate_disk(disk);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sayso.toml"), CONFIG).unwrap();
        fs::write(folder.path().join("home.toml"), HOME).unwrap();
        let broker = SimulatedBroker::new(seed);
        let states = [
            ("red_lamp", json!({"power": "off"})),
            ("dial", json!({"level": 1})),
        ];
        for (device, state) in &states {
            broker.publish(&format!("sayso/state/{device}"), state.to_string(), true);
        }
        Self {
            random: StdRng::seed_from_u64(seed),
            life: begin_life(folder.path(), broker.clone()),
            broker,
            folder,
            ledger: SimulatedLedger::default(),
            states: states.into(),
            disk,
            unsafe_until: Instant::now(),
        }
    }

    /// Lives through all steps.
    pub(super) async fn live(&mut self) {
        self.pass(Duration::from_secs(1)).await;
        for _ in 0..STEPS {
            match self.random.random_range(0..100) {
                0..66 => self.send(),
                66..73 => self.cut(),
                73..77 => self.restart_broker().await,
                77..81 => self.freeze_broker(),
                81..85 => self.mute_broker(),
                85..88 => self.slow_down(),
                88..92 => self.change_disk(),
                92..97 => self.kill().await,
                97..99 => self.power_cut().await,
                _ => self.stop().await,
            }
            let longest = if self.random.random_bool(0.1) {
                4000
            } else {
                300
            };
            let pause = self.random.random_range(0..longest);
            self.pass(Duration::from_millis(pause)).await;
        }
    }

    /// Lets nothing fail any more, waits for the last replies, and returns the record.
    pub(super) async fn end(mut self) -> SimulatedLedger {
        self.set_disk(DiskBehaviour::default());
        self.broker.set_longest_delay(Duration::from_millis(5));
        let end = Instant::now() + DRAIN;
        while !self.ledger.is_answered() && Instant::now() < end {
            self.pass(Duration::from_secs(1)).await;
        }
        self.pass(Duration::from_secs(2)).await;
        self.stop().await;
        self.life.task.abort();
        self.ledger
    }

    /// Lets time pass; devices and the sender receive their messages meanwhile.
    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            self.receive();
            if self.life.task.is_finished() {
                self.ledger
                    .other
                    .push("the daemon ended by itself".to_owned());
                self.begin_again(copied(self.folder.path()));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            sleep(left.min(Duration::from_millis(20))).await;
        }
    }

    fn receive(&mut self) {
        for receipt in self.broker.take_received() {
            let json: Json = serde_json::from_slice(&receipt.payload).unwrap_or_default();
            if let Some(device) = receipt.topic.strip_prefix("sayso/action/") {
                self.act(device, &json, receipt.left);
            } else if receipt.topic == "sayso/reply/anonymous" {
                let id = json["id"].as_str().unwrap_or_default().to_owned();
                self.ledger.chime_replies.insert(id);
            } else if receipt.topic.starts_with("sayso/reply/") {
                self.take_reply(&json);
            }
        }
    }

    fn take_reply(&mut self, reply: &Json) {
        let number = |id: &str| id.strip_prefix('c')?.parse::<usize>().ok();
        let Some(sent) = reply["id"]
            .as_str()
            .and_then(number)
            .and_then(|n| self.ledger.sent.get_mut(n))
        else {
            return;
        };
        // Events follow a reply on a topic below it.
        let Some(outcome) = reply["outcome"].as_str() else {
            return;
        };
        let end = reply["why"].as_str().unwrap_or(outcome).to_owned();
        sent.answers.push((Instant::now(), end));
    }

    fn act(&mut self, device: &str, action: &Json, left: Instant) {
        if device == "chime" {
            self.ledger.chimes.1 += 1;
            return;
        }
        let (op, property) = (action["op"].as_str(), action["property"].as_str());
        let (op, property) = (op.unwrap_or_default(), property.unwrap_or_default());
        let value = &action["value"];
        let id = action["command"].as_str().unwrap_or_default();
        let n = id.strip_prefix('c').and_then(|n| n.parse().ok());
        match n {
            Some(n) => self.ledger.received.push(DeviceMessage {
                device: device.into(),
                n,
                value: format!("{op} {value}"),
                left,
            }),
            None => self
                .ledger
                .other
                .push(format!("a message of nobody: {action}")),
        }
        let Some((name, state)) = self.states.iter_mut().find(|(name, _)| **name == device) else {
            return;
        };
        if op == "set" {
            state[property] = value.clone();
        }
        let (topic, state) = (format!("sayso/state/{name}"), state.to_string());
        self.broker.publish(&topic, state, true);
    }

    fn send(&mut self) {
        let n = self.ledger.sent.len();
        let (kind, text) = match self.random.random_range(0..100) {
            0..25 => (SentKind::Level, format!("set the alpha level to {n}")),
            25..35 => (SentKind::Level, format!("set the beta level to {n}")),
            35..50 => (SentKind::ModelLevel, format!("do job alpha {n}")),
            50..65 => (SentKind::Toggle, "toggle the red lamp".to_owned()),
            65..75 => (
                SentKind::Relative,
                format!("increase the dial level by {}", 1 + n % 7),
            ),
            75..88 => (SentKind::Press, "press the bell".to_owned()),
            88..94 => (SentKind::Query, "what is the alpha level".to_owned()),
            _ => {
                self.ledger.chimes.0 += 1;
                self.broker
                    .publish("sayso/command/anonymous", "press the chime", false);
                return;
            }
        };
        let ttl = TTL[usize::from(self.random.random_bool(0.15))];
        let ts = crate::clock::wall()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let payload = json!({"id": format!("c{n}"), "text": text, "ttl": format!("{ttl}s"), "ts": ts.as_secs_f64()});
        let source = ["hall", "tablet"][self.random.random_range(0..2)];
        let topic = format!("sayso/command/{source}");
        let is_repeated = self.random.random_bool(0.04);
        for _ in 0..=usize::from(is_repeated) {
            self.broker.publish(&topic, payload.to_string(), false);
        }
        self.ledger.sent.push(SentText {
            kind,
            at: Instant::now(),
            ttl: Duration::from_secs(ttl),
            answers: Vec::new(),
            is_repeated,
        });
    }

    fn cut(&mut self) {
        self.ledger.fault("connection cut");
        self.broker.cut();
    }

    async fn restart_broker(&mut self) {
        self.ledger.fault("broker restart");
        self.broker.set_up(false);
        let time = self.random.random_range(0..5000);
        self.pass(Duration::from_millis(time)).await;
        self.broker.set_up(true);
    }

    fn freeze_broker(&mut self) {
        self.ledger.fault("broker frozen");
        let time = self.random.random_range(500..8000);
        self.broker.freeze(Duration::from_millis(time));
    }

    fn mute_broker(&mut self) {
        self.ledger.fault("acknowledgements swallowed");
        let time = self.random.random_range(100..3000);
        self.broker.mute(Duration::from_millis(time));
    }

    fn slow_down(&mut self) {
        self.ledger.fault("network slow");
        let delay = self.random.random_range(1..1500);
        self.broker.set_longest_delay(Duration::from_millis(delay));
    }

    fn change_disk(&mut self) {
        let (name, longest, is_full) = match self.random.random_range(0..10) {
            0..3 => ("disk quick", 10, false),
            3..7 => ("disk slow", 1500, false),
            7..9 => ("disk hangs", 9000, false),
            _ => ("disk full", 10, true),
        };
        self.ledger.fault(name);
        let delay = Duration::from_millis(self.random.random_range(0..longest));
        self.set_disk(DiskBehaviour { delay, is_full });
    }

    fn set_disk(&mut self, disk: DiskBehaviour) {
        let before = std::mem::replace(&mut self.disk, disk);
        if before.is_full || before.delay >= Duration::from_secs(4) {
            self.unsafe_until = Instant::now() + UNSAFE;
        }
        simulate_disk(disk);
    }

    /// Waits until the journal keeps its promises.
    async fn until_safe(&mut self) {
        self.set_disk(DiskBehaviour::default());
        let left = self.unsafe_until.saturating_duration_since(Instant::now());
        self.pass(left).await;
    }

    async fn kill(&mut self) {
        self.until_safe().await;
        self.ledger.fault("kill -9");
        self.until_no_write().await;
        let image = copied(self.folder.path());
        self.begin_again(image);
    }

    /// The disk keeps all synced bytes, and a part of those appended since.
    async fn power_cut(&mut self) {
        self.until_safe().await;
        simulated_disk::keep_image(self.folder.path());
        let time = self.random.random_range(300..4000);
        self.pass(Duration::from_millis(time)).await;
        self.until_no_write().await;
        let Some(image) = simulated_disk::take_image() else {
            return;
        };
        self.ledger.fault("power cut");
        self.ledger.power_cuts.push(Instant::now());
        for name in ["tail.0", "tail.1"] {
            let written = fs::read(self.folder.path().join("store").join(name)).unwrap();
            let cut = self.random.random_range(0..=written.len());
            if self.random.random_bool(0.5) {
                fs::write(image.path().join("store").join(name), &written[..cut]).unwrap();
            }
        }
        self.begin_again(image);
    }

    async fn stop(&mut self) {
        self.until_safe().await;
        self.ledger.fault("stop and start");
        let _ = self.life.signals.try_send(DaemonSignal::Stop);
        let ended = timeout(Duration::from_mins(1), &mut self.life.task).await;
        if ended.is_err() {
            self.ledger
                .other
                .push("the daemon did not stop in time".to_owned());
        }
        self.receive();
        self.begin_again(copied(self.folder.path()));
    }

    async fn until_no_write(&self) {
        while !simulated_disk::end_writes() {
            tokio::task::yield_now().await;
        }
    }

    /// Ends the run of the daemon, and begins another one on this disk.
    fn begin_again(&mut self, image: TempDir) {
        self.life.task.abort();
        self.broker.cut();
        self.folder = image;
        self.life = begin_life(self.folder.path(), self.broker.clone());
    }
}
