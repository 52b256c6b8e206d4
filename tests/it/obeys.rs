//! Whatever is commanded, the message obeys what the device announced: its topic, its words, its
//! range and grain, its templates. The rules are written down here a second time, from the
//! ecosystems' own documentation, so that a misreading shows.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "numbers of devices are small, and compared as they are written"
)]

use std::collections::BTreeMap;
use std::fs;

use minijinja::Environment;
use minijinja::value::Serde;
use sayso::testing::home::Home;
use sayso::testing::home::capability::Capability;
use sayso::testing::home::device::Device;
use sayso::testing::vocabulary::action::{Action, Op};
use sayso::testing::vocabulary::{Domain, Property, Value};
use serde_json::{Map, Value as Json, json};

use crate::discovery::{fixtures, folder, home_of, home_with, registry_of, through_the_gate};

type Entity = Map<String, Json>;

/// One command through the gate, and what it sent.
pub(crate) struct Sent<'a> {
    device: &'a Device,
    property: &'a Property,
    value: Option<Value>,
    topic: String,
    pub(crate) payload: String,
}

/// Every word, and of a range both ends, the middle and some odd places between.
fn tried(takes: &Domain) -> Vec<Option<Value>> {
    match takes {
        Domain::Choice(words) => words.iter().map(|word| Some(Value::text(word))).collect(),
        Domain::Number { min, max, .. } => [0.0, 0.01, 0.333, 0.5, 0.77, 0.99, 1.0]
            .map(|part| Some(Value::Number(min + (max - min) * part)))
            .to_vec(),
        Domain::Color => ["red", "#ff8000", "white", "#010203", "navy"]
            .map(|color| Some(Value::text(color)))
            .to_vec(),
        Domain::Boolean => vec![Some(Value::Flag(true)), Some(Value::Flag(false))],
        Domain::Trigger => vec![None],
    }
}

/// Commands everything there is in the home, and gives what was sent. What lies outside a range
/// must be refused.
pub(crate) fn everything(home: &Home) -> Vec<Sent<'_>> {
    let mut all = Vec::new();
    for device in home.devices() {
        for capability in device.capabilities.iter().filter(|c| c.settable) {
            for value in tried(&capability.domain) {
                let (topic, payload) = match command(home, device, capability, value.clone()) {
                    Ok(sent) => sent,
                    // What knows only open and closed has nothing between.
                    Err(_)
                        if matches!(value, Some(Value::Number(n)) if n > 0.0 && n < 100.0)
                            && capability.binding.command.is_none() =>
                    {
                        continue;
                    }
                    Err(why) => panic!("{why}"),
                };
                all.push(Sent {
                    device,
                    property: &capability.property,
                    value,
                    topic,
                    payload,
                });
            }
            if let Domain::Number { min, max, .. } = capability.domain {
                for outside in [min - 0.6, max + 0.6, f64::NAN, f64::INFINITY] {
                    assert!(
                        command(home, device, capability, Some(Value::Number(outside))).is_err(),
                        "{} {} {outside}",
                        device.id,
                        capability.property
                    );
                }
            }
        }
    }
    all
}

fn command(
    home: &Home,
    device: &Device,
    capability: &Capability,
    value: Option<Value>,
) -> Result<(String, String), String> {
    let action = Action {
        device: device.id.as_str().into(),
        property: capability.property.clone(),
        op: Op::Set,
        value,
    };
    through_the_gate(home, action).map_err(|why| format!("{}: {why}", device.id))
}

/// The long form of every short key, as Home Assistant publishes them.
fn abbreviations(table: &str) -> BTreeMap<String, String> {
    let all: Json =
        serde_json::from_slice(&fs::read(folder().join("abbreviations.json")).unwrap()).unwrap();
    serde_json::from_value(all[table].clone()).unwrap()
}

/// The entities announced in these messages, with long keys and whole topics: component and
/// configuration.
fn entities(messages: &[(String, String)]) -> Vec<(String, Entity)> {
    let long = abbreviations("ABBREVIATIONS");
    let expand = |short: &Entity| -> Entity {
        let base = short
            .get("~")
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned();
        let whole = |value: &Json| {
            value
                .as_str()
                .map_or_else(|| value.clone(), |text| json!(text.replace('~', &base)))
        };
        let pair = |(key, value): (&String, &Json)| {
            let key = long.get(key).unwrap_or(key).clone();
            let value = if key.ends_with("_topic") {
                whole(value)
            } else {
                value.clone()
            };
            (key, value)
        };
        short.iter().map(pair).collect()
    };
    let mut all = Vec::new();
    for (topic, payload) in messages {
        let Ok(Json::Object(object)) = serde_json::from_str::<Json>(payload) else {
            continue;
        };
        let levels: Vec<&str> = topic.split('/').collect();
        if levels[1] != "device" {
            all.push((levels[1].to_owned(), expand(&object)));
            continue;
        }
        let whole = expand(&object);
        for component in whole["components"].as_object().unwrap().values() {
            let mut entity = expand(component.as_object().unwrap());
            for (key, value) in whole.iter().filter(|(key, _)| key.ends_with("_topic")) {
                entity.entry(key.clone()).or_insert_with(|| value.clone());
            }
            all.push((entity["platform"].as_str().unwrap().to_owned(), entity));
        }
    }
    all
}

/// A command template as Home Assistant renders it.
fn rendered(template: &str, value: &Json, more: &[(&str, Json)]) -> String {
    let mut engine = Environment::new();
    engine.add_filter("multiply", |value: f64, by: f64| value * by);
    // Without a precision, Home Assistant rounds to an integer.
    engine.add_filter(
        "round",
        |value: f64, precision: Option<i32>| match precision.unwrap_or(0) {
            0 => minijinja::Value::from(value.round_ties_even() as i64),
            n => minijinja::Value::from((value * 10_f64.powi(n)).round() / 10_f64.powi(n)),
        },
    );
    engine.set_unknown_method_callback(|state, value, name, arguments| {
        let all: Vec<_> = std::iter::once(value.clone())
            .chain(arguments.iter().cloned())
            .collect();
        state.apply_filter(name, &all)
    });
    let all: Entity = more
        .iter()
        .chain([&("value", value.clone())])
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    engine
        .render_str(template, minijinja::Value::from(Serde(&all)))
        .unwrap_or_else(|e| panic!("{template}: {e}"))
        .trim()
        .to_owned()
}

fn plain(value: &Json) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn text(entity: &Entity, key: &str, default: &str) -> Json {
    entity.get(key).cloned().unwrap_or_else(|| json!(default))
}

fn number(entity: &Entity, key: &str, default: f64) -> f64 {
    entity.get(key).map_or(default, |value| {
        value
            .as_f64()
            .unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
    })
}

/// The whole numbers, or tenths, next to what is meant: rounding is the device's affair.
fn near(wanted: f64) -> Vec<Json> {
    let whole = [wanted.floor(), wanted.ceil()].map(|n| json!(n as i64));
    let tenths = [(wanted * 10.0).floor(), (wanted * 10.0).ceil()]
        .map(|n| n / 10.0)
        .into_iter()
        .filter(|n| n.fract() != 0.0)
        .map(|n| json!(n));
    whole.into_iter().chain(tenths).collect()
}

/// The wire values that would be right for what was sent to the topic under `key`.
fn right(component: &str, e: &Entity, key: &str, sent: &Sent<'_>) -> Vec<Json> {
    match &sent.value {
        None if component == "button" => vec![text(e, "payload_press", "PRESS")],
        Some(Value::Text(word)) => right_words(component, e, key, word),
        Some(Value::Number(n)) if component == "light" => right_of_light(e, key, *n),
        Some(Value::Number(n)) if matches!(component, "cover" | "valve") => {
            right_of_cover(e, key, *n)
        }
        Some(Value::Number(n)) => right_numbers(component, e, key, *n),
        _ => vec![],
    }
}

fn right_words(component: &str, e: &Entity, key: &str, word: &str) -> Vec<Json> {
    let either = |on: [&str; 2], off: [&str; 2], is_on: bool| {
        vec![if is_on {
            text(e, on[0], on[1])
        } else {
            text(e, off[0], off[1])
        }]
    };
    let one_of = |key: &str| {
        let list = e
            .get(key)
            .and_then(Json::as_array)
            .cloned()
            .unwrap_or_default();
        list.into_iter()
            .filter(|option| plain(option) == word)
            .collect::<Vec<_>>()
    };
    match (component, key) {
        ("scene", "command_topic") => vec![text(e, "payload_on", "ON")],
        ("lock", "command_topic") => either(
            ["payload_lock", "LOCK"],
            ["payload_unlock", "UNLOCK"],
            word == "locked",
        ),
        ("vacuum", "command_topic") => match word {
            "cleaning" => vec![text(e, "payload_start", "start")],
            "paused" => vec![text(e, "payload_pause", "pause")],
            "stopped" => vec![text(e, "payload_stop", "stop")],
            "docked" => vec![text(e, "payload_return_to_base", "return_to_base")],
            "located" => vec![text(e, "payload_locate", "locate")],
            _ => vec![],
        },
        ("vacuum", "set_fan_speed_topic") => one_of("fan_speed_list"),
        ("lawn_mower", "start_mowing_command_topic") if word == "mowing" => {
            vec![json!("start_mowing")]
        }
        ("lawn_mower", "pause_command_topic") if word == "paused" => vec![json!("pause")],
        ("lawn_mower", "dock_command_topic") if word == "docked" => vec![json!("dock")],
        ("select", "command_topic") => one_of("options"),
        // Home Assistant adds it to the presets of a thermostat.
        ("climate", "preset_mode_command_topic") if word == "none" => vec![json!("none")],
        (_, "preset_mode_command_topic") => one_of("preset_modes"),
        ("fan", "oscillation_command_topic") => either(
            ["payload_oscillation_on", "oscillate_on"],
            ["payload_oscillation_off", "oscillate_off"],
            word == "on",
        ),
        (_, "mode_command_topic") if e.contains_key("modes") => one_of("modes"),
        ("fan", "direction_command_topic") | (_, "mode_command_topic") => vec![json!(word)],
        ("climate", "fan_mode_command_topic") => one_of("fan_modes"),
        ("climate", "swing_mode_command_topic") => one_of("swing_modes"),
        (_, "command_topic" | "power_command_topic") if word == "on" || word == "off" => {
            either(["payload_on", "ON"], ["payload_off", "OFF"], word == "on")
        }
        _ => vec![],
    }
}

fn stretched(percent: f64, low: f64, high: f64) -> Vec<Json> {
    near(low + percent / 100.0 * (high - low))
}

fn within(all: Vec<Json>, low: f64, high: f64) -> Vec<Json> {
    all.into_iter()
        .filter(|n| (low..=high).contains(&n.as_f64().unwrap()))
        .collect()
}

fn right_of_light(e: &Entity, key: &str, n: f64) -> Vec<Json> {
    match key {
        "command_topic" if n == 0.0 => vec![text(e, "payload_off", "OFF")],
        "brightness_command_topic" => within(
            stretched(n, 0.0, number(e, "brightness_scale", 255.0)),
            0.0,
            number(e, "brightness_scale", 255.0),
        ),
        "color_temp_command_topic" if e.get("color_temp_kelvin") == Some(&json!(true)) => near(n),
        "color_temp_command_topic" => within(
            near(1e6 / n),
            number(e, "min_mireds", 153.0),
            number(e, "max_mireds", 500.0),
        ),
        _ => vec![],
    }
}

fn right_of_cover(e: &Entity, key: &str, n: f64) -> Vec<Json> {
    match key {
        "command_topic" if e.get("reports_position") != Some(&json!(true)) => match n {
            0.0 => vec![text(e, "payload_close", "CLOSE")],
            100.0 => vec![text(e, "payload_open", "OPEN")],
            _ => vec![],
        },
        "command_topic" | "set_position_topic" => stretched(
            n,
            number(e, "position_closed", 0.0),
            number(e, "position_open", 100.0),
        ),
        "tilt_command_topic" => {
            let (low, high) = (number(e, "tilt_min", 0.0), number(e, "tilt_max", 100.0));
            match n {
                0.0 => stretched(n, number(e, "tilt_closed_value", low), high),
                100.0 => stretched(n, low, number(e, "tilt_opened_value", high)),
                _ => stretched(n, low, high),
            }
        }
        _ => vec![],
    }
}

fn right_numbers(component: &str, e: &Entity, key: &str, n: f64) -> Vec<Json> {
    match (component, key) {
        ("number", "command_topic") => {
            let (min, max, step) = (
                number(e, "min", 1.0),
                number(e, "max", 100.0),
                number(e, "step", 1.0),
            );
            let on_grain = ((min + ((n - min) / step).round() * step) * 1e6).round() / 1e6;
            within(vec![json!(on_grain), json!(on_grain as i64)], min, max)
        }
        ("fan", "percentage_command_topic") => {
            let (low, high) = (
                number(e, "speed_range_min", 1.0),
                number(e, "speed_range_max", 100.0),
            );
            within(stretched(n, low - 1.0, high), low, high)
        }
        (_, "target_humidity_command_topic") => within(
            near(n),
            number(e, "min_humidity", 0.0),
            number(e, "max_humidity", 100.0),
        ),
        (
            _,
            "temperature_command_topic"
            | "temperature_high_command_topic"
            | "temperature_low_command_topic",
        ) => {
            let (wanted, usual) = if e.get("temperature_unit") == Some(&json!("F")) {
                (n * 1.8 + 32.0, 1.0)
            } else {
                (n, 0.1)
            };
            let grain = number(e, "temp_step", usual);
            let on_grain = [(wanted / grain).floor(), (wanted / grain).ceil()]
                .map(|grains| (grains * grain * 10.0).round() / 10.0);
            let all = on_grain
                .into_iter()
                .flat_map(|n| [json!(n), json!(n as i64)])
                .filter(|n| on_grain.contains(&n.as_f64().unwrap()));
            let usual = if component == "water_heater" {
                (43.3, 60.0)
            } else {
                (7.0, 35.0)
            };
            within(
                all.collect(),
                number(e, "min_temp", usual.0),
                number(e, "max_temp", usual.1),
            )
        }
        _ => vec![],
    }
}

/// Whether the message is right for this entity, sent to the topic under `key`.
fn obeys(component: &str, e: &Entity, key: &str, sent: &Sent<'_>) -> bool {
    match (component, e.get("schema").and_then(Json::as_str)) {
        ("light", Some("json")) => return json_light(e, sent),
        ("light", Some("template")) => return template_light(e, sent),
        ("light", _) => {
            if let Some((_, space)) = [
                ("rgb_command_topic", "rgb"),
                ("hs_command_topic", "hs"),
                ("xy_command_topic", "xy"),
            ]
            .iter()
            .find(|(k, _)| *k == key)
            {
                let Some(Value::Text(name)) = &sent.value else {
                    return false;
                };
                let [red, green, blue] = sayso::testing::binding::color::rgb(name).unwrap();
                return match e
                    .get(&format!("{space}_command_template"))
                    .and_then(Json::as_str)
                {
                    Some(template) => {
                        let parts = [
                            ("red", json!(red)),
                            ("green", json!(green)),
                            ("blue", json!(blue)),
                        ];
                        sent.payload
                            == rendered(template, &json!(format!("{red},{green},{blue}")), &parts)
                    }
                    None => {
                        color_parts(space, &sent.payload)
                            && (*space != "rgb" || sent.payload == format!("{red},{green},{blue}"))
                    }
                };
            }
            if key == "effect_command_topic" {
                return e["effect_list"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|effect| plain(effect) == sent.payload);
            }
        }
        _ => {}
    }
    let template = e
        .get(&key.replace("_topic", "_template"))
        .and_then(Json::as_str);
    right(component, e, key, sent).iter().any(|wire| {
        // Home Assistant gives the template of a cover the target in percent.
        let percent = match &sent.value {
            Some(Value::Number(n)) if component == "cover" && n.fract() == 0.0 => json!(*n as i64),
            Some(Value::Number(n)) if component == "cover" => json!((n * 1e6).round() / 1e6),
            _ => wire.clone(),
        };
        let position = ("position", percent);
        let payload = match template {
            Some(template) => rendered(template, wire, &[position]),
            // Without a template, a siren is told a JSON object.
            None if component == "siren" => json!({"state": wire}).to_string(),
            None => plain(wire),
        };
        payload == sent.payload
    })
}

fn color_parts(space: &str, payload: &str) -> bool {
    let parts: Vec<f64> = payload
        .split(',')
        .map(|part| part.trim().parse().unwrap())
        .collect();
    let tops: &[f64] = match space {
        "rgb" => &[255.0, 255.0, 255.0],
        "hs" => &[360.0, 100.0],
        _ => &[1.0, 1.0],
    };
    parts.len() == tops.len()
        && parts
            .iter()
            .zip(tops)
            .all(|(part, top)| (0.0..=*top).contains(part))
}

/// Home Assistant's JSON schema of lights.
fn json_light(e: &Entity, sent: &Sent<'_>) -> bool {
    const KEYS: [&str; 8] = [
        "state",
        "brightness",
        "color",
        "color_temp",
        "effect",
        "transition",
        "flash",
        "white",
    ];
    let Ok(Json::Object(said)) = serde_json::from_str::<Json>(&sent.payload) else {
        return false;
    };
    let modes: Vec<&str> = e
        .get("supported_color_modes")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    let has = |mode: &str| modes.contains(&mode) || e.get(mode) == Some(&json!(true));
    if !said.keys().all(|key| KEYS.contains(&key.as_str()))
        || !["ON", "OFF"]
            .iter()
            .any(|w| said.get("state") == Some(&json!(w)))
    {
        return false;
    }
    let on = said["state"] == "ON";
    match (sent.property, &sent.value) {
        (Property::Power, Some(Value::Text(w))) => said.len() == 1 && on == (w == "on"),
        (Property::Brightness, Some(Value::Number(0.0))) => !on,
        (Property::Brightness, Some(Value::Number(n))) => {
            let top = number(e, "brightness_scale", 255.0);
            on && said["brightness"]
                .as_i64()
                .is_some_and(|b| (b as f64 - n / 100.0 * top).abs() <= 0.5 && b as f64 <= top)
        }
        (Property::ColorTemp, Some(Value::Number(kelvin))) => {
            let wanted = if e.get("color_temp_kelvin") == Some(&json!(true)) {
                *kelvin
            } else {
                1e6 / kelvin
            };
            on && has("color_temp")
                && said["color_temp"]
                    .as_i64()
                    .is_some_and(|n| (n as f64 - wanted).abs() <= 0.5)
        }
        (Property::Color, Some(_)) => {
            let color = said["color"].as_object().unwrap();
            let mut keys: Vec<&str> = color.keys().map(String::as_str).collect();
            keys.sort_unstable();
            let shapes: [(&str, &[&str], f64); 5] = [
                ("rgb", &["b", "g", "r"], 255.0),
                ("rgbw", &["b", "g", "r", "w"], 255.0),
                ("rgbww", &["b", "c", "g", "r", "w"], 255.0),
                ("hs", &["h", "s"], 360.0),
                ("xy", &["x", "y"], 1.0),
            ];
            on && shapes.iter().any(|(mode, parts, top)| {
                has(mode)
                    && keys == *parts
                    && color
                        .values()
                        .all(|part| (0.0..=*top).contains(&part.as_f64().unwrap()))
            })
        }
        (Property::Custom(name), Some(Value::Text(w))) if &**name == "effect" => {
            on && said["effect"] == json!(w)
                && e["effect_list"].as_array().unwrap().contains(&json!(w))
        }
        _ => false,
    }
}

/// A light whose templates write everything: they are filled here as Home Assistant fills them.
fn template_light(e: &Entity, sent: &Sent<'_>) -> bool {
    let fill =
        |key: &str, more: &[(&str, Json)]| rendered(e[key].as_str().unwrap(), &Json::Null, more);
    let on = |more: &[(&str, Json)]| {
        fill(
            "command_on_template",
            &[&[("state", json!("on"))], more].concat(),
        )
    };
    match (sent.property, &sent.value) {
        (Property::Power, Some(Value::Text(w))) if w == "on" => sent.payload == on(&[]),
        (Property::Power, _) | (Property::Brightness, Some(Value::Number(0.0))) => {
            sent.payload == fill("command_off_template", &[("state", json!("off"))])
        }
        (Property::Brightness, Some(Value::Number(n))) => near(n * 2.55)
            .into_iter()
            .any(|b| sent.payload == on(&[("brightness", b)])),
        (Property::ColorTemp, Some(Value::Number(kelvin))) => {
            let (low, high) = (
                number(e, "min_mireds", 153.0),
                number(e, "max_mireds", 500.0),
            );
            let mireds = near(1e6 / kelvin)
                .into_iter()
                .filter(|m| (low..=high).contains(&m.as_f64().unwrap()));
            mireds
                .into_iter()
                .any(|mired| sent.payload == on(&[("color_temp", mired)]))
        }
        (Property::Color, Some(Value::Text(name))) => {
            let [r, g, b] = sayso::testing::binding::color::rgb(name).unwrap();
            sent.payload == on(&[("red", json!(r)), ("green", json!(g)), ("blue", json!(b))])
        }
        _ => false,
    }
}

#[test]
fn every_command_to_home_assistants_entities_obeys_their_announcement() {
    let (mut count, mut wrong) = (0, Vec::new());
    for (path, messages) in fixtures()
        .into_iter()
        .filter(|(path, _)| path.to_str().unwrap().contains("/homeassistant/"))
    {
        let entities = entities(&messages);
        let registry = registry_of(&messages);
        for sent in everything(&home_of(&registry)) {
            let mut ways = entities.iter().flat_map(|(component, e)| {
                let keys = e
                    .iter()
                    .filter(|(key, value)| {
                        key.ends_with("_topic") && value.as_str() == Some(&sent.topic)
                    })
                    .map(|(key, _)| key);
                keys.map(move |key| (component, e, key))
            });
            let fits = ways.any(|(component, e, key)| obeys(component, e, key, &sent));
            let Sent {
                device,
                property,
                value,
                topic,
                payload,
            } = &sent;
            if !fits {
                wrong.push(format!(
                    "{}: {} {property} {value:?} sent `{payload}` to {topic}",
                    path.display(),
                    device.id
                ));
            }
            count += 1;
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} disobey: {wrong:#?}",
        wrong.len()
    );
    println!("{count} commands obey");
    assert!(count > 250, "only {count} commands were tried");
}

/// Every feature at any depth, by its key.
fn features<'a>(exposes: &'a Json, into: &mut Vec<&'a Json>) {
    for expose in exposes.as_array().into_iter().flatten() {
        into.push(expose);
        // The parts of a composite are written below its own key.
        if expose["type"] != "composite" {
            features(&expose["features"], into);
        }
    }
}

fn feature_takes(feature: &Json, wire: &Json, sent: &Sent<'_>) -> bool {
    let is = |key: &str| feature.get(key).is_some_and(|known| known == wire);
    let on = matches!(&sent.value, Some(Value::Text(w)) if w == "on" || w == "locked")
        || sent.value == Some(Value::Flag(true));
    match feature["type"].as_str().unwrap() {
        "binary" => is(if on { "value_on" } else { "value_off" }),
        "enum" => feature["values"].as_array().unwrap().contains(wire),
        "numeric" => {
            let Some(n) = wire.as_f64() else { return false };
            let bound = |key: &str, default: f64| feature[key].as_f64().unwrap_or(default);
            let (min, max) = (
                bound("value_min", f64::NEG_INFINITY),
                bound("value_max", f64::INFINITY),
            );
            let grain = feature["value_step"].as_f64();
            let on_grain = grain.is_none_or(|step| {
                ((n - min) / step - ((n - min) / step).round()).abs() < 1e-6
                    || (n - max).abs() < 1e-9
            });
            (min..=max).contains(&n) && on_grain
        }
        "composite" if feature["name"] == "warning" => {
            wire.as_object().unwrap().iter().all(|(key, part)| {
                let part_of = feature["features"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(|f| f["property"] == json!(key));
                part_of.is_some_and(|f| feature_takes(f, part, sent))
                    && (wire["mode"] != "stop") == on
            })
        }
        "composite" => wire["hex"]
            .as_str()
            .is_some_and(|hex| hex.len() == 7 && hex.starts_with('#')),
        _ => false,
    }
}

#[test]
fn every_command_to_a_zigbee_device_obeys_what_it_exposes() {
    let (mut count, mut wrong) = (0, Vec::new());
    for line in fs::read_to_string(folder().join("exposes.ndjson"))
        .unwrap()
        .lines()
    {
        let model: Json = serde_json::from_str(line).unwrap();
        let home = home_with(&model);
        let mut all = Vec::new();
        features(&model["exposes"], &mut all);
        for sent in everything(&home) {
            assert_eq!(sent.topic, "zigbee2mqtt/Thing/set");
            let said: Map<String, Json> = serde_json::from_str(&sent.payload).unwrap();
            let fits = said.iter().all(|(key, wire)| {
                let mut known = all.iter().filter(|f| {
                    f["property"] == json!(key) && f["access"].as_u64().unwrap() & 2 != 0
                });
                known.any(|feature| feature_takes(feature, wire, &sent))
            });
            if !fits {
                wrong.push(format!(
                    "{}: {} {} {:?} sent {}",
                    model["model"], sent.device.id, sent.property, sent.value, sent.payload
                ));
            }
            count += 1;
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} disobey: {wrong:#?}",
        wrong.len()
    );
    println!("{count} commands obey");
    assert!(count > 3000, "only {count} commands were tried");
}

#[test]
fn every_command_to_a_tasmota_device_is_one_it_knows() {
    let (mut count, mut wrong) = (0, Vec::new());
    for (path, messages) in fixtures()
        .into_iter()
        .filter(|(path, _)| path.to_str().unwrap().contains("/tasmota/"))
    {
        let announced: Json = serde_json::from_str(&messages[0].1).unwrap();
        let full = announced["ft"]
            .as_str()
            .unwrap()
            .replace("%prefix%", announced["tp"][0].as_str().unwrap());
        let full = full.replace("%topic%", announced["t"].as_str().unwrap());
        let registry = registry_of(&messages);
        for sent in everything(&home_of(&registry)) {
            let known = sent
                .topic
                .strip_prefix(full.as_str())
                .unwrap()
                .trim_end_matches(|c: char| c.is_ascii_digit());
            let number = |low: f64, high: f64| {
                sent.payload
                    .parse()
                    .is_ok_and(|n: f64| (low..=high).contains(&n) && n.fract() == 0.0)
            };
            let fits = match known {
                "POWER" => ["ON", "OFF"].contains(&sent.payload.as_str()),
                "Dimmer" | "Channel" | "ShutterPosition" => number(0.0, 100.0),
                "CT" => number(153.0, 500.0),
                "Color" => sent.payload.trim_end_matches('=').split(',').count() == 3,
                "FanSpeed" => number(0.0, 3.0),
                "ShutterTilt" => number(
                    announced["sht"][0][0].as_f64().unwrap(),
                    announced["sht"][0][1].as_f64().unwrap(),
                ),
                _ => false,
            };
            if !fits {
                wrong.push(format!(
                    "{}: {} {:?} sent `{}` to {}",
                    path.display(),
                    sent.property,
                    sent.value,
                    sent.payload,
                    sent.topic
                ));
            }
            count += 1;
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} disobey: {wrong:#?}",
        wrong.len()
    );
    assert!(count > 40, "only {count} commands were tried");
}
