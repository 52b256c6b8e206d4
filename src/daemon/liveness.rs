//! Whether commands come to an end. One whose time has long run out and that has no reply is one that hangs: the watchdog is to know.

use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Past its deadline a command has its reply within moments; so much later it will never have one.
const PATIENCE: Duration = Duration::from_secs(30);

/// The commands that are being answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Liveness(Arc<Mutex<Beats>>);

#[derive(Debug, Default)]
struct Beats {
    next: u64,
    due: BTreeMap<u64, Instant>,
}

/// One command on its way; it ends with the value.
#[derive(Debug)]
pub(super) struct CommandGuard {
    pulse: Liveness,
    number: u64,
}

impl Liveness {
    /// A command with this deadline is begun.
    pub(super) fn begin(&self, deadline: Instant) -> CommandGuard {
        let mut beats = self.beats();
        let number = beats.next;
        beats.next += 1;
        beats.due.insert(number, deadline);
        CommandGuard {
            pulse: self.clone(),
            number,
        }
    }

    /// How many are on their way.
    pub(super) fn count(&self) -> usize {
        self.beats().due.len()
    }

    /// True while none hangs.
    pub(super) fn beats_well(&self, now: Instant) -> bool {
        self.beats()
            .due
            .values()
            .all(|deadline| now.saturating_duration_since(*deadline) < PATIENCE)
    }

    fn beats(&self) -> MutexGuard<'_, Beats> {
        self.0.lock()
    }
}

impl Drop for CommandGuard {
    fn drop(&mut self) {
        self.pulse.beats().due.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_long_past_its_time_without_a_reply_is_noticed() {
        let (pulse, now) = (Liveness::default(), crate::clock::now());
        let (answered, hanging) = (pulse.begin(now), pulse.begin(now + Duration::from_secs(5)));
        drop(answered);
        assert!(pulse.beats_well(now + Duration::from_secs(34)));
        assert!(!pulse.beats_well(now + Duration::from_secs(36)));
        drop(hanging);
        assert!(pulse.beats_well(now + Duration::from_hours(1)));
    }
}
