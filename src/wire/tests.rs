//! Payloads that are commands, payloads that are not, and the reply to those.

use std::collections::HashSet;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use crate::clock::now;
use crate::command::reply::{Outcome, RefusalCode, Via};
use crate::wire::*;

fn rules() -> WireRules {
    WireRules {
        prefix: "sayso".to_owned(),
        reply_prefixes: vec!["clients/".to_owned()],
        devices: DeviceTopics::default(),
        ttl: Duration::from_mins(1),
    }
}

fn inbound(payload: &[u8]) -> Inbound<'_> {
    Inbound {
        topic: "sayso/command/hall",
        payload,
        response_topic: None,
        correlation: None,
        expiry: None,
        hops: 0,
        heard_at: now(),
        wall_clock: None,
    }
}

fn good(payload: &str) -> Command {
    decode(&inbound(payload.as_bytes()), &rules()).unwrap()
}

fn why(payload: &[u8]) -> String {
    match decode(&inbound(payload), &rules()).unwrap_err().refusal {
        Refusal::Malformed { why } => why,
        other => panic!("{other:?}"),
    }
}

fn ttl_of(command: &Command) -> Duration {
    command.deadline - command.received_at
}

#[test]
fn plain_text_is_a_command() {
    let command = good("turn on the lamp");
    assert_eq!(
        (command.text.as_str(), command.source.as_str()),
        ("turn on the lamp", "hall")
    );
    assert_eq!(
        command.reply_to,
        ReplyTo {
            topic: "sayso/reply/hall".to_owned(),
            correlation: None
        }
    );
    assert!(!command.id_given && !command.dry_run && command.id.len() == 8);
    assert_eq!(ttl_of(&command), Duration::from_mins(1));
}

#[test]
fn an_object_sets_every_field() {
    let command = good(
        r#" {"text":"lamp on","id":"42","area":"Kitchen","language":"en","ttl":"10s","dry_run":true,"stream":false}"#,
    );
    assert_eq!((command.id.as_str(), command.id_given), ("42", true));
    assert_eq!(
        (command.area.as_deref(), command.language.as_deref()),
        (Some("Kitchen"), Some("en"))
    );
    assert_eq!(
        (command.dry_run, command.stream, ttl_of(&command)),
        (true, Some(false), Duration::from_secs(10))
    );
}

#[test]
fn the_reply_to_a_malformed_payload_says_why() {
    for (payload, part) in [
        (&b""[..], "no text"),
        (b" \n\t", "no text"),
        (b"\xff\xfe", "UTF-8"),
        (br#"{"text":" "}"#, "no text"),
        (br#"{"id":"1"}"#, "`text` is missing"),
        (br#"{"text":"a","tex":"b"}"#, "`tex` is unknown"),
        (br#"{"text":"a","text":"b"}"#, "`text` is there twice"),
        (br#"{"text":5}"#, "`text` is the number 5, wanted a text"),
        (
            br#"{"text":"a","ttl":10}"#,
            "`ttl` is the number 10, wanted a text such as",
        ),
        (br#"{"text":"a","ttl":"10"}"#, "`ttl` is \"10\""),
        (br#"{"text":"a","ttl":"0s"}"#, "1ms to 1h"),
        (br#"{"text":"a","ttl":"2h"}"#, "1ms to 1h"),
        (
            br#"{"text":"a","ttl":"99999999999999999999m"}"#,
            "1ms to 1h",
        ),
        (br#"{"text":"a","ts":"yesterday"}"#, "RFC 3339"),
        (br#"{"text":"a","ts":true}"#, "`ts` is true"),
        (
            br#"{"text":"a","dry_run":"yes"}"#,
            "`dry_run` is \"yes\", wanted true or false",
        ),
        (br#"{"text":"a","id":""}"#, "1 to 128 characters"),
        (br#"{"text":"a","area":[]}"#, "`area` is a list"),
        (br#"{"text":"a"} and more"#, "none: trailing"),
        (br#"{"text":"#, "begins like JSON"),
    ] {
        let reason = why(payload);
        assert!(
            reason.contains(part),
            "{:?}: {reason}",
            String::from_utf8_lossy(payload)
        );
    }
    assert!(why(&vec![b'a'; MAX_PAYLOAD + 1]).contains("16385 bytes"));
    let deep = format!(
        r#"{{"text":"a","x":{}{}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    assert!(why(deep.as_bytes()).contains("recursion limit"));
}

#[test]
fn a_rejected_payload_keeps_its_id_and_text() {
    let rejected = decode(
        &inbound(br#"{"ttl":1,"id":"42","text":"lamp on"}"#),
        &rules(),
    )
    .unwrap_err();
    assert_eq!(
        (rejected.id.as_str(), rejected.text.as_str()),
        ("42", "lamp on")
    );
    assert_eq!(rejected.reply_to.topic, "sayso/reply/hall");
}

#[test]
fn the_longest_id_has_128_characters() {
    let with = |n: usize| format!(r#"{{"text":"a","id":"{}"}}"#, "é".repeat(n));
    assert_eq!(good(&with(128)).id.chars().count(), 128);
    assert!(why(with(129).as_bytes()).contains("`id`"));
}

#[test]
fn the_reply_goes_only_to_an_allowed_topic() {
    let asking = |topic: &'static str| {
        let message = Inbound {
            response_topic: Some(topic),
            correlation: Some(b"c1"),
            ..inbound(b"lamp on")
        };
        decode(&message, &rules())
    };
    for topic in [
        "sayso/reply/hall",
        "sayso/reply/hall/7",
        "clients/app/answers",
    ] {
        assert_eq!(
            asking(topic).unwrap().reply_to,
            ReplyTo {
                topic: topic.to_owned(),
                correlation: Some(b"c1".to_vec())
            }
        );
    }
    for topic in [
        "zigbee2mqtt/lock/set",
        "sayso/command/hall",
        "clients/+",
        "clients/#",
        "",
        "sayso/replyx",
        "sayso/reply/hallway",
        "sayso/reply/elsewhere",
    ] {
        let rejected = asking(topic).unwrap_err();
        assert_eq!(
            rejected.reply_to,
            ReplyTo {
                topic: "sayso/reply/hall".to_owned(),
                correlation: Some(b"c1".to_vec())
            }
        );
        assert!(
            rejected.refusal.to_string().contains("mqtt.reply_prefixes"),
            "{topic}: {}",
            rejected.refusal
        );
    }
}

#[test]
fn a_reply_topic_that_is_an_own_topic_is_refused_even_where_its_prefix_is_allowed() {
    let rules = WireRules {
        reply_prefixes: vec!["sayso/".to_owned()],
        ..rules()
    };
    for topic in [
        "sayso/command/hall",
        "sayso/control/hall",
        "sayso/state/lamp",
        "sayso/action/lamp",
        "sayso/status",
    ] {
        let message = Inbound {
            response_topic: Some(topic),
            ..inbound(b"lamp on")
        };
        assert!(decode(&message, &rules).is_err(), "{topic}");
    }
}

#[test]
fn a_reply_topic_that_commands_a_device_is_refused_while_there_is_such_a_device() {
    let rules = rules();
    let topics = ["clients/press", "clients/door/event"];
    rules
        .devices
        .replace(topics.map(SharedStr::from).into_iter().collect());
    for topic in ["clients/press", "clients/door"] {
        let message = Inbound {
            response_topic: Some(topic),
            ..inbound(b"lamp on")
        };
        let rejected = decode(&message, &rules).unwrap_err();
        assert_eq!(rejected.reply_to.topic, "sayso/reply/hall");
        let why = rejected.refusal.to_string();
        assert!(why.contains("is the topic of a device"), "{why}");
    }
    rules.devices.replace(HashSet::new());
    let message = Inbound {
        response_topic: Some("clients/press"),
        ..inbound(b"lamp on")
    };
    assert!(decode(&message, &rules).is_ok());
}

#[test]
fn the_source_is_one_short_topic_level() {
    for topic in [
        "sayso/command/",
        "sayso/command/a/b",
        "other/command/a",
        "sayso/command",
    ] {
        assert!(
            decode(
                &Inbound {
                    topic,
                    ..inbound(b"lamp on")
                },
                &rules()
            )
            .is_err(),
            "{topic}"
        );
    }
    let long = format!("sayso/command/{}", "x".repeat(MAX_SOURCE + 1));
    assert!(
        decode(
            &Inbound {
                topic: &long,
                ..inbound(b"lamp on")
            },
            &rules()
        )
        .is_err()
    );
}

#[test]
fn a_response_topic_that_brokers_disconnect_for_is_malformed() {
    let deep = |levels: usize| format!("sayso/reply/hall{}", "/a".repeat(levels - 3));
    let asking = |topic: &str| {
        let message = Inbound {
            response_topic: Some(topic),
            ..inbound(b"lamp on")
        };
        decode(&message, &rules())
    };
    assert!(asking(&deep(MAX_LEVELS - 1)).is_ok());
    for topic in [
        deep(MAX_LEVELS).as_str(),
        &deep(MAX_LEVELS + 10),
        "sayso/reply/hall/\u{fdd0}",
        "sayso/reply/hall/\u{ffff}",
        "sayso/reply/hall/\u{1}",
        &format!("sayso/reply/hall/{}", "x".repeat(MAX_REPLY_TOPIC)),
        &format!("clients/{}", "é/".repeat(MAX_LEVELS)),
    ] {
        let rejected = asking(topic).unwrap_err();
        assert_eq!(rejected.reply_to.topic, "sayso/reply/hall", "{topic}");
        assert!(matches!(rejected.refusal, Refusal::Malformed { .. }));
    }
}

#[test]
fn long_correlation_data_is_malformed_and_not_kept() {
    let with = |bytes: &'static [u8]| {
        let message = Inbound {
            correlation: Some(bytes),
            ..inbound(b"lamp on")
        };
        decode(&message, &rules())
    };
    assert!(with(&[7; MAX_CORRELATION]).is_ok());
    let rejected = with(&[7; MAX_CORRELATION + 1]).unwrap_err();
    assert_eq!(rejected.reply_to.correlation, None);
    assert!(rejected.refusal.to_string().contains("257 bytes"));
}

#[test]
fn a_reply_is_shortened_to_the_bytes_there_are() {
    let action = crate::vocabulary::action::Action {
        device: "lamp".into(),
        property: crate::vocabulary::Property::Power,
        op: crate::vocabulary::action::Op::Set,
        value: None,
    };
    let reply = Reply {
        id: "42".into(),
        text: "every lamp on \"\u{1}".repeat(900).into(),
        outcome: Outcome::Done,
        actions: vec![action.into(); 40],
        speech: "Turned on. ".repeat(100),
        via: Via::Local,
        ms: 1.5,
        why: None,
        retry_after: None,
        scheduled: None,
    };
    let encoded = reply.to_json();
    for max in [600, 1000, 2000, 20_000, 40_000] {
        let short = shorten_reply(&encoded, max).unwrap();
        assert!(short.len() <= max, "{max}");
        let short: Reply = serde_json::from_slice(&short).unwrap();
        assert_eq!((short.id, short.outcome), ("42".into(), Outcome::Done));
        assert!(short.actions.is_empty() && short.speech.starts_with("Turned on."));
    }
    let least = shorten_reply(&encoded, 40).unwrap();
    assert_eq!(least, br#"{"id":"42","outcome":"done"}"#);
    assert_eq!(shorten_reply(&encoded, 20), None);
    assert_eq!(shorten_reply(b"not a reply", 1000), None);
}

#[test]
fn message_expiry_shortens_the_deadline() {
    let with = |seconds| Inbound {
        expiry: Some(Duration::from_secs(seconds)),
        ..inbound(b"lamp on")
    };
    assert_eq!(
        ttl_of(&decode(&with(5), &rules()).unwrap()),
        Duration::from_secs(5)
    );
    assert_eq!(
        ttl_of(&decode(&with(500), &rules()).unwrap()),
        Duration::from_mins(1)
    );
}

#[test]
fn the_timestamp_counts_only_if_the_clock_is_believable() {
    let clock = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
    let seconds_left = |ts: &str, wall_clock| {
        let payload = format!(r#"{{"text":"lamp on","ts":{ts},"ttl":"30s"}}"#);
        ttl_of(
            &decode(
                &Inbound {
                    wall_clock,
                    ..inbound(payload.as_bytes())
                },
                &rules(),
            )
            .unwrap(),
        )
        .as_secs()
    };
    assert_eq!(seconds_left("1795457100", clock(1_795_457_110)), 20);
    assert_eq!(seconds_left("1795457100000", clock(1_795_457_110)), 20);
    assert_eq!(
        seconds_left(r#""2026-11-23T18:05:00Z""#, clock(1_795_457_110)),
        20
    );
    assert_eq!(
        seconds_left("1795457100", clock(1_795_459_000)),
        0,
        "long over"
    );
    assert_eq!(
        seconds_left("1795457100", clock(1_795_457_000)),
        30,
        "the clock of the client is ahead"
    );
    assert_eq!(
        seconds_left("100", clock(1_000)),
        30,
        "the own clock was never set"
    );
    assert_eq!(seconds_left("1795457100", None), 30);
}

#[test]
fn a_reply_is_one_json_object() {
    let reply = Reply {
        id: "42".into(),
        text: "lamp on".into(),
        outcome: Outcome::Refused,
        actions: Vec::new(),
        speech: "no".to_owned(),
        via: Via::None,
        ms: 1.5,
        why: Some(RefusalCode::Busy),
        retry_after: Some(2.0),
        scheduled: None,
    };
    assert_eq!(
        serde_json::from_slice::<Reply>(&reply.to_json()).unwrap(),
        reply
    );
}

proptest! {
    #[test]
    fn no_bytes_make_decode_panic(payload in proptest::collection::vec(any::<u8>(), 0..400), topic in "\\PC{0,40}", response in proptest::option::of("\\PC{0,40}")) {
        let message = Inbound { topic: &topic, response_topic: response.as_deref(), ..inbound(&payload) };
        let _ = decode(&message, &rules());
    }

    #[test]
    fn no_object_makes_decode_panic(key in "(text|id|area|language|ttl|ts|dry_run|stream|x)", value in "(\"\\PC{0,30}\"|-?[0-9]{1,30}(\\.[0-9]{1,5})?(e[0-9]{1,3})?|true|null|\\[\\]|\\{\\})") {
        let payload = format!(r#"{{"text":"lamp on","{key}":{value}}}"#);
        let mut message = inbound(payload.as_bytes());
        message.wall_clock = Some(UNIX_EPOCH + Duration::from_secs(1_795_457_101));
        if let Ok(command) = decode(&message, &rules()) {
            prop_assert!(ttl_of(&command) <= MAX_TTL);
        }
    }
}
