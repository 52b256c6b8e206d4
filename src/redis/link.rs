//! Supervision of the connection, and the circuit breaker around it. While the breaker is open no
//! request waits for Redis; a probe in the background closes it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::clock::now;
use crate::redis::connection::{RedisConnection, RedisFault};
use crate::redis::settings::RedisSettings;

/// Requests without a response in a row that open the breaker.
const MOST_TIMEOUTS: u32 = 2;

/// The connection to Redis as all requests share it.
pub(super) struct RedisLink {
    pub(super) settings: RedisSettings,
    state: Mutex<LinkState>,
    /// Signals that requests failed, to the supervision.
    failed: Notify,
}

struct LinkState {
    /// The connection while the breaker is closed.
    connection: Option<RedisConnection>,
    /// Requests in a row without a response.
    timeouts: u32,
    changed_at: Instant,
    /// The last fault: why the breaker is open, or which request was rejected.
    why: Option<String>,
}

/// State of the connection as published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RedisHealth {
    /// Whether requests are sent to Redis.
    pub online: bool,
    /// Seconds since that changed.
    pub since: u64,
    /// The last fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Nodes that share the limits, as last known.
    pub nodes: u32,
    /// Name of this node.
    pub node: String,
    /// Name of the site.
    pub site: String,
}

impl RedisLink {
    pub(super) fn new(settings: RedisSettings) -> Self {
        Self {
            settings,
            state: Mutex::new(LinkState {
                connection: None,
                timeouts: 0,
                changed_at: now(),
                why: None,
            }),
            failed: Notify::new(),
        }
    }

    /// Returns the connection, unless the breaker is open.
    pub(super) fn connection(&self) -> Option<RedisConnection> {
        self.state.lock().connection.clone()
    }

    /// Returns whether the connection is up, the seconds since that changed, and the last fault.
    pub(super) fn state(&self) -> (bool, u64, Option<String>) {
        let state = self.state.lock();
        let since = now().saturating_duration_since(state.changed_at);
        (
            state.connection.is_some(),
            since.as_secs(),
            state.why.clone(),
        )
    }

    /// Waits for the response of a request, at most `limit`, and notes how it went.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = Result<T, RedisFault>>,
    ) -> Result<T, RedisFault> {
        let result = timeout(limit, request)
            .await
            .unwrap_or(Err(RedisFault::TimedOut));
        match &result {
            Ok(_) => self.state.lock().timeouts = 0,
            Err(RedisFault::Rejected(why)) => self.note_rejected(why),
            Err(RedisFault::TimedOut) => {
                let mut state = self.state.lock();
                state.timeouts += 1;
                if state.timeouts >= MOST_TIMEOUTS {
                    drop(state);
                    self.open_breaker(&RedisFault::TimedOut);
                }
            }
            Err(fault) => self.open_breaker(fault),
        }
        result
    }

    fn note_rejected(&self, why: &str) {
        let mut state = self.state.lock();
        state.timeouts = 0;
        if state.why.as_deref() != Some(why) {
            warn!(why, "redis rejected a request");
            state.why = Some(why.to_owned());
        }
    }

    /// Puts a new connection into use.
    pub(super) fn close_breaker(&self, connection: RedisConnection) {
        let mut state = self.state.lock();
        info!(url = self.settings.shown_url(), "redis is connected");
        *state = LinkState {
            connection: Some(connection),
            timeouts: 0,
            changed_at: now(),
            why: None,
        };
    }

    /// Takes the connection out of use.
    pub(super) fn open_breaker(&self, fault: &RedisFault) {
        let why = fault.to_string();
        let mut state = self.state.lock();
        let was_online = state.connection.take().is_some();
        if was_online || state.why.as_ref() != Some(&why) {
            warn!(
                why,
                url = self.settings.shown_url(),
                "redis is not available: limits of this node apply"
            );
        }
        if was_online {
            state.changed_at = now();
        }
        state.why = Some(why);
        drop(state);
        self.failed.notify_one();
    }

    /// Waits until requests have opened the breaker.
    pub(super) async fn opened(&self) {
        loop {
            let failed = self.failed.notified();
            if self.connection().is_none() {
                return;
            }
            failed.await;
        }
    }
}
