//! Parts of a prompt, each with its JSON form, which is made once: those of a large model are the
//! same for all commands of a home, and the listing of the home is some kilobytes.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;
use serde_json::value::{RawValue, to_raw_value};

/// A text that is serialized once. Clones share it.
#[derive(Debug, Clone)]
pub struct PromptText(Arc<SerializedText>);

#[derive(Debug)]
struct SerializedText {
    text: Box<str>,
    json: OnceLock<Box<RawValue>>,
}

impl PromptText {
    /// Returns the text as a string of JSON.
    fn json(&self) -> &RawValue {
        let SerializedText { text, json } = &*self.0;
        json.get_or_init(|| to_raw_value(text).expect("a text always serializes"))
    }
}

impl<T: Into<Box<str>>> From<T> for PromptText {
    fn from(text: T) -> Self {
        Self(Arc::new(SerializedText {
            text: text.into(),
            json: OnceLock::new(),
        }))
    }
}

impl Deref for PromptText {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0.text
    }
}

impl PartialEq for PromptText {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl fmt::Display for PromptText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Serialize for PromptText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json().serialize(serializer)
    }
}

/// The limits of one API for the schema of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaLimits {
    /// The most values of an enum: identifiers of devices.
    pub longest_enum: usize,
    /// Whether `maxItems` is accepted.
    pub accepts_max_items: bool,
}

/// The JSON Schema of an answer, serialized once for each API. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct AnswerSchema(Arc<SchemaForms>);

#[derive(Debug, Default)]
struct SchemaForms {
    schema: Json,
    /// The schema as the APIs that were called accept it, by their limits.
    adapted: Mutex<Vec<(SchemaLimits, Arc<RawValue>)>>,
}

impl AnswerSchema {
    /// Returns the schema as an API with these limits accepts it: without `maxItems` where it is
    /// rejected, and with plain strings in place of a longer enum. Equal schemas give equal bytes.
    pub(super) fn adapted(&self, limits: SchemaLimits) -> Arc<RawValue> {
        let mut adapted = self.0.adapted.lock();
        if let Some((_, known)) = adapted.iter().find(|(of, _)| *of == limits) {
            return Arc::clone(known);
        }
        let mut schema = self.0.schema.clone();
        adapt(&mut schema, limits);
        let json = to_raw_value(&schema).expect("JSON always serializes");
        let json = Arc::<RawValue>::from(json);
        adapted.push((limits, Arc::clone(&json)));
        json
    }
}

impl From<Json> for AnswerSchema {
    fn from(schema: Json) -> Self {
        Self(Arc::new(SchemaForms {
            schema,
            adapted: Mutex::default(),
        }))
    }
}

impl Deref for AnswerSchema {
    type Target = Json;
    fn deref(&self) -> &Json {
        &self.0.schema
    }
}

impl PartialEq for AnswerSchema {
    fn eq(&self, other: &Self) -> bool {
        self.0.schema == other.0.schema
    }
}

fn adapt(schema: &mut Json, limits: SchemaLimits) {
    match schema {
        Json::Object(fields) => {
            if !limits.accepts_max_items {
                fields.remove("maxItems");
            }
            let is_too_long = fields
                .get("enum")
                .and_then(Json::as_array)
                .is_some_and(|values| values.len() > limits.longest_enum);
            if is_too_long {
                fields.remove("enum");
            }
            fields.values_mut().for_each(|value| adapt(value, limits));
        }
        Json::Array(values) => values.iter_mut().for_each(|value| adapt(value, limits)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        /// Checks the first serialization and the repeated one, and a text inside another value.
        #[test]
        fn a_text_is_serialized_as_a_string(text in "\\PC{0,40}|[\u{0}-\u{1f}\"\\\\]{0,8}") {
            let part = PromptText::from(text.clone());
            for _ in 0..2 {
                let sent = serde_json::to_string(&[&part]).unwrap();
                prop_assert_eq!(sent, json!([text]).to_string());
            }
        }
    }

    #[test]
    fn a_schema_is_adapted_to_each_api() {
        let schema = AnswerSchema::from(json!({"enum": ["a", "b"], "maxItems": 2}));
        let sent = |longest_enum, accepts_max_items| {
            let limits = SchemaLimits {
                longest_enum,
                accepts_max_items,
            };
            schema.adapted(limits).get().to_owned()
        };
        for _ in 0..2 {
            assert_eq!(sent(2, true), r#"{"enum":["a","b"],"maxItems":2}"#);
            assert_eq!(sent(1, true), r#"{"maxItems":2}"#);
            assert_eq!(sent(2, false), r#"{"enum":["a","b"]}"#);
        }
    }
}
