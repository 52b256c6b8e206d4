//! Answers in pieces, over real HTTP and to a real broker: they come as they are said, and a stream
//! that breaks is no answer.

use std::time::Duration;

use crate::endpoint::{Endpoint, Script};
use crate::failover::provider;
use crate::listener::Message;
use crate::scene::{PATIENCE, Scene, Stage};
use sayso::testing::home::Home;
use sayso::testing::prompt::Composer;
use sayso::testing::provider::http::{Endpoint as Client, Trust};
use sayso::testing::provider::{APIS, Completion, Prompt, ProviderError, Settings, Timeouts};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinSet;

const EVENT_STREAM: &str = "content-type: text/event-stream\r\n";

/// What the server does, in order, once it was asked.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// Sends a part of a stream that adds this text.
    Says(&'static str),
    /// Sends these bytes.
    Sends(&'static str),
    /// Waits until the test lets it go on.
    Waits,
    /// Ends the body.
    Ends,
    /// Keeps the connection, and says no more.
    Hangs,
}

const STOP: Does = Does::Sends(
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
);

/// One question to a server, under way.
struct Asked {
    pieces: Receiver<String>,
    go_on: mpsc::Sender<()>,
    answer: JoinSet<Result<Completion, ProviderError>>,
    _server: JoinSet<()>,
}

/// A provider with more patience than others: these tests cut what it waits for.
fn settings(url: String) -> Settings {
    let ms = Duration::from_millis;
    let timeouts = Timeouts {
        connect: ms(500),
        first_byte: ms(800),
        between_bytes: ms(400),
        total: ms(5000),
    };
    Settings {
        timeouts,
        ..provider("scripted", url)
    }
}

fn prompt() -> Prompt {
    Composer::default().compose(
        &sayso::testing::command::phrase::Phrase::new("tell me a story", None, None),
        &Home::empty("sayso"),
        "panel",
    )
}

async fn asked(head: &'static str, script: &'static [Does]) -> Asked {
    asked_within(Duration::from_secs(5), head, script).await
}

async fn asked_within(within: Duration, head: &'static str, script: &'static [Does]) -> Asked {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Client::new(
        &settings(format!("http://{}/v1", listener.local_addr().unwrap())),
        Trust::default(),
    )
    .unwrap();
    let (go_on, mut may_go_on) = mpsc::channel(1);
    let mut server = JoinSet::new();
    server.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.windows(13).any(|bytes| bytes == b"\"stream\":true") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "a stream is asked for");
        }
        stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
        for does in script {
            let bytes = match does {
                Does::Says(text) => format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"),
                Does::Sends(bytes) => (*bytes).to_owned(),
                Does::Ends => String::new(),
                Does::Waits => {
                    may_go_on.recv().await.unwrap();
                    continue;
                }
                Does::Hangs => std::future::pending().await,
            };
            stream.write_all(format!("{:x}\r\n{bytes}\r\n", bytes.len()).as_bytes()).await.unwrap();
        }
    });
    let (sender, pieces) = mpsc::channel(4);
    let mut answer = JoinSet::new();
    answer.spawn(async move { endpoint.call_streaming(&prompt(), within, sender).await });
    Asked {
        pieces,
        go_on,
        answer,
        _server: server,
    }
}

impl Asked {
    async fn whole(mut self) -> (Result<Completion, ProviderError>, Vec<String>) {
        let mut pieces = Vec::new();
        while let Some(piece) = self.pieces.recv().await {
            pieces.push(piece);
        }
        (self.answer.join_next().await.unwrap().unwrap(), pieces)
    }
}

#[tokio::test]
async fn a_piece_is_there_before_the_next_is_said() {
    let mut asked = asked(
        EVENT_STREAM,
        &[
            Does::Says("once "),
            Does::Waits,
            Does::Says("upon"),
            STOP,
            Does::Ends,
        ],
    )
    .await;
    assert_eq!(asked.pieces.recv().await.unwrap(), "once ");
    asked.go_on.send(()).await.unwrap();
    let (answer, rest) = asked.whole().await;
    assert_eq!(
        (answer.unwrap().body.as_str(), rest),
        ("once upon", vec!["upon".to_owned()])
    );
}

#[tokio::test]
async fn a_connection_that_ends_early_is_no_answer() {
    let (answer, pieces) = asked(EVENT_STREAM, &[Does::Says("once"), Does::Ends])
        .await
        .whole()
        .await;
    assert!(
        matches!(answer, Err(ProviderError::Unreachable { .. })),
        "{answer:?}"
    );
    assert_eq!(pieces, ["once"]);
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_answer() {
    let (answer, _) = asked(EVENT_STREAM, &[Does::Says("once")])
        .await
        .whole()
        .await;
    assert!(
        matches!(answer, Err(ProviderError::Unreachable { .. })),
        "{answer:?}"
    );
}

/// The error of a request that was sent.
fn unreachable(why: &str) -> ProviderError {
    ProviderError::Unreachable {
        why: why.to_owned(),
        sent: true,
    }
}

#[tokio::test]
async fn silence_between_pieces_has_an_end() {
    let (answer, _) = asked(EVENT_STREAM, &[Does::Says("once"), Does::Hangs])
        .await
        .whole()
        .await;
    assert_eq!(answer, Err(unreachable("no answer within 0.4 s")));
}

#[tokio::test]
async fn the_error_names_the_time_that_was_left_to_the_command() {
    let within = Duration::from_millis(300);
    let script = &[Does::Says("once"), Does::Hangs];
    let (answer, _) = asked_within(within, EVENT_STREAM, script)
        .await
        .whole()
        .await;
    assert_eq!(answer, Err(ProviderError::CutOff { within }));
}

#[tokio::test]
async fn an_answer_is_whole_once_its_end_was_marked_though_the_connection_hangs() {
    let (answer, _) = asked(EVENT_STREAM, &[Does::Says("all"), STOP, Does::Hangs])
        .await
        .whole()
        .await;
    assert_eq!(answer.unwrap().body, "all");
}

#[tokio::test]
async fn an_error_in_a_stream_ends_it_at_once() {
    const ERROR: Does =
        Does::Sends("data: {\"error\":{\"message\":\"slow down\",\"code\":429}}\n\n");
    let (answer, _) = asked(EVENT_STREAM, &[Does::Says("once"), ERROR, Does::Hangs])
        .await
        .whole()
        .await;
    assert_eq!(answer, Err(ProviderError::Limited { retry_after: None }));
}

#[tokio::test]
async fn a_server_that_streams_nothing_gives_one_piece() {
    const ALL: Does = Does::Sends(
        "{\"choices\":[{\"message\":{\"content\":\"all\"},\"finish_reason\":\"stop\"}]}",
    );
    let (answer, pieces) = asked("content-type: application/json\r\n", &[ALL, Does::Ends])
        .await
        .whole()
        .await;
    assert_eq!(
        (answer.unwrap().body.as_str(), pieces),
        ("all", vec!["all".to_owned()])
    );
}

#[tokio::test]
async fn pieces_nobody_takes_do_not_hinder_the_answer() {
    let Asked {
        pieces,
        mut answer,
        _server,
        ..
    } = asked(
        EVENT_STREAM,
        &[Does::Says("a"), Does::Says("b"), STOP, Does::Ends],
    )
    .await;
    drop(pieces);
    assert_eq!(
        answer.join_next().await.unwrap().unwrap().unwrap().body,
        "ab"
    );
}

/// The pieces heard for a command, as `answer.n` with their text and marks.
async fn pieces_of(stage: &mut Stage, id: &str) -> Vec<(u64, u64, String, bool, bool)> {
    let heard = stage.listener.heard().await;
    let pieces = heard
        .iter()
        .filter(|message| message.topic == "sayso/reply/test/stream")
        .map(Message::json)
        .filter(|piece| piece["id"] == id);
    let number = |piece: &Json, key: &str| piece[key].as_u64().unwrap();
    pieces
        .map(|p| {
            (
                number(&p, "answer"),
                number(&p, "n"),
                p["text"].as_str().unwrap().to_owned(),
                p["last"] == true,
                p["cut"] == true,
            )
        })
        .collect()
}

const STORY: &str =
    "Once upon a time there was a lamp that would not go out, and nobody in the house knew why.";

#[tokio::test]
async fn a_long_answer_goes_out_piece_by_piece_before_the_reply() {
    let model = Endpoint::start([Script::tells(STORY).slowly(Duration::from_millis(15))]).await;
    let mut stage = Scene::new().endpoint(&model).start().await;
    let id = stage.send("Please explain the lamp").await;
    let first = stage
        .listener
        .expect("sayso/reply/test/stream", PATIENCE)
        .await
        .json();
    assert_eq!(
        (&first["id"], &first["answer"], &first["n"], &first["last"]),
        (&json!(id), &json!(1), &json!(1), &json!(false))
    );
    assert_eq!(
        stage.listener.count("sayso/reply/test").await,
        0,
        "the reply comes after the pieces"
    );
    let reply = stage.reply_to(&id).await;
    assert_eq!(
        (&reply["outcome"], &reply["speech"]),
        (&json!("answered"), &json!(STORY)),
        "{reply}"
    );
    let pieces = pieces_of(&mut stage, &id).await;
    assert!(pieces.len() > 4, "{pieces:?}");
    assert_eq!(
        pieces
            .iter()
            .map(|piece| piece.2.as_str())
            .collect::<String>(),
        STORY
    );
    assert!(
        pieces
            .iter()
            .zip(1..)
            .all(|(piece, n)| (piece.0, piece.1, piece.4) == (1, n, false)),
        "{pieces:?}"
    );
    assert_eq!(
        pieces.iter().position(|piece| piece.3),
        Some(pieces.len() - 1),
        "the last one is marked, and no other"
    );
    assert_eq!(model.bodies()[0]["stream"], true);
}

#[tokio::test]
async fn who_breaks_off_is_said_to_have_and_the_next_begins_anew() {
    let dies = Endpoint::start([Script::tells(
        "This will never be told to its end, for the server dies half-way.",
    )
    .cut()])
    .await;
    let tells = Endpoint::start([Script::tells(STORY)]).await;
    let mut stage = Scene::new()
        .with("[ask]\nattempts = 1")
        .endpoint(&dies)
        .endpoint(&tells)
        .start()
        .await;
    let id = stage.send("explain the lamp").await;
    let reply = stage.reply_to(&id).await;
    assert_eq!(
        (&reply["via"], &reply["speech"]),
        (&json!("model2"), &json!(STORY)),
        "{reply}"
    );
    let pieces = pieces_of(&mut stage, &id).await;
    let (one, two): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|piece| piece.0 == 1);
    let text = |pieces: &[(u64, u64, String, bool, bool)]| {
        pieces
            .iter()
            .map(|piece| piece.2.clone())
            .collect::<String>()
    };
    assert!(
        text(&one).starts_with("This will")
            && one.last().unwrap().4
            && !one.iter().any(|piece| piece.3),
        "{one:?}"
    );
    assert_eq!(text(&two), STORY);
    assert!(
        two.iter().all(|piece| piece.0 == 2 && !piece.4) && two.last().unwrap().3 && two[0].1 == 1,
        "{two:?}"
    );
}

#[tokio::test]
async fn pieces_without_an_answer_end_with_a_word_of_it() {
    let dies = Endpoint::start([Script::tells(STORY).cut()]).await;
    let mut stage = Scene::new()
        .with("[ask]\nattempts = 1")
        .endpoint(&dies)
        .start()
        .await;
    let id = stage.send("explain the lamp").await;
    assert_eq!(stage.reply_to(&id).await["outcome"], "failed");
    let pieces = pieces_of(&mut stage, &id).await;
    let last = pieces.last().unwrap();
    assert!(last.3 && last.4 && last.2.is_empty(), "{pieces:?}");
}

#[tokio::test]
async fn nothing_is_done_from_pieces_and_deeds_are_not_told_before_they_are_done() {
    let on = json!({"device": "kitchen_light", "property": "power", "op": "set", "value": "on"});
    let whole = json!({"actions": [on], "question": null, "speech": "I will turn it on, and here is a long story about it."}).to_string();
    let model = Endpoint::start([Script::says(&whole).cut(), Script::says(&whole)]).await;
    let mut stage = Scene::new()
        .with("[ask]\nattempts = 1")
        .endpoint(&model)
        .start()
        .await;
    let id = stage.send("explain light and be enlightened").await;
    assert_eq!(stage.reply_to(&id).await["outcome"], "failed");
    assert!(
        stage.actions().await.is_empty(),
        "half an answer does nothing"
    );
    let id = stage.send("explain light and be enlightened").await;
    assert_eq!(stage.reply_to(&id).await["outcome"], "done");
    assert_eq!(
        stage.actions().await,
        [(
            "zigbee2mqtt/Kitchen light/set".to_owned(),
            r#"{"state":"ON"}"#.to_owned()
        )]
    );
    assert!(pieces_of(&mut stage, &id).await.is_empty());
}

#[tokio::test]
async fn a_command_or_the_config_says_whether_it_comes_in_pieces() {
    for (mode, stream, wanted) in [
        ("auto", json!(true), 1),
        ("auto", Json::Null, 0),
        ("always", Json::Null, 1),
        ("always", json!(false), 0),
        ("never", json!(true), 0),
    ] {
        let model = Endpoint::start([Script::tells("A lamp.")]).await;
        let mut stage = Scene::new()
            .with(&format!("[ask]\nstream = \"{mode}\""))
            .endpoint(&model)
            .start()
            .await;
        let mut command = json!({"text": "what is a lamp made of?", "id": "c1"});
        if !stream.is_null() {
            command["stream"] = stream;
        }
        stage
            .listener
            .publish("sayso/command/test", command.to_string())
            .await;
        let reply = stage.reply_to("c1").await;
        assert_eq!(reply["speech"], "A lamp.", "{reply}");
        let pieces = pieces_of(&mut stage, "c1").await;
        assert_eq!(
            pieces.iter().filter(|piece| piece.3).count(),
            wanted,
            "{mode}: {pieces:?}"
        );
        // What is kept from before comes in one piece, with the same marks.
        command["id"] = json!("c2");
        stage
            .listener
            .publish("sayso/command/test", command.to_string())
            .await;
        assert_eq!(stage.reply_to("c2").await["via"], "cache");
        let whole = if wanted == 1 {
            vec![(1, 1, "A lamp.".to_owned(), true, false)]
        } else {
            Vec::new()
        };
        assert_eq!(pieces_of(&mut stage, "c2").await, whole, "{mode}");
    }
}

#[tokio::test]
async fn a_key_said_back_in_parts_reaches_nobody() {
    const KEY: &str = "sk-test-0123456789";
    let story = format!("It is {KEY}, once more {KEY}, and this is where the story ends.");
    let model = Endpoint::start([Script::tells(&story).slowly(Duration::from_millis(5))]).await;
    let mut stage = Scene::new().endpoint(&model).start().await;
    let id = stage.send("explain your key").await;
    let reply = stage.reply_to(&id).await;
    assert_eq!(reply["speech"], story.replace(KEY, "(key)"), "{reply}");
    let pieces = pieces_of(&mut stage, &id).await;
    assert!(
        pieces.len() > 3 && pieces.iter().all(|piece| piece.0 == 1 && !piece.4),
        "{pieces:?}"
    );
    assert_eq!(
        pieces
            .iter()
            .map(|piece| piece.2.as_str())
            .collect::<String>(),
        story.replace(KEY, "(key)")
    );
    // In an error, cut between two packets.
    let mut asked = asked(
        EVENT_STREAM,
        &[
            Does::Sends("data: {\"error\":{\"message\":\"the key sk-scri"),
            Does::Waits,
            Does::Sends("pted is bad\"}}\n\n"),
            Does::Ends,
        ],
    )
    .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    asked.go_on.send(()).await.unwrap();
    let error = asked
        .answer
        .join_next()
        .await
        .unwrap()
        .unwrap()
        .unwrap_err()
        .to_string();
    assert!(
        !error.contains("sk-scripted") && error.contains("(key)"),
        "{error}"
    );
}

#[tokio::test]
async fn all_four_apis_stream_the_same() {
    for (name, api) in APIS.map(|spec| (spec.name, spec)) {
        let model = Endpoint::start([Script::tells(STORY)]).await;
        let settings = Settings {
            api,
            ..settings(model.url_of(api))
        };
        let endpoint = Client::new(&settings, Trust::default()).unwrap();
        let (sender, mut pieces) = mpsc::channel(64);
        let answer = endpoint
            .call_streaming(&prompt(), Duration::from_secs(5), sender)
            .await
            .unwrap();
        pieces.close();
        let mut told = String::new();
        while let Some(piece) = pieces.recv().await {
            told.push_str(&piece);
        }
        assert_eq!(
            (told, answer.usage.input, answer.usage.output),
            (answer.body.clone(), 100, 20),
            "{name}"
        );
        assert!(answer.body.contains("Once upon"), "{name}");
    }
}
