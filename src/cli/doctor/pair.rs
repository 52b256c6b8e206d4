//! The pair: which node leads, whether the other one is online, and the differences.

use crate::cli::doctor::finding::DoctorReport;
use crate::cli::doctor::probe::{ProbeError, ProbeSession};
use crate::cli::doctor::route::Route;
use crate::cli::doctor::traffic::RETAINED_DELAY;
use crate::config::Config;
use crate::pair::{LeaderClaim, NodeReport};

/// The retained messages of the pair.
#[derive(Default)]
struct RetainedState {
    is_online: bool,
    claim: Option<LeaderClaim>,
    nodes: Vec<NodeReport>,
}

/// Reads the retained messages of the pair, where one is configured.
pub(super) async fn check(config: &Config, route: &Route<'_>, report: &mut DoctorReport) {
    let Some(settings) = &config.pair else {
        return;
    };
    let found = match retained(route).await {
        Ok(found) => found,
        Err(error) => return report.add(route.explain(error).await),
    };
    match found.claim.filter(|_| found.is_online) {
        Some(claim) => report.ok(
            "pair",
            format!("node {} leads (takeover {})", claim.node, claim.epoch),
        ),
        None => report.warn(
            "pair",
            "no node leads",
            "start sayso on both nodes; the log of each shows whether it may read \
             and write below `<prefix>/pair/`",
        ),
    }
    let is_own = |node: &&NodeReport| node.node == settings.node;
    let own = found.nodes.iter().find(is_own);
    let other = found.nodes.iter().find(|node| !is_own(node));
    let Some(other) = other else {
        return report.warn(
            "pair",
            "the other node was never seen",
            "start it, with the same config and another `pair.node`",
        );
    };
    if !other.online {
        return report.warn(
            "pair",
            format!("node {} is offline", other.node),
            "start it: until then nothing takes over",
        );
    }
    let differences = own.map_or_else(Vec::new, |own| own.differences(other));
    if differences.is_empty() {
        report.ok(
            "pair",
            format!("node {} is online, version {}", other.node, other.version),
        );
    } else {
        report.warn(
            "pair",
            format!(
                "node {} has another configuration: {}",
                other.node,
                differences.join(", ")
            ),
            "make these parts equal on both nodes, and restart the one that was changed",
        );
    }
}

/// Returns the reports of the nodes.
pub(super) async fn nodes(route: &Route<'_>) -> Result<Vec<NodeReport>, ProbeError> {
    Ok(retained(route).await?.nodes)
}

async fn retained(route: &Route<'_>) -> Result<RetainedState, ProbeError> {
    let prefix = &route.settings.prefix;
    let mut connection = route.open("-pair", ProbeSession::None).await?;
    let topics = ["status", "pair/leader", "pair/node/+"];
    let filters = topics.map(|topic| format!("{prefix}/{topic}"));
    connection.subscribe(&filters).await?;
    connection.drain(RETAINED_DELAY).await?;
    let mut found = RetainedState::default();
    for publish in std::mem::take(&mut connection.received) {
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        if let Some(part) = topic.strip_prefix(&**prefix) {
            found.add(part, &publish.payload);
        }
    }
    connection.close().await;
    Ok(found)
}

impl RetainedState {
    fn add(&mut self, topic: &str, payload: &[u8]) {
        match topic {
            "/status" => self.is_online = payload == b"online",
            "/pair/leader" => self.claim = serde_json::from_slice(payload).ok(),
            _ => self
                .nodes
                .extend(serde_json::from_slice::<NodeReport>(payload)),
        }
    }
}
