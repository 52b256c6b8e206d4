//! Reads one 2xx answer from its bytes, whole or in parts, in any API. Pure.

use serde_json::Value as Json;

use crate::provider::error::{ProviderError, excerpt, malformed};
use crate::provider::frames::Frames;
use crate::provider::gathered::Gathered;
use crate::provider::message::Completion;
use crate::provider::redact::Redact;
use crate::provider::status::ErrorSource;

/// A part of an answer's text.
pub type AnswerPiece = String;

/// Reads one answer.
pub(super) struct AnswerReader<'a> {
    origin: ErrorSource<'a>,
    redact: &'a Redact,
    frames: Frames,
    gathered: Gathered,
    failed: Option<ProviderError>,
    /// The marker of the end was received.
    is_marked: bool,
}

impl<'a> AnswerReader<'a> {
    /// Returns a reader of an answer from `origin` that removes the key by `redact`.
    pub(super) fn new(origin: ErrorSource<'a>, redact: &'a Redact) -> Self {
        Self {
            origin,
            redact,
            frames: Frames::default(),
            gathered: Gathered::default(),
            failed: None,
            is_marked: false,
        }
    }

    /// Takes bytes as they come, split anywhere, and returns the text they add. After an error
    /// nothing is added.
    pub(super) fn push(&mut self, bytes: &[u8]) -> AnswerPiece {
        for message in self.frames.push(bytes) {
            self.take(&message);
        }
        self.gathered.take_added()
    }

    /// Takes the rest at the end of the body, and returns the text it adds.
    pub(super) fn end(&mut self) -> AnswerPiece {
        self.take_rest();
        self.gathered.take_added()
    }

    /// Returns whether nothing more is expected: the end was marked, or there was an error.
    pub(super) fn is_over(&self) -> bool {
        self.failed.is_some() || self.gathered.is_over()
    }

    /// Returns the whole answer, after the last byte.
    ///
    /// # Errors
    /// When it was malformed, cut, refused or ended by an error: then the text returned so far is
    /// worth nothing.
    pub(super) fn finish(mut self) -> Result<Completion, ProviderError> {
        self.take_rest();
        if self.frames.is_one_value() {
            self.gathered.mark_whole();
        }
        match self.failed {
            Some(error) => Err(error),
            None => self.gathered.finish(),
        }
    }

    fn take_rest(&mut self) {
        for message in self.frames.rest() {
            self.take(&message);
        }
    }

    fn take(&mut self, message: &str) {
        // What follows the marker is no part of the answer, whatever it is.
        if self.failed.is_some() || self.is_marked {
            return;
        }
        if message.trim() == "[DONE]" {
            self.is_marked = true;
            self.gathered.mark_over();
            return;
        }
        if let Err(error) = self.read(&self.redact.text(message)) {
            self.failed = Some(error);
        }
    }

    fn read(&mut self, message: &str) -> Result<(), ProviderError> {
        let json: Json = serde_json::from_str(message).map_err(|error| {
            if error.is_eof() {
                return ProviderError::Unreachable {
                    why: "the answer broke off before its end".to_owned(),
                    sent: true,
                };
            }
            let why = format!("not JSON: {error}: {}", excerpt(message));
            malformed(why, self.gathered.usage())
        })?;
        // A stream sent as one list.
        let parts = match &json {
            Json::Array(parts) => parts.as_slice(),
            one => std::slice::from_ref(one),
        };
        for part in parts {
            if let Some(error) = self.origin.in_answer(part) {
                return Err(error);
            }
            (self.origin.spec.read_message)(part, &mut self.gathered)?;
        }
        Ok(())
    }
}
