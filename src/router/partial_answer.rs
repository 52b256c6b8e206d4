//! Extracts `speech` from the JSON of an answer while it comes in. Pure.
//!
//! Only an answer in words alone is published before it is complete: one with actions or a question
//! has to pass the permission gate first. So `speech` is extracted only after an empty `actions`
//! and no `question`, the order of the schema. Reasoning before the object is skipped.

use crate::prompt::answer::audible;
use crate::provider::{end_of_reasoning, may_be_reasoning};

/// The longest text before the object that is kept to find the end of reasoning.
const LONGEST_PREAMBLE: usize = 64 << 10;

/// The longest key of interest, in bytes.
const LONGEST_KEY: usize = 16;

/// Reads an answer as it comes, split anywhere.
#[derive(Debug, Default)]
pub(super) struct PartialAnswer {
    preamble: Preamble,
    speech: String,
    /// Spaces after the speech so far: at its end they are dropped.
    gap: usize,
    depth: u32,
    /// The key in the outermost object whose value comes next.
    key: String,
    after_colon: bool,
    inside: Inside,
    escape: Escape,
    /// The first half of a surrogate pair.
    half: Option<u32>,
    actions: Actions,
    has_question: bool,
}

/// The text before the object.
#[derive(Debug, PartialEq, Eq)]
enum Preamble {
    /// Nothing but white space, or reasoning, so far.
    Text(String),
    /// The object has begun.
    Over,
    /// Text that is no known reasoning: nothing is published before the whole answer is read.
    Unknown,
}

impl Default for Preamble {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// The position of the reader.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Inside {
    #[default]
    Structure,
    /// A string.
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
    /// The list has begun and is empty so far.
    Begun,
    Empty,
    Some,
}

/// The two halves of surrogate pairs.
const HIGH: std::ops::RangeInclusive<u32> = 0xD800..=0xDBFF;
const LOW: std::ops::RangeInclusive<u32> = 0xDC00..=0xDFFF;

impl PartialAnswer {
    /// Adds the next part.
    pub(super) fn push(&mut self, text: &str) {
        let text = match &mut self.preamble {
            Preamble::Unknown => return,
            Preamble::Over => text.to_owned(),
            Preamble::Text(preamble) => {
                preamble.push_str(text);
                match preamble_end(preamble) {
                    PreambleEnd::Open => return,
                    PreambleEnd::At(begin) => {
                        let rest = preamble[begin..].to_owned();
                        self.preamble = Preamble::Over;
                        rest
                    }
                    PreambleEnd::Unknown => {
                        self.preamble = Preamble::Unknown;
                        return;
                    }
                }
            }
        };
        for c in text.chars() {
            match self.inside {
                Inside::Structure => self.structure(c),
                Inside::Text(made) => self.text(made, c),
            }
        }
    }

    /// Returns the speech so far: a beginning of that of the whole answer.
    pub(super) fn speech(&self) -> &str {
        &self.speech
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

    /// Returns the role of a string that begins: a key, the speech, or neither.
    fn begun(&mut self) -> StringRole {
        match (self.depth, self.after_colon) {
            (1, false) => {
                self.key.clear();
                return StringRole::Key;
            }
            (1, true) if self.key == "question" => self.has_question = true,
            (1, true)
                if self.key == "speech"
                    && self.actions == Actions::Empty
                    && !self.has_question
                    && self.speech.is_empty() =>
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
        // Half a surrogate pair is no character: the whole answer will be rejected.
        if let Some(c) = char::from_u32(whole) {
            self.letter(made, c);
        }
    }

    fn letter(&mut self, made: StringRole, c: char) {
        match made {
            StringRole::Key if self.key.len() < LONGEST_KEY => self.key.push(c),
            StringRole::Nothing | StringRole::Key => {}
            StringRole::Speech => match audible(c) {
                Some(' ') => self.gap += usize::from(!self.speech.is_empty()),
                Some(c) => {
                    self.speech
                        .extend(std::iter::repeat_n(' ', std::mem::take(&mut self.gap)));
                    self.speech.push(c);
                }
                None => {}
            },
        }
    }
}

/// End of the text before the object.
enum PreambleEnd {
    /// It has not ended yet.
    Open,
    /// At this byte.
    At(usize),
    /// It is no known reasoning.
    Unknown,
}

fn preamble_end(text: &str) -> PreambleEnd {
    let trimmed = text.trim_start_matches('\u{feff}').trim_start();
    let offset = text.len() - trimmed.len();
    if trimmed.is_empty() {
        return PreambleEnd::Open;
    }
    if trimmed.starts_with(['{', '`']) {
        return PreambleEnd::At(offset);
    }
    if !may_be_reasoning(trimmed) || text.len() > LONGEST_PREAMBLE {
        return PreambleEnd::Unknown;
    }
    match end_of_reasoning(trimmed) {
        None => PreambleEnd::Open,
        Some(end) => match preamble_end(&trimmed[end..]) {
            PreambleEnd::At(begin) => PreambleEnd::At(offset + end + begin),
            other => other,
        },
    }
}

/// Returns the character that an escape stands for.
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

    fn speech_of(parts: &[&str]) -> String {
        let mut partial = PartialAnswer::default();
        for part in parts {
            partial.push(part);
        }
        partial.speech().to_owned()
    }

    #[test]
    fn speech_is_extracted_as_it_comes() {
        let mut partial = PartialAnswer::default();
        partial.push(r#"```json{ "actions" : [ ] ,"question":null,"speech":"Once "#);
        assert_eq!(partial.speech(), "Once");
        partial.push(r#"upon \"a\" t\u"#);
        assert_eq!(partial.speech(), r#"Once upon "a" t"#);
        partial.push("00ed");
        partial.push(r#"me \ud83d\ude00 \n"}"#);
        assert_eq!(partial.speech(), "Once upon \"a\" t\u{ed}me \u{1F600}");
    }

    #[test]
    fn an_answer_with_actions_or_a_question_gives_no_speech() {
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
            assert_eq!(speech_of(&[silent]), "", "{silent}");
        }
    }

    #[test]
    fn reasoning_is_skipped_and_prose_silences() {
        let object = r#"{"actions":[],"question":null,"speech":"Yes"}"#;
        let hidden = r#"{"actions":[],"question":null,"speech":"No"}"#;
        let reasoned = format!("<think>\"a {hidden}</think>\n{object}");
        let mut partial = PartialAnswer::default();
        for c in reasoned.chars() {
            partial.push(&c.to_string());
        }
        assert_eq!(partial.speech(), "Yes");
        assert_eq!(speech_of(&[&format!("Sure: {object}")]), "");
        assert_eq!(speech_of(&[&format!("<think>{object}")]), "");
        assert_eq!(speech_of(&["\u{feff}\n", object]), "Yes");
    }

    proptest! {
        /// Checks that the speech of a partial answer is a beginning of that of the whole answer,
        /// however it is split.
        #[test]
        fn the_speech_is_what_is_read(speech in "(\\PC|\n|\t|\u{202e}|\u{1F600}|\"|\\\\){1,60}", at in any::<prop::sample::Index>(), escaped: bool) {
            let mut body = json!({"actions": [], "question": null, "speech": speech}).to_string();
            if escaped {
                body = body.chars().flat_map(|c| if c.is_ascii() { vec![c.to_string()] } else {
                    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
                }).collect();
            }
            let at = (0..=at.index(body.len())).rev().find(|at| body.is_char_boundary(*at)).unwrap();
            let whole = read(&body).unwrap().speech.unwrap_or_default();
            prop_assert_eq!(speech_of(&[&body[..at], &body[at..]]), whole.clone());
            prop_assert!(whole.starts_with(&speech_of(&[&body[..at]])));
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,200}") {
            let _ = speech_of(&[&text]);
        }
    }
}
