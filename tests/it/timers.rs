//! Commands with a time: they wait, survive a restart, pass the gate again, and report themselves.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::daemon::Daemon;
use crate::endpoint::{Endpoint, Script};
use crate::listener::Message;
use crate::scene::{PATIENCE, Scene, Stage};

const HOUSE: &str = r#"
[home]
latitude = 52.52
longitude = 13.41
time_zone = "Europe/Berlin"
[area.kitchen]
[device.kitchen_light]
kind = "light"
area = "kitchen"
zigbee2mqtt = "Kitchen light"
[device.fan]
kind = "switch"
area = "kitchen"
zigbee2mqtt = "Fan"
[device.front_door]
kind = "lock"
zigbee2mqtt = "Front door"
"#;

pub(crate) fn set(name: &str, state: &str) -> (String, String) {
    let payload = json!({"state": state}).to_string();
    (format!("zigbee2mqtt/{name}/set"), payload)
}

/// Returns the event of the command with this id.
pub(crate) async fn event(stage: &mut Stage, id: &str) -> Value {
    let is_it = |m: &Message| {
        let is_event = m.topic == "sayso/reply/test/event";
        is_event && m.json()["id"] == *id && m.json()["timer"].is_string()
    };
    match stage.listener.wait_for(is_it, PATIENCE).await {
        Some(message) => message.json(),
        None => unreachable!("no event of {id}\n{}", stage.daemon.log()),
    }
}

pub(crate) async fn scheduled(stage: &mut Stage, text: &str) -> Value {
    let reply = stage.say(text).await;
    assert_eq!(reply["outcome"], "done", "{text}: {reply}");
    assert!(reply["scheduled"]["id"].is_string(), "{text}: {reply}");
    reply
}

/// Ends the daemon without a warning and starts another one on the same store.
async fn crash_and_restart(stage: &mut Stage, down: Duration) {
    stage.daemon.signal("KILL");
    stage.daemon.ended(PATIENCE).await;
    sleep(down).await;
    stage.daemon = Daemon::start(&stage.place);
    stage.daemon.says("connected to the broker", PATIENCE).await;
}

#[tokio::test]
async fn a_command_for_later_waits_and_reports_itself() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    let reply = scheduled(&mut stage, "turn on the kitchen light in 2 seconds").await;
    assert!(reply["actions"].as_array().unwrap().is_empty(), "{reply}");
    assert_eq!(reply["scheduled"]["seconds"], 2, "{reply}");
    assert!(reply["scheduled"]["due"].is_string(), "{reply}");
    let event = event(&mut stage, reply["id"].as_str().unwrap()).await;
    assert_eq!(event["timer"], reply["scheduled"]["id"], "{event}");
    assert_eq!(stage.actions().await, [set("Kitchen light", "ON")]);
    // A dry run sets no timer, and a time of the day has a date.
    let dry = json!({"text": "fan on at 7:30", "id": "dry", "dry_run": true}).to_string();
    stage.listener.publish("sayso/command/test", dry).await;
    let dry = stage.reply_to("dry").await;
    let due = dry["scheduled"]["due"].as_str().unwrap();
    assert!(
        due.contains(":30:00+0") && dry["scheduled"]["id"].is_null(),
        "{dry}"
    );
    let at = |m: &Message| m.topic == "sayso/timers" && m.text() == "[]";
    assert!(stage.listener.wait_for(at, PATIENCE).await.is_some());
}

#[tokio::test]
async fn the_members_that_cannot_do_it_are_named_when_a_timer_is_due() {
    let house = HOUSE.to_owned()
        + "[device.strip]\nkind = \"light\"\ncan = [\"power\", \"color\"]\narea = \"kitchen\"\n\
           zigbee2mqtt = \"Strip\"\n";
    let mut stage = Scene::new().home(&house).start().await;
    let reply = scheduled(&mut stage, "set all lights to red in 1 second").await;
    let event = event(&mut stage, reply["id"].as_str().unwrap()).await;
    let speech = event["speech"].as_str().unwrap();
    assert!(
        speech.contains("it cannot do that: Kitchen light"),
        "{event}"
    );
}

#[tokio::test]
async fn a_timer_survives_a_crash_and_fires_once() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    let reply = scheduled(&mut stage, "turn on the fan in 3 seconds").await;
    crash_and_restart(&mut stage, Duration::ZERO).await;
    let event = event(&mut stage, reply["id"].as_str().unwrap()).await;
    assert!(
        event["event"] == "fired" || event["event"] == "late",
        "{event}"
    );
    crash_and_restart(&mut stage, Duration::ZERO).await;
    // A later command shows that the restarted daemon serves, and that nothing fires again.
    assert_eq!(
        stage.say("turn off the kitchen light").await["outcome"],
        "done"
    );
    assert_eq!(
        stage.actions().await,
        [set("Fan", "ON"), set("Kitchen light", "OFF")]
    );
}

#[tokio::test]
async fn what_was_missed_is_reported_and_not_done() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    let lock = scheduled(&mut stage, "lock the front door in 1 second").await;
    crash_and_restart(&mut stage, Duration::from_secs(6)).await;
    let missed = event(&mut stage, lock["id"].as_str().unwrap()).await;
    let done = stage.actions().await;
    if missed["event"] == "missed" {
        assert!(done.is_empty(), "{done:?}");
        assert!(
            missed["speech"].as_str().unwrap().contains("too late"),
            "{missed}"
        );
        let warning = "a timer was not carried out";
        stage.daemon.says(warning, PATIENCE).await;
        let log = stage.daemon.log();
        let mut default_log = log.lines().filter(|line| !line.contains("DEBUG"));
        let has_text = |line: &str| line.contains("lock the front door");
        assert!(!default_log.any(has_text), "the text of a command: {log}");
    } else {
        // It fired before the crash on a machine that was slow to end the daemon.
        assert_eq!(done, [set("Front door", "LOCK")], "{missed}");
    }
}

#[tokio::test]
async fn for_a_while_ends_unless_something_else_commanded_the_device() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    let fan = scheduled(&mut stage, "turn on the fan for 2 seconds").await;
    assert_eq!(fan["actions"][0]["device"], "fan", "{fan}");
    event(&mut stage, fan["id"].as_str().unwrap()).await;
    scheduled(&mut stage, "turn on the kitchen light for 2 seconds").await;
    assert_eq!(
        stage.say("turn on the kitchen light").await["outcome"],
        "done"
    );
    let later = scheduled(&mut stage, "turn on the fan in 4 seconds").await;
    event(&mut stage, later["id"].as_str().unwrap()).await;
    let expected = [
        set("Fan", "ON"),
        set("Fan", "OFF"),
        set("Kitchen light", "ON"),
        set("Kitchen light", "ON"),
        set("Fan", "ON"),
    ];
    assert_eq!(stage.actions().await, expected);
}

#[tokio::test]
async fn nothing_is_opened_or_unlocked_later() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    for text in [
        "unlock the front door in 10 minutes",
        "lock the front door for 10 minutes",
        "unlock the front door at sunset",
    ] {
        let reply = stage.say(text).await;
        assert_eq!(reply["outcome"], "refused", "{text}: {reply}");
        assert_eq!(reply["why"], "not_permitted", "{text}: {reply}");
    }
    // Unlocking now is asked about, and locking later is harmless.
    let asked = stage.say("unlock the front door for 10 minutes").await;
    assert_eq!(asked["outcome"], "unclear", "{asked}");
    let yes = stage.say("yes").await;
    assert!(yes["scheduled"]["id"].is_string(), "{yes}");
    let later = stage.say("tomorrow at 3 turn on the fan").await;
    assert_eq!(later["outcome"], "unclear", "{later}");
    assert_eq!(stage.actions().await, [set("Front door", "UNLOCK")]);
}

#[tokio::test]
async fn timers_are_listed_changed_and_cancelled() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    let empty = stage.say("what timers are there?").await;
    assert_eq!(empty["speech"], "Nothing is scheduled.", "{empty}");
    scheduled(&mut stage, "turn off the fan in twenty minutes").await;
    let light_timer = scheduled(&mut stage, "turn off the kitchen light in one hour").await;
    let pasta = scheduled(&mut stage, "set a pasta timer for ten minutes").await;
    assert!(
        pasta["scheduled"]["actions"].as_array().unwrap().is_empty(),
        "{pasta}"
    );
    let again = scheduled(&mut stage, "turn off the kitchen light in one hour").await;
    assert_eq!(
        again["scheduled"]["replaced"], light_timer["scheduled"]["id"],
        "an equal command replaces its timer: {again}"
    );
    let speech = again["speech"].as_str().unwrap();
    assert!(
        speech.ends_with("It replaces the earlier command."),
        "{again}"
    );
    let list = stage.say("list my timers").await;
    let speech = list["speech"].as_str().unwrap().to_lowercase();
    assert!(
        speech.contains("turn off the fan") && speech.contains("pasta"),
        "{list}"
    );
    let which = stage.say("cancel the timer").await;
    assert_eq!(which["outcome"], "unclear", "{which}");
    let cancelled = stage.say("cancel the fan one").await;
    assert!(
        cancelled["speech"].as_str().unwrap().contains("the fan"),
        "{cancelled}"
    );
    let changed = stage.say("make it thirty minutes").await;
    assert_eq!(changed["outcome"], "answered", "{changed}");
    let left = stage.say("how long is left for the kitchen light").await;
    let speech = left["speech"].as_str().unwrap();
    assert!(
        speech.contains("29 min") || speech.contains("30 min"),
        "{left}"
    );
    let all = stage.say("cancel all timers").await;
    assert_eq!(all["outcome"], "answered", "{all}");
    assert_eq!(
        stage.say("list timers").await["speech"],
        "Nothing is scheduled."
    );
    assert!(stage.actions().await.is_empty());
}

#[tokio::test]
async fn who_cancels_a_timer_that_is_not_there_is_told_so() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    let requests = [
        ("en", "cancel the timer"),
        ("en", "cancel that"),
        ("en", "cancel the pasta timer"),
        ("en", "stop the timer for the kitchen light"),
        ("de", "brich den timer ab"),
        ("de", "lösche den timer für die küche"),
        ("es", "cancela el temporizador de la cocina"),
        ("fr", "annule le minuteur de la cuisine"),
        ("nl", "stop de timer voor de keuken"),
    ];
    for (language, text) in requests {
        let command = json!({"text": text, "id": text, "language": language});
        let listener = &mut stage.listener;
        listener
            .publish("sayso/command/test", command.to_string())
            .await;
        let reply = stage.reply_to(text).await;
        assert_eq!(reply["outcome"], "answered", "{text}: {reply}");
    }
    // There is a command before it, which could be meant: it is not about timers alone.
    stage.say("turn on the fan").await;
    let that = stage.say("cancel that").await;
    assert_ne!(that["speech"], "Nothing is scheduled.", "{that}");
}

#[tokio::test]
async fn a_timer_is_moved_by_a_length_and_found_by_a_name_with_accents() {
    let house = HOUSE.replace(
        "zigbee2mqtt = \"Fan\"",
        "zigbee2mqtt = \"Fan\"\naliases = [\"calefacción\"]",
    );
    let mut stage = Scene::new().home(&house).start().await;
    scheduled(&mut stage, "turn off the fan in one hour").await;
    let more = stage.say("make it thirty minutes longer").await;
    assert_eq!(more["outcome"], "answered", "{more}");
    let left = stage.say("how long is left on the fan timer").await;
    let speech = left["speech"].as_str().unwrap();
    assert!(
        speech.contains("1 h 29 min") || speech.contains("1 h 30 min"),
        "{left}"
    );
    stage.say("take an hour off").await;
    let left = stage.say("how long is left").await;
    let speech = left["speech"].as_str().unwrap();
    assert!(
        speech.contains("29 min") || speech.contains("30 min"),
        "{left}"
    );
    let cancel = json!({"text": "cancela el de la calefacción", "id": "es", "language": "es"});
    let payload = cancel.to_string();
    stage.listener.publish("sayso/command/test", payload).await;
    let cancelled = stage.reply_to("es").await;
    assert_eq!(cancelled["outcome"], "answered", "{cancelled}");
}

#[tokio::test]
async fn the_time_stands_behind_all_that_waits_for_it() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    let both = "at noon tomorrow turn on the fan and lock the front door";
    let timer = scheduled(&mut stage, both).await;
    assert_eq!(
        timer["speech"], "Fan: on. Front door: locked, tomorrow at 12:00.",
        "{timer}"
    );
    assert!(stage.actions().await.is_empty());
}

#[tokio::test]
async fn the_timer_that_was_just_set_is_cancelled_without_its_name() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    for (command, cancel) in [
        ("turn off the fan in twenty minutes", "cancel that"),
        ("set a timer for ten minutes", "cancel it please"),
        ("turn off the kitchen light in an hour", "undo that"),
    ] {
        scheduled(&mut stage, "turn on the fan tomorrow at eight").await;
        scheduled(&mut stage, command).await;
        stage.say("list my timers").await;
        let cancelled = stage.say(cancel).await;
        let speech = cancelled["speech"].as_str().unwrap();
        assert!(
            speech.starts_with("Cancelled") && speech.contains(command),
            "{cancelled}"
        );
        stage.say("cancel all timers").await;
    }
    // After a command that changed something, "that" is no timer.
    scheduled(&mut stage, "turn off the fan in twenty minutes").await;
    stage.say("turn on the kitchen light").await;
    stage.say("cancel that").await;
    let left = stage.say("list my timers").await;
    assert!(left["speech"].as_str().unwrap().contains("fan"), "{left}");
}

#[tokio::test]
async fn a_request_about_timers_is_none_the_less_one_while_a_question_is_open() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    scheduled(&mut stage, "turn off the fan in twenty minutes").await;
    scheduled(&mut stage, "turn off the kitchen light in an hour").await;
    let asked = stage.say("unlock the front door").await;
    assert_eq!(asked["outcome"], "unclear", "{asked}");
    let list = stage.say("what timers are there?").await;
    assert!(list["speech"].as_str().unwrap().contains("fan"), "{list}");
    let late = stage.say("yes").await;
    assert_ne!(
        late["outcome"], "done",
        "the question was withdrawn: {late}"
    );
    assert!(stage.actions().await.is_empty());
}

#[tokio::test]
async fn an_operator_lists_and_cancels_the_timers_of_all_sources() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    let set = scheduled(&mut stage, "turn off the fan in twenty minutes").await;
    let number = set["scheduled"]["id"].as_str().unwrap().to_owned();
    let mut ask = async |request: Value| {
        let topic = "sayso/control/operator";
        stage.listener.publish(topic, request.to_string()).await;
        let answer = |m: &Message| m.topic == "sayso/control/operator/answer";
        let found = stage.listener.wait_for(answer, PATIENCE).await;
        found.map(|message| message.json()).unwrap_or_default()
    };
    let list = ask(json!({"timers": "list"})).await;
    assert_eq!(list["timers"][0]["source"], "test", "{list}");
    let timer: u64 = number.parse().unwrap();
    let cancelled = ask(json!({"timers": "cancel", "timer": timer})).await;
    assert_eq!(cancelled["ok"], true, "{cancelled}");
}

#[tokio::test]
async fn a_repeated_command_says_its_rule_and_survives_a_crash() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    let daily = scheduled(
        &mut stage,
        "turn on the kitchen light on mondays and fridays at 7:05",
    )
    .await;
    let speech = daily["speech"].as_str().unwrap();
    assert!(
        speech.contains("on Mondays and Fridays at 07:05"),
        "{daily}"
    );
    assert_eq!(
        daily["scheduled"]["repeats"]["days"]["days"],
        json!([1, 5]),
        "{daily}"
    );
    let weekday = daily["scheduled"]["due"].as_str().unwrap();
    assert!(weekday.contains("T07:05:00"), "{daily}");
    let hourly = scheduled(&mut stage, "turn off the fan every two hours").await;
    assert_eq!(hourly["scheduled"]["seconds"], 7200, "{hourly}");
    crash_and_restart(&mut stage, Duration::ZERO).await;
    let list = stage.say("what timers are there").await;
    let speech = list["speech"].as_str().unwrap();
    for part in ["on Mondays and Fridays at 07:05", "every 2 h"] {
        assert!(speech.contains(part), "{list}");
    }
    // The last one is changed: an interval by an interval, never by a time of the day.
    let changed = stage.say("make it three hours").await;
    assert!(
        changed["speech"].as_str().unwrap().contains("every 3 h"),
        "{changed}"
    );
    assert_eq!(
        stage.say("change it to nine o'clock").await["outcome"],
        "unclear"
    );
    let cancelled = stage.say("cancel the kitchen light one").await;
    assert_eq!(cancelled["outcome"], "answered", "{cancelled}");
    assert!(stage.actions().await.is_empty());
}

#[tokio::test]
async fn nothing_is_opened_again_and_again() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    for text in [
        "unlock the front door every day at seven",
        "every two hours unlock the front door",
    ] {
        let reply = stage.say(text).await;
        assert_eq!(reply["why"], "not_permitted", "{text}: {reply}");
    }
    // The hour is not certain.
    let asked = stage.say("turn on the fan every day at three").await;
    assert_eq!(asked["outcome"], "unclear", "{asked}");
    let locked = scheduled(&mut stage, "lock the front door every night at eleven").await;
    assert!(
        locked["speech"]
            .as_str()
            .unwrap()
            .contains("every day at 23:00"),
        "{locked}"
    );
    assert!(stage.actions().await.is_empty());
}

#[tokio::test]
async fn a_model_may_give_a_time_or_a_state() {
    let on = json!({"device": "fan", "op": "set", "property": "power", "value": "on"});
    let answer = |when: Value| {
        let body = json!({"actions": [on], "question": null, "speech": null, "when": when});
        Script::says(&body.to_string())
    };
    let scripts = [
        answer(json!("in 20 min")),
        answer(json!("whenever kitchen_light.power = on")),
        answer(json!("some day")),
    ];
    let model = Endpoint::start(scripts).await;
    let mut stage = Scene::new().home(HOUSE).endpoint(&model).start().await;
    let later = stage
        .say("some air twenty minutes hence, if you please")
        .await;
    assert_eq!(later["scheduled"]["seconds"], 1200, "{later}");
    let rule = stage.say("air me each time the kitchen glows").await;
    assert!(rule["scheduled"]["condition"].is_object(), "{rule}");
    assert!(stage.actions().await.is_empty());
    // A time that cannot be read is not done at once.
    let unread = stage.say("air me one fine morning").await;
    assert_ne!(unread["outcome"], "done", "{unread}");
    assert!(stage.actions().await.is_empty());
}

#[tokio::test]
async fn the_time_of_a_rule_on_a_state_cannot_be_changed() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    scheduled(
        &mut stage,
        "when the kitchen light turns on, turn on the fan",
    )
    .await;
    let changed = stage.say("make it thirty minutes").await;
    assert_eq!(changed["outcome"], "unclear", "{changed}");
    let speech = changed["speech"].as_str().unwrap();
    assert!(speech.contains("waits for a state"), "{changed}");
}

#[tokio::test]
async fn an_end_that_another_command_forestalls_is_reported_as_dropped() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    let reply = scheduled(&mut stage, "turn on the fan for 5 minutes").await;
    stage.say("turn off the fan").await;
    let event = event(&mut stage, reply["id"].as_str().unwrap()).await;
    assert_eq!(event["event"], "dropped", "{event}");
    let actions = stage.actions().await;
    assert_eq!(actions, [set("Fan", "ON"), set("Fan", "OFF")]);
}

#[tokio::test]
async fn a_timer_that_an_answer_sets_has_the_text_of_the_command() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    let question = stage.say("unlock the front door for 5 minutes").await;
    assert_eq!(question["outcome"], "unclear", "{question}");
    scheduled(&mut stage, "yes").await;
    let list = stage.say("list my timers").await;
    let speech = list["speech"].as_str().unwrap().to_lowercase();
    assert!(speech.contains("unlock the front door"), "{list}");
}
