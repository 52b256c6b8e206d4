//! Lenient access to the fields of an answer: servers send null, numbers as text, or objects where
//! text is expected.

use serde_json::Value as Json;

/// The largest token count that is plausible for one call; larger ones are an error of the server.
const LARGEST_COUNT: u64 = 100_000_000;

/// Returns the text of a field; `None` where it is missing, empty or something else.
pub(super) fn text<'a>(json: &'a Json, key: &str) -> Option<&'a str> {
    json.get(key)?.as_str().filter(|text| !text.is_empty())
}

/// Returns the elements of a list; none where it is null, missing or something else.
pub(super) fn list<'a>(json: &'a Json, key: &str) -> &'a [Json] {
    json.get(key)
        .and_then(Json::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Returns a token count: a whole number, a float or a number in text. Negative and implausible
/// ones are unknown.
pub(super) fn count(json: &Json, key: &str) -> Option<u64> {
    let value = json.get(key)?;
    let number = match value {
        Json::Number(number) => number.as_f64()?,
        Json::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    let plausible = number.is_finite()
        && (0.0..=crate::provider::allowance::to_f64(LARGEST_COUNT)).contains(&number);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be between 0 and a hundred million"
    )]
    plausible.then_some(number as u64)
}

/// Returns the text of a value that should be text: an object or list is written out as JSON.
pub(super) fn as_text(json: &Json) -> String {
    match json {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn odd_counts_are_read_or_unknown() {
        for (value, expected) in [
            (json!(12), Some(12)),
            (json!(12.7), Some(12)),
            (json!("12"), Some(12)),
            (json!(-35), None),
            (json!(1e300), None),
            (json!(null), None),
            (json!({"a": 1}), None),
        ] {
            assert_eq!(count(&json!({ "n": value }), "n"), expected, "{value}");
        }
    }
}
