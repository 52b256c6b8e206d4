//! The senders of commands: they number their commands, send them again until they are answered,
//! and record the replies.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttState};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use crate::house::options;
use crate::ledger::{Kind, Ledger, Said};

/// Who they are.
const SOURCES: [&str; 4] = ["hall", "tablet", "voice", "panel"];

/// Time without a reply after which a command is sent again.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long a command is good for: most, and the hurried ones.
const TTL: [Duration; 2] = [Duration::from_secs(40), Duration::from_secs(3)];

/// State shared by the senders and their connection.
#[derive(Default)]
struct Shared {
    up: bool,
    /// Handed to the client, not yet seen leaving.
    handed: VecDeque<usize>,
    left: HashMap<u16, usize>,
    /// When an unanswered command is sent (again).
    due: Vec<(usize, Instant)>,
}

/// All of them.
#[derive(Clone)]
pub(crate) struct Speakers {
    client: AsyncClient,
    ledger: Arc<Mutex<Ledger>>,
    shared: Arc<Mutex<Shared>>,
}

impl Speakers {
    pub(crate) fn new(port: u16, ledger: Arc<Mutex<Ledger>>) -> (Self, EventLoop) {
        let (client, events) = AsyncClient::new(options("speakers", port), 8192);
        (
            Self {
                client,
                ledger,
                shared: Arc::default(),
            },
            events,
        )
    }

    /// Says about `rate` commands a second, for ever.
    pub(crate) async fn speak(self, rate: f64, mut random: StdRng) {
        loop {
            self.say_one(&mut random);
            self.say_again();
            sleep(Duration::from_secs_f64(
                random.random_range(0.2..1.8) / rate,
            ))
            .await;
        }
    }

    /// Sends unanswered commands again, for ever.
    pub(crate) async fn insist(self) {
        loop {
            self.say_again();
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn say_one(&self, random: &mut StdRng) {
        let n = {
            let mut ledger = self.ledger.lock().unwrap();
            let n = ledger.said.len();
            ledger.said.push(invent(n, random));
            n
        };
        self.publish(n);
        if random.random_bool(0.02) {
            self.publish(n);
        }
    }

    fn say_again(&self) {
        let now = Instant::now();
        let due: Vec<usize> = {
            let (mut shared, ledger) = (self.shared.lock().unwrap(), self.ledger.lock().unwrap());
            shared
                .due
                .retain(|(n, _)| ledger.said[*n].answers.is_empty());
            shared
                .due
                .extract_if(.., |(_, at)| *at <= now)
                .map(|(n, _)| n)
                .collect()
        };
        due.into_iter().for_each(|n| self.publish(n));
    }

    fn publish(&self, n: usize) {
        let (mut shared, mut ledger) = (self.shared.lock().unwrap(), self.ledger.lock().unwrap());
        let (said, now) = (&mut ledger.said[n], Instant::now());
        let waits = if shared.up {
            PATIENCE
        } else {
            Duration::from_millis(100)
        };
        shared.due.retain(|(other, _)| *other != n);
        shared.due.push((n, now + waits));
        if !shared.up {
            return;
        }
        let correlation = (said.kind == Kind::Correlated).then(|| Bytes::from(format!("c{n}")));
        let properties = PublishProperties {
            correlation_data: correlation,
            ..PublishProperties::default()
        };
        let topic = format!("sayso/command/{}", SOURCES[said.source]);
        if self
            .client
            .try_publish_with_properties(
                topic,
                QoS::AtLeastOnce,
                false,
                said.payload.clone(),
                properties,
            )
            .is_ok()
        {
            said.published.push(now);
            shared.handed.push_back(n);
        }
    }

    /// The connection, for ever.
    pub(crate) async fn listen(self, mut events: EventLoop) {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(answer))) => {
                    if !answer.session_present {
                        let filters = ["sayso/reply/+", "sayso/health", "sayso/dead"];
                        filters.into_iter().for_each(|filter| {
                            drop(self.client.try_subscribe(filter, QoS::AtLeastOnce))
                        });
                    }
                    self.shared.lock().unwrap().up = true;
                }
                Ok(Event::Outgoing(Outgoing::Publish(pkid))) => {
                    let mut shared = self.shared.lock().unwrap();
                    if let Some(n) = shared.handed.pop_front() {
                        shared.left.insert(pkid, n);
                    }
                }
                Ok(Event::Incoming(Packet::PubAck(answer))) => {
                    if let Some(n) = self.shared.lock().unwrap().left.remove(&answer.pkid) {
                        self.ledger.lock().unwrap().said[n]
                            .acknowledged
                            .get_or_insert(Instant::now());
                    }
                }
                Ok(Event::Incoming(Packet::Publish(message))) => self.hear(&message),
                Ok(_) => {}
                Err(_) => {
                    // Commands in flight are sent again in their time; rumqttc's own list would
                    // send them out of order.
                    events.clean();
                    events.pending.clear();
                    events.state = MqttState::new(200, false);
                    {
                        let mut shared = self.shared.lock().unwrap();
                        *shared = Shared {
                            due: std::mem::take(&mut shared.due),
                            ..Shared::default()
                        };
                    }
                    sleep(Duration::from_millis(30)).await;
                }
            }
        }
    }

    fn hear(&self, message: &Publish) {
        let json: Json = serde_json::from_slice(&message.payload).unwrap_or_default();
        match &message.topic[..] {
            // It is published at every new connection.
            b"sayso/health" if !message.retain => self.ledger.lock().unwrap().is_back(),
            b"sayso/health" => {}
            b"sayso/dead" => drop(
                self.ledger
                    .lock()
                    .unwrap()
                    .dead
                    .insert(json["id"].as_str().unwrap_or_default().to_owned()),
            ),
            _ => {
                let correlation = message
                    .properties
                    .as_ref()
                    .and_then(|p| p.correlation_data.as_ref())
                    .map(|data| String::from_utf8_lossy(data).into_owned());
                let name = correlation
                    .or_else(|| json["id"].as_str().map(str::to_owned))
                    .unwrap_or_default();
                let Some(n) = name.strip_prefix('c').and_then(|n| n.parse::<usize>().ok()) else {
                    return;
                };
                self.answered(n, &json);
            }
        }
    }

    fn answered(&self, n: usize, reply: &Json) {
        let end = reply["why"]
            .as_str()
            .or(reply["outcome"].as_str())
            .unwrap_or("nothing")
            .to_owned();
        let (mut shared, mut ledger) = (self.shared.lock().unwrap(), self.ledger.lock().unwrap());
        let Some(said) = ledger.said.get_mut(n) else {
            return;
        };
        if end == "stopping" || !reply["retry_after"].is_null() {
            said.put_off += 1;
            let after = reply["retry_after"]
                .as_f64()
                .map_or(Duration::from_secs(1), Duration::from_secs_f64);
            shared.due.retain(|(other, _)| *other != n);
            shared.due.push((n, Instant::now() + after));
        } else {
            said.answers.push((Instant::now(), end));
        }
    }
}

fn invent(n: usize, random: &mut StdRng) -> Said {
    let kind = match random.random_range(0..100) {
        0..28 => Kind::Level,
        28..34 => Kind::Correlated,
        34..50 => Kind::AskedLevel,
        50..63 => Kind::Toggle,
        63..73 => Kind::Relative,
        73..82 => Kind::Next,
        82..87 => Kind::AskedNext,
        87..95 => Kind::Press,
        _ => Kind::Query,
    };
    let one = |random: &mut StdRng, of: &[&'static str]| of[random.random_range(0..of.len())];
    let device = match kind {
        Kind::Level | Kind::Correlated | Kind::AskedLevel | Kind::Query => {
            one(random, &["alpha", "beta", "gamma"])
        }
        Kind::Toggle => one(random, &["red_lamp", "blue_lamp"]),
        Kind::Relative => "dial",
        Kind::Next | Kind::AskedNext => "radio",
        Kind::Press => "bell",
    };
    let text = match kind {
        Kind::Level | Kind::Correlated => format!("set the {device} level to {n}"),
        Kind::AskedLevel | Kind::AskedNext => format!("do job {device} {n}"),
        Kind::Toggle => format!("toggle the {}", device.replace('_', " ")),
        Kind::Relative => format!("increase the dial level by {}", 1 + n % 7),
        Kind::Next => "skip the song on the radio".to_owned(),
        Kind::Press => "press the bell".to_owned(),
        Kind::Query => format!("what is the {device} level"),
    };
    let ttl = TTL[usize::from(random.random_bool(0.15))];
    let ts = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    let mut payload = json!({"text": text, "ttl": format!("{}s", ttl.as_secs()), "ts": ts});
    if kind != Kind::Correlated {
        payload["id"] = format!("c{n}").into();
    }
    Said {
        kind,
        device,
        source: random.random_range(0..SOURCES.len()),
        payload: payload.to_string(),
        ttl,
        at: Instant::now(),
        published: Vec::new(),
        acknowledged: None,
        answers: Vec::new(),
        put_off: 0,
    }
}
