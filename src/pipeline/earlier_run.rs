//! Commands that an earlier run of the program received, and of which nothing but their beginning
//! is known. Pure, but for the clock.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::now;
use crate::command::Command;

/// A command with less time left may be late when its turn comes: for so long the commands of an
/// earlier run may wait for each other.
const SHORT: Duration = Duration::from_secs(4);

/// Commands of an earlier run that have no reply, and have not claimed their devices, by number.
/// They are bounded as the commands without a reply in the journal are.
#[derive(Debug, Default)]
pub(super) struct EarlierRun(BTreeMap<u64, Command>);

impl EarlierRun {
    /// Adds a command.
    pub(super) fn begin(&mut self, command: &Command, seq: u64) {
        self.0.insert(seq, command.clone());
    }

    /// Removes a command that has a reply.
    pub(super) fn end(&mut self, seq: u64) {
        self.0.remove(&seq);
    }

    /// Removes the commands behind number `seq` whose time is over, or soon is, and returns them.
    pub(super) fn take_short(&mut self, seq: u64) -> Vec<Command> {
        let newer = self.0.range(seq.saturating_add(1)..);
        let is_short = |command: &Command| command.is_late() || command.remaining(now()) < SHORT;
        let short = newer.filter(|(_, command)| is_short(command));
        let numbers: Vec<u64> = short.map(|(number, _)| *number).collect();
        let commands = numbers.iter().filter_map(|number| self.0.remove(number));
        commands.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_newer_commands_whose_time_is_nearly_over_claim_their_devices_once() {
        let (mut earlier, start) = (EarlierRun::default(), now());
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
    }
}
