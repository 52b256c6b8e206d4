//! Two nodes, one house: the pair.
//!
//! Both nodes may connect with the shared client id; the broker allows it to one of them, which
//! leads. Each has an observer, a second connection with an id of its own, that sees the progress
//! of commands on the broker: marks before actions, and replies. After a takeover the broker sends
//! every command again that was not acknowledged, and the new leader decides by its progress.
//!
//! This module decides and remembers. It does no I/O: `mqtt` feeds it with messages and the state
//! of the connections, and `daemon` carries out the effects.

mod failure_detector;
mod identity;
mod knowledge;
mod leadership;
mod leadership_event;
mod mark;
mod memory;
mod reception;
mod record;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::clock::now;
use crate::pair::record::ProgressRecord;

pub use crate::pair::identity::CommandIdentity;
pub use crate::pair::leadership::{Leadership, MAX_DELAY};
pub use crate::pair::leadership_event::{PairEffect, PairEvent};
pub use crate::pair::mark::{HOME_SECTION, KnownCommand, LeaderClaim, NodeReport, PairMark};
pub use crate::pair::memory::{PairMemory, Progress};
pub use crate::pair::report::PairReport;

/// The user property of a reply with the identity of its command.
pub const IDENTITY: &str = "sayso-command";

/// The longest message of the pair that is read, in bytes: a mark with its plan.
const MAX_MESSAGE: usize = 512 << 10;

/// Connections of the observer whose numbers are remembered.
const MAX_CONNECTIONS: usize = 16;

/// The longest correlation data of a request that is answered, in bytes.
const MAX_CORRELATION: usize = 256;

/// Settings of the `[pair]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairSettings {
    /// The name of this node, different from that of the other.
    pub node: String,
    /// The longest time in which a leader gives no sign of life.
    pub beat_interval: Duration,
}

/// A message that the observer has received.
#[derive(Debug, Clone, Copy)]
pub struct ObservedMessage<'a> {
    /// Topic on which it was received.
    pub topic: &'a str,
    /// Payload, encoded as the topic demands.
    pub payload: &'a [u8],
    /// The identity of the command that it answers, for a reply.
    pub identity: Option<&'a str>,
    /// The correlation data.
    pub correlation: Option<&'a [u8]>,
    /// Whether the broker had kept it.
    pub is_retained: bool,
}

/// State of the pair, shared by the two connections and the event loop.
#[derive(Debug)]
pub struct Pair {
    node: String,
    prefix: String,
    /// Time for which commands are remembered.
    keep: Duration,
    beat_interval: Duration,
    state: Mutex<PairState>,
    changed: Notify,
    /// True while the connection with the shared id may be made.
    gate: watch::Sender<bool>,
}

#[derive(Debug)]
struct PairState {
    leadership: Leadership,
    memory: PairMemory,
    /// Number of the observer's connection.
    connection: u64,
    /// The numbers of its last connections.
    connections: VecDeque<u64>,
    /// Time at which the observer first received its own report.
    first_synced: Option<Instant>,
    /// Whether another node with the name of this one was seen.
    has_namesake: bool,
    /// Until then the broker may send commands again whose marks this node has not seen.
    uninformed_until: Option<Instant>,
    /// Whether the journal has the commands of an earlier run.
    has_journal: bool,
    /// Records for the next run, until they are taken; `None` if nobody takes them.
    records: Option<Vec<ProgressRecord>>,
    /// The part of a snapshot that follows next; `None` if one is missing.
    next_part: Option<u32>,
    barrier: Barrier,
    /// The report of this node, as last published.
    own: NodeReport,
    peer: Option<NodeReport>,
    /// The newest beat that was received.
    beat: u64,
    /// The newest beat that this node has published, and when.
    published_beat: Option<(u64, Instant)>,
    /// Time the other node needed to receive a beat.
    behind: Option<Duration>,
    /// The correlation data of an operator's request for a takeover.
    requested_by: Option<Vec<u8>>,
    /// Whether no other node was there to take over.
    is_refused: bool,
}

#[derive(Debug, Default)]
struct Barrier {
    nonce: u64,
    is_seen: bool,
    is_acknowledged: bool,
}

impl Pair {
    /// Creates the state of a node that is not connected. Commands are remembered for `keep`.
    pub fn new(settings: &PairSettings, prefix: &str, keep: Duration) -> Arc<Self> {
        Arc::new(Self {
            node: settings.node.clone(),
            prefix: prefix.to_owned(),
            keep,
            beat_interval: settings.beat_interval,
            state: Mutex::new(PairState {
                leadership: Leadership::new(&*settings.node, settings.beat_interval),
                memory: PairMemory::new(keep),
                connection: 0,
                connections: VecDeque::new(),
                first_synced: None,
                has_namesake: false,
                uninformed_until: Some(now() + keep),
                has_journal: false,
                records: None,
                next_part: None,
                barrier: Barrier::default(),
                own: NodeReport::last_will(&settings.node),
                peer: None,
                beat: 0,
                published_beat: None,
                behind: None,
                requested_by: None,
                is_refused: false,
            }),
            changed: Notify::new(),
            gate: watch::Sender::new(false),
        })
    }

    /// Returns the name of this node.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Returns how long commands are remembered.
    pub fn keep(&self) -> Duration {
        self.keep
    }

    /// Returns the topic of the report of this node.
    pub fn report_topic(&self) -> String {
        self.topic(&format!("node/{}", self.node))
    }

    /// Returns the topic with this last part.
    pub fn topic(&self, part: &str) -> String {
        format!("{}/pair/{part}", self.prefix)
    }

    /// Processes an event.
    pub fn on(&self, event: PairEvent) {
        let delay = rand::random_range(Duration::ZERO..=MAX_DELAY);
        self.state.lock().leadership.on(event, now(), delay);
        self.changed.notify_one();
    }

    /// Notes a new connection of the observer. Where the broker had not kept its session, marks may
    /// be missing.
    pub fn observer_up(&self, session_present: bool) {
        {
            let mut state = self.state.lock();
            state.connection = rand::random();
            let connection = state.connection;
            state.connections.push_back(connection);
            if state.connections.len() > MAX_CONNECTIONS {
                state.connections.pop_front();
            }
            if !session_present {
                if state.connections.len() > 1 {
                    state.memory.forget_numbered();
                    state.keep_record(|| ProgressRecord::NewSession);
                }
                state.uninformed_until = Some(now() + self.keep);
                state.keep_record(|| ProgressRecord::Uninformed);
            }
        }
        self.on(PairEvent::ObserverUp);
    }

    /// Waits for the next step to take. Cancel safe.
    pub async fn next_effect(&self) -> PairEffect {
        loop {
            let due = {
                let mut state = self.state.lock();
                let delay = rand::random_range(Duration::ZERO..=MAX_DELAY);
                state.leadership.tick(now(), delay);
                if let Some(effect) = state.leadership.next_effect() {
                    return effect;
                }
                state.leadership.due()
            };
            match due {
                Some(due) => tokio::select! {
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep_until(due.into()) => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Allows the connection with the shared id, until it ends.
    pub fn open_gate(&self) {
        self.gate.send_replace(true);
    }

    /// Forbids the next connection with the shared id.
    pub fn close_gate(&self) {
        self.gate.send_replace(false);
    }

    /// Returns whether the connection with the shared id may be made, now and in future.
    pub fn gate(&self) -> watch::Receiver<bool> {
        self.gate.subscribe()
    }

    /// Begins a barrier; returns the mark to publish.
    pub fn begin_barrier(&self, session_present: bool) -> PairMark {
        let mut state = self.state.lock();
        if !session_present {
            state.memory.forget_numbered();
            state.keep_record(|| ProgressRecord::NewSession);
        }
        state.barrier = Barrier {
            nonce: rand::random(),
            ..Barrier::default()
        };
        PairMark::Barrier {
            node: self.node.clone(),
            nonce: state.barrier.nonce,
            is_new_session: !session_present,
        }
    }

    /// Notes that the broker has acknowledged the barrier: it has sent every command again.
    pub fn barrier_acknowledged(&self) {
        let event = {
            let mut state = self.state.lock();
            state.barrier.is_acknowledged = true;
            state.barrier.passed()
        };
        if let Some(event) = event {
            self.on(event);
        }
    }

    /// Returns the next beat to publish.
    pub fn next_beat(&self) -> PairMark {
        let mut state = self.state.lock();
        let number = state.beat + 1;
        state.published_beat = Some((number, now()));
        PairMark::Beat {
            node: self.node.clone(),
            number,
        }
    }

    /// Returns the last beat, to be published again as a sign of life.
    pub fn last_beat(&self) -> PairMark {
        let number = self.state.lock().beat;
        PairMark::Beat {
            node: self.node.clone(),
            number,
        }
    }

    /// Returns the longest time in which a leader gives no sign of life.
    pub fn beat_interval(&self) -> Duration {
        self.beat_interval
    }

    /// Returns how far a command has come.
    pub fn progress(&self, identity: CommandIdentity) -> Progress {
        self.state.lock().memory.progress(identity)
    }

    /// Returns the records of all timers.
    pub fn timers(&self) -> Vec<Vec<u8>> {
        self.state.lock().memory.timers()
    }

    /// Returns the newest claim.
    pub fn leader(&self) -> Option<LeaderClaim> {
        self.state.lock().leadership.leader().cloned()
    }

    /// Returns the report of this node to publish. `sections` are digests of the parts of its
    /// configuration.
    pub fn own_report(&self, version: &str, sections: BTreeMap<String, String>) -> NodeReport {
        let mut state = self.state.lock();
        state.own = NodeReport {
            online: true,
            connection: state.connection,
            version: version.to_owned(),
            sections,
            beat: state.beat,
            ..NodeReport::last_will(&self.node)
        };
        state.own.clone()
    }

    /// Returns the state of the pair for operators.
    pub fn report(&self) -> PairReport {
        let state = self.state.lock();
        PairReport::new(
            &state.leadership,
            &state.own,
            state.peer.as_ref(),
            state.behind,
        )
        .with_namesake(state.has_namesake)
    }
}

impl PairState {
    /// Keeps a record for the next run, if there is a place for it.
    fn keep_record(&mut self, record: impl FnOnce() -> ProgressRecord) {
        if let Some(records) = &mut self.records {
            records.push(record());
        }
    }

    fn is_uninformed(&self) -> bool {
        self.uninformed_until.is_some_and(|until| now() < until)
    }
}

impl Barrier {
    fn passed(&self) -> Option<PairEvent> {
        (self.is_seen && self.is_acknowledged).then_some(PairEvent::BarrierPassed)
    }
}
