//! Thermostats, air conditioners and water heaters.

use serde_json::Value as Json;

use crate::binding::{Binding, Port, Scale};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::announcement::InvalidAnnouncement;
use crate::discovery::capabilities::{choice, scaled, setting};
use crate::discovery::homeassistant::config::EntityConfig;
use crate::discovery::homeassistant::switch::{ON_OFF, on_off};
use crate::discovery::readings;

const HVAC_MODES: &[&str] = &["auto", "off", "cool", "heat", "dry", "fan_only"];

const WATER_HEATER_MODES: &[&str] = &[
    "off",
    "eco",
    "electric",
    "gas",
    "heat_pump",
    "high_demand",
    "performance",
];

/// Target temperatures Home Assistant assumes, in °C.
const CLIMATE_RANGE: (f64, f64) = (7.0, 35.0);
const WATER_HEATER_RANGE: (f64, f64) = (43.3, 60.0);

/// Options of a property whose values are words of the device.
pub(super) struct ModeOptions {
    pub(super) property: Property,
    /// Option with the list of words.
    pub(super) words_key: &'static str,
    /// Words Home Assistant assumes.
    pub(super) default_words: &'static [&'static str],
    /// Options of the topic and template of commands.
    pub(super) command: [&'static str; 2],
    /// Options of the topic and template of states.
    pub(super) state: [&'static str; 2],
}

/// Returns a capability for each of the options that has a command topic and words.
///
/// # Errors
/// If a topic or template cannot be used.
pub(super) fn modes(
    config: &EntityConfig,
    all: Vec<ModeOptions>,
) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let mut capabilities = Vec::new();
    for options in all {
        let mut words = config.list(options.words_key);
        if words.is_empty() {
            words = options
                .default_words
                .iter()
                .map(|&w| w.to_owned())
                .collect();
        }
        let state = [options.state[0], template_key(config, options.state[1])];
        let binding = config.word_binding(&words, options.command, state)?;
        if binding.command.is_some() && !words.is_empty() {
            let domain = Domain::Choice(words);
            capabilities.push(setting(options.property, domain, binding));
        }
    }
    Ok(capabilities)
}

/// Returns the option of a state's template. `value_template` is the template of all states that
/// have none.
fn template_key<'a>(config: &EntityConfig, key: &'a str) -> &'a str {
    if config.has(key) {
        key
    } else {
        "value_template"
    }
}

fn state(
    config: &EntityConfig,
    [topic, template]: [&str; 2],
) -> Result<Vec<Port>, InvalidAnnouncement> {
    config.state(topic, template_key(config, template))
}

fn mode(property: Property, default_words: &'static [&'static str]) -> ModeOptions {
    ModeOptions {
        property,
        words_key: "modes",
        default_words,
        command: ["mode_command_topic", "mode_command_template"],
        state: ["mode_state_topic", "mode_state_template"],
    }
}

pub(super) fn preset_mode() -> ModeOptions {
    ModeOptions {
        property: Property::Preset,
        words_key: "preset_modes",
        default_words: &[],
        command: ["preset_mode_command_topic", "preset_mode_command_template"],
        state: ["preset_mode_state_topic", "preset_mode_value_template"],
    }
}

/// Returns the capabilities of a thermostat or air conditioner.
///
/// # Errors
/// If a topic, template or range cannot be used.
pub(super) fn climate(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let mut capabilities = temperatures(config, CLIMATE_RANGE)?;
    let all = vec![
        mode(Property::HvacMode, HVAC_MODES),
        ModeOptions {
            property: Property::FanMode,
            words_key: "fan_modes",
            default_words: &["auto", "low", "medium", "high"],
            command: ["fan_mode_command_topic", "fan_mode_command_template"],
            state: ["fan_mode_state_topic", "fan_mode_state_template"],
        },
        preset_mode(),
        ModeOptions {
            property: "swing_mode".into(),
            words_key: "swing_modes",
            default_words: &["on", "off"],
            command: ["swing_mode_command_topic", "swing_mode_command_template"],
            state: ["swing_mode_state_topic", "swing_mode_state_template"],
        },
        ModeOptions {
            property: "swing_horizontal_mode".into(),
            words_key: "swing_horizontal_modes",
            default_words: &["on", "off"],
            command: [
                "swing_horizontal_mode_command_topic",
                "swing_horizontal_mode_command_template",
            ],
            state: [
                "swing_horizontal_mode_state_topic",
                "swing_horizontal_mode_state_template",
            ],
        },
    ];
    capabilities.extend(modes(config, all)?.into_iter().map(with_no_preset));
    capabilities.extend(humidity(config)?);
    capabilities.extend(power(config)?);
    capabilities.extend(measurements(config)?);
    Ok(capabilities)
}

/// The preset that stands for none. Home Assistant adds it to those of a thermostat, which must not
/// list it.
const NO_PRESET: &str = "none";

/// Adds the preset for none to a capability that has presets. It is reported as `none` or `None`.
fn with_no_preset(mut capability: Capability) -> Capability {
    if let (Property::Preset, Domain::Choice(words)) =
        (&capability.property, &mut capability.domain)
        && !words.iter().any(|word| word == NO_PRESET)
    {
        words.insert(0, NO_PRESET.to_owned());
        let reported = ["none", "None"].map(|word| (Value::text(NO_PRESET), Json::from(word)));
        capability.binding.codec.words.extend(reported);
    }
    capability
}

/// Returns the capabilities of a water heater.
///
/// # Errors
/// If a topic, template or range cannot be used.
pub(super) fn water_heater(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let mut capabilities = power(config)?;
    capabilities.extend(temperatures(config, WATER_HEATER_RANGE)?);
    capabilities.extend(modes(
        config,
        vec![mode(Property::HvacMode, WATER_HEATER_MODES)],
    )?);
    capabilities.extend(measurements(config)?);
    Ok(capabilities)
}

/// Returns the power of a device that is switched on a topic of its own. It has no state topic in
/// Home Assistant.
fn power(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let ports = [["power_command_topic", "power_command_template"], ["", ""]];
    let power = on_off(config, Property::Power, ["on", "off"], ports, &ON_OFF)?;
    if power.binding.fixed.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![power])
}

/// Options of a target temperature.
struct TargetOptions {
    property: &'static str,
    command: [&'static str; 2],
    state: [&'static str; 2],
}

/// The target, and the two targets of a device that heats and cools.
const TARGETS: [TargetOptions; 3] = [
    TargetOptions {
        property: "temperature",
        command: ["temperature_command_topic", "temperature_command_template"],
        state: ["temperature_state_topic", "temperature_state_template"],
    },
    TargetOptions {
        property: "temperature_high",
        command: [
            "temperature_high_command_topic",
            "temperature_high_command_template",
        ],
        state: [
            "temperature_high_state_topic",
            "temperature_high_state_template",
        ],
    },
    TargetOptions {
        property: "temperature_low",
        command: [
            "temperature_low_command_topic",
            "temperature_low_command_template",
        ],
        state: [
            "temperature_low_state_topic",
            "temperature_low_state_template",
        ],
    },
];

/// Returns the target temperatures, in °C for every unit that a device may use.
fn temperatures(
    config: &EntityConfig,
    default_range: (f64, f64),
) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let scale = scale(config);
    let is_fahrenheit = matches!(scale, Scale::Fahrenheit { .. });
    let limit = |key: &str, default: f64| match config.number(key) {
        Some(limit) if is_fahrenheit => ((limit - 32.0) / 1.8 * 10.0).round() / 10.0,
        Some(limit) => limit,
        None => default,
    };
    let min = limit("min_temp", default_range.0);
    let max = limit("max_temp", default_range.1);
    // A step of whole °F is no step in °C: it is applied when the value is sent.
    let step = temp_step(config).unwrap_or(0.1);
    let step = (!is_fahrenheit).then_some(step);
    let mut capabilities = Vec::new();
    for options in &TARGETS {
        let command = config.command(options.command[0], options.command[1])?;
        let state = state(config, options.state)?;
        let Some(command) = command else {
            continue;
        };
        if min >= max {
            return Err(InvalidAnnouncement::Unusable {
                option: "min_temp",
                reason: "is not below `max_temp`",
            });
        }
        let domain = Domain::Number {
            min,
            max,
            step,
            unit: "°C".to_owned(),
        };
        let binding = Binding {
            command: Some(command),
            state,
            codec: scaled(scale),
            ..Binding::default()
        };
        let mut capability = setting(options.property.into(), domain, binding);
        capability.step = 1.0;
        capabilities.push(capability);
    }
    Ok(capabilities)
}

fn scale(config: &EntityConfig) -> Scale {
    let unit = config.text("temperature_unit").unwrap_or_default();
    let grain = temp_step(config).unwrap_or(1.0);
    if unit.trim_start_matches('°').eq_ignore_ascii_case("f") {
        Scale::Fahrenheit { grain }
    } else {
        Scale::Same
    }
}

fn temp_step(config: &EntityConfig) -> Option<f64> {
    config.number("temp_step").filter(|step| *step >= 0.1)
}

/// Returns the target humidity.
///
/// # Errors
/// If a topic or template cannot be used.
pub(super) fn humidity(config: &EntityConfig) -> Result<Option<Capability>, InvalidAnnouncement> {
    let command = config.command(
        "target_humidity_command_topic",
        "target_humidity_command_template",
    )?;
    let state = state(
        config,
        [
            "target_humidity_state_topic",
            "target_humidity_state_template",
        ],
    )?;
    let min = config.number("min_humidity").unwrap_or(0.0);
    let max = config.number("max_humidity").unwrap_or(100.0);
    let (min, max) = if min < max { (min, max) } else { (0.0, 100.0) };
    if command.is_none() {
        return Ok(None);
    }
    let domain = Domain::Number {
        min,
        max,
        step: Some(1.0),
        unit: "%".to_owned(),
    };
    let binding = Binding {
        command,
        state,
        ..Binding::default()
    };
    Ok(Some(setting(Property::Humidity, domain, binding)))
}

/// Returns the measured temperature and humidity, and the present action of the device.
///
/// # Errors
/// If a topic or template cannot be used.
pub(super) fn measurements(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let mut capabilities = Vec::new();
    let temperature = state(
        config,
        ["current_temperature_topic", "current_temperature_template"],
    )?;
    if !temperature.is_empty() {
        let unit = if matches!(scale(config), Scale::Fahrenheit { .. }) {
            "°F"
        } else {
            "°C"
        };
        let reading = readings::measurement("temperature", Some(unit), temperature);
        capabilities.push(reading);
    }
    let humidity = state(
        config,
        ["current_humidity_topic", "current_humidity_template"],
    )?;
    if !humidity.is_empty() {
        capabilities.push(readings::measurement("humidity", Some("%"), humidity));
    }
    let action = state(config, ["action_topic", "action_template"])?;
    if !action.is_empty() {
        let mut action = readings::one_of("action", Vec::new(), action);
        action.domain = choice(&[
            "off",
            "heating",
            "cooling",
            "drying",
            "humidifying",
            "idle",
            "fan",
        ]);
        capabilities.push(action);
    }
    Ok(capabilities)
}
