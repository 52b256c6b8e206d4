//! Switches, sirens, and everything else that is on or off.

use serde_json::{Value as Json, json};

use crate::binding::{Binding, Form, Port, Publication};
use crate::home::capability::Capability;
use crate::vocabulary::{Property, Value};

use crate::discovery::announcement::InvalidAnnouncement;
use crate::discovery::capabilities::{choice, setting, words};
use crate::discovery::homeassistant::config::{EntityConfig, render_each};

/// Options with the payloads and states of on and off.
pub(super) struct OnOffOptions {
    /// Options of the payloads for on and off, with their defaults.
    pub(super) payloads: [(&'static str, &'static str); 2],
    /// Options of the states for on and off. The payloads are the states where they are absent.
    pub(super) states: [&'static str; 2],
}

/// The options of most components.
pub(super) const ON_OFF: OnOffOptions = OnOffOptions {
    payloads: [("payload_on", "ON"), ("payload_off", "OFF")],
    states: ["state_on", "state_off"],
};

/// Returns a capability with two words. `ports` are the options of topic and template for commands
/// and for the state.
///
/// # Errors
/// If a topic or template cannot be used.
pub(super) fn on_off(
    config: &EntityConfig,
    property: Property,
    [on, off]: [&str; 2],
    [command, state]: [[&str; 2]; 2],
    options: &OnOffOptions,
) -> Result<Capability, InvalidAnnouncement> {
    let payload = |index: usize| {
        let (key, default) = options.payloads[index];
        config.payload(key, default)
    };
    let reported = |index: usize| {
        let state = config.get(options.states[index]).cloned();
        state.unwrap_or_else(|| payload(index))
    };
    let payloads = [
        (Value::text(on), payload(0)),
        (Value::text(off), payload(1)),
    ];
    let binding = Binding {
        fixed: config.messages(command, &payloads)?,
        state: config.state(state[0], state[1])?,
        codec: words(vec![
            (Value::text(on), reported(0)),
            (Value::text(off), reported(1)),
        ]),
        ..Binding::default()
    };
    Ok(setting(property, choice(&[on, off]), binding))
}

/// Returns the capability of a switch. Home Assistant has no media player over MQTT, so that a
/// switch called `mute` of a device with other parts mutes it.
///
/// # Errors
/// If a topic or template cannot be used.
pub(super) fn switch(
    config: &EntityConfig,
    device: &str,
) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let ports = [
        ["command_topic", "command_template"],
        ["state_topic", "value_template"],
    ];
    let own_name = config.own_name(device).unwrap_or_default();
    let mutes = !device.is_empty() && own_name.eq_ignore_ascii_case("mute");
    let property = if mutes {
        Property::Mute
    } else {
        Property::Power
    };
    let power = on_off(config, property, ["on", "off"], ports, &ON_OFF)?;
    Ok(vec![power])
}

/// Returns the capability of a siren.
///
/// # Errors
/// If a topic or template cannot be used.
pub(super) fn siren(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    // The messages for commands have templates with variables of their own.
    let ports = [["", ""], ["state_topic", "state_value_template"]];
    let mut power = on_off(config, Property::Power, ["on", "off"], ports, &ON_OFF)?;
    power.binding.fixed = siren_messages(config)?;
    // Without a template the state is the word alone, or an object with the word.
    let words_alone = power.binding.state.iter();
    let objects: Vec<Port> = words_alone
        .filter(|port| port.form == Form::Raw)
        .map(|port| Port {
            form: Form::Field(vec!["state".to_owned()]),
            ..port.clone()
        })
        .collect();
    power.binding.state.extend(objects);
    Ok(vec![power])
}

/// Returns the messages for on and off. Without a template the payload is a JSON object, because a
/// tone and a volume may stand beside the state; `command_template` also writes the payload for
/// off, unless that has a template of its own.
fn siren_messages(config: &EntityConfig) -> Result<Vec<(Value, Publication)>, InvalidAnnouncement> {
    let on = config.payload("payload_on", "ON");
    let off = config.payload("payload_off", "OFF");
    // No tone, duration and volume are given, so that these are not defined.
    let variables = "{% set state = value %}{% set tone = {}.tone %}\
                     {% set duration = {}.duration %}{% set volume_level = {}.volume_level %}";
    let topic = "command_topic";
    let off_key = if config.has("command_off_template") {
        "command_off_template"
    } else {
        "command_template"
    };
    let ways = [("on", on, "command_template"), ("off", off, off_key)];
    let mut messages = Vec::new();
    for (word, payload, template_key) in ways {
        let Some(port) = config.command_with(topic, template_key, variables)? else {
            return Ok(Vec::new());
        };
        if config.has(template_key) {
            messages.extend(render_each(port, &[(Value::text(word), payload)]));
        } else {
            let object: Json = json!({ "state": payload });
            let message = Publication::new(port.topic, object.to_string());
            messages.push((Value::text(word), message));
        }
    }
    Ok(messages)
}
