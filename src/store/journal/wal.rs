//! The write-ahead log: records that are not on disk yet, handed to the kernel at once. They
//! survive the end of this process, though not a power cut: the records of an earlier boot are not
//! read.
//!
//! It is two files of lines. A line has a record, or notes that the broker has a reply, or that a
//! record is forgotten. A command that is finished before the next sync is only here. While one
//! file takes lines, the other one waits until all of its records are on disk or forgotten, and is
//! then emptied.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::store::journal::record::JournalRecord;

const NAMES: [&str; 2] = ["tail.0", "tail.1"];

/// Beginning of the first line of a file, before the boot id of the kernel that has the rest.
const BOOT: &str = "boot";

/// Bytes that are kept for the lines of the next append: those of several everyday records.
const MAX_KEPT_LINES: usize = 16 << 10;

/// Bytes from which the other file takes the next lines, once it is empty. Small, so that little
/// stays behind of commands that are long over.
const SWITCH: u64 = 8 << 10;

/// Bytes of a file from which the records in the other one are written to disk, so that it can be
/// emptied.
const MAX_FILE: u64 = 8 << 20;

#[derive(Debug)]
pub(super) struct Wal {
    files: [LogFile; 2],
    /// Index of the file that takes new lines.
    current: usize,
    /// The number of files that were begun.
    generation: u64,
    /// Lines of one append; kept, so that an append allocates nothing.
    lines: Vec<u8>,
    /// The boot id of the kernel, if known.
    boot: Option<String>,
}

/// A later state of a record that needs no copy of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WalNote {
    /// The broker has the reply.
    Acked,
    /// The record is forgotten.
    Gone,
}

#[derive(Debug)]
struct LogFile {
    file: File,
    /// Bytes of whole lines.
    bytes: u64,
    /// The highest number in it.
    newest: u64,
    /// Number of files that were begun before it.
    generation: u64,
    /// Whether it has its first line, with the boot id.
    has_head: bool,
    /// Whether part of a line follows them that could not be removed.
    is_torn: bool,
}

impl Wal {
    /// Opens it in the folder of the store; returns it with the records that an earlier run of this
    /// boot left.
    pub(super) fn open(folder: &Path, boot: Option<&str>) -> io::Result<(Self, WalRemainder)> {
        let mut files = Vec::with_capacity(2);
        for name in NAMES {
            files.push(LogFile::open(&folder.join(name), boot)?);
        }
        files.sort_by_key(|(file, _)| Reverse((file.generation, file.newest)));
        let mut remainder = WalRemainder::default();
        for (_, found) in files.iter_mut().rev() {
            remainder.extend(std::mem::take(found));
        }
        remainder.apply_notes();
        let files: Vec<LogFile> = files.into_iter().map(|(file, _)| file).collect();
        let files = <[LogFile; 2]>::try_from(files).map_err(|_| io::ErrorKind::Other)?;
        let wal = Self {
            generation: files[0].generation,
            files,
            current: 0,
            lines: Vec::new(),
            boot: boot.map(str::to_owned),
        };
        Ok((wal, remainder))
    }

    /// Appends these records and notes.
    pub(super) fn append<'a>(
        &mut self,
        records: impl Iterator<Item = (u64, Cow<'a, JournalRecord>)>,
        notes: &[(u64, WalNote)],
    ) -> io::Result<()> {
        self.lines.clear();
        let file = &mut self.files[self.current];
        let mut newest = file.newest;
        if !file.has_head {
            let boot = self.boot.as_deref().unwrap_or_default();
            push_entry(&mut self.lines, &(BOOT, boot, self.generation + 1))?;
        }
        let begin = self.lines.len();
        for (number, record) in records {
            push_line(&mut self.lines, |line| {
                write!(line, "[{number},")?;
                record.write_to(line)?;
                line.push(b']');
                Ok(())
            })?;
            newest = newest.max(number);
        }
        for entry in notes {
            push_entry(&mut self.lines, entry)?;
            newest = newest.max(entry.0);
        }
        if self.lines.len() == begin {
            return Ok(());
        }
        let appended = file.append(&self.lines);
        if appended.is_ok() {
            file.newest = newest;
            if !file.has_head {
                self.generation += 1;
                file.generation = self.generation;
                file.has_head = true;
            }
        }
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

    /// Returns the number up to which records have to be written to disk, because the log is full.
    pub(super) fn overdue(&self) -> Option<u64> {
        let other = &self.files[1 - self.current];
        let is_full = self.files[self.current].bytes >= MAX_FILE && other.bytes > 0;
        is_full.then_some(other.newest)
    }

    /// Empties the file that takes no new lines, if all of its records are on disk or forgotten:
    /// `oldest` is the lowest number of those that are not. The next lines go there, if the present
    /// file has some.
    pub(super) fn turn(&mut self, oldest: Option<u64>) {
        let other = &mut self.files[1 - self.current];
        if other.bytes > 0 && oldest.is_none_or(|oldest| oldest > other.newest) {
            other.clear();
        }
        if other.bytes == 0 && self.files[self.current].bytes >= SWITCH {
            self.current = 1 - self.current;
        }
    }
}

/// Appends a line with this entry.
fn push_entry(lines: &mut Vec<u8>, entry: &impl Serialize) -> io::Result<()> {
    push_line(lines, |line| Ok(serde_json::to_writer(line, entry)?))
}

/// Appends a line: the checksum, a space, and the entry that `write` appends.
fn push_line(
    lines: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    let begin = lines.len();
    lines.extend_from_slice(b"00000000 ");
    write(lines)?;
    let (sum, line) = lines[begin..].split_at_mut(9);
    write!(&mut *sum, "{:08x}", crc32fast::hash(line))?;
    lines.push(b'\n');
    Ok(())
}

impl LogFile {
    /// Opens a file; returns it with its content, unless an earlier boot wrote it.
    fn open(path: &Path, boot: Option<&str>) -> io::Result<(Self, WalRemainder)> {
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
        let mut remainder = WalRemainder::default();
        remainder.unreadable += usize::from(!is_text);
        let mut bytes = u64::try_from(content.len() - cut.len()).unwrap_or_default();
        let mut generation = None;
        for line in lines {
            if let Some((then, number)) = read_head(line) {
                if boot.is_some_and(|boot| !then.is_empty() && boot != then) {
                    remainder = WalRemainder::default();
                    (bytes, generation) = (0, None);
                    break;
                }
                generation = Some(number);
                continue;
            }
            remainder.take(line);
        }
        file.set_len(bytes)?;
        let file = Self {
            file,
            bytes,
            newest: remainder.newest,
            generation: generation.unwrap_or_default(),
            has_head: generation.is_some(),
            is_torn: false,
        };
        Ok((file, remainder))
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
        if self.file.set_len(0).is_ok() {
            self.bytes = 0;
            self.newest = 0;
            self.has_head = false;
            self.is_torn = false;
        }
    }
}

/// The records an earlier run left.
#[derive(Debug, Default)]
pub(super) struct WalRemainder {
    pub(super) records: BTreeMap<u64, JournalRecord>,
    /// Records of which the broker has the reply.
    pub(super) acked: BTreeSet<u64>,
    /// Records that are forgotten.
    pub(super) gone: BTreeSet<u64>,
    /// Lines that could not be read, or do not match their checksum.
    pub(super) unreadable: usize,
    /// The highest number.
    pub(super) newest: u64,
}

impl WalRemainder {
    fn take(&mut self, line: &[u8]) {
        let number = match read(line) {
            Some(WalLine::Record(number, record)) => {
                self.add(number, *record);
                number
            }
            Some(WalLine::Note(number, note)) => {
                match note {
                    WalNote::Acked => self.acked.insert(number),
                    WalNote::Gone => self.gone.insert(number),
                };
                number
            }
            None => {
                self.unreadable += 1;
                return;
            }
        };
        self.newest = self.newest.max(number);
    }

    /// Adds a record. Of two states of it the later one counts.
    fn add(&mut self, number: u64, record: JournalRecord) {
        let known = self.records.get(&number);
        if known.is_none_or(|known| record.progress() >= known.progress()) {
            self.records.insert(number, record);
        }
    }

    /// Adds the content of a newer file.
    fn extend(&mut self, newer: Self) {
        for (number, record) in newer.records {
            self.add(number, record);
        }
        self.acked.extend(newer.acked);
        self.gone.extend(newer.gone);
        self.unreadable += newer.unreadable;
        self.newest = self.newest.max(newer.newest);
    }

    /// Brings the records to the state of their notes. One whose reply the broker has, but which is
    /// not here, is on disk.
    fn apply_notes(&mut self) {
        let (acked, gone) = (&self.acked, &self.gone);
        self.records.retain(|number, record| {
            if acked.contains(number) && record.answer.is_some() {
                record.ack_reply();
            }
            !gone.contains(number) && (record.reply_acked || !acked.contains(number))
        });
    }
}

enum WalLine {
    Record(u64, Box<JournalRecord>),
    Note(u64, WalNote),
}

/// Parses a line: the checksum, a space, the entry.
fn read(line: &[u8]) -> Option<WalLine> {
    let entry = checked(line)?;
    if let Ok((number, record)) = serde_json::from_slice(entry) {
        return Some(WalLine::Record(number, Box::new(record)));
    }
    let (number, note) = serde_json::from_slice(entry).ok()?;
    Some(WalLine::Note(number, note))
}

/// Parses the first line of a file: the boot id, empty where it was not known, and the generation.
fn read_head(line: &[u8]) -> Option<(String, u64)> {
    // Nearly all lines are others.
    let entry = line
        .get(9..)
        .filter(|entry| entry.starts_with(br#"["boot""#))?;
    checked(line)?;
    let (_, boot, generation): (String, String, u64) = serde_json::from_slice(entry).ok()?;
    Some((boot, generation))
}

/// Returns the part of a line behind its checksum, if it matches.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let (sum, entry) = line.split_at_checked(9)?;
    let sum = u32::from_str_radix(str::from_utf8(sum).ok()?.trim_end(), 16).ok()?;
    (sum == crc32fast::hash(entry)).then_some(entry)
}
