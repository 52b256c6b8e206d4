//! Decides which node of a pair leads: a state machine that takes events and returns effects. Pure:
//! the time and the random delay are arguments.
//!
//! The broker is the lock: who is connected with the shared client id leads, and a new connection
//! with it ends the old one. This module decides when to connect.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::clock::wall;
use crate::pair::failure_detector::FailureDetector;
use crate::pair::leadership_event::{ObserverState, PairEffect, PairEvent, PairStage, Precedence};
use crate::pair::mark::LeaderClaim;

/// The longest random delay before connecting, so that two nodes do not contend for ever.
pub const MAX_DELAY: Duration = Duration::from_millis(500);

/// The additional delay of a leader whose connection has ended: the other node may have taken over,
/// and its claim is on the way.
const AFTER_CUT: Duration = Duration::from_secs(1);

/// The same where the other node has taken over and is gone as well: the last will of the
/// connection before its own may arrive late, and it answers that at once.
const AFTER_REPLACEMENT: Duration = Duration::from_millis(250);

/// The time for which the end of a connection delays the next one.
const CUT_MEMORY: Duration = Duration::from_secs(2);

/// Time for which a leader that was seen online before this node's observer connected may give no
/// sign of life: its last will is lost if the broker ended with it.
const CONFIRMATION: Duration = Duration::from_secs(3);

/// Longest time for which a node that has just started waits for the one that led last, which knows
/// the commands that had begun.
const DEFERENCE: Duration = Duration::from_secs(1);

/// The pause after connections that could not be made is doubled from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Time for which a request for a takeover holds for a node that does not know yet that it has lost
/// its connection.
const REQUEST_LIFETIME: Duration = Duration::from_secs(5);

/// Longest time the barrier may take before commands are served without it.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(10);

/// The state machine.
#[derive(Debug)]
pub struct Leadership {
    node: String,
    stage: PairStage,
    observation: ObserverState,
    leader: Option<LeaderClaim>,
    is_online: bool,
    /// The moment at which a leader that gives no sign of life counts as gone.
    unconfirmed_until: Option<Instant>,
    cut_at: Option<Instant>,
    /// The last request for a takeover that came while this node was connected.
    requested_at: Option<Instant>,
    /// Connections that ended before this node led.
    failures: u32,
    precedence: Precedence,
    /// The moment of the last request for a sign of life and for the knowledge of other nodes.
    queried_at: Option<Instant>,
    /// Whether this node has waited for the knowledge of one that started after it.
    has_waited: bool,
    /// The longest time in which this node as the leader publishes nothing that the other one sees.
    beat_interval: Duration,
    /// Time at which this node as the leader last published such a message.
    signed_at: Option<Instant>,
    detector: FailureDetector,
    /// Whether this node connects because the leader has failed.
    is_after_silence: bool,
    effects: VecDeque<PairEffect>,
}

impl Leadership {
    /// Creates the state of `node` before its observer is connected. As the leader it publishes a
    /// beat at this interval, unless it publishes something else that the other node sees.
    pub fn new(node: impl Into<String>, beat_interval: Duration) -> Self {
        Self {
            node: node.into(),
            stage: PairStage::Standby,
            observation: ObserverState::Down,
            leader: None,
            is_online: false,
            unconfirmed_until: None,
            cut_at: None,
            requested_at: None,
            failures: 0,
            precedence: Precedence::Equal,
            queried_at: None,
            has_waited: false,
            beat_interval,
            signed_at: None,
            detector: FailureDetector::new(),
            is_after_silence: false,
            effects: VecDeque::new(),
        }
    }

    /// Returns the part of this node.
    pub fn stage(&self) -> PairStage {
        self.stage
    }

    /// Returns the newest claim.
    pub fn leader(&self) -> Option<&LeaderClaim> {
        self.leader.as_ref()
    }

    /// Returns whether a leader is online, as far as this node knows.
    pub fn is_online(&self) -> bool {
        self.is_online
    }

    /// Returns whether the observer knows the messages that the broker had kept.
    pub fn is_synced(&self) -> bool {
        self.observation == ObserverState::Synced
    }

    /// Returns whether the observer waits for its own report.
    pub fn is_syncing(&self) -> bool {
        self.observation == ObserverState::Syncing
    }

    /// Removes and returns the next step to take.
    pub fn next_effect(&mut self) -> Option<PairEffect> {
        self.effects.pop_front()
    }

    /// Requests another report of this node.
    pub fn request_introduction(&mut self) {
        if !self.effects.contains(&PairEffect::Introduce) {
            self.effects.push_back(PairEffect::Introduce);
        }
    }

    /// Sends all that this node knows of the progress of commands to another one.
    pub fn send_snapshot(&mut self, to: String) {
        self.effects.push_back(PairEffect::SendSnapshot { to });
    }

    /// Returns when [`Leadership::tick`] has something to do without an event.
    pub fn due(&self) -> Option<Instant> {
        if let ObserverState::Asking { until } = self.observation {
            return Some(until);
        }
        match self.stage {
            PairStage::Standby => {
                let probe = self.detector.due().filter(|_| self.detects());
                self.unconfirmed_until.into_iter().chain(probe).min()
            }
            PairStage::Contending { at } => Some(at),
            PairStage::Confirming { until } => Some(until),
            PairStage::Connecting => None,
            PairStage::Leading => self.signed_at.map(|at| at + self.beat_interval),
        }
    }

    /// Notes that the observer has received a message that only a leader publishes.
    pub fn note_sign(&mut self, now: Instant) {
        self.detector.sign(now);
        if self.stage == PairStage::Leading {
            self.signed_at = Some(now);
        }
    }

    /// Processes an event. `delay` is random, up to [`MAX_DELAY`].
    pub fn on(&mut self, event: PairEvent, now: Instant, delay: Duration) {
        match event {
            PairEvent::ObserverUp => {
                self.observation = ObserverState::Syncing;
                self.effects.push_back(PairEffect::Introduce);
            }
            PairEvent::ObserverSynced {
                has_other,
                is_uninformed,
            } => {
                self.precedence = if is_uninformed && !has_other && !self.has_claimed() {
                    Precedence::Last
                } else {
                    Precedence::Equal
                };
                self.synced(has_other, now);
            }
            PairEvent::SnapshotReceived => {
                if let ObserverState::Asking { .. } = self.observation {
                    self.observation = ObserverState::Synced;
                }
            }
            PairEvent::ObserverDown => {
                self.observation = ObserverState::Down;
                self.unconfirmed_until = None;
                self.detector.end();
            }
            PairEvent::Claimed { claim, is_live } => self.claimed(claim, is_live, now),
            PairEvent::Status { is_online } => self.status(is_online),
            PairEvent::Beat { node } => {
                if self.leader.as_ref().is_some_and(|claim| claim.node == node) {
                    self.is_online = true;
                    self.unconfirmed_until = None;
                    self.note_sign(now);
                }
            }
            PairEvent::ProbeReturned { number } => self.probe_returned(number, now),
            PairEvent::Probed => {
                if self.is_connected() {
                    self.effects.push_back(PairEffect::Beat);
                }
            }
            PairEvent::Query {
                node,
                is_uninformed,
            } => self.queried(node, is_uninformed, now),
            PairEvent::TakeoverRequested { node } => self.takeover_requested(node, now),
            PairEvent::Connected {
                connection,
                session_present,
            } => self.connected(connection, session_present, now),
            PairEvent::BarrierPassed => self.serve(true, now),
            PairEvent::Disconnected => self.disconnected(now),
        }
        self.tick(now, delay);
    }

    fn queried(&mut self, node: String, is_uninformed: bool, now: Instant) {
        if node == self.node {
            return;
        }
        // The node that has started may know more, from its journal.
        let is_recent = |at: Instant| now.saturating_duration_since(at) < CONFIRMATION;
        if is_uninformed && !self.queried_at.is_some_and(is_recent) {
            self.query(now);
            // Only once, so that a node that starts again and again does not keep this one from
            // leading.
            if self.is_synced() && !std::mem::replace(&mut self.has_waited, true) {
                let until = now + CONFIRMATION;
                self.observation = ObserverState::Asking { until };
            }
        }
        if self.is_connected() {
            self.effects.push_back(PairEffect::Announce);
        }
        self.send_snapshot(node);
    }

    fn takeover_requested(&mut self, node: Option<String>, now: Instant) {
        let is_named = node.is_some();
        // By the claims before the request: the old leader may be cut off by now.
        let is_meant = match node {
            Some(node) => node == self.node,
            None => !self.has_claimed(),
        };
        let is_free = matches!(
            self.stage,
            PairStage::Standby | PairStage::Contending { .. }
        );
        if is_meant && is_free {
            self.connect(false);
        } else if is_meant && !self.has_claimed() {
            self.requested_at = Some(now);
        } else if is_meant && is_named && self.is_connected() {
            self.effects.push_back(PairEffect::Answer);
        }
    }

    fn claimed(&mut self, claim: LeaderClaim, is_live: bool, now: Instant) {
        let is_newer = self
            .leader
            .as_ref()
            .is_none_or(|known| known.epoch <= claim.epoch);
        // A broker restored from an old copy counts from an older number.
        if !is_live && !is_newer {
            return;
        }
        if is_live {
            self.is_online = true;
            self.unconfirmed_until = None;
            let known = self.leader.as_ref();
            if known.is_none_or(|known| known.epoch != claim.epoch || known.node != claim.node) {
                self.detector.led_anew(claim.is_after_silence, now);
            }
            self.detector.sign(now);
        }
        self.detector
            .set_interval(Duration::from_millis(claim.beat_ms));
        self.leader = Some(claim);
    }

    fn probe_returned(&mut self, number: u64, now: Instant) {
        if self.detector.probe_returned(number, now)
            && self.stage == PairStage::Standby
            && self.detects()
        {
            self.connect(true);
        }
    }

    /// Returns whether the failure of the other node as leader would be noticed.
    fn detects(&self) -> bool {
        self.is_synced() && self.has_rival()
    }

    fn status(&mut self, is_online: bool) {
        if !is_online && self.has_rival() {
            self.precedence = Precedence::First;
        }
        self.is_online = is_online;
        // The last will of the connection before this one may be published late.
        if !is_online && self.is_connected() {
            self.is_online = true;
            self.effects.push_back(PairEffect::Announce);
        }
    }

    fn connected(&mut self, connection: u64, session_present: bool, now: Instant) {
        if self.stage != PairStage::Connecting {
            return;
        }
        let epoch = self.leader.as_ref().map_or(0, |claim| claim.epoch) + 1;
        self.stage = PairStage::Confirming {
            until: now + BARRIER_TIMEOUT,
        };
        self.effects.push_back(PairEffect::Claim {
            is_after_silence: self.is_after_silence,
            epoch,
            connection,
            session_present,
        });
    }

    fn serve(&mut self, is_confirmed: bool, now: Instant) {
        if matches!(self.stage, PairStage::Confirming { .. }) {
            self.stage = PairStage::Leading;
            self.signed_at = Some(now);
            self.failures = 0;
            self.requested_at = None;
            self.effects.push_back(PairEffect::Serve { is_confirmed });
        }
    }

    fn disconnected(&mut self, now: Instant) {
        match self.stage {
            PairStage::Standby | PairStage::Contending { .. } => return,
            PairStage::Connecting => self.failures += 1,
            PairStage::Confirming { .. } | PairStage::Leading => self.cut_at = Some(now),
        }
        self.effects.push_back(PairEffect::StepDown);
        self.stage = PairStage::Standby;
        let is_valid = |at: Instant| now.saturating_duration_since(at) < REQUEST_LIFETIME;
        if self.requested_at.take().is_some_and(is_valid) {
            self.connect(false);
        }
    }

    fn synced(&mut self, has_other: bool, now: Instant) {
        let until = now + CONFIRMATION;
        self.detector.begin(now);
        self.observation = if has_other {
            ObserverState::Asking { until }
        } else {
            ObserverState::Synced
        };
        if self.has_rival() {
            self.unconfirmed_until = Some(until);
        }
        if has_other || self.has_rival() {
            self.query(now);
        }
    }

    fn query(&mut self, now: Instant) {
        self.queried_at = Some(now);
        self.effects.push_back(PairEffect::Query);
    }

    fn connect(&mut self, is_after_silence: bool) {
        self.stage = PairStage::Connecting;
        self.unconfirmed_until = None;
        self.is_after_silence = is_after_silence;
        self.effects
            .push_back(PairEffect::Connect { is_after_silence });
    }

    /// Returns whether this node has the connection with the shared id.
    fn is_connected(&self) -> bool {
        matches!(
            self.stage,
            PairStage::Confirming { .. } | PairStage::Leading
        )
    }

    /// Returns whether the newest claim is that of this node.
    fn has_claimed(&self) -> bool {
        let claim = self.leader.as_ref();
        claim.is_some_and(|claim| claim.node == self.node)
    }

    /// Returns whether the newest claim is that of this node, which has led for this time at least.
    pub fn has_led_last(&self, time: Duration) -> bool {
        let since_1970 = wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claim = self.leader.as_ref().filter(|claim| claim.node == self.node);
        claim.is_some_and(|claim| since_1970 >= Duration::from_secs(claim.since) + time)
    }

    /// Returns whether the other node leads, as far as this one knows.
    fn has_rival(&self) -> bool {
        let is_other = |claim: &LeaderClaim| claim.node != self.node;
        self.is_online && self.leader.as_ref().is_some_and(is_other)
    }

    /// Takes the steps that are due.
    pub fn tick(&mut self, now: Instant, delay: Duration) {
        if let ObserverState::Asking { until } = self.observation
            && until <= now
        {
            self.observation = ObserverState::Synced;
        }
        match self.stage {
            PairStage::Standby if self.is_synced() => self.contend(now, delay),
            PairStage::Contending { .. } if !self.is_synced() || self.has_rival() => {
                self.stage = PairStage::Standby;
            }
            PairStage::Contending { at } if at <= now => self.connect(false),
            PairStage::Leading => self.beat(now),
            PairStage::Confirming { until } if until <= now => self.serve(false, now),
            _ => {}
        }
    }

    /// Publishes a beat if the other node has seen nothing of this one for the interval.
    fn beat(&mut self, now: Instant) {
        let is_due = |at: Instant| now.saturating_duration_since(at) >= self.beat_interval;
        if self.signed_at.is_none_or(is_due) {
            self.signed_at = Some(now);
            self.effects.push_back(PairEffect::Beat);
        }
    }

    /// Decides when to connect, unless the other node leads. Then it looks for signs of its life.
    fn contend(&mut self, now: Instant, delay: Duration) {
        let is_silent = self.unconfirmed_until.is_some_and(|until| until <= now);
        if self.has_rival() && !is_silent {
            if let Some(number) = self.detector.tick(now) {
                self.effects.push_back(PairEffect::Probe { number });
            }
            return;
        }
        self.is_online = false;
        self.unconfirmed_until = None;
        let precedence = std::mem::replace(&mut self.precedence, Precedence::Equal);
        let delay = match precedence {
            Precedence::Equal => delay.min(MAX_DELAY),
            Precedence::First => Duration::ZERO,
            Precedence::Last => delay.min(MAX_DELAY) + DEFERENCE,
        };
        let at = now + delay + self.pause(precedence, now);
        self.stage = PairStage::Contending { at };
        if at <= now {
            self.connect(false);
        }
    }

    fn pause(&self, precedence: Precedence, now: Instant) -> Duration {
        let is_recent = |cut: Instant| now.saturating_duration_since(cut) < CUT_MEMORY;
        let after_cut = match precedence {
            _ if !self.cut_at.is_some_and(is_recent) => Duration::ZERO,
            Precedence::First => AFTER_REPLACEMENT,
            Precedence::Equal | Precedence::Last => AFTER_CUT,
        };
        let after_failures = match self.failures {
            0 => Duration::ZERO,
            failures => FIRST_PAUSE
                .saturating_mul(2_u32.saturating_pow(failures - 1))
                .min(LONGEST_PAUSE),
        };
        after_cut.max(after_failures)
    }
}
