//! The spoken part of an answer, out of its JSON while that still comes in. Pure.
//!
//! Only an answer in words alone is spoken before it is whole: one that acts or asks back says nothing until it has passed
//! the gate. So `speech` is heard only after an empty `actions` and no `question`, in which order the schema has them.

use crate::prompt::answer::audible;

/// The longest key worth knowing.
const LONGEST_KEY: usize = 16;

/// Reads an answer as it comes, split anywhere.
#[derive(Debug, Default)]
pub(super) struct PartialAnswer {
    said: String,
    /// So many spaces were said, and nothing yet after them: at the end they would be dropped.
    gap: usize,
    depth: u32,
    /// Within the outermost object, the key whose value comes next.
    key: String,
    after_colon: bool,
    inside: Inside,
    escape: Escape,
    /// The first half of a character that is escaped in two.
    half: Option<u32>,
    actions: Actions,
    asks_back: bool,
}

/// Where the reader stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Inside {
    #[default]
    Structure,
    /// A text, of which this is made.
    Text(StringRole),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StringRole {
    Nothing,
    Key,
    Speech,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Begun,
    /// The digits so far of `\uXXXX`, and how many.
    Unicode {
        value: u32,
        digits: u8,
    },
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Actions {
    #[default]
    Unseen,
    /// The list has begun, and nothing is in it yet.
    Begun,
    Empty,
    Some,
}

/// The half of a character of two that came first.
const HIGH: std::ops::RangeInclusive<u32> = 0xD800..=0xDBFF;
const LOW: std::ops::RangeInclusive<u32> = 0xDC00..=0xDFFF;

impl PartialAnswer {
    /// Takes in what came.
    pub(super) fn push(&mut self, text: &str) {
        for c in text.chars() {
            match self.inside {
                Inside::Structure => self.structure(c),
                Inside::Text(made) => self.text(made, c),
            }
        }
    }

    /// All that was spoken so far: the beginning of what the whole answer will be read as.
    pub(super) fn said(&self) -> &str {
        &self.said
    }

    fn structure(&mut self, c: char) {
        if c.is_whitespace() {
            return;
        }
        if self.actions == Actions::Begun {
            self.actions = if c == ']' {
                Actions::Empty
            } else {
                Actions::Some
            };
        }
        match c {
            '"' => self.inside = Inside::Text(self.begun()),
            '{' | '[' => {
                if self.depth == 1
                    && self.after_colon
                    && self.key == "actions"
                    && c == '['
                    && self.actions == Actions::Unseen
                {
                    self.actions = Actions::Begun;
                }
                self.depth += 1;
            }
            '}' | ']' => self.depth = self.depth.saturating_sub(1),
            ':' if self.depth == 1 => self.after_colon = true,
            ',' if self.depth == 1 => {
                self.after_colon = false;
                self.key.clear();
            }
            _ => {}
        }
    }

    /// A text begins: a key, what is spoken, or neither.
    fn begun(&mut self) -> StringRole {
        match (self.depth, self.after_colon) {
            (1, false) => {
                self.key.clear();
                return StringRole::Key;
            }
            (1, true) if self.key == "question" => self.asks_back = true,
            (1, true)
                if self.key == "speech"
                    && self.actions == Actions::Empty
                    && !self.asks_back
                    && self.said.is_empty() =>
            {
                return StringRole::Speech;
            }
            _ => {}
        }
        StringRole::Nothing
    }

    fn text(&mut self, made: StringRole, c: char) {
        match (self.escape, c) {
            (Escape::None, '\\') => self.escape = Escape::Begun,
            (Escape::None, '"') => self.inside = Inside::Structure,
            (Escape::None, c) => self.letter(made, c),
            (Escape::Begun, 'u') => {
                self.escape = Escape::Unicode {
                    value: 0,
                    digits: 0,
                }
            }
            (Escape::Begun, c) => {
                self.escape = Escape::None;
                self.letter(made, unescaped(c));
            }
            (Escape::Unicode { value, digits }, c) => {
                let value = value * 16 + c.to_digit(16).unwrap_or_default();
                if digits < 3 {
                    self.escape = Escape::Unicode {
                        value,
                        digits: digits + 1,
                    };
                } else {
                    self.escape = Escape::None;
                    self.code(made, value);
                }
            }
        }
    }

    fn code(&mut self, made: StringRole, value: u32) {
        if HIGH.contains(&value) {
            self.half = Some(value);
            return;
        }
        let whole = match self.half.take() {
            Some(high) if LOW.contains(&value) => {
                0x1_0000 + ((high - HIGH.start()) << 10) + (value - LOW.start())
            }
            _ => value,
        };
        // Half a character is none: the whole answer will not be read.
        if let Some(c) = char::from_u32(whole) {
            self.letter(made, c);
        }
    }

    fn letter(&mut self, made: StringRole, c: char) {
        match made {
            StringRole::Key if self.key.len() < LONGEST_KEY => self.key.push(c),
            StringRole::Nothing | StringRole::Key => {}
            StringRole::Speech => match audible(c) {
                Some(' ') => self.gap += usize::from(!self.said.is_empty()),
                Some(c) => {
                    self.said
                        .extend(std::iter::repeat_n(' ', std::mem::take(&mut self.gap)));
                    self.said.push(c);
                }
                None => {}
            },
        }
    }
}

/// What stands for a character after a backslash.
fn unescaped(c: char) -> char {
    match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::prompt::answer::read;

    fn said(pieces: &[&str]) -> String {
        let mut spoken = PartialAnswer::default();
        for piece in pieces {
            spoken.push(piece);
        }
        spoken.said().to_owned()
    }

    #[test]
    fn words_are_heard_as_they_come() {
        let mut spoken = PartialAnswer::default();
        spoken.push(r#"```json{ "actions" : [ ] ,"question":null,"speech":"Once "#);
        assert_eq!(spoken.said(), "Once");
        spoken.push(r#"upon \"a\" t\u"#);
        assert_eq!(spoken.said(), r#"Once upon "a" t"#);
        spoken.push("00ed");
        spoken.push(r#"me \ud83d\ude00 \n"}"#);
        assert_eq!(spoken.said(), "Once upon \"a\" t\u{ed}me \u{1F600}");
    }

    #[test]
    fn an_answer_that_acts_or_asks_back_says_nothing_before_it_is_whole() {
        for silent in [
            r#"{"actions":[{"device":"lamp","op":"set","property":"power","value":"on"}],"question":null,"speech":"I turned it on"}"#,
            r#"{"actions":[1],"speech":"on"}"#,
            r#"{"actions":[],"question":"Which lamp?","speech":"Hm"}"#,
            r#"{"speech":"Done","actions":[]}"#,
            r#"{"actions":{"speech":"x"},"speech":"on"}"#,
            r#"{"actions":[{"speech":"in vain"}],"question":null}"#,
            r#"{"actions":[],"question":null,"speech":null}"#,
            r#""actions":[],"speech":"no object""#,
        ] {
            assert_eq!(said(&[silent]), "", "{silent}");
        }
    }

    proptest! {
        /// Wherever it is split, what was spoken is what the whole is read as; and half-way its beginning.
        #[test]
        fn what_is_spoken_is_what_is_read(speech in "(\\PC|\n|\t|\u{202e}|\u{1F600}|\"|\\\\){1,60}", at in any::<prop::sample::Index>(), escaped: bool) {
            let mut body = json!({"actions": [], "question": null, "speech": speech}).to_string();
            if escaped {
                body = body.chars().flat_map(|c| if c.is_ascii() { vec![c.to_string()] } else {
                    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
                }).collect();
            }
            let at = (0..=at.index(body.len())).rev().find(|at| body.is_char_boundary(*at)).unwrap();
            let whole = read(&body).unwrap().speech.unwrap_or_default();
            prop_assert_eq!(said(&[&body[..at], &body[at..]]), whole.clone());
            prop_assert!(whole.starts_with(&said(&[&body[..at]])));
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,200}") {
            let _ = said(&[&text]);
        }
    }
}
