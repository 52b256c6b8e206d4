//! A server that says our key back, as some do in their errors, must not make us tell it to others: errors are logged, and published
//! with our health; answers are spoken.

use crate::provider::{Completion, ProviderError};
use crate::secret::Secret;

/// What is said in place of the key.
const INSTEAD: &str = "(key)";

/// A shorter key is none, but a word that a server of one's own insists on, and may well be part of an answer.
const SHORTEST: usize = 8;

/// Takes a key out of what a server says.
#[derive(Debug)]
pub(super) struct Redact(Option<Secret>);

impl Redact {
    pub(super) fn new(key: Option<&Secret>) -> Self {
        Self(key.filter(|key| key.expose().len() >= SHORTEST).cloned())
    }

    fn key(&self) -> Option<&str> {
        self.0.as_ref().map(Secret::expose)
    }

    /// A whole body without it.
    pub(super) fn body(&self, mut said: Vec<u8>) -> Vec<u8> {
        let Some(key) = self.key().map(str::as_bytes) else {
            return said;
        };
        let mut from = 0;
        while let Some(at) = said[from..].windows(key.len()).position(|here| here == key) {
            said.splice(from + at..from + at + key.len(), INSTEAD.bytes());
            from += at + INSTEAD.len();
        }
        said
    }

    /// What was gathered of a stream without it: there it may have come in parts.
    pub(super) fn outcome(
        &self,
        outcome: Result<Completion, ProviderError>,
    ) -> Result<Completion, ProviderError> {
        let text = |said: String| {
            self.key()
                .map(|key| said.replace(key, INSTEAD))
                .unwrap_or(said)
        };
        match outcome {
            Ok(completion) => Ok(Completion {
                body: text(completion.body),
                ..completion
            }),
            Err(ProviderError::Malformed { why }) => {
                Err(ProviderError::Malformed { why: text(why) })
            }
            Err(ProviderError::Unusable { why }) => Err(ProviderError::Unusable { why: text(why) }),
            Err(ProviderError::Rejected { why }) => Err(ProviderError::Rejected { why: text(why) }),
            Err(other) => Err(other),
        }
    }

    /// Takes it out of pieces as they come.
    pub(super) fn pieces(&self) -> Pieces<'_> {
        Pieces {
            key: self.key(),
            held: String::new(),
        }
    }
}

/// Pieces of one answer. What may be the beginning of the key is held back until it is known to be something else.
pub(super) struct Pieces<'a> {
    key: Option<&'a str>,
    held: String,
}

impl Pieces<'_> {
    /// What can be said of it, and of what was held back. What is held back at the end comes with the whole.
    pub(super) fn pass(&mut self, piece: String) -> String {
        let Some(key) = self.key else { return piece };
        let said = (std::mem::take(&mut self.held) + &piece).replace(key, INSTEAD);
        let beginnings = key.char_indices().map(|(at, _)| &key[..at]).rev();
        let begun = beginnings
            .into_iter()
            .find(|begun| said.ends_with(begun))
            .map_or(0, str::len);
        let (said, held) = said.split_at(said.len() - begun);
        held.clone_into(&mut self.held);
        said.to_owned()
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
        fn however_it_is_cut_the_key_does_not_pass_and_all_else_does(text in "(sk-|s|sk-sk-sesame|sesame|ö| ){0,12}", cuts in proptest::collection::vec(1_usize..6, 0..40)) {
            let redact = redact();
            let (mut pieces, mut told) = (redact.pieces(), String::new());
            let (mut rest, mut cuts) = (text.as_str(), cuts.into_iter());
            while !rest.is_empty() {
                let wanted = cuts.next().unwrap_or(rest.len());
                let at = rest.char_indices().map(|(at, _)| at).find(|at| *at >= wanted).unwrap_or(rest.len());
                told += &pieces.pass(rest[..at].to_owned());
                prop_assert!(!told.contains(KEY));
                rest = &rest[at..];
            }
            let whole = text.replace(KEY, INSTEAD);
            prop_assert_eq!(told.clone() + &pieces.held, whole.clone());
            prop_assert!(KEY.starts_with(&pieces.held));
            prop_assert_eq!(redact.body(text.into_bytes()), whole.into_bytes());
        }
    }

    #[test]
    fn a_word_that_is_no_secret_may_be_said() {
        let redact = Redact::new(Secret::new("on").as_ref());
        assert_eq!(
            redact.body(b"{\"value\":\"on\"}".to_vec()),
            b"{\"value\":\"on\"}"
        );
        assert_eq!(redact.pieces().pass("on".to_owned()), "on");
    }
}
