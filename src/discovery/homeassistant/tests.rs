//! Tests of announcements in the format of Home Assistant: every option, availability, and
//! templates.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use crate::binding::Decoded;
use crate::discovery::homeassistant::config::EntityConfig;
use crate::discovery::homeassistant::option_support::{ComponentOptions, Support};
use crate::discovery::homeassistant::options::{COMMON, COMPONENTS};
use crate::discovery::homeassistant::*;
use crate::vocabulary::{Domain, Property, Value};

/// Returns a value of the type that the option has.
fn sample(option: &str) -> Json {
    if option.ends_with("topic") {
        return json!(format!("sample/{option}"));
    }
    if option == "command_on_template" {
        let names = ["brightness", "color_temp", "red", "green", "blue", "effect"];
        return json!(names.map(|name| format!("{{{{ {name} }}}}")).join(" "));
    }
    if option.ends_with("template") {
        return json!("{{ value }}");
    }
    match option {
        "availability" => json!([{"topic": "sample/alive"}]),
        "modes"
        | "fan_modes"
        | "preset_modes"
        | "swing_modes"
        | "swing_horizontal_modes"
        | "options"
        | "effect_list"
        | "fan_speed_list" => json!(["one", "two"]),
        "supported_color_modes" => json!(["xy", "color_temp", "white"]),
        "supported_features" => json!(["start", "pause", "stop", "battery", "locate"]),
        "device" => json!({"identifiers": ["sample"], "name": "Sample"}),
        "max" | "max_temp" | "max_humidity" | "tilt_max" | "speed_range_max" => json!(60),
        "min" | "min_temp" | "min_humidity" | "tilt_min" | "speed_range_min" => json!(10),
        "brightness" | "effect" | "enabled_by_default" => json!(true),
        "expire_after" | "off_delay" | "step" | "temp_step" => json!(5),
        "color_temp" | "rgb" | "hs" | "xy" | "migrate_discovery" | "reports_position" => {
            json!(false)
        }
        _ => json!("sample"),
    }
}

fn with_options(component: &ComponentOptions) -> EntityConfig {
    without_option(component, "entity_category")
}

fn without_option(component: &ComponentOptions, left_out: &str) -> EntityConfig {
    let all = COMMON.iter().chain(component.options);
    let mut options: Map<String, Json> = all
        .map(|(option, _)| ((*option).to_owned(), sample(option)))
        .collect();
    options.insert("schema".to_owned(), json!(component.schema));
    for absent in ["entity_category", "code", "code_format", left_out] {
        options.remove(absent);
    }
    EntityConfig::new(options)
}

fn without_own_templates(component: &ComponentOptions) -> EntityConfig {
    let mut options = Map::new();
    for (option, _) in COMMON.iter().chain(component.options) {
        let is_needed = option.starts_with("command_o") || *option == "value_template";
        if is_needed || !option.ends_with("_template") {
            options.insert((*option).to_owned(), sample(option));
        }
    }
    options.insert("schema".to_owned(), json!(component.schema));
    options.remove("entity_category");
    EntityConfig::new(options)
}

fn body() -> PhysicalDevice {
    PhysicalDevice {
        unique: "sample".to_owned(),
        name: Some("Sample".to_owned()),
        area: None,
    }
}

/// Options that are read before an entity is, or by `entity` itself for all components.
const READ_ELSEWHERE: [&str; 5] = [
    "device",
    "migrate_discovery",
    "platform",
    "unique_id",
    "object_id",
];

#[test]
fn every_option_that_is_supported_is_read() {
    for component in COMPONENTS {
        let config = with_options(component);
        let announced = entity(component.component, &config, &body(), "sample");
        let announced = announced.unwrap_or_else(|e| panic!("{}: {e}", component.component));
        assert!(announced.is_some(), "{}", component.component);
        let mut read = config.options_read();
        // A default template is read where a state has no template of its own.
        let plain = without_own_templates(component);
        entity(component.component, &plain, &body(), "sample").unwrap();
        read.extend(plain.options_read());
        let supported: BTreeSet<String> = COMMON
            .iter()
            .chain(component.options)
            .filter(|(option, support)| {
                *support == Support::Supported && !READ_ELSEWHERE.contains(option)
            })
            .map(|(option, _)| (*option).to_owned())
            .collect();
        // The states between are told from the two others by being neither.
        let neither = ["state_opening", "state_closing"];
        let missing: Vec<&String> = supported
            .difference(&read)
            .filter(|option| !neither.contains(&option.as_str()))
            .collect();
        assert!(
            missing.is_empty(),
            "{} {}: {missing:?} are not read",
            component.component,
            component.schema
        );
    }
}

#[test]
fn an_option_that_is_not_carried_out_is_a_limitation_of_the_entity() {
    let mut options = Map::new();
    for (option, value) in [
        ("name", json!("Gate lock")),
        ("command_topic", json!("gate/set")),
        ("code_format", json!("^\\d{4}$")),
        ("retain", json!(true)),
        ("qos", json!(1)),
    ] {
        options.insert(option.to_owned(), value);
    }
    let announced = entity("lock", &EntityConfig::new(options), &body(), "gate")
        .unwrap()
        .unwrap();
    let limited: Vec<&str> = announced.limitations.iter().map(|l| l.option).collect();
    assert_eq!(limited, ["retain", "code_format"]);
    assert!(!announced.device.capabilities[0].settable);
}

fn availability_of(payload: &Json) -> Vec<String> {
    let topic = "homeassistant/switch/a/config";
    let parsed = parse("homeassistant", topic, payload.to_string().as_bytes()).unwrap();
    let Announcement::Announced(announced) = parsed else {
        panic!("{parsed:?}");
    };
    let sources = announced[0].device.availability.sources.iter();
    sources
        .map(|source| source.binding.state[0].topic.to_string())
        .collect()
}

#[test]
fn availability_is_read_in_every_form() {
    for (form, expected) in [
        (json!({"avty_t": "~/alive"}), vec!["cellar/pump/alive"]),
        (
            json!({"avty": [{"t": "~/alive"}]}),
            vec!["cellar/pump/alive"],
        ),
        (
            json!({"avty": {"topic": "~/alive"}}),
            vec!["cellar/pump/alive"],
        ),
        (
            json!({"availability": {"t": "alive/~"}}),
            vec!["alive/cellar/pump"],
        ),
        (json!({"avty": "~/alive"}), vec!["cellar/pump/alive"]),
        (
            json!({"avty": [{"t": "a"}, {"topic": "~/b"}], "avty_mode": "all"}),
            vec!["a", "cellar/pump/b"],
        ),
    ] {
        let mut payload = json!({"~": "cellar/pump", "name": "Pump", "cmd_t": "~/set"});
        for (key, value) in form.as_object().unwrap() {
            payload[key] = value.clone();
        }
        assert_eq!(availability_of(&payload), expected, "{form}");
    }
}

#[test]
fn a_base_topic_of_a_device_holds_for_its_components_and_its_availability() {
    let payload = json!({
        "~": "cellar/pump", "dev": {"ids": "pump", "name": "Pump"}, "o": {"name": "x"},
        "avty": [{"t": "~/alive"}],
        "cmps": {"a": {"p": "switch", "cmd_t": "~/set"}}
    });
    let topic = "homeassistant/device/pump/config";
    let parsed = parse("homeassistant", topic, payload.to_string().as_bytes()).unwrap();
    let Announcement::Announced(announced) = parsed else {
        panic!("{parsed:?}");
    };
    let device = &announced[0].device;
    assert_eq!(
        *device.capabilities[0].command_topics().next().unwrap(),
        "cellar/pump/set"
    );
    let source = &device.availability.sources[0];
    assert_eq!(source.binding.state[0].topic, "cellar/pump/alive");
}

#[test]
fn a_migrated_announcement_is_removed() {
    let topic = "homeassistant/switch/a/config";
    for payload in [
        r#"{"migrate_discovery": true}"#,
        r#"{"migr_discvry": true}"#,
        " ",
    ] {
        let parsed = parse("homeassistant", topic, payload.as_bytes());
        assert_eq!(parsed, Ok(Announcement::Removed), "{payload}");
    }
}

#[test]
fn a_template_with_unknown_names_is_rejected() {
    let topic = "homeassistant/switch/a/config";
    for template in [
        "{{ states('light.x') }}",
        "{{ this.state }}",
        "{{ positon }}",
    ] {
        let payload = json!({"name": "A", "cmd_t": "a/set", "cmd_tpl": template});
        let parsed = parse("homeassistant", topic, payload.to_string().as_bytes());
        let Err(InvalidAnnouncement::BadTemplate { key, .. }) = &parsed else {
            panic!("{template}: {parsed:?}");
        };
        assert_eq!(key, "command_template");
    }
}

#[test]
fn a_cover_with_a_state_and_a_position_uses_both() {
    let options = json!({
        "name": "Blind", "command_topic": "blind/set", "set_position_topic": "blind/go",
        "position_topic": "blind/position", "state_topic": "blind/state",
        "state_closed": "SHUT", "state_stopped": "HALTED"
    });
    let config = EntityConfig::new(options.as_object().unwrap().clone());
    let announced = entity("cover", &config, &body(), "blind").unwrap().unwrap();
    let position = announced.device.capability(&Property::Position).unwrap();
    let topics: Vec<&str> = position
        .binding
        .state_ports()
        .map(|p| p.topic.as_str())
        .collect();
    assert!(topics.contains(&"blind/state") && topics.contains(&"blind/position"));
    let decode = |topic: &str, payload: Json| position.binding.decode(topic, &payload);
    let number = |n: f64| Value::Number(n);
    assert_eq!(
        decode("blind/position", json!(40)),
        Some(Decoded::Value(number(40.0)))
    );
    assert_eq!(
        decode("blind/state", json!("SHUT")),
        Some(Decoded::Value(number(0.0)))
    );
    assert_eq!(
        decode("blind/state", json!("open")),
        Some(Decoded::Implied(number(100.0))),
        "a half-open blind is open as well"
    );
    assert_eq!(decode("blind/state", json!("HALTED")), None);
    assert_eq!(
        decode("blind/state", json!("opening")),
        Some(Decoded::Unrecognized("opening".to_owned()))
    );
}

#[test]
fn own_words_of_a_lock_for_a_jam_and_a_movement_have_their_common_names() {
    let options = json!({
        "name": "Shed", "command_topic": "shed/set", "state_topic": "shed", "state_locked": "1",
        "state_unlocked": "0", "state_jammed": 2, "state_locking": "3"
    });
    let config = EntityConfig::new(options.as_object().unwrap().clone());
    let announced = entity("lock", &config, &body(), "shed").unwrap().unwrap();
    let lock = announced.device.capability(&Property::Lock).unwrap();
    for (payload, expected) in [
        (json!(1), Decoded::Value(Value::text("locked"))),
        (json!("2"), Decoded::Unrecognized("jammed".to_owned())),
        (json!(3), Decoded::Unrecognized("locking".to_owned())),
        (json!(9), Decoded::Unrecognized("9".to_owned())),
    ] {
        assert_eq!(lock.binding.decode("shed", &payload), Some(expected));
    }
}

/// Returns the payload that sets a property of an entity.
fn sent(component: &str, options: &Json, property: &Property, value: f64) -> Option<String> {
    let config = EntityConfig::new(options.as_object().unwrap().clone());
    let announced = entity(component, &config, &body(), "x").unwrap().unwrap();
    let capability = announced.device.capability(property).unwrap();
    let message = capability.binding.encode(&Value::Number(value))?;
    Some(message.payload.clone())
}

#[test]
fn a_template_of_a_cover_gets_the_target_in_percent_and_in_the_range() {
    let inverted = |template: &str| {
        json!({
            "name": "Blind", "set_position_topic": "blind/go", "set_position_template": template,
            "position_open": 0, "position_closed": 200
        })
    };
    let position = &Property::Position;
    for (template, percent, payload) in [
        ("{{ position }}|{{ value }}", 100.0, "100|0"),
        ("{{ position }}|{{ value }}", 0.0, "0|200"),
        ("{{ position }}|{{ value }}", 30.0, "30|140"),
        ("{\"POS\": {{ 100 - position }}}", 100.0, "{\"POS\": 0}"),
        ("{{ position_open }} {{ position_closed }}", 50.0, "0 200"),
        ("{{ (position / 100 * 99) | round(0) }}", 50.0, "50"),
    ] {
        let payload = Some(payload.to_owned());
        assert_eq!(
            sent("cover", &inverted(template), position, percent),
            payload,
            "{template}"
        );
    }
    let tilting = json!({
        "name": "Blind", "command_topic": "blind/set", "tilt_command_topic": "blind/tilt",
        "tilt_command_template": "{{ tilt_position }}|{{ value }}", "tilt_min": 0,
        "tilt_max": 180, "tilt_opened_value": 90
    });
    for (percent, payload) in [(50.0, "50|90"), (0.0, "0|0"), (100.0, "90|90")] {
        let payload = Some(payload.to_owned());
        assert_eq!(sent("cover", &tilting, &Property::Tilt, percent), payload);
    }
}

#[test]
fn a_payload_that_cannot_be_sent_is_rejected_and_not_replaced() {
    let announced = |component: &str, options: Json| {
        let topic = format!("homeassistant/{component}/a/config");
        parse("homeassistant", &topic, options.to_string().as_bytes())
    };
    for (component, key, options) in [
        (
            "switch",
            "payload_on",
            json!({"name": "A", "cmd_t": "a/set", "pl_on": {"state": "ON"}}),
        ),
        (
            "cover",
            "payload_stop",
            json!({"name": "A", "cmd_t": "a/set", "pl_stop": ["STOP"]}),
        ),
        (
            "lock",
            "state_locked",
            json!({"name": "A", "cmd_t": "a/set", "stat_t": "a", "stat_locked": {"a": 1}}),
        ),
        (
            "button",
            "payload_press",
            json!({"name": "A", "cmd_t": "a/set", "pl_prs": "x".repeat(20_000)}),
        ),
        (
            "button",
            "payload_available",
            json!({"name": "A", "cmd_t": "a/set", "avty": [{"t": "a/on", "pl_avail": [1]}]}),
        ),
    ] {
        let parsed = announced(component, options);
        let Err(InvalidAnnouncement::BadPayload { key: found, .. }) = &parsed else {
            panic!("{component} {key}: {parsed:?}");
        };
        assert_eq!(found, key);
    }
    let code = "7".repeat(5_000);
    let parsed = announced(
        "button",
        json!({"name": "A", "cmd_t": "a/set", "pl_prs": code}),
    );
    let Ok(Announcement::Announced(devices)) = parsed else {
        panic!("{parsed:?}");
    };
    let press = devices[0].device.capability(&Property::Press).unwrap();
    let message = press.binding.encode(&Value::text("PRESS")).unwrap();
    assert_eq!(message.payload.len(), 5_000);
}

#[test]
fn a_fan_with_few_speeds_gets_the_nearest_one() {
    for (speeds, percent, payload) in [
        (3, 33.0, "1"),
        (6, 33.0, "2"),
        (4, 33.0, "1"),
        (3, 67.0, "2"),
        (4, 10.0, "1"),
        (4, 100.0, "4"),
    ] {
        let fan = json!({
            "name": "Fan", "command_topic": "fan/set", "percentage_command_topic": "fan/speed",
            "speed_range_max": speeds
        });
        let payload = Some(payload.to_owned());
        assert_eq!(
            sent("fan", &fan, &Property::Speed, percent),
            payload,
            "{speeds} {percent}"
        );
    }
    let fan = json!({
        "name": "Fan", "command_topic": "fan/set", "percentage_command_topic": "fan/speed",
        "speed_range_max": 3
    });
    let config = EntityConfig::new(fan.as_object().unwrap().clone());
    let announced = entity("fan", &config, &body(), "x").unwrap().unwrap();
    let speed = announced.device.capability(&Property::Speed).unwrap();
    assert!(speed.step > 33.3, "faster is the next speed");
}

#[test]
fn the_template_of_a_siren_may_use_arguments_that_are_never_given() {
    let options = json!({
        "name": "Horn", "command_topic": "horn/set",
        "command_template": "{{ value }},{{ tone }},{{ duration | default(60) }}\
             {% if volume_level is defined %},{{ volume_level }}{% endif %}"
    });
    let config = EntityConfig::new(options.as_object().unwrap().clone());
    let announced = entity("siren", &config, &body(), "x").unwrap().unwrap();
    let power = announced.device.capability(&Property::Power).unwrap();
    let message = power.binding.encode(&Value::text("on")).unwrap();
    assert_eq!(message.payload, "ON,,60");
}

#[test]
fn units_of_temperature_have_one_spelling() {
    for (unit, expected) in [
        ("ºC", 20.0),
        ("C", 20.0),
        ("℃", 20.0),
        ("ºF", -6.7),
        ("F", -6.7),
    ] {
        let options = json!({
            "name": "Soil", "device_class": "temperature", "state_topic": "soil",
            "unit_of_measurement": unit
        });
        let config = EntityConfig::new(options.as_object().unwrap().clone());
        let announced = entity("sensor", &config, &body(), "x").unwrap().unwrap();
        let reading = &announced.device.capabilities[0];
        assert!(format!("{:?}", reading.domain).contains("°C"), "{unit}");
        let decoded = reading.binding.decode("soil", &json!(20));
        assert_eq!(
            decoded,
            Some(Decoded::Value(Value::Number(expected))),
            "{unit}"
        );
    }
}

#[test]
fn the_template_of_a_position_may_write_position_and_tilt() {
    let options = json!({
        "name": "Blind", "command_topic": "blind/set", "position_topic": "blind/at",
        "position_template": "{\"position\": {{ value_json.p }}, \"tilt_position\": 3}",
        "tilt_command_topic": "blind/tilt", "tilt_max": 6
    });
    let config = EntityConfig::new(options.as_object().unwrap().clone());
    let announced = entity("cover", &config, &body(), "x").unwrap().unwrap();
    let decoded = |property: &Property| {
        let capability = announced.device.capability(property).unwrap();
        capability.binding.decode("blind/at", &json!({"p": 30}))
    };
    let number = |n: f64| Some(Decoded::Value(Value::Number(n)));
    assert_eq!(decoded(&Property::Position), number(30.0));
    assert_eq!(decoded(&Property::Tilt), number(50.0));
}

fn capabilities_of(component: &str, options: &Json) -> Vec<Capability> {
    let topic = format!("homeassistant/{component}/sample/config");
    let payload = options.to_string();
    match parse("homeassistant", &topic, payload.as_bytes()) {
        Ok(Announcement::Announced(devices)) => devices[0].device.capabilities.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn off_delay_of_a_binary_sensor_turns_it_off() {
    let sensor = json!({
        "name": "Hall", "state_topic": "hall", "device_class": "motion", "off_delay": 5
    });
    let [motion] = &capabilities_of("binary_sensor", &sensor)[..] else {
        panic!("one capability")
    };
    let reverts = motion.binding.reverts.as_ref().unwrap();
    assert_eq!(
        (&reverts.from, &reverts.to),
        (&Value::text("detected"), &Value::text("clear"))
    );
    assert_eq!(reverts.after.as_secs(), 5);
    assert_eq!(motion.binding.expire_after, None);
}

#[test]
fn a_binary_sensor_without_class_and_name_is_the_state_of_its_device() {
    let sensor = json!({
        "name": null, "state_topic": "dishwasher", "unique_id": "0x12",
        "device": {"identifiers": ["0x12"], "name": "Dishwasher"}
    });
    let [state] = &capabilities_of("binary_sensor", &sensor)[..] else {
        panic!("one capability")
    };
    assert_eq!(state.property.name(), "state");
}

#[test]
fn the_presets_of_a_thermostat_include_none() {
    let climate = json!({
        "name": "Heating", "preset_modes": ["eco", "away"], "preset_mode_command_topic": "p/set",
        "preset_mode_state_topic": "p"
    });
    let capabilities = capabilities_of("climate", &climate);
    let preset = capabilities
        .iter()
        .find(|c| c.property == Property::Preset)
        .unwrap();
    let none = Value::text("none");
    let sent = preset.binding.encode(&none).unwrap();
    assert_eq!(
        (sent.topic.as_str(), sent.payload.as_str()),
        ("p/set", "none")
    );
    for word in ["none", "None"] {
        let reported = preset.binding.decode("p", &json!(word));
        assert_eq!(reported, Some(Decoded::Value(none.clone())), "{word}");
    }
}

#[test]
fn the_own_word_of_a_cover_for_stopped_has_its_common_name() {
    let cover = json!({
        "name": "Blind", "command_topic": "b/set", "state_topic": "b", "state_stopped": "halt"
    });
    let [position] = &capabilities_of("cover", &cover)[..] else {
        panic!("one capability")
    };
    let reported = position.binding.decode("b", &json!("halt"));
    assert_eq!(reported, Some(Decoded::Unrecognized("stopped".to_owned())));
}

#[test]
fn a_select_has_up_to_256_options_and_says_that_it_has_more() {
    let select = |count: usize| {
        let options: Vec<String> = (0..count).map(|n| format!("effect {n}")).collect();
        let select = json!({"name": "Effect", "command_topic": "e/set", "options": options});
        let topic = "homeassistant/select/sample/config";
        let parsed = parse("homeassistant", topic, select.to_string().as_bytes()).unwrap();
        let Announcement::Announced(devices) = parsed else {
            panic!("announced")
        };
        let Domain::Choice(words) = &devices[0].device.capabilities[0].domain else {
            panic!("words")
        };
        (words.len(), devices[0].limitations.clone())
    };
    assert_eq!(select(200), (200, Vec::new()));
    let (used, limitations) = select(300);
    assert_eq!(used, 256);
    assert_eq!(limitations[0].option, "options");
}

#[test]
fn a_component_that_cannot_be_used_is_named_and_the_others_are_used() {
    let payload = json!({
        "dev": {"ids": ["boiler"], "name": "Boiler"},
        "cmps": {
            "heat": {"p": "switch", "name": "Heat", "cmd_t": "boiler/heat/set"},
            "pump": {"p": "switch", "name": "Pump"},
        },
    });
    let payload = payload.to_string();
    let parsed = parse(
        "homeassistant",
        "homeassistant/device/boiler/config",
        payload.as_bytes(),
    );
    let Ok(Announcement::Partial(devices, invalid)) = parsed else {
        panic!("{parsed:?}");
    };
    assert_eq!(devices[0].device.name, "Boiler Heat");
    assert_eq!(
        invalid[0].to_string(),
        "component `pump`: `command_topic` is missing"
    );
}

#[test]
fn the_reason_names_the_option_at_fault() {
    let reason = |component: &str, options: Json| {
        let topic = format!("homeassistant/{component}/a/config");
        let error = parse("homeassistant", &topic, options.to_string().as_bytes()).unwrap_err();
        error.to_string()
    };
    let too_big = "{{ 'x' * 9000000 }}";
    let why = reason(
        "switch",
        json!({"name": "A", "cmd_t": "a/set", "cmd_tpl": too_big}),
    );
    assert!(why.contains("command_template"), "{why}");
    let why = reason(
        "number",
        json!({"name": "A", "cmd_t": "a/set", "min": 9, "max": 3}),
    );
    assert_eq!(why, "`min` is not below `max`");
    let why = reason("switch", json!({"name": "A"}));
    assert_eq!(why, "`command_topic` is missing");
}
