//! State of the event loop that only a node of a pair has: the connection on which it leads, the
//! barrier, and the commands held until the broker has acknowledged that.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::now;
use crate::daemon::pair_replica::PairReplica;
use crate::delivery::Delivery;
use crate::mqtt::inbox::{InboundCommand, RefusedCommand};
use crate::mqtt::outbound_message::OutboundMessage;
use crate::mqtt::outbox::Outbox;
use crate::pair::{NodeReport, Pair, PairEffect, PairMark};

/// The time after which a request for a sign of life is of no use.
pub(super) const QUERY_TTL: Duration = Duration::from_secs(5);

/// A command that waits for the barrier.
pub(super) enum HeldCommand {
    Received(Box<InboundCommand>),
    Refused(Box<RefusedCommand>),
}

/// The part of the event loop that only a node of a pair has.
pub(super) struct PairNode {
    pub(super) replica: Arc<PairReplica>,
    /// Messages of the observer.
    pub(super) observer: Outbox,
    pub(super) held: Vec<HeldCommand>,
    /// Number of the connection on which this node leads.
    pub(super) connection: Option<u64>,
    /// Number of the last connection on which it led.
    pub(super) last_connection: u64,
    /// The barrier, until the broker has acknowledged it.
    pub(super) barrier: Option<Delivery>,
    /// Whether commands are processed.
    pub(super) is_serving: bool,
    /// Whether another program uses the name of this node, and that was reported.
    pub(super) has_namesake: bool,
    /// Whether the home was built from the retained announcements.
    pub(super) has_home: bool,
}

impl PairNode {
    pub(super) fn new(pair: Arc<Pair>, outbox: Outbox, observer: Outbox) -> Self {
        Self {
            replica: Arc::new(PairReplica::new(pair, outbox)),
            observer,
            held: Vec::new(),
            connection: None,
            last_connection: 0,
            barrier: None,
            is_serving: false,
            has_namesake: false,
            has_home: false,
        }
    }

    /// Reports that the node is offline, and closes the observer's connection.
    pub(super) async fn leave(&self, grace: Duration) {
        let pair = self.pair();
        // It consists of texts and numbers.
        let report = serde_json::to_vec(&NodeReport::last_will(pair.node())).unwrap_or_default();
        let message = OutboundMessage::to(pair.report_topic(), report).retained();
        drop(self.observer.publish(message));
        self.observer.close(grace).await;
    }

    /// Publishes a mark on the observer's connection. Returns false if it has no room.
    pub(super) fn publish_as_observer(&self, mark: &PairMark) -> bool {
        let message = self.replica.message(mark).until(now() + QUERY_TTL);
        self.observer.publish(message).is_ok()
    }

    /// Returns whether a command of this connection may be processed. One of a connection that has
    /// ended is sent again.
    pub(super) fn is_current(&self, number: u64) -> bool {
        match self.connection {
            Some(connection) => number == connection,
            None => number > self.last_connection,
        }
    }

    /// Returns the state of the pair.
    pub(super) fn pair(&self) -> &Arc<Pair> {
        &self.replica.pair
    }
}

impl HeldCommand {
    /// Returns the number of the connection it was received on.
    pub(super) fn connection(&self) -> u64 {
        match self {
            Self::Received(command) => command.connection,
            Self::Refused(refused) => refused.connection,
        }
    }
}

/// The next step of a node.
pub(super) enum PairStep {
    /// The pair requires it.
    Effect(PairEffect),
    /// The barrier was acknowledged by the broker; false if its connection has ended before.
    Barrier(bool),
}

/// Waits for the next step of the pair, or for ever. Cancel safe.
pub(super) async fn next_step(node: Option<&mut PairNode>) -> PairStep {
    let Some(node) = node else {
        return std::future::pending().await;
    };
    let pair = Arc::clone(node.pair());
    let Some(barrier) = &mut node.barrier else {
        return PairStep::Effect(pair.next_effect().await);
    };
    tokio::select! {
        effect = pair.next_effect() => PairStep::Effect(effect),
        acknowledged = barrier => PairStep::Barrier(acknowledged.is_ok()),
    }
}
