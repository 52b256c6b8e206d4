//! `sayso run`: the config, the log, the runtime, the daemon.

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

use crate::cli::{Exit, Stop};

/// Runs the daemon until it is told to stop.
pub(super) fn run(place: &ConfigLocation) -> Result<Exit, Stop> {
    let config = Config::load(place)?;
    let log = log::start(&config.log).map_err(|error| Stop::new(Exit::Config, error))?;
    die_of_panics();
    let notify =
        Notify::new(place.environment.notify.as_deref()).with_watchdog(place.environment.watchdog);
    // One thread: a gateway has little else to give, and the work is waiting.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::new(Exit::Internal, error))?;
    let result = runtime.block_on(async {
        let signals = Signals::catch().map_err(|error| Stop::new(Exit::Internal, error))?;
        let (tell, told) = mpsc::channel(8);
        // A task like those it talks to: what wakes the runtime's own future must pass by the kernel.
        let mut running = JoinSet::new();
        running.spawn(daemon::run(config, Handles { notify, told, log }));
        tokio::select! {
            Some(ended) = running.join_next() => ended.map_err(|error| Stop::new(Exit::Internal, error))?.map_err(|error| Stop::new(exit_of(&error), error)),
            never = signals.pass_on(place, tell) => match never {},
        }
    });
    // A thread that waits for a disk that does not answer must not keep the process from ending.
    runtime.shutdown_background();
    result.map(|()| Exit::Done)
}

/// What no restart cures must not be started again.
fn exit_of(error: &DaemonError) -> Exit {
    match error {
        DaemonError::Language(_) | DaemonError::Connection(_) | DaemonError::Providers(_) => {
            Exit::Config
        }
        DaemonError::Store(_) => Exit::Failed,
    }
}

/// A task that panicked must not leave a process that looks alive: systemd starts it anew. Where the store's files made it panic,
/// they are put aside first.
fn die_of_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        if let Some(aside) = store::set_aside_after_panic() {
            tracing::error!(aside = %aside.display(), "the store could not be read: put aside, beginning anew");
            begin_anew();
        }
        std::process::abort();
    }));
}

/// Set in a process that took the place of one the store's files made panic.
const ANEW: &str = "SAYSO_BEGUN_ANEW";

/// The same program takes the place of this process, once: nobody outside need start it again.
fn begin_anew() {
    if std::env::var_os(ANEW).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        let error = Command::new(program)
            .args(std::env::args_os().skip(1))
            .env(ANEW, "1")
            .exec();
        tracing::error!(%error, "cannot begin anew by itself: start it again");
    }
}

/// What the daemon can be told by signal: SIGTERM (systemd) and SIGINT (a person) stop it, SIGHUP makes it read its files anew.
struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// Catches them from now on.
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Tells the daemon, for as long as it runs.
    async fn pass_on(
        mut self,
        place: &ConfigLocation,
        tell: mpsc::Sender<DaemonSignal>,
    ) -> Infallible {
        loop {
            let told = tokio::select! {
                _ = self.term.recv() => DaemonSignal::Stop,
                _ = self.int.recv() => DaemonSignal::Stop,
                _ = self.hup.recv() => DaemonSignal::Reload(Box::new(place.clone())),
            };
            // No room: it has been told often enough. Nobody there: it is stopping already.
            let _ = tell.try_send(told);
        }
    }
}
