//! The result of a request as the router returns it.

use std::sync::Arc;

use crate::command::Source;
use crate::command::reply::Refusal;
use crate::provider::{ProviderError, Usage};
use crate::router::answer_stream::AnswerStream;

/// The one on whose behalf a request is made; by default the program itself.
#[derive(Clone, Default)]
pub struct Requester {
    /// The sender of the command. The slots of a provider are shared fairly by the senders.
    pub source: Option<Source>,
    /// Receives an answer in words while it comes.
    pub stream: Option<Arc<AnswerStream>>,
}

/// A usable answer and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutedAnswer<T> {
    /// The answer, as the caller's function read it.
    pub answer: T,
    /// The provider's name.
    pub provider: Arc<str>,
    /// The model that answered, with the checks that its drafts have to pass: see
    /// [`draft_origin`](crate::provider::Settings::draft_origin).
    pub origin: Arc<str>,
    /// Token counts.
    pub usage: Usage,
    /// Whether the provider is marked as trusted.
    pub trusted: bool,
    /// Whether the model is a small one.
    pub is_small: bool,
}

/// Returns the refusal for an error that no other provider can correct.
pub(super) fn refusal_of(error: &ProviderError) -> Refusal {
    match error {
        ProviderError::Filtered { .. } | ProviderError::Declined { .. } => Refusal::Declined,
        other => Refusal::NotUnderstood {
            why: other.to_string(),
        },
    }
}
