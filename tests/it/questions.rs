//! Questions back to the speaker, and commands that wait for a model: an answer reaches only the
//! question it was meant for, and nobody waits for the model request of another command.

use std::time::Duration;

use serde_json::{Value, json};

use crate::endpoint::{Endpoint, Script};
use crate::scene::{PATIENCE, Scene, Stage};

const TWO_DOORS: &str = r#"
[area.kitchen]
[device.kitchen_light]
kind = "light"
area = "kitchen"
zigbee2mqtt = "Kitchen light"
[device.front_door]
kind = "lock"
zigbee2mqtt = "Front door"
[device.back_door]
kind = "lock"
zigbee2mqtt = "Back door"
"#;

fn unlock(door: &str) -> (String, String) {
    (
        format!("zigbee2mqtt/{door}/set"),
        r#"{"state":"UNLOCK"}"#.to_owned(),
    )
}

fn unlocks_the_back_door() -> Script {
    let action = json!({
        "device": "back_door", "property": "lock", "op": "set", "value": "unlocked"
    });
    let draft = json!({"actions": [action], "speech": null, "question": null});
    Script::says(&draft.to_string())
}

async fn send(stage: &mut Stage, source: &str, command: &Value) {
    let topic = format!("sayso/command/{source}");
    stage.listener.publish(&topic, command.to_string()).await;
}

#[tokio::test]
async fn a_late_question_of_an_older_command_leaves_the_newer_one_open() {
    let model = Endpoint::start(vec![unlocks_the_back_door().after(Duration::from_secs(2))]).await;
    let mut stage = Scene::new().home(TWO_DOORS).endpoint(&model).start().await;
    let older = stage.send("let the cat in").await;
    let newer = stage.say("unlock the front door").await;
    assert_eq!(newer["outcome"], "unclear", "{newer}");
    let older = stage.reply_to(&older).await;
    assert_eq!(older["why"], "question_open", "{older}");
    let yes = stage.say("yes").await;
    assert_eq!(yes["outcome"], "done", "{yes}");
    assert_eq!(stage.actions().await, [unlock("Front door")]);
}

#[tokio::test]
async fn a_yes_right_after_a_replaced_question_is_asked_again() {
    let mut stage = Scene::new().home(TWO_DOORS).start().await;
    assert_eq!(
        stage.say("unlock the front door").await["outcome"],
        "unclear"
    );
    assert_eq!(
        stage.say("unlock the back door").await["outcome"],
        "unclear"
    );
    let early = stage.say("yes").await;
    assert_eq!(early["outcome"], "unclear", "{early}");
    assert!(
        early["speech"].as_str().unwrap().contains("back door"),
        "{early}"
    );
    assert!(stage.actions().await.is_empty());
    assert_eq!(stage.say("yes").await["outcome"], "done");
    assert_eq!(stage.actions().await, [unlock("Back door")]);
}

#[tokio::test]
async fn a_shortened_name_is_asked_for_and_acts_only_after_a_yes() {
    let home = r#"
[device.fridge]
kind = "switch"
name = "Liebherr cooler"
zigbee2mqtt = "Liebherr cooler"
[device.screen]
kind = "switch"
name = "Loewe screen"
zigbee2mqtt = "Loewe screen"
[device.cellar]
kind = "switch"
name = "Liebherr chest"
zigbee2mqtt = "Liebherr chest"
"#;
    let mut stage = Scene::new().home(home).start().await;
    let asked = stage.say("turn off the loewe").await;
    assert_eq!(asked["outcome"], "unclear", "{asked}");
    assert_eq!(asked["speech"], "Do you mean Loewe screen?");
    assert_eq!(stage.say("no").await["outcome"], "answered");
    for unknown in ["turn off the loewe tumbler", "don't turn off the loewe"] {
        let refused = stage.say(unknown).await;
        assert_eq!(refused["outcome"], "refused", "{refused}");
    }
    assert!(stage.actions().await.is_empty());
    stage.say("turn off the loewe").await;
    assert_eq!(stage.say("yes").await["outcome"], "done");
    let off = r#"{"state":"OFF"}"#.to_owned();
    let expected = [("zigbee2mqtt/Loewe screen/set".to_owned(), off)];
    assert_eq!(stage.actions().await, expected);
}

#[tokio::test]
async fn a_dry_run_leaves_the_question_open() {
    let mut stage = Scene::new().home(TWO_DOORS).start().await;
    assert_eq!(
        stage.say("unlock the front door").await["outcome"],
        "unclear"
    );
    for text in ["yes", "turn on the kitchen light"] {
        let dry = json!({"text": text, "id": text, "dry_run": true});
        send(&mut stage, "test", &dry).await;
        let reply = stage.reply_to(text).await;
        assert_eq!(reply["outcome"], "done", "{reply}");
    }
    assert!(stage.actions().await.is_empty());
    assert_eq!(stage.say("yes").await["outcome"], "done");
    assert_eq!(stage.actions().await, [unlock("Front door")]);
}

#[tokio::test]
async fn a_flood_of_equal_questions_never_holds_a_known_command() {
    let model = Endpoint::start(vec![Script::tells("Hello.").after(Duration::from_secs(12))]).await;
    let mut stage = Scene::new()
        .home(TWO_DOORS)
        .endpoint(&model)
        .provider("timeouts = { first_byte = \"20s\", total = \"25s\" }\n")
        .with("[ask]\ndeadline = \"30s\"")
        .start()
        .await;
    let flood: u64 = 1300;
    for n in 0..flood {
        // Without pauses the broker would drop a part of the flood.
        if n % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        send(
            &mut stage,
            "flood",
            &json!({"text": "who are you", "id": n.to_string()}),
        )
        .await;
    }
    let known = stage.say("turn on the kitchen light").await;
    assert_eq!(known["outcome"], "done", "{known}");
    let so_far = stage.listener.so_far();
    let answered = so_far
        .iter()
        .filter(|m| m.topic == "sayso/reply/flood" && m.json()["outcome"] == "answered");
    assert_eq!(answered.count(), 0, "the model has not answered yet");
    let last = stage.reply_to(&(flood - 1).to_string()).await;
    assert_eq!(last["why"], "busy", "{last}");
    let first = stage.reply_to("0").await;
    assert_eq!(first["outcome"], "answered", "{first}");
    assert_eq!(model.requests(), 1);
}

#[tokio::test]
async fn a_follower_of_a_shared_request_waits_no_longer_than_its_own_deadline() {
    let model = Endpoint::start(vec![Script::tells("Hello.").after(Duration::from_secs(7))]).await;
    let mut stage = Scene::new().home(TWO_DOORS).endpoint(&model).start().await;
    send(
        &mut stage,
        "test",
        &json!({"text": "who are you", "id": "first", "ttl": "30s"}),
    )
    .await;
    let sent = sayso::testing::clock::now();
    send(
        &mut stage,
        "test",
        &json!({"text": "who are you", "id": "short", "ttl": "1s"}),
    )
    .await;
    let short = stage.reply_to("short").await;
    assert_eq!(short["why"], "late", "{short}");
    assert!(
        sent.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        sent.elapsed()
    );
    assert_eq!(stage.reply_to("first").await["outcome"], "answered");
}

#[tokio::test]
async fn a_follower_with_time_left_asks_again_when_the_first_runs_out_of_it() {
    let slow = Script::tells("Hello.").after(Duration::from_secs(30));
    let model = Endpoint::start(vec![slow, Script::tells("Hello.")]).await;
    let mut stage = Scene::new().home(TWO_DOORS).endpoint(&model).start().await;
    send(
        &mut stage,
        "test",
        &json!({"text": "who are you", "id": "first", "ttl": "3s"}),
    )
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    send(
        &mut stage,
        "test",
        &json!({"text": "who are you", "id": "long", "ttl": "1m"}),
    )
    .await;
    let first = stage.reply_to("first").await;
    assert_ne!(first["outcome"], "answered", "{first}");
    let long = stage.reply_to("long").await;
    assert_eq!(long["outcome"], "answered", "{long}");
}

#[tokio::test]
async fn with_order_by_source_a_command_waits_no_longer_than_its_deadline() {
    let model = Endpoint::start(vec![Script::tells("Hello.").after(Duration::from_secs(6))]).await;
    let mut stage = Scene::new()
        .home(TWO_DOORS)
        .endpoint(&model)
        .with("[daemon]\norder = \"source\"")
        .start()
        .await;
    send(
        &mut stage,
        "test",
        &json!({"text": "who are you", "id": "first", "ttl": "1m"}),
    )
    .await;
    let sent = sayso::testing::clock::now();
    let short = json!({"text": "turn on the kitchen light", "id": "short", "ttl": "1s"});
    send(&mut stage, "test", &short).await;
    let short = stage.reply_to("short").await;
    assert_eq!(short["why"], "late", "{short}");
    assert!(
        sent.elapsed() < Duration::from_secs(4),
        "it took {:?}",
        sent.elapsed()
    );
    assert!(stage.actions().await.is_empty());
    let known = json!({"text": "turn on the kitchen light", "id": "other"});
    send(&mut stage, "other", &known).await;
    let reply = stage
        .listener
        .expect("sayso/reply/other", PATIENCE)
        .await
        .json();
    assert_eq!(reply["outcome"], "done", "{reply}");
}

#[tokio::test]
async fn a_draft_that_shares_nothing_with_the_phrase_is_asked_back_each_time() {
    let draft = json!({
        "actions": [{"device": "front_door", "op": "set", "property": "lock", "value": "locked"},
            {"device": "kitchen_light", "op": "set", "property": "power", "value": "off"}],
        "speech": null, "question": null
    });
    let model = Endpoint::start([Script::says(&draft.to_string())]).await;
    let untrusted = format!(
        "\n[[provider]]\nname = \"small\"\nbase_url = \"{}\"\nmodel = \"m\"\nkey_file = \"key\"\n",
        model.url()
    );
    let mut stage = Scene::new()
        .home(TWO_DOORS)
        .provider(&untrusted)
        .start()
        .await;
    // The cache does not keep it.
    for _ in 0..2 {
        let question = stage.say("i feel somewhat hungry").await;
        assert_eq!(question["outcome"], "unclear", "{question}");
        let speech = question["speech"].as_str().unwrap();
        assert!(
            speech.to_lowercase().contains("kitchen light") && speech.contains('?'),
            "{speech}"
        );
        let no = stage.say("no").await;
        assert_ne!(no["outcome"], "done", "{no}");
    }
    assert_eq!(model.requests(), 2);
    assert_eq!(stage.actions().await, []);
    stage.say("i feel somewhat hungry").await;
    let yes = stage.say("yes").await;
    assert_eq!(yes["outcome"], "done", "{yes}");
    assert_eq!(stage.actions().await.len(), 2);
    // A related one is done at once.
    let related = stage
        .say("could the kitchen light and the front door rest now")
        .await;
    assert_eq!(related["outcome"], "done", "{related}");
}

/// The right answers to the aptitude test: a part of the question, property and value.
fn aptitude_answer(body: &str) -> Option<String> {
    let answers = [
        (
            "turn on the reading lamp",
            "reading_lamp",
            "power",
            json!("on"),
        ),
        (
            "turn the reading lamp off",
            "reading_lamp",
            "power",
            json!("off"),
        ),
        ("the fan should be on now", "fan", "power", json!("on")),
        ("the fan should be off now", "fan", "power", json!("off")),
        ("open the blinds", "blinds", "position", json!(100)),
        ("close the blinds", "blinds", "position", json!(0)),
        ("the blinds at 30 percent", "blinds", "position", json!(30)),
    ];
    if body.contains("order a pizza") {
        return Some(json!({"actions": [], "speech": "I cannot do that."}).to_string());
    }
    let answer = answers.iter().find(|(text, ..)| body.contains(text));
    answer.map(|(_, device, property, value)| {
        let action = json!({"device": device, "property": property, "value": value});
        json!({ "actions": [action] }).to_string()
    })
}

/// Returns a daemon that asks a model of 135 million parameters, and the model, which answers the
/// aptitude test right, or each of its questions in one direction.
async fn small_model(knows_both: bool) -> (Stage, Endpoint) {
    let rest = json!({"actions": [
        {"device": "front_door", "op": "set", "property": "lock", "value": "locked"},
        {"device": "kitchen_light", "op": "set", "property": "power", "value": "off"}]});
    let on = json!({"actions": [
        {"device": "reading_lamp", "op": "set", "property": "power", "value": "on"}]});
    let model = Endpoint::answering(move |_, body| {
        let answer = match aptitude_answer(body) {
            Some(right) if knows_both => right,
            Some(_) => on.to_string(),
            None => rest.to_string(),
        };
        Script::says(&answer)
    })
    .await;
    let table = format!(
        "\n[[provider]]\nname = \"small\"\nbase_url = \"{}\"\nmodel = \"smollm2-135m\"\n\
         key_file = \"key\"\n",
        model.url()
    );
    let stage = Scene::new().home(TWO_DOORS).provider(&table).start().await;
    (stage, model)
}

/// Returns how many questions of the aptitude test the model got.
fn aptitude_questions(model: &Endpoint) -> usize {
    let bodies = model.bodies();
    let tests = bodies
        .iter()
        .filter(|body| aptitude_answer(&body.to_string()).is_some());
    tests.count()
}

const REST: &str = "could the kitchen light and the front door rest now";

#[tokio::test]
async fn a_small_model_acts_once_it_has_passed_the_aptitude_test() {
    let (mut stage, model) = small_model(true).await;
    let first = stage.say(REST).await;
    assert_eq!(first["outcome"], "unclear", "{first}");
    let mut outcome = first;
    for _ in 0..100 {
        if outcome["outcome"] == "done" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        outcome = stage.say(REST).await;
    }
    assert_eq!(outcome["outcome"], "done", "{outcome}");
    assert_eq!(aptitude_questions(&model), 8, "the test is made once");
    assert_eq!(stage.actions().await.len(), 2);
}

#[tokio::test]
async fn the_actions_of_a_small_model_that_knows_one_direction_are_asked_back() {
    let (mut stage, model) = small_model(false).await;
    stage.say(REST).await;
    for _ in 0..200 {
        if aptitude_questions(&model) == 8 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let asked = stage.say(REST).await;
        assert_eq!(asked["outcome"], "unclear", "{asked}");
    }
    assert_eq!(aptitude_questions(&model), 8, "the test is made once");
    assert_eq!(stage.actions().await, []);
    let yes = stage.say("yes").await;
    assert_eq!(yes["outcome"], "done", "{yes}");
}

fn locks_the_back_door() -> Script {
    let action = json!({
        "device": "back_door", "property": "lock", "op": "set", "value": "locked"
    });
    let draft = json!({"actions": [action], "speech": null, "question": null});
    Script::says(&draft.to_string())
}

fn asks(question: &str) -> Script {
    let draft = json!({"actions": [], "speech": null, "question": question});
    Script::says(&draft.to_string())
}

#[tokio::test]
async fn the_answer_to_a_models_question_is_read_with_the_question_and_not_cached() {
    let model = Endpoint::start(vec![
        asks("The back door or the front door?"),
        locks_the_back_door(),
        asks("The front door or the back door?"),
        locks_the_back_door(),
    ])
    .await;
    let mut stage = Scene::new().home(TWO_DOORS).endpoint(&model).start().await;
    for text in ["keep the cat out", "keep the dog out"] {
        assert_eq!(stage.say(text).await["outcome"], "unclear", "{text}");
        let reply = stage.say("the first one").await;
        assert_eq!(reply["outcome"], "done", "{reply}");
    }
    let bodies = model.bodies();
    assert_eq!(bodies.len(), 4, "an answer is not cached");
    let shown = bodies[3].to_string();
    assert!(
        shown.contains("keep the dog out => question: The front door or the back door?"),
        "{shown}"
    );
}

#[tokio::test]
async fn an_answer_without_a_question_is_not_sent_to_a_model() {
    let model = Endpoint::start(vec![unlocks_the_back_door()]).await;
    let mut stage = Scene::new().home(TWO_DOORS).endpoint(&model).start().await;
    for text in ["yes", "no", "the first one", "both", "20"] {
        let reply = stage.say(text).await;
        assert_eq!(reply["why"], "no_question", "{text}: {reply}");
    }
    assert_eq!(model.requests(), 0);
    assert!(stage.actions().await.is_empty());
}

#[tokio::test]
async fn a_yes_in_another_conversation_of_the_source_confirms_nothing() {
    let mut stage = Scene::new().home(TWO_DOORS).start().await;
    let mut outcomes = Vec::new();
    for (text, context) in [
        ("unlock the front door", "alice"),
        ("yes", "bob"),
        ("yes", "alice"),
    ] {
        let id = format!("{text} {context}");
        let command = json!({"id": id, "text": text, "context": context});
        send(&mut stage, "test", &command).await;
        let reply = stage.reply_to(&id).await;
        outcomes.push(reply["outcome"].as_str().unwrap().to_owned());
    }
    assert_eq!(outcomes, ["unclear", "refused", "done"]);
    assert_eq!(stage.actions().await, [unlock("Front door")]);
}
