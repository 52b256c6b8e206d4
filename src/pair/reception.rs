//! Messages between the nodes of a pair, as they are received: requests, replies, marks, beats and
//! reports.
//!
//! It does not know the connection that received them. A message enters; the knowledge of the node
//! and its leadership change, and effects are queued.

use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use crate::clock::now;
use crate::pair::identity::CommandIdentity;
use crate::pair::knowledge::SETTLED;
use crate::pair::leadership_event::PairEvent;
use crate::pair::mark::{NodeReport, PairMark};
use crate::pair::memory::MAX_REPLY;
use crate::pair::record::ProgressRecord;
use crate::pair::{MAX_CORRELATION, MAX_MESSAGE, ObservedMessage, Pair, PairState};

impl Pair {
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
    pub(super) fn learn_mark(
        &self,
        state: &mut PairState,
        payload: &[u8],
        at: Instant,
    ) -> Option<PairEvent> {
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
}
