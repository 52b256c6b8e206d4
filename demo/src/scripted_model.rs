//! Scripted stand-ins for a model: two servers on loopback that speak enough of Chat Completions to be asked.
//! They understand nothing. They know a few sentences by heart, and fail when told to, so that what sayso does about
//! slow, broken and exhausted providers can be seen without a key, a bill or a network.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::Fault;

/// How long a stand-in pretends to think.
const THINKS: Duration = Duration::from_millis(120);
/// The most a question may weigh, in bytes.
const LARGEST: usize = 1 << 20;

/// How a stand-in fails its next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// 429: too many requests, come back in 2 s.
    Exhausted,
    /// 500: its own trouble.
    Broken,
}

/// One stand-in: what it will do, and what it did.
#[derive(Debug, Clone)]
pub(crate) struct StandIn {
    /// The provider's name in sayso's configuration.
    pub(crate) name: &'static str,
    /// The loopback port it listens on.
    pub(crate) port: u16,
    moods: Arc<Mutex<VecDeque<Mood>>>,
    answered: Arc<Mutex<Vec<u16>>>,
}

impl StandIn {
    /// Starts one on a free port.
    pub(crate) async fn start(name: &'static str, tasks: &mut JoinSet<()>) -> Result<Self, Fault> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let stand_in = Self {
            name,
            port,
            moods: Arc::default(),
            answered: Arc::default(),
        };
        let serving = stand_in.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let stand_in = serving.clone();
                connections.spawn(async move {
                    // A client that hangs up in the middle is its own business.
                    let _ = stand_in.serve(stream).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(stand_in)
    }

    /// Makes the next `times` requests fail.
    pub(crate) fn fail(&self, mood: Mood, times: usize) {
        let mut moods = self.moods.lock().unwrap_or_else(PoisonError::into_inner);
        moods.clear();
        moods.extend(std::iter::repeat_n(mood, times));
    }

    /// Makes it answer again.
    pub(crate) fn recover(&self) {
        self.moods
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The statuses it answered with since last asked.
    pub(crate) fn answered(&self) -> Vec<u16> {
        std::mem::take(&mut self.answered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn serve(&self, stream: TcpStream) -> Result<(), Fault> {
        stream.set_nodelay(true)?;
        let mut stream = BufStream::new(stream);
        while let Some(body) = request(&mut stream).await? {
            let mood = self
                .moods
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let (status, extra, body) = match mood {
                Some(Mood::Exhausted) => (
                    429,
                    "retry-after: 2\r\n",
                    json!({"error": {"type": "requests", "code": "rate_limit_exceeded", "message": "scripted: too many requests"}}),
                ),
                Some(Mood::Broken) => (
                    500,
                    "",
                    json!({"error": {"type": "server_error", "message": "scripted: broken"}}),
                ),
                None => {
                    tokio::time::sleep(THINKS).await;
                    (200, "", completion(&said(&body)))
                }
            };
            self.answered
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(status);
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\n{extra}content-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
            stream.flush().await?;
        }
        Ok(())
    }
}

/// The body of the next request; `None` once the client has hung up.
async fn request(stream: &mut BufStream<TcpStream>) -> Result<Option<Json>, Fault> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    if length > LARGEST {
        return Err("the question is too large".into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(serde_json::from_slice(&body)?))
}

/// The text of the last message: what was said, after everything that is the same for every question.
fn said(question: &Json) -> String {
    let content = question["messages"]
        .as_array()
        .and_then(|messages| messages.last())
        .map_or(&Json::Null, |message| &message["content"]);
    let text = content.as_str().map(str::to_owned).or_else(|| {
        Some(
            content
                .as_array()?
                .iter()
                .filter_map(|part| part["text"].as_str())
                .collect(),
        )
    });
    text.unwrap_or_default().to_lowercase()
}

/// What the stand-ins know by heart: words of the sentence, and what to do about it.
fn by_heart(said: &str) -> Json {
    let action = |device: &str, property: &str, value: Json| json!({"device": device, "property": property, "op": "set", "value": value});
    let knows = |words: &[&str]| words.iter().all(|word| said.contains(word));
    let actions = if knows(&["cosy", "living room"]) {
        vec![
            action("sofa_lamp", "color", json!("orange")),
            action("sofa_lamp", "brightness", json!(35)),
            action("living_room_light", "power", json!("off")),
            action("living_room_blinds", "position", json!(0)),
        ]
    } else if knows(&["too dark", "bedroom"]) {
        vec![
            action("bedroom_light", "power", json!("on")),
            action("bedroom_light", "brightness", json!(80)),
        ]
    } else if knows(&["coffee"]) {
        vec![action("coffee_machine", "power", json!("on"))]
    } else if knows(&["sauna"]) {
        // Out of the thermostat's range, as a model may well answer: it is for sayso to stop.
        vec![action("thermostat", "temperature", json!(80))]
    } else {
        let speech = "I am a scripted stand-in for a model and do not know that sentence by heart.";
        return json!({"actions": [], "speech": speech, "question": null});
    };
    json!({"actions": actions, "speech": null, "question": null})
}

fn completion(said: &str) -> Json {
    json!({
        "id": "chatcmpl-scripted", "object": "chat.completion", "created": 1_795_460_000, "model": "scripted",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "refusal": null, "content": by_heart(said).to_string()}}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 40, "total_tokens": 940}
    })
}
