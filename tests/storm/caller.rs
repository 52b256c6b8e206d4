//! A client that sends commands one after the other and waits for their replies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event};
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::house::options;

/// How often the received messages are looked through.
const LOOK: Duration = Duration::from_millis(5);

/// Time without a reply after which a command with an id is sent again.
const AGAIN: Duration = Duration::from_secs(5);

/// Received messages that are kept: old ones are of no use.
const MAX_RECEIVED: usize = 2000;

/// A message of the program.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) topic: String,
    pub(crate) json: Json,
}

/// The client.
pub(crate) struct Caller {
    source: &'static str,
    client: AsyncClient,
    received: Arc<Mutex<Vec<Received>>>,
    /// Times from a command to its reply.
    waits: Mutex<Vec<Duration>>,
    connection: JoinHandle<()>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Caller {
    pub(crate) fn new(source: &'static str, port: u16) -> Self {
        let (client, mut events) = AsyncClient::new(options(source, port), 64);
        let received = Arc::new(Mutex::new(Vec::new()));
        let (subscriber, messages) = (client.clone(), Arc::clone(&received));
        let connection = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(answer))) if !answer.session_present => {
                        for below in ["", "/event"] {
                            let filter = format!("sayso/reply/{source}{below}");
                            let _ = subscriber.try_subscribe(filter, QoS::AtLeastOnce);
                        }
                    }
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        keep(&mut messages.lock().unwrap(), &message);
                    }
                    Ok(_) => {}
                    Err(_) => sleep(Duration::from_millis(30)).await,
                }
            }
        });
        Self {
            source,
            client,
            received,
            waits: Mutex::default(),
            connection,
        }
    }

    /// Sends a payload once.
    pub(crate) fn send(&self, payload: &Json) {
        let topic = format!("sayso/command/{}", self.source);
        let payload = payload.to_string();
        let _ = self
            .client
            .try_publish(topic, QoS::AtLeastOnce, false, payload);
    }

    /// Sends a text with an id until it is answered or `patience` is over.
    pub(crate) async fn ask(&self, id: &str, text: &str, patience: Duration) -> Option<Json> {
        let payload = json!({"id": id, "text": text, "ttl": "30s"});
        let end = Instant::now() + patience;
        while Instant::now() < end {
            self.send(&payload);
            let wait = AGAIN.min(end.saturating_duration_since(Instant::now()));
            let reply = self.reply(wait, |json| json["id"] == *id).await;
            if let Some(reply) = reply
                && reply.json["retry_after"].is_null()
                && reply.json["why"] != "stopping"
            {
                return Some(reply.json);
            }
        }
        None
    }

    /// Sends a text with an id once, and waits for its reply.
    pub(crate) async fn ask_once(
        &self,
        id: &str,
        text: &str,
        patience: Duration,
    ) -> Option<Received> {
        self.send(&json!({"id": id, "text": text, "ttl": "30s"}));
        self.reply(patience, |json| json["id"] == *id).await
    }

    pub(crate) fn note_wait(&self, wait: Duration) {
        self.waits.lock().unwrap().push(wait);
    }

    pub(crate) fn take_waits(&self) -> Vec<Duration> {
        std::mem::take(&mut self.waits.lock().unwrap())
    }

    /// Waits for a reply that `is_it`.
    pub(crate) async fn reply(
        &self,
        patience: Duration,
        is_it: impl Fn(&Json) -> bool,
    ) -> Option<Received> {
        let end = Instant::now() + patience;
        loop {
            let found = {
                let received = self.received.lock().unwrap();
                let replies = received.iter().rev();
                let mut replies = replies.filter(|one| !one.topic.ends_with("/event"));
                replies.find(|one| is_it(&one.json)).cloned()
            };
            if found.is_some() || Instant::now() >= end {
                return found;
            }
            sleep(LOOK).await;
        }
    }

    /// Returns the events received so far.
    pub(crate) fn events(&self) -> Vec<Received> {
        let received = self.received.lock().unwrap();
        let events = received.iter().filter(|one| one.topic.ends_with("/event"));
        events.cloned().collect()
    }
}

fn keep(received: &mut Vec<Received>, message: &Publish) {
    let topic = String::from_utf8_lossy(&message.topic).into_owned();
    if !topic.ends_with("/event") && received.len() > MAX_RECEIVED {
        received.retain(|one| one.topic.ends_with("/event"));
    }
    received.push(Received {
        at: Instant::now(),
        topic,
        json: serde_json::from_slice(&message.payload).unwrap_or_default(),
    });
}
