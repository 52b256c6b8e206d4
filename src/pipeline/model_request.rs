//! Requests to models: within the quota of the source, one for equal phrases in flight, retried and
//! failed over by the router until the deadline of the command.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use crate::cache::Key;
use crate::clock::{now, now_with_suspend};
use crate::command::Command;
use crate::command::reply::Refusal;
use crate::pipeline::conversation::Conversation;
use crate::pipeline::handle::Pipeline;
use crate::pipeline::interpretation::Request;
use crate::pipeline::shared_result::{ModelAnswer, SharedResult};
#[cfg(test)]
use crate::pipeline::simulated_model;
use crate::pipeline::single_flight::SharedAnswer;
use crate::router::answer_stream::AnswerStream;
use crate::router::{Requester, RoutedAnswer};
use crate::vocabulary::action::Draft;

/// The time past the deadline after which the router's own answer is not waited for.
const DEADLINE_MARGIN: Duration = Duration::from_millis(100);

/// Reads the answer of a model for the router.
fn read_draft(text: &str) -> Result<Draft, String> {
    crate::prompt::answer::read(text).map_err(|error| error.to_string())
}

impl Pipeline {
    /// Asks a model for the meaning of a phrase.
    pub(super) async fn ask_model(
        &self,
        request: &Request<'_>,
        key: &Key,
        stream: Option<&Arc<AnswerStream>>,
    ) -> Result<ModelAnswer, Refusal> {
        let shares = self.shared.in_flight.is_in_flight(key);
        self.wait_as_waiter(request, shares, |deadline| {
            self.shared_request(request, key, stream, deadline)
        })
        .await
    }

    /// Asks a model for the meaning of a phrase that refers to earlier commands of the source. The
    /// request is not shared, because the answer depends on them.
    pub(super) async fn ask_model_after(
        &self,
        request: &Request<'_>,
        earlier: &[String],
        stream: Option<&Arc<AnswerStream>>,
    ) -> Result<RoutedAnswer<Draft>, Refusal> {
        self.wait_as_waiter(request, false, |deadline| async move {
            let answer = Box::pin(self.request(request, earlier, stream, deadline));
            let answer = timeout_at((deadline + DEADLINE_MARGIN).into(), answer).await;
            answer.unwrap_or_else(|_| {
                self.services.counters.commands_expired.increment();
                Err(Refusal::TooLate)
            })
        })
        .await
    }

    /// Waits for a request, within the bounds on the commands that wait for a model. `shares` is
    /// true where an equal request is in flight.
    async fn wait_as_waiter<F, T>(
        &self,
        request: &Request<'_>,
        shares: bool,
        ask: impl FnOnce(Instant) -> F,
    ) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        if self.services.router.is_empty() {
            return Err(self.services.no_model(request.phrase, request.home));
        }
        let command = request.command;
        let recorded = self.services.journal.recorded_bytes(command.seq);
        let waiters = &self.shared.model_waiters;
        let Some(_place) = waiters.enter(command, shares, recorded) else {
            return Err(self.too_many_requests());
        };
        if !command.dry_run {
            let mut confirmations = self.shared.confirmations();
            let conversation = Conversation::of(command);
            confirmations.note_command(&conversation, command.seq, now_with_suspend());
        }
        let deadline = command.deadline.min(now() + self.settings.model_timeout);
        tokio::select! {
            answer = ask(deadline) => {
                answer.map_err(|refusal| self.late_if_expired(command, refusal))
            }
            () = self.shared.stopping() => Err(Refusal::Stopping),
        }
    }

    /// Returns that a command is late where no model answered within its own time to live: the
    /// models may be well.
    fn late_if_expired(&self, command: &Command, refusal: Refusal) -> Refusal {
        let is_unanswered = matches!(refusal, Refusal::NobodyAnswered { .. });
        if !is_unanswered || now() + DEADLINE_MARGIN < command.deadline {
            return refusal;
        }
        self.services.counters.commands_expired.increment();
        Refusal::TooLate
    }

    /// Makes the request, or shares one in flight. The deadline of each command holds for itself:
    /// one that shares a request does not wait longer than its own, and makes its own request where
    /// the shared one failed for the lack of time of another command.
    async fn shared_request(
        &self,
        request: &Request<'_>,
        key: &Key,
        stream: Option<&Arc<AnswerStream>>,
        deadline: Instant,
    ) -> Result<ModelAnswer, Refusal> {
        loop {
            // Boxed, so that the commands that only share it stay small.
            let make = || {
                Box::pin(async {
                    SharedResult {
                        result: self.claimed_request(request, key, stream, deadline).await,
                        source: request.command.source.clone(),
                        deadline,
                        finished_at: now(),
                    }
                })
            };
            let shared = self.shared.in_flight.share(key, make);
            let wait = timeout_at((deadline + DEADLINE_MARGIN).into(), shared);
            let Ok(SharedAnswer { answer, joined }) = wait.await else {
                self.services.counters.commands_expired.increment();
                return Err(Refusal::TooLate);
            };
            if joined && answer.is_personal(request.command, deadline) && now() < deadline {
                continue;
            }
            if joined {
                self.services.counters.model_requests_shared.increment();
            }
            return answer.result;
        }
    }

    /// Makes the request, unless another node has made an equal one, or is making it and has its
    /// answer in time.
    async fn claimed_request(
        &self,
        request: &Request<'_>,
        key: &Key,
        stream: Option<&Arc<AnswerStream>>,
        deadline: Instant,
    ) -> Result<ModelAnswer, Refusal> {
        let cache = &self.services.cache;
        let patience = self.services.router.patience();
        let left = deadline.saturating_duration_since(now());
        if let Some(draft) = cache.claim(key, patience.min(left / 4)).await {
            return Ok(ModelAnswer::OfOtherNode(draft));
        }
        let answer = self.request(request, &[], stream, deadline).await;
        if answer.is_err() {
            // The draft of an answer ends the wait of the others; after a failure the next of them
            // makes the request.
            cache.release(key);
        }
        answer.map(ModelAnswer::Own)
    }

    async fn request(
        &self,
        request: &Request<'_>,
        earlier: &[String],
        stream: Option<&Arc<AnswerStream>>,
        deadline: Instant,
    ) -> Result<RoutedAnswer<Draft>, Refusal> {
        let services = &self.services;
        let source = &request.command.source;
        services
            .admission
            .check(source)
            .inspect_err(|_| services.counters.commands_rate_limited.increment())?;
        let Ok(_permit) = self.shared.model_requests.try_acquire() else {
            return Err(self.too_many_requests());
        };
        #[cfg(test)]
        if let Some(answer) = simulated_model::answer(request.command, deadline).await {
            return answer;
        }
        let composer = &services.composer;
        let source = source.as_str();
        // The narrow variant takes most of the work, and only small models get it.
        let prompt = if services.router.has_small_model() {
            composer.compose(request.phrase, request.home, source)
        } else {
            composer.compose_wide(request.phrase, request.home, source)
        };
        let prompt = prompt.with_earlier(earlier);
        let requester = Requester {
            source: Some(request.command.source.clone()),
            stream: stream.cloned(),
        };
        services
            .router
            .complete(&prompt, deadline, requester, read_draft)
            .await
    }

    fn too_many_requests(&self) -> Refusal {
        self.services.counters.commands_rejected.increment();
        // At the latest, a place is free when the request that waits longest times out.
        Refusal::Busy {
            retry_after: self.settings.model_timeout / 2,
        }
    }
}
