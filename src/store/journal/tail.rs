//! What is not on disk yet, given to the kernel at once: it outlives this process, though not a power cut. A line for each record,
//! in two files by turns: while a sync is under way the other one takes what comes, and one whose records are on disk is emptied.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use super::record::Record;

const NAMES: [&str; 2] = ["tail.0", "tail.1"];

#[derive(Debug)]
pub(super) struct Tail {
    files: [File; 2],
    holds: [bool; 2],
    /// The one that takes what comes.
    current: usize,
}

impl Tail {
    /// Opens it in the store's folder, with the records that an earlier life left.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, BTreeMap<u64, Record>)> {
        let open = |name| OpenOptions::new().create(true).read(true).append(true).open(folder.join(name));
        let (files, mut left) = ([open(NAMES[0])?, open(NAMES[1])?], BTreeMap::new());
        for mut file in &files {
            let lines = BufReader::new(file).lines().map_while(Result::ok);
            for (number, record) in lines.filter_map(|line| serde_json::from_str::<(u64, Record)>(&line).ok()) {
                further(&mut left, number, record);
            }
            // The last line may be cut: what comes next must not become its end.
            if file.metadata()?.len() > 0 {
                file.write_all(b"\n")?;
            }
        }
        let holds = [files[0].metadata()?.len() > 0, files[1].metadata()?.len() > 0];
        Ok((Self { files, holds, current: 0 }, left))
    }

    /// Takes these records.
    pub(super) fn add<'a>(&mut self, records: impl Iterator<Item = (u64, &'a Record)>) -> io::Result<()> {
        let mut lines = Vec::new();
        for line in records {
            serde_json::to_writer(&mut lines, &line)?;
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

/// Of two states of a record the later one counts.
fn further(left: &mut BTreeMap<u64, Record>, number: u64, record: Record) {
    if left.get(&number).is_none_or(|known| record.progress() >= known.progress()) {
        left.insert(number, record);
    }
}
