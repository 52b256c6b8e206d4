//! Entities with one property: switches, sirens, selects, numbers, buttons, scenes and sensors.

use serde_json::{Value as Json, json};

use crate::binding::{Binding, Codec, Form, Port, Publication, Scale};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::homeassistant::config::Config;
use crate::discovery::{Malformed, choice, names, number, readings, setting};

/// The words of the vocabulary for what plays.
const PLAYBACK: [&str; 5] = ["playing", "paused", "stopped", "next", "previous"];

/// The two states of something switched: what is sent for them, and what is heard.
pub(super) struct Words {
    /// Keys of the payloads for on and off, with their defaults.
    pub(super) payload: [(&'static str, &'static str); 2],
    /// Keys of the states for on and off; the payloads where absent.
    pub(super) state: [&'static str; 2],
}

pub(super) const ON_OFF: Words = Words {
    payload: [("payload_on", "ON"), ("payload_off", "OFF")],
    state: ["state_on", "state_off"],
};

/// A capability of two words.
///
/// # Errors
/// When a topic or template is bad.
pub(super) fn switched(
    config: &Config,
    property: Property,
    [on, off]: [&str; 2],
    ports: [[&str; 2]; 2],
    words: &Words,
) -> Result<Capability, Malformed> {
    let [command, state] = ports;
    let sent = |(key, default): (&str, &str)| config.wire(key, default);
    let wire = [sent(words.payload[0]), sent(words.payload[1])];
    let heard = |index: usize| {
        config
            .get(words.state[index])
            .cloned()
            .unwrap_or_else(|| wire[index].clone())
    };
    let codec = Codec {
        words: vec![(Value::text(on), heard(0)), (Value::text(off), heard(1))],
        scale: Scale::MappedOnly,
    };
    let [wire_on, wire_off] = wire.clone();
    let fixed = config.messages(
        command,
        &[(Value::text(on), wire_on), (Value::text(off), wire_off)],
    )?;
    let binding = Binding {
        fixed,
        state: config.hears(state[0], state[1])?,
        codec,
        ..Binding::default()
    };
    Ok(setting(property, choice(&[on, off]), binding))
}

pub(super) fn switch(config: &Config, device: &str) -> Result<Vec<Capability>, Malformed> {
    let ports = [
        ["command_topic", "command_template"],
        ["state_topic", "value_template"],
    ];
    // Home Assistant has no media player over MQTT: its parts are announced one by one.
    let mutes = !device.is_empty()
        && config
            .own_name(device)
            .is_some_and(|name| name.eq_ignore_ascii_case("mute"));
    let property = if mutes {
        Property::Mute
    } else {
        Property::Power
    };
    Ok(vec![switched(
        config,
        property,
        ["on", "off"],
        ports,
        &ON_OFF,
    )?])
}

pub(super) fn siren(config: &Config) -> Result<Vec<Capability>, Malformed> {
    let ports = [
        ["command_topic", "command_template"],
        ["state_topic", "state_value_template"],
    ];
    let mut power = switched(config, Property::Power, ["on", "off"], ports, &ON_OFF)?;
    let Some(topic) = config.topic("command_topic")? else {
        return Ok(vec![power]);
    };
    if let Some(template) = config.template("command_off_template")? {
        let off = template
            .render_command(&config.wire("payload_off", "OFF"))
            .map(|payload| {
                (
                    Value::text("off"),
                    Publication::new(topic.as_str(), payload),
                )
            });
        power
            .binding
            .fixed
            .retain(|(word, _)| *word != Value::text("off"));
        power.binding.fixed.extend(off);
    } else if config.get("command_template").is_none() {
        // Without a template it is told a JSON object, for there may be a tone and a volume beside the state.
        let says = |word: &str, payload: Json| {
            (
                Value::text(word),
                Publication::new(topic.as_str(), json!({"state": payload}).to_string()),
            )
        };
        power.binding.fixed = vec![
            says("on", config.wire("payload_on", "ON")),
            says("off", config.wire("payload_off", "OFF")),
        ];
    }
    if config.get("state_value_template").is_none() {
        // It may tell its state in the same form, or as the word alone.
        let told: Vec<Port> = power
            .binding
            .state
            .iter()
            .map(|port| Port {
                form: Form::Field(vec!["state".to_owned()]),
                ..port.clone()
            })
            .collect();
        power.binding.state.extend(told);
    }
    Ok(vec![power])
}

pub(super) fn select(config: &Config, device: &str) -> Result<Vec<Capability>, Malformed> {
    let options = config.list("options");
    let binding = config.options(
        &options,
        ["command_topic", "command_template"],
        ["state_topic", "value_template"],
    )?;
    if options.is_empty() {
        return Err(Malformed::Missing("options"));
    }
    let name = config
        .own_name(device)
        .unwrap_or_else(|| "option".to_owned());
    let playback = || {
        Domain::Choice(
            options
                .iter()
                .filter(|word| PLAYBACK.contains(&word.as_str()))
                .cloned()
                .collect(),
        )
    };
    Ok(vec![match name.to_lowercase().as_str() {
        "source" | "input" => setting(Property::Source, Domain::Choice(options), binding),
        "playback" if options.iter().any(|word| PLAYBACK.contains(&word.as_str())) => {
            setting(Property::Playback, playback(), binding)
        }
        _ => setting(readings::named(&name), Domain::Choice(options), binding),
    }])
}

pub(super) fn numeric(config: &Config, device: &str) -> Result<Vec<Capability>, Malformed> {
    let name = config
        .own_name(device)
        .unwrap_or_else(|| "number".to_owned());
    let (min, max) = (
        config.number("min").unwrap_or(1.0),
        config.number("max").unwrap_or(100.0),
    );
    if min >= max {
        return Err(Malformed::Missing("max"));
    }
    let unit = config
        .text("unit_of_measurement")
        .and_then(|u| names::clean(&u))
        .unwrap_or_default();
    let is_volume = name.eq_ignore_ascii_case("volume")
        && min.abs() < f64::EPSILON
        && (max - 100.0).abs() < f64::EPSILON;
    let (property, unit) = if is_volume {
        (Property::Volume, "%".to_owned())
    } else {
        (readings::named(&name), unit)
    };
    // Whole numbers where nothing is said, as for Home Assistant.
    let takes = Domain::Number {
        min,
        max,
        step: config.number("step").filter(|s| *s > 0.0).or(Some(1.0)),
        unit,
    };
    let binding = Binding {
        command: config.tells("command_topic", "command_template")?,
        state: config.hears("state_topic", "value_template")?,
        ..Binding::default()
    };
    Ok(vec![setting(property, takes, binding)])
}

pub(super) fn button(config: &Config) -> Result<Vec<Capability>, Malformed> {
    // The gate asks for `PRESS` where a capability takes no value.
    let press = [(Value::text("PRESS"), config.wire("payload_press", "PRESS"))];
    let fixed = config.messages(["command_topic", "command_template"], &press)?;
    Ok(vec![setting(
        Property::Press,
        Domain::Trigger,
        Binding {
            fixed,
            ..Binding::default()
        },
    )])
}

pub(super) fn scene(config: &Config) -> Result<Vec<Capability>, Malformed> {
    let on = [(Value::text("activated"), config.wire("payload_on", "ON"))];
    let fixed = config.messages(["command_topic", "command_template"], &on)?;
    Ok(vec![setting(
        Property::Scene,
        choice(&["activated"]),
        Binding {
            fixed,
            ..Binding::default()
        },
    )])
}

pub(super) fn sensor(config: &Config, device: &str) -> Result<Vec<Capability>, Malformed> {
    let state = config.hears("state_topic", "value_template")?;
    if state.is_empty() {
        return Err(Malformed::Missing("state_topic"));
    }
    let class = config.text("device_class");
    let Some(name) = class
        .clone()
        .filter(|c| c != "enum")
        .or_else(|| config.own_name(device))
    else {
        return Err(Malformed::Missing("name"));
    };
    let options = config.list("options");
    if class.as_deref() == Some("enum") || !options.is_empty() {
        return Ok(vec![readings::one_of(&name, options, state)]);
    }
    Ok(vec![readings::told(
        &name,
        config.text("unit_of_measurement").as_deref(),
        state,
    )])
}

pub(super) fn binary_sensor(config: &Config, device: &str) -> Result<Vec<Capability>, Malformed> {
    let state = config.hears("state_topic", "value_template")?;
    if state.is_empty() {
        return Err(Malformed::Missing("state_topic"));
    }
    let Some(name) = config
        .text("device_class")
        .or_else(|| config.own_name(device))
    else {
        return Err(Malformed::Missing("name"));
    };
    let wire: [Json; 2] = [
        config.wire("payload_on", "ON"),
        config.wire("payload_off", "OFF"),
    ];
    Ok(vec![readings::sensed(&name, wire, state)])
}

/// The whole range of what is told in percent.
pub(super) fn percent() -> Domain {
    number(0.0, 100.0, "%")
}
