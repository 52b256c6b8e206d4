//! Comparison of commands by their effect: the same device may be commanded on one topic with a
//! JSON object, on another with a bare word, and by names that differ in spelling only.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use crate::binding::Publication;
use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::vocabulary::{Domain, Value};

/// Returns the keys of a device's commands: the topic of the device, and the property set there.
/// Two devices with a key in common are one.
pub(super) fn command_keys(device: &Device) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for capability in device.capabilities.iter().filter(|c| c.settable) {
        for message in sample_messages(capability) {
            keys.extend(message_keys(&message));
        }
    }
    keys
}

/// Returns the topics of the physical devices it commands, without the levels that name the
/// property.
pub(super) fn command_roots(device: &Device) -> BTreeSet<String> {
    let keys = command_keys(device);
    let roots = keys.iter().filter_map(|key| key.split_once('\0'));
    roots.map(|(root, _)| root.to_owned()).collect()
}

/// Returns messages of every form the capability is commanded with.
fn sample_messages(capability: &Capability) -> Vec<Publication> {
    let mut messages: Vec<Publication> = Vec::new();
    for (_, message) in &capability.binding.fixed {
        messages.push(message.clone());
    }
    let sample = match &capability.domain {
        Domain::Choice(words) => words.first().map(|word| Value::text(word)),
        Domain::Number { min, max, .. } => Some(Value::Number(f64::midpoint(*min, *max))),
        Domain::Color => Some(Value::text("#ff8000")),
        Domain::Boolean => Some(Value::Flag(true)),
        Domain::Trigger => Some(Value::text("PRESS")),
    };
    messages.extend(sample.and_then(|value| capability.binding.encode(&value)));
    messages
}

/// Returns the keys of one message: each key of a JSON object, or the level behind `set`, or the
/// last level of the topic.
fn message_keys(message: &Publication) -> Vec<String> {
    let (root, what) = split_topic(&message.topic);
    let object = serde_json::from_str::<Map<String, Json>>(&message.payload);
    let Ok(object) = object else {
        return vec![format!("{root}\0{what}")];
    };
    // `state` only says whether the light is on, where something else is set with it.
    let others: Vec<&String> = object.keys().filter(|key| *key != "state").collect();
    if others.is_empty() {
        return vec![format!("{root}\0{what}")];
    }
    let keys = others.into_iter();
    keys.map(|key| format!("{root}\0{key}")).collect()
}

/// Splits a command topic into the device's topic and the property that is set. A topic of
/// `Zigbee2MQTT` ends with `set`, or with `set` and a key; an endpoint before it is part of the
/// key: `l1/set` sets `state_l1`. Tasmota's last level is the command, whose index 1 may be left
/// out.
fn split_topic(topic: &str) -> (String, String) {
    let levels: Vec<&str> = topic.split('/').collect();
    if let Some(at) = levels.iter().rposition(|level| *level == "set") {
        let root = levels[..at].join("/");
        let rest = levels[at + 1..].join("/");
        let what = if rest.is_empty() {
            "state".to_owned()
        } else {
            rest
        };
        return (root, what);
    }
    let (root, last) = topic.rsplit_once('/').unwrap_or(("", topic));
    let command = last.to_ascii_uppercase();
    let command = match command.strip_suffix('1') {
        Some("POWER") => "POWER".to_owned(),
        _ => command,
    };
    (root.to_owned(), command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(topic: &str, payload: &str) -> Vec<String> {
        message_keys(&Publication::new(topic, payload))
    }

    #[test]
    fn one_command_has_one_key_in_every_form() {
        let bare = keys("zigbee2mqtt/Lamp/set", "ON");
        assert_eq!(keys("zigbee2mqtt/Lamp/set", r#"{"state":"ON"}"#), bare);
        assert_eq!(keys("zigbee2mqtt/Lamp/set/state", "OFF"), bare);
        assert_eq!(
            keys("cmnd/plug/POWER1", "ON"),
            keys("cmnd/plug/POWER", "OFF")
        );
        assert_ne!(keys("zigbee2mqtt/Lamp/set/brightness", "1"), bare);
        assert_ne!(
            keys("cmnd/plug/POWER2", "ON"),
            keys("cmnd/plug/POWER", "ON")
        );
        assert_eq!(
            keys("zigbee2mqtt/Lamp/set", r#"{"state":"ON","brightness":3}"#),
            keys("zigbee2mqtt/Lamp/set/brightness", "3")
        );
    }
}
