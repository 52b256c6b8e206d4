//! Locks and alarm control panels.

use serde_json::Value as Json;

use crate::binding::Binding;
use crate::home::capability::Capability;
use crate::vocabulary::{Property, Value};

use crate::discovery::announcement::InvalidAnnouncement;
use crate::discovery::capabilities::{choice, setting, words};
use crate::discovery::homeassistant::config::EntityConfig;

/// Options of the topic and template of commands.
const COMMAND: [&str; 2] = ["command_topic", "command_template"];

/// Statement that sets the variable for a code, which sayso does not know.
const NO_CODE: &str = "{% set code = '' %}";

/// Returns the capability of a lock. States between locked and unlocked, and a jam, are no value of
/// it.
///
/// # Errors
/// If a topic or template cannot be used.
pub(super) fn lock(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let payloads = [
        (
            Value::text("locked"),
            config.payload("payload_lock", "LOCK"),
        ),
        (
            Value::text("unlocked"),
            config.payload("payload_unlock", "UNLOCK"),
        ),
    ];
    let mut reported = vec![
        (
            Value::text("locked"),
            config.payload("state_locked", "LOCKED"),
        ),
        (
            Value::text("unlocked"),
            config.payload("state_unlocked", "UNLOCKED"),
        ),
    ];
    // A device that reports a jam or a movement by one of the two words is in neither state.
    let mut other_states = Vec::new();
    for (key, default, name) in [
        ("state_jammed", "JAMMED", "jammed"),
        ("state_locking", "LOCKING", "locking"),
        ("state_unlocking", "UNLOCKING", "unlocking"),
    ] {
        let other = config.payload(key, default);
        reported.retain(|(_, word)| *word != other);
        other_states.push((other, name));
    }
    let binding = Binding {
        fixed: config.messages_with(COMMAND, &payloads, NO_CODE)?,
        state: config.state("state_topic", "value_template")?,
        codec: words(reported),
        other_states,
        ..Binding::default()
    };
    let mut lock = setting(Property::Lock, choice(&["locked", "unlocked"]), binding);
    // Such a lock takes no command without a code, and sayso knows none.
    lock.settable = !config.has("code_format");
    Ok(vec![lock])
}

/// Ways to arm an alarm: the word for it, the feature that allows it, the option of its payload
/// with its default, and the state that is reported.
const ARMED: [(&str, &str, &str, &str); 5] = [
    ("arm_away", "payload_arm_away", "ARM_AWAY", "armed_away"),
    ("arm_home", "payload_arm_home", "ARM_HOME", "armed_home"),
    ("arm_night", "payload_arm_night", "ARM_NIGHT", "armed_night"),
    (
        "arm_vacation",
        "payload_arm_vacation",
        "ARM_VACATION",
        "armed_vacation",
    ),
    (
        "arm_custom_bypass",
        "payload_arm_custom_bypass",
        "ARM_CUSTOM_BYPASS",
        "armed_custom_bypass",
    ),
];

/// Returns the capability of an alarm: on arms it in the first way it has, off disarms it. While it
/// is arming, pending or triggered it is neither.
///
/// # Errors
/// If a topic or template cannot be used.
pub(super) fn alarm(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let features = config.list("supported_features");
    let mut payloads: Vec<(Value, Json)> = Vec::new();
    let mut reported = vec![(Value::text("off"), Json::from("disarmed"))];
    for (feature, key, default, state) in ARMED {
        let payload = config.payload(key, default);
        let is_supported = features.is_empty() || features.iter().any(|f| f == feature);
        if is_supported && payloads.is_empty() {
            payloads.push((Value::text("on"), payload));
        }
        reported.push((Value::text("on"), Json::from(state)));
    }
    payloads.push((
        Value::text("off"),
        config.payload("payload_disarm", "DISARM"),
    ));
    let variables = format!("{{% set action = value %}}{NO_CODE}");
    let binding = Binding {
        fixed: config.messages_with(COMMAND, &payloads, &variables)?,
        state: config.state("state_topic", "value_template")?,
        codec: words(reported),
        ..Binding::default()
    };
    let mut alarm = setting(Property::Power, choice(&["on", "off"]), binding);
    let code_for_arming = config.bool("code_arm_required", true);
    let code_for_disarming = config.bool("code_disarm_required", true);
    alarm.settable = !config.has("code") || !(code_for_arming || code_for_disarming);
    Ok(vec![alarm])
}
