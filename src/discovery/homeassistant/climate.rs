//! Entities that keep the air: climate, water heater, humidifier and fan.

use crate::binding::{Binding, Codec, Scale};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property};

use crate::discovery::homeassistant::config::Config;
use crate::discovery::homeassistant::simple::{ON_OFF, Words, switched};
use crate::discovery::{Malformed, choice, readings, setting};

/// A choice of the device's: its property, the key of its words with their default, and the keys of topics and templates.
struct AvailabilityMode {
    property: Property,
    words: (&'static str, &'static [&'static str]),
    command: [&'static str; 2],
    state: [&'static str; 2],
}

fn modes(config: &Config, kinds: Vec<AvailabilityMode>) -> Result<Vec<Capability>, Malformed> {
    let mut capabilities = Vec::new();
    for AvailabilityMode {
        property,
        words: (key, usual),
        command,
        state,
    } in kinds
    {
        if config.get(command[0]).is_none() {
            continue;
        }
        let mut words = config.list(key);
        if words.is_empty() {
            words = usual.iter().map(|&w| w.to_owned()).collect();
        }
        if !words.is_empty() {
            let binding = config.options(&words, command, state)?;
            capabilities.push(setting(property, Domain::Choice(words), binding));
        }
    }
    Ok(capabilities)
}

const HVAC: &[&str] = &["auto", "off", "cool", "heat", "dry", "fan_only"];
const HEATER: &[&str] = &[
    "off",
    "eco",
    "electric",
    "gas",
    "heat_pump",
    "high_demand",
    "performance",
];

fn mode(
    property: Property,
    usual: &'static [&'static str],
    state: [&'static str; 2],
) -> AvailabilityMode {
    AvailabilityMode {
        property,
        words: ("modes", usual),
        command: ["mode_command_topic", "mode_command_template"],
        state,
    }
}

fn preset() -> AvailabilityMode {
    let command = ["preset_mode_command_topic", "preset_mode_command_template"];
    AvailabilityMode {
        property: Property::Preset,
        words: ("preset_modes", &[]),
        command,
        state: ["preset_mode_state_topic", "preset_mode_value_template"],
    }
}

pub(super) fn climate(config: &Config) -> Result<Vec<Capability>, Malformed> {
    let mut capabilities = temperatures(config, (7.0, 35.0))?;
    capabilities.extend(modes(
        config,
        vec![
            mode(
                Property::HvacMode,
                HVAC,
                ["mode_state_topic", "mode_state_template"],
            ),
            AvailabilityMode {
                property: Property::FanMode,
                words: ("fan_modes", &["auto", "low", "medium", "high"]),
                command: ["fan_mode_command_topic", "fan_mode_command_template"],
                state: ["fan_mode_state_topic", "fan_mode_state_template"],
            },
            preset(),
            AvailabilityMode {
                property: "swing_mode".into(),
                words: ("swing_modes", &["on", "off"]),
                command: ["swing_mode_command_topic", "swing_mode_command_template"],
                state: ["swing_mode_state_topic", "swing_mode_state_template"],
            },
        ],
    )?);
    capabilities.extend(humidity(config)?);
    capabilities.extend(power(config)?);
    capabilities.extend(measured(config)?);
    Ok(capabilities)
}

pub(super) fn water_heater(config: &Config) -> Result<Vec<Capability>, Malformed> {
    let mut capabilities = power(config)?;
    capabilities.extend(temperatures(config, (43.3, 60.0))?);
    capabilities.extend(modes(
        config,
        vec![mode(
            Property::HvacMode,
            HEATER,
            ["mode_state_topic", "mode_state_template"],
        )],
    )?);
    capabilities.extend(measured(config)?);
    Ok(capabilities)
}

pub(super) fn humidifier(config: &Config) -> Result<Vec<Capability>, Malformed> {
    let mut capabilities = vec![switch(config)?];
    capabilities.extend(humidity(config)?);
    capabilities.extend(modes(
        config,
        vec![mode(
            Property::Preset,
            &[],
            ["mode_state_topic", "mode_state_template"],
        )],
    )?);
    capabilities.extend(measured(config)?);
    Ok(capabilities)
}

pub(super) fn fan(config: &Config) -> Result<Vec<Capability>, Malformed> {
    const OSCILLATION: Words = Words {
        payload: [
            ("payload_oscillation_on", "oscillate_on"),
            ("payload_oscillation_off", "oscillate_off"),
        ],
        state: ["payload_oscillation_on", "payload_oscillation_off"],
    };
    let mut capabilities = vec![switch(config)?];
    capabilities.extend(speed(config)?);
    let direction = AvailabilityMode {
        property: "direction".into(),
        words: ("no_words", &["forward", "reverse"]),
        command: ["direction_command_topic", "direction_command_template"],
        state: ["direction_state_topic", "direction_value_template"],
    };
    capabilities.extend(modes(config, vec![preset(), direction])?);
    if config.get("oscillation_command_topic").is_some() {
        let ports = [
            ["oscillation_command_topic", "oscillation_command_template"],
            ["oscillation_state_topic", "oscillation_value_template"],
        ];
        capabilities.push(switched(
            config,
            "oscillation".into(),
            ["on", "off"],
            ports,
            &OSCILLATION,
        )?);
    }
    Ok(capabilities)
}

/// The percentage of a fan's range of speeds. Zero is left to `off`, as Home Assistant does: a fan need not know it.
fn speed(config: &Config) -> Result<Option<Capability>, Malformed> {
    let Some(command) = config.tells("percentage_command_topic", "percentage_command_template")?
    else {
        return Ok(None);
    };
    let (low, high) = (
        config.number("speed_range_min").unwrap_or(1.0),
        config.number("speed_range_max").unwrap_or(100.0),
    );
    let speeds = high - low + 1.0;
    if speeds < 1.0 {
        return Err(Malformed::Missing("speed_range_max"));
    }
    let takes = Domain::Number {
        min: (100.0 / speeds).floor().max(1.0),
        max: 100.0,
        step: None,
        unit: "%".to_owned(),
    };
    let codec = Codec {
        words: Vec::new(),
        scale: Scale::Linear {
            from: (0.0, 100.0),
            to: (low - 1.0, high),
        },
    };
    let binding = Binding {
        command: Some(command),
        state: config.hears("percentage_state_topic", "percentage_value_template")?,
        codec,
        ..Binding::default()
    };
    Ok(Some(setting(Property::Speed, takes, binding)))
}

fn switch(config: &Config) -> Result<Capability, Malformed> {
    let ports = [
        ["command_topic", "command_template"],
        ["state_topic", "state_value_template"],
    ];
    switched(config, Property::Power, ["on", "off"], ports, &ON_OFF)
}

fn power(config: &Config) -> Result<Vec<Capability>, Malformed> {
    if config.get("power_command_topic").is_none() {
        return Ok(Vec::new());
    }
    let ports = [
        ["power_command_topic", "power_command_template"],
        ["power_state_topic", "power_state_template"],
    ];
    Ok(vec![switched(
        config,
        Property::Power,
        ["on", "off"],
        ports,
        &ON_OFF,
    )?])
}

/// The target, and the two targets of what heats and cools. What is in °F is taken in °C.
fn temperatures(config: &Config, usual: (f64, f64)) -> Result<Vec<Capability>, Malformed> {
    const TARGETS: [(&str, [&str; 4]); 3] = [
        (
            "temperature",
            [
                "temperature_command_topic",
                "temperature_command_template",
                "temperature_state_topic",
                "temperature_state_template",
            ],
        ),
        (
            "temperature_high",
            [
                "temperature_high_command_topic",
                "temperature_high_command_template",
                "temperature_high_state_topic",
                "temperature_high_state_template",
            ],
        ),
        (
            "temperature_low",
            [
                "temperature_low_command_topic",
                "temperature_low_command_template",
                "temperature_low_state_topic",
                "temperature_low_state_template",
            ],
        ),
    ];
    let scale = scale(config);
    let fahrenheit = matches!(scale, Scale::Fahrenheit { .. });
    let celsius = |n: f64| {
        if fahrenheit {
            ((n - 32.0) / 1.8 * 10.0).round() / 10.0
        } else {
            n
        }
    };
    let limit = |key: &str, usual: f64| config.number(key).map_or(usual, celsius);
    let (min, max) = (limit("min_temp", usual.0), limit("max_temp", usual.1));
    // A grain of whole °F is no grain in °C: it is kept on the wire.
    let step = Some(temp_step(config).unwrap_or(0.1)).filter(|_| !fahrenheit);
    let mut capabilities = Vec::new();
    for (property, [command_topic, command_template, state_topic, state_template]) in TARGETS {
        let Some(command) = config.tells(command_topic, command_template)? else {
            continue;
        };
        if min >= max {
            return Err(Malformed::Missing("max_temp"));
        }
        let takes = Domain::Number {
            min,
            max,
            step,
            unit: "°C".to_owned(),
        };
        let codec = Codec {
            words: Vec::new(),
            scale,
        };
        let binding = Binding {
            command: Some(command),
            state: config.hears(state_topic, state_template)?,
            codec,
            ..Binding::default()
        };
        let mut capability = setting(property.into(), takes, binding);
        capability.step = 1.0;
        capabilities.push(capability);
    }
    Ok(capabilities)
}

fn scale(config: &Config) -> Scale {
    let unit = config.text("temperature_unit").unwrap_or_default();
    let grain = temp_step(config).unwrap_or(1.0);
    if unit.trim_start_matches('°').eq_ignore_ascii_case("f") {
        Scale::Fahrenheit { grain }
    } else {
        Scale::Same
    }
}

fn temp_step(config: &Config) -> Option<f64> {
    config.number("temp_step").filter(|step| *step >= 0.1)
}

fn humidity(config: &Config) -> Result<Vec<Capability>, Malformed> {
    let Some(command) = config.tells(
        "target_humidity_command_topic",
        "target_humidity_command_template",
    )?
    else {
        return Ok(Vec::new());
    };
    let (min, max) = (
        config.number("min_humidity").unwrap_or(0.0),
        config.number("max_humidity").unwrap_or(100.0),
    );
    let (min, max) = if min < max { (min, max) } else { (0.0, 100.0) };
    let takes = Domain::Number {
        min,
        max,
        step: Some(1.0),
        unit: "%".to_owned(),
    };
    let state = config.hears(
        "target_humidity_state_topic",
        "target_humidity_state_template",
    )?;
    Ok(vec![setting(
        Property::Humidity,
        takes,
        Binding {
            command: Some(command),
            state,
            ..Binding::default()
        },
    )])
}

fn measured(config: &Config) -> Result<Vec<Capability>, Malformed> {
    let mut capabilities = Vec::new();
    let temperature = config.hears("current_temperature_topic", "current_temperature_template")?;
    if !temperature.is_empty() {
        let unit = if matches!(scale(config), Scale::Fahrenheit { .. }) {
            "°F"
        } else {
            "°C"
        };
        capabilities.push(readings::told("temperature", Some(unit), temperature));
    }
    let humidity = config.hears("current_humidity_topic", "current_humidity_template")?;
    if !humidity.is_empty() {
        capabilities.push(readings::told("humidity", Some("%"), humidity));
    }
    let action = config.hears("action_topic", "action_template")?;
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
