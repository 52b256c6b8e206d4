//! Seeded histories of the journal on a disk that loses unsynced data and tears writes in progress:
//! after each end of a run, everything that was promised must be found, and nothing that did not
//! happen.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use futures_util::FutureExt;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::command::Redelivery;
use crate::command::reply::{Outcome, Via};
use crate::store::journal::simulated_disk::copied;
use crate::store::journal::sync::{SyncScope, WaitingRecords};
use crate::store::journal::*;
use crate::store::{Settings, open};
use crate::vocabulary::Property;
use crate::vocabulary::action::{Action, Op};

/// Seeds of the histories in a test run: 0 to this number.
const HISTORIES: u64 = 16;

/// Steps of one history.
const STEPS: usize = 120;

/// Progress of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SimulatedProgress {
    Absent,
    Received,
    Planned,
    Answered,
    Delivered,
}

/// One command as the sender and the devices know it.
#[derive(Debug)]
struct SimulatedCommand {
    seq: Seq,
    /// In memory, handed to the kernel, and on disk.
    now: SimulatedProgress,
    kernel: SimulatedProgress,
    disk: SimulatedProgress,
    /// The number of changes when it was received, and whether the broker forgot it since.
    changes: u64,
    is_acknowledged: bool,
    /// Whether the journal has forgotten it, and the kernel and the disk have that.
    forgotten: [bool; 3],
}

impl SimulatedCommand {
    /// Notes a sync of this command. A finished one need not be on disk: the broker has its
    /// messages and its reply.
    fn note_synced(&mut self) {
        self.note_synced_at(self.now);
    }

    /// Notes a sync that began when this command had come so far.
    fn note_synced_at(&mut self, then: SimulatedProgress) {
        self.kernel = self.kernel.max(then).min(self.now);
        let needs_disk = then < SimulatedProgress::Delivered;
        if needs_disk || self.disk > SimulatedProgress::Absent {
            self.disk = then;
        }
    }

    /// Checks how far the command had come according to the journal after the end of a run.
    fn check(&mut self, id: u64, after: SimulatedProgress, end: RunEnd) {
        let (promised, is_forgotten) = match end {
            RunEnd::Kill => (self.kernel, self.forgotten[1]),
            RunEnd::PowerCut => (self.disk, self.forgotten[2]),
        };
        let is_over = matches!(
            after,
            SimulatedProgress::Absent | SimulatedProgress::Delivered
        );
        assert!(
            is_over || !is_forgotten,
            "{end:?}: command {id} comes back {after:?}"
        );
        let [is_forgotten, ..] = std::mem::take(&mut self.forgotten);
        assert!(
            (is_forgotten || promised <= after) && after <= self.now,
            "{end:?}: command {id} is {after:?}; promised {promised:?}, was {:?}",
            self.now
        );
    }
}

/// Ways in which a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunEnd {
    /// The kernel keeps all writes.
    Kill,
    /// The disk keeps all synced data, and any part of the data appended since.
    PowerCut,
}

struct Simulation {
    random: StdRng,
    journal: Arc<Journal>,
    folder: TempDir,
    /// A sync that was planned, and is not carried out yet.
    planned: Option<WaitingRecords>,
    /// The folder as it was at the last sync.
    synced: TempDir,
    commands: BTreeMap<u64, SimulatedCommand>,
    next: u64,
    ends: usize,
    /// Whether the disk loses every sync although it reports success.
    lies: bool,
}

fn received(id: u64, bytes: usize) -> Received {
    Received {
        topic: format!("sayso/command/{}", id % 3),
        payload: vec![b'x'; bytes],
        response_topic: None,
        correlation: None,
        id: Some(id.to_string()),
        packet: None,
        identity: None,
        is_dated: false,
        until: u64::MAX / 2,
    }
}

/// Returns the length of the payload of a command, in bytes. Some are longer than the part that is
/// kept in the end.
fn length(id: u64) -> usize {
    if id.is_multiple_of(5) { 3000 } else { 20 }
}

fn action() -> Action {
    Action {
        device: "lamp".into(),
        property: Property::Power,
        op: Op::Set,
        value: None,
    }
}

fn reply(id: u64) -> Reply {
    Reply {
        scheduled: None,
        id: id.to_string().into(),
        text: "turn on the lamp".into(),
        outcome: Outcome::Done,
        actions: vec![action().into()],
        speech: String::new(),
        via: Via::Local,
        ms: 1.0,
        why: None,
        retry_after: None,
    }
}

/// Returns the first line of a file of the write-ahead log that another boot wrote.
fn other_boot() -> Vec<u8> {
    let entry = r#" ["boot","other",1]"#;
    format!("{:08x}{entry}\n", crc32fast::hash(&entry.as_bytes()[1..])).into_bytes()
}

fn open_in(folder: &Path) -> (Journal, Recovered) {
    let store = open(&Settings::default(), &folder.join("store")).unwrap();
    Journal::open(Some(Arc::new(store)), Duration::from_mins(1)).unwrap()
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = open_in(folder.path());
        let synced = copied(folder.path());
        Self {
            random: StdRng::seed_from_u64(seed),
            journal: Arc::new(journal),
            folder,
            synced,
            planned: None,
            commands: BTreeMap::new(),
            next: 0,
            ends: 0,
            lies: false,
        }
    }

    async fn run(&mut self) {
        for _ in 0..STEPS {
            match self.random.random_range(0..100) {
                0..30 => self.receive(),
                30..36 => self.receive_again(),
                36..70 => self.proceed(),
                70..84 => self.hand_to_kernel().await,
                84..86 => self.sync().await,
                86..88 => self.sync_slowly().await,
                88..90 => self.planned = Some(self.journal.waiting_records()),
                90..92 => self.sync_waiting().await,
                92..93 => self.forget(),
                93..97 => self.end(RunEnd::Kill).await,
                _ => self.end(RunEnd::PowerCut).await,
            }
            self.acknowledge();
        }
    }

    /// Acknowledges the commands that the broker need not keep, in the order of receipt.
    fn acknowledge(&mut self) {
        for known in self.commands.values_mut() {
            if !known.is_acknowledged {
                if !self.journal.is_kept(Some(known.seq), known.changes) {
                    break;
                }
                known.is_acknowledged = true;
            }
        }
    }

    fn receive(&mut self) {
        let id = self.next;
        self.next += 1;
        let entry = self
            .journal
            .receive(received(id, length(id)), 1, Redelivery::No);
        let JournalEntry::New(seq) = entry else {
            panic!("{id} is new, not {entry:?}");
        };
        let known = SimulatedCommand {
            seq,
            now: SimulatedProgress::Received,
            kernel: SimulatedProgress::Absent,
            disk: SimulatedProgress::Absent,
            changes: self.journal.changes(),
            is_acknowledged: false,
            forgotten: [false; 3],
        };
        self.commands.insert(id, known);
    }

    fn any(&mut self) -> Option<u64> {
        let at = self.random.random_range(0..self.commands.len().max(1));
        self.commands.keys().nth(at).copied()
    }

    /// Receives a known command again, and checks that it is never taken for a new one.
    fn receive_again(&mut self) {
        let Some(id) = self.any() else { return };
        if self.commands[&id].forgotten[0] {
            return;
        }
        let entry = self
            .journal
            .receive(received(id, length(id)), 2, Redelivery::No);
        let now = self.commands[&id].now;
        match entry {
            JournalEntry::Pending => assert!(now < SimulatedProgress::Answered, "{id} has a reply"),
            JournalEntry::Answered(reply) => {
                assert!(
                    now >= SimulatedProgress::Answered && reply.outcome == Outcome::Done,
                    "{id}"
                );
            }
            JournalEntry::New(_) => panic!("{id} is known"),
        }
    }

    fn proceed(&mut self) {
        let Some(id) = self.any() else { return };
        let Some(known) = self.commands.get_mut(&id) else {
            return;
        };
        let seq = known.seq;
        known.now = match known.now {
            SimulatedProgress::Absent | SimulatedProgress::Received if id % 2 == 0 => {
                let planned = PlannedPublish {
                    action: action(),
                    becomes: None,
                    topic: "lamp/set".into(),
                    payload: "ON".into(),
                    repeatable: true,
                };
                self.journal.record_plan(seq, vec![planned]);
                SimulatedProgress::Planned
            }
            SimulatedProgress::Absent
            | SimulatedProgress::Received
            | SimulatedProgress::Planned => {
                self.journal.record_reply(seq, &reply(id));
                SimulatedProgress::Answered
            }
            SimulatedProgress::Answered | SimulatedProgress::Delivered => {
                self.journal.record_reply_ack(seq);
                SimulatedProgress::Delivered
            }
        };
    }

    /// Lets the time to keep a command end for all of them.
    fn forget(&mut self) {
        let mut index = self.journal.lock();
        index.forget_old(u64::MAX);
        for known in self.commands.values_mut() {
            known.forgotten[0] = !index.known.contains_key(&known.seq.number());
        }
    }

    async fn hand_to_kernel(&mut self) {
        self.journal.hand_to_kernel().await;
        for known in self.commands.values_mut() {
            known.kernel = known.now;
            known.forgotten[1] = known.forgotten[0];
        }
    }

    /// Keeps a copy of the folder, unless the disk lost synced data.
    fn keep_image(&mut self) {
        if !self.lies {
            self.synced = copied(self.folder.path());
        }
    }

    async fn sync(&mut self) {
        self.journal.sync().await;
        self.keep_image();
        for known in self.commands.values_mut() {
            known.forgotten = [known.forgotten[0]; 3];
            known.note_synced();
        }
    }

    /// Goes on with commands while a sync is in progress.
    async fn sync_slowly(&mut self) {
        let journal = Arc::clone(&self.journal);
        let mut sync = Box::pin(async move { journal.sync().await });
        let is_complete = sync.as_mut().now_or_never().is_some();
        let then: Vec<_> = self
            .commands
            .iter()
            .map(|(id, known)| (*id, known.now))
            .collect();
        let forgotten = self.commands.values().map(|known| known.forgotten[0]);
        let forgotten: Vec<_> = forgotten.collect();
        for _ in 0..self.random.random_range(1..8) {
            match self.random.random_range(0..3) {
                0 => self.receive(),
                1 => self.proceed(),
                _ => self.hand_to_kernel().await,
            }
            self.acknowledge();
        }
        if !is_complete {
            sync.await;
        }
        self.keep_image();
        for ((id, then), forgotten) in then.into_iter().zip(forgotten) {
            if let Some(known) = self.commands.get_mut(&id) {
                known.forgotten[1] |= forgotten;
                known.forgotten[2] = forgotten;
                known.note_synced_at(then);
            }
        }
    }

    /// Carries out the sync that was planned, or one of everything that waits now.
    async fn sync_waiting(&mut self) {
        let waiting = self.planned.take();
        let waiting = waiting.unwrap_or_else(|| self.journal.waiting_records());
        self.journal.sync_some(SyncScope::Waiting(waiting)).await;
        self.keep_image();
        for known in self.commands.values_mut() {
            known.forgotten = [known.forgotten[0]; 3];
            if known.seq.number() < waiting.next {
                known.note_synced();
            }
        }
    }

    async fn end(&mut self, end: RunEnd) {
        self.planned = None;
        self.ends += 1;
        let image = match end {
            RunEnd::Kill => copied(self.folder.path()),
            RunEnd::PowerCut => self.after_power_cut(),
        };
        let (journal, recovered) = open_in(image.path());
        self.journal = Arc::new(journal);
        self.folder = image;
        self.check(&recovered, end);
        self.sync().await;
    }

    /// Returns the disk after a power cut: of each file of the write-ahead log, a part of the
    /// appended data has arrived, and is of an earlier boot.
    fn after_power_cut(&mut self) -> TempDir {
        let image = copied(self.synced.path());
        for name in ["tail.0", "tail.1"] {
            let written = fs::read(self.folder.path().join("store").join(name)).unwrap();
            let begin = written.iter().position(|byte| *byte == b'\n');
            let begin = begin.map_or(0, |end| end + 1);
            let cut = self.random.random_range(begin..=written.len());
            let mut left = other_boot();
            left.extend_from_slice(&written[begin..cut]);
            fs::write(image.path().join("store").join(name), left).unwrap();
        }
        image
    }

    /// Checks that no command reaches the lamp again after a newer one that nobody has any more,
    /// unless the broker sends a still newer one again.
    fn check_order(&self, recovered: &Recovered, end: RunEnd) {
        let journal = self.journal.lock();
        let lost = self.commands.values().filter(|known| {
            known.is_acknowledged && !journal.known.contains_key(&known.seq.number())
        });
        let lost = lost.map(|known| known.seq).max();
        let sent_again = self
            .commands
            .values()
            .filter(|known| !known.is_acknowledged && known.now >= SimulatedProgress::Answered);
        let newest = sent_again.map(|known| known.seq).max();
        let commanded = recovered.commanded.iter().map(|(_, seq)| *seq).max();
        for open in &recovered.unfinished {
            assert!(
                lost.is_none_or(|lost| lost < open.seq || Some(lost) < newest)
                    || commanded.is_some_and(|commanded| commanded > open.seq),
                "{end:?}: {:?} comes after {lost:?}, which is lost",
                open.seq
            );
        }
    }

    fn check(&mut self, recovered: &Recovered, end: RunEnd) {
        let mut found: BTreeMap<Seq, SimulatedProgress> = BTreeMap::new();
        for one in &recovered.unfinished {
            let is_planned = one.sending.is_some();
            let progress = if is_planned {
                SimulatedProgress::Planned
            } else {
                SimulatedProgress::Received
            };
            found.insert(one.seq, progress);
        }
        for one in &recovered.unsent {
            found.insert(one.seq, SimulatedProgress::Answered);
        }
        self.check_order(recovered, end);
        let mut gone = Vec::new();
        for (id, known) in &mut self.commands {
            let after = found.remove(&known.seq).unwrap_or_else(|| {
                let is_known = self.journal.lock().known.contains_key(&known.seq.number());
                if is_known {
                    SimulatedProgress::Delivered
                } else {
                    SimulatedProgress::Absent
                }
            });
            known.check(*id, after, end);
            known.now = after;
            if after == SimulatedProgress::Absent {
                gone.push(*id);
            }
        }
        assert!(found.is_empty(), "{end:?}: of nobody: {found:?}");
        for id in gone {
            self.commands.remove(&id);
        }
        let newest = self
            .commands
            .values()
            .filter(|known| known.now >= SimulatedProgress::Answered);
        let newest = newest.map(|known| known.seq).max();
        let commanded = recovered.commanded.iter().map(|(_, seq)| *seq).max();
        assert!(
            commanded >= newest,
            "{end:?}: the order of the lamp is lost"
        );
    }
}

#[tokio::test]
async fn no_end_of_a_run_loses_or_invents_anything() {
    let (mut ends, mut commands) = (0, 0);
    for seed in 0..HISTORIES {
        let mut simulation = Simulation::new(seed);
        simulation.run().await;
        ends += simulation.ends;
        commands += simulation.next;
    }
    let figures = format!("{HISTORIES} histories, {commands} commands, {ends} ends of a run");
    writeln!(std::io::stdout(), "{figures}").unwrap();
    assert!(ends > 0 && commands > 0);
}

#[tokio::test]
#[should_panic(expected = "promised")]
async fn a_disk_that_loses_a_sync_is_noticed() {
    for seed in 0..100 {
        let mut simulation = Simulation::new(seed);
        simulation.lies = true;
        simulation.run().await;
    }
}
