//! JSON Schemas of an answer: one for every phrase of a home, and a narrow one for small models.
//! Keys are in alphabetical order, so that the bytes are the same however the JSON library orders
//! them. Pure.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::home::permit::MOST_ACTIONS;
use crate::prompt::home_listing::word;
use crate::prompt::instructions::{LESS, MORE, NO_DEVICE, STATE, STOP, operation};
use crate::vocabulary::{Domain, Property};

/// The most device identifiers listed as an enum. Source: the strict modes of the providers allow
/// 1,000 enum values in total, but slow down with large enums; beyond this, identifiers are checked
/// against the home alone.
const MOST_IDS: usize = 200;

/// Largest number of types of actions that a narrow schema distinguishes.
const MOST_VARIANTS: usize = 48;

/// Returns the schema for answers about these devices.
pub(super) fn schema(ids: &[&str]) -> Json {
    let device = if ids.is_empty() || ids.len() > MOST_IDS {
        json!({"type": "string"})
    } else {
        json!({"enum": ids, "type": "string"})
    };
    let action = json!({
        "additionalProperties": false,
        "properties": {
            "device": device,
            "op": {"enum": ["set", "toggle", "increase", "decrease", "stop", "query"], "type": "string"},
            "property": {"type": "string"},
            "value": {"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "boolean"}, {"type": "null"}]}
        },
        "required": ["device", "op", "property", "value"],
        "type": "object"
    });
    answer(&action, MOST_ACTIONS)
}

/// The bounds of a narrow answer.
pub(super) struct AnswerShape {
    /// The most actions.
    pub(super) max_actions: usize,
    /// Whether it may be in words, or a question.
    pub(super) may_speak: bool,
    /// Whether it may ask for a state.
    pub(super) may_query: bool,
}

/// Returns the schema for small models: each device only with its own properties, and each property
/// only with its own values. The operation is a word in place of the value, so that an answer is
/// short and names the property before the model decides on the change.
pub(super) fn narrow_schema<'a>(
    capabilities: impl Iterator<Item = (&'a Device, &'a Capability)>,
    shape: &AnswerShape,
) -> Json {
    let mut variants: BTreeMap<String, (Json, Vec<String>)> = BTreeMap::new();
    for (device, capability) in capabilities {
        let variant = json!({
            "property": {"enum": [capability.property.name()], "type": "string"},
            "value": values(capability, shape.may_query),
        });
        let entry = variants
            .entry(variant.to_string())
            .or_insert((variant, Vec::new()));
        entry.1.push(device.id.to_string());
    }
    if variants.len() > MOST_VARIANTS {
        let mut ids: Vec<&str> = variants
            .values()
            .flat_map(|(_, ids)| ids.iter().map(String::as_str))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let mut schema = schema(&ids);
        schema["properties"]["actions"]["maxItems"] = json!(shape.max_actions);
        return schema;
    }
    let mut actions: Vec<Json> = Vec::new();
    for (mut properties, ids) in variants.into_values() {
        properties["device"] = json!({"enum": ids, "type": "string"});
        actions.push(object(&properties));
    }
    actions.push(object(&json!({
        "device": {"enum": [NO_DEVICE], "type": "string"},
        "property": {"enum": [NO_DEVICE], "type": "string"},
        "value": {"type": "null"},
    })));
    let items = json!({"anyOf": actions});
    let actions = json!({"items": items, "maxItems": shape.max_actions, "type": "array"});
    if !shape.may_speak {
        return object(&json!({ "actions": actions }));
    }
    object(&json!({"actions": actions, "speech": text_or_null()}))
}

/// Returns the schema of an object with exactly these properties.
fn object(properties: &Json) -> Json {
    let names: Vec<&String> = properties
        .as_object()
        .into_iter()
        .flat_map(|p| p.keys())
        .collect();
    json!({
        "additionalProperties": false,
        "properties": properties,
        "required": names,
        "type": "object"
    })
}

fn text_or_null() -> Json {
    json!({"anyOf": [{"type": "string"}, {"type": "null"}]})
}

fn answer(action: &Json, max_actions: usize) -> Json {
    json!({
        "additionalProperties": false,
        "properties": {
            "actions": {"items": action, "maxItems": max_actions, "type": "array"},
            "question": text_or_null(),
            "speech": text_or_null(),
            "when": text_or_null()
        },
        "required": ["actions", "question", "speech", "when"],
        "type": "object"
    })
}

/// Returns the values a capability can have in a narrow answer, and the words for its operations.
fn values(capability: &Capability, may_query: bool) -> Json {
    let is_moving = matches!(capability.property, Property::Position | Property::Tilt);
    let mut words: Vec<String> = Vec::new();
    let mut kinds: Vec<Json> = Vec::new();
    if capability.settable {
        match &capability.domain {
            Domain::Number { .. } => {
                kinds.push(json!({"type": "number"}));
                words.extend([MORE, LESS].map(str::to_owned));
                words.extend(is_moving.then(|| STOP.to_owned()));
            }
            Domain::Boolean => kinds.push(json!({"type": "boolean"})),
            Domain::Trigger => kinds.push(json!({"type": "null"})),
            Domain::Choice(options) if !options.is_empty() => {
                let options = options.iter().map(|option| word(option));
                words.extend(options.filter(|option| operation(option).is_none()));
            }
            Domain::Choice(_) | Domain::Color => kinds.push(json!({"type": "string"})),
        }
    }
    if capability.domain != Domain::Trigger && (may_query || !capability.settable) {
        words.push(STATE.to_owned());
    }
    if !words.is_empty() {
        kinds.push(json!({"enum": words, "type": "string"}));
    }
    match kinds.as_slice() {
        [one] => one.clone(),
        _ => json!({ "anyOf": kinds }),
    }
}
