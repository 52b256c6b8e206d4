//! A bound on the commands that wait for a model, whether they made a request or share one.
//!
//! Each of them holds a place in the daemon's event loop. The bounds stay well below the number of
//! places, so that commands that need no model are always taken in.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::command::Source;

/// The most commands of all sources that wait for a model.
pub(super) const MAX_WAITERS: usize = 256;

/// The most commands of one source that wait for a model.
const MAX_WAITERS_PER_SOURCE: usize = 64;

/// The commands that wait for a model, by source.
#[derive(Debug, Default)]
pub(super) struct ModelWaiters(Mutex<WaiterCounts>);

#[derive(Debug, Default)]
struct WaiterCounts {
    total: usize,
    by_source: HashMap<Source, usize>,
}

/// The place of one waiting command; dropping it frees the place.
pub(super) struct WaiterPlace<'a> {
    waiters: &'a ModelWaiters,
    source: &'a Source,
}

impl ModelWaiters {
    /// Takes a place for a command of `source`, or returns `None` where it or all sources together
    /// have none left.
    pub(super) fn enter<'a>(&'a self, source: &'a Source) -> Option<WaiterPlace<'a>> {
        let mut counts = self.0.lock();
        let of_source = counts.by_source.get(source).copied().unwrap_or_default();
        if counts.total >= MAX_WAITERS || of_source >= MAX_WAITERS_PER_SOURCE {
            return None;
        }
        counts.total += 1;
        counts.by_source.insert(source.clone(), of_source + 1);
        Some(WaiterPlace {
            waiters: self,
            source,
        })
    }
}

impl Drop for WaiterPlace<'_> {
    fn drop(&mut self) {
        let mut counts = self.waiters.0.lock();
        counts.total -= 1;
        let Some(of_source) = counts.by_source.get_mut(self.source) else {
            return;
        };
        *of_source -= 1;
        if *of_source == 0 {
            counts.by_source.remove(self.source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_leaves_places_for_others_and_frees_its_own() {
        let waiters = ModelWaiters::default();
        let (panel, phone) = (Source::new("panel"), Source::new("phone"));
        let mut places: Vec<_> = std::iter::from_fn(|| waiters.enter(&panel)).collect();
        assert_eq!(places.len(), MAX_WAITERS_PER_SOURCE);
        assert!(waiters.enter(&phone).is_some());
        places.pop();
        assert!(waiters.enter(&panel).is_some());
        drop(places);
        assert!(waiters.0.lock().by_source.is_empty());
    }

    #[test]
    fn many_sources_share_one_bound() {
        let waiters = ModelWaiters::default();
        let sources: Vec<Source> = (0..2 * MAX_WAITERS)
            .map(|n| Source::new(&n.to_string()))
            .collect();
        let places: Vec<_> = sources
            .iter()
            .filter_map(|source| waiters.enter(source))
            .collect();
        assert_eq!(places.len(), MAX_WAITERS);
    }
}
