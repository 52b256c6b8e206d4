//! The last known truth of each rule's condition. Pure: the time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::schedule::timer::TimerId;

/// The shortest time between two firings of one rule: a state that flickers fires it once.
const PAUSE: Duration = Duration::from_secs(10);

/// The most states that are kept. Those of ended rules stay as well; beyond this all are forgotten,
/// and the next report for each rule fires nothing.
const MOST: usize = crate::schedule::timers::MAX_TIMERS;

/// The last known truth of each rule's condition, by the rule.
#[derive(Debug, Default)]
pub(super) struct RuleStates(HashMap<TimerId, RuleState>);

#[derive(Debug)]
struct RuleState {
    was_true: bool,
    fired_at: Option<Instant>,
}

impl RuleStates {
    /// Notes whether a condition is true. Returns whether it was known to be false before, the
    /// message is not a retained one, and the rule has not fired just now.
    pub(super) fn became_true(
        &mut self,
        id: TimerId,
        is_true: bool,
        is_retained: bool,
        at: Instant,
    ) -> bool {
        let Some(state) = self.0.get_mut(&id) else {
            self.begin(id, is_true);
            return false;
        };
        let was_true = std::mem::replace(&mut state.was_true, is_true);
        let is_paused = state
            .fired_at
            .is_some_and(|fired| at.saturating_duration_since(fired) < PAUSE);
        let fires = is_true && !was_true && !is_paused && !is_retained;
        if fires {
            state.fired_at = Some(at);
        }
        fires
    }

    /// Notes whether the condition of a rule is true when the rule begins, so that the next change
    /// fires it.
    pub(super) fn begin(&mut self, id: TimerId, holds: bool) {
        if let Some(known) = self.0.get_mut(&id) {
            known.was_true = holds;
            return;
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let state = RuleState {
            was_true: holds,
            fired_at: None,
        };
        self.0.insert(id, state);
    }

    /// Forgets all states.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_from_known_false_to_true_fires() {
        let mut states = RuleStates::default();
        let start = crate::clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(
            !states.became_true(1, true, false, at(0)),
            "the first report"
        );
        assert!(!states.became_true(1, true, false, at(1)), "no change");
        assert!(!states.became_true(1, false, false, at(2)));
        assert!(states.became_true(1, true, false, at(3)));
        assert!(!states.became_true(1, false, false, at(4)));
        assert!(!states.became_true(1, true, false, at(5)), "it flickers");
        assert!(!states.became_true(1, false, false, at(20)));
        assert!(states.became_true(1, true, false, at(21)));
        assert!(!states.became_true(1, false, false, at(30)));
        assert!(!states.became_true(1, true, true, at(40)), "retained");
        states.begin(2, false);
        assert!(
            states.became_true(2, true, false, at(41)),
            "after its begin"
        );
        states.clear();
        assert!(
            !states.became_true(1, true, false, at(60)),
            "after an interruption"
        );
    }
}
