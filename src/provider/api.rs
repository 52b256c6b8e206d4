//! The interface of an API module: a request encoder. Answers are read by the functions in its
//! `ApiSpec`.

use crate::provider::message::Prompt;

/// Encodes prompts for one provider. Performs no I/O.
pub trait Provider: Send + Sync {
    /// Returns the request for `prompt`, for an answer in parts where `stream` is set.
    fn encode(&self, prompt: &Prompt, stream: bool) -> HttpRequest;
}

/// A POST request before it is sent. The headers are the same for all requests of a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRequest {
    /// The path after the base URL: `/chat/completions`.
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
}

/// The key cannot be sent in a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key has characters that cannot be sent: look for line breaks in its file")]
pub struct UnsendableKey;
