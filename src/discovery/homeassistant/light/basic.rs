//! Lights with one topic per property.

use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::binding::color::ColorSpace;
use crate::binding::{Form, Port, PowerOn, Publication};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::announcement::InvalidAnnouncement;
use crate::discovery::capabilities::setting;
use crate::discovery::homeassistant::config::{EntityConfig, command_template, render_each};
use crate::discovery::homeassistant::light::properties::{
    DEFAULT_BRIGHTNESS_SCALE, Ports, add_white, brightness, color, color_temperature,
};
use crate::discovery::homeassistant::switch::{ON_OFF, on_off};

/// A way to send a color.
struct ColorTopics {
    space: ColorSpace,
    /// Beginning of the option names.
    stem: &'static str,
    /// Names of the components in command templates.
    components: &'static [&'static str],
    /// White channels, which a color turns off.
    whites: &'static [&'static str],
}

/// The ways to send a color, in order of preference.
const COLOR_TOPICS: [ColorTopics; 5] = [
    ColorTopics {
        space: ColorSpace::Rgb,
        stem: "rgb",
        components: &["red", "green", "blue"],
        whites: &[],
    },
    ColorTopics {
        space: ColorSpace::Rgb,
        stem: "rgbw",
        components: &["red", "green", "blue"],
        whites: &["white"],
    },
    ColorTopics {
        space: ColorSpace::Rgb,
        stem: "rgbww",
        components: &["red", "green", "blue"],
        whites: &["cold_white", "warm_white"],
    },
    ColorTopics {
        space: ColorSpace::HueSaturation,
        stem: "hs",
        components: &["hue", "sat"],
        whites: &[],
    },
    ColorTopics {
        space: ColorSpace::Xy,
        stem: "xy",
        components: &["x", "y"],
        whites: &[],
    },
];

pub(super) fn light(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let ports = [
        ["command_topic", ""],
        ["state_topic", "state_value_template"],
    ];
    let mut power = on_off(config, Property::Power, ["on", "off"], ports, &ON_OFF)?;
    let off = power.binding.encode(&Value::text("off"));
    let mut settings = Vec::new();
    if let Some(ports) = property_ports(config, "brightness")? {
        settings.push(brightness(config, ports, off));
    }
    if let Some(ports) = property_ports(config, "color_temp")? {
        settings.push(color_temperature(config, ports));
    }
    for topics in &COLOR_TOPICS {
        let command = color_command(config, topics)?;
        let state = state_of(config, topics.stem)?;
        // All options are looked at, so that a broken one is found; the first way is used.
        let is_first = settings.iter().all(|c| c.property != Property::Color);
        if let Some(command) = command
            && is_first
        {
            settings.push(color(Ports { command, state }, topics.space));
        }
    }
    if let Some(white) = white_message(config)?
        && let Some(color) = settings.iter_mut().find(|c| c.property == Property::Color)
    {
        add_white(color, &white);
    }
    settings.extend(effect(config)?);
    turn_on(config, &mut power, &mut settings);
    settings.insert(0, power);
    Ok(settings)
}

/// Applies `on_command_type`: whether a setting is sent before or after the payload that turns the
/// light on, or turns it on by itself.
fn turn_on(config: &EntityConfig, power: &mut Capability, settings: &mut [Capability]) {
    let order = match config.text("on_command_type").as_deref() {
        Some("brightness") => {
            let turning_on = turn_on_by_setting(settings);
            power
                .binding
                .fixed
                .retain(|(value, _)| *value != Value::text("on"));
            power
                .binding
                .fixed
                .extend(turning_on.map(|message| (Value::text("on"), message)));
            return;
        }
        Some("first") => PowerOn::Before,
        _ => PowerOn::After,
    };
    for setting in settings {
        setting.binding.power_on = Some(order);
    }
}

/// Returns the message that turns on a light without a payload for on: full brightness, or white
/// where there is no brightness.
fn turn_on_by_setting(settings: &[Capability]) -> Option<Publication> {
    let encode = |property: Property, value: &Value| {
        let setting = settings.iter().find(|c| c.property == property)?;
        setting.binding.encode(value)
    };
    encode(Property::Brightness, &Value::Number(100.0))
        .or_else(|| encode(Property::Color, &Value::text("#ffffff")))
}

/// Returns the ports of a property whose options begin with its name.
fn property_ports(config: &EntityConfig, stem: &str) -> Result<Option<Ports>, InvalidAnnouncement> {
    let topic_key = format!("{stem}_command_topic");
    let template_key = format!("{stem}_command_template");
    let command = config.command(&topic_key, &template_key)?;
    let state = state_of(config, stem)?;
    Ok(command.map(|command| Ports { command, state }))
}

fn state_of(config: &EntityConfig, stem: &str) -> Result<Vec<Port>, InvalidAnnouncement> {
    config.state(
        &format!("{stem}_state_topic"),
        &format!("{stem}_value_template"),
    )
}

/// Returns where a color is sent. Without a template the payload is the list of components:
/// `255,0,0`.
fn color_command(
    config: &EntityConfig,
    topics: &ColorTopics,
) -> Result<Option<Port>, InvalidAnnouncement> {
    let topic_key = format!("{}_command_topic", topics.stem);
    let template_key = format!("{}_command_template", topics.stem);
    let mut variables = String::new();
    for (index, name) in topics.components.iter().enumerate() {
        let _ = write!(variables, "{{% set {name} = value[{index}] %}}");
    }
    for name in topics.whites {
        let _ = write!(variables, "{{% set {name} = 0 %}}");
    }
    let all = [topics.components, topics.whites].concat().join(", ");
    let list = format!("{variables}{{{{ [{all}] | join(',') }}}}");
    let _ = write!(variables, "{{% set value = [{all}] | join(',') %}}");
    let given = config.command_with(&topic_key, &template_key, &variables)?;
    if config.has(&template_key) {
        return Ok(given);
    }
    let form = Form::Template(command_template(&template_key, "", &list)?);
    Ok(given.map(|port| Port { form, ..port }))
}

/// Returns the message for white at full brightness.
fn white_message(config: &EntityConfig) -> Result<Option<Publication>, InvalidAnnouncement> {
    let scale = config
        .number("white_scale")
        .unwrap_or(DEFAULT_BRIGHTNESS_SCALE);
    let Some(command) = config.command("white_command_topic", "")? else {
        return Ok(None);
    };
    let value = (Value::text("white"), Json::from(scale.round().to_string()));
    let messages = render_each(command, &[value]);
    Ok(messages.into_iter().next().map(|(_, message)| message))
}

fn effect(config: &EntityConfig) -> Result<Option<Capability>, InvalidAnnouncement> {
    let effects = config.list("effect_list");
    let binding = config.word_binding(
        &effects,
        ["effect_command_topic", "effect_command_template"],
        ["effect_state_topic", "effect_value_template"],
    )?;
    if effects.is_empty() || binding.command.is_none() {
        return Ok(None);
    }
    Ok(Some(setting(
        "effect".into(),
        Domain::Choice(effects),
        binding,
    )))
}
