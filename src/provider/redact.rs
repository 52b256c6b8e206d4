//! Removes the key from everything that a server sends: some repeat it in their errors, and errors
//! are logged and published with the health report, answers are sent to people. A text may be JSON
//! within JSON, so each letter of the key is recognized in its escaped forms too: `\/`, `\u002f`,
//! `%2F`. Pure.

use std::borrow::Cow;

use crate::provider::error::ProviderError;
use crate::provider::message::Completion;
use crate::secret::Secret;

/// The text that replaces the key.
const INSTEAD: &str = "(key)";

/// The shortest key that is removed, in bytes. A shorter one is no secret but a word that a local
/// server insists on, and may well be part of an answer.
const SHORTEST: usize = 8;

/// The most bytes of escape marks before one letter. Each level of JSON within JSON doubles them.
const LONGEST_ESCAPE: usize = 64;

/// A backslash that is escaped itself, after the backslash that begins it.
const ESCAPED_BACKSLASH: &[u8] = b"u005c";

/// Removes one key.
#[derive(Debug)]
pub(super) struct Redact(Option<Secret>);

/// The result of looking for the key at one place of a text.
enum KeyMatch {
    /// The key, with the place of its end.
    Key(usize),
    /// The text ends within something that may be the key.
    Beginning,
    Other,
}

impl Redact {
    pub(super) fn new(key: Option<&Secret>) -> Self {
        Self(key.filter(|key| letters(key).count() >= SHORTEST).cloned())
    }

    /// Returns a whole body without the key.
    pub(super) fn body(&self, body: Vec<u8>) -> Vec<u8> {
        self.without_key(&body).unwrap_or(body)
    }

    /// Returns a text without the key.
    pub(super) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.without_key(text.as_bytes()) {
            Some(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
            None => Cow::Borrowed(text),
        }
    }

    /// Returns the text without the key; `None` where it has none.
    fn without_key(&self, text: &[u8]) -> Option<Vec<u8>> {
        let key = self.0.as_ref()?;
        let mut without: Option<Vec<u8>> = None;
        let mut at = 0;
        while at < text.len() {
            if let KeyMatch::Key(end) = find_at(key, text, at) {
                let kept = without.get_or_insert_with(|| text[..at].to_vec());
                kept.extend(INSTEAD.bytes());
                at = end;
                continue;
            }
            if let Some(kept) = &mut without {
                kept.push(text[at]);
            }
            at += 1;
        }
        without
    }

    /// Returns the outcome of a call without the key, which may have come in parts.
    pub(super) fn outcome(
        &self,
        outcome: Result<Completion, ProviderError>,
    ) -> Result<Completion, ProviderError> {
        match outcome {
            Ok(Completion { body, usage }) => Ok(Completion {
                body: self.text(&body).into_owned(),
                usage,
            }),
            Err(error) => Err(error.map_words(|words| self.text(&words).into_owned())),
        }
    }

    /// Returns a filter for the parts of one answer.
    pub(super) fn pieces(&self) -> Pieces<'_> {
        Pieces {
            key: self.0.as_ref(),
            held: String::new(),
        }
    }
}

/// Returns the letters of the key that are looked for: all but backslashes, which every text may
/// have more of.
fn letters(key: &Secret) -> impl Iterator<Item = u8> {
    key.expose().bytes().filter(|byte| *byte != b'\\')
}

/// Looks for the key at this place of a text.
fn find_at(key: &Secret, text: &[u8], mut at: usize) -> KeyMatch {
    for letter in letters(key) {
        let mark = escape_mark(&text[at..]);
        let rest = &text[at + mark..];
        let may_be_backslash = rest.len() < ESCAPED_BACKSLASH.len()
            && ESCAPED_BACKSLASH[..rest.len()].eq_ignore_ascii_case(rest);
        let length = match rest {
            [] => return KeyMatch::Beginning,
            _ if mark > 0 && may_be_backslash => return KeyMatch::Beginning,
            [b'u' | b'U', digits @ ..] if mark > 0 && is_code(digits, letter, 4) => 1 + 4,
            [b'%', digits @ ..] if is_code(digits, letter, 2) => 1 + 2,
            [b'u' | b'U', digits @ ..] if mark > 0 && begins_code(digits, letter, 4) => {
                return KeyMatch::Beginning;
            }
            [b'%', digits @ ..] if begins_code(digits, letter, 2) => return KeyMatch::Beginning,
            [first, ..] if *first == letter => 1,
            _ => return KeyMatch::Other,
        };
        at += mark + length;
    }
    KeyMatch::Key(at)
}

/// Returns the length of the backslashes that the text begins with, plain or escaped.
fn escape_mark(text: &[u8]) -> usize {
    let mut length = 0;
    while length < LONGEST_ESCAPE && text.get(length) == Some(&b'\\') {
        length += 1;
        let code = text.get(length..length + ESCAPED_BACKSLASH.len());
        if code.is_some_and(|code| code.eq_ignore_ascii_case(ESCAPED_BACKSLASH)) {
            length += ESCAPED_BACKSLASH.len();
        }
    }
    length
}

/// Returns whether the text begins with the number of the letter in so many hexadecimal digits.
fn is_code(text: &[u8], letter: u8, digits: usize) -> bool {
    let code = format!("{letter:0digits$x}");
    let begin = text.get(..digits);
    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(code.as_bytes()))
}

/// Returns whether the text ends within such a number.
fn begins_code(text: &[u8], letter: u8, digits: usize) -> bool {
    let code = format!("{letter:0digits$x}");
    let begin = code.as_bytes().get(..text.len());
    text.len() < digits && begin.is_some_and(|begin| begin.eq_ignore_ascii_case(text))
}

/// The parts of one answer. A part that may be the beginning of the key is held back until it is
/// known to be something else.
pub(super) struct Pieces<'a> {
    key: Option<&'a Secret>,
    held: String,
}

impl Pieces<'_> {
    /// Returns the text that can be passed on of this part and of those held back. The rest comes
    /// with the whole answer.
    pub(super) fn pass(&mut self, piece: String) -> String {
        let Some(key) = self.key else { return piece };
        let text = std::mem::take(&mut self.held) + &piece;
        let mut passed = String::with_capacity(text.len());
        let (mut at, mut copied) = (0, 0);
        while at < text.len() {
            match find_at(key, text.as_bytes(), at) {
                KeyMatch::Key(end) => {
                    passed.push_str(&text[copied..at]);
                    passed.push_str(INSTEAD);
                    (at, copied) = (end, end);
                }
                KeyMatch::Beginning => {
                    passed.push_str(&text[copied..at]);
                    text[at..].clone_into(&mut self.held);
                    return passed;
                }
                KeyMatch::Other => at += 1,
            }
        }
        passed.push_str(&text[copied..]);
        passed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "sk-sk-se/+same";

    fn redact() -> Redact {
        Redact::new(Secret::new(KEY).as_ref())
    }

    proptest! {
        #[test]
        fn the_key_does_not_pass_however_it_is_split_and_all_else_does(text in "(sk-|s|sk-sk-se/\\+same|se/\\+same|ö|u| ){0,12}", cuts in proptest::collection::vec(1_usize..6, 0..40)) {
            let redact = redact();
            let (mut pieces, mut passed) = (redact.pieces(), String::new());
            let (mut rest, mut cuts) = (text.as_str(), cuts.into_iter());
            while !rest.is_empty() {
                let wanted = cuts.next().unwrap_or(rest.len());
                let at = rest.char_indices().map(|(at, _)| at).find(|at| *at >= wanted).unwrap_or(rest.len());
                passed += &pieces.pass(rest[..at].to_owned());
                prop_assert!(!passed.contains(KEY));
                rest = &rest[at..];
            }
            let whole = text.replace(KEY, INSTEAD);
            prop_assert_eq!(passed.clone() + &pieces.held, whole.clone());
            prop_assert!(KEY.starts_with(&pieces.held));
            prop_assert_eq!(redact.body(text.into_bytes()), whole.into_bytes());
        }
    }

    /// Returns the key as programs may write it within JSON.
    fn escaped_forms() -> Vec<String> {
        let coded = |only: fn(char) -> bool, mark: &str, digits: usize| -> String {
            let code = |c| {
                if only(c) {
                    format!("{mark}{:0digits$X}", u32::from(c))
                } else {
                    c.to_string()
                }
            };
            KEY.chars().map(code).collect()
        };
        let symbols: fn(char) -> bool = |c| !c.is_ascii_alphanumeric();
        let slashed = KEY.replace('/', "\\/");
        vec![
            KEY.to_owned(),
            slashed.replace('\\', "\\\\"),
            slashed.replace('\\', "\\u005C"),
            slashed.replace('\\', "\\\\\\\\"),
            slashed,
            coded(symbols, "\\u", 4),
            coded(symbols, "\\u", 4).to_lowercase(),
            coded(|_| true, "\\u", 4),
            coded(symbols, "\\\\u", 4),
            coded(symbols, "%", 2),
        ]
    }

    #[test]
    fn the_key_is_removed_in_every_escaped_form_also_in_parts() {
        let redact = redact();
        for form in escaped_forms() {
            let text = format!("ab {form} c/d");
            let whole = format!("ab {INSTEAD} c/d");
            assert_eq!(redact.text(&text), whole, "{form}");
            assert_eq!(redact.body(text.clone().into_bytes()), whole.as_bytes());
            for size in 1..=form.len() {
                let mut pieces = redact.pieces();
                let parts = text.as_bytes().chunks(size);
                let parts = parts.map(|part| String::from_utf8(part.to_vec()).unwrap());
                let passed: String = parts.map(|part| pieces.pass(part)).collect();
                assert_eq!(passed, whole, "{form} in parts of {size}");
            }
        }
    }

    #[test]
    fn every_error_is_freed_of_the_key() {
        let why = format!(": {}", escaped_forms()[1]);
        let errors = [
            ProviderError::Unreachable {
                why: why.clone(),
                sent: true,
            },
            ProviderError::ServerError {
                status: 500,
                why: why.clone(),
                retry_after: None,
            },
            ProviderError::Malformed {
                why: why.clone(),
                usage: crate::provider::Usage::default(),
            },
            ProviderError::Unusable { why: why.clone() },
            ProviderError::Rejected { why: why.clone() },
            ProviderError::Filtered { status: 403, why },
        ];
        for error in errors {
            let error = redact().outcome(Err(error)).unwrap_err().to_string();
            assert!(
                error.contains(INSTEAD) && !error.contains("sesame"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_short_word_is_no_secret() {
        let redact = Redact::new(Secret::new("on").as_ref());
        assert_eq!(
            redact.body(b"{\"value\":\"on\"}".to_vec()),
            b"{\"value\":\"on\"}"
        );
        assert_eq!(redact.pieces().pass("on".to_owned()), "on");
    }
}
