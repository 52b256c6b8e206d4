//! Every key that the config is read by is documented in the shipped files, with its default and
//! range, and has a fixture with a value it rejects. The keys are those that reading looks for, so
//! that none can be forgotten.

mod defaults;
mod fixtures;
mod shipped;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::table::read_keys;
use crate::config::tests::defaults::{Situation, StatedDefault, is_default};
use crate::config::tests::fixtures::RejectedValue;
use crate::config::tests::shipped::{ShippedFile, ShownKey, ValueType};
use crate::config::{Config, ConfigLocation};
use crate::provider::APIS;
use crate::vocabulary::Property;
use crate::vocabulary::properties::PROPERTIES;

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

/// Returns the keys of a shipped file with their stated defaults. A key that is shown a second
/// time, or in the example home, only needs a default if its comment states one.
fn stated_defaults(file: &ShippedFile) -> Vec<(ShownKey, StatedDefault)> {
    let mut stated: Vec<(ShownKey, StatedDefault)> = Vec::new();
    let mut keys = file.keys();
    while !keys.is_empty() {
        let comment = keys[0].comment.clone();
        let others = keys.iter().position(|key| key.comment != comment);
        let mut beside: Vec<ShownKey> = keys.drain(..others.unwrap_or(keys.len())).collect();
        // The comment above an inline table is about the keys in it.
        if beside.iter().any(|key| key.is_inside) {
            beside.retain(|key| key.is_inside);
        }
        let is_example = |key: &ShownKey| {
            key.is_in_force || stated.iter().any(|(known, _)| known.path == key.path)
        };
        let defaults = StatedDefault::of(&comment, beside.len());
        if defaults.is_none() && beside.iter().all(is_example) {
            continue;
        }
        let paths: Vec<&str> = beside.iter().map(|key| key.path.as_str()).collect();
        let defaults = defaults.unwrap_or_else(|| {
            panic!(
                "{}: the comment of {paths:?} states no default in one of the forms: {comment}",
                file.name
            )
        });
        stated.extend(beside.into_iter().zip(defaults));
    }
    stated
}

#[test]
fn the_defaults_in_the_shipped_files_are_those_of_the_program() {
    let mut wrong = Vec::new();
    let mut compared = 0;
    for file in [ShippedFile::config(), ShippedFile::home()] {
        for (key, default) in stated_defaults(&file) {
            let path = &key.path;
            let StatedDefault::Values(values) = default else {
                let is_the_default = is_default(path, Situation::Usual, &key.value);
                if is_the_default && !key.is_in_force {
                    wrong.push(format!("{path}: its default is {}", key.value));
                }
                continue;
            };
            let (_, usual) = &values[0];
            if *usual != key.value && !key.is_in_force {
                wrong.push(format!("{path}: {} is shown, not {usual}", key.value));
            }
            for (situation, value) in in_each_api(path, &values) {
                compared += 1;
                if !is_default(path, situation, value) {
                    wrong.push(format!(
                        "{path}: {value} is not the default ({situation:?})"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 60, "only {compared} defaults");
}

/// Returns the values that a comment states, those of a provider for every API.
fn in_each_api<'v>(path: &str, values: &'v [(Situation, String)]) -> Vec<(Situation, &'v str)> {
    let stated = values
        .iter()
        .map(|(situation, value)| (*situation, value.as_str()));
    if !path.starts_with("provider.") {
        return stated.collect();
    }
    let apis = APIS.iter().map(|api| Situation::Api(api.name));
    let each = apis.filter_map(|api| {
        let mut own = stated.clone().filter(|(situation, _)| *situation == api);
        let mut usual = stated
            .clone()
            .filter(|(situation, _)| *situation == Situation::Usual);
        let (_, value) = own.next().or_else(|| usual.next())?;
        Some((api, value))
    });
    each.collect()
}

/// Checks the defaults that the pages state as "`mqtt.ttl` (default 1m)", and where a default
/// depends on the configuration, as "(default 5s in a pair)".
#[test]
fn the_defaults_on_the_pages_are_those_of_the_shipped_file() {
    let stated = stated_defaults(&ShippedFile::config());
    let mut compared = 0;
    for entry in fs::read_dir(repository("docs")).unwrap() {
        let name = entry.unwrap().path();
        let page = fs::read_to_string(&name).unwrap().replace('\n', " ");
        let parts: Vec<&str> = page.split('`').collect();
        for [path, after] in parts.windows(2).map(|pair| [pair[0], pair[1]]) {
            let mut stated = stated.iter();
            let Some((_, default)) = stated.find(|(key, _)| key.path == path) else {
                continue;
            };
            let Some((note, _)) = after
                .strip_prefix(" (")
                .and_then(|rest| rest.split_once(')'))
            else {
                continue;
            };
            let Some(value) = note.strip_prefix("default ") else {
                let is_value = note.starts_with(|c: char| c.is_ascii_digit() || c == '"');
                let page = name.display();
                assert!(
                    !is_value,
                    "{page}: write `{path}` (default ..), not ({note})"
                );
                continue;
            };
            let (value, circumstances) = value.split_once(' ').unwrap_or((value, ""));
            let (situation, _) = Situation::parse(&format!("{circumstances} "));
            let StatedDefault::Values(values) = default else {
                panic!("{}: `{path}` has no default ({note})", name.display());
            };
            let mut values = values.iter();
            let is_stated = |(when, text): &(Situation, String)| {
                *when == situation && text.trim_matches('"') == value
            };
            assert!(
                values.any(is_stated),
                "{}: `{path}` ({note}): config/sayso.toml says otherwise",
                name.display()
            );
            compared += 1;
        }
    }
    assert!(compared >= 10, "only {compared} defaults");
}

/// Checks that a message such as "a whole number from 1 to 65535" and the comment of the key give
/// the same range.
#[test]
fn the_ranges_in_the_shipped_files_are_those_of_the_program() {
    let shown = [ShippedFile::config(), ShippedFile::home()].map(|file| file.keys());
    let mut compared = 0;
    for fault in RejectedValue::all() {
        let Some((_, range)) = fault.message.split_once(" from ") else {
            continue;
        };
        let is_shown = |key: &&ShownKey| key.path == fault.path;
        let Some(key) = shown.iter().flatten().find(is_shown) else {
            continue;
        };
        compared += 1;
        assert!(
            key.comment.contains(range),
            "{}: the program says {range}, the comment: {}",
            key.path,
            key.comment
        );
    }
    assert!(compared >= 30, "only {compared} ranges");
}

/// Checks the table in the comments of the example home: two columns of kinds, each with its
/// properties.
#[test]
fn the_kinds_in_the_example_home_have_these_properties() {
    let home = fs::read_to_string(repository("config/home.toml")).unwrap();
    let (_, table) = home.split_once("which `can` replaces:\n#\n").unwrap();
    let rows = table.lines().take_while(|line| *line != "#");
    let mut stated: BTreeSet<(String, String)> = BTreeSet::new();
    for row in rows {
        let row = row.trim_start_matches('#').trim();
        let cells: Vec<&str> = row.split("  ").filter(|cell| !cell.is_empty()).collect();
        for [kinds, properties] in cells.as_chunks().0 {
            let properties = properties.split(" (").next().unwrap();
            for kind in kinds.trim().split(", ") {
                let own = properties.trim().split(", ").map(str::to_owned);
                stated.extend(own.map(|property| (kind.to_owned(), property)));
            }
        }
    }
    let known = PROPERTIES.iter().flat_map(|spec| {
        let kinds = spec.default_kinds.iter();
        kinds.map(|kind| ((*kind).to_owned(), spec.property.name().to_owned()))
    });
    assert_eq!(stated, known.collect());
}

#[test]
fn the_step_of_warmer_in_the_example_home_is_that_of_the_program() {
    let home = fs::read_to_string(repository("config/home.toml")).unwrap();
    let step = Property::Temperature.standard_step();
    assert!(home.contains(&format!("Default {step} °C;")), "{step}");
}
