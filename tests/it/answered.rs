//! Pronouns after an answer: they mean the devices that the answer names.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::scene::{Scene, Stage};

const HOUSE: &str = r#"
[area.attic]
[device.spot]
name = "Spot"
kind = "light"
area = "attic"
[device.strip]
name = "Strip"
kind = "light"
area = "attic"
[device.globe]
name = "Globe"
kind = "light"
area = "attic"
"#;

/// The answer to a question, once it is the expected one.
async fn until_answered(stage: &mut Stage, text: &str, expected: &str) {
    for _ in 0..200 {
        let reply = stage.say(text).await;
        if reply["speech"] == expected {
            return;
        }
        sleep(Duration::from_millis(25)).await;
    }
    unreachable!("{text} is never answered by {expected}");
}

fn devices(reply: &Value) -> Vec<&str> {
    let actions = reply["actions"].as_array().unwrap().iter();
    actions
        .map(|action| action["device"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_pronoun_after_an_answer_means_the_devices_that_it_names() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    for (device, power) in [("spot", "on"), ("strip", "off"), ("globe", "on")] {
        let payload = json!({"power": power}).to_string();
        let topic = format!("sayso/state/{device}");
        stage.listener.publish(&topic, payload).await;
    }
    until_answered(&mut stage, "which lights are on", "On: Spot and Globe.").await;
    let dimmed = stage.say("set them to 20 percent").await;
    assert_eq!(devices(&dimmed), ["globe", "spot"], "{dimmed}");
    until_answered(&mut stage, "are all the lights on", "No, not on: Strip.").await;
    let lit = stage.say("turn it on").await;
    assert_eq!(devices(&lit), ["strip"], "{lit}");
}
