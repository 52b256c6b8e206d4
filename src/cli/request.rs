//! A request to the running daemon and its answer, over the broker like any other MQTT client.

use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Filter, Packet, PubAckReason, Publish, PublishProperties, SubAck, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use serde_json::Value as Json;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::units;
use crate::mqtt::Settings;
use crate::mqtt::inbox::MAX_CONTROL_BYTES;

use crate::cli::broker;
use crate::cli::broker::BrokerUnreachable;
use crate::cli::exit::{Exit, Failure};
use crate::cli::runtime;

/// The request queue of the client holds eight entries and gets at most two.
const QUEUE_HAS_ROOM: &str = "the queue holds eight requests and is given two";

/// Longest wait for the DISCONNECT packet to be sent.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// A request: its payload, and the topics of request and answer below the prefix.
#[derive(Debug)]
pub(super) struct BrokerRequest {
    pub(super) topic: String,
    pub(super) answer_topic: String,
    pub(super) payload: String,
}

impl BrokerRequest {
    /// Creates a request of an operator to the daemon. `source` is the last level of the control
    /// topic.
    fn control(source: &str, payload: &Json) -> Self {
        let topic = format!("control/{source}");
        Self {
            answer_topic: format!("{topic}/answer"),
            topic,
            payload: payload.to_string(),
        }
    }
}

/// Callback for the pieces of an answer that arrive before the answer itself.
type OnPiece<'a> = &'a mut dyn FnMut(&[u8]);

/// Reason why there is no answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error(transparent)]
    Broker(#[from] BrokerUnreachable),
    #[error("nobody listens on `{topic}`: is the daemon running? `systemctl status sayso`")]
    NobodyListens { topic: String },
    #[error("no reply within {}: is the daemon running? `systemctl status \
        sayso`", units::show_duration(*.timeout))]
    Late { timeout: Duration },
    #[error(
        "no reply within {}, although the daemon is online: the command may have been done. The \
         login may lack the right to read `{answer_topic}` (mosquitto: `topic read \
         {answer_topic}`); `sayso doctor` checks that",
        units::show_duration(*.timeout)
    )]
    LateThoughOnline {
        timeout: Duration,
        answer_topic: String,
    },
    #[error(
        "no reply within {}: the daemon is offline. Start it with `systemctl start sayso`; \
         `journalctl -u sayso -n 50` shows why it ended",
        units::show_duration(*.timeout)
    )]
    Offline { timeout: Duration },
}

impl NoAnswer {
    fn explained(self, settings: &Settings) -> Result<Failure, Failure> {
        match self {
            Self::Broker(error) => Ok(error.explained(settings, &runtime::create()?)),
            error => Ok(Failure::new(Exit::Again, error)),
        }
    }
}

/// Sends a request and returns the payload of its answer.
pub(super) fn send(
    settings: &Settings,
    timeout: Duration,
    request: &BrokerRequest,
    on_piece: OnPiece<'_>,
) -> Result<Vec<u8>, Failure> {
    let runtime = runtime::create()?;
    match runtime.block_on(exchange(settings, timeout, request, on_piece)) {
        Ok(answer) => Ok(answer),
        Err(error) => Err(error.explained(settings)?),
    }
}

/// Connects to the broker once.
///
/// # Errors
/// When that is not possible; with the cause.
pub(super) fn check_connection(settings: &Settings, timeout: Duration) -> Result<(), Failure> {
    let request = BrokerRequest::control("cli", &Json::Null);
    let runtime = runtime::create()?;
    let connected = runtime.block_on(async {
        let mut exchange = Exchange::connected(settings, timeout, &request).await?;
        exchange.close().await;
        Ok(())
    });
    connected.or_else(|error: NoAnswer| Err(error.explained(settings)?))
}

/// Sends a request of an operator to the daemon and returns its answer.
pub(super) fn send_control(
    settings: &Settings,
    timeout: Duration,
    source: &str,
    payload: &Json,
) -> Result<Json, Failure> {
    let request = BrokerRequest::control(source, payload);
    let bytes = request.payload.len();
    // The daemon drops it without an answer.
    if bytes > MAX_CONTROL_BYTES {
        return Err(Failure::new(
            Exit::Failed,
            format!("the request has {bytes} bytes, the daemon reads at most {MAX_CONTROL_BYTES}"),
        ));
    }
    let answer = send(settings, timeout, &request, &mut |_| {})?;
    serde_json::from_slice(&answer)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot parse the answer: {error}")))
}

/// Returns the line about a request that the daemon rejected.
pub(super) fn rejection(answer: &Json) -> String {
    let why = answer["why"].as_str();
    format!("✗ {}", why.unwrap_or("the daemon gave no reason"))
}

/// Connects, sends the request and waits for the answer, all within `timeout`.
async fn exchange(
    settings: &Settings,
    timeout: Duration,
    request: &BrokerRequest,
    on_piece: OnPiece<'_>,
) -> Result<Vec<u8>, NoAnswer> {
    let deadline = Instant::now() + timeout;
    let mut exchange = Exchange::connected(settings, timeout, request).await?;
    let answer = timeout_at(deadline, exchange.answer(on_piece)).await;
    exchange.close().await;
    match answer {
        Ok(answer) => answer,
        Err(_) => Err(exchange.late(timeout)),
    }
}

/// One request and its answer, on a connection of their own.
struct Exchange<'a> {
    settings: &'a Settings,
    client: AsyncClient,
    events: EventLoop,
    topic: String,
    answer_topic: String,
    /// Topic of the pieces of an answer.
    piece_topic: String,
    status_topic: String,
    /// Retained status of the daemon, if the login may read it.
    status: Option<String>,
    /// Correlation data that distinguishes this answer from those to other clients with the same
    /// source.
    correlation: String,
    payload: String,
    /// Seconds after which the broker drops an undelivered request.
    expiry: u32,
}

impl<'a> Exchange<'a> {
    fn new(
        settings: &'a Settings,
        timeout: Duration,
        request: &BrokerRequest,
    ) -> Result<Self, NoAnswer> {
        let (client, events) = broker::client(settings, "say", timeout)?;
        let seconds = u32::try_from(timeout.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        let answer_topic = format!("{}/{}", settings.prefix, request.answer_topic);
        Ok(Self {
            settings,
            client,
            events,
            topic: format!("{}/{}", settings.prefix, request.topic),
            piece_topic: format!("{answer_topic}/stream"),
            answer_topic,
            status_topic: format!("{}/status", settings.prefix),
            status: None,
            correlation: format!("{:016x}", rand::random::<u64>()),
            payload: request.payload.clone(),
            expiry: seconds.max(1),
        })
    }

    /// Connects to the broker within `timeout`.
    async fn connected(
        settings: &'a Settings,
        timeout: Duration,
        request: &BrokerRequest,
    ) -> Result<Self, NoAnswer> {
        let mut exchange = Self::new(settings, timeout, request)?;
        if let Ok(connected) = tokio::time::timeout(timeout, exchange.connect()).await {
            connected?;
            return Ok(exchange);
        }
        let broker = broker::address(settings);
        Err(BrokerUnreachable::Silent { broker, timeout }.into())
    }

    async fn connect(&mut self) -> Result<(), NoAnswer> {
        while !matches!(self.next().await?, Event::Incoming(Packet::ConnAck(_))) {}
        Ok(())
    }

    async fn next(&mut self) -> Result<Event, NoAnswer> {
        let event = self.events.poll().await;
        Ok(event.map_err(|error| BrokerUnreachable::of(&broker::address(self.settings), error))?)
    }

    /// Subscribes, and publishes the request once the subscription is confirmed, so that no answer
    /// is missed.
    async fn answer(&mut self, on_piece: OnPiece<'_>) -> Result<Vec<u8>, NoAnswer> {
        // One packet: its first code is that of the answer. The pieces and the status are not
        // essential.
        let topics = [&self.answer_topic, &self.piece_topic, &self.status_topic];
        let filters = topics.map(|topic| Filter::new(topic.clone(), QoS::AtLeastOnce));
        self.client
            .try_subscribe_many(filters)
            .expect(QUEUE_HAS_ROOM);
        loop {
            match self.next().await? {
                Event::Incoming(Packet::SubAck(ack)) => self.publish(&ack)?,
                Event::Incoming(Packet::PubAck(ack)) => self.check_published(ack.reason)?,
                Event::Incoming(Packet::Publish(message)) => {
                    if message.topic == self.status_topic {
                        self.status = Some(String::from_utf8_lossy(&message.payload).into_owned());
                    } else if !self.is_for_us(&message) {
                        // The answer to another client with the same source.
                    } else if message.topic == self.piece_topic {
                        on_piece(&message.payload);
                    } else {
                        return Ok(message.payload.to_vec());
                    }
                }
                _ => {}
            }
        }
    }

    fn publish(&self, ack: &SubAck) -> Result<(), NoAnswer> {
        match ack.return_codes.first() {
            Some(SubscribeReasonCode::Success(_)) => {}
            code => {
                let why = code.map_or_else(|| "no reason".to_owned(), |code| format!("{code:?}"));
                return Err(BrokerUnreachable::read_not_allowed(
                    self.settings,
                    &self.answer_topic,
                    &why,
                )
                .into());
            }
        }
        let properties = PublishProperties {
            response_topic: Some(self.answer_topic.clone()),
            correlation_data: Some(self.correlation.clone().into()),
            message_expiry_interval: Some(self.expiry),
            ..PublishProperties::default()
        };
        let (topic, payload) = (self.topic.clone(), self.payload.clone());
        self.client
            .try_publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties)
            .expect(QUEUE_HAS_ROOM);
        Ok(())
    }

    fn check_published(&self, reason: PubAckReason) -> Result<(), NoAnswer> {
        let topic = &self.topic;
        match reason {
            PubAckReason::Success => Ok(()),
            PubAckReason::NoMatchingSubscribers => Err(NoAnswer::NobodyListens {
                topic: topic.clone(),
            }),
            why => {
                let why = format!("{why:?}");
                Err(BrokerUnreachable::write_not_allowed(self.settings, topic, &why).into())
            }
        }
    }

    fn is_for_us(&self, message: &Publish) -> bool {
        let properties = message.properties.as_ref();
        let correlation = properties.and_then(|p| p.correlation_data.as_deref());
        correlation == Some(self.correlation.as_bytes())
    }

    /// Returns why no answer arrived in time.
    fn late(&self, timeout: Duration) -> NoAnswer {
        match self.status.as_deref() {
            Some("online") => NoAnswer::LateThoughOnline {
                timeout,
                answer_topic: self.answer_topic.clone(),
            },
            Some(_) => NoAnswer::Offline { timeout },
            None => NoAnswer::Late { timeout },
        }
    }

    /// Disconnects in order, so that the broker does not log a lost connection.
    async fn close(&mut self) {
        if self.client.try_disconnect().is_ok() {
            let sent = async {
                while let Ok(event) = self.events.poll().await {
                    if matches!(event, Event::Outgoing(Outgoing::Disconnect)) {
                        break;
                    }
                }
            };
            // The answer is there already; a broken connection does not matter any more.
            let _ = timeout(CLOSE_TIMEOUT, sent).await;
        }
    }
}
