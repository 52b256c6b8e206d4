//! One call at one provider, from leave to book-keeping: what came of it is booked when it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::clock::now;
use crate::prompt::answer::read;
use crate::provider::price::Money;
use crate::provider::{Completion, Disposition, Prompt, ProviderError, Usage};
use crate::router::answer_stream::AnswerStream;
use crate::router::breaker::{BreakerPermit, Change, Position, Verdict};
use crate::router::partial_answer::PartialAnswer;
use crate::router::upstream::{CallSlot, Upstream, UpstreamState};
use crate::vocabulary::action::Draft;

/// How long a provider rests that limits us without saying for how long.
const USUAL_REST: Duration = Duration::from_secs(10);

/// Pieces of an answer that may wait to be heard.
const PIECES: usize = 16;

/// The weight of the newest call in the mean time of an answer.
const NEWEST: f64 = 0.2;

/// Who listens to an answer while it comes.
#[derive(Clone)]
pub(super) struct ChunkTap {
    pub(super) voice: Arc<AnswerStream>,
    /// The number of the call, among those of its question.
    pub(super) call: u64,
    /// Becomes true with the first piece: the provider is not silent any more.
    pub(super) heard: Arc<AtomicBool>,
}

/// What a provider gives along with leave for one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallPermit {
    /// Names the call among those of its provider.
    pub(super) id: u64,
    pub(super) pass: BreakerPermit,
    /// Tokens its prompt is taken to have.
    pub(super) input: u32,
    /// Reserved of the tokens per minute.
    pub(super) tokens: u32,
    /// Held back of what may be spent.
    pub(super) cost: Money,
    /// For how long silence is nothing out of the ordinary.
    pub(super) patience: Duration,
}

/// Leave for one call. Dropped before its end, it counts neither for nor against the provider.
pub(super) struct UpstreamCall {
    lane: Arc<Upstream>,
    leave: CallPermit,
    settled: bool,
    slot: Option<CallSlot>,
}

impl UpstreamCall {
    pub(super) fn new(lane: Arc<Upstream>, leave: CallPermit, slot: CallSlot) -> Self {
        Self {
            lane,
            leave,
            settled: false,
            slot: Some(slot),
        }
    }

    /// Whether the call tells if a provider that kept failing works again.
    pub(super) fn is_on_trial(&self) -> bool {
        matches!(
            self.lane.record().breaker.position(),
            Position::HalfOpen { .. }
        )
    }

    pub(super) fn patience(&self) -> Duration {
        self.leave.patience
    }

    /// Makes the call and reads the answer. An answer that cannot be read is the provider's fault.
    pub(super) async fn ask(
        mut self,
        prompt: &Prompt,
        within: Duration,
        ear: Option<&ChunkTap>,
    ) -> Result<(Draft, Usage), ProviderError> {
        let begun = now();
        let (called, first) = match ear {
            None => (self.lane.endpoint.call(prompt, within).await, None),
            Some(ear) => self.listen(prompt, within, ear).await,
        };
        let used = called
            .as_ref()
            .map_or(Usage::default(), |completion| completion.usage);
        let answer = called.and_then(|completion| {
            let draft = read(&completion.body).map_err(|error| ProviderError::Malformed {
                why: error.to_string(),
            })?;
            Ok((draft, completion.usage))
        });
        self.settled = true;
        match &answer {
            Ok(_) => self.lane.widen(),
            Err(
                ProviderError::Limited { .. }
                | ProviderError::Troubled { .. }
                | ProviderError::Unreachable { .. },
            ) => self.lane.narrow(&mut self.slot),
            Err(_) => {}
        }
        let end = first.unwrap_or_else(now);
        self.book(&answer, used, end.saturating_duration_since(begun));
        answer
    }

    /// The same call, overheard while the answer comes; and when its first piece came.
    async fn listen(
        &self,
        prompt: &Prompt,
        within: Duration,
        ear: &ChunkTap,
    ) -> (Result<Completion, ProviderError>, Option<Instant>) {
        let (sender, mut pieces) = mpsc::channel::<String>(PIECES);
        let listening = async {
            let (mut spoken, mut first) = (PartialAnswer::default(), None);
            while let Some(piece) = pieces.recv().await {
                if first.is_none() {
                    first = Some(now());
                    self.lane
                        .record()
                        .overdue
                        .retain(|(id, _)| *id != self.leave.id);
                    ear.heard.store(true, Ordering::Relaxed);
                }
                spoken.push(&piece);
                // What came meanwhile goes out with it: the broker is spared a message per token.
                while let Ok(piece) = pieces.try_recv() {
                    spoken.push(&piece);
                }
                ear.voice.hear(ear.call, spoken.said());
            }
            first
        };
        tokio::join!(
            self.lane.endpoint.call_streaming(prompt, within, sender),
            listening
        )
    }

    fn book(&self, answer: &Result<(Draft, Usage), ProviderError>, used: Usage, took: Duration) {
        let (lane, now) = (&self.lane, now());
        // Where the API does not count, or there was no answer, what was reserved is taken as used.
        let is_counted = used.input + used.output > 0;
        if is_counted {
            lane.quota.correct(self.leave.input, used.input);
        }
        lane.quota.settle(
            self.leave.tokens,
            if is_counted {
                lane.counted(used)
            } else {
                self.leave.tokens.into()
            },
            now,
        );
        lane.paid(self.leave.cost, lane.cost(used));
        let mut record = lane.record();
        record.calls += 1;
        record.usage.input += used.input;
        record.usage.cached += used.cached;
        record.usage.output += used.output;
        let verdict = match answer {
            Ok(_) => {
                let ms = took.as_secs_f64() * 1e3;
                record.latencies.add(took, now);
                record.mean_ms = Some(
                    record
                        .mean_ms
                        .map_or(ms, |mean| mean * (1.0 - NEWEST) + ms * NEWEST),
                );
                record.last_error = None;
                Verdict::Good
            }
            Err(error) => {
                record.failures += 1;
                record.latencies.fail(took, now);
                record.last_error = Some(error.to_string());
                lane.book_error(&mut record, error, now)
            }
        };
        let change = record
            .breaker
            .settle(self.leave.pass, verdict, now, rand::random());
        drop(record);
        if change.is_some()
            || matches!(
                answer.as_ref().map_err(ProviderError::disposition),
                Err(Disposition::Next { .. } | Disposition::Bench)
            )
        {
            lane.standing.send_replace(());
        }
        match change {
            Some(Change::Opened(open_for)) => {
                let why = answer
                    .as_ref()
                    .err()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                warn!(
                    provider = &*lane.name,
                    why,
                    seconds = open_for.as_secs(),
                    "provider keeps failing, left alone for a while"
                );
            }
            Some(Change::Closed) => info!(provider = &*lane.name, "provider works again"),
            None => {}
        }
    }
}

impl Upstream {
    /// What an error says of the provider.
    fn book_error(
        &self,
        record: &mut UpstreamState,
        error: &ProviderError,
        now: Instant,
    ) -> Verdict {
        match error.disposition() {
            Disposition::Retry { after } => {
                record.rests_until = after.map(|after| now + after).or(record.rests_until);
                Verdict::Bad
            }
            Disposition::Next { rest } => {
                let rest = rest.unwrap_or(USUAL_REST);
                if !rest.is_zero() {
                    info!(provider = &*self.name, ?rest, "provider limits us, rests");
                    record.rests_until = Some(now + rest);
                }
                Verdict::Unknown
            }
            Disposition::Bench => {
                if record.benched.is_none() {
                    warn!(provider = &*self.name, why = %error, "provider is out until this is mended and sayso restarted");
                }
                record.benched = Some(error.to_string());
                Verdict::Unknown
            }
            Disposition::GiveUp => Verdict::Good,
        }
    }
}

impl Drop for UpstreamCall {
    fn drop(&mut self) {
        let mut record = self.lane.record();
        record.overdue.retain(|(id, _)| *id != self.leave.id);
        if !self.settled {
            // It may have gone out, and then the provider counts it.
            self.lane
                .quota
                .settle(self.leave.tokens, self.leave.tokens.into(), now());
            self.lane.paid(self.leave.cost, Money(0));
            record
                .breaker
                .settle(self.leave.pass, Verdict::Unknown, now(), 0.0);
        }
    }
}
