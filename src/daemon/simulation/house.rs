//! A house with a daemon, and all that goes wrong in it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::config::{Config, ConfigLocation};
use crate::daemon::simulation::clients::SimulatedClients;
use crate::daemon::simulation::ledger::{SentKind, SimulatedLedger};
use crate::daemon::storage::Storage;
use crate::daemon::{BrokerEnds, DaemonSignal, Handles, finder, serve};
use crate::mqtt::simulated_broker::{SimulatedBroker, connect_simulated};
use crate::pipeline::simulated_model::{TWICE, simulate_model};
use crate::store::journal::simulated_disk::{self, DiskBehaviour, copied, simulate_disk};
use crate::systemd::Notify;
use crate::telemetry::counters::Counters;
use crate::telemetry::log::Log;

/// Steps of one history.
const STEPS: usize = 60;

/// Time the last commands may take to be answered once nothing fails any more.
pub(super) const DRAIN: Duration = Duration::from_mins(3);

/// Time after a failure of the disk in which the journal promises nothing.
const UNSAFE: Duration = Duration::from_secs(15);

pub(super) const CONFIG: &str = r#"
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

pub(super) const HOME: &str = r#"
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

/// A daemon with its clients, its broker and its disk, whose failures it simulates.
pub(super) struct SimulatedHouse {
    clients: SimulatedClients,
    /// The disk of the daemon.
    folder: TempDir,
    life: DaemonLife,
    disk: DiskBehaviour,
    /// The journal promises nothing before.
    unsafe_until: Instant,
}

fn begin_life(folder: &Path, broker: SimulatedBroker) -> DaemonLife {
    let (signals, receiver) = mpsc::channel(4);
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
            signals: receiver,
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
        let clients = SimulatedClients::new(seed);
        Self {
            life: begin_life(folder.path(), clients.broker.clone()),
            clients,
            folder,
            disk,
            unsafe_until: Instant::now(),
        }
    }

    /// Lives through all steps.
    pub(super) async fn live(&mut self) {
        self.pass(Duration::from_secs(1)).await;
        for _ in 0..STEPS {
            match self.clients.random.random_range(0..100) {
                0..66 => self.clients.send(),
                66..73 => self.cut(),
                73..77 => self.restart_broker().await,
                77..81 => self.clients.freeze_broker(),
                81..85 => self.clients.mute_broker(),
                85..88 => self.clients.slow_down(1500),
                88..92 => self.change_disk(),
                92..97 => self.kill().await,
                97..99 => self.power_cut().await,
                _ => self.stop().await,
            }
            let longest = if self.clients.random.random_bool(0.1) {
                4000
            } else {
                300
            };
            let pause = self.clients.random.random_range(0..longest);
            self.pass(Duration::from_millis(pause)).await;
        }
    }

    /// Kills the program during a command, and again while it continues that command and receives a
    /// newer one for the same device. The newer one expires before the next run.
    pub(super) async fn live_through_two_crashes(&mut self) {
        self.pass(Duration::from_secs(1)).await;
        self.clients.broker.mute(Duration::from_millis(250));
        let toggle = "toggle the red lamp";
        self.clients
            .send_text(SentKind::Toggle, toggle, (40, false));
        self.pass(Duration::from_millis(300)).await;
        self.kill().await;
        // It waits for the disk before it continues, and before it ends.
        self.set_disk(DiskBehaviour {
            delay: Duration::from_millis(3800),
            is_full: false,
        });
        // Later commands are none that the earlier run may have received.
        self.pass(Duration::from_millis(5200)).await;
        self.clients.broker.mute(Duration::from_secs(1));
        let off = "turn the red lamp off";
        self.clients.send_text(SentKind::Level, off, (3, false));
        self.pass(Duration::from_millis(200)).await;
        self.kill().await;
        self.clients.broker.freeze(Duration::from_secs(4));
        self.pass(Duration::from_secs(5)).await;
    }

    /// Cuts the power before anything of two commands for one device is on disk. The broker sends
    /// both again, and the newer one has expired by then.
    pub(super) async fn live_through_a_power_cut(&mut self) {
        self.pass(Duration::from_secs(1)).await;
        self.until_no_write().await;
        let image = copied(self.folder.path());
        self.set_disk(DiskBehaviour {
            delay: Duration::from_millis(3800),
            is_full: false,
        });
        self.clients.broker.mute(Duration::from_secs(1));
        let texts = [("turn the red lamp on", 40), ("turn the red lamp off", 3)];
        for (text, ttl) in texts {
            self.clients.send_text(SentKind::Level, text, (ttl, false));
            self.pass(Duration::from_millis(100)).await;
        }
        self.until_no_write().await;
        self.cut_power(image);
        self.clients.broker.freeze(Duration::from_secs(4));
        self.pass(Duration::from_secs(5)).await;
    }

    /// Kills the program when it has carried out a command and has written nothing of it. The next
    /// run waits for the disk before it continues the command, until that has expired.
    pub(super) async fn live_through_a_wait_for_the_disk(&mut self) {
        self.pass(Duration::from_secs(1)).await;
        self.clients.broker.mute(Duration::from_secs(1));
        let text = "turn the red lamp on";
        self.clients.send_text(SentKind::Level, text, (5, false));
        self.pass(Duration::from_millis(300)).await;
        self.kill().await;
        self.set_disk(DiskBehaviour {
            delay: Duration::from_millis(3800),
            is_full: false,
        });
        self.pass(Duration::from_secs(9)).await;
    }

    /// Sends a command again after its time to live, because its first reply asked for a
    /// repetition. The clock has been set back in between, so that the command seems to be in time.
    pub(super) async fn live_through_a_clock_set_back(&mut self) {
        self.pass(Duration::from_secs(1)).await;
        let text = format!("do job alpha 7{TWICE}");
        self.clients
            .send_text(SentKind::ModelLevel, &text, (30, false));
        self.pass(Duration::from_secs(29)).await;
        crate::clock::set_simulated_clock_back(Duration::from_mins(25));
        self.pass(Duration::from_secs(2)).await;
        self.clients.send_again(0);
    }

    /// Cuts the connection while the reply to a command waits for the disk, so that the broker
    /// sends the command again. Returns the number of replies the client has before the first one
    /// is on disk.
    pub(super) async fn live_through_a_repetition(&mut self) -> usize {
        self.pass(Duration::from_secs(1)).await;
        self.set_disk(DiskBehaviour {
            delay: Duration::from_secs(3),
            is_full: false,
        });
        let text = format!("do job alpha 7{TWICE}");
        self.clients
            .send_text(SentKind::ModelLevel, &text, (40, false));
        self.pass(Duration::from_millis(100)).await;
        self.cut();
        self.pass(Duration::from_secs(1)).await;
        self.clients.ledger.sent[0].answers.len()
    }

    /// Lets nothing fail any more, waits for the last replies, and returns the record.
    pub(super) async fn end(mut self) -> SimulatedLedger {
        self.set_disk(DiskBehaviour::default());
        self.clients
            .broker
            .set_longest_delay(Duration::from_millis(5));
        let end = Instant::now() + DRAIN;
        while !self.clients.ledger.is_answered() && Instant::now() < end {
            self.pass(Duration::from_secs(1)).await;
        }
        self.pass(Duration::from_secs(2)).await;
        self.stop().await;
        self.life.task.abort();
        self.clients.ledger
    }

    /// Lets time pass; devices and the sender receive their messages meanwhile.
    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            self.clients.receive();
            if self.life.task.is_finished() {
                self.clients
                    .ledger
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

    fn cut(&mut self) {
        self.clients.ledger.fault("connection cut");
        self.clients.broker.cut(0);
    }

    async fn restart_broker(&mut self) {
        self.clients.ledger.fault("broker restart");
        self.clients.broker.set_up(false);
        let time = self.clients.random.random_range(0..5000);
        self.pass(Duration::from_millis(time)).await;
        self.clients.broker.set_up(true);
    }

    fn change_disk(&mut self) {
        let (name, longest, is_full) = match self.clients.random.random_range(0..10) {
            0..3 => ("disk quick", 10, false),
            3..7 => ("disk slow", 1500, false),
            7..9 => ("disk hangs", 9000, false),
            _ => ("disk full", 10, true),
        };
        self.clients.ledger.fault(name);
        let delay = Duration::from_millis(self.clients.random.random_range(0..longest));
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
        self.clients.ledger.fault("kill -9");
        self.until_no_write().await;
        let image = copied(self.folder.path());
        self.begin_again(image);
    }

    /// Cuts the power; the disk keeps all synced bytes. The next run does not read the write-ahead
    /// log, because another boot of the kernel wrote it.
    async fn power_cut(&mut self) {
        self.until_safe().await;
        simulated_disk::keep_image(self.folder.path());
        let time = self.clients.random.random_range(300..4000);
        self.pass(Duration::from_millis(time)).await;
        let Some(image) = simulated_disk::take_image() else {
            return;
        };
        self.until_no_write().await;
        self.cut_power(image);
    }

    /// Ends the run of the daemon, and begins another one on this disk, without the write-ahead
    /// log.
    fn cut_power(&mut self, image: TempDir) {
        self.clients.ledger.fault("power cut");
        self.clients.ledger.power_cuts.push(Instant::now());
        for name in ["tail.0", "tail.1"] {
            fs::write(image.path().join("store").join(name), "").unwrap();
        }
        self.begin_again(image);
    }

    async fn stop(&mut self) {
        self.until_safe().await;
        self.clients.ledger.fault("stop and start");
        let _ = self.life.signals.try_send(DaemonSignal::Stop);
        let ended = timeout(Duration::from_mins(1), &mut self.life.task).await;
        if ended.is_err() {
            self.clients
                .ledger
                .other
                .push("the daemon did not stop in time".to_owned());
        }
        self.clients.receive();
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
        self.clients.broker.cut(0);
        self.folder = image;
        self.life = begin_life(self.folder.path(), self.clients.broker.clone());
    }
}
