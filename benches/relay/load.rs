//! The load: says commands to one side, and waits for the actions.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::{Fault, bare};

/// The areas of the benchmark's home.
pub(crate) const AREAS: [&str; 12] = [
    "kitchen", "bedroom", "bathroom", "hallway", "study", "nursery", "garage", "attic", "cellar",
    "porch", "pantry", "library",
];
/// What stands in each of them: 60 devices in all.
pub(crate) const THINGS: [(&str, &str); 5] = [
    ("ceiling light", "light"),
    ("wall lamp", "light"),
    ("fan", "fan"),
    ("socket", "switch"),
    ("heater", "switch"),
];

/// How long a program may take to its first action.
const START: Duration = Duration::from_secs(20);
/// How long the last actions of a measurement may take.
const TAIL: Duration = Duration::from_secs(3);

/// Where one side listens, and where its devices do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    pub(crate) prefix: &'static str,
    pub(crate) base: &'static str,
}

/// What came of commands at a steady rate.
pub(crate) struct Paced {
    pub(crate) latencies: Vec<Duration>,
    pub(crate) lost: usize,
}

/// What came of as many commands as went through.
pub(crate) struct Flooded {
    pub(crate) done: usize,
    pub(crate) took: Duration,
    pub(crate) lost: usize,
}

/// The client, and the commands that wait for their action: per device in the order they were said.
pub(crate) struct Load {
    client: AsyncClient,
    events: EventLoop,
    waiting: HashMap<String, VecDeque<Instant>>,
    under_way: usize,
    said: usize,
}

impl Load {
    /// Connects, and listens to every device of both sides.
    pub(crate) async fn connect(port: u16, routes: &[Route]) -> Result<Self, Fault> {
        let (client, events) = AsyncClient::new(bare::options("load", port), 1024);
        let mut load = Self {
            client,
            events,
            waiting: HashMap::new(),
            under_way: 0,
            said: 0,
        };
        for route in routes {
            load.client
                .try_subscribe(format!("{}/+/set", route.base), QoS::AtLeastOnce)?;
        }
        let mut acknowledged = 0;
        while acknowledged < routes.len() {
            if let Event::Incoming(Packet::SubAck(_)) = load.events.poll().await? {
                acknowledged += 1;
            }
        }
        Ok(load)
    }

    /// From `began` to the first action, asking until there is one.
    pub(crate) async fn first_action(
        &mut self,
        route: Route,
        began: Instant,
    ) -> Result<Duration, Fault> {
        let mut clock = interval(Duration::from_millis(5));
        loop {
            tokio::select! {
                event = self.events.poll() => if self.arrived(&event?).is_some() {
                    return Ok(began.elapsed());
                },
                _ = clock.tick() => self.say(route)?,
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

    /// Says nothing for a while. What was said before the other side listened is forgotten.
    pub(crate) async fn rest(&mut self, time: Duration) -> Result<(), Fault> {
        let until = Instant::now() + time;
        loop {
            tokio::select! {
                event = self.events.poll() => { event?; }
                () = sleep_until(until) => break,
            }
        }
        self.waiting.clear();
        self.under_way = 0;
        Ok(())
    }

    /// Says `rate` commands a second for `time`.
    pub(crate) async fn paced(
        &mut self,
        route: Route,
        rate: u32,
        time: Duration,
    ) -> Result<Paced, Fault> {
        let mut latencies = Vec::new();
        let mut clock = interval(Duration::from_secs(1) / rate);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let until = Instant::now() + time;
        while Instant::now() < until {
            tokio::select! {
                event = self.events.poll() => latencies.extend(self.arrived(&event?)),
                _ = clock.tick() => self.say(route)?,
            }
        }
        let lost = self.finish(&mut latencies).await?;
        Ok(Paced { latencies, lost })
    }

    /// Keeps `in_flight` commands under way for `time`: an action that arrives makes room for the next command.
    pub(crate) async fn flooded(
        &mut self,
        route: Route,
        in_flight: usize,
        time: Duration,
    ) -> Result<Flooded, Fault> {
        let mut latencies = Vec::new();
        let began = Instant::now();
        for _ in 0..in_flight {
            self.say(route)?;
        }
        while began.elapsed() < time {
            let Ok(event) = timeout(TAIL, self.events.poll()).await else {
                break;
            };
            if let Some(latency) = self.arrived(&event?) {
                latencies.push(latency);
                self.say(route)?;
            }
        }
        let (done, took) = (latencies.len(), began.elapsed());
        let lost = self.finish(&mut latencies).await?;
        Ok(Flooded { done, took, lost })
    }

    /// Waits for the actions that are still to come, and gives how many never came.
    async fn finish(&mut self, latencies: &mut Vec<Duration>) -> Result<usize, Fault> {
        let until = Instant::now() + TAIL;
        while self.under_way > 0 {
            tokio::select! {
                event = self.events.poll() => latencies.extend(self.arrived(&event?)),
                () = sleep_until(until) => break,
            }
        }
        self.waiting.clear();
        Ok(std::mem::take(&mut self.under_way))
    }

    /// Says the next command: around all devices on, then around all of them off.
    fn say(&mut self, route: Route) -> Result<(), Fault> {
        let devices = AREAS.len() * THINGS.len();
        let name = name(self.said % devices);
        let on = if (self.said / devices).is_multiple_of(2) {
            "on"
        } else {
            "off"
        };
        self.said += 1;
        self.waiting
            .entry(format!("{}/{name}/set", route.base))
            .or_default()
            .push_back(Instant::now());
        self.under_way += 1;
        self.client.try_publish(
            format!("{}/command/load", route.prefix),
            QoS::AtLeastOnce,
            false,
            format!("turn {on} the {name}"),
        )?;
        Ok(())
    }

    /// How long the command took whose action has arrived.
    fn arrived(&mut self, event: &Event) -> Option<Duration> {
        let Event::Incoming(Packet::Publish(action)) = event else {
            return None;
        };
        let topic = std::str::from_utf8(&action.topic).ok()?;
        let said = self.waiting.get_mut(topic)?.pop_front()?;
        self.under_way -= 1;
        Some(said.elapsed())
    }
}

/// What the device of that number is called.
pub(crate) fn name(device: usize) -> String {
    format!(
        "{} {}",
        AREAS[device / THINGS.len() % AREAS.len()],
        THINGS[device % THINGS.len()].0
    )
}
