//! `sayso say`, through the real binary and a real broker, with a scripted daemon at the other end.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use mqtt5::broker::config::{BrokerConfig, StorageBackend, StorageConfig};
use mqtt5::broker::server::MqttBroker;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

/// A broker of its own for each test; it ends with the set.
async fn broker(tasks: &mut JoinSet<()>) -> u16 {
    let storage = StorageConfig {
        backend: StorageBackend::Memory,
        ..StorageConfig::default()
    };
    let config = BrokerConfig::default()
        .with_bind_address((Ipv4Addr::LOCALHOST, 0))
        .with_storage(storage);
    let mut broker = MqttBroker::with_config(config).await.unwrap();
    let (port, mut ready) = (broker.local_addr().unwrap().port(), broker.ready_receiver());
    tasks.spawn(async move { broker.run().await.unwrap() });
    ready.wait_for(|ready| *ready).await.unwrap();
    port
}

/// What stands at the other end: listens for one command.
struct Daemon {
    client: AsyncClient,
    events: EventLoop,
}

impl Daemon {
    async fn listening(port: u16) -> Self {
        let (client, events) = AsyncClient::new(MqttOptions::new("daemon", "localhost", port), 8);
        let mut daemon = Self { client, events };
        daemon
            .client
            .try_subscribe("sayso/command/+", QoS::AtLeastOnce)
            .unwrap();
        while !matches!(
            daemon.events.poll().await.unwrap(),
            Event::Incoming(Packet::SubAck(_))
        ) {}
        daemon
    }

    async fn heard(&mut self) -> Publish {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = self.events.poll().await.unwrap() {
                return publish;
            }
        }
    }

    /// Answers a command, after a reply to somebody else's.
    async fn answers(&mut self, to: &Publish, outcome: &str) {
        let properties = to.properties.clone().unwrap();
        let topic = properties.response_topic.unwrap();
        let action = json!({"device": "lamp", "property": "power", "op": "set", "value": "on"});
        for (correlation, speech) in [
            ("other".into(), "Not yours."),
            (properties.correlation_data.unwrap(), "Lamp: on."),
        ] {
            let reply = json!({"id": "1", "text": "t", "outcome": outcome, "actions": [action], "speech": speech, "via": "local", "ms": 1.5});
            let properties = PublishProperties {
                correlation_data: Some(correlation),
                ..PublishProperties::default()
            };
            self.client
                .try_publish_with_properties(
                    &topic,
                    QoS::AtLeastOnce,
                    false,
                    reply.to_string(),
                    properties,
                )
                .unwrap();
        }
        let mut acknowledged = 0;
        while acknowledged < 2 {
            acknowledged += usize::from(matches!(
                self.events.poll().await.unwrap(),
                Event::Incoming(Packet::PubAck(_))
            ));
        }
    }
}

async fn says(port: u16, arguments: &[&str]) -> Output {
    let mut command = Command::new(crate::PROGRAM);
    command
        .args(["say", "--port", &port.to_string()])
        .args(arguments)
        .env_clear()
        .kill_on_drop(true);
    tokio::time::timeout(Duration::from_secs(30), command.output())
        .await
        .unwrap()
        .unwrap()
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn the_reply_to_this_very_command_is_printed() {
    let mut tasks = JoinSet::new();
    let port = broker(&mut tasks).await;
    let mut daemon = Daemon::listening(port).await;
    let script = async {
        let heard = daemon.heard().await;
        daemon.answers(&heard, "done").await;
        heard
    };
    let (output, heard) = tokio::join!(
        says(
            port,
            &[
                "--source", "hall", "--area", "kitchen", "--id", "7", "lamp on"
            ]
        ),
        script
    );
    assert_eq!(said(&heard.topic), "sayso/command/hall");
    let payload: Json = serde_json::from_slice(&heard.payload).unwrap();
    assert_eq!(
        payload,
        json!({"text": "lamp on", "area": "kitchen", "id": "7", "ttl": "10000ms"})
    );
    assert_eq!(
        said(&output.stdout),
        "✓ done: Lamp: on.\n  lamp: set power on\n  understood locally, 1.5 ms\n"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test]
async fn a_refusal_ends_with_1_and_json_comes_as_it_is() {
    let mut tasks = JoinSet::new();
    let port = broker(&mut tasks).await;
    let mut daemon = Daemon::listening(port).await;
    let script = async {
        let heard = daemon.heard().await;
        daemon.answers(&heard, "refused").await;
    };
    let (output, ()) = tokio::join!(says(port, &["--json", "lamp on"]), script);
    assert_eq!(
        serde_json::from_slice::<Json>(&output.stdout).unwrap()["speech"],
        "Lamp: on."
    );
    assert_eq!(output.status.code(), Some(1));
}

impl Daemon {
    /// Tells an answer in pieces, with a break in between, then gives the reply.
    async fn tells(&mut self, to: &Publish) {
        let properties = to.properties.clone().unwrap();
        let topic = properties.response_topic.unwrap();
        let correlated = PublishProperties {
            correlation_data: properties.correlation_data,
            ..PublishProperties::default()
        };
        let piece = |answer, n, text, last, cut| {
            json!({"id": "1", "answer": answer, "n": n, "text": text, "last": last, "cut": cut})
                .to_string()
        };
        let pieces = [
            piece(1, 1, "Once", false, false),
            piece(1, 2, "", false, true),
            piece(2, 1, "A heat ", false, false),
            piece(2, 2, "pump.", true, false),
        ];
        let reply = json!({"id": "1", "text": "t", "outcome": "answered", "actions": [], "speech": "A heat pump.", "via": "model", "ms": 1.5});
        for payload in pieces {
            self.client
                .try_publish_with_properties(
                    format!("{topic}/stream"),
                    QoS::AtLeastOnce,
                    false,
                    payload,
                    correlated.clone(),
                )
                .unwrap();
        }
        self.client
            .try_publish_with_properties(
                &topic,
                QoS::AtLeastOnce,
                false,
                reply.to_string(),
                correlated,
            )
            .unwrap();
        let mut acknowledged = 0;
        while acknowledged < 5 {
            acknowledged += usize::from(matches!(
                self.events.poll().await.unwrap(),
                Event::Incoming(Packet::PubAck(_))
            ));
        }
    }
}

#[tokio::test]
async fn pieces_are_printed_as_they_come_and_the_reply_does_not_repeat_them() {
    let mut tasks = JoinSet::new();
    let port = broker(&mut tasks).await;
    let mut daemon = Daemon::listening(port).await;
    let script = async {
        for _ in 0..2 {
            let heard = daemon.heard().await;
            assert_eq!(
                serde_json::from_slice::<Json>(&heard.payload).unwrap()["stream"],
                true
            );
            daemon.tells(&heard).await;
        }
    };
    let speaker = async {
        let output = says(port, &["--stream", "what is that?"]).await;
        assert_eq!(
            said(&output.stdout),
            "Once [interrupted]\nA heat pump.\n✓ answered\n  understood by model, 1.5 ms\n"
        );
        let output = says(port, &["--stream", "--json", "what is that?"]).await;
        let lines: Vec<Json> = said(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            (lines.len(), &lines[0]["text"], &lines[4]["speech"]),
            (5, &json!("Once"), &json!("A heat pump."))
        );
    };
    tokio::join!(script, speaker);
}

/// Mosquitto, which tells a publisher that nobody listens; the other broker does not. Ends when
/// dropped.
async fn mosquitto() -> (Child, u16) {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let program = ["/usr/sbin/mosquitto", "mosquitto"]
        .into_iter()
        .find(|p| Path::new(p).exists())
        .unwrap_or("mosquitto");
    let mut command = Command::new(program);
    command
        .args(["-v", "-p", &port.to_string()])
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut broker = command
        .spawn()
        .expect("mosquitto is not installed: apt-get install mosquitto");
    let mut log = BufReader::new(broker.stderr.take().unwrap()).lines();
    while !log
        .next_line()
        .await
        .unwrap()
        .expect("mosquitto ended before it ran")
        .ends_with("running")
    {}
    (broker, port)
}

#[tokio::test]
async fn nobody_at_the_other_end_is_told_at_once() {
    let (_broker, port) = mosquitto().await;
    let output = says(port, &["--timeout", "1h", "lamp on"]).await;
    assert_eq!(output.status.code(), Some(75), "{}", said(&output.stderr));
    assert!(
        said(&output.stderr)
            .contains("nobody listens on `sayso/command/cli`: is the daemon running?"),
        "{}",
        said(&output.stderr)
    );
}

#[tokio::test]
async fn a_broker_that_is_silent_is_waited_for_no_longer_than_asked() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let output = says(port, &["--timeout", "300ms", "lamp on"]).await;
    assert_eq!(output.status.code(), Some(75));
    assert!(
        said(&output.stderr).contains(&format!(
            "the broker at localhost:{port} does not answer within 300ms"
        )),
        "{}",
        said(&output.stderr)
    );
}

#[tokio::test]
async fn a_daemon_that_is_silent_is_waited_for_no_longer_than_asked() {
    let mut tasks = JoinSet::new();
    let port = broker(&mut tasks).await;
    let mut daemon = Daemon::listening(port).await;
    let (output, _heard) = tokio::join!(
        says(port, &["--timeout", "500ms", "lamp on"]),
        daemon.heard()
    );
    assert_eq!(output.status.code(), Some(75));
    assert!(
        said(&output.stderr).contains("no reply within 500ms: is the daemon running?"),
        "{}",
        said(&output.stderr)
    );
}

#[tokio::test]
async fn an_absent_broker_is_named() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let output = says(port, &["lamp on"]).await;
    assert_eq!(output.status.code(), Some(75));
    assert!(
        said(&output.stderr).contains(&format!("nobody listens at localhost:{port}")),
        "{}",
        said(&output.stderr)
    );
}
