//! Answers in pieces over real HTTP: they come as they are said, and a stream that breaks is no answer.

use std::time::Duration;

use crate::failover::provider;
use sayso::home::Home;
use sayso::interpret::compose::Composer;
use sayso::provider::http::{Endpoint, Trust};
use sayso::provider::{Completion, Prompt, ProviderError, Settings, Timeouts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinSet;
use tokio::time::Instant;

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

const STOP: Does = Does::Sends("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");

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
    let timeouts = Timeouts { connect: ms(500), first_byte: ms(800), between_bytes: ms(400), total: ms(5000) };
    Settings { timeouts, ..provider("scripted", url) }
}

fn prompt() -> Prompt {
    Composer::default().compose(&sayso::command::phrase::Phrase::new("tell me a story", None, None), &Home::empty("sayso"), "panel")
}

async fn asked(head: &'static str, script: &'static [Does]) -> Asked {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::new(&settings(format!("http://{}/v1", listener.local_addr().unwrap())), Trust::default()).unwrap();
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
    answer.spawn(async move { endpoint.call_streaming(&prompt(), Duration::from_secs(5), sender).await });
    Asked { pieces, go_on, answer, _server: server }
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
    let mut asked = asked(EVENT_STREAM, &[Does::Says("once "), Does::Waits, Does::Says("upon"), STOP, Does::Ends]).await;
    assert_eq!(asked.pieces.recv().await.unwrap(), "once ");
    asked.go_on.send(()).await.unwrap();
    let (answer, rest) = asked.whole().await;
    assert_eq!((answer.unwrap().body.as_str(), rest), ("once upon", vec!["upon".to_owned()]));
}

#[tokio::test]
async fn a_connection_that_ends_early_is_no_answer() {
    let (answer, pieces) = asked(EVENT_STREAM, &[Does::Says("once"), Does::Ends]).await.whole().await;
    assert!(matches!(answer, Err(ProviderError::Malformed { .. })), "{answer:?}");
    assert_eq!(pieces, ["once"]);
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_answer() {
    let (answer, _) = asked(EVENT_STREAM, &[Does::Says("once")]).await.whole().await;
    assert!(matches!(answer, Err(ProviderError::Unreachable { .. })), "{answer:?}");
}

#[tokio::test]
async fn silence_between_pieces_has_an_end() {
    let begun = Instant::now();
    let (answer, _) = asked(EVENT_STREAM, &[Does::Says("once"), Does::Hangs]).await.whole().await;
    assert_eq!(answer, Err(ProviderError::Unreachable { why: "no answer within 0.4 s".to_owned() }));
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn an_answer_is_whole_once_its_end_was_marked_though_the_connection_hangs() {
    let (answer, _) = asked(EVENT_STREAM, &[Does::Says("all"), STOP, Does::Hangs]).await.whole().await;
    assert_eq!(answer.unwrap().body, "all");
}

#[tokio::test]
async fn an_error_in_a_stream_ends_it_at_once() {
    const ERROR: Does = Does::Sends("data: {\"error\":{\"message\":\"slow down\",\"code\":429}}\n\n");
    let (answer, _) = asked(EVENT_STREAM, &[Does::Says("once"), ERROR, Does::Hangs]).await.whole().await;
    assert_eq!(answer, Err(ProviderError::Limited { retry_after: None }));
}

#[tokio::test]
async fn a_server_that_streams_nothing_gives_one_piece() {
    const ALL: Does = Does::Sends("{\"choices\":[{\"message\":{\"content\":\"all\"},\"finish_reason\":\"stop\"}]}");
    let (answer, pieces) = asked("content-type: application/json\r\n", &[ALL, Does::Ends]).await.whole().await;
    assert_eq!((answer.unwrap().body.as_str(), pieces), ("all", vec!["all".to_owned()]));
}

#[tokio::test]
async fn pieces_nobody_takes_do_not_hinder_the_answer() {
    let Asked { pieces, mut answer, _server, .. } = asked(EVENT_STREAM, &[Does::Says("a"), Does::Says("b"), STOP, Does::Ends]).await;
    drop(pieces);
    assert_eq!(answer.join_next().await.unwrap().unwrap().unwrap().body, "ab");
}
