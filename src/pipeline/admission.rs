//! The quota of model requests of each source. It limits costs: only requests to a model count.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::command::Source;
use crate::command::reply::Refusal;
use std::num::NonZeroU32;

/// The quota of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionSettings {
    /// Requests to a model per minute and source. Commands understood locally or from the cache are
    /// free.
    pub per_minute: NonZeroU32,
    /// The number of these that may be made at once.
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

/// The most sources with a quota of their own. The rest share one, so that inventing source names
/// gains nothing.
const MAX_SOURCES: usize = 1024;

/// The quotas of all sources. They use governor's own clock, which tests cannot pause.
#[derive(Debug)]
pub struct Admission {
    quota: Quota,
    /// The time without a request after which a quota is whole again and can be forgotten.
    refill: Duration,
    clock: DefaultClock,
    sources: Mutex<HashMap<Source, QuotaUse>>,
    shared: DefaultDirectRateLimiter,
}

#[derive(Debug)]
struct QuotaUse {
    limiter: DefaultDirectRateLimiter,
    last_used: Instant,
}

impl Admission {
    /// Starts with a whole quota for every source.
    pub fn new(settings: AdmissionSettings) -> Self {
        let quota = Quota::per_minute(settings.per_minute).allow_burst(settings.burst);
        let refill = quota.burst_size_replenished_in();
        Self {
            quota,
            refill,
            clock: DefaultClock::default(),
            sources: Mutex::default(),
            shared: RateLimiter::direct(quota),
        }
    }

    /// Counts one model request of `source`.
    ///
    /// # Errors
    /// [`Refusal::TooSoon`] when its quota is used up; then nothing is counted.
    pub fn check(&self, source: &Source) -> Result<(), Refusal> {
        let now = crate::clock::now();
        let mut sources = self.sources.lock();
        if sources.len() >= MAX_SOURCES && !sources.contains_key(source) {
            sources.retain(|_, used| now.saturating_duration_since(used.last_used) < self.refill);
        }
        let limiter = if sources.len() < MAX_SOURCES || sources.contains_key(source) {
            let used = sources.entry(source.clone()).or_insert_with(|| QuotaUse {
                limiter: RateLimiter::direct(self.quota),
                last_used: now,
            });
            used.last_used = now;
            &used.limiter
        } else {
            &self.shared
        };
        limiter.check().map_err(|until| Refusal::TooSoon {
            source_name: source.to_string(),
            retry_after: until.wait_time_from(self.clock.now()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn admission(per_minute: u32, burst: u32) -> Admission {
        let n = |n| NonZeroU32::new(n).unwrap();
        Admission::new(AdmissionSettings {
            per_minute: n(per_minute),
            burst: n(burst),
        })
    }

    #[test]
    fn a_request_past_the_burst_is_refused_with_the_time_to_wait() {
        let admission = admission(2, 3);
        let panel = Source::new("panel");
        for _ in 0..3 {
            admission.check(&panel).unwrap();
        }
        let Err(Refusal::TooSoon {
            source_name,
            retry_after,
        }) = admission.check(&panel)
        else {
            panic!("the fourth was allowed")
        };
        assert_eq!(source_name, "panel");
        assert!(
            (Duration::from_secs(29)..=Duration::from_secs(30)).contains(&retry_after),
            "{retry_after:?}"
        );
    }

    #[test]
    fn one_source_does_not_use_the_quota_of_another() {
        let admission = admission(1, 1);
        admission.check(&Source::new("panel")).unwrap();
        assert!(admission.check(&Source::new("panel")).is_err());
        admission.check(&Source::new("phone")).unwrap();
    }

    #[test]
    fn sources_past_the_bound_share_one_quota_and_use_no_more_memory() {
        let admission = admission(1, 1);
        let allowed = (0..5 * MAX_SOURCES)
            .filter(|n| admission.check(&Source::new(&format!("s{n}"))).is_ok())
            .count();
        assert_eq!(allowed, MAX_SOURCES + 1);
        assert_eq!(admission.sources.lock().len(), MAX_SOURCES);
        assert!(
            admission.check(&Source::new("s0")).is_err(),
            "its own quota is still used up"
        );
    }
}
