//! Our own limits on a provider: requests and tokens per minute, so that its limits are not run into.
//! Tokens are reserved before a call by estimate, and what was not used is given back after it.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota as PerMinute, RateLimiter};
use tokio::time::Instant;

use crate::provider::{Prompt, Settings};

/// Bytes of text per token, cautiously: English has about 4, German and JSON fewer.
const BYTES_PER_TOKEN: f64 = 3.5;

/// How long what was given back may be used. After that the limit has filled up by itself.
const CREDIT_LASTS: Duration = Duration::from_mins(1);

/// The limits of one provider.
#[derive(Debug)]
pub(super) struct Quota {
    requests: Option<DefaultDirectRateLimiter>,
    tokens: Option<Tokens>,
    clock: DefaultClock,
}

#[derive(Debug)]
struct Tokens {
    limiter: DefaultDirectRateLimiter,
    /// The most the limiter ever lets through at once.
    most: NonZeroU32,
    /// What was given back, or (below zero) used beyond what was reserved; and when.
    credit: Mutex<(i64, Instant)>,
}

impl Quota {
    pub(super) fn new(settings: &Settings) -> Self {
        let limiter = |most| RateLimiter::direct(PerMinute::per_minute(most));
        let credit = || Mutex::new((0, Instant::now()));
        Self {
            requests: settings.requests_per_minute.map(limiter),
            tokens: settings.tokens_per_minute.map(|most| Tokens { limiter: limiter(most), most, credit: credit() }),
            clock: DefaultClock::default(),
        }
    }

    /// Takes one request and `tokens` out of the limits, or nothing at all: then, after what time to ask again.
    pub(super) fn reserve(&self, tokens: u32) -> Result<(), Duration> {
        if let Some(limit) = &self.tokens {
            limit.take(tokens, &self.clock)?;
        }
        let taken = self.requests.as_ref().map_or(Ok(()), |requests| requests.check().map_err(|until| until.wait_time_from(self.clock.now())));
        if taken.is_err() {
            self.give_back(tokens, 0);
        }
        taken
    }

    /// Gives back what was reserved and not used.
    pub(super) fn give_back(&self, reserved: u32, used: u64) {
        let Some(limit) = &self.tokens else { return };
        let most = i64::from(limit.most.get());
        let back = i64::from(reserved).saturating_sub(i64::try_from(used).unwrap_or(i64::MAX));
        let mut credit = limit.credit.lock().unwrap_or_else(PoisonError::into_inner);
        *credit = (credit.0.saturating_add(back).clamp(-most, most), Instant::now());
    }
}

impl Tokens {
    fn take(&self, wanted: u32, clock: &DefaultClock) -> Result<(), Duration> {
        let mut credit = self.credit.lock().unwrap_or_else(PoisonError::into_inner);
        if credit.1.elapsed() > CREDIT_LASTS {
            credit.0 = 0;
        }
        let left = credit.0 - i64::from(wanted);
        // A request larger than a whole minute's tokens goes when the minute is whole: otherwise it would never go.
        let missing = u32::try_from(-left).unwrap_or(0).min(self.most.get());
        if let Some(missing) = NonZeroU32::new(missing) {
            let enough = self.limiter.check_n(missing).unwrap_or(Ok(()));
            enough.map_err(|until| until.wait_time_from(clock.now()))?;
        }
        credit.0 = left.max(0);
        Ok(())
    }
}

/// The most tokens a call may take: of the prompt by its length, and of the longest answer.
pub(super) fn estimate(prompt: &Prompt, most_output: u32) -> (u32, u32) {
    let bytes = prompt.prefix.len() + prompt.phrase.len();
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate; the cast saturates")]
    let input = (bytes as f64 / BYTES_PER_TOKEN).ceil() as u32;
    (input, most_output.min(prompt.max_output_tokens))
}
