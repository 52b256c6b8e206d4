//! The order of commands, and duplicates.

use std::time::Duration;

use serde_json::json;

use crate::daemon::Daemon;
use crate::endpoint::{Endpoint, Script};
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
