//! Entities that move or bolt: covers, valves, locks, vacuums and lawn mowers.

use serde_json::Value as Json;

use crate::binding::{Binding, Codec, Form, Port, Publication, Scale};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::homeassistant::config::{Config, template};
use crate::discovery::homeassistant::simple::{Words, percent, switched};
use crate::discovery::{Malformed, readings, setting};

const OPEN: Value = Value::Number(100.0);
const CLOSED: Value = Value::Number(0.0);

pub(super) fn cover(config: &Config) -> Result<Vec<Capability>, Malformed> {
    let mut capabilities = vec![position(config)?];
    if let Some(topic) = config.topic("tilt_command_topic")? {
        let limit = |key: &str, default| config.number(key).unwrap_or(default);
        let range = (
            limit("tilt_closed_value", 0.0),
            limit("tilt_opened_value", 100.0),
        );
        let form = config
            .template("tilt_command_template")?
            .map_or(Form::Raw, Form::Template);
        let binding = Binding {
            command: Some(Port { topic, form }),
            state: config.hears("tilt_status_topic", "tilt_status_template")?,
            codec: Codec {
                words: Vec::new(),
                scale: Scale::Linear {
                    from: (0.0, 100.0),
                    to: range,
                },
            },
            stop: stop(config, "payload_stop_tilt")?,
            ..Binding::default()
        };
        capabilities.push(setting(Property::Tilt, percent(), binding));
    }
    Ok(capabilities)
}

/// A valve that reports its position takes numbers on its command topic; one that does not takes words.
pub(super) fn valve(config: &Config) -> Result<Vec<Capability>, Malformed> {
    // Only a valve that says so can be stopped.
    let stop = if config.get("payload_stop").is_some() {
        stop(config, "payload_stop")?
    } else {
        None
    };
    if !config.flag("reports_position", false) {
        let position = position(config)?;
        return Ok(vec![Capability {
            binding: Binding {
                stop,
                ..position.binding
            },
            ..position
        }]);
    }
    let binding = Binding {
        command: config.tells("command_topic", "command_template")?,
        state: config.hears("state_topic", "value_template")?,
        codec: Codec {
            words: Vec::new(),
            scale: range(config),
        },
        stop,
        ..Binding::default()
    };
    Ok(vec![setting(Property::Position, percent(), binding)])
}

fn position(config: &Config) -> Result<Capability, Malformed> {
    let heard = config.hears("position_topic", "position_template")?;
    let command = settable_position(config)?;
    // A cover that is told positions is told only those: what `OPEN` means to it, it alone knows.
    let fixed = if command.is_some() {
        Vec::new()
    } else {
        words(config)?
    };
    let codec = if heard.is_empty() && command.is_none() {
        Codec {
            words: states(config),
            scale: Scale::MappedOnly,
        }
    } else {
        Codec {
            words: Vec::new(),
            scale: range(config),
        }
    };
    let state = match heard {
        heard if !heard.is_empty() => heard,
        // Only `open` and `closed` are told: of use where nothing else can be understood there.
        _ if command.is_none() => config.hears("state_topic", "value_template")?,
        _ => Vec::new(),
    };
    let binding = Binding {
        command,
        state,
        codec,
        fixed,
        stop: stop(config, "payload_stop")?,
        toggle: None,
        ..Binding::default()
    };
    Ok(setting(Property::Position, percent(), binding))
}

fn settable_position(config: &Config) -> Result<Option<Port>, Malformed> {
    let Some(topic) = config.topic("set_position_topic")? else {
        return Ok(None);
    };
    let form = match config.source("set_position_template")? {
        Some(text) => Form::Template(template(
            "set_position_template",
            &format!("{{% set position = value %}}{text}"),
        )?),
        None => Form::Raw,
    };
    Ok(Some(Port { topic, form }))
}

fn range(config: &Config) -> Scale {
    let limit = |key: &str, default| config.number(key).unwrap_or(default);
    Scale::Linear {
        from: (0.0, 100.0),
        to: (limit("position_closed", 0.0), limit("position_open", 100.0)),
    }
}

/// `OPEN` and `CLOSE` on the command topic, where the device has them.
fn words(config: &Config) -> Result<Vec<(Value, Publication)>, Malformed> {
    let has = |key: &str| !config.denies(key);
    let mut words = Vec::new();
    if has("payload_open") {
        words.push((OPEN, config.wire("payload_open", "OPEN")));
    }
    if has("payload_close") {
        words.push((CLOSED, config.wire("payload_close", "CLOSE")));
    }
    config.messages(["command_topic", "command_template"], &words)
}

fn states(config: &Config) -> Vec<(Value, Json)> {
    vec![
        (OPEN, config.wire("state_open", "open")),
        (CLOSED, config.wire("state_closed", "closed")),
    ]
}

fn stop(config: &Config, key: &str) -> Result<Option<Publication>, Malformed> {
    if config.denies(key) {
        return Ok(None);
    }
    let messages = config.messages(
        ["command_topic", "command_template"],
        &[(OPEN, config.wire(key, "STOP"))],
    )?;
    Ok(messages.into_iter().next().map(|(_, message)| message))
}

pub(super) fn lock(config: &Config) -> Result<Vec<Capability>, Malformed> {
    const WORDS: Words = Words {
        payload: [("payload_lock", "LOCK"), ("payload_unlock", "UNLOCK")],
        state: ["state_locked", "state_unlocked"],
    };
    let ports = [
        ["command_topic", "command_template"],
        ["state_topic", "value_template"],
    ];
    let mut lock = switched(
        config,
        Property::Lock,
        ["locked", "unlocked"],
        ports,
        &WORDS,
    )?;
    for (word, key, default) in [
        ("locked", "state_locked", "LOCKED"),
        ("unlocked", "state_unlocked", "UNLOCKED"),
    ] {
        lock.binding
            .codec
            .words
            .retain(|(ours, _)| *ours != Value::text(word));
        lock.binding
            .codec
            .words
            .push((Value::text(word), config.wire(key, default)));
    }
    // It wants a code with every command, and sayso knows none.
    lock.settable = config.get("code_format").is_none();
    Ok(vec![lock])
}

pub(super) fn vacuum(config: &Config) -> Result<Vec<Capability>, Malformed> {
    /// Ours, the feature that allows it, the key of its payload, and the default.
    const COMMANDS: [(&str, &str, &str, &str); 5] = [
        ("cleaning", "start", "payload_start", "start"),
        ("paused", "pause", "payload_pause", "pause"),
        ("stopped", "stop", "payload_stop", "stop"),
        (
            "docked",
            "return_home",
            "payload_return_to_base",
            "return_to_base",
        ),
        ("located", "locate", "payload_locate", "locate"),
    ];
    let features = match config.get("supported_features") {
        Some(_) => config.list("supported_features"),
        None => ["start", "stop", "return_home"].map(str::to_owned).to_vec(),
    };
    let able = COMMANDS
        .iter()
        .filter(|(_, feature, ..)| features.iter().any(|f| f == feature));
    let words: Vec<(Value, Json)> = able
        .map(|(ours, _, key, default)| (Value::text(ours), config.wire(key, default)))
        .collect();
    let fixed = config.messages(["command_topic", "command_template"], &words)?;
    let takes = Domain::Choice(words.iter().map(|(ours, _)| ours.to_string()).collect());
    let heard = [
        ("cleaning", "cleaning"),
        ("paused", "paused"),
        ("stopped", "idle"),
        ("docked", "docked"),
        ("docked", "returning"),
    ];
    let codec = Codec {
        words: heard
            .map(|(ours, theirs)| (Value::text(ours), Json::from(theirs)))
            .to_vec(),
        scale: Scale::MappedOnly,
    };
    let told = config.topic("state_topic")?;
    let field = |key: &str| {
        told.iter()
            .map(|topic| crate::discovery::field(topic, &[key]))
            .collect::<Vec<_>>()
    };
    let mut capabilities = vec![setting(
        Property::Vacuum,
        takes,
        Binding {
            fixed,
            state: field("state"),
            codec,
            ..Binding::default()
        },
    )];
    let speeds = config.list("fan_speed_list");
    if !speeds.is_empty() && config.get("set_fan_speed_topic").is_some() {
        let mut binding = config.options(
            &speeds,
            ["set_fan_speed_topic", "set_fan_speed_template"],
            ["no_topic", "no_template"],
        )?;
        binding.state = field("fan_speed");
        capabilities.push(setting(Property::FanMode, Domain::Choice(speeds), binding));
    }
    if features.iter().any(|f| f == "battery") && told.is_some() {
        capabilities.push(readings::told("battery", Some("%"), field("battery_level")));
    }
    Ok(capabilities)
}

pub(super) fn mower(config: &Config) -> Result<Vec<Capability>, Malformed> {
    /// Ours, and the keys of its topic and template with the payload.
    const COMMANDS: [(&str, [&str; 2], &str); 3] = [
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
    let mut fixed = Vec::new();
    for (ours, port, payload) in COMMANDS {
        fixed.extend(config.messages(port, &[(Value::text(ours), Json::from(payload))])?);
    }
    let able = Domain::Choice(fixed.iter().map(|(ours, _)| ours.to_string()).collect());
    let heard = ["mowing", "paused", "docked"]
        .map(|word| (Value::text(word), Json::from(word)))
        .to_vec();
    let codec = Codec {
        words: heard,
        scale: Scale::MappedOnly,
    };
    let state = config.hears("activity_state_topic", "activity_value_template")?;
    Ok(vec![setting(
        Property::Mower,
        able,
        Binding {
            state,
            codec,
            fixed,
            ..Binding::default()
        },
    )])
}
