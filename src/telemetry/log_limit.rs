//! A limit on log lines that clients can cause: one for each subject and minute, with a count.
//! Pure: time is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// The time between two lines of one kind about one subject.
pub const LOG_PERIOD: Duration = Duration::from_mins(1);

/// The most kinds and subjects that are counted separately.
const MAX_SUBJECTS: usize = 64;

/// Subject of the events beyond [`MAX_SUBJECTS`].
const OTHERS: &str = "(others)";

/// A line to write: `count` events of one kind, about one subject, since the last such line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitedLine<K> {
    /// Kind of the events.
    pub kind: K,
    /// Topic or source they are about.
    pub subject: String,
    /// Number of events.
    pub count: u64,
}

/// Events that were counted and not yet written.
#[derive(Debug)]
struct UnwrittenEvents {
    since: Instant,
    count: u64,
}

/// Counts events by kind and subject.
#[derive(Debug)]
pub struct LogLimit<K> {
    events: HashMap<(K, String), UnwrittenEvents>,
    /// Time at which the first period ends.
    due: Option<Instant>,
}

impl<K> Default for LogLimit<K> {
    fn default() -> Self {
        Self {
            events: HashMap::new(),
            due: None,
        }
    }
}

impl<K: Copy + Eq + Hash> LogLimit<K> {
    /// Counts an event. Returns the line to write, if none was written within [`LOG_PERIOD`].
    pub fn note(&mut self, kind: K, subject: &str, now: Instant) -> Option<LimitedLine<K>> {
        let mut key = (kind, subject.to_owned());
        if self.events.len() >= MAX_SUBJECTS && !self.events.contains_key(&key) {
            OTHERS.clone_into(&mut key.1);
        }
        if let Some(events) = self.events.get_mut(&key) {
            events.count += 1;
            return None;
        }
        let (kind, subject) = key.clone();
        let events = UnwrittenEvents {
            since: now,
            count: 0,
        };
        self.events.insert(key, events);
        self.due.get_or_insert(now + LOG_PERIOD);
        Some(LimitedLine {
            kind,
            subject,
            count: 1,
        })
    }

    /// Returns a line for each kind and subject whose period has ended with events in it.
    pub fn take_due(&mut self, now: Instant) -> Vec<LimitedLine<K>> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let mut lines = Vec::new();
        self.events.retain(|(kind, subject), events| {
            if now < events.since + LOG_PERIOD {
                return true;
            }
            if events.count == 0 {
                return false;
            }
            lines.push(LimitedLine {
                kind: *kind,
                subject: subject.clone(),
                count: std::mem::take(&mut events.count),
            });
            events.since = now;
            true
        });
        let periods = self.events.values().map(|events| events.since + LOG_PERIOD);
        self.due = periods.min();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[test]
    fn a_flood_is_one_line_a_minute_and_every_event_is_counted() {
        let begun = now();
        let mut limit = LogLimit::default();
        let mut lines = Vec::new();
        for second in 0..300 {
            let at = begun + Duration::from_secs(second);
            lines.extend(limit.take_due(at));
            lines.extend(limit.note('a', "hall", at));
            lines.extend(limit.note('a', "hall", at));
        }
        lines.extend(limit.take_due(begun + Duration::from_mins(5)));
        let counts: Vec<u64> = lines.iter().map(|line| line.count).collect();
        assert_eq!(counts, [1, 119, 120, 120, 120, 120]);
        assert!(limit.take_due(begun + Duration::from_mins(6)).is_empty());
        assert!(limit.events.is_empty());
    }

    #[test]
    fn many_subjects_are_counted_together() {
        let begun = now();
        let mut limit = LogLimit::default();
        let lines = (0..1000).filter_map(|n| limit.note('a', &n.to_string(), begun));
        assert_eq!(lines.count(), MAX_SUBJECTS + 1);
        let later = limit.take_due(begun + LOG_PERIOD);
        assert_eq!(later.len(), 1);
        assert_eq!((later[0].subject.as_str(), later[0].count), (OTHERS, 935));
    }
}
