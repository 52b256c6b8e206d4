//! Discovery beside the event loop: announcements are parsed and homes are built on a blocking
//! thread, so that a large home never delays a command.
//!
//! The [`Finder`] is either idle here or with the one blocking task. Announcements that arrive
//! meanwhile wait, within a bound in bytes.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tracing::{error, warn};

use crate::clock::now;
use crate::discovery::Settings;
use crate::discovery::finder::Finder;
use crate::home::{Home, HomeConflict};
use crate::pipeline::Pipeline;

/// The most bytes of announcements that wait for the blocking task: as many as discovery keeps.
const MAX_WAITING_BYTES: usize = 16 << 20;

/// The result of building a home: the home, or its conflicts with the declared devices.
pub(super) type BuildResult = Result<Arc<Home>, Vec<HomeConflict>>;

struct QueuedAnnouncement {
    topic: String,
    payload: Bytes,
    received_at: Instant,
}

/// Builds homes from announcements and the declared devices.
pub(super) struct HomeBuilder {
    settings: Settings,
    /// `None` while the blocking task has it.
    finder: Option<Box<Finder>>,
    task: Option<JoinHandle<(Box<Finder>, Option<BuildResult>)>>,
    waiting: Vec<QueuedAnnouncement>,
    waiting_bytes: usize,
    has_overflowed: bool,
    is_requested: bool,
}

impl HomeBuilder {
    pub(super) fn new(settings: Settings, finder: Finder) -> Self {
        Self {
            settings,
            finder: Some(Box::new(finder)),
            task: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            has_overflowed: false,
            is_requested: false,
        }
    }

    /// Returns whether a message on this topic announces devices.
    pub(super) fn is_announcement(&self, topic: &str) -> bool {
        self.settings.matches(topic)
    }

    /// Takes in an announcement.
    pub(super) fn announce(&mut self, topic: String, payload: Bytes, pipeline: &Arc<Pipeline>) {
        let bytes = topic.len() + payload.len();
        if self.waiting_bytes + bytes > MAX_WAITING_BYTES {
            if !std::mem::replace(&mut self.has_overflowed, true) {
                warn!(topic, "announcements are dropped: too many arrive at once");
            }
            return;
        }
        self.waiting_bytes += bytes;
        self.waiting.push(QueuedAnnouncement {
            topic,
            payload,
            received_at: now(),
        });
        self.start(pipeline);
    }

    /// Returns the filters and topics to follow in `home`: announcements and the states of devices.
    pub(super) fn topics(&self, home: &Home) -> Vec<String> {
        let mut topics = self.settings.filters();
        topics.extend(home.state_topics().map(str::to_owned));
        topics
    }

    /// Requests a home from everything announced up to now.
    pub(super) fn request(&mut self, pipeline: &Arc<Pipeline>) {
        self.is_requested = true;
        self.start(pipeline);
    }

    /// Returns the moment at which a home should be requested, if any.
    pub(super) fn due(&self) -> Option<Instant> {
        self.finder.as_ref()?.build_due()
    }

    /// Returns the finder, unless the blocking task has it.
    pub(super) fn finder(&mut self) -> Option<&mut Finder> {
        self.finder.as_deref_mut()
    }

    /// Returns whether a task is running whose end [`finished`](Self::finished) returns.
    pub(super) fn is_busy(&self) -> bool {
        self.task.is_some()
    }

    /// Waits for the running task, and returns the home if one was requested.
    pub(super) async fn finished(&mut self, pipeline: &Arc<Pipeline>) -> Option<BuildResult> {
        let task = self.task.as_mut()?;
        let result = task.await;
        self.task = None;
        let built = match result {
            Ok((finder, built)) => {
                self.finder = Some(finder);
                built
            }
            Err(error) => {
                error!(%error, "discovery has failed: restart sayso");
                None
            }
        };
        self.start(pipeline);
        built
    }

    /// Starts the blocking task, if there is work and the finder is idle.
    fn start(&mut self, pipeline: &Arc<Pipeline>) {
        if self.waiting.is_empty() && !self.is_requested {
            return;
        }
        let Some(mut finder) = self.finder.take() else {
            return;
        };
        let announcements = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.has_overflowed = false;
        let is_requested = std::mem::take(&mut self.is_requested);
        let pipeline = Arc::clone(pipeline);
        self.task = Some(tokio::task::spawn_blocking(move || {
            for announcement in announcements {
                let QueuedAnnouncement {
                    topic,
                    payload,
                    received_at,
                } = announcement;
                finder.receive(&topic, &payload, received_at);
            }
            let built = is_requested.then(|| build(&mut finder, &pipeline));
            (finder, built)
        }));
    }
}

/// Builds a home, and computes the parts that the next command needs.
fn build(finder: &mut Finder, pipeline: &Pipeline) -> BuildResult {
    let home = Arc::new(finder.build()?.home);
    pipeline.prepare(&home);
    Ok(home)
}
