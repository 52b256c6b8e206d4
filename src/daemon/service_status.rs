//! The state of the service for its operators: the status line of systemd, the watchdog, and
//! health.

use std::fmt::Write as _;

use tracing::error;

use crate::clock::now;
use crate::daemon::event_loop::EventLoop;
use crate::delivery::Delivery;
use crate::mqtt::outbound_message::OutboundMessage;
use crate::store::journal::Health;
use crate::systemd::Notify;

impl EventLoop {
    /// Publishes health and shows the status line.
    pub(super) fn show_status(&mut self, notify: &Notify) {
        drop(self.publish_health());
        self.show_pair();
        notify.status(&self.status_line());
    }

    /// Tells systemd that the daemon works, unless the connection or a command has stalled; after a
    /// while systemd restarts it.
    pub(super) fn feed_watchdog(&self, notify: &Notify) {
        let now = now();
        let silence = now.saturating_duration_since(self.task.outbox.last_progress());
        let connection_works = silence < self.max_silence;
        let commands_end = self.task.liveness.is_live(now);
        if connection_works && commands_end {
            notify.watchdog();
        } else {
            error!(
                polls = connection_works,
                answers = commands_end,
                "something hangs: the watchdog is not fed"
            );
        }
    }

    /// Returns the state of the service in one line, for `systemctl status`.
    pub(super) fn status_line(&self) -> String {
        let broker = &self.broker;
        let home = self.task.pipeline.home();
        let devices = home.devices().len();
        let areas = home.areas().len();
        let providers = self.task.pipeline.services().router.health();
        let mut status = match &self.status.broker_error {
            None if self.status.was_connected => format!("serving at {broker}"),
            None => format!("waiting for the broker at {broker}"),
            Some(error) => format!("waiting for the broker at {broker}: {error}"),
        };
        // Writing to a string cannot fail.
        let _ = write!(
            status,
            "; {devices} device{} in {areas} area{}",
            plural(devices),
            plural(areas)
        );
        if let Some(node) = &self.pair {
            let _ = write!(status, "; {}", node.replica.pair.report().summary());
        }
        if providers.is_empty() {
            status.push_str("; no model");
        } else {
            let summaries: Vec<String> = providers
                .iter()
                .map(|provider| format!("{} {}", provider.name, provider.state))
                .collect();
            let _ = write!(status, "; models: {}", summaries.join(", "));
        }
        match *self.task.journal.health().borrow() {
            Health::Failing => {
                status.push_str("; THE STORE TAKES NOTHING: commands do not survive a restart");
            }
            Health::Slow => status.push_str("; the disk is slow"),
            Health::Safe | Health::Absent => {}
        }
        let faults = self.status.config_faults;
        if faults > 0 {
            let _ = write!(
                status,
                "; NOT RELOADED: {faults} fault{} in the config, see the log",
                plural(faults)
            );
        }
        status
    }

    /// Publishes health. Where the outbox has no room, the next minute has another.
    pub(super) fn publish_health(&self) -> Option<Delivery> {
        let topic = format!("{}/health", self.config.mqtt.prefix);
        let mut health = self.task.pipeline.health();
        for (name, value) in self.config.log.names.fields() {
            health[name] = value.into();
        }
        if let Some(node) = &self.pair {
            // The leader speaks for the pair.
            if !node.is_serving {
                return None;
            }
            health["pair"] = serde_json::to_value(node.replica.pair.report()).unwrap_or_default();
        }
        let message = OutboundMessage::to(topic, health.to_string()).retained();
        self.task.outbox.publish(message).ok()
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}
