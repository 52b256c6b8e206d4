//! Whoever speaks to sayso in the demo: one more MQTT client, which says a sentence and watches what comes of it.

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
use crate::{Fault, line};

/// How long a reply may take: more than sayso gives itself for a command.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the house must be quiet before it is said to have settled; a moving part speaks every 100 ms.
const QUIET: Duration = Duration::from_millis(250);

/// A message on the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) retained: bool,
}

/// sayso's reply, as far as the demo shows it.
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

/// What came of one sentence, or of several said at once.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The replies, and how long each took to come back.
    pub(crate) replies: Vec<(Reply, Duration)>,
    /// What was sent to devices, in order.
    pub(crate) sent: Vec<Message>,
    /// What the devices then said of themselves: the last word of each.
    pub(crate) states: BTreeMap<String, String>,
}

/// The client.
pub(crate) struct Speaker {
    client: AsyncClient,
    heard: mpsc::Receiver<Message>,
    house: Vec<Gadget>,
    /// The last word of every device.
    pub(crate) states: BTreeMap<String, String>,
    said: u32,
}

impl Speaker {
    /// Connects, and listens to everything.
    pub(crate) async fn start(port: u16, tasks: &mut JoinSet<()>) -> Result<Self, Fault> {
        let (client, mut events) = line::open("demo-speaker", port);
        client.try_subscribe("#", QoS::AtLeastOnce)?;
        line::subscribed(&mut events, 1).await?;
        let (tells, heard) = mpsc::channel(4096);
        tasks.spawn(listen(events, tells));
        Ok(Self {
            client,
            heard,
            house: gadgets(),
            states: BTreeMap::new(),
            said: 0,
        })
    }

    /// Waits until sayso says that it is there.
    pub(crate) async fn online(&mut self) -> Result<(), Fault> {
        let wait = async {
            while let Some(message) = self.heard.recv().await {
                let online = message.topic == "sayso/status" && message.payload == "online";
                self.sort(message, &mut Outcome::default());
                if online {
                    return Ok(());
                }
            }
            Err("the broker is gone".into())
        };
        timeout(PATIENCE, wait)
            .await
            .map_err(|_| "sayso did not come online")?
    }

    /// Says `sentences` at once as `source`, and watches until each has its reply and the house has settled.
    pub(crate) async fn say(&mut self, source: &str, sentences: &[&str]) -> Result<Outcome, Fault> {
        while self
            .heard
            .try_recv()
            .is_ok_and(|message| self.sort(message, &mut Outcome::default()))
        {}
        let began = Instant::now();
        let mut ids = Vec::new();
        for sentence in sentences {
            self.said += 1;
            ids.push(format!("demo-{}-{}", std::process::id(), self.said));
            let payload = json!({"text": sentence, "id": ids.last()}).to_string();
            self.client.try_publish(
                format!("sayso/command/{source}"),
                QoS::AtLeastOnce,
                false,
                payload,
            )?;
        }
        let mut outcome = Outcome::default();
        loop {
            let missing = sentences.len() - outcome.replies.len();
            let patience = if missing == 0 {
                QUIET
            } else {
                PATIENCE.saturating_sub(began.elapsed())
            };
            match timeout(patience, self.heard.recv()).await {
                Err(_) if missing == 0 => return Ok(outcome),
                Err(_) => {
                    return Err(format!(
                        "no reply to {missing} of {sentences:?} within {} s",
                        PATIENCE.as_secs()
                    )
                    .into());
                }
                Ok(None) => return Err("the broker is gone".into()),
                Ok(Some(message)) if message.topic == format!("sayso/reply/{source}") => {
                    let reply: Reply = serde_json::from_str(&message.payload)?;
                    if ids.contains(&reply.id) {
                        outcome.replies.push((reply, began.elapsed()));
                    }
                }
                Ok(Some(message)) => {
                    self.sort(message, &mut outcome);
                }
            }
        }
    }

    /// The next message anybody else caused, for showing; state that is only retained is put away unseen.
    pub(crate) async fn overhear(&mut self) -> Option<Message> {
        loop {
            let message = self.heard.recv().await?;
            let shown = message.topic.starts_with("sayso/command/")
                || message.topic.starts_with("sayso/reply/")
                || self.is_command(&message);
            self.sort(message.clone(), &mut Outcome::default());
            if shown && !message.retained {
                return Some(message);
            }
        }
    }

    fn is_command(&self, message: &Message) -> bool {
        self.house
            .iter()
            .any(|gadget| gadget.listens_on(&message.topic))
    }

    /// Puts a message where it belongs. Always true, so that it can stand in a condition.
    fn sort(&mut self, message: Message, outcome: &mut Outcome) -> bool {
        if self.is_command(&message) {
            outcome.sent.push(message);
        } else if self
            .house
            .iter()
            .any(|gadget| gadget.tells == message.topic)
        {
            outcome
                .states
                .insert(message.topic.clone(), message.payload.clone());
            self.states.insert(message.topic, message.payload);
        }
        true
    }
}

async fn listen(mut events: EventLoop, tells: mpsc::Sender<Message>) {
    while let Ok(event) = events.poll().await {
        if let Event::Incoming(Packet::Publish(publish)) = event {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let message = Message {
                topic: text(&publish.topic),
                payload: text(&publish.payload),
                retained: publish.retain,
            };
            if tells.send(message).await.is_err() {
                return;
            }
        }
    }
}
