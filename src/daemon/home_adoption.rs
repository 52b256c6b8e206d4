//! A new revision of the home: built beside the loop, and adopted with its subscriptions and its
//! pipeline.
//!
//! It does not know announcements or files; `home_builder` and `reload` make the parts.

use std::sync::Arc;

use tracing::{info, warn};

use crate::clock::now;
use crate::config::ConfigLocation;
use crate::daemon::event_loop::EventLoop;
use crate::daemon::home_builder::BuildResult;
use crate::pipeline::Pipeline;
use crate::systemd::Notify;
use crate::vocabulary::shared_str::SharedStr;

impl EventLoop {
    /// Builds the home from everything announced, and then starts the commands that wait for it.
    pub(super) fn build_and_release(&mut self) {
        self.retained_marker = None;
        self.release_after_build = true;
        self.homes.request(&self.task.pipeline);
    }

    /// Takes in the end of a task of discovery, with the home it was asked for.
    pub(super) fn take_home(&mut self, built: Option<BuildResult>, notify: &Notify) {
        if let Some(built) = built {
            self.adopt_home(built);
            self.memory.note_home(now());
            notify.status(&self.status_line());
            if std::mem::take(&mut self.release_after_build) {
                self.warn_without_devices();
                if let Some(node) = &mut self.pair {
                    node.has_home = true;
                }
                drop(self.publish_report());
                if self.may_release() {
                    self.release();
                }
            }
        }
        if !self.homes.is_busy()
            && let Some(location) = self.pending_reload.take()
        {
            self.reload(&location, notify);
        }
    }

    fn warn_without_devices(&self) {
        if self.held.is_some() && self.task.pipeline.home().devices().is_empty() {
            warn!(
                "there is no device yet: nothing can be commanded; write a home.toml, or let \
                 devices announce themselves"
            );
        }
    }

    /// Makes a built home the current one, unless nothing changed.
    pub(super) fn adopt_home(&mut self, built: BuildResult) {
        let home = match built {
            Ok(home) => home,
            Err(conflicts) => {
                let conflicts: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
                if !std::mem::replace(&mut self.has_conflicts, true) {
                    let clashes = conflicts.join("; ");
                    warn!(
                        clashes,
                        "the home file does not fit the devices announced: the home stays as it is"
                    );
                }
                return;
            }
        };
        self.has_conflicts = false;
        if home.revision() == self.task.pipeline.home().revision() {
            return;
        }
        let topics = self.homes.topics(&home);
        info!(
            devices = home.devices().len(),
            areas = home.areas().len(),
            topics = topics.len(),
            "devices found"
        );
        self.task.pipeline.replace_home(home);
        self.protect_devices();
        let states = match &self.pair {
            Some(node) => &node.observer,
            None => &self.task.outbox,
        };
        if let Err(error) = states.follow(topics) {
            warn!(%error, "the states of new devices cannot be followed");
        }
        drop(self.publish_health());
        drop(self.publish_report());
    }

    /// Allows no reply on a topic of a device, as far as a client may name one.
    pub(super) fn protect_devices(&self) {
        let mqtt = &self.config.mqtt;
        let own = format!("{}/reply/", mqtt.prefix);
        let beginnings = mqtt.reply_prefixes.iter().chain([&own]);
        let home = self.task.pipeline.home();
        let states = home.state_topics().map(str::to_owned);
        let topics = home.command_topics().chain(states);
        let reachable = topics.filter(|topic| {
            let mut beginnings = beginnings.clone();
            beginnings.any(|beginning| topic.starts_with(beginning.as_str()))
        });
        let topics = reachable.map(SharedStr::from).collect();
        self.task.outbox.device_topics().replace(topics);
    }

    /// Reloads at once, or when discovery is idle again.
    pub(super) fn start_reload(&mut self, location: Box<ConfigLocation>, notify: &Notify) {
        if self.homes.is_busy() {
            self.pending_reload = Some(location);
        } else {
            self.reload(&location, notify);
        }
    }

    /// Processes the following commands with this pipeline.
    pub(super) fn replace_pipeline(&mut self, pipeline: Pipeline) {
        self.task.pipeline = Arc::new(pipeline);
        self.newest_pipeline
            .send_replace(Arc::clone(&self.task.pipeline));
    }
}
