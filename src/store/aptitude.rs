//! The results of aptitude tests of models, so that a restart repeats none.

use std::io;
use std::time::{Duration, SystemTime};

use crate::store::{Store, StoreTree};

/// The age at which a result ends.
pub const LONGEST_AGE: Duration = Duration::from_hours(30 * 24);

/// The most results on disk.
pub const MOST_RESULTS: usize = 64;

/// The result of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredScore {
    /// Time at which the test was made.
    pub at: SystemTime,
    /// Right answers.
    pub right: u8,
}

impl StoredScore {
    /// Returns how long the result still holds. One from the future, by a clock that was ahead,
    /// does not hold.
    pub fn time_left(self, now: SystemTime) -> Option<Duration> {
        let age = now.duration_since(self.at).ok()?;
        let left = LONGEST_AGE.checked_sub(age)?;
        (!left.is_zero()).then_some(left)
    }
}

/// The results on disk.
#[derive(Debug, Clone)]
pub struct StoredScores {
    tree: StoreTree,
}

impl StoredScores {
    /// Opens the results in the store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: &Store) -> io::Result<Self> {
        let tree = store.tree("aptitude")?;
        Ok(Self { tree })
    }

    /// Returns the result of the model `key`; a record of another shape counts as none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn read(&self, key: &str) -> io::Result<Option<StoredScore>> {
        let Some(tree) = self.tree.get() else {
            return Ok(None);
        };
        let record = tree.get(key).map_err(io::Error::other)?;
        Ok(record.and_then(|bytes| parse(&bytes)))
    }

    /// Records the result of the model `key`. Of too many, all others are removed first.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn write(&self, key: &str, score: StoredScore) -> io::Result<()> {
        let Some(tree) = self.tree.to_write() else {
            return Ok(());
        };
        if tree.len() >= MOST_RESULTS {
            tree.clear().map_err(io::Error::other)?;
        }
        let seconds = score.at.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = seconds.unwrap_or_default().as_secs();
        let record = [&seconds.to_be_bytes()[..], &[score.right]].concat();
        let inserted = tree.insert(key, record);
        inserted.map(drop).map_err(io::Error::other)
    }
}

fn parse(record: &[u8]) -> Option<StoredScore> {
    let record = <&[u8; 9]>::try_from(record).ok()?;
    let (seconds, [right]) = record.split_first_chunk()? else {
        return None;
    };
    let since = Duration::from_secs(u64::from_be_bytes(*seconds));
    Some(StoredScore {
        at: SystemTime::UNIX_EPOCH.checked_add(since)?,
        right: *right,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_shape_is_none_and_an_old_one_has_ended() {
        for record in [&[][..], &[0; 8], &[255; 9], &[0; 10]] {
            let left = parse(record).and_then(|score| score.time_left(SystemTime::UNIX_EPOCH));
            assert_eq!(left, None);
        }
        let at = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        let score = StoredScore { at, right: 7 };
        let is_current = |now| score.time_left(now).is_some();
        assert!(is_current(at) && is_current(at + Duration::from_hours(719)));
        assert!(!is_current(at + LONGEST_AGE));
        assert!(!is_current(at - Duration::from_secs(1)), "the future");
    }
}
