//! What real devices announce becomes devices that can be commanded: every fixture beside the
//! devices expected of it.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use std::sync::LazyLock;

use sayso::testing::binding::Decoded;
use sayso::testing::binding::{
    Binding, Form, tasmota as tasmota_binding, zigbee2mqtt as zigbee2mqtt_binding,
};
use sayso::testing::command::phrase::Phrase;
use sayso::testing::discovery::homeassistant::options;
use sayso::testing::discovery::homeassistant::options::Support;
use sayso::testing::discovery::registry::{AssembledHome, Registry};
use sayso::testing::discovery::{Announcement, Settings, zigbee2mqtt};
use sayso::testing::grammar;
use sayso::testing::grammar::LocalGrammar;
use sayso::testing::home::Home;
use sayso::testing::home::capability::Capability;
use sayso::testing::home::device::{Device, Kind};
use sayso::testing::home::permit::PermitRequest;
use sayso::testing::home::rights::Rights;
use sayso::testing::home::state::State;
use sayso::testing::vocabulary::action::{Action, Draft, Op};
use sayso::testing::vocabulary::slug::Slug;
use sayso::testing::vocabulary::{Domain, Property, Value};
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
        let message = Settings::default().parse(topic, payload.as_bytes());
        assert!(message.is_ok(), "{topic}: {message:?}");
        registry.update(topic, message.unwrap());
    }
    registry
}

pub(crate) fn home_of(registry: &Registry) -> Home {
    let AssembledHome { areas, devices, .. } = registry.assemble(Vec::new(), Vec::new());
    Home::with_announced(areas, devices, 0, Rights::default(), "sayso").unwrap()
}

/// The home of one Zigbee device that exposes what this model does.
pub(crate) fn home_with(model: &Json) -> Home {
    let listed = json!([{"ieee_address": "0x01", "friendly_name": "Thing", "definition": {"exposes": model["exposes"]}}]);
    let mut registry = Registry::new("sayso");
    registry.update(
        "zigbee2mqtt/bridge/devices",
        zigbee2mqtt::parse_devices("zigbee2mqtt", listed.to_string().as_bytes()).unwrap(),
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
        device: device.id.as_str().into(),
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
    let asker = PermitRequest {
        source: "test",
        command: "c1",
        confirmed: true,
        now: tokio::time::Instant::now().into_std(),
        speech,
    };
    let property = action.property.clone();
    let draft = Draft {
        actions: vec![action],
        ..Draft::default()
    };
    let plan = home
        .permit(&draft, &State::default(), asker)
        .map_err(|e| e.sentence(speech))?;
    // A lamp may be switched on first.
    let mut steps = plan.steps().iter();
    let own = steps.find(|step| step.action().property == property);
    let sent = own.unwrap_or(&plan.steps()[0]).publication();
    Ok((sent.topic.to_string(), sent.payload.clone()))
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

/// To take a new fixture in, delete its `.expected.json`, run the test twice, and read what it
/// wrote.
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
                Decoded::Implied(value) => format!("{}~{value}", report.property),
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
        "vacuum?returning battery=80"
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
            registry.update(topic, Settings::default().parse(topic, b"").unwrap());
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
            if let Ok(message) = Settings::default().parse(topic, spoiled.to_string().as_bytes()) {
                registry.update(topic, message);
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
        if let Ok(Announcement::Announced(found)) = Settings::default().parse(&topic, &payload) {
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
        assert!(Settings::default().parse(topic, bad.as_bytes()).is_err());
        assert!(
            Settings::default()
                .parse("zigbee2mqtt/bridge/devices", bad.as_bytes())
                .is_err()
        );
        assert!(
            Settings::default()
                .parse("tasmota/discovery/aa/config", bad.as_bytes())
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
        Settings::default().parse("homeassistant/device/hub/config", parts(count).as_bytes())
    };
    assert!(matches!(read(1024), Ok(Announcement::Announced(found)) if found.len() == 1024));
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
        let Ok(message) = Settings::default().parse(topic, config.to_string().as_bytes()) else {
            continue;
        };
        let mut registry = Registry::new("sayso");
        registry.update(topic, message);
        assert_eq!(
            home_of(&registry).observe("lamp/state", b"ON"),
            [],
            "{hostile:.60}"
        );
    }
}

/// One way to describe a device: announcements by topic and payload, or a declared device.
#[derive(Clone)]
enum Description {
    Announced(&'static str, Json),
    Declared(Box<Device>),
}

fn declared(name: &str, kind: &str, bind: &dyn Fn(&Property) -> Binding) -> Description {
    let slug = |text: &str| Slug::new(text).unwrap();
    let mut device = Device::new(slug(name), Kind::new(slug(kind)));
    for capability in &mut device.capabilities {
        capability.binding = bind(&capability.property);
    }
    Description::Declared(Box::new(device))
}

fn zigbee_list(name: &str, exposes: &Json) -> Description {
    let list = json!([{
        "ieee_address": "0x00158d0000000001", "friendly_name": name, "definition": {"exposes": [exposes]}
    }]);
    Description::Announced("zigbee2mqtt/bridge/devices", list)
}

fn binary(name: &str, property: &str) -> Json {
    json!({"type": "binary", "name": name, "property": property, "access": 7, "value_on": "ON", "value_off": "OFF"})
}

fn numeric(name: &str, max: u32) -> Json {
    json!({"type": "numeric", "name": name, "property": name, "access": 7, "value_min": 0, "value_max": max})
}

/// The descriptions of one device in every way it can be described.
fn descriptions() -> Vec<(&'static str, Vec<(&'static str, Description)>)> {
    let zigbee = json!({"ids": ["zigbee2mqtt_0x00158d0000000001"], "name": "Thing"});
    let by_zigbee =
        |property: &Property| zigbee2mqtt_binding("zigbee2mqtt", "Thing", property, None);
    let by_topic = |property: &Property| {
        let mut binding = by_zigbee(property);
        if let Some(command) = &mut binding.command {
            let key = if *property == Property::Power {
                "state"
            } else {
                property.name()
            };
            command.topic = format!("zigbee2mqtt/Thing/set/{key}").into();
            command.form = Form::Raw;
        }
        binding
    };
    let tasmota_config = json!({
        "dn": "Thing", "fn": ["Thing"], "hn": "thing", "mac": "DC4F22112233", "ofln": "Offline", "onln": "Online",
        "state": ["OFF", "ON"], "t": "thing", "ft": "%prefix%/%topic%/", "tp": ["cmnd", "stat", "tele"], "rl": [1], "ver": 1
    });
    let tasmota_to_ha = json!({
        "name": "Thing", "cmd_t": "cmnd/thing/POWER", "stat_t": "tele/thing/STATE", "val_tpl": "{{value_json.POWER}}",
        "dev": {"ids": ["112233"]}
    });
    vec![
        (
            "light",
            vec![
                (
                    "home.toml, zigbee2mqtt",
                    declared("thing", "light", &by_zigbee),
                ),
                ("home.toml, topics", declared("thing", "light", &by_topic)),
                (
                    "Zigbee2MQTT",
                    zigbee_list(
                        "Thing",
                        &json!({"type": "light", "features": [binary("state", "state"), numeric("brightness", 254)]}),
                    ),
                ),
                (
                    "Home Assistant by Zigbee2MQTT",
                    Description::Announced(
                        "homeassistant/light/0x00158d0000000001/light/config",
                        json!({"schema": "json", "name": null, "cmd_t": "zigbee2mqtt/Thing/set", "stat_t": "zigbee2mqtt/Thing", "brightness": true, "dev": zigbee}),
                    ),
                ),
            ],
        ),
        (
            "switch",
            vec![
                (
                    "home.toml, zigbee2mqtt",
                    declared("thing", "switch", &by_zigbee),
                ),
                ("home.toml, topics", declared("thing", "switch", &by_topic)),
                (
                    "Zigbee2MQTT",
                    zigbee_list(
                        "Thing",
                        &json!({"type": "switch", "features": [binary("state", "state")]}),
                    ),
                ),
                (
                    "Home Assistant by Zigbee2MQTT",
                    Description::Announced(
                        "homeassistant/switch/0x00158d0000000001/switch/config",
                        json!({"name": null, "cmd_t": "zigbee2mqtt/Thing/set", "stat_t": "zigbee2mqtt/Thing", "val_tpl": "{{ value_json.state }}", "dev": zigbee}),
                    ),
                ),
            ],
        ),
        (
            "cover",
            vec![
                (
                    "home.toml, zigbee2mqtt",
                    declared("thing", "cover", &by_zigbee),
                ),
                (
                    "Zigbee2MQTT",
                    zigbee_list(
                        "Thing",
                        &json!({"type": "cover", "features": [
                {"type": "enum", "name": "state", "property": "state", "access": 3, "values": ["OPEN", "CLOSE", "STOP"]}, numeric("position", 100)]}),
                    ),
                ),
                (
                    "Home Assistant by Zigbee2MQTT",
                    Description::Announced(
                        "homeassistant/cover/0x00158d0000000001/cover/config",
                        json!({"name": null, "cmd_t": "zigbee2mqtt/Thing/set", "set_pos_t": "zigbee2mqtt/Thing/set", "set_pos_tpl": "{\"position\": {{ position }} }",
                    "pos_t": "zigbee2mqtt/Thing", "pos_tpl": "{{ value_json.position }}", "dev": zigbee}),
                    ),
                ),
            ],
        ),
        (
            "plug",
            vec![
                (
                    "home.toml, tasmota",
                    declared("thing", "switch", &|property| {
                        tasmota_binding("thing", property, None)
                    }),
                ),
                (
                    "Tasmota",
                    Description::Announced("tasmota/discovery/DC4F22112233/config", tasmota_config),
                ),
                (
                    "Home Assistant by Tasmota",
                    Description::Announced(
                        "homeassistant/switch/112233_RL_1/config",
                        tasmota_to_ha,
                    ),
                ),
            ],
        ),
    ]
}

#[test]
fn one_device_described_in_every_pair_of_ways_is_one_device() {
    let mut pairs = 0;
    for (device, ways) in descriptions() {
        for (first, a) in &ways {
            for (second, b) in &ways {
                let mut registry = Registry::new("sayso");
                let mut of_operator = Vec::new();
                for description in [a, b] {
                    match description {
                        Description::Announced(topic, payload) => {
                            let message =
                                Settings::default().parse(topic, payload.to_string().as_bytes());
                            registry.update(topic, message.unwrap());
                        }
                        Description::Declared(device) if of_operator.is_empty() => {
                            of_operator.push((**device).clone());
                        }
                        Description::Declared(_) => {}
                    }
                }
                let home = registry.assemble(Vec::new(), of_operator);
                let ids: Vec<&str> = home.devices.iter().map(|d| d.id.as_str()).collect();
                println!("| {device} | {first} | {second} | {} |", ids.len());
                assert_eq!(ids, ["thing"], "{device}: {first} and {second}");
                assert_eq!(home.conflicts, [""; 0], "{device}: {first} and {second}");
                pairs += 1;
            }
        }
    }
    assert_eq!(pairs, 4 * 4 + 4 * 4 + 3 * 3 + 3 * 3);
}

/// Every row of the table of options in the documentation, as the code has it.
fn option_rows() -> Vec<String> {
    let row = |component: &str, (option, support): &(&str, Support)| {
        let treatment = match support {
            Support::Supported => "supported".to_owned(),
            Support::Immaterial(reason) => format!("no effect: {reason}"),
            Support::Rejected { unless, reason } => {
                let values: Vec<String> = unless
                    .iter()
                    .filter(|value| !value.is_empty())
                    .map(|value| format!("`{value}`"))
                    .collect();
                let unless = if values.is_empty() {
                    String::new()
                } else {
                    format!(" unless {}", values.join(" or "))
                };
                format!("rejected{unless}: it {reason}")
            }
        };
        format!("| {component} | `{option}` | {treatment} |")
    };
    let mut rows: Vec<String> = options::COMMON
        .iter()
        .map(|option| row("all", option))
        .collect();
    for component in options::COMPONENTS {
        let name = if component.schema.is_empty() {
            format!("`{}`", component.component)
        } else {
            format!("`{}`, schema `{}`", component.component, component.schema)
        };
        rows.extend(component.options.iter().map(|option| row(&name, option)));
    }
    rows.extend(
        options::UNUSED_COMPONENTS
            .iter()
            .map(|(component, reason)| format!("| `{component}` | {reason} |")),
    );
    rows
}

#[test]
fn the_documentation_has_every_option_with_its_treatment() {
    let page = fs::read_to_string(Path::new(crate::REPOSITORY).join("docs/discovery.md")).unwrap();
    let rows = option_rows();
    let missing: Vec<&String> = rows
        .iter()
        .filter(|row| !page.lines().any(|line| line == **row))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/discovery.md lacks or has otherwise: {missing:#?}"
    );
    let listed = page
        .lines()
        .skip_while(|line| !line.starts_with("| component | option"))
        .filter(|line| line.starts_with("| ") && !line.starts_with("| component"));
    assert_eq!(
        listed.count(),
        rows.len(),
        "docs/discovery.md lists options that the code has not"
    );
}

/// Home Assistant's own list of abbreviations is compared with the table, so that no option is
/// forgotten.
#[test]
fn every_option_of_home_assistants_abbreviations_has_a_treatment() {
    /// Options of components that are no devices, or of the protocol itself.
    const ELSEWHERE: &[&str] = &[
        "automation_type",
        "components",
        "content_type",
        "send_if_off",
        "display_precision",
        "event_types",
        "flash",
        "image_encoding",
        "image_topic",
        "json_attributes",
        "latest_version_topic",
        "latest_version_template",
        "pattern",
        "payload",
        "payload_home",
        "payload_install",
        "payload_not_home",
        "payload_turn_off",
        "payload_turn_on",
        "release_summary",
        "release_url",
        "source_type",
        "subtype",
        "title",
        "topic",
        "transition",
        "url_topic",
        "url_template",
        "max",
        "min",
        "payload_stop",
    ];
    let known: Json =
        serde_json::from_slice(&fs::read(folder().join("abbreviations.json")).unwrap()).unwrap();
    let mut checked = 0;
    for long in known["ABBREVIATIONS"].as_object().unwrap().values() {
        let long = long.as_str().unwrap();
        let is_listed = options::COMMON.iter().any(|(option, _)| *option == long)
            || options::COMPONENTS
                .iter()
                .any(|c| c.options.iter().any(|(option, _)| *option == long));
        assert!(
            is_listed || ELSEWHERE.contains(&long),
            "`{long}` is in no table"
        );
        checked += 1;
    }
    assert!(checked > 250, "{checked}");
}
