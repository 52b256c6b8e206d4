//! Questions that wait for a yes: one per source, for half a minute.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::command::Source;
use crate::vocabulary::action::Draft;

/// How long a question stands.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The most questions standing at once: a flood of sources forgets the oldest.
const MOST: usize = 256;

/// What each source was asked, and what a yes to it would do.
#[derive(Debug, Default)]
pub(super) struct PendingConfirmations {
    asked: HashMap<Source, (Draft, Instant)>,
}

impl PendingConfirmations {
    /// The source was asked whether to do this. A newer question takes the place of an older one.
    pub(super) fn ask(&mut self, source: &Source, draft: Draft, now: Instant) {
        self.asked
            .retain(|_, (_, at)| now.saturating_duration_since(*at) < PATIENCE);
        if self.asked.len() >= MOST {
            let oldest = self
                .asked
                .iter()
                .min_by_key(|(_, (_, at))| *at)
                .map(|(source, _)| source.clone());
            oldest.and_then(|source| self.asked.remove(&source));
        }
        self.asked.insert(source.clone(), (draft, now));
    }

    /// Forgets the questions whose draft `stands` does not keep.
    pub(super) fn retain(&mut self, stands: impl Fn(&Draft) -> bool) {
        self.asked.retain(|_, (draft, _)| stands(draft));
    }

    /// What the source was asked less than half a minute ago; asked no longer.
    pub(super) fn take(&mut self, source: &Source, now: Instant) -> Option<Draft> {
        let (draft, at) = self.asked.remove(source)?;
        (now.saturating_duration_since(at) < PATIENCE).then_some(draft)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_is_good_once_for_its_own_source_and_for_half_a_minute() {
        let now = crate::clock::now();
        let (cli, panel) = (Source::new("cli"), Source::new("panel"));
        let mut consent = PendingConfirmations::default();
        consent.ask(&cli, Draft::default(), now);
        assert_eq!(consent.take(&panel, now), None);
        assert!(consent.take(&cli, now + Duration::from_secs(29)).is_some());
        assert_eq!(consent.take(&cli, now), None);
        consent.ask(&cli, Draft::default(), now);
        assert_eq!(consent.take(&cli, now + PATIENCE), None);
    }
}
