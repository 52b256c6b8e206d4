//! The daemon, started as `sayso run` starts it: from configuration files, on a runtime of one
//! thread.

use std::path::Path;
use std::thread;

use sayso::testing::config::{Config, ConfigLocation};
use sayso::testing::daemon::{DaemonSignal, Handles};
use sayso::testing::systemd::Notify;
use sayso::testing::telemetry::log::Log;
use tokio::sync::mpsc;

use crate::DemoError;
use crate::scripted_model::ScriptedModel;

/// The home file: areas and aliases, which devices do not announce.
const HOME: &str = include_str!("../home.toml");

/// The running daemon. [`Daemon::stop`] ends it as SIGTERM would; dropping the handle does not.
pub(crate) struct Daemon {
    signals: mpsc::Sender<DaemonSignal>,
    thread: thread::JoinHandle<Result<(), String>>,
}

/// Writes the configuration into `folder` and starts the daemon on a thread of its own.
pub(crate) fn start(
    folder: &Path,
    port: u16,
    models: &[ScriptedModel],
) -> Result<Daemon, DemoError> {
    std::fs::write(folder.join("home.toml"), HOME)?;
    let file = folder.join("sayso.toml");
    std::fs::write(&file, settings(folder, port, models))?;
    let config = Config::load(&ConfigLocation::at(file))?;
    let (signals, received) = mpsc::channel(1);
    let run = move || -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let outside = Handles {
            notify: Notify::new(None),
            signals: received,
            log: Log::default(),
        };
        runtime
            .block_on(sayso::testing::daemon::run(config, outside))
            .map_err(|error| error.to_string())
    };
    let thread = thread::Builder::new().name("sayso".to_owned()).spawn(run)?;
    Ok(Daemon { signals, thread })
}

impl Daemon {
    /// True once it has ended by itself, which is an error.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops it and waits for its end.
    pub(crate) fn stop(self) -> Result<(), DemoError> {
        // If it has ended already, joining the thread gives the reason.
        let _ = self.signals.try_send(DaemonSignal::Stop);
        let ended = self.thread.join().map_err(|_| "sayso panicked")?;
        ended.map_err(|why| format!("sayso ended with: {why}").into())
    }
}

/// The text of the demo's `sayso.toml`.
fn settings(folder: &Path, port: u16, models: &[ScriptedModel]) -> String {
    let mut text = format!(
        r#"[mqtt]
host = "127.0.0.1"
port = {port}
client_id = "sayso-demo"

[store]
path = '{store}'

# A low burst, so that the scene can show the limit: five requests to a model at once, then one per second.
[limits]
per_minute = 60
burst = 5

[ask]
deadline = "10s"
attempts = 2

# Anyone can reach the kiosk in the hall: it may not command locks.
[source.kiosk]
deny = ["kind:lock"]
"#,
        store = folder.join("store").display(),
    );
    let providers = models.iter().map(|ScriptedModel { name, port, .. }| {
        // It stands for a hosted model, whose drafts need no confirmation.
        format!(
            "\n[[provider]]\nname = \"{name}\"\napi = \"openai\"\n\
             base_url = \"http://127.0.0.1:{port}/v1\"\nmodel = \"scripted\"\n\
             small = false\ntrusted = true\n"
        )
    });
    text.extend(providers);
    text
}
