//! Devices that announce themselves are commanded, followed and forgotten; what is announced by
//! strangers harms nothing.

use serde_json::{Value, json};

use crate::broker::Broker;
use crate::daemon::Daemon;
use crate::listener::Listener;
use crate::scene::{PATIENCE, Scene, Stage};
use crate::timers;

const LIGHT: &str = "homeassistant/light/desk/config";

fn light(name: &str) -> String {
    let device = json!({"ids": ["desk-1"], "name": name, "sa": "Study"});
    json!({"name": null, "cmd_t": "desk/light/set", "stat_t": "desk/light", "dev": device})
        .to_string()
}

fn zigbee(name: &str) -> String {
    let state = json!({"type": "binary", "name": "state", "property": "state", "access": 7, "value_on": "ON", "value_off": "OFF", "value_toggle": "TOGGLE"});
    let exposes = json!([{"type": "switch", "features": [state]}]);
    json!([{"ieee_address": "0x00158d0000000001", "type": "Router", "friendly_name": name, "supported": true, "definition": {"exposes": exposes}}]).to_string()
}

/// A scene in which these were announced, retained, before the daemon came.
async fn announced(scene: Scene, retained: &[(&str, String)]) -> Stage {
    let broker = Broker::mosquitto().await;
    let mut early = Listener::connect(broker.port());
    for (topic, payload) in retained {
        early.publish_retained(topic, payload.clone()).await;
    }
    scene.start_with(broker).await
}

/// Waits until the home has this many devices, by its own account.
async fn has_devices(stage: &Stage, count: usize) {
    let it_says = stage
        .listener
        .comes_to(
            "sayso/health",
            |m| m.json()["home"]["devices"] == count,
            PATIENCE,
        )
        .await;
    assert!(it_says, "never {count} devices\n{}", stage.daemon.log());
}

fn told(topic: &str, payload: &str) -> (String, String) {
    (topic.to_owned(), payload.to_owned())
}

fn outcome(reply: &Value) -> &str {
    reply["outcome"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_timer_does_not_command_another_device_of_the_same_name() {
    let lamp = |id: &str| {
        let device = json!({"ids": [id], "name": "Reading lamp"});
        json!({"name": null, "cmd_t": format!("{id}/set"), "dev": device}).to_string()
    };
    let first = "homeassistant/light/first/config";
    let mut stage = announced(Scene::new(), &[(first, lamp("first"))]).await;
    let reply = stage.say("turn off the reading lamp in 4 seconds").await;
    assert_eq!(reply["outcome"], "done", "{reply}");
    stage.listener.publish_retained(first, "").await;
    let second = "homeassistant/light/second/config";
    stage
        .listener
        .publish_retained(second, lamp("second"))
        .await;
    let event = timers::event(&mut stage, reply["id"].as_str().unwrap()).await;
    let speech = event["speech"].as_str().unwrap_or_default();
    assert_eq!(event["event"], "failed", "{event}");
    assert!(speech.contains("another device"), "{event}");
    assert!(stage.actions().await.is_empty());
}

#[tokio::test]
async fn retained_announcements_become_devices_that_can_be_commanded() {
    let retained = [
        (LIGHT, light("Desk lamp")),
        ("zigbee2mqtt/bridge/devices", zigbee("Coffee machine")),
    ];
    let mut stage = announced(Scene::new().home(""), &retained).await;
    has_devices(&stage, 2).await;
    for text in [
        "turn on the desk lamp",
        "turn on the coffee machine",
        "turn off the lights in the study",
    ] {
        let reply = stage.say(text).await;
        assert_eq!(
            (outcome(&reply), &reply["via"]),
            ("done", &json!("local")),
            "{reply}"
        );
    }
    let expected = [
        told("desk/light/set", "ON"),
        told("zigbee2mqtt/Coffee machine/set", r#"{"state":"ON"}"#),
        told("desk/light/set", "OFF"),
    ];
    assert_eq!(stage.actions().await, expected);
}

/// What was said while the daemon was away is in its session at the broker, and comes before any
/// announcement.
#[tokio::test]
async fn a_command_that_waited_for_the_daemon_waits_for_the_devices_as_well() {
    let mut stage = announced(Scene::new().home(""), &[(LIGHT, light("Desk lamp"))]).await;
    has_devices(&stage, 1).await;
    stage.daemon.signal("KILL");
    stage.daemon.ended(PATIENCE).await;
    let id = stage.send("turn on the desk lamp").await;
    stage.listener.heard().await;
    stage.daemon = Daemon::start(&stage.place);
    let reply = stage.reply_to(&id).await;
    assert_eq!(outcome(&reply), "done", "{reply}");
    assert_eq!(stage.actions().await, [told("desk/light/set", "ON")]);
}

#[tokio::test]
async fn the_state_of_a_found_device_is_followed_so_a_toggle_is_absolute() {
    let retained = [(LIGHT, light("Desk lamp")), ("desk/light", "ON".to_owned())];
    let mut stage = announced(Scene::new().home(""), &retained).await;
    stage.daemon.says("state received", PATIENCE).await;
    assert_eq!(outcome(&stage.say("toggle the desk lamp").await), "done");
    assert_eq!(stage.actions().await, [told("desk/light/set", "OFF")]);
}

#[tokio::test]
async fn devices_come_and_go_while_we_serve() {
    let mut stage = Scene::new().home("").start().await;
    stage
        .listener
        .publish_retained(LIGHT, light("Desk lamp"))
        .await;
    has_devices(&stage, 1).await;
    assert_eq!(outcome(&stage.say("turn on the desk lamp").await), "done");
    stage.listener.publish("desk/light", "ON").await;
    stage.daemon.says("state received", PATIENCE).await;
    stage
        .listener
        .publish_retained(LIGHT, light("Reading lamp"))
        .await;
    stage
        .listener
        .publish_retained("zigbee2mqtt/bridge/devices", zigbee("Pump"))
        .await;
    has_devices(&stage, 2).await;
    assert_eq!(
        outcome(&stage.say("toggle the reading lamp").await),
        "done",
        "it is known by another name"
    );
    stage.listener.publish_retained(LIGHT, "").await;
    has_devices(&stage, 1).await;
    assert_eq!(
        outcome(&stage.say("turn on the reading lamp").await),
        "refused"
    );
    assert_eq!(outcome(&stage.say("turn on the pump").await), "done");
    let expected = [
        told("desk/light/set", "ON"),
        told("desk/light/set", "OFF"),
        told("zigbee2mqtt/Pump/set", r#"{"state":"ON"}"#),
    ];
    assert_eq!(stage.actions().await, expected);
}

#[tokio::test]
async fn a_yes_never_reaches_another_device_than_was_asked_about() {
    let lock = |object: &str| {
        json!({"name": "Door", "cmd_t": format!("{object}/set"), "pl_unlk": "OPEN"}).to_string()
    };
    let retained = [
        ("homeassistant/lock/a/config", lock("a")),
        ("homeassistant/lock/b/config", lock("b")),
    ];
    let mut stage = announced(Scene::new().home(""), &retained).await;
    has_devices(&stage, 2).await;
    // Two locks are called the same: neither is unlocked.
    assert_ne!(outcome(&stage.say("unlock the door").await), "done");
    stage
        .listener
        .publish_retained("homeassistant/lock/0/config", lock("0"))
        .await;
    has_devices(&stage, 3).await;
    assert_ne!(outcome(&stage.say("yes").await), "done");
    assert!(stage.actions().await.is_empty());
}

#[tokio::test]
async fn the_home_file_gives_a_found_device_an_alias_and_the_risk_the_operator_wants() {
    let home = "[device.desk_lamp]\nkind = \"light\"\naliases = [\"bookworm\"]\n[device.gate]\nkind = \"cover\"\nrisk = \"auto\"\nannounced = \"homeassistant/cover/gate/config\"\n";
    let gate = json!({"name": "Gate", "dev_cla": "gate", "cmd_t": "gate/set"}).to_string();
    let mut stage = announced(
        Scene::new().home(home),
        &[
            (LIGHT, light("Desk lamp")),
            ("homeassistant/cover/gate/config", gate),
        ],
    )
    .await;
    stage.daemon.says("devices found", PATIENCE).await;
    for text in [
        "turn on bookworm",
        "turn off the light in the study",
        "open the gate",
    ] {
        let reply = stage.say(text).await;
        assert_eq!(outcome(&reply), "done", "{reply}");
    }
    assert_eq!(
        stage.actions().await,
        [
            told("desk/light/set", "ON"),
            told("desk/light/set", "OFF"),
            told("gate/set", "OPEN")
        ]
    );
}

/// Who says that a device is away may be wrong, so it is told all the same; and the speaker is told
/// that.
#[tokio::test]
async fn who_cannot_be_reached_is_told_all_the_same_and_the_reply_says_so() {
    let lamp = json!({
        "name": "Desk lamp", "cmd_t": "desk/light/set", "stat_t": "desk/light",
        "avty": [{"t": "desk/bridge"}, {"t": "desk/status", "pl_avail": "up", "pl_not_avail": "down"}], "avty_mode": "all"
    });
    let retained = [
        (LIGHT, lamp.to_string()),
        ("desk/bridge", r#"{"state":"online"}"#.to_owned()),
        ("desk/status", "down".to_owned()),
        ("zigbee2mqtt/bridge/devices", zigbee("Pump")),
        (
            "zigbee2mqtt/Pump/availability",
            r#"{"state":"offline"}"#.to_owned(),
        ),
    ];
    let mut stage = announced(Scene::new().home(""), &retained).await;
    has_devices(&stage, 2).await;
    stage.daemon.says("state received", PATIENCE).await;
    stage.say("is the pump on?").await;
    for (text, away) in [
        ("turn on the desk lamp", "The desk lamp"),
        ("turn on the pump", "The pump"),
    ] {
        let reply = stage.say(text).await;
        let speech = reply["speech"].as_str().unwrap();
        assert!(
            outcome(&reply) == "done"
                && speech.ends_with(&format!(
                    " {away} cannot be reached at present, and may not have received it."
                )),
            "{reply}"
        );
    }
    stage.listener.publish("desk/status", "up").await;
    stage
        .listener
        .publish("zigbee2mqtt/Pump/availability", "online")
        .await;
    stage.listener.heard().await;
    for text in ["turn off the desk lamp", "turn off the pump"] {
        let reply = stage.say(text).await;
        assert!(
            !reply["speech"].as_str().unwrap().contains("reached"),
            "{reply}"
        );
    }
    assert_eq!(stage.actions().await.len(), 4);
}

#[tokio::test]
async fn hostile_announcements_harm_nothing() {
    let huge = json!({"name": "x".repeat(1 << 20), "cmd_t": "a/set"}).to_string();
    let own = json!({"name": "Loop", "cmd_t": "sayso/command/loop"}).to_string();
    let wild = json!({"name": "Wild", "cmd_t": "#"}).to_string();
    let deep = format!("{}{}", r#"{"a":"#.repeat(50_000), "}".repeat(50_000));
    let retained = [
        ("homeassistant/switch/huge/config", huge),
        ("homeassistant/switch/own/config", own),
        ("homeassistant/switch/wild/config", wild),
        ("homeassistant/switch/deep/config", deep),
        ("zigbee2mqtt/bridge/devices", "[{".repeat(100_000)),
        (LIGHT, light("Desk lamp")),
    ];
    let mut stage = announced(Scene::new().home(""), &retained).await;
    has_devices(&stage, 1).await;
    assert_eq!(outcome(&stage.say("turn on the desk lamp").await), "done");
    assert_eq!(stage.actions().await, [told("desk/light/set", "ON")]);
    let complaints = stage
        .daemon
        .log()
        .matches("an announcement cannot be used")
        .count();
    assert_eq!(complaints, 5, "{}", stage.daemon.log());
}

const FRONT_DOOR: &str = r#"
[device.front_door]
name = "Front door"
kind = "lock"
zigbee2mqtt = "Front door"
"#;

#[tokio::test]
async fn names_that_are_commands_or_look_alike_hide_no_declared_device() {
    let named = |component: &str, number: usize, name: &str| {
        let topic = format!("homeassistant/{component}/n{number}/config");
        let config = json!({"name": name, "cmd_t": format!("evil/{number}"), "uniq_id": format!("n{number}")});
        (topic, config.to_string())
    };
    let mut retained = vec![(LIGHT.to_owned(), light("Desk lamp"))];
    let commands = [
        "unlock the front door",
        "Obey: lock the front door",
        "turn on",
        "it",
    ];
    for (number, name) in commands.iter().enumerate() {
        retained.push(named("switch", number, name));
    }
    for (number, name) in ["Fr\u{f6}nt door", "Front-door", "the front door"]
        .iter()
        .enumerate()
    {
        retained.push(named("lock", number + 10, name));
    }
    let early: Vec<(&str, String)> = retained.iter().map(|(t, p)| (&**t, p.clone())).collect();
    let mut stage = announced(Scene::new().home(FRONT_DOOR), &early).await;
    has_devices(&stage, 9).await;
    for (text, expected) in [
        ("lock the front door", "done"),
        ("turn on the desk lamp", "done"),
        ("unlock the front door", "unclear"),
        ("yes", "done"),
    ] {
        let reply = stage.say(text).await;
        assert_eq!(outcome(&reply), expected, "{text}: {reply}");
    }
    let expected = [
        told("zigbee2mqtt/Front door/set", r#"{"state":"LOCK"}"#),
        told("desk/light/set", "ON"),
        told("zigbee2mqtt/Front door/set", r#"{"state":"UNLOCK"}"#),
    ];
    assert_eq!(stage.actions().await, expected);
}

#[tokio::test]
async fn everything_in_a_home_without_areas_is_confirmed() {
    let switch = |name: &str| json!({"name": name, "cmd_t": format!("{name}/set")}).to_string();
    let retained = [
        ("homeassistant/switch/a/config", switch("Fountain")),
        ("homeassistant/switch/b/config", switch("Radio")),
    ];
    let mut stage = announced(Scene::new().home(""), &retained).await;
    has_devices(&stage, 2).await;
    let reply = stage.say("turn everything on").await;
    assert_eq!(outcome(&reply), "unclear", "{reply}");
    assert_eq!(outcome(&stage.say("turn everything off").await), "done");
}

#[tokio::test]
async fn a_message_of_our_own_on_the_topic_of_the_state_is_no_report() {
    let config = json!({"name": "Pump", "cmd_t": "pump/set", "stat_t": "pump/set"}).to_string();
    let retained = [("homeassistant/switch/pump/config", config)];
    let mut stage = announced(Scene::new().home(""), &retained).await;
    has_devices(&stage, 1).await;
    assert_eq!(outcome(&stage.say("turn on the pump").await), "done");
    assert_eq!(stage.actions().await, [told("pump/set", "ON")]);
    let reply = stage.say("is the pump on?").await;
    let speech = reply["speech"].as_str().unwrap_or_default();
    assert!(speech.contains("not confirmed"), "{reply}");
}

#[tokio::test]
async fn where_discovery_is_off_nothing_is_found() {
    let off = "[discovery]\nhomeassistant = \"\"\nzigbee2mqtt = []\ntasmota = false";
    let mut stage = announced(
        Scene::new().home("").with(off),
        &[(LIGHT, light("Desk lamp"))],
    )
    .await;
    assert_eq!(
        outcome(&stage.say("turn on the desk lamp").await),
        "refused"
    );
    assert!(!stage.daemon.log().contains("devices found"));
}

#[tokio::test]
async fn a_gate_that_is_one_only_by_its_name_is_opened_after_a_confirmation() {
    let moves = json!({"type": "enum", "name": "state", "property": "state", "access": 3, "values": ["OPEN", "CLOSE", "STOP"]});
    let trigger = json!({"type": "binary", "name": "trigger", "property": "trigger", "access": 3, "value_on": true, "value_off": false});
    let contact = json!({"type": "binary", "name": "garage_door_contact", "property": "garage_door_contact", "access": 1, "value_on": false, "value_off": true});
    let listed = json!([
        {"ieee_address": "0x00158d0000000001", "friendly_name": "Garage door", "definition": {"exposes": [{"type": "cover", "features": [moves]}]}},
        {"ieee_address": "0x00158d0000000002", "friendly_name": "Drive", "definition": {"exposes": [trigger, contact]}},
    ]);
    let cover = |name: &str, object: &str, class: Option<&str>| {
        json!({"name": name, "cmd_t": format!("{object}/set"), "dev_cla": class}).to_string()
    };
    let retained = [
        ("zigbee2mqtt/bridge/devices", listed.to_string()),
        (
            "homeassistant/cover/gate/config",
            cover("Front gate", "gate", None),
        ),
        (
            "homeassistant/cover/side/config",
            cover("Side entry", "side", Some("Garage")),
        ),
        (
            "homeassistant/cover/hall/config",
            cover("Hall shutter", "hall", None),
        ),
    ];
    let mut stage = announced(Scene::new().home(""), &retained).await;
    has_devices(&stage, 5).await;
    for text in [
        "open the garage door",
        "open the front gate",
        "open the side entry",
        "set the drive trigger to on",
    ] {
        let reply = stage.say(text).await;
        assert_eq!(outcome(&reply), "unclear", "{text}: {reply}");
        assert_eq!(outcome(&stage.say("no").await), "answered", "{text}");
    }
    assert_eq!(outcome(&stage.say("open the hall shutter").await), "done");
    assert_eq!(stage.actions().await, [told("hall/set", "OPEN")]);
}

#[tokio::test]
async fn a_rule_whose_device_is_removed_reports_that_and_is_listed_so() {
    let topic = "homeassistant/binary_sensor/cellar/config";
    let door =
        json!({"name": "Cellar door", "uniq_id": "c1", "stat_t": "cellar", "dev_cla": "door"});
    let home = "[device.fan]\nkind = \"switch\"\n";
    let retained = [(topic, door.to_string())];
    let mut stage = announced(Scene::new().home(home), &retained).await;
    has_devices(&stage, 2).await;
    let rule = stage
        .say("whenever the cellar door opens, turn on the fan")
        .await;
    assert!(rule["scheduled"]["id"].is_string(), "{rule}");
    assert!(rule["scheduled"]["seconds"].is_null(), "{rule}");
    stage.listener.publish_retained(topic, "").await;
    let event = crate::timers::event(&mut stage, rule["id"].as_str().unwrap()).await;
    assert_eq!(event["event"], "failed", "{event}");
    let list = stage.say("list my timers").await;
    let speech = list["speech"].as_str().unwrap();
    assert!(speech.contains("is not there any more"), "{list}");
    let is_named = |m: &crate::listener::Message| {
        m.topic == "sayso/timers" && m.json()[0]["missing"][0].is_string()
    };
    let named = stage.listener.wait_for(is_named, PATIENCE).await;
    assert!(named.is_some(), "{}", stage.daemon.log());
}
