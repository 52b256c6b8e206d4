//! Two nodes of a pair with a Redis, while one or the other is killed, stopped, cut off or replaced
//! by hand, their clocks differ and are set, and broker and Redis fail meanwhile. The same table as
//! for one node, and the time until the next command is served after the leader has gone.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event};
use serde_json::Value as Json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::ledger::{Ledger, Outage};
use crate::model::Model;
use crate::proxy::{Cut, Proxy};
use crate::redis::Redis;
use crate::speaker::Speakers;
use crate::stage::{Broker, Daemon, compile_hold, set_clock_wrong};
use crate::{DRAIN, Options, RATE, house, say, settings, table};

const NAMES: [&str; 2] = ["a", "b"];

/// The longest wait for a leader.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a node that has started takes until it knows the commands of the other one.
const LEARNING: Duration = Duration::from_secs(4);

/// How long after both were gone commands are sent again.
const AFTERMATH: Duration = Duration::from_secs(15);

/// The time within which a standby should serve after a process has died.
const SOON: Duration = Duration::from_secs(1);

/// The share of commands that may be uncertain, apart from those after both nodes were gone.
const MAX_UNCERTAIN: f64 = 0.01;

/// Seconds by which the clock of the second node is wrong from the beginning. A node whose clock is
/// wrong by more cannot see how long a command has waited for a leader.
const SKEWS: [i64; 4] = [-2, -1, 1, 2];

/// The longest step of a clock, in seconds.
const MAX_STEP: i64 = 7200;

/// The time without another fault before a clock is set.
const CALM: Duration = Duration::from_secs(10);

/// The claims as a client sees them.
#[derive(Default)]
struct Claims {
    leader: Option<usize>,
    epochs: Vec<u64>,
}

struct Node {
    folder: PathBuf,
    /// Seconds by which its wall clock is wrong from the beginning; `None` if it cannot be set.
    skew: Option<i64>,
    daemon: Daemon,
    proxy: Proxy,
}

/// How a leader goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Its process is killed, and the other node stands by.
    Killed,
    /// Its process is killed, and the other node is not there, or has only just started.
    KilledAlone,
    /// Its host vanishes: it is stopped for longer than the broker waits.
    Vanished,
    ByHand,
}

impl Cause {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Killed, "process killed, a standby is ready"),
        (Self::KilledAlone, "process killed, no standby is ready"),
        (Self::Vanished, "host vanished"),
        (Self::ByHand, "takeover by hand"),
    ];
}

/// A time without a leader, from its beginning to the next command served.
struct Gap {
    cause: Cause,
    from: Instant,
}

struct PairTorture {
    program: PathBuf,
    broker: Broker,
    redis: Redis,
    nodes: Vec<Node>,
    claims: Arc<Mutex<Claims>>,
    ledger: Arc<Mutex<Ledger>>,
    random: StdRng,
    gaps: Vec<Gap>,
    /// When each node was started last.
    started: [Instant; 2],
    /// When each node was last cut off or stopped, or the broker restarted.
    disturbed: [Instant; 2],
    /// Moments at which the leader went while the other node could not know its commands.
    both_gone: Vec<Instant>,
    by_hand: AsyncClient,
    begun: Instant,
    faults: Vec<String>,
}

/// Runs the torture; returns whether everything that must be zero is.
pub(crate) async fn torture(options: &Options) -> bool {
    let folder = tempfile::Builder::new()
        .prefix("torture-pair-")
        .tempdir()
        .unwrap();
    say(&format!(
        "pair, seed {} for {} s, in {}",
        options.seed,
        options.time.as_secs(),
        folder.path().display()
    ));
    let mut random = StdRng::seed_from_u64(options.seed);
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let broker = Broker::start(folder.path()).await;
    let model = Model::start(random.random()).await;
    let redis = Redis::start().await;
    let claims = Arc::<Mutex<Claims>>::default();
    let (by_hand, mut watching) = AsyncClient::new(house::options("watch", broker.port), 64);
    let mut beside = JoinSet::new();
    let seen = Arc::clone(&claims);
    let again = by_hand.clone();
    beside.spawn(async move {
        loop {
            match watching.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    let _ = again.try_subscribe("sayso/pair/leader", QoS::AtLeastOnce);
                }
                Ok(Event::Incoming(Packet::Publish(claim))) => {
                    seen.lock().unwrap().note(&claim.payload)
                }
                Ok(_) => {}
                Err(_) => sleep(Duration::from_millis(30)).await,
            }
        }
    });
    let mut nodes = Vec::new();
    for name in NAMES {
        // The clock of one of them is right.
        let skew = if name == NAMES[0] {
            0
        } else {
            SKEWS[random.random_range(0..SKEWS.len())]
        };
        let place = (folder.path(), name, skew);
        let ports = [broker.port, model.port, redis.port()];
        nodes.push(node(&options.program, place, ports).await);
    }
    let (speakers, events) = Speakers::new(broker.port, Arc::clone(&ledger));
    beside.spawn(house::live(broker.port, Arc::clone(&ledger)));
    beside.spawn(speakers.clone().listen(events));
    let mut torture = PairTorture {
        program: options.program.clone(),
        broker,
        redis,
        nodes,
        claims,
        ledger: Arc::clone(&ledger),
        random,
        gaps: Vec::new(),
        started: [Instant::now(); 2],
        disturbed: [Instant::now(); 2],
        both_gone: Vec::new(),
        by_hand,
        begun: Instant::now(),
        faults: Vec::new(),
    };
    torture.leader().await;
    let seed = torture.random.random();
    let speaking = beside.spawn(speakers.clone().speak(RATE, StdRng::seed_from_u64(seed)));
    torture.rage(Instant::now() + options.time).await;
    speaking.abort();
    beside.spawn(speakers.insist());
    let drained = Instant::now() + DRAIN;
    while ledger.lock().unwrap().unanswered() > 0 && Instant::now() < drained {
        sleep(Duration::from_millis(200)).await;
    }
    sleep(Duration::from_secs(1)).await;
    for node in &mut torture.nodes {
        node.daemon.stop().await;
    }
    let is_well = torture.report();
    if !is_well {
        let kept = std::env::temp_dir().join("torture-pair-log");
        let _ = std::fs::create_dir(&kept);
        for node in &torture.nodes {
            let name = node.folder.file_name().unwrap();
            let _ = std::fs::copy(node.folder.join("daemon.log"), kept.join(name));
        }
        say(&format!("the logs are kept in {}", kept.display()));
    }
    is_well
}

async fn node(
    program: &Path,
    (folder, name, skew): (&Path, &str, i64),
    [broker, model, redis]: [u16; 3],
) -> Node {
    let folder = folder.join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::create_dir(folder.join("disk")).unwrap();
    let has_clock = compile_hold(&folder).await;
    if has_clock {
        set_clock_wrong(&folder, skew);
    } else {
        say("there is no C compiler: the clocks of the nodes are right");
    }
    let proxy = Proxy::start(broker).await;
    std::fs::write(folder.join("home.toml"), house::HOME).unwrap();
    let tables = format!(
        "[pair]\nnode = \"{name}\"\n[redis]\nurl = \"redis://127.0.0.1:{redis}\"\n\
         site = \"house\"\nnode = \"{name}\"\nnodes = 2\n"
    );
    let config = settings(proxy.port(), model) + &tables;
    std::fs::write(folder.join("sayso.toml"), config).unwrap();
    Node {
        daemon: Daemon::start(program, &folder),
        folder,
        skew: has_clock.then_some(skew),
        proxy,
    }
}

impl Claims {
    fn note(&mut self, claim: &[u8]) {
        let claim: Json = serde_json::from_slice(claim).unwrap_or_default();
        let leader = claim["node"].as_str();
        self.leader = NAMES.iter().position(|name| leader == Some(name));
        let epoch = claim["epoch"].as_u64().unwrap_or_default();
        if self.epochs.last() != Some(&epoch) {
            self.epochs.push(epoch);
        }
    }
}

impl PairTorture {
    /// Waits until a node leads, and returns it.
    async fn leader(&mut self) -> usize {
        let found = async {
            loop {
                let leader = self.claims.lock().unwrap().leader;
                if let Some(leader) = leader {
                    return leader;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        match timeout(PATIENCE, found).await {
            Ok(leader) => leader,
            Err(_) => {
                self.faults.push("no node leads".to_owned());
                0
            }
        }
    }

    async fn rage(&mut self, until: Instant) {
        while Instant::now() < until {
            sleep(Duration::from_millis(self.random.random_range(500..4000))).await;
            for n in 0..NAMES.len() {
                if self.nodes[n].daemon.has_ended() {
                    self.faults.push("the program ended by itself".to_owned());
                    self.start_again(n);
                }
            }
            let leader = self.leader().await;
            match self.random.random_range(0..100) {
                0..28 => self.kill(leader).await,
                28..35 => self.kill(1 - leader).await,
                35..47 => self.stop_for_a_while(leader).await,
                47..59 => self.cut(),
                59..72 => self.take_over_by_hand(leader),
                72..79 => self.fail_redis().await,
                79..82 => self.set_clock().await,
                82..88 => self.start_both().await,
                88..94 => self.stop_in_order(leader).await,
                _ => self.restart_broker(leader).await,
            }
        }
    }

    fn note(&self, fault: &'static str) {
        self.ledger.lock().unwrap().fault(fault);
    }

    fn gap(&mut self, cause: Cause) {
        let from = Instant::now();
        self.gaps.push(Gap { cause, from });
    }

    /// Notes a fault of a node, and whether the other one is too new to know its commands.
    fn hit(&mut self, node: usize) {
        if self.started[1 - node].elapsed() < LEARNING {
            self.both_gone.push(Instant::now());
        }
    }

    fn start_again(&mut self, node: usize) {
        self.nodes[node].daemon.start_again();
        self.started[node] = Instant::now();
    }

    async fn kill(&mut self, node: usize) {
        self.note("kill -9");
        self.hit(node);
        if self.claims.lock().unwrap().leader == Some(node) {
            let other = 1 - node;
            let since = self.started[other].max(self.disturbed[other]);
            let is_ready = since.elapsed() >= LEARNING;
            self.gap(if is_ready {
                Cause::Killed
            } else {
                Cause::KilledAlone
            });
        }
        self.nodes[node].daemon.kill().await;
        sleep(Duration::from_millis(self.random.random_range(0..3000))).await;
        self.start_again(node);
    }

    async fn stop_for_a_while(&mut self, leader: usize) {
        self.note("SIGSTOP of the leader");
        self.hit(leader);
        let time = Duration::from_millis(self.random.random_range(500..13_000));
        if time > Duration::from_secs(11) {
            self.gap(Cause::Vanished);
        }
        self.nodes[leader].daemon.freeze(time).await;
        self.disturbed[leader] = Instant::now();
    }

    fn cut(&mut self) {
        let node = self.random.random_range(0..NAMES.len());
        let time = Duration::from_millis(self.random.random_range(500..9000));
        let (name, how) = match self.random.random_range(0..8) {
            0..3 => ("cut, both ways", Cut::Both),
            3 => ("cut, torn packet out", Cut::TornUp),
            4 => ("cut, torn packet in", Cut::TornDown),
            5 => ("acknowledgements lost", Cut::NoAcks),
            6 => ("half open, dumb", Cut::DumbFor(time)),
            _ => ("half open, deaf", Cut::DeafFor(time)),
        };
        self.note(name);
        self.nodes[node].proxy.cut(how);
        self.disturbed[node] = Instant::now();
    }

    fn take_over_by_hand(&mut self, leader: usize) {
        self.note("takeover by hand");
        self.gap(Cause::ByHand);
        let node = NAMES[1 - leader];
        let _ = self
            .by_hand
            .try_publish("sayso/pair/takeover", QoS::AtLeastOnce, false, node);
    }

    /// Redis is killed and comes back empty, stops for a while, or loses all keys.
    async fn fail_redis(&mut self) {
        let time = Duration::from_millis(self.random.random_range(200..4000));
        match self.random.random_range(0..3) {
            0 => {
                self.note("Redis killed, and started empty");
                self.redis.kill();
                sleep(time).await;
                self.redis.start_empty().await;
            }
            1 => {
                self.note("SIGSTOP of Redis");
                self.redis.freeze();
                sleep(time).await;
                self.redis.thaw();
            }
            _ => {
                self.note("all keys of Redis removed");
                self.redis.flush().await;
            }
        }
    }

    /// The wall clock of a node is set, and set back.
    async fn set_clock(&mut self) {
        let node = self.random.random_range(0..NAMES.len());
        let Some(skew) = self.nodes[node].skew else {
            return;
        };
        let last = self.started.iter().chain(&self.disturbed).max();
        // What waits for a leader is older than a wrong clock can tell.
        if let Some(last) = last {
            sleep(CALM.saturating_sub(last.elapsed())).await;
        }
        self.note("clock of a node set, and set back");
        let folder = &self.nodes[node].folder;
        let step = self.random.random_range(-MAX_STEP..=MAX_STEP);
        set_clock_wrong(folder, skew + step);
        sleep(Duration::from_millis(self.random.random_range(500..4000))).await;
        set_clock_wrong(folder, skew);
    }

    async fn start_both(&mut self) {
        self.note("both start at once");
        for node in &mut self.nodes {
            node.daemon.kill().await;
        }
        self.both_gone.push(Instant::now());
        for node in 0..NAMES.len() {
            self.start_again(node);
        }
        sleep(Duration::from_secs(2)).await;
    }

    async fn stop_in_order(&mut self, leader: usize) {
        self.note("stop and start");
        self.hit(leader);
        self.nodes[leader].daemon.stop().await;
        self.start_again(leader);
    }

    /// The broker restarts while a takeover is under way.
    async fn restart_broker(&mut self, leader: usize) {
        self.note("broker restart in a takeover");
        self.take_over_by_hand(leader);
        self.gaps.pop();
        sleep(Duration::from_millis(self.random.random_range(0..30))).await;
        let from = Instant::now();
        self.broker.down(true).await;
        sleep(Duration::from_millis(self.random.random_range(0..1500))).await;
        self.broker.up().await;
        let to = Instant::now() + Duration::from_hours(1);
        self.ledger.lock().unwrap().outages.push(Outage {
            from,
            to,
            lasts: true,
            forgot: false,
        });
        self.disturbed = [Instant::now(); 2];
        sleep(Duration::from_secs(4)).await;
    }

    fn report(&self) -> bool {
        let ledger = self.ledger.lock().unwrap();
        let mut is_well = table(&ledger, &self.faults);
        let commands = ledger.said.len();
        let takeovers = self.claims.lock().unwrap().epochs.len();
        let is_uncertain = |(_, end): &&(Instant, String)| end == "uncertain";
        let is_after = |at: Instant| {
            let mut gone = self.both_gone.iter();
            gone.any(|gone| *gone <= at && at < *gone + AFTERMATH)
        };
        let answers = ledger.said.iter();
        let uncertain = answers.filter_map(|said| said.answers.iter().find(is_uncertain));
        let (excused, uncertain): (Vec<_>, Vec<_>) = uncertain.partition(|(at, _)| is_after(*at));
        let (excused, uncertain) = (excused.len(), uncertain.len());
        // A command that was published once is answered once, unless the broker restarts while its
        // reply is in flight.
        let twice = ledger
            .said
            .iter()
            .filter(|said| said.answers.len() > said.published.len().max(1))
            .filter(|said| !ledger.was_cut(said))
            .count();
        let share = uncertain as f64 / commands.max(1) as f64;
        say(&format!("\n{takeovers} takeovers, {commands} commands"));
        say(&format!("{twice:>9}  answered more often than sent"));
        say(&format!(
            "{uncertain:>9}  uncertain: {:.2} %",
            share * 100.0
        ));
        say(&format!(
            "{excused:>9}  uncertain after both were gone at once, or nearly so ({} times)",
            self.both_gone.len()
        ));
        self.report_gaps(&ledger);
        if twice > 0 || share > MAX_UNCERTAIN {
            is_well = false;
            say("NOT WELL as a pair");
        }
        let skew = self.nodes.iter().filter_map(|node| node.skew).sum::<i64>();
        say(&format!("the clocks of the nodes differed by {skew} s"));
        say(&format!("program: {}", self.program.display()));
        is_well
    }

    /// Prints how long it took until a command said after the leader had gone was answered.
    fn report_gaps(&self, ledger: &Ledger) {
        for (cause, name) in Cause::ALL {
            let gaps = self.gaps.iter().filter(|gap| gap.cause == cause);
            let mut times: Vec<(Duration, Instant)> = gaps
                .filter_map(|gap| {
                    let later = ledger.said.iter().filter(|said| said.at >= gap.from);
                    let answers = later.filter_map(|said| Some(said.answers.first()?.0));
                    Some((answers.min()?.saturating_duration_since(gap.from), gap.from))
                })
                .collect();
            times.sort_unstable();
            let (Some((worst, at)), Some((median, _))) = (times.last(), times.get(times.len() / 2))
            else {
                continue;
            };
            let above = times.iter().filter(|(time, _)| *time > SOON).count();
            say(&format!(
                "{name}: {} times, next command served after {} ms median, {} ms worst (at {:.1} s), \
                 {above} above 1 s",
                times.len(),
                median.as_millis(),
                worst.as_millis(),
                at.saturating_duration_since(self.begun).as_secs_f64()
            ));
        }
    }
}
