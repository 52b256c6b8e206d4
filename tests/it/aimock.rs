//! The four APIs against servers we did not write: aimock (npm, `@copilotkit/aimock`) speaks each
//! dialect, streaming and not. `tests/npm` installs it and says where in `SAYSO_AIMOCK`; without
//! that these tests are skipped, and say so.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use sayso::testing::prompt::answer::read;
use sayso::testing::provider::http::{Endpoint, Trust};
use sayso::testing::provider::stream::AnswerPiece;
use sayso::testing::provider::{ApiSpec, Settings, anthropic, gemini, ollama, openai};
use sayso::testing::secret::Secret;
use sayso::testing::vocabulary::action::Draft;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::daemon::Place;
use crate::failover;
use crate::listener::Message;
use crate::scene::{PATIENCE, Scene};

const KEY: &str = "sk-test-0123456789";
const COSY: &str = "make the kitchen cosy";
const EXPLAIN: &str = "explain how a heat pump works";
const EXPLAINED: &str = "It is a refrigerator turned around: it takes \"cold\" heat from the air outside, squeezes it until it is hot, and gives it to the house.";

/// Each API, what the config calls it, and where aimock has it. Its Gemini knows only the beta
/// version, whose requests and answers are those of v1.
const APIS: [(&ApiSpec, &str, &str); 4] = [
    (&openai::SPEC, "openai", "/v1"),
    (&anthropic::SPEC, "anthropic", "/v1"),
    (&gemini::SPEC, "gemini", "/v1beta"),
    (&ollama::SPEC, "ollama", ""),
];

/// A running aimock. It takes one key, and knows what is said to a command that no grammar reads,
/// and to a probe.
struct Aimock {
    url: String,
    _child: Child,
    /// Read no further: what it prints of four requests fits the pipe.
    _printed: Lines<BufReader<ChildStdout>>,
    _folder: TempDir,
}

#[expect(
    clippy::disallowed_methods,
    reason = "where the test run has installed it is for the test run to say"
)]
fn installed() -> Option<(OsString, OsString)> {
    let node = std::env::var("SAYSO_NODE").unwrap_or_else(|_| "node".to_owned());
    let script = std::env::var("SAYSO_AIMOCK").ok()?;
    Some((node.into(), script.into()))
}

impl Aimock {
    /// `None` where it is not installed. Where it is said to be and is not, the test fails.
    async fn start() -> Option<Self> {
        let Some((node, script)) = installed() else {
            println!(
                "skipped: no independent server to ask; `. tests/npm` installs aimock and sets SAYSO_AIMOCK"
            );
            return None;
        };
        let turns_on = |device| json!({"actions": [{"device": device, "op": "set", "property": "power", "value": "on"}], "question": null, "speech": null});
        let says = |phrase, device| json!({"match": {"userMessage": phrase}, "response": {"content": turns_on(device).to_string()}});
        let explains = json!({"actions": [], "question": null, "speech": EXPLAINED}).to_string();
        let explained =
            json!({"match": {"userMessage": EXPLAIN}, "response": {"content": explains}});
        let fixtures = json!({"fixtures": [says(COSY, "kitchen_light"), says("turn on the lamp", "lamp"), explained]});
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fixtures.json");
        std::fs::write(&path, fixtures.to_string()).unwrap();
        let mut child = Command::new(node)
            .arg(script)
            .args(["--port", "0", "--strict", "--fixtures"])
            .arg(path)
            .env("AIMOCK_API_KEYS", KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = timeout(PATIENCE, async {
            while let Some(line) = printed.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once("listening on ") {
                    return address.trim().to_owned();
                }
            }
            panic!("aimock ended before it listened");
        });
        Some(Self {
            url: url.await.expect("aimock listens"),
            _child: child,
            _printed: printed,
            _folder: folder,
        })
    }

    fn table(&self, name: &str, path: &str) -> String {
        let url = format!("{}{path}", self.url);
        format!(
            "[[provider]]\nname = \"{name}\"\napi = \"{name}\"\nbase_url = \"{url}\"\nmodel = \"gpt-6-luna\"\nkey_file = \"key\"\n"
        )
    }

    fn settings(&self, api: &'static ApiSpec, name: &str, path: &str) -> Settings {
        let long = Duration::from_secs(10);
        let timeouts = sayso::testing::provider::Timeouts {
            connect: long,
            first_byte: long,
            between_bytes: long,
            total: long,
        };
        Settings {
            api,
            key: Secret::new(KEY),
            timeouts,
            ..failover::provider(name, format!("{}{path}", self.url))
        }
    }
}

#[tokio::test]
async fn one_sentence_is_the_same_action_whichever_api_is_asked() {
    let Some(aimock) = Aimock::start().await else {
        return;
    };
    let mut done = Vec::new();
    for (_, name, path) in APIS {
        let mut stage = Scene::new()
            .provider(&aimock.table(name, path))
            .start()
            .await;
        let reply = stage.say(COSY).await;
        assert_eq!(
            (&reply["outcome"], &reply["via"]),
            (&json!("done"), &json!(name)),
            "{reply}"
        );
        done.push((reply["actions"].clone(), stage.actions().await));
        println!("{name:<10} {COSY:?} {:?}", done[done.len() - 1].1);
    }
    let lamp: Json =
        json!([{"device": "kitchen_light", "property": "power", "op": "set", "value": "on"}]);
    for (index, (actions, heard)) in done.iter().enumerate() {
        assert_eq!(*actions, lamp, "{}", APIS[index].1);
        assert_eq!(heard, &done[0].1, "{}", APIS[index].1);
        assert_eq!(
            (heard.len(), heard[0].0.as_str()),
            (1, "zigbee2mqtt/Kitchen light/set")
        );
    }
}

#[tokio::test]
async fn in_pieces_it_is_the_same_answer_as_in_one() {
    let Some(aimock) = Aimock::start().await else {
        return;
    };
    let prompt = sayso::testing::provider::Prompt {
        phrase: format!("command: {COSY}"),
        ..failover::prompt()
    };
    let mut drafts: Vec<Draft> = Vec::new();
    for (api, name, path) in APIS {
        let endpoint = Endpoint::new(&aimock.settings(api, name, path), Trust::default()).unwrap();
        let whole = endpoint
            .call(&prompt, PATIENCE)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let (pieces, mut heard) = mpsc::channel::<AnswerPiece>(64);
        let listens = async {
            let mut all = Vec::new();
            while let Some(piece) = heard.recv().await {
                all.push(piece);
            }
            all
        };
        let (streamed, pieces) =
            tokio::join!(endpoint.call_streaming(&prompt, PATIENCE, pieces), listens);
        let streamed = streamed.unwrap_or_else(|error| panic!("{name}, streaming: {error}"));
        assert!(
            pieces.iter().filter(|piece| !piece.is_empty()).count() > 1,
            "{name}: {pieces:?}"
        );
        assert_eq!(pieces.concat(), streamed.body, "{name}");
        assert_eq!(streamed.body, whole.body, "{name}");
        println!(
            "{name:<10} batch and in {} pieces: {}",
            pieces.len(),
            streamed.body
        );
        drafts.push(read(&streamed.body).unwrap());
    }
    assert!(
        drafts
            .iter()
            .all(|draft| *draft == drafts[0] && draft.actions[0].device == "kitchen_light"),
        "{drafts:?}"
    );
}

#[tokio::test]
async fn a_long_answer_comes_in_pieces_whichever_api_is_asked() {
    let Some(aimock) = Aimock::start().await else {
        return;
    };
    for (_, name, path) in APIS {
        let mut stage = Scene::new()
            .provider(&aimock.table(name, path))
            .start()
            .await;
        let reply = stage.say(EXPLAIN).await;
        assert_eq!(
            (&reply["outcome"], &reply["via"], &reply["speech"]),
            (&json!("answered"), &json!(name), &json!(EXPLAINED)),
            "{reply}"
        );
        let heard = stage.listener.heard().await;
        let pieces: Vec<Json> = heard
            .iter()
            .filter(|m| m.topic == "sayso/reply/test/stream")
            .map(Message::json)
            .collect();
        let text: String = pieces
            .iter()
            .filter_map(|piece| piece["text"].as_str())
            .collect();
        assert_eq!(text, EXPLAINED, "{name}");
        assert!(
            pieces.len() > 2 && pieces[pieces.len() - 1]["last"] == true,
            "{name}: {pieces:?}"
        );
        println!("{name:<10} {EXPLAIN:?} in {} pieces", pieces.len());
    }
}

#[tokio::test]
async fn a_key_of_each_api_is_accepted_and_a_wrong_one_refused() {
    let Some(aimock) = Aimock::start().await else {
        return;
    };
    let tables: String = APIS
        .iter()
        .map(|(_, name, path)| aimock.table(name, path))
        .collect();
    for (key, words) in [
        (KEY, "✓ key accepted"),
        ("sk-wrong", "✗ the key was refused: correct its key file"),
    ] {
        let place = Place::new(&tables, "");
        std::fs::write(place.path().join("key"), key).unwrap();
        let mut command = Command::from(place.sayso());
        command.args(["providers", "--config"]).arg(place.config());
        let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.matches(words).count(), 4, "{text}");
        assert_eq!(output.status.success(), key == KEY);
    }
}
