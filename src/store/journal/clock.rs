//! The journal's own clock. It continues from one run to the next, independent of the wall clock: a
//! gateway without a battery starts in 1970 and jumps to the present with the first answer of a
//! time server, and neither may make a command late.

use std::fs;
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::clock::EARLIEST_BELIEVABLE;

/// Milliseconds from 1970 to the earliest clock that may have been set.
const BELIEVABLE_MS: u64 = EARLIEST_BELIEVABLE.as_secs() * 1000;

/// Assumed duration of an interval that cannot be known, in milliseconds: longer than any time to
/// live.
const UNKNOWN_MS: u64 = 24 * 3_600_000;

/// Milliseconds on the journal's own scale, which begins with the wall clock of the first run.
#[derive(Debug)]
pub(super) struct Clock {
    base: u64,
    since: Instant,
    boot: Option<String>,
}

/// All clocks at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClockReading {
    /// The journal's own clock.
    own: u64,
    /// The wall clock, in milliseconds since 1970.
    wall: u64,
    /// The boot id of the kernel, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    /// Milliseconds since the kernel started, with suspend.
    uptime: u64,
}

impl Clock {
    /// Continues from the last reading of an earlier run. `boot` is the boot id as the service
    /// manager gives it: the kernel's own file is hidden from a process that sees only processes in
    /// `/proc`.
    pub(super) fn continue_from(last: Option<&ClockReading>, boot: Option<&str>) -> Self {
        Self::after(
            last,
            fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .ok()
                .as_deref()
                .or(boot),
        )
    }

    fn after(last: Option<&ClockReading>, boot: Option<&str>) -> Self {
        // The kernel writes it with hyphens, systemd without.
        let boot = boot
            .map(|id| id.trim().replace('-', ""))
            .filter(|id| !id.is_empty());
        let now = ClockReading::take(0, boot.clone());
        let base = last.map_or(now.wall, |last| {
            last.own
                .saturating_add(last.passed(&now).unwrap_or(UNKNOWN_MS))
        });
        Self {
            base,
            since: crate::clock::now(),
            boot,
        }
    }

    /// Returns the time.
    pub(super) fn now(&self) -> u64 {
        self.base.saturating_add(millis(
            crate::clock::now().saturating_duration_since(self.since),
        ))
    }

    /// Returns the boot id of the kernel, if known.
    pub(super) fn boot(&self) -> Option<&str> {
        self.boot.as_deref()
    }

    /// Returns all clocks.
    pub(super) fn read(&self) -> ClockReading {
        ClockReading::take(self.now(), self.boot.clone())
    }
}

impl ClockReading {
    fn take(own: u64, boot: Option<String>) -> Self {
        let since_1970 = crate::clock::wall().duration_since(UNIX_EPOCH);
        Self {
            own,
            wall: millis(since_1970.unwrap_or_default()),
            boot,
            uptime: millis(crate::clock::uptime()),
        }
    }

    /// Returns the milliseconds from this reading to `now`: by the kernel's time if it has not
    /// restarted, else by the wall clock if that was set at both ends, else `None`.
    fn passed(&self, now: &Self) -> Option<u64> {
        if self.boot.is_some() && self.boot == now.boot {
            return now.uptime.checked_sub(self.uptime);
        }
        let believable = self.wall >= BELIEVABLE_MS && now.wall >= BELIEVABLE_MS;
        now.wall.checked_sub(self.wall).filter(|_| believable)
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(wall: u64, boot: Option<&str>, uptime: u64) -> ClockReading {
        ClockReading {
            own: 7,
            wall,
            boot: boot.map(str::to_owned),
            uptime,
        }
    }

    const SET: u64 = BELIEVABLE_MS + 1_000_000;

    #[test]
    fn until_the_kernel_restarts_its_own_time_counts() {
        let before = reading(40_000, Some("a"), 40_000);
        assert_eq!(before.passed(&reading(SET, Some("a"), 43_000)), Some(3_000));
        assert_eq!(
            reading(SET, Some("a"), 50_000).passed(&reading(9, Some("a"), 50_500)),
            Some(500)
        );
    }

    #[test]
    fn over_a_restart_of_the_kernel_the_wall_clock_counts_if_it_was_set() {
        assert_eq!(
            reading(SET, Some("a"), 90_000).passed(&reading(SET + 60_000, Some("b"), 20_000)),
            Some(60_000)
        );
        for (before, now) in [
            (SET, 20_000),
            (20_000, SET),
            (20_000, 30_000),
            (SET, SET - 1),
        ] {
            assert_eq!(
                reading(before, Some("a"), 1).passed(&reading(now, Some("b"), 2)),
                None,
                "{before} to {now}"
            );
            assert_eq!(
                reading(before, None, 1).passed(&reading(now, None, 2)),
                None,
                "{before} to {now}"
            );
        }
    }

    #[test]
    fn the_clock_never_goes_back() {
        let first = Clock::continue_from(None, None);
        let last = first.read();
        assert!(Clock::continue_from(Some(&last), None).now() >= last.own);
        let unknown = ClockReading {
            boot: None,
            wall: 1,
            ..last.clone()
        };
        assert!(Clock::continue_from(Some(&unknown), None).now() >= last.own + UNKNOWN_MS);
    }

    #[test]
    fn the_boot_id_is_compared_with_and_without_hyphens() {
        let last = ClockReading {
            wall: 1,
            ..Clock::after(None, Some("0a1b-2c\n")).read()
        };
        let passed = |boot| Clock::after(Some(&last), boot).now() - last.own;
        assert!(
            passed(Some("0a1b2c")) < 60_000,
            "known although the wall clock was never set"
        );
        assert!(
            passed(Some("ffff")) >= UNKNOWN_MS
                && passed(Some("")) >= UNKNOWN_MS
                && passed(None) >= UNKNOWN_MS
        );
    }
}
