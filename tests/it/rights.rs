//! Who may command what, what wants a yes, and what nobody may: end to end, through the broker.

use std::time::Duration;

use serde_json::{Value, json};

use crate::scene::{PATIENCE, Scene, Stage};

const HOME: &str = r#"
[area.kitchen]
[area.nursery]
aliases = ["kids room"]
[device.kitchen_light]
kind = "light"
area = "kitchen"
can = ["power", "brightness", "color"]
[device.counter_light]
kind = "light"
area = "kitchen"
[device.night_light]
kind = "light"
area = "nursery"
[device.heater]
kind = "climate"
area = "nursery"
[device.front_door]
kind = "lock"
[device.back_door]
kind = "lock"
risk = "auto"
[device.saw]
kind = "switch"
risk = "never"
[device.kiln]
kind = "switch"
risk = "confirm"
[device.oven]
kind = "climate"
[device.oven.property.temperature]
range = [50, 250]
risk = "confirm"
[device.awning]
kind = "cover"
class = "gate"
"#;

const RULES: &str = r#"
[source.kids]
allow = ["area:nursery", "device:kitchen_light"]
deny = ["kind:climate", "property:color"]
[source.guest]
deny = ["kind:lock", "area:nursery", "device:kiln"]
[source.visitor]
deny = ["*"]
"#;

async fn stage() -> Stage {
    Scene::new().home(HOME).with(RULES).start().await
}

impl Stage {
    async fn says(&mut self, source: &str, text: &str) -> Value {
        self.listener
            .publish(&format!("sayso/command/{source}"), text.to_owned())
            .await;
        self.listener
            .expect(&format!("sayso/reply/{source}"), PATIENCE)
            .await
            .json()
    }
}

fn told(actions: &[(String, String)]) -> Vec<String> {
    actions
        .iter()
        .map(|(topic, _)| topic.trim_start_matches("sayso/action/").to_owned())
        .collect()
}

#[tokio::test]
async fn each_source_commands_what_its_rules_allow_and_nothing_else() {
    let mut stage = stage().await;
    for (source, text, outcome) in [
        ("kids", "turn on the night light", "done"),
        ("kids", "turn on the kitchen light", "done"),
        ("kids", "turn on the counter light", "refused"),
        ("kids", "turn on all the lights", "done"),
        ("kids", "set the heater to 22 degrees", "refused"),
        ("kids", "set the kitchen light to red", "refused"),
        ("kids", "is the front door locked?", "refused"),
        ("guest", "turn on the kitchen light", "done"),
        ("guest", "set the kitchen light to red", "done"),
        ("guest", "lock the back door", "refused"),
        ("guest", "turn on the night light", "refused"),
        ("guest", "turn off the kiln", "refused"),
        ("visitor", "turn on the kitchen light", "refused"),
        ("owner", "turn on the night light", "done"),
        ("owner", "lock the front door", "done"),
    ] {
        let reply = stage.says(source, text).await;
        assert_eq!(reply["outcome"], outcome, "{source}: {text}: {reply}");
        if outcome == "refused" {
            assert!(
                reply["speech"].as_str().unwrap().contains("may not"),
                "{reply}"
            );
        }
    }
    let actions = stage.actions().await;
    assert_eq!(
        told(&actions),
        [
            "night_light",
            "kitchen_light",
            "kitchen_light",
            "night_light",
            "kitchen_light",
            "kitchen_light",
            "night_light",
            "front_door"
        ]
    );
}

#[tokio::test]
async fn a_collective_command_does_what_is_allowed_and_names_the_rest() {
    let mut stage = stage().await;
    let reply = stage.says("kids", "turn off all the lights").await;
    assert_eq!(reply["outcome"], "done", "{reply}");
    let speech = reply["speech"].as_str().unwrap();
    assert!(
        speech.contains("Left out") && speech.contains("Counter light"),
        "{speech}"
    );
    assert_eq!(
        told(&stage.actions().await),
        ["kitchen_light", "night_light"]
    );
}

#[tokio::test]
async fn what_is_risky_waits_for_a_yes_and_never_is_never() {
    let mut stage = stage().await;
    for (text, outcome) in [
        ("turn on the saw", "refused"),
        ("turn off the saw", "refused"),
        ("turn on the kiln", "unclear"),
        ("no", "answered"),
        ("turn off the kiln", "unclear"),
        ("yes", "done"),
        ("set the oven to 180 degrees", "unclear"),
        ("go ahead", "done"),
        ("unlock the front door", "unclear"),
        ("never mind", "answered"),
        ("unlock the back door", "done"),
        ("open the awning", "unclear"),
        ("yes please", "done"),
        ("yes", "refused"),
    ] {
        let reply = stage.say(text).await;
        assert_eq!(reply["outcome"], outcome, "{text}: {reply}");
    }
    assert_eq!(
        told(&stage.actions().await),
        ["kiln", "oven", "back_door", "awning"]
    );
}

#[tokio::test]
async fn a_yes_after_half_a_minute_is_too_late() {
    let mut stage = stage().await;
    assert_eq!(
        stage.say("unlock the front door").await["outcome"],
        "unclear"
    );
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(stage.say("yes").await["why"], "no_question");
    assert!(stage.actions().await.is_empty());
}

#[tokio::test]
async fn the_answer_to_which_one_is_done_and_still_passes_the_gate() {
    let mut stage = stage().await;
    let question = stage.say("turn on the light").await;
    assert_eq!(question["outcome"], "unclear", "{question}");
    let reply = stage.say("the nursery one").await;
    assert_eq!(
        (&reply["outcome"], &reply["actions"][0]["device"]),
        (&json!("done"), &json!("night_light")),
        "{reply}"
    );
    assert_ne!(
        stage.say("the nursery one").await["outcome"],
        "done",
        "an answer is good once"
    );

    assert_eq!(stage.say("turn off the lights").await["outcome"], "unclear");
    let everywhere = stage.say("everywhere").await;
    assert_eq!(
        (
            &everywhere["outcome"],
            everywhere["actions"].as_array().unwrap().len()
        ),
        (&json!("done"), 3),
        "{everywhere}"
    );

    assert_eq!(
        stage.says("other", "turn on the light").await["outcome"],
        "unclear"
    );
    assert_ne!(
        stage.say("the first one").await["outcome"],
        "done",
        "another source was asked"
    );

    assert_eq!(stage.say("unlock the door").await["outcome"], "unclear");
    let risky = stage.say("the front one").await;
    assert_eq!(
        risky["outcome"], "unclear",
        "it wants a yes all the same: {risky}"
    );
    assert_eq!(stage.say("yes").await["outcome"], "done");

    assert_eq!(
        stage.says("kids", "turn on the light").await["outcome"],
        "unclear"
    );
    assert_eq!(
        stage.says("kids", "the counter one").await["outcome"],
        "refused"
    );
}
