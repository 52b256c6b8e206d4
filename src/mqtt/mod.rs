//! The connection to the broker: commands and device states in, actions and replies out.
//!
//! Knows nothing of homes, models or stores; `daemon` connects it to the pipeline. [`connect`]
//! returns three ends: the [`Connection`] is the poll loop and runs in a task of its own, the
//! [`Inbox`] is read by one task, and the [`Outbox`] is shared by all tasks that publish. No end
//! waits for another.

mod codec;
pub mod connection;
pub mod inbox;
mod inflight;
mod link;
pub mod outbound_message;
pub mod outbox;
mod outbox_queues;
mod outbox_state;
mod requests;
mod session;
#[cfg(test)]
pub mod simulated_broker;
mod subscriptions;
pub mod tls;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::LastWill;
use rumqttc::{TlsConfiguration, Transport};

use crate::secret::Secret;
use crate::telemetry::counters::Counters;

use crate::mqtt::connection::Connection;
use crate::mqtt::inbox::{Inbox, InboxSender};
pub use crate::mqtt::link::MqttLink;
use crate::mqtt::link::{BrokerLink, link};
use crate::mqtt::outbox::Outbox;
use crate::mqtt::requests::RequestSender;
use crate::mqtt::session::{Session, SessionRole};
use crate::mqtt::subscriptions::{SubscriptionKind, Subscriptions};
pub use crate::mqtt::tls::Tls;
use crate::mqtt::tls::TlsError;
use crate::pair::{NodeReport, Pair};
use crate::store::progress_log::ProgressLog;
use crate::vocabulary::topic::{BadTopic, Echo, Filter, Topic, refuse_echo};
use crate::wire::{DeviceTopics, WireRules};

/// The shortest keep-alive that rumqttc accepts.
pub const MIN_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The largest packet accepted from the broker, in bytes. A larger one would end the connection, a
/// retained one at every attempt; brokers withhold it if they know the limit. `Zigbee2MQTT`'s list
/// of 200 devices has 1 MB.
const MAX_PACKET: u32 = 4 << 20;

/// Commands the broker may send without an acknowledgement; further ones wait at the broker.
const RECEIVE_MAX: u16 = 256;

/// Requests that may wait inside rumqttc: the window, all acknowledgements, and subscriptions.
const REQUESTS: usize = 512;

/// Longest time connecting may take, TLS and CONNACK included, in seconds.
const CONNECT_SECONDS: u64 = 10;

/// Settings of the connection to the broker.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Name or address of the broker.
    pub host: String,
    /// 1883 plain, 8883 with TLS.
    pub port: u16,
    /// TLS, if the broker offers it.
    pub tls: Option<Tls>,
    /// Name and password of sayso.
    pub login: Option<Login>,
    /// The MQTT client id. The broker keeps the session under it, so two daemons must not share
    /// one.
    pub client_id: String,
    /// First levels of sayso's own topics.
    pub prefix: String,
    /// Silence after which the connection is probed; at least 5 s.
    pub keep_alive: Duration,
    /// Time to live of a command that does not name one; the broker keeps the session as long.
    pub ttl: Duration,
    /// Commands that may wait for the pipeline; further ones are refused as `busy`.
    pub queue: NonZeroUsize,
    /// Messages that may wait for the broker.
    pub outbox: NonZeroUsize,
    /// Allowed beginnings of MQTT 5 response topics, such as `clients/`. `<prefix>/reply/<source>`
    /// and topics below it are always allowed.
    pub reply_prefixes: Vec<String>,
}

/// Name and password for the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// User name that the broker knows.
    pub username: String,
    /// Password, or `None` to send the name alone.
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

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The keep-alive is too short.
    #[error("`mqtt.keep_alive` is {} s, wanted {} s to 65535 \
        s", .found.as_secs_f64(), MIN_KEEP_ALIVE.as_secs())]
    KeepAlive {
        /// The configured value.
        found: Duration,
    },
    /// The client id is empty: the broker would keep no session.
    #[error("`mqtt.client_id` is empty, expected a name no other client has")]
    NoClientId,
    /// The prefix or a state topic is not a topic.
    #[error(transparent)]
    Topic(#[from] BadTopic),
    /// A prefix of response topics allows too much.
    #[error(
        "`{found}` in `mqtt.reply_prefixes` is not the beginning of a topic: wanted one such as \
         `clients/`"
    )]
    ReplyPrefix {
        /// The configured value.
        found: String,
    },
    /// sayso would receive its own messages.
    #[error(transparent)]
    Echo(#[from] Echo),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
}

/// Creates the three ends of a broker connection. Nothing is opened before `Connection::run`.
/// Commands are received on `<prefix>/command/+`, operators' requests on `<prefix>/control/+`,
/// states of devices on `state_topics`.
///
/// # Errors
/// When the settings cannot be used: see [`SetupError`].
pub fn connect(
    settings: &Settings,
    state_topics: Vec<String>,
    counters: Arc<Counters>,
) -> Result<(Connection, Inbox, Outbox), SetupError> {
    let (client, link) = link(options(settings)?, MAX_PACKET, REQUESTS);
    connect_with(settings, state_topics, counters, client, link)
}

/// Creates the three ends of a broker connection over the requests of `client` and their `link`.
fn connect_with<L: MqttLink>(
    settings: &Settings,
    state_topics: Vec<String>,
    counters: Arc<Counters>,
    client: RequestSender,
    link: L,
) -> Result<(Connection<L>, Inbox, Outbox), SetupError> {
    let (own, states) = filters(settings, state_topics)?;
    let outbox = outbox::outbox(settings.outbox, counters);
    let (sender, inbox) = inbox::inbox(settings.queue);
    let connection = connection(
        settings,
        (client, link),
        Subscriptions::new(own, states),
        (&outbox, sender),
        SessionRole::Alone,
    );
    Ok((connection, inbox, outbox))
}

/// The two connections of a node of a pair, and their other ends.
pub struct PairConnections<L = BrokerLink> {
    /// The connection with the shared client id. It waits until the pair admits it.
    pub leader: Connection<L>,
    /// The connection with the id of this node.
    pub observer: Connection<L>,
    /// Commands of the leader's connection, and states of devices of the observer's.
    pub inbox: Inbox,
    /// Messages of the leader.
    pub outbox: Outbox,
    /// Messages of the observer.
    pub observer_outbox: Outbox,
}

/// Creates the connections of a node of a pair; `log` keeps the progress of commands for its next
/// run. Commands and operators' requests are received on
/// that of the leader; the states of devices and the messages of the pair on that of the observer.
///
/// # Errors
/// When the settings cannot be used: see [`SetupError`].
pub fn connect_pair(
    settings: &Settings,
    pair: &Arc<Pair>,
    log: Option<ProgressLog>,
    state_topics: Vec<String>,
    counters: &Arc<Counters>,
) -> Result<PairConnections, SetupError> {
    let link = |options| link(options, MAX_PACKET, REQUESTS);
    connect_pair_over(settings, pair, (log, state_topics), counters, link)
}

/// Creates the connections of a node of a pair over the clients and links that `link` makes.
fn connect_pair_over<L: MqttLink>(
    settings: &Settings,
    pair: &Arc<Pair>,
    (log, state_topics): (Option<ProgressLog>, Vec<String>),
    counters: &Arc<Counters>,
    link: impl Fn(MqttOptions) -> (RequestSender, L),
) -> Result<PairConnections<L>, SetupError> {
    let (own, states) = filters(settings, state_topics)?;
    let (sender, inbox) = inbox::inbox(settings.queue);
    let outbox = outbox::outbox(settings.outbox, Arc::clone(counters));
    let mut leader_options = options(settings)?;
    // Commands received before the barrier must find room in the inbox.
    let queue = u16::try_from(settings.queue.get()).unwrap_or(u16::MAX);
    leader_options.set_receive_maximum(Some(RECEIVE_MAX.min(queue)));
    let leader = connection(
        settings,
        link(leader_options),
        Subscriptions::new(own, Vec::new()),
        (&outbox, Arc::clone(&sender)),
        SessionRole::Leader(Arc::clone(pair)),
    );
    let observer_outbox = outbox::outbox(settings.outbox, Arc::clone(counters));
    let observer = connection(
        settings,
        link(observer_options(settings, pair)?),
        Subscriptions::new(observed_filters(settings)?, states),
        (&observer_outbox, sender),
        SessionRole::Observer {
            pair: Arc::clone(pair),
            log,
        },
    );
    Ok(PairConnections {
        leader,
        observer,
        inbox,
        outbox,
        observer_outbox,
    })
}

/// Filters of sayso's own topics with their uses.
type OwnFilters = Vec<(Filter, SubscriptionKind)>;

/// Returns the filters of commands and operators' requests, and those of states.
fn filters(
    settings: &Settings,
    state_topics: Vec<String>,
) -> Result<(OwnFilters, Vec<Filter>), SetupError> {
    let commands = Filter::new(crate::wire::command_filter(&settings.prefix))?;
    let controls = Filter::new(crate::wire::control_filter(&settings.prefix))?;
    let states = state_topics
        .into_iter()
        .map(Filter::new)
        .collect::<Result<Vec<_>, _>>()?;
    refuse_own_echo(&settings.prefix, &[&commands, &controls], &states)?;
    let is_too_wide = |prefix: &&String| Topic::new(prefix.as_str()).is_err() || *prefix == "/";
    if let Some(found) = settings.reply_prefixes.iter().find(is_too_wide) {
        return Err(SetupError::ReplyPrefix {
            found: found.clone(),
        });
    }
    let own = vec![
        (commands, SubscriptionKind::Command),
        (controls, SubscriptionKind::Control),
    ];
    Ok((own, states))
}

/// Returns the filters that the observer of a pair follows: the messages of the pair, the status
/// and all replies.
fn observed_filters(settings: &Settings) -> Result<OwnFilters, SetupError> {
    let prefix = &settings.prefix;
    let mut observed = vec![
        format!("{prefix}/pair/#"),
        format!("{prefix}/status"),
        format!("{prefix}/reply/#"),
    ];
    let others = settings.reply_prefixes.iter();
    observed.extend(others.map(|prefix| format!("{}/#", prefix.trim_end_matches('/'))));
    let mut filters = Vec::with_capacity(observed.len());
    for filter in observed {
        filters.push((Filter::new(filter)?, SubscriptionKind::Pair));
    }
    Ok(filters)
}

fn connection<L: MqttLink>(
    settings: &Settings,
    (client, link): (RequestSender, L),
    subscriptions: Subscriptions,
    (outbox, inbox): (&Outbox, Arc<InboxSender>),
    role: SessionRole,
) -> Connection<L> {
    let rules = WireRules {
        devices: outbox.device_topics().clone(),
        ..settings.rules()
    };
    let session = Session::new(client, rules, subscriptions, outbox.clone(), inbox);
    let session = session.with_role(role);
    Connection::new(link, session, &settings.host)
}

impl Settings {
    /// Returns the settings that decide how a command is read.
    pub fn rules(&self) -> WireRules {
        WireRules {
            prefix: self.prefix.clone(),
            reply_prefixes: self.reply_prefixes.clone(),
            devices: DeviceTopics::default(),
            ttl: self.ttl,
        }
    }
}

/// Checks that sayso's own output topics are not received as commands or states.
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

/// Returns the options of the observer's connection: its id has the name of the node, and its last
/// will reports that the node is offline.
fn observer_options(settings: &Settings, pair: &Pair) -> Result<MqttOptions, SetupError> {
    let observer = Settings {
        client_id: format!("{}-{}", settings.client_id, pair.node()),
        ..settings.clone()
    };
    let report = NodeReport::last_will(pair.node());
    let mut options = options(&observer)?;
    options.set_last_will(LastWill::new(
        pair.report_topic(),
        // It consists of texts and numbers.
        serde_json::to_vec(&report).unwrap_or_default(),
        QoS::AtLeastOnce,
        true,
        None,
    ));
    Ok(options)
}

/// Returns the options of the connection. The compiler demands that a new setting is used here, or
/// named as one that the connection does not need.
fn options(settings: &Settings) -> Result<MqttOptions, SetupError> {
    let Settings {
        host,
        port,
        tls,
        login,
        client_id,
        prefix,
        keep_alive,
        ttl,
        queue: _,
        outbox: _,
        reply_prefixes: _,
    } = settings;
    if !(MIN_KEEP_ALIVE.as_secs()..=u16::MAX.into()).contains(&keep_alive.as_secs()) {
        return Err(SetupError::KeepAlive { found: *keep_alive });
    }
    if client_id.is_empty() {
        return Err(SetupError::NoClientId);
    }
    let status = Topic::new(format!("{prefix}/status"))?;
    let (id, host) = (client_id.as_str(), host.as_str());
    let mut options = MqttOptions::new(id, host, *port);
    options
        .set_keep_alive(*keep_alive)
        .set_clean_start(false)
        .set_session_expiry_interval(Some(
            u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX).max(1),
        ))
        .set_max_packet_size(Some(MAX_PACKET))
        .set_receive_maximum(Some(RECEIVE_MAX))
        .set_connection_timeout(CONNECT_SECONDS)
        .set_last_will(LastWill::new(
            status.as_str(),
            "offline",
            QoS::AtLeastOnce,
            true,
            None,
        ));
    if let Some(login) = login {
        options.set_credentials(
            login.username.as_str(),
            login.password.as_ref().map_or("", Secret::expose),
        );
    }
    if let Some(tls) = tls {
        let config = TlsConfiguration::Rustls(Arc::new(tls::client_config(tls)?));
        options.set_transport(Transport::tls_with_config(config));
    }
    Ok(options)
}
