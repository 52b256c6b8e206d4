//! What the process was given from outside. The only reader of environment variables.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// What the environment says. The default is one that says nothing, for tests and demonstrations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment {
    /// `$SAYSO_CONFIG`: the config file, where the command line names none.
    pub config: Option<PathBuf>,
    /// `$CREDENTIALS_DIRECTORY`: where systemd puts what `LoadCredential=` names.
    pub credentials: Option<PathBuf>,
    /// `$STATE_DIRECTORY`: where systemd lets the daemon keep things.
    pub state: Option<PathBuf>,
    /// `$NOTIFY_SOCKET`: where systemd wants to hear how we are.
    pub notify: Option<String>,
    /// `$WATCHDOG_USEC`: the longest silence systemd bears before it starts us anew.
    pub watchdog: Option<Duration>,
    /// `$RUST_LOG`: what is logged, in place of the config's word.
    pub filter: Option<String>,
    /// `$SAYSO_BOOT`: the name of this run of the kernel, from whoever starts us where the kernel's own word is hidden.
    pub boot: Option<String>,
    /// True where standard error goes to journald (`$JOURNAL_STREAM` names its very file).
    pub journald: bool,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn read() -> Self {
        let path = |name: &str| {
            env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let text = |name: &str| {
            env::var_os(name)
                .and_then(|v| v.into_string().ok())
                .filter(|v| !v.is_empty())
        };
        // systemd joins several state folders by colons; the first is ours.
        let state =
            text("STATE_DIRECTORY").and_then(|all| all.split(':').next().map(PathBuf::from));
        let watchdog = text("WATCHDOG_USEC")
            .and_then(|micros| micros.parse().ok())
            .map(Duration::from_micros);
        let journald = text("JOURNAL_STREAM").is_some_and(|stream| Some(stream) == stderr_is());
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

/// Standard error as `$JOURNAL_STREAM` would name it: device and inode.
fn stderr_is() -> Option<String> {
    let file = fs::metadata("/proc/self/fd/2").ok()?;
    Some(format!("{}:{}", file.dev(), file.ino()))
}
