//! The state that several nodes share in Redis: drafts, the limits of providers, and claims on
//! equal requests.
//!
//! Every key begins with the site in braces, so that all keys of a site are in one slot of a
//! cluster. Nothing here is needed to execute a command: each request has a short time limit and a
//! circuit breaker around it, and every failure has a local answer. This module knows neither homes
//! nor the meaning of a draft; values are texts to it.

mod connection;
mod limits;
mod link;
pub mod settings;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

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

/// The largest draft that is read or written, in bytes.
const LARGEST_DRAFT: usize = 64 << 10;

/// Lifetime of a claim on a request, so that a node that died delays the others no longer than
/// this.
const CLAIM_LIFETIME: Duration = Duration::from_secs(3);

/// Pause between two looks for the draft of another node.
const CLAIM_POLL: Duration = Duration::from_millis(50);

/// Pause between two looks whether all ended calls are reported.
const FLUSH_POLL: Duration = Duration::from_millis(5);

/// Keys that one step of a deletion visits.
const SCANNED_AT_ONCE: &str = "500";

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

/// The node that makes a request which several nodes have at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// None has to: this is the draft.
    Answered(String),
    /// This node makes the request.
    Own,
    /// Another node makes it.
    Other,
    /// Redis did not answer; each node makes its own.
    Unknown,
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

    /// Returns the number of a new call.
    pub fn next_call(&self) -> u64 {
        self.newest_call.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Reserves a call at a provider for all nodes.
    ///
    /// # Errors
    /// When Redis did not decide; the reservation may have been made all the same.
    pub async fn acquire(&self, call: &SharedCall<'_>) -> Result<SharedVerdict, RedisFault> {
        let connection = self.link.connection().ok_or_else(offline)?;
        let mut arguments = vec![self.call_id(call.call), self.link.settings.node.clone()];
        arguments.extend(limits::arguments(call, self.link.settings.nodes));
        let keys = self.limit_keys(call.provider);
        let reply = async {
            let reply = connection.run(&self.acquire, &keys, &arguments).await?;
            limits::verdict(&reply)
        };
        let verdict = self.counted(reply).await?;
        self.note_nodes(verdict.nodes);
        Ok(verdict)
    }

    /// Reports the end of a call in the background.
    pub fn settle(&self, settlement: Settlement) {
        // Where the queue is full, the reservation stays charged until its lease ends: a limit is
        // never exceeded.
        self.unreported.fetch_add(1, Ordering::Relaxed);
        if self.settlements.try_send(settlement).is_err() {
            self.unreported.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Waits until the ended calls are reported, at most `longest`; not at all while Redis is not
    /// available.
    pub async fn flush(&self, longest: Duration) {
        let reported = async {
            while self.is_online() && self.unreported.load(Ordering::Relaxed) > 0 {
                sleep(FLUSH_POLL).await;
            }
        };
        let _ = timeout(longest, reported).await;
    }

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

    /// Returns the number of nodes that share the limits, as last known; at least one.
    pub fn nodes(&self) -> u32 {
        self.nodes.load(Ordering::Relaxed).max(1)
    }

    async fn read_draft(
        &self,
        connection: &RedisConnection,
        key: &str,
    ) -> Result<Option<String>, RedisFault> {
        let name = self.draft_key(key);
        // A range, because a value of another program may be of any length.
        let last = LARGEST_DRAFT.to_string();
        let words = [b"GETRANGE", name.as_bytes(), b"0", last.as_bytes()];
        let RedisReply::Bytes(value) = connection.command(&words).await? else {
            return Ok(None);
        };
        Ok(usable(value))
    }

    /// Keeps a draft for `lifetime`, in the background.
    pub fn keep_draft(self: &Arc<Self>, key: &str, value: String, lifetime: Duration) {
        if value.len() > LARGEST_DRAFT || lifetime < Duration::from_secs(1) {
            return;
        }
        let Some(connection) = self.link.connection() else {
            return;
        };
        let Ok(permit) = Arc::clone(&self.writes).try_acquire_owned() else {
            return;
        };
        let (redis, name) = (Arc::clone(self), self.draft_key(key));
        let lifetime = lifetime.as_millis().to_string();
        self.in_background(async move {
            let words = [
                b"SET",
                name.as_bytes(),
                value.as_bytes(),
                b"PX",
                lifetime.as_bytes(),
            ];
            let written = connection.command(&words);
            drop(redis.counted_later(written).await);
            drop(permit);
        });
    }

    /// Deletes all drafts, or those whose key ends with `phrase`. Returns their number.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn forget_drafts(&self, phrase: Option<&str>) -> Result<u64, RedisFault> {
        let connection = self.link.connection().ok_or_else(offline)?;
        let part = phrase.map_or("*".to_owned(), hash);
        let pattern = format!("{{{}}}:d:{part}:*", escape(&self.link.settings.site));
        let (mut cursor, mut deleted) = (b"0".to_vec(), 0);
        loop {
            let words: [&[u8]; 6] = [
                b"SCAN",
                &cursor,
                b"MATCH",
                pattern.as_bytes(),
                b"COUNT",
                SCANNED_AT_ONCE.as_bytes(),
            ];
            let page = connection.command(&words);
            let RedisReply::List(page) = self.counted_later(page).await? else {
                return Ok(deleted);
            };
            let [RedisReply::Bytes(next), RedisReply::List(names)] = page.as_slice() else {
                return Ok(deleted);
            };
            for name in names {
                let RedisReply::Bytes(name) = name else {
                    continue;
                };
                let words: [&[u8]; 2] = [b"DEL", name];
                let reply = connection.command(&words);
                if self.counted_later(reply).await? == RedisReply::Number(1) {
                    deleted += 1;
                }
            }
            if next == b"0" {
                return Ok(deleted);
            }
            cursor.clone_from(next);
        }
    }

    /// Returns the draft under `key`, or claims the request for it.
    pub async fn claim(&self, key: &str) -> Claim {
        let Some(connection) = self.link.connection() else {
            return Claim::Unknown;
        };
        let keys = [self.draft_key(key), self.claim_key(key)];
        let arguments = [
            self.owner(),
            CLAIM_LIFETIME.as_millis().to_string(),
            // Not all of it: a value of another program may be of any length.
            LARGEST_DRAFT.to_string(),
        ];
        let reply = connection.run(&self.claim, &keys, &arguments);
        match self.counted(reply).await {
            Ok(RedisReply::Bytes(value)) => usable(value).map_or(Claim::Unknown, Claim::Answered),
            Ok(RedisReply::Number(1)) => Claim::Own,
            Ok(RedisReply::Number(_)) => Claim::Other,
            Ok(_) | Err(_) => Claim::Unknown,
        }
    }

    /// Ends the claim of this node in the background.
    pub fn release(self: &Arc<Self>, key: &str) {
        let Some(connection) = self.link.connection() else {
            return;
        };
        let Ok(permit) = Arc::clone(&self.writes).try_acquire_owned() else {
            return;
        };
        let (redis, name) = (Arc::clone(self), self.claim_key(key));
        self.in_background(async move {
            let (keys, owner) = ([name], [redis.owner()]);
            let released = connection.run(&redis.release, &keys, &owner);
            drop(redis.counted_later(released).await);
            drop(permit);
        });
    }

    fn in_background(&self, write: impl Future<Output = ()> + Send + 'static) {
        let mut background = self.background.lock();
        while background.try_join_next().is_some() {}
        background.spawn(write);
    }

    /// Waits for the draft of the node that holds the claim on `key`, at most `longest`. `None`
    /// where that node gave up its claim without a draft, or takes longer.
    pub async fn draft_of_other(&self, key: &str, longest: Duration) -> Option<String> {
        let end = Instant::now() + longest;
        while Instant::now() < end {
            sleep(CLAIM_POLL).await;
            let connection = self.link.connection()?;
            let name = self.claim_key(key);
            let look = async {
                let words: [&[u8]; 2] = [b"EXISTS", name.as_bytes()];
                // First the claim: it ends after the draft was written.
                let claim = connection.command(&words).await?;
                let draft = self.read_draft(&connection, key).await?;
                Ok((claim, draft))
            };
            match self.counted(look).await {
                Ok((_, Some(draft))) => return Some(draft),
                Ok((RedisReply::Number(1), None)) => {}
                Ok(_) | Err(_) => return None,
            }
        }
        None
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

    /// Returns the name of a draft: the hash of its phrase, by which it can be deleted, and that of
    /// its whole key.
    fn draft_key(&self, key: &str) -> String {
        let phrase = key.rsplit('\u{1f}').next().unwrap_or_default();
        self.key(&format!("d:{}:{}", hash(phrase), hash(key)))
    }

    fn claim_key(&self, key: &str) -> String {
        self.key(&format!("a:{}", hash(key)))
    }

    fn owner(&self) -> String {
        format!("{}.{:08x}", self.link.settings.node, self.process)
    }

    fn call_id(&self, call: u64) -> String {
        format!("{}.{call}", self.owner())
    }

    /// Returns the keys of the scripts for one provider.
    fn limit_keys(&self, provider: &str) -> [String; 8] {
        [
            format!("w:{provider}"),
            format!("f:{provider}"),
            format!("c:{provider}"),
            "n".to_owned(),
            format!("day:provider:{provider}"),
            format!("month:provider:{provider}"),
            "day:all".to_owned(),
            "month:all".to_owned(),
        ]
        .map(|name| self.key(&name))
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

fn offline() -> RedisFault {
    RedisFault::Lost("not connected".to_owned())
}

/// Returns the SHA-256 of a text in hexadecimal digits.
pub fn hash(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    let mut digits = String::new();
    for byte in digest.as_ref() {
        // Writing to a text cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// Escapes a text for a pattern of `SCAN`.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Returns a value as a draft, unless it is too long or no text.
fn usable(value: Vec<u8>) -> Option<String> {
    let is_usable = !value.is_empty() && value.len() <= LARGEST_DRAFT;
    String::from_utf8(value).ok().filter(|_| is_usable)
}
