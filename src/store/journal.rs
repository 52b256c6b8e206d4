//! The journal: every command that was heard, what is about to be sent for it, and how it was answered, until its time is over.
//! It is what lets the broker's copy be acknowledged, what a restart takes up again, and what knows a duplicate.
//! One record per command; the index over them is in memory, because they live for a minute.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time;

use super::Store;
use crate::command::reply::Reply;

/// The most commands remembered at once. Past it the oldest answered ones are forgotten first:
/// memory stays flat under a flood, and what is forgotten is a duplicate that may be taken for a new command.
const MOST: usize = 20_000;

/// How long writes gather before they are synced together. The broker's copy is kept as long: with mosquitto's window of 20
/// messages it could take 400 commands a second even if [`ENOUGH`] did not come first.
const GATHER: Duration = Duration::from_millis(50);

/// So many records are synced without waiting for more.
const ENOUGH: usize = 8;

/// A command as it came from the broker, enough to take it up again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The topic it came on.
    pub topic: String,
    /// The payload as it came.
    #[serde(with = "text_or_bytes")]
    pub payload: Vec<u8>,
    /// The MQTT 5 response topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_topic: Option<String>,
    /// The MQTT 5 correlation data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Vec<u8>>,
    /// The speaker's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When its time is over, in milliseconds of Unix time.
    pub until: u64,
}

/// What is about to be sent for a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    /// The device it is for.
    pub device: String,
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: String,
    /// True where sending it again after a crash does no harm.
    pub repeatable: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    received: Received,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sending: Option<Vec<Sending>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Reply>,
}

/// A command that was heard in an earlier life and has no answer yet.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// Its place in the journal.
    pub mark: Mark,
    /// What was heard.
    pub received: Received,
    /// What was about to be sent, where it had come so far.
    pub sending: Option<Vec<Sending>>,
}

/// A command's place in the journal: they are numbered as they are heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark(u64);

/// What the journal says of a command just heard.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// It is new.
    New(Mark),
    /// It was heard before, and is being worked on.
    Pending,
    /// It was heard before, and this was the answer.
    Answered(Box<Reply>),
}

/// The journal. With a store its records are on disk; without, in memory alone.
#[derive(Debug)]
pub struct Journal {
    disk: Option<Disk>,
    index: Mutex<Index>,
    /// Wakes the one that syncs: something was written.
    dirty: Notify,
    /// Tells it not to wait for more: somebody waits for the disk, or enough has gathered.
    urgent: Notify,
    /// The count of changes that are on disk for good.
    synced: watch::Sender<u64>,
}

#[derive(Debug)]
struct Disk {
    store: Arc<Store>,
    tree: sled::Tree,
}

#[derive(Debug, Default)]
struct Index {
    next: u64,
    /// Counts the changes.
    changes: u64,
    /// The records that changed since they were last written, and those that are gone.
    unwritten: BTreeSet<u64>,
    gone: Vec<u64>,
    known: HashMap<u64, Known>,
    by_key: HashMap<u64, u64>,
    /// Oldest first.
    order: VecDeque<u64>,
    /// False while writes fail.
    healthy: bool,
}

#[derive(Debug)]
struct Known {
    record: Record,
    keys: Vec<u64>,
    /// The connection it came by: equal payloads are duplicates only over two of them.
    epoch: u64,
    /// True once it has been written.
    written: bool,
}

impl Journal {
    /// Opens the journal in `store`, and gives what an earlier life left without an answer, oldest first.
    /// A record that cannot be read is dropped, with its count.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Option<Arc<Store>>) -> Result<(Self, Vec<Unfinished>, usize), io::Error> {
        let disk = store.map(|store| Ok(Disk { tree: store.db.open_tree("journal").map_err(io::Error::other)?, store }));
        let disk: Option<Disk> = disk.transpose().map_err(|e: io::Error| e)?;
        let mut index = Index { healthy: true, ..Index::default() };
        let (mut unfinished, mut unreadable) = (Vec::new(), 0);
        for entry in disk.iter().flat_map(|d| d.tree.iter()) {
            let (key, value) = entry.map_err(io::Error::other)?;
            let number = <[u8; 8]>::try_from(key.as_ref()).map(u64::from_be_bytes);
            let record = serde_json::from_slice::<Record>(&value);
            let (Ok(number), Ok(record)) = (number, record) else {
                unreadable += 1;
                if let Some(disk) = &disk {
                    disk.tree.remove(&key).map_err(io::Error::other)?;
                }
                continue;
            };
            if record.answer.is_none() {
                unfinished.push(Unfinished { mark: Mark(number), received: record.received.clone(), sending: record.sending.clone() });
            }
            index.next = index.next.max(number + 1);
            index.remember(number, record, 0);
            index.known.entry(number).and_modify(|known| known.written = true);
        }
        Ok((Self { disk, index: Mutex::new(index), dirty: Notify::new(), urgent: Notify::new(), synced: watch::Sender::new(0) }, unfinished, unreadable))
    }

    /// A journal in memory alone, for when the store cannot be read.
    pub fn in_memory() -> Self {
        let index = Index { healthy: true, ..Index::default() };
        Self { disk: None, index: Mutex::new(index), dirty: Notify::new(), urgent: Notify::new(), synced: watch::Sender::new(0) }
    }

    /// Enters a command that came by connection `epoch`. `redelivered` says that it may be one the broker or its speaker
    /// sends again: only then is an equal payload without an id a duplicate.
    pub fn receive(&self, received: Received, epoch: u64, redelivered: bool) -> Entry {
        let mut index = self.lock();
        index.forget_old(now_ms());
        let strong = strong_keys(&received);
        let weak = weak_key(&received);
        let found = strong.iter().find_map(|key| index.by_key.get(key)).or_else(|| {
            let same = index.by_key.get(&weak).filter(|_| redelivered && strong.is_empty());
            same.filter(|number| index.known.get(number).is_some_and(|k| k.epoch != epoch))
        });
        if let Some(known) = found.and_then(|number| index.known.get(number)) {
            return known.record.answer.clone().map_or(Entry::Pending, |reply| Entry::Answered(Box::new(reply)));
        }
        let number = index.next;
        index.next += 1;
        let record = Record { received, sending: None, answer: None };
        index.remember(number, record, epoch);
        self.changed(&mut index, number);
        Entry::New(Mark(number))
    }

    /// Writes down what is about to be sent. Await [`Journal::synced`] before sending what is not harmless twice.
    pub fn sending(&self, mark: Mark, sending: Vec<Sending>) {
        self.change(mark, |record| record.sending = Some(sending));
    }

    /// Writes down the answer.
    pub fn answered(&self, mark: Mark, reply: &Reply) {
        self.change(mark, |record| record.answer = Some(reply.clone()));
    }

    fn change(&self, mark: Mark, change: impl FnOnce(&mut Record)) {
        let mut index = self.lock();
        let Some(known) = index.known.get_mut(&mark.0) else { return };
        change(&mut known.record);
        self.changed(&mut index, mark.0);
    }

    /// A record is to be written. It is not written here: a command that is answered meanwhile is written once.
    fn changed(&self, index: &mut Index, number: u64) {
        if self.disk.is_none() {
            return;
        }
        index.changes += 1;
        index.unwritten.insert(number);
        self.dirty.notify_one();
        if index.unwritten.len() >= ENOUGH {
            self.urgent.notify_one();
        }
    }

    /// Waits until everything written so far is on disk for good, and lets it be written now. Without a store, or while it
    /// fails, there is nothing to wait for.
    pub async fn synced(&self) {
        self.urgent.notify_one();
        self.synced_in_time().await;
    }

    /// The same, without haste: what comes within the next moments is synced together.
    pub async fn synced_in_time(&self) {
        let target = {
            let index = self.lock();
            if self.disk.is_none() || !index.healthy {
                return;
            }
            index.changes
        };
        let mut synced = self.synced.subscribe();
        // The sender lives in self, so this cannot fail.
        let _ = synced.wait_for(|done| *done >= target).await;
    }

    /// Syncs what was written, many writes at a time, for ever: each sync costs the processor most of a millisecond and wears the SD card.
    pub async fn keep_synced(&self) {
        let Some(disk) = &self.disk else { return std::future::pending().await };
        loop {
            self.dirty.notified().await;
            tokio::select! {
                () = time::sleep(GATHER) => {}
                () = self.urgent.notified() => {}
            }
            self.sync(disk).await;
        }
    }

    /// Syncs what is still unsynced; for the way out.
    pub async fn close(&self) {
        if let Some(disk) = &self.disk {
            self.sync(disk).await;
        }
    }

    async fn sync(&self, disk: &Disk) {
        let (target, batch, numbers) = {
            let mut index = self.lock();
            let numbers = std::mem::take(&mut index.unwritten);
            (index.changes, index.batch(&numbers), numbers)
        };
        let (store, tree) = (Arc::clone(&disk.store), disk.tree.clone());
        let write = move || tree.apply_batch(batch).map_err(io::Error::other).and_then(|()| store.sync());
        let result = spawn_blocking(write).await.unwrap_or_else(|e| Err(io::Error::other(e)));
        let mut index = self.lock();
        if result.is_err() {
            index.unwritten.extend(numbers); // Tried again with the next change.
        }
        index.tell_health(result);
        drop(index);
        self.synced.send_replace(target);
    }

    /// True while commands are safe on disk: there is a store, and it takes what it is given.
    pub fn is_safe(&self) -> bool {
        self.disk.is_some() && self.lock().healthy
    }

    /// How many commands it remembers, and how many of them have no answer yet.
    pub fn counts(&self) -> (usize, usize) {
        let index = self.lock();
        (index.known.len(), index.known.values().filter(|k| k.record.answer.is_none()).count())
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn remember(&mut self, number: u64, record: Record, epoch: u64) {
        let mut keys = strong_keys(&record.received);
        keys.push(weak_key(&record.received));
        for key in &keys {
            self.by_key.insert(*key, number);
        }
        self.known.insert(number, Known { record, keys, epoch, written: false });
        self.order.push_back(number);
    }

    /// What is to be written now.
    fn batch(&mut self, numbers: &BTreeSet<u64>) -> sled::Batch {
        let mut batch = sled::Batch::default();
        for number in numbers {
            let Some(known) = self.known.get_mut(number) else { continue };
            // A record is made of strings and finite numbers: there is nothing in it that JSON cannot hold.
            if let Ok(bytes) = serde_json::to_vec(&known.record) {
                known.written = true;
                batch.insert(&number.to_be_bytes(), bytes);
            }
        }
        for number in self.gone.drain(..) {
            batch.remove(&number.to_be_bytes());
        }
        batch
    }

    /// Drops what is past its time, from memory and disk.
    fn forget_old(&mut self, now: u64) {
        while let Some(&number) = self.order.front() {
            let Some(known) = self.known.get(&number) else {
                self.order.pop_front();
                continue;
            };
            let over = known.record.received.until.saturating_add(GRACE_MS) < now;
            if !over && self.known.len() < MOST {
                break;
            }
            self.order.pop_front();
            let Some(known) = self.known.remove(&number) else { continue };
            for key in &known.keys {
                if self.by_key.get(key) == Some(&number) {
                    self.by_key.remove(key);
                }
            }
            if !self.unwritten.remove(&number) || known.written {
                self.gone.push(number);
            }
        }
    }

    /// Says once when the store stops taking what it is given, and once when it takes it again.
    fn tell_health(&mut self, result: io::Result<()>) {
        match result {
            Err(error) if self.healthy => {
                self.healthy = false;
                tracing::error!(%error, "the store takes nothing: commands are served without the promise to survive a restart; free the disk or mend its permissions");
            }
            Ok(()) if !self.healthy => {
                self.healthy = true;
                tracing::info!("the store works again");
            }
            _ => {}
        }
    }
}

/// How long a command is remembered past its own time, in milliseconds: its speaker's clock and ours may differ.
const GRACE_MS: u64 = 5_000;

fn hash(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// The names a speaker gave the command: its id and its correlation data, each within its topic.
fn strong_keys(received: &Received) -> Vec<u64> {
    let id = received.id.as_ref().map(|id| hash(("id", &received.topic, id)));
    let correlation = received.correlation.as_ref().map(|data| hash(("correlation", &received.topic, data)));
    id.into_iter().chain(correlation).collect()
}

fn weak_key(received: &Received) -> u64 {
    hash(("payload", &received.topic, &received.payload))
}

/// The moment `left` from now, in milliseconds of Unix time.
pub fn unix_ms(left: Duration) -> u64 {
    now_ms().saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}

/// How long it is until `until`; `None` when it is past.
pub fn left_until(until: u64) -> Option<Duration> {
    until.checked_sub(now_ms()).filter(|left| *left > 0).map(Duration::from_millis)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Payloads are text but for the strangest, and are kept readable.
mod text_or_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either<'a> {
        Text(std::borrow::Cow<'a, str>),
        Bytes(std::borrow::Cow<'a, [u8]>),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        std::str::from_utf8(bytes).map_or_else(|_| Either::Bytes(bytes.into()), |text| Either::Text(text.into())).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Ok(match Either::deserialize(deserializer)? {
            Either::Text(text) => text.into_owned().into_bytes(),
            Either::Bytes(bytes) => bytes.into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::reply::Outcome;
    use crate::store::{Settings, open};

    fn heard(payload: &str, id: Option<&str>) -> Received {
        Received {
            topic: "sayso/command/cli".into(),
            payload: payload.into(),
            response_topic: None,
            correlation: None,
            id: id.map(str::to_owned),
            until: unix_ms(Duration::from_mins(1)),
        }
    }

    fn reply() -> Reply {
        Reply {
            id: "1".into(),
            text: "x".into(),
            outcome: Outcome::Done,
            actions: vec![],
            speech: String::new(),
            via: "local".into(),
            ms: 1.0,
            why: None,
            retry_after: None,
        }
    }

    fn new(entry: &Entry) -> Mark {
        if let Entry::New(mark) = entry { *mark } else { panic!("not new: {entry:?}") }
    }

    #[test]
    fn the_same_id_is_a_duplicate_and_has_the_same_answer() {
        let journal = Journal::in_memory();
        let mark = new(&journal.receive(heard("on", Some("a")), 1, false));
        assert_eq!(journal.receive(heard("on", Some("a")), 1, false), Entry::Pending);
        journal.answered(mark, &reply());
        assert_eq!(journal.receive(heard("on", Some("a")), 1, false), Entry::Answered(Box::new(reply())));
        new(&journal.receive(heard("on", Some("b")), 1, false));
    }

    #[test]
    fn equal_payloads_without_an_id_are_duplicates_only_across_a_reconnect() {
        let journal = Journal::in_memory();
        new(&journal.receive(heard("next track", None), 1, false));
        new(&journal.receive(heard("next track", None), 1, true));
        assert_eq!(journal.receive(heard("next track", None), 2, true), Entry::Pending);
        new(&journal.receive(heard("next track", None), 2, false));
    }

    #[test]
    fn what_is_past_its_time_is_forgotten() {
        let journal = Journal::in_memory();
        let old = Received { until: 1, ..heard("on", Some("a")) };
        new(&journal.receive(old.clone(), 1, false));
        new(&journal.receive(old, 1, false));
        assert_eq!(journal.counts().0, 1);
    }

    #[tokio::test]
    async fn a_later_life_finds_what_has_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Arc::new(open(&Settings::default(), &folder.path().join("store")).unwrap());
        let (journal, unfinished, _) = Journal::open(Some(open())).unwrap();
        assert!(unfinished.is_empty());
        let done = new(&journal.receive(heard("on", Some("a")), 1, false));
        let sent = new(&journal.receive(heard("next", Some("b")), 1, false));
        let sending = Sending { device: "tv".into(), topic: "t".into(), payload: "p".into(), repeatable: false };
        journal.sending(sent, vec![sending.clone()]);
        journal.answered(done, &reply());
        journal.close().await;
        drop(journal);
        let (journal, unfinished, unreadable) = Journal::open(Some(open())).unwrap();
        assert_eq!((unfinished.len(), unreadable), (1, 0));
        assert_eq!(unfinished[0].sending, Some(vec![sending]));
        assert_eq!(journal.receive(heard("on", Some("a")), 1, false), Entry::Answered(Box::new(reply())));
        new(&journal.receive(heard("on", Some("c")), 1, false));
    }

    #[tokio::test]
    async fn synced_waits_for_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(open(&Settings::default(), &folder.path().join("store")).unwrap());
        let (journal, ..) = Journal::open(Some(store)).unwrap();
        new(&journal.receive(heard("on", None), 1, false));
        tokio::select! {
            () = journal.keep_synced() => unreachable!("it never ends"),
            () = journal.synced() => {}
        }
        assert!(journal.is_safe());
    }

    #[test]
    fn any_payload_survives_the_record() {
        for payload in [b"turn on".to_vec(), vec![0xff, 0x00, 0x80], vec![]] {
            let received = Received { payload, ..heard("", None) };
            let bytes = serde_json::to_vec(&received).unwrap();
            assert_eq!(serde_json::from_slice::<Received>(&bytes).unwrap(), received);
        }
    }
}
