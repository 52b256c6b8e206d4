//! Reading the records of an earlier run: at the start, or later if the store could not be opened
//! then.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::command::reply::Reply;
use crate::store::journal::clock::{Clock, millis};
use crate::store::journal::disk::{Disk, LastWrite};
use crate::store::journal::index::Reception;
use crate::store::journal::record::JournalRecord;
use crate::store::journal::recovered::Recovered;
use crate::store::journal::seq::Seq;
use crate::store::journal::state::Journal;
use crate::store::journal::wal::{Wal, WalNote, WalRemainder};

/// Numbers below this are those of an ordinary run: as many commands no gateway receives.
const FIRST_WITHOUT_STORE: u64 = 1 << 40;

/// Returns the first number of a run that starts without its store. It is above those of all
/// earlier runs, also of one that started so itself, as long as the clock goes forward.
pub(super) fn first_number_without_store() -> u64 {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (millis(since_1970) << 16).max(FIRST_WITHOUT_STORE)
}

/// A record of an earlier run.
struct Found {
    number: u64,
    record: JournalRecord,
    /// Whether the record on disk differs from this one.
    is_changed: bool,
    /// Whether the write-ahead log has a state of it.
    is_logged: bool,
}

impl Found {
    /// Makes the record on disk; `is_acked` if the broker has its reply.
    fn on_disk(number: u64, mut record: JournalRecord, shift: i64, is_acked: bool) -> Self {
        let is_acked_since = is_acked && record.answer.is_some() && !record.reply_acked;
        if is_acked_since {
            record.ack_reply();
        }
        Self {
            number,
            record,
            is_changed: shift != 0 || is_acked_since,
            is_logged: false,
        }
    }
}

impl Journal {
    /// Takes over the records on `disk`. `shift` is added to their times: the journal's own time
    /// minus that of the earlier run, in milliseconds.
    pub(super) fn recover(
        &self,
        disk: &Disk,
        last: &LastWrite,
        shift: i64,
    ) -> io::Result<Recovered> {
        {
            let mut index = self.lock();
            index.syncs = index.syncs.max(last.syncs);
        }
        let mut recovered = Recovered {
            missing: last.missing,
            ..Recovered::default()
        };
        let WalRemainder {
            records: mut in_wal,
            acked,
            gone,
            unreadable,
            newest,
        } = self.open_wal(&disk.store.path);
        recovered.unreadable += unreadable;
        {
            // Also of forgotten ones: a note must not meet another command of the same number.
            let mut index = self.lock();
            index.next = index.next.max(newest.saturating_add(1));
        }
        let logged: BTreeSet<u64> = in_wal.keys().copied().collect();
        for entry in disk.records() {
            let (number, value) = entry?;
            let (Some(number), Some(record)) = (number, JournalRecord::read(&value)) else {
                recovered.unreadable += 1;
                // A key that is not a number belongs to nothing: it stays, and does no harm.
                self.lock().gone.extend(number);
                continue;
            };
            if gone.contains(&number) {
                self.lock().gone.insert(number);
                continue;
            }
            let found = match in_wal.remove(&number) {
                Some(later) if later.progress() > record.progress() => Found {
                    number,
                    record: later,
                    is_changed: true,
                    is_logged: true,
                },
                _ => Found::on_disk(number, record, shift, acked.contains(&number)),
            };
            let found = Found {
                is_logged: logged.contains(&number),
                ..found
            };
            self.adopt_record(found, last.running, shift, &mut recovered);
        }
        for (number, record) in in_wal {
            let found = Found {
                number,
                record,
                is_changed: true,
                is_logged: true,
            };
            self.adopt_record(found, last.running, shift, &mut recovered);
        }
        self.lock().has_recovered = true;
        recovered.unfinished.sort_by_key(|one| one.seq);
        recovered.unsent.sort_by_key(|one| one.seq);
        Ok(recovered)
    }

    /// Takes over one record. `running` is the command whose code ran when the earlier run ended.
    fn adopt_record(
        &self,
        found: Found,
        running: Option<u64>,
        shift: i64,
        recovered: &mut Recovered,
    ) {
        let Found {
            number, mut record, ..
        } = found;
        record.shift(shift);
        let now = self.clock.now();
        let seq = Seq(number);
        let mut index = self.lock();
        if record.reply_acked && index.is_over(record.received_at, record.received.until, now) {
            index.gone.insert(number);
            if found.is_logged {
                index.notes.push((number, WalNote::Gone));
            }
            index.next = index.next.max(number + 1);
            return;
        }
        let reply = record.reply();
        let commanded = reply.iter().flat_map(Reply::commanded_devices);
        recovered
            .commanded
            .extend(commanded.map(|device| (device.to_owned(), seq)));
        if record.answer.is_none() {
            record.count_crash(running == Some(number));
            // It may have been published: no earlier message may follow.
            let planned = record.sending.iter().flatten();
            recovered
                .commanded
                .extend(planned.map(|planned| (planned.action.device.to_string(), seq)));
        }
        if !record.reply_acked {
            recovered.add(seq, &record, now);
        }
        if found.is_changed || record.answer.is_none() {
            self.changed(&mut index, number);
        }
        let reception = Reception {
            connection: 0,
            may_be_suspect: true,
            is_written: true,
            is_logged: found.is_logged,
        };
        let keys = record.keys();
        index.remember(number, record, keys, reception);
        if let Some(reply) = &reply {
            index.note_devices(number, reply);
        }
        index.enforce_budget();
    }

    /// Opens the write-ahead log; returns the records an earlier run left in it.
    pub(super) fn open_wal(&self, folder: &Path) -> WalRemainder {
        match Wal::open(folder, self.clock.boot()) {
            Ok((wal, remainder)) => {
                *self.wal() = Some(wal);
                remainder
            }
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log cannot be opened: records that wait \
                    for the disk are only in memory");
                *self.wal() = None;
                WalRemainder::default()
            }
        }
    }

    /// Takes over the records of an earlier run, although this one has begun.
    pub(super) fn recover_late(&self, disk: &Disk) -> io::Result<()> {
        let last = disk.last()?;
        let boot = disk.store.settings.boot.clone();
        let its_now = Clock::continue_from(last.clock.as_ref(), boot.as_deref()).now();
        let shift = self.clock.now().cast_signed() - its_now.cast_signed();
        let recovered = self.recover(disk, &last, shift)?;
        let mut late = self.recovered_late.lock();
        *late = Some(recovered);
        self.late.notify_one();
        Ok(())
    }

    /// Waits for the records of an earlier run that could not be read at the start. Cancel safe.
    pub async fn recovered_late(&self) -> Recovered {
        loop {
            let recovered = self.recovered_late.lock().take();
            if let Some(recovered) = recovered {
                return recovered;
            }
            self.late.notified().await;
        }
    }
}
