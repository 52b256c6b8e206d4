//! A store whose file was cut short or has wrong bits, in many random ways: the program starts
//! every time and reports what it set aside.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::say;

/// How long a start may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fills a store, the last records only by the write-ahead log.
const COMMANDS: usize = 300;
const IN_TAIL: usize = 30;

/// Where those lie.
const TAILS: [&str; 2] = ["tail.0", "tail.1"];

/// Result of one start.
#[derive(Debug, Default)]
struct Start {
    began: bool,
    remembered: usize,
    said: Option<&'static str>,
    panicked: bool,
}

/// Prints a table; true where every start came to serve.
pub(crate) async fn corrupt(program: &Path, times: usize, random: &mut StdRng) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sayso.toml");
    fs::write(
        folder.path().join("home.toml"),
        "[device.lamp]\nkind = \"light\"\n",
    )
    .unwrap();
    // Nothing listens on port 1: the lines that count come before the first connection.
    fs::write(
        &config,
        "home = \"home.toml\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = 1\n[store]\npath = \"store\"\n",
    )
    .unwrap();
    let store = folder.path().join("store");
    fill(&store).await;
    let files: BTreeMap<&str, Vec<u8>> = ["db", "conf", "synced", TAILS[0], TAILS[1]]
        .into_iter()
        .map(|name| (name, fs::read(store.join(name)).unwrap()))
        .collect();
    let tail = TAILS
        .into_iter()
        .max_by_key(|name| files[name].len())
        .unwrap();
    let (mut outcomes, mut failed) = (BTreeMap::<String, usize>::new(), 0);
    for n in 0..times {
        for entry in fs::read_dir(folder.path())
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("store"))
        {
            fs::remove_dir_all(entry.path()).unwrap();
        }
        fs::create_dir(&store).unwrap();
        for (name, bytes) in &files {
            fs::write(store.join(name), bytes).unwrap();
        }
        let file = if random.random_bool(0.2) { tail } else { "db" };
        let (how, broken) = break_it(file, &files[file], random);
        fs::write(store.join(file), &broken).unwrap();
        let start = start(program, &config).await;
        let lost = start.remembered < COMMANDS;
        if !start.began || (lost && start.said.is_none()) {
            failed += 1;
            say(&format!("start {n}: {how}, {start:?}"));
        }
        let kept = if lost { "something lost" } else { "all there" };
        let said = start.said.unwrap_or("nothing to say");
        let panicked = if start.panicked {
            ", by way of a panic inside sled"
        } else {
            ""
        };
        *outcomes
            .entry(format!("{file:<6} {how}: {kept}; {said}{panicked}"))
            .or_default() += 1;
    }
    say(&format!(
        "{times} stores broken at random, {COMMANDS} commands in each"
    ));
    outcomes
        .iter()
        .for_each(|(outcome, n)| say(&format!("  {n:>6}  {outcome}")));
    say(&format!(
        "  {failed:>6}  starts that came to nothing, or did not tell what was lost"
    ));
    failed == 0
}

async fn fill(path: &Path) {
    use sayso::testing::command::Redelivery;
    use sayso::testing::store::journal::{Journal, JournalEntry, Received};
    let store = std::sync::Arc::new(
        sayso::testing::store::open(&sayso::testing::store::Settings::default(), path).unwrap(),
    );
    let (journal, _) = Journal::open(Some(store), Duration::from_hours(1)).unwrap();
    for n in 0..COMMANDS {
        let payload = format!("turn the lamp on, for the {n}th time").into_bytes();
        let received = Received {
            topic: "sayso/command/cli".into(),
            payload,
            response_topic: None,
            correlation: None,
            id: Some(format!("c{n}")),
            packet: None,
            identity: None,
            is_dated: false,
            until: journal.moment(Duration::from_hours(1)),
        };
        assert!(matches!(
            journal.receive(received, 1, Redelivery::No),
            JournalEntry::New(_)
        ));
        match n {
            _ if n + IN_TAIL > COMMANDS => journal.hand_to_kernel().await,
            _ if n + IN_TAIL == COMMANDS || n % 7 == 0 => journal.close().await,
            _ => {}
        }
    }
}

/// A write-ahead log is not cut short: the kernel has all of it.
fn break_it(file: &str, whole: &[u8], random: &mut StdRng) -> (&'static str, Vec<u8>) {
    let mut broken = whole.to_vec();
    // Most of the file is room for later records.
    let used = broken
        .iter()
        .rposition(|byte| *byte != 0)
        .unwrap_or_default()
        + 1;
    match random.random_range(if file == "db" { 0 } else { 2 }..9) {
        8 => ("whole", broken),
        0 | 1 => {
            broken.truncate(random.random_range(0..used));
            ("cut short", broken)
        }
        2 | 3 => {
            let at = random.random_range(0..used);
            broken[at] ^= 1 << random.random_range(0..8);
            ("one bit turned", broken)
        }
        4 | 5 => {
            for _ in 0..random.random_range(2..200) {
                let at = random.random_range(0..used);
                broken[at] ^= 1 << random.random_range(0..8);
            }
            ("many bits turned", broken)
        }
        _ => {
            let (from, length) = (random.random_range(0..used), random.random_range(1..4096));
            let to = (from + length).min(used);
            broken[from..to].fill(if random.random_bool(0.5) { 0 } else { 0xff });
            ("a stretch wiped", broken)
        }
    }
}

async fn start(program: &Path, config: &Path) -> Start {
    let mut command = Command::new(program);
    command
        .args(["run", "--config"])
        .arg(config)
        .env_remove("SAYSO_CONFIG")
        .env_remove("NOTIFY_SOCKET")
        .env("RUST_LOG", "sayso=info")
        .env("NO_COLOR", "1");
    command.env("RUST_BACKTRACE", "0");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut start = Start::default();
    let _ = timeout(PATIENCE, read(&mut child, &mut start)).await;
    let _ = child.kill().await;
    start
}

/// Reads the log until the program serves, or ends.
async fn read(child: &mut Child, start: &mut Start) {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        start.panicked |= line.contains("panicked at");
        for said in [
            "put aside",
            "is damaged",
            "held nothing that could be read",
            "could not be read and were dropped",
            "cannot be read",
        ] {
            if line.contains(said) {
                start.said.get_or_insert(said);
            }
        }
        if let Some((_, n)) = line.split_once("remembered=") {
            start.remembered = n.trim().parse().unwrap_or_default();
        }
        if line.contains("the broker is offline") {
            start.began = true;
            return;
        }
    }
}
