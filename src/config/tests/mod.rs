//! Every key that the config is read by is documented in the shipped files and has a fixture with a
//! value it rejects. The keys are those that reading looks for, so that none can be forgotten.

mod fixtures;
mod shipped;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::file::read_keys;
use crate::config::tests::fixtures::RejectedValue;
use crate::config::tests::shipped::{ShippedFile, ValueType};
use crate::config::{Config, ConfigLocation};

/// Tables of tables: the next part of a path is a name that the operator chooses.
const NAMED: [&str; 5] = ["area", "device", "floor", "property", "source"];

/// Returns the file or folder of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns a path without numbers and chosen names: `provider[1].name` is `provider.name`, and
/// `device.lamp.area` is `device.area`.
fn without_names(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut is_name = false;
    for part in path.split('.') {
        if is_name {
            is_name = false;
            continue;
        }
        let part = part.split('[').next().unwrap();
        kept.push(part);
        is_name = NAMED.contains(&part);
    }
    kept.join(".")
}

/// Returns the paths of all keys, without names: those that are looked for while files are read
/// that have each table.
fn all_keys() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    for file in [ShippedFile::config(), ShippedFile::home()] {
        fs::write(folder.path().join(file.name), file.with_every_key()).unwrap();
    }
    read_keys::take();
    // Faults do not matter: every key is read before a file is rejected.
    let _ = Config::load(&ConfigLocation::at(folder.path().join("sayso.toml")));
    for path in fixtures::configs() {
        let _ = Config::load(&fixtures::location(&path));
    }
    let keys: BTreeSet<String> = read_keys::take()
        .iter()
        .map(|path| without_names(path))
        .collect();
    assert!(keys.len() >= 150, "only {} keys: {keys:?}", keys.len());
    keys
}

#[test]
fn every_key_has_a_fixture_with_a_value_it_rejects() {
    let rejected = RejectedValue::all();
    let shown = [ShippedFile::config(), ShippedFile::home()].map(|file| file.keys());
    let type_of = |path: &str| {
        let mut shown = shown.iter().flatten();
        let key = shown.find(|key| key.path == path)?;
        Some(ValueType::of(&key.value))
    };
    let has_fixture = |path: &String| {
        rejected
            .iter()
            .any(|value| value.path == *path && value.is_of(type_of(path)))
    };
    let mut missing = all_keys();
    missing.retain(|path| !has_fixture(path));
    assert!(
        missing.is_empty(),
        "no .expect file in tests/fixtures/config/invalid/ has an invalid value, of the right \
         type, of {missing:?}"
    );
}

#[test]
fn every_key_is_in_the_shipped_files() {
    let rejected = RejectedValue::all();
    // A key that only says where the secret belongs is no part of the reference.
    let is_forbidden = |path: &str| {
        let mut faults = rejected.iter().filter(|value| value.path == path);
        faults.any(|value| {
            value
                .message
                .starts_with("a secret must not be in this file")
        })
    };
    let files = [ShippedFile::config(), ShippedFile::home()];
    let is_shown = |path: &str| {
        let mut files = files.iter();
        files.any(|file| file.keys().iter().any(|key| key.path == path) || file.has_table(path))
    };
    let mut missing = all_keys();
    missing.retain(|path| {
        // The home has examples of devices, which do not need every key; the others are described.
        let is_documented = is_shown(path) || files[1].describes(path);
        !is_documented && !is_forbidden(path)
    });
    assert!(missing.is_empty(), "not in config/: {missing:?}");
}
