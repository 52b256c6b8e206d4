//! `sayso takeover`: lets the other node of a pair lead, before an upgrade for example.

use std::io::Write;

use clap::Args;
use serde_json::Value as Json;

use crate::mqtt::Settings;

use crate::cli::broker::BrokerOptions;
use crate::cli::doctor;
use crate::cli::exit::{Exit, Failure};
use crate::cli::request::{BrokerRequest, send};
use crate::cli::runtime;

const EXAMPLES: &str = "\
Examples:
  sayso takeover        the node that stands by leads from now on
  sayso takeover b      node b leads, if it does not already

The login must be allowed to write <prefix>/pair/takeover and to read \
<prefix>/pair/takeover/answer.

Exit codes: 0 done, 1 nobody could take over, 75 no broker or no answer in time, 77 a file may not \
be read, 78 the config is wrong.";

/// Arguments of `sayso takeover`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TakeoverArguments {
    /// The node that should lead; without it the one that stands by
    node: Option<String>,
    #[command(flatten)]
    broker: BrokerOptions,
    /// Print the answer as JSON, as it was received
    #[arg(long)]
    json: bool,
}

/// Sends the request, and prints which node leads.
pub(super) fn takeover(
    arguments: &TakeoverArguments,
    out: &mut impl Write,
) -> Result<Exit, Failure> {
    let settings = arguments.broker.config(false)?.mqtt;
    let request = BrokerRequest {
        topic: "pair/takeover".to_owned(),
        answer_topic: "pair/takeover/answer".to_owned(),
        payload: arguments.node.clone().unwrap_or_default(),
    };
    let answer = send(&settings, arguments.broker.timeout, &request, &mut |_| {})
        .map_err(|failure| explained(failure, arguments.node.as_deref(), &settings))?;
    let answer: Json = serde_json::from_slice(&answer)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot parse the answer: {error}")))?;
    let is_done = answer["ok"] == true;
    if arguments.json {
        writeln!(out, "{answer}")?;
    } else {
        let leader = answer["leader"].as_str().unwrap_or("-");
        if is_done {
            writeln!(out, "✓ node {leader} leads (takeover {})", answer["epoch"])?;
        } else {
            writeln!(
                out,
                "✗ node {leader} still leads: no other node is online; start sayso on the other \
                 node and try again"
            )?;
        }
    }
    Ok(if is_done { Exit::Done } else { Exit::Failed })
}

/// Returns the cause for which no node answers, as far as the reports of the nodes show it.
fn explained(failure: Failure, node: Option<&str>, settings: &Settings) -> Failure {
    if failure.exit != Exit::Again {
        return failure;
    }
    let Ok(runtime) = runtime::create() else {
        return failure;
    };
    // Without a connection the first cause holds.
    let Some(nodes) = runtime.block_on(doctor::pair_nodes(settings)) else {
        return failure;
    };
    if nodes.is_empty() {
        let reason = format!(
            "no node answers, and none has reported below `{}/pair/node/`: the daemon has no \
             `[pair]` table, or this login may not read these topics",
            settings.prefix
        );
        return Failure::new(failure.exit, reason);
    }
    let Some(node) = node else {
        return failure;
    };
    match nodes.iter().find(|report| report.node == node) {
        None => {
            let known: Vec<&str> = nodes.iter().map(|report| report.node.as_str()).collect();
            let reason = format!(
                "there is no node `{node}`: the nodes of this pair are {}",
                known.join(" and ")
            );
            Failure::new(Exit::Failed, reason)
        }
        Some(report) if !report.online => Failure::new(
            Exit::Failed,
            format!("node {node} is offline: start sayso on it and try again"),
        ),
        Some(_) => failure,
    }
}
