//! The fixtures of invalid configs, and the faults that are expected of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::ConfigLocation;
use crate::config::tests::shipped::ValueType;
use crate::config::tests::{repository, without_names};

const FOLDER: &str = "tests/fixtures/config/invalid";

/// A fault in an `.expect` file: a value that is rejected, with the message about it.
pub(super) struct RejectedValue {
    /// Path of the key, without names.
    pub(super) path: String,
    pub(super) message: String,
    /// Whether the value is an item of a list.
    is_item: bool,
}

impl RejectedValue {
    /// Reads all `.expect` files. Keys that are unknown or missing have no value.
    pub(super) fn all() -> Vec<Self> {
        let texts = files("expect")
            .into_iter()
            .map(|path| fs::read_to_string(path).unwrap());
        let lines: Vec<String> = texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let faults = lines.iter().filter_map(|line| {
            let mut parts = line.splitn(3, ": ");
            let (_file, path, message) = (parts.next()?, parts.next()?, parts.next()?);
            let has_value =
                !message.starts_with("unknown key") && !message.starts_with("missing: ");
            has_value.then(|| Self {
                path: without_names(path),
                message: message.to_owned(),
                is_item: path.ends_with(']'),
            })
        });
        faults.collect()
    }

    /// Returns whether the value has the type that its key demands, so that the message is about
    /// the value. A boolean or a table has no other invalid values than those of another type.
    pub(super) fn is_of(&self, demanded: Option<ValueType>) -> bool {
        let found = self.message.strip_prefix("found `").map(ValueType::of);
        match (found, demanded) {
            (None, _) | (_, None | Some(ValueType::Boolean | ValueType::Table)) => true,
            (Some(found), Some(ValueType::List)) => self.is_item || found == ValueType::List,
            (Some(found), Some(demanded)) => found == demanded,
        }
    }
}

/// Returns the fixtures.
pub(super) fn configs() -> Vec<PathBuf> {
    files("toml")
}

/// Returns the location of a fixture, which is a config, or where its name says so a home.
pub(super) fn location(path: &Path) -> ConfigLocation {
    let is_home = path
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .starts_with("home");
    if !is_home {
        return ConfigLocation::at(path);
    }
    ConfigLocation {
        config: Some(repository("tests/fixtures/config/valid/empty.toml")),
        home: Some(path.to_owned()),
        ..ConfigLocation::default()
    }
}

fn files(extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository(FOLDER)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let found: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    assert!(found.len() >= 20, "only {} files .{extension}", found.len());
    found
}
