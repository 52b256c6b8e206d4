//! The command-line tools against a real broker and a running daemon: access lists, `watch`,
//! `chat`, `init`, `bundle`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::daemon::{Daemon, Place};
use crate::doctor::{OFF, with_access_list, with_login};
use crate::listener::Listener;
use crate::scene::{PATIENCE, Scene};

/// Runs the program with the config of a place, and with `input` on its standard input.
async fn run(place: &Place, arguments: &[&str], input: &str) -> Output {
    run_with_config(&place.config(), arguments, input).await
}

async fn run_with_config(config: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(crate::PROGRAM)
        .args(arguments)
        .arg("--config")
        .arg(config)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that ends early closes its input.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    tokio::time::timeout(Duration::from_mins(1), child.wait_with_output())
        .await
        .unwrap_or_else(|_| panic!("sayso {arguments:?} does not end"))
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The output of a command that must succeed.
async fn succeeds(place: &Place, arguments: &[&str]) -> String {
    let output = run(place, arguments, "").await;
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(
        output.status.code(),
        Some(0),
        "sayso {arguments:?}: {out}{error}"
    );
    out
}

fn secret_file(folder: &Path, name: &str, secret: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, secret).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// The access list in docs/install.md.
fn documented_list() -> String {
    let page = fs::read_to_string(Path::new(crate::REPOSITORY).join("docs/install.md")).unwrap();
    let block = page
        .split("```\n")
        .find(|block| block.starts_with("user kiosk"))
        .unwrap();
    block.to_owned()
}

fn shipped_list() -> String {
    let path = Path::new(crate::REPOSITORY).join("deploy/mosquitto/sayso.acl");
    fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn every_documented_command_works_with_both_access_lists() {
    for (name, list) in [
        ("install.md", documented_list()),
        ("sayso.acl", shipped_list()),
    ] {
        // A device with topics of its own needs its lines, as both say.
        let rights = "topic write cmnd/#\n";
        let more = format!("{rights}topic write porch/set\ntopic read porch\n");
        let broker = with_access_list(&list.replace(rights, &more)).await;
        let mut witness = Listener::connect_as(broker.port(), "witness", "secret");
        let porch = json!({"name": "Porch", "command_topic": "porch/set", "state_topic": "porch"});
        let topic = "homeassistant/light/porch/config";
        witness.subscribe("homeassistant/#").await;
        witness.publish_retained(topic, porch.to_string()).await;
        witness.expect(topic, PATIENCE).await;
        let place = with_login(&broker, Some("secret"));
        let config = fs::read_to_string(place.config()).unwrap();
        fs::write(place.config(), config.replace(OFF, "")).unwrap();
        let daemon = Daemon::start(&place);
        daemon.says("connected to the broker", PATIENCE).await;
        succeeds(&place, &["say", "turn on the porch"]).await;
        let said = succeeds(&place, &["say", "turn on the kitchen light"]).await;
        assert!(said.starts_with("✓ done"), "{name}: {said}");
        let stats = succeeds(&place, &["cache", "stats"]).await;
        assert!(stats.contains("hits"), "{name}: {stats}");
        succeeds(&place, &["home"]).await;
        let report = succeeds(&place, &["doctor", "--no-models"]).await;
        assert!(report.ends_with(" 0 faults\n"), "{name}: {report}");
        assert!(
            report.contains("is running and answers"),
            "{name}: {report}"
        );
        let key = secret_file(place.path(), "kiosk-password", "secret");
        let kiosk = [
            "--source",
            "kiosk",
            "--username",
            "kiosk",
            "--password-file",
            &key,
        ];
        let command = [&["say", "turn off the kitchen light"], &kiosk[..]].concat();
        assert!(
            succeeds(&place, &command).await.starts_with("✓ done"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn an_operator_reads_the_cache_with_a_login_of_its_own() {
    let broker = with_access_list(&shipped_list()).await;
    let place = with_login(&broker, Some("secret"));
    let daemon = Daemon::start(&place);
    daemon.says("connected to the broker", PATIENCE).await;
    let key = secret_file(place.path(), "operator.key", "secret");
    let login = [
        "--source",
        "operator",
        "--username",
        "operator",
        "--password-file",
        &key,
    ];
    let stats = succeeds(&place, &[&["cache", "stats"], &login[..]].concat()).await;
    assert!(stats.contains("hits"), "{stats}");
}

#[tokio::test]
async fn a_login_that_may_not_send_commands_is_named_with_the_cure() {
    let broker = with_access_list("user sayso\ntopic read sayso/#\n").await;
    let place = with_login(&broker, Some("secret"));
    let output = run(&place, &["say", "turn on the kitchen light"], "").await;
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains(
            "accepts the login `sayso` but does not allow it to publish to `sayso/command/cli`"
        ) && error.contains("topic write sayso/command/cli"),
        "{error}"
    );
}

#[tokio::test]
async fn a_wrong_password_is_explained_as_by_the_doctor() {
    let broker = with_access_list("user sayso\ntopic readwrite #\n").await;
    let place = with_login(&broker, Some("wrong"));
    for arguments in [
        &["say", "lights on"][..],
        &["home"],
        &["cache", "stats"],
        &["watch"],
    ] {
        let output = run(&place, arguments, "").await;
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("rejects the password of `sayso`"), "{error}");
        assert!(error.contains("→ write the right password"), "{error}");
    }
}

#[tokio::test]
async fn watch_shows_commands_and_replies_with_reasons() {
    let stage = Scene::new().start().await;
    let watching = run(&stage.place, &["watch", "--count", "2"], "");
    let speaking = async {
        // The watcher has no other sign that it is subscribed.
        tokio::time::sleep(Duration::from_secs(1)).await;
        succeeds(&stage.place, &["say", "turn on the kitchen light"]).await;
        run(&stage.place, &["say", "zap"], "").await
    };
    let (output, _) = tokio::join!(watching, speaking);
    let shown = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{shown}{}",
        text(&output.stderr)
    );
    for part in [
        "cli → turn on the kitchen light\n",
        "cli ✓ done: ",
        "kitchen_light: set power on",
        "cli → zap\n",
        "cli ✗ refused: ",
        "[why ",
    ] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
}

#[tokio::test]
async fn watch_connects_again_when_the_broker_restarts_and_says_so() {
    let mut broker = with_access_list("user sayso\ntopic readwrite #\n").await;
    let place = with_login(&broker, Some("secret"));
    let watching = run(&place, &["watch", "--count", "1"], "");
    let restarting = async {
        // The watcher has no other sign that it is subscribed.
        tokio::time::sleep(Duration::from_secs(1)).await;
        broker.restart().await;
        let reply = json!({
            "id": "1", "text": "lamp on", "source": "cli", "outcome": "done", "speech": "Lamp: on.",
            "actions": [], "via": "local", "ms": 1.0
        });
        let mut client = crate::listener::Listener::connect_as(broker.port(), "sayso", "secret");
        // Repeated: the watcher connects when it notices.
        for _ in 0..12 {
            client
                .publish("sayso/reply/cli", reply.to_string().into_bytes())
                .await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let (output, ()) = tokio::join!(watching, restarting);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for part in ["is lost, trying again", "again. ", "cli ✓ done: Lamp: on."] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
}

#[tokio::test]
async fn chat_answers_every_line_until_the_input_ends() {
    let stage = Scene::new().start().await;
    let output = run(
        &stage.place,
        &["chat"],
        "turn on the kitchen light\n\nzap\n",
    )
    .await;
    let shown = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{shown}{}",
        text(&output.stderr)
    );
    assert!(
        shown.contains("✓ done: ") && shown.contains("✗ refused: "),
        "{shown}"
    );
}

#[tokio::test]
async fn init_writes_both_files_and_does_one_command() {
    let broker = with_access_list("user sayso\ntopic readwrite #\n").await;
    let folder = tempfile::tempdir().unwrap();
    let announcement =
        r#"{"name": "Desk lamp", "command_topic": "desk/set", "state_topic": "desk"}"#;
    let mut witness = crate::listener::Listener::connect_as(broker.port(), "witness", "secret");
    witness
        .publish_retained("homeassistant/light/desk/config", announcement)
        .await;
    witness.subscribe("desk/set").await;
    // A wrong password first: the question is asked again. Then room, language, no model, and the
    // command.
    let port = broker.port();
    let answers = format!(
        "127.0.0.1\nmaybe\nn\n{port}\nsayso\nwrong\n127.0.0.1\nn\n{port}\nsayso\nsecret\ny\nStudy\nxx\nen\nnobody\nnone\nturn on the desk lamp\n"
    );
    let mut child = Command::new(crate::PROGRAM)
        .args(["init", "--folder"])
        .arg(folder.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(answers.as_bytes())
        .await
        .unwrap();
    let output = tokio::time::timeout(Duration::from_mins(2), child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let shown = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{shown}{}",
        text(&output.stderr)
    );
    for refused in ["rejects the password", "✗ `maybe`", "✗ `xx`", "✗ `nobody`"] {
        assert!(shown.contains(refused), "{refused}: {shown}");
    }
    assert!(!folder.path().join("sayso.toml.unfinished").exists());
    assert!(shown.contains("✓ done: "), "{shown}");
    assert_eq!(witness.expect("desk/set", PATIENCE).await.text(), "ON");
    let config = fs::read_to_string(folder.path().join("sayso.toml")).unwrap();
    assert!(!config.contains("secret"), "{config}");
    let home = fs::read_to_string(folder.path().join("home.toml")).unwrap();
    assert!(
        home.contains("area = \"study\"") && home.contains("[area.study]"),
        "{home}"
    );
    let password = folder.path().join("credentials/mqtt-password");
    assert_eq!(
        password.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    let checked = run_with_config(&folder.path().join("sayso.toml"), &["check"], "").await;
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
}

#[tokio::test]
async fn a_support_bundle_has_no_secrets() {
    let broker = with_access_list("user sayso\ntopic readwrite #\n").await;
    let place = with_login(&broker, Some("correct-horse-battery"));
    let archive = place.path().join("bundle.tar");
    let written = succeeds(&place, &["bundle", "--output", archive.to_str().unwrap()]).await;
    assert!(written.contains("1 secret removed"), "{written}");
    assert_eq!(
        archive.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    let bytes = fs::read(&archive).unwrap();
    let content = String::from_utf8_lossy(&bytes);
    for part in [
        "sayso-bundle/sayso.toml",
        "sayso-bundle/doctor.json",
        "rejects the password",
    ] {
        assert!(content.contains(part), "{part} is not in the bundle");
    }
    assert!(!content.contains("correct-horse-battery"));
}

#[tokio::test]
async fn a_support_bundle_of_a_faulty_config_has_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    secret_file(path, "cloud.key", "FILE_SECRET_1");
    secret_file(path, "mqtt.key", "FILE_SECRET_2");
    secret_file(path, "redis.key", "FILE_SECRET_3");
    let config = path.join("sayso.toml");
    let text = r#"
[mqtt]
host = "mqtt://u:URL_SECRET_1@127.0.0.1"
port = 1
password = "INLINE_SECRET_1"
password_file = "mqtt.key"
client_id = "FILE_SECRET_1"
[redis]
url = "redis://u:URL_SECRET_2@localhost"
password = 'INLINE_SECRET_2'
key_file = "redis.key"
site = "FILE_SECRET_3 FILE_SECRET_2"
[[provider]]
name = "cloud"
model = "INLINE_SECRET_1"
base_url = "http://user:URL_SECRET_3@127.0.0.1:9/v1?key=URL_SECRET_4"
key_file = "cloud.key"
api_key = "INLINE_SECRET_3"
headers = { authorization = "Bearer INLINE_SECRET_4", x-other = "INLINE_SECRET_5" }
[[provider]]
name = "other"
model = "m"
base_url = "user:URL_SECRET_5@host/v1?key=URL_SECRET_6"
key_file = "sk-INLINE_SECRET_6"
"#;
    for (name, faulty) in [("faults", ""), ("syntax", "\nname = \"\n")] {
        fs::write(&config, text.to_owned() + faulty).unwrap();
        let archive = path.join(format!("{name}.tar"));
        let arguments = ["bundle", "--output", archive.to_str().unwrap()];
        let output = run_with_config(&config, &arguments, "").await;
        let printed = text_of(&output);
        assert_eq!(output.status.code(), Some(0), "{printed}");
        let bytes = fs::read(&archive).unwrap();
        let content = String::from_utf8_lossy(&bytes);
        let left = content.lines().find(|line| line.contains("_SECRET_"));
        assert_eq!(left, None, "{name}");
        assert!(content.contains("127.0.0.1:9/v1"), "{content}");
        // One of them also with the word before it in its header.
        assert!(printed.contains("with 16 secrets removed"), "{printed}");
        let checked = text_of(&run_with_config(&config, &["check"], "").await);
        assert!(!checked.contains("URL_SECRET"), "{checked}");
    }
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

#[tokio::test]
async fn no_folder_or_device_is_to_get_other_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sayso.toml");
    fs::write(&config, "home = \"/tmp\"\n").unwrap();
    for path in [config.as_path(), Path::new("/tmp"), Path::new("/dev/null")] {
        let output = run_with_config(path, &["check"], "").await;
        let said = text_of(&output);
        assert_eq!(output.status.code(), Some(78), "{said}");
        let expected = if path.starts_with("/dev") {
            "not a regular file"
        } else {
            "it is a folder"
        };
        assert!(said.contains(expected) && !said.contains("chmod"), "{said}");
    }
}

#[tokio::test]
async fn a_tool_names_the_cause_for_which_nothing_was_done() {
    let mut stage = Scene::new().start().await;
    let long = "x".repeat(5000);
    for (arguments, code, cause) in [
        (
            &["chat", "--host", "127.0.0.1", "--port", "1"][..],
            75,
            "port",
        ),
        (
            &["timers", "add", "turn on the kitchen light"],
            1,
            "no time at which it begins",
        ),
        (&["cache", "show", &long], 1, "reads at most 4096"),
        (
            &["takeover", "c", "--timeout", "1s"],
            75,
            "no `[pair]` table",
        ),
        (&["home", "kitchen", "desk lamp"], 1, "called `desk lamp`"),
    ] {
        let output = run(&stage.place, arguments, "turn on the kitchen light\n").await;
        let said = text_of(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(cause), "{arguments:?}: {said}");
        assert!(!said.contains("Connected to"), "{arguments:?}: {said}");
    }
    assert!(stage.actions().await.is_empty());
    let set = [
        "timers",
        "add",
        "turn on the kitchen light in twenty minutes",
    ];
    assert!(succeeds(&stage.place, &set).await.starts_with("✓ done"));
}

#[tokio::test]
async fn a_flood_of_requests_is_a_line_with_its_cause_and_malformed_commands_have_their_fields() {
    let mut stage = Scene::new().start().await;
    let request = "x".repeat(5000);
    for _ in 0..500 {
        stage
            .listener
            .publish("sayso/control/x", request.clone())
            .await;
    }
    stage
        .listener
        .publish("sayso/command/hall", r#"{"text":"a","id":"m1","no":1}"#)
        .await;
    stage.daemon.says("malformed", PATIENCE).await;
    let log = stage.daemon.log();
    assert_eq!(
        log.matches("dropped an operator's request").count(),
        1,
        "{log}"
    );
    assert!(log.contains("it has more than 4096 bytes"), "{log}");
    let malformed = log.lines().find(|line| line.contains("malformed")).unwrap();
    assert!(
        malformed.contains("m1") && malformed.contains("hall") && malformed.contains("source"),
        "{malformed}"
    );
}

#[tokio::test]
async fn a_log_that_nobody_reads_does_not_stop_the_daemon() {
    let stage = Scene::new()
        .with("[log]\nfilter = \"trace\"\n[limits]\nburst = 1000")
        .start()
        .await;
    drop(stage.daemon);
    let mut child = Command::new(crate::PROGRAM)
        .args(["run", "--config"])
        .arg(stage.place.config())
        .env_clear()
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // A pipe holds 64 KiB; every command writes several lines at this level.
    let _unread = child.stderr.take().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for n in 0..100 {
        let command = if n % 2 == 0 {
            "turn on the kitchen light"
        } else {
            "turn off the kitchen light"
        };
        succeeds(&stage.place, &["say", command]).await;
    }
}
