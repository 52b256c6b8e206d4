//! The clock of the program. All deadlines, timeouts and ages are measured with it, so that tests
//! can pause time.

#[cfg(test)]
use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};
use std::{fs, io};

use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// The time from 1970 to 2025-01-01T00:00Z. A wall clock before it was never set: a gateway without
/// a battery starts in 1970.
pub const EARLIEST_BELIEVABLE: Duration = Duration::from_hours(482_136);

/// Returns the current moment of the monotonic clock; a paused tokio runtime pauses it as well.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Returns the time since the kernel started, with suspend. Unlike [`now`] it continues from one
/// run of the program to the next.
pub fn uptime() -> Duration {
    #[cfg(test)]
    if let Some(start) = SIMULATED.get() {
        return start.uptime + now().saturating_duration_since(start.at);
    }
    let uptime = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(uptime.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(uptime.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// Returns how long this machine has been suspended since it started, in whole seconds. [`now`]
/// stands still meanwhile, and deadlines with it.
pub fn suspended() -> Duration {
    #[cfg(test)]
    if let Some(suspended) = SUSPENDED.get() {
        return suspended;
    }
    // In this order a pause between the two is not taken for a suspend.
    let with_suspend = clock_gettime(ClockId::Boottime);
    let without = clock_gettime(ClockId::Monotonic);
    let mut seconds = with_suspend.tv_sec - without.tv_sec;
    if with_suspend.tv_nsec < without.tv_nsec {
        seconds -= 1;
    }
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// Returns the current moment of a clock that continues while the machine is suspended. It is
/// compared only with moments of the same clock.
pub fn now_with_suspend() -> Instant {
    now() + suspended()
}

/// Returns the time of the wall clock, which may be wrong.
pub fn wall() -> SystemTime {
    #[cfg(test)]
    if let Some(start) = SIMULATED.get() {
        return start.wall + now().saturating_duration_since(start.at);
    }
    SystemTime::now()
}

/// Folder in which systemd-timesyncd creates the file `synchronized` once it has set the clock.
const TIMESYNC: &str = "/run/systemd/timesync";

/// Returns whether the wall clock may be compared with that of another machine: false where the
/// time service is known not to have set it since the start.
pub fn is_synchronized() -> bool {
    is_synchronized_by(Path::new(TIMESYNC))
}

fn is_synchronized_by(folder: &Path) -> bool {
    !folder.is_dir() || folder.join("synchronized").exists()
}

/// The clocks at the beginning of a simulation.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
struct SimulatedStart {
    at: Instant,
    uptime: Duration,
    wall: SystemTime,
}

#[cfg(test)]
thread_local! {
    static SIMULATED: Cell<Option<SimulatedStart>> = const { Cell::new(None) };
    static SUSPENDED: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Lets the machine seem to have been suspended for this time, to this thread.
#[cfg(test)]
pub fn simulate_suspend(suspended: Duration) {
    SUSPENDED.set(Some(suspended));
}

/// Returns whether the clocks of this thread are simulated.
#[cfg(test)]
pub fn is_simulated() -> bool {
    SIMULATED.get().is_some()
}

/// Lets the uptime and the wall clock follow the paused clock of the runtime of this thread.
#[cfg(test)]
pub fn simulate_clocks() {
    SIMULATED.set(None);
    SIMULATED.set(Some(SimulatedStart {
        at: now(),
        uptime: uptime(),
        wall: wall(),
    }));
}

/// Sets the wall clock of this thread back, as an operator or a time server does.
#[cfg(test)]
pub fn set_simulated_clock_back(by: Duration) {
    let start = SIMULATED.get();
    SIMULATED.set(start.map(|start| SimulatedStart {
        wall: start.wall - by,
        ..start
    }));
}

/// Returns the boot id of the kernel without hyphens, or the one that the service manager `gave`
/// where the kernel's own file is hidden; empty where neither is known.
pub fn boot_id(gave: Option<&str>) -> String {
    let own = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let id = own.as_deref().or(gave).unwrap_or_default();
    id.trim().replace('-', "")
}

/// A time that is never reached: 2200-01-01T00:00Z.
const NEVER: i64 = 7_258_118_400;

/// Notices of the kernel that the wall clock was set, or that the machine woke up, so that nobody
/// has to look at the clock from time to time.
#[derive(Debug)]
pub struct ClockSteps {
    timer: AsyncFd<OwnedFd>,
}

impl ClockSteps {
    /// Asks the kernel for notices.
    ///
    /// # Errors
    /// When the kernel has no such timers.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let never = Itimerspec {
            it_interval: zero,
            it_value: Timespec {
                tv_sec: NEVER,
                ..zero
            },
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&timer, flags, &never)?;
        #[expect(
            deprecated,
            reason = "an owned descriptor keeps the contract; the newer function is unsafe"
        )]
        let timer = AsyncFd::new(timer)?;
        Ok(Self { timer })
    }

    /// Waits for the next step.
    pub async fn next(&self) {
        loop {
            let Ok(mut ready) = self.timer.readable().await else {
                return std::future::pending().await;
            };
            let mut count = [0; 8];
            match rustix::io::read(&self.timer, &mut count) {
                Err(Errno::AGAIN | Errno::INTR) => ready.clear_ready(),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_counts_unless_the_time_service_has_not_set_it() {
        let folder = tempfile::tempdir().unwrap();
        let timesync = folder.path().join("timesync");
        assert!(is_synchronized_by(&timesync), "another service sets it");
        fs::create_dir(&timesync).unwrap();
        assert!(!is_synchronized_by(&timesync));
        fs::write(timesync.join("synchronized"), "").unwrap();
        assert!(is_synchronized_by(&timesync));
    }

    #[tokio::test]
    async fn without_a_step_of_the_clock_there_is_no_notice() {
        let steps = ClockSteps::new().unwrap();
        let wait = tokio::time::timeout(Duration::from_millis(50), steps.next());
        assert!(wait.await.is_err());
    }
}
