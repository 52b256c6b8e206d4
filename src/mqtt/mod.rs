//! The connection to the broker: commands and device states in, actions and replies out.
//! Knows nothing of homes, models or stores; channels join it to the pipeline in `daemon.rs`.
//!
//! [`connect`] gives three ends: the [`Connection`] is the poll loop and runs in a task of its own; the [`Inbox`] is read by
//! one task; the [`Outbox`] is shared by all who have something to say. No end waits for another.

mod inflight;
mod session;
use std::net::Ipv6Addr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::LastWill;
use rumqttc::v5::{AsyncClient, MqttOptions};
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};

use crate::secret::Secret;
use crate::telemetry::counters::Counters;

use crate::mqtt::connection::{Connection, INFLIGHT};
use crate::mqtt::inbox::Inbox;
use crate::mqtt::outbox::Outbox;
use crate::mqtt::session::Session;
use crate::mqtt::subscriptions::Subscriptions;
use crate::mqtt::tls::TlsError;
use crate::vocabulary::topic::{BadTopic, Echo, Filter, Topic, refuse_echo};
use crate::wire::WireRules;

pub mod connection;
pub mod inbox;
pub mod outbox;
mod subscriptions;
pub mod tls;

/// The shortest keep-alive: rumqttc takes no less.
pub const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The largest packet taken from the broker, in bytes. A larger one would end the connection, and a retained one would do so
/// again and again; brokers keep it back when they know. `Zigbee2MQTT`'s list of 200 devices has 1 MB.
const LARGEST_PACKET: u32 = 4 << 20;

/// Commands the broker may have sent us without an acknowledgement; further ones wait there.
const RECEIVE_MAX: u16 = 256;

/// Requests that may wait inside rumqttc: the window, all acknowledgements, and subscriptions.
const REQUESTS: usize = 512;

/// How long connecting may take, TLS and CONNACK included, in seconds.
const CONNECT_SECONDS: u64 = 10;

/// How to reach the broker, and what to listen to.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Name or address of the broker.
    pub host: String,
    /// 1883 plain, 8883 with TLS.
    pub port: u16,
    /// TLS, where the broker speaks it.
    pub tls: Option<Tls>,
    /// Who we say we are.
    pub login: Option<Login>,
    /// The MQTT client id: the broker keeps our session under it, so two daemons must not share one.
    pub client_id: String,
    /// The first levels of sayso's own topics.
    pub prefix: String,
    /// Seconds of silence after which the connection is probed; 5 s at least.
    pub keep_alive: Duration,
    /// How long a command is good for when it does not say; the broker keeps our session as long.
    pub ttl: Duration,
    /// Commands that may wait for the pipeline; one more is answered `busy`.
    pub queue: NonZeroUsize,
    /// Messages that may wait for the broker.
    pub outbox: NonZeroUsize,
    /// Beginnings of MQTT 5 response topics that are obeyed, such as `clients/`. `<prefix>/reply/<source>` and what is below it always are.
    pub reply_prefixes: Vec<String>,
}

/// How to trust the broker, and be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// PEM file of the authority that signed the broker's certificate; the system's roots where absent.
    pub ca: Option<PathBuf>,
    /// PEM files of our own certificate chain and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A name and password for the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Option<Secret>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 1883,
            tls: None,
            login: None,
            client_id: "sayso".to_owned(),
            prefix: "sayso".to_owned(),
            keep_alive: Duration::from_secs(30),
            ttl: Duration::from_mins(1),
            queue: NonZeroUsize::new(256).unwrap_or(NonZeroUsize::MIN),
            outbox: NonZeroUsize::new(1024).unwrap_or(NonZeroUsize::MIN),
            reply_prefixes: Vec::new(),
        }
    }
}

/// The settings cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The keep-alive is too short.
    #[error("`mqtt.keep_alive` is {} s, wanted {} s to 65535 s", .found.as_secs_f64(), SHORTEST_KEEP_ALIVE.as_secs())]
    KeepAlive {
        /// What was set.
        found: Duration,
    },
    /// The client id is empty: the broker would keep no session.
    #[error("`mqtt.client_id` is empty, wanted a name no other client has")]
    NoClientId,
    /// The prefix or a state topic is none.
    #[error(transparent)]
    Topic(#[from] BadTopic),
    /// A beginning of response topics allows too much.
    #[error(
        "`{found}` in `mqtt.reply_prefixes` is not the beginning of a topic: wanted one such as `clients/`"
    )]
    ReplyPrefix {
        /// What was set.
        found: String,
    },
    /// sayso would hear itself.
    #[error(transparent)]
    Echo(#[from] Echo),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
}

/// Builds the three ends of a broker connection. Opens nothing yet; [`Connection::run`] does. Commands are heard on
/// `<prefix>/command/+`, requests of operators on `<prefix>/control/+`, states of devices on `state_topics`.
///
/// # Errors
/// When the settings cannot work: see [`SetupError`].
pub fn connect(
    settings: &Settings,
    state_topics: Vec<String>,
    counters: Arc<Counters>,
) -> Result<(Connection, Inbox, Outbox), SetupError> {
    let options = options(settings)?;
    let commands = Filter::new(crate::wire::command_filter(&settings.prefix))?;
    let controls = Filter::new(crate::wire::control_filter(&settings.prefix))?;
    let states = state_topics
        .into_iter()
        .map(Filter::new)
        .collect::<Result<Vec<_>, _>>()?;
    refuse_own_echo(&settings.prefix, &[&commands, &controls], &states)?;
    if let Some(found) = settings
        .reply_prefixes
        .iter()
        .find(|p| Topic::new(p.as_str()).is_err() || *p == "/")
    {
        return Err(SetupError::ReplyPrefix {
            found: found.clone(),
        });
    }
    let (client, eventloop) = AsyncClient::new(options, REQUESTS);
    let outbox = outbox::outbox(settings.outbox, counters);
    let (intake, inbox) = inbox::inbox(settings.queue);
    let link = Session::new(
        client,
        settings.rules(),
        Subscriptions::new(commands, controls, states),
        outbox.clone(),
        intake,
    );
    Ok((
        Connection {
            eventloop,
            link,
            keep_alive: settings.keep_alive,
        },
        inbox,
        outbox,
    ))
}

impl Settings {
    /// What decides about a letter.
    pub fn rules(&self) -> WireRules {
        WireRules {
            prefix: self.prefix.clone(),
            reply_prefixes: self.reply_prefixes.clone(),
            ttl: self.ttl,
        }
    }
}

/// sayso's own topics for answers must not be heard as commands or states.
fn refuse_own_echo(prefix: &str, own: &[&Filter], states: &[Filter]) -> Result<(), SetupError> {
    let outputs = [
        "reply/#",
        "action/+",
        "control/+/answer",
        "status",
        "health",
        "dead",
    ]
    .map(|last| Filter::new(format!("{prefix}/{last}")));
    let outputs = outputs.into_iter().collect::<Result<Vec<_>, _>>()?;
    let subscriptions: Vec<Filter> = states.iter().chain(own.iter().copied()).cloned().collect();
    Ok(refuse_echo(&outputs, &subscriptions)?)
}

fn options(settings: &Settings) -> Result<MqttOptions, SetupError> {
    if !(SHORTEST_KEEP_ALIVE.as_secs()..=u16::MAX.into()).contains(&settings.keep_alive.as_secs()) {
        return Err(SetupError::KeepAlive {
            found: settings.keep_alive,
        });
    }
    if settings.client_id.is_empty() {
        return Err(SetupError::NoClientId);
    }
    let status = Topic::new(format!("{}/status", settings.prefix))?;
    let mut options = MqttOptions::new(settings.client_id.as_str(), host(settings), settings.port);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_SECONDS);
    options
        .set_keep_alive(settings.keep_alive)
        .set_clean_start(false)
        .set_session_expiry_interval(Some(
            u32::try_from(settings.ttl.as_secs())
                .unwrap_or(u32::MAX)
                .max(1),
        ))
        .set_max_packet_size(Some(LARGEST_PACKET))
        .set_receive_maximum(Some(RECEIVE_MAX))
        .set_outgoing_inflight_upper_limit(INFLIGHT)
        .set_manual_acks(true)
        .set_network_options(network)
        .set_connection_timeout(CONNECT_SECONDS)
        .set_last_will(LastWill::new(
            status.as_str(),
            "offline",
            QoS::AtLeastOnce,
            true,
            None,
        ));
    if let Some(login) = &settings.login {
        options.set_credentials(
            login.username.as_str(),
            login.password.as_ref().map_or("", Secret::expose),
        );
    }
    if let Some(tls) = &settings.tls {
        let config = TlsConfiguration::Rustls(Arc::new(tls::client_config(tls)?));
        options.set_transport(Transport::tls_with_config(config));
    }
    Ok(options)
}

/// rumqttc joins host and port with a colon, so an IPv6 address needs brackets; TLS wants the bare name.
fn host(settings: &Settings) -> String {
    if settings.tls.is_none() && settings.host.parse::<Ipv6Addr>().is_ok() {
        format!("[{}]", settings.host)
    } else {
        settings.host.clone()
    }
}
