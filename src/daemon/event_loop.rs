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
use tokio::time::{self, MissedTickBehavior, timeout};
use tracing::{debug, error, info, warn};

use crate::clock::now;
use crate::command::reply::Reply;
use crate::command::{Command, Redelivery, ReplyTo};
use crate::config::{Config, ConfigLocation};
use crate::daemon::home_builder::{BuildResult, HomeBuilder};
use crate::daemon::in_flight::CommandTask;
use crate::daemon::memory::MemoryRelease;
use crate::daemon::pair_node::{PairNode, next_step};
use crate::daemon::reply_faults::ReplyFault;
use crate::daemon::signal::{CLOSING_TIME, DaemonSignal};
use crate::daemon::storage::{open_drafts, open_spending};
use crate::delivery::Delivery;
use crate::mqtt::inbox::{AckToken, InboundCommand, Inbox, Incoming};
use crate::mqtt::outbound_message::OutboundMessage;
use crate::mqtt::outbox::Outbox;
use crate::pipeline::Pipeline;
use crate::store::journal::{Health, JournalEntry, Received, Seq};
use crate::systemd::Notify;
use crate::telemetry::log::Log;
use crate::vocabulary::shared_str::SharedStr;

/// The time in which a leader that stops ends the commands in progress, if another node continues:
/// nobody is served meanwhile. A command without a model takes milliseconds.
const HANDOVER: Duration = Duration::from_millis(500);

/// The most commands in progress. Of these only a bounded part may wait for models; past it the
/// inbox fills and answers `busy`.
const MAX_COMMANDS: usize = 2048;

/// The most messages that are taken in before the loop looks at its other events.
const MAX_TAKEN: usize = 32;

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
    newest_pipeline: watch::Sender<Arc<Pipeline>>,
    ack_tokens: mpsc::Sender<(AckToken, Option<Seq>)>,
    /// The commands in progress.
    commands: JoinSet<()>,
    /// Commands that wait until the broker has sent its retained announcements and states, or
    /// `None` while none has to wait. In a part of the home a command would be misunderstood, and a
    /// toggle would start from a state of before the connection broke.
    held: Option<Vec<CommandFuture>>,
    /// A message published after the subscriptions: when the broker has acknowledged it, it has
    /// sent its retained messages.
    retained_marker: Option<Delivery>,
    pub(super) homes: HomeBuilder,
    /// True while the held commands wait for the home that is being built.
    pub(super) release_after_build: bool,
    /// True while the announced devices conflict with the declared ones, and that was logged.
    has_conflicts: bool,
    /// A reload that waits until discovery is idle.
    pending_reload: Option<Box<ConfigLocation>>,
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
    memory: MemoryRelease,
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

    /// Returns whether the next message may be taken from the inbox.
    ///
    /// While commands are held back for the home, the inbox is always read: the message that ends
    /// the wait is in it, and recovered commands may already use up the journal's room.
    fn has_room(&self) -> bool {
        self.held.is_some() || (self.commands.len() < MAX_COMMANDS && self.task.journal.has_room())
    }

    /// Returns whether the next message may be a command. Held commands take memory: where they, or
    /// recovered ones, use up the journal's room, further ones wait in the inbox, which is bounded.
    fn takes_commands(&self) -> bool {
        self.held.is_none() || self.pair.is_some() || self.task.journal.has_room()
    }

    /// Takes in the messages that arrived with the last one, so that the loop does not look at all
    /// of its other events for each of them.
    fn take_waiting(&mut self, outbox: &Outbox, inbox: &mut Inbox, notify: &Notify) {
        for _ in 0..MAX_TAKEN {
            // The events of a pair come between two messages.
            let may_take = self.pair.is_none() && self.has_room() && self.takes_commands();
            if !may_take || !outbox.has_room() {
                return;
            }
            let Some(incoming) = inbox.take_waiting() else {
                return;
            };
            self.take(incoming, notify);
        }
    }

    /// Takes in one message from the broker connection.
    pub(super) fn take(&mut self, incoming: Incoming, notify: &Notify) {
        match incoming {
            Incoming::Command(command) if self.pair.is_some() => self.receive_as_leader(command),
            Incoming::Command(command) => self.receive(*command),
            Incoming::Refused(refused) => self.receive_refused(refused),
            Incoming::Control {
                topic,
                payload,
                correlation,
            } => self.answer_admin(topic, payload, correlation),
            Incoming::State { topic, payload, .. } if self.homes.is_announcement(&topic) => {
                self.homes.announce(topic, payload, &self.task.pipeline);
            }
            Incoming::State {
                topic,
                payload,
                is_retained: true,
            } => self.task.pipeline.observe_retained(&topic, &payload),
            Incoming::State { topic, payload, .. } => self.task.pipeline.observe(&topic, &payload),
            Incoming::Up {
                session_present,
                connection,
            } => self.connected(session_present, connection, notify),
            Incoming::Down { why } => {
                warn!(
                    why,
                    broker = self.broker,
                    "the broker is offline, trying again"
                );
                self.status.broker_error = Some(why);
                self.task.pipeline.forget_rule_states();
                if self.pair.is_none() {
                    self.held.get_or_insert_default();
                }
                notify.status(&self.status_line());
            }
        }
    }

    fn connected(&mut self, session_present: bool, connection: u64, notify: &Notify) {
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

    /// Enters a command in the journal and starts it. The broker's copy is acknowledged once the
    /// journal has it on disk.
    fn receive(&mut self, inbound: InboundCommand) {
        let InboundCommand {
            mut command,
            ack_token,
            redelivery,
            connection,
            topic,
            payload,
            identity: _,
        } = inbound;
        let mut received = self.journal_input(&command, topic, payload);
        received.packet = Some(ack_token.packet());
        let entry = self.task.journal.receive(received, connection, redelivery);
        let seq = match &entry {
            JournalEntry::New(seq) => Some(*seq),
            JournalEntry::Pending | JournalEntry::Answered(_) => None,
        };
        match entry {
            JournalEntry::New(seq) => {
                self.assign_seq(&mut command, seq);
                debug!(
                    command_id = command.id.as_str(),
                    seq = command.seq,
                    ?redelivery,
                    "received"
                );
                self.task.pipeline.expect(&command);
                // An earlier run may have carried out what the broker sends again.
                let task = self.task.clone();
                if matches!(redelivery, Redelivery::Marked | Redelivery::Certain) {
                    self.start(task.answer_again(command, seq));
                } else {
                    self.start(task.answer(command, seq));
                }
            }
            JournalEntry::Answered(reply) => {
                self.task.counters.commands_duplicate.increment();
                self.repeat_reply(*reply, command.reply_to);
            }
            JournalEntry::Pending => self.task.counters.commands_duplicate.increment(),
        }
        // There is nothing to acknowledge with QoS 0. The channel has room for every token the
        // broker waits for; without one it sends the command again.
        if ack_token.is_expected() {
            let _ = self.ack_tokens.try_send((ack_token, seq));
        }
    }

    /// Notes the number of a command, and the deadline that it had when it was first received.
    pub(super) fn assign_seq(&self, command: &mut Command, seq: Seq) {
        command.seq = seq.number();
        if command.is_dated
            && let Some(left) = self.task.journal.remaining(seq)
        {
            command.deadline = command.deadline.min(now() + left);
        }
    }

    /// Returns the entry of a command for the journal.
    pub(super) fn journal_input(
        &self,
        command: &Command,
        topic: String,
        payload: Bytes,
    ) -> Received {
        Received {
            topic,
            payload: payload.into(),
            response_topic: Some(command.reply_to.topic.clone()),
            correlation: command.reply_to.correlation.clone(),
            id: command.id_given.then(|| command.id.to_string()),
            packet: None,
            identity: None,
            is_dated: command.is_dated,
            until: self.task.journal.moment(command.remaining(now())),
        }
    }

    /// Starts a task that is not a command, at once.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.commands.spawn(task);
    }

    /// Ends all commands in progress, and holds those that follow.
    pub(super) fn give_up_commands(&mut self) {
        self.commands = JoinSet::new();
        self.held = Some(Vec::new());
    }

    /// Returns whether commands may be started once the home is known.
    fn may_release(&self) -> bool {
        match &self.pair {
            Some(node) => node.is_serving,
            None => self.task.outbox.is_up(),
        }
    }

    fn repeat_reply(&mut self, reply: Reply, reply_to: ReplyTo) {
        let task = self.task.clone();
        self.commands.spawn(async move {
            task.pipeline.reply_persisted(&reply).await;
            task.send_reply(None, reply.to_json(), &reply_to).await;
        });
    }

    /// Starts a command, once the home is known.
    pub(super) fn start(&mut self, command: impl Future<Output = ()> + Send + 'static) {
        let Some(held) = &mut self.held else {
            self.commands.spawn(command);
            return;
        };
        held.push(Box::pin(command));
        if held.len() >= MAX_COMMANDS {
            self.release();
        }
    }

    /// Starts the commands that waited for the home.
    pub(super) fn release(&mut self) {
        self.task.pipeline.start_timers();
        for command in self.held.take().into_iter().flatten() {
            self.commands.spawn(command);
        }
    }

    /// Builds the home from everything announced, and then starts the commands that wait for it.
    pub(super) fn build_and_release(&mut self) {
        self.retained_marker = None;
        self.release_after_build = true;
        self.homes.request(&self.task.pipeline);
    }

    /// Takes in the end of a task of discovery, with the home it was asked for.
    fn take_home(&mut self, built: Option<BuildResult>, notify: &Notify) {
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
    fn start_reload(&mut self, location: Box<ConfigLocation>, notify: &Notify) {
        if self.homes.is_busy() {
            self.pending_reload = Some(location);
        } else {
            self.reload(&location, notify);
        }
    }

    /// Answers an operator's request below the topic it came on, which the same access rule guards.
    fn answer_admin(&mut self, topic: String, payload: Bytes, correlation: Option<Vec<u8>>) {
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

    /// Processes the following commands with this pipeline.
    pub(super) fn replace_pipeline(&mut self, pipeline: Pipeline) {
        self.task.pipeline = Arc::new(pipeline);
        self.newest_pipeline
            .send_replace(Arc::clone(&self.task.pipeline));
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

/// Waits for the next message, once the outbox has room for the messages it leads to.
async fn next(outbox: &Outbox, inbox: &mut Inbox, takes_commands: bool) -> Option<Incoming> {
    outbox.until_room().await;
    if takes_commands {
        inbox.next().await
    } else {
        inbox.next_but_commands().await
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
