//! Fans and humidifiers.

use crate::binding::{Binding, Codec, Scale};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property};

use crate::discovery::announcement::InvalidAnnouncement;
use crate::discovery::capabilities::{scaled, setting};
use crate::discovery::homeassistant::climate::{
    ModeOptions, humidity, measurements, modes, preset_mode,
};
use crate::discovery::homeassistant::config::EntityConfig;
use crate::discovery::homeassistant::switch::{ON_OFF, OnOffOptions, on_off};

const OSCILLATION: OnOffOptions = OnOffOptions {
    payloads: [
        ("payload_oscillation_on", "oscillate_on"),
        ("payload_oscillation_off", "oscillate_off"),
    ],
    states: ["", ""],
};

/// Returns the capabilities of a fan.
///
/// # Errors
/// If a topic, template or range cannot be used.
pub(super) fn fan(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let mut capabilities = vec![power(config)?];
    capabilities.extend(speed(config)?);
    let direction = ModeOptions {
        property: "direction".into(),
        words_key: "",
        default_words: &["forward", "reverse"],
        command: ["direction_command_topic", "direction_command_template"],
        state: ["direction_state_topic", "direction_value_template"],
    };
    capabilities.extend(modes(config, vec![preset_mode(), direction])?);
    let ports = [
        ["oscillation_command_topic", "oscillation_command_template"],
        ["oscillation_state_topic", "oscillation_value_template"],
    ];
    let oscillation = on_off(
        config,
        "oscillation".into(),
        ["on", "off"],
        ports,
        &OSCILLATION,
    )?;
    if !oscillation.binding.fixed.is_empty() {
        capabilities.push(oscillation);
    }
    Ok(capabilities)
}

/// Returns the speed in percent of the fan's range. Off is no speed, as in Home Assistant: a fan
/// need not have a speed 0.
fn speed(config: &EntityConfig) -> Result<Option<Capability>, InvalidAnnouncement> {
    let command = config.command("percentage_command_topic", "percentage_command_template")?;
    let state = config.state("percentage_state_topic", "percentage_value_template")?;
    let lowest = config.number("speed_range_min").unwrap_or(1.0);
    let highest = config.number("speed_range_max").unwrap_or(100.0);
    let Some(command) = command else {
        return Ok(None);
    };
    let speeds = highest - lowest + 1.0;
    if speeds < 1.0 {
        return Err(InvalidAnnouncement::Unusable {
            option: "speed_range_min",
            reason: "is above `speed_range_max`",
        });
    }
    // Anything above 0 is the lowest speed at least.
    let domain = Domain::Number {
        min: 1.0,
        max: 100.0,
        step: None,
        unit: "%".to_owned(),
    };
    let codec: Codec = scaled(Scale::Steps { lowest, highest });
    let binding = Binding {
        command: Some(command),
        state,
        codec,
        ..Binding::default()
    };
    let mut capability = setting(Property::Speed, domain, binding);
    // "Faster" is the next speed, also where few speeds are far apart.
    capability.step = capability.step.max((100.0 / speeds).ceil());
    Ok(Some(capability))
}

/// Returns the capabilities of a humidifier.
///
/// # Errors
/// If a topic, template or range cannot be used.
pub(super) fn humidifier(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let mut capabilities = vec![power(config)?];
    capabilities.extend(humidity(config)?);
    let mode = ModeOptions {
        property: Property::Preset,
        words_key: "modes",
        default_words: &[],
        command: ["mode_command_topic", "mode_command_template"],
        state: ["mode_state_topic", "mode_state_template"],
    };
    capabilities.extend(modes(config, vec![mode])?);
    capabilities.extend(measurements(config)?);
    Ok(capabilities)
}

fn power(config: &EntityConfig) -> Result<Capability, InvalidAnnouncement> {
    let ports = [
        ["command_topic", "command_template"],
        ["state_topic", "state_value_template"],
    ];
    on_off(config, Property::Power, ["on", "off"], ports, &ON_OFF)
}
