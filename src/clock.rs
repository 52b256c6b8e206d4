//! The clock of the program. All deadlines, timeouts and ages are measured with it, so that tests
//! can pause time.

use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Returns the current moment of the monotonic clock; a paused tokio runtime pauses it as well.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Returns the time since the kernel started, with suspend. Unlike [`now`] it continues from one
/// run of the program to the next.
pub fn uptime() -> Duration {
    let uptime = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(uptime.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(uptime.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// Returns the boot id of the kernel without hyphens, or the one that the service manager `gave`
/// where the kernel's own file is hidden; empty where neither is known.
pub fn boot_id(gave: Option<&str>) -> String {
    let own = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let id = own.as_deref().or(gave).unwrap_or_default();
    id.trim().replace('-', "")
}
