//! The messages between the nodes of a pair on `<prefix>/pair/`, with their encoding.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::pair::identity::CommandIdentity;

/// A message on `<prefix>/pair/mark`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairMark {
    /// The actions of a command follow on the same connection.
    Begun {
        /// Identity of the command, equal on both nodes.
        command: CommandIdentity,
        /// The devices that its actions reach.
        devices: Vec<String>,
        /// The planned messages, opaque here.
        plan: Json,
    },
    /// A new leader publishes this; once its own observer has received it, it has received every
    /// mark of the earlier leader.
    Barrier {
        /// The new leader.
        node: String,
        /// Distinguishes barriers of one node.
        nonce: u64,
        /// Whether the broker has begun to count packets again, because it had lost the session.
        #[serde(default)]
        is_new_session: bool,
    },
    /// The leader is alive. The other node repeats a new number in its report.
    Beat {
        /// The leader.
        node: String,
        /// Grows once a minute.
        number: u64,
    },
    /// A node has seen nothing of the leader for some time. The leader answers with a beat; the
    /// node itself receives the probe as well, if the broker and its connection work.
    Probe {
        /// Name of the node that sends it.
        node: String,
        /// Distinguishes the probes of one node.
        number: u64,
    },
    /// Progress of commands, for a node that has started.
    Snapshot {
        /// The node that receives it.
        to: String,
        /// The commands, oldest first.
        commands: Vec<KnownCommand>,
        /// Number of this part, beginning with 0.
        #[serde(default)]
        part: u32,
        /// Whether nothing follows.
        is_last: bool,
        /// Whether the sender has seen every mark that matters.
        #[serde(default)]
        is_complete: bool,
    },
    /// A node that has connected requests a sign of life of the leader.
    Query {
        /// Name of the node that sends it.
        node: String,
    },
}

/// The progress of one command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownCommand {
    /// Identity of the command, equal on both nodes.
    pub command: CommandIdentity,
    /// The devices that its actions reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// The planned messages of one without a reply.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub plan: Json,
    /// Whether it was answered.
    pub is_answered: bool,
}

/// The retained message on `<prefix>/pair/leader`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderClaim {
    /// The node that leads.
    pub node: String,
    /// Number of the takeover.
    pub epoch: u64,
    /// Time at which it began, in seconds since 1970.
    pub since: u64,
    /// Milliseconds after which the leader publishes a beat, if it has published nothing else that
    /// the other node sees; 0 if it does not.
    #[serde(default)]
    pub beat_ms: u64,
    /// Whether the leader before gave no sign of life while the broker still had its connection.
    #[serde(default, rename = "after_silence")]
    pub is_after_silence: bool,
}

/// The part of a report that says which devices a node knows.
pub const HOME_SECTION: &str = "home";

/// The retained message of a node on `<prefix>/pair/node/<node>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Name of the node that sends it.
    pub node: String,
    /// False in the last will of its connection.
    pub online: bool,
    /// Number of its connection, chosen at random.
    #[serde(default)]
    pub connection: u64,
    /// The version of sayso.
    #[serde(default)]
    pub version: String,
    /// Digests of the parts of the configuration that must be equal on both nodes, by name.
    #[serde(default)]
    pub sections: BTreeMap<String, String>,
    /// The newest beat of the leader that it has received.
    #[serde(default)]
    pub beat: u64,
}

impl NodeReport {
    /// Returns the report that the broker publishes when the node has gone.
    pub fn last_will(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            online: false,
            connection: 0,
            version: String::new(),
            sections: BTreeMap::new(),
            beat: 0,
        }
    }

    /// Returns the names of the parts of the configuration that differ.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut names: Vec<&String> = self.sections.keys().chain(other.sections.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let differs = |name: &&String| {
            let (own, others) = (self.sections.get(*name), other.sections.get(*name));
            // A node reports its home when it has read the announcements of the devices.
            let is_unknown = *name == HOME_SECTION && (own.is_none() || others.is_none());
            own != others && !is_unknown
        };
        names.into_iter().filter(differs).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_report_the_parts_of_their_configuration_that_differ() {
        let report = |sections: &[(&str, &str)]| NodeReport {
            sections: sections
                .iter()
                .map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned()))
                .collect(),
            ..NodeReport::last_will("a")
        };
        let one = report(&[("home", "1"), ("mqtt", "2"), ("ask", "3")]);
        let other = report(&[("home", "1"), ("mqtt", "9"), ("local", "4")]);
        assert_eq!(one.differences(&other), ["ask", "local", "mqtt"]);
        assert!(one.differences(&one).is_empty());
        let starting = report(&[("mqtt", "2"), ("ask", "3")]);
        assert!(starting.differences(&one).is_empty());
        assert!(one.differences(&starting).is_empty());
    }
}
