//! The configured rate limits of one provider: requests and tokens per minute in an exact sliding
//! window. A token bucket would let through twice as much in the first minute. Tokens are reserved
//! by estimate before a call and corrected after it. Pure: time is an argument.

use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use crate::provider::{Prompt, Settings};

/// Bytes of text per token, a cautious value: English has about 4, German and JSON fewer.
const BYTES_PER_TOKEN: f64 = 3.5;

/// The length of the window.
const MINUTE: Duration = Duration::from_mins(1);

/// Calls that end within this time of each other share an entry, so that a flood costs no memory.
const GRANULARITY: Duration = Duration::from_millis(250);

/// The wait where calls in flight have reserved more than they are likely to use.
const SOON: Duration = Duration::from_secs(1);

/// The weight of the newest call in the correction of the estimate.
const NEWEST: f64 = 0.1;

/// The largest correction of the estimate.
const LARGEST_CORRECTION: f64 = 4.0;

/// The limits of one provider.
#[derive(Debug)]
pub(super) struct RateLimit(Mutex<WindowUse>);

#[derive(Debug)]
struct WindowUse {
    requests: Option<Window>,
    tokens: Option<Window>,
    /// Tokens counted by the provider for each one estimated; at least one.
    correction: f64,
}

/// The use of one limit.
#[derive(Debug)]
struct Window {
    limit: u64,
    /// Reserved by calls in flight.
    reserved: u64,
    /// Used by calls that ended: a provider may have counted each of them up to its end.
    parts: VecDeque<WindowPart>,
}

#[derive(Debug)]
struct WindowPart {
    from: Instant,
    to: Instant,
    used: u64,
}

impl RateLimit {
    pub(super) fn new(settings: &Settings) -> Self {
        let window = |limit: Option<NonZeroU32>| {
            limit.map(|limit| Window {
                limit: limit.get().into(),
                reserved: 0,
                parts: VecDeque::new(),
            })
        };
        Self(Mutex::new(WindowUse {
            requests: window(settings.requests_per_minute),
            tokens: window(settings.tokens_per_minute),
            correction: 1.0,
        }))
    }

    fn used(&self) -> MutexGuard<'_, WindowUse> {
        self.0.lock()
    }

    /// Returns the most tokens a call may take: of the prompt, by its length, and of the answer.
    pub(super) fn estimate(&self, prompt: &Prompt, max_output: u32) -> (u32, u32) {
        let bytes = prompt.prefix.len() + prompt.phrase.len();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate; the cast saturates"
        )]
        let input = (self.used().correction * bytes as f64 / BYTES_PER_TOKEN).ceil() as u32;
        (input, max_output.min(prompt.max_output_tokens))
    }

    /// Corrects the estimate by the provider's count: tokenizers and languages differ. A larger
    /// count takes effect at once, a smaller one slowly.
    pub(super) fn correct(&self, estimated: u32, counted: u64) {
        let mut used = self.used();
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let newest = used.correction * counted as f64 / f64::from(estimated.max(1));
        used.correction = newest
            .max(used.correction * (1.0 - NEWEST) + newest * NEWEST)
            .clamp(1.0, LARGEST_CORRECTION);
    }

    /// Returns the time until there is room for one request and `tokens`; zero where there is.
    pub(super) fn wait_for(&self, tokens: u32, now: Instant) -> Duration {
        self.used().wait_for(tokens, now)
    }

    /// Reserves one request and `tokens`.
    ///
    /// # Errors
    /// The time until there is room for them; then nothing is reserved.
    pub(super) fn reserve(&self, tokens: u32, now: Instant) -> Result<(), Duration> {
        let mut used = self.used();
        let wait = used.wait_for(tokens, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        if let Some(limit) = &mut used.requests {
            limit.reserved += 1;
        }
        if let Some(limit) = &mut used.tokens {
            limit.reserved += u64::from(tokens);
        }
        Ok(())
    }

    /// Checks that the node, one request and `tokens` in reservation included, is within `percent`
    /// of the limits divided by `nodes`.
    ///
    /// # Errors
    /// The time until it is.
    pub(super) fn check_share(
        &self,
        tokens: u32,
        percent: u64,
        nodes: u32,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut used = self.used();
        let share = |limit: u64| (limit * percent / 100 / u64::from(nodes.max(1))).max(1);
        let for_request = used.requests.as_mut().map_or(Duration::ZERO, |limit| {
            limit.reserved = limit.reserved.saturating_sub(1);
            let wait = limit.wait_within(share(limit.limit), 1, MINUTE, now);
            limit.reserved += 1;
            wait
        });
        let tokens = u64::from(tokens);
        let for_tokens = used.tokens.as_mut().map_or(Duration::ZERO, |limit| {
            limit.reserved = limit.reserved.saturating_sub(tokens);
            let wait = limit.wait_within(share(limit.limit), tokens, SOON, now);
            limit.reserved += tokens;
            wait
        });
        let wait = for_request.max(for_tokens);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Replaces a reservation by the tokens the call used.
    pub(super) fn settle(&self, reserved: u32, tokens: u64, now: Instant) {
        let mut used = self.used();
        if let Some(limit) = &mut used.requests {
            limit.settle(1, 1, now);
        }
        if let Some(limit) = &mut used.tokens {
            limit.settle(reserved.into(), tokens, now);
        }
    }

    /// Releases a reservation whose call was never made.
    pub(super) fn release(&self, reserved: u32, now: Instant) {
        let mut used = self.used();
        if let Some(limit) = &mut used.requests {
            limit.settle(1, 0, now);
        }
        if let Some(limit) = &mut used.tokens {
            limit.settle(reserved.into(), 0, now);
        }
    }
}

impl WindowUse {
    /// Returns the time until there is room for one request and `tokens`; zero where there is.
    fn wait_for(&mut self, tokens: u32, now: Instant) -> Duration {
        let for_tokens = self.tokens.as_mut().map_or(Duration::ZERO, |limit| {
            limit.wait_for(tokens.into(), SOON, now)
        });
        let for_request = self
            .requests
            .as_mut()
            .map_or(Duration::ZERO, |limit| limit.wait_for(1, MINUTE, now));
        for_request.max(for_tokens)
    }
}

impl Window {
    /// Returns the time until there is room for `wanted`; zero where there is. `soon` is the wait
    /// where reservations of calls in flight stand in the way.
    fn wait_for(&mut self, wanted: u64, soon: Duration, now: Instant) -> Duration {
        self.wait_within(self.limit, wanted, soon, now)
    }

    /// Returns the time until there is room for `wanted` within `limit`, which is the limit of the
    /// window or a part of it. Zero and `soon` mean the same as in [`wait_for`](Self::wait_for).
    fn wait_within(&mut self, limit: u64, wanted: u64, soon: Duration, now: Instant) -> Duration {
        while self
            .parts
            .front()
            .is_some_and(|part| part.to + MINUTE <= now)
        {
            self.parts.pop_front();
        }
        // A call larger than the whole limit is let through when nothing else was used; otherwise
        // it would never be.
        let room = limit.saturating_sub(wanted);
        let used = self.parts.iter().map(|part| part.used).sum::<u64>();
        let mut held = self.reserved + used;
        if held <= room {
            return Duration::ZERO;
        }
        // Calls in flight use less than they reserved, so their end may be enough.
        let longest = if used <= room { soon } else { MINUTE };
        for part in &self.parts {
            held -= part.used;
            if held <= room {
                return longest.min(part.to + MINUTE - now);
            }
        }
        soon
    }

    fn settle(&mut self, reserved: u64, used: u64, now: Instant) {
        self.reserved = self.reserved.saturating_sub(reserved);
        match self
            .parts
            .back_mut()
            .filter(|part| now.saturating_duration_since(part.from) < GRANULARITY)
        {
            Some(part) => {
                part.to = part.to.max(now);
                part.used += used;
            }
            None if used > 0 => self.parts.push_back(WindowPart {
                from: now,
                to: now,
                used,
            }),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::now;

    fn window(limit: u64) -> Window {
        Window {
            limit,
            reserved: 0,
            parts: VecDeque::new(),
        }
    }

    fn quota(requests: Option<u64>, tokens: Option<u64>) -> RateLimit {
        RateLimit(Mutex::new(WindowUse {
            requests: requests.map(window),
            tokens: tokens.map(window),
            correction: 1.0,
        }))
    }

    #[test]
    fn a_minute_is_counted_from_the_end_of_each_call() {
        let (quota, begun) = (quota(Some(2), None), now());
        for second in [0, 10] {
            quota
                .reserve(1, begun + Duration::from_secs(second))
                .unwrap();
            quota.settle(1, 1, begun + Duration::from_secs(second + 3));
        }
        assert_eq!(
            quota.reserve(1, begun + Duration::from_secs(20)),
            Err(Duration::from_secs(43))
        );
        quota.reserve(1, begun + Duration::from_secs(63)).unwrap();
        assert_eq!(
            quota.reserve(1, begun + Duration::from_secs(63)),
            Err(Duration::from_secs(10))
        );
    }

    #[test]
    fn what_a_call_holds_is_given_back_and_what_was_never_asked_costs_nothing() {
        let (quota, now) = (quota(Some(9), Some(1000)), now());
        quota.reserve(600, now).unwrap();
        assert_eq!(quota.reserve(600, now), Err(SOON));
        quota.settle(600, 150, now);
        quota.reserve(800, now).unwrap();
        assert_eq!(quota.reserve(100, now), Err(SOON), "150 used, 800 reserved");
        quota.release(800, now);
        quota.reserve(850, now).unwrap();
        quota.release(850, now);
        quota.reserve(850, now).unwrap();
        quota.settle(850, 850, now);
        assert_eq!(quota.reserve(1, now), Err(MINUTE));
        quota.reserve(5000, now + MINUTE).unwrap();
    }

    #[test]
    fn a_tokenizer_that_makes_more_of_a_prompt_is_believed_at_once() {
        let quota = quota(None, None);
        let prompt = Prompt {
            prefix: "x".repeat(349).into(),
            prefix_key: "x".into(),
            phrase: "x".to_owned(),
            schema: crate::provider::AnswerSchema::default(),
            max_output_tokens: 50,
            narrow: None,
        };
        assert_eq!(quota.estimate(&prompt, 20), (100, 20));
        quota.correct(100, 180);
        assert!((180..=181).contains(&quota.estimate(&prompt, 20).0));
        quota.correct(180, 90);
        assert!((171..=172).contains(&quota.estimate(&prompt, 20).0));
        (0..100).for_each(|_| quota.correct(100, 10));
        assert_eq!(quota.estimate(&prompt, 20).0, 100);
    }

    proptest! {
        /// Checks that the admitted calls use no more than the limit in any minute, wherever that
        /// begins.
        #[test]
        fn no_minute_has_more_than_the_limit(calls in proptest::collection::vec((0_u64..8000, 0_u64..5000, 1_u32..40), 1..300)) {
            let quota = quota(Some(10), Some(150));
            let (mut now, mut under_way, mut made) = (now(), Vec::<(Instant, u32)>::new(), Vec::new());
            for (pause, takes, tokens) in calls {
                now += Duration::from_millis(pause);
                under_way.retain(|(end, tokens)| {
                    if *end <= now {
                        quota.settle(*tokens, u64::from(*tokens), *end);
                    }
                    *end > now
                });
                if quota.reserve(tokens, now).is_ok() {
                    // The provider counts it when it arrives, somewhere between.
                    made.push((now + Duration::from_millis(takes / 2), tokens));
                    under_way.push((now + Duration::from_millis(takes), tokens));
                }
            }
            for (begin, _) in &made {
                let within = made.iter().filter(|(at, _)| at >= begin && *at < *begin + MINUTE);
                let (requests, tokens) = within.fold((0, 0), |(n, sum), (_, tokens)| (n + 1, sum + tokens));
                prop_assert!(requests <= 10 && tokens <= 150, "{requests} requests, {tokens} \
                    tokens in a minute");
            }
            let used = quota.used();
            prop_assert!(used.requests.as_ref().unwrap().parts.len() <= 242);
        }
    }
}
