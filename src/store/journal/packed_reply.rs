//! The recorded reply of a command: its JSON, in which frequent texts take one byte each.

use std::ops::Range;

use serde::{Deserialize, Deserializer};

use crate::command::reply::Reply;
use crate::vocabulary::shared_str::SharedStr;

/// Bytes of the JSON of most replies.
const USUAL_JSON: usize = 512;

/// The texts that take one byte each: the byte is the index. JSON has no bytes below 32 outside
/// of whitespace, which is not written, so that they are free. Each text begins with a quotation
/// mark; of two that match the first one counts. The order of the fields is that of [`Reply`] and
/// its actions: for another one the packed replies are longer, and correct.
const TEXTS: [&[u8]; 26] = [
    br#"","text":""#,
    br#"","outcome":"done","actions":[{"device":""#,
    br#"","outcome":"answered","actions":["#,
    br#"","outcome":"unclear","actions":[],"speech":""#,
    br#"","outcome":"refused","actions":[],"speech":""#,
    br#"","outcome":"failed","actions":["#,
    br#"","outcome":""#,
    br#"","op":"set","value":"#,
    br#"","op":"query","value":"#,
    br#"","op":""#,
    br#"","property":"power","op":"set","value":"on"},{"device":""#,
    br#"","property":"power","op":"set","value":"off"},{"device":""#,
    br#"","property":"power","op":"set","value":"on"}],"speech":""#,
    br#"","property":"power","op":"set","value":"off"}],"speech":""#,
    br#"","property":"brightness","op":"set","value":"#,
    br#"","property":"position","op":"set","value":"#,
    br#"","property":"power","op":""#,
    br#"","property":""#,
    br#"","value":"#,
    br#"","via":"local","ms":"#,
    br#"","via":"cache","ms":"#,
    br#"","via":"none","ms":"#,
    br#"","via":""#,
    br#"","ms":"#,
    br#""device":""#,
    br#""speech":""#,
];

/// Returns the texts to compare where these bytes are: those with the same first letter.
fn texts_like(json: &[u8]) -> Range<u8> {
    match json {
        [_, b',', _, b't', ..] => 0..1,
        [_, b',', _, b'o', ..] => 1..10,
        [_, b',', _, b'p', ..] => 10..18,
        [_, b',', _, b'v', ..] => 18..23,
        [_, b',', _, b'm', ..] => 23..24,
        [_, b'd', ..] => 24..25,
        [_, b's', ..] => 25..26,
        _ => 0..0,
    }
}

/// A reply as the journal keeps it. An everyday one takes about 80 bytes and one allocation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PackedReply {
    packed: Box<[u8]>,
    is_put_off: bool,
}

impl PackedReply {
    /// Packs a reply; `json` is its JSON.
    pub(super) fn new(reply: &Reply, json: &[u8]) -> Self {
        // Counted first: the rest of a larger buffer shall not stay behind it.
        let mut packed = Vec::with_capacity(packed_bytes(json).count());
        packed.extend(packed_bytes(json));
        Self {
            packed: packed.into_boxed_slice(),
            is_put_off: reply.is_put_off(),
        }
    }

    /// Returns the reply; `None` if it could not be encoded.
    pub(super) fn reply(&self) -> Option<Reply> {
        let mut json = Vec::with_capacity(USUAL_JSON);
        self.unpack(&mut json);
        serde_json::from_slice(&json).ok()
    }

    /// Appends the JSON of the reply.
    pub(super) fn unpack(&self, json: &mut Vec<u8>) {
        for byte in &self.packed {
            match TEXTS.get(usize::from(*byte)) {
                Some(text) => json.extend_from_slice(text),
                None => json.push(*byte),
            }
        }
    }

    /// Returns whether the client was asked to come back later: when it does, its command is new.
    pub(super) fn is_put_off(&self) -> bool {
        self.is_put_off
    }

    /// Returns the number of bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.packed.len()
    }

    /// Returns it without the command's text if that is longer than `longest`.
    pub(super) fn without_text_above(self, longest: usize) -> Self {
        if self.packed.len() <= longest {
            return self;
        }
        match self.reply() {
            Some(mut reply) if reply.text.len() > longest => {
                reply.text = SharedStr::default();
                Self::new(&reply, &reply.to_json())
            }
            _ => self,
        }
    }
}

impl<'de> Deserialize<'de> for PackedReply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let reply = Reply::deserialize(deserializer)?;
        Ok(Self::new(&reply, &reply.to_json()))
    }
}

/// Returns the bytes of `json` with one byte in the place of each of the texts.
fn packed_bytes(json: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = json;
    std::iter::from_fn(move || {
        let (&byte, behind) = rest.split_first()?;
        let found = if byte == b'"' { text_at(rest) } else { None };
        let Some((index, text)) = found else {
            rest = behind;
            return Some(byte);
        };
        rest = &rest[text.len()..];
        Some(index)
    })
}

/// Returns the text at the beginning of `json`, with its index.
fn text_at(json: &[u8]) -> Option<(u8, &'static [u8])> {
    texts_like(json).find_map(|index| {
        let text = TEXTS[usize::from(index)];
        json.starts_with(text).then_some((index, text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::reply::{ActionIssue, ActionReport, Outcome, RefusalCode, Via};
    use crate::vocabulary::action::{Action, Op};
    use crate::vocabulary::{Property, Value};

    /// The first byte that JSON may have.
    const FIRST_PLAIN: u8 = b' ';

    fn set(value: Value, why: Option<RefusalCode>) -> ActionReport {
        let action = Action {
            device: "kitchen_lamp".into(),
            property: Property::Power,
            op: Op::Set,
            value: Some(value),
        };
        ActionReport {
            why: why.map(ActionIssue::Code),
            ..action.into()
        }
    }

    fn everyday() -> Reply {
        Reply {
            id: "0f3a91c2".into(),
            text: "turn on the kitchen lamp".into(),
            outcome: Outcome::Done,
            actions: vec![set(Value::text("on"), None)],
            speech: "Kitchen lamp on.".to_owned(),
            via: Via::Local,
            ms: 0.423,
            why: None,
            retry_after: None,
            scheduled: None,
        }
    }

    #[test]
    fn an_everyday_reply_takes_less_than_half_of_its_json() {
        let json = serde_json::to_vec(&everyday()).unwrap();
        let packed = PackedReply::new(&everyday(), &json);
        assert!(packed.bytes() * 2 < json.len(), "{packed:?}");
        assert!(packed.bytes() <= 80, "{packed:?}");
    }

    #[test]
    fn any_reply_is_unpacked_as_it_was() {
        let mut replies = vec![everyday()];
        for outcome in [
            Outcome::Done,
            Outcome::Answered,
            Outcome::Unclear,
            Outcome::Refused,
            Outcome::Failed,
        ] {
            let why = Some(RefusalCode::Busy);
            replies.push(Reply {
                text: "\u{1}\t\"},\"text\":\" ä \\ \u{7f}\n".into(),
                outcome,
                actions: vec![set(Value::text("off"), why), set(Value::Number(21.5), None)],
                speech: String::new(),
                via: Via::Provider("a\"b".into()),
                why,
                retry_after: Some(1.5),
                ..everyday()
            });
            replies.push(Reply {
                outcome,
                actions: Vec::new(),
                via: Via::None,
                ..everyday()
            });
        }
        for reply in replies {
            let json = serde_json::to_vec(&reply).unwrap();
            let packed = PackedReply::new(&reply, &json);
            let mut unpacked = Vec::new();
            packed.unpack(&mut unpacked);
            assert_eq!(unpacked, json);
            assert_eq!(packed.reply(), Some(reply));
        }
    }

    #[test]
    fn each_text_takes_a_byte_that_json_does_not_have() {
        assert!(TEXTS.len() <= usize::from(FIRST_PLAIN));
        for (index, text) in (0..).zip(TEXTS) {
            assert!(packed_bytes(text).eq([index]), "{index}");
        }
    }
}
