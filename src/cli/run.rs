//! `sayso run`: starts log, runtime and daemon, and passes signals to the daemon.

use std::convert::Infallible;

use std::os::unix::process::CommandExt;
use std::process::Command;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::config::{Config, ConfigLocation};
use crate::daemon;
use crate::daemon::{DaemonError, DaemonSignal, Handles};
use crate::store;
use crate::systemd::Notify;
use crate::telemetry::log;

use crate::cli::doctor;
use crate::cli::exit::{Exit, Failure};

/// Runs the daemon until it stops.
pub(super) fn run(location: &ConfigLocation) -> Result<Exit, Failure> {
    daemon::memory::limit_heap();
    let config = Config::load(location)?;
    let log = log::start(&config.log).map_err(|error| Failure::new(Exit::Config, error))?;
    warn_of_readable_secrets(location);
    abort_on_panic();
    let notify = Notify::new(location.environment.notify.as_deref())
        .with_watchdog(location.environment.watchdog);
    // One thread: a gateway has few cores, and the work is mostly waiting.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Internal, error))?;
    let ended: Result<(), Failure> = runtime.block_on(async {
        let signals = Signals::catch().map_err(|error| Failure::new(Exit::Internal, error))?;
        let (tell, receiver) = mpsc::channel(8);
        // The daemon is a task of its own: waking the outermost future costs a system call.
        let mut running = JoinSet::new();
        running.spawn(daemon::run(config, Handles { notify, signals: receiver, log }));
        tokio::select! {
            Some(ended) = running.join_next() => ended.map_err(|error| Failure::new(Exit::Internal, error))?.map_err(|error| Failure::new(exit_of(&error), error)),
            never = signals.forward(location, tell) => match never {},
        }
    });
    // A thread that waits for a disk that does not answer must not keep the process from ending.
    runtime.shutdown_background();
    log::flush();
    ended?;
    Ok(Exit::Done)
}

/// Warns of secrets that every user may read. `sayso check` rejects them; the daemon starts,
/// because it must not fail after an upgrade.
fn warn_of_readable_secrets(location: &ConfigLocation) {
    for fault in doctor::file_faults(location) {
        tracing::warn!(fault, "a file has unsafe permissions");
    }
}

/// Returns the exit code. Errors that a restart does not cure have a code for which systemd does
/// not restart.
fn exit_of(error: &DaemonError) -> Exit {
    match error {
        DaemonError::Language(_)
        | DaemonError::Connection(_)
        | DaemonError::Providers(_)
        | DaemonError::Redis(_) => Exit::Config,
        DaemonError::Store(_) => Exit::Failed,
    }
}

/// Aborts the process when a task panics, so that systemd restarts it. If the files of the store
/// caused the panic, they are moved aside first.
fn abort_on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        if let Some(aside) = store::set_aside_after_panic() {
            tracing::error!(aside = %aside.display(), "the damaged store was moved aside; \
                restarting with an empty store");
            restart();
        }
        log::flush();
        std::process::abort();
    }));
}

/// Environment variable of a process that replaced one whose store was damaged.
const RESTARTED: &str = "SAYSO_RESTARTED";

/// Replaces this process by a new one of the same program, at most once.
fn restart() {
    log::flush();
    if std::env::var_os(RESTARTED).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        let error = Command::new(program)
            .args(std::env::args_os().skip(1))
            .env(RESTARTED, "1")
            .exec();
        tracing::error!(%error, "cannot restart: start sayso again");
    }
}

/// Signals to the daemon: SIGTERM (systemd) and SIGINT (a person) stop it, SIGHUP reloads its
/// files.
struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// Starts to catch the signals.
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Forwards the signals while the daemon runs.
    async fn forward(
        mut self,
        location: &ConfigLocation,
        tell: mpsc::Sender<DaemonSignal>,
    ) -> Infallible {
        loop {
            let signal = tokio::select! {
                _ = self.term.recv() => DaemonSignal::Stop,
                _ = self.int.recv() => DaemonSignal::Stop,
                _ = self.hup.recv() => DaemonSignal::Reload(Box::new(location.clone())),
            };
            // A full queue already contains enough signals; a closed one means that the daemon is
            // stopping.
            let _ = tell.try_send(signal);
        }
    }
}
