//! The event after a reply: whether the devices report the state they were commanded to. Real
//! broker, real program.

use std::time::Duration;

use serde_json::{Value, json};

use crate::scene::{PATIENCE, Scene, Stage};

const HOME: &str = r#"
[device.porch_lock]
name = "Porch lock"
kind = "lock"
zigbee2mqtt = "Porch lock"

[device.shelf_light]
name = "Shelf light"
kind = "light"
can = ["power", "brightness", "color"]
zigbee2mqtt = "Shelf light"

[device.fountain]
name = "Fountain"
kind = "switch"
"#;

async fn stage(config: &str) -> Stage {
    Scene::new().home(HOME).with(config).start().await
}

/// Says a sentence, lets a device report, and returns the event after the reply.
async fn event_after(stage: &mut Stage, text: &str, report: Option<(&str, &str)>) -> Value {
    let id = stage.send(text).await;
    let reply = stage.reply_to(&id).await;
    assert_eq!(reply["outcome"], "done", "{text}: {reply}");
    if let Some((topic, payload)) = report {
        stage.listener.publish(topic, payload.to_owned()).await;
    }
    let is_event =
        |m: &crate::listener::Message| m.topic == "sayso/reply/test/event" && m.json()["id"] == *id;
    let event = stage.listener.wait_for(is_event, PATIENCE).await;
    event
        .unwrap_or_else(|| panic!("no event after {text}"))
        .json()
}

#[tokio::test]
async fn a_device_that_reports_the_commanded_state_confirms_the_command() {
    let mut stage = stage("").await;
    let report = Some(("zigbee2mqtt/Porch lock", r#"{"state":"LOCK"}"#));
    let event = event_after(&mut stage, "lock the porch lock", report).await;
    assert_eq!(event["event"], "confirmed");
    assert_eq!(
        event["devices"],
        json!([{"device": "porch_lock", "property": "lock", "value": "locked", "reported": "locked", "confirmed": true}])
    );
    // The device rounds 40 % of 254 steps.
    let report = Some((
        "zigbee2mqtt/Shelf light",
        r#"{"state":"ON","brightness":101}"#,
    ));
    let event = event_after(&mut stage, "set the shelf light to 40%", report).await;
    assert_eq!(event["event"], "confirmed", "{event}");
    let report = Some((
        "zigbee2mqtt/Shelf light",
        r##"{"state":"ON","color":{"hex":"#FE0408"}}"##,
    ));
    let event = event_after(&mut stage, "make the shelf light red", report).await;
    assert_eq!(event["event"], "confirmed", "{event}");
    stage.daemon.says("device confirmation", PATIENCE).await;
    let log = stage.daemon.log();
    assert!(log.contains("confirmed=true"), "{log}");
}

#[tokio::test]
async fn a_device_that_reports_another_state_or_none_does_not_confirm_within_5_s() {
    let mut stage = stage("").await;
    let jam = Some(("zigbee2mqtt/Porch lock", r#"{"state":"JAMMED"}"#));
    let event = event_after(&mut stage, "lock the porch lock", jam).await;
    assert_eq!(event["event"], "not confirmed within 5 s");
    let device = &event["devices"][0];
    assert_eq!(
        (&device["reported"], &device["confirmed"]),
        (&json!("JAMMED"), &json!(false))
    );
    let event = event_after(&mut stage, "turn on the shelf light", None).await;
    assert_eq!(event["event"], "not confirmed within 5 s");
    assert_eq!(event["devices"][0]["reported"], Value::Null);
    // The event may arrive before the line of the log is read.
    let line = "unconfirmed=\"shelf_light\"";
    stage.daemon.says(line, PATIENCE).await;
    assert!(stage.daemon.log().contains("confirmed=false"));
}

#[tokio::test]
async fn a_device_that_was_in_the_state_before_need_not_report_it_again() {
    let mut stage = stage("").await;
    let topic = "zigbee2mqtt/Porch lock";
    let report = Some((topic, r#"{"state":"LOCK"}"#));
    event_after(&mut stage, "lock the porch lock", report).await;
    let event = event_after(&mut stage, "lock the porch lock", None).await;
    assert_eq!(event["event"], "confirmed", "{event}");
    let answer = stage.say("is the porch lock locked?").await;
    assert!(
        answer["speech"].as_str().unwrap().starts_with("Yes"),
        "{answer}"
    );
}

/// Messages of devices: topic and payload.
type Reports<'a> = &'a [(&'a str, &'a str)];

#[tokio::test]
async fn a_device_that_moves_towards_the_commanded_state_is_marked() {
    let home = format!(
        "{HOME}\n[device.awning]\nname = \"Awning\"\nkind = \"cover\"\n\
         can = [\"position\"]\nzigbee2mqtt = \"Awning\"\n\
         [device.screen]\nname = \"Screen\"\nkind = \"cover\"\n\
         can = [\"position\"]\nzigbee2mqtt = \"Screen\"\n"
    );
    let mut stage = Scene::new().home(&home).start().await;
    let cases: [(&str, Reports<'_>, bool); 3] = [
        (
            "open the awning",
            &[
                ("zigbee2mqtt/Awning", r#"{"position":20}"#),
                ("zigbee2mqtt/Awning", r#"{"position":60}"#),
            ],
            true,
        ),
        (
            "open the screen",
            &[
                ("zigbee2mqtt/Screen", r#"{"position":60}"#),
                ("zigbee2mqtt/Screen", r#"{"position":20}"#),
            ],
            false,
        ),
        (
            "lock the porch lock",
            &[("zigbee2mqtt/Porch lock", r#"{"state":"locking"}"#)],
            true,
        ),
    ];
    let mut ids = Vec::new();
    for (text, reported, is_moving) in cases {
        let id = stage.send(text).await;
        let reply = stage.reply_to(&id).await;
        assert_eq!(reply["outcome"], "done", "{text}: {reply}");
        ids.push((id, text, is_moving));
        for (topic, payload) in reported {
            stage.listener.publish(topic, (*payload).to_owned()).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    for (id, text, is_moving) in ids {
        let is_event = |m: &crate::listener::Message| {
            m.topic == "sayso/reply/test/event" && m.json()["id"] == *id
        };
        let seen = stage.listener.wait_for(is_event, PATIENCE).await;
        let seen = seen.unwrap_or_else(|| panic!("no event: {text}")).json();
        assert_eq!(seen["event"], "not confirmed within 5 s", "{text}: {seen}");
        assert_eq!(seen["devices"][0]["moving"] == true, is_moving, "{seen}");
    }
}

#[tokio::test]
async fn a_newer_command_takes_the_place_of_the_older_one() {
    let mut stage = stage("").await;
    let first = stage.send("turn on the shelf light").await;
    stage.reply_to(&first).await;
    let report = Some(("zigbee2mqtt/Shelf light", r#"{"state":"OFF"}"#));
    event_after(&mut stage, "turn off the shelf light", report).await;
    // Events leave in order of time: one of the first command would have come within its 5 s.
    let last = event_after(&mut stage, "turn on the shelf light", None).await;
    assert_eq!(last["event"], "not confirmed within 5 s");
    let of_first =
        |m: &&crate::listener::Message| m.topic.ends_with("/event") && m.json()["id"] == *first;
    assert_eq!(
        stage.listener.heard().await.iter().filter(of_first).count(),
        0
    );
}

#[tokio::test]
async fn nothing_is_awaited_of_devices_without_a_state_or_where_it_is_turned_off() {
    let mut stage = stage("[replies]\nconfirm = false\n").await;
    let report = ("zigbee2mqtt/Porch lock", r#"{"state":"LOCK"}"#.to_owned());
    assert_eq!(stage.say("lock the porch lock").await["outcome"], "done");
    stage.listener.publish(report.0, report.1).await;
    assert_eq!(stage.say("turn on the fountain").await["outcome"], "done");
    assert_eq!(
        stage.say("is the porch lock locked?").await["outcome"],
        "answered"
    );
    let heard = stage.listener.heard().await;
    assert!(!heard.iter().any(|m| m.topic.ends_with("/event")));
    assert!(!stage.daemon.log().contains("device confirmation"));
}
