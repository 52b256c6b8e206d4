//! Rules that wait for a device which the home does not have any more: it was removed, or renamed,
//! and then has another identifier. They wait on, because the device may return.

use tracing::warn;

use crate::command::phrase::Phrase;
use crate::home::Home;
use crate::pipeline::condition_speech::missing_devices;
use crate::pipeline::firing::TimerOutcome;
use crate::pipeline::handle::Pipeline;
use crate::vocabulary::speech::fill;

impl Pipeline {
    /// Reports the rules whose device was in the home before this one, and is gone.
    pub(super) fn report_orphaned_rules(&self, before: &Home) {
        if !self.fires_timers() {
            return;
        }
        let home = self.home();
        let clocks = self.clocks();
        let mut timers = self.shared.timers();
        let rules: Vec<_> = timers
            .waiting()
            .filter(|timer| timer.condition.is_some())
            .cloned()
            .collect();
        for rule in &rules {
            let missing = rule.condition.iter();
            let mut missing = missing.flat_map(|condition| missing_devices(condition, &home));
            let Some(device) = missing.find_map(|id| before.device(id)) else {
                continue;
            };
            warn!(
                timer = rule.id,
                command_id = rule.command_id,
                device = device.id.as_str(),
                "the device of a rule is gone: the rule does not fire before it is back"
            );
            let phrase = Phrase::new(&rule.text, None, rule.language.as_deref());
            let speech = self.services.grammar.speech(&phrase);
            let why = fill(&speech.condition.gone, &[("device", &device.name)]);
            let event = self.not_done(rule, TimerOutcome::Failed, &why, speech);
            timers.add_event(rule.id, event.payload, &clocks);
        }
        drop(timers);
        if !rules.is_empty() {
            // The list of timers names the devices that are missing.
            self.shared.timers_changed.notify_one();
        }
    }
}
