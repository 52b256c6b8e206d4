//! Vacuums and lawn mowers.

use serde_json::Value as Json;

use crate::binding::{Binding, Port};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::announcement::InvalidAnnouncement;
use crate::discovery::capabilities::{field, setting, words};
use crate::discovery::homeassistant::config::EntityConfig;
use crate::discovery::readings;

/// A word of the vocabulary that a vacuum can be set to, with the feature it needs and its payload.
struct VacuumCommand {
    word: &'static str,
    feature: &'static str,
    payload_key: &'static str,
    payload: &'static str,
}

const VACUUM_COMMANDS: [VacuumCommand; 5] = [
    VacuumCommand {
        word: "cleaning",
        feature: "start",
        payload_key: "payload_start",
        payload: "start",
    },
    VacuumCommand {
        word: "paused",
        feature: "pause",
        payload_key: "payload_pause",
        payload: "pause",
    },
    VacuumCommand {
        word: "stopped",
        feature: "stop",
        payload_key: "payload_stop",
        payload: "stop",
    },
    VacuumCommand {
        word: "docked",
        feature: "return_home",
        payload_key: "payload_return_to_base",
        payload: "return_to_base",
    },
    VacuumCommand {
        word: "located",
        feature: "locate",
        payload_key: "payload_locate",
        payload: "locate",
    },
];

/// Features Home Assistant assumes.
const DEFAULT_FEATURES: [&str; 3] = ["start", "stop", "return_home"];

/// States of a vacuum. One that is on its way to the dock, or reports an error, is in none of them.
const VACUUM_STATES: [(&str, &str); 4] = [
    ("cleaning", "cleaning"),
    ("paused", "paused"),
    ("stopped", "idle"),
    ("docked", "docked"),
];

/// Returns the capabilities of a vacuum, whose state is a JSON object.
///
/// # Errors
/// If a topic cannot be used.
pub(super) fn vacuum(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let features = if config.has("supported_features") {
        config.list("supported_features")
    } else {
        DEFAULT_FEATURES.map(str::to_owned).to_vec()
    };
    let mut payloads: Vec<(Value, Json)> = Vec::new();
    for command in &VACUUM_COMMANDS {
        let payload = config.payload(command.payload_key, command.payload);
        if features.iter().any(|f| f == command.feature) {
            payloads.push((Value::text(command.word), payload));
        }
    }
    let topic = config.topic("state_topic")?;
    let state = |key: &str| -> Vec<Port> {
        let topic = topic.iter();
        topic.map(|topic| field(topic, &[key])).collect()
    };
    let domain = Domain::Choice(payloads.iter().map(|(word, _)| word.to_string()).collect());
    let binding = Binding {
        fixed: config.messages(["command_topic", ""], &payloads)?,
        state: state("state"),
        codec: words(word_pairs(&VACUUM_STATES)),
        ..Binding::default()
    };
    let mut capabilities = vec![setting(Property::Vacuum, domain, binding)];
    let speeds = config.list("fan_speed_list");
    let mut speed = config.word_binding(&speeds, ["set_fan_speed_topic", ""], ["", ""])?;
    if !speeds.is_empty() && speed.command.is_some() {
        speed.state = state("fan_speed");
        let domain = Domain::Choice(speeds);
        capabilities.push(setting(Property::FanMode, domain, speed));
    }
    if features.iter().any(|f| f == "battery") && topic.is_some() {
        let battery = state("battery_level");
        capabilities.push(readings::measurement("battery", Some("%"), battery));
    }
    Ok(capabilities)
}

/// Commands of a lawn mower: the word, the options of its topic and template, and the payload.
const MOWER_COMMANDS: [(&str, [&str; 2], &str); 3] = [
    (
        "mowing",
        [
            "start_mowing_command_topic",
            "start_mowing_command_template",
        ],
        "start_mowing",
    ),
    (
        "paused",
        ["pause_command_topic", "pause_command_template"],
        "pause",
    ),
    (
        "docked",
        ["dock_command_topic", "dock_command_template"],
        "dock",
    ),
];

/// Returns the capability of a lawn mower.
///
/// # Errors
/// If a topic or template cannot be used.
pub(super) fn mower(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let mut fixed = Vec::new();
    for (word, port, payload) in MOWER_COMMANDS {
        fixed.extend(config.messages(port, &[(Value::text(word), Json::from(payload))])?);
    }
    let domain = Domain::Choice(fixed.iter().map(|(word, _)| word.to_string()).collect());
    let states = [
        ("mowing", "mowing"),
        ("paused", "paused"),
        ("docked", "docked"),
    ];
    let binding = Binding {
        state: config.state("activity_state_topic", "activity_value_template")?,
        codec: words(word_pairs(&states)),
        fixed,
        ..Binding::default()
    };
    Ok(vec![setting(Property::Mower, domain, binding)])
}

fn word_pairs(pairs: &[(&str, &str)]) -> Vec<(Value, Json)> {
    let pairs = pairs.iter();
    pairs
        .map(|(word, reported)| (Value::text(word), Json::from(*reported)))
        .collect()
}
