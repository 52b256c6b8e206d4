//! The progress of commands that a node of a pair has observed, for its next run: a process that is
//! killed and started again knows which commands were begun and answered before.
//!
//! Records are handed to the kernel, and not synced: they survive the end of the process, and are
//! not used after a restart of the machine. A thread of its own writes them, so that nothing waits
//! for the disk. If a record cannot be written, this is never hidden: the files are then started
//! again, with the time from which they are complete.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing::{info, warn};

use crate::clock::{now, uptime};
use crate::store::check_room;

const NAMES: [&str; 2] = ["progress.0", "progress.1"];

/// The beginning of a file. A boot id and the moment of its creation follow.
const MAGIC: &[u8] = b"sayso progress 1\n";

/// Bytes of a boot id, without hyphens.
const BOOT: usize = 32;

const HEADER: usize = MAGIC.len() + BOOT + 8;

/// Bytes in front of a record: its length, its checksum, and its moment.
const RECORD_HEADER: usize = 4 + 4 + 8;

/// The size after which the other file is used, in bytes.
const MAX_FILE: u64 = 8 << 20;

/// The longest record in bytes.
const MAX_RECORD: usize = 1 << 20;

/// The most bytes of records that may wait for the disk.
const MAX_WAITING: usize = 4 << 20;

/// The most records that are written at once.
const MAX_BATCH: usize = 256;

/// Time a record may wait for the disk before the files are given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause after a failure before the files are started again.
const RETRY: Duration = Duration::from_secs(5);

/// Stack of the thread that writes, in bytes.
const STACK: usize = 128 << 10;

/// The progress of commands on disk.
pub struct ProgressLog {
    queue: Arc<LogQueue>,
    /// In a simulation, whose time a thread does not follow, each record is written at once.
    #[cfg(test)]
    at_once: Option<Mutex<Writer>>,
}

/// The records of earlier runs since the machine was started.
#[derive(Debug, PartialEq, Eq)]
pub struct EarlierProgress {
    /// Time since the first record could be written: nothing later is missing.
    pub since: Duration,
    /// The records with their ages, oldest first.
    pub records: Vec<(Duration, Vec<u8>)>,
}

#[derive(Default)]
struct LogQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    /// Oldest first. The records at its head may be with the writer.
    waiting: VecDeque<WaitingRecord>,
    bytes: usize,
    /// Grows when waiting records are given up.
    losses: u64,
    is_closed: bool,
}

struct WaitingRecord {
    since: Instant,
    moment: Duration,
    record: Vec<u8>,
    bytes: usize,
    written: Box<dyn FnOnce() + Send>,
}

/// Records that are written at once, with their moments.
type Batch = Vec<(Duration, Vec<u8>)>;

impl std::fmt::Debug for ProgressLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProgressLog").finish_non_exhaustive()
    }
}

impl ProgressLog {
    /// Opens the files in `folder`, and returns the records of earlier runs since the machine was
    /// started, if there are any. Everything of the last `keep` is kept, as far as it fits.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn open(
        folder: PathBuf,
        boot: &str,
        keep: Duration,
    ) -> io::Result<(Self, Option<EarlierProgress>)> {
        let mut files: Vec<ReadFile> = (0..NAMES.len())
            .filter_map(|index| ReadFile::read(&folder, index, boot))
            .collect();
        files.sort_by_key(|file| file.created);
        let mut writer = Writer {
            folder,
            boot: boot.to_owned(),
            keep,
            file: None,
            retry_at: None,
        };
        let earlier = if let Some(newest) = files.last() {
            writer.file = Some(OpenFile::continue_after(&writer.folder, newest)?);
            Some(EarlierProgress::of(files))
        } else {
            writer.begin_anew(uptime())?;
            None
        };
        let queue = Arc::<LogQueue>::default();
        #[cfg(test)]
        if crate::clock::is_simulated() {
            let at_once = Some(Mutex::new(writer));
            return Ok((Self { queue, at_once }, earlier));
        }
        let thread = thread::Builder::new()
            .name("progress".to_owned())
            .stack_size(STACK);
        let waiting = Arc::clone(&queue);
        thread.spawn(move || write_all(&waiting, writer))?;
        let log = Self {
            queue,
            #[cfg(test)]
            at_once: None,
        };
        Ok((log, earlier))
    }

    /// Appends a record. `written` is called when it is with the kernel, or given up.
    pub fn append(&self, record: Vec<u8>, written: impl FnOnce() + Send + 'static) {
        #[cfg(test)]
        if let Some(writer) = &self.at_once {
            writer.lock().write(&vec![(uptime(), record)]);
            return written();
        }
        let now = now();
        let given_up = {
            let mut queue = self.queue.state.lock();
            let bytes = record.len();
            queue.bytes += bytes;
            queue.waiting.push_back(WaitingRecord {
                since: now,
                moment: uptime(),
                record,
                bytes,
                written: Box::new(written),
            });
            let is_over = |first: &WaitingRecord| first.since + PATIENCE <= now;
            let is_stuck = queue.waiting.front().is_some_and(is_over);
            if is_stuck || bytes > MAX_RECORD || queue.bytes > MAX_WAITING {
                queue.losses += 1;
                queue.bytes = 0;
                std::mem::take(&mut queue.waiting)
            } else {
                VecDeque::new()
            }
        };
        self.queue.changed.notify_one();
        if !given_up.is_empty() {
            warn!(
                records = given_up.len(),
                "the disk is too slow for the progress of commands: a restart of this node may not \
                 know it all"
            );
        }
        for record in given_up {
            (record.written)();
        }
    }
}

impl Drop for ProgressLog {
    fn drop(&mut self) {
        self.queue.state.lock().is_closed = true;
        self.queue.changed.notify_one();
    }
}

impl EarlierProgress {
    fn of(files: Vec<ReadFile>) -> Self {
        let now = uptime();
        let oldest = files.first().map_or(now, |file| file.created);
        let records = files.into_iter().flat_map(|file| file.records);
        Self {
            since: now.saturating_sub(oldest),
            records: records
                .map(|(moment, record)| (now.saturating_sub(moment), record))
                .collect(),
        }
    }
}

impl LogQueue {
    /// Waits for records. Returns them with the number of losses so far; `None` once the log is
    /// closed and nothing waits.
    fn next_batch(&self) -> Option<(Batch, u64)> {
        let mut queue = self.state.lock();
        while queue.waiting.is_empty() {
            if queue.is_closed {
                return None;
            }
            self.changed.wait(&mut queue);
        }
        let first = queue.waiting.iter_mut().take(MAX_BATCH);
        let batch = first.map(|one| (one.moment, std::mem::take(&mut one.record)));
        Some((batch.collect(), queue.losses))
    }

    /// Reports these records as written. Returns false if they were given up meanwhile.
    fn finish(&self, count: usize, losses: u64) -> bool {
        let written: Vec<WaitingRecord> = {
            let mut queue = self.state.lock();
            if queue.losses != losses {
                return false;
            }
            let written: Vec<_> = queue.waiting.drain(..count).collect();
            queue.bytes -= written.iter().map(|one| one.bytes).sum::<usize>();
            written
        };
        for record in written {
            (record.written)();
        }
        true
    }
}

/// Writes records until the log is closed.
fn write_all(queue: &LogQueue, mut writer: Writer) {
    while let Some((batch, losses)) = queue.next_batch() {
        writer.write(&batch);
        if !queue.finish(batch.len(), losses)
            && let Err(error) = writer.begin_anew(uptime())
        {
            writer.fail(&error);
        }
    }
}

/// One of the two files as an earlier run left it.
struct ReadFile {
    index: usize,
    created: Duration,
    records: Vec<(Duration, Vec<u8>)>,
    /// Bytes up to the end of the last whole record.
    bytes: usize,
}

impl ReadFile {
    /// Reads a file, unless it is of an earlier start of the machine.
    fn read(folder: &Path, index: usize, boot: &str) -> Option<Self> {
        let path = folder.join(NAMES[index]);
        let longest = MAX_FILE + u64::try_from(MAX_BATCH * MAX_RECORD).unwrap_or(u64::MAX);
        if boot.is_empty() || fs::metadata(&path).ok()?.len() > longest {
            return None;
        }
        let content = fs::read(&path).ok()?;
        let (header, mut rest) = content.split_at_checked(HEADER)?;
        let (expected, created) = header.split_at(MAGIC.len() + BOOT);
        if expected != header_of(boot) {
            return None;
        }
        let mut file = Self {
            index,
            created: moment(created)?,
            records: Vec::new(),
            bytes: HEADER,
        };
        while let Some((moment, record, behind)) = next_record(rest) {
            file.bytes += rest.len() - behind.len();
            file.records.push((moment, record.to_vec()));
            rest = behind;
        }
        Some(file)
    }
}

/// Splits the first record from the rest; `None` if it is not whole.
fn next_record(content: &[u8]) -> Option<(Duration, &[u8], &[u8])> {
    let (header, rest) = content.split_at_checked(RECORD_HEADER)?;
    let length = u32::from_le_bytes(header[..4].try_into().ok()?);
    let sum = u32::from_le_bytes(header[4..8].try_into().ok()?);
    let (record, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    let is_whole = crc32fast::hash(record) == sum;
    is_whole.then_some((moment(&header[8..])?, record, rest))
}

fn moment(bytes: &[u8]) -> Option<Duration> {
    let millis = u64::from_le_bytes(bytes.try_into().ok()?);
    Some(Duration::from_millis(millis))
}

fn moment_bytes(moment: Duration) -> [u8; 8] {
    u64::try_from(moment.as_millis())
        .unwrap_or(u64::MAX)
        .to_le_bytes()
}

/// Returns the beginning of a file of this start of the machine.
fn header_of(boot: &str) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend(boot.bytes().chain(std::iter::repeat(b' ')).take(BOOT));
    header
}

struct Writer {
    folder: PathBuf,
    boot: String,
    keep: Duration,
    /// `None` after a failure.
    file: Option<OpenFile>,
    retry_at: Option<Instant>,
}

struct OpenFile {
    index: usize,
    file: File,
    bytes: u64,
    created: Duration,
}

impl OpenFile {
    /// Continues a file after its last whole record.
    fn continue_after(folder: &Path, read: &ReadFile) -> io::Result<Self> {
        let path = folder.join(NAMES[read.index]);
        let bytes = u64::try_from(read.bytes).unwrap_or(u64::MAX);
        let file = OpenOptions::new().append(true).open(path)?;
        file.set_len(bytes)?;
        Ok(Self {
            index: read.index,
            file,
            bytes,
            created: read.created,
        })
    }
}

impl Writer {
    /// Writes records, unless the files have failed only just.
    fn write(&mut self, batch: &Batch) {
        let Some((last, _)) = batch.last() else {
            return;
        };
        if self.file.is_none() && self.retry_at.is_some_and(|at| now() < at) {
            return;
        }
        if let Err(error) = self.try_write(batch, *last) {
            self.fail(&error);
        }
    }

    fn try_write(&mut self, batch: &Batch, at: Duration) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (moment, record) in batch {
            let length = u32::try_from(record.len()).map_err(io::Error::other)?;
            bytes.extend(length.to_le_bytes());
            bytes.extend(crc32fast::hash(record).to_le_bytes());
            bytes.extend(moment_bytes(*moment));
            bytes.extend(record);
        }
        let keep = self.keep;
        let is_used_up =
            |file: &OpenFile| file.bytes >= MAX_FILE || at.saturating_sub(file.created) >= keep;
        match &self.file {
            // What is in the other one is older than this one.
            Some(file) if is_used_up(file) => self.begin(1 - file.index, at)?,
            Some(_) => {}
            None => {
                self.begin_anew(at)?;
                info!("the progress of commands is written again");
            }
        }
        let Some(open) = &mut self.file else {
            return Ok(());
        };
        check_room(&open.file, bytes.len())?;
        open.file.write_all(&bytes)?;
        open.bytes += u64::try_from(bytes.len()).unwrap_or_default();
        Ok(())
    }

    /// Begins a file, in which nothing is missing from now on.
    fn begin(&mut self, index: usize, at: Duration) -> io::Result<()> {
        let mut header = header_of(&self.boot);
        header.extend(moment_bytes(at));
        // A store that cannot be read is moved aside with its folder.
        fs::create_dir_all(&self.folder)?;
        let mut file = File::create(self.folder.join(NAMES[index]))?;
        check_room(&file, header.len())?;
        file.write_all(&header)?;
        self.file = Some(OpenFile {
            index,
            file,
            bytes: u64::try_from(header.len()).unwrap_or_default(),
            created: at,
        });
        self.retry_at = None;
        Ok(())
    }

    /// Removes both files, because something is missing in them, and begins one.
    fn begin_anew(&mut self, at: Duration) -> io::Result<()> {
        self.remove();
        self.begin(0, at)
    }

    fn remove(&mut self) {
        self.file = None;
        for name in NAMES {
            // One that is not there needs no removal.
            let _ = fs::remove_file(self.folder.join(name));
        }
    }

    /// Gives the files up for a while: a record could not be written.
    fn fail(&mut self, error: &io::Error) {
        if self.file.is_some() {
            warn!(
                %error,
                "the progress of commands cannot be written: a restart of this node may not know \
                 it all"
            );
        }
        self.remove();
        self.retry_at = Some(now() + RETRY);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const KEEP: Duration = Duration::from_mins(1);
    const BOOT_ID: &str = "0123456789abcdef0123456789abcdef";

    fn open(folder: &Path) -> (ProgressLog, Option<EarlierProgress>) {
        ProgressLog::open(folder.to_owned(), BOOT_ID, KEEP).unwrap()
    }

    /// Appends records, and waits until the last one is written.
    fn append(log: &ProgressLog, records: &[&str]) {
        let (sender, written) = mpsc::channel();
        for record in records {
            let sender = sender.clone();
            log.append(record.as_bytes().to_vec(), move || {
                let _ = sender.send(());
            });
        }
        for _ in records {
            written.recv_timeout(Duration::from_mins(1)).unwrap();
        }
    }

    fn texts(earlier: Option<EarlierProgress>) -> Vec<String> {
        let records = earlier.unwrap().records.into_iter();
        records
            .map(|(_, record)| String::from_utf8(record).unwrap())
            .collect()
    }

    #[test]
    fn a_later_run_has_the_records_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let (log, earlier) = open(folder.path());
        assert_eq!(earlier, None, "there is no earlier run");
        append(&log, &["a", "b"]);
        drop(log);
        let (log, earlier) = open(folder.path());
        assert_eq!(texts(earlier), ["a", "b"]);
        append(&log, &["c"]);
        drop(log);
        assert_eq!(texts(open(folder.path()).1), ["a", "b", "c"]);
    }

    #[test]
    fn records_of_an_earlier_start_of_the_machine_are_not_used() {
        let folder = tempfile::tempdir().unwrap();
        append(&open(folder.path()).0, &["a"]);
        let other = BOOT_ID.replace('0', "1");
        let (log, earlier) = ProgressLog::open(folder.path().to_owned(), &other, KEEP).unwrap();
        assert_eq!(earlier, None);
        append(&log, &["b"]);
        let (_, earlier) = ProgressLog::open(folder.path().to_owned(), &other, KEEP).unwrap();
        assert_eq!(texts(earlier), ["b"]);
        let (_, earlier) = ProgressLog::open(folder.path().to_owned(), "", KEEP).unwrap();
        assert_eq!(earlier, None, "the boot id is not known");
    }

    #[test]
    fn a_torn_record_and_all_behind_it_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        append(&open(folder.path()).0, &["a", "bcd"]);
        let path = folder.path().join(NAMES[0]);
        let whole = fs::read(&path).unwrap();
        for cut in 1..=3 + RECORD_HEADER {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let (log, earlier) = open(folder.path());
            assert_eq!(texts(earlier), ["a"]);
            append(&log, &["e"]);
            assert_eq!(texts(open(folder.path()).1), ["a", "e"]);
        }
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        fs::write(&path, &changed).unwrap();
        assert_eq!(texts(open(folder.path()).1), ["a"]);
    }

    fn writer(folder: &Path) -> Writer {
        let mut writer = Writer {
            folder: folder.to_owned(),
            boot: BOOT_ID.to_owned(),
            keep: KEEP,
            file: None,
            retry_at: None,
        };
        writer.begin_anew(Duration::ZERO).unwrap();
        writer
    }

    fn stored(folder: &Path) -> Vec<u64> {
        let files = (0..2).filter_map(|index| ReadFile::read(folder, index, BOOT_ID));
        let mut files: Vec<ReadFile> = files.collect();
        files.sort_by_key(|file| file.created);
        let records = files.iter().flat_map(|file| &file.records);
        records.map(|(moment, _)| moment.as_secs()).collect()
    }

    #[test]
    fn the_last_minute_is_kept_and_the_files_do_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path());
        for second in 0..400 {
            let at = Duration::from_secs(second);
            writer.write(&vec![(at, vec![b'x'; 100])]);
            let stored = stored(folder.path());
            let expected: Vec<u64> = (second.saturating_sub(KEEP.as_secs())..=second).collect();
            assert!(stored.ends_with(&expected), "{second}: {stored:?}");
            assert!(stored.len() <= 122, "{second}: {stored:?}");
        }
    }

    #[test]
    fn a_flood_uses_both_files_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path());
        for second in 0..30 {
            let at = Duration::from_secs(second);
            writer.write(&vec![(at, vec![b'x'; MAX_RECORD])]);
        }
        let bytes = |name| fs::metadata(folder.path().join(name)).unwrap().len();
        let limit = MAX_FILE + 2 * u64::try_from(MAX_RECORD).unwrap();
        assert!(NAMES.iter().all(|name| bytes(name) <= limit));
        assert!(stored(folder.path()).ends_with(&[28, 29]));
    }

    #[test]
    fn after_a_failure_the_files_say_since_when_they_are_complete() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(folder.path());
        writer.write(&vec![(Duration::from_secs(1), b"a".to_vec())]);
        writer.fail(&io::ErrorKind::StorageFull.into());
        assert!(stored(folder.path()).is_empty());
        writer.write(&vec![(Duration::from_secs(2), b"lost".to_vec())]);
        assert!(
            stored(folder.path()).is_empty(),
            "it is not tried again yet"
        );
        writer.retry_at = Some(now());
        writer.write(&vec![(Duration::from_secs(9), b"b".to_vec())]);
        let file = ReadFile::read(folder.path(), 0, BOOT_ID).unwrap();
        assert_eq!(file.created, Duration::from_secs(9));
        assert_eq!(stored(folder.path()), [9]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_holds_nobody_up_for_ever() {
        let log = ProgressLog {
            at_once: None,
            queue: Arc::default(),
        };
        let (sender, written) = mpsc::channel();
        let appended = |log: &ProgressLog| {
            let sender = sender.clone();
            log.append(b"a".to_vec(), move || sender.send(()).unwrap());
        };
        appended(&log);
        let (batch, losses) = log.queue.next_batch().unwrap();
        appended(&log);
        assert_eq!(written.try_iter().count(), 0);
        tokio::time::advance(PATIENCE).await;
        appended(&log);
        assert_eq!(written.try_iter().count(), 3);
        assert!(!log.queue.finish(batch.len(), losses), "there is a gap");
        appended(&log);
        let (batch, losses) = log.queue.next_batch().unwrap();
        assert!(log.queue.finish(batch.len(), losses));
        assert_eq!(written.try_iter().count(), 1);
    }
}
