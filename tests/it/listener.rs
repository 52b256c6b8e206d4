//! A client of the broker that records every message it receives.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::scene::PATIENCE;

/// A message as received.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) correlation: Option<Vec<u8>>,
    /// True where the broker says that it may have sent it before.
    pub(crate) dup: bool,
    taken: bool,
}

impl Message {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }
}

#[derive(Default)]
struct Log {
    messages: Mutex<Vec<Message>>,
    subscribed: Mutex<usize>,
    acknowledged: Mutex<usize>,
    filters: Mutex<Vec<String>>,
    changed: Notify,
}

/// A client that hears everything it subscribed to and forgets nothing.
pub(crate) struct Listener {
    client: AsyncClient,
    log: Arc<Log>,
    marks: u32,
    _tasks: JoinSet<()>,
}

impl Listener {
    pub(crate) fn connect(port: u16) -> Self {
        Self::with(MqttOptions::new(
            format!("listener-{:08x}", rand::random::<u32>()),
            "127.0.0.1",
            port,
        ))
    }

    /// With a login.
    pub(crate) fn connect_as(port: u16, username: &str, password: &str) -> Self {
        let mut options = MqttOptions::new(
            format!("listener-{:08x}", rand::random::<u32>()),
            "127.0.0.1",
            port,
        );
        options.set_credentials(username, password);
        Self::with(options)
    }

    fn with(mut options: MqttOptions) -> Self {
        options
            .set_max_packet_size(Some(8 << 20))
            .set_outgoing_inflight_upper_limit(100);
        // Messages published while the broker restarts are received after it.
        options
            .set_clean_start(false)
            .set_session_expiry_interval(Some(600));
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, mut events) = AsyncClient::new(options, 1000);
        let log = Arc::new(Log::default());
        let mut tasks = JoinSet::new();
        let (heard, again) = (Arc::clone(&log), client.clone());
        tasks.spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::Publish(p))) => {
                        let correlation = p
                            .properties
                            .and_then(|props| props.correlation_data)
                            .map(|data| data.to_vec());
                        let topic = String::from_utf8_lossy(&p.topic).into_owned();
                        heard.messages.lock().unwrap().push(Message {
                            topic,
                            payload: p.payload,
                            correlation,
                            dup: p.dup,
                            taken: false,
                        });
                    }
                    Ok(Event::Incoming(Packet::ConnAck(ack))) if !ack.session_present => {
                        for filter in heard.filters.lock().unwrap().iter() {
                            again.try_subscribe(filter, QoS::AtLeastOnce).unwrap();
                        }
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => {
                        *heard.subscribed.lock().unwrap() += 1;
                    }
                    Ok(Event::Incoming(Packet::PubAck(_))) => {
                        *heard.acknowledged.lock().unwrap() += 1;
                    }
                    Ok(_) => continue,
                    Err(_) => sleep(Duration::from_millis(20)).await,
                }
                heard.changed.notify_waiters();
            }
        });
        Self {
            client,
            log,
            marks: 0,
            _tasks: tasks,
        }
    }

    pub(crate) async fn subscribe(&mut self, filter: &str) {
        self.client
            .subscribe(filter, QoS::AtLeastOnce)
            .await
            .unwrap();
        self.log.filters.lock().unwrap().push(filter.to_owned());
        let wanted = *self.log.subscribed.lock().unwrap() + 1;
        self.until(PATIENCE, |log| {
            (*log.subscribed.lock().unwrap() >= wanted).then_some(())
        })
        .await
        .expect("subscribed");
    }

    pub(crate) async fn publish(&mut self, topic: &str, payload: impl Into<Bytes>) {
        self.client
            .publish(topic, QoS::AtLeastOnce, false, payload)
            .await
            .unwrap();
    }

    /// Publishes with `QoS` 0: the broker holds nothing back.
    pub(crate) async fn publish_at_most_once(&mut self, topic: &str, payload: impl Into<Bytes>) {
        self.client
            .publish(topic, QoS::AtMostOnce, false, payload)
            .await
            .unwrap();
    }

    /// Publishes, and again until the broker has acknowledged it. Gives how often.
    pub(crate) async fn publish_surely(&mut self, topic: &str, payload: &str) -> usize {
        for times in 1.. {
            let before = *self.log.acknowledged.lock().unwrap();
            self.publish(topic, payload.to_owned()).await;
            if self
                .until(Duration::from_secs(1), |log| {
                    (*log.acknowledged.lock().unwrap() > before).then_some(())
                })
                .await
                .is_some()
            {
                return times;
            }
        }
        0
    }

    pub(crate) async fn publish_retained(&mut self, topic: &str, payload: impl Into<Bytes>) {
        self.client
            .publish(topic, QoS::AtLeastOnce, true, payload)
            .await
            .unwrap();
        self.settle().await;
    }

    /// Publishes with a response topic and correlation data.
    pub(crate) async fn request(
        &mut self,
        topic: &str,
        payload: &str,
        response: &str,
        correlation: &[u8],
    ) {
        let properties = PublishProperties {
            response_topic: Some(response.to_owned()),
            correlation_data: Some(Bytes::copy_from_slice(correlation)),
            ..PublishProperties::default()
        };
        self.client
            .publish_with_properties(
                topic,
                QoS::AtLeastOnce,
                false,
                payload.to_owned(),
                properties,
            )
            .await
            .unwrap();
    }

    async fn until<T>(&self, within: Duration, found: impl Fn(&Log) -> Option<T>) -> Option<T> {
        let search = async {
            loop {
                let changed = self.log.changed.notified();
                if let Some(found) = found(&self.log) {
                    return found;
                }
                // A bound on the wait, for a change between the check and the wait.
                let _ = timeout(Duration::from_millis(100), changed).await;
            }
        };
        timeout(within, search).await.ok()
    }

    /// The first message like this that was not taken before; takes it.
    pub(crate) async fn wait_for(
        &self,
        is_it: impl Fn(&Message) -> bool,
        within: Duration,
    ) -> Option<Message> {
        self.until(within, |log| {
            let mut messages = log.messages.lock().unwrap();
            let found = messages.iter_mut().find(|m| !m.taken && is_it(m))?;
            found.taken = true;
            Some(found.clone())
        })
        .await
    }

    /// Waits until the newest message on `topic` is like this; older ones do not count.
    pub(crate) async fn comes_to(
        &self,
        topic: &str,
        is_it: impl Fn(&Message) -> bool,
        within: Duration,
    ) -> bool {
        let newest = |log: &Log| {
            log.messages
                .lock()
                .unwrap()
                .iter()
                .rfind(|m| m.topic == topic)
                .is_some_and(&is_it)
        };
        self.until(within, |log| newest(log).then_some(()))
            .await
            .is_some()
    }

    pub(crate) async fn expect(&self, topic: &str, within: Duration) -> Message {
        let found = self.wait_for(|m| m.topic == topic, within).await;
        found.unwrap_or_else(|| {
            unreachable!(
                "nothing on {topic}; heard {:?}",
                self.log
                    .messages
                    .lock()
                    .unwrap()
                    .iter()
                    .map(|m| (&m.topic, m.text()))
                    .collect::<Vec<_>>()
            )
        })
    }

    /// Returns all messages received up to now.
    pub(crate) fn so_far(&self) -> Vec<Message> {
        self.log.messages.lock().unwrap().clone()
    }

    /// Returns all messages received so far, taken or not, in order, after a message of its own has
    /// passed through the broker.
    pub(crate) async fn heard(&mut self) -> Vec<Message> {
        self.settle().await;
        self.log.messages.lock().unwrap().clone()
    }

    pub(crate) async fn count(&mut self, topic: &str) -> usize {
        self.heard()
            .await
            .iter()
            .filter(|m| m.topic == topic)
            .count()
    }

    async fn settle(&mut self) {
        self.marks += 1;
        let mark = format!("listener/mark/{:08x}/{}", rand::random::<u32>(), self.marks);
        self.subscribe(&mark).await;
        self.publish(&mark, "").await;
        self.wait_for(|m| m.topic == mark, PATIENCE)
            .await
            .expect("the mark comes back");
    }
}
