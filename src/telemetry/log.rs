//! The log: journald fields under systemd, readable text elsewhere.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::telemetry::journal::JournaldLayer;

/// What the log shows when nothing is said: ours at info, the libraries only when something is wrong.
pub const DEFAULT_FILTER: &str = "warn,sayso=info";

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A filter in the form of `RUST_LOG`: `warn,sayso=debug`.
    pub filter: String,
    /// True where standard error goes to journald: fields are sent to it instead of text.
    pub journald: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            filter: DEFAULT_FILTER.to_owned(),
            journald: false,
        }
    }
}

/// The filter does not parse.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{filter}` is not a log filter such as `warn,sayso=debug`; mend `log.filter`, or the variable RUST_LOG"
)]
pub struct BadFilter {
    filter: String,
    #[source]
    source: tracing_subscriber::filter::ParseError,
}

/// Reads a filter.
///
/// # Errors
/// When it does not parse.
pub fn filter(text: &str) -> Result<EnvFilter, BadFilter> {
    EnvFilter::try_new(text).map_err(|source| BadFilter {
        filter: text.to_owned(),
        source,
    })
}

/// The running log: its filter can be changed. The default is one that nobody started.
#[derive(Debug, Clone, Default)]
pub struct Log(Option<reload::Handle<EnvFilter, Registry>>);

impl Log {
    /// Shows from now on what `settings` say.
    ///
    /// # Errors
    /// When the filter does not parse.
    pub fn refilter(&self, settings: &Settings) -> Result<(), BadFilter> {
        let filter = filter(&settings.filter)?;
        if let Some(handle) = &self.0 {
            // Fails only where the subscriber is gone, and the log with it.
            let _ = handle.reload(filter);
        }
        Ok(())
    }
}

/// Starts the log. Called once, by the command line. Where journald cannot be reached, text goes to standard error.
///
/// # Errors
/// When the filter does not parse.
pub fn start(settings: &Settings) -> Result<Log, BadFilter> {
    let (filter, handle) = reload::Layer::new(filter(&settings.filter)?);
    let journal = settings
        .journald
        .then(|| JournaldLayer::connect().ok())
        .flatten();
    let text = journal.is_none().then(|| {
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_target(false);
        layer.with_ansi(io::stderr().is_terminal())
    });
    // A second start (in a test) leaves the first in place.
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(journal)
        .with(text)
        .try_init();
    Ok(Log(started.is_ok().then_some(handle)))
}
