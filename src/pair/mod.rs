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
mod leadership;
mod mark;
mod memory;
mod record;
mod report;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::sync::{Notify, watch};

pub use crate::pair::identity::CommandIdentity;
pub use crate::pair::leadership::{Leadership, MAX_DELAY, PairEffect, PairEvent};
pub use crate::pair::mark::{HOME_SECTION, KnownCommand, LeaderClaim, NodeReport, PairMark};
use crate::pair::memory::MAX_REPLY;
pub use crate::pair::memory::{PairMemory, Progress};
use crate::pair::record::ProgressRecord;
pub use crate::pair::report::PairReport;

use crate::clock::now;

/// The user property of a reply with the identity of its command.
pub const IDENTITY: &str = "sayso-command";

/// The longest message of the pair that is read, in bytes: a mark with its plan.
const MAX_MESSAGE: usize = 512 << 10;

/// Bytes of a command in a snapshot, in addition to its plan.
const SNAPSHOT_ENTRY: usize = 128;

/// Connections of the observer whose numbers are remembered.
const MAX_CONNECTIONS: usize = 16;

/// Time for which a node must have led so that its journal has everything that it took over.
const SETTLED: Duration = Duration::from_secs(5);

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

    /// Notes commands of an earlier run, oldest first. `is_durable` if the journal is on disk.
    pub fn recall(&self, commands: Vec<(KnownCommand, Option<Vec<u8>>)>, is_durable: bool) {
        let mut state = self.state.lock();
        state.has_journal = is_durable;
        for (command, reply) in commands {
            state.memory.recall(command, reply.as_deref(), now());
        }
    }

    /// Takes over the records of an earlier run with their ages. `since` is the time for which none
    /// of them is missing. Those of this run are kept from now on.
    pub fn restore(&self, since: Duration, records: Vec<(Duration, Vec<u8>)>) {
        let now = now();
        let before = |age: Duration| now.checked_sub(age).unwrap_or(now);
        let mut state = self.state.lock();
        state.uninformed_until = Some(before(since) + self.keep);
        for (age, record) in records {
            let at = before(age);
            match ProgressRecord::decode(&record) {
                Some(ProgressRecord::Mark(mark)) => drop(self.learn_mark(&mut state, &mark, at)),
                Some(ProgressRecord::Answered(identity, reply)) => {
                    state.memory.finished(identity, reply, at);
                }
                Some(ProgressRecord::NewSession) => state.memory.forget_numbered(),
                Some(ProgressRecord::Informed) => state.uninformed_until = None,
                Some(ProgressRecord::Uninformed) => {
                    state.uninformed_until = Some(at + self.keep);
                }
                None => {}
            }
        }
    }

    /// Keeps records for the next run of this node from now on.
    pub fn keep_records(&self) {
        self.state.lock().records.get_or_insert_default();
    }

    /// Removes and returns the records that the next run of this node needs, oldest first.
    pub fn take_records(&self) -> Vec<Vec<u8>> {
        let mut state = self.state.lock();
        let records = state.records.as_mut().map(std::mem::take);
        let records = records.unwrap_or_default();
        records.iter().map(ProgressRecord::encode).collect()
    }

    /// Notes that this node leads without having seen every mark of the earlier leader.
    pub fn note_missed_marks(&self) {
        let mut state = self.state.lock();
        state.uninformed_until = Some(now() + self.keep);
        state.keep_record(|| ProgressRecord::Uninformed);
    }

    /// Notes that every command that the broker has sent again is finished: any it sends again
    /// from now on was received by this node, so that its marks are known. The other node learns
    /// it.
    pub fn note_informed(&self) {
        {
            let mut state = self.state.lock();
            if state.uninformed_until.take().is_none() {
                return;
            }
            state.keep_record(|| ProgressRecord::Informed);
            if let Some(peer) = state.peer.as_ref().filter(|peer| peer.online) {
                let to = peer.node.clone();
                state.leadership.send_snapshot(to);
            }
        }
        self.changed.notify_one();
    }

    /// Returns whether a command that the broker sends again may have begun although its progress
    /// is not known here.
    pub fn is_uninformed(&self) -> bool {
        self.state.lock().is_uninformed()
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

    /// Processes a message that the observer has received.
    pub fn receive(&self, message: ObservedMessage<'_>) {
        if message.payload.len() > MAX_MESSAGE {
            return;
        }
        let below = message.topic.strip_prefix(&*self.prefix);
        let part = below.and_then(|below| below.strip_prefix('/'));
        let payload = message.payload;
        let event = match part {
            Some("status") => Some(PairEvent::Status {
                is_online: payload == b"online",
            }),
            Some("pair/mark") if !message.is_retained => self.receive_mark(payload),
            Some("pair/leader") => {
                let claim = serde_json::from_slice(payload).ok();
                claim.map(|claim| PairEvent::Claimed {
                    claim,
                    is_live: !message.is_retained,
                })
            }
            Some("pair/takeover") if !message.is_retained => Some(self.receive_request(message)),
            Some(part) if part.starts_with("pair/node/") => self.receive_report(message),
            Some(part) if part.starts_with("pair/timer/") => {
                if let Ok(id) = part["pair/timer/".len()..].parse() {
                    self.state.lock().memory.timer(id, payload);
                }
                None
            }
            _ => {
                if let Some(identity) = message.identity.and_then(CommandIdentity::parse) {
                    self.receive_reply(identity, payload);
                }
                None
            }
        };
        if let Some(event) = event {
            self.on(event);
        }
    }

    /// Reads an operator's request for a takeover, which the node that leads afterwards answers.
    fn receive_request(&self, message: ObservedMessage<'_>) -> PairEvent {
        let node = String::from_utf8_lossy(message.payload).trim().to_owned();
        let node = (!node.is_empty()).then_some(node);
        let mut state = self.state.lock();
        let correlation = message.correlation.unwrap_or_default();
        state.requested_by = (correlation.len() <= MAX_CORRELATION).then(|| correlation.to_vec());
        let has_other = state.peer.as_ref().is_some_and(|peer| peer.online);
        state.is_refused = node.is_none() && !has_other;
        let node = if state.is_refused {
            Some(self.node.clone())
        } else {
            node
        };
        PairEvent::TakeoverRequested { node }
    }

    /// Returns the answer to an operator's request for a takeover, if there is one, and its
    /// correlation data.
    pub fn take_answer(&self) -> Option<(Json, Vec<u8>)> {
        let mut state = self.state.lock();
        let correlation = state.requested_by.take()?;
        let epoch = state.leadership.leader().map_or(0, |claim| claim.epoch);
        let is_refused = std::mem::take(&mut state.is_refused);
        let answer = json!({"ok": !is_refused, "leader": self.node, "epoch": epoch});
        Some((answer, correlation))
    }

    fn receive_reply(&self, identity: CommandIdentity, payload: &[u8]) {
        let reply = (payload.len() <= MAX_REPLY).then(|| Bytes::copy_from_slice(payload));
        let mut state = self.state.lock();
        state.keep_record(|| ProgressRecord::Answered(identity, reply.clone()));
        state.leadership.note_sign(now());
        state.memory.finished(identity, reply, now());
    }

    fn receive_mark(&self, payload: &[u8]) -> Option<PairEvent> {
        self.learn_mark(&mut self.state.lock(), payload, now())
    }

    /// Processes a mark that was received at this moment, now or in an earlier run.
    fn learn_mark(&self, state: &mut PairState, payload: &[u8], at: Instant) -> Option<PairEvent> {
        let mark = serde_json::from_slice(payload).ok()?;
        if self.has_progress(&mark) {
            state.keep_record(|| ProgressRecord::Mark(Bytes::copy_from_slice(payload)));
        }
        match mark {
            PairMark::Begun {
                command,
                devices,
                plan,
            } => {
                let bytes = payload.len();
                state.leadership.note_sign(at);
                state.memory.begun(command, (devices, plan), bytes, at);
                None
            }
            PairMark::Barrier {
                node,
                nonce,
                is_new_session,
            } => {
                let is_own = node == self.node;
                if is_new_session && !is_own {
                    state.memory.forget_numbered();
                }
                state.barrier.is_seen |= is_own && nonce == state.barrier.nonce;
                state.barrier.passed()
            }
            PairMark::Beat { node, number } => Some(self.learn_beat(state, node, number)),
            PairMark::Probe { node, number } if node == self.node => {
                Some(PairEvent::ProbeReturned { number })
            }
            PairMark::Probe { .. } => Some(PairEvent::Probed),
            PairMark::Query { node } => Some(PairEvent::Query {
                node,
                is_uninformed: state.is_uninformed(),
            }),
            PairMark::Snapshot { to, .. } if to != self.node => None,
            PairMark::Snapshot {
                commands,
                part,
                is_last,
                is_complete,
                ..
            } => {
                // The newest first, so that it stays the newest of its device.
                for command in commands.into_iter().rev() {
                    state.memory.learn(command, at);
                }
                // A part that found no room at the sender, or expired, is missing.
                let is_next = part == 0 || state.next_part == Some(part);
                state.next_part = is_next.then_some(part + 1);
                if is_last && is_next && is_complete {
                    state.uninformed_until = None;
                }
                is_last.then_some(PairEvent::SnapshotReceived)
            }
        }
    }

    /// Notes a beat. The other node answers a new number with its report.
    fn learn_beat(&self, state: &mut PairState, node: String, number: u64) -> PairEvent {
        let is_new = std::mem::replace(&mut state.beat, number) != number;
        if is_new && node != self.node {
            state.leadership.request_introduction();
        }
        PairEvent::Beat { node }
    }

    /// Returns whether a mark changes the progress of commands as this node knows it.
    fn has_progress(&self, mark: &PairMark) -> bool {
        match mark {
            PairMark::Begun { .. } => true,
            PairMark::Barrier {
                node,
                is_new_session,
                ..
            } => *is_new_session && *node != self.node,
            PairMark::Snapshot { to, .. } => *to == self.node,
            PairMark::Beat { .. } | PairMark::Probe { .. } | PairMark::Query { .. } => false,
        }
    }

    fn receive_report(&self, message: ObservedMessage<'_>) -> Option<PairEvent> {
        let report: NodeReport = serde_json::from_slice(message.payload).ok()?;
        let mut state = self.state.lock();
        if report.node != self.node {
            if let Some((number, at)) = state.published_beat
                && number == report.beat
                && report.online
            {
                state.behind = Some(now().saturating_duration_since(at));
                state.published_beat = None;
            }
            // A node that has gone sends no snapshot.
            let is_gone = !report.online;
            state.peer = Some(report);
            return is_gone.then_some(PairEvent::SnapshotReceived);
        }
        // Before it was synced, reports of an earlier run of this node may arrive.
        let is_first = state.first_synced.is_none();
        if report.online && !is_first && !state.connections.contains(&report.connection) {
            state.has_namesake = true;
        }
        let is_of_this_connection = report.connection == state.connection && report.online;
        if !is_of_this_connection || !state.leadership.is_syncing() {
            return None;
        }
        if is_first && state.has_journal && state.leadership.has_led_last(SETTLED) {
            state.uninformed_until = None;
            state.keep_record(|| ProgressRecord::Informed);
        }
        state.first_synced.get_or_insert_with(now);
        Some(PairEvent::ObserverSynced {
            has_other: state.peer.as_ref().is_some_and(|peer| peer.online),
            is_uninformed: state.is_uninformed(),
        })
    }

    /// Returns the known progress of commands in messages to another node, the newest first.
    pub fn snapshot(&self, to: &str) -> Vec<PairMark> {
        let state = self.state.lock();
        let is_complete = !state.is_uninformed();
        let all = state.memory.snapshot();
        let mut parts: Vec<PairMark> = Vec::new();
        let mut part = Vec::new();
        let mut bytes = 0;
        let to_mark = |mut commands: Vec<KnownCommand>, part: usize, is_last| {
            commands.reverse();
            PairMark::Snapshot {
                to: to.to_owned(),
                commands,
                part: u32::try_from(part).unwrap_or(u32::MAX),
                is_last,
                is_complete,
            }
        };
        for command in all.into_iter().rev() {
            bytes += SNAPSHOT_ENTRY + command.plan.to_string().len();
            part.push(command);
            if bytes >= MAX_MESSAGE / 4 {
                parts.push(to_mark(std::mem::take(&mut part), parts.len(), false));
                bytes = 0;
            }
        }
        parts.push(to_mark(part, parts.len(), true));
        parts
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

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_mins(1);

    fn node(name: &str) -> Arc<Pair> {
        let settings = PairSettings {
            node: name.to_owned(),
            beat_interval: Duration::from_secs(5),
        };
        let pair = Pair::new(&settings, "s", KEEP);
        pair.keep_records();
        pair
    }

    fn identity(n: u16) -> CommandIdentity {
        CommandIdentity::numbered("s/command/a", n, b"next track")
    }

    fn observe(pair: &Pair, topic: &str, payload: &[u8], identity: Option<&str>) {
        pair.receive(ObservedMessage {
            topic,
            payload,
            identity,
            correlation: None,
            is_retained: false,
        });
    }

    fn observe_mark(pair: &Pair, mark: &PairMark) {
        let payload = serde_json::to_vec(mark).unwrap();
        observe(pair, "s/pair/mark", &payload, None);
    }

    fn begin(pair: &Pair, n: u16) {
        let mark = PairMark::Begun {
            command: identity(n),
            devices: vec!["radio".to_owned()],
            plan: json!([n]),
        };
        observe_mark(pair, &mark);
    }

    fn answer(pair: &Pair, n: u16) {
        observe(pair, "s/reply/a", b"{}", Some(&identity(n).to_string()));
    }

    /// Ends a node and starts it again, `since` after the first of its records.
    fn started_again(pair: &Pair, since: Duration) -> Arc<Pair> {
        let settings = PairSettings {
            node: pair.node.clone(),
            beat_interval: Duration::from_secs(5),
        };
        let records = pair.take_records().into_iter();
        let again = Pair::new(&settings, "s", KEEP);
        again.restore(since, records.map(|record| (since / 2, record)).collect());
        again.observer_up(true);
        again
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_started_again_knows_the_progress_that_it_had_seen() {
        let pair = node("a");
        pair.observer_up(true);
        for n in 0..300 {
            begin(&pair, n);
            answer(&pair, n);
        }
        begin(&pair, 300);
        let again = started_again(&pair, KEEP);
        assert!(
            !again.is_uninformed(),
            "nothing of the last minute is missing"
        );
        for n in 0..300 {
            let progress = again.progress(identity(n));
            assert!(matches!(
                progress,
                Progress::Answered { reply: Some(_), .. }
            ));
        }
        let newest = Progress::Begun {
            plan: json!([300]),
            overtaken: vec![],
        };
        assert_eq!(again.progress(identity(300)), newest);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_whose_records_are_younger_than_commands_is_uninformed() {
        let pair = node("a");
        pair.observer_up(true);
        begin(&pair, 1);
        assert!(started_again(&pair, KEEP / 2).is_uninformed());
        let complete = |node: &str, part, is_last| PairMark::Snapshot {
            to: node.to_owned(),
            commands: Vec::new(),
            part,
            is_last,
            is_complete: true,
        };
        observe_mark(&pair, &complete("b", 0, true));
        assert!(started_again(&pair, KEEP / 2).is_uninformed(), "for b");
        observe_mark(&pair, &complete("a", 0, true));
        assert!(!started_again(&pair, KEEP / 2).is_uninformed());
    }

    #[tokio::test(start_paused = true)]
    async fn records_of_a_lost_session_leave_a_node_uninformed() {
        let pair = node("a");
        pair.observer_up(true);
        begin(&pair, 1);
        pair.observer_up(false);
        let again = started_again(&pair, KEEP);
        assert!(again.is_uninformed());
        assert_eq!(again.progress(identity(1)), Progress::New);
    }

    #[tokio::test(start_paused = true)]
    async fn a_snapshot_of_which_a_part_is_missing_is_not_complete() {
        let old = node("b");
        old.note_informed();
        for n in 0..3000 {
            begin(&old, n);
        }
        let parts = old.snapshot("a");
        assert!(parts.len() > 2, "{}", parts.len());
        for missing in 0..=parts.len() {
            let new = node("a");
            for (_, part) in parts.iter().enumerate().filter(|(n, _)| *n != missing) {
                observe_mark(&new, part);
            }
            assert_eq!(new.is_uninformed(), missing < parts.len(), "{missing}");
        }
    }
}
