//! The state that several nodes share in Redis: drafts, the limits of providers, and claims on
//! equal requests.
//!
//! Every key begins with the site in braces, so that all keys of a site are in one slot of a
//! cluster. Nothing here is needed to execute a command: each request has a short time limit and a
//! circuit breaker around it, and every failure has a local answer. This module knows neither homes
//! nor the meaning of a draft; values are texts to it.

mod connection;
pub mod drafts;
pub mod examination;
mod limits;
mod link;
pub mod settings;
mod shared_calls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::backoff::Backoff;
use crate::redis::connection::{IS_SUPPORTED, LuaScript, RedisConnection, RedisReply};
use crate::redis::link::RedisLink;
use crate::redis::settings::RedisSettings;
use crate::telemetry::counters::Counters;

pub use crate::redis::connection::RedisFault;
pub use crate::redis::limits::{
    AccountReport, AccountTotals, OFFLINE_RATE_PERCENT, OFFLINE_SPEND_DIVISOR, Settlement,
    SharedCall, SharedDenial, SharedVerdict,
};
pub use crate::redis::link::RedisHealth;

/// Pause between two probes of a connection that works.
const PROBE_PAUSE: Duration = Duration::from_secs(2);

/// The first and the longest pause before a new connection.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Ended calls that wait to be reported. One more is left out: its reservation stays charged.
const MOST_SETTLEMENTS: usize = 1024;

/// Drafts that are being written. One more is left out.
const MOST_WRITES: usize = 32;

/// The connection of this node to Redis, shared by all that use it.
pub struct Redis {
    link: RedisLink,
    counters: Arc<Counters>,
    /// Number of the newest call.
    newest_call: AtomicU64,
    /// A random number that makes the calls of this process unique among those of earlier ones.
    process: u32,
    /// The number of nodes, as last known.
    nodes: AtomicU32,
    acquire: LuaScript,
    settle: LuaScript,
    seen: LuaScript,
    claim: LuaScript,
    release: LuaScript,
    settlements: mpsc::Sender<Settlement>,
    /// Ended calls that are not reported yet.
    unreported: AtomicUsize,
    /// Taken by `run`.
    to_settle: Mutex<Option<mpsc::Receiver<Settlement>>>,
    writes: Arc<Semaphore>,
    /// Writes that no command waits for. They end with the connection at a shutdown.
    background: Mutex<JoinSet<()>>,
}

impl Redis {
    /// Whether this build can connect to Redis.
    pub const IS_SUPPORTED: bool = IS_SUPPORTED;

    /// Creates the connection; nothing is sent before [`Redis::run`].
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: RedisSettings, counters: Arc<Counters>) -> Result<Self, RedisFault> {
        Self::check(&settings)?;
        let (settlements, to_settle) = mpsc::channel(MOST_SETTLEMENTS);
        Ok(Self {
            nodes: AtomicU32::new(settings.nodes),
            link: RedisLink::new(settings),
            counters,
            newest_call: AtomicU64::new(0),
            process: rand::random(),
            acquire: LuaScript::new(include_str!("acquire.lua")),
            settle: LuaScript::new(include_str!("settle.lua")),
            seen: LuaScript::new(include_str!("seen.lua")),
            claim: LuaScript::new(include_str!("claim.lua")),
            release: LuaScript::new(include_str!("release.lua")),
            settlements,
            unreported: AtomicUsize::new(0),
            to_settle: Mutex::new(Some(to_settle)),
            writes: Arc::new(Semaphore::new(MOST_WRITES)),
            background: Mutex::default(),
        })
    }

    /// Checks settings without connecting.
    ///
    /// # Errors
    /// When the address, or the file of the authority, cannot be used.
    pub fn check(settings: &RedisSettings) -> Result<(), RedisFault> {
        connection::check(settings)
    }

    /// Keeps the connection, and reports ended calls, for as long as it is polled.
    pub async fn run(&self) {
        let Some(mut to_settle) = self.to_settle.lock().take() else {
            return;
        };
        let mut unsettled = None;
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            match self.connect().await {
                Ok(connection) => {
                    self.link.close_breaker(connection);
                    backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
                    self.serve(&mut to_settle, &mut unsettled).await;
                }
                Err(fault) => self.link.open_breaker(&fault),
            }
            // Not zero: a server that accepts and closes connections is not called in a circle.
            sleep(FIRST_PAUSE / 2 + backoff.next_jittered()).await;
        }
    }

    async fn connect(&self) -> Result<RedisConnection, RedisFault> {
        let connection = RedisConnection::open(&self.link.settings).await?;
        self.note_seen(&connection).await?;
        Ok(connection)
    }

    /// Probes the connection and reports ended calls until the breaker opens.
    async fn serve(
        &self,
        to_settle: &mut mpsc::Receiver<Settlement>,
        unsettled: &mut Option<Settlement>,
    ) {
        while let Some(connection) = self.link.connection() {
            if let Some(settlement) = unsettled.take()
                && !self.report(&connection, &settlement).await
            {
                *unsettled = Some(settlement);
                return;
            }
            tokio::select! {
                () = self.link.opened() => return,
                settlement = to_settle.recv() => *unsettled = settlement,
                () = sleep(PROBE_PAUSE) => {
                    self.probe(&connection).await;
                }
            }
        }
    }

    async fn probe(&self, connection: &RedisConnection) {
        let limit = self.link.settings.background_timeout();
        let seen = self.link.within(limit, self.note_seen(connection)).await;
        if seen == Err(RedisFault::TimedOut) {
            self.link.open_breaker(&RedisFault::TimedOut);
        }
    }

    async fn note_seen(&self, connection: &RedisConnection) -> Result<(), RedisFault> {
        let (keys, node) = ([self.key("n")], [self.link.settings.node.clone()]);
        let reply = connection.run(&self.seen, &keys, &node).await?;
        if let RedisReply::Number(nodes) = reply {
            self.note_nodes(u32::try_from(nodes).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    fn note_nodes(&self, nodes: u32) {
        let nodes = nodes.max(self.link.settings.nodes).max(1);
        self.nodes.store(nodes, Ordering::Relaxed);
    }

    /// Reports the end of a call. False where it has to be reported again.
    async fn report(&self, connection: &RedisConnection, settlement: &Settlement) -> bool {
        let arguments = [
            self.call_id(settlement.call),
            self.link.settings.node.clone(),
            u8::from(settlement.was_made).to_string(),
            settlement.tokens.to_string(),
            settlement.cost.to_string(),
        ];
        let keys = self.limit_keys(&settlement.provider);
        let report = connection.run(&self.settle, &keys, &arguments);
        let result = self
            .link
            .within(self.link.settings.background_timeout(), report)
            .await;
        // A report that Redis rejects, because it is full, would be rejected again: the reservation
        // stays charged.
        let is_reported = matches!(result, Ok(_) | Err(RedisFault::Rejected(_)));
        if is_reported {
            self.unreported.fetch_sub(1, Ordering::Relaxed);
        }
        is_reported
    }

    /// Returns the number of nodes that share the limits, as last known; at least one.
    pub fn nodes(&self) -> u32 {
        self.nodes.load(Ordering::Relaxed).max(1)
    }

    /// Returns the published state.
    pub fn health(&self) -> RedisHealth {
        let (online, since, why) = self.link.state();
        RedisHealth {
            online,
            since,
            why,
            nodes: self.nodes(),
            node: self.link.settings.node.clone(),
            site: self.link.settings.site.clone(),
        }
    }

    /// Returns whether requests are sent to Redis at present.
    pub fn is_online(&self) -> bool {
        self.link.connection().is_some()
    }

    /// Waits until the connection is up, at most `longest`.
    pub async fn online(&self, longest: Duration) -> bool {
        let up = async {
            while !self.is_online() {
                sleep(FIRST_PAUSE / 10).await;
            }
        };
        timeout(longest, up).await.is_ok()
    }

    /// Waits for a response as long as a command may.
    async fn counted<T>(
        &self,
        request: impl Future<Output = Result<T, RedisFault>>,
    ) -> Result<T, RedisFault> {
        let limit = self.link.settings.timeout;
        self.counted_within(limit, request).await
    }

    /// Waits for a response that no command waits for.
    async fn counted_later<T>(
        &self,
        request: impl Future<Output = Result<T, RedisFault>>,
    ) -> Result<T, RedisFault> {
        let limit = self.link.settings.background_timeout();
        self.counted_within(limit, request).await
    }

    async fn counted_within<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = Result<T, RedisFault>>,
    ) -> Result<T, RedisFault> {
        let result = self.link.within(limit, request).await;
        if result.is_err() {
            self.counters.redis_errors.increment();
        }
        result
    }

    fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.link.settings.site)
    }

    fn owner(&self) -> String {
        format!("{}.{:08x}", self.link.settings.node, self.process)
    }
}

fn offline() -> RedisFault {
    RedisFault::Lost("not connected".to_owned())
}
