//! Seeded histories of two nodes of a pair under virtual time: each has its own store, and both
//! have one simulated broker. Nodes are killed, lose their network or a connection, are stopped and
//! replaced by hand; the broker stands still, restarts and acknowledges nothing.

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
use crate::daemon::simulation::house::{CONFIG, DRAIN, HOME};
use crate::daemon::simulation::ledger::{SentKind, SimulatedLedger};
use crate::daemon::storage::Storage;
use crate::daemon::{DaemonSignal, Handles, REMEMBERED_LONGER, finder, pair_ends, serve};
use crate::mqtt::simulated_broker::{SimulatedBroker, connect_pair_simulated};
use crate::pair::Pair;
use crate::pipeline::simulated_model::simulate_model;
use crate::store::journal::simulated_disk::{self, DiskBehaviour, copied, simulate_disk};
use crate::systemd::Notify;
use crate::telemetry::counters::Counters;
use crate::telemetry::log::Log;

const NAMES: [&str; 2] = ["a", "b"];

/// Steps of one history.
const STEPS: usize = 70;

/// Longest time until there is a first leader.
const START: Duration = Duration::from_secs(5);

/// A node: its disk, and its run, unless it is off.
struct SimulatedNode {
    folder: TempDir,
    life: Option<NodeLife>,
}

/// One run of a node.
struct NodeLife {
    task: JoinHandle<()>,
    signals: mpsc::Sender<DaemonSignal>,
    /// Its view of the pair.
    pair: Arc<Pair>,
}

/// The house.
pub(super) struct SimulatedPair {
    clients: SimulatedClients,
    nodes: [SimulatedNode; 2],
    /// Nodes that are switched on again, and when.
    due: Vec<(Instant, usize)>,
    /// Nodes whose network comes back, and when.
    abandoned: Vec<(Instant, usize)>,
}

fn begin_life(folder: &Path, broker: SimulatedBroker, node: usize) -> NodeLife {
    let (signals, receiver) = mpsc::channel(4);
    let config = Config::load(&ConfigLocation::at(folder.join("sayso.toml"))).unwrap();
    let settings = config.pair.clone().unwrap();
    let keep = config.mqtt.ttl + REMEMBERED_LONGER;
    let pair = Pair::new(&settings, &config.mqtt.prefix, keep);
    let of_task = Arc::clone(&pair);
    let task = tokio::task::spawn_local(async move {
        let counters = Arc::new(Counters::default());
        let storage = Storage::open(&config).unwrap();
        let finder = finder(&config);
        let topics = finder.subscriptions(&config.home);
        let log = storage.open_progress(&config, &of_task);
        let connections = connect_pair_simulated(
            &config.mqtt,
            &of_task,
            (log, topics),
            &counters,
            (broker, node),
        );
        let ends = pair_ends(connections.unwrap(), of_task, counters);
        let handles = Handles {
            notify: Notify::new(None),
            signals: receiver,
            log: Log::default(),
        };
        let daemon = Box::pin(serve(config, handles, storage, finder, ends));
        daemon.await.unwrap();
    });
    NodeLife {
        task,
        signals,
        pair,
    }
}

impl SimulatedPair {
    pub(super) fn start(seed: u64) -> Self {
        crate::clock::simulate_clocks();
        simulate_model(seed);
        simulate_disk(DiskBehaviour::default());
        let clients = SimulatedClients::new(seed);
        let nodes = [0, 1].map(|node| {
            let folder = tempfile::tempdir().unwrap();
            let pair = format!("[pair]\nnode = \"{}\"\n", NAMES[node]);
            fs::write(folder.path().join("sayso.toml"), CONFIG.to_owned() + &pair).unwrap();
            fs::write(folder.path().join("home.toml"), HOME).unwrap();
            let life = begin_life(folder.path(), clients.broker.clone(), node);
            SimulatedNode {
                folder,
                life: Some(life),
            }
        });
        Self {
            clients,
            nodes,
            due: Vec::new(),
            abandoned: Vec::new(),
        }
    }

    /// Lives through all steps.
    pub(super) async fn live(&mut self) {
        self.pass(START).await;
        for _ in 0..STEPS {
            match self.clients.random.random_range(0..100) {
                0..64 => self.clients.send(),
                64..70 => self.cut(),
                70..74 => self.abandon(),
                74..77 => self.restart_broker().await,
                77..80 => self.clients.freeze_broker(),
                80..83 => self.clients.mute_broker(),
                83..85 => self.clients.slow_down(800),
                85..93 => self.kill_one().await,
                93..96 => self.take_over_by_hand(),
                96..98 => self.kill_both().await,
                _ => self.stop_one().await,
            }
            let is_long = self.clients.random.random_bool(0.1);
            let longest = if is_long { 4000 } else { 300 };
            let pause = self.clients.random.random_range(0..longest);
            self.pass(Duration::from_millis(pause)).await;
        }
    }

    /// Kills both nodes when the plan of a command is on the disk of the leader and not yet
    /// published. The same node leads again, publishes the plan, and is killed before its reply.
    pub(super) async fn live_through_two_takeovers(&mut self) {
        self.pass(START).await;
        simulate_disk(DiskBehaviour {
            delay: Duration::from_secs(2),
            is_full: false,
        });
        let toggle = "toggle the red lamp";
        self.clients
            .send_text(SentKind::Toggle, toggle, (40, false));
        self.pass(Duration::from_millis(1500)).await;
        self.kill_both().await;
        let end = Instant::now() + Duration::from_secs(20);
        while self.clients.ledger.received.is_empty() && Instant::now() < end {
            self.pass(Duration::from_millis(20)).await;
        }
        let leader = self.leader();
        self.kill(leader).await;
        simulate_disk(DiskBehaviour::default());
        self.clients.ledger.fault("takeover before the reply");
        self.pass(Duration::from_secs(10)).await;
    }

    /// Lets nothing fail any more, waits for the last replies, and returns the record.
    pub(super) async fn end(mut self) -> SimulatedLedger {
        self.clients
            .broker
            .set_longest_delay(Duration::from_millis(5));
        let end = Instant::now() + DRAIN;
        while !self.clients.ledger.is_answered() && Instant::now() < end {
            self.pass(Duration::from_secs(1)).await;
        }
        self.pass(Duration::from_secs(2)).await;
        for node in 0..NAMES.len() {
            self.stop(node).await;
        }
        self.clients.ledger
    }

    /// Lets time pass; devices and the sender receive their messages meanwhile.
    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            self.clients.receive();
            self.go_on();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            sleep(left.min(Duration::from_millis(20))).await;
        }
    }

    /// Switches nodes on, and gives others their network back, that are due.
    fn go_on(&mut self) {
        let now = Instant::now();
        for (_, node) in self.abandoned.extract_if(.., |(at, _)| *at <= now) {
            self.clients.broker.cut(node);
        }
        let due: Vec<_> = self.due.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, node) in due {
            self.begin(node);
        }
        for node in 0..NAMES.len() {
            let life = self.nodes[node].life.as_ref();
            if life.is_some_and(|life| life.task.is_finished()) {
                let other = &mut self.clients.ledger.other;
                other.push("a node ended by itself".to_owned());
                self.begin(node);
            }
        }
    }

    fn begin(&mut self, node: usize) {
        let broker = self.clients.broker.clone();
        let folder = self.nodes[node].folder.path();
        self.nodes[node].life = Some(begin_life(folder, broker, node));
    }

    /// Returns the node that leads, as far as it knows.
    fn leader(&self) -> usize {
        let leads = |node: &SimulatedNode| {
            let life = node.life.as_ref();
            life.is_some_and(|life| life.pair.report().leads)
        };
        self.nodes.iter().position(leads).unwrap_or(0)
    }

    /// Returns the leader, or with this chance the other one.
    fn leader_or_other(&mut self, chance: f64) -> usize {
        let is_other = self.clients.random.random_bool(chance);
        self.leader() ^ usize::from(is_other)
    }

    fn cut(&mut self) {
        self.clients.ledger.fault("connections of a node cut");
        let node = self.leader_or_other(0.3);
        self.clients.broker.cut(node);
    }

    fn abandon(&mut self) {
        self.clients.ledger.fault("network of a node gone");
        let node = self.leader_or_other(0.2);
        let time = self.clients.random.random_range(500..20_000);
        self.clients.broker.abandon(node);
        let until = Instant::now() + Duration::from_millis(time);
        self.abandoned.push((until, node));
    }

    async fn restart_broker(&mut self) {
        self.clients.ledger.fault("broker restart");
        self.clients.broker.set_up(false);
        let time = self.clients.random.random_range(0..5000);
        self.pass(Duration::from_millis(time)).await;
        self.clients.broker.set_up(true);
    }

    fn take_over_by_hand(&mut self) {
        self.clients.ledger.fault("takeover by hand");
        let node = NAMES[1 - self.leader()];
        let broker = &self.clients.broker;
        broker.publish("sayso/pair/takeover", node, false);
    }

    async fn kill_one(&mut self) {
        self.clients.ledger.fault("kill -9 of a node");
        let node = self.leader_or_other(0.3);
        self.kill(node).await;
    }

    async fn kill_both(&mut self) {
        self.clients.ledger.fault("kill -9 of both nodes");
        for node in 0..NAMES.len() {
            self.kill(node).await;
        }
    }

    /// Ends a node as the end of its process does, and switches it on again later.
    async fn kill(&mut self, node: usize) {
        if self.nodes[node].life.is_none() {
            return;
        }
        while simulated_disk::is_writing() {
            tokio::task::yield_now().await;
        }
        // The run that ends may write to the other copy for a moment longer.
        let image = copied(self.nodes[node].folder.path());
        if let Some(life) = self.nodes[node].life.take() {
            life.task.abort();
        }
        self.clients.broker.cut(node);
        self.abandoned.retain(|(_, abandoned)| *abandoned != node);
        self.nodes[node].folder = image;
        let time = self.clients.random.random_range(0..3000);
        let due = Instant::now() + Duration::from_millis(time);
        self.due.push((due, node));
    }

    async fn stop_one(&mut self) {
        self.clients.ledger.fault("stop and start of a node");
        let node = self.leader_or_other(0.3);
        if self.stop(node).await {
            self.begin(node);
        }
    }

    /// Stops a node in order; returns whether it ran.
    async fn stop(&mut self, node: usize) -> bool {
        let Some(mut life) = self.nodes[node].life.take() else {
            return false;
        };
        let _ = life.signals.try_send(DaemonSignal::Stop);
        let ended = timeout(Duration::from_mins(1), &mut life.task).await;
        if ended.is_err() {
            let other = &mut self.clients.ledger.other;
            other.push("a node did not stop in time".to_owned());
        }
        life.task.abort();
        self.clients.broker.cut(node);
        self.abandoned.retain(|(_, abandoned)| *abandoned != node);
        self.nodes[node].folder = copied(self.nodes[node].folder.path());
        true
    }
}
