//! Hostile clients: each attack is one that harmed other clients once.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;
use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::house::options;

/// The number of attacks.
pub(crate) const ATTACKS: usize = 6;

/// Long texts in one flood, as many as a debug build takes in within seconds on a loaded machine;
/// `tests/floods` has more.
const FLOOD: usize = 40;

/// The hostile client.
pub(crate) struct Hostile {
    port: u16,
    client: AsyncClient,
    connection: JoinHandle<()>,
    sent: u64,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Hostile {
    pub(crate) fn new(port: u16) -> Self {
        let (client, mut events) = AsyncClient::new(options("hostile", port), 1024);
        let connection = tokio::spawn(async move {
            loop {
                if events.poll().await.is_err() {
                    sleep(Duration::from_millis(50)).await;
                }
            }
        });
        Self {
            port,
            client,
            connection,
            sent: 0,
        }
    }

    /// Carries out the attack with this number; returns its name.
    pub(crate) async fn attack(&mut self, attack: usize, random: &mut StdRng) -> &'static str {
        match attack {
            0 => self.deep_response_topic(random),
            1 => self.impossible_announcements(random),
            2 => self.reused_ids(),
            3 => self.flood_of_text(random),
            4 => self.flood_of_correlation(),
            _ => self.second_client(random).await,
        }
    }

    /// A response topic over which the broker ends the connection of a client that publishes to it.
    fn deep_response_topic(&mut self, random: &mut StdRng) -> &'static str {
        let levels = random.random_range(150..260);
        let response = match random.random_range(0..4) {
            0 => "sayso/reply/evil/\u{fdd0}".to_owned(),
            1 => "sayso/reply/evil/\u{1f}".to_owned(),
            _ => format!("sayso/reply/evil{}", "/a".repeat(levels)),
        };
        self.send("what is the alpha level", Some(response), b"evil");
        "poison command"
    }

    fn impossible_announcements(&mut self, random: &mut StdRng) -> &'static str {
        let deep = format!("evil{}", "/a".repeat(random.random_range(190..260)));
        for (n, topic) in [deep.as_str(), "evil/\u{fdd0}", "evil/\u{ffff}"]
            .into_iter()
            .enumerate()
        {
            let config = json!({"name": format!("Evil {n}"), "unique_id": format!("evil{n}"), "command_topic": "evil/set", "state_topic": topic});
            let announcement = format!("homeassistant/light/evil{n}/config");
            self.publish(announcement, config.to_string().into(), true, None);
        }
        "poison announcements"
    }

    /// The same id and the same correlation data for other texts.
    fn reused_ids(&mut self) -> &'static str {
        for device in ["alpha", "beta", "gamma"] {
            let payload = json!({"text": format!("what is the {device} level"), "id": "1"});
            self.publish(
                "sayso/command/evil".to_owned(),
                payload.to_string().into(),
                false,
                None,
            );
        }
        "reused ids"
    }

    fn flood_of_text(&mut self, random: &mut StdRng) -> &'static str {
        let sources = random.random_range(1..20);
        for n in 0..FLOOD {
            let topic = format!("sayso/command/evil{}", n % sources);
            let text = format!("{n} {}", "word ".repeat(3200));
            self.publish(topic, text.into(), false, None);
        }
        "flood of long texts"
    }

    fn flood_of_correlation(&mut self) -> &'static str {
        let correlation = vec![7; 60_000];
        for n in 0..FLOOD {
            self.send(&format!("what is the alpha level {n}"), None, &correlation);
        }
        "flood of long correlation data"
    }

    /// Another client takes the session over for a moment, and acknowledges nothing.
    async fn second_client(&mut self, random: &mut StdRng) -> &'static str {
        let mut settings = options("sayso", self.port);
        settings.set_manual_acks(true);
        let (_client, mut events) = AsyncClient::new(settings, 8);
        let stay = Duration::from_millis(random.random_range(100..800));
        let _ = timeout(stay, async { while events.poll().await.is_ok() {} }).await;
        "second client with our id"
    }

    fn send(&mut self, text: &str, response: Option<String>, correlation: &[u8]) {
        self.sent += 1;
        let properties = PublishProperties {
            response_topic: response,
            correlation_data: Some(Bytes::copy_from_slice(correlation)),
            ..PublishProperties::default()
        };
        let text = format!("{text} {}", self.sent);
        self.publish(
            "sayso/command/evil".to_owned(),
            text.into(),
            false,
            Some(properties),
        );
    }

    /// Publishes, unless too much waits already: the broker may be away.
    fn publish(
        &self,
        topic: String,
        payload: Bytes,
        retain: bool,
        properties: Option<PublishProperties>,
    ) {
        let properties = properties.unwrap_or_default();
        let qos = QoS::AtLeastOnce;
        let _ = self
            .client
            .try_publish_with_properties(topic, qos, retain, payload, properties);
    }
}
