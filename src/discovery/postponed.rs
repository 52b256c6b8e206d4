//! Announcements that were refused for lack of room, kept until there is room. Bounded in count and
//! in bytes. Pure.

use std::collections::BTreeMap;

/// Largest number of announcements kept.
const MAX_TOPICS: usize = 1_024;

/// Largest total size of the announcements kept, in bytes: a list of `Zigbee2MQTT` is one of them.
const MAX_BYTES: usize = 4 << 20;

/// Announcements in the order of their topics.
#[derive(Debug, Default)]
pub(super) struct PostponedAnnouncements {
    by_topic: BTreeMap<String, Vec<u8>>,
    bytes: usize,
}

impl PostponedAnnouncements {
    /// Keeps an announcement in place of an earlier one on its topic. Returns false where it does
    /// not fit.
    pub(super) fn keep(&mut self, topic: &str, payload: &[u8]) -> bool {
        self.remove(topic);
        let bytes = topic.len() + payload.len();
        if self.by_topic.len() >= MAX_TOPICS || self.bytes + bytes > MAX_BYTES {
            return false;
        }
        self.bytes += bytes;
        self.by_topic.insert(topic.to_owned(), payload.to_vec());
        true
    }

    /// Discards the announcement on a topic, because a newer one replaces it.
    pub(super) fn remove(&mut self, topic: &str) {
        if let Some(payload) = self.by_topic.remove(topic) {
            self.bytes -= topic.len() + payload.len();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    /// Takes all announcements.
    pub(super) fn take(&mut self) -> BTreeMap<String, Vec<u8>> {
        self.bytes = 0;
        std::mem::take(&mut self.by_topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_bounded_and_replaced_by_topic() {
        let mut postponed = PostponedAnnouncements::default();
        let half = vec![b'x'; MAX_BYTES / 2];
        assert!(postponed.keep("a", &half));
        assert!(postponed.keep("a", &half), "it replaces the earlier one");
        assert!(!postponed.keep("b", &half), "two topics and payloads");
        postponed.remove("a");
        assert!(postponed.keep("b", &half) && !postponed.is_empty());
        assert_eq!(postponed.take().len(), 1);
        let kept = (0..2 * MAX_TOPICS).filter(|n| postponed.keep(&n.to_string(), b"{}"));
        assert_eq!(kept.count(), MAX_TOPICS);
    }
}
