//! Requests from the process to the running daemon: to stop, or to read the configuration again.

use std::time::Duration;

use crate::config::ConfigLocation;

/// The part of the grace period that is kept for the last replies and the message `offline`, and
/// the longest time for each write to the disk after it.
pub(super) const CLOSING_TIME: Duration = Duration::from_secs(2);

/// A request to the running daemon.
#[derive(Debug)]
pub enum DaemonSignal {
    /// Stop. A closed channel means the same.
    Stop,
    /// Read the configuration again.
    Reload(Box<ConfigLocation>),
}
