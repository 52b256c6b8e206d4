//! A sentence becomes actions and one reply; whatever else comes in becomes a clear reply, and
//! harms nothing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::endpoint::{Endpoint, Script};
use crate::scene::{HOME, PATIENCE, Scene};

fn set(name: &str, payload: &str) -> (String, String) {
    (format!("zigbee2mqtt/{name}/set"), payload.to_owned())
}

fn draft(actions: &Value) -> String {
    json!({"actions": actions, "speech": null, "question": null}).to_string()
}

#[tokio::test]
async fn a_sentence_in_plain_text_becomes_exactly_its_actions_and_one_reply() {
    let mut stage = Scene::new().start().await;
    stage
        .listener
        .publish(
            "sayso/command/cli",
            "turn on the kitchen light and close the blinds upstairs",
        )
        .await;
    let reply = stage
        .listener
        .expect("sayso/reply/cli", PATIENCE)
        .await
        .json();
    assert_eq!(reply["outcome"], "done", "{reply}");
    assert_eq!(reply["via"], "local");
    assert_eq!(
        stage.actions().await,
        [
            set("Kitchen light", r#"{"state":"ON"}"#),
            set("Bedroom blind", r#"{"position":0}"#)
        ]
    );
    assert_eq!(stage.listener.count("sayso/reply/cli").await, 1);
}

#[tokio::test]
async fn a_model_is_asked_once_and_the_second_time_the_cache_knows() {
    let model = Endpoint::start(vec![Script::says(&draft(
        &json!([{"device": "pump", "property": "flow", "op": "set", "value": 12}]),
    ))])
    .await;
    let mut stage = Scene::new().endpoint(&model).start().await;
    let first = stage.say("give the tomatoes a decent drink").await;
    let second = stage.say("Give the tomatoes a decent drink!").await;
    assert_eq!(
        (&first["outcome"], &first["via"]),
        (&json!("done"), &json!("model1")),
        "{first}"
    );
    assert_eq!(
        (&second["outcome"], &second["via"]),
        (&json!("done"), &json!("cache")),
        "{second}"
    );
    assert_eq!(model.requests(), 1);
    let told: Vec<Value> = stage
        .actions()
        .await
        .iter()
        .map(|(_, payload)| serde_json::from_str(payload).unwrap())
        .collect();
    assert_eq!(told.len(), 2);
    assert_eq!(
        (&told[0]["property"], &told[0]["value"]),
        (&json!("flow"), &json!(12))
    );
}

#[tokio::test]
async fn opening_a_lock_waits_for_a_yes_of_the_same_source() {
    let mut stage = Scene::new().start().await;
    let question = stage.say("unlock the front door").await;
    assert_eq!(question["outcome"], "unclear", "{question}");
    stage.listener.publish("sayso/command/other", "yes").await;
    let other = stage
        .listener
        .expect("sayso/reply/other", PATIENCE)
        .await
        .json();
    assert_ne!(
        other["outcome"], "done",
        "another source has no say: {other}"
    );
    assert!(stage.actions().await.is_empty());
    let done = stage.say("yes").await;
    assert_eq!(done["outcome"], "done", "{done}");
    assert_eq!(
        stage.actions().await,
        [set("Front door", r#"{"state":"UNLOCK"}"#)]
    );
}

#[tokio::test]
async fn a_question_is_withdrawn_by_whatever_else_is_said() {
    let mut stage = Scene::new().start().await;
    assert_eq!(
        stage.say("unlock the front door").await["outcome"],
        "unclear"
    );
    assert_eq!(
        stage.say("turn on the kitchen light").await["outcome"],
        "done"
    );
    assert_ne!(stage.say("yes").await["outcome"], "done");
    assert_eq!(
        stage.say("unlock the front door").await["outcome"],
        "unclear"
    );
    assert_eq!(stage.say("asdf").await["outcome"], "refused");
    assert_ne!(stage.say("ok").await["outcome"], "done");
    assert!(
        stage
            .actions()
            .await
            .iter()
            .all(|(topic, _)| !topic.contains("Front door"))
    );
}

#[tokio::test]
async fn a_toggle_is_made_absolute_from_what_the_device_said() {
    let mut stage = Scene::new().start().await;
    stage
        .listener
        .publish(
            "zigbee2mqtt/Kitchen light",
            r#"{"state":"ON","brightness":127}"#,
        )
        .await;
    stage.daemon.says("state received", PATIENCE).await;
    stage.say("make the kitchen light brighter").await;
    stage.say("toggle the kitchen light").await;
    // A relative change does not switch on what is off.
    stage.say("make the kitchen light brighter").await;
    assert_eq!(
        stage.actions().await,
        [
            set("Kitchen light", r#"{"brightness":178}"#),
            set("Kitchen light", r#"{"state":"OFF"}"#)
        ]
    );
}

#[tokio::test]
async fn what_a_model_makes_up_never_reaches_a_device() {
    let lies = [
        json!([{"device": "nuclear_plant", "property": "power", "op": "set", "value": "on"}]),
        json!([{"device": "pump", "property": "flow", "op": "set", "value": 4000}]),
        json!([{"device": "pump", "property": "flow", "op": "set", "value": "on; drop table"}]),
        json!([{"device": "kitchen_light", "property": "power", "op": "set", "value": "on"}, {"device": "../x", "property": "power", "op": "set", "value": "on"}]),
    ];
    let bodies: Vec<Script> = lies
        .iter()
        .map(|actions| Script::says(&draft(actions)))
        .collect();
    let model = Endpoint::start(bodies).await;
    let mut stage = Scene::new().endpoint(&model).start().await;
    for n in 0..lies.len() {
        let reply = stage
            .say(&format!("do something wonderful number {n}"))
            .await;
        assert_eq!(reply["outcome"], "refused", "{reply}");
        assert_eq!(reply["why"], "not_permitted", "{reply}");
    }
    assert!(stage.actions().await.is_empty());
}

#[tokio::test]
async fn a_named_device_is_commanded_from_an_unknown_area() {
    let attic = "[device.attic_light]\nkind = \"light\"\n";
    let home = format!("{HOME}\n{attic}");
    let mut stage = Scene::new().home(&home).start().await;
    for (id, text, outcome) in [
        ("device", "turn on the kitchen light", "done"),
        ("place", "turn off the lights in the kitchen", "done"),
        ("asked", "turn off the lights", "unclear"),
        ("all", "turn off all the lights", "refused"),
    ] {
        let command = json!({"id": id, "text": text, "area": "hallway nobody knows"});
        let topic = "sayso/command/test";
        stage.listener.publish(topic, command.to_string()).await;
        let reply = stage.reply_to(id).await;
        assert_eq!(reply["outcome"], outcome, "{text}: {reply}");
    }
}

#[tokio::test]
async fn bad_payloads_each_get_a_clear_reply_and_stop_nothing() {
    let mut stage = Scene::new().start().await;
    let deep = format!(r#"{{"text":{}"x"{}}}"#, "[".repeat(2000), "]".repeat(2000));
    let bad: [(&str, Vec<u8>); 9] = [
        ("not UTF-8", vec![0xff, 0xfe, 0x00]),
        ("1 MB", vec![b'a'; 1 << 20]),
        ("empty", vec![]),
        ("blank", b"  \n ".to_vec()),
        ("wrong type", br#"{"text": 5}"#.to_vec()),
        (
            "duplicate key",
            br#"{"text": "turn on the kitchen light", "text": "unlock the front door"}"#.to_vec(),
        ),
        (
            "unknown key",
            br#"{"text": "turn on the kitchen light", "force": true}"#.to_vec(),
        ),
        ("deep", deep.into_bytes()),
        (
            "bad ttl",
            br#"{"text": "turn on the kitchen light", "ttl": "soon"}"#.to_vec(),
        ),
    ];
    for (name, payload) in bad {
        stage.listener.publish("sayso/command/bad", payload).await;
        let reply = stage
            .listener
            .expect("sayso/reply/bad", PATIENCE)
            .await
            .json();
        assert_eq!(
            (&reply["outcome"], &reply["why"]),
            (&json!("refused"), &json!("malformed")),
            "{name}: {reply}"
        );
        assert!(
            reply["speech"].as_str().is_some_and(|s| s.len() > 20),
            "{name}: {reply}"
        );
    }
    assert!(stage.actions().await.is_empty());
    assert_eq!(
        stage.say("turn on the kitchen light").await["outcome"],
        "done"
    );
}

#[tokio::test]
async fn a_retained_command_is_dropped() {
    let broker = crate::broker::Broker::mosquitto().await;
    let mut early = crate::listener::Listener::connect(broker.port());
    early
        .publish_retained("sayso/command/cli", "turn on the kitchen light")
        .await;
    let mut stage = Scene::new().start_with(broker).await;
    assert_eq!(
        stage.say("close the bedroom blind").await["outcome"],
        "done"
    );
    assert_eq!(
        stage.actions().await,
        [set("Bedroom blind", r#"{"position":0}"#)]
    );
    stage.daemon.says("retained", PATIENCE).await;
}

#[tokio::test]
async fn a_reply_goes_where_it_was_asked_for_and_nowhere_forbidden() {
    let mut stage = Scene::new().start().await;
    stage
        .listener
        .request(
            "sayso/command/cli",
            "turn on the kitchen light",
            "clients/7/inbox",
            b"abc",
        )
        .await;
    let reply = stage.listener.expect("clients/7/inbox", PATIENCE).await;
    assert_eq!(reply.correlation.as_deref(), Some(b"abc".as_slice()));
    assert_eq!(reply.json()["outcome"], "done");
    stage
        .listener
        .request(
            "sayso/command/cli",
            "turn on the kitchen light",
            "zigbee2mqtt/Front door/set",
            b"abc",
        )
        .await;
    let refused = stage
        .listener
        .expect("sayso/reply/cli", PATIENCE)
        .await
        .json();
    assert_eq!(refused["why"], "malformed", "{refused}");
    assert!(
        stage
            .actions()
            .await
            .iter()
            .all(|(topic, _)| !topic.contains("Front door"))
    );
}

#[tokio::test]
async fn without_a_model_what_is_not_understood_says_so() {
    let mut stage = Scene::new().start().await;
    let reply = stage.say("please recite a poem about the sea").await;
    assert_eq!(
        (&reply["outcome"], &reply["why"]),
        (&json!("refused"), &json!("no_model")),
        "{reply}"
    );
}

#[tokio::test]
async fn a_language_that_is_not_known_is_told_with_those_that_are() {
    let mut stage = Scene::new().start().await;
    for (language, why, words) in [
        (
            "xx",
            "unknown_language",
            "I do not know the language xx: I know de, en, es, fr, nl.",
        ),
        ("en-GB", "no_model", "I did not understand that"),
        ("de", "no_model", "Das habe ich nicht verstanden"),
    ] {
        let id = format!("said-in-{language}");
        let command =
            json!({"text": "please recite a poem about the sea", "language": language, "id": id});
        stage
            .listener
            .publish("sayso/command/test", command.to_string())
            .await;
        let reply = stage.reply_to(&id).await;
        assert_eq!(
            (&reply["outcome"], &reply["why"]),
            (&json!("refused"), &json!(why)),
            "{reply}"
        );
        assert!(reply["speech"].as_str().unwrap().contains(words), "{reply}");
    }
}

#[tokio::test]
async fn the_same_id_twice_is_done_once_and_answered_alike() {
    let mut stage = Scene::new().start().await;
    let command = json!({"text": "next track on the radio", "id": "once"}).to_string();
    stage
        .listener
        .publish("sayso/command/test", command.clone())
        .await;
    let first = stage.reply_to("once").await;
    stage.listener.publish("sayso/command/test", command).await;
    let second = stage.reply_to("once").await;
    assert_eq!(first, second);
    assert_eq!(stage.actions().await.len(), 1);
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_send_and_sends_nothing() {
    let mut stage = Scene::new().start().await;
    stage
        .listener
        .publish(
            "sayso/command/test",
            json!({"text": "turn on the kitchen light", "id": "dry", "dry_run": true}).to_string(),
        )
        .await;
    let reply = stage.reply_to("dry").await;
    assert_eq!(
        reply["actions"][0]["publish"][0]["topic"], "zigbee2mqtt/Kitchen light/set",
        "{reply}"
    );
    assert!(stage.actions().await.is_empty());
}

#[tokio::test]
async fn a_slow_answer_said_earlier_does_not_undo_a_quick_one_said_later() {
    let on = draft(
        &json!([{"device": "kitchen_light", "property": "power", "op": "set", "value": "on"}]),
    );
    let model = Endpoint::start(vec![Script::says(&on).after(Duration::from_millis(600))]).await;
    let mut stage = Scene::new().endpoint(&model).start().await;
    let slow = stage.send("the kitchen could do with some photons").await;
    let quick = stage.say("turn off the kitchen light").await;
    assert_eq!(quick["outcome"], "done");
    let slow = stage.reply_to(&slow).await;
    assert_eq!(
        (&slow["outcome"], &slow["why"]),
        (&json!("refused"), &json!("superseded")),
        "{slow}"
    );
    assert_eq!(
        stage.actions().await,
        [set("Kitchen light", r#"{"state":"OFF"}"#)]
    );
}

#[tokio::test]
async fn a_source_over_its_quota_is_told_when_to_come_back_and_known_commands_still_work() {
    let model = Endpoint::start(vec![Script::says(
        &json!({"actions": [], "speech": "Hello.", "question": null}).to_string(),
    )])
    .await;
    let mut stage = Scene::new()
        .endpoint(&model)
        .with("[limits]\nper_minute = 2\nburst = 2")
        .start()
        .await;
    for n in 0..2 {
        assert_eq!(
            stage.say(&format!("who are you number {n}")).await["outcome"],
            "answered"
        );
    }
    let refused = stage.say("who are you number 3").await;
    assert_eq!(refused["why"], "too_soon", "{refused}");
    assert!(
        refused["retry_after"]
            .as_f64()
            .is_some_and(|s| s > 0.0 && s <= 60.0),
        "{refused}"
    );
    assert_eq!(
        stage.say("turn on the kitchen light").await["outcome"],
        "done"
    );
}

/// Whatever the first provider does, the second answers, once, inside the deadline of 15 s.
async fn the_second_answers_when_the_first(misbehaves: Script) {
    let first = Endpoint::start(vec![misbehaves]).await;
    let second = Endpoint::start(vec![Script::says(&draft(
        &json!([{"device": "pump", "property": "flow", "op": "set", "value": 3}]),
    ))])
    .await;
    let mut stage = Scene::new()
        .endpoint(&first)
        .endpoint(&second)
        .start()
        .await;
    let reply = stage.say("a few drops for the basil").await;
    assert_eq!(
        (&reply["outcome"], &reply["via"]),
        (&json!("done"), &json!("model2")),
        "{reply}\n{}",
        stage.daemon.log()
    );
    assert_eq!(stage.actions().await.len(), 1);
    assert!(first.requests() >= 1);
}

#[tokio::test]
async fn a_rate_limited_provider_is_left_for_the_next_at_once() {
    the_second_answers_when_the_first(
        Script::error(429, "rate_limit_exceeded").header("retry-after", "30"),
    )
    .await;
}

#[tokio::test]
async fn a_broken_provider_is_left_for_the_next() {
    the_second_answers_when_the_first(Script::error(500, "server_error")).await;
}

#[tokio::test]
async fn a_hanging_provider_is_left_for_the_next() {
    the_second_answers_when_the_first(Script::hang_before_headers()).await;
}

#[tokio::test]
async fn a_resetting_provider_is_left_for_the_next() {
    the_second_answers_when_the_first(Script::reset()).await;
}
