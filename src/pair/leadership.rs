//! Decides which node of a pair leads: a state machine that takes events and returns effects. Pure:
//! the time and the random delay are arguments.
//!
//! The broker is the lock: who is connected with the shared client id leads, and a new connection
//! with it ends the old one. This module decides when to connect.

use std::collections::VecDeque;
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::clock::wall;
use crate::pair::failure_detector::FailureDetector;
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

/// A change that matters to leadership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairEvent {
    /// The observer is connected, and its subscriptions are acknowledged.
    ObserverUp,
    /// The observer has received its own report: the retained messages are known.
    ObserverSynced {
        /// Whether the other node is online.
        has_other: bool,
        /// Whether this node may not know which commands had begun.
        is_uninformed: bool,
    },
    /// The other node has sent all that it knows of the progress of commands.
    SnapshotReceived,
    /// The observer has lost its connection.
    ObserverDown,
    /// A claim was received.
    Claimed {
        /// Claim of the node that leads.
        claim: LeaderClaim,
        /// False if the broker had kept it.
        is_live: bool,
    },
    /// The status of the service was received.
    Status {
        /// Whether a leader is connected.
        is_online: bool,
    },
    /// The leader has published a beat.
    Beat {
        /// The leader.
        node: String,
    },
    /// The broker has returned a probe of this node.
    ProbeReturned {
        /// The number of the probe.
        number: u64,
    },
    /// The other node has sent a probe: it has not seen the leader for some time.
    Probed,
    /// A node requests a sign of life of the leader.
    Query {
        /// Node that sent the request.
        node: String,
        /// Whether this node may not know which commands had begun.
        is_uninformed: bool,
    },
    /// An operator requests a takeover.
    TakeoverRequested {
        /// The node that should lead; `None` for the one that does not.
        node: Option<String>,
    },
    /// The connection with the shared id is open.
    Connected {
        /// Number of the connection.
        connection: u64,
        /// Whether the broker had kept its session.
        session_present: bool,
    },
    /// Every mark of the earlier leader has been received.
    BarrierPassed,
    /// The connection with the shared id has ended, or could not be made.
    Disconnected,
}

/// A step that the daemon has to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairEffect {
    /// Publish the report of this node.
    Introduce,
    /// Publish a request for a sign of life of the leader.
    Query,
    /// Send all that this node knows of the progress of commands to another one.
    SendSnapshot {
        /// The node that asks for it.
        to: String,
    },
    /// Publish a beat: this node leads.
    Beat,
    /// Publish a probe, which comes back to this node.
    Probe {
        /// Number by which the returned probe is recognised.
        number: u64,
    },
    /// Connect with the shared client id.
    Connect {
        /// Whether the leader has failed, as far as this node can see.
        is_after_silence: bool,
    },
    /// Publish the claim and the barrier, in this order.
    Claim {
        /// Whether the leader before gave no sign of life.
        is_after_silence: bool,
        /// Number of the takeover.
        epoch: u64,
        /// Number of the connection.
        connection: u64,
        /// Whether the broker had kept the session.
        session_present: bool,
    },
    /// Process the commands received since the connection.
    Serve {
        /// False if the barrier was not seen in time.
        is_confirmed: bool,
    },
    /// Publish `online` and the claim again.
    Announce,
    /// Answer an operator: this node leads already.
    Answer,
    /// Give up all commands in progress: another node may process them.
    StepDown,
}

/// The part of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairStage {
    /// The other node leads, or none is known to be absent.
    Standby,
    /// No node leads; this one connects at the given moment.
    Contending {
        /// The moment.
        at: Instant,
    },
    /// The connection with the shared id is being made.
    Connecting,
    /// Connected, and waiting for the barrier.
    Confirming {
        /// The moment at which it is waited for no longer.
        until: Instant,
    },
    /// This node leads.
    Leading,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ObserverState {
    Down,
    Syncing,
    /// The retained messages are known, but not the knowledge of the other node.
    Asking {
        until: Instant,
    },
    Synced,
}

/// Order in which this node and the other one connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precedence {
    /// Both may contend: after a random delay.
    Equal,
    /// The other node has led until now, and is gone: at once.
    First,
    /// The other node, which led last, should lead first.
    Last,
}

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

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(200);

    const INTERVAL: Duration = Duration::from_secs(5);

    fn new_node(name: &str) -> Leadership {
        Leadership::new(name, INTERVAL)
    }

    /// Two nodes, and a broker that gives the shared id to the node that connects last.
    struct House {
        nodes: [Leadership; 2],
        now: Instant,
        holder: Option<usize>,
        takeovers: usize,
        /// A node that does nothing, and later receives everything that is sent meanwhile.
        frozen: Option<usize>,
        late: Vec<PairEvent>,
        beats: usize,
        /// Whether the broker passes nothing on.
        is_stuck: bool,
    }

    impl House {
        fn new() -> Self {
            Self {
                nodes: ["a", "b"].map(new_node),
                now: crate::clock::now(),
                holder: None,
                takeovers: 0,
                frozen: None,
                late: Vec::new(),
                beats: 0,
                is_stuck: false,
            }
        }

        fn on(&mut self, node: usize, event: PairEvent) {
            if self.frozen == Some(node) {
                return self.late.push(event);
            }
            self.nodes[node].on(event, self.now, DELAY * (1 + u32::try_from(node).unwrap()));
            self.settle();
        }

        fn all(&mut self, event: &PairEvent) {
            if self.is_stuck {
                return;
            }
            for node in 0..2 {
                if self.frozen == Some(node) {
                    self.late.push(event.clone());
                    continue;
                }
                self.nodes[node].on(
                    event.clone(),
                    self.now,
                    DELAY * (1 + u32::try_from(node).unwrap()),
                );
            }
            self.settle();
        }

        /// Stops a node: nothing shows it to the broker.
        fn freeze(&mut self, node: usize) {
            self.frozen = Some(node);
        }

        /// Continues the node, which then receives everything that was sent meanwhile.
        fn thaw(&mut self) {
            let node = self.frozen.take().unwrap();
            for event in std::mem::take(&mut self.late) {
                self.on(node, event);
            }
        }

        /// Carries out effects until there are none.
        fn settle(&mut self) {
            while let Some((node, effect)) =
                (0..2).find_map(|node| Some((node, self.nodes[node].next_effect()?)))
            {
                self.carry_out(node, &effect);
            }
        }

        fn carry_out(&mut self, node: usize, effect: &PairEffect) {
            let name = ["a", "b"][node].to_owned();
            match effect {
                PairEffect::Introduce => {
                    let synced = PairEvent::ObserverSynced {
                        has_other: false,
                        is_uninformed: false,
                    };
                    self.on(node, synced);
                }
                PairEffect::Connect { .. } => self.connect(node),
                PairEffect::Beat => {
                    self.beats += 1;
                    self.all(&PairEvent::Beat { node: name });
                }
                PairEffect::Probe { number } if !self.is_stuck => {
                    self.on(1 - node, PairEvent::Probed);
                    self.on(node, PairEvent::ProbeReturned { number: *number });
                }
                PairEffect::Claim {
                    epoch,
                    is_after_silence,
                    ..
                } => {
                    let claim = LeaderClaim {
                        node: name,
                        epoch: *epoch,
                        beat_ms: 5000,
                        is_after_silence: *is_after_silence,
                        ..LeaderClaim::default()
                    };
                    let is_live = true;
                    self.all(&PairEvent::Status { is_online: true });
                    self.all(&PairEvent::Claimed { claim, is_live });
                    self.on(node, PairEvent::BarrierPassed);
                }
                PairEffect::Announce => {
                    let is_live = true;
                    if let Some(claim) = self.nodes[node].leader().cloned() {
                        self.all(&PairEvent::Claimed { claim, is_live });
                    }
                }
                PairEffect::Query => {
                    let query = PairEvent::Query {
                        node: name,
                        is_uninformed: false,
                    };
                    self.all(&query);
                }
                PairEffect::Serve { .. }
                | PairEffect::StepDown
                | PairEffect::SendSnapshot { .. }
                | PairEffect::Probe { .. }
                | PairEffect::Answer => {}
            }
        }

        /// Gives a node the connection with the shared id, and ends that of the other one.
        fn connect(&mut self, node: usize) {
            self.takeovers += 1;
            let old = self.holder.replace(node).filter(|old| *old != node);
            if let Some(old) = old {
                self.on(old, PairEvent::Disconnected);
                self.all(&PairEvent::Status { is_online: false });
            }
            let connected = PairEvent::Connected {
                connection: 1,
                session_present: true,
            };
            self.on(node, connected);
        }

        fn pass(&mut self, time: Duration) {
            let end = self.now + time;
            while self.now < end {
                self.now += Duration::from_millis(10);
                for node in (0..2).filter(|node| self.frozen != Some(*node)) {
                    self.nodes[node].tick(self.now, DELAY);
                }
                self.settle();
            }
        }

        fn leads(&self, node: usize) -> bool {
            matches!(self.nodes[node].stage(), PairStage::Leading)
        }
    }

    #[test]
    fn of_two_nodes_that_start_at_once_one_leads_and_stays_leader() {
        let mut house = House::new();
        house.all(&PairEvent::ObserverUp);
        house.pass(Duration::from_mins(1));
        assert!(house.leads(0) && !house.leads(1));
        assert_eq!(house.takeovers, 1);
    }

    #[test]
    fn the_standby_leads_soon_after_the_leader_has_gone() {
        let mut house = House::new();
        house.all(&PairEvent::ObserverUp);
        house.pass(Duration::from_secs(5));
        house.holder = None;
        house.nodes[0] = new_node("a");
        house.on(1, PairEvent::Status { is_online: false });
        assert!(house.leads(1), "nobody contends with it");
        assert_eq!(house.nodes[1].leader().unwrap().epoch, 2);
    }

    /// Returns the retained claim of a leader that is gone.
    fn kept_claim(node: &str, epoch: u64) -> PairEvent {
        let claim = LeaderClaim {
            node: node.to_owned(),
            epoch,
            ..LeaderClaim::default()
        };
        PairEvent::Claimed {
            claim,
            is_live: false,
        }
    }

    #[test]
    fn after_both_were_gone_the_node_that_led_last_leads_first() {
        let mut house = House::new();
        let kept = kept_claim("a", 7);
        for node in 0..2 {
            house.nodes[node].on(PairEvent::ObserverUp, house.now, DELAY);
            house.nodes[node].on(kept.clone(), house.now, DELAY);
            while house.nodes[node].next_effect().is_some() {}
            let synced = PairEvent::ObserverSynced {
                has_other: false,
                is_uninformed: node == 1,
            };
            house.nodes[node].on(synced, house.now, Duration::ZERO);
        }
        let mut alone = House::new();
        std::mem::swap(&mut alone.nodes[1], &mut house.nodes[1]);
        alone.now = house.now;
        house.pass(Duration::from_millis(600));
        assert!(house.leads(0));
        alone.pass(Duration::from_millis(600));
        assert!(!alone.leads(1));
        alone.pass(DEFERENCE);
        assert!(alone.leads(1), "the other one does not come");
    }

    #[test]
    fn a_takeover_by_hand_does_not_swing_back() {
        let mut house = House::new();
        house.all(&PairEvent::ObserverUp);
        house.pass(Duration::from_secs(5));
        for round in 0..4 {
            house.all(&PairEvent::TakeoverRequested { node: None });
            house.pass(Duration::from_mins(1));
            assert!(house.leads((round + 1) % 2));
        }
        assert_eq!(house.takeovers, 5);
        let node = Some("a".to_owned());
        house.all(&PairEvent::TakeoverRequested { node });
        house.pass(Duration::from_mins(1));
        assert_eq!(house.takeovers, 5, "it leads already");
    }

    #[test]
    fn a_node_that_has_just_handed_over_leads_soon_after_the_new_leader_has_gone() {
        let mut house = House::new();
        house.all(&PairEvent::ObserverUp);
        house.pass(Duration::from_secs(5));
        house.all(&PairEvent::TakeoverRequested { node: None });
        house.pass(Duration::from_millis(500));
        assert!(house.leads(1));
        house.holder = None;
        house.nodes[1] = new_node("b");
        house.on(0, PairEvent::Status { is_online: false });
        house.pass(AFTER_REPLACEMENT + Duration::from_millis(10));
        assert!(house.leads(0));
    }

    #[test]
    fn a_last_will_that_arrives_late_does_not_end_the_new_leader() {
        let mut house = House::new();
        house.all(&PairEvent::ObserverUp);
        house.pass(Duration::from_secs(5));
        house.all(&PairEvent::TakeoverRequested { node: None });
        house.all(&PairEvent::Status { is_online: false });
        house.pass(Duration::from_mins(1));
        assert!(house.leads(1));
        assert_eq!(house.takeovers, 2);
    }

    #[test]
    fn a_leader_that_is_cut_before_it_sees_the_request_does_not_take_the_lead_back() {
        let mut house = House::new();
        house.all(&PairEvent::ObserverUp);
        house.pass(Duration::from_secs(5));
        let mut node = std::mem::replace(&mut house.nodes[0], new_node("a"));
        node.on(PairEvent::Disconnected, house.now, DELAY);
        let request = PairEvent::TakeoverRequested { node: None };
        node.on(request, house.now, DELAY);
        let effects: Vec<_> = std::iter::from_fn(|| node.next_effect()).collect();
        assert_eq!(effects, [PairEffect::StepDown]);
    }

    #[test]
    fn a_leader_that_was_gone_before_the_broker_restarted_is_replaced() {
        let mut house = House::new();
        house.nodes[1].on(PairEvent::ObserverUp, house.now, DELAY);
        let kept = kept_claim("a", 7);
        house.nodes[1].on(PairEvent::Status { is_online: true }, house.now, DELAY);
        house.nodes[1].on(kept, house.now, DELAY);
        house.on(
            1,
            PairEvent::ObserverSynced {
                has_other: false,
                is_uninformed: false,
            },
        );
        house.pass(Duration::from_secs(2));
        assert!(!house.leads(1), "the leader has time to answer");
        house.pass(Duration::from_secs(3));
        assert!(house.leads(1));
        assert_eq!(house.nodes[1].leader().unwrap().epoch, 8);
    }

    #[test]
    fn a_leader_that_is_alive_answers_a_node_that_starts() {
        let mut house = House::new();
        house.on(0, PairEvent::ObserverUp);
        house.pass(Duration::from_secs(2));
        assert!(house.leads(0));
        let claim = house.nodes[0].leader().cloned().unwrap();
        house.nodes[1].on(PairEvent::ObserverUp, house.now, DELAY);
        house.nodes[1].on(PairEvent::Status { is_online: true }, house.now, DELAY);
        let kept = PairEvent::Claimed {
            claim,
            is_live: false,
        };
        house.on(1, kept);
        house.pass(Duration::from_mins(1));
        assert_eq!(house.takeovers, 1);
    }

    #[test]
    fn a_leader_whose_connection_ends_waits_for_the_claim_of_the_other() {
        let mut house = House::new();
        house.on(0, PairEvent::ObserverUp);
        house.pass(Duration::from_secs(5));
        house.holder = None;
        house.on(0, PairEvent::Disconnected);
        house.pass(AFTER_CUT.saturating_sub(Duration::from_millis(50)));
        assert_eq!(house.takeovers, 1);
        house.pass(Duration::from_secs(1));
        assert!(house.leads(0), "nobody else has claimed");
    }

    #[test]
    fn a_node_that_starts_waits_for_the_knowledge_of_the_other() {
        let mut node = new_node("a");
        let now = crate::clock::now();
        node.on(PairEvent::ObserverUp, now, DELAY);
        node.on(
            PairEvent::ObserverSynced {
                has_other: true,
                is_uninformed: true,
            },
            now,
            DELAY,
        );
        assert_eq!(node.stage(), PairStage::Standby);
        node.on(PairEvent::SnapshotReceived, now, DELAY);
        assert!(matches!(node.stage(), PairStage::Contending { .. }));
        let mut alone = new_node("b");
        alone.on(PairEvent::ObserverUp, now, DELAY);
        alone.on(
            PairEvent::ObserverSynced {
                has_other: true,
                is_uninformed: true,
            },
            now,
            DELAY,
        );
        alone.tick(now + CONFIRMATION, DELAY);
        assert!(
            matches!(alone.stage(), PairStage::Contending { .. }),
            "it does not answer"
        );
    }

    #[test]
    fn a_node_that_lacks_knowledge_waits_for_one_that_starts_but_only_once() {
        let mut node = new_node("a");
        let now = crate::clock::now();
        node.on(PairEvent::ObserverUp, now, DELAY);
        let synced = PairEvent::ObserverSynced {
            has_other: false,
            is_uninformed: true,
        };
        node.on(synced, now, DELAY);
        assert!(matches!(node.stage(), PairStage::Contending { .. }));
        let query = PairEvent::Query {
            node: "b".to_owned(),
            is_uninformed: true,
        };
        node.on(query.clone(), now, DELAY);
        assert_eq!(node.stage(), PairStage::Standby);
        assert_eq!(node.due(), Some(now + CONFIRMATION));
        node.on(PairEvent::SnapshotReceived, now, DELAY);
        let PairStage::Contending { at } = node.stage() else {
            panic!("{:?}", node.stage());
        };
        let later = now + CONFIRMATION;
        node.on(query, later, DELAY);
        assert!(at > later || node.stage() == PairStage::Connecting);
    }

    #[test]
    fn a_node_that_lacks_knowledge_asks_one_that_starts_and_they_do_not_go_on_asking() {
        let now = crate::clock::now();
        let mut nodes = ["a", "b"].map(new_node);
        let query = |from: &str| PairEvent::Query {
            node: from.to_owned(),
            is_uninformed: true,
        };
        let mut asked = [0, 0];
        nodes[1].on(query("a"), now, DELAY);
        for _ in 0..20 {
            for n in 0..2 {
                while let Some(effect) = nodes[n].next_effect() {
                    if effect == PairEffect::Query {
                        asked[n] += 1;
                        nodes[1 - n].on(query(["a", "b"][n]), now, DELAY);
                    }
                }
            }
        }
        assert_eq!(asked, [1, 1]);
    }

    #[test]
    fn a_request_reaches_a_leader_that_does_not_know_yet_that_it_was_replaced() {
        let mut node = new_node("a");
        let now = crate::clock::now();
        node.on(PairEvent::TakeoverRequested { node: None }, now, DELAY);
        let connected = PairEvent::Connected {
            connection: 1,
            session_present: true,
        };
        node.on(connected, now, DELAY);
        node.on(PairEvent::BarrierPassed, now, DELAY);
        let claim = LeaderClaim {
            node: "b".to_owned(),
            epoch: 2,
            ..LeaderClaim::default()
        };
        node.on(
            PairEvent::Claimed {
                claim,
                is_live: true,
            },
            now,
            DELAY,
        );
        node.on(PairEvent::TakeoverRequested { node: None }, now, DELAY);
        node.on(PairEvent::Disconnected, now, DELAY);
        assert_eq!(node.stage(), PairStage::Connecting);
    }

    #[test]
    fn connections_that_are_refused_are_tried_ever_less_often() {
        let mut node = new_node("a");
        let mut now = crate::clock::now();
        node.on(PairEvent::ObserverUp, now, DELAY);
        node.on(
            PairEvent::ObserverSynced {
                has_other: false,
                is_uninformed: false,
            },
            now,
            DELAY,
        );
        let end = now + Duration::from_mins(1);
        let mut attempts = 0;
        while now < end {
            now += Duration::from_millis(10);
            node.tick(now, DELAY);
            while let Some(effect) = node.next_effect() {
                if matches!(effect, PairEffect::Connect { .. }) {
                    attempts += 1;
                    node.on(PairEvent::Disconnected, now, DELAY);
                }
            }
        }
        assert!((8..=14).contains(&attempts), "{attempts}");
    }

    #[test]
    fn a_barrier_that_never_comes_does_not_keep_the_house_deaf() {
        let mut node = new_node("a");
        let now = crate::clock::now();
        node.on(PairEvent::TakeoverRequested { node: None }, now, DELAY);
        let connected = PairEvent::Connected {
            connection: 1,
            session_present: true,
        };
        node.on(connected, now, DELAY);
        assert_eq!(node.due(), Some(now + BARRIER_TIMEOUT));
        node.tick(now + BARRIER_TIMEOUT, DELAY);
        assert!(matches!(node.stage(), PairStage::Leading));
    }

    #[test]
    fn a_leader_whose_host_vanishes_is_replaced_and_does_not_take_the_lead_back() {
        let mut house = House::new();
        house.all(&PairEvent::ObserverUp);
        house.pass(Duration::from_mins(1));
        for (round, leader) in [0, 1, 0].into_iter().enumerate() {
            house.freeze(leader);
            house.pass(INTERVAL * 3 / 2);
            assert!(house.leads(1 - leader), "round {round}");
            house.thaw();
            assert!(!house.leads(leader));
            house.pass(Duration::from_mins(1));
            assert_eq!(house.takeovers, round + 2);
        }
    }

    #[test]
    fn an_idle_leader_gives_one_sign_in_an_interval_and_a_busy_one_none() {
        let mut house = House::new();
        house.all(&PairEvent::ObserverUp);
        house.pass(Duration::from_secs(2));
        house.beats = 0;
        house.pass(INTERVAL * 20);
        assert!((19..=20).contains(&house.beats), "{}", house.beats);
        for _ in 0..20 {
            house.pass(INTERVAL / 2);
            for node in &mut house.nodes {
                node.note_sign(house.now);
            }
        }
        assert!(house.beats <= 20, "{}", house.beats);
        assert_eq!(house.takeovers, 1);
    }

    #[test]
    fn a_standby_that_was_stopped_suspects_nobody() {
        let mut house = House::new();
        house.all(&PairEvent::ObserverUp);
        house.pass(Duration::from_secs(10));
        house.freeze(1);
        house.pass(Duration::from_mins(1));
        house.frozen = None;
        // Its clock goes on first, and what waited in its socket follows.
        house.pass(Duration::from_millis(10));
        for event in std::mem::take(&mut house.late) {
            house.on(1, event);
        }
        house.pass(Duration::from_mins(1));
        assert_eq!(house.takeovers, 1);
    }

    #[test]
    fn a_broker_that_passes_nothing_on_causes_no_takeover() {
        let mut house = House::new();
        house.all(&PairEvent::ObserverUp);
        house.pass(Duration::from_secs(10));
        house.is_stuck = true;
        house.pass(Duration::from_mins(2));
        house.is_stuck = false;
        house.pass(Duration::from_mins(2));
        assert_eq!(house.takeovers, 1);
    }
}
