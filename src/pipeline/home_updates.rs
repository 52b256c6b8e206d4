//! What changes the home and the states of its devices while commands are processed.
//!
//! It is beside the way of a command, and knows nothing of phrases. A new home or a message from a
//! state topic enters; the shared state, the order of devices and the rules that wait for a state
//! are updated.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::binding::Decoded;
use crate::clock::now;
use crate::home::Home;
use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::home::state::{Report, State};
use crate::pipeline::handle::Pipeline;
use crate::vocabulary::action::Action;
use crate::vocabulary::slug::Slug;

impl Pipeline {
    /// Replaces the home. The state of devices that stay is kept. A command that waits for a model
    /// is permitted in the home at the time of the answer.
    pub fn replace_home(&self, home: Arc<Home>) {
        let old = self.home();
        let state = home.carry_over(&old, &self.shared.state());
        *self.shared.state() = state;
        self.shared
            .device_order()
            .retain(|device| home.device(device.as_str()).is_some());
        self.shared
            .dialogue()
            .retain_devices(|device| old.device(device) == home.device(device));
        // A confirmation must not reach another device than the one the question named.
        let is_same = |action: &Action| old.device(&action.device) == home.device(&action.device);
        self.shared.confirmations().retain(|draft| {
            let offered = draft.choices.iter().flat_map(|choice| &choice.actions);
            draft.actions.iter().chain(offered).all(is_same)
        });
        *self.shared.home() = home;
        self.report_orphaned_rules(&old);
    }

    /// Computes the derived data of a home before it becomes the current one. Blocks for a while
    /// for a large home.
    pub fn prepare(&self, home: &Home) {
        self.services.grammar.prepare(home);
        self.services.composer.fingerprint(home);
    }

    /// Takes in a message from a state topic. States that cannot be read in time are unknown from
    /// then on.
    pub fn observe(&self, topic: &str, payload: &[u8]) {
        self.take_state(topic, payload, false);
    }

    /// Takes in a message that the broker had kept: it may be old, and fires no rule.
    pub fn observe_retained(&self, topic: &str, payload: &[u8]) {
        self.take_state(topic, payload, true);
    }

    fn take_state(&self, topic: &str, payload: &[u8], is_retained: bool) {
        let observed = self.read_state(topic, payload);
        if observed.is_empty() {
            return;
        }
        debug!(topic, properties = observed.len(), "state received");
        let mut devices: Vec<Slug> = Vec::new();
        let mut state = self.shared.state();
        for report in observed {
            if !devices.contains(&report.device) {
                devices.push(report.device.clone());
            }
            state.report(report, now());
        }
        drop(state);
        self.follow_rules(&devices, is_retained);
        self.shared.reported.notify_waiters();
    }

    /// Reads a state message as far as the budget allows. The other properties are unknown.
    fn read_state(&self, topic: &str, payload: &[u8]) -> Vec<Report> {
        let home = self.home();
        let mut budget = self.shared.state_budget();
        let mut moment = now();
        let mut message = budget.begin(moment);
        let mut slowest = None;
        let observed = home.observe_with(topic, payload, |device, capability, json| {
            let number = || reading_number(device, capability);
            let has_template = capability.binding.has_state_template();
            if has_template || message.is_clock_due() {
                budget.take(since(&mut moment));
            }
            let reading = has_template.then_some(number);
            if !budget.may_read(&mut message, reading, moment) {
                let took = budget.took(number());
                slowest = slowest.take().max(Some((took, device.id.clone())));
                return Some(Decoded::Unrecognized(String::new()));
            }
            let decoded = capability.binding.decode(topic, json);
            if has_template {
                budget.spend(number, since(&mut moment), moment);
            }
            decoded
        });
        budget.take(since(&mut moment));
        if let Some((took, device)) = slowest
            && budget.should_report(moment)
        {
            warn!(
                topic,
                device = device.as_str(),
                template_us = took.map(|took| took.as_micros()),
                "a state message is not read to its end: its templates take too long"
            );
        }
        observed
    }

    /// Replaces all that is known of the devices' state, with the contents of a file for example.
    pub fn set_state(&self, state: State) {
        *self.shared.state() = state;
    }
}

/// Returns the time since a moment, and sets the moment to now.
fn since(moment: &mut Instant) -> Duration {
    let before = std::mem::replace(moment, now());
    moment.saturating_duration_since(before)
}

/// Returns the number of a reading in the budget of time.
fn reading_number(device: &Device, capability: &Capability) -> u64 {
    let mut hasher = DefaultHasher::new();
    device.id.hash(&mut hasher);
    capability.property.hash(&mut hasher);
    hasher.finish()
}
