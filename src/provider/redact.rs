//! Removes the key from the bytes of a server: some repeat it in their errors, and errors are
//! logged and published with the health report, answers are sent to people. Pure.

use std::borrow::Cow;

use crate::provider::error::ProviderError;
use crate::provider::message::Completion;
use crate::secret::Secret;

/// The text that replaces the key.
const INSTEAD: &str = "(key)";

/// The shortest key that is removed, in bytes. A shorter one is no secret but a word that a local
/// server insists on, and may well be part of an answer.
const SHORTEST: usize = 8;

/// Removes one key.
#[derive(Debug)]
pub(super) struct Redact(Option<Secret>);

impl Redact {
    pub(super) fn new(key: Option<&Secret>) -> Self {
        Self(key.filter(|key| key.expose().len() >= SHORTEST).cloned())
    }

    fn key(&self) -> Option<&str> {
        self.0.as_ref().map(Secret::expose)
    }

    /// Returns a whole body without the key.
    pub(super) fn body(&self, mut body: Vec<u8>) -> Vec<u8> {
        let Some(key) = self.key().map(str::as_bytes) else {
            return body;
        };
        let mut from = 0;
        while let Some(at) = body[from..].windows(key.len()).position(|here| here == key) {
            body.splice(from + at..from + at + key.len(), INSTEAD.bytes());
            from += at + INSTEAD.len();
        }
        body
    }

    /// Returns a text without the key.
    pub(super) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.key() {
            Some(key) if text.contains(key) => Cow::Owned(text.replace(key, INSTEAD)),
            _ => Cow::Borrowed(text),
        }
    }

    /// Returns the outcome of a call without the key, which may have come in parts.
    pub(super) fn outcome(
        &self,
        outcome: Result<Completion, ProviderError>,
    ) -> Result<Completion, ProviderError> {
        let without = |text: String| self.text(&text).into_owned();
        match outcome {
            Ok(Completion { body, usage }) => Ok(Completion {
                body: without(body),
                usage,
            }),
            Err(ProviderError::Malformed { why, usage }) => Err(ProviderError::Malformed {
                why: without(why),
                usage,
            }),
            Err(ProviderError::Unusable { why }) => {
                Err(ProviderError::Unusable { why: without(why) })
            }
            Err(ProviderError::Rejected { why }) => {
                Err(ProviderError::Rejected { why: without(why) })
            }
            Err(ProviderError::ServerError {
                status,
                why,
                retry_after,
            }) => Err(ProviderError::ServerError {
                status,
                why: without(why),
                retry_after,
            }),
            Err(other) => Err(other),
        }
    }

    /// Returns a filter for the parts of one answer.
    pub(super) fn pieces(&self) -> Pieces<'_> {
        Pieces {
            key: self.key(),
            held: String::new(),
        }
    }
}

/// The parts of one answer. A part that may be the beginning of the key is held back until it is
/// known to be something else.
pub(super) struct Pieces<'a> {
    key: Option<&'a str>,
    held: String,
}

impl Pieces<'_> {
    /// Returns the bytes that can be passed on of this part and of those held back. The rest comes
    /// with the whole answer.
    pub(super) fn pass(&mut self, piece: String) -> String {
        let Some(key) = self.key else { return piece };
        let text = (std::mem::take(&mut self.held) + &piece).replace(key, INSTEAD);
        let mut beginnings = key.char_indices().map(|(at, _)| &key[..at]).rev();
        let held_len = beginnings
            .find(|beginning| text.ends_with(beginning))
            .map_or(0, str::len);
        let (passed, held) = text.split_at(text.len() - held_len);
        held.clone_into(&mut self.held);
        passed.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "sk-sk-sesame";

    fn redact() -> Redact {
        Redact::new(Secret::new(KEY).as_ref())
    }

    proptest! {
        #[test]
        fn the_key_does_not_pass_however_it_is_split_and_all_else_does(text in "(sk-|s|sk-sk-sesame|sesame|ö| ){0,12}", cuts in proptest::collection::vec(1_usize..6, 0..40)) {
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
