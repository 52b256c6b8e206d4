//! Behaviour that only a scripted broker shows: the order of acknowledgements, silence, refusals,
//! half-sent messages.

use std::num::NonZeroUsize;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use sayso::testing::command::Redelivery;
use sayso::testing::mqtt::outbox::Undelivered;
use sayso::testing::mqtt::{Settings, SetupError, connect};
use tokio::time::{Instant, timeout};

use super::{PATIENCE, Sayso, message};
use crate::broker::Script;

fn settings(script: &Script) -> Settings {
    Settings {
        host: "127.0.0.1".to_owned(),
        port: script.port(),
        keep_alive: Duration::from_secs(5),
        ..Settings::default()
    }
}

#[tokio::test]
async fn acknowledgements_leave_in_the_order_of_receipt() {
    let script = Script::new().await;
    let mut sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    for (pkid, text) in [(11, b"a"), (12, b"b"), (13, b"c")] {
        broker.deliver("sayso/command/hall", text, pkid).await;
    }
    let (first, second, third) = (
        sayso.command().await,
        sayso.command().await,
        sayso.command().await,
    );
    sayso.outbox.acknowledge(third.ack_token);
    sayso.outbox.acknowledge(second.ack_token);
    let _told = sayso
        .outbox
        .publish(message("out", "before any acknowledgement"))
        .unwrap();
    assert_eq!(
        &broker.published().await.payload[..],
        b"before any acknowledgement"
    );
    sayso.outbox.acknowledge(first.ack_token);
    assert_eq!(
        [
            broker.acknowledged().await,
            broker.acknowledged().await,
            broker.acknowledged().await
        ],
        [11, 12, 13]
    );
}

#[tokio::test]
async fn a_receipt_of_an_earlier_connection_acknowledges_nothing() {
    let script = Script::new().await;
    let mut sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    broker.deliver("sayso/command/hall", b"old", 1).await;
    let old = sayso.command().await;
    drop(broker);
    let mut broker = script.welcome(true).await;
    broker.deliver("sayso/command/hall", b"new", 1).await;
    let new = sayso.command().await;
    assert_eq!(
        (new.command.text.as_str(), new.connection, new.redelivery),
        ("new", 2, Redelivery::No)
    );
    sayso.outbox.acknowledge(old.ack_token);
    let _told = sayso
        .outbox
        .publish(message("out", "nothing before this"))
        .unwrap();
    assert_eq!(
        &broker.published().await.payload[..],
        b"nothing before this"
    );
    sayso.outbox.acknowledge(new.ack_token);
    assert_eq!(broker.acknowledged().await, 1);
}

#[tokio::test]
async fn after_a_break_what_may_be_repeated_is_and_the_rest_is_uncertain() {
    let script = Script::new().await;
    let sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    let once = |payload| message("out", payload).repeatable(false);
    let acknowledged = sayso
        .outbox
        .publish(message("out", "acknowledged"))
        .unwrap();
    let toggled = sayso.outbox.publish(once("toggled")).unwrap();
    let repeated = sayso.outbox.publish(message("out", "repeated")).unwrap();
    let pkid = broker.published().await.pkid;
    assert_eq!(
        (
            &broker.published().await.payload[..],
            &broker.published().await.payload[..]
        ),
        (&b"toggled"[..], &b"repeated"[..])
    );
    broker.acknowledge(pkid).await;
    acknowledged.await.unwrap();
    drop(broker);
    assert_eq!(toggled.await, Err(Undelivered::Uncertain));
    let newer = sayso.outbox.publish(once("newer")).unwrap();
    let mut broker = script.welcome(false).await;
    for payload in [&b"repeated"[..], b"newer"] {
        let publish = broker.published().await;
        assert_eq!((&publish.payload[..], publish.dup), (payload, false));
        broker.acknowledge(publish.pkid).await;
    }
    repeated.await.unwrap();
    newer.await.unwrap();
}

#[tokio::test]
async fn more_than_a_window_of_messages_is_repeated_in_order() {
    let script = Script::new().await;
    let sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    let all: Vec<_> = (0..200)
        .map(|n: i32| {
            sayso
                .outbox
                .publish(message("out", &n.to_string()))
                .unwrap()
        })
        .collect();
    // All of the first window but every third acknowledged, so that the packet ids wrap around with
    // gaps.
    for n in 0..50 {
        let publish = broker.published().await;
        if n % 3 != 0 {
            broker.acknowledge(publish.pkid).await;
        }
    }
    drop(broker);
    let mut broker = script.welcome(true).await;
    let mut seen = Vec::new();
    while seen.last() != Some(&199) {
        let publish = broker.published().await;
        seen.push(
            str::from_utf8(&publish.payload)
                .unwrap()
                .parse::<i32>()
                .unwrap(),
        );
        broker.acknowledge(publish.pkid).await;
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    assert!(
        (0..50).filter(|n| n % 3 == 0).all(|n| seen.contains(&n)),
        "{seen:?}"
    );
    for delivery in all {
        delivery.await.unwrap();
    }
}

#[tokio::test]
async fn a_message_the_broker_refuses_is_told_as_refused() {
    let script = Script::new().await;
    let sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    let refused = sayso.outbox.publish(message("out", "forbidden")).unwrap();
    let pkid = broker.published().await.pkid;
    broker.refuse(pkid).await;
    assert_eq!(
        refused.await,
        Err(Undelivered::Refused {
            why: "NotAuthorized".to_owned()
        })
    );
}

#[tokio::test]
async fn a_deadline_travels_as_whole_seconds_and_at_least_one() {
    let script = Script::new().await;
    let sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    for (left, seconds) in [
        (Duration::from_millis(500), 1),
        (Duration::from_millis(90_900), 90),
    ] {
        let deadline = (Instant::now() + left).into_std();
        let _told = sayso
            .outbox
            .publish(message("out", "in time").until(deadline))
            .unwrap();
        let publish = broker.published().await;
        assert_eq!(
            publish.properties.unwrap().message_expiry_interval,
            Some(seconds)
        );
        broker.acknowledge(publish.pkid).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_never_answers_is_left_and_tried_again() {
    let script = Script::new().await;
    let mut sayso = Sayso::start(&settings(&script), &[]);
    let silent = script.accept().await;
    assert_eq!(sayso.down().await, "the broker does not answer");
    let _second = script.welcome(false).await;
    drop(silent);
    sayso.up().await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_falls_silent_is_left_within_two_keep_alives() {
    let script = Script::new().await;
    let mut sayso = Sayso::start(&settings(&script), &[]);
    let silent = script.welcome(false).await;
    sayso.up().await;
    let since = Instant::now();
    sayso.down().await;
    let after = since.elapsed();
    assert!(
        (Duration::from_secs(5)..=Duration::from_secs(16)).contains(&after),
        "{after:?}"
    );
    let _second = script.welcome(true).await;
    drop(silent);
    assert!(sayso.up().await);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_answer_the_subscriptions_is_left() {
    let script = Script::new().await;
    let mut sayso = Sayso::start(&settings(&script), &[]);
    let mut deaf = script.accept().await;
    deaf.greet(false).await;
    // Pings are answered, so that only the missing SUBACK can end it.
    let serve = async { while deaf.packet().await.is_some() {} };
    let (why, ()) = tokio::join!(sayso.down(), serve);
    assert_eq!(why, "the broker is silent");
}

/// Accepts connections and ends each one over the first message to `poison`, as mosquitto does over
/// a topic it refuses, or sends an answer to it that is no packet; returns the topics of the
/// messages acknowledged before `until`, without those of sayso's own status.
async fn end_over(script: &Script, poison: &str, until: &str, answer: &[u8]) -> Vec<String> {
    let mut acknowledged = Vec::new();
    loop {
        let mut broker = script.welcome(true).await;
        while let Some(packet) = broker.packet().await {
            let Packet::Publish(publish) = packet else {
                continue;
            };
            let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
            if topic == poison {
                if answer.is_empty() {
                    break;
                }
                broker.send_bytes(answer).await;
                continue;
            }
            broker.acknowledge(publish.pkid).await;
            acknowledged.push(topic.clone());
            if topic == until {
                return acknowledged;
            }
        }
    }
}

#[tokio::test]
async fn a_message_over_which_the_broker_ends_every_connection_is_given_up() {
    is_given_up(b"").await;
}

#[tokio::test]
async fn a_broker_that_acknowledges_twice_is_served() {
    let script = Script::new().await;
    let sayso = Sayso::start(&settings(&script), &[]);
    let broker = async {
        let mut broker = script.welcome(true).await;
        loop {
            let packet = broker.packet().await.expect("the connection stays");
            let Packet::Publish(publish) = packet else {
                continue;
            };
            for pkid in [publish.pkid, publish.pkid, 4000] {
                broker.acknowledge(pkid).await;
            }
            if publish.topic == "last" {
                return;
            }
        }
    };
    let publishing = async {
        for topic in ["first", "second", "last"] {
            let receipt = sayso.outbox.publish(message(topic, "x")).unwrap();
            receipt.await.unwrap();
        }
    };
    let both = async { tokio::join!(broker, publishing) };
    timeout(PATIENCE, both).await.expect("all are acknowledged");
}

#[tokio::test]
async fn a_message_with_an_answer_that_cannot_be_read_is_given_up() {
    is_given_up(&[0x00, 0x00]).await;
}

async fn is_given_up(answer: &[u8]) {
    let script = Script::new().await;
    let sayso = Sayso::start(&settings(&script), &[]);
    let publish = |topic| sayso.outbox.publish(message(topic, "x")).unwrap();
    let poison = publish("poison");
    let others = ["a", "b", "c"].map(publish);
    let broker = end_over(&script, "poison", "sayso/dead", answer);
    let acknowledged = timeout(PATIENCE, broker).await.expect("a dead letter");
    assert!(matches!(poison.await, Err(Undelivered::Refused { .. })));
    for other in others {
        other.await.unwrap();
    }
    let count = |topic| acknowledged.iter().filter(|seen| **seen == topic).count();
    let counts = ["a", "b", "c", "sayso/dead"].map(count);
    if answer.is_empty() {
        assert_eq!(counts, [1, 1, 1, 1]);
    } else {
        // Their acknowledgements come behind the answer that ends the connection.
        assert!(counts.iter().all(|count| *count >= 1), "{counts:?}");
    }
}

#[tokio::test]
async fn a_subscription_over_which_the_broker_ends_every_connection_is_left_out() {
    let script = Script::new().await;
    let mut sayso = Sayso::start(&settings(&script), &["good", "poison", "fine"]);
    let broker = async {
        let mut ended = 0;
        loop {
            let mut broker = script.accept().await;
            broker.greet(true).await;
            let mut seen = Vec::new();
            while let Some(Packet::Subscribe(request)) = broker.packet().await {
                let topics: Vec<_> = request.filters.iter().map(|f| f.path.clone()).collect();
                if topics.iter().any(|topic| topic == "poison") {
                    ended += 1;
                    break;
                }
                seen.extend(topics);
                broker.subscribed(&request).await;
                if seen.len() == 4 && ended == 3 {
                    return (broker, seen);
                }
            }
        }
    };
    let (broker, seen) = timeout(PATIENCE, broker).await.expect("it is left out");
    assert!(seen.contains(&"good".to_owned()) && seen.contains(&"fine".to_owned()));
    assert!(sayso.up().await);
    drop(broker);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_broker_gets_no_messages_to_deliver_late() {
    let script = Script::new().await;
    let sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    let publish = |payload| sayso.outbox.publish(message("out", payload)).unwrap();
    let first = publish("first");
    let pkid = broker.published().await.pkid;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let soon = (Instant::now() + Duration::from_secs(2)).into_std();
    let late = sayso
        .outbox
        .publish(message("out", "late").until(soon))
        .unwrap();
    assert_eq!(late.await, Err(Undelivered::Late), "it has not left");
    let second = publish("second");
    broker.acknowledge(pkid).await;
    first.await.unwrap();
    let publish = broker.published().await;
    assert_eq!(&publish.payload[..], b"second");
    broker.acknowledge(publish.pkid).await;
    second.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_never_comes_is_not_waited_for_without_a_bound() {
    let script = Script::new().await;
    let mut sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    sayso.up().await;
    let lost = sayso
        .outbox
        .publish(message("out", "once").repeatable(false))
        .unwrap();
    let since = Instant::now();
    // Pings are answered, so that only the missing PUBACK can end it.
    let serve = async { while broker.packet().await.is_some() {} };
    let (why, ()) = tokio::join!(sayso.down(), serve);
    assert!(why.contains("does not acknowledge"), "{why}");
    assert!(since.elapsed() < Duration::from_secs(20));
    assert_eq!(lost.await, Err(Undelivered::Uncertain));
}

#[tokio::test]
async fn after_a_break_a_device_gets_no_older_command_behind_a_newer_one() {
    let script = Script::new().await;
    let sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    let to = |payload, device: &str, seq| {
        sayso
            .outbox
            .publish(
                message("out", payload)
                    .for_device(device, seq)
                    .repeatable(payload != "press"),
            )
            .unwrap()
    };
    let older = to("off", "lamp", 1);
    let on = to("on", "fan", 2);
    let speed = to("speed", "fan", 2);
    let press = to("press", "lamp", 3);
    for _ in 0..4 {
        broker.published().await;
    }
    drop(broker);
    assert_eq!(press.await, Err(Undelivered::Uncertain));
    assert_eq!(older.await, Err(Undelivered::Superseded));
    let mut broker = script.welcome(true).await;
    for payload in [&b"on"[..], b"speed"] {
        let publish = broker.published().await;
        assert_eq!(&publish.payload[..], payload);
        broker.acknowledge(publish.pkid).await;
    }
    on.await.unwrap();
    speed.await.unwrap();
}

#[tokio::test]
async fn an_older_command_is_not_repeated_when_a_newer_one_was_acknowledged() {
    let script = Script::new().await;
    let sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    let to = |payload, seq| {
        let message = message("out", payload).for_device("lamp", seq);
        sayso.outbox.publish(message).unwrap()
    };
    let older = to("off", 1);
    let newer = to("on", 2);
    broker.published().await;
    let pkid = broker.published().await.pkid;
    broker.acknowledge(pkid).await;
    newer.await.unwrap();
    drop(broker);
    assert_eq!(older.await, Err(Undelivered::Superseded));
}

#[tokio::test]
async fn closing_sends_what_waits_says_offline_and_disconnects() {
    let script = Script::new().await;
    let mut sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    broker.deliver("sayso/command/hall", b"lamp on", 5).await;
    let heard = sayso.command().await;
    let deliveries: Vec<_> = (0..100)
        .map(|n: i32| {
            sayso
                .outbox
                .publish(message("out", &n.to_string()))
                .unwrap()
        })
        .collect();
    sayso.outbox.acknowledge(heard.ack_token);
    let outbox = sayso.outbox.clone();
    let serve = async {
        let (mut said, mut acknowledged) = (Vec::new(), Vec::new());
        loop {
            match broker.packet().await {
                Some(Packet::Publish(publish)) => {
                    said.push((
                        String::from_utf8(publish.payload.to_vec()).unwrap(),
                        publish.retain,
                    ));
                    broker.acknowledge(publish.pkid).await;
                }
                Some(Packet::PubAck(answer)) => acknowledged.push(answer.pkid),
                Some(Packet::Disconnect(_)) => return (said, acknowledged),
                other => panic!("{other:?}"),
            }
        }
    };
    let ((), (said, acknowledged)) = tokio::join!(sayso.close(), serve);
    let wanted: Vec<_> = (0..100)
        .map(|n| (n.to_string(), false))
        .chain([("offline".to_owned(), true)])
        .collect();
    assert_eq!((said, acknowledged), (wanted, vec![5]));
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    assert_eq!(
        outbox.publish(message("out", "too late")).unwrap().await,
        Err(Undelivered::Closed)
    );
}

#[tokio::test]
async fn while_stopping_commands_are_left_to_the_broker() {
    let script = Script::new().await;
    let mut sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    sayso.up().await;
    sayso.inbox.close();
    broker.deliver("sayso/command/hall", b"lamp on", 5).await;
    broker.deliver("sayso/command/hall", b"{", 6).await;
    // The second is answered, so the first was seen: and there is no acknowledgement of it.
    let answer = broker.published().await;
    assert_eq!(&answer.topic[..], b"sayso/reply/hall");
    broker.acknowledge(answer.pkid).await;
    let (heard, ()) = tokio::join!(sayso.inbox.next(), async {});
    assert!(heard.is_none());
    let closing = sayso.close();
    let serve = async {
        let offline = broker.published().await;
        broker.acknowledge(offline.pkid).await;
        assert!(matches!(broker.packet().await, Some(Packet::Disconnect(_))));
    };
    timeout(PATIENCE, async { tokio::join!(closing, serve) })
        .await
        .unwrap();
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let refused = |settings: Settings, states: &[&str]| {
        let states = states.iter().map(|s| (*s).to_owned()).collect();
        connect(&settings, states, std::sync::Arc::default())
            .err()
            .unwrap()
    };
    let good = Settings::default;
    let short = Settings {
        keep_alive: Duration::from_secs(4),
        ..good()
    };
    assert!(matches!(refused(short, &[]), SetupError::KeepAlive { .. }));
    assert!(matches!(
        refused(
            Settings {
                client_id: String::new(),
                ..good()
            },
            &[]
        ),
        SetupError::NoClientId
    ));
    assert!(matches!(
        refused(
            Settings {
                prefix: "a/+".to_owned(),
                ..good()
            },
            &[]
        ),
        SetupError::Topic(_)
    ));
    assert!(matches!(refused(good(), &["a/#/b"]), SetupError::Topic(_)));
    for prefix in ["", "/", "clients/#"] {
        assert!(
            matches!(
                refused(
                    Settings {
                        reply_prefixes: vec![prefix.to_owned()],
                        ..good()
                    },
                    &[]
                ),
                SetupError::ReplyPrefix { .. }
            ),
            "{prefix:?}"
        );
    }
    let echo = refused(good(), &["sayso/#"]).to_string();
    assert!(
        echo.contains("`sayso/#`") && echo.contains("`sayso/reply/#`"),
        "{echo}"
    );
}

#[tokio::test]
async fn only_what_was_received_before_is_a_redelivery() {
    let script = Script::new().await;
    let mut sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    for pkid in [1, 2] {
        broker.deliver("sayso/command/hall", b"turn on", pkid).await;
        assert_eq!(sayso.command().await.redelivery, Redelivery::No);
    }
    drop(broker);
    let mut broker = script.welcome(true).await;
    // The third one left the broker, and was lost with the connection.
    for (pkid, redelivery) in [(2, Redelivery::Certain), (3, Redelivery::No)] {
        broker
            .redeliver("sayso/command/hall", b"turn on", pkid)
            .await;
        assert_eq!(sayso.command().await.redelivery, redelivery, "{pkid}");
    }
}

/// Commands that the broker sends, whatever the receive maximum; many more than can wait.
const EXCESS: u16 = 600;

#[tokio::test]
async fn a_broker_that_exceeds_the_receive_maximum_has_every_reply_without_acknowledging_any() {
    let script = Script::new().await;
    let one = NonZeroUsize::MIN;
    let settings = Settings {
        queue: one,
        outbox: one,
        ..settings(&script)
    };
    let mut sayso = Sayso::start(&settings, &[]);
    let mut broker = script.welcome(false).await;
    for pkid in 1..=EXCESS {
        let payload = b"turn on the lamp".as_slice();
        broker.deliver("sayso/command/hall", payload, pkid).await;
    }
    // The first command waits for its reader; all others are rejected. Of their replies some wait
    // for acknowledgements, the others leave without them.
    let mut unacknowledged = Vec::new();
    let mut at_once = 0;
    while at_once < 200 {
        let publish = timeout(PATIENCE, broker.published()).await.unwrap();
        match publish.qos {
            QoS::AtMostOnce => at_once += 1,
            _ => unacknowledged.push(publish.pkid),
        }
    }
    for pkid in unacknowledged {
        broker.acknowledge(pkid).await;
    }
    let mut acknowledged = Vec::new();
    let mut accepted = 0;
    while acknowledged.len() < usize::from(EXCESS) {
        tokio::select! {
            packet = broker.packet() => match packet {
                Some(Packet::PubAck(ack)) => acknowledged.push(ack.pkid),
                Some(Packet::Publish(publish)) if publish.qos == QoS::AtLeastOnce => {
                    broker.acknowledge(publish.pkid).await;
                }
                Some(Packet::Publish(_)) => {}
                other => panic!("expected a reply or PUBACK, found {other:?}"),
            },
            command = sayso.command() => {
                accepted += 1;
                sayso.outbox.acknowledge(command.ack_token);
            }
        }
    }
    let in_order = acknowledged.iter().copied().eq(1..=EXCESS);
    assert!(in_order, "{acknowledged:?}");
    assert_eq!(sayso.count("reply_lost"), 0);
    assert_eq!(sayso.count("replied") + accepted, u64::from(EXCESS));
}
