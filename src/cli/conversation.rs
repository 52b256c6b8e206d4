//! A question to the running daemon and its answer, over the broker like any other client.

use std::time::Duration;

use clap::Args;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Filter, Packet, PubAckReason, Publish, PublishProperties, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop};

use crate::config::{Config, Scope, units};
use crate::mqtt;

use crate::cli::broker;
use crate::cli::broker::BrokerUnreachable;
use crate::cli::{Exit, Files, Stop, duration};

/// Where the broker is, and how long to wait.
#[derive(Debug, Args)]
pub(super) struct Channel {
    #[command(flatten)]
    files: Files,
    /// How long to wait for the answer; past it a command is not acted on any more
    #[arg(long, global = true, default_value = "10s", value_parser = duration)]
    pub(super) timeout: Duration,
    /// The broker, in place of the config's
    #[arg(long, global = true)]
    host: Option<String>,
    /// Its port, in place of the config's
    #[arg(long, global = true)]
    port: Option<u16>,
}

/// What is asked, and the topics below the prefix of question and answer.
pub(super) struct Question {
    pub(super) topic: String,
    pub(super) answer: String,
    pub(super) payload: String,
}

/// Takes what comes before an answer: its pieces.
type OnPiece<'a> = &'a mut dyn FnMut(&[u8]);

/// Asks, and gives the answer as it came.
pub(super) fn ask(
    way: &Channel,
    question: &Question,
    on_piece: OnPiece<'_>,
) -> Result<Vec<u8>, Stop> {
    let mut broker = Config::load(&way.files.place(Scope::Broker))?.mqtt;
    if let Some(host) = &way.host {
        broker.host.clone_from(host);
    }
    broker.port = way.port.unwrap_or(broker.port);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::new(Exit::Internal, error))?;
    runtime
        .block_on(converse(way.timeout, &broker, question, on_piece))
        .map_err(|error| Stop::new(error.exit(), error))
}

/// Asks and waits, for all of it no longer than asked.
async fn converse(
    timeout: Duration,
    broker: &mqtt::Settings,
    question: &Question,
    on_piece: OnPiece<'_>,
) -> Result<Vec<u8>, NoReply> {
    let until = tokio::time::Instant::now() + timeout;
    let mut conversation = Conversation::open(timeout, broker, question)?;
    let silent = |broker: &str| BrokerUnreachable::Silent {
        broker: broker.to_owned(),
        timeout,
    };
    tokio::time::timeout_at(until, conversation.connected())
        .await
        .map_err(|_| silent(&conversation.broker))??;
    tokio::time::timeout_at(until, conversation.answer(on_piece))
        .await
        .map_err(|_| NoReply::Late { timeout })?
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
enum NoReply {
    #[error(transparent)]
    Broker(#[from] BrokerUnreachable),
    #[error("nobody listens on `{topic}`: is the daemon running? `systemctl status sayso`")]
    NobodyListens { topic: String },
    #[error("no reply within {}: is the daemon running? `systemctl status sayso`", units::show_duration(*.timeout))]
    Late { timeout: Duration },
}

impl NoReply {
    fn exit(&self) -> Exit {
        match self {
            Self::NobodyListens { .. } | Self::Late { .. } => Exit::Again,
            Self::Broker(why) => why.exit(),
        }
    }
}

/// One question and its answer, on a connection of their own.
struct Conversation {
    client: AsyncClient,
    events: EventLoop,
    broker: String,
    topic: String,
    answer_topic: String,
    /// Tells our reply from those to others of the same source.
    correlation: String,
    payload: String,
    /// After so many seconds nobody waits for the reply: the broker drops the command then.
    expiry: u32,
}

impl Conversation {
    fn open(
        timeout: Duration,
        broker: &mqtt::Settings,
        question: &Question,
    ) -> Result<Self, NoReply> {
        let correlation = format!("{:016x}", rand::random::<u64>());
        let (client, events) = broker::client(broker, "say", timeout)?;
        Ok(Self {
            client,
            events,
            broker: broker::address(broker),
            topic: format!("{}/{}", broker.prefix, question.topic),
            answer_topic: format!("{}/{}", broker.prefix, question.answer),
            correlation,
            payload: question.payload.clone(),
            expiry: u32::try_from(timeout.as_millis().div_ceil(1000))
                .unwrap_or(u32::MAX)
                .max(1),
        })
    }

    async fn connected(&mut self) -> Result<(), NoReply> {
        while !matches!(self.next().await?, Event::Incoming(Packet::ConnAck(_))) {}
        Ok(())
    }

    async fn next(&mut self) -> Result<Event, NoReply> {
        Ok(self
            .events
            .poll()
            .await
            .map_err(|error| BrokerUnreachable::of(&self.broker, error))?)
    }

    /// Subscribes, and asks once that stands, so that no answer can be missed.
    async fn answer(mut self, on_piece: OnPiece<'_>) -> Result<Vec<u8>, NoReply> {
        let full = "the queue holds eight requests and is given two";
        let pieces = format!("{}/stream", self.answer_topic);
        // One packet: its first code tells whether the answer itself can be heard; pieces can be done without.
        let filters =
            [&self.answer_topic, &pieces].map(|topic| Filter::new(topic.clone(), QoS::AtLeastOnce));
        self.client.try_subscribe_many(filters).expect(full);
        loop {
            match self.next().await? {
                Event::Incoming(Packet::SubAck(ack)) => match ack.return_codes.first() {
                    Some(SubscribeReasonCode::Success(_)) => {
                        let properties = PublishProperties {
                            response_topic: Some(self.answer_topic.clone()),
                            correlation_data: Some(self.correlation.clone().into()),
                            message_expiry_interval: Some(self.expiry),
                            ..PublishProperties::default()
                        };
                        let (topic, payload) = (self.topic.clone(), self.payload.clone());
                        self.client
                            .try_publish_with_properties(
                                topic,
                                QoS::AtLeastOnce,
                                false,
                                payload,
                                properties,
                            )
                            .expect(full);
                    }
                    why => {
                        return Err(self.forbidden(&format!(
                            "subscribing to `{}`: {why:?}",
                            self.answer_topic
                        )));
                    }
                },
                Event::Incoming(Packet::PubAck(ack)) => match ack.reason {
                    PubAckReason::Success => {}
                    PubAckReason::NoMatchingSubscribers => {
                        return Err(NoReply::NobodyListens { topic: self.topic });
                    }
                    why => {
                        return Err(
                            self.forbidden(&format!("publishing to `{}`: {why:?}", self.topic))
                        );
                    }
                },
                Event::Incoming(Packet::Publish(publish))
                    if self.is_ours(&publish) && publish.topic == pieces =>
                {
                    on_piece(&publish.payload);
                }
                Event::Incoming(Packet::Publish(publish)) if self.is_ours(&publish) => {
                    return Ok(publish.payload.to_vec());
                }
                _ => {}
            }
        }
    }

    fn is_ours(&self, publish: &Publish) -> bool {
        let correlation = publish
            .properties
            .as_ref()
            .and_then(|p| p.correlation_data.as_deref());
        correlation == Some(self.correlation.as_bytes())
    }

    fn forbidden(&self, why: &str) -> NoReply {
        BrokerUnreachable::Forbidden {
            broker: self.broker.clone(),
            why: why.to_owned(),
        }
        .into()
    }
}
