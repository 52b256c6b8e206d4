//! The clock of the program. All deadlines, timeouts and ages are measured with it, so that tests can pause time.

use std::time::Instant;

/// Returns the current moment of the monotonic clock; a paused tokio runtime pauses it as well.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
