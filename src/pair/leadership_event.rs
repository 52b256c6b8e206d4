//! The events that the leadership of a pair reacts to, the effects that it asks for, and its
//! stages.
//!
//! Plain values. They know neither clocks nor connections: `daemon::pair` makes the events, and
//! carries out the effects.

use std::time::Instant;

use crate::pair::mark::LeaderClaim;

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
pub(super) enum ObserverState {
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
pub(super) enum Precedence {
    /// Both may contend: after a random delay.
    Equal,
    /// The other node has led until now, and is gone: at once.
    First,
    /// The other node, which led last, should lead first.
    Last,
}
