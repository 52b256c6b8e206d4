//! The plan of the house, held: a room imports rooms of lower floors only.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first. Modules of one layer do not import each other.
const LAYERS: [&[&str]; 10] = [
    &["clock"],
    &["vocabulary", "telemetry", "secret", "systemd"],
    &["binding", "provider"],
    &["home", "command"],
    &["wire", "store", "discovery", "prompt", "grammar"],
    &["mqtt", "cache", "router"],
    &["pipeline"],
    &["config"],
    &["daemon"],
    &["cli"],
];

fn floor(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The rooms a file names after `crate::`, wherever it does so.
fn imports(text: &str) -> impl Iterator<Item = String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
}

#[test]
fn no_arrow_climbs() {
    let source = Path::new(crate::REPOSITORY).join("src");
    let mut files = Vec::new();
    sources(&source, &mut files);
    assert!(
        files.len() > 20,
        "found only {} files below {}",
        files.len(),
        source.display()
    );
    let mut climbs = Vec::new();
    for file in &files {
        let inside = file.strip_prefix(&source).unwrap();
        let first = inside
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap();
        let room = first.trim_end_matches(".rs");
        if matches!(room, "lib" | "main") {
            continue;
        }
        let here =
            floor(room).unwrap_or_else(|| panic!("{room} is on no floor: add it to the plan"));
        for imported in imports(&fs::read_to_string(file).unwrap()) {
            if imported == room || imported.is_empty() {
                continue;
            }
            match floor(&imported) {
                Some(there) if there < here => {}
                _ => climbs.push(format!("{}: crate::{imported}", inside.display())),
            }
        }
    }
    assert!(
        climbs.is_empty(),
        "these arrows climb, or lead to a room of the same floor:\n{}",
        climbs.join("\n")
    );
}
