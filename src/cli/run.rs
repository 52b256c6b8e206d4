//! `sayso run`: the config, the log, the runtime, the daemon.

use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, Place};
use crate::daemon;
use crate::store;
use crate::systemd::Notify;
use crate::telemetry::log;

use super::{Exit, Stop};

/// Runs the daemon until it is told to stop.
pub(super) fn run(place: &Place) -> Result<Exit, Stop> {
    let config = Config::load(place)?;
    log::start(&config.log).map_err(|error| Stop::new(Exit::Config, error))?;
    die_of_panics();
    let notify = Notify::new(place.environment.notify.as_deref()).with_watchdog(place.environment.watchdog);
    // One thread: a gateway has little else to give, and the work is waiting.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Stop::new(Exit::Internal, error))?;
    runtime.block_on(async {
        let stop = told_to_stop().map_err(|error| Stop::new(Exit::Internal, error))?;
        daemon::run(config, notify, stop).await.map_err(|error| Stop::new(Exit::Failed, error))
    })?;
    Ok(Exit::Done)
}

/// A task that panicked must not leave a process that looks alive: systemd starts it anew. Where the store's files made it panic,
/// they are put aside first.
fn die_of_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        if let Some(aside) = store::rescue() {
            tracing::error!(aside = %aside.display(), "the store could not be read: put aside, the next start begins anew");
        }
        std::process::abort();
    }));
}

/// Ends with the first SIGTERM (systemd) or SIGINT (a person). Both are caught from now on.
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}
