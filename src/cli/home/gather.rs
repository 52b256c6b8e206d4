//! What the broker keeps of announcements and states, gathered over a connection of its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use tokio::time::{Instant, timeout_at};

use crate::config::Config;
use crate::discovery::Origin;
use crate::discovery::finder::Finder;
use crate::home::Home;
use crate::home::device::Device;
use crate::home::state::State;
use crate::vocabulary::slug::Slug;

use crate::cli::broker;
use crate::cli::broker::BrokerUnreachable;
use crate::cli::home::called;
use crate::cli::{Exit, Stop};

/// The broker has told all it keeps when nothing came for this long: what it keeps comes in one go.
const QUIET: Duration = Duration::from_millis(700);

/// However much comes, this long is enough.
const PATIENCE: Duration = Duration::from_secs(10);

/// Filters in one packet; some brokers refuse long ones.
const IN_ONE: usize = 50;

/// A home, and where it is known from.
pub(super) struct GatheredHome {
    pub(super) home: Arc<Home>,
    /// Who announced which device.
    pub(super) origins: HashMap<Slug, Origin>,
    /// Which devices the home file declares.
    pub(super) declared: HashSet<Slug>,
    /// Announcements that cannot be used: the topic, and why.
    pub(super) complaints: Vec<(String, String)>,
    /// What the devices said of themselves.
    pub(super) state: State,
}

/// Gathers announcements, then the states of the devices they come to.
pub(super) async fn gather(config: &Config, timeout: Duration) -> Result<GatheredHome, Stop> {
    let mut finder = Finder::new(
        config.discovery.clone(),
        Arc::clone(&config.home),
        &config.mqtt.prefix,
    );
    let mut ear = AnnouncementListener::open(config, timeout)
        .await
        .map_err(|error| Stop::new(error.exit(), error))?;
    let now = || Instant::now().into_std();
    for (topic, payload) in ear
        .told(config.discovery.filters())
        .await
        .map_err(|error| Stop::new(error.exit(), error))?
    {
        finder.hear(&topic, &payload, now());
    }
    let home = finder.home().map_err(|clashes| {
        let clashes: Vec<String> = clashes.iter().map(ToString::to_string).collect();
        Stop::new(
            Exit::Failed,
            format!(
                "what is announced does not fit the home file: {}",
                clashes.join("; ")
            ),
        )
    })?;
    let mut state = State::default();
    let topics = home.state_topics().map(str::to_owned).collect();
    for (topic, payload) in ear
        .told(topics)
        .await
        .map_err(|error| Stop::new(error.exit(), error))?
    {
        for (device, property, value) in home.observe(&topic, &payload) {
            state.heard(&device, &property, value, now());
        }
    }
    let declared = config
        .home
        .devices()
        .iter()
        .map(|device| device.id.clone())
        .collect();
    Ok(GatheredHome {
        home: Arc::new(home),
        origins: finder.origins(),
        declared,
        complaints: finder.complaints().to_vec(),
        state,
    })
}

impl GatheredHome {
    /// Where a device is known from.
    pub(super) fn source(&self, device: &Device) -> String {
        match (
            self.declared.contains(&device.id),
            self.origins.get(&device.id),
        ) {
            (true, Some(origin)) => format!("home.toml and {}", called(*origin)),
            (false, Some(origin)) => called(*origin).to_owned(),
            (_, None) => "home.toml".to_owned(),
        }
    }

    /// `3 devices in 2 areas: 1 from home.toml, 2 from Tasmota`
    pub(super) fn summary(&self) -> String {
        let devices = self.home.devices();
        if devices.is_empty() {
            return "No device is known. Let devices announce themselves (`sayso check` says where sayso listens), or write a home.toml.".to_owned();
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

/// A connection that only listens.
struct AnnouncementListener {
    client: AsyncClient,
    events: EventLoop,
    broker: String,
}

impl AnnouncementListener {
    async fn open(config: &Config, timeout: Duration) -> Result<Self, BrokerUnreachable> {
        let (client, events) = broker::client(&config.mqtt, "home", timeout)?;
        let mut ear = Self {
            client,
            events,
            broker: broker::address(&config.mqtt),
        };
        let silent = BrokerUnreachable::Silent {
            broker: ear.broker.clone(),
            timeout,
        };
        timeout_at(Instant::now() + timeout, ear.connected())
            .await
            .map_err(|_| silent)??;
        Ok(ear)
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

    /// What the broker tells on these topics before it falls quiet.
    async fn told(
        &mut self,
        filters: Vec<String>,
    ) -> Result<Vec<(String, Vec<u8>)>, BrokerUnreachable> {
        let mut told = Vec::new();
        let mut packets = filters.chunks(IN_ONE).map(|some| {
            some.iter()
                .map(|filter| Filter::new(filter.clone(), QoS::AtLeastOnce))
                .collect::<Vec<_>>()
        });
        let (mut waits, end) = (false, Instant::now() + PATIENCE);
        let mut quiet = Instant::now();
        loop {
            if !waits {
                let Some(packet) = packets.next() else { break };
                self.client
                    .try_subscribe_many(packet)
                    .expect("the queue holds eight requests and is given one");
                waits = true;
            }
            match timeout_at(end.min(Instant::now() + QUIET * 4), self.next()).await {
                Err(_) => break,
                Ok(event) => match event? {
                    Event::Incoming(Packet::SubAck(ack)) => {
                        if let Some(why) = ack
                            .return_codes
                            .iter()
                            .find(|code| !matches!(code, SubscribeReasonCode::Success(_)))
                        {
                            return Err(BrokerUnreachable::Forbidden {
                                broker: self.broker.clone(),
                                why: format!("subscribing: {why:?}"),
                            });
                        }
                        (waits, quiet) = (false, Instant::now() + QUIET);
                    }
                    event => keep(event, &mut told),
                },
            }
        }
        while let Ok(event) = timeout_at(quiet.min(end), self.next()).await {
            let before = told.len();
            keep(event?, &mut told);
            if told.len() > before {
                quiet = Instant::now() + QUIET;
            }
        }
        Ok(told)
    }
}

fn keep(event: Event, told: &mut Vec<(String, Vec<u8>)>) {
    if let Event::Incoming(Packet::Publish(message)) = event {
        told.push((
            String::from_utf8_lossy(&message.topic).into_owned(),
            message.payload.to_vec(),
        ));
    }
}
