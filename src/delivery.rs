//! The fate of a message that was handed to the broker connection: what those who publish and the
//! connection share.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

/// Reasons why a message did not reach the broker, or may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// Its deadline passed before it left. It was not sent.
    #[error("its time ran out before it could be sent")]
    Late,
    /// It left, and the connection broke before the broker acknowledged it. It may have arrived.
    #[error("the connection broke while it was in flight")]
    Uncertain,
    /// It left, the connection broke, and a newer command for its device is sent instead or may
    /// have arrived.
    #[error("a newer message took its place")]
    Superseded,
    /// The broker refused it, or it cannot be sent at all.
    #[error("the broker does not accept it: {why}")]
    Refused {
        /// The broker's reason.
        why: String,
    },
    /// sayso stopped before it was sent.
    #[error("sayso stopped before it was sent")]
    Closed,
    /// The outbox had no room for it. It was not sent.
    #[error("too many messages wait for the broker")]
    Full,
}

/// Resolves when the broker has acknowledged the message, or it is certain that it will not.
/// Dropping it has no effect on the message.
#[derive(Debug)]
#[must_use = "without it the fate of the message is unknown"]
pub enum Delivery {
    /// The message is queued or sent.
    Pending(oneshot::Receiver<Result<(), Undelivered>>),
    /// The result was known at once.
    Ended(Ready<Result<(), Undelivered>>),
}

impl Delivery {
    /// Makes the delivery of a message whose result is known.
    pub fn ended(result: Result<(), Undelivered>) -> Self {
        Self::Ended(ready(result))
    }
}

impl Future for Delivery {
    type Output = Result<(), Undelivered>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Pending(receiver) => Pin::new(receiver)
                .poll(context)
                .map(|result| result.unwrap_or(Err(Undelivered::Closed))),
            Self::Ended(result) => Pin::new(result).poll(context),
        }
    }
}
