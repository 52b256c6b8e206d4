//! The keys by which a duplicate of a command is recognised.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU64;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::store::journal::received::Received;

/// The keys of one command: of its id, of its correlation data and of its identity in a pair, as
/// far as it has them. They are stored without an allocation of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct DuplicateKeys([Option<NonZeroU64>; 3]);

impl DuplicateKeys {
    /// Makes the keys of the client's names for the command, or of its payload where it has none,
    /// and of its identity.
    pub(super) fn of(received: &Received) -> Self {
        let keys = if received.is_named() {
            strong_keys(received)
        } else {
            [Some(weak_key(received)), None]
        };
        let identity = received.identity.as_deref().map(identity_key);
        keys.into_iter().chain([identity]).flatten().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = NonZeroU64> {
        self.0.into_iter().flatten()
    }

    /// Returns the key of the first name.
    pub(super) fn first(&self) -> Option<NonZeroU64> {
        self.0[0]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first().is_none()
    }
}

impl FromIterator<NonZeroU64> for DuplicateKeys {
    /// Collects the first three keys: a command has no more.
    fn from_iter<I: IntoIterator<Item = NonZeroU64>>(keys: I) -> Self {
        let mut collected = Self::default();
        for (place, key) in collected.0.iter_mut().zip(keys) {
            *place = Some(key);
        }
        collected
    }
}

impl Serialize for DuplicateKeys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for DuplicateKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = Vec::<u64>::deserialize(deserializer)?;
        Ok(keys.into_iter().filter_map(NonZeroU64::new).collect())
    }
}

fn hash(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

fn key(parts: impl Hash) -> NonZeroU64 {
    NonZeroU64::new(hash(parts)).unwrap_or(NonZeroU64::MIN)
}

/// Returns the keys made of the client's names for the command: id and correlation data, each
/// within its topic and with the payload. A client that counts from 1 again after a restart sends
/// new commands under old ids.
fn strong_keys(received: &Received) -> [Option<NonZeroU64>; 2] {
    // The payload is hashed once: it can be long.
    let payload = hash(&received.payload);
    let named = |kind: &str, name: &[u8]| key((kind, &received.topic, name, payload));
    let id = received.id.as_ref();
    let correlation = received.correlation.as_ref();
    [
        id.map(|id| named("id", id.as_bytes())),
        correlation.map(|data| named("correlation", data)),
    ]
}

/// Returns the key made of the identity of a command in a pair.
pub(super) fn identity_key(identity: &str) -> NonZeroU64 {
    key(("identity", identity))
}

/// Returns the key of a command that the client did not name.
fn weak_key(received: &Received) -> NonZeroU64 {
    key(("payload", &received.topic, &received.payload))
}
