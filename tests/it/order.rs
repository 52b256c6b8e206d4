//! The order of commands, and duplicates.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;

use crate::broker::{Broker, Tap};
use crate::daemon::Daemon;
use crate::endpoint::{Endpoint, Script};
use crate::listener::{Listener, Message};
use crate::scene::{PATIENCE, Scene, Stage};

/// Sends a command that needs a model, then a known one; returns the messages to devices, in order.
async fn heard(order: &str) -> Vec<String> {
    let action = json!({"device": "pump", "property": "flow", "op": "set", "value": 5});
    let says = json!({"actions": [action], "speech": null, "question": null}).to_string();
    let model = Endpoint::start([Script::says(&says).after(Duration::from_millis(1500))]).await;
    let mut stage = Scene::new()
        .with(&format!("[daemon]\norder = \"{order}\""))
        .endpoint(&model)
        .start()
        .await;
    let first = stage.send("a little water for the roses").await;
    let second = stage.send("turn on the kitchen light").await;
    stage
        .listener
        .publish(
            "sayso/command/other",
            json!({"text": "close the bedroom blind", "id": "other"}).to_string(),
        )
        .await;
    for id in [&first, &second, "other"] {
        assert_eq!(
            stage.reply_to(id).await["outcome"],
            "done",
            "{}",
            stage.daemon.log()
        );
    }
    stage
        .actions()
        .await
        .into_iter()
        .map(|(topic, _)| topic)
        .collect()
}

#[tokio::test]
async fn a_question_that_waits_for_a_model_holds_nobody_unless_its_source_is_to_be_in_order() {
    let [light, blind, pump] = [
        "zigbee2mqtt/Kitchen light/set",
        "zigbee2mqtt/Bedroom blind/set",
        "sayso/action/pump",
    ];
    assert_eq!(heard("device").await, [light, blind, pump]);
    assert_eq!(
        heard("source").await,
        [blind, pump, light],
        "another source is not held"
    );
}

/// Asks for the next track with this correlation data, and waits until it was answered so often.
async fn next(stage: &mut Stage, answers: usize) {
    stage
        .listener
        .request(
            "sayso/command/app",
            "next track on the radio",
            "clients/app",
            b"\x01\xffone",
        )
        .await;
    for _ in 0..answers {
        let reply = stage.listener.expect("clients/app", PATIENCE).await;
        assert_eq!(reply.correlation.as_deref(), Some(&b"\x01\xffone"[..]));
        assert_eq!(reply.json()["outcome"], "done", "{}", stage.daemon.log());
    }
}

#[tokio::test]
async fn the_same_correlation_data_is_the_same_command_also_after_a_restart() {
    let mut stage = Scene::new().start().await;
    next(&mut stage, 1).await;
    next(&mut stage, 1).await;
    stage.daemon.signal("TERM");
    stage.daemon.ended(PATIENCE).await;
    stage.daemon = Daemon::start(&stage.place);
    stage.daemon.says("connected to the broker", PATIENCE).await;
    next(&mut stage, 1).await;
    assert_eq!(stage.listener.count("sayso/action/radio").await, 1);
}

/// Waits for a reply whose id is not in `answered`, and returns its outcome: after a lost
/// connection an earlier reply may come once more.
async fn new_reply(listener: &Listener, answered: &mut HashSet<String>) -> String {
    let id = |message: &Message| message.json()["id"].to_string();
    let is_new =
        |message: &Message| message.topic == "sayso/reply/hall" && !answered.contains(&id(message));
    let reply = listener.wait_for(is_new, PATIENCE).await.expect("a reply");
    answered.insert(id(&reply));
    reply.json()["outcome"].as_str().unwrap().to_owned()
}

/// Sends a command without an id whose first delivery is lost while sayso is killed, or cut off,
/// although an equal one was done before; it is done as well.
async fn a_lost_delivery_is_done(is_killed: bool) {
    let broker = Broker::mosquitto().await;
    let tap = Tap::to(broker.port()).await;
    let place = Scene::new().place(tap.port());
    let mut listener = Listener::connect(broker.port());
    listener.subscribe("sayso/reply/#").await;
    listener.subscribe("sayso/action/pump").await;
    let mut daemon = Daemon::start(&place);
    daemon.says("connected to the broker", PATIENCE).await;
    let command = "sayso/command/hall";
    let mut answered = HashSet::new();
    for value in [1, 2] {
        let text = format!("set the pump flow to {value}");
        listener.publish_surely(command, &text).await;
        assert_eq!(new_reply(&listener, &mut answered).await, "done");
    }
    tap.mute();
    listener
        .publish_surely(command, "set the pump flow to 1")
        .await;
    tap.cut();
    if is_killed {
        daemon.signal("KILL");
        daemon.ended(PATIENCE).await;
    } else {
        daemon.says("the broker is offline", PATIENCE).await;
    }
    tap.mend();
    if is_killed {
        daemon = Daemon::start(&place);
    }
    assert_eq!(new_reply(&listener, &mut answered).await, "done");
    let values: Vec<f64> = (listener.heard().await.iter())
        .filter(|message| message.topic == "sayso/action/pump")
        .filter_map(|message| message.json()["value"].as_f64())
        .collect();
    assert_eq!(values, [1.0, 2.0, 1.0], "{}", daemon.log());
}

#[tokio::test]
async fn a_command_whose_delivery_was_lost_with_the_connection_is_no_duplicate_of_an_equal_one() {
    a_lost_delivery_is_done(false).await;
}

#[tokio::test]
async fn a_command_whose_delivery_was_lost_with_the_process_is_no_duplicate_of_an_equal_one() {
    a_lost_delivery_is_done(true).await;
}
