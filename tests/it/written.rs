//! Sentences for whole homes, written down before they were tried, and sent through the real
//! program.
//!
//! `written/<home>.book` was looked at during development, `<home>.kept` was not. A line is `[area]
//! text | actions`, with `|` before each alternative meaning: `lamp.power=on; tv.volume+10;
//! door.lock?`, `ask`, or `none` where nothing may be done. `$lights = a b` names a group.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

struct Line {
    area: Option<String>,
    text: String,
    /// Each a sorted list of actions, or `ask`, or `none`.
    meant: Vec<Vec<String>>,
}

fn folder() -> PathBuf {
    Path::new(crate::REPOSITORY).join("tests/phrasebook")
}

/// `lamp.power=on` → `lamp power set on`, for each device of a group.
fn actions(written: &str, groups: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut found = Vec::new();
    for part in written.split("; ") {
        let (device, rest) = part.split_once('.').unwrap_or((part, ""));
        let end = rest
            .find(['=', '+', '-', '~', '?', '!'])
            .unwrap_or(rest.len());
        let (property, change) = rest.split_at(end);
        let (op, value) = match change.chars().next() {
            Some('=') | None => ("set", change.strip_prefix('=').unwrap_or("")),
            Some('+') => ("increase", &change[1..]),
            Some('-') => ("decrease", &change[1..]),
            Some('~') => ("toggle", ""),
            Some('!') => ("stop", ""),
            _ => ("query", ""),
        };

        let devices = device
            .strip_prefix('$')
            .map_or_else(|| vec![device.to_owned()], |group| groups[group].clone());
        assert!(
            part == "ask" || part == "none" || !property.is_empty(),
            "{part}"
        );
        for device in devices {
            found.push(if property.is_empty() {
                part.to_owned()
            } else {
                format!("{device} {property} {op} {}", value.trim_matches('"'))
                    .trim()
                    .to_owned()
            });
        }
    }
    found.sort();
    found
}

fn book(path: &Path) -> Vec<Line> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut lines = Vec::new();
    for line in fs::read_to_string(path)
        .unwrap()
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some((name, members)) = line
            .strip_prefix('$')
            .and_then(|line| line.split_once(" = "))
        {
            let members = members.split(' ').flat_map(|m| {
                m.strip_prefix('$')
                    .map_or_else(|| vec![m.to_owned()], |group| groups[group].clone())
            });
            groups.insert(name.to_owned(), members.collect());
            continue;
        }
        let mut parts = line.split('|').map(str::trim);
        let said = parts.next().unwrap();
        let area = said
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("] "));
        let (area, text) = area.map_or((None, said), |(area, text)| (Some(area.to_owned()), text));
        lines.push(Line {
            area,
            text: text.to_owned(),
            meant: parts.map(|part| actions(part, &groups)).collect(),
        });
    }
    lines
}

fn replies(home: &str, lines: &[Line]) -> Vec<Json> {
    let mut command = Command::new(crate::PROGRAM);
    command
        .args(["try", "--local-only", "--json", "--home"])
        .arg(folder().join(format!("homes/{home}.toml")))
        .arg("--config")
        .arg("config/sayso.toml");
    command
        .current_dir(crate::REPOSITORY)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let input: Vec<String> = lines
        .iter()
        .map(|line| json!({"text": line.text, "area": line.area}).to_string())
        .collect();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.join("\n").as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    // 1: a command is refused or unclear, which some of these are.
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The reply in the book's form.
fn understood(reply: &Json) -> Vec<String> {
    let word = |value: &Json| {
        value.as_str().map_or_else(
            || {
                if value.is_null() {
                    String::new()
                } else {
                    value.to_string()
                }
            },
            str::to_owned,
        )
    };
    let one = |action: &Json| {
        let (op, value) = (word(&action["op"]), word(&action["value"]));
        let value = if op == "query" { String::new() } else { value };
        format!(
            "{} {} {op} {value}",
            word(&action["device"]),
            word(&action["property"])
        )
        .trim()
        .to_owned()
    };
    let mut found: Vec<String> = reply["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(one)
        .collect();
    found.sort();
    match found.len() {
        0 if reply["outcome"] == "unclear" => vec!["ask".to_owned()],
        0 => vec!["none".to_owned()],
        _ => found,
    }
}

fn verdict(line: &Line, reply: &Json) -> &'static str {
    let got = understood(reply);
    let nothing_done = got == ["ask"] || got == ["none"] || reply["outcome"] == "refused";
    if line.meant.contains(&got) || (nothing_done && line.meant.contains(&vec!["none".to_owned()]))
    {
        "exact"
    } else if got == ["none"] || got == ["ask"] {
        "silent"
    } else {
        "wrong"
    }
}

#[test]
fn sentences_written_before_they_were_tried_are_understood_as_meant() {
    let mut homes: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder().join("written")).unwrap() {
        let path = entry.unwrap().path();
        homes.extend(
            path.extension()
                .is_some_and(|end| end == "book")
                .then(|| path.file_stem().unwrap().to_str().unwrap().to_owned()),
        );
    }
    homes.sort();
    let mut tally: BTreeMap<(&str, &str), BTreeMap<&str, usize>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (home, part) in homes
        .iter()
        .flat_map(|home| [(home, "book"), (home, "kept")])
    {
        let path = folder().join(format!("written/{home}.{part}"));
        let lines = if path.exists() {
            book(&path)
        } else {
            Vec::new()
        };
        for (line, reply) in lines.iter().zip(replies(home, &lines)) {
            let sort = if line.meant == [["none"]] {
                "must not act"
            } else {
                "act"
            };
            let verdict = verdict(line, &reply);
            *tally
                .entry((part, sort))
                .or_default()
                .entry(verdict)
                .or_default() += 1;
            if verdict == "wrong" {
                wrong.push(format!(
                    "{home}: {:?} {:?}\n    got {:?}",
                    line.area,
                    line.text,
                    understood(&reply)
                ));
            }
        }
    }
    let mut said = 0;
    for ((part, sort), verdicts) in &tally {
        let all: usize = verdicts.values().sum();
        let exact = verdicts.get("exact").copied().unwrap_or_default();
        said += all;
        println!("{part}, {sort}: {verdicts:?}, {exact} of {all} exact");
        assert!(
            exact * 100 >= all * 97,
            "{part}, {sort}: only {exact} of {all}"
        );
    }
    assert!(said >= 900, "the books have shrunk to {said}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
