//! The clock of the program. All deadlines, timeouts and ages are measured with it, so that tests
//! can pause time.

#[cfg(test)]
use std::cell::Cell;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

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

/// Returns the time of the wall clock, which may be wrong.
pub fn wall() -> SystemTime {
    #[cfg(test)]
    if let Some(start) = SIMULATED.get() {
        return start.wall + now().saturating_duration_since(start.at);
    }
    SystemTime::now()
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

/// Returns the boot id of the kernel without hyphens, or the one that the service manager `gave`
/// where the kernel's own file is hidden; empty where neither is known.
pub fn boot_id(gave: Option<&str>) -> String {
    let own = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let id = own.as_deref().or(gave).unwrap_or_default();
    id.trim().replace('-', "")
}
