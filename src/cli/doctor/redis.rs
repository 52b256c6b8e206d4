//! The connection to Redis, and whether the server suits.

use crate::config::Config;
use crate::redis::Redis;

use crate::cli::doctor::finding::DoctorReport;

/// Policies under which a full server drops only keys with a lifetime, or none. Limits and spending
/// have no lifetime.
const SAFE_POLICIES: [&str; 5] = [
    "noeviction",
    "volatile-lru",
    "volatile-lfu",
    "volatile-ttl",
    "volatile-random",
];

/// Connects to Redis, where one is configured.
pub(super) async fn check(config: &Config, report: &mut DoctorReport) {
    let Some(settings) = &config.redis else {
        return;
    };
    let found = match Redis::examine(settings).await {
        Ok(found) => found,
        Err(fault) => {
            return report.fault(
                "redis",
                format!("{}: {fault}", settings.shown_url()),
                "check the address, the password in `key_file` and that the server runs; until \
                 then this gateway has its share of the limits",
            );
        }
    };
    report.ok(
        "redis",
        format!(
            "{} answered after {:.1} ms; site {}, node {}, {} known",
            settings.shown_url(),
            found.latency.as_secs_f64() * 1e3,
            settings.site,
            settings.node,
            crate::cli::plural::count(found.nodes as usize, "node"),
        ),
    );
    if let Some(policy) = &found.eviction
        && !SAFE_POLICIES.contains(&policy.as_str())
    {
        report.warn(
            "redis",
            format!("a full server evicts limits and spending as well: its policy is {policy}"),
            "set `maxmemory-policy volatile-lru` in redis.conf",
        );
    }
    if found.latency > settings.timeout {
        report.warn(
            "redis",
            "it answers later than `redis.timeout`, so it would hardly be used",
            "use a server in the same network, or a longer `timeout`",
        );
    }
    if found.nodes > settings.nodes {
        report.warn(
            "redis",
            format!(
                "{} nodes share the limits, `redis.nodes` is {}",
                found.nodes, settings.nodes
            ),
            "set `nodes` to the number of gateways: a start without Redis uses the share of that",
        );
    }
}
