//! The interface of an API module: a request encoder. Answers are read by the functions in its
//! `ApiSpec`.

use serde::Serialize;

use crate::provider::message::Prompt;

/// Room for the fields of a body beside the prompt, and for a schema of average size.
const FIELDS_SIZE: usize = 4096;

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
    /// JSON of the request.
    pub body: Vec<u8>,
}

impl HttpRequest {
    /// Returns the request with a body of JSON that contains `prompt`.
    pub(super) fn new(path: impl Into<String>, prompt: &Prompt, body: &impl Serialize) -> Self {
        let listing = prompt.prefix.len() + prompt.prefix.len() / 8;
        // Room for the whole, so that it does not grow by doubling.
        let mut bytes = Vec::with_capacity(listing + prompt.phrase.len() + FIELDS_SIZE);
        serde_json::to_writer(&mut bytes, body)
            .expect("strings, numbers and JSON always serialize");
        Self {
            path: path.into(),
            body: bytes,
        }
    }
}

/// The key cannot be sent in a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key has characters that cannot be sent: look for line breaks in its file")]
pub struct UnsendableKey;
