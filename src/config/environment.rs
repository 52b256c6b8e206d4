//! Environment of the process. This is the only module that reads environment variables.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// Values of the environment. The default has none of them, for tests and the demo.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// `$SAYSO_CONFIG`: config file, if the command line names none.
    pub config: Option<PathBuf>,
    /// `$CREDENTIALS_DIRECTORY`: folder in which systemd puts the files of `LoadCredential=`.
    pub credentials: Option<PathBuf>,
    /// `$STATE_DIRECTORY`: folder in which the service may keep data.
    pub state: Option<PathBuf>,
    /// `$NOTIFY_SOCKET`: socket for messages to systemd.
    pub notify: Option<String>,
    /// `$WATCHDOG_USEC`: longest time between two keep-alive messages before systemd restarts the
    /// service.
    pub watchdog: Option<Duration>,
    /// `$RUST_LOG`: log filter that replaces the one of the config.
    pub filter: Option<String>,
    /// `$SAYSO_BOOT`: boot id of the kernel, for services that may not read it themselves.
    pub boot: Option<String>,
    /// True if standard error goes to journald: `$JOURNAL_STREAM` names its device and inode.
    pub journald: bool,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn read() -> Self {
        // systemd separates several state folders by colons; the first one is for the store.
        let state = text("STATE_DIRECTORY")
            .and_then(|folders| folders.split(':').next().map(PathBuf::from));
        let watchdog = text("WATCHDOG_USEC")
            .and_then(|micros| micros.parse().ok())
            .map(Duration::from_micros);
        let journald = text("JOURNAL_STREAM").is_some_and(|stream| Some(stream) == stderr_file());
        Self {
            config: path("SAYSO_CONFIG"),
            credentials: path("CREDENTIALS_DIRECTORY"),
            state,
            notify: text("NOTIFY_SOCKET"),
            watchdog,
            filter: text("RUST_LOG"),
            boot: text("SAYSO_BOOT"),
            journald,
        }
    }
}

/// Returns a variable as a path, unless it is empty.
fn path(name: &str) -> Option<PathBuf> {
    let value = env::var_os(name)?;
    (!value.is_empty()).then(|| PathBuf::from(value))
}

/// Returns a variable as text, unless it is empty or not UTF-8.
fn text(name: &str) -> Option<String> {
    let value = env::var_os(name)?.into_string().ok()?;
    (!value.is_empty()).then_some(value)
}

/// Returns device and inode of standard error, in the form of `$JOURNAL_STREAM`.
fn stderr_file() -> Option<String> {
    let file = fs::metadata("/proc/self/fd/2").ok()?;
    Some(format!("{}:{}", file.dev(), file.ino()))
}
