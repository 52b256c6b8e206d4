//! The circuit breaker: a provider that keeps failing is left alone for a while, then tried with one call.
//! Pure: time and chance are arguments. Only faults of the server count; a rate limit or a refusal does not.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a call is remembered. resilience4j counts calls; at some commands an hour only time makes sense.
pub const WINDOW: Duration = Duration::from_mins(1);

/// The failure rate means nothing below so many calls in the window.
pub const FEWEST_CALLS: usize = 5;

/// The share of failed calls in the window that opens it. resilience4j's default.
pub const FAILURE_RATE: f64 = 0.5;

/// So many failures in a row open it, whatever the rate: with few calls the rate is too slow.
pub const FAILURES_IN_A_ROW: u32 = 3;

/// How long it is open the first time; twice as long each time it opens again without having closed.
pub const FIRST_OPEN: Duration = Duration::from_secs(10);

/// The longest it is open. Envoy's maximum ejection time.
pub const LONGEST_OPEN: Duration = Duration::from_mins(5);

/// The share by which the time open is made longer or shorter, so that gateways do not come back all at once.
pub const JITTER: f64 = 0.2;

/// So many good probes in a row close it.
pub const PROBES_TO_CLOSE: u32 = 2;

/// The most calls remembered, so that a flood costs no memory.
const MOST_REMEMBERED: usize = 128;

/// Where the breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Calls go through.
    Closed,
    /// No calls until then.
    Open {
        /// When a probe may go.
        until: Instant,
    },
    /// One probe at a time.
    HalfOpen {
        /// True while one is on its way.
        probing: bool,
        /// Good probes so far.
        good: u32,
    },
}

/// Leave for one call. What became of it is handed back with [`Breaker::settle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPermit {
    /// Changes of position before it was given: a result from before the last change counts no more.
    epoch: u64,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The server did its work: an answer, a rate limit, a refusal.
    Good,
    /// The server failed.
    Bad,
    /// Nobody knows: the call was given up by us.
    Unknown,
}

/// A change an operator wants to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It opened, for so long.
    Opened(Duration),
    /// It closed again.
    Closed,
}

/// The breaker of one provider.
#[derive(Debug, Clone)]
pub struct Breaker {
    position: Position,
    /// When each call of the window ended, and whether well.
    calls: VecDeque<(Instant, bool)>,
    failures_in_a_row: u32,
    /// How often it opened since it was last closed for good.
    openings: u32,
    epoch: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            position: Position::Closed,
            calls: VecDeque::new(),
            failures_in_a_row: 0,
            openings: 0,
            epoch: 0,
        }
    }
}

impl Breaker {
    /// Where it stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The number of the change that opened it, while it is open.
    pub fn opened(&self) -> Option<u64> {
        matches!(self.position, Position::Open { .. }).then_some(self.epoch)
    }

    /// It is known to be away: while it is open, it stays so until then at least.
    pub fn is_away(&mut self, until: Instant) {
        if let Position::Open { until: planned } = &mut self.position {
            *planned = until.max(*planned);
        }
    }

    /// It is known to be there again: while it is open, a probe may go at once.
    pub fn is_back(&mut self, now: Instant) {
        if let Position::Open { until } = &mut self.position {
            *until = now.min(*until);
        }
    }

    /// Asks leave for a call.
    ///
    /// # Errors
    /// While it is open, or a probe is on its way: when to ask again.
    pub fn admit(&mut self, now: Instant) -> Result<BreakerPermit, Instant> {
        match self.position {
            Position::Closed => {}
            Position::Open { until } if now < until => return Err(until),
            Position::Open { .. } => self.turn(Position::HalfOpen {
                probing: true,
                good: 0,
            }),
            Position::HalfOpen { probing: true, .. } => return Err(now + Duration::from_secs(1)),
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
        Ok(BreakerPermit { epoch: self.epoch })
    }

    /// Leave for a call whatever the position, where there is nobody else to ask. It counts as a probe.
    pub fn force(&mut self) -> BreakerPermit {
        match self.position {
            Position::Closed => {}
            Position::Open { .. } => self.turn(Position::HalfOpen {
                probing: true,
                good: 0,
            }),
            Position::HalfOpen { good, .. } => {
                self.position = Position::HalfOpen {
                    probing: true,
                    good,
                }
            }
        }
        BreakerPermit { epoch: self.epoch }
    }

    /// Takes in what became of a call. `chance` is drawn evenly from 0 to 1, for the jitter.
    pub fn settle(
        &mut self,
        pass: BreakerPermit,
        result: Verdict,
        now: Instant,
        chance: f64,
    ) -> Option<Change> {
        if pass.epoch != self.epoch {
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
            (Position::HalfOpen { .. }, Verdict::Bad) => Some(self.open(now, chance)),
            (Position::HalfOpen { good, .. }, Verdict::Good) if good + 1 < PROBES_TO_CLOSE => {
                self.position = Position::HalfOpen {
                    probing: false,
                    good: good + 1,
                };
                None
            }
            (Position::HalfOpen { .. }, Verdict::Good) => {
                self.turn(Position::Closed);
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
        // A good call is no reason to open, even where it completes the fewest calls that mean something.
        (!good && (too_many || self.failures_in_a_row >= FAILURES_IN_A_ROW))
            .then(|| self.open(now, chance))
    }

    fn open(&mut self, now: Instant, chance: f64) -> Change {
        let doubled = FIRST_OPEN
            .saturating_mul(1 << self.openings.min(16))
            .min(LONGEST_OPEN);
        self.openings = self.openings.saturating_add(1);
        let open_for = doubled.mul_f64(1.0 + JITTER * (2.0 * chance.clamp(0.0, 1.0) - 1.0));
        self.turn(Position::Open {
            until: now + open_for,
        });
        Change::Opened(open_for)
    }

    fn turn(&mut self, position: Position) {
        self.position = position;
        self.epoch += 1;
        self.calls.clear();
        self.failures_in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVEN: f64 = 0.5;

    /// A breaker, and the moment it opened for the first time.
    fn opened() -> (Breaker, Instant) {
        let (mut breaker, now) = (Breaker::default(), crate::clock::now());
        for left in (0..FAILURES_IN_A_ROW).rev() {
            let pass = breaker.admit(now).unwrap();
            let change = breaker.settle(pass, Verdict::Bad, now, EVEN);
            assert_eq!(change, (left == 0).then_some(Change::Opened(FIRST_OPEN)));
        }
        (breaker, now)
    }

    #[test]
    fn three_failures_in_a_row_open_it_for_ten_seconds() {
        let (mut breaker, now) = opened();
        assert_eq!(
            breaker.admit(now + Duration::from_millis(9999)),
            Err(now + FIRST_OPEN)
        );
        assert!(breaker.admit(now + FIRST_OPEN).is_ok());
    }

    #[test]
    fn half_of_five_calls_failing_opens_it() {
        let (mut breaker, now) = (Breaker::default(), crate::clock::now());
        let mut call = |result| {
            let pass = breaker.admit(now).unwrap();
            breaker.settle(pass, result, now, EVEN)
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
            let pass = breaker.admit(now).unwrap();
            assert_eq!(
                breaker.settle(pass, result, now, EVEN),
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
    fn what_is_known_of_it_from_elsewhere_moves_the_probe_and_closes_nothing() {
        let (mut breaker, now) = opened();
        assert!(breaker.opened().is_some());
        breaker.is_away(now + Duration::from_mins(1));
        breaker.is_away(now);
        assert_eq!(
            breaker.admit(now + FIRST_OPEN),
            Err(now + Duration::from_mins(1))
        );
        breaker.is_back(now);
        assert!(breaker.admit(now).is_ok());
        assert_eq!(
            (breaker.position(), breaker.opened()),
            (
                Position::HalfOpen {
                    probing: true,
                    good: 0
                },
                None
            )
        );
        breaker.is_away(now + Duration::from_mins(1));
        assert_eq!(
            breaker.position(),
            Position::HalfOpen {
                probing: true,
                good: 0
            }
        );
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
            let pass = breaker.admit(now).unwrap();
            breaker.settle(pass, Verdict::Bad, now, EVEN);
        }
        let before = breaker.position();
        assert_eq!(breaker.settle(slow, Verdict::Good, now, EVEN), None);
        assert_eq!(breaker.position(), before);
    }

    proptest! {
        /// Whatever happens in whatever order, it never stays shut for longer than the longest time with its jitter,
        /// never has two probes out, and remembers a bounded number of calls.
        #[test]
        fn it_always_comes_back(events in proptest::collection::vec((0_u8..4, 0_u64..120, 0.0..1.0), 1..400)) {
            let mut breaker = Breaker::default();
            let mut now = crate::clock::now();
            let mut out: Vec<BreakerPermit> = Vec::new();
            for (event, secs, chance) in events {
                now += Duration::from_secs(secs);
                if event == 0 || out.is_empty() {
                    let before = breaker.position();
                    match breaker.admit(now) {
                        Ok(pass) => {
                            let second_probe = matches!(before, Position::HalfOpen { probing: true, .. });
                            prop_assert!(!second_probe);
                            out.push(pass);
                        }
                        Err(until) => prop_assert!(until <= now + LONGEST_OPEN.mul_f64(1.0 + JITTER)),
                    }
                } else {
                    let result = [Verdict::Good, Verdict::Bad, Verdict::Unknown][usize::from(event - 1)];
                    let pass = out.remove(0);
                    breaker.settle(pass, result, now, chance);
                }
                prop_assert!(breaker.calls.len() <= MOST_REMEMBERED);
            }
            for pass in out.drain(..) {
                breaker.settle(pass, Verdict::Unknown, now, EVEN);
            }
            let shut = LONGEST_OPEN.mul_f64(1.0 + JITTER);
            prop_assert!(breaker.admit(now + shut).is_ok());
        }
    }
}
