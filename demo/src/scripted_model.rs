//! Scripted models: two HTTP servers on loopback that implement enough of the Chat Completions API
//! for sayso.
//!
//! They are no language models. They answer a few sentences, word for word, and fail on request, so
//! that failover, backoff and the permission gate can be watched without a key, a bill or a
//! network.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::DemoError;

/// The time from request to answer.
const LATENCY: Duration = Duration::from_millis(120);
/// The largest request body, in bytes.
const MAX_REQUEST: usize = 1 << 20;
/// The sentences the models know, each with its actions.
const SCRIPT: [(&str, Scene); 6] = [
    ("make the living room cosy for a film", Scene::Film),
    ("make the living room cosy", Scene::Film),
    ("it is too dark to read in the bedroom", Scene::Reading),
    ("i could murder a coffee", Scene::Coffee),
    ("i need a coffee", Scene::Coffee),
    ("make it as hot as a sauna in here", Scene::Sauna),
];
const UNKNOWN: &str = "I am a scripted model without any intelligence, and this sentence is not in \
                       my script. A real model would be asked here.";

/// The answer to a known sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    Film,
    Reading,
    Coffee,
    /// A temperature beyond the thermostat's range, which sayso must not set.
    Sauna,
}

/// The sentences the models know.
pub(crate) fn sentences() -> impl Iterator<Item = &'static str> {
    SCRIPT.iter().map(|(sentence, _)| *sentence)
}

/// Handle to one server.
#[derive(Debug, Clone)]
pub(crate) struct ScriptedModel {
    /// The provider's name in sayso's configuration.
    pub(crate) name: &'static str,
    /// The loopback port.
    pub(crate) port: u16,
    failures: Arc<Mutex<VecDeque<u16>>>,
    statuses: Arc<Mutex<Vec<u16>>>,
}

impl ScriptedModel {
    /// Starts a server on a free port.
    pub(crate) async fn start(
        name: &'static str,
        tasks: &mut JoinSet<()>,
    ) -> Result<Self, DemoError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let model = Self {
            name,
            port: listener.local_addr()?.port(),
            failures: Arc::default(),
            statuses: Arc::default(),
        };
        let server = model.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let model = server.clone();
                connections.spawn(async move {
                    // A client may close its connection in the middle of a request.
                    let _ = model.serve(stream).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(model)
    }

    /// Makes the next `times` requests fail with `status`.
    pub(crate) fn fail(&self, status: u16, times: usize) {
        let mut failures = lock(&self.failures);
        failures.clear();
        failures.extend(std::iter::repeat_n(status, times));
    }

    /// Makes all further requests succeed.
    pub(crate) fn recover(&self) {
        lock(&self.failures).clear();
    }

    /// The statuses answered since the last call.
    pub(crate) fn take_statuses(&self) -> Vec<u16> {
        std::mem::take(&mut lock(&self.statuses))
    }

    async fn serve(&self, stream: TcpStream) -> Result<(), DemoError> {
        stream.set_nodelay(true)?;
        let mut stream = BufStream::new(stream);
        while let Some(body) = request(&mut stream).await? {
            let failure = lock(&self.failures).pop_front();
            let (status, body) = if let Some(status) = failure {
                (status, error(status))
            } else {
                tokio::time::sleep(LATENCY).await;
                (200, completion(&sentence(&body)))
            };
            lock(&self.statuses).push(status);
            let retry_after = if status == 429 {
                "retry-after: 2\r\n"
            } else {
                ""
            };
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\n{retry_after}\
                 content-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body.as_bytes()).await?;
            stream.flush().await?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the body of the next request; `None` once the client has closed the connection.
async fn request(stream: &mut BufStream<TcpStream>) -> Result<Option<Json>, DemoError> {
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
    if length > MAX_REQUEST {
        return Err("the request is too large".into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(serde_json::from_slice(&body)?))
}

/// The command in a request: the last line of the last message.
fn sentence(request: &Json) -> String {
    let messages = request["messages"].as_array();
    let content = messages
        .and_then(|messages| messages.last())
        .map(|message| &message["content"]);
    let text = match content {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Array(parts)) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    };
    let last = text.lines().last().unwrap_or_default();
    let command = last.strip_prefix("command: ").unwrap_or(last);
    plain(command)
}

/// The words of a sentence, in lower case.
fn plain(sentence: &str) -> String {
    let words: Vec<String> = sentence
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.join(" ")
}

/// The answer to `sentence` in the form sayso asks for.
fn answer(sentence: &str) -> Json {
    let known = SCRIPT.iter().find(|(known, _)| *known == sentence);
    let Some((_, scene)) = known else {
        return json!({"actions": [], "speech": UNKNOWN, "question": null});
    };
    let set = |device: &str, property: &str, value: Json| json!({"device": device, "property": property, "op": "set", "value": value});
    let actions = match scene {
        Scene::Film => vec![
            set("sofa_lamp", "color", json!("orange")),
            set("sofa_lamp", "brightness", json!(35)),
            set("living_room_light", "power", json!("off")),
            set("living_room_blinds", "position", json!(0)),
        ],
        Scene::Reading => vec![
            set("bedroom_light", "power", json!("on")),
            set("bedroom_light", "brightness", json!(80)),
        ],
        Scene::Coffee => vec![set("coffee_machine", "power", json!("on"))],
        Scene::Sauna => vec![set("thermostat", "temperature", json!(80))],
    };
    json!({"actions": actions, "speech": null, "question": null})
}

fn error(status: u16) -> Json {
    let (kind, code) = match status {
        429 => ("requests", "rate_limit_exceeded"),
        400..500 => ("invalid_request_error", "scripted"),
        _ => ("server_error", "scripted"),
    };
    let message = format!("scripted failure with status {status}");
    json!({"error": {"type": kind, "code": code, "message": message}})
}

fn completion(sentence: &str) -> Json {
    let message = json!({
        "role": "assistant",
        "refusal": null,
        "content": answer(sentence).to_string(),
    });
    json!({
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1_795_460_000,
        "model": "scripted",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 40, "total_tokens": 940}
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_sentence_has_actions() {
        for (sentence, _) in SCRIPT {
            assert_ne!(answer(sentence)["actions"], json!([]), "{sentence}");
        }
        for sentence in [
            "turn off the coffee machine",
            "turn on the coffee machine at 7",
            "i need a coffee tomorrow",
            "never make the living room cosy",
        ] {
            assert_eq!(answer(sentence)["actions"], json!([]), "{sentence}");
        }
    }

    #[test]
    fn the_command_is_found_in_a_request() {
        let text = "area: hall\ncommand: Make the living room cosy, for a film!";
        for content in [json!(text), json!([{"type": "text", "text": text}])] {
            let request = json!({"messages": [{"content": "x"}, {"content": content}]});
            assert_eq!(sentence(&request), "make the living room cosy for a film");
        }
    }
}
