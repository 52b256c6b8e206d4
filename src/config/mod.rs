//! Reads the files into validated settings. A [`Config`] that exists is valid: everything that is
//! wrong with the files is found while reading and reported at once. Each module defines its own
//! `Settings`; this one only fills them in.
//!
//! `sayso.toml` configures the daemon, `home.toml` describes the home. Without files the defaults
//! apply: a broker on this machine, an empty home and no model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

mod change;
pub mod environment;
mod fault;
mod file;
mod fingerprint;
mod folders;
mod home;
mod pair;
mod property;
mod provider;
mod redis;
mod rights;
mod scope;
mod settings;
mod syntax;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod topics;
mod typed_keys;
pub mod units;
mod validated;
mod values;

pub use crate::config::change::Changes;
use crate::config::environment::Environment;
pub use crate::config::fault::{Fault, Faults};
use crate::config::file::File;
pub use crate::config::folders::CREDENTIALS_FOLDER;
use crate::config::folders::{Folders, candidates};
pub use crate::config::provider::is_secret_header;
use crate::config::rights::Sources;
pub use crate::config::scope::Scope;
pub use crate::config::settings::broker_host;
use crate::config::table::Table;
use crate::config::topics::OwnTopics;
pub use crate::config::validated::{Config, Files};

/// Path of the config file of an installed sayso.
pub const SYSTEM_CONFIG: &str = "/etc/sayso/sayso.toml";

/// Name of the config file in the current folder, which takes precedence over [`SYSTEM_CONFIG`].
pub const LOCAL_CONFIG: &str = "sayso.toml";

/// State folder of the shipped unit. With `DynamicUser=` it is a symbolic link, visible to
/// everybody, into a folder that only root can enter.
const SYSTEM_STATE: &str = "/var/lib/sayso";

const READ_BEFORE: &str = "it was read before; put it back, or restart sayso without it";
const HOME_ARGUMENT: &str =
    "it is given with --home; give the right path, or omit --home to use the one in the config";
const HOME_TABLE: &str = "in this file it is the path of the home file, such as home = \
    \"home.toml\": move the table [home] to that file";
const HOME_KEY: &str = "it is set by `home` in the config; correct the path there, which is \
    relative to the config, or remove the key";

/// Location of the files and the part of them that is needed.
#[derive(Debug, Clone, Default)]
pub struct ConfigLocation {
    /// Config file given on the command line.
    pub config: Option<PathBuf>,
    /// Home file given on the command line; it takes precedence over the one in the config.
    pub home: Option<PathBuf>,
    /// Part of the config that is needed.
    pub needs: Scope,
    /// Environment of the process.
    pub environment: Environment,
}

impl ConfigLocation {
    /// Returns the location of one config file, independent of the environment.
    pub fn at(config: impl Into<PathBuf>) -> Self {
        Self {
            config: Some(config.into()),
            ..Self::default()
        }
    }

    /// Returns the config file: the one given, or `$SAYSO_CONFIG`, or `./sayso.toml` or
    /// `/etc/sayso/sayso.toml` if one of them exists.
    pub fn config(&self) -> Option<PathBuf> {
        let named = self.config.as_ref().or(self.environment.config.as_ref());
        if let Some(path) = named {
            return Some(path.clone());
        }
        // If it cannot be determined whether a file exists, reading it reports the reason.
        let usual = [LOCAL_CONFIG, SYSTEM_CONFIG].map(Path::new);
        let found = usual
            .into_iter()
            .find(|path| path.try_exists().unwrap_or(true));
        found.map(Path::to_owned)
    }

    /// Returns the same location with the state folder of the installed service, which is not in
    /// the environment of an operator.
    #[must_use]
    pub fn of_the_service(mut self) -> Self {
        let is_installed = self
            .config()
            .is_some_and(|path| path == Path::new(SYSTEM_CONFIG));
        // The link is visible to every user, unlike its target.
        if is_installed && Path::new(SYSTEM_STATE).is_symlink() {
            self.environment
                .state
                .get_or_insert_with(|| PathBuf::from(SYSTEM_STATE));
        }
        self
    }

    /// Returns where the config file was named, and the remedy if it does not exist.
    fn named_by(&self) -> &'static str {
        match (&self.config, &self.environment.config) {
            (Some(_), _) => {
                "it is given with --config; give the right path, or omit --config to use \
                 $SAYSO_CONFIG, ./sayso.toml or /etc/sayso/sayso.toml"
            }
            (None, Some(_)) => {
                "it is set by $SAYSO_CONFIG; correct the variable, or unset it to use ./sayso.toml \
                 or /etc/sayso/sayso.toml"
            }
            (None, None) => "it is the default config; give another path with --config",
        }
    }

    /// Returns the file that a config in the folder `beside` would use for `name`.
    pub fn existing(&self, beside: &Path, name: &str) -> Option<PathBuf> {
        candidates(&self.environment, beside, name).find(|path| path.is_file())
    }
}

impl Config {
    /// Reads the files of a location.
    ///
    /// # Errors
    /// With everything that is wrong with the files, not only the first fault.
    pub fn load(location: &ConfigLocation) -> Result<Self, Faults> {
        Self::read(location, None)
    }

    /// Reads the files again for a daemon that runs with this config. A file that was read before
    /// and does not exist any more is a fault. The home has the prefix in use, which changes only
    /// with a restart.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn reload(&self, location: &ConfigLocation) -> Result<Self, Faults> {
        Self::read(location, Some(self))
    }

    fn read(location: &ConfigLocation, running: Option<&Self>) -> Result<Self, Faults> {
        let files = running.map(|running| &running.files);
        let (path, file) = config_file(location, files);
        let folders = Folders {
            beside: path
                .as_deref()
                .and_then(Path::parent)
                .map(Path::to_owned)
                .unwrap_or_default(),
            needs: location.needs,
            environment: &location.environment,
        };
        let tables = file.parse();
        let root = Table::root(&file, &tables);
        let only_section = location.needs.only_section();
        if only_section.is_some() {
            root.mark_all_known();
        }
        let mut config = settings::read(&root, &folders);
        let sources = Sources::read(&root);
        let (home_path, home_file) = home_file(location, &root, &folders, files);
        // Dropping the root reports its unknown keys.
        drop(root);

        let home_tables = home_file.parse();
        let home_root = Table::root(&home_file, &home_tables);
        let place = home::location(&home_root);
        let own = OwnTopics {
            prefix: running.map_or(&config.mqtt.prefix, |running| &running.mqtt.prefix),
            reply_prefixes: &config.mqtt.reply_prefixes,
        };
        let home = home::read(&home_root, sources.rights(), own);
        drop(home_root);
        if home_file.has_no_faults() && only_section.is_none() {
            sources.check(&home, !config.discovery.is_off());
        }
        drop(sources);

        let mut faults: Vec<Fault> = file.take_faults();
        faults.extend(home_file.take_faults());
        if let Some(section) = only_section {
            faults.retain(|fault| fault.key.is_empty() || fault.key.starts_with(section));
        }
        if let Some(faults) = Faults::of(faults) {
            return Err(faults);
        }
        config.home = Arc::new(home);
        config.location = Arc::new(place);
        config.files = Files {
            config: path,
            home: home_path,
        };
        Ok(config)
    }
}

/// Returns the config file: the one that is given, else the one that was read before.
fn config_file(location: &ConfigLocation, read: Option<&Files>) -> (Option<PathBuf>, File) {
    let is_named = location.config.is_some() || location.environment.config.is_some();
    let before = read.and_then(|files| files.config.clone());
    match before.filter(|_| !is_named) {
        Some(before) => opened(Some(before), READ_BEFORE),
        None => opened(location.config(), location.named_by()),
    }
}

/// Returns the home file: the one that is given or configured, else the one that was read before.
fn home_file(
    location: &ConfigLocation,
    root: &Table<'_>,
    folders: &Folders<'_>,
    read: Option<&Files>,
) -> (Option<PathBuf>, File) {
    if let Some(path) = named_home(location, root, folders) {
        let is_given = location.home.is_some();
        return opened(Some(path), if is_given { HOME_ARGUMENT } else { HOME_KEY });
    }
    let before = read.and_then(|files| files.home.clone());
    opened(
        before.or_else(|| default_home(location, folders)),
        READ_BEFORE,
    )
}

/// Opens a file, if there is one; `named_by` says where its path comes from.
fn opened(path: Option<PathBuf>, named_by: &'static str) -> (Option<PathBuf>, File) {
    let file = match &path {
        Some(path) => File::open(path, named_by),
        None => File::absent(),
    };
    (path, file)
}

/// Returns the home file that is given or configured.
fn named_home(
    location: &ConfigLocation,
    root: &Table<'_>,
    folders: &Folders<'_>,
) -> Option<PathBuf> {
    if location.needs.only_section().is_some() {
        return None;
    }
    if root.has_table("home") {
        root.mark_known("home");
        root.report("home", HOME_TABLE);
        return location.home.clone();
    }
    let configured = root.text("home").map(|name| folders.beside.join(name));
    location.home.clone().or(configured)
}

/// Returns `home.toml` beside the config if it exists.
fn default_home(location: &ConfigLocation, folders: &Folders<'_>) -> Option<PathBuf> {
    if location.needs.only_section().is_some() {
        return None;
    }
    let default = folders.beside.join("home.toml");
    default.exists().then_some(default)
}
