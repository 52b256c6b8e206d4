//! One call to one provider: makes it, reads the answer with the caller's function, and reports the
//! result to the upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::clock::now;
use crate::provider::{Completion, Prompt, ProviderError, Usage};
use crate::router::answer_stream::AnswerStream;
use crate::router::partial_answer::PartialAnswer;
use crate::router::slots::CallSlot;
use crate::router::unavailable::Unavailable;
use crate::router::upstream::Upstream;
use crate::router::upstream::call_outcome::CallOutcome;
use crate::router::upstream::call_permit::CallPermit;

/// Reads the text of an answer, or says why it cannot be used.
pub type ReadAnswer<T> = fn(&str) -> Result<T, String>;

/// Parts of an answer that may wait to be read.
const PARTS_QUEUED: usize = 16;

/// The command's time limits for one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallTime {
    /// The time left to the command.
    pub(super) within: Duration,
    /// The time that a command has at most: a provider that is silent for so long is of no use to
    /// any.
    pub(super) longest: Duration,
}

/// Receives the answer while it comes.
#[derive(Clone)]
pub(super) struct ChunkTap {
    pub(super) stream: Arc<AnswerStream>,
    /// Number of the call among those of its request.
    pub(super) call: u64,
    /// Set with the first part: the provider is not silent any more.
    pub(super) has_begun: Arc<AtomicBool>,
}

/// A permitted call. Dropped before its end, it counts neither for nor against the provider.
pub(super) struct UpstreamCall {
    upstream: Arc<Upstream>,
    permit: CallPermit,
    slot: Option<CallSlot>,
    /// Whether the request may have been sent.
    is_sent: bool,
    is_recorded: bool,
}

/// A usable answer and its token counts.
pub(super) struct ReadCompletion<T> {
    pub(super) answer: T,
    pub(super) usage: Usage,
}

impl UpstreamCall {
    pub(super) fn new(upstream: Arc<Upstream>, slot: CallSlot, permit: CallPermit) -> Self {
        Self {
            upstream,
            permit,
            slot: Some(slot),
            is_sent: false,
            is_recorded: false,
        }
    }

    pub(super) fn permit(&self) -> CallPermit {
        self.permit
    }

    /// Reserves the call for all nodes together.
    ///
    /// # Errors
    /// Why they may not make it; then nothing stays reserved.
    pub(super) async fn acquire(&mut self) -> Result<(), Unavailable> {
        let acquired = self.upstream.acquire_shared(&mut self.permit).await;
        acquired.inspect_err(|_| {
            self.is_recorded = true;
            self.upstream.record_unsent(self.permit);
        })
    }

    /// Makes the call. An answer that `read` rejects is the provider's failure.
    pub(super) async fn make<T>(
        mut self,
        prompt: &Prompt,
        time: CallTime,
        tap: Option<&ChunkTap>,
        read: ReadAnswer<T>,
    ) -> Result<ReadCompletion<T>, ProviderError> {
        let CallTime { within, longest } = time;
        let begun = now();
        self.is_sent = true;
        let (result, first_part) = match tap {
            None => (self.upstream.endpoint.call(prompt, within).await, None),
            Some(tap) => self.make_streaming(prompt, within, tap).await,
        };
        let usage = result
            .as_ref()
            .map_or(Usage::default(), |completion| completion.usage);
        let result = result.and_then(|Completion { body, usage }| {
            let answer = read(&body).map_err(|why| ProviderError::Malformed { why, usage })?;
            Ok(ReadCompletion { answer, usage })
        });
        let result = result.map_err(|error| match error {
            ProviderError::CutOff { .. } if within >= longest => ProviderError::Unreachable {
                why: error.to_string(),
                sent: true,
            },
            error => error,
        });
        match &result {
            Ok(_) => self.upstream.widen(),
            Err(
                ProviderError::Limited { .. }
                | ProviderError::ServerError { .. }
                | ProviderError::Unreachable { .. },
            ) => self.upstream.narrow(&mut self.slot),
            Err(_) => {}
        }
        let end = first_part.unwrap_or_else(now);
        let outcome = CallOutcome {
            usage,
            took: end.saturating_duration_since(begun),
            error: result.as_ref().err(),
        };
        self.is_recorded = true;
        self.upstream.record(self.permit, &outcome);
        result
    }

    /// Makes the call and passes on the spoken part of the answer while it comes. Also returns when
    /// the first part came.
    async fn make_streaming(
        &self,
        prompt: &Prompt,
        within: Duration,
        tap: &ChunkTap,
    ) -> (Result<Completion, ProviderError>, Option<Instant>) {
        let (sender, mut parts) = mpsc::channel::<String>(PARTS_QUEUED);
        let reading = async {
            let mut partial = PartialAnswer::default();
            let mut first_part = None;
            while let Some(part) = parts.recv().await {
                if first_part.is_none() {
                    first_part = Some(now());
                    self.upstream.note_first_part(self.permit);
                    tap.has_begun.store(true, Ordering::Relaxed);
                }
                partial.push(&part);
                // Parts that came meanwhile are sent together: one message per token would burden
                // the broker.
                while let Ok(part) = parts.try_recv() {
                    partial.push(&part);
                }
                tap.stream.update(tap.call, partial.speech());
            }
            first_part
        };
        tokio::join!(
            self.upstream
                .endpoint
                .call_streaming(prompt, within, sender),
            reading
        )
    }
}

impl Drop for UpstreamCall {
    fn drop(&mut self) {
        if self.is_recorded {
            return;
        }
        if self.is_sent {
            self.upstream.record_abandoned(self.permit);
        } else {
            self.upstream.record_unsent(self.permit);
        }
    }
}
