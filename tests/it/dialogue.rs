//! Sentences that refer to earlier commands of their source: pronouns, repetitions, corrections,
//! undo. In doubt nothing happens.

use std::fs;
use std::sync::LazyLock;
use std::time::Duration;

use sayso::testing::command::phrase::Phrase;
use sayso::testing::config::{Config, ConfigLocation, Scope};
use sayso::testing::grammar::follow_up::Antecedents;
use sayso::testing::grammar::{LocalGrammar, Settings};
use sayso::testing::home::Home;
use sayso::testing::vocabulary::Value as Setting;
use sayso::testing::vocabulary::action::{Action, Op};
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, Script};
use crate::phrasebook::folder;
use crate::scene::{Scene, Stage};

const HOUSE: &str = r#"
[area.kitchen]
[area.bedroom]
[area.living_room]

[device.kitchen_light]
kind = "light"
area = "kitchen"
zigbee2mqtt = "Kitchen light"
[device.bedroom_light]
kind = "light"
area = "bedroom"
zigbee2mqtt = "Bedroom light"
[device.floor_lamp]
kind = "light"
area = "living_room"
zigbee2mqtt = "Floor lamp"
[device.sofa_lamp]
kind = "light"
area = "living_room"
zigbee2mqtt = "Sofa lamp"
[device.front_door]
kind = "lock"
zigbee2mqtt = "Front door"
[device.bedroom_blind]
kind = "cover"
class = "blind"
area = "bedroom"
zigbee2mqtt = "Bedroom blind"
[device.thermostat]
kind = "climate"
area = "living_room"
"#;

static LOCAL: LazyLock<LocalGrammar> =
    LazyLock::new(|| LocalGrammar::new(&Settings::default()).unwrap());

pub(crate) fn home(language: &str) -> std::sync::Arc<Home> {
    let place = tempfile::tempdir().unwrap();
    let file = match language {
        "en" => {
            let file = place.path().join("home.toml");
            fs::write(&file, HOUSE).unwrap();
            file
        }
        other => folder().join("homes").join(other).with_extension("toml"),
    };
    let location = ConfigLocation {
        config: None,
        home: Some(file),
        needs: Scope::Home,
        ..ConfigLocation::default()
    };
    let config = Config::load(&location).unwrap_or_else(|faults| panic!("{language}: {faults}"));
    config.home
}

fn last(devices: &[&str], property: &str, value: &Setting) -> Antecedents {
    let action = |device: &&str| Action {
        device: (*device).into(),
        property: property.into(),
        op: Op::Set,
        value: Some(value.clone()),
    };
    Antecedents {
        actions: devices.iter().map(action).collect(),
        ..Antecedents::default()
    }
}

/// The actions of a sentence after a command, as text; `-` for none. A correction begins with `!`.
fn after(language: &str, home: &Home, last: &Antecedents, text: &str) -> String {
    let phrase = Phrase::new(text, None, Some(language));
    let draft = LOCAL.draft_after(&LOCAL.spanned(&phrase, home), last);
    let draft = draft.filter(|draft| draft.question.is_none());
    let (mark, draft) = match draft {
        Some(draft) => ("", draft),
        None => match LOCAL.continuation(&phrase, home, last) {
            Some(found) => (if found.instead { "!" } else { "" }, found.draft),
            None => return "-".to_owned(),
        },
    };
    let mut actions: Vec<String> = draft
        .actions
        .iter()
        .map(|action| {
            let value = serde_json::to_string(&action.value).unwrap();
            let op = serde_json::to_value(action.op).unwrap();
            format!(
                "{} {} {} {value}",
                action.device,
                action.property.name(),
                op.as_str().unwrap()
            )
        })
        .collect();
    actions.sort();
    format!("{mark}{}", actions.join(", "))
}

#[test]
fn sentences_refer_to_the_last_command_or_have_no_meaning() {
    let on = Setting::text("on");
    let home = home("en");
    let kitchen = last(&["kitchen_light"], "power", &on);
    let floor = last(&["floor_lamp"], "power", &on);
    let blind = last(&["bedroom_blind"], "position", &Setting::Number(0.0));
    let cases: &[(&Antecedents, &str, &str)] = &[
        (&kitchen, "turn it off", r#"kitchen_light power set "off""#),
        (
            &kitchen,
            "turn it off again",
            r#"kitchen_light power set "off""#,
        ),
        (&kitchen, "off", r#"kitchen_light power set "off""#),
        (
            &kitchen,
            "now off please",
            r#"kitchen_light power set "off""#,
        ),
        (&kitchen, "off again", r#"kitchen_light power set "off""#),
        (&kitchen, "open", "-"),
        (&kitchen, "turn", "-"),
        (
            &kitchen,
            "now turn it off please",
            r#"kitchen_light power set "off""#,
        ),
        (
            &kitchen,
            "turn that off",
            r#"kitchen_light power set "off""#,
        ),
        (
            &kitchen,
            "turn them off",
            r#"kitchen_light power set "off""#,
        ),
        (
            &kitchen,
            "dim it to 20 percent",
            "kitchen_light brightness set 20",
        ),
        (
            &kitchen,
            "set it to 20 percent",
            "kitchen_light brightness set 20",
        ),
        (
            &kitchen,
            "make it brighter",
            "kitchen_light brightness increase null",
        ),
        (
            &kitchen,
            "a bit brighter",
            "kitchen_light brightness increase null",
        ),
        (
            &kitchen,
            "brighter",
            "kitchen_light brightness increase null",
        ),
        (&kitchen, "is it on?", r#"kitchen_light power query "on""#),
        (
            &kitchen,
            "and the bedroom",
            r#"bedroom_light power set "on""#,
        ),
        (
            &kitchen,
            "and the bedroom light",
            r#"bedroom_light power set "on""#,
        ),
        (
            &kitchen,
            "the bedroom too",
            r#"bedroom_light power set "on""#,
        ),
        (
            &kitchen,
            "and the bedroom as well please",
            r#"bedroom_light power set "on""#,
        ),
        (
            &kitchen,
            "what about the bedroom",
            r#"bedroom_light power set "on""#,
        ),
        (
            &kitchen,
            "no, I meant the bedroom",
            r#"!bedroom_light power set "on""#,
        ),
        (
            &kitchen,
            "no, the bedroom",
            r#"!bedroom_light power set "on""#,
        ),
        (
            &kitchen,
            "no the bedroom light",
            r#"!bedroom_light power set "on""#,
        ),
        (
            &kitchen,
            "the bedroom instead",
            r#"!bedroom_light power set "on""#,
        ),
        (
            &floor,
            "turn the other one off",
            r#"sofa_lamp power set "off""#,
        ),
        (&floor, "and the other one", r#"sofa_lamp power set "on""#),
        (&floor, "no, the other one", r#"!sofa_lamp power set "on""#),
        (
            &floor,
            "turn off the lights in there",
            r#"floor_lamp power set "off", sofa_lamp power set "off""#,
        ),
        (&blind, "open it", "bedroom_blind position set 100"),
        // Several meanings, or none.
        (&kitchen, "turn off", "-"),
        (&kitchen, "turn the other one off", "-"),
        (&kitchen, "no lights", "-"),
        (&kitchen, "don't turn it off", "-"),
        (&kitchen, "turn it off if it is dark", "-"),
        (&kitchen, "lock it", "-"),
        (&kitchen, "open it", "-"),
        (&blind, "and the kitchen", "-"),
        (&kitchen, "and the flux capacitor", "-"),
        (&Antecedents::default(), "turn it off", "-"),
        (&Antecedents::default(), "and the bedroom", "-"),
        (&Antecedents::default(), "turn the other one off", "-"),
        // A whole command means what it says.
        (
            &kitchen,
            "turn on the sofa lamp",
            r#"sofa_lamp power set "on""#,
        ),
        (
            &kitchen,
            "turn on the sofa lamp and dim it",
            r#"sofa_lamp brightness decrease null, sofa_lamp power set "on""#,
        ),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .map(|(last, text, expected)| (text, expected, after("en", &home, last, text)))
        .filter(|(_, expected, got)| got != **expected)
        .map(|(text, expected, got)| format!("{text:?}: {got}, not {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_language_refers_to_the_last_command() {
    let on = Setting::text("on");
    let cases: &[(&str, &str, &str, &str)] = &[
        (
            "de",
            "stehlampe",
            "mach sie aus",
            r#"stehlampe power set "off""#,
        ),
        (
            "de",
            "stehlampe",
            "schalte sie wieder aus",
            r#"stehlampe power set "off""#,
        ),
        (
            "de",
            "stehlampe",
            "und die Schreibtischlampe",
            r#"schreibtisch power set "on""#,
        ),
        (
            "de",
            "stehlampe",
            "die Schreibtischlampe auch",
            r#"schreibtisch power set "on""#,
        ),
        (
            "de",
            "stehlampe",
            "nein, ich meinte die Schreibtischlampe",
            r#"!schreibtisch power set "on""#,
        ),
        (
            "de",
            "stehlampe",
            "mach die andere aus",
            r#"deckenlampe power set "off""#,
        ),
        (
            "fr",
            "lampadaire",
            "éteins-le",
            r#"lampadaire power set "off""#,
        ),
        (
            "fr",
            "lampadaire",
            "et la lampe de bureau",
            r#"bureau_lampe power set "on""#,
        ),
        (
            "fr",
            "lampadaire",
            "la lampe de bureau aussi",
            r#"bureau_lampe power set "on""#,
        ),
        (
            "fr",
            "lampadaire",
            "non, je voulais dire la lampe de bureau",
            r#"!bureau_lampe power set "on""#,
        ),
        (
            "es",
            "lampara_pie",
            "apágala",
            r#"lampara_pie power set "off""#,
        ),
        (
            "es",
            "lampara_pie",
            "y la luz del pasillo",
            r#"luz_pasillo power set "on""#,
        ),
        (
            "es",
            "lampara_pie",
            "la luz del pasillo también",
            r#"luz_pasillo power set "on""#,
        ),
        (
            "es",
            "lampara_pie",
            "no, quería decir la luz del pasillo",
            r#"!luz_pasillo power set "on""#,
        ),
        (
            "nl",
            "staande_lamp",
            "doe hem uit",
            r#"staande_lamp power set "off""#,
        ),
        (
            "nl",
            "staande_lamp",
            "en de ganglamp",
            r#"ganglamp power set "on""#,
        ),
        (
            "nl",
            "staande_lamp",
            "de ganglamp ook",
            r#"ganglamp power set "on""#,
        ),
        (
            "nl",
            "staande_lamp",
            "nee, ik bedoelde de ganglamp",
            r#"!ganglamp power set "on""#,
        ),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .map(|(language, device, text, expected)| {
            let last = last(&[device], "power", &on);
            (
                text,
                expected,
                after(language, &home(language), &last, text),
            )
        })
        .filter(|(_, expected, got)| got != **expected)
        .map(|(text, expected, got)| format!("{text:?}: {got}, not {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sentences_of_fixed_form_are_known_in_every_language() {
    use sayso::testing::grammar::follow_up::FollowUp;
    let forms = [
        (
            "en",
            [
                "undo that please",
                "do it again",
                "why?",
                "what did you just do?",
            ],
        ),
        (
            "de",
            [
                "mach das rückgängig",
                "noch einmal",
                "warum?",
                "Was hast du gerade gemacht?",
            ],
        ),
        (
            "fr",
            [
                "annule ça",
                "encore une fois",
                "pourquoi ?",
                "qu'est-ce que tu as fait ?",
            ],
        ),
        (
            "es",
            ["deshaz eso", "otra vez", "¿por qué?", "¿qué has hecho?"],
        ),
        (
            "nl",
            [
                "maak dat ongedaan",
                "nog een keer",
                "waarom?",
                "wat heb je gedaan?",
            ],
        ),
    ];
    let expected = [
        FollowUp::Undo,
        FollowUp::Again,
        FollowUp::Why,
        FollowUp::Last,
    ];
    for (language, texts) in forms {
        let found = texts.map(|text| LOCAL.follow_up(&Phrase::new(text, None, Some(language))));
        assert_eq!(found, expected.map(Some), "{language}");
    }
    let command = Phrase::new("turn on the kitchen light again", None, None);
    assert_eq!(LOCAL.follow_up(&command), None);
}

fn light(name: &str, state: &str) -> (String, String) {
    let payload = json!({"state": state}).to_string();
    (format!("zigbee2mqtt/{name}/set"), payload)
}

async fn report(scene: &mut Stage, name: &str, state: Value) {
    let topic = format!("zigbee2mqtt/{name}");
    scene.listener.publish(&topic, state.to_string()).await;
}

async fn done(stage: &mut Stage, text: &str) {
    let reply = stage.say(text).await;
    assert_eq!(reply["outcome"], "done", "{text}: {reply}");
}

#[tokio::test]
async fn a_conversation_is_followed_and_undone() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    for name in ["Kitchen light", "Bedroom light"] {
        report(&mut stage, name, json!({"state": "OFF", "brightness": 100})).await;
    }
    done(&mut stage, "turn on the kitchen light").await;
    done(&mut stage, "no, I meant the bedroom").await;
    let asked = stage.say("what did you just do?").await;
    let speech = asked["speech"].as_str().unwrap();
    assert!(speech.contains("I meant the bedroom"), "{asked}");
    done(&mut stage, "turn it off").await;
    done(&mut stage, "do that again").await;
    let expected = [
        light("Kitchen light", "ON"),
        light("Kitchen light", "OFF"),
        light("Bedroom light", "ON"),
        light("Bedroom light", "OFF"),
        light("Bedroom light", "OFF"),
    ];
    assert_eq!(stage.actions().await, expected);
    // Each undo reaches one command further back; the first two changed nothing that was off.
    done(&mut stage, "undo that").await;
    done(&mut stage, "undo").await;
    done(&mut stage, "undo").await;
    let actions = stage.actions().await;
    let undone: Vec<&(String, String)> = actions[expected.len()..].iter().collect();
    assert_eq!(undone[0], &light("Bedroom light", "OFF"), "{actions:?}");
    assert_eq!(undone[1], &light("Bedroom light", "ON"), "{actions:?}");
}

#[tokio::test]
async fn undo_needs_a_known_state_and_never_unlocks() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    let nothing = stage.say("undo that").await;
    assert_eq!(nothing["speech"], "There is nothing to undo.", "{nothing}");
    done(&mut stage, "turn on the kitchen light").await;
    let unknown = stage.say("undo that").await;
    assert_eq!(unknown["outcome"], "answered", "{unknown}");
    assert!(
        unknown["speech"]
            .as_str()
            .unwrap()
            .contains("how Kitchen light was"),
        "{unknown}"
    );
    report(&mut stage, "Front door", json!({"state": "UNLOCK"})).await;
    done(&mut stage, "lock the front door").await;
    let unsafe_one = stage.say("undo that").await;
    assert_eq!(unsafe_one["outcome"], "answered", "{unsafe_one}");
    assert_eq!(
        stage.actions().await,
        [light("Kitchen light", "ON"), light("Front door", "LOCK")]
    );
}

#[tokio::test]
async fn a_failed_command_another_source_or_context_leaves_nothing_to_refer_to() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    done(&mut stage, "turn on the kitchen light").await;
    for (source, context) in [("other", None), ("test", Some("phone"))] {
        let command =
            json!({"text": "turn it off", "id": format!("x-{source}"), "context": context});
        let command = match context {
            Some(_) => command,
            None => json!({"text": "turn it off", "id": format!("x-{source}")}),
        };
        let topic = format!("sayso/command/{source}");
        stage.listener.publish(&topic, command.to_string()).await;
        let reply = stage.reply_to(&format!("x-{source}")).await;
        assert_eq!(reply["outcome"], "refused", "{reply}");
    }
    let failed = stage.say("turn on the flux capacitor").await;
    assert_eq!(failed["outcome"], "refused", "{failed}");
    let it = stage.say("turn it off").await;
    assert_eq!(it["outcome"], "refused", "{it}");
    assert_eq!(stage.actions().await, [light("Kitchen light", "ON")]);
}

#[tokio::test]
async fn a_reference_waits_for_the_command_it_refers_to() {
    let slow = Script::turns_on("kitchen_light").after(Duration::from_secs(1));
    let model = Endpoint::start(vec![slow]).await;
    let mut stage = Scene::new().home(HOUSE).endpoint(&model).start().await;
    let first = stage.send("make it nice where we cook").await;
    let second = stage.send("turn it off").await;
    assert_eq!(stage.reply_to(&first).await["outcome"], "done");
    assert_eq!(stage.reply_to(&second).await["outcome"], "done");
    assert_eq!(
        stage.actions().await,
        [light("Kitchen light", "ON"), light("Kitchen light", "OFF")]
    );
    assert_eq!(model.requests(), 1);
}

#[tokio::test]
async fn a_model_receives_earlier_commands_only_where_the_phrase_refers_to_them() {
    let model = Endpoint::start(vec![
        Script::turns_on("kitchen_light"),
        Script::turns_on("bedroom_light"),
        Script::turns_on("bedroom_light"),
    ])
    .await;
    let mut stage = Scene::new().home(HOUSE).endpoint(&model).start().await;
    done(&mut stage, "some brightness where we cook").await;
    for _ in 0..2 {
        done(&mut stage, "give it a cosy glow like yesterday").await;
    }
    let bodies: Vec<String> = model.bodies().iter().map(ToString::to_string).collect();
    assert_eq!(
        bodies.len(),
        3,
        "a draft that depends on earlier commands is not cached"
    );
    assert!(!bodies[0].contains("earlier commands"), "{}", bodies[0]);
    assert!(
        bodies[1].contains("some brightness where we cook =>"),
        "{}",
        bodies[1]
    );
}

#[tokio::test]
async fn a_rejected_meaning_of_a_model_is_forgotten_and_undone() {
    let model = Endpoint::start(vec![Script::turns_on("kitchen_light")]).await;
    let mut stage = Scene::new().home(HOUSE).endpoint(&model).start().await;
    report(&mut stage, "Kitchen light", json!({"state": "OFF"})).await;
    done(&mut stage, "some brightness where we cook").await;
    let why = stage.say("why?").await;
    assert!(why["speech"].as_str().unwrap().contains("model1"), "{why}");
    let offer = stage.say("that was wrong").await;
    assert_eq!(offer["outcome"], "unclear", "{offer}");
    done(&mut stage, "yes").await;
    assert_eq!(
        stage.actions().await,
        [light("Kitchen light", "ON"), light("Kitchen light", "OFF")]
    );
    done(&mut stage, "some brightness where we cook").await;
    assert_eq!(
        model.requests(),
        2,
        "the rejected draft is no longer in the cache"
    );
}
