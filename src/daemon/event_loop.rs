//! The event loop: takes in commands, states and announcements, starts a task for each command, and
//! reacts to signals and to changes of the broker, the journal and the providers.
//!
//! Nothing in it blocks: homes are built on a thread of their own, and the disk is waited for in
//! tasks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time;
use tokio::time::{MissedTickBehavior, timeout};
use tracing::{error, info, warn};

use crate::clock::now;
use crate::config::{Config, ConfigLocation};
use crate::daemon::home_builder::HomeBuilder;
use crate::daemon::in_flight::CommandTask;
use crate::daemon::memory::MemoryRelease;
use crate::daemon::pair_node::{PairNode, next_step};
use crate::daemon::reply_faults::ReplyFault;
use crate::daemon::signal::{CLOSING_TIME, DaemonSignal};
use crate::daemon::storage::{open_drafts, open_spending};
use crate::delivery::Delivery;
use crate::mqtt::inbox::{AckToken, Inbox, Incoming};
use crate::mqtt::outbound_message::OutboundMessage;
use crate::mqtt::outbox::Outbox;
use crate::pipeline::Pipeline;
use crate::store::journal::{Health, Seq};
use crate::systemd::Notify;
use crate::telemetry::log::Log;

/// The time in which a leader that stops ends the commands in progress, if another node continues:
/// nobody is served meanwhile. A command without a model takes milliseconds.
const HANDOVER: Duration = Duration::from_millis(500);

/// The interval at which health is published.
const HEALTH_INTERVAL: Duration = Duration::from_mins(1);

/// The time for which the answer to an operator's request may wait for the broker.
const ADMIN_ANSWER_TTL: Duration = Duration::from_secs(30);

/// Time after which systemd is notified that the daemon serves without a broker.
const BROKER_TIMEOUT: Duration = Duration::from_secs(20);

/// A command on its way to its reply.
type CommandFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Parts of which the event loop is made, in addition to the command task.
pub(super) struct Parts {
    /// Acknowledges commands to the broker once they are on disk.
    pub(super) ack_tokens: mpsc::Sender<(AckToken, Option<Seq>)>,
    /// Shows each new pipeline to the tasks in the background.
    pub(super) newest_pipeline: watch::Sender<Arc<Pipeline>>,
    pub(super) homes: HomeBuilder,
    pub(super) log: Log,
    /// The broker's address, for the log.
    pub(super) broker: String,
    /// The part of a node of a pair.
    pub(super) pair: Option<PairNode>,
}

/// The parts of the status that only the event loop knows.
#[derive(Debug, Default)]
pub(super) struct ServiceStatus {
    /// The reason the broker is unavailable, while it is.
    pub(super) broker_error: Option<String>,
    /// True once a connection to the broker was made.
    pub(super) was_connected: bool,
    /// True once systemd was notified that the daemon serves.
    pub(super) is_ready: bool,
    /// The number of faults found by the last reload; the earlier configuration is in use then.
    pub(super) config_faults: usize,
    /// Parts of the configuration that differ from those of the other node.
    pub(super) pair_differences: Vec<String>,
}

/// The event loop of the daemon.
pub(super) struct EventLoop {
    /// The task of the next command; each command has a clone.
    pub(super) task: CommandTask,
    pub(super) newest_pipeline: watch::Sender<Arc<Pipeline>>,
    pub(super) ack_tokens: mpsc::Sender<(AckToken, Option<Seq>)>,
    /// The commands in progress.
    pub(super) commands: JoinSet<()>,
    /// Commands that wait until the broker has sent its retained announcements and states, or
    /// `None` while none has to wait. In a part of the home a command would be misunderstood, and a
    /// toggle would start from a state of before the connection broke.
    pub(super) held: Option<Vec<CommandFuture>>,
    /// A message published after the subscriptions: when the broker has acknowledged it, it has
    /// sent its retained messages.
    pub(super) retained_marker: Option<Delivery>,
    pub(super) homes: HomeBuilder,
    /// True while the held commands wait for the home that is being built.
    pub(super) release_after_build: bool,
    /// True while the announced devices conflict with the declared ones, and that was logged.
    pub(super) has_conflicts: bool,
    /// A reload that waits until discovery is idle.
    pub(super) pending_reload: Option<Box<ConfigLocation>>,
    pub(super) broker: String,
    pub(super) status: ServiceStatus,
    journal_health: watch::Receiver<Health>,
    last_journal_health: Health,
    /// Changed whenever a provider becomes available or unavailable.
    provider_changes: watch::Receiver<()>,
    /// The longest time without progress of a connection in order.
    pub(super) max_silence: Duration,
    pub(super) log: Log,
    /// The configuration in use.
    pub(super) config: Config,
    /// The part of a node of a pair; `None` for a daemon on its own.
    pub(super) pair: Option<PairNode>,
    pub(super) memory: MemoryRelease,
}

impl EventLoop {
    pub(super) fn new(task: CommandTask, parts: Parts, config: Config) -> Self {
        let journal_health = task.journal.health();
        let last_journal_health = *journal_health.borrow();
        Self {
            newest_pipeline: parts.newest_pipeline,
            ack_tokens: parts.ack_tokens,
            commands: JoinSet::new(),
            held: Some(Vec::new()),
            retained_marker: None,
            homes: parts.homes,
            release_after_build: false,
            has_conflicts: false,
            pending_reload: None,
            broker: parts.broker,
            status: ServiceStatus::default(),
            journal_health,
            last_journal_health,
            provider_changes: task.pipeline.services().router.state_changes(),
            max_silence: config.mqtt.keep_alive * 4,
            log: parts.log,
            task,
            config,
            pair: parts.pair,
            memory: MemoryRelease::new(now()),
        }
    }

    /// Returns the number of commands in progress.
    pub(super) fn in_flight(&self) -> usize {
        self.commands.len()
    }

    /// Serves until it receives the signal to stop.
    pub(super) async fn serve(
        &mut self,
        inbox: &mut Inbox,
        notify: &Notify,
        signals: &mut mpsc::Receiver<DaemonSignal>,
    ) {
        let mut health = time::interval(HEALTH_INTERVAL);
        let mut watchdog = time::interval(notify.watchdog_every().unwrap_or(HEALTH_INTERVAL));
        watchdog.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let broker_timeout = now() + BROKER_TIMEOUT;
        let outbox = self.task.outbox.clone();
        let journal = Arc::clone(&self.task.journal);
        let is_pair = self.pair.is_some();
        loop {
            let build_due = self.homes.due();
            let memory_due = self.memory.due();
            let broker_due = (!self.status.is_ready).then_some(broker_timeout);
            let pipeline = Arc::clone(&self.task.pipeline);
            let takes_commands = self.takes_commands();
            // In this order: what waits in the inbox was sent before the broker's acknowledgement.
            tokio::select! {
                biased;
                signal = signals.recv() => match signal {
                    Some(DaemonSignal::Reload(location)) => self.start_reload(location, notify),
                    Some(DaemonSignal::Stop) | None => return,
                },
                _ = watchdog.tick() => self.feed_watchdog(notify),
                _ = health.tick() => {
                    self.sweep();
                    self.show_status(notify);
                }
                step = next_step(self.pair.as_mut()), if is_pair => {
                    self.take_pair_step(step, notify);
                }
                Some(ended) = self.commands.join_next() => {
                    report_end(ended);
                    while let Some(ended) = self.commands.try_join_next() {
                        report_end(ended);
                    }
                }
                Some(incoming) = next(&outbox, inbox, takes_commands), if self.has_room() => {
                    self.take(incoming, notify);
                    self.take_waiting(&outbox, inbox, notify);
                }
                () = acknowledged(&mut self.retained_marker), if self.retained_marker.is_some() => {
                    self.build_and_release();
                }
                built = self.homes.finished(&pipeline), if self.homes.is_busy() => {
                    self.take_home(built, notify);
                }
                recovered = journal.recovered_late() => self.recover(recovered),
                Ok(()) = self.journal_health.changed() => self.follow_journal_health(notify),
                Ok(()) = self.provider_changes.changed() => self.show_status(notify),
                () = until(build_due) => self.build_and_release(),
                () = until(memory_due) => self.memory.on_due(),
                () = until(broker_due) => {
                    warn!("the broker is not reached yet, trying again");
                    self.status.is_ready = true;
                    notify.ready(&self.status_line());
                }
            }
        }
    }

    /// Forgets everything whose time is over, and gives memory back.
    fn sweep(&mut self) {
        self.task.pipeline.sweep();
        self.task.journal.sweep();
        self.task.report_waits.sweep();
        self.task.reply_faults.report_counted(now());
        let commands = self.task.counters.commands_received.value();
        self.memory.on_minute(commands);
    }

    pub(super) fn connected(&mut self, session_present: bool, connection: u64, notify: &Notify) {
        let is_session_lost = !session_present && self.pair.is_none();
        if is_session_lost {
            self.task.journal.session_lost(connection);
        }
        if self.pair.is_some() {
            info!(session_present, "connected to the broker as an observer");
        } else {
            info!(session_present, "connected to the broker, serving");
        }
        let is_first = !self.status.was_connected;
        if !is_first && is_session_lost {
            warn!(
                "the broker has no session for this client: commands sent while sayso was not \
                 connected are lost"
            );
        }
        if is_first && let Some(finder) = self.homes.finder() {
            finder.schedule_build(now());
        }
        self.status.was_connected = true;
        self.status.is_ready = true;
        self.status.broker_error = None;
        notify.ready(&self.status_line());
        self.retained_marker = match &self.pair {
            Some(_) => self.publish_report(),
            None => self.publish_health(),
        };
        if self.retained_marker.is_none() {
            self.build_and_release();
        }
    }

    /// Answers an operator's request below the topic it came on, which the same access rule guards.
    pub(super) fn answer_admin(
        &mut self,
        topic: String,
        payload: Bytes,
        correlation: Option<Vec<u8>>,
    ) {
        let pipeline = Arc::clone(&self.task.pipeline);
        let outbox = self.task.outbox.clone();
        let reply_faults = self.task.reply_faults.clone();
        self.commands.spawn(async move {
            let source = topic.rsplit('/').next().unwrap_or_default().to_owned();
            // It may read the whole cache on disk.
            let answer = tokio::task::spawn_blocking(move || pipeline.admin(&source, &payload));
            let Ok(answer) = answer.await else {
                return;
            };
            let topic = format!("{topic}/answer");
            let message = OutboundMessage::to(topic.clone(), answer.to_string())
                .with_correlation(correlation)
                .until(now() + ADMIN_ANSWER_TTL);
            if outbox.publish(message).is_err() {
                reply_faults.note(ReplyFault::Unanswered, &topic, None, now());
            }
        });
    }

    /// Follows the journal into failure and back: the cache and the spending on disk are released
    /// or opened again.
    fn follow_journal_health(&mut self, notify: &Notify) {
        let health = *self.journal_health.borrow_and_update();
        let before = std::mem::replace(&mut self.last_journal_health, health);
        if (health == Health::Failing) != (before == Health::Failing) {
            let store = self.task.journal.store();
            let store = store.as_deref();
            let services = self.task.pipeline.services();
            let drafts = store.and_then(|store| open_drafts(store, &self.config.recall));
            services.cache.keep_on_disk(drafts);
            let spending = store.and_then(open_spending);
            services.router.keep_spending(spending.as_ref());
            if let Some(store) = store {
                self.task.pipeline.keep_timers_in(store);
            }
        }
        self.show_status(notify);
    }

    /// Returns whether this node leads a pair whose other node is there to continue.
    fn hands_over(&self) -> bool {
        let Some(node) = self.pair.as_ref().filter(|node| node.is_serving) else {
            return false;
        };
        node.pair().report().other.is_some_and(|other| other.online)
    }

    /// Lets the commands in progress end within the grace period. Near its end those that still
    /// wait for a model are answered `stopping`; in a pair the other node answers them.
    pub(super) async fn finish(&mut self, grace: Duration) {
        if self.pair.as_ref().is_none_or(|node| node.is_serving) {
            self.release();
        } else {
            self.task.outbox.clear();
        }
        if self.hands_over() {
            // The broker sends the other node all that has no reply.
            let _ = timeout(grace.min(HANDOVER), ended(&mut self.commands)).await;
            return self.commands.shutdown().await;
        }
        let in_time = timeout(
            grace.saturating_sub(CLOSING_TIME),
            ended(&mut self.commands),
        );
        if in_time.await.is_err() {
            self.task.pipeline.stop_waiting();
            let _ = timeout(CLOSING_TIME / 2, ended(&mut self.commands)).await;
        }
        self.commands.shutdown().await;
    }
}

/// Reports a command whose task has failed.
fn report_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a command ended with an internal error");
    }
}

/// Waits until the message is acknowledged or lost.
async fn acknowledged(delivery: &mut Option<Delivery>) {
    if let Some(delivery) = delivery {
        let _ = delivery.await;
    }
}

/// Waits until `due`, or for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits until all commands have ended.
async fn ended(commands: &mut JoinSet<()>) {
    while commands.join_next().await.is_some() {}
}

/// Waits for the next message, once the outbox has room for the messages it leads to.
async fn next(outbox: &Outbox, inbox: &mut Inbox, takes_commands: bool) -> Option<Incoming> {
    outbox.until_room().await;
    if takes_commands {
        inbox.next().await
    } else {
        inbox.next_but_commands().await
    }
}
