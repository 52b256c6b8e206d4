//! The calls of one request to one provider, of which one is in flight.
//!
//! It makes a call and waits for the first that ends. It does not decide what follows: the result
//! of each call goes to `Failover`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::future::select_all;

use crate::backoff::Backoff;
use crate::clock::now;
use crate::provider::{Prompt, ProviderError};
use crate::router::attempt::{CallTime, ChunkTap, ReadAnswer, ReadCompletion, UpstreamCall};
use crate::router::unavailable::Unavailable;
use crate::router::upstream::Upstream;

/// A call in flight.
type CallFuture<T> = Pin<Box<dyn Future<Output = CallResult<T>> + Send>>;

/// The end of a call, with the reason where it was not made or not repeated.
pub(super) enum CallResult<T> {
    Answered(ReadCompletion<T>),
    Failed(ProviderError),
    /// The call was not repeated, because its provider is not available any more; this was the
    /// failure before.
    NotRepeated(ProviderError),
    /// The call was not made, because the limits of all nodes together do not allow it.
    Denied(Unavailable),
}

/// The calls of one request to one provider, of which one is in flight.
pub(super) struct ProviderCalls<T> {
    pub(super) upstream: Arc<Upstream>,
    /// Attempts left at this provider, the one in flight included.
    pub(super) attempts_left: u32,
    /// The provider's rest was waited for. That happens once, or a provider that always asks for a
    /// moment more would be called for ever.
    pub(super) was_waited_for: bool,
    pub(super) backoff: Backoff,
    /// Time at which the call begins: in the future, for one that is repeated after a pause.
    pub(super) begins: Instant,
    /// Time from which the call is late, and the next provider is called in parallel.
    pub(super) late_at: Instant,
    /// The next provider may be called before the call is late.
    pub(super) is_hedged: bool,
    /// Set once a part of the answer came.
    pub(super) has_begun: Arc<AtomicBool>,
    pub(super) call: CallFuture<T>,
}

impl<T> ProviderCalls<T> {
    /// Returns whether the call is not late, or its answer has begun.
    pub(super) fn may_answer(&self) -> bool {
        self.late_at > now() || self.has_begun.load(Ordering::Relaxed)
    }
}

/// Waits for the first call that ends; for ever where there is none.
pub(super) async fn first_end<T>(in_progress: &mut [ProviderCalls<T>]) -> (CallResult<T>, usize) {
    if in_progress.is_empty() {
        return std::future::pending().await;
    }
    let calls = in_progress.iter_mut().map(|calls| &mut calls.call);
    let (result, index, _) = select_all(calls).await;
    (result, index)
}

pub(super) async fn make<T>(
    mut call: UpstreamCall,
    prompt: &Prompt,
    time: CallTime,
    tap: Option<ChunkTap>,
    read: ReadAnswer<T>,
) -> CallResult<T> {
    if let Err(obstacle) = call.acquire().await {
        return CallResult::Denied(obstacle);
    }
    match call.make(prompt, time, tap.as_ref(), read).await {
        Ok(completion) => CallResult::Answered(completion),
        Err(error) => {
            if let Some(tap) = tap {
                tap.stream.abort(tap.call);
            }
            CallResult::Failed(error)
        }
    }
}
