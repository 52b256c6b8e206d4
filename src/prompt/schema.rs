//! JSON Schemas of an answer: one for every phrase of a home, and a narrow one for small models.
//! Keys are in alphabetical order, so that the bytes are the same however the JSON library orders
//! them. Pure.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::home::permit::MOST_ACTIONS;
use crate::prompt::home_listing::word;
use crate::prompt::instructions::NO_DEVICE;
use crate::vocabulary::{Domain, Property};

/// The most device identifiers listed as an enum. Source: the strict modes of the providers allow
/// 1,000 enum values in total, but slow down with large enums; beyond this, identifiers are checked
/// against the home alone.
const MOST_IDS: usize = 200;

/// The most kinds of actions told apart in a narrow schema.
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
/// only with its own operations and values.
pub(super) fn narrow_schema<'a>(
    capabilities: impl Iterator<Item = (&'a Device, &'a Capability)>,
    shape: &AnswerShape,
) -> Json {
    let mut variants: BTreeMap<String, (Json, Vec<String>)> = BTreeMap::new();
    for (device, capability) in capabilities {
        let variant = json!({
            "op": {"enum": operations(capability, shape.may_query), "type": "string"},
            "property": {"enum": [capability.property.name()], "type": "string"},
            "value": values(capability),
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
        "op": {"enum": ["query"], "type": "string"},
        "property": {"enum": [NO_DEVICE], "type": "string"},
        "value": {"type": "null"},
    })));
    let mut schema = answer(&json!({ "anyOf": actions }), shape.max_actions);
    if !shape.may_speak {
        schema["properties"]["question"] = json!({"type": "null"});
        schema["properties"]["speech"] = json!({"type": "null"});
    }
    schema
}

fn object(properties: &Json) -> Json {
    json!({
        "additionalProperties": false,
        "properties": properties,
        "required": ["device", "op", "property", "value"],
        "type": "object"
    })
}

fn answer(action: &Json, max_actions: usize) -> Json {
    let text_or_null = json!({"anyOf": [{"type": "string"}, {"type": "null"}]});
    json!({
        "additionalProperties": false,
        "properties": {
            "actions": {"items": action, "maxItems": max_actions, "type": "array"},
            "question": text_or_null,
            "speech": text_or_null
        },
        "required": ["actions", "question", "speech"],
        "type": "object"
    })
}

fn operations(capability: &Capability, may_query: bool) -> Vec<&'static str> {
    if !capability.settable {
        return vec!["query"];
    }
    let is_moving = matches!(capability.property, Property::Position | Property::Tilt);
    let mut operations = match &capability.domain {
        Domain::Number { .. } if is_moving => vec!["set", "increase", "decrease", "stop"],
        Domain::Number { .. } => vec!["set", "increase", "decrease"],
        Domain::Choice(options) if options.len() == 2 => vec!["set", "toggle"],
        Domain::Boolean => vec!["set", "toggle"],
        Domain::Choice(_) | Domain::Color | Domain::Trigger => vec!["set"],
    };
    if may_query && capability.domain != Domain::Trigger {
        operations.push("query");
    }
    operations
}

fn values(capability: &Capability) -> Json {
    let one = match &capability.domain {
        Domain::Number { .. } => json!({"type": "number"}),
        Domain::Boolean => json!({"type": "boolean"}),
        Domain::Trigger => return json!({"type": "null"}),
        Domain::Choice(options) if !options.is_empty() => {
            let options: Vec<String> = options.iter().map(|option| word(option)).collect();
            json!({"enum": options, "type": "string"})
        }
        Domain::Choice(_) | Domain::Color => json!({"type": "string"}),
    };
    json!({"anyOf": [one, {"type": "null"}]})
}
