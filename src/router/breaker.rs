//! The circuit breaker: a provider that keeps failing is not called for a while, then probed with
//! one call. Only faults of the server count; a rate limit or a refusal does not. Pure: time and
//! randomness are arguments.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Time for which a call counts. resilience4j counts calls; at a few commands an hour only time
/// makes sense.
pub(super) const WINDOW: Duration = Duration::from_mins(1);

/// The fewest calls in the window for which the failure rate counts.
pub(super) const FEWEST_CALLS: usize = 5;

/// The share of failed calls in the window that opens the breaker. resilience4j's default.
pub(super) const FAILURE_RATE: f64 = 0.5;

/// Consecutive failures that open the breaker at any rate: with few calls the rate is too slow.
pub(super) const FAILURES_IN_A_ROW: u32 = 3;

/// Time for which the breaker is open the first time; doubled each time it opens again without
/// having closed.
pub(super) const FIRST_OPEN: Duration = Duration::from_secs(10);

/// The longest time it is open. Envoy's maximum ejection time.
pub(super) const LONGEST_OPEN: Duration = Duration::from_mins(5);

/// The share by which the open time is varied, so that many gateways do not come back at once.
pub(super) const JITTER: f64 = 0.2;

/// Consecutive good probes that close the breaker.
pub(super) const PROBES_TO_CLOSE: u32 = 2;

/// The most calls kept, so that a flood costs no memory.
const MOST_REMEMBERED: usize = 128;

/// The state of the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// Calls go through.
    Closed,
    /// No calls.
    Open {
        /// Time from which a probe may be sent.
        until: Instant,
    },
    /// One probe at a time.
    HalfOpen {
        /// Whether a probe is in flight.
        probing: bool,
        /// Good probes so far.
        good: u32,
    },
}

/// Permission for one call. Its result is reported with [`Breaker::settle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BreakerPermit {
    /// State changes before it was given: the result of a call from before the last change does not
    /// count.
    generation: u64,
}

/// The result of a call, as far as the server is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The server worked: an answer, a rejection, a refusal.
    Good,
    /// The server failed.
    Bad,
    /// Not known: the call was abandoned or rate limited.
    Unknown,
}

/// Reasons why a call is not permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BreakerDenial {
    /// The breaker is open until then.
    Open(Instant),
    /// A probe is in flight.
    Probing,
}

/// A state change that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The breaker opened, for this time.
    Opened(Duration),
    /// The breaker closed again.
    Closed,
}

/// The breaker of one provider.
#[derive(Debug, Clone)]
pub(super) struct Breaker {
    position: Position,
    /// Time at which the breaker opened last.
    opened_at: Option<Instant>,
    /// End of each call of the window, and whether it was good.
    calls: VecDeque<(Instant, bool)>,
    failures_in_a_row: u32,
    /// Times it opened since it was last closed.
    openings: u32,
    /// The end of the open time in which the present probe was forced.
    forced_before: Option<Instant>,
    generation: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            position: Position::Closed,
            opened_at: None,
            calls: VecDeque::new(),
            failures_in_a_row: 0,
            openings: 0,
            forced_before: None,
            generation: 0,
        }
    }
}

impl Breaker {
    /// Returns the state.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Returns the number of the state change that opened it, while it is open.
    pub(super) fn opened(&self) -> Option<u64> {
        matches!(self.position, Position::Open { .. }).then_some(self.generation)
    }

    /// Keeps an open breaker open until `until`, because the server is known to be away; never
    /// longer than [`LONGEST_OPEN`] after it opened, because the check itself may be wrong.
    pub(super) fn keep_open(&mut self, until: Instant) {
        if let Position::Open { until: planned } = &mut self.position {
            let latest = self.opened_at.map_or(*planned, |at| at + LONGEST_OPEN);
            *planned = until.min(latest).max(*planned);
        }
    }

    /// Lets an open breaker send a probe now, because the server is known to be back.
    pub(super) fn allow_probe(&mut self, now: Instant) {
        if let Position::Open { until } = &mut self.position {
            *until = now.min(*until);
        }
    }

    /// Requests permission for a call.
    ///
    /// # Errors
    /// While it is open, or a probe is in flight.
    pub(super) fn admit(&mut self, now: Instant) -> Result<BreakerPermit, BreakerDenial> {
        match self.position {
            Position::Closed => {}
            Position::Open { until } if now < until => return Err(BreakerDenial::Open(until)),
            Position::Open { .. } => self.change(Position::HalfOpen {
                probing: true,
                good: 0,
            }),
            Position::HalfOpen { probing: true, .. } => return Err(BreakerDenial::Probing),
            Position::HalfOpen {
                probing: false,
                good,
            } => {
                self.position = Position::HalfOpen {
                    probing: true,
                    good,
                }
            }
        }
        Ok(BreakerPermit {
            generation: self.generation,
        })
    }

    /// Returns permission for a call in any state, if no other provider is left. It counts as a
    /// probe.
    pub(super) fn force(&mut self) -> BreakerPermit {
        match self.position {
            Position::Closed => {}
            Position::Open { until } => {
                self.forced_before = Some(until);
                self.change(Position::HalfOpen {
                    probing: true,
                    good: 0,
                });
            }
            Position::HalfOpen { good, .. } => {
                self.position = Position::HalfOpen {
                    probing: true,
                    good,
                }
            }
        }
        BreakerPermit {
            generation: self.generation,
        }
    }

    /// Records the result of a call. `chance` is drawn evenly from 0 to 1, for the jitter.
    pub(super) fn settle(
        &mut self,
        permit: BreakerPermit,
        result: Verdict,
        now: Instant,
        chance: f64,
    ) -> Option<Change> {
        if permit.generation != self.generation {
            return None;
        }
        match (self.position, result) {
            (Position::Closed, Verdict::Unknown) | (Position::Open { .. }, _) => None,
            (Position::Closed, _) => self.count(result == Verdict::Good, now, chance),
            (Position::HalfOpen { good, .. }, Verdict::Unknown) => {
                self.position = Position::HalfOpen {
                    probing: false,
                    good,
                };
                None
            }
            (Position::HalfOpen { .. }, Verdict::Bad) => self.reopen(now, chance),
            (Position::HalfOpen { good, .. }, Verdict::Good) if good + 1 < PROBES_TO_CLOSE => {
                self.forced_before = None;
                self.position = Position::HalfOpen {
                    probing: false,
                    good: good + 1,
                };
                None
            }
            (Position::HalfOpen { .. }, Verdict::Good) => {
                self.change(Position::Closed);
                self.openings = 0;
                Some(Change::Closed)
            }
        }
    }

    fn count(&mut self, good: bool, now: Instant, chance: f64) -> Option<Change> {
        self.calls.push_back((now, good));
        while self.calls.len() > MOST_REMEMBERED
            || self
                .calls
                .front()
                .is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW)
        {
            self.calls.pop_front();
        }
        self.failures_in_a_row = if good { 0 } else { self.failures_in_a_row + 1 };
        let failed = self.calls.iter().filter(|(_, good)| !good).count();
        #[expect(clippy::cast_precision_loss, reason = "128 at most")]
        let too_many = self.calls.len() >= FEWEST_CALLS
            && failed as f64 >= FAILURE_RATE * self.calls.len() as f64;
        // A good call never opens the breaker, even where it completes the fewest calls that count.
        (!good && (too_many || self.failures_in_a_row >= FAILURES_IN_A_ROW))
            .then(|| self.open(now, chance))
    }

    /// Opens again after a probe. One that was forced before its time changes nothing: or the
    /// commands of an outage, each of which forces one, would lengthen it.
    fn reopen(&mut self, now: Instant, chance: f64) -> Option<Change> {
        match self.forced_before.take() {
            Some(until) if until > now => {
                self.change(Position::Open { until });
                None
            }
            _ => Some(self.open(now, chance)),
        }
    }

    fn open(&mut self, now: Instant, chance: f64) -> Change {
        let doubled = FIRST_OPEN
            .saturating_mul(1 << self.openings.min(16))
            .min(LONGEST_OPEN);
        self.openings = self.openings.saturating_add(1);
        self.opened_at = Some(now);
        let open_for = doubled.mul_f64(1.0 + JITTER * (2.0 * chance.clamp(0.0, 1.0) - 1.0));
        self.change(Position::Open {
            until: now + open_for,
        });
        Change::Opened(open_for)
    }

    fn change(&mut self, position: Position) {
        self.position = position;
        self.generation += 1;
        self.calls.clear();
        self.failures_in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVEN: f64 = 0.5;

    /// Returns a breaker, and the moment it opened for the first time.
    fn opened() -> (Breaker, Instant) {
        let (mut breaker, now) = (Breaker::default(), crate::clock::now());
        for left in (0..FAILURES_IN_A_ROW).rev() {
            let permit = breaker.admit(now).unwrap();
            let change = breaker.settle(permit, Verdict::Bad, now, EVEN);
            assert_eq!(change, (left == 0).then_some(Change::Opened(FIRST_OPEN)));
        }
        (breaker, now)
    }

    #[test]
    fn forced_calls_that_fail_do_not_lengthen_the_open_time() {
        let (mut breaker, now) = opened();
        for _ in 0..20 {
            let permit = breaker.force();
            assert_eq!(breaker.settle(permit, Verdict::Bad, now, EVEN), None);
        }
        assert_eq!(
            breaker.admit(now),
            Err(BreakerDenial::Open(now + FIRST_OPEN))
        );
        // After its time a probe that fails doubles it.
        let later = now + FIRST_OPEN;
        let permit = breaker.admit(later).unwrap();
        let change = breaker.settle(permit, Verdict::Bad, later, EVEN);
        assert_eq!(change, Some(Change::Opened(2 * FIRST_OPEN)));
    }

    #[test]
    fn three_failures_in_a_row_open_it_for_ten_seconds() {
        let (mut breaker, now) = opened();
        assert_eq!(
            breaker.admit(now + Duration::from_millis(9999)),
            Err(BreakerDenial::Open(now + FIRST_OPEN))
        );
        assert!(breaker.admit(now + FIRST_OPEN).is_ok());
    }

    #[test]
    fn half_of_five_calls_failing_opens_it() {
        let (mut breaker, now) = (Breaker::default(), crate::clock::now());
        let mut call = |result| {
            let permit = breaker.admit(now).unwrap();
            breaker.settle(permit, result, now, EVEN)
        };
        assert_eq!(
            [Verdict::Bad, Verdict::Good, Verdict::Bad, Verdict::Good].map(&mut call),
            [None; 4]
        );
        assert_eq!(call(Verdict::Bad), Some(Change::Opened(FIRST_OPEN)));
    }

    #[test]
    fn failures_longer_ago_than_the_window_are_forgotten() {
        let (mut breaker, mut now) = (Breaker::default(), crate::clock::now());
        for result in [
            Verdict::Bad,
            Verdict::Bad,
            Verdict::Good,
            Verdict::Bad,
            Verdict::Good,
            Verdict::Good,
            Verdict::Bad,
        ] {
            let permit = breaker.admit(now).unwrap();
            assert_eq!(
                breaker.settle(permit, result, now, EVEN),
                None,
                "too few in the window"
            );
            now += Duration::from_secs(25);
        }
    }

    #[test]
    fn one_probe_at_a_time_and_two_good_ones_close_it() {
        let (mut breaker, now) = opened();
        let later = now + FIRST_OPEN;
        let probe = breaker.admit(later).unwrap();
        assert!(
            breaker.admit(later).is_err(),
            "a second probe beside the first"
        );
        assert_eq!(breaker.settle(probe, Verdict::Good, later, EVEN), None);
        let probe = breaker.admit(later).unwrap();
        assert_eq!(
            breaker.settle(probe, Verdict::Good, later, EVEN),
            Some(Change::Closed)
        );
        assert_eq!(breaker.position(), Position::Closed);
    }

    #[test]
    fn a_bad_probe_opens_it_for_twice_as_long() {
        let (mut breaker, mut now) = opened();
        for secs in [20, 40, 80, 160, 300, 300] {
            now += LONGEST_OPEN;
            let probe = breaker.admit(now).unwrap();
            assert_eq!(
                breaker.settle(probe, Verdict::Bad, now, EVEN),
                Some(Change::Opened(Duration::from_secs(secs)))
            );
        }
    }

    #[test]
    fn a_check_from_elsewhere_moves_the_probe_and_closes_nothing() {
        let (mut breaker, now) = opened();
        assert!(breaker.opened().is_some());
        let minute = now + Duration::from_mins(1);
        breaker.keep_open(minute);
        breaker.keep_open(now);
        assert_eq!(
            breaker.admit(now + FIRST_OPEN),
            Err(BreakerDenial::Open(minute))
        );
        breaker.allow_probe(now);
        assert!(breaker.admit(now).is_ok());
        let half_open = Position::HalfOpen {
            probing: true,
            good: 0,
        };
        assert_eq!(breaker.position(), half_open);
        assert_eq!(breaker.opened(), None);
        breaker.keep_open(minute);
        assert_eq!(breaker.position(), half_open);
        assert_eq!(breaker.admit(now), Err(BreakerDenial::Probing));
    }

    #[test]
    fn a_check_that_is_wrong_for_ever_keeps_it_open_no_longer_than_the_longest_time() {
        let (mut breaker, now) = opened();
        for minute in 0..60 {
            breaker.keep_open(now + Duration::from_mins(minute));
        }
        assert!(breaker.admit(now + LONGEST_OPEN).is_ok());
    }

    #[test]
    fn an_abandoned_probe_makes_room_for_the_next() {
        let (mut breaker, now) = opened();
        let later = now + FIRST_OPEN;
        let probe = breaker.admit(later).unwrap();
        assert_eq!(breaker.settle(probe, Verdict::Unknown, later, EVEN), None);
        assert!(breaker.admit(later).is_ok());
    }

    #[test]
    fn a_result_from_before_it_opened_changes_nothing() {
        let (mut breaker, now) = (Breaker::default(), crate::clock::now());
        let slow = breaker.admit(now).unwrap();
        for _ in 0..FAILURES_IN_A_ROW {
            let permit = breaker.admit(now).unwrap();
            breaker.settle(permit, Verdict::Bad, now, EVEN);
        }
        let before = breaker.position();
        assert_eq!(breaker.settle(slow, Verdict::Good, now, EVEN), None);
        assert_eq!(breaker.position(), before);
    }

    proptest! {
        /// Checks that, for any events in any order, the breaker is never open for longer than the
        /// longest time with its jitter, never has two probes in flight, and keeps a bounded number
        /// of calls.
        #[test]
        fn it_always_comes_back(events in proptest::collection::vec((0_u8..4, 0_u64..120, 0.0..1.0), 1..400)) {
            let mut breaker = Breaker::default();
            let mut now = crate::clock::now();
            let mut in_flight: Vec<BreakerPermit> = Vec::new();
            for (event, secs, chance) in events {
                now += Duration::from_secs(secs);
                if event == 0 || in_flight.is_empty() {
                    let before = breaker.position();
                    match breaker.admit(now) {
                        Ok(permit) => {
                            let second_probe = matches!(before, Position::HalfOpen { probing: true, .. });
                            prop_assert!(!second_probe);
                            in_flight.push(permit);
                        }
                        Err(BreakerDenial::Open(until)) => prop_assert!(until <= now + LONGEST_OPEN.mul_f64(1.0 + JITTER)),
                        Err(BreakerDenial::Probing) => {}
                    }
                } else {
                    let result = [Verdict::Good, Verdict::Bad, Verdict::Unknown][usize::from(event - 1)];
                    let permit = in_flight.remove(0);
                    breaker.settle(permit, result, now, chance);
                }
                prop_assert!(breaker.calls.len() <= MOST_REMEMBERED);
            }
            for permit in in_flight.drain(..) {
                breaker.settle(permit, Verdict::Unknown, now, EVEN);
            }
            let longest = LONGEST_OPEN.mul_f64(1.0 + JITTER);
            prop_assert!(breaker.admit(now + longest).is_ok());
        }
    }
}
