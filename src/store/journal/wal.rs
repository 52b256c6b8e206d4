//! The write-ahead log: records that are not on disk yet, handed to the kernel at once. They
//! survive the end of this process, though not a power cut. Each record is a line, in one of two
//! files: while a sync is in progress the other file takes new records, and a file whose records
//! are on disk is emptied.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::store::journal::record::JournalRecord;

const NAMES: [&str; 2] = ["tail.0", "tail.1"];

#[derive(Debug)]
pub(super) struct Wal {
    files: [LogFile; 2],
    /// Index of the file that takes new records.
    current: usize,
    /// Lines of one append; kept, so that an append allocates nothing.
    lines: Vec<u8>,
}

/// Bytes that are kept for the lines of the next append: those of several everyday records.
const MAX_KEPT_LINES: usize = 16 << 10;

#[derive(Debug)]
struct LogFile {
    file: File,
    /// Bytes of whole lines.
    bytes: u64,
    /// Whether part of a line follows them that could not be removed.
    is_torn: bool,
}

impl Wal {
    /// Opens it in the folder of the store; returns it with the records an earlier run left.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, WalRemainder)> {
        let mut remainder = WalRemainder::default();
        let first = LogFile::open(&folder.join(NAMES[0]), &mut remainder)?;
        let second = LogFile::open(&folder.join(NAMES[1]), &mut remainder)?;
        let wal = Self {
            files: [first, second],
            current: 0,
            lines: Vec::new(),
        };
        Ok((wal, remainder))
    }

    /// Appends these records.
    pub(super) fn append<'a>(
        &mut self,
        records: impl Iterator<Item = (u64, &'a JournalRecord)>,
    ) -> io::Result<()> {
        self.lines.clear();
        for record in records {
            let begin = self.lines.len();
            self.lines.extend_from_slice(b"00000000 ");
            serde_json::to_writer(&mut self.lines, &record)?;
            let (sum, line) = self.lines[begin..].split_at_mut(9);
            write!(&mut *sum, "{:08x}", crc32fast::hash(line))?;
            self.lines.push(b'\n');
        }
        let appended = self.files[self.current].append(&self.lines);
        self.lines.truncate(MAX_KEPT_LINES);
        self.lines.shrink_to(MAX_KEPT_LINES);
        appended
    }

    /// Leaves part of a line behind, as a write does that a full disk cuts short.
    #[cfg(test)]
    pub(super) fn tear(&mut self) {
        let file = &mut self.files[self.current];
        file.is_torn = true;
        file.file.write_all(b"00000000 [3,{\"rec").unwrap();
    }

    /// Directs new records to the other file: a sync begins that writes everything up to now.
    pub(super) fn switch(&mut self) {
        let other = 1 - self.current;
        if self.files[other].bytes == 0 {
            self.current = other;
        }
    }

    /// Empties the other file: the sync succeeded, and its records are on disk.
    pub(super) fn clear(&mut self) {
        self.files[1 - self.current].clear();
    }
}

impl LogFile {
    fn open(path: &Path, remainder: &mut WalRemainder) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let mut lines = content.split(|byte| *byte == b'\n');
        // Text behind the last newline was cut off, and never promised. It must not become part of
        // the next line.
        let cut = lines.next_back().unwrap_or_default();
        let is_text = cut.iter().all(|byte| (b' '..0xf8).contains(byte));
        remainder.unreadable += usize::from(!is_text);
        lines.for_each(|line| remainder.take(line));
        let bytes = u64::try_from(content.len() - cut.len()).unwrap_or_default();
        file.set_len(bytes)?;
        Ok(Self {
            file,
            bytes,
            is_torn: false,
        })
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_torn {
            // Ends the torn line, so that only it is lost.
            self.file.write_all(b"\n")?;
            self.is_torn = false;
        }
        if let Err(error) = self.file.write_all(lines) {
            // A full disk takes part of a line; the next record must not be joined to it.
            self.is_torn = self.file.set_len(self.bytes).is_err();
            return Err(error);
        }
        self.bytes += u64::try_from(lines.len()).unwrap_or_default();
        Ok(())
    }

    fn clear(&mut self) {
        if self.bytes > 0 && self.file.set_len(0).is_ok() {
            self.bytes = 0;
            self.is_torn = false;
        }
    }
}

/// The records an earlier run left.
#[derive(Debug, Default)]
pub(super) struct WalRemainder {
    pub(super) records: BTreeMap<u64, JournalRecord>,
    /// Lines that could not be read, or do not match their checksum.
    pub(super) unreadable: usize,
}

impl WalRemainder {
    fn take(&mut self, line: &[u8]) {
        let Some((number, record)) = read(line) else {
            self.unreadable += 1;
            return;
        };
        // Of two states of a record the later one counts.
        let known = self.records.get(&number);
        if known.is_none_or(|known| record.progress() >= known.progress()) {
            self.records.insert(number, record);
        }
    }
}

/// Parses a line: the checksum, a space, the record.
fn read(line: &[u8]) -> Option<(u64, JournalRecord)> {
    let (sum, record) = line.split_at_checked(9)?;
    let sum = u32::from_str_radix(str::from_utf8(sum).ok()?.trim_end(), 16).ok()?;
    if sum == crc32fast::hash(record) {
        serde_json::from_slice(record).ok()
    } else {
        None
    }
}
