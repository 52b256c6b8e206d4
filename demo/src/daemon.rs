//! sayso itself, started as `sayso run` starts it: from configuration files, on a runtime of one thread.

use std::path::Path;
use std::thread;

use sayso::config::{Config, ConfigLocation};
use sayso::daemon::{DaemonSignal, Handles};
use sayso::systemd::Notify;
use sayso::telemetry::log::Log;
use tokio::sync::mpsc;

use crate::Fault;
use crate::stand_in::StandIn;

/// What sayso is told about the house beyond what its devices announce.
const HOME: &str = include_str!("../home.toml");

/// The running daemon. Dropping it lets it run on; [`Daemon::stop`] ends it as SIGTERM would.
pub(crate) struct Daemon {
    tell: mpsc::Sender<DaemonSignal>,
    thread: thread::JoinHandle<Result<(), String>>,
}

/// Writes the configuration into `folder` and starts the daemon with it, on a thread of its own.
pub(crate) fn start(folder: &Path, port: u16, models: &[StandIn]) -> Result<Daemon, Fault> {
    std::fs::write(folder.join("home.toml"), HOME)?;
    let file = folder.join("sayso.toml");
    std::fs::write(&file, settings(folder, port, models))?;
    let config = Config::load(&ConfigLocation::at(file))?;
    let (tell, told) = mpsc::channel(1);
    let run = move || -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let outside = Handles {
            notify: Notify::new(None),
            told,
            log: Log::default(),
        };
        runtime
            .block_on(sayso::daemon::run(config, outside))
            .map_err(|error| error.to_string())
    };
    let thread = thread::Builder::new().name("sayso".to_owned()).spawn(run)?;
    Ok(Daemon { tell, thread })
}

impl Daemon {
    /// True once it has ended, which it should not while the demo runs.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(self) -> Result<(), Fault> {
        // Where it has ended already, joining says why.
        let _ = self.tell.try_send(DaemonSignal::Stop);
        let ended = self.thread.join().map_err(|_| "sayso panicked")?;
        ended.map_err(|why| format!("sayso ended with: {why}").into())
    }
}

/// The demo's `sayso.toml`.
fn settings(folder: &Path, port: u16, models: &[StandIn]) -> String {
    let mut text = format!(
        r#"[mqtt]
host = "127.0.0.1"
port = {port}
client_id = "sayso-demo"

[store]
path = '{store}'

# A low burst, so that the scene can show it: five questions to a model at once, then one a second.
[limits]
per_minute = 60
burst = 5

[ask]
deadline = "10s"
attempts = 2

# The kiosk in the hall is anybody's: it may not touch the locks.
[source.kiosk]
deny = ["kind:lock"]
"#,
        store = folder.join("store").display(),
    );
    let providers = models.iter().map(|StandIn { name, port, .. }| {
        format!("\n[[provider]]\nname = \"{name}\"\napi = \"openai\"\nbase_url = \"http://127.0.0.1:{port}/v1\"\nmodel = \"scripted\"\n")
    });
    text.extend(providers);
    text
}
