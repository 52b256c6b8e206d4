//! Floods: how much memory the program takes in each, and how long another source waits for the
//! reply to a command that is understood locally.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::v5::{AsyncClient, Event};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use crate::caller::Caller;
use crate::house::{self, options};
use crate::model::request;
use crate::say;
use crate::stage::{Broker, Daemon};

/// The most resident memory, in MiB.
const MAX_MEMORY: u64 = 96;

/// The longest wait of another source.
const MAX_WAIT: Duration = Duration::from_millis(250);

/// Pause between two commands of the other source.
const PACE: Duration = Duration::from_millis(50);

/// How long a flood may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// How long the other source goes on after the last message of a flood.
const AFTER: Duration = Duration::from_secs(8);

const FLOODS: [(&str, Flood); 12] = [
    ("nothing", Flood::Nothing),
    (
        "5,000 commands with every field at its maximum",
        Flood::LongCommands,
    ),
    (
        "5,000 long commands that are understood",
        Flood::UnderstoodCommands,
    ),
    (
        "10,000 commands of 4 KiB, for a model",
        Flood::ModelCommands,
    ),
    (
        "5,000 long payloads that are no commands",
        Flood::BrokenCommands,
    ),
    (
        "5,000 commands with 60 user properties, with QoS 2",
        Flood::UserProperties,
    ),
    ("5,000 long retained commands", Flood::RetainedCommands),
    ("20,000 short commands of one source", Flood::ShortCommands),
    (
        "10,000 retained announcements, and 3 renamings",
        Flood::Announcements,
    ),
    (
        "2,000 devices with templates on one topic",
        Flood::Templates,
    ),
    ("1,300 equal questions of one source", Flood::EqualQuestions),
    ("10,000 sources", Flood::Sources),
];

#[derive(Debug, Clone, Copy)]
enum Flood {
    Nothing,
    LongCommands,
    UnderstoodCommands,
    ModelCommands,
    BrokenCommands,
    UserProperties,
    RetainedCommands,
    ShortCommands,
    Announcements,
    Templates,
    EqualQuestions,
    Sources,
}

/// Runs the floods with this part of a name, or `all`; true if each stays within the bounds.
pub(crate) async fn floods(program: &Path, part: &str) -> bool {
    say("  peak MiB   waits: median   longest ms   flood");
    let mut is_well = true;
    let is_chosen = |name: &str| part == "all" || name.contains(part);
    for (name, flood) in FLOODS.into_iter().filter(|(name, _)| is_chosen(name)) {
        let (peak, mut waits) = run(program, flood).await;
        waits.sort_unstable();
        let median = waits.get(waits.len() / 2).copied().unwrap_or_default();
        let longest = waits.last().copied().unwrap_or(PATIENCE);
        is_well &= peak <= MAX_MEMORY && longest <= MAX_WAIT;
        say(&format!(
            "  {peak:>8}   {:>13.1}   {:>10.1}   {name} ({} waits)",
            median.as_secs_f64() * 1e3,
            longest.as_secs_f64() * 1e3,
            waits.len()
        ));
    }
    is_well
}

fn settings(broker: u16, model: u16) -> String {
    format!(
        "home = \"home.toml\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = {broker}\n[store]\npath = \
         \"store\"\n[discovery]\nhomeassistant = \"homeassistant\"\nzigbee2mqtt = []\ntasmota = \
         false\n[limits]\nper_minute = 100000\nburst = 20000\n[[provider]]\nname = \
         \"slow\"\napi = \"openai\"\nbase_url = \"http://127.0.0.1:{model}/v1\"\nmodel = \
         \"slow\"\ntimeouts = {{ first_byte = \"14s\", total = \"15s\" }}\n"
    )
}

/// A model that takes ten seconds.
async fn slow_model() -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                while request(&mut stream).await.is_some() {
                    sleep(Duration::from_secs(10)).await;
                    let said = json!({"actions": [], "speech": "No.", "question": null});
                    let message = json!({"role": "assistant", "content": said.to_string()});
                    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
                    let body = json!({"choices": [choice]}).to_string();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: \
                         {}\r\n\r\n",
                        body.len()
                    );
                    let answer = head + &body;
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, serving)
}

/// Returns the peak of the memory in MiB and the waits of the other source.
async fn run(program: &Path, flood: Flood) -> (u64, Vec<Duration>) {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(folder.path()).await;
    let (model, serving) = slow_model().await;
    std::fs::write(folder.path().join("home.toml"), house::HOME).unwrap();
    let settings = settings(broker.port, model);
    std::fs::write(folder.path().join("sayso.toml"), settings).unwrap();
    let mut daemon = Daemon::start(program, folder.path());
    let ends = Arc::new(AtomicBool::new(false));
    let (serves, is_serving) = oneshot::channel();
    let port = broker.port;
    let quiet = thread::spawn({
        let ends = Arc::clone(&ends);
        move || other_source(port, serves, &ends)
    });
    is_serving.await.expect("the program serves");
    let flooding = timeout(PATIENCE, send(flood, broker.port)).await;
    if flooding.is_err() {
        say("  the broker did not take the flood in time");
    }
    sleep(AFTER).await;
    // The last command is waited for, however long that takes.
    ends.store(true, Relaxed);
    let waits = spawn_blocking(move || quiet.join().unwrap()).await.unwrap();
    let peak = daemon.peak_memory().unwrap_or_default();
    daemon.stop().await;
    broker.down(false).await;
    serving.abort();
    (peak, waits)
}

/// Is the other source until the flood `ends`, and returns its waits. In a thread of its own: in
/// one with the flood it would wait for the flood to be made.
fn other_source(port: u16, serves: oneshot::Sender<()>, ends: &AtomicBool) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let caller = Caller::new("quiet", port);
        let first = caller.ask("first", "turn on the red lamp", PATIENCE).await;
        assert!(first.is_some(), "the program serves");
        serves.send(()).unwrap();
        measure(&caller, ends).await;
        caller.take_waits()
    })
}

/// Sends commands of the other source one after the other, until it `ends`.
async fn measure(caller: &Caller, ends: &AtomicBool) {
    for n in 0_u64.. {
        if ends.load(Relaxed) {
            return;
        }
        let id = format!("quiet-{n}");
        let state = if n % 2 == 0 { "on" } else { "off" };
        let at = Instant::now();
        let text = format!("turn {state} the red lamp");
        let reply = caller.ask_once(&id, &text, PATIENCE).await;
        let wait = reply.map_or(PATIENCE, |reply| reply.at.saturating_duration_since(at));
        caller.note_wait(wait);
        sleep(PACE).await;
    }
}

/// The client that floods.
struct Flooder {
    client: AsyncClient,
    acknowledged: Arc<Notify>,
    connection: JoinHandle<()>,
    unacknowledged: usize,
}

/// Messages of the flood that the broker has not acknowledged.
const WINDOW: usize = 150;

impl Flooder {
    fn new(port: u16) -> Self {
        let (client, mut events) = AsyncClient::new(options("flooder", port), 1024);
        let acknowledged = Arc::new(Notify::new());
        let notify = Arc::clone(&acknowledged);
        let connection = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_))) => {
                        notify.notify_one();
                    }
                    Ok(_) => {}
                    Err(_) => sleep(Duration::from_millis(50)).await,
                }
            }
        });
        Self {
            client,
            acknowledged,
            connection,
            unacknowledged: 0,
        }
    }

    async fn publish(&mut self, topic: String, payload: impl Into<Bytes>, retain: bool) {
        self.publish_with(topic, payload.into(), retain, PublishProperties::default())
            .await;
    }

    async fn publish_with(
        &mut self,
        topic: String,
        payload: Bytes,
        retain: bool,
        properties: PublishProperties,
    ) {
        let qos = QoS::AtLeastOnce;
        let sent = self
            .client
            .publish_with_properties(topic, qos, retain, payload, properties);
        sent.await.unwrap();
        self.wait_for_window().await;
    }

    /// Publishes a command with many user properties, with `QoS` 2.
    async fn publish_exactly_once(&mut self, topic: String, payload: String) {
        let name = |n: u32| format!("property-{n}");
        let properties = PublishProperties {
            user_properties: (0..60).map(|n| (name(n), "x".repeat(100))).collect(),
            ..PublishProperties::default()
        };
        let qos = QoS::ExactlyOnce;
        let sent = self
            .client
            .publish_with_properties(topic, qos, false, payload, properties);
        sent.await.unwrap();
        self.wait_for_window().await;
    }

    async fn wait_for_window(&mut self) {
        self.unacknowledged += 1;
        if self.unacknowledged >= WINDOW {
            // Several acknowledgements may have come with one notification.
            let _ = timeout(Duration::from_millis(20), self.acknowledged.notified()).await;
            self.unacknowledged -= 1;
        }
    }
}

impl Drop for Flooder {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

async fn send(flood: Flood, port: u16) {
    let mut flooder = Flooder::new(port);
    match flood {
        Flood::Nothing => sleep(Duration::from_secs(5)).await,
        Flood::LongCommands => long_commands(&mut flooder).await,
        Flood::UnderstoodCommands => {
            for n in 0..5000 {
                let state = if n % 2 == 0 { "on" } else { "off" };
                let text = format!("turn {state} the blue lamp{}", " ".repeat(16_000));
                let payload = json!({"text": text, "id": format!("{n:0>128}")});
                let topic = format!("sayso/command/loud{}", n % 50);
                flooder.publish(topic, payload.to_string(), false).await;
            }
        }
        Flood::ModelCommands => {
            for n in 0..10_000 {
                let text = format!("riddle {n} {}", "word ".repeat(800));
                let topic = format!("sayso/command/loud{}", n % 50);
                flooder.publish(topic, text, false).await;
            }
        }
        Flood::BrokenCommands => {
            for n in 0..5000 {
                let payload = format!("{{\"id\": \"{n}\", \"text\": \"{}", "x".repeat(16_000));
                let topic = format!("sayso/command/loud{}", n % 50);
                flooder.publish(topic, payload, false).await;
            }
        }
        Flood::UserProperties => {
            for n in 0..5000 {
                let topic = format!("sayso/command/loud{}", n % 50);
                let text = "what is the alpha level".to_owned();
                flooder.publish_exactly_once(topic, text).await;
            }
        }
        Flood::RetainedCommands => {
            for n in 0..5000 {
                let topic = format!("sayso/command/loud{}", n % 50);
                flooder.publish(topic, "word ".repeat(3200), true).await;
            }
        }
        Flood::ShortCommands => {
            for n in 0..20_000 {
                let state = if n % 2 == 0 { "on" } else { "off" };
                let text = format!("turn {state} the blue lamp");
                flooder
                    .publish("sayso/command/loud".to_owned(), text, false)
                    .await;
            }
        }
        Flood::Announcements => announcements(&mut flooder).await,
        Flood::Templates => templates(&mut flooder).await,
        Flood::EqualQuestions => {
            for n in 0..1300 {
                let payload = json!({"text": "a riddle about the sea", "id": format!("{n}")});
                let topic = "sayso/command/loud".to_owned();
                flooder.publish(topic, payload.to_string(), false).await;
            }
        }
        Flood::Sources => {
            for n in 0..10_000 {
                let text = if n % 2 == 0 {
                    "what is the alpha level".to_owned()
                } else {
                    format!("riddle number {n}")
                };
                let topic = format!("sayso/command/source{n}");
                flooder.publish(topic, text, false).await;
            }
        }
    }
}

async fn long_commands(flooder: &mut Flooder) {
    let text = "word ".repeat(3220);
    for n in 0..5000_u32 {
        let source = format!("{:0>128}", n % 50);
        let payload = format!(r#"{{"id":"{n:0>128}","text":"{text}","ttl":"1h"}}"#);
        assert!(payload.len() <= 16 << 10);
        let response = format!("sayso/reply/{source}/{}", "a".repeat(340));
        let properties = PublishProperties {
            response_topic: Some(response),
            correlation_data: Some(vec![7; 256].into()),
            ..PublishProperties::default()
        };
        let topic = format!("sayso/command/{source}");
        flooder
            .publish_with(topic, payload.into(), false, properties)
            .await;
    }
}

async fn announcements(flooder: &mut Flooder) {
    let announcement = |n: u32, name: &str| {
        let config = json!({
            "name": format!("{name} {n}"), "unique_id": format!("light{n}"),
            "command_topic": format!("lights/{n}/set"), "state_topic": format!("lights/{n}"),
            "schema": "json", "brightness": true,
        });
        (
            format!("homeassistant/light/light{n}/config"),
            config.to_string(),
        )
    };
    for n in 0..10_000 {
        let (topic, config) = announcement(n, "Lamp");
        flooder.publish(topic, config, true).await;
    }
    for n in 0..3 {
        sleep(Duration::from_secs(5)).await;
        let (topic, config) = announcement(n, "Renamed");
        flooder.publish(topic, config, true).await;
    }
}

async fn templates(flooder: &mut Flooder) {
    let template = "{% set ns = namespace(n=0) %}{% for i in range(200) %}{% set ns.n = ns.n + i \
                    %}{% endfor %}{{ 'ON' if ns.n > 0 else 'OFF' }}";
    for n in 0..2000 {
        let config = json!({
            "name": format!("Switch {n}"), "unique_id": format!("switch{n}"),
            "command_topic": format!("switches/{n}/set"), "state_topic": "switches/all",
            "value_template": template,
        });
        let topic = format!("homeassistant/switch/switch{n}/config");
        flooder.publish(topic, config.to_string(), true).await;
    }
    sleep(Duration::from_secs(5)).await;
    for _ in 0..50 {
        flooder
            .publish("switches/all".to_owned(), "{}", false)
            .await;
        sleep(Duration::from_millis(100)).await;
    }
}
