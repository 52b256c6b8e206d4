//! What is not on disk yet, given to the kernel at once: it outlives this process, though not a power cut. A line for each record,
//! in two files by turns: while a sync is under way the other one takes what comes, and one whose records are on disk is emptied.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::store::journal::record::JournalRecord;

const NAMES: [&str; 2] = ["tail.0", "tail.1"];

#[derive(Debug)]
pub(super) struct Wal {
    files: [File; 2],
    holds: [bool; 2],
    /// The one that takes what comes.
    current: usize,
}

impl Wal {
    /// Opens it in the store's folder, with the records that an earlier life left.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, WalRemainder)> {
        let open = |name| {
            OpenOptions::new()
                .create(true)
                .read(true)
                .append(true)
                .open(folder.join(name))
        };
        let (files, mut left) = ([open(NAMES[0])?, open(NAMES[1])?], WalRemainder::default());
        for mut file in &files {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let mut lines = bytes.split(|byte| *byte == b'\n');
            // What follows the last end of a line was cut, and never promised, where it is text. What comes next must not become its end.
            let cut = lines.next_back().unwrap_or_default();
            left.unreadable += usize::from(cut.iter().any(|byte| !(b' '..0xf8).contains(byte)));
            lines.for_each(|line| left.take(line));
            file.set_len(u64::try_from(bytes.len() - cut.len()).unwrap_or_default())?;
        }
        let holds = [
            files[0].metadata()?.len() > 0,
            files[1].metadata()?.len() > 0,
        ];
        Ok((
            Self {
                files,
                holds,
                current: 0,
            },
            left,
        ))
    }

    /// Takes these records.
    pub(super) fn add<'a>(
        &mut self,
        records: impl Iterator<Item = (u64, &'a JournalRecord)>,
    ) -> io::Result<()> {
        let mut lines = Vec::new();
        for record in records {
            let line = serde_json::to_vec(&record)?;
            write!(lines, "{:08x} ", crc32fast::hash(&line))?;
            lines.extend_from_slice(&line);
            lines.push(b'\n');
        }
        self.holds[self.current] = true;
        self.files[self.current].write_all(&lines)
    }

    /// A sync begins that takes all there is up to now.
    pub(super) fn turn(&mut self) {
        if !self.holds[1 - self.current] {
            self.current = 1 - self.current;
        }
    }

    /// It succeeded: what was there when it began is on disk.
    pub(super) fn clear(&mut self) {
        let old = 1 - self.current;
        if self.holds[old] {
            self.holds[old] = self.files[old].set_len(0).is_err();
        }
    }
}

/// What an earlier life left.
#[derive(Debug, Default)]
pub(super) struct WalRemainder {
    pub(super) records: BTreeMap<u64, JournalRecord>,
    /// How many lines could not be read, or are not as they were written.
    pub(super) unreadable: usize,
}

impl WalRemainder {
    fn take(&mut self, line: &[u8]) {
        let Some((number, record)) = read(line) else {
            self.unreadable += 1;
            return;
        };
        // Of two states of a record the later one counts.
        if self
            .records
            .get(&number)
            .is_none_or(|known| record.progress() >= known.progress())
        {
            self.records.insert(number, record);
        }
    }
}

/// A line: the checksum, a space, the record.
fn read(line: &[u8]) -> Option<(u64, JournalRecord)> {
    let (sum, record) = line.split_at_checked(9)?;
    let sum = u32::from_str_radix(str::from_utf8(sum).ok()?.trim_end(), 16).ok()?;
    if sum == crc32fast::hash(record) {
        serde_json::from_slice(record).ok()
    } else {
        None
    }
}
