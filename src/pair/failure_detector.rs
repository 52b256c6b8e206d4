//! The failure detector of a pair: whether a leader whose connections still look alive to the
//! broker has failed, because its host or its network is gone. Pure; the time is an argument.
//!
//! A leader publishes a beat when it has published nothing else that the other node sees. After a
//! silence, the standby sends a probe through the broker. A leader that is alive answers it with a
//! beat; the probe itself comes back to the standby, which shows that the broker and its own
//! connection work. A second probe, after the time for the answer, shows that they still do: an
//! answer that the broker had by then is received before it.

use std::time::{Duration, Instant};

/// The longest silence of a leader that is no reason to probe, in percent of the interval of its
/// beats.
const PATIENCE: u32 = 110;

/// The time in which a leader answers a probe, in percent of the interval of its beats. Together
/// with the patience less than the 150 percent of the keep-alive after which a broker ends a
/// connection (MQTT 5, section 3.1.2.10).
const ANSWER_TIME: u32 = 30;

/// The intervals for which a leader has to give signs without a gap until a takeover after a
/// silence was right.
const STEADY: u32 = 2;

/// The most doublings of the patience after takeovers that follow one upon another.
const MAX_DOUBLINGS: u32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detection {
    /// Nothing is suspected.
    Trusting,
    /// A probe is on its way through the broker.
    Probing {
        number: u64,
        /// Time at which another one is sent if it is lost.
        until: Instant,
        /// Whether the leader has had its time to answer.
        is_last: bool,
    },
    /// The broker passes messages on, and the leader has time to answer.
    Awaiting { until: Instant },
}

/// The failure detector of a node that stands by.
#[derive(Debug)]
pub(super) struct FailureDetector {
    /// The interval at which the leader promises beats; zero if it promises none.
    interval: Duration,
    /// The last sign of life of the leader; `None` while it cannot be received.
    seen: Option<Instant>,
    /// The beginning of the signs without a gap.
    steady_since: Option<Instant>,
    /// Takeovers after a silence that followed one upon another.
    takeovers: u32,
    /// The number of the last probe.
    probes: u64,
    detection: Detection,
}

impl FailureDetector {
    /// Creates the detector of a node that has received nothing yet.
    pub(super) fn new() -> Self {
        Self {
            interval: Duration::ZERO,
            seen: None,
            steady_since: None,
            takeovers: 0,
            probes: 0,
            detection: Detection::Trusting,
        }
    }

    /// Begins the detection: from now on signs of the leader are received.
    pub(super) fn begin(&mut self, now: Instant) {
        self.seen = Some(now);
        self.steady_since = None;
        self.detection = Detection::Trusting;
    }

    /// Ends the detection: signs of the leader cannot be received.
    pub(super) fn end(&mut self) {
        self.seen = None;
        self.steady_since = None;
        self.detection = Detection::Trusting;
    }

    /// Sets the interval at which the leader promises beats.
    pub(super) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Notes a new leader. Where nodes replace each other after silences before they have led
    /// steadily, the patience grows.
    pub(super) fn led_anew(&mut self, is_after_silence: bool, now: Instant) {
        self.takeovers = match (is_after_silence, self.is_steady()) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => self.takeovers + 1,
        };
        if self.seen.is_some() {
            self.begin(now);
        }
    }

    /// Notes a sign of life of the leader.
    pub(super) fn sign(&mut self, now: Instant) {
        let Some(seen) = self.seen else {
            return;
        };
        let has_gap = now.saturating_duration_since(seen) > self.percent(PATIENCE);
        if has_gap || self.steady_since.is_none() {
            self.steady_since = Some(now);
        }
        self.seen = Some(now);
        self.detection = Detection::Trusting;
    }

    /// Returns the number of a probe to send now.
    pub(super) fn tick(&mut self, now: Instant) -> Option<u64> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        self.probes += 1;
        self.detection = Detection::Probing {
            number: self.probes,
            until: now + self.patience(),
            is_last: matches!(self.detection, Detection::Awaiting { .. }),
        };
        Some(self.probes)
    }

    /// Returns when the next probe is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let seen = self.seen.filter(|_| self.interval > Duration::ZERO)?;
        Some(match self.detection {
            Detection::Trusting => seen + self.patience(),
            Detection::Probing { until, .. } | Detection::Awaiting { until } => until,
        })
    }

    /// Notes that a probe of this node has come back. Returns whether the leader has failed.
    pub(super) fn probe_returned(&mut self, returned: u64, now: Instant) -> bool {
        let Detection::Probing {
            number, is_last, ..
        } = self.detection
        else {
            return false;
        };
        if number != returned {
            return false;
        }
        if is_last {
            if self.is_steady() {
                self.takeovers = 0;
            }
            self.begin(now);
        } else {
            let until = now + self.percent(ANSWER_TIME);
            self.detection = Detection::Awaiting { until };
        }
        is_last
    }

    /// Returns whether the leader has given signs of life without a gap for long enough to show
    /// that it was right to replace the one before.
    fn is_steady(&self) -> bool {
        let (Some(since), Some(seen)) = (self.steady_since, self.seen) else {
            return false;
        };
        seen.saturating_duration_since(since) >= self.interval * STEADY
    }

    fn patience(&self) -> Duration {
        // The first leader and the one after it may have failed for reasons of their own.
        let doublings = if self.is_steady() {
            0
        } else {
            self.takeovers.saturating_sub(1).min(MAX_DOUBLINGS)
        };
        self.percent(PATIENCE) * 2_u32.pow(doublings)
    }

    fn percent(&self, percent: u32) -> Duration {
        self.interval * percent / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    /// A detector, and a broker that returns probes.
    struct Watch {
        detector: FailureDetector,
        now: Instant,
        probes: usize,
        /// Time the broker takes to return a probe, or `None` if it returns none.
        delay: Option<Duration>,
        on_their_way: Vec<(Instant, u64)>,
    }

    impl Watch {
        fn new() -> Self {
            let now = crate::clock::now();
            let mut detector = FailureDetector::new();
            detector.set_interval(INTERVAL);
            detector.begin(now);
            Self {
                detector,
                now,
                probes: 0,
                delay: Some(Duration::ZERO),
                on_their_way: Vec::new(),
            }
        }

        /// Returns after which time the leader counts as failed, within `limit`.
        fn fails_within(&mut self, limit: Duration) -> Option<Duration> {
            let begun = self.now;
            while self.now < begun + limit {
                self.now += Duration::from_millis(10);
                if let Some(number) = self.detector.tick(self.now) {
                    self.probes += 1;
                    if let Some(delay) = self.delay {
                        self.on_their_way.push((self.now + delay, number));
                    }
                }
                let now = self.now;
                let (back, waiting) = std::mem::take(&mut self.on_their_way)
                    .into_iter()
                    .partition::<Vec<_>, _>(|(at, _)| *at <= now);
                self.on_their_way = waiting;
                for (_, number) in back {
                    if self.detector.probe_returned(number, now) {
                        return Some(self.now - begun);
                    }
                }
            }
            None
        }

        /// Lets the leader give signs for this time.
        fn live(&mut self, time: Duration, pause: Duration) {
            let end = self.now + time;
            while self.now < end {
                assert_eq!(self.fails_within(pause), None);
                self.detector.sign(self.now);
            }
        }
    }

    #[test]
    fn a_silent_leader_has_failed_within_one_and_a_half_intervals() {
        let mut watch = Watch::new();
        watch.live(INTERVAL * 5, INTERVAL);
        assert_eq!(watch.probes, 0, "a beat at each interval needs no probe");
        let failed = watch.fails_within(INTERVAL * 4).unwrap();
        assert!(failed <= INTERVAL * 3 / 2, "{failed:?}");
        assert_eq!(watch.probes, 2);
    }

    #[test]
    fn a_leader_that_answers_a_probe_has_not_failed() {
        let mut watch = Watch::new();
        for _ in 0..20 {
            assert_eq!(watch.fails_within(INTERVAL * 135 / 100), None);
            watch.detector.sign(watch.now);
        }
        assert_eq!(watch.probes, 20);
    }

    #[test]
    fn no_leader_fails_while_the_broker_returns_nothing() {
        let mut watch = Watch::new();
        watch.delay = None;
        assert_eq!(watch.fails_within(INTERVAL * 20), None);
        assert!(watch.probes <= 20, "{}", watch.probes);
        // The broker goes on. The leader has time to answer what it receives only now.
        watch.delay = Some(Duration::ZERO);
        let failed = watch.fails_within(INTERVAL * 4).unwrap();
        assert!(failed >= INTERVAL * ANSWER_TIME / 100);
    }

    #[test]
    fn a_broker_that_stops_after_the_first_probe_makes_no_leader_fail() {
        let mut watch = Watch::new();
        assert_eq!(watch.fails_within(INTERVAL * 120 / 100), None);
        assert_eq!(watch.probes, 1);
        watch.delay = None;
        assert_eq!(watch.fails_within(INTERVAL * 20), None);
    }

    #[test]
    fn a_connection_that_ended_is_no_silence() {
        let mut watch = Watch::new();
        assert_eq!(watch.fails_within(INTERVAL), None);
        watch.detector.end();
        assert_eq!(watch.fails_within(INTERVAL * 20), None);
        watch.detector.begin(watch.now);
        assert_eq!(watch.fails_within(INTERVAL), None);
        assert_eq!(watch.probes, 0);
        assert!(watch.fails_within(INTERVAL).is_some());
    }

    #[test]
    fn a_leader_that_promises_no_beats_does_not_fail() {
        let mut watch = Watch::new();
        watch.detector.set_interval(Duration::ZERO);
        assert_eq!(watch.fails_within(INTERVAL * 20), None);
        assert_eq!(watch.probes, 0);
    }

    #[test]
    fn slow_nodes_replace_each_other_ever_less_often() {
        let mut watch = Watch::new();
        watch.live(INTERVAL * 5, INTERVAL);
        let mut times = Vec::new();
        for _ in 0..6 {
            times.push(watch.fails_within(INTERVAL * 40).unwrap());
            watch.detector.led_anew(true, watch.now);
            watch.detector.sign(watch.now);
        }
        assert!(times[1] <= INTERVAL * 3 / 2, "{times:?}");
        assert!(times[1..].is_sorted_by(|one, next| one < next), "{times:?}");
        // One that leads steadily is as good as any other.
        watch.live(INTERVAL * 3, INTERVAL);
        let failed = watch.fails_within(INTERVAL * 4).unwrap();
        assert!(failed <= INTERVAL * 3 / 2, "{failed:?}");
    }

    #[test]
    fn a_takeover_for_another_reason_ends_the_series() {
        let mut watch = Watch::new();
        for _ in 0..3 {
            watch.detector.led_anew(true, watch.now);
        }
        watch.detector.led_anew(false, watch.now);
        assert!(watch.fails_within(INTERVAL * 3 / 2).is_some());
    }
}
