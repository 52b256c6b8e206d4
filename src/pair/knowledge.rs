//! What a node knows of the commands of the other: recalled from its records at the start, sent as
//! a snapshot, and lacking after a loss.
//!
//! It does not know how records are stored; they enter and leave as values.

use std::time::Duration;

use crate::clock::now;
use crate::pair::mark::{KnownCommand, PairMark};
use crate::pair::record::ProgressRecord;
use crate::pair::{MAX_MESSAGE, Pair};

/// Bytes of a command in a snapshot, in addition to its plan.
const SNAPSHOT_ENTRY: usize = 128;

/// Time for which a node must have led so that its journal has everything that it took over.
pub(super) const SETTLED: Duration = Duration::from_secs(5);

impl Pair {
    /// Notes commands of an earlier run, oldest first. `is_durable` if the journal is on disk.
    pub fn recall(&self, commands: Vec<(KnownCommand, Option<Vec<u8>>)>, is_durable: bool) {
        let mut state = self.state.lock();
        state.has_journal = is_durable;
        for (command, reply) in commands {
            state.memory.recall(command, reply.as_deref(), now());
        }
    }

    /// Takes over the records of an earlier run with their ages. `since` is the time for which none
    /// of them is missing. Those of this run are kept from now on.
    pub fn restore(&self, since: Duration, records: Vec<(Duration, Vec<u8>)>) {
        let now = now();
        let before = |age: Duration| now.checked_sub(age).unwrap_or(now);
        let mut state = self.state.lock();
        state.uninformed_until = Some(before(since) + self.keep);
        for (age, record) in records {
            let at = before(age);
            match ProgressRecord::decode(&record) {
                Some(ProgressRecord::Mark(mark)) => drop(self.learn_mark(&mut state, &mark, at)),
                Some(ProgressRecord::Answered(identity, reply)) => {
                    state.memory.finished(identity, reply, at);
                }
                Some(ProgressRecord::NewSession) => state.memory.forget_numbered(),
                Some(ProgressRecord::Informed) => state.uninformed_until = None,
                Some(ProgressRecord::Uninformed) => {
                    state.uninformed_until = Some(at + self.keep);
                }
                None => {}
            }
        }
    }

    /// Keeps records for the next run of this node from now on.
    pub fn keep_records(&self) {
        self.state.lock().records.get_or_insert_default();
    }

    /// Removes and returns the records that the next run of this node needs, oldest first.
    pub fn take_records(&self) -> Vec<Vec<u8>> {
        let mut state = self.state.lock();
        let records = state.records.as_mut().map(std::mem::take);
        let records = records.unwrap_or_default();
        records.iter().map(ProgressRecord::encode).collect()
    }

    /// Notes that this node leads without having seen every mark of the earlier leader.
    pub fn note_missed_marks(&self) {
        let mut state = self.state.lock();
        state.uninformed_until = Some(now() + self.keep);
        state.keep_record(|| ProgressRecord::Uninformed);
    }

    /// Notes that every command that the broker has sent again is finished: any it sends again
    /// from now on was received by this node, so that its marks are known. The other node learns
    /// it.
    pub fn note_informed(&self) {
        {
            let mut state = self.state.lock();
            if state.uninformed_until.take().is_none() {
                return;
            }
            state.keep_record(|| ProgressRecord::Informed);
            if let Some(peer) = state.peer.as_ref().filter(|peer| peer.online) {
                let to = peer.node.clone();
                state.leadership.send_snapshot(to);
            }
        }
        self.changed.notify_one();
    }

    /// Returns whether a command that the broker sends again may have begun although its progress
    /// is not known here.
    pub fn is_uninformed(&self) -> bool {
        self.state.lock().is_uninformed()
    }

    /// Returns the known progress of commands in messages to another node, the newest first.
    pub fn snapshot(&self, to: &str) -> Vec<PairMark> {
        let state = self.state.lock();
        let is_complete = !state.is_uninformed();
        let all = state.memory.snapshot();
        let mut parts: Vec<PairMark> = Vec::new();
        let mut part = Vec::new();
        let mut bytes = 0;
        let to_mark = |mut commands: Vec<KnownCommand>, part: usize, is_last| {
            commands.reverse();
            PairMark::Snapshot {
                to: to.to_owned(),
                commands,
                part: u32::try_from(part).unwrap_or(u32::MAX),
                is_last,
                is_complete,
            }
        };
        for command in all.into_iter().rev() {
            bytes += SNAPSHOT_ENTRY + command.plan.to_string().len();
            part.push(command);
            if bytes >= MAX_MESSAGE / 4 {
                parts.push(to_mark(std::mem::take(&mut part), parts.len(), false));
                bytes = 0;
            }
        }
        parts.push(to_mark(part, parts.len(), true));
        parts
    }
}
