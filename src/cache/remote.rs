//! The tier in Redis, which several nodes share. Its contents are not trusted until they have been
//! read and checked: a draft of a model that is not configured, or of an unknown form, is a miss.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::redis::drafts::Claim;
use crate::redis::{Redis, RedisFault};
use crate::vocabulary::action::Draft;

/// A draft as it is written to Redis.
#[derive(Debug, Serialize, Deserialize)]
struct RemoteRecord {
    /// Milliseconds since 1970 at which it expires.
    until: u64,
    model: String,
    draft: Draft,
}

/// A draft of another node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RemoteDraft {
    pub(super) draft: Draft,
    /// The model that gave it.
    pub(super) model: String,
    /// Its remaining time.
    pub(super) left: Duration,
}

/// The drafts in Redis.
#[derive(Clone)]
pub(super) struct RemoteDrafts(Arc<Redis>);

impl RemoteDrafts {
    pub(super) fn new(redis: Arc<Redis>) -> Self {
        Self(redis)
    }

    /// Keeps a draft in the background.
    pub(super) fn put(&self, key: &str, (model, draft): (&str, &Draft), ttl: Duration) {
        let record = RemoteRecord {
            until: millis(SystemTime::now() + ttl),
            model: model.to_owned(),
            draft: draft.clone(),
        };
        if let Ok(value) = serde_json::to_string(&record) {
            self.0.keep_draft(key, value, ttl);
        }
    }

    pub(super) async fn claim(&self, key: &str) -> Claim {
        self.0.claim(key).await
    }

    pub(super) async fn draft_of_other(&self, key: &str, longest: Duration) -> Option<RemoteDraft> {
        read(&self.0.draft_of_other(key, longest).await?)
    }

    pub(super) fn release(&self, key: &str) {
        self.0.release(key);
    }

    pub(super) async fn forget(&self, phrase: Option<&str>) -> Result<u64, RedisFault> {
        self.0.forget_drafts(phrase).await
    }
}

/// Reads a draft that was written to Redis; `None` for anything else, or after its time.
pub(super) fn read(value: &str) -> Option<RemoteDraft> {
    let record: RemoteRecord = serde_json::from_str(value).ok()?;
    let left = record.until.checked_sub(millis(SystemTime::now()))?;
    Some(RemoteDraft {
        draft: record.draft,
        model: record.model,
        left: Duration::from_millis(left),
    })
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
