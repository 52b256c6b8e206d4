//! One entity's configuration as it was announced: keys in their long form, topics whole, and typed ways to ask for them.

use serde_json::{Map, Value as Json};

use crate::binding::template::Template;
use crate::binding::{Binding, Codec, Form, Port, Publication, Scale};
use crate::vocabulary::Value;

use crate::discovery::homeassistant::abbreviations;
use crate::discovery::{Malformed, names};

/// The longest template parsed, in bytes. The longest met in the wild has about 4,000.
const LONGEST_TEMPLATE: usize = 16 * 1024;

/// The most options one select may have.
const MOST_OPTIONS: usize = 64;

/// The most characters of a payload a device is sent for one word.
const LONGEST_WORD: usize = 1024;

/// An entity's configuration.
#[derive(Debug, Clone)]
pub(super) struct Config(Map<String, Json>);

/// Gives the keys their long form and puts the base topic where `~` stands.
pub(super) fn expand(short: Map<String, Json>) -> Map<String, Json> {
    let base = short.get("~").and_then(Json::as_str).map(str::to_owned);
    let whole = |key: &str, value: Json| match (&base, value) {
        (Some(base), Json::String(text)) if key.ends_with("topic") => {
            Json::String(tilde(base, &text))
        }
        (_, value) => value,
    };
    let long = short.into_iter().map(|(key, value)| {
        let key = abbreviations::entity(&key).to_owned();
        let value = whole(&key, value);
        (key, value)
    });
    long.collect()
}

fn tilde(base: &str, text: &str) -> String {
    if let Some(rest) = text.strip_prefix('~') {
        return format!("{base}{rest}");
    }
    text.strip_suffix('~')
        .map_or_else(|| text.to_owned(), |rest| format!("{rest}{base}"))
}

/// A value alone, as a text; numbers and booleans are written so in many announcements.
pub(super) fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(_) | Json::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

impl Config {
    /// A configuration whose keys are expanded.
    pub(super) fn new(long: Map<String, Json>) -> Self {
        Self(long)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Json> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// True where the key is there and says `null`: "the device has no such thing".
    pub(super) fn denies(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(Json::is_null)
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        text_of(self.get(key)?)
    }

    pub(super) fn number(&self, key: &str) -> Option<f64> {
        let value = self.get(key)?;
        value
            .as_f64()
            .or_else(|| value.as_str()?.trim().parse().ok())
            .filter(|n| n.is_finite() && n.abs() <= 1e12)
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        match self.get(key) {
            Some(Json::Bool(flag)) => *flag,
            Some(Json::String(text)) => matches!(
                text.to_ascii_lowercase().as_str(),
                "true" | "yes" | "on" | "1"
            ),
            _ => default,
        }
    }

    /// The texts under `key` that can be options.
    pub(super) fn list(&self, key: &str) -> Vec<String> {
        let list = self
            .get(key)
            .and_then(Json::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        list.iter()
            .filter_map(text_of)
            .filter(|text| names::is_option(text))
            .take(MOST_OPTIONS)
            .collect()
    }

    /// A payload, as it is sent: strings, and the numbers and booleans some write.
    pub(super) fn wire(&self, key: &str, default: &str) -> Json {
        let fits = |value: &&Json| text_of(value).is_some_and(|text| text.len() <= LONGEST_WORD);
        self.get(key)
            .filter(fits)
            .cloned()
            .unwrap_or_else(|| Json::from(default))
    }

    /// # Errors
    /// When what stands there cannot be a topic.
    pub(super) fn topic(&self, key: &str) -> Result<Option<String>, Malformed> {
        match self.get(key) {
            None => Ok(None),
            Some(Json::String(topic)) if names::is_topic(topic) => Ok(Some(topic.clone())),
            Some(_) => Err(Malformed::BadTopic {
                key: key.to_owned(),
            }),
        }
    }

    /// # Errors
    /// When what stands there does not parse.
    pub(super) fn template(&self, key: &str) -> Result<Option<Template>, Malformed> {
        let Some(text) = self.source(key)? else {
            return Ok(None);
        };
        template(key, text).map(Some)
    }

    /// The text of a template, unparsed.
    ///
    /// # Errors
    /// When it is no text, or too long to be parsed.
    pub(super) fn source(&self, key: &str) -> Result<Option<&str>, Malformed> {
        match self.get(key) {
            None => Ok(None),
            Some(Json::String(text)) if text.len() <= LONGEST_TEMPLATE => Ok(Some(text)),
            Some(_) => Err(Malformed::BadTemplate {
                key: key.to_owned(),
            }),
        }
    }

    /// Where a state is heard, if anywhere.
    ///
    /// # Errors
    /// When the topic or template is bad.
    pub(super) fn hears(&self, topic: &str, template: &str) -> Result<Vec<Port>, Malformed> {
        let form = self.template(template)?.map_or(Form::Raw, Form::Template);
        Ok(self
            .topic(topic)?
            .map(|topic| Port { topic, form })
            .into_iter()
            .collect())
    }

    /// Where a value is sent, if anywhere.
    ///
    /// # Errors
    /// When the topic or template is bad.
    pub(super) fn tells(&self, topic: &str, template: &str) -> Result<Option<Port>, Malformed> {
        Ok(self.hears(topic, template)?.pop())
    }

    /// The messages for words that have a payload each. A template is filled once, here.
    ///
    /// # Errors
    /// When the topic or template is bad.
    pub(super) fn messages(
        &self,
        port: [&str; 2],
        words: &[(Value, Json)],
    ) -> Result<Vec<(Value, Publication)>, Malformed> {
        let Some(command) = self.tells(port[0], port[1])? else {
            return Ok(Vec::new());
        };
        let binding = Binding {
            command: Some(command),
            codec: Codec {
                words: words.to_vec(),
                scale: Scale::MappedOnly,
            },
            ..Binding::default()
        };
        Ok(words
            .iter()
            .filter_map(|(ours, _)| Some((ours.clone(), binding.encode(ours)?)))
            .collect())
    }

    /// One of the device's own words: how it is sent, and how it is heard.
    ///
    /// # Errors
    /// When a topic or template is bad.
    pub(super) fn options(
        &self,
        options: &[String],
        command: [&str; 2],
        state: [&str; 2],
    ) -> Result<Binding, Malformed> {
        let words: Vec<(Value, Json)> = options
            .iter()
            .map(|option| (Value::text(option), Json::from(option.as_str())))
            .collect();
        let codec = Codec {
            words,
            scale: Scale::MappedOnly,
        };
        Ok(Binding {
            command: self.tells(command[0], command[1])?,
            state: self.hears(state[0], state[1])?,
            codec,
            ..Binding::default()
        })
    }

    /// The name of the entity's own reading or setting, where it must have one.
    pub(super) fn own_name(&self, device: &str) -> Option<String> {
        let text = self
            .text("name")
            .or_else(|| self.text("object_id"))
            .or_else(|| self.text("unique_id"))?;
        let name = names::clean(&text)?;
        // `Kitchen sensor Soil moisture` of `Kitchen sensor` is its `Soil moisture`.
        let short = name
            .strip_prefix(device)
            .map(str::trim)
            .filter(|rest| !rest.is_empty());
        Some(short.unwrap_or(&name).to_owned())
    }
}

/// Parses a template from `key`.
///
/// # Errors
/// When it does not parse.
pub(super) fn template(key: &str, text: &str) -> Result<Template, Malformed> {
    Template::parse(text).map_err(|_| Malformed::BadTemplate {
        key: key.to_owned(),
    })
}
