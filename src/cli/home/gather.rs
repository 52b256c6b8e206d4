//! Collection of announcements and states from the retained messages of the broker.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use tokio::time::{Instant, timeout_at};

use crate::config::Config;
use crate::discovery::Origin;
use crate::discovery::finder::{Finder, Problem};
use crate::home::Home;
use crate::home::device::Device;
use crate::home::state::State;
use crate::mqtt::Settings;
use crate::vocabulary::slug::Slug;

use crate::cli::broker;
use crate::cli::broker::BrokerUnreachable;
use crate::cli::exit::{Exit, Failure};
use crate::cli::runtime;

/// Silence after which all retained messages have arrived: a broker sends them without pauses.
const QUIET_TIME: Duration = Duration::from_millis(700);

/// Longest time for one collection.
const MAX_TIME: Duration = Duration::from_secs(10);

/// Maximum filters in one packet, because some brokers reject long packets.
const MAX_FILTERS: usize = 50;

/// A home with the source of each device.
pub(in crate::cli) struct GatheredHome {
    pub(in crate::cli) home: Arc<Home>,
    /// Protocol by which each device was announced.
    pub(in crate::cli) origins: HashMap<Slug, Origin>,
    /// Value of `announced` for devices whose name is not enough to bind a table to them.
    pub(in crate::cli) bindings: HashMap<Slug, String>,
    /// Devices declared in the home file.
    pub(in crate::cli) declared: HashSet<Slug>,
    /// Announcements that cannot be used, or not as announced.
    pub(in crate::cli) problems: Vec<Problem>,
    /// Reported states of the devices.
    pub(in crate::cli) state: State,
}

/// Collects the announcements, then the states of the announced devices.
pub(in crate::cli) fn gather(config: &Config, timeout: Duration) -> Result<GatheredHome, Failure> {
    let runtime = runtime::create()?;
    match runtime.block_on(collect(config, timeout)) {
        Ok(home) => Ok(home),
        Err(GatherError::Broker(error)) => Err(error.explained(&config.mqtt, &runtime)),
        Err(error @ GatherError::Conflict(_)) => Err(Failure::new(Exit::Failed, error)),
    }
}

/// Reason why the home cannot be collected.
#[derive(Debug, thiserror::Error)]
enum GatherError {
    #[error(transparent)]
    Broker(#[from] BrokerUnreachable),
    #[error("the announced devices conflict with the home file: {0}")]
    Conflict(String),
}

async fn collect(config: &Config, timeout: Duration) -> Result<GatheredHome, GatherError> {
    let mut finder = Finder::new(
        config.discovery.clone(),
        Arc::clone(&config.home),
        &config.mqtt.prefix,
    );
    let mut listener = AnnouncementListener::open(config, timeout).await?;
    let now = || Instant::now().into_std();
    for (topic, payload) in listener.retained(config.discovery.filters()).await? {
        finder.receive(&topic, &payload, now());
    }
    let built = finder.build().map_err(|clashes| {
        let clashes: Vec<String> = clashes.iter().map(ToString::to_string).collect();
        GatherError::Conflict(clashes.join("; "))
    })?;
    let mut state = State::default();
    let topics = built.home.state_topics().map(str::to_owned).collect();
    for (topic, payload) in listener.retained(topics).await? {
        for report in built.home.observe(&topic, &payload) {
            state.report(report, now());
        }
    }
    let declared = config
        .home
        .devices()
        .iter()
        .map(|device| device.id.clone())
        .collect();
    let unusable = finder.unusable().iter().cloned();
    let problems = unusable.chain(built.problems).collect();
    Ok(GatheredHome {
        home: Arc::new(built.home),
        origins: built.origins,
        bindings: built.bindings,
        declared,
        problems,
        state,
    })
}

impl GatheredHome {
    /// Returns the source of a device.
    pub(in crate::cli) fn source(&self, device: &Device) -> String {
        match (
            self.declared.contains(&device.id),
            self.origins.get(&device.id),
        ) {
            (true, Some(origin)) => format!("home.toml and {}", origin_name(*origin)),
            (false, Some(origin)) => origin_name(*origin).to_owned(),
            (_, None) => "home.toml".to_owned(),
        }
    }

    /// Returns `3 devices in 2 areas: 1 from home.toml, 2 from Tasmota.`
    pub(in crate::cli) fn summary(&self) -> String {
        let devices = self.home.devices();
        if devices.is_empty() {
            return "No device is known. Enable discovery in your devices (`sayso check` shows the \
                topics that sayso reads), or write a home.toml.".to_owned();
        }
        let mut sources: Vec<(String, usize)> = Vec::new();
        for source in devices.iter().map(|device| self.source(device)) {
            match sources.iter_mut().find(|(known, _)| *known == source) {
                Some((_, count)) => *count += 1,
                None => sources.push((source, 1)),
            }
        }
        let parts: Vec<String> = sources
            .iter()
            .map(|(source, count)| format!("{count} from {source}"))
            .collect();
        let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        format!(
            "{} in {}: {}.",
            plural(devices.len(), "device"),
            plural(self.home.areas().len(), "area"),
            parts.join(", ")
        )
    }
}

/// Connection that only receives.
struct AnnouncementListener {
    client: AsyncClient,
    events: EventLoop,
    broker: String,
    settings: Settings,
}

impl AnnouncementListener {
    async fn open(config: &Config, timeout: Duration) -> Result<Self, BrokerUnreachable> {
        let (client, events) = broker::client(&config.mqtt, "home", timeout)?;
        let mut listener = Self {
            client,
            events,
            broker: broker::address(&config.mqtt),
            settings: config.mqtt.clone(),
        };
        let silent = BrokerUnreachable::Silent {
            broker: listener.broker.clone(),
            timeout,
        };
        timeout_at(Instant::now() + timeout, listener.connected())
            .await
            .map_err(|_| silent)??;
        Ok(listener)
    }

    async fn connected(&mut self) -> Result<(), BrokerUnreachable> {
        while !matches!(self.next().await?, Event::Incoming(Packet::ConnAck(_))) {}
        Ok(())
    }

    async fn next(&mut self) -> Result<Event, BrokerUnreachable> {
        self.events
            .poll()
            .await
            .map_err(|error| BrokerUnreachable::of(&self.broker, error))
    }

    /// Returns the messages on the topics until no further one arrives.
    async fn retained(
        &mut self,
        filters: Vec<String>,
    ) -> Result<Vec<(String, Vec<u8>)>, BrokerUnreachable> {
        let mut messages = Vec::new();
        let mut packets = filters.chunks(MAX_FILTERS).map(|some| {
            some.iter()
                .map(|filter| Filter::new(filter.clone(), QoS::AtLeastOnce))
                .collect::<Vec<_>>()
        });
        let end = Instant::now() + MAX_TIME;
        let mut waiting = false;
        let mut quiet = Instant::now();
        loop {
            if !waiting {
                let Some(packet) = packets.next() else { break };
                self.client
                    .try_subscribe_many(packet)
                    .expect("the queue holds eight requests and is given one");
                waiting = true;
            }
            match timeout_at(end.min(Instant::now() + QUIET_TIME * 4), self.next()).await {
                Err(_) => break,
                Ok(event) => match event? {
                    Event::Incoming(Packet::SubAck(ack)) => {
                        if let Some(why) = ack
                            .return_codes
                            .iter()
                            .find(|code| !matches!(code, SubscribeReasonCode::Success(_)))
                        {
                            let why = format!("{why:?}");
                            return Err(BrokerUnreachable::read_not_allowed(
                                &self.settings,
                                "the topics of devices",
                                &why,
                            ));
                        }
                        waiting = false;
                        quiet = Instant::now() + QUIET_TIME;
                    }
                    event => keep(event, &mut messages),
                },
            }
        }
        while let Ok(event) = timeout_at(quiet.min(end), self.next()).await {
            let before = messages.len();
            keep(event?, &mut messages);
            if messages.len() > before {
                quiet = Instant::now() + QUIET_TIME;
            }
        }
        Ok(messages)
    }
}

fn keep(event: Event, messages: &mut Vec<(String, Vec<u8>)>) {
    if let Event::Incoming(Packet::Publish(message)) = event {
        messages.push((
            String::from_utf8_lossy(&message.topic).into_owned(),
            message.payload.to_vec(),
        ));
    }
}

fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::HomeAssistant => "Home Assistant discovery",
        Origin::Zigbee2mqtt => "Zigbee2MQTT",
        Origin::Tasmota => "Tasmota",
    }
}
