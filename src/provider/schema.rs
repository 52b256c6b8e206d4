//! Adapts a schema to the strict mode of one API. Pure; equal schemas give equal
//! bytes.

use serde_json::Value as Json;

use crate::provider::spec::ApiSpec;

/// Returns the schema as this API accepts it: without `maxItems` where it is rejected, and with
/// plain strings where an enum is longer than the API allows.
pub(super) fn adapted(schema: &Json, spec: &ApiSpec) -> Json {
    let mut schema = schema.clone();
    adapt(&mut schema, spec);
    schema
}

fn adapt(schema: &mut Json, spec: &ApiSpec) {
    match schema {
        Json::Object(fields) => {
            if !spec.accepts_max_items {
                fields.remove("maxItems");
            }
            let is_too_long = fields
                .get("enum")
                .and_then(Json::as_array)
                .is_some_and(|values| values.len() > spec.enum_limit);
            if is_too_long {
                fields.remove("enum");
            }
            fields.values_mut().for_each(|value| adapt(value, spec));
        }
        Json::Array(values) => values.iter_mut().for_each(|value| adapt(value, spec)),
        _ => {}
    }
}
