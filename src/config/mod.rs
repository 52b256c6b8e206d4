//! From files to settings. A [`Config`] that exists is valid: whatever is wrong with the files is found when they are
//! read, all at once. Each room owns its `Settings`; this one only fills them in.
//!
//! `sayso.toml` says how the daemon runs, `home.toml` what the home has. Without either, the defaults hold: a broker on
//! this machine, an empty home, no model.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::cache::settings::CacheSettings;
use crate::home::Home;
use crate::pipeline::CommandOrder;
use crate::pipeline::admission::AdmissionSettings;
use crate::router::settings::RouterSettings;
use crate::telemetry::{log, scrape};
use crate::{discovery, grammar, mqtt, store};

mod change;
pub mod environment;
mod fault;
mod file;
mod home;
mod property;
mod provider;
mod rights;
mod settings;
mod topics;
pub mod units;

pub use crate::config::change::Changes;
use crate::config::environment::Environment;
pub use crate::config::fault::{Fault, Faults};
use crate::config::file::{File, Table};
use crate::config::rights::Sources;
pub use crate::config::settings::CREDENTIALS;

/// Where the config is looked for when nothing names one.
pub const USUAL: &str = "/etc/sayso/sayso.toml";

/// The state folder of the shipped unit: with `DynamicUser=` a link that anybody sees, into a folder that is root's.
const STATE: &str = "/var/lib/sayso";

const HOME_ARGUMENT: &str =
    "--home names it; give the path of yours, or leave --home out (the config's is read)";
const HOME_KEY: &str = "`home` in the config names it; write the path of yours there, relative to the config, or leave the key out";

/// Everything the daemon needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// The files it was read from: what a person asks first when it is not as expected.
    pub files: Files,
    /// The connection to the broker.
    pub mqtt: mqtt::Settings,
    /// What exists.
    pub home: Arc<Home>,
    /// Where devices announce themselves.
    pub discovery: discovery::Settings,
    /// The reading without a network.
    pub local: grammar::Settings,
    /// What survives a restart.
    pub store: store::Settings,
    /// The keeping of drafts.
    pub recall: CacheSettings,
    /// The quotas of sources.
    pub admit: AdmissionSettings,
    /// The asking of models.
    pub ask: RouterSettings,
    /// The log.
    pub log: log::Settings,
    /// Where metrics are served, where they are.
    pub metrics: Option<scrape::Address>,
    /// The daemon itself.
    pub daemon: DaemonSettings,
}

/// The files a config was read from; absent ones had nothing to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files {
    /// `sayso.toml`.
    pub config: Option<PathBuf>,
    /// `home.toml`.
    pub home: Option<PathBuf>,
}

/// How the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaemonSettings {
    /// How long commands under way may take to finish once it is told to stop.
    pub grace: Duration,
    /// What is kept in order.
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

/// Where to look for the files.
#[derive(Debug, Clone, Default)]
pub struct ConfigLocation {
    /// The config file, where the command line named one.
    pub config: Option<PathBuf>,
    /// The home file, where the command line named one: it wins over the config's.
    pub home: Option<PathBuf>,
    /// What of them is wanted.
    pub needs: Scope,
    /// What the environment says.
    pub environment: Environment,
}

/// What of the files is wanted: the rest is not looked at, nor are the secrets it would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// All of it.
    #[default]
    Everything,
    /// The way to the broker: a client need not be allowed to read the keys of the models.
    Broker,
    /// The models and their keys: neither the home nor the broker's password.
    Models,
    /// The home and how phrases are read in it: no secret at all.
    Home,
    /// The home, and the way to the broker where devices announce themselves: no keys of models.
    Announced,
}

impl Scope {
    /// The one part of the config that matters, where it is one; the rest may be wrong, and the home is not read.
    fn of_interest(self) -> Option<&'static str> {
        match self {
            Self::Everything | Self::Home | Self::Announced => None,
            Self::Broker => Some("mqtt"),
            Self::Models => Some("provider"),
        }
    }
}

impl ConfigLocation {
    /// One config file, whatever the environment says.
    pub fn at(config: impl Into<PathBuf>) -> Self {
        Self {
            config: Some(config.into()),
            ..Self::default()
        }
    }

    /// The config file: the one named, else `$SAYSO_CONFIG`, else [`USUAL`] where that exists.
    pub fn config(&self) -> Option<PathBuf> {
        let named = self
            .config
            .clone()
            .or_else(|| self.environment.config.clone());
        // One that may not be looked at exists: reading it will say so.
        named.or_else(|| {
            Path::new(USUAL)
                .try_exists()
                .unwrap_or(true)
                .then(|| PathBuf::from(USUAL))
        })
    }

    /// The same place as the service sees it, for what looks at it from outside: systemd's state folder is not in our environment.
    #[must_use]
    pub fn of_the_service(mut self) -> Self {
        // It leads to where only root may look.
        if self.config().is_some_and(|path| path == Path::new(USUAL))
            && Path::new(STATE).is_symlink()
        {
            self.environment
                .state
                .get_or_insert_with(|| PathBuf::from(STATE));
        }
        self
    }

    /// Who named the config file, and what to do where it is not there.
    fn named_by(&self) -> &'static str {
        match (&self.config, &self.environment.config) {
            (Some(_), _) => {
                "--config names it; give the path of yours, or leave --config out ($SAYSO_CONFIG, then /etc/sayso/sayso.toml is read)"
            }
            (None, Some(_)) => {
                "$SAYSO_CONFIG names it; set that to the path of yours, or unset it (then /etc/sayso/sayso.toml is read)"
            }
            (None, None) => {
                "it is looked for there when nothing names another; give the path of yours with --config"
            }
        }
    }

    /// The file of this name that the config beside it would use.
    pub fn existing(&self, beside: &Path, name: &str) -> Option<PathBuf> {
        settings::candidates(&self.environment, beside, name).find(|path| path.is_file())
    }
}

/// The folders in which relative names are looked up.
#[derive(Debug)]
struct Folders<'a> {
    /// That of the config file; the current one where there is none.
    beside: PathBuf,
    needs: Scope,
    environment: &'a Environment,
}

impl Config {
    /// Reads the files of a place.
    ///
    /// # Errors
    /// With everything that is wrong with them, not just the first.
    pub fn load(place: &ConfigLocation) -> Result<Self, Faults> {
        let path = place.config();
        let beside = path
            .as_deref()
            .and_then(Path::parent)
            .map(Path::to_owned)
            .unwrap_or_default();
        let folders = Folders {
            beside,
            needs: place.needs,
            environment: &place.environment,
        };
        let file = path
            .as_deref()
            .map_or_else(File::absent, |path| File::open(path, place.named_by()));
        let tables = file.parse();
        let root = Table::root(&file, &tables);
        let of_interest = place.needs.of_interest();
        if of_interest.is_some() {
            root.allow_all();
        }
        let mut config = settings::read(&root, &folders);
        let sources = Sources::read(&root);
        let home_path = home_path(place, &root, &folders);
        drop(root);

        let home_named = if place.home.is_some() {
            HOME_ARGUMENT
        } else {
            HOME_KEY
        };
        let home_file = home_path
            .as_deref()
            .map_or_else(File::absent, |path| File::open(path, home_named));
        let home_tables = home_file.parse();
        let home = home::read(
            &Table::root(&home_file, &home_tables),
            sources.rights(),
            &config.mqtt.prefix,
        );
        if home_file.is_sound() && of_interest.is_none() {
            sources.check(&home, !config.discovery.is_off());
        }
        drop(sources);

        let mut faults: Vec<Fault> = file
            .take_faults()
            .into_iter()
            .chain(home_file.take_faults())
            .collect();
        if let Some(of_interest) = of_interest {
            faults.retain(|fault| fault.key.is_empty() || fault.key.starts_with(of_interest));
        }
        if let Some(faults) = Faults::of(faults) {
            return Err(faults);
        }
        config.home = Arc::new(home);
        config.files = Files {
            config: path,
            home: home_path,
        };
        Ok(config)
    }
}

/// The home file: one that is named must be there, the usual one need not.
fn home_path(place: &ConfigLocation, root: &Table<'_>, folders: &Folders<'_>) -> Option<PathBuf> {
    if place.needs.of_interest().is_some() {
        return None;
    }
    let written = root.text("home").map(|name| folders.beside.join(name));
    let usual = folders.beside.join("home.toml");
    place
        .home
        .clone()
        .or(written)
        .or_else(|| usual.exists().then_some(usual))
}
