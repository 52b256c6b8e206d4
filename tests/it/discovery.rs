//! What real devices announce becomes devices that can be commanded: every fixture beside the devices expected of it.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use std::sync::LazyLock;

use sayso::binding::Decoded;
use sayso::command::phrase::Phrase;
use sayso::discovery::registry::{AssembledHome, Registry};
use sayso::discovery::{Message, Settings, zigbee2mqtt};
use sayso::grammar;
use sayso::grammar::LocalGrammar;
use sayso::home::Home;
use sayso::home::capability::Capability;
use sayso::home::device::Device;
use sayso::home::permit::PermitContext;
use sayso::home::rights::Rights;
use sayso::home::state::State;
use sayso::vocabulary::action::{Action, Draft, Op};
use sayso::vocabulary::{Domain, Property, Value};
use serde_json::{Map, Value as Json, json};

pub(crate) fn folder() -> PathBuf {
    Path::new(crate::REPOSITORY).join("tests/fixtures/discovery")
}

/// Every fixture: a list of topics and payloads.
pub(crate) fn fixtures() -> Vec<(PathBuf, Vec<(String, String)>)> {
    let mut all = Vec::new();
    for origin in ["homeassistant", "zigbee2mqtt", "tasmota"] {
        let files = fs::read_dir(folder().join(origin))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let messages = files.filter(|path| {
            path.extension().is_some_and(|e| e == "json")
                && !path.to_str().unwrap().ends_with(".expected.json")
        });
        all.extend(messages.map(|path| (path.clone(), messages_in(&path))));
    }
    all.sort();
    assert!(all.len() > 40, "found only {} fixtures", all.len());
    all
}

fn messages_in(path: &Path) -> Vec<(String, String)> {
    let list: Vec<Json> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    list.iter()
        .map(|m| {
            (
                m["topic"].as_str().unwrap().to_owned(),
                m["payload"].to_string(),
            )
        })
        .collect()
}

pub(crate) fn registry_of(messages: &[(String, String)]) -> Registry {
    let mut registry = Registry::new("sayso");
    for (topic, payload) in messages {
        let message = Settings::default().read(topic, payload.as_bytes());
        assert!(message.is_ok(), "{topic}: {message:?}");
        registry.hear(topic, message.unwrap());
    }
    registry
}

pub(crate) fn home_of(registry: &Registry) -> Home {
    let AssembledHome { areas, devices, .. } = registry.furnish(Vec::new(), Vec::new());
    Home::new(areas, devices, Rights::default(), "sayso").unwrap()
}

/// The home of one Zigbee device that exposes what this model does.
pub(crate) fn home_with(model: &Json) -> Home {
    let listed = json!([{"ieee_address": "0x01", "friendly_name": "Thing", "definition": {"exposes": model["exposes"]}}]);
    let mut registry = Registry::new("sayso");
    registry.hear(
        "zigbee2mqtt/bridge/devices",
        zigbee2mqtt::devices("zigbee2mqtt", listed.to_string().as_bytes()).unwrap(),
    );
    home_of(&registry)
}

/// The values worth trying: every word, both ends and the middle of a range.
fn values(takes: &Domain) -> Vec<Option<Value>> {
    match takes {
        Domain::Choice(words) => words.iter().map(|word| Some(Value::text(word))).collect(),
        Domain::Number { min, max, .. } => [*min, f64::midpoint(*min, *max).round(), *max]
            .into_iter()
            .map(|n| Some(Value::Number(n)))
            .collect(),
        Domain::Color => vec![Some(Value::text("#ff8000"))],
        Domain::Boolean => vec![Some(Value::Flag(true)), Some(Value::Flag(false))],
        Domain::Trigger => vec![None],
    }
}

static LOCAL: LazyLock<LocalGrammar> =
    LazyLock::new(|| LocalGrammar::new(&grammar::Settings::default()).unwrap());

fn command(
    home: &Home,
    device: &Device,
    property: &Property,
    op: Op,
    value: Option<Value>,
) -> Result<String, String> {
    let action = Action {
        device: device.id.to_string(),
        property: property.clone(),
        op,
        value,
    };
    let (topic, payload) = through_the_gate(home, action)?;
    assert!(!topic.contains(['+', '#']) && !topic.is_empty(), "{topic}");
    assert!(
        !topic.starts_with("sayso/"),
        "{} has no binding for {property}",
        device.id
    );
    Ok(format!("{topic} {payload}"))
}

/// What is sent for the action: the topic and the payload; or why it may not be done.
pub(crate) fn through_the_gate(home: &Home, action: Action) -> Result<(String, String), String> {
    let speech = LOCAL.speech(&Phrase::new("", None, None));
    let asker = PermitContext {
        source: "test",
        command: "c1",
        confirmed: true,
        now: tokio::time::Instant::now().into_std(),
        speech,
    };
    let draft = Draft {
        actions: vec![action],
        ..Draft::default()
    };
    let plan = home
        .permit(&draft, &State::default(), asker)
        .map_err(|e| e.sentence(speech))?;
    let sent = plan.steps()[0].publication();
    Ok((sent.topic.clone(), sent.payload.clone()))
}

fn described(home: &Home, device: &Device, capability: &Capability) -> Json {
    let mut all = Map::new();
    let unit = match &capability.domain {
        Domain::Number { min, max, unit, .. } if capability.settable => {
            format!("{min} to {max} {unit}")
        }
        Domain::Number { unit, .. } => unit.clone(),
        Domain::Choice(words) => words.join(", "),
        other => format!("{other:?}"),
    };
    all.insert("takes".to_owned(), json!(unit.trim()));
    if capability.settable {
        for value in values(&capability.domain) {
            let name = value
                .as_ref()
                .map_or_else(|| "set".to_owned(), ToString::to_string);
            let sent = command(home, device, &capability.property, Op::Set, value)
                .unwrap_or_else(|why| format!("refused: {why}"));
            if let Some((topic, object)) = sent.split_once(" {") {
                assert!(
                    serde_json::from_str::<Json>(&format!("{{{object}")).is_ok(),
                    "{topic} {{{object}"
                );
            }
            all.insert(name, json!(sent));
        }
        for (name, op, there) in [
            ("stop", Op::Stop, capability.binding.stop.is_some()),
            ("toggle", Op::Toggle, capability.binding.toggle.is_some()),
        ] {
            if there {
                all.insert(
                    name.to_owned(),
                    json!(command(home, device, &capability.property, op, None).unwrap()),
                );
            }
        }
        if capability.guard.opening != capability.guard.otherwise {
            all.insert("opening".to_owned(), json!(capability.guard.opening));
        }
    }
    let topics: Vec<&str> = capability
        .binding
        .state
        .iter()
        .map(|port| port.topic.as_str())
        .collect();
    all.insert("hears".to_owned(), json!(topics.join(", ")));
    Json::Object(all)
}

/// The devices expected of a fixture.
pub(crate) fn expected(fixture: &Path) -> Vec<Json> {
    serde_json::from_slice(&fs::read(fixture.with_extension("expected.json")).unwrap()).unwrap()
}

pub(crate) fn snapshot(home: &Home) -> Json {
    let devices = home.devices().iter().map(|device| {
        let does: Map<String, Json> = device.capabilities.iter().map(|c| (c.property.name().to_owned(), described(home, device, c))).collect();
        let kind = device.class.as_ref().map_or_else(|| device.kind.to_string(), |class| format!("{}/{class}", device.kind));
        json!({"id": device.id, "name": device.name, "aliases": device.aliases, "area": device.area, "kind": kind, "does": does})
    });
    Json::Array(devices.collect())
}

/// To take a new fixture in, delete its `.expected.json`, run the test twice, and read what it wrote.
#[test]
fn every_fixture_gives_the_devices_beside_it() {
    let mut written = Vec::new();
    for (path, messages) in fixtures() {
        let beside = path.with_extension("expected.json");
        let found = snapshot(&home_of(&registry_of(&messages)));
        if beside.exists() {
            let expected: Json = serde_json::from_slice(&fs::read(&beside).unwrap()).unwrap();
            assert_eq!(expected, found, "{}", path.display());
        } else {
            fs::write(
                &beside,
                serde_json::to_string_pretty(&found).unwrap() + "\n",
            )
            .unwrap();
            written.push(beside);
        }
    }
    assert!(
        written.is_empty(),
        "wrote {written:#?}: read them, and run again"
    );
}

fn all_sent(home: &Home, device: &Device, capability: &Capability) -> Vec<String> {
    let tried = values(&capability.domain)
        .into_iter()
        .filter(|_| capability.settable);
    tried
        .filter_map(|value| command(home, device, &capability.property, Op::Set, value).ok())
        .collect()
}

#[test]
fn what_devices_tell_is_understood() {
    let told = |fixture: &str, topic: &str, payload: Json| {
        let home = home_of(&registry_of(&messages_in(&folder().join(fixture))));
        let heard = home.observe(topic, payload.to_string().as_bytes());
        heard
            .into_iter()
            .map(|report| match report.decoded {
                Decoded::Value(value) => format!("{}={value}", report.property),
                Decoded::Unrecognized(payload) => format!("{}?{payload}", report.property),
            })
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        told(
            "homeassistant/light_json_zigbee2mqtt.json",
            "zigbee2mqtt/Desk lamp",
            json!({"state": "ON", "brightness": 127, "color": {"x": 0.64, "y": 0.33}})
        ),
        "power=on brightness=50 color=#ff0000"
    );
    assert_eq!(
        told(
            "homeassistant/climate_fahrenheit.json",
            "hvac/now",
            json!(68)
        ),
        "current_temperature=20"
    );
    assert_eq!(
        told(
            "homeassistant/switch_zwave_boolean.json",
            "zwave/Kitchen/Plug/37/0/currentValue",
            json!({"value": true})
        ),
        "power=on"
    );
    assert_eq!(
        told(
            "homeassistant/fan_three_speeds.json",
            "zigbee2mqtt/fan",
            json!({"fan_state": "ON", "fan_mode": "medium"})
        ),
        "power=on speed=67"
    );
    assert_eq!(
        told(
            "homeassistant/cover_inverted_tilt.json",
            "blind/pos",
            json!({"p": 100})
        ),
        "position=0"
    );
    assert_eq!(
        told(
            "homeassistant/light_template_shelly.json",
            "shellies/bulb/color/0/status",
            json!({"ison": true, "mode": "white", "brightness": 50, "temp": 4000})
        ),
        "power=on brightness=50 color_temp=4000"
    );
    assert_eq!(
        told(
            "homeassistant/light_template_csv.json",
            "strip/state",
            json!({"state": "on", "r": 255, "g": 128, "b": 0})
        ),
        "power=on color=#ff8000"
    );
    assert_eq!(
        told(
            "homeassistant/vacuum_valetudo.json",
            "valetudo/robot/hass/state",
            json!({"state": "returning", "battery_level": 80})
        ),
        "vacuum=docked battery=80"
    );
    assert_eq!(
        told(
            "homeassistant/lock_zigbee2mqtt.json",
            "zigbee2mqtt/Back door",
            json!({"state": "UNLOCK"})
        ),
        "lock=unlocked"
    );
    assert_eq!(
        told(
            "zigbee2mqtt/cover_words.json",
            "zigbee2mqtt/Shutter",
            json!({"state": "CLOSED"})
        ),
        "position=0"
    );
    assert_eq!(
        told(
            "tasmota/shutter.json",
            "tele/blind/SENSOR",
            json!({"Shutter1": {"Position": 30, "Tilt": 0}})
        ),
        "position=70 tilt=50"
    );
    assert_eq!(
        told(
            "tasmota/light_rgbw.json",
            "stat/lamp_rgb/RESULT",
            json!({"POWER": "ON", "Dimmer": 40, "Color": "FF000000"})
        ),
        "power=on brightness=40 color=#ff0000"
    );
}

#[test]
fn an_empty_payload_removes_what_its_topic_announced() {
    for (path, messages) in fixtures() {
        let mut registry = registry_of(&messages);
        assert!(!registry.is_empty(), "{}", path.display());
        for (topic, _) in &messages {
            registry.hear(topic, Settings::default().read(topic, b"").unwrap());
        }
        assert!(registry.is_empty(), "{}", path.display());
    }
}

/// Values a stranger may put in the place of any other.
fn hostile() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(-1e308)),
        Just(json!([[[[]]]])),
        Just(json!({"a": {"b": []}})),
        Just(json!("a/+/#")),
        Just(json!("\u{0}\u{202e}\n")),
        Just(json!("x".repeat(70_000))),
        Just(json!(
            "{% for a in range(99999) %}{{ a * 'x' }}{% endfor %}"
        )),
        Just(json!("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}")),
        Just(json!("{{".repeat(500))),
        Just(json!(format!("{{{{ {} }}}}", "(".repeat(5_000)))),
        Just(json!(format!(
            "{{{{ {}1{} }}}}",
            "[".repeat(2_000),
            "]".repeat(2_000)
        ))),
        Just(json!("sayso/command/me")),
        any::<String>().prop_map(Json::from),
        any::<f64>().prop_map(|n| json!(n)),
        any::<bool>().prop_map(Json::from),
    ]
}

/// Puts `value` in place of the `nth` value anywhere below.
fn replace(json: &mut Json, nth: &mut usize, value: &Json) {
    if *nth == 0 {
        *json = value.clone();
        *nth = usize::MAX;
        return;
    }
    *nth -= 1;
    match json {
        Json::Array(list) => list.iter_mut().for_each(|inner| replace(inner, nth, value)),
        Json::Object(map) => map
            .values_mut()
            .for_each(|inner| replace(inner, nth, value)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_values_in_real_announcements_never_break_the_home(pick in any::<prop::sample::Index>(), place in 0_usize..120, value in hostile()) {
        let all = fixtures();
        let (_, messages) = pick.get(&all);
        let mut registry = Registry::new("sayso");
        for (topic, payload) in messages {
            let mut spoiled: Json = serde_json::from_str(payload).unwrap();
            replace(&mut spoiled, &mut place.clone(), &value);
            if let Ok(message) = Settings::default().read(topic, spoiled.to_string().as_bytes()) {
                registry.hear(topic, message);
            }
        }
        let home = home_of(&registry);
        for device in home.devices() {
            prop_assert!(device.name.chars().count() <= 80 && !device.name.chars().any(char::is_control), "{:?}", device.name);
            for capability in &device.capabilities {
                all_sent(&home, device, capability);
            }
        }
        prop_assert!(home.command_topics().all(|topic| !topic.contains(['+', '#', '\0']) && !topic.starts_with("sayso/command")));
    }

    #[test]
    fn any_bytes_on_any_topic_are_an_answer_not_a_panic(topic in "(homeassistant|zigbee2mqtt/bridge|tasmota/discovery|)(/[a-z+#]{0,12}){0,5}(/config|/devices|/groups)?", payload in any::<Vec<u8>>()) {
        if let Ok(Message::Announced(found)) = Settings::default().read(&topic, &payload) {
            prop_assert!(found.len() <= payload.len());
        }
    }
}

#[test]
fn deep_and_long_payloads_are_refused() {
    let topic = "homeassistant/light/a/config";
    for bad in [
        "[".repeat(100_000),
        "{\"a\":".repeat(10_000),
        "x".repeat(1_000_000),
        format!("{{\"name\":\"{}\"}}", "x".repeat(1_000_000)),
    ] {
        assert!(Settings::default().read(topic, bad.as_bytes()).is_err());
        assert!(
            Settings::default()
                .read("zigbee2mqtt/bridge/devices", bad.as_bytes())
                .is_err()
        );
        assert!(
            Settings::default()
                .read("tasmota/discovery/aa/config", bad.as_bytes())
                .is_err()
        );
    }
}

#[test]
fn a_device_of_thousands_of_parts_is_refused_whole_and_with_its_count() {
    let parts = |count: usize| {
        let parts: Map<String, Json> = (0..count)
            .map(|n| {
                (
                    format!("c{n}"),
                    json!({"p": "switch", "name": format!("S {n}"), "cmd_t": format!("s/{n}")}),
                )
            })
            .collect();
        json!({"dev": {"ids": "hub", "name": "Hub"}, "cmps": parts}).to_string()
    };
    let read = |count| {
        Settings::default().read("homeassistant/device/hub/config", parts(count).as_bytes())
    };
    assert!(matches!(read(1024), Ok(Message::Announced(found)) if found.len() == 1024));
    assert_eq!(
        read(1025).unwrap_err().to_string(),
        "the announcement has 1025 components, more than 1024"
    );
}

#[test]
fn hostile_templates_are_refused_or_say_nothing() {
    let templates = [
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}"
            .to_owned(),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
        format!(
            "{{% set a = 'xxxxxxxx' %}}{}{{{{ a }}}}",
            "{% set a = a ~ a %}".repeat(100)
        ),
        "{{ 'x' * 999999999 }}".to_owned(),
        "{{ '%999999999d' | format(1) }}".to_owned(),
        format!("{{{{ {} }}}}", "(".repeat(5_000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(2_000), "]".repeat(2_000)),
        format!("{}x{}", "{% if 1 %}".repeat(700), "{% endif %}".repeat(700)),
        "{% include 'x' %}".to_owned(),
        format!("{{{{ {} }}}}", "1+".repeat(1_000_000)),
    ];
    for hostile in templates {
        let config = json!({"name": "Lamp", "cmd_t": "lamp/set", "stat_t": "lamp/state", "val_tpl": hostile, "cmd_tpl": hostile});
        let topic = "homeassistant/switch/lamp/config";
        let Ok(message) = Settings::default().read(topic, config.to_string().as_bytes()) else {
            continue;
        };
        let mut registry = Registry::new("sayso");
        registry.hear(topic, message);
        assert_eq!(
            home_of(&registry).observe("lamp/state", b"ON"),
            [],
            "{hostile:.60}"
        );
    }
}
