//! The load generator: publishes commands to one program and waits for its actions.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::{BenchError, client};

/// The areas of the benchmark's home.
pub(crate) const AREAS: [&str; 12] = [
    "kitchen", "bedroom", "bathroom", "hallway", "study", "nursery", "garage", "attic", "cellar",
    "porch", "pantry", "library",
];
/// The devices of each area, 60 in total.
pub(crate) const THINGS: [(&str, &str); 5] = [
    ("ceiling light", "light"),
    ("wall lamp", "light"),
    ("fan", "fan"),
    ("socket", "switch"),
    ("heater", "switch"),
];

/// The longest time from start to the first action.
const START: Duration = Duration::from_secs(20);
/// The longest wait for the last actions of a measurement.
const TAIL: Duration = Duration::from_secs(3);

/// The topics of one program: the prefix of its commands and the base of its devices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) prefix: &'static str,
    pub(crate) base: &'static str,
}

/// The result of commands at a steady rate.
pub(crate) struct Paced {
    pub(crate) latencies: Vec<Duration>,
    pub(crate) lost: usize,
}

/// The result of commands at full speed.
pub(crate) struct Flooded {
    pub(crate) done: usize,
    pub(crate) took: Duration,
    pub(crate) lost: usize,
}

/// The client and the commands that wait for their action, per device in order of publication.
pub(crate) struct Load {
    client: AsyncClient,
    events: EventLoop,
    waiting: HashMap<String, VecDeque<Instant>>,
    in_flight_now: usize,
    published: usize,
}

impl Load {
    /// Connects and subscribes to every device of both programs.
    pub(crate) async fn connect(port: u16, routes: &[Route]) -> Result<Self, BenchError> {
        let actions = routes.iter().map(|route| format!("{}/+/set", route.base));
        let actions: Vec<String> = actions.collect();
        let (client, events) = client::subscribed(port, &actions).await?;
        Ok(Self {
            client,
            events,
            waiting: HashMap::new(),
            in_flight_now: 0,
            published: 0,
        })
    }

    /// Returns the time from `began` to the first action, repeating a command until there is one.
    pub(crate) async fn first_action(
        &mut self,
        route: Route,
        began: Instant,
    ) -> Result<Duration, BenchError> {
        let mut clock = interval(Duration::from_millis(5));
        loop {
            tokio::select! {
                event = self.events.poll() => if self.arrived(&event?).is_some() {
                    return Ok(began.elapsed());
                },
                _ = clock.tick() => self.publish(route)?,
            }
            if began.elapsed() > START {
                return Err(format!(
                    "`{}` did nothing within {} s",
                    route.prefix,
                    START.as_secs()
                )
                .into());
            }
        }
    }

    /// Pauses, and discards commands published before the program was subscribed.
    pub(crate) async fn rest(&mut self, time: Duration) -> Result<(), BenchError> {
        let until = Instant::now() + time;
        loop {
            tokio::select! {
                event = self.events.poll() => { event?; }
                () = sleep_until(until) => break,
            }
        }
        self.waiting.clear();
        self.in_flight_now = 0;
        Ok(())
    }

    /// Publishes `rate` commands per second for `time`.
    pub(crate) async fn paced(
        &mut self,
        route: Route,
        rate: u32,
        time: Duration,
    ) -> Result<Paced, BenchError> {
        let mut latencies = Vec::new();
        let mut clock = interval(Duration::from_secs(1) / rate);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let until = Instant::now() + time;
        while Instant::now() < until {
            tokio::select! {
                event = self.events.poll() => latencies.extend(self.arrived(&event?)),
                _ = clock.tick() => self.publish(route)?,
            }
        }
        let lost = self.finish(&mut latencies).await?;
        Ok(Paced { latencies, lost })
    }

    /// Keeps `in_flight` commands in flight for `time`: each action that arrives allows the next
    /// command.
    pub(crate) async fn flooded(
        &mut self,
        route: Route,
        in_flight: usize,
        time: Duration,
    ) -> Result<Flooded, BenchError> {
        let mut latencies = Vec::new();
        let began = Instant::now();
        for _ in 0..in_flight {
            self.publish(route)?;
        }
        while began.elapsed() < time {
            let Ok(event) = timeout(TAIL, self.events.poll()).await else {
                break;
            };
            if let Some(latency) = self.arrived(&event?) {
                latencies.push(latency);
                self.publish(route)?;
            }
        }
        let (done, took) = (latencies.len(), began.elapsed());
        let lost = self.finish(&mut latencies).await?;
        Ok(Flooded { done, took, lost })
    }

    /// Waits for the remaining actions and returns the number that never arrived.
    async fn finish(&mut self, latencies: &mut Vec<Duration>) -> Result<usize, BenchError> {
        let until = Instant::now() + TAIL;
        while self.in_flight_now > 0 {
            tokio::select! {
                event = self.events.poll() => latencies.extend(self.arrived(&event?)),
                () = sleep_until(until) => break,
            }
        }
        self.waiting.clear();
        Ok(std::mem::take(&mut self.in_flight_now))
    }

    /// Publishes the next command: all devices on in turn, then all off.
    fn publish(&mut self, route: Route) -> Result<(), BenchError> {
        let devices = AREAS.len() * THINGS.len();
        let name = name(self.published % devices);
        let on = if (self.published / devices).is_multiple_of(2) {
            "on"
        } else {
            "off"
        };
        self.published += 1;
        self.waiting
            .entry(format!("{}/{name}/set", route.base))
            .or_default()
            .push_back(Instant::now());
        self.in_flight_now += 1;
        self.client.try_publish(
            format!("{}/command/load", route.prefix),
            QoS::AtLeastOnce,
            false,
            format!("turn {on} the {name}"),
        )?;
        Ok(())
    }

    /// The latency of the command whose action has arrived.
    fn arrived(&mut self, event: &Event) -> Option<Duration> {
        let Event::Incoming(Packet::Publish(action)) = event else {
            return None;
        };
        let topic = std::str::from_utf8(&action.topic).ok()?;
        let published = self.waiting.get_mut(topic)?.pop_front()?;
        self.in_flight_now -= 1;
        Some(published.elapsed())
    }
}

/// The name of the device with this number.
pub(crate) fn name(device: usize) -> String {
    format!(
        "{} {}",
        AREAS[device / THINGS.len() % AREAS.len()],
        THINGS[device % THINGS.len()].0
    )
}
