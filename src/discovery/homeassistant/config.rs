//! Configuration of one announced entity: long option names, complete topics, and typed access to
//! the options.

use serde_json::{Map, Value as Json};

use crate::binding::template::Template;
use crate::binding::{Binding, Form, Port, Publication};
use crate::vocabulary::Value;
use crate::vocabulary::shared_str::SharedStr;

use crate::discovery::announcement::InvalidAnnouncement;
use crate::discovery::capabilities::{MAX_OPTIONS, words};
use crate::discovery::homeassistant::abbreviations;
use crate::discovery::names;

/// Longest template parsed, in bytes. The longest met in the wild has about 4,000.
const MAX_TEMPLATE_BYTES: usize = 16 * 1024;

/// Longest payload for one word, in bytes. A raw infrared code has about 5,000.
const MAX_PAYLOAD_BYTES: usize = 16 * 1024;

/// Options with payloads beside those that start with `payload_`.
const STATE_PAYLOADS: [&str; 12] = [
    "state_closed",
    "state_closing",
    "state_jammed",
    "state_locked",
    "state_locking",
    "state_off",
    "state_on",
    "state_open",
    "state_opening",
    "state_stopped",
    "state_unlocked",
    "state_unlocking",
];

/// Deepest nesting in which short names and base topics are expanded: the entries of an
/// availability list.
const MAX_EXPANSION_DEPTH: usize = 2;

/// Options of an entity under their long names.
#[derive(Debug, Clone)]
pub(super) struct EntityConfig {
    options: Map<String, Json>,
    /// Names of the options that were looked at, for the test that compares them with the table.
    #[cfg(test)]
    read: std::cell::RefCell<std::collections::BTreeSet<String>>,
}

/// Gives the options their long names, and replaces `~` in topics by the base topic, also in nested
/// objects and lists.
pub(super) fn expand(short: Map<String, Json>, outer_base: Option<&str>) -> Map<String, Json> {
    let own_base = short.get("~").and_then(Json::as_str).map(str::to_owned);
    let base = own_base.as_deref().or(outer_base);
    expand_level(short, base, 0)
}

fn expand_level(short: Map<String, Json>, base: Option<&str>, depth: usize) -> Map<String, Json> {
    let mut long = Map::new();
    for (key, value) in short {
        let key = abbreviations::entity(&key).to_owned();
        let value = expand_value(&key, value, base, depth);
        long.insert(key, value);
    }
    long
}

fn expand_value(key: &str, value: Json, base: Option<&str>, depth: usize) -> Json {
    // The components of a device have base topics of their own, and are expanded one by one.
    let nested = key == "availability" && depth < MAX_EXPANSION_DEPTH;
    match value {
        Json::String(text) if key.ends_with("topic") || nested => {
            Json::String(base.map_or_else(|| text.clone(), |base| with_base(base, &text)))
        }
        Json::Array(list) if nested => {
            let entries = list.into_iter();
            Json::Array(entries.map(|e| expand_value(key, e, base, depth)).collect())
        }
        Json::Object(object) if nested => Json::Object(expand_level(object, base, depth + 1)),
        other => other,
    }
}

fn with_base(base: &str, text: &str) -> String {
    if let Some(rest) = text.strip_prefix('~') {
        return format!("{base}{rest}");
    }
    match text.strip_suffix('~') {
        Some(rest) => format!("{rest}{base}"),
        None => text.to_owned(),
    }
}

/// Returns a string, number or boolean as text; numbers and booleans are unquoted in many
/// announcements.
pub(super) fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(_) | Json::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

impl EntityConfig {
    /// Returns the configuration with these expanded options.
    pub(super) fn new(options: Map<String, Json>) -> Self {
        Self {
            options,
            #[cfg(test)]
            read: std::cell::RefCell::default(),
        }
    }

    /// Returns the names of the options that were looked at.
    #[cfg(test)]
    pub(super) fn options_read(&self) -> std::collections::BTreeSet<String> {
        self.read.borrow().clone()
    }

    fn look_up(&self, key: &str) -> Option<&Json> {
        #[cfg(test)]
        self.read.borrow_mut().insert(key.to_owned());
        self.options.get(key)
    }

    /// Returns the value of an option that is present and not null.
    pub(super) fn get(&self, key: &str) -> Option<&Json> {
        self.look_up(key).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Returns whether the option is null, which means that the device lacks this feature.
    pub(super) fn is_null(&self, key: &str) -> bool {
        self.look_up(key).is_some_and(Json::is_null)
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        text_of(self.get(key)?)
    }

    /// Returns a finite number of moderate size, which may be written as a string.
    pub(super) fn number(&self, key: &str) -> Option<f64> {
        let number = match self.get(key)? {
            Json::String(text) => text.trim().parse().ok()?,
            other => other.as_f64()?,
        };
        (number.is_finite() && number.abs() <= 1e12).then_some(number)
    }

    pub(super) fn bool(&self, key: &str, default: bool) -> bool {
        match self.get(key) {
            Some(Json::Bool(value)) => *value,
            Some(Json::String(text)) => {
                let text = text.to_ascii_lowercase();
                matches!(text.as_str(), "true" | "yes" | "on" | "1")
            }
            Some(Json::Number(n)) => n.as_f64() != Some(0.0),
            _ => default,
        }
    }

    /// Returns the texts in a list, or the single text, that can be options of a select.
    pub(super) fn list(&self, key: &str) -> Vec<String> {
        let entries = match self.get(key) {
            Some(Json::Array(list)) => list.as_slice(),
            Some(single) => std::slice::from_ref(single),
            None => &[],
        };
        let texts = entries.iter().filter_map(text_of);
        let usable = texts.filter(|text| names::is_option(text));
        usable.take(MAX_OPTIONS).collect()
    }

    /// Returns whether the option is a list with more entries than are used.
    pub(super) fn has_long_list(&self, key: &str) -> bool {
        let list = self.options.get(key).and_then(Json::as_array);
        list.is_some_and(|list| list.len() > MAX_OPTIONS)
    }

    /// Checks all payloads. In place of one that cannot be sent or compared, no other one is used.
    ///
    /// # Errors
    /// If a payload is an object or a list, or too long.
    pub(super) fn check_payloads(&self) -> Result<(), InvalidAnnouncement> {
        for (key, value) in &self.options {
            let is_payload = key.starts_with("payload_") || STATE_PAYLOADS.contains(&key.as_str());
            if !is_payload || value.is_null() {
                continue;
            }
            let reason = match text_of(value) {
                None => "it is an object or a list, not text",
                Some(text) if text.len() > MAX_PAYLOAD_BYTES => "it is longer than 16 KiB",
                Some(_) => continue,
            };
            return Err(InvalidAnnouncement::BadPayload {
                key: key.clone(),
                reason,
            });
        }
        Ok(())
    }

    /// Returns a payload as it is sent or compared: a string, number or boolean.
    /// [`check_payloads`](Self::check_payloads) rejects all others.
    pub(super) fn payload(&self, key: &str, default: &str) -> Json {
        let value = self.get(key).cloned();
        value.unwrap_or_else(|| Json::from(default))
    }

    /// Returns the topic of a state, which may have wildcards.
    ///
    /// # Errors
    /// If the option is not a valid filter, or one that receives everything.
    fn state_topic(&self, key: &str) -> Result<Option<SharedStr>, InvalidAnnouncement> {
        match self.get(key) {
            Some(Json::String(topic)) if names::is_state_topic(topic) => {
                Ok(Some(topic.as_str().into()))
            }
            _ => self.topic(key),
        }
    }

    /// Returns the topic in an option, or `None` where the option is missing.
    ///
    /// # Errors
    /// If the option is not a valid topic.
    pub(super) fn topic(&self, key: &str) -> Result<Option<SharedStr>, InvalidAnnouncement> {
        match self.get(key) {
            None => Ok(None),
            Some(Json::String(topic)) if names::is_topic(topic) => Ok(Some(topic.as_str().into())),
            Some(_) => Err(InvalidAnnouncement::BadTopic {
                key: key.to_owned(),
            }),
        }
    }

    /// Returns the text of a template, unparsed.
    ///
    /// # Errors
    /// If it is not text, or too long.
    pub(super) fn template_text(&self, key: &str) -> Result<Option<&str>, InvalidAnnouncement> {
        match self.get(key) {
            None => Ok(None),
            Some(Json::String(text)) if text.len() <= MAX_TEMPLATE_BYTES => Ok(Some(text)),
            Some(_) => Err(InvalidAnnouncement::BadTemplate {
                key: key.to_owned(),
                why: "it is not text, or too long".to_owned(),
            }),
        }
    }

    /// Returns the form of states: the template, or the payload alone.
    ///
    /// # Errors
    /// If the template cannot be used.
    pub(super) fn state_form(&self, key: &str) -> Result<Form, InvalidAnnouncement> {
        match self.template_text(key)? {
            Some(text) => state_template(key, text).map(Form::Template),
            None => Ok(Form::Raw),
        }
    }

    /// Returns where a state is reported: one port, or none without a topic.
    ///
    /// # Errors
    /// If the topic or template cannot be used.
    pub(super) fn state(
        &self,
        topic_key: &str,
        template_key: &str,
    ) -> Result<Vec<Port>, InvalidAnnouncement> {
        let form = self.state_form(template_key)?;
        let topic = self.state_topic(topic_key)?;
        Ok(topic
            .into_iter()
            .map(|topic| Port {
                topic,
                form: form.clone(),
            })
            .collect())
    }

    /// Returns where a value is sent, with a template that uses no other variable than `value`.
    ///
    /// # Errors
    /// If the topic or template cannot be used.
    pub(super) fn command(
        &self,
        topic_key: &str,
        template_key: &str,
    ) -> Result<Option<Port>, InvalidAnnouncement> {
        self.command_with(topic_key, template_key, "")
    }

    /// Returns where a value is sent, with a template that may use the variables set by
    /// `variables`, which are statements such as `{% set position = value %}`.
    ///
    /// # Errors
    /// If the topic or template cannot be used.
    pub(super) fn command_with(
        &self,
        topic_key: &str,
        template_key: &str,
        variables: &str,
    ) -> Result<Option<Port>, InvalidAnnouncement> {
        let form = match self.template_text(template_key)? {
            Some(text) => Form::Template(command_template(template_key, variables, text)?),
            None => Form::Raw,
        };
        let topic = self.topic(topic_key)?;
        Ok(topic.map(|topic| Port { topic, form }))
    }

    /// Returns the messages for values that have a payload each. A template is rendered once, here.
    ///
    /// # Errors
    /// If the topic or template cannot be used.
    pub(super) fn messages(
        &self,
        port: [&str; 2],
        payloads: &[(Value, Json)],
    ) -> Result<Vec<(Value, Publication)>, InvalidAnnouncement> {
        self.messages_with(port, payloads, "")
    }

    /// Returns the same with a template that may use the variables set by `variables`.
    ///
    /// # Errors
    /// If the topic or template cannot be used.
    pub(super) fn messages_with(
        &self,
        [topic_key, template_key]: [&str; 2],
        payloads: &[(Value, Json)],
        variables: &str,
    ) -> Result<Vec<(Value, Publication)>, InvalidAnnouncement> {
        let command = self.command_with(topic_key, template_key, variables)?;
        Ok(command.map_or_else(Vec::new, |command| render_each(command, payloads)))
    }

    /// Returns the binding of a property whose values are the device's own words.
    ///
    /// # Errors
    /// If a topic or template cannot be used.
    pub(super) fn word_binding(
        &self,
        device_words: &[String],
        [command_topic, command_template]: [&str; 2],
        [state_topic, state_template]: [&str; 2],
    ) -> Result<Binding, InvalidAnnouncement> {
        let pairs = device_words
            .iter()
            .map(|word| (Value::text(word), Json::from(word.as_str())))
            .collect();
        Ok(Binding {
            command: self.command(command_topic, command_template)?,
            state: self.state(state_topic, state_template)?,
            codec: words(pairs),
            ..Binding::default()
        })
    }

    /// Returns the name of a reading or setting without the device's name: `Soil moisture` for
    /// `Kitchen sensor Soil moisture` of the device `Kitchen sensor`.
    pub(super) fn own_name(&self, device: &str) -> Option<String> {
        let keys = ["name", "object_id", "unique_id"];
        let text = keys.iter().find_map(|key| self.text(key))?;
        let name = names::clean(&text)?;
        let short = name.strip_prefix(device).map(str::trim);
        match short {
            Some(short) if !short.is_empty() => Some(short.to_owned()),
            _ => Some(name),
        }
    }
}

/// Returns the message for each value that can be written.
pub(super) fn render_each(command: Port, payloads: &[(Value, Json)]) -> Vec<(Value, Publication)> {
    let binding = Binding {
        command: Some(command),
        codec: words(payloads.to_vec()),
        ..Binding::default()
    };
    let mut messages = Vec::new();
    for (value, _) in payloads {
        if let Some(message) = binding.encode(value) {
            messages.push((value.clone(), message));
        }
    }
    messages
}

/// Parses a template for states, which may use `value` and `value_json`.
///
/// # Errors
/// If it does not parse, or uses names that are not available.
pub(super) fn state_template(key: &str, text: &str) -> Result<Template, InvalidAnnouncement> {
    parse(key, text, &["value", "value_json"])
}

/// Parses a template for commands, which may use `value` and the variables set by the statements
/// before it.
///
/// # Errors
/// If it does not parse, or uses names that are not available.
pub(super) fn command_template(
    key: &str,
    variables: &str,
    text: &str,
) -> Result<Template, InvalidAnnouncement> {
    // Without markup the statements would turn a fixed text into a template.
    let used = text.contains("{{") || text.contains("{%");
    let whole = if used {
        format!("{variables}{text}")
    } else {
        text.to_owned()
    };
    parse(key, &whole, &["value"])
}

/// Parses a template that may use these variables.
///
/// # Errors
/// If it does not parse, or uses names that are not available.
pub(super) fn parse(
    key: &str,
    text: &str,
    variables: &[&str],
) -> Result<Template, InvalidAnnouncement> {
    Template::parse_using(text, variables).map_err(|error| InvalidAnnouncement::BadTemplate {
        key: key.to_owned(),
        why: error.to_string(),
    })
}
