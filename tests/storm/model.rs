//! The language model: knows one kind of sentence, "do job <device> <number>", and misbehaves in
//! every way a real one does.

use std::net::Ipv4Addr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// A running model. It ends when dropped.
pub(crate) struct Model {
    pub(crate) port: u16,
    _tasks: JoinSet<()>,
}

impl Model {
    pub(crate) async fn start(seed: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(serve(stream, StdRng::seed_from_u64(random.random())));
            }
        });
        Self {
            port,
            _tasks: tasks,
        }
    }
}

async fn serve(mut stream: TcpStream, mut random: StdRng) {
    while let Some(body) = request(&mut stream).await {
        let said = answer(&body);
        let wait = if random.random_bool(0.25) {
            random.random_range(400..4000)
        } else {
            random.random_range(5..150)
        };
        sleep(Duration::from_millis(wait)).await;
        let whole = json!({
            "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
        });
        let (status, body, cut) = match random.random_range(0..100) {
            0..5 => (500, "{}".to_owned(), false),
            5..8 => (
                429,
                json!({"error": {"message": "slow down", "code": "rate_limit_exceeded"}})
                    .to_string(),
                false,
            ),
            8..11 => return,
            11..14 => (200, whole.to_string(), true),
            14..16 => {
                sleep(Duration::from_secs(30)).await;
                return;
            }
            16..18 => (200, "so sorry".to_owned(), false),
            _ => (200, whole.to_string(), false),
        };
        let head = format!(
            "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let shown = if cut { body.len() / 2 } else { body.len() };
        if stream.write_all(head.as_bytes()).await.is_err()
            || stream.write_all(&body.as_bytes()[..shown]).await.is_err()
            || cut
        {
            return;
        }
    }
}

/// Returns the answer to the last message, in the form sayso expects.
fn answer(body: &Json) -> String {
    let last = body["messages"]
        .as_array()
        .and_then(|messages| messages.last())
        .map(|m| m["content"].to_string())
        .unwrap_or_default();
    let mut words = last
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .skip_while(|word| *word != "job")
        .skip(1);
    let (device, number) = (
        words.next().unwrap_or_default(),
        words
            .next()
            .and_then(|n| n.parse::<u64>().ok())
            .unwrap_or_default(),
    );
    let action = if device == "radio" {
        json!({"device": "radio", "property": "playback", "op": "set", "value": "next"})
    } else {
        json!({"device": device, "property": "level", "op": "set", "value": number})
    };
    json!({"actions": [action], "speech": null, "question": null}).to_string()
}

/// Reads the body of the next request.
pub(crate) async fn request(stream: &mut TcpStream) -> Option<Json> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| {
                    line.strip_prefix("content-length: ")?
                        .trim()
                        .parse::<usize>()
                        .ok()
                })
                .unwrap_or_default();
            if bytes.len() >= end + 4 + length {
                return serde_json::from_slice(&bytes[end + 4..end + 4 + length]).ok();
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
