//! What is a command, what is none, and what the speaker is told.

use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use crate::wire::*;
use crate::command::reply::Outcome;

fn rules() -> WireRules {
    WireRules {
        prefix: "sayso".to_owned(),
        reply_prefixes: vec!["clients/".to_owned()],
        ttl: Duration::from_mins(1),
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn letter(payload: &[u8]) -> Inbound<'_> {
    Inbound {
        topic: "sayso/command/hall",
        payload,
        response_topic: None,
        correlation: None,
        expiry: None,
        hops: 0,
        heard_at: now(),
        wall_clock: None,
        turn: 7,
    }
}

fn good(payload: &str) -> Command {
    decode(&letter(payload.as_bytes()), &rules()).unwrap()
}

fn why(payload: &[u8]) -> String {
    match decode(&letter(payload), &rules()).unwrap_err().refusal {
        Refusal::Malformed { why } => why,
        other => panic!("{other:?}"),
    }
}

fn ttl_of(command: &Command) -> Duration {
    command.deadline - command.heard_at
}

#[test]
fn plain_text_is_a_command() {
    let command = good("turn on the lamp");
    assert_eq!(
        (command.text.as_str(), command.source.as_str(), command.turn),
        ("turn on the lamp", "hall", 7)
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
fn an_object_says_more() {
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
fn what_is_no_command_is_told_why() {
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
        let told = why(payload);
        assert!(
            told.contains(part),
            "{:?}: {told}",
            String::from_utf8_lossy(payload)
        );
    }
    assert!(why(&vec![b'a'; LARGEST + 1]).contains("16385 bytes"));
    let deep = format!(
        r#"{{"text":"a","x":{}{}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    assert!(why(deep.as_bytes()).contains("recursion limit"));
}

#[test]
fn a_rejected_letter_keeps_its_id_and_text() {
    let rejected = decode(
        &letter(br#"{"ttl":1,"id":"42","text":"lamp on"}"#),
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
fn an_id_of_128_characters_is_the_longest() {
    let with = |n: usize| format!(r#"{{"text":"a","id":"{}"}}"#, "é".repeat(n));
    assert_eq!(good(&with(128)).id.chars().count(), 128);
    assert!(why(with(129).as_bytes()).contains("`id`"));
}

#[test]
fn the_reply_goes_only_where_it_may() {
    let asking = |topic: &'static str| {
        let letter = Inbound {
            response_topic: Some(topic),
            correlation: Some(b"c1"),
            ..letter(b"lamp on")
        };
        decode(&letter, &rules())
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
fn a_reply_topic_that_is_a_command_topic_is_refused_even_where_its_prefix_is_allowed() {
    let rules = WireRules {
        reply_prefixes: vec!["sayso/".to_owned()],
        ..rules()
    };
    let letter = Inbound {
        response_topic: Some("sayso/command/hall"),
        ..letter(b"lamp on")
    };
    assert!(decode(&letter, &rules).is_err());
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
                    ..letter(b"lamp on")
                },
                &rules()
            )
            .is_err(),
            "{topic}"
        );
    }
    let long = format!("sayso/command/{}", "x".repeat(LONGEST_SOURCE + 1));
    assert!(
        decode(
            &Inbound {
                topic: &long,
                ..letter(b"lamp on")
            },
            &rules()
        )
        .is_err()
    );
}

#[test]
fn message_expiry_shortens_the_deadline() {
    let with = |seconds| Inbound {
        expiry: Some(Duration::from_secs(seconds)),
        ..letter(b"lamp on")
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
fn the_moment_of_speaking_counts_only_where_the_clock_is_believable() {
    let clock = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
    let spoken = |ts: &str, wall_clock| {
        let payload = format!(r#"{{"text":"lamp on","ts":{ts},"ttl":"30s"}}"#);
        ttl_of(
            &decode(
                &Inbound {
                    wall_clock,
                    ..letter(payload.as_bytes())
                },
                &rules(),
            )
            .unwrap(),
        )
        .as_secs()
    };
    assert_eq!(spoken("1795457100", clock(1_795_457_110)), 20);
    assert_eq!(spoken("1795457100000", clock(1_795_457_110)), 20);
    assert_eq!(
        spoken(r#""2026-11-23T18:05:00Z""#, clock(1_795_457_110)),
        20
    );
    assert_eq!(spoken("1795457100", clock(1_795_459_000)), 0, "long over");
    assert_eq!(
        spoken("1795457100", clock(1_795_457_000)),
        30,
        "the speaker's clock is fast"
    );
    assert_eq!(
        spoken("100", clock(1_000)),
        30,
        "the own clock was never set"
    );
    assert_eq!(spoken("1795457100", None), 30);
}

#[test]
fn a_reply_is_one_json_object() {
    let reply = Reply {
        id: "42".to_owned(),
        text: "lamp on".to_owned(),
        outcome: Outcome::Refused,
        actions: Vec::new(),
        speech: "no".to_owned(),
        via: "none".to_owned(),
        ms: 1.5,
        why: Some("busy".to_owned()),
        retry_after: Some(2.0),
    };
    assert_eq!(
        serde_json::from_slice::<Reply>(&encode(&reply)).unwrap(),
        reply
    );
}

proptest! {
    #[test]
    fn no_bytes_make_decode_panic(payload in proptest::collection::vec(any::<u8>(), 0..400), topic in "\\PC{0,40}", response in proptest::option::of("\\PC{0,40}")) {
        let letter = Inbound { topic: &topic, response_topic: response.as_deref(), ..letter(&payload) };
        let _ = decode(&letter, &rules());
    }

    #[test]
    fn no_object_makes_decode_panic(key in "(text|id|area|language|ttl|ts|dry_run|stream|x)", value in "(\"\\PC{0,30}\"|-?[0-9]{1,30}(\\.[0-9]{1,5})?(e[0-9]{1,3})?|true|null|\\[\\]|\\{\\})") {
        let payload = format!(r#"{{"text":"lamp on","{key}":{value}}}"#);
        let mut letter = letter(payload.as_bytes());
        letter.wall_clock = Some(UNIX_EPOCH + Duration::from_secs(1_795_457_101));
        if let Ok(command) = decode(&letter, &rules()) {
            prop_assert!(ttl_of(&command) <= LONGEST_TTL);
        }
    }
}
