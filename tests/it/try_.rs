//! `sayso try` and `sayso check`, through the real binary.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

/// One run of the program: away from the machine's own config, with what is written to its standard
/// input.
#[must_use]
struct Run {
    command: Command,
    input: Vec<u8>,
}

impl Run {
    fn of(arguments: &[&str]) -> Self {
        let mut command = Command::new(crate::PROGRAM);
        command
            .args(arguments)
            .current_dir(root())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            command,
            input: Vec::new(),
        }
    }

    /// Tries commands in the example home.
    fn trying(arguments: &[&str]) -> Self {
        Self::of(
            &[
                &[
                    "try",
                    "--local-only",
                    "--json",
                    "--config",
                    "config/sayso.toml",
                ],
                arguments,
            ]
            .concat(),
        )
    }

    fn hears(self, input: impl Into<Vec<u8>>) -> Self {
        Self {
            input: input.into(),
            ..self
        }
    }

    fn ends(mut self) -> Output {
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            // Whoever does not read its input closes it.
            let _ = stdin.write_all(&self.input);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }

    fn replies(self) -> Vec<Json> {
        let output = self.ends();
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "{}",
            said(&output.stderr)
        );
        said(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn root() -> &'static Path {
    Path::new(crate::REPOSITORY)
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn each_line_has_its_reply_in_order() {
    let input = b"zzz\n{\"text\": \"zzz\", \"id\": \"mine\"}\n\nnot \xff text\n{\"text\": 5}\n{\"id\": \"x\"}\nzzz";
    let replies = Run::trying(&[]).hears(*input).replies();
    let ids: Vec<&str> = replies.iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["1", "mine", "3", "4", "5", "6", "7"]);
    for n in [2, 3, 4, 5] {
        assert_eq!(
            (replies[n]["outcome"].as_str(), replies[n]["why"].as_str()),
            (Some("refused"), Some("malformed")),
            "{}",
            replies[n]
        );
    }
    for n in [0, 1, 6] {
        assert_eq!(
            (replies[n]["via"].as_str(), replies[n]["why"].as_str()),
            (Some("none"), Some("no_model")),
            "{}",
            replies[n]
        );
    }
}

#[test]
fn arguments_are_commands_as_well() {
    let replies = Run::trying(&["zzz", "yyy"]).replies();
    assert_eq!(
        replies
            .iter()
            .map(|r| r["text"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["zzz", "yyy"]
    );
}

#[test]
fn ten_thousand_lines_have_ten_thousand_replies() {
    let replies = Run::trying(&[]).hears("zzz\n".repeat(10_000)).replies();
    assert_eq!(replies.len(), 10_000);
    assert_eq!(replies[9_999]["id"], "10000");
}

#[test]
fn a_slow_speaker_has_each_reply_at_once() {
    let mut child = Run::trying(&[]).command.spawn().unwrap();
    let (mut stdin, mut stdout) = (
        child.stdin.take().unwrap(),
        BufReader::new(child.stdout.take().unwrap()),
    );
    for n in 1..=3 {
        stdin.write_all(b"zzz\n").unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.contains(&format!("\"id\":\"{n}\"")), "{line}");
    }
    drop(stdin);
    assert_eq!(
        child.wait().unwrap().code(),
        Some(1),
        "none of them was understood"
    );
}

#[test]
fn a_state_about_nothing_is_refused() {
    let (_folder, path) = written(
        "state.json",
        r#"{"kitchen_lamp": {"power": "on"}, "kitchen_light": {"power": "warm"}}"#,
    );
    let output = Run::trying(&["--state", path.to_str().unwrap(), "zzz"]).ends();
    assert_eq!(output.status.code(), Some(1));
    let error = said(&output.stderr);
    assert!(
        error.contains("no device `kitchen_lamp`")
            && error.contains("`kitchen_light` cannot have power warm"),
        "{error}"
    );
}

#[test]
fn a_home_may_stand_in_for_that_of_the_config() {
    let (_folder, path) = written(
        "home.toml",
        "[device.lamp]\nkind = \"light\"\narea = \"nowhere\"",
    );
    let output = Run::trying(&["--home", path.to_str().unwrap(), "zzz"]).ends();
    assert_eq!(output.status.code(), Some(78));
    assert!(
        said(&output.stderr).contains("home.toml:3: device.lamp.area"),
        "{}",
        said(&output.stderr)
    );
}

#[test]
fn check_tells_all_faults_and_ends_with_78() {
    let output = Run::of(&[
        "check",
        "--config",
        "tests/fixtures/config/invalid/mqtt-values.toml",
    ])
    .ends();
    assert_eq!(output.status.code(), Some(78));
    let error = said(&output.stderr);
    assert!(
        error.contains("mqtt.port: found `0`, expected a whole number from 1 to 65535"),
        "{error}"
    );
    assert!(error.ends_with("sayso: 16 faults\n"), "{error}");
    assert!(output.stdout.is_empty());
}

#[test]
fn check_tells_what_is_set_up() {
    let (folder, path) = written(
        "sayso.toml",
        "[[provider]]\nname = \"cloud\"\nmodel = \"m\"\nkey_file = \"key\"\n[[provider]]\nname = \"here\"\nmodel = \"m\"\nbase_url = \"http://127.0.0.1:1/v1\"",
    );
    let key = folder.path().join("key");
    fs::write(&key, "sk-hidden").unwrap();
    // A key that every user may read is a fault, as for the doctor.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let output = Run::of(&["check", "--config", path.to_str().unwrap()]).ends();
    assert_eq!(output.status.code(), Some(78));
    assert!(said(&output.stderr).contains("every user of this machine can read"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let output = Run::of(&["check", "--config", path.to_str().unwrap()]).ends();
    assert_eq!(output.status.code(), Some(0));
    let text = said(&output.stdout);
    for part in [
        "localhost:1883",
        "0 devices",
        "1. cloud: m at https://api.openai.com/v1, with a key, needs the internet",
        "all others go to here",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    assert!(!text.contains("sk-hidden"));
    // Who may not read the key can have the rest checked.
    fs::remove_file(folder.path().join("key")).unwrap();
    assert_eq!(
        Run::of(&["check", "--config", path.to_str().unwrap()])
            .ends()
            .status
            .code(),
        Some(78)
    );
    assert_eq!(
        Run::of(&["check", "--no-keys", "--config", path.to_str().unwrap()])
            .ends()
            .status
            .code(),
        Some(0)
    );
}

#[test]
fn the_version_tells_what_it_is_built_of_when_asked() {
    // The tests are a package with a version of its own.
    let manifest = fs::read_to_string(Path::new(crate::REPOSITORY).join("Cargo.toml")).unwrap();
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = "))
        .unwrap()
        .trim_matches('"');
    let plain = Run::of(&["--version"]).ends();
    assert_eq!(
        (plain.status.code(), said(&plain.stdout)),
        (Some(0), format!("sayso {version}\n"))
    );
    let all = said(&Run::of(&["--version", "--verbose"]).ends().stdout);
    for part in [
        "\ncommit ",
        "\ntarget ",
        "\ncompiler rustc 1.",
        "\n  sled 0.34.7\n",
        "\n  tokio 1.",
    ] {
        assert!(all.contains(part), "{part:?} is not in\n{all}");
    }
    assert!(
        !all.contains("criterion"),
        "what only tests want is not in it"
    );
    assert_eq!(Run::of(&["--verbose"]).ends().status.code(), Some(2));
}

#[test]
fn wrong_usage_ends_with_2_and_help_with_0() {
    assert_eq!(Run::of(&[]).ends().status.code(), Some(2));
    assert_eq!(Run::of(&["dance"]).ends().status.code(), Some(2));
    assert_eq!(Run::of(&["say"]).ends().status.code(), Some(2));
    let help = Run::of(&["--help"]).ends();
    assert_eq!(help.status.code(), Some(0));
    assert!(said(&help.stdout).contains("Exit codes"));
    assert!(said(&Run::of(&["completions", "bash"]).ends().stdout).contains("_sayso"));
}

#[test]
fn an_explanation_tells_what_each_word_stands_for_and_why_it_is_silent() {
    for (text, parts) in [
        (
            "turn on the kichen light",
            &[
                "kitchen light  name of kitchen_light",
                "= kitchen_light power set on",
            ][..],
        ),
        (
            "turn on the tv tomorrow",
            &[
                "tomorrow  ?  unknown word",
                "not understood: the word `tomorrow` is unknown",
            ],
        ),
        (
            "set the sofa lamp to 150 percent",
            &[
                "unit %",
                "not understood: name of sofa_lamp: no device there can do that or accepts that value",
            ],
        ),
        (
            "turn on half the lights",
            &[
                "half the  veto",
                "not understood: `half the` does not fit after the words before it",
            ],
        ),
        ("close the blinds", &["noun blinds", "asks: "]),
    ] {
        let output = Run::of(&[
            "try",
            "--local-only",
            "--config",
            "config/sayso.toml",
            "--explain",
            text,
        ])
        .ends();
        let told = said(&output.stdout);
        assert!(told.starts_with(text), "{told}");
        for part in parts {
            assert!(told.contains(part), "{part:?} in\n{told}");
        }
    }
}

/// Whose devices only announce themselves finds none here: where they are known is told beside the
/// replies.
#[test]
fn a_home_without_a_device_is_told_where_announced_ones_are_known() {
    let (_folder, path) = written("sayso.toml", "");
    let output = Run::of(&[
        "try",
        "--local-only",
        "--json",
        "--config",
        path.to_str().unwrap(),
        "turn on the desk lamp",
    ])
    .ends();
    assert!(
        said(&output.stderr).contains("`sayso home`"),
        "{}",
        said(&output.stderr)
    );
    assert_eq!(
        serde_json::from_slice::<Json>(&output.stdout).unwrap()["why"],
        "no_devices"
    );
    assert_eq!(
        said(&Run::trying(&["turn on the kitchen light"]).ends().stderr),
        ""
    );
}

#[test]
fn people_read_text_and_a_refusal_ends_with_1() {
    let done = Run::of(&[
        "try",
        "--local-only",
        "--config",
        "config/sayso.toml",
        "turn on the kitchen light",
    ])
    .ends();
    assert_eq!(done.status.code(), Some(0));
    let text = said(&done.stdout);
    assert!(
        text.starts_with("✓ done: ") && text.contains("kitchen_light: set power on"),
        "{text}"
    );
    let refused = Run::of(&[
        "try",
        "--local-only",
        "--config",
        "config/sayso.toml",
        "zzz",
    ])
    .ends();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said(&refused.stdout).starts_with("✗ refused: "),
        "{}",
        said(&refused.stdout)
    );
    // A JSON object in the input is a program's, and so is its reply.
    let json = Run::of(&["try", "--local-only", "--config", "config/sayso.toml"])
        .hears("{\"text\": \"turn on the kitchen light\", \"id\": \"7\"}\n")
        .ends();
    assert_eq!(
        serde_json::from_slice::<Json>(&json.stdout).unwrap()["id"],
        "7"
    );
}

#[test]
fn try_needs_neither_broker_nor_its_password() {
    let (_folder, path) = written(
        "sayso.toml",
        "[mqtt]\nhost = \"nowhere.invalid\"\nusername = \"sayso\"\npassword_file = \"absent\"\n",
    );
    let output = Run::of(&["try", "--config", path.to_str().unwrap(), "zzz"]).ends();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output.stderr));
    assert!(said(&output.stdout).starts_with("✗ refused: "));
}

#[test]
fn a_config_in_the_current_folder_is_found() {
    let (folder, _) = written("sayso.toml", "[mqtt]\nport = 11883\n");
    let mut run = Run::of(&["check"]);
    run.command.current_dir(folder.path());
    let text = said(&run.ends().stdout);
    assert!(
        text.contains("sayso.toml") && text.contains("localhost:11883"),
        "{text}"
    );
}

#[test]
fn a_second_definition_names_the_line_of_the_first() {
    let (_folder, path) = written(
        "sayso.toml",
        "[mqtt]\nport = 1\n\n[log]\n\n[mqtt]\nusername = \"a\"\n",
    );
    let error = said(
        &Run::of(&["check", "--config", path.to_str().unwrap()])
            .ends()
            .stderr,
    );
    assert!(
        error.contains("sayso.toml:6: `[mqtt]` is already in line 1"),
        "{error}"
    );
    let (_folder, path) = written("sayso.toml", "[mqtt]\nport = 1\nhost = \"a\"\nport = 2\n");
    let error = said(
        &Run::of(&["check", "--config", path.to_str().unwrap()])
            .ends()
            .stderr,
    );
    assert!(
        error.contains("sayso.toml:4: `port` is already set in line 2"),
        "{error}"
    );
}
