//! Connections that break, sessions that are lost, brokers that come and go: nothing is lost, and
//! the order is kept.

use std::time::Duration;

use sayso::testing::command::Redelivery;
use sayso::testing::mqtt::Settings;
use sayso::testing::mqtt::outbox::Undelivered;

use tokio::time::timeout;

use super::{PATIENCE, Sayso, message, on_every_broker};
use crate::broker::{Broker, Probe, Tap};

on_every_broker! {
    an_unacknowledged_command_comes_again_and_an_acknowledged_one_does_not
    nothing_is_lost_nor_out_of_order_while_connections_break
    a_broken_connection_shows_as_offline_and_then_online
    a_broker_that_comes_later_gets_what_was_said_before
    commands_wait_at_the_broker_while_the_connection_is_broken
}

fn through(tap: &Tap, broker: &Broker) -> Settings {
    Settings {
        port: tap.port(),
        ..broker.settings()
    }
}

async fn an_unacknowledged_command_comes_again_and_an_acknowledged_one_does_not(broker: Broker) {
    let tap = Tap::to(broker.port()).await;
    let mut sayso = Sayso::start(&through(&tap, &broker), &[]);
    assert!(!sayso.up().await);
    let mut speaker = Probe::new(broker.port(), "speaker").await;
    speaker.publish("sayso/command/hall", "first").await;
    speaker.publish("sayso/command/hall", "second").await;
    let (first, second) = (sayso.command().await, sayso.command().await);
    assert_eq!((first.connection, first.redelivery), (1, Redelivery::No));
    sayso.outbox.acknowledge(first.ack_token);
    speaker.subscribe("out").await;
    sayso
        .outbox
        .publish(message("out", "after the acknowledgement"))
        .unwrap()
        .await
        .unwrap();

    tap.cut();
    sayso.down().await;
    tap.mend();
    let again = sayso.command().await;
    assert_eq!(
        (
            again.command.text.as_str(),
            again.connection,
            again.redelivery
        ),
        ("second", 2, Redelivery::Certain)
    );
    sayso.outbox.acknowledge(second.ack_token);
    sayso
        .outbox
        .publish(message("out", "after the old receipt"))
        .unwrap()
        .await
        .unwrap();

    tap.cut();
    sayso.down().await;
    tap.mend();
    let again = sayso.command().await;
    assert_eq!(
        (again.command.text.as_str(), again.connection),
        ("second", 3),
        "an old receipt acknowledges nothing"
    );
    sayso.outbox.acknowledge(again.ack_token);
    speaker.publish("sayso/command/hall", "third").await;
    assert_eq!(sayso.command().await.command.text, "third");
}

async fn nothing_is_lost_nor_out_of_order_while_connections_break(broker: Broker) {
    const ROUNDS: usize = 6;
    const EACH: usize = 100;
    let tap = Tap::to(broker.port()).await;
    let mut sayso = Sayso::start(&through(&tap, &broker), &[]);
    sayso.up().await;
    let mut witness = Probe::new(broker.port(), "witness").await;
    witness.subscribe("out").await;
    let mut deliveries = Vec::new();
    let mut received = Vec::new();
    for round in 0..ROUNDS {
        if round % 2 == 1 {
            // Sent, and perhaps received, but never acknowledged.
            tap.mute();
        }
        let mut sent: Vec<_> = (0..EACH)
            .map(|i| {
                sayso
                    .outbox
                    .publish(message("out", &(round * EACH + i).to_string()))
                    .unwrap()
            })
            .collect();
        if round % 2 == 0 {
            sent.remove(0).await.unwrap();
        } else {
            received.push(witness.expect("out", PATIENCE).await.text());
        }
        deliveries.extend(sent);
        tap.cut();
        sayso.down().await;
        if round == 2 {
            // The broker forgets sayso's session.
            Probe::usurper(broker.port(), "sayso").await.leave().await;
        }
        tap.mend();
        assert_eq!(sayso.up().await, round != 2);
    }
    for delivery in deliveries {
        tokio::time::timeout(PATIENCE, delivery)
            .await
            .expect("it is acknowledged")
            .unwrap();
    }
    witness.publish("out", "end").await;
    while received.last().is_none_or(|text| text != "end") {
        received.push(witness.expect("out", PATIENCE).await.text());
    }
    // Messages in flight when the connection broke come twice; their first arrival counts.
    let mut firsts: Vec<String> = Vec::new();
    for text in received {
        if !firsts.contains(&text) {
            firsts.push(text);
        }
    }
    let wanted: Vec<String> = (0..ROUNDS * EACH)
        .map(|n| n.to_string())
        .chain(["end".to_owned()])
        .collect();
    assert_eq!(firsts, wanted);
}

async fn a_broken_connection_shows_as_offline_and_then_online(broker: Broker) {
    let mut witness = Probe::new(broker.port(), "witness").await;
    witness.subscribe("sayso/status").await;
    let tap = Tap::to(broker.port()).await;
    let mut sayso = Sayso::start(&through(&tap, &broker), &[]);
    sayso.up().await;
    assert!(sayso.outbox.is_up());
    assert_eq!(
        witness.expect("sayso/status", PATIENCE).await.text(),
        "online"
    );
    tap.cut();
    sayso.down().await;
    assert!(!sayso.outbox.is_up());
    assert_eq!(
        witness.expect("sayso/status", PATIENCE).await.text(),
        "offline"
    );
    tap.mend();
    sayso.up().await;
    assert_eq!(
        witness.expect("sayso/status", PATIENCE).await.text(),
        "online"
    );
    assert_eq!(sayso.count("disconnected"), 1);
}

async fn a_broker_that_comes_later_gets_what_was_said_before(mut broker: Broker) {
    broker.stop().await;
    let mut sayso = Sayso::start(&broker.settings(), &[]);
    sayso.down().await;
    let kept = |n: usize| message(&format!("out/{n}"), "kept").retained();
    let before: Vec<_> = (0..100)
        .map(|n| sayso.outbox.publish(kept(n)).unwrap())
        .collect();
    let now = tokio::time::Instant::now().into_std();
    let late = message("out/late", "late").until(now);
    assert_eq!(
        sayso.outbox.publish(late).unwrap().await,
        Err(Undelivered::Late)
    );
    broker.start().await;
    assert!(!sayso.up().await);
    for delivery in before {
        delivery.await.unwrap();
    }
    let mut witness = Probe::new(broker.port(), "witness").await;
    witness.subscribe("out/#").await;
    for n in 0..100 {
        witness.expect(&format!("out/{n}"), PATIENCE).await;
    }
    assert_eq!(sayso.count("disconnected"), 0);
}

async fn commands_wait_at_the_broker_while_the_connection_is_broken(broker: Broker) {
    let tap = Tap::to(broker.port()).await;
    let mut sayso = Sayso::start(&through(&tap, &broker), &[]);
    sayso.up().await;
    tap.cut();
    sayso.down().await;
    let mut speaker = Probe::new(broker.port(), "speaker").await;
    for i in 0..10 {
        speaker.publish("sayso/command/hall", i.to_string()).await;
    }
    tap.mend();
    for i in 0..10 {
        let heard = sayso.command().await;
        assert_eq!(
            (heard.command.text, heard.redelivery),
            (i.to_string().into(), Redelivery::No)
        );
        sayso.outbox.acknowledge(heard.ack_token);
    }
}

#[tokio::test]
async fn a_restarted_broker_that_kept_the_session_has_the_commands_too() {
    let mut broker = Broker::mosquitto().await;
    let tap = Tap::to(broker.port()).await;
    let mut sayso = Sayso::start(&through(&tap, &broker), &[]);
    sayso.up().await;
    tap.cut();
    sayso.down().await;
    Probe::new(broker.port(), "speaker")
        .await
        .publish("sayso/command/hall", "lamp on")
        .await;
    let waiting = sayso
        .outbox
        .publish(message("out", "said while it was away"))
        .unwrap();
    broker.restart().await;
    tap.mend();
    assert_eq!(sayso.command().await.command.text, "lamp on");
    assert!(sayso.up().await);
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_restarted_broker_that_forgot_the_session_is_told_everything_again() {
    let mut broker = Broker::forgetful_mosquitto().await;
    let mut sayso = Sayso::start(&broker.settings(), &["lamp"]);
    sayso.up().await;
    let kept = |n: usize| message(&format!("out/{n}"), "kept").retained();
    broker.stop().await;
    sayso.down().await;
    let deliveries: Vec<_> = (0..200)
        .map(|n| sayso.outbox.publish(kept(n)).unwrap())
        .collect();
    broker.start().await;
    assert!(!sayso.up().await);
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    let mut other = Probe::new(broker.port(), "other").await;
    other.subscribe("out/#").await;
    for n in 0..200 {
        other.expect(&format!("out/{n}"), PATIENCE).await;
    }
    other.publish("lamp", "on").await;
    assert_eq!(sayso.state().await.0, "lamp");
    other.publish("sayso/command/hall", "lamp off").await;
    assert_eq!(sayso.command().await.command.text, "lamp off");
}

/// Two clients of one id take the session over from each other again and again.
async fn conflict(broker: Broker) -> String {
    let mut sayso = Sayso::start(&broker.settings(), &[]);
    sayso.up().await;
    let _other = Sayso::start(&broker.settings(), &[]);
    loop {
        let why = sayso.down().await;
        if why.contains("mqtt.client_id") {
            return why;
        }
    }
}

#[tokio::test]
async fn a_second_client_of_our_id_is_named_as_the_cause() {
    for broker in [Broker::embedded().await, Broker::mosquitto().await] {
        timeout(PATIENCE, conflict(broker))
            .await
            .expect("the conflict is named");
    }
}

#[tokio::test]
async fn a_stopped_broker_is_not_taken_for_a_client_of_our_id_and_the_newest_cause_is_reported() {
    let mut broker = Broker::mosquitto().await;
    let mut sayso = Sayso::start(&broker.settings(), &[]);
    sayso.up().await;
    broker.stop().await;
    assert_eq!(sayso.down().await, "the broker closed the connection");
    let why = sayso.down().await;
    assert!(why.starts_with("nothing listens"), "{why}");
    broker.start().await;
    sayso.up().await;
}

#[tokio::test]
async fn a_fresh_command_after_a_reconnect_is_no_redelivery_of_an_equal_one() {
    let broker = Broker::mosquitto().await;
    let tap = Tap::to(broker.port()).await;
    let mut sayso = Sayso::start(&through(&tap, &broker), &[]);
    sayso.up().await;
    let mut client = Probe::new(broker.port(), "client").await;
    client.publish("sayso/command/hall", "turn on").await;
    let first = sayso.command().await;
    sayso.outbox.acknowledge(first.ack_token);
    tokio::time::sleep(Duration::from_millis(600)).await;
    tap.cut();
    sayso.down().await;
    tap.mend();
    sayso.up().await;
    client.publish("sayso/command/hall", "turn on").await;
    assert_eq!(sayso.command().await.redelivery, Redelivery::No);
}

#[tokio::test]
async fn a_login_the_broker_refuses_is_named_as_the_cause() {
    let broker = Broker::mosquitto_with(|folder| {
        std::fs::write(folder.path().join("passwords"), "").unwrap();
        format!(
            "allow_anonymous false\npassword_file {}\n",
            folder.path().join("passwords").display()
        )
    });
    let broker = broker.await;
    let why = Sayso::start(&broker.settings(), &[]).down().await;
    assert!(why.contains("mqtt.username"), "{why}");
}

#[tokio::test]
async fn closing_without_a_broker_ends_with_the_grace() {
    let mut broker = Broker::embedded().await;
    broker.stop().await;
    let sayso = Sayso::start(&broker.settings(), &[]);
    let unsent = sayso
        .outbox
        .publish(message("out", "nobody hears this"))
        .unwrap();
    sayso.outbox.close(Duration::from_millis(200)).await;
    assert_eq!(unsent.await, Err(Undelivered::Closed));
    sayso.close().await;
}
