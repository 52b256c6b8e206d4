//! Drafts of all nodes, and claims on equal requests.
//!
//! A draft is a text under a key; what it means is not known here.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use tokio::time::{Instant, sleep};

use crate::redis::connection::{RedisConnection, RedisFault, RedisReply};
use crate::redis::{Redis, offline};

/// The largest draft that is read or written, in bytes.
const LARGEST_DRAFT: usize = 64 << 10;

/// Lifetime of a claim on a request, so that a node that died delays the others no longer than
/// this.
const CLAIM_LIFETIME: Duration = Duration::from_secs(3);

/// Pause between two looks for the draft of another node.
const CLAIM_POLL: Duration = Duration::from_millis(50);

/// Keys that one step of a deletion visits.
const SCANNED_AT_ONCE: &str = "500";

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

    /// Returns the name of a draft: the hash of its phrase, by which it can be deleted, and that of
    /// its whole key.
    fn draft_key(&self, key: &str) -> String {
        let phrase = key.rsplit('\u{1f}').next().unwrap_or_default();
        self.key(&format!("d:{}:{}", hash(phrase), hash(key)))
    }

    fn claim_key(&self, key: &str) -> String {
        self.key(&format!("a:{}", hash(key)))
    }
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
