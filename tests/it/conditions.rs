//! Commands with a condition: looked at now, or rules that wait for a report.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sayso::testing::command::phrase::Phrase;
use sayso::testing::grammar::{LocalGrammar, Settings};
use sayso::testing::home::Home;
use sayso::testing::vocabulary::action::Action;
use sayso::testing::vocabulary::condition::{ExpectedState, StateTest};
use sayso::testing::vocabulary::timing::Timing;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::daemon::Daemon;
use crate::dialogue::home;
use crate::scene::{PATIENCE, Scene, Stage};
use crate::timers::{event, scheduled, set};

static LOCAL: LazyLock<LocalGrammar> =
    LazyLock::new(|| LocalGrammar::new(&Settings::default()).unwrap());

const HOUSE: &str = r#"
[area.kitchen]
[device.heater]
kind = "switch"
area = "kitchen"
zigbee2mqtt = "Heater"
[device.fan]
kind = "switch"
area = "kitchen"
zigbee2mqtt = "Fan"
[device.lamp]
name = "Hall lamp"
kind = "light"
zigbee2mqtt = "Hall lamp"
[device.front_door]
kind = "lock"
zigbee2mqtt = "Front door"
"#;

impl Stage {
    async fn reports(&mut self, name: &str, state: &str) {
        let payload = json!({"state": state}).to_string();
        let topic = format!("zigbee2mqtt/{name}");
        self.listener.publish(&topic, payload).await;
    }
}

async fn rule(stage: &mut Stage, text: &str) -> Value {
    let reply = scheduled(stage, text).await;
    assert!(
        reply["scheduled"]["condition"].is_object(),
        "{text}: {reply}"
    );
    reply
}

/// Waits until the daemon has taken in the reports sent before: it answers in the order of receipt.
async fn settled(stage: &mut Stage, question: &str, word: &str) {
    for _ in 0..200 {
        let reply = stage.say(question).await;
        if reply["speech"]
            .as_str()
            .is_some_and(|speech| speech.contains(word))
        {
            return;
        }
        sleep(Duration::from_millis(25)).await;
    }
    unreachable!("{question} is never {word}");
}

#[tokio::test]
async fn a_condition_of_now_is_looked_at_and_answered() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    let unknown = stage.say("if the heater is on, turn on the fan").await;
    assert_eq!(unknown["outcome"], "answered", "{unknown}");
    stage.reports("Heater", "OFF").await;
    settled(&mut stage, "is the heater on?", "No").await;
    let not = stage.say("if the heater is on, turn on the fan").await;
    assert_eq!(not["outcome"], "answered", "{not}");
    let speech = not["speech"].as_str().unwrap();
    assert!(speech.starts_with("No, the heater is off"), "{not}");
    assert!(speech.contains("did nothing"), "{not}");
    stage.reports("Heater", "ON").await;
    settled(&mut stage, "is the heater on?", "Yes").await;
    let done = stage.say("turn on the fan if the heater is on").await;
    assert_eq!(done["outcome"], "done", "{done}");
    // A pronoun is not certain, and a negation is no condition.
    for text in [
        "if the heater is on, turn it off",
        "if the heater is not on, turn on the hall lamp",
        "unless the heater is on, turn on the hall lamp",
    ] {
        let reply = stage.say(text).await;
        assert_ne!(reply["outcome"], "done", "{text}: {reply}");
    }
    assert_eq!(stage.actions().await, [set("Fan", "ON")]);
}

#[tokio::test]
async fn a_rule_fires_once_when_the_state_changes() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    stage.reports("Heater", "OFF").await;
    settled(&mut stage, "is the heater on?", "No").await;
    let once = rule(&mut stage, "when the heater turns on, turn on the fan").await;
    assert!(
        once["speech"]
            .as_str()
            .unwrap()
            .contains("as soon as Heater: on"),
        "{once}"
    );
    stage.reports("Heater", "OFF").await;
    stage.reports("Heater", "ON").await;
    let fired = event(&mut stage, once["id"].as_str().unwrap()).await;
    assert_eq!(fired["event"], "fired", "{fired}");
    stage.reports("Heater", "OFF").await;
    settled(&mut stage, "is the heater on?", "No").await;
    stage.reports("Heater", "ON").await;
    settled(&mut stage, "is the heater on?", "Yes").await;
    // What is so already would never change: it is refused, not done.
    let already = stage.say("when the heater is on, turn off the fan").await;
    assert_eq!(already["why"], "not_permitted", "{already}");
    assert_eq!(stage.actions().await, [set("Fan", "ON")]);
}

#[tokio::test]
async fn a_rule_for_each_time_survives_a_crash_and_is_not_surprised_by_old_states() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    stage.reports("Heater", "OFF").await;
    settled(&mut stage, "is the heater on?", "No").await;
    let always = rule(&mut stage, "whenever the heater turns on, turn on the fan").await;
    stage.daemon.signal("KILL");
    stage.daemon.ended(PATIENCE).await;
    // A retained state that came true in the meantime fires nothing.
    let payload = json!({"state": "ON"}).to_string();
    stage
        .listener
        .publish_retained("zigbee2mqtt/Heater", payload)
        .await;
    stage.daemon = Daemon::start(&stage.place);
    stage.daemon.says("connected to the broker", PATIENCE).await;
    settled(&mut stage, "is the heater on?", "Yes").await;
    let list = stage.say("what timers are there").await;
    assert!(
        list["speech"]
            .as_str()
            .unwrap()
            .contains("whenever Heater: on"),
        "{list}"
    );
    assert!(stage.actions().await.is_empty());
    stage.reports("Heater", "OFF").await;
    stage.reports("Heater", "ON").await;
    let fired = event(&mut stage, always["id"].as_str().unwrap()).await;
    assert_eq!(fired["timer"], always["scheduled"]["id"], "{fired}");
    let cancelled = stage.say("cancel all timers").await;
    assert_eq!(cancelled["outcome"], "answered", "{cancelled}");
    assert_eq!(stage.actions().await, [set("Fan", "ON")]);
}

#[tokio::test]
async fn rules_neither_unlock_nor_loop() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    rule(&mut stage, "whenever the heater turns on, turn on the fan").await;
    rule(&mut stage, "whenever the fan is on, turn on the hall lamp").await;
    for text in [
        "whenever the hall lamp turns on, turn on the heater",
        "whenever the heater is on, turn on the heater",
        "when the heater turns on, unlock the front door",
        "whenever the fan turns off, unlock the front door",
    ] {
        let reply = stage.say(text).await;
        assert_eq!(reply["why"], "not_permitted", "{text}: {reply}");
        let speech = reply["speech"].as_str().unwrap();
        assert!(!speech.ends_with(": ."), "{text}: {reply}");
    }
    // What ends the state of its condition does not set itself off.
    rule(&mut stage, "whenever the heater is on, turn off the heater").await;
    // The last one in a chain ends it.
    rule(
        &mut stage,
        "whenever the hall lamp turns on, lock the front door",
    )
    .await;
    assert!(stage.actions().await.is_empty());
}

#[tokio::test]
async fn examples_are_for_the_rights_and_the_area_and_are_understood() {
    let rights = "[source.guest]\nallow = [\"device:fan\"]\n";
    let mut stage = Scene::new().home(HOUSE).with(rights).start().await;
    let answer = stage.say("what can I say?").await;
    assert_eq!(answer["outcome"], "answered", "{answer}");
    let speech = answer["speech"].as_str().unwrap().to_owned();
    let sentences: Vec<&str> = speech
        .split(['\u{201c}', '\u{201d}'])
        .skip(1)
        .step_by(2)
        .collect();
    assert!(sentences.len() >= 4, "{answer}");
    for sentence in sentences {
        let dry = json!({"text": sentence, "id": sentence, "dry_run": true}).to_string();
        stage.listener.publish("sayso/command/test", dry).await;
        let reply = stage.reply_to(sentence).await;
        let outcome = reply["outcome"].as_str().unwrap();
        assert!(
            ["done", "answered"].contains(&outcome),
            "{sentence}: {reply}"
        );
    }
    // Whoever may command the fan alone is shown sentences about the fan alone.
    let guest = "sayso/command/guest";
    stage.listener.publish(guest, "what can I say?").await;
    let reply = stage
        .listener
        .expect("sayso/reply/guest", PATIENCE)
        .await
        .json();
    let speech = reply["speech"].as_str().unwrap();
    assert!(speech.contains("turn on the fan"), "{reply}");
    assert!(
        !speech.contains("heater") && !speech.contains("door"),
        "{reply}"
    );
    for (language, question) in [
        ("de", "was kann ich sagen"),
        ("es", "¿qué puedo decir?"),
        ("fr", "que puis-je dire ?"),
        ("nl", "wat kan ik zeggen?"),
    ] {
        let asked = json!({"text": question, "id": language, "language": language});
        let topic = "sayso/command/test";
        stage.listener.publish(topic, asked.to_string()).await;
        let reply = stage.reply_to(language).await;
        assert_eq!(reply["outcome"], "answered", "{language}: {reply}");
        let speech = reply["speech"].as_str().unwrap();
        assert!(speech.contains("Heater"), "{language}: {reply}");
    }
    assert!(stage.actions().await.is_empty());
}

/// A draft as text: the mode, the states and the actions; `-` for no meaning.
fn written(language: &str, home: &Home, text: &str) -> String {
    let phrase = Phrase::new(text, None, Some(language));
    let draft = LOCAL.draft(&phrase, home).filter(|d| d.question.is_none());
    let Some(draft) = draft else {
        return "-".to_owned();
    };
    let Some(condition) = &draft.condition else {
        return "no condition".to_owned();
    };
    let state = |test: &StateTest| match test {
        StateTest::Dark(dark) => format!("dark {dark}"),
        StateTest::Device {
            device,
            property,
            is,
        } => {
            let is = match is {
                ExpectedState::Equal(value) => format!("= {}", json!(value)),
                ExpectedState::Above(limit) => format!("> {limit}"),
                ExpectedState::Below(limit) => format!("< {limit}"),
            };
            format!("{device} {} {}", property.name(), is.replace('"', ""))
        }
    };
    let tests: Vec<String> = condition.tests.iter().map(state).collect();
    let action = |action: &Action| {
        let value = json!(action.value).to_string().replace('"', "");
        format!("{} {}={value}", action.device, action.property.name())
    };
    let actions: Vec<String> = draft.actions.iter().map(action).collect();
    let mode = json!(condition.mode).to_string().replace('"', "");
    let span = match draft.timing {
        Some(Timing::For(span)) => Some(span),
        Some(_) => return "another time".to_owned(),
        None => draft.lasting,
    };
    let span = span.map_or_else(String::new, |span| format!(", for {}", span.seconds));
    format!("{mode} {}{span}: {}", tests.join(", "), actions.join(", "))
}

#[test]
fn conditions_are_understood_as_meant_in_every_language() {
    let mut wrong = Vec::new();
    let mut silent = Vec::new();
    let mut homes: BTreeMap<&str, Arc<Home>> = BTreeMap::new();
    let lines = SENTENCES.lines().filter(|line| !line.is_empty());
    let mut count = 0;
    for line in lines {
        let (language, rest) = line.split_once(' ').unwrap();
        let (text, expected) = rest.split_once(" | ").unwrap();
        let home = homes.entry(language).or_insert_with(|| home(language));
        let found = written(language, home, text);
        count += 1;
        if found == expected {
            continue;
        }
        let fault = format!("{language}: {text}: {found}, not {expected}");
        if found == "-" {
            silent.push(fault);
        } else {
            wrong.push(fault);
        }
    }
    println!("{count} sentences, silent:\n{}", silent.join("\n"));
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(silent.len() * 10 <= count, "{silent:#?}");
}

const SENTENCES: &str = "
en if the front door is locked, turn off the sofa lamp | now front_door lock = locked: sofa_lamp power=off
en turn on the sofa lamp if it is dark | now dark true: sofa_lamp power=on
en if it's dark outside turn on the floor lamp | now dark true: floor_lamp power=on
en when the front door unlocks, turn on the kitchen light | once front_door lock = unlocked: kitchen_light power=on
en as soon as the kitchen light is on, turn off the sofa lamp | once kitchen_light power = on: sofa_lamp power=off
en turn off the sofa lamp when the kitchen light turns on | once kitchen_light power = on: sofa_lamp power=off
en whenever the bedroom blind is open, turn off the bedroom light | always bedroom_blind position = 100: bedroom_light power=off
en every time the bedroom blind closes, turn on the bedroom light | always bedroom_blind position = 0: bedroom_light power=on
en if the sofa lamp turns on, turn off the floor lamp | once sofa_lamp power = on: floor_lamp power=off
en if the kitchen light is on then turn off the floor lamp | now kitchen_light power = on: floor_lamp power=off
en when the front door unlocks, turn on the kitchen light for ten minutes | once front_door lock = unlocked, for 600: kitchen_light power=on
en turn on the kitchen light for ten minutes when the front door unlocks | once front_door lock = unlocked, for 600: kitchen_light power=on
en turn the kitchen light on for half an hour whenever the front door unlocks | always front_door lock = unlocked, for 1800: kitchen_light power=on
en every time the bedroom blind closes, turn on the bedroom light for 5 minutes | always bedroom_blind position = 0, for 300: bedroom_light power=on
en if it is dark, turn on the sofa lamp for an hour | now dark true, for 3600: sofa_lamp power=on
en when the front door is unlocked for ten minutes turn on the kitchen light | -
en when the front door is unlocked for ten minutes, turn on the kitchen light | -
en turn on the kitchen light when the front door is unlocked for ten minutes | -
en if the sofa lamp is on, turn it off | -
en if the front door is not locked, turn on the sofa lamp | -
en unless the front door is locked, turn on the sofa lamp | -
en if nobody is home, turn off the sofa lamp | -
en when i come home, turn on the kitchen light | -
en turn off the sofa lamp if the movie ends | -
en if the front door is locked | -
en if the front door is locked, is the sofa lamp on? | -
de wenn die Haustür verriegelt ist, mach das Flurlicht aus | now haustuer lock = locked: flurlicht power=off
de falls es dunkel ist, schalte das Flurlicht ein | now dark true: flurlicht power=on
de mach das Flurlicht aus, wenn die Stehlampe aus ist | now stehlampe power = off: flurlicht power=off
de wenn die Stehlampe an ist, dann mach das Flurlicht aus | now stehlampe power = on: flurlicht power=off
de sobald die Haustür entriegelt wird, schalte das Flurlicht ein | once haustuer lock = unlocked: flurlicht power=on
de sobald die Stehlampe angeht, mach das Flurlicht aus | once stehlampe power = on: flurlicht power=off
de immer wenn die Markise geöffnet wird, mach das Flurlicht an | always markise position = 100: flurlicht power=on
de sobald die Haustür entriegelt wird, schalte das Flurlicht für zehn Minuten ein | once haustuer lock = unlocked, for 600: flurlicht power=on
de mach das Flurlicht für zehn Minuten an, sobald die Haustür entriegelt wird | once haustuer lock = unlocked, for 600: flurlicht power=on
de immer wenn die Markise geöffnet wird, mach das Flurlicht eine Stunde lang an | always markise position = 100, for 3600: flurlicht power=on
de falls es dunkel ist, schalte das Flurlicht für eine Stunde ein | now dark true, for 3600: flurlicht power=on
de wenn die Haustür zehn Minuten entriegelt ist, mach das Flurlicht an | -
de wenn die Haustür nicht verriegelt ist, mach das Flurlicht an | -
de wenn die Stehlampe an ist, mach sie aus | -
de wenn ich nach Hause komme, mach das Flurlicht an | -
es si la lámpara de pie está encendida, apaga la luz del pasillo | now lampara_pie power = on: luz_pasillo power=off
es si es de noche, enciende la luz del pasillo | now dark true: luz_pasillo power=on
es cuando se encienda la lámpara de pie, apaga la luz del pasillo | once lampara_pie power = on: luz_pasillo power=off
es apaga la luz del pasillo en cuanto se abra el toldo | once toldo position = 100: luz_pasillo power=off
es cada vez que se apague la lámpara de pie, enciende la luz del pasillo | always lampara_pie power = off: luz_pasillo power=on
es cuando se encienda la lámpara de pie, enciende la luz del pasillo durante diez minutos | once lampara_pie power = on, for 600: luz_pasillo power=on
es enciende la luz del pasillo durante media hora cada vez que se apague la lámpara de pie | always lampara_pie power = off, for 1800: luz_pasillo power=on
es si es de noche, enciende la luz del pasillo durante una hora | now dark true, for 3600: luz_pasillo power=on
es cuando la lámpara de pie esté encendida durante diez minutos enciende la luz del pasillo | -
es si la lámpara de pie no está encendida, enciende la luz del pasillo | -
es cuando llegue a casa, enciende la luz del pasillo | -
fr si le lampadaire est allumé, éteins la lumière de la cuisine | now lampadaire power = on: cuisine_lumiere power=off
fr éteins la lumière de la cuisine dès que le lampadaire s'allume | once lampadaire power = on: cuisine_lumiere power=off
fr quand le lampadaire s'éteint, allume la lumière de la cuisine | once lampadaire power = off: cuisine_lumiere power=on
fr chaque fois que le lampadaire s'allume, éteins la veilleuse | always lampadaire power = on: enfants_lumiere power=off
fr quand le lampadaire s'éteint, allume la lumière de la cuisine pendant dix minutes | once lampadaire power = off, for 600: cuisine_lumiere power=on
fr allume la lumière de la cuisine pour une demi-heure chaque fois que le lampadaire s'éteint | always lampadaire power = off, for 1800: cuisine_lumiere power=on
fr quand le lampadaire est allumé pendant dix minutes éteins la lumière de la cuisine | -
fr si le lampadaire n'est pas allumé, éteins la lumière de la cuisine | -
fr quand je rentre, allume le lampadaire | -
nl als de staande lamp aan is, doe de ganglamp uit | now staande_lamp power = on: ganglamp power=off
nl als het donker is, doe de ganglamp aan | now dark true: ganglamp power=on
nl zodra de staande lamp aangaat, doe de ganglamp uit | once staande_lamp power = on: ganglamp power=off
nl doe de ganglamp aan zodra de staande lamp uit is | once staande_lamp power = off: ganglamp power=on
nl telkens als de ganglamp aangaat, doe de keukenlamp uit | always ganglamp power = on: keukenlamp power=off
nl zodra de staande lamp uitgaat, doe de ganglamp tien minuten lang aan | once staande_lamp power = off, for 600: ganglamp power=on
nl doe de keukenlamp voor een half uur aan telkens als de ganglamp aangaat | always ganglamp power = on, for 1800: keukenlamp power=on
nl als het donker is, doe de ganglamp voor een uur aan | now dark true, for 3600: ganglamp power=on
nl als de staande lamp tien minuten aan is, doe de ganglamp aan | -
nl als de staande lamp niet aan is, doe de ganglamp aan | -
nl als ik thuiskom, doe de ganglamp aan | -
";
