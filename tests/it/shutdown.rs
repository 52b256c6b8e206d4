//! Stopping and starting: nothing is lost, nothing is done twice, and the word "offline" is said.

use std::time::Duration;

use serde_json::json;

use crate::broker::Broker;
use crate::daemon::Daemon;
use crate::endpoint::{Endpoint, Script};
use crate::full_disk::SmallDisk;
use crate::listener::Listener;
use crate::scene::{PATIENCE, Scene};

/// Waits until the model was asked so many times.
async fn asked(model: &Endpoint, times: usize) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while model.requests() < times {
        assert!(
            tokio::time::Instant::now() < end,
            "the model was never asked"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn pump_on() -> String {
    json!({"actions": [{"device": "pump", "property": "flow", "op": "set", "value": 5}], "speech": null, "question": null}).to_string()
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_model_call_still_answers_and_says_offline() {
    let model = Endpoint::start(vec![
        Script::says(&pump_on()).after(Duration::from_millis(800)),
    ])
    .await;
    let mut stage = Scene::new().endpoint(&model).start().await;
    let id = stage.send("a little water for the roses").await;
    asked(&model, 1).await;
    stage.daemon.signal("TERM");
    assert_eq!(stage.reply_to(&id).await["outcome"], "done");
    let offline = stage
        .listener
        .wait_for(
            |m| m.topic == "sayso/status" && m.text() == "offline",
            PATIENCE,
        )
        .await;
    assert!(offline.is_some(), "{}", stage.daemon.log());
    assert_eq!(
        stage.daemon.ended(Duration::from_secs(10)).await.code(),
        Some(0)
    );
}

#[tokio::test]
async fn a_stop_while_a_model_hangs_ends_within_the_grace_period_with_a_reply() {
    let model = Endpoint::start(vec![Script::hang_before_headers()]).await;
    let mut stage = Scene::new()
        .endpoint(&model)
        .with("[daemon]\ngrace = \"3s\"\n[ask]\ndeadline = \"60s\"")
        .start()
        .await;
    let id = stage.send("a little water for the roses").await;
    asked(&model, 1).await;
    stage.daemon.signal("TERM");
    let reply = stage.reply_to(&id).await;
    assert_eq!(reply["why"], "stopping", "{reply}");
    assert_eq!(
        stage.daemon.ended(Duration::from_secs(6)).await.code(),
        Some(0)
    );
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_model_call_is_made_good_at_the_next_start() {
    let model = Endpoint::start(vec![
        Script::hang_before_headers(),
        Script::says(&pump_on()),
    ])
    .await;
    let mut stage = Scene::new().endpoint(&model).start().await;
    let id = stage.send("a little water for the roses").await;
    asked(&model, 1).await;
    stage.daemon.signal("KILL");
    stage.daemon.ended(PATIENCE).await;
    stage.daemon = Daemon::start(&stage.place);
    assert_eq!(stage.reply_to(&id).await["outcome"], "done");
    assert_eq!(stage.actions().await.len(), 1);
}

#[tokio::test]
async fn a_broker_that_comes_late_is_waited_for() {
    let mut broker = Broker::mosquitto().await;
    let port = broker.port();
    broker.stop().await;
    let place = Scene::new().place(port);
    let daemon = Daemon::start(&place);
    daemon.says("the broker is offline", PATIENCE).await;
    broker.restart().await;
    daemon.says("connected to the broker", PATIENCE).await;
    let mut listener = Listener::connect(port);
    listener.subscribe("sayso/#").await;
    listener
        .publish("sayso/command/cli", "turn on the kitchen light")
        .await;
    assert_eq!(
        listener.expect("sayso/reply/cli", PATIENCE).await.json()["outcome"],
        "done"
    );
}

/// Starts with this store, hears these words in the log, and is served all the same.
async fn served(store: &str, words: &str) {
    let scene = Scene::new()
        .without_store()
        .with(&format!("[store]\npath = '{store}'"));
    let mut stage = scene.start().await;
    stage.daemon.says(words, PATIENCE).await;
    assert_eq!(
        stage.say("turn on the kitchen light").await["outcome"],
        "done",
        "{}",
        stage.daemon.log()
    );
}

#[tokio::test]
async fn a_store_that_cannot_be_made_is_said_and_commands_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    served(
        &file.join("store").display().to_string(),
        "serving without a store",
    )
    .await;
}

#[tokio::test]
async fn a_corrupt_store_is_put_aside_and_commands_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    std::fs::write(store.join("conf"), [0xff; 300]).unwrap();
    served(&store.display().to_string(), "put aside").await;
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "the old one is kept"
    );
}

#[tokio::test]
async fn a_full_disk_is_said_and_commands_are_served() {
    let Some(disk) = SmallDisk::mount("size=4m") else {
        return;
    };
    let store = disk.path().join("store");
    let mut stage = Scene::new()
        .without_store()
        .with(&format!("[store]\npath = '{}'", store.display()))
        .start()
        .await;
    disk.fill();
    for n in 0..2000 {
        let reply = stage
            .say(if n % 2 == 0 {
                "turn on the kitchen light"
            } else {
                "turn off the kitchen light"
            })
            .await;
        assert_eq!(
            reply["outcome"],
            "done",
            "after {n}: {}",
            stage.daemon.log()
        );
        if stage.daemon.log().contains("takes nothing") {
            return;
        }
    }
    panic!("the disk never filled: {}", stage.daemon.log());
}

#[tokio::test]
async fn a_read_only_disk_is_said_and_commands_are_served() {
    let Some(disk) = SmallDisk::mount("size=1m,ro") else {
        return;
    };
    served(
        &disk.path().join("store").display().to_string(),
        "serving without a store",
    )
    .await;
}

#[tokio::test]
async fn a_second_daemon_on_the_same_store_ends_and_says_why() {
    let stage = Scene::new().start().await;
    let mut second = Daemon::start(&stage.place);
    assert_eq!(second.ended(PATIENCE).await.code(), Some(1));
    second.says("another sayso uses the store", PATIENCE).await;
}

#[tokio::test]
async fn the_key_of_a_provider_is_never_written_anywhere() {
    let model = Endpoint::start(vec![Script::error(401, "invalid_api_key")]).await;
    let mut stage = Scene::new().endpoint(&model).start().await;
    let reply = stage.say("a little water for the roses").await;
    assert_eq!(reply["why"], "nobody_answered", "{reply}");
    stage.daemon.signal("TERM");
    stage.daemon.ended(PATIENCE).await;
    let everything = format!(
        "{}{}",
        stage.daemon.log(),
        stage
            .listener
            .heard()
            .await
            .iter()
            .map(crate::listener::Message::text)
            .collect::<String>()
    );
    assert!(!everything.contains("sk-test-0123456789"));
}

#[tokio::test]
async fn a_command_that_ended_the_program_three_times_is_a_dead_letter_and_has_its_reply() {
    let model = Endpoint::start(vec![Script::hang_before_headers()]).await;
    let mut stage = Scene::new().endpoint(&model).start().await;
    let id = stage.send("a little water for the roses").await;
    for life in 1..=3 {
        asked(&model, life).await;
        // It is on disk by then: what is not is unknown to the next life, and counts from there.
        tokio::time::sleep(Duration::from_millis(600)).await;
        stage.daemon.signal("KILL");
        stage.daemon.ended(PATIENCE).await;
        stage.daemon = Daemon::start(&stage.place);
    }
    let reply = stage.reply_to(&id).await;
    assert_eq!(
        (&reply["outcome"], &reply["why"]),
        (&json!("failed"), &json!("dead")),
        "{reply}"
    );
    let letter = stage.listener.expect("sayso/dead", PATIENCE).await.json();
    assert_eq!(
        (&letter["id"], &letter["attempts"], &letter["source"]),
        (&json!(id), &json!(3), &json!("test")),
        "{letter}"
    );
    assert_eq!(stage.actions().await, []);
    assert_eq!(model.requests(), 3, "it is not begun a fourth time");
}

#[tokio::test]
async fn what_was_done_before_a_crash_is_not_undone_by_what_was_said_before_it() {
    let slow = json!({"actions": [{"device": "pump", "property": "flow", "op": "set", "value": 5}], "speech": null, "question": null});
    let model = Endpoint::start(vec![
        Script::hang_before_headers(),
        Script::says(&slow.to_string()),
    ])
    .await;
    let mut stage = Scene::new().endpoint(&model).start().await;
    let early = stage.send("a little water for the roses").await;
    asked(&model, 1).await;
    assert_eq!(
        stage.say("set the pump flow to 20").await["outcome"],
        "done"
    );
    // Long enough that both are on disk.
    tokio::time::sleep(Duration::from_millis(600)).await;
    stage.daemon.signal("KILL");
    stage.daemon.ended(PATIENCE).await;
    stage.daemon = Daemon::start(&stage.place);
    let reply = stage.reply_to(&early).await;
    assert_eq!(reply["why"], "superseded", "{reply}");
    assert_eq!(stage.actions().await.len(), 1, "only what was said last");
}

#[tokio::test]
async fn what_a_model_set_before_a_crash_is_not_asked_again_after_it() {
    let set = |flow: u8| json!({"actions": [{"device": "pump", "property": "flow", "op": "set", "value": flow}], "speech": null, "question": null});
    let model = Endpoint::start(vec![
        Script::says(&set(12).to_string()),
        Script::says(&set(90).to_string()),
    ])
    .await;
    let mut stage = Scene::new().endpoint(&model).start().await;
    let id = stage.send("a little water for the roses").await;
    // The moment it has left, long before the disk has it.
    assert!(
        stage
            .listener
            .wait_for(
                |message| message.topic.starts_with("sayso/action/"),
                PATIENCE
            )
            .await
            .is_some()
    );
    stage.daemon.signal("KILL");
    stage.daemon.ended(PATIENCE).await;
    stage.daemon = Daemon::start(&stage.place);
    stage.daemon.says("connected to the broker", PATIENCE).await;
    assert_eq!(
        stage.reply_to(&id).await["outcome"],
        "done",
        "{}",
        stage.daemon.log()
    );
    tokio::time::sleep(Duration::from_millis(500)).await;
    let actions = stage.actions().await;
    assert!(
        actions.iter().all(|(_, payload)| payload.contains("12")),
        "{actions:?}"
    );
    assert_eq!(model.requests(), 1);
}

#[tokio::test]
async fn a_toggle_waits_until_the_broker_has_told_how_the_lamp_is() {
    let mut stage = Scene::new().start().await;
    stage
        .listener
        .publish_retained("zigbee2mqtt/Kitchen light", r#"{"state":"ON"}"#)
        .await;
    stage.daemon.signal("KILL");
    stage.daemon.ended(PATIENCE).await;
    // Said while nobody listens: the broker hands it over before it tells the states.
    let id = stage.send("toggle the kitchen light").await;
    stage.daemon = Daemon::start(&stage.place);
    assert_eq!(
        stage.reply_to(&id).await["outcome"],
        "done",
        "{}",
        stage.daemon.log()
    );
    let actions = stage.actions().await;
    assert!(
        actions
            .last()
            .is_some_and(|(_, payload)| payload.contains("OFF")),
        "{actions:?}"
    );
}
