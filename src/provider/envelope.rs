//! The one JSON object in a model's text. Models wrap it in code fences, write a sentence before or
//! after it, or repeat it, and reasoning models put their reasoning before it. Only a certain
//! answer is used: there must be exactly one object, and no other brace or bracket outside it.
//! Pure.

use serde::de::IgnoredAny;

/// Marks that end the reasoning before an answer, as models write them, in small letters.
const REASONING_ENDS: [&str; 12] = [
    "</think>",
    "</thinking>",
    "</thought>",
    "</thoughts>",
    "</reasoning>",
    "</analysis>",
    "</reflection>",
    "</scratchpad>",
    "</seed:think>",
    "[/think]",
    "◁/think▷",
    "<|message|>",
];

/// Marks that begin it.
const REASONING_BEGINS: [&str; 12] = [
    "<think>",
    "<thinking>",
    "<thought>",
    "<thoughts>",
    "<reasoning>",
    "<analysis>",
    "<reflection>",
    "<scratchpad>",
    "<seed:think>",
    "[think]",
    "◁think▷",
    "<|channel|>",
];

/// Marks that some servers leave at the end of the text.
const TEXT_ENDS: [&str; 5] = ["<|im_end|>", "</s>", "<|eot_id|>", "<|end|>", "<|return|>"];

/// Places where the object may begin that are tried, so that hostile text costs little.
const MOST_PLACES: usize = 32;

/// Returns the one complete JSON object of `text`: alone, in a code fence, after reasoning that
/// ends with a mark, or within prose without braces and brackets. The same object may be repeated
/// byte by byte. `None` where there is none, or another one.
pub fn object_in(text: &str) -> Option<&str> {
    let text = trimmed(text);
    if let Some(object) = complete(text) {
        return Some(object);
    }
    let is_marked = REASONING_BEGINS.iter().any(|begin| has_prefix(text, begin));
    if is_marked {
        return after_reasoning(text);
    }
    if text.starts_with(['{', '[']) {
        return only_object(text);
    }
    after_reasoning(text).or_else(|| only_object(text))
}

/// Returns where marked reasoning at the beginning of `text` ends; `None` while it has not ended.
pub(crate) fn end_of_reasoning(text: &str) -> Option<usize> {
    let text = text.to_ascii_lowercase();
    let ends = REASONING_ENDS
        .iter()
        .filter_map(|end| text.find(end).map(|at| at + end.len()));
    ends.min()
}

/// Returns whether `text` begins with a mark of reasoning, or is the beginning of one.
pub(crate) fn may_be_reasoning(text: &str) -> bool {
    let mut begins = REASONING_BEGINS.iter();
    begins.any(|begin| has_prefix(text, begin) || has_prefix(begin, text))
}

fn has_prefix(text: &str, prefix: &str) -> bool {
    let head = text.get(..prefix.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

fn trimmed(text: &str) -> &str {
    let mut text = text.trim_start_matches('\u{feff}').trim();
    for end in TEXT_ENDS {
        text = text.strip_suffix(end).unwrap_or(text).trim_end();
    }
    text
}

fn after_reasoning(text: &str) -> Option<&str> {
    let mut rest = text;
    for _ in 0..MOST_PLACES {
        let Some(end) = end_of_reasoning(rest) else {
            // The text after the last mark; without a mark there is no reasoning.
            return only_object(rest).filter(|_| rest.len() < text.len());
        };
        rest = &rest[end..];
        if let Some(object) = complete(rest.trim()) {
            return Some(object);
        }
    }
    None
}

/// Returns the object in prose, where it is the only one.
fn only_object(text: &str) -> Option<&str> {
    let mut only = None;
    let mut rest = text;
    for _ in 0..MOST_PLACES {
        let Some(brace) = rest.find('{') else {
            return only.filter(|_| is_prose(rest));
        };
        let (prose, object) = rest.split_at(brace);
        if !is_prose(prose) {
            return None;
        }
        let mut values = serde_json::Deserializer::from_str(object).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let (object, after) = object.split_at(values.byte_offset());
        if only.is_some_and(|only| only != object) {
            return None;
        }
        only = Some(object);
        rest = after;
    }
    None
}

/// Returns whether text outside the object can be neither a part of an answer nor reasoning.
fn is_prose(text: &str) -> bool {
    let lowercase = text.to_ascii_lowercase();
    let mut marks = REASONING_BEGINS.iter().chain(&REASONING_ENDS);
    !text.contains(['{', '}', '[', ']']) && !marks.any(|mark| lowercase.contains(mark))
}

/// Returns `text`, or the content of its code fence, where that is exactly one object.
fn complete(text: &str) -> Option<&str> {
    let text = unfenced(text);
    let is_object = text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok();
    is_object.then_some(text)
}

fn unfenced(text: &str) -> &str {
    let Some(inside) = text
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"))
    else {
        return text;
    };
    inside
        .strip_prefix("json")
        .or_else(|| inside.strip_prefix("JSON"))
        .unwrap_or(inside)
        .trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_fences_and_marks_around_the_object_are_removed() {
        let object = r#"{"actions":[]}"#;
        for text in [
            object.to_owned(),
            format!("\u{feff} {object}\n"),
            format!("```json\n{object}\n```"),
            format!("<think>\nIt should be {{dim}}.\n</think>\n\n{object}"),
            format!("It was opened by the template.</think>{object}"),
            format!("<think></think>```json\n{object}\n```"),
            format!("<reasoning>a</reasoning>{object}<|im_end|>"),
            format!("[THINK]a[/THINK]{object}"),
            format!("<Think>a</Think>{object}"),
            format!("<seed:think>a</seed:think>{object}"),
            format!(
                "<|channel|>analysis<|message|>dim<|end|><|channel|>final<|message|>{object}<|return|>"
            ),
            format!("The lamp is meant.\n{object}"),
            format!("The lamp is meant:\n\n```json\n{object}\n```"),
            format!("<think>a <think> b</think> c</think>{object}"),
            format!("I will dim it.{object}"),
            format!("Sure! {object}"),
            format!("{object}\n\nI dimmed the lamp."),
            format!("{object}\n```"),
            format!("```json\n{object}"),
            format!("{object}{object}"),
            format!("{object}\n\n{object}\n"),
            format!("<think>a {{b}}</think> I will dim it. {object} Done."),
        ] {
            assert_eq!(object_in(&text), Some(object), "{text}");
        }
    }

    #[test]
    fn what_is_not_certain_is_no_object() {
        let object = r#"{"actions":[]}"#;
        let other = r#"{"actions":[ ]}"#;
        for text in [
            String::new(),
            "prose".to_owned(),
            "[]".to_owned(),
            format!("{object}{other}"),
            format!("{object}\n{other}"),
            format!("{object}{object}{other}"),
            format!("Not this:\n{object}\nbut this:\n{other}"),
            format!("With {{}} nothing happens: {object}"),
            format!("[{object}]"),
            format!("Here: [{object}]"),
            format!("{object} and }}"),
            format!("{object} {{\"actions\":["),
            format!("{object}</think>"),
            format!("{object}<think>No, "),
            format!("<think>{object}"),
            format!("<think>{object}</think>"),
            format!("<think>{object}</think>I dimmed it."),
            format!("Dim it, so {object}.</think>"),
            object.repeat(MOST_PLACES),
            object[..object.len() - 1].to_owned(),
        ] {
            assert_eq!(object_in(&text), None, "{text}");
        }
    }
}
