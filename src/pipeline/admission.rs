//! Within its quota? Guards the bill: only questions to a model are counted, each against the source that asked.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::command::Source;
use crate::command::reply::Refusal;
use std::num::NonZeroU32;

/// How many commands a source may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionSettings {
    /// Questions to a model per minute and source. Commands understood here or recalled cost nothing and are not counted.
    pub per_minute: NonZeroU32,
    /// How many of these may come at once.
    pub burst: NonZeroU32,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        let n = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        Self {
            per_minute: n(20),
            burst: n(10),
        }
    }
}

/// The most sources with a quota of their own. The rest share one, so that inventing names gains nothing.
const MOST_SOURCES: usize = 1024;

/// The quotas of all sources. Time is governor's own clock: tests cannot pause it.
#[derive(Debug)]
pub struct Admission {
    quota: Quota,
    /// After so long without a question a quota is whole again, and can be forgotten.
    refill: Duration,
    clock: DefaultClock,
    sources: Mutex<HashMap<Source, QuotaUse>>,
    rest: DefaultDirectRateLimiter,
}

#[derive(Debug)]
struct QuotaUse {
    limiter: DefaultDirectRateLimiter,
    last: Instant,
}

impl Admission {
    /// Every source with a whole quota.
    pub fn new(settings: AdmissionSettings) -> Self {
        let quota = Quota::per_minute(settings.per_minute).allow_burst(settings.burst);
        let refill = quota.burst_size_replenished_in();
        Self {
            quota,
            refill,
            clock: DefaultClock::default(),
            sources: Mutex::default(),
            rest: RateLimiter::direct(quota),
        }
    }

    /// Counts one question of `source`.
    ///
    /// # Errors
    /// [`Refusal::TooSoon`] when its quota is used up: then nothing is counted.
    pub fn one(&self, source: &Source) -> Result<(), Refusal> {
        let now = crate::clock::now();
        let mut sources = self.sources.lock();
        if sources.len() >= MOST_SOURCES && !sources.contains_key(source) {
            sources.retain(|_, used| now.saturating_duration_since(used.last) < self.refill);
        }
        let limiter = if sources.len() < MOST_SOURCES || sources.contains_key(source) {
            let used = sources.entry(source.clone()).or_insert_with(|| QuotaUse {
                limiter: RateLimiter::direct(self.quota),
                last: now,
            });
            used.last = now;
            &used.limiter
        } else {
            &self.rest
        };
        let not_yet = |until: governor::NotUntil<_>| until.wait_time_from(self.clock.now());
        limiter.check().map_err(|until| Refusal::TooSoon {
            source_name: source.to_string(),
            retry_after: not_yet(until),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn admit(per_minute: u32, burst: u32) -> Admission {
        let n = |n| NonZeroU32::new(n).unwrap();
        Admission::new(AdmissionSettings {
            per_minute: n(per_minute),
            burst: n(burst),
        })
    }

    #[test]
    fn past_the_burst_it_is_too_soon_and_says_for_how_long() {
        let admit = admit(2, 3);
        let panel = Source::new("panel");
        for _ in 0..3 {
            admit.one(&panel).unwrap();
        }
        let Err(Refusal::TooSoon {
            source_name,
            retry_after,
        }) = admit.one(&panel)
        else {
            panic!("the fourth was let through")
        };
        assert_eq!(source_name, "panel");
        assert!(
            (Duration::from_secs(29)..=Duration::from_secs(30)).contains(&retry_after),
            "{retry_after:?}"
        );
    }

    #[test]
    fn one_source_does_not_use_the_quota_of_another() {
        let admit = admit(1, 1);
        admit.one(&Source::new("panel")).unwrap();
        assert!(admit.one(&Source::new("panel")).is_err());
        admit.one(&Source::new("phone")).unwrap();
    }

    #[test]
    fn invented_sources_share_one_quota_and_take_no_more_memory() {
        let admit = admit(1, 1);
        let let_through = (0..5 * MOST_SOURCES)
            .filter(|n| admit.one(&Source::new(&format!("s{n}"))).is_ok())
            .count();
        assert_eq!(let_through, MOST_SOURCES + 1);
        assert_eq!(admit.sources.lock().len(), MOST_SOURCES);
        assert!(
            admit.one(&Source::new("s0")).is_err(),
            "its own quota is still used up"
        );
    }
}
