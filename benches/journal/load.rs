//! The load generator: publishes commands at a given rate and measures the time to their actions.

use std::collections::HashMap;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, interval, sleep_until};

use crate::BenchError;

/// The longest wait for the last actions of a round.
const TAIL: Duration = Duration::from_secs(2);

/// The client that publishes commands and receives actions.
pub(crate) struct Load {
    client: AsyncClient,
    events: EventLoop,
    waiting: HashMap<String, Instant>,
    published: usize,
}

impl Load {
    pub(crate) fn connect(name: &str, port: u16, prefixes: &[&str]) -> Result<Self, BenchError> {
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        let mut network = rumqttc::NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, events) = AsyncClient::new(options, 1024);
        for prefix in prefixes {
            client.try_subscribe(format!("{prefix}/action/+"), QoS::AtMostOnce)?;
        }
        Ok(Self {
            client,
            events,
            waiting: HashMap::new(),
            published: 0,
        })
    }

    fn publish(&mut self, prefix: &str, text: &str) -> Result<(), BenchError> {
        self.published += 1;
        let id = format!("n{}", self.published);
        self.waiting.insert(id.clone(), Instant::now());
        let payload = json!({"text": text, "id": id}).to_string();
        Ok(self.client.try_publish(
            format!("{prefix}/command/load"),
            QoS::AtLeastOnce,
            false,
            payload,
        )?)
    }

    fn arrived(&mut self, event: &Event) -> Option<Duration> {
        let Event::Incoming(Packet::Publish(action)) = event else {
            return None;
        };
        let action: Json = serde_json::from_slice(&action.payload).ok()?;
        Some(self.waiting.remove(action["command"].as_str()?)?.elapsed())
    }

    /// Publishes `count` commands at `rate` per second; returns the time from each to its action.
    pub(crate) async fn paced(
        &mut self,
        prefix: &str,
        text: &str,
        rate: u32,
        count: u32,
    ) -> Result<Vec<Duration>, BenchError> {
        let mut clock = interval(Duration::from_secs(1) / rate);
        let (mut latencies, mut published) = (Vec::new(), 0);
        let mut end = None;
        while !(published == count
            && (self.waiting.is_empty() || end.is_some_and(|end| Instant::now() >= end)))
        {
            tokio::select! {
                event = self.events.poll() => latencies.extend(self.arrived(&event?)),
                _ = clock.tick(), if published < count => {
                    self.publish(prefix, text)?;
                    published += 1;
                    if published == count {
                        end = Some(Instant::now() + TAIL);
                    }
                }
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => {}
            }
        }
        self.waiting.clear();
        Ok(latencies)
    }

    /// Waits for the first action of the program.
    pub(crate) async fn ready(&mut self, prefix: &str) -> Result<(), BenchError> {
        let end = Instant::now() + Duration::from_secs(20);
        while self
            .paced(prefix, "turn on the lamp", 10, 1)
            .await?
            .is_empty()
        {
            if Instant::now() > end {
                return Err(format!("`{prefix}` does nothing").into());
            }
        }
        Ok(())
    }
}
