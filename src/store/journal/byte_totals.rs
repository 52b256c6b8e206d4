//! The bytes that commands take in memory.

use std::collections::HashMap;
use std::sync::Arc;

use crate::store::journal::remembered::RememberedCommand;

/// The bytes of all remembered commands. Each command has the number of its own that are counted.
#[derive(Debug, Default)]
pub(super) struct ByteTotals {
    /// Bytes of all commands.
    pub(super) all: usize,
    /// Bytes of the commands without a delivered reply.
    pub(super) open: usize,
    /// Bytes of the commands of each source, by topic.
    by_topic: HashMap<Arc<str>, usize>,
}

impl ByteTotals {
    /// Returns the bytes of the commands with a delivered reply.
    pub(super) fn finished(&self) -> usize {
        self.all - self.open
    }

    /// Returns the number of sources with commands.
    pub(super) fn sources(&self) -> usize {
        self.by_topic.len()
    }

    /// Returns the bytes of the commands of a source.
    pub(super) fn of_source(&self, topic: &str) -> usize {
        self.by_topic.get(topic).copied().unwrap_or_default()
    }

    /// Counts a command.
    pub(super) fn add(&mut self, known: &mut RememberedCommand) {
        known.bytes = known.count_bytes();
        self.all += known.bytes;
        if !known.is_finished() {
            self.open += known.bytes;
        }
        match self.by_topic.get_mut(known.topic()) {
            Some(total) => *total += known.bytes,
            None => drop(self.by_topic.insert(known.topic().into(), known.bytes)),
        }
    }

    /// Counts a command no more.
    pub(super) fn remove(&mut self, known: &RememberedCommand) {
        self.all -= known.bytes;
        if !known.is_finished() {
            self.open -= known.bytes;
        }
        if let Some(total) = self.by_topic.get_mut(known.topic()) {
            *total -= known.bytes;
            if *total == 0 {
                self.by_topic.remove(known.topic());
            }
        }
    }

    /// Counts a command again whose record has changed.
    pub(super) fn recount(&mut self, known: &mut RememberedCommand) {
        let before = known.bytes;
        known.bytes = known.count_bytes();
        self.all = self.all - before + known.bytes;
        if !known.is_finished() {
            self.open = self.open - before + known.bytes;
        }
        if let Some(total) = self.by_topic.get_mut(known.topic()) {
            *total = *total - before + known.bytes;
        }
    }

    /// Reduces a command whose reply the broker has to the size that is needed from then on;
    /// returns false if that was done before.
    pub(super) fn finish(&mut self, known: &mut RememberedCommand) -> bool {
        if known.is_finished() {
            return false;
        }
        let topic = self.by_topic.get_key_value(known.topic());
        let topic = topic.map_or_else(|| known.topic().into(), |(topic, _)| Arc::clone(topic));
        self.open -= known.bytes;
        known.finish(topic);
        self.recount(known);
        true
    }

    /// Makes a table smaller that held many more sources.
    pub(super) fn shrink(&mut self) {
        self.by_topic.shrink_to(2 * self.by_topic.len());
    }
}
