//! `sayso say`: one command to the running daemon, over the broker like any other client, and its reply.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason, Publish, PublishProperties, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use serde_json::json;

use crate::command::reply::Reply;
use crate::config::{Config, Needs, units};
use crate::mqtt;
use crate::mqtt::tls::{TlsError, client_config};

use super::{Exit, Files, Stop, answer, duration, source};

const EXAMPLES: &str = "\
Examples:
  sayso say \"turn off the kitchen light\"
  sayso say --area bedroom \"lights off\"
  sayso say --dry-run --json \"lock up\" | jq .actions
  sayso say --host broker.local --port 1883 \"is the back door locked?\"

Exit codes: 0 done or answered, 1 refused, unclear or failed, 75 no broker or no reply in time,
78 the config is wrong.";

/// The arguments of `sayso say`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Say {
    /// What to say
    text: String,
    #[command(flatten)]
    files: Files,
    /// Who says it: the last level of the command topic
    #[arg(long, default_value = "cli", value_parser = source)]
    source: String,
    /// Where it is said: what "here" is
    #[arg(long)]
    area: Option<String>,
    /// An id: the same command with the same id is done once
    #[arg(long)]
    id: Option<String>,
    /// How long to wait for the reply; past it the command is not acted on any more
    #[arg(long, default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Ask what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the reply as it came, as JSON
    #[arg(long)]
    json: bool,
    /// The broker, in place of the config's
    #[arg(long)]
    host: Option<String>,
    /// Its port, in place of the config's
    #[arg(long)]
    port: Option<u16>,
}

/// Says it, waits for the reply, prints it.
pub(super) fn say(arguments: &Say, out: &mut impl Write) -> Result<Exit, Stop> {
    let mut broker = Config::load(&arguments.files.place(Needs::Broker))?.mqtt;
    if let Some(host) = &arguments.host {
        broker.host.clone_from(host);
    }
    broker.port = arguments.port.unwrap_or(broker.port);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Stop::new(Exit::Internal, error))?;
    let payload = runtime.block_on(converse(arguments, &broker));
    let payload = payload.map_err(|error| Stop::new(error.exit(), error))?;
    let reply: Reply = serde_json::from_slice(&payload).map_err(|error| Stop::new(Exit::Failed, format!("the reply cannot be read: {error}")))?;
    if arguments.json {
        out.write_all(&payload)?;
        writeln!(out)?;
    } else {
        answer::print(&reply, out)?;
    }
    Ok(answer::exit(&reply))
}

/// Says it and waits, for all of it no longer than asked.
async fn converse(arguments: &Say, broker: &mqtt::Settings) -> Result<Vec<u8>, NoReply> {
    let timeout = arguments.timeout;
    let until = tokio::time::Instant::now() + timeout;
    let mut conversation = Conversation::open(arguments, broker)?;
    let silent = |broker: &str| NoReply::Silent { broker: broker.to_owned(), timeout };
    tokio::time::timeout_at(until, conversation.connected()).await.map_err(|_| silent(&conversation.broker))??;
    tokio::time::timeout_at(until, conversation.reply()).await.map_err(|_| NoReply::Late { timeout })?
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
enum NoReply {
    #[error("cannot reach the broker at {broker} ({why}); is it running, and are `mqtt.host` and `mqtt.port` right?")]
    Unreachable { broker: String, why: Box<ConnectionError> },
    #[error("the broker at {broker} does not let us in ({why}); see `mqtt.username` and `mqtt.password_file`")]
    Forbidden { broker: String, why: String },
    #[error("the broker at {broker} does not answer within {}", units::show_duration(*.timeout))]
    Silent { broker: String, timeout: Duration },
    #[error("nobody listens on `{topic}`: is the daemon running? `systemctl status sayso`")]
    NobodyListens { topic: String },
    #[error("no reply within {}: is the daemon running? `systemctl status sayso`", units::show_duration(*.timeout))]
    Late { timeout: Duration },
    #[error("TLS cannot be set up")]
    Tls(#[source] TlsError),
}

impl NoReply {
    fn exit(&self) -> Exit {
        match self {
            Self::Silent { .. } | Self::NobodyListens { .. } | Self::Late { .. } | Self::Unreachable { .. } => Exit::Again,
            Self::Forbidden { .. } => Exit::Failed,
            Self::Tls(_) => Exit::Config,
        }
    }
}

/// One command and its reply, on a connection of their own.
struct Conversation {
    client: AsyncClient,
    events: EventLoop,
    broker: String,
    command_topic: String,
    reply_topic: String,
    /// Tells our reply from those to others of the same source.
    correlation: String,
    payload: String,
    /// After so many seconds nobody waits for the reply: the broker drops the command then.
    expiry: u32,
}

impl Conversation {
    fn open(arguments: &Say, broker: &mqtt::Settings) -> Result<Self, NoReply> {
        let correlation = format!("{:016x}", rand::random::<u64>());
        let mut options = MqttOptions::new(format!("sayso-say-{correlation}"), broker.host.as_str(), broker.port);
        options.set_keep_alive(Duration::from_secs(30)).set_clean_start(true).set_max_packet_size(Some(4 << 20));
        options.set_connection_timeout(arguments.timeout.as_secs().max(1));
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        if let Some(login) = &broker.login {
            options.set_credentials(login.username.as_str(), login.password.as_ref().map_or("", |p| p.expose()));
        }
        if let Some(settings) = &broker.tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(client_config(settings).map_err(NoReply::Tls)?))));
        }
        let (client, events) = AsyncClient::new(options, 8);
        let ttl = format!("{}ms", arguments.timeout.as_millis());
        let mut payload = json!({"text": arguments.text, "ttl": ttl});
        let given = [
            ("area", arguments.area.clone().map(Into::into)),
            ("id", arguments.id.clone().map(Into::into)),
            ("dry_run", arguments.dry_run.then(|| true.into())),
        ];
        for (key, value) in given {
            if let Some(value) = value {
                payload[key] = value;
            }
        }
        Ok(Self {
            client,
            events,
            broker: format!("{}:{}", broker.host, broker.port),
            command_topic: format!("{}/command/{}", broker.prefix, arguments.source),
            reply_topic: format!("{}/reply/{}", broker.prefix, arguments.source),
            correlation,
            payload: payload.to_string(),
            expiry: u32::try_from(arguments.timeout.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1),
        })
    }

    async fn connected(&mut self) -> Result<(), NoReply> {
        while !matches!(self.next().await?, Event::Incoming(Packet::ConnAck(_))) {}
        Ok(())
    }

    async fn next(&mut self) -> Result<Event, NoReply> {
        self.events.poll().await.map_err(|error| self.broken(error))
    }

    /// Subscribes, and says it once that stands, so that no reply can be missed.
    async fn reply(mut self) -> Result<Vec<u8>, NoReply> {
        let full = "the queue holds eight requests and is given two";
        self.client.try_subscribe(&self.reply_topic, QoS::AtLeastOnce).expect(full);
        loop {
            match self.next().await? {
                Event::Incoming(Packet::SubAck(ack)) => match ack.return_codes.first() {
                    Some(SubscribeReasonCode::Success(_)) => {
                        let properties = PublishProperties {
                            response_topic: Some(self.reply_topic.clone()),
                            correlation_data: Some(self.correlation.clone().into()),
                            message_expiry_interval: Some(self.expiry),
                            ..PublishProperties::default()
                        };
                        let (topic, payload) = (self.command_topic.clone(), self.payload.clone());
                        self.client.try_publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties).expect(full);
                    }
                    why => return Err(self.forbidden(&format!("subscribing to `{}`: {why:?}", self.reply_topic))),
                },
                Event::Incoming(Packet::PubAck(ack)) => match ack.reason {
                    PubAckReason::Success => {}
                    PubAckReason::NoMatchingSubscribers => return Err(NoReply::NobodyListens { topic: self.command_topic }),
                    why => return Err(self.forbidden(&format!("publishing to `{}`: {why:?}", self.command_topic))),
                },
                Event::Incoming(Packet::Publish(publish)) if self.is_ours(&publish) => return Ok(publish.payload.to_vec()),
                _ => {}
            }
        }
    }

    fn is_ours(&self, publish: &Publish) -> bool {
        let correlation = publish.properties.as_ref().and_then(|p| p.correlation_data.as_deref());
        correlation == Some(self.correlation.as_bytes())
    }

    fn forbidden(&self, why: &str) -> NoReply {
        NoReply::Forbidden { broker: self.broker.clone(), why: why.to_owned() }
    }

    fn broken(&self, error: ConnectionError) -> NoReply {
        match error {
            ConnectionError::ConnectionRefused(why) => self.forbidden(&format!("{why:?}")),
            error => NoReply::Unreachable { broker: self.broker.clone(), why: Box::new(error) },
        }
    }
}
