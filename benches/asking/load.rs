//! The load generator: publishes commands and waits for the replies.

use std::collections::HashMap;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use serde_json::Value as Json;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::{BenchError, client};

/// The number of devices: large enough that commands in flight concern different ones.
pub(crate) const DEVICES: usize = 80;
/// The longest wait for the last replies.
const TAIL: Duration = Duration::from_secs(20);

/// The two types of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A sentence never used before, for which a model is asked.
    New,
    /// A sentence understood locally.
    Known,
}

/// The results of commands.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) new: Vec<Duration>,
    pub(crate) known: Vec<Duration>,
    /// Commands not done, by outcome and reason.
    pub(crate) not_done: HashMap<String, usize>,
}

/// The client and the commands that wait for their reply.
pub(crate) struct Load {
    client: AsyncClient,
    events: EventLoop,
    waiting: HashMap<String, (Kind, Instant)>,
    published: usize,
}

impl Load {
    /// Connects and subscribes to the replies of these programs.
    pub(crate) async fn connect(port: u16, prefixes: &[&str]) -> Result<Self, BenchError> {
        let replies = prefixes.iter().map(|prefix| format!("{prefix}/reply/load"));
        let replies: Vec<String> = replies.collect();
        let (client, events) = client::subscribed(port, &replies).await?;
        Ok(Self {
            client,
            events,
            waiting: HashMap::new(),
            published: 0,
        })
    }

    /// Publishes commands until one is done.
    pub(crate) async fn until_it_serves(&mut self, prefix: &str) -> Result<(), BenchError> {
        let (mut clock, began) = (interval(Duration::from_millis(50)), Instant::now());
        let mut heard = Heard::default();
        while heard.new.is_empty() {
            tokio::select! {
                event = self.events.poll() => self.hear(&event?, &mut heard),
                _ = clock.tick() => self.publish(prefix, Kind::New)?,
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

    /// Pauses, and discards commands in flight.
    pub(crate) async fn rest(&mut self, time: Duration) -> Result<(), BenchError> {
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

    /// Publishes `count` new commands, `rate` per second, and known ones beside them, `known` per
    /// second.
    pub(crate) async fn paced(
        &mut self,
        prefix: &str,
        count: usize,
        (rate, known): (u32, u32),
    ) -> Result<Heard, BenchError> {
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
                    self.publish(prefix, Kind::New)?;
                }
                _ = other.tick(), if known > 0 => self.publish(prefix, Kind::Known)?,
            }
        }
        self.finish(&mut heard).await?;
        Ok(heard)
    }

    /// Keeps `in_flight` new commands in flight until `count` were published; returns the time
    /// taken.
    pub(crate) async fn flooded(
        &mut self,
        prefix: &str,
        in_flight: usize,
        count: usize,
    ) -> Result<(Heard, Duration), BenchError> {
        let (mut heard, began) = (Heard::default(), Instant::now());
        for _ in 0..in_flight {
            self.publish(prefix, Kind::New)?;
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
                self.publish(prefix, Kind::New)?;
            }
        }
        self.finish(&mut heard).await?;
        Ok((heard, began.elapsed()))
    }

    async fn finish(&mut self, heard: &mut Heard) -> Result<(), BenchError> {
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

    /// New commands concern the first half of the devices, known ones the other half: they do not
    /// supersede each other.
    fn publish(&mut self, prefix: &str, kind: Kind) -> Result<(), BenchError> {
        self.published += 1;
        let n = self.published;
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
        let Some((kind, sent_at)) = reply["id"].as_str().and_then(|id| self.waiting.remove(id))
        else {
            return;
        };
        if reply["outcome"] == "done" {
            if kind == Kind::New {
                &mut heard.new
            } else {
                &mut heard.known
            }
            .push(sent_at.elapsed());
        } else {
            *heard
                .not_done
                .entry(format!("{} ({})", reply["outcome"], reply["why"]))
                .or_default() += 1;
        }
    }
}
