//! The torture test: real mosquitto and the real program, numbered commands, and devices that
//! record every message. Beside them clients set timers, confirm doors, and repeat texts without an
//! id. Meanwhile the program is killed, the broker is restarted with and without its state and
//! frozen, the connection between them is cut in every way, the model lies, the disk fills, hangs
//! and is slow, the clock jumps, and hostile clients attack. The result is a table, and exit code 0
//! if everything that must be zero is.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

mod caller;
mod confirmer;
mod corrupt;
mod costs;
mod floods;
mod hostile;
mod house;
mod ledger;
mod model;
mod outages;
mod pair;
mod proxy;
mod redis;
mod repeater;
mod speaker;
mod stage;
mod timekeeper;

use confirmer::Confirmer;
use hostile::Hostile;
use ledger::{Ledger, Outage};
use model::Model;
use proxy::{Cut, Proxy};
use repeater::Repeater;
use speaker::Speakers;
use stage::{Broker, Daemon, Disk};
use timekeeper::Timekeeper;

/// Commands a second, over all sources.
const RATE: f64 = 20.0;

/// How long the last commands may take to be answered once nothing is broken any more: longer than
/// any is good for.
const DRAIN: Duration = Duration::from_mins(2);

/// How long the store may take to be well again once there is room on the disk.
const MENDING: Duration = Duration::from_secs(30);

/// The most resident memory the program may take, in MiB: what its unit allows.
const MAX_MEMORY: u64 = 128;

/// Another test with the same programs.
enum Instead {
    /// So many broken stores.
    Corrupt(usize),
    /// So many commands of each type, with and without a pair and Redis.
    Costs(usize),
    /// The floods with this part of a name.
    Floods(String),
    /// Two nodes of a pair.
    Pair,
    /// Outages of the broker of these lengths in seconds.
    Outages(Vec<u64>),
}

struct Options {
    time: Duration,
    seed: u64,
    /// The program to torture.
    program: PathBuf,
    /// What is done instead of all that.
    instead: Option<Instead>,
    /// How often there is an outage of each length.
    times: usize,
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        say(
            "torture [--minutes N | --seconds N] [--seed N] [--program PATH]\ntorture --corrupt N | \
             --floods all | --floods PART_OF_A_NAME | --outages SECONDS,SECONDS [--times N] [--program PATH]\n\
             torture --pair [--minutes N] [--seed N]\ntorture --costs TIMES [--program PATH]",
        );
        return ExitCode::FAILURE;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let program = &options.program;
    let well = match &options.instead {
        Some(Instead::Corrupt(times)) => runtime.block_on(corrupt::corrupt(
            program,
            *times,
            &mut StdRng::seed_from_u64(options.seed),
        )),
        Some(Instead::Costs(times)) => runtime.block_on(costs::costs(program, *times)),
        Some(Instead::Floods(name)) => runtime.block_on(floods::floods(program, name)),
        Some(Instead::Outages(lengths)) => {
            runtime.block_on(outages::outages(program, lengths, options.times))
        }
        Some(Instead::Pair) => runtime.block_on(pair::torture(&options)),
        None => runtime.block_on(torture(&options)),
    };
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn options() -> Option<Options> {
    let mut options = Options {
        time: Duration::from_secs(45),
        seed: rand::random_range(0..1_000_000),
        program: env!("CARGO_BIN_EXE_sayso-under-test").into(),
        instead: None,
        times: 10,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--pair" {
            options.instead = Some(Instead::Pair);
            continue;
        }
        match (word.as_str(), words.next()?) {
            ("--minutes", n) => {
                options.time = Duration::from_secs_f64(n.parse::<f64>().ok()? * 60.0)
            }
            ("--seconds", n) => options.time = Duration::from_secs_f64(n.parse().ok()?),
            ("--seed", n) => options.seed = n.parse().ok()?,
            ("--corrupt", n) => options.instead = Some(Instead::Corrupt(n.parse().ok()?)),
            ("--costs", n) => options.instead = Some(Instead::Costs(n.parse().ok()?)),
            ("--floods", name) => options.instead = Some(Instead::Floods(name)),
            ("--outages", lengths) => {
                let lengths = lengths.split(',').map(|length| length.parse().ok());
                options.instead = Some(Instead::Outages(lengths.collect::<Option<_>>()?));
            }
            ("--times", n) => options.times = n.parse().ok()?,
            ("--program", path) => options.program = path.into(),
            _ => return None,
        }
    }
    Some(options)
}

fn say(line: &str) {
    // There is nowhere to report that standard output is closed.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn settings(proxy: u16, model: u16) -> String {
    let provider = |name: &str| {
        format!(
            "[[provider]]\nname = \"{name}\"\napi = \"openai\"\nbase_url = \"http://127.0.0.1:{model}/v1\"\nmodel = \"scripted\"\nconcurrency = 32\ntimeouts = {{ connect = \"2s\", first_byte = \"6s\", between_bytes = \"2s\", total = \"7s\" }}\n"
        )
    };
    format!(
        "home = \"home.toml\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = {proxy}\nkeep_alive = \"5s\"\n[store]\npath = \"disk/store\"\n[discovery]\nhomeassistant = \"homeassistant\"\nzigbee2mqtt = []\ntasmota = false\n[limits]\nper_minute = 100000\nburst = 1000\n[ask]\ndeadline = \"12s\"\n{}{}",
        provider("first"),
        provider("second")
    )
}

/// Everything on stage while it is tortured.
struct Torture {
    broker: Broker,
    daemon: Daemon,
    disk: Disk,
    proxy: Proxy,
    ledger: Arc<Mutex<Ledger>>,
    random: StdRng,
    hostile: Hostile,
    /// The number of the next attack: each has its turn in a short run as well.
    next_attack: usize,
    /// Whether syncs can be held, and the clock moved.
    can_hold: bool,
    /// Peak of the resident memory over all runs, in MiB.
    peak_memory: u64,
    /// Faults that no command shows.
    faults: Vec<String>,
}

async fn torture(options: &Options) -> bool {
    let folder = tempfile::Builder::new()
        .prefix("torture-")
        .tempdir()
        .unwrap();
    say(&format!(
        "seed {} for {} s, in {}",
        options.seed,
        options.time.as_secs(),
        folder.path().display()
    ));
    let mut random = StdRng::seed_from_u64(options.seed);
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let broker = Broker::start(folder.path()).await;
    let broker_port = broker.port;
    let proxy = Proxy::start(broker.port).await;
    let model = Model::start(random.random()).await;
    let disk = Disk::new(folder.path()).await;
    if !disk.can_be_filled() {
        say("this user may not mount a tmpfs: the disk is never full");
    }
    std::fs::write(folder.path().join("home.toml"), house::HOME).unwrap();
    std::fs::write(
        folder.path().join("sayso.toml"),
        settings(proxy.port(), model.port),
    )
    .unwrap();
    let (speakers, events) = Speakers::new(broker.port, Arc::clone(&ledger));
    let mut beside = JoinSet::new();
    beside.spawn(house::live(broker.port, Arc::clone(&ledger)));
    beside.spawn(speakers.clone().listen(events));
    let can_hold = stage::compile_hold(folder.path()).await;
    let daemon = Daemon::start(&options.program, folder.path());
    sleep(Duration::from_secs(1)).await;
    let speaking = beside.spawn(
        speakers
            .clone()
            .speak(RATE, StdRng::seed_from_u64(random.random())),
    );
    let others = Others::start(broker_port, random.random());
    let next_attack = random.random_range(0..hostile::ATTACKS);
    let mut torture = Torture {
        broker,
        daemon,
        disk,
        proxy,
        ledger: Arc::clone(&ledger),
        random,
        hostile: Hostile::new(broker_port),
        next_attack,
        can_hold,
        peak_memory: 0,
        faults: Vec::new(),
    };
    torture.rage(Instant::now() + options.time).await;
    speaking.abort();
    beside.spawn(speakers.insist());
    let drained = Instant::now() + DRAIN;
    others.stop();
    let is_drained = || ledger.lock().unwrap().unanswered() == 0 && others.are_complete();
    while !is_drained() && Instant::now() < drained {
        sleep(Duration::from_millis(200)).await;
    }
    sleep(Duration::from_secs(1)).await;
    torture.measure_memory();
    torture.daemon.stop().await;
    let ledger = ledger.lock().unwrap();
    say(&format!(
        "\npeak resident memory of the program: {} MiB",
        torture.peak_memory
    ));
    torture.faults.extend(others.judge(&ledger));
    let well = table(&ledger, &torture.faults);
    if !well {
        let kept = keep(folder.path());
        say(&format!("the log is kept in {}", kept.display()));
    }
    well
}

/// The clients beside the numbered commands.
struct Others {
    repeater: Arc<Repeater>,
    confirmer: Arc<Confirmer>,
    timekeeper: Arc<Timekeeper>,
    tasks: [AbortHandle; 3],
}

impl Others {
    fn start(port: u16, seed: u64) -> Self {
        let repeater = Repeater::new(port);
        let confirmer = Confirmer::new(port);
        let timekeeper = Timekeeper::new(port);
        let tasks = [
            tokio::spawn(Arc::clone(&repeater).run()).abort_handle(),
            tokio::spawn(Arc::clone(&confirmer).run()).abort_handle(),
            tokio::spawn(Arc::clone(&timekeeper).run(seed)).abort_handle(),
        ];
        Self {
            repeater,
            confirmer,
            timekeeper,
            tasks,
        }
    }

    fn stop(&self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }

    fn are_complete(&self) -> bool {
        self.timekeeper.is_complete()
    }

    /// Prints how much they did; returns the faults they found.
    fn judge(&self, ledger: &Ledger) -> Vec<String> {
        let mut faults = Vec::new();
        for (what, (number, found)) in [
            ("done without an id", self.repeater.judge(ledger)),
            ("questions about the door", self.confirmer.judge(ledger)),
            ("timers", self.timekeeper.judge(ledger)),
        ] {
            say(&format!("  {number:>7}  {what}, {} faults", found.len()));
            faults.extend(found);
        }
        faults
    }
}

/// Copies the log out of the folder that goes.
fn keep(folder: &Path) -> PathBuf {
    let kept = std::env::temp_dir()
        .join(folder.file_name().unwrap())
        .with_extension("log");
    let _ = std::fs::copy(folder.join("daemon.log"), &kept);
    kept
}

impl Torture {
    async fn rage(&mut self, until: Instant) {
        while Instant::now() < until {
            let calm = Duration::from_millis(self.random.random_range(200..3500));
            sleep(calm).await;
            self.measure_memory();
            if self.daemon.has_ended() {
                self.faults.push("the program ended by itself".to_owned());
                self.daemon.start_again();
            }
            match self.random.random_range(0..100) {
                0..30 => self.kill().await,
                30..50 => self.cut(),
                50..56 => self.restart_broker(true).await,
                56..61 => self.restart_broker(false).await,
                61..65 => self.freeze_broker().await,
                65..68 => self.hold_disk().await,
                68..71 => self.slow_disk().await,
                71..75 => self.move_clock().await,
                75..93 => self.attack().await,
                93..96 => self.stop().await,
                _ => self.fill_disk().await,
            }
        }
    }

    fn note(&self, fault: &'static str) {
        self.ledger.lock().unwrap().fault(fault);
    }

    fn measure_memory(&mut self) {
        let peak = self.daemon.peak_memory().unwrap_or_default();
        self.peak_memory = self.peak_memory.max(peak);
        if peak > MAX_MEMORY && self.faults.iter().all(|fault| !fault.contains("memory")) {
            self.faults
                .push(format!("the program took {peak} MiB of memory"));
        }
    }

    /// The broker stands still and goes on. At most what was sent in its first second can be late.
    async fn freeze_broker(&mut self) {
        self.note("broker frozen");
        let time = Duration::from_millis(self.random.random_range(500..4000));
        self.broker.freeze(time).await;
    }

    /// No sync ends for a while. The program is not killed meanwhile: a suspended journal promises
    /// nothing.
    async fn hold_disk(&mut self) {
        if !self.can_hold {
            return;
        }
        self.note("disk hangs");
        self.disk.hold();
        sleep(Duration::from_millis(self.random.random_range(500..9000))).await;
        self.disk.release();
        if !self.until_store_fails(false, MENDING).await {
            self.faults
                .push("the store was never well again after the disk hung".to_owned());
        }
        sleep(Duration::from_secs(1)).await;
    }

    /// Each sync takes long for a while.
    async fn slow_disk(&mut self) {
        if !self.can_hold {
            return;
        }
        self.note("disk slow");
        let by = Duration::from_millis(self.random.random_range(20..1500));
        self.disk.slow_down(by);
        sleep(Duration::from_millis(self.random.random_range(500..6000))).await;
        self.disk.release();
    }

    /// The wall clock of the program is wrong for a while.
    async fn move_clock(&mut self) {
        if !self.can_hold {
            return;
        }
        self.note("clock moved, and moved back");
        // What waited at the broker before is older than a wrong clock can tell.
        sleep(Duration::from_secs(2)).await;
        let seconds = self.random.random_range(30..7200);
        let is_ahead = self.random.random_bool(0.5);
        self.disk
            .set_clock_wrong(if is_ahead { seconds } else { -seconds });
        sleep(Duration::from_millis(self.random.random_range(500..4000))).await;
        self.disk.set_clock_wrong(0);
    }

    async fn attack(&mut self) {
        let attack = self.next_attack % hostile::ATTACKS;
        self.next_attack += 1;
        let name = self.hostile.attack(attack, &mut self.random).await;
        self.note(name);
    }

    async fn kill(&mut self) {
        self.note("kill -9");
        self.daemon.kill().await;
        sleep(Duration::from_millis(self.random.random_range(0..400))).await;
        self.daemon.start_again();
        if self.random.random_bool(0.15) {
            sleep(Duration::from_millis(self.random.random_range(5..300))).await;
            self.note("kill -9");
            self.daemon.kill().await;
            self.daemon.start_again();
        }
    }

    async fn stop(&mut self) {
        self.note("stop and start");
        self.daemon.stop().await;
        self.daemon.start_again();
    }

    fn cut(&mut self) {
        let time = Duration::from_millis(self.random.random_range(500..9000));
        let (name, how) = match self.random.random_range(0..10) {
            0..4 => ("cut, both ways", Cut::Both),
            4..6 => ("cut, torn packet out", Cut::TornUp),
            6..8 => ("cut, torn packet in", Cut::TornDown),
            8 if self.random.random_bool(0.5) => ("acknowledgements lost", Cut::NoAcks),
            8 => ("half open, dumb", Cut::DumbFor(time)),
            _ => ("half open, deaf", Cut::DeafFor(time)),
        };
        self.note(name);
        self.proxy.cut(how);
    }

    async fn restart_broker(&mut self, keep: bool) {
        self.note(if keep {
            "broker restart"
        } else {
            "broker restart, all forgotten"
        });
        let from = Instant::now();
        self.broker.down(keep).await;
        sleep(Duration::from_millis(self.random.random_range(0..1500))).await;
        self.broker.up().await;
        let far = Instant::now() + Duration::from_hours(1);
        self.ledger.lock().unwrap().outages.push(Outage {
            from,
            to: far,
            lasts: true,
            forgot: !keep,
        });
    }

    /// The disk is full for a while. The program is not killed meanwhile: records that cannot be
    /// written do not survive, and it reports that.
    async fn fill_disk(&mut self) {
        if !self.disk.can_be_filled() {
            return;
        }
        self.note("disk full");
        self.disk.fill();
        self.until_store_fails(true, Duration::from_secs(5)).await;
        sleep(Duration::from_millis(self.random.random_range(0..2000))).await;
        self.disk.free();
        sleep(Duration::from_secs(1)).await;
        if !self.until_store_fails(false, MENDING).await {
            self.faults
                .push("the store was never well again after the disk was full".to_owned());
            self.daemon.kill().await;
            self.daemon.start_again();
        }
        sleep(Duration::from_secs(1)).await;
    }

    async fn until_store_fails(&self, fails: bool, patience: Duration) -> bool {
        let turned = async {
            while self.daemon.store_fails() != fails {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(patience, turned).await.is_ok()
    }
}

/// Prints everything; true where all that must be zero is.
fn table(ledger: &Ledger, faults: &[String]) -> bool {
    say("\nwhat was done to it");
    for (fault, times) in &ledger.faults {
        say(&format!("  {times:>7}  {fault}"));
    }
    let actions: usize = ledger.heard.values().map(Vec::len).sum();
    let acted = ledger.actions().len();
    say("\nwhat came of it");
    say(&format!("  {:>7}  commands", ledger.said.len()));
    say(&format!(
        "  {:>7}  answered",
        ledger.said.len() - ledger.unanswered()
    ));
    say(&format!(
        "  {actions:>7}  actions heard by devices, for {acted} commands"
    ));
    say(&format!("  {:>7}  dead letters", ledger.dead.len()));
    let columns = ledger.judge();
    let (must, may): (Vec<_>, Vec<_>) = columns.into_iter().partition(|column| column.must_be_zero);
    may.iter()
        .for_each(|column| say(&format!("  {:>7}  {}", column.offenders.len(), column.name)));
    say("\nwhat must be zero");
    must.iter()
        .for_each(|column| say(&format!("  {:>7}  {}", column.offenders.len(), column.name)));
    say(&format!(
        "  {:>7}  faults of the program itself",
        faults.len()
    ));
    faults
        .iter()
        .for_each(|fault| say(&format!("           {fault}")));
    let start = ledger
        .said
        .first()
        .map_or_else(Instant::now, |said| said.at);
    for column in &must {
        for n in column.offenders.iter().take(8) {
            story(ledger, column.name, *n, start);
        }
    }
    let well = faults.is_empty() && must.iter().all(|column| column.offenders.is_empty());
    say(if well { "\nall well" } else { "\nNOT WELL" });
    well
}

/// All that is known of one command.
fn story(ledger: &Ledger, what: &str, n: usize, start: Instant) {
    let said = &ledger.said[n];
    let s = |at: Instant| format!("{:.3}", at.saturating_duration_since(start).as_secs_f64());
    say(&format!(
        "\n{what}: c{n} {:?} {} ttl {} s, said at {}",
        said.kind,
        said.device,
        said.ttl.as_secs(),
        s(said.at)
    ));
    say(&format!(
        "  published {:?}, taken {:?}",
        said.published.iter().map(|at| s(*at)).collect::<Vec<_>>(),
        said.acknowledged.map(s)
    ));
    say(&format!(
        "  answers {:?}",
        said.answers
            .iter()
            .map(|(at, end)| format!("{} {end}", s(*at)))
            .collect::<Vec<_>>()
    ));
    let heard = ledger
        .heard
        .get(said.device)
        .map(Vec::as_slice)
        .unwrap_or_default();
    for (i, _) in heard.iter().enumerate().filter(|(_, heard)| heard.n == n) {
        let around = heard[i.saturating_sub(3)..(i + 2).min(heard.len())].iter();
        say(&format!(
            "  heard {:?}",
            around
                .map(|h| format!("{} c{} {}", s(h.at), h.n, h.value))
                .collect::<Vec<_>>()
        ));
        for later in ledger.overtaken_by(said.device, i) {
            let other = &ledger.said[later.n];
            let published: Vec<_> = other.published.iter().map(|at| s(*at)).collect();
            say(&format!(
                "  after c{} {:?}, said at {}, published {published:?}, heard at {}",
                later.n,
                other.kind,
                s(other.at),
                s(later.at)
            ));
        }
    }
}
