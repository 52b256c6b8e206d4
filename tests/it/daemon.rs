//! The real program as a child process: started on a config, watched through its log, stopped by a
//! signal.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// A running `sayso run`.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

/// Where a daemon's config, home, keys and store lie.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new(config: &str, home: &str) -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::write(place.config(), config).unwrap();
        fs::write(place.path().join("home.toml"), home).unwrap();
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("sayso.toml")
    }

    /// The program, about to be started on this config.
    pub(crate) fn sayso(&self) -> Command {
        let mut command = Command::new(crate::PROGRAM);
        command
            .env_remove("SAYSO_CONFIG")
            .env_remove("NOTIFY_SOCKET")
            .env("RUST_LOG", "warn,sayso=debug")
            .current_dir(self.path());
        command
    }
}

impl Daemon {
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_as(place, place.sayso())
    }

    /// Starts what the place gave, with whatever was added to its environment.
    pub(crate) fn start_as(place: &Place, mut command: Command) -> Self {
        let mut child = command
            .args(["run", "--config"])
            .arg(place.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, seen) = (
            BufReader::new(child.stderr.take().unwrap()).lines(),
            Arc::clone(&log),
        );
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| seen.lock().unwrap().push(line));
        });
        Self { child, log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name: `TERM`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.id().to_string())
            .status()
            .unwrap();
        assert!(sent.success(), "could not send {name}");
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        let end = tokio::time::Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                tokio::time::Instant::now() < end,
                "still running after {within:?}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Waits until the log holds these words.
    pub(crate) async fn says(&self, words: &str, within: Duration) {
        let end = tokio::time::Instant::now() + within;
        while !self.log().contains(words) {
            assert!(
                tokio::time::Instant::now() < end,
                "the log never said {words:?}:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
