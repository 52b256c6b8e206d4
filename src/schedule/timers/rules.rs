//! The timers that wait for a state instead of a time.
//!
//! It does not know the states of devices: the caller decides that a condition became true, and
//! makes the rule due.

use std::time::Duration;

use crate::schedule::due::{Clocks, Due};
use crate::schedule::timer::{Timer, TimerId};
use crate::schedule::timers::Timers;
use crate::vocabulary::action::Action;
use crate::vocabulary::condition::{Condition, ConditionMode, StateTest};
use crate::vocabulary::slug::Slug;

/// A command that waits for a state.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingRule {
    /// Its text.
    pub text: String,
    /// The state that it waits for.
    pub condition: Condition,
    /// The actions that it will command.
    pub actions: Vec<Action>,
}

impl Timers {
    /// Returns the rules whose condition names one of the devices.
    pub fn rules_about(&self, devices: &[Slug]) -> Vec<(TimerId, Condition)> {
        let names = |condition: &Condition| {
            condition.tests.iter().any(|test| match test {
                StateTest::Device { device, .. } => devices.iter().any(|d| d.as_str() == device),
                StateTest::Dark(_) => false,
            })
        };
        let rules = self.pending.values().filter_map(|timer| {
            let condition = timer.condition.as_ref().filter(|c| names(c))?;
            Some((timer.id, condition.clone()))
        });
        rules.collect()
    }

    /// Returns all rules.
    pub fn rules(&self) -> Vec<WaitingRule> {
        let rules = self.pending.values().filter_map(|timer| {
            Some(WaitingRule {
                text: timer.text.clone(),
                condition: timer.condition.clone()?,
                actions: timer.task.effects(),
            })
        });
        rules.collect()
    }

    /// Makes a rule due whose condition became true. A rule that fires each time continues to wait;
    /// while it is being carried out it does not fire again. Returns whether it is due.
    pub fn trigger(&mut self, id: TimerId, now: &Clocks) -> bool {
        if self.has_occurrence(id) {
            return false;
        }
        let Some(rule) = self.pending.get_mut(&id) else {
            return false;
        };
        self.changed.insert(rule.record_id());
        let due = Due::after(Duration::ZERO, now);
        let is_once = rule
            .condition
            .as_ref()
            .is_none_or(|condition| condition.mode != ConditionMode::Always);
        if is_once {
            rule.due = due;
            rule.condition = None;
            return true;
        }
        let single = Timer {
            id: self.last + 1,
            due,
            condition: None,
            occurrence_of: Some(id),
            ..rule.clone()
        };
        self.last += 1;
        self.changed.insert(single.record_id());
        self.pending.insert(single.id, single);
        true
    }

    /// Adds the event about a rule that cannot fire, to be delivered. The rule waits on.
    pub fn add_event(&mut self, id: TimerId, event: serde_json::Value, now: &Clocks) {
        if self.has_occurrence(id) {
            return;
        }
        let Some(rule) = self.pending.get(&id) else {
            return;
        };
        self.last += 1;
        let single = Timer {
            id: self.last,
            due: Due::after(Duration::ZERO, now),
            condition: None,
            occurrence_of: Some(id),
            event: Some(event),
            ..rule.clone()
        };
        self.changed.insert(single.record_id());
        self.pending.insert(single.id, single);
    }
}
