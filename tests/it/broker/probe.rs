//! A client of the broker in the role of a device or of a sender. It runs only while one of its
//! methods is awaited.

use std::collections::VecDeque;
use std::time::Duration;

use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::time::{Instant, sleep, timeout_at};

/// How long the broker may take for its usual answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) retain: bool,
    pub(crate) correlation: Option<Vec<u8>>,
}

impl Message {
    /// The payload as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    /// The payload as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload).unwrap()
    }
}

/// A client with a session that outlives a connection.
pub(crate) struct Probe {
    client: AsyncClient,
    eventloop: EventLoop,
    filters: Vec<String>,
    received: VecDeque<Message>,
}

impl Probe {
    /// A client of the broker at `port`; `id` must be its alone.
    pub(crate) async fn new(port: u16, id: &str) -> Self {
        Self::with_session(port, id, false).await
    }

    /// A client that ends the session another of this id may have, and has none itself.
    pub(crate) async fn usurper(port: u16, id: &str) -> Self {
        Self::with_session(port, id, true).await
    }

    async fn with_session(port: u16, id: &str, clean: bool) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        let expiry = if clean { 0 } else { 600 };
        options
            .set_network_options(network)
            .set_clean_start(clean)
            .set_session_expiry_interval(Some(expiry))
            .set_max_packet_size(Some(8 << 20));
        options.set_keep_alive(Duration::from_mins(10));
        let (client, eventloop) = AsyncClient::new(options, 1000);
        let mut probe = Self {
            client,
            eventloop,
            filters: Vec::new(),
            received: VecDeque::new(),
        };
        probe
            .until(|packet| matches!(packet, Packet::ConnAck(_)))
            .await;
        probe
    }

    /// Disconnects.
    pub(crate) async fn leave(mut self) {
        self.client.disconnect().await.unwrap();
        while !matches!(
            self.eventloop.poll().await,
            Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) | Err(_)
        ) {}
    }

    /// Subscribes, and waits for the broker's yes.
    pub(crate) async fn subscribe(&mut self, filter: &str) {
        self.filters.push(filter.to_owned());
        self.client
            .subscribe(filter, QoS::AtLeastOnce)
            .await
            .unwrap();
        self.until(|packet| matches!(packet, Packet::SubAck(_)))
            .await;
    }

    /// Publishes with `QoS` 1, and waits until the broker has it.
    pub(crate) async fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.publish_with(topic, payload, false, PublishProperties::default())
            .await;
    }

    /// Publishes a retained message.
    pub(crate) async fn publish_retained(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.publish_with(topic, payload, true, PublishProperties::default())
            .await;
    }

    /// Publishes a question with the topic its answer should go to.
    pub(crate) async fn ask(
        &mut self,
        topic: &str,
        payload: impl Into<Vec<u8>>,
        response_topic: &str,
        correlation: &'static [u8],
    ) {
        let properties = PublishProperties {
            response_topic: Some(response_topic.to_owned()),
            correlation_data: Some(correlation.into()),
            ..Default::default()
        };
        self.publish_with(topic, payload, false, properties).await;
    }

    async fn publish_with(
        &mut self,
        topic: &str,
        payload: impl Into<Vec<u8>>,
        retain: bool,
        properties: PublishProperties,
    ) {
        self.client
            .publish_with_properties(topic, QoS::AtLeastOnce, retain, payload.into(), properties)
            .await
            .unwrap();
        self.until(|packet| matches!(packet, Packet::PubAck(_)))
            .await;
    }

    /// The next message on `topic`, those on other topics being kept for later.
    ///
    /// # Panics
    /// When it does not come within `limit`.
    pub(crate) async fn expect(&mut self, topic: &str, limit: Duration) -> Message {
        let until = Instant::now() + limit;
        loop {
            if let Some(at) = self
                .received
                .iter()
                .position(|message| message.topic == topic)
            {
                return self.received.remove(at).unwrap();
            }
            assert!(
                timeout_at(until, self.packet()).await.is_ok(),
                "nothing on `{topic}` within {limit:?}; waiting: {:?}",
                self.received
            );
        }
    }

    /// Every message received so far that was not yet expected.
    pub(crate) fn rest(&self) -> impl Iterator<Item = &Message> {
        self.received.iter()
    }

    async fn until(&mut self, wanted: impl Fn(&Packet) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !wanted(
            &timeout_at(until, self.packet())
                .await
                .expect("the broker answers the probe"),
        ) {}
    }

    /// The next packet. A lost connection is made again, and asked for the same.
    async fn packet(&mut self) -> Packet {
        loop {
            match self.eventloop.poll().await {
                Ok(Event::Incoming(packet)) => {
                    match &packet {
                        Packet::Publish(publish) => self.received.push_back(message(publish)),
                        Packet::ConnAck(answer)
                            if !answer.session_present && !self.filters.is_empty() =>
                        {
                            let filters = self
                                .filters
                                .iter()
                                .map(|filter| Filter::new(filter.as_str(), QoS::AtLeastOnce));
                            self.client.try_subscribe_many(filters).unwrap();
                        }
                        _ => {}
                    }
                    return packet;
                }
                Ok(Event::Outgoing(_)) => {}
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

fn message(publish: &Publish) -> Message {
    let correlation = publish
        .properties
        .as_ref()
        .and_then(|p| p.correlation_data.as_ref())
        .map(|data| data.to_vec());
    Message {
        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
        payload: publish.payload.to_vec(),
        retain: publish.retain,
        correlation,
    }
}
