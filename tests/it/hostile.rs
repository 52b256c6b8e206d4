//! Input that was harmful to others once: each test is the smallest case of a fault, with the real
//! program and a real broker.

use std::time::Duration;

use serde_json::json;

use crate::broker::Broker;
use crate::daemon::Daemon;
use crate::listener::Listener;
use crate::scene::{PATIENCE, Scene, Stage};

/// Checks that commands of another source are served now, several times in a row.
async fn others_are_served(stage: &mut Stage) {
    for text in ["turn on the kitchen light", "close the bedroom blind"].repeat(2) {
        let reply = stage.say(text).await;
        assert_eq!(reply["outcome"], "done", "{reply}\n{}", stage.daemon.log());
    }
}

#[tokio::test]
async fn a_command_with_an_impossible_response_topic_harms_nobody_else() {
    let mut stage = Scene::new().start().await;
    let deep = format!("sayso/reply/evil{}", "/a".repeat(197));
    // mosquitto accepts these from a client as a response topic; as a topic of its own it ends the
    // connection.
    for response in [deep.as_str(), "sayso/reply/evil/\u{fdd0}"] {
        stage
            .listener
            .request("sayso/command/evil", "turn on the radio", response, b"1")
            .await;
    }
    others_are_served(&mut stage).await;
    stage.daemon.signal("TERM");
    stage.daemon.ended(PATIENCE).await;
    stage.daemon = Daemon::start(&stage.place);
    others_are_served(&mut stage).await;
    assert!(!stage.daemon.log().contains("trying again"));
}

#[tokio::test]
async fn a_retained_announcement_with_an_impossible_topic_harms_nobody_else() {
    let broker = Broker::mosquitto().await;
    let mut early = Listener::connect(broker.port());
    let deep = format!("home{}", "/a".repeat(205));
    for (n, topic) in [deep.as_str(), "x/\u{fdd0}", "x/\u{ffff}", "x/\u{1}"]
        .into_iter()
        .enumerate()
    {
        let lamp = json!({"name": format!("Lamp {n}"), "command_topic": "x/set", "state_topic": topic, "unique_id": format!("l{n}")});
        let switch = json!({"name": format!("Switch {n}"), "command_topic": topic, "state_topic": "x/state", "unique_id": format!("s{n}")});
        for (kind, config) in [("light", lamp), ("switch", switch)] {
            let announcement = format!("homeassistant/{kind}/d{n}/config");
            early
                .publish_retained(&announcement, config.to_string())
                .await;
        }
    }
    let mut stage = Scene::new().start_with(broker).await;
    others_are_served(&mut stage).await;
}

#[tokio::test]
async fn a_new_command_after_a_reconnect_is_carried_out_although_an_equal_one_was_before() {
    let mut broker = Broker::mosquitto().await;
    let place = Scene::new().place(broker.port());
    let mut listener = Listener::connect(broker.port());
    listener.subscribe("#").await;
    let daemon = Daemon::start(&place);
    daemon.says("connected to the broker", PATIENCE).await;
    let light = "zigbee2mqtt/Kitchen light/set";
    for text in ["turn on the kitchen light", "turn off the kitchen light"] {
        listener.publish("sayso/command/a", text).await;
        listener.expect(light, PATIENCE).await;
        listener.expect("sayso/reply/a", PATIENCE).await;
    }
    // Long enough that both are acknowledged.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    broker.restart().await;
    daemon.says("the broker is offline", PATIENCE).await;
    listener
        .publish_surely("sayso/command/a", "turn on the kitchen light")
        .await;
    assert!(listener.expect(light, PATIENCE).await.text().contains("ON"));
}

#[tokio::test]
async fn a_new_command_after_a_restart_is_carried_out_although_an_equal_one_was_before() {
    let mut stage = Scene::new().start().await;
    let topic = "sayso/command/a";
    stage
        .listener
        .publish(topic, "next track on the radio")
        .await;
    stage.listener.expect("sayso/action/radio", PATIENCE).await;
    stage.listener.expect("sayso/reply/a", PATIENCE).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.daemon.signal("TERM");
    stage.daemon.ended(PATIENCE).await;
    stage.daemon = Daemon::start(&stage.place);
    stage.daemon.says("connected to the broker", PATIENCE).await;
    stage
        .listener
        .publish(topic, "next track on the radio")
        .await;
    stage.listener.expect("sayso/action/radio", PATIENCE).await;
}

#[tokio::test]
async fn the_same_id_with_another_text_is_another_command() {
    let mut stage = Scene::new().start().await;
    for (text, state) in [
        ("turn on the kitchen light", "ON"),
        ("turn off the kitchen light", "OFF"),
    ] {
        let command = json!({"text": text, "id": "1"}).to_string();
        stage.listener.publish("sayso/command/a", command).await;
        let reply = stage
            .listener
            .expect("sayso/reply/a", PATIENCE)
            .await
            .json();
        assert_eq!(
            (&reply["text"], &reply["outcome"]),
            (&json!(text), &json!("done"))
        );
        let action = stage
            .listener
            .expect("zigbee2mqtt/Kitchen light/set", PATIENCE)
            .await;
        assert!(action.text().contains(state), "{}", action.text());
    }
}

/// A home of `count` devices with long names, whose topics do not fit one packet of 2,000 bytes.
fn large_home(count: usize) -> String {
    let device = |n: usize| {
        format!(
            "[device.lamp_{n}]\nname = \"Lamp {n} {}\"\nkind = \"light\"\narea = \"hall\"\nzigbee2mqtt = \"{n:060}\"\n",
            "in the long hall"
        )
    };
    (0..count)
        .map(device)
        .fold("[area.hall]\n".to_owned(), |all, one| all + &one)
}

#[tokio::test]
async fn a_broker_with_small_packets_is_subscribed_to_and_gets_every_reply() {
    let broker = Broker::mosquitto_with(|_| "max_packet_size 2000\n".to_owned()).await;
    let mut stage = Scene::new().home(&large_home(60)).start_with(broker).await;
    let reply = stage.say("turn on all the lights").await;
    assert_eq!(reply["outcome"], "done", "{reply}");
    assert_eq!(reply["actions"], json!([]), "left out, not cut");
    assert_eq!(stage.actions().await.len(), 60);
    assert!(!stage.daemon.log().contains("trying again"));
}

/// Commands of a flood. 16 KiB each, they are several times what the journal may remember.
const COMMANDS: u32 = 400;

#[tokio::test]
async fn commands_with_every_field_at_its_maximum_do_not_fill_the_memory() {
    let mut stage = Scene::new()
        .with("[limits]\nper_minute = 100000\nburst = 100000\n")
        .start()
        .await;
    let text = "x ".repeat(8 << 10);
    for n in 0..COMMANDS {
        stage
            .listener
            .request(
                "sayso/command/flood",
                &text,
                "sayso/reply/flood",
                &n.to_be_bytes(),
            )
            .await;
    }
    // An unoptimized build takes some milliseconds for each; the broker keeps what waits meanwhile.
    tokio::time::sleep(Duration::from_secs(8)).await;
    others_are_served(&mut stage).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", stage.daemon.id())).unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!(
        "{COMMANDS} commands of 16 KiB at once: peak resident memory {} MiB",
        kib >> 10
    );
    assert!(kib <= 96 << 10, "{peak}");
}

#[tokio::test]
async fn no_client_begins_a_line_of_the_log_or_commands_the_terminal_of_its_reader() {
    let mut stage = Scene::new().start().await;
    let forged = "\u{1b}[31mred\n2026-11-30T00:00:00Z  INFO forged";
    for command in [
        json!({"text": "x", forged: 1}),
        json!({"text": "turn on the radio", "id": forged}),
        json!({"text": "x", "id": "a", "ttl": forged}),
        json!({"text": forged}),
    ] {
        stage
            .listener
            .publish("sayso/command/evil", command.to_string())
            .await;
    }
    others_are_served(&mut stage).await;
    let log = stage.daemon.log();
    assert!(log.contains(r"\u{1b}[31mred\n2026"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log}");
    assert!(
        !log.lines().any(|line| line.ends_with("INFO forged")),
        "{log}"
    );
}

#[tokio::test]
async fn a_reply_never_reaches_the_topic_of_a_device() {
    let announcement = json!({"name": "Doorbell", "command_topic": "clients/press"}).to_string();
    let broker = Broker::mosquitto().await;
    let mut early = Listener::connect(broker.port());
    early
        .publish_retained("homeassistant/button/bell/config", announcement)
        .await;
    let mut stage = Scene::new().start_with(broker).await;
    stage.daemon.says("devices found", PATIENCE).await;
    for payload in ["turn on the radio", "{\"text\":1}"] {
        stage
            .listener
            .request("sayso/command/evil", payload, "clients/press", b"1")
            .await;
        let reply = stage.listener.expect("sayso/reply/evil", PATIENCE).await;
        assert_eq!(reply.json()["why"], "malformed", "{}", reply.text());
    }
    let heard = stage.listener.heard().await;
    assert!(heard.iter().all(|message| message.topic != "clients/press"));
}
