//! The state of a pair for operators.

use std::time::Duration;

use serde::Serialize;

use crate::pair::leadership::Leadership;
use crate::pair::leadership_event::PairStage;
use crate::pair::mark::NodeReport;

/// The state of a pair, as health shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairReport {
    /// Name of this node.
    pub node: String,
    /// Whether this node leads.
    pub leads: bool,
    /// The node that leads; `None` if none does, as far as this node knows.
    pub leader: Option<String>,
    /// Time at which it began to lead, in seconds since 1970.
    pub since: Option<u64>,
    /// Number of the takeover.
    pub epoch: u64,
    /// Whether the observer has received the retained messages.
    pub synced: bool,
    /// Whether another program uses the name of this node.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_namesake: bool,
    /// The other node, if it was seen.
    pub other: Option<OtherNode>,
}

/// The other node of a pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtherNode {
    /// Its name.
    pub node: String,
    /// Whether it is connected.
    pub online: bool,
    /// Its version of sayso.
    pub version: String,
    /// Milliseconds in which it last received a beat of this node and answered; `None` before the
    /// first.
    pub behind_ms: Option<u64>,
    /// Parts of the configuration that differ.
    pub differences: Vec<String>,
}

impl PairReport {
    pub(super) fn new(
        leadership: &Leadership,
        own: &NodeReport,
        peer: Option<&NodeReport>,
        behind: Option<Duration>,
    ) -> Self {
        let claim = leadership.leader().filter(|_| leadership.is_online());
        let other = peer.map(|peer| OtherNode {
            node: peer.node.clone(),
            online: peer.online,
            version: peer.version.clone(),
            behind_ms: behind.map(|behind| u64::try_from(behind.as_millis()).unwrap_or(u64::MAX)),
            differences: if peer.online {
                own.differences(peer)
            } else {
                Vec::new()
            },
        });
        Self {
            node: own.node.clone(),
            leads: matches!(leadership.stage(), PairStage::Leading),
            leader: claim.map(|claim| claim.node.clone()),
            since: claim.map(|claim| claim.since),
            epoch: leadership.leader().map_or(0, |claim| claim.epoch),
            synced: leadership.is_synced(),
            has_namesake: false,
            other,
        }
    }

    /// Sets whether another program uses the name of this node.
    pub(super) fn with_namesake(mut self, has_namesake: bool) -> Self {
        self.has_namesake = has_namesake;
        self
    }

    /// Returns the state in a few words, for `systemctl status`.
    pub fn summary(&self) -> String {
        let node = &self.node;
        let leading = match &self.leader {
            Some(_) if self.leads => format!("node {node} leads"),
            Some(leader) => format!("node {node} stands by, {leader} leads"),
            None if !self.synced => format!("node {node} does not know who leads"),
            None => format!("node {node}, nobody leads yet"),
        };
        let other = match &self.other {
            Some(other) if other.online && other.differences.is_empty() => String::new(),
            Some(other) if other.online => {
                let parts = other.differences.join(", ");
                format!("; DIFFERENT FROM {}: {parts}", other.node)
            }
            Some(other) => format!("; {} is offline", other.node),
            None => "; no other node was seen".to_owned(),
        };
        let namesake = if self.has_namesake {
            format!("; ANOTHER NODE HAS THE NAME {node}")
        } else {
            String::new()
        };
        leading + &other + &namesake
    }
}
