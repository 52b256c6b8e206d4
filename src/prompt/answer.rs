//! Reads the answer of a model as an untrusted draft: one well-formed draft or none. Whether its
//! devices exist and may do it is decided by the permission gate.

use serde::Deserialize;
use serde_json::Value as Json;

use crate::home::permit::MOST_ACTIONS;
use crate::prompt::instructions::{NO_DEVICE, operation};
use crate::prompt::when::{DraftTime, when};
use crate::provider::object_in;
use crate::vocabulary::action::{Action, Draft, Op};
use crate::vocabulary::{Property, Value};

/// The longest answer that is read, in bytes.
pub const LONGEST_BODY: usize = 64 << 10;

/// The longest `speech` or `question`, in bytes.
pub const LONGEST_SPEECH: usize = 16 << 10;

/// The longest device, property or value, in bytes. An identifier is 64 at most.
pub const LONGEST_WORD: usize = 256;

/// Reasons why an answer is not a draft.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotADraft {
    /// It is longer than [`LONGEST_BODY`].
    #[error("it is longer than {} KiB", LONGEST_BODY >> 10)]
    TooLong,
    /// It is not one JSON object of the draft's shape and nothing else.
    #[error("it is not the JSON object asked for: {why}")]
    Misshapen {
        /// The fault, and its place.
        why: String,
    },
    /// There are more than [`MOST_ACTIONS`] actions.
    #[error("it has {count} actions, more than {MOST_ACTIONS}")]
    TooManyActions {
        /// Their number.
        count: usize,
    },
    /// A text is too long, has control characters where a word is expected, or is no time.
    #[error("its `{field}` is no plain short text of the form asked for")]
    BadText {
        /// Name of the field with the text.
        field: &'static str,
    },
}

/// Reads an answer: one JSON object with `actions`, `speech`, `question` and `when`, no other key,
/// no key twice. Reasoning and prose around it, a code fence, and repetitions of the whole object
/// are skipped, for servers that cannot hold a model to a schema.
///
/// # Errors
/// When it is anything else, too long, or has texts that cannot be a device's.
pub fn read(body: &str) -> Result<Draft, NotADraft> {
    if body.len() > LONGEST_BODY {
        return Err(NotADraft::TooLong);
    }
    // Where there is no complete object, the text itself gives the reason.
    let body = object_in(body).unwrap_or_else(|| body.trim());
    objects_only(body)?;
    // From the text, not from the parsed tree, which has forgotten duplicate keys.
    let draft: WrittenDraft = serde_json::from_str(body).map_err(|error| misshapen(&error))?;
    let actions: Vec<Action> = draft
        .actions
        .into_iter()
        .map(WrittenAction::action)
        .collect();
    if actions.len() > MOST_ACTIONS {
        return Err(NotADraft::TooManyActions {
            count: actions.len(),
        });
    }
    actions.iter().try_for_each(plain)?;
    // "None of these" is not an action.
    let actions = actions
        .into_iter()
        .filter(|action| !(action.device == NO_DEVICE && action.property.name() == NO_DEVICE));
    let actions = distinct(actions);
    let time = written_time(draft.when.as_deref())?;
    let speech = spoken(draft.speech, "speech")?;
    let question = spoken(draft.question, "question")?;
    // A draft that asks back has no actions, so that a half-understood command is not half done.
    let actions = if question.is_some() {
        Vec::new()
    } else {
        actions
    };
    let acts = !actions.is_empty();
    Ok(Draft {
        actions,
        speech,
        question,
        timing: time.timing.filter(|_| acts),
        condition: time.condition.filter(|_| acts),
        lasting: time.lasting.filter(|_| acts),
        ..Draft::default()
    })
}

/// Returns the actions without repetitions, which small models write until the answer ends.
fn distinct(actions: impl Iterator<Item = Action>) -> Vec<Action> {
    let mut distinct = Vec::new();
    for action in actions {
        if !distinct.contains(&action) {
            distinct.push(action);
        }
    }
    distinct
}

/// Reads the time of a draft. One that cannot be read makes the whole answer invalid: a command for
/// later must not be executed now.
fn written_time(text: Option<&str>) -> Result<DraftTime, NotADraft> {
    let Some(text) = text else {
        return Ok(DraftTime::default());
    };
    when(text).ok_or(NotADraft::BadText { field: "when" })
}

/// A draft as a model writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDraft {
    actions: Vec<WrittenAction>,
    #[serde(default)]
    speech: Option<String>,
    #[serde(default)]
    question: Option<String>,
    #[serde(default)]
    when: Option<String>,
}

/// An action as a model writes it. Without `op`, a word in place of the value is the operation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAction {
    device: String,
    property: Property,
    #[serde(default)]
    op: Option<Op>,
    value: Option<Value>,
}

impl WrittenAction {
    fn action(self) -> Action {
        let word = match &self.value {
            Some(Value::Text(word)) => operation(word),
            _ => None,
        };
        let (op, value) = match (self.op, word) {
            (Some(op), _) => (op, self.value),
            (None, Some(op)) => (op, None),
            (None, None) => (Op::Set, self.value),
        };
        Action {
            device: self.device.into(),
            property: self.property,
            op,
            value,
        }
    }
}

fn misshapen(why: &impl ToString) -> NotADraft {
    NotADraft::Misshapen {
        why: why.to_string().chars().take(200).collect(),
    }
}

/// Rejects arrays in place of objects, which serde would accept.
fn objects_only(body: &str) -> Result<(), NotADraft> {
    let tree: Json = serde_json::from_str(body).map_err(|error| misshapen(&error))?;
    let actions = tree.get("actions").and_then(Json::as_array);
    if actions.is_some_and(|actions| actions.iter().all(Json::is_object)) {
        return Ok(());
    }
    Err(misshapen(
        &"expected an object with a list of objects, `actions`",
    ))
}

fn plain(action: &Action) -> Result<(), NotADraft> {
    let value = match &action.value {
        Some(Value::Text(text)) => text.as_str(),
        _ => "",
    };
    for (field, text) in [
        ("device", action.device.as_str()),
        ("property", action.property.name()),
        ("value", value),
    ] {
        if text.len() > LONGEST_WORD || text.chars().any(char::is_control) {
            return Err(NotADraft::BadText { field });
        }
    }
    Ok(())
}

/// Cleans text for people: line breaks become spaces, other control characters and marks of the
/// writing direction are removed.
fn spoken(text: Option<String>, field: &'static str) -> Result<Option<String>, NotADraft> {
    let Some(text) = text else { return Ok(None) };
    if text.len() > LONGEST_SPEECH {
        return Err(NotADraft::BadText { field });
    }
    let kept: String = text.chars().filter_map(audible).collect();
    let kept = kept.trim();
    Ok((!kept.is_empty()).then(|| kept.to_owned()))
}

/// Returns a character as it is sent to people; `None` where it is removed.
pub(crate) fn audible(c: char) -> Option<char> {
    let turns = matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    if c.is_whitespace() {
        Some(' ')
    } else {
        Some(c).filter(|c| !c.is_control() && !turns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAMP: &str = r#"{"device":"lamp","property":"power","op":"set","value":"on"}"#;

    fn answer(actions: &str) -> String {
        format!(r#"{{"actions":[{actions}],"speech":null,"question":null}}"#)
    }

    #[test]
    fn a_well_formed_answer_is_a_draft() {
        let draft = read(&answer(LAMP)).unwrap();
        assert_eq!(draft.actions[0].op, Op::Set);
        assert_eq!(draft.actions[0].value, Some(Value::text("on")));
        assert_eq!((draft.speech, draft.question), (None, None));
    }

    #[test]
    fn a_word_in_place_of_the_value_is_the_operation() {
        let read_one = |value: &str| {
            let action = format!(r#"{{"device":"tv","property":"volume","value":{value}}}"#);
            let draft = read(&format!(r#"{{"actions":[{action}]}}"#)).unwrap();
            (draft.actions[0].op, draft.actions[0].value.clone())
        };
        assert_eq!(read_one(r#""less""#), (Op::Decrease, None));
        assert_eq!(read_one(r#""more""#), (Op::Increase, None));
        assert_eq!(read_one(r#""stop""#), (Op::Stop, None));
        assert_eq!(read_one(r#""state""#), (Op::Query, None));
        assert_eq!(read_one("30"), (Op::Set, Some(Value::Number(30.0))));
        assert_eq!(read_one("null"), (Op::Set, None));
        let with_op = read(&answer(&LAMP.replace(r#""on""#, r#""more""#))).unwrap();
        assert_eq!(with_op.actions[0].value, Some(Value::text("more")));
    }

    #[test]
    fn a_code_fence_reasoning_and_prose_are_skipped() {
        let bare = read(&answer(LAMP)).unwrap();
        for fenced in [
            format!("```json\n{}\n```", answer(LAMP)),
            format!("\n```\n{}```\n", answer(LAMP)),
            format!("<think>Dim it.</think>\n{}", answer(LAMP)),
            format!("Sure! {} and done", answer(LAMP)),
            format!("{0}{0}", answer(LAMP)),
        ] {
            assert_eq!(read(&fenced).unwrap(), bare);
        }
    }

    #[test]
    fn anything_but_one_object_of_the_shape_is_no_draft() {
        let lamp_with = |more: &str| answer(&LAMP.replace('}', more));
        let hostile = [
            String::new(),
            "null".to_owned(),
            "[]".to_owned(),
            "[[],null,null]".to_owned(),
            "{}".to_owned(),
            r#"{"actions":null}"#.to_owned(),
            r#"{"actions":[["lamp","power","set","on"]]}"#.to_owned(),
            format!("{}{}", answer(LAMP), answer("")),
            format!("Not {}, but {}", answer(LAMP), answer("")),
            format!("[{}]", answer(LAMP)),
            r#"{"actions":[],"actions":[]}"#.to_owned(),
            r#"{"actions":[],"topic":"zigbee2mqtt/lamp/set"}"#.to_owned(),
            r#"{"actions":[],"timing":{"after":60}}"#.to_owned(),
            lamp_with(r#","device":"door"}"#),
            lamp_with(r#","risk":"auto"}"#),
            answer(&LAMP.replace(r#""on""#, "NaN")),
            answer(&LAMP.replace(r#""on""#, "1e999")),
            answer(&LAMP.replace(r#""on""#, r#"{"a":1}"#)),
            answer(&LAMP.replace("set", "destroy")),
            answer(LAMP)[..40].to_owned(),
            format!("{}{}", "[".repeat(50_000), "]".repeat(10)),
        ];
        for body in hostile {
            assert!(
                matches!(read(&body), Err(NotADraft::Misshapen { .. })),
                "{body:.80}: {:?}",
                read(&body)
            );
        }
    }

    #[test]
    fn limits_hold() {
        let lamp = |n: usize| LAMP.replace("lamp", &format!("lamp_{n}"));
        let many = |n: usize| answer(&(0..n).map(lamp).collect::<Vec<_>>().join(","));
        assert_eq!(
            read(&many(MOST_ACTIONS)).unwrap().actions.len(),
            MOST_ACTIONS
        );
        assert_eq!(
            read(&many(MOST_ACTIONS + 1)),
            Err(NotADraft::TooManyActions {
                count: MOST_ACTIONS + 1
            })
        );
        assert_eq!(read(&" ".repeat(LONGEST_BODY + 1)), Err(NotADraft::TooLong));
        assert_eq!(
            read(&answer(
                &LAMP.replace("lamp", &"x".repeat(LONGEST_WORD + 1))
            )),
            Err(NotADraft::BadText { field: "device" })
        );
        assert_eq!(
            read(&answer(&LAMP.replace("on", "o\\nn"))),
            Err(NotADraft::BadText { field: "value" })
        );
    }

    #[test]
    fn speech_has_no_control_characters() {
        let draft =
            read(r#"{"actions":[],"speech":"one\ntwo\u001b[31m\u202e!","question":"  "}"#).unwrap();
        assert_eq!(draft.speech.as_deref(), Some("one two[31m!"));
        assert_eq!(draft.question, None);
    }

    #[test]
    fn a_draft_that_asks_back_has_no_actions() {
        let draft = read(&format!(
            r#"{{"actions":[{LAMP}],"speech":null,"question":"Which lamp?"}}"#
        ))
        .unwrap();
        assert!(draft.actions.is_empty());
    }

    #[test]
    fn an_action_that_is_repeated_counts_once() {
        let repeated = read(&answer(&[LAMP; 50].join(","))).unwrap();
        assert_eq!(repeated, read(&answer(LAMP)).unwrap());
        let off = LAMP.replace("\"on\"", "\"off\"");
        let differing = read(&answer(&format!("{LAMP},{off},{LAMP}"))).unwrap();
        assert_eq!(differing.actions.len(), 2, "the gate refuses these");
    }

    #[test]
    fn none_of_these_is_no_action() {
        let none = r#"{"device":"none","op":"query","property":"none","value":null}"#;
        assert!(read(&answer(none)).unwrap().actions.is_empty());
        let both = read(&answer(&format!("{none},{LAMP}"))).unwrap();
        assert_eq!(both.actions.len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(body in "\\PC{0,200}") {
            let _ = read(&body);
        }

        #[test]
        fn no_mutilated_answer_makes_it_panic(at in 0_usize..90, byte in 0_u8..128) {
            let mut bytes = answer(LAMP).into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = read(std::str::from_utf8(&bytes).unwrap());
        }
    }
}
