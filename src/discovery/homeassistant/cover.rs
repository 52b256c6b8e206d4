//! Covers and valves: position, tilt, and stopping.

use serde_json::Value as Json;

use crate::binding::{Binding, Codec, Form, Port, Publication, StatusWords};
use crate::home::capability::Capability;
use crate::vocabulary::{Property, Value};

use crate::discovery::announcement::InvalidAnnouncement;
use crate::discovery::capabilities::{field, linear, percent, setting, words};
use crate::discovery::homeassistant::config::{EntityConfig, render_each};

const OPEN: Value = Value::Number(100.0);
const CLOSED: Value = Value::Number(0.0);

/// Returns the capabilities of a cover. `object` names it in the variable `entity_id` of templates.
///
/// # Errors
/// If a topic or template cannot be used.
pub(super) fn cover(
    config: &EntityConfig,
    object: &str,
) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let mut capabilities = vec![position(config, object)?];
    capabilities.extend(tilt(config, object)?);
    Ok(capabilities)
}

/// Numbers of a cover that templates may use, and the range of its tilt.
struct PositionLimits {
    open: f64,
    closed: f64,
    tilt_min: f64,
    tilt_max: f64,
}

impl PositionLimits {
    fn of(config: &EntityConfig) -> Self {
        let limit = |key: &str, default: f64| config.number(key).unwrap_or(default);
        Self {
            open: limit("position_open", 100.0),
            closed: limit("position_closed", 0.0),
            tilt_min: limit("tilt_min", 0.0),
            tilt_max: limit("tilt_max", 100.0),
        }
    }

    /// Returns statements that set the variables Home Assistant documents for the templates of
    /// positions and tilts, except for the target itself.
    fn variables(&self, object: &str) -> String {
        let object = crate::discovery::names::slug(object);
        let object = object.as_ref().map_or("cover", |slug| slug.as_str());
        format!(
            "{{% set position_open = {} %}}{{% set position_closed = {} %}}\
             {{% set tilt_min = {} %}}{{% set tilt_max = {} %}}{{% set entity_id = \
             'cover.{object}' %}}",
            self.open, self.closed, self.tilt_min, self.tilt_max
        )
    }
}

/// Returns where a target in percent is sent. In its template `name` is the percentage, and `value`
/// the number in the device's range.
fn target(
    config: &EntityConfig,
    [topic_key, template_key]: [&str; 2],
    name: &str,
    ((from, to), variables): ((f64, f64), &str),
) -> Result<Option<Port>, InvalidAnnouncement> {
    let span = to - from;
    let statements = format!(
        "{{% set {name} = value %}}{{% set value = ({from} + {name} * ({span}) / 100) | round | int \
         %}}{variables}"
    );
    let port = config.command_with(topic_key, template_key, &statements)?;
    Ok(port.map(|port| Port {
        form: match port.form {
            Form::Template(template) => Form::Unscaled(template),
            other => other,
        },
        ..port
    }))
}

/// Returns the tilt, which is counted from `tilt_min` to `tilt_max`. The two ends have payloads of
/// their own.
fn tilt(config: &EntityConfig, object: &str) -> Result<Option<Capability>, InvalidAnnouncement> {
    let limits = PositionLimits::of(config);
    let range = (limits.tilt_min, limits.tilt_max);
    let variables = limits.variables(object);
    let keys = ["tilt_command_topic", "tilt_command_template"];
    let command = target(config, keys, "tilt_position", (range, &variables))?;
    // The values of both ends are sent as announced, and are the position at the same time.
    let at_end = format!("{{% set tilt_position = value %}}{variables}");
    let at_end = config.command_with(keys[0], keys[1], &at_end)?;
    let mut state = config.state("tilt_status_topic", "tilt_status_template")?;
    let beside_position = config.state("position_topic", "position_template")?;
    state.extend(fields_of_template(&beside_position, "tilt_position"));
    let stop = stop(config, "payload_stop_tilt")?;
    let ends = [
        (OPEN, config.number("tilt_opened_value")),
        (CLOSED, config.number("tilt_closed_value")),
    ];
    let (Some(command), Some(at_end)) = (command, at_end) else {
        return Ok(None);
    };
    let mut payloads = Vec::new();
    for (value, payload) in ends {
        payloads.extend(payload.and_then(whole).map(|payload| (value, payload)));
    }
    let binding = Binding {
        fixed: render_each(at_end, &payloads),
        command: Some(command),
        state,
        codec: linear(range),
        stop,
        ..Binding::default()
    };
    Ok(Some(setting(Property::Tilt, percent(), binding)))
}

/// Returns a number as a payload: whole, as Home Assistant requires.
fn whole(number: f64) -> Option<Json> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "numbers of announcements are below 2^53"
    )]
    let whole = number.round() as i64;
    number.is_finite().then(|| Json::from(whole))
}

fn position(config: &EntityConfig, object: &str) -> Result<Capability, InvalidAnnouncement> {
    let limits = PositionLimits::of(config);
    let command = target(
        config,
        ["set_position_topic", "set_position_template"],
        "position",
        ((limits.closed, limits.open), &limits.variables(object)),
    )?;
    let reported = position_state(config)?;
    let states = config.state("state_topic", "value_template")?;
    let open_and_close = open_and_close(config, ["command_topic", ""])?;
    let range = linear((limits.closed, limits.open));
    // What `OPEN` means to a cover that takes positions, only the cover knows: it is sent positions
    // alone.
    let fixed = match &command {
        Some(port) => ends(port, &range),
        None => open_and_close,
    };
    let reports_position = !reported.is_empty();
    let beside_position = (reports_position && !states.is_empty()).then(|| StatusWords {
        ports: states.clone(),
        exact: vec![(CLOSED, config.payload("state_closed", "closed"))],
        implied: vec![(OPEN, config.payload("state_open", "open"))],
        ignored: vec![config.payload("state_stopped", "stopped")],
    });
    let (state, codec) = if reports_position {
        (reported, range)
    } else if command.is_some() {
        // The state is a word, the command a number.
        let codec = Codec {
            words: state_words(config),
            ..range
        };
        (states, codec)
    } else {
        (states, words(state_words(config)))
    };
    let binding = Binding {
        command,
        state,
        status: beside_position,
        codec,
        fixed,
        other_states: movements(config),
        stop: stop(config, "payload_stop")?,
        ..Binding::default()
    };
    Ok(setting(Property::Position, percent(), binding))
}

/// Returns the ports for a template of the position that writes an object with both the position
/// and the tilt: those of one key.
fn fields_of_template(ports: &[Port], key: &'static str) -> Vec<Port> {
    let mut fields = Vec::new();
    for port in ports {
        if let Form::Template(template) = &port.form {
            fields.push(Port {
                topic: port.topic.clone(),
                form: Form::TemplateField(template.clone(), key),
            });
        }
    }
    fields
}

/// Returns where the position is reported. Without a template of its own it is read with the
/// default one, and may be a field of a JSON object.
fn position_state(config: &EntityConfig) -> Result<Vec<Port>, InvalidAnnouncement> {
    let key = if config.has("position_template") {
        "position_template"
    } else {
        "value_template"
    };
    let mut ports = config.state("position_topic", key)?;
    if let [port] = ports.as_slice()
        && port.form == Form::Raw
    {
        ports.push(field(&port.topic.clone(), &["position"]));
    }
    ports.extend(fields_of_template(&ports, "position"));
    Ok(ports)
}

/// Returns the messages of both ends of a range. They are looked up before the words of states.
fn ends(port: &Port, range: &Codec) -> Vec<(Value, Publication)> {
    let binding = Binding {
        command: Some(port.clone()),
        codec: range.clone(),
        ..Binding::default()
    };
    let mut messages = Vec::new();
    for value in [OPEN, CLOSED] {
        let message = binding.encode(&value);
        messages.extend(message.map(|message| (value, message)));
    }
    messages
}

/// Returns `OPEN` and `CLOSE` on the command topic, as far as the device has them.
fn open_and_close(
    config: &EntityConfig,
    port: [&str; 2],
) -> Result<Vec<(Value, Publication)>, InvalidAnnouncement> {
    let mut payloads = Vec::new();
    if !config.is_null("payload_open") {
        payloads.push((OPEN, config.payload("payload_open", "OPEN")));
    }
    if !config.is_null("payload_close") {
        payloads.push((CLOSED, config.payload("payload_close", "CLOSE")));
    }
    config.messages(port, &payloads)
}

/// Returns the words of states with a known position. A cover that is opening, closing or stopped
/// has none.
fn state_words(config: &EntityConfig) -> Vec<(Value, Json)> {
    vec![
        (OPEN, config.payload("state_open", "open")),
        (CLOSED, config.payload("state_closed", "closed")),
    ]
}

/// Returns the words for a cover that moves, or has stopped anywhere.
fn movements(config: &EntityConfig) -> Vec<(Json, &'static str)> {
    vec![
        (config.payload("state_opening", "opening"), "opening"),
        (config.payload("state_closing", "closing"), "closing"),
        (config.payload("state_stopped", "stopped"), "stopped"),
    ]
}

/// Returns the message that stops the movement, unless the device has none.
fn stop(config: &EntityConfig, key: &str) -> Result<Option<Publication>, InvalidAnnouncement> {
    let payload = config.payload(key, "STOP");
    let command = config.command("command_topic", "command_template")?;
    let (Some(command), false) = (command, config.is_null(key)) else {
        return Ok(None);
    };
    let messages = render_each(command, &[(OPEN, payload)]);
    Ok(messages.into_iter().next().map(|(_, message)| message))
}

/// Returns the capability of a valve. One that reports its position takes numbers on its command
/// topic, one that does not takes words.
///
/// # Errors
/// If a topic or template cannot be used.
pub(super) fn valve(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let limits = PositionLimits::of(config);
    let port = ["command_topic", "command_template"];
    let fixed = open_and_close(config, port)?;
    let mut state = config.state("state_topic", "value_template")?;
    // The state may be an object with a state and a position.
    let objects: Vec<Port> = state
        .iter()
        .filter(|port| port.form == Form::Raw)
        .flat_map(|port| {
            [
                field(&port.topic, &["position"]),
                field(&port.topic, &["state"]),
            ]
        })
        .collect();
    state.extend(objects);
    let words_of_states = state_words(config);
    let reports_position = config.bool("reports_position", false);
    let mut binding = Binding {
        state,
        // Only a valve that says so can be stopped.
        stop: if config.has("payload_stop") {
            stop(config, "payload_stop")?
        } else {
            None
        },
        ..Binding::default()
    };
    if reports_position {
        let range = linear((limits.closed, limits.open));
        binding.command = config.command(port[0], port[1])?;
        binding.fixed = binding
            .command
            .as_ref()
            .map(|port| ends(port, &range))
            .unwrap_or_default();
        binding.codec = Codec {
            words: words_of_states,
            ..range
        };
    } else {
        binding.fixed = fixed;
        binding.codec = words(words_of_states);
    }
    Ok(vec![setting(Property::Position, percent(), binding)])
}
