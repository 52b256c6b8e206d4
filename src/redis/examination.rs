//! A server as `sayso doctor` examines it: its latency, the nodes of the site, and its eviction
//! policy.
//!
//! It makes a connection of its own, and changes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::redis::Redis;
use crate::redis::connection::{RedisConnection, RedisFault, RedisReply};
use crate::redis::settings::RedisSettings;

/// A server as an operator examines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisExamination {
    /// Time of one response.
    pub latency: Duration,
    /// Nodes of this site in the last 25 hours.
    pub nodes: u32,
    /// The policy by which the server evicts keys, where it limits its memory and says so.
    pub eviction: Option<String>,
}

impl Redis {
    /// Connects once and examines the server, for the operator.
    ///
    /// # Errors
    /// When no connection can be made, or the login may not run scripts.
    pub async fn examine(settings: &RedisSettings) -> Result<RedisExamination, RedisFault> {
        let redis = Self::new(settings.clone(), Arc::default())?;
        let limit = settings.background_timeout();
        let connection = RedisConnection::open(settings).await?;
        let begun = Instant::now();
        redis
            .link
            .within(limit, connection.command(&[b"PING"]))
            .await?;
        let latency = begun.elapsed();
        let keys = redis.limit_keys("doctor");
        let arguments = ["doctor", "doctor", "0", "0", "0"].map(str::to_owned);
        let settle = connection.run(&redis.settle, &keys, &arguments);
        redis.link.within(limit, settle).await?;
        let words: [&[u8]; 2] = [b"ZCARD", keys[3].as_bytes()];
        let nodes = redis.link.within(limit, connection.command(&words)).await?;
        // A login that may not read it leaves it out.
        let memory = connection.command(&[b"INFO", b"memory"]);
        let eviction = match redis.link.within(limit, memory).await {
            Ok(RedisReply::Bytes(text)) => eviction(&String::from_utf8_lossy(&text)),
            Ok(_) | Err(_) => None,
        };
        Ok(RedisExamination {
            latency,
            nodes: match nodes {
                RedisReply::Number(nodes) => u32::try_from(nodes).unwrap_or_default(),
                _ => 0,
            },
            eviction,
        })
    }
}

/// Returns the eviction policy in the response of `INFO memory`, where memory is limited.
fn eviction(info: &str) -> Option<String> {
    let value = |name: &str| {
        let mut lines = info.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let is_limited = value("maxmemory").is_some_and(|limit| limit.trim() != "0");
    let policy = value("maxmemory_policy").filter(|_| is_limited)?;
    Some(policy.trim().to_owned())
}
