//! The set of commands that an earlier run of the program began and did not finish. Pure, but for
//! the clock.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::now;
use crate::command::Command;

/// A command with less time left may expire before its turn comes: the commands of an earlier run
/// may wait for each other for this time.
const SHORT: Duration = Duration::from_secs(4);

/// Commands of an earlier run that have no reply, by number; `None` for those that have claimed
/// their devices. They are bounded as the commands without a reply in the journal are.
#[derive(Debug, Default)]
pub(super) struct UnfinishedCommands(BTreeMap<u64, Option<Command>>);

impl UnfinishedCommands {
    /// Adds a command.
    pub(super) fn begin(&mut self, command: &Command, seq: u64) {
        self.0.insert(seq, Some(command.clone()));
    }

    /// Removes a command that has a reply.
    pub(super) fn end(&mut self, seq: u64) {
        self.0.remove(&seq);
    }

    /// Returns whether an earlier run received the command with this number.
    pub(super) fn contains(&self, seq: u64) -> bool {
        self.0.contains_key(&seq)
    }

    /// Returns the commands behind number `seq` whose time is over, or soon is; each of them once.
    pub(super) fn take_short(&mut self, seq: u64) -> Vec<Command> {
        let newer = self.0.range_mut(seq.saturating_add(1)..);
        let is_short =
            |command: &mut Command| command.is_late() || command.remaining(now()) < SHORT;
        let short = newer.filter_map(|(_, command)| command.take_if(is_short));
        short.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_newer_commands_whose_time_is_nearly_over_claim_their_devices_once() {
        let (mut earlier, start) = (UnfinishedCommands::default(), now());
        for (seq, left) in [(1, 0), (2, 40), (3, 0), (4, 3), (5, 40), (6, 2)] {
            let mut command = Command::for_test("hall", "turn on the lamp");
            command.deadline = start + Duration::from_secs(left);
            command.seq = seq;
            earlier.begin(&command, seq);
        }
        earlier.end(6);
        let mut numbers = |seq| {
            let short = earlier.take_short(seq);
            short.iter().map(|command| command.seq).collect::<Vec<_>>()
        };
        assert_eq!(numbers(2), [3, 4]);
        assert!(numbers(2).is_empty());
        assert_eq!(numbers(0), [1]);
        assert!(earlier.contains(3) && !earlier.contains(6));
    }
}
