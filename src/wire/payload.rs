//! The payload of a command: plain text, or a JSON object with a closed set of keys. Pure.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;

use crate::vocabulary::shared_str::SharedStr;
use crate::wire::timestamp;

/// The largest command payload in bytes. A minute of speech is about 1 KiB of text.
pub const MAX_PAYLOAD: usize = 16 * 1024;

/// The longest time to live a command may ask for.
pub const MAX_TTL: Duration = Duration::from_hours(1);

/// The longest id in characters. It becomes part of a store key.
const MAX_ID: usize = 128;

/// The most keys of an object that are looked at; there are nine.
const MAX_KEYS: usize = 32;

/// The fields of a command, as far as they could be read.
#[derive(Debug, Default)]
pub(super) struct CommandPayload {
    pub(super) text: SharedStr,
    pub(super) id: Option<SharedStr>,
    pub(super) area: Option<String>,
    pub(super) language: Option<String>,
    pub(super) context: Option<String>,
    pub(super) ttl: Option<Duration>,
    pub(super) ts: Option<SystemTime>,
    pub(super) dry_run: bool,
    pub(super) stream: Option<bool>,
}

impl CommandPayload {
    /// Reads a payload. After an error the fields that could be read are still set, so that the
    /// reply can quote them.
    pub(super) fn read(&mut self, payload: &[u8]) -> Result<(), String> {
        if payload.len() > MAX_PAYLOAD {
            return Err(format!(
                "it has {} bytes, at most {MAX_PAYLOAD} are accepted",
                payload.len()
            ));
        }
        let text = str::from_utf8(payload).map_err(|_| "it is not UTF-8".to_owned())?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_start().starts_with('{') {
            self.read_object(text)?;
        } else {
            self.text = text.into();
        }
        if self.text.trim().is_empty() {
            Err("there is no text in it".to_owned())
        } else {
            Ok(())
        }
    }

    fn read_object(&mut self, json: &str) -> Result<(), String> {
        let JsonEntries(entries) = serde_json::from_str(json)
            .map_err(|error| format!("it begins like JSON and is none: {error}"))?;
        if entries.len() > MAX_KEYS {
            return Err(format!("it has {} keys, there are nine", entries.len()));
        }
        let mut first_fault = None;
        for (i, (key, value)) in entries.iter().enumerate() {
            let is_repeated = entries[..i].iter().any(|(earlier, _)| earlier == key);
            let result = if is_repeated {
                Err(format!("`{}` is there twice", shown(key)))
            } else {
                self.set(key, value)
            };
            first_fault = first_fault.or(result.err());
        }
        match first_fault {
            Some(why) => Err(why),
            None if !entries.iter().any(|(key, _)| key == "text") => {
                Err("`text` is missing".to_owned())
            }
            None => Ok(()),
        }
    }

    /// Takes one field.
    fn set(&mut self, key: &str, value: &Json) -> Result<(), String> {
        let wrong = |wanted: &str| Err(format!("`{key}` is {}, wanted {wanted}", found(value)));
        match (key, value) {
            ("text", Json::String(text)) => self.text = text.as_str().into(),
            ("id", Json::String(id))
                if (1..=MAX_ID).contains(&id.chars().count()) && !id.contains(char::is_control) =>
            {
                self.id = Some(id.as_str().into());
            }
            ("id", _) => return wrong("a text of 1 to 128 characters"),
            ("area", Json::String(area)) => self.area = non_blank(area),
            ("context", Json::String(context))
                if context.chars().count() <= MAX_ID && !context.contains(char::is_control) =>
            {
                self.context = non_blank(context);
            }
            ("context", _) => return wrong("a text of at most 128 characters"),
            ("language", Json::String(language)) => self.language = non_blank(language),
            ("ttl", Json::String(ttl)) => match parse_duration(ttl) {
                Some(duration) => self.ttl = Some(duration),
                None => return wrong("1ms to 1h, such as \"10s\""),
            },
            ("ttl", _) => return wrong("a text such as \"10s\""),
            ("ts", Json::String(_) | Json::Number(_)) => match parse_time(value) {
                Some(time) => self.ts = Some(time),
                None => return wrong("an RFC 3339 time, or Unix seconds or milliseconds"),
            },
            ("ts", _) => return wrong("an RFC 3339 time, or Unix seconds or milliseconds"),
            ("dry_run", Json::Bool(dry_run)) => self.dry_run = *dry_run,
            ("stream", Json::Bool(stream)) => self.stream = Some(*stream),
            ("dry_run" | "stream", _) => return wrong("true or false"),
            ("text" | "area" | "language", _) => return wrong("a text"),
            _ => {
                return Err(format!(
                    "`{}` is unknown, wanted text, id, area, language, context, ttl, ts, dry_run \
                     or stream",
                    shown(key)
                ));
            }
        }
        Ok(())
    }
}

/// Returns the text unless it is empty or white space.
fn non_blank(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.to_owned())
}

fn parse_time(value: &Json) -> Option<SystemTime> {
    value.as_str().map_or_else(
        || timestamp::from_unix(value.as_f64()?),
        timestamp::from_rfc3339,
    )
}

/// Parses a duration such as `500ms`, `10s`, `2m` or `1h`, from 1 ms to 1 h.
fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let millis_per_unit = match unit.trim_start() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let millis = number.parse::<u64>().ok()?.checked_mul(millis_per_unit)?;
    let duration = Duration::from_millis(millis);
    let is_allowed = (Duration::from_millis(1)..=MAX_TTL).contains(&duration);
    is_allowed.then_some(duration)
}

fn found(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(b) => b.to_string(),
        Json::Number(n) => format!("the number {n}"),
        Json::String(text) => format!("\"{}\"", shown(text)),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The entries of an object in their order, repeated keys included: `serde_json`'s own map would
/// silently keep the last. The parser bounds the nesting to 128 levels.
struct JsonEntries(Vec<(String, Json)>);

impl<'de> Deserialize<'de> for JsonEntries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = JsonEntries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonEntries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(JsonEntries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
