//! A scripted language model on loopback: HTTP/1.1 by hand, so that it can misbehave in every way a
//! real one does. It answers in the API it is asked in, and in pieces where it is asked for pieces.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sayso::testing::provider::ApiSpec;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::dialect::{self, Dialect};

/// What the endpoint does with one request.
#[must_use]
#[derive(Debug, Clone)]
pub(crate) struct Script {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
    before: Duration,
    ending: Ending,
}

#[derive(Debug, Clone)]
enum Body {
    Bytes(Vec<u8>),
    /// An answer of this text.
    Text(String),
    Refusal,
    /// An error of this code.
    Fault(String),
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Whole,
    /// Nothing is said at all.
    HangBeforeHeaders,
    /// Half of the body, then nothing.
    HangInBody,
    /// Half of the body, then the connection ends as if that were all.
    Truncate,
    /// A pause before each piece.
    Slowly(Duration),
    /// The connection is reset.
    Reset,
    /// A byte of the body at a time, with a pause before each.
    Drip(Duration),
    /// A body without end.
    Endless,
}

impl Script {
    /// A status with a body.
    pub(crate) fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Bytes(body.into()),
            before: Duration::ZERO,
            ending: Ending::Whole,
        }
    }

    /// An answer whose text is `content`.
    pub(crate) fn says(content: &str) -> Self {
        Self {
            body: Body::Text(content.to_owned()),
            ..Self::status(200, "")
        }
    }

    /// An answer in words.
    pub(crate) fn tells(speech: &str) -> Self {
        Self::says(&json!({"actions": [], "question": null, "speech": speech}).to_string())
    }

    /// The model will not answer.
    pub(crate) fn refuses() -> Self {
        Self {
            body: Body::Refusal,
            ..Self::status(200, "")
        }
    }

    /// An error with a body in the API's form.
    pub(crate) fn fault(status: u16, code: &str) -> Self {
        Self {
            body: Body::Fault(code.to_owned()),
            ..Self::status(status, "")
        }
    }

    /// Pauses before each piece.
    pub(crate) fn slowly(self, pause: Duration) -> Self {
        Self {
            ending: Ending::Slowly(pause),
            ..self
        }
    }

    /// Half of it, then the end as if that were all.
    pub(crate) fn cut(self) -> Self {
        Self {
            ending: Ending::Truncate,
            ..self
        }
    }

    /// Half of it, then nothing.
    pub(crate) fn stalls(self) -> Self {
        Self {
            ending: Ending::HangInBody,
            ..self
        }
    }

    /// An answer that turns one device on.
    pub(crate) fn turns_on(device: &str) -> Self {
        let action = json!({"device": device, "op": "set", "property": "power", "value": "on"});
        Self::says(&json!({"actions": [action], "question": null, "speech": null}).to_string())
    }

    /// A chat completion with this message.
    pub(crate) fn completion(message: &Json, finish_reason: &str) -> Self {
        let usage = json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120});
        let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}], "usage": usage});
        Self::status(200, body.to_string())
    }

    /// An error with a body in the API's form.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::status(
            status,
            json!({"error": {"message": "as scripted", "type": "as_scripted", "code": code}})
                .to_string(),
        )
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Waits before it says anything.
    pub(crate) fn after(self, before: Duration) -> Self {
        Self { before, ..self }
    }

    pub(crate) fn hang_before_headers() -> Self {
        Self {
            ending: Ending::HangBeforeHeaders,
            ..Self::says("")
        }
    }

    pub(crate) fn hang_in_body() -> Self {
        Self::turns_on("lamp").stalls()
    }

    pub(crate) fn truncate() -> Self {
        Self::turns_on("lamp").cut()
    }

    pub(crate) fn reset() -> Self {
        Self {
            ending: Ending::Reset,
            ..Self::says("")
        }
    }

    pub(crate) fn drip(self, pause: Duration) -> Self {
        Self {
            ending: Ending::Drip(pause),
            ..self
        }
    }

    pub(crate) fn endless() -> Self {
        Self {
            ending: Ending::Endless,
            ..Self::says("")
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    bodies: Vec<String>,
    heads: Vec<String>,
    now: usize,
    most_at_once: usize,
    sent: usize,
}

/// A running endpoint. It ends when dropped.
#[derive(Debug)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _task: JoinSet<()>,
}

impl Endpoint {
    /// Answers each request by the next script, and by the last one from then on.
    pub(crate) async fn start(scripts: impl Into<Vec<Script>>) -> Self {
        let scripts = scripts.into();
        assert!(!scripts.is_empty());
        Self::answering(move |n, _| scripts[n.min(scripts.len() - 1)].clone()).await
    }

    /// Answers each request by its number, from 0, and its body.
    pub(crate) async fn answering(
        answer: impl Fn(usize, &str) -> Script + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let mut task = JoinSet::new();
        task.spawn(serve(listener, Arc::new(answer), Arc::clone(&seen)));
        Self {
            address,
            seen,
            _task: task,
        }
    }

    /// The base URL of its API.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The base URL of the API `api` here.
    pub(crate) fn url_of(&self, api: &ApiSpec) -> String {
        format!("http://{}{}", self.address, dialect::root(api))
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().bodies.len()
    }

    /// The bodies of the requests, in order.
    pub(crate) fn bodies(&self) -> Vec<Json> {
        self.seen
            .lock()
            .unwrap()
            .bodies
            .iter()
            .map(|body| serde_json::from_str(body).unwrap())
            .collect()
    }

    /// The request lines and headers, in order.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().heads.clone()
    }

    /// The most requests that were on their way at the same time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.seen.lock().unwrap().most_at_once
    }

    /// How many bytes of bodies it could send.
    pub(crate) fn sent(&self) -> usize {
        self.seen.lock().unwrap().sent
    }
}

/// What is said to a request, by its number and body.
type Answer = Arc<dyn Fn(usize, &str) -> Script + Send + Sync>;

async fn serve(listener: TcpListener, answer: Answer, seen: Arc<Mutex<Seen>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // With Nagle's algorithm on, what is measured is the algorithm.
        stream.set_nodelay(true).unwrap();
        while connections.try_join_next().is_some() {}
        let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
        connections.spawn(async move {
            let mut stream = stream;
            while let Some((head, body)) = request(&mut stream).await {
                let dialect = Dialect::of(&head, &body);
                let script = {
                    let mut seen = seen.lock().unwrap();
                    let script = answer(seen.bodies.len(), &body);
                    seen.heads.push(head);
                    seen.bodies.push(body);
                    seen.now += 1;
                    seen.most_at_once = seen.most_at_once.max(seen.now);
                    script
                };
                let end = play(&mut stream, &script, dialect, &seen).await;
                seen.lock().unwrap().now -= 1;
                if end.is_none() {
                    return;
                }
            }
        });
    }
}

/// The next request of a connection: its head, and its body.
async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec())
        .unwrap()
        .to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.trim().parse().unwrap());
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, String::from_utf8(bytes[end..].to_vec()).unwrap()))
}

/// Answers. `None`: the connection is of no more use.
async fn play(
    stream: &mut TcpStream,
    script: &Script,
    dialect: Dialect,
    seen: &Mutex<Seen>,
) -> Option<()> {
    sleep(script.before).await;
    match script.ending {
        Ending::HangBeforeHeaders => std::future::pending::<()>().await,
        Ending::Reset => {
            stream.set_zero_linger().unwrap();
            return None;
        }
        _ => {}
    }
    let in_pieces = dialect.in_pieces && matches!(script.body, Body::Text(_) | Body::Refusal);
    let frames: Vec<Vec<u8>> = match &script.body {
        Body::Bytes(bytes) => vec![bytes.clone()],
        Body::Text(text) => dialect
            .says(text)
            .into_iter()
            .map(String::into_bytes)
            .collect(),
        Body::Refusal => dialect
            .refuses()
            .into_iter()
            .map(String::into_bytes)
            .collect(),
        Body::Fault(code) => vec![dialect.fault(script.status, code).into_bytes()],
    };
    let kind = if in_pieces {
        dialect.content_type()
    } else {
        "application/json"
    };
    let mut head = format!(
        "HTTP/1.1 {} Scripted\r\ncontent-type: {kind}\r\n",
        script.status
    );
    for (name, value) in &script.headers {
        head.extend([name.as_str(), ": ", value.as_str(), "\r\n"]);
    }
    let told = match script.ending {
        _ if in_pieces => "transfer-encoding: chunked\r\n\r\n".to_owned(),
        // No length: the body lasts as long as the connection.
        Ending::Truncate | Ending::Endless => "connection: close\r\n\r\n".to_owned(),
        _ => format!("content-length: {}\r\n\r\n", frames.concat().len()),
    };
    head.push_str(&told);
    stream.write_all(head.as_bytes()).await.ok()?;
    if in_pieces {
        pieces(stream, script, &frames).await
    } else {
        whole(stream, script, &frames.concat(), seen).await
    }
}

async fn whole(
    stream: &mut TcpStream,
    script: &Script,
    body: &[u8],
    seen: &Mutex<Seen>,
) -> Option<()> {
    let (first, rest) = body.split_at(body.len() / 2);
    match script.ending {
        Ending::HangInBody => {
            stream.write_all(first).await.ok()?;
            std::future::pending::<()>().await;
        }
        Ending::Truncate => {
            stream.write_all(first).await.ok()?;
            return None;
        }
        Ending::Drip(pause) => {
            for byte in body {
                sleep(pause).await;
                stream.write_all(&[*byte]).await.ok()?;
            }
        }
        Ending::Endless => loop {
            stream.write_all(&[b' '; 8 << 10]).await.ok()?;
            seen.lock().unwrap().sent += 8 << 10;
        },
        _ => {
            stream.write_all(first).await.ok()?;
            stream.write_all(rest).await.ok()?;
        }
    }
    Some(())
}

/// The same in chunks, one for each piece.
async fn pieces(stream: &mut TcpStream, script: &Script, frames: &[Vec<u8>]) -> Option<()> {
    let breaks_off = matches!(script.ending, Ending::HangInBody | Ending::Truncate);
    let told = if breaks_off {
        &frames[..frames.len() / 2]
    } else {
        frames
    };
    for frame in told {
        if let Ending::Slowly(pause) | Ending::Drip(pause) = script.ending {
            sleep(pause).await;
        }
        stream
            .write_all(&[format!("{:x}\r\n", frame.len()).as_bytes(), frame, b"\r\n"].concat())
            .await
            .ok()?;
    }
    if let Ending::HangInBody = script.ending {
        std::future::pending::<()>().await;
    }
    stream.write_all(b"0\r\n\r\n").await.ok()
}
