//! The load: says commands, and waits for the replies.

use std::collections::HashMap;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use serde_json::Value as Json;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::{Fault, bare};

/// The devices there are: so many that those asked about at the same time are different ones.
pub(crate) const DEVICES: usize = 80;
/// How long the last replies may take.
const TAIL: Duration = Duration::from_secs(20);

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Something never said before: a model is asked.
    New,
    /// Something that is understood without one.
    Known,
}

/// What came of commands.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) new: Vec<Duration>,
    pub(crate) known: Vec<Duration>,
    /// Those not done, by their outcome and why.
    pub(crate) not_done: HashMap<String, usize>,
}

/// The client, and the commands that wait for their reply.
pub(crate) struct Load {
    client: AsyncClient,
    events: EventLoop,
    waiting: HashMap<String, (Kind, Instant)>,
    said: usize,
}

impl Load {
    /// Connects, and listens to the replies of these sides.
    pub(crate) async fn connect(port: u16, prefixes: &[&str]) -> Result<Self, Fault> {
        let (client, events) = AsyncClient::new(bare::options("load", port), 4096);
        let mut load = Self {
            client,
            events,
            waiting: HashMap::new(),
            said: 0,
        };
        for prefix in prefixes {
            load.client
                .try_subscribe(format!("{prefix}/reply/load"), QoS::AtLeastOnce)?;
        }
        let mut acknowledged = 0;
        while acknowledged < prefixes.len() {
            if let Event::Incoming(Packet::SubAck(_)) = load.events.poll().await? {
                acknowledged += 1;
            }
        }
        Ok(load)
    }

    /// Says commands until one is done.
    pub(crate) async fn until_it_serves(&mut self, prefix: &str) -> Result<(), Fault> {
        let (mut clock, began) = (interval(Duration::from_millis(50)), Instant::now());
        let mut heard = Heard::default();
        while heard.new.is_empty() {
            tokio::select! {
                event = self.events.poll() => self.hear(&event?, &mut heard),
                _ = clock.tick() => self.say(prefix, Kind::New)?,
            }
            if began.elapsed() > TAIL {
                return Err(format!(
                    "`{prefix}` did nothing within {} s: {:?}",
                    TAIL.as_secs(),
                    heard.not_done
                )
                .into());
            }
        }
        self.rest(Duration::from_secs(1)).await
    }

    /// Says nothing for a while; what is still under way is forgotten.
    pub(crate) async fn rest(&mut self, time: Duration) -> Result<(), Fault> {
        let until = Instant::now() + time;
        loop {
            tokio::select! {
                event = self.events.poll() => drop(event?),
                () = sleep_until(until) => break,
            }
        }
        self.waiting.clear();
        Ok(())
    }

    /// Says `count` new commands, `rate` a second, and known ones beside them, `known` a second (none where that is 0).
    pub(crate) async fn paced(
        &mut self,
        prefix: &str,
        count: usize,
        (rate, known): (u32, u32),
    ) -> Result<Heard, Fault> {
        let mut heard = Heard::default();
        let mut clock = interval(Duration::from_secs(1) / rate);
        let mut other = interval(Duration::from_secs(1) / known.max(1));
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        other.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut left = count;
        while left > 0 {
            tokio::select! {
                event = self.events.poll() => self.hear(&event?, &mut heard),
                _ = clock.tick() => {
                    left -= 1;
                    self.say(prefix, Kind::New)?;
                }
                _ = other.tick(), if known > 0 => self.say(prefix, Kind::Known)?,
            }
        }
        self.finish(&mut heard).await?;
        Ok(heard)
    }

    /// Keeps `in_flight` new commands under way until `count` were said; gives how long that took.
    pub(crate) async fn flooded(
        &mut self,
        prefix: &str,
        in_flight: usize,
        count: usize,
    ) -> Result<(Heard, Duration), Fault> {
        let (mut heard, began) = (Heard::default(), Instant::now());
        for _ in 0..in_flight {
            self.say(prefix, Kind::New)?;
        }
        let mut left = count - in_flight;
        while left > 0 {
            let Ok(event) = timeout(TAIL, self.events.poll()).await else {
                break;
            };
            let before = self.waiting.len();
            self.hear(&event?, &mut heard);
            if self.waiting.len() < before {
                left -= 1;
                self.say(prefix, Kind::New)?;
            }
        }
        self.finish(&mut heard).await?;
        Ok((heard, began.elapsed()))
    }

    async fn finish(&mut self, heard: &mut Heard) -> Result<(), Fault> {
        let until = Instant::now() + TAIL;
        while !self.waiting.is_empty() {
            tokio::select! {
                event = self.events.poll() => self.hear(&event?, heard),
                () = sleep_until(until) => break,
            }
        }
        let lost = std::mem::take(&mut self.waiting).len();
        if lost > 0 {
            *heard.not_done.entry("no reply".to_owned()).or_default() += lost;
        }
        Ok(())
    }

    /// New commands go to the first half of the devices, known ones to the other: neither is in the other's way.
    fn say(&mut self, prefix: &str, kind: Kind) -> Result<(), Fault> {
        self.said += 1;
        let n = self.said;
        let text = match kind {
            Kind::New => format!("zap d{} nr {n}", n % (DEVICES - 8)),
            Kind::Known => format!("turn on the lamp {}", DEVICES - 8 + n % 8),
        };
        let id = n.to_string();
        let payload = format!(r#"{{"text":"{text}","id":"{id}"}}"#);
        self.waiting.insert(id, (kind, Instant::now()));
        self.client.try_publish(
            format!("{prefix}/command/load"),
            QoS::AtLeastOnce,
            false,
            payload,
        )?;
        Ok(())
    }

    fn hear(&mut self, event: &Event, heard: &mut Heard) {
        let Event::Incoming(Packet::Publish(message)) = event else {
            return;
        };
        let Ok(reply) = serde_json::from_slice::<Json>(&message.payload) else {
            return;
        };
        let Some((kind, said)) = reply["id"].as_str().and_then(|id| self.waiting.remove(id)) else {
            return;
        };
        if reply["outcome"] == "done" {
            if kind == Kind::New {
                &mut heard.new
            } else {
                &mut heard.known
            }
            .push(said.elapsed());
        } else {
            *heard
                .not_done
                .entry(format!("{} ({})", reply["outcome"], reply["why"]))
                .or_default() += 1;
        }
    }
}
