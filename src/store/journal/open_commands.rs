//! The commands without a reply, and which of them a power cut leaves behind.

use std::collections::BTreeSet;

/// The commands without a reply, by number: a higher one is newer.
#[derive(Debug, Default)]
pub(super) struct OpenCommands {
    all: BTreeSet<u64>,
    /// Those that are on disk, or being written to it.
    on_disk: BTreeSet<u64>,
}

impl OpenCommands {
    /// Adds a command.
    pub(super) fn insert(&mut self, number: u64, is_on_disk: bool) {
        self.all.insert(number);
        if is_on_disk {
            self.on_disk.insert(number);
        }
    }

    /// Removes a command, because it has a reply or is forgotten.
    pub(super) fn remove(&mut self, number: u64) {
        self.all.remove(&number);
        self.on_disk.remove(&number);
    }

    /// Notes that these commands are being written to disk. Returns the oldest open one of them.
    pub(super) fn note_written(&mut self, numbers: &BTreeSet<u64>) -> Option<u64> {
        let open = numbers.intersection(&self.all).copied();
        let oldest = open.clone().next();
        self.on_disk.extend(open);
        oldest
    }

    /// Returns whether one is older than this command.
    pub(super) fn is_older_one_open(&self, number: u64) -> bool {
        self.all.first().is_some_and(|oldest| *oldest < number)
    }

    /// Returns whether one that the disk has is older than this command.
    pub(super) fn is_older_one_on_disk(&self, number: u64) -> bool {
        self.on_disk.first().is_some_and(|oldest| *oldest < number)
    }
}
