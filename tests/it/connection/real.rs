//! Messages between real brokers and sayso while the connection lasts.

use std::num::NonZeroUsize;
use std::time::Duration;

use sayso::testing::command::Redelivery;
use sayso::testing::command::reply::{Outcome, Reply, Via};
use sayso::testing::mqtt::Settings;
use sayso::testing::mqtt::outbox::{OutboundMessage, Undelivered};
use tokio::time::timeout;

use super::{PATIENCE, Sayso, message, on_every_broker};
use crate::broker::{Broker, Probe};

on_every_broker! {
    commands_are_heard_in_the_order_they_were_said
    a_reply_goes_where_it_was_asked_for
    a_reply_topic_that_is_not_allowed_is_refused
    what_is_no_command_is_answered
    a_full_queue_is_answered_busy
    a_retained_command_is_dropped
    a_large_retained_state_is_harmless
    other_state_topics_can_be_followed
    a_message_larger_than_mqtt_knows_is_refused
    status_is_online_then_offline
}

async fn commands_are_heard_in_the_order_they_were_said(broker: Broker) {
    let mut sayso = Sayso::start(&broker.settings(), &[]);
    sayso.up().await;
    let mut speaker = Probe::new(broker.port(), "speaker").await;
    for i in 0..30 {
        speaker.publish("sayso/command/hall", format!("{i}")).await;
    }
    for i in 0..30 {
        let heard = sayso.command().await;
        assert_eq!(
            (heard.command.text, heard.redelivery),
            (i.to_string().into(), Redelivery::No)
        );
        sayso.outbox.acknowledge(heard.ack_token);
    }
    assert_eq!(sayso.count("heard"), 30);
}

fn reply(id: &str) -> Reply {
    Reply {
        id: id.into(),
        text: "lamp on".into(),
        outcome: Outcome::Done,
        actions: Vec::new(),
        speech: "done".to_owned(),
        via: Via::Local,
        ms: 1.0,
        why: None,
        retry_after: None,
        scheduled: None,
    }
}

async fn a_reply_goes_where_it_was_asked_for(broker: Broker) {
    let settings = Settings {
        reply_prefixes: vec!["clients/".to_owned()],
        ..broker.settings()
    };
    let mut sayso = Sayso::start(&settings, &[]);
    sayso.up().await;
    let mut speaker = Probe::new(broker.port(), "speaker").await;
    speaker.subscribe("clients/app/answers").await;
    speaker
        .ask(
            "sayso/command/hall",
            "lamp on",
            "clients/app/answers",
            b"\x00c1",
        )
        .await;
    let heard = sayso.command().await;
    sayso
        .outbox
        .reply(reply("42").to_json(), &heard.command.reply_to, None)
        .unwrap()
        .await
        .unwrap();
    let answer = speaker.expect("clients/app/answers", PATIENCE).await;
    assert_eq!(answer.correlation.as_deref(), Some(&b"\x00c1"[..]));
    assert_eq!(answer.json()["id"], "42");
    assert_eq!(sayso.count("replied"), 1);
}

async fn a_reply_topic_that_is_not_allowed_is_refused(broker: Broker) {
    let mut sayso = Sayso::start(&broker.settings(), &[]);
    sayso.up().await;
    let mut speaker = Probe::new(broker.port(), "speaker").await;
    speaker.subscribe("#").await;
    speaker
        .ask(
            "sayso/command/hall",
            "lamp on",
            "zigbee2mqtt/lock/set",
            b"c1",
        )
        .await;
    let answer = speaker.expect("sayso/reply/hall", PATIENCE).await;
    assert_eq!(
        (
            answer.json()["outcome"].as_str(),
            answer.json()["why"].as_str()
        ),
        (Some("refused"), Some("malformed"))
    );
    assert!(
        answer.json()["speech"]
            .as_str()
            .unwrap()
            .contains("mqtt.reply_prefixes")
    );
    assert_eq!(answer.correlation.as_deref(), Some(&b"c1"[..]));
    assert!(
        speaker
            .rest()
            .all(|message| message.topic != "zigbee2mqtt/lock/set")
    );
}

async fn what_is_no_command_is_answered(broker: Broker) {
    let mut sayso = Sayso::start(&broker.settings(), &[]);
    sayso.up().await;
    let mut speaker = Probe::new(broker.port(), "speaker").await;
    speaker.subscribe("sayso/reply/hall").await;
    speaker
        .publish(
            "sayso/command/hall",
            r#"{"text":"lamp on","id":"42","tll":"5s"}"#,
        )
        .await;
    let answer = speaker.expect("sayso/reply/hall", PATIENCE).await.json();
    assert_eq!(
        (answer["id"].as_str(), answer["text"].as_str()),
        (Some("42"), Some("lamp on"))
    );
    assert!(
        answer["speech"]
            .as_str()
            .unwrap()
            .contains("`tll` is unknown")
    );
    speaker.publish("sayso/command/hall", "lamp on").await;
    assert_eq!(sayso.command().await.command.text, "lamp on");
    assert_eq!((sayso.count("malformed"), sayso.count("heard")), (1, 1));
}

async fn a_full_queue_is_answered_busy(broker: Broker) {
    let settings = Settings {
        queue: NonZeroUsize::MIN,
        ..broker.settings()
    };
    let mut sayso = Sayso::start(&settings, &[]);
    sayso.up().await;
    let mut speaker = Probe::new(broker.port(), "speaker").await;
    speaker.subscribe("sayso/reply/hall").await;
    for id in ["1", "2"] {
        speaker
            .publish(
                "sayso/command/hall",
                format!(r#"{{"text":"lamp on","id":"{id}"}}"#),
            )
            .await;
    }
    let answer = speaker.expect("sayso/reply/hall", PATIENCE).await.json();
    assert_eq!(
        (answer["id"].as_str(), answer["why"].as_str()),
        (Some("2"), Some("busy"))
    );
    assert!(answer["retry_after"].as_f64().unwrap() >= 1.0);
    assert_eq!(sayso.command().await.command.id, "1");
    speaker
        .publish("sayso/command/hall", r#"{"text":"lamp on","id":"3"}"#)
        .await;
    assert_eq!(sayso.command().await.command.id, "3");
    assert_eq!(sayso.count("busy"), 1);
}

async fn a_retained_command_is_dropped(broker: Broker) {
    let mut speaker = Probe::new(broker.port(), "speaker").await;
    speaker
        .publish_retained("sayso/command/hall", "open the gate")
        .await;
    let mut sayso = Sayso::start(&broker.settings(), &[]);
    sayso.up().await;
    speaker.publish("sayso/command/hall", "lamp on").await;
    assert_eq!(sayso.command().await.command.text, "lamp on");
    assert_eq!(
        (sayso.count("dropped_retained"), sayso.count("heard")),
        (1, 1)
    );
}

async fn a_large_retained_state_is_harmless(broker: Broker) {
    let mut device = Probe::new(broker.port(), "device").await;
    device
        .publish_retained("zigbee2mqtt/bridge/devices", vec![b'x'; 1 << 20])
        .await;
    let mut sayso = Sayso::start(
        &broker.settings(),
        &["zigbee2mqtt/bridge/devices", "zigbee2mqtt/lamp"],
    );
    let (topic, payload) = sayso.state().await;
    assert_eq!(
        (topic.as_str(), payload.len()),
        ("zigbee2mqtt/bridge/devices", 1 << 20)
    );
    device.publish("zigbee2mqtt/lamp", "on").await;
    assert_eq!(
        sayso.state().await,
        ("zigbee2mqtt/lamp".to_owned(), b"on".to_vec())
    );
    assert_eq!(sayso.count("disconnected"), 0);
}

async fn other_state_topics_can_be_followed(broker: Broker) {
    let mut device = Probe::new(broker.port(), "device").await;
    for topic in ["old", "both", "new/1"] {
        device.publish_retained(topic, "kept").await;
    }
    let mut sayso = Sayso::start(&broker.settings(), &["old", "both"]);
    for _ in 0..2 {
        assert!(["old", "both"].contains(&sayso.state().await.0.as_str()));
    }
    sayso
        .outbox
        .follow(vec!["both".to_owned(), "new/+".to_owned()])
        .unwrap();
    assert_eq!(sayso.state().await.0, "new/1");
    device.publish("old", "unheard").await;
    device.publish("both", "heard").await;
    assert_eq!(sayso.state().await, ("both".to_owned(), b"heard".to_vec()));
    assert!(sayso.outbox.follow(vec!["a/#/b".to_owned()]).is_err());
}

async fn a_message_larger_than_mqtt_knows_is_refused(broker: Broker) {
    let mut sayso = Sayso::start(&broker.settings(), &[]);
    sayso.up().await;
    let huge = OutboundMessage::to("out", vec![0; 300 << 20]);
    assert!(matches!(
        sayso.outbox.publish(huge).unwrap().await,
        Err(Undelivered::Refused { .. })
    ));
    sayso
        .outbox
        .publish(message("out", "small"))
        .unwrap()
        .await
        .unwrap();
    assert_eq!(sayso.count("disconnected"), 0);
}

#[tokio::test]
async fn a_message_larger_than_the_broker_takes_is_refused() {
    let broker = Broker::mosquitto_with(|_| "max_packet_size 2000\n".to_owned()).await;
    let mut sayso = Sayso::start(&broker.settings(), &[]);
    sayso.up().await;
    let large = sayso
        .outbox
        .publish(message("out", &"x".repeat(2000)))
        .unwrap();
    let fits = sayso
        .outbox
        .publish(message("out", &"x".repeat(1900)))
        .unwrap();
    assert!(matches!(large.await, Err(Undelivered::Refused { .. })));
    fits.await.unwrap();
    assert_eq!(sayso.count("disconnected"), 0);
}

#[tokio::test]
async fn a_reply_above_an_unannounced_limit_of_the_broker_is_shortened() {
    let broker = Broker::mosquitto_with(|_| "message_size_limit 2000\n".to_owned()).await;
    let mut speaker = Probe::new(broker.port(), "speaker").await;
    speaker.subscribe("sayso/reply/hall").await;
    let mut sayso = Sayso::start(&broker.settings(), &[]);
    sayso.up().await;
    speaker.publish("sayso/command/hall", "lamp on").await;
    let to = sayso.command().await.command.reply_to;
    let long = Reply {
        text: "word ".repeat(1000).into(),
        ..reply("long")
    };
    let delivery = sayso.outbox.reply(long.to_json(), &to, None).unwrap();
    timeout(PATIENCE, delivery).await.unwrap().unwrap();
    let shortened = speaker.expect("sayso/reply/hall", PATIENCE).await.json();
    assert_eq!(
        (shortened["id"].as_str(), shortened["outcome"].as_str()),
        (Some("long"), Some("done"))
    );
    let large = message("out", &"x".repeat(3000));
    let refused = sayso.outbox.publish(large).unwrap();
    assert!(matches!(
        timeout(PATIENCE, refused).await.unwrap(),
        Err(Undelivered::Refused { .. })
    ));
    assert_eq!(sayso.count("disconnected"), 0);
}

async fn status_is_online_then_offline(broker: Broker) {
    let mut witness = Probe::new(broker.port(), "witness").await;
    witness.subscribe("sayso/status").await;
    witness.subscribe("out").await;
    let mut sayso = Sayso::start(&broker.settings(), &[]);
    sayso.up().await;
    assert_eq!(
        witness.expect("sayso/status", PATIENCE).await.text(),
        "online"
    );
    let last = sayso.outbox.publish(message("out", "last words")).unwrap();
    sayso.close().await;
    last.await.unwrap();
    assert_eq!(witness.expect("out", PATIENCE).await.text(), "last words");
    assert_eq!(
        witness.expect("sayso/status", PATIENCE).await.text(),
        "offline"
    );
    let mut late = Probe::new(broker.port(), "late").await;
    late.subscribe("sayso/status").await;
    let kept = late.expect("sayso/status", PATIENCE).await;
    assert_eq!((kept.text().as_str(), kept.retain), ("offline", true));
}

#[tokio::test]
async fn an_idle_connection_stands() {
    let broker = Broker::mosquitto().await;
    let mut sayso = Sayso::start(&broker.settings(), &[]);
    sayso.up().await;
    let before = sayso.outbox.last_progress();
    // Longer than twice the keep-alive: pings keep it up, and the loop shows that it turns.
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(sayso.outbox.is_up() && sayso.outbox.last_progress() > before);
    assert_eq!(sayso.count("disconnected"), 0);
}

#[tokio::test]
async fn a_broker_without_retained_messages_is_served_without_them() {
    let broker = Broker::mosquitto_with(|_| "retain_available false\n".to_owned()).await;
    let mut listener = Probe::new(broker.port(), "listener").await;
    listener.subscribe("out").await;
    let mut sayso = Sayso::start(&broker.settings(), &[]);
    sayso.up().await;
    let retained = message("out", "not kept").retained();
    sayso.outbox.publish(retained).unwrap().await.unwrap();
    assert_eq!(listener.expect("out", PATIENCE).await.text(), "not kept");
    assert_eq!(sayso.count("disconnected"), 0);
    sayso.close().await;
}
