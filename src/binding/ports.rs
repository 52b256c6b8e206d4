//! Topics and payload forms of one capability, and the translation of a value to and from a
//! message.

use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use crate::binding::codec::{Codec, same_on_wire};
use crate::binding::publication::Publication;
use crate::binding::template::{Template, plain};
use crate::vocabulary::Value;
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::topic;

/// The topics and payloads of one capability. The default has none: such a device is commanded on
/// `<prefix>/action/<device>` in sayso's own format.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Binding {
    /// The topic and form in which a value is sent.
    pub command: Option<Port>,
    /// The topics and forms in which the state is reported; Tasmota uses two.
    pub state: Vec<Port>,
    /// Words for the state beside a reported number: a cover reports its position on one topic and
    /// `opening` on another.
    pub status: Option<StatusWords>,
    /// The device's own words for states that are no value, each with the common name: a lock that
    /// reports `2` where others report `jammed`.
    pub other_states: Vec<(Json, &'static str)>,
    /// The device's own values.
    pub codec: Codec,
    /// Values with a whole message of their own, for devices with one topic per value or with
    /// commands that differ from the reported words. They take precedence over `command`.
    pub fixed: Vec<(Value, Publication)>,
    /// The message that stops a movement.
    pub stop: Option<Publication>,
    /// The message that toggles the device, used only while its state is unknown.
    pub toggle: Option<Publication>,
    /// The time after which a reported value is no longer known, as the device announced it.
    pub expire_after: Option<Duration>,
    /// The change of a reported value that the device does not report, as it announced it.
    pub reverts: Option<Arc<Reversion>>,
    /// Set for a value that does not turn the device on: the command that turns it on is sent as
    /// well, unless the device is on.
    pub power_on: Option<PowerOn>,
}

/// A change that takes place by itself: a motion sensor that only reports motion is clear after a
/// while.
#[derive(Debug, Clone, PartialEq)]
pub struct Reversion {
    /// The reported value.
    pub from: Value,
    /// The value afterwards.
    pub to: Value,
    /// The time from the report to the change.
    pub after: Duration,
}

/// Words for a state whose value is reported elsewhere. All other words stand for no value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatusWords {
    /// The topics and forms in which the words are reported.
    pub ports: Vec<Port>,
    /// Words that stand for one value: `closed`.
    pub exact: Vec<(Value, Json)>,
    /// Words that stand for a value only where none is known: a cover that is `open` may be half
    /// open.
    pub implied: Vec<(Value, Json)>,
    /// Words that say nothing about the value: `stopped`.
    pub ignored: Vec<Json>,
}

/// The place of the command that turns a device on, beside the command for another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerOn {
    /// Before the value.
    Before,
    /// After the value.
    After,
}

/// A topic, and the form of the payload there.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// The topic. That of a state may have wildcards.
    pub topic: SharedStr,
    /// The form of the payload.
    pub form: Form,
}

/// The form of a payload.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// The value alone.
    Raw,
    /// A JSON object with the value under these nested keys: `["color", "hex"]`.
    Field(Vec<String>),
    /// A Jinja template.
    Template(Template),
    /// A Jinja template for states that writes a JSON object, and the key of the value in it.
    TemplateField(Template, &'static str),
    /// A Jinja template for commands that gets the value as it is, such as a percentage, and makes
    /// the device's own value of it.
    Unscaled(Template),
}

/// A value found in a state message.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// A value of the vocabulary.
    Value(Value),
    /// A value that holds only where none is reported.
    Implied(Value),
    /// A payload that stands for no value, such as `JAMMED`: the property is unknown from now on.
    Unrecognized(String),
}

impl Binding {
    /// Returns the message that sets the capability to `value`, or `None` where the device has no
    /// such value or the payload would be invalid.
    pub fn encode(&self, value: &Value) -> Option<Publication> {
        if let Some((_, message)) = self.fixed.iter().find(|(ours, _)| ours == value) {
            return Some(message.clone());
        }
        let port = self.command.as_ref()?;
        if let Form::Unscaled(template) = &port.form {
            let payload = template.render_command(&serde_json::to_value(value).ok()?)?;
            return Some(Publication::new(port.topic.clone(), payload));
        }
        let wire = self.codec.to_wire(value)?;
        let payload = match &port.form {
            Form::Raw => plain(&wire),
            Form::Field(path) => nested(path, &wire)?,
            Form::Template(template)
            | Form::TemplateField(template, _)
            | Form::Unscaled(template) => template.render_command(&wire)?,
        };
        Some(Publication::new(port.topic.clone(), payload))
    }

    /// Returns the value that a message on `topic` carries, or `None` where the message does not
    /// mention it.
    pub fn decode(&self, topic: &str, payload: &Json) -> Option<Decoded> {
        let ports = self.state.iter().filter(|port| port.receives(topic));
        let reported = ports
            .filter_map(|port| self.decode_port(port, payload))
            .max_by_key(|decoded| matches!(decoded, Decoded::Value(_)));
        if matches!(reported, Some(Decoded::Value(_))) {
            return reported;
        }
        let status = self.status.as_ref();
        let status = status.and_then(|status| status.decode(topic, payload));
        status.or(reported).map(|decoded| self.named(decoded))
    }

    /// Replaces the device's own word for a state that is no value by the common one.
    fn named(&self, decoded: Decoded) -> Decoded {
        let Decoded::Unrecognized(text) = decoded else {
            return decoded;
        };
        let mut names = self.other_states.iter();
        let name = names.find(|(theirs, _)| plain(theirs) == text);
        Decoded::Unrecognized(name.map_or(text, |(_, name)| (*name).to_owned()))
    }

    fn decode_port(&self, port: &Port, payload: &Json) -> Option<Decoded> {
        let (wire, text) = port.wire(payload)?;
        let value = self.codec.value_on_wire(&wire);
        Some(value.map_or(Decoded::Unrecognized(text), Decoded::Value))
    }

    /// Returns whether a template reads the state.
    pub fn has_state_template(&self) -> bool {
        self.state_ports()
            .any(|port| !matches!(port.form, Form::Raw | Form::Field(_)))
    }

    /// Returns all topics on which the state is reported, each with the form of its messages.
    pub fn state_ports(&self) -> impl Iterator<Item = &Port> {
        let status = self.status.iter().flat_map(|status| &status.ports);
        self.state.iter().chain(status)
    }

    /// Returns the topics of all messages that command the capability; none where it has no command
    /// of its own.
    pub fn command_topics(&self) -> impl Iterator<Item = &SharedStr> {
        let messages = self
            .stop
            .iter()
            .chain(&self.toggle)
            .chain(self.fixed.iter().map(|(_, message)| message));
        let topics = messages.map(|message| &message.topic);
        self.command.iter().map(|port| &port.topic).chain(topics)
    }
}

impl StatusWords {
    fn decode(&self, topic: &str, payload: &Json) -> Option<Decoded> {
        let mut ports = self.ports.iter().filter(|port| port.receives(topic));
        let (wire, text) = ports.find_map(|port| port.wire(payload))?;
        let value_of = |words: &[(Value, Json)]| {
            let mut words = words.iter();
            let found = words.find(|(_, theirs)| same_on_wire(theirs, &wire));
            found.map(|(ours, _)| ours.clone())
        };
        if let Some(value) = value_of(&self.exact) {
            return Some(Decoded::Value(value));
        }
        if let Some(value) = value_of(&self.implied) {
            return Some(Decoded::Implied(value));
        }
        let is_ignored = self.ignored.iter().any(|word| same_on_wire(word, &wire));
        (!is_ignored).then_some(Decoded::Unrecognized(text))
    }
}

impl Port {
    /// Returns whether messages on `topic` are for this port. The topic of a state may have
    /// wildcards.
    fn receives(&self, topic: &str) -> bool {
        topic::receives(&self.topic, topic)
    }

    /// Returns the value in a message, and its text; `None` where the message does not have it.
    fn wire(&self, payload: &Json) -> Option<(Json, String)> {
        let wire = match &self.form {
            Form::Raw => payload.clone(),
            Form::Field(path) => path
                .iter()
                .try_fold(payload, |json, key| json.get(key))?
                .clone(),
            Form::Template(template) | Form::Unscaled(template) => {
                Json::String(template.render(payload)?)
            }
            Form::TemplateField(template, key) => {
                let object: Json = serde_json::from_str(&template.render(payload)?).ok()?;
                object.get(key)?.clone()
            }
        };
        let text = plain(&wire);
        // Home Assistant ignores empty payloads as well: they clear a retained message.
        (!text.trim().is_empty()).then_some((wire, text))
    }
}

/// Returns a JSON object with `value` under nested keys.
fn nested(path: &[String], value: &Json) -> Option<String> {
    // It consists of texts and JSON, all of which can be written.
    serde_json::to_string(&NestedValue { path, value }).ok()
}

/// A value under nested keys.
struct NestedValue<'a> {
    path: &'a [String],
    value: &'a Json,
}

impl Serialize for NestedValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some((key, path)) = self.path.split_first() else {
            return self.value.serialize(serializer);
        };
        let value = self.value;
        serializer.collect_map([(key, NestedValue { path, value })])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::zigbee2mqtt;
    use serde_json::json;

    #[test]
    fn a_value_with_its_own_message_is_sent_as_that_message() {
        let dock = Publication::new("mower/dock", "home");
        let binding = Binding {
            fixed: vec![(Value::text("docked"), dock.clone())],
            ..Binding::default()
        };
        assert_eq!(binding.encode(&Value::text("docked")), Some(dock));
        assert_eq!(binding.encode(&Value::text("mowing")), None);
    }

    #[test]
    fn an_unrecognized_payload_is_reported_and_a_missing_key_is_not() {
        let binding = zigbee2mqtt("zigbee2mqtt", "Gate", &"brightness".into(), None);
        let decoded = |payload: Json| binding.decode("zigbee2mqtt/Gate", &payload);
        assert_eq!(
            decoded(json!({"brightness": null})),
            Some(Decoded::Unrecognized("null".to_owned()))
        );
        assert_eq!(
            decoded(json!({"brightness": "high"})),
            Some(Decoded::Unrecognized("high".to_owned()))
        );
        assert_eq!(decoded(json!({"linkquality": 80})), None);
    }
}
