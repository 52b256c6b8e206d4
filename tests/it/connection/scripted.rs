//! What only a broker that obeys the test shows: the order of acknowledgements, silence, refusals, half-sent messages.

use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::Packet;
use sayso::mqtt::outbox::{OutboundMessage, Undelivered};
use sayso::mqtt::{Settings, SetupError, connect};
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
        sayso.heard().await,
        sayso.heard().await,
        sayso.heard().await,
    );
    sayso.outbox.acknowledge(third.receipt);
    sayso.outbox.acknowledge(second.receipt);
    let _told = sayso
        .outbox
        .publish(message("out", "before any acknowledgement"))
        .unwrap();
    assert_eq!(
        &broker.published().await.payload[..],
        b"before any acknowledgement"
    );
    sayso.outbox.acknowledge(first.receipt);
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
    let old = sayso.heard().await;
    drop(broker);
    let mut broker = script.welcome(true).await;
    broker.deliver("sayso/command/hall", b"new", 1).await;
    let new = sayso.heard().await;
    assert_eq!(
        (new.command.text.as_str(), new.epoch, new.redelivered),
        ("new", 2, true)
    );
    sayso.outbox.acknowledge(old.receipt);
    let _told = sayso
        .outbox
        .publish(message("out", "nothing before this"))
        .unwrap();
    assert_eq!(
        &broker.published().await.payload[..],
        b"nothing before this"
    );
    sayso.outbox.acknowledge(new.receipt);
    assert_eq!(broker.acknowledged().await, 1);
}

#[tokio::test]
async fn after_a_break_what_may_be_repeated_is_and_the_rest_is_uncertain() {
    let script = Script::new().await;
    let sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    let once = |payload| OutboundMessage {
        repeatable: false,
        ..message("out", payload)
    };
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
    // All of the first window but every third acknowledged, so that the packet ids wrap around with gaps.
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
        let deadline = Some((Instant::now() + left).into_std());
        let _told = sayso
            .outbox
            .publish(OutboundMessage {
                deadline,
                ..message("out", "in time")
            })
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

#[tokio::test]
async fn closing_sends_what_waits_says_offline_and_disconnects() {
    let script = Script::new().await;
    let mut sayso = Sayso::start(&settings(&script), &[]);
    let mut broker = script.welcome(false).await;
    broker.deliver("sayso/command/hall", b"lamp on", 5).await;
    let heard = sayso.heard().await;
    let deliveries: Vec<_> = (0..100)
        .map(|n: i32| {
            sayso
                .outbox
                .publish(message("out", &n.to_string()))
                .unwrap()
        })
        .collect();
    sayso.outbox.acknowledge(heard.receipt);
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
