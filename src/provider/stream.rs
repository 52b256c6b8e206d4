//! An answer as it comes, piece by piece. Pure: whoever has bytes pushes them.

use crate::provider::sse::Frames;
use crate::provider::{Completion, ProviderError};

/// A piece of an answer's text, as it came.
pub type AnswerPiece = String;

/// Reads one answer that comes in pieces.
pub trait Stream: Send {
    /// Takes bytes as they come, split anywhere, and gives the text they add. After an error nothing is added.
    fn push(&mut self, bytes: &[u8]) -> Vec<AnswerPiece>;

    /// True once nothing more is expected: the end was marked, or an error came.
    fn is_over(&self) -> bool;

    /// The whole answer, after the last byte.
    ///
    /// # Errors
    /// When it was malformed, cut, refused or broken off by an error: then what was given so far is worth nothing.
    fn finish(self: Box<Self>) -> Result<Completion, ProviderError>;
}

/// What the messages of one API's stream mean.
pub(super) trait Messages: Send {
    /// Takes a message, and gives the text it adds.
    fn take(&mut self, message: &str) -> Result<AnswerPiece, ProviderError>;

    /// True once the end was marked.
    fn is_over(&self) -> bool;

    /// The whole answer.
    fn finish(self) -> Result<Completion, ProviderError>;
}

/// Bytes, cut into messages by `F`, understood by `M`.
pub(super) struct Framed<F, M> {
    frames: F,
    messages: M,
    failed: Option<ProviderError>,
}

impl<F: Frames, M: Messages> Framed<F, M> {
    pub(super) fn new(messages: M) -> Self {
        Self {
            frames: F::default(),
            messages,
            failed: None,
        }
    }

    fn take(&mut self, message: &str) -> Option<AnswerPiece> {
        if self.failed.is_some() {
            return None;
        }
        match self.messages.take(message) {
            Ok(piece) => Some(piece).filter(|piece| !piece.is_empty()),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }
}

impl<F: Frames, M: Messages> Stream for Framed<F, M> {
    fn push(&mut self, bytes: &[u8]) -> Vec<AnswerPiece> {
        let messages = self.frames.push(bytes);
        messages
            .iter()
            .filter_map(|message| self.take(message))
            .collect()
    }

    fn is_over(&self) -> bool {
        self.failed.is_some() || self.messages.is_over()
    }

    fn finish(self: Box<Self>) -> Result<Completion, ProviderError> {
        let mut this = *self;
        if let Some(message) = this.frames.rest() {
            this.take(&message);
        }
        match this.failed {
            Some(error) => Err(error),
            None => this.messages.finish(),
        }
    }
}
