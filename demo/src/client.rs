//! The MQTT client that sends commands and collects their effects.

use std::collections::BTreeMap;
use std::time::Duration;

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{Event, EventLoop};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::house::{Gadget, gadgets};
use crate::{DemoError, connection};

/// The longest wait for a reply: longer than sayso's own deadline for a command.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);
/// The silence after which all devices are taken to have reached their new state. A moving one
/// reports every 100 ms.
const SETTLED: Duration = Duration::from_millis(250);
/// Messages that wait to be read.
const QUEUE: usize = 4096;

/// A message from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) retained: bool,
}

/// The fields of sayso's reply that the demo prints.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Reply {
    id: String,
    pub(crate) text: String,
    pub(crate) outcome: String,
    pub(crate) speech: String,
    pub(crate) via: String,
    pub(crate) ms: f64,
    #[serde(default)]
    pub(crate) why: Option<String>,
    #[serde(default)]
    pub(crate) retry_after: Option<f64>,
}

/// Everything that followed one command, or several sent at once.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// The replies, each with its time from publication to receipt.
    pub(crate) replies: Vec<(Reply, Duration)>,
    /// The messages to devices, in order.
    pub(crate) sent: Vec<Message>,
    /// The last state each device reported since, by topic.
    pub(crate) states: BTreeMap<String, String>,
}

/// A connection that is subscribed to everything.
pub(crate) struct Client {
    mqtt: AsyncClient,
    messages: mpsc::Receiver<Message>,
    house: Vec<Gadget>,
    /// The last state of every device, by topic.
    pub(crate) states: BTreeMap<String, String>,
    commands: u32,
}

impl Client {
    /// Connects and subscribes.
    pub(crate) async fn start(port: u16, tasks: &mut JoinSet<()>) -> Result<Self, DemoError> {
        let (client, mut events) = connection::open("demo-client", port);
        client.try_subscribe("#", QoS::AtLeastOnce)?;
        connection::wait_for_acknowledgements(&mut events, 1, 0).await?;
        let (received, messages) = mpsc::channel(QUEUE);
        tasks.spawn(receive(events, received));
        Ok(Self {
            mqtt: client,
            messages,
            house: gadgets(),
            states: BTreeMap::new(),
            commands: 0,
        })
    }

    /// Waits until sayso reports that it is online.
    pub(crate) async fn wait_until_online(&mut self) -> Result<(), DemoError> {
        let wait = async {
            while let Some(message) = self.messages.recv().await {
                let is_online = message.topic == "sayso/status" && message.payload == "online";
                self.record(message, &mut Effects::default());
                if is_online {
                    return Ok(());
                }
            }
            Err("the connection to the broker is closed".into())
        };
        timeout(REPLY_TIMEOUT, wait)
            .await
            .map_err(|_| "sayso did not come online")?
    }

    /// Sends `sentences` at once as `source`, and waits until each has its reply and all devices
    /// have settled.
    pub(crate) async fn send(
        &mut self,
        source: &str,
        sentences: &[&str],
    ) -> Result<Effects, DemoError> {
        while let Ok(earlier) = self.messages.try_recv() {
            self.record(earlier, &mut Effects::default());
        }
        let begin = Instant::now();
        let ids = self.publish(source, sentences)?;
        let reply_topic = format!("sayso/reply/{source}");
        let mut effects = Effects::default();
        loop {
            let missing = ids.len() - effects.replies.len();
            let patience = if missing == 0 {
                SETTLED
            } else {
                REPLY_TIMEOUT.saturating_sub(begin.elapsed())
            };
            let message = match timeout(patience, self.messages.recv()).await {
                Ok(Some(message)) => message,
                Ok(None) => return Err("the connection to the broker is closed".into()),
                Err(_) if missing == 0 => return Ok(effects),
                Err(_) => {
                    let limit = REPLY_TIMEOUT.as_secs();
                    let error = format!("{missing} of {sentences:?} had no reply within {limit} s");
                    return Err(error.into());
                }
            };
            if message.topic == reply_topic {
                let reply: Reply = serde_json::from_str(&message.payload)?;
                if ids.contains(&reply.id) {
                    effects.replies.push((reply, begin.elapsed()));
                }
            } else {
                self.record(message, &mut effects);
            }
        }
    }

    /// Publishes each sentence as a command; returns the ids.
    fn publish(&mut self, source: &str, sentences: &[&str]) -> Result<Vec<String>, DemoError> {
        let mut ids = Vec::new();
        for sentence in sentences {
            self.commands += 1;
            let id = format!("demo-{}-{}", std::process::id(), self.commands);
            let payload = json!({"text": sentence, "id": id}).to_string();
            let topic = format!("sayso/command/{source}");
            self.mqtt
                .try_publish(topic, QoS::AtLeastOnce, false, payload)?;
            ids.push(id);
        }
        Ok(ids)
    }

    /// The next command, reply or message to a device that another client caused; `None` when the
    /// connection is closed. Cancel safe.
    pub(crate) async fn next_foreign_message(&mut self) -> Option<Message> {
        loop {
            let message = self.messages.recv().await?;
            let of_interest = message.topic.starts_with("sayso/command/")
                || message.topic.starts_with("sayso/reply/")
                || self.is_for_device(&message);
            self.record(message.clone(), &mut Effects::default());
            if of_interest && !message.retained {
                return Some(message);
            }
        }
    }

    fn is_for_device(&self, message: &Message) -> bool {
        self.house
            .iter()
            .any(|gadget| gadget.is_subscribed_to(&message.topic))
    }

    /// Adds a message to a device or from a device to `effects`.
    fn record(&mut self, message: Message, effects: &mut Effects) {
        if self.is_for_device(&message) {
            effects.sent.push(message);
            return;
        }
        let is_state = self
            .house
            .iter()
            .any(|gadget| gadget.state_topic == message.topic);
        if is_state {
            let Message { topic, payload, .. } = message;
            effects.states.insert(topic.clone(), payload.clone());
            self.states.insert(topic, payload);
        }
    }
}

async fn receive(mut events: EventLoop, received: mpsc::Sender<Message>) {
    while let Ok(event) = events.poll().await {
        let Event::Incoming(Packet::Publish(publish)) = event else {
            continue;
        };
        let message = Message {
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: String::from_utf8_lossy(&publish.payload).into_owned(),
            retained: publish.retain,
        };
        if received.send(message).await.is_err() {
            return;
        }
    }
}
