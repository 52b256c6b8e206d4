//! Detects stalled commands for the watchdog: those without a reply long after their deadline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The time past its deadline after which a command without a reply counts as stalled: every wait
/// of a command ends at its deadline or moments later.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// The commands in progress, with their deadlines.
#[derive(Debug, Clone, Default)]
pub(super) struct Liveness(Arc<Mutex<Deadlines>>);

#[derive(Debug, Default)]
struct Deadlines {
    next: u64,
    by_number: BTreeMap<u64, Instant>,
}

/// One command in progress; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct CommandGuard {
    liveness: Liveness,
    number: u64,
}

impl Liveness {
    /// Begins a command with this deadline.
    pub(super) fn begin(&self, deadline: Instant) -> CommandGuard {
        let mut deadlines = self.0.lock();
        let number = deadlines.next;
        deadlines.next += 1;
        deadlines.by_number.insert(number, deadline);
        CommandGuard {
            liveness: self.clone(),
            number,
        }
    }

    /// Returns the number of commands in progress.
    pub(super) fn count(&self) -> usize {
        self.0.lock().by_number.len()
    }

    /// Returns whether no command has stalled.
    pub(super) fn is_live(&self, now: Instant) -> bool {
        let deadlines = self.0.lock();
        deadlines
            .by_number
            .values()
            .all(|deadline| now.saturating_duration_since(*deadline) < STALLED_AFTER)
    }
}

impl Drop for CommandGuard {
    fn drop(&mut self) {
        self.liveness.0.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_long_past_its_deadline_without_a_reply_has_stalled() {
        let start = crate::clock::now();
        let liveness = Liveness::default();
        let answered = liveness.begin(start);
        let stalled = liveness.begin(start + Duration::from_secs(5));
        drop(answered);
        assert!(liveness.is_live(start + Duration::from_secs(34)));
        assert!(!liveness.is_live(start + Duration::from_secs(36)));
        drop(stalled);
        assert!(liveness.is_live(start + Duration::from_hours(1)));
    }
}
