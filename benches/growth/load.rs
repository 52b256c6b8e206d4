//! The load generator: publishes the commands of one case, answers as the devices, and waits for
//! the replies.

use std::collections::HashMap;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use serde_json::Value as Json;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::case::Case;
use crate::{BenchError, client};

/// The longest time from the start to the first reply.
const START: Duration = Duration::from_secs(30);
/// The longest wait for the last replies.
const TAIL: Duration = Duration::from_secs(5);
/// The pause between two commands while the program starts.
const ATTEMPT: Duration = Duration::from_millis(50);
/// Replies to the attempts arrive within this time.
const SETTLED: Duration = Duration::from_secs(1);

/// The client of one case.
pub(crate) struct Load {
    case: Case,
    client: AsyncClient,
    events: EventLoop,
    /// Commands that wait for their reply, by their id.
    waiting: HashMap<String, Instant>,
    published: usize,
    /// Faults of replies, by their number.
    faults: HashMap<String, usize>,
}

impl Load {
    pub(crate) async fn connect(case: Case, port: u16) -> Result<Self, BenchError> {
        let filters = ["sayso/reply/+", "zigbee2mqtt/+/set"].map(str::to_owned);
        let (client, events) = client::subscribed(port, &filters).await?;
        Ok(Self {
            case,
            client,
            events,
            waiting: HashMap::new(),
            published: 0,
            faults: HashMap::new(),
        })
    }

    /// Publishes commands until the program replies.
    pub(crate) async fn until_it_serves(&mut self) -> Result<(), BenchError> {
        let serves = async {
            let mut clock = interval(ATTEMPT);
            loop {
                tokio::select! {
                    event = self.events.poll() => if self.receive(&event?)?.is_some() {
                        return Ok::<_, BenchError>(());
                    },
                    _ = clock.tick() => self.publish()?,
                }
            }
        };
        timeout(START, serves)
            .await
            .map_err(|_| format!("no reply within {} s", START.as_secs()))??;
        // Commands from before the program's subscription have no reply.
        self.rest(SETTLED).await?;
        self.waiting.clear();
        self.check()
    }

    /// Publishes `count` commands, `rate` per second; returns the time from each to its reply.
    pub(crate) async fn paced(
        &mut self,
        count: u32,
        rate: u32,
    ) -> Result<Vec<Duration>, BenchError> {
        let mut latencies = Vec::with_capacity(count as usize);
        let mut clock = interval(Duration::from_secs(1) / rate);
        // A late command does not move the others: those of several programs stay apart.
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut left = count;
        while left > 0 {
            tokio::select! {
                event = self.events.poll() => latencies.extend(self.receive(&event?)?),
                _ = clock.tick() => {
                    left -= 1;
                    self.publish()?;
                }
            }
        }
        let until = Instant::now() + TAIL;
        while !self.waiting.is_empty() {
            tokio::select! {
                event = self.events.poll() => latencies.extend(self.receive(&event?)?),
                () = sleep_until(until) => {
                    return Err(format!("{} commands had no reply", self.waiting.len()).into());
                }
            }
        }
        self.check()?;
        Ok(latencies)
    }

    /// Pauses, and answers what arrives.
    pub(crate) async fn rest(&mut self, time: Duration) -> Result<(), BenchError> {
        let until = Instant::now() + time;
        loop {
            tokio::select! {
                event = self.events.poll() => drop(self.receive(&event?)?),
                () = sleep_until(until) => return Ok(()),
            }
        }
    }

    fn publish(&mut self) -> Result<(), BenchError> {
        let command = self.case.sentence(self.published);
        self.published += 1;
        let id = self.published.to_string();
        let payload = format!(r#"{{"text":"{}","id":"{id}"}}"#, command.text);
        let topic = format!("sayso/command/{}", command.source);
        self.waiting.insert(id, Instant::now());
        self.client
            .try_publish(topic, QoS::AtLeastOnce, false, payload)?;
        Ok(())
    }

    /// Answers an action with the state of its device; of a reply returns the latency.
    fn receive(&mut self, event: &Event) -> Result<Option<Duration>, BenchError> {
        let Event::Incoming(Packet::Publish(message)) = event else {
            return Ok(None);
        };
        let topic = std::str::from_utf8(&message.topic)?;
        if let Some(state_topic) = topic.strip_suffix("/set") {
            let state = message.payload.clone();
            self.client
                .try_publish(state_topic, QoS::AtMostOnce, false, state)?;
            return Ok(None);
        }
        Ok(self.replied(message))
    }

    fn replied(&mut self, message: &Publish) -> Option<Duration> {
        let reply: Json = serde_json::from_slice(&message.payload).ok()?;
        let published_at = self.waiting.remove(reply["id"].as_str()?)?;
        let latency = published_at.elapsed();
        if reply["outcome"] != "done" || reply["via"] != self.case.dimension.via() {
            let fault = format!(
                "{} via {} ({})",
                reply["outcome"], reply["via"], reply["why"]
            );
            *self.faults.entry(fault).or_default() += 1;
        }
        Some(latency)
    }

    fn check(&self) -> Result<(), BenchError> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(format!("commands were not done as expected: {:?}", self.faults).into())
        }
    }
}
