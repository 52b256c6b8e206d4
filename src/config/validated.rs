//! The validated configuration: the settings of all modules in one value.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::settings::CacheSettings;
use crate::home::Home;
use crate::pair::PairSettings;
use crate::pipeline::CommandOrder;
use crate::pipeline::admission::AdmissionSettings;
use crate::redis::settings::RedisSettings;
use crate::router::settings::RouterSettings;
use crate::schedule::moment::HomeLocation;
use crate::telemetry::{log, scrape};
use crate::{discovery, grammar, mqtt, store};

/// Validated configuration of the daemon.
#[derive(Debug, Clone)]
pub struct Config {
    /// Files that were read.
    pub files: Files,
    /// Broker connection.
    pub mqtt: mqtt::Settings,
    /// Declared devices, areas and rights.
    pub home: Arc<Home>,
    /// Position and time zone of the home.
    pub location: Arc<HomeLocation>,
    /// Topics on which devices announce themselves.
    pub discovery: discovery::Settings,
    /// Local understanding of commands.
    pub local: grammar::Settings,
    /// Data that survives a restart.
    pub store: store::Settings,
    /// Cache of understood commands.
    pub recall: CacheSettings,
    /// Rate limits of sources.
    pub limits: AdmissionSettings,
    /// Providers and failover between them.
    pub ask: RouterSettings,
    /// Redis, where several nodes share drafts and limits.
    pub redis: Option<RedisSettings>,
    /// The pair, where a second node takes over when this one fails.
    pub pair: Option<PairSettings>,
    /// Log filter and target.
    pub log: log::Settings,
    /// Address of the metrics page; `None` if it is not served.
    pub metrics: Option<scrape::MetricsAddress>,
    /// Settings of the messages after a command.
    pub replies: ReplySettings,
    /// Settings of the daemon itself.
    pub daemon: DaemonSettings,
}

/// Files from which a config was read; `None` for files that do not exist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    /// The config file, `sayso.toml`.
    pub config: Option<PathBuf>,
    /// The home file, `home.toml`.
    pub home: Option<PathBuf>,
}

/// Settings of the messages after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplySettings {
    /// Whether an event after the reply says that the devices confirmed the command.
    pub confirm: bool,
}

/// Settings of the daemon itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaemonSettings {
    /// Longest time commands in flight may take to finish when the daemon stops.
    pub grace: Duration,
    /// Order in which commands are processed.
    pub order: CommandOrder,
}

impl Default for DaemonSettings {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(10),
            order: CommandOrder::Device,
        }
    }
}
