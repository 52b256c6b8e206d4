//! Where commands come in and replies go out: the journal and the broker are told, and the devices heard of.

use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{self, MissedTickBehavior, timeout};
use tracing::{debug, error, info, warn};

use crate::cache::DraftCache;
use crate::command::ReplyTo;
use crate::command::reply::Reply;
use crate::config::Config;
use crate::discovery::finder::Finder;
use crate::mqtt::inbox::{AckToken, InboundCommand, Inbox, Incoming};
use crate::mqtt::outbox::{Delivery, OutboundMessage, Outbox};
use crate::pipeline::Pipeline;
use crate::store::journal::{
    Health, JournalEntry, MAX_CRASHES, Received, Recovered, Seq, Unfinished,
};
use crate::systemd::Notify;
use crate::telemetry::log::Log;
use crate::wire;
use crate::wire::{Inbound, RejectedPayload};

use crate::daemon::in_flight::{CommandTask, dead_letter};
use crate::daemon::{DaemonSignal, LAST_WORDS, open_drafts, open_spending, pipeline_settings};

/// Commands being worked on at once. The most of them wait for models; past it the inbox fills and answers `busy`.
const MOST_AT_ONCE: usize = 1024;

/// How often health is published.
const HEALTH_EVERY: Duration = Duration::from_mins(1);

/// How long the answer to an operator may wait for the broker.
const CONTROL_PATIENCE: Duration = Duration::from_secs(30);

/// How long systemd waits for the broker before it is told that we serve without one.
const BROKER_PATIENCE: Duration = Duration::from_secs(20);

/// A command on its way to its reply.
type CommandsInFlight = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the desk holds besides the way of a command.
pub(super) struct Parts {
    /// Who acknowledges commands to the broker once they are safe.
    pub(super) receipts: mpsc::Sender<(AckToken, Option<Seq>)>,
    /// Who shows the newest pipeline's counts.
    pub(super) newest: watch::Sender<Arc<Pipeline>>,
    /// Who hears of devices.
    pub(super) finder: Finder,
    pub(super) log: Log,
    /// The broker's address, for the log.
    pub(super) broker: String,
}

/// What is to be told of how we are.
#[derive(Debug, Default)]
pub(super) struct ServiceStatus {
    /// Why the broker is away, while it is.
    away: Option<String>,
    /// True once a connection has stood.
    stood: bool,
    /// True once systemd was told that we serve.
    pub(super) ready: bool,
    /// How many faults the last reload found; what was read before holds then.
    pub(super) faults: usize,
}

/// Where commands come in and replies go out.
pub(super) struct EventLoop {
    pub(super) way: CommandTask,
    /// Whoever shows the pipeline's counts shows those of the newest.
    newest: watch::Sender<Arc<Pipeline>>,
    receipts: mpsc::Sender<(AckToken, Option<Seq>)>,
    /// The commands in flight.
    answers: JoinSet<()>,
    /// Until the broker has told which devices there are and how they are, commands wait here: in half a home they would be
    /// misunderstood, and a toggle would start from what was true before the connection broke.
    held: Option<Vec<CommandsInFlight>>,
    /// Ends when the broker has acknowledged what was said to it after the subscriptions: it has then told all it keeps.
    told: Option<Delivery>,
    /// Who hears of devices.
    pub(super) finder: Finder,
    /// True while what is announced does not fit what is declared, and that was told.
    clashed: bool,
    /// The broker's address, for the log.
    broker: String,
    pub(super) standing: ServiceStatus,
    /// How the journal is, and was when we last looked.
    journal: (watch::Receiver<Health>, Health),
    /// Whether a provider stands otherwise than before.
    providers: watch::Receiver<()>,
    /// The longest silence of a connection that is well.
    patience: Duration,
    pub(super) log: Log,
    /// What holds now.
    pub(super) config: Config,
}

impl EventLoop {
    pub(super) fn new(way: CommandTask, ends: Parts, config: Config) -> Self {
        let health = way.journal.health();
        let now = *health.borrow();
        Self {
            newest: ends.newest,
            receipts: ends.receipts,
            answers: JoinSet::new(),
            held: Some(Vec::new()),
            told: None,
            finder: ends.finder,
            clashed: false,
            broker: ends.broker,
            standing: ServiceStatus::default(),
            journal: (health, now),
            providers: way.pipeline.services().router.state_changes(),
            patience: config.mqtt.keep_alive * 4,
            log: ends.log,
            way,
            config,
        }
    }

    /// How many commands are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.answers.len()
    }

    pub(super) async fn serve(
        &mut self,
        inbox: &mut Inbox,
        notify: &Notify,
        told: &mut mpsc::Receiver<DaemonSignal>,
    ) {
        let mut health = time::interval(HEALTH_EVERY);
        let mut alive = time::interval(notify.watchdog_every().unwrap_or(HEALTH_EVERY));
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unready = Some(Box::pin(time::sleep(BROKER_PATIENCE)));
        let outbox = self.way.outbox.clone();
        let journal = Arc::clone(&self.way.journal);
        loop {
            let due = self.finder.build_due();
            // In this order: what waits in the inbox was said before the broker's acknowledgement came.
            // While commands are held back for the home, the inbox is always read: the message that
            // ends the wait is in it, and recovered commands may already use up the journal's room.
            tokio::select! {
                biased;
                told = told.recv() => match told {
                    Some(DaemonSignal::Reload(place)) => self.reload(&place, notify),
                    Some(DaemonSignal::Stop) | None => return,
                },
                _ = alive.tick() => if self.is_alive() { notify.watchdog() },
                _ = health.tick() => {
                    self.way.pipeline.sweep();
                    drop(self.publish_health());
                    notify.status(&self.status());
                }
                Some(ended) = self.answers.join_next() => if let Err(e) = ended { error!(error = %e, "a command ended without an answer") },
                Some(incoming) = next(&outbox, inbox), if self.held.is_some() || (self.answers.len() < MOST_AT_ONCE && journal.has_room()) => {
                    if self.take(incoming, notify) {
                        unready = None;
                    }
                }
                () = arrived(&mut self.told), if self.told.is_some() => self.settle(notify),
                recovered = journal.recovered_late() => self.inherit(recovered),
                Ok(()) = self.journal.0.changed() => self.look_at_journal(notify),
                Ok(()) = self.providers.changed() => {
                    drop(self.publish_health());
                    notify.status(&self.status());
                }
                () = until(due) => self.settle(notify),
                () = async { if let Some(sleep) = &mut unready { sleep.await } }, if unready.is_some() => {
                    unready = None;
                    warn!("no broker yet: going on trying");
                    self.standing.ready = true;
                    notify.ready(&self.status());
                }
            }
        }
    }

    /// Takes in what came. True where it is a new connection.
    pub(super) fn take(&mut self, incoming: Incoming, notify: &Notify) -> bool {
        match incoming {
            Incoming::Command(heard) => self.hear(*heard),
            Incoming::Control {
                topic,
                payload,
                correlation,
            } => self.control(topic, payload, correlation),
            Incoming::State { topic, payload } if self.finder.is_announcement(&topic) => {
                self.finder.receive(&topic, &payload, crate::clock::now());
            }
            Incoming::State { topic, payload } => self.way.pipeline.observe(&topic, &payload),
            Incoming::Up { session_present } => {
                info!(session_present, "connected to the broker, serving");
                if self.standing.stood && !session_present {
                    warn!(
                        "the broker has forgotten our session: what was said while the connection was away is lost"
                    );
                }
                if !self.standing.stood {
                    self.finder.schedule_build(crate::clock::now());
                }
                (self.standing.stood, self.standing.ready, self.standing.away) = (true, true, None);
                notify.ready(&self.status());
                self.told = self.publish_health();
                if self.told.is_none() {
                    self.settle(notify);
                }
                return true;
            }
            Incoming::Down { why } => {
                warn!(
                    why,
                    broker = self.broker,
                    "the broker is away, trying again"
                );
                self.standing.away = Some(why);
                self.held.get_or_insert_default();
                notify.status(&self.status());
            }
        }
        false
    }

    /// An operator asks something; the answer goes out below the topic it was asked on, which the same access rule guards.
    fn control(&mut self, topic: String, payload: Bytes, correlation: Option<Vec<u8>>) {
        let (pipeline, outbox) = (Arc::clone(&self.way.pipeline), self.way.outbox.clone());
        self.answers.spawn(async move {
            let who = topic.rsplit('/').next().unwrap_or_default().to_owned();
            // It may read all of the disk's tier; commands do not wait for that.
            let Ok(answer) =
                tokio::task::spawn_blocking(move || pipeline.admin(&who, &payload)).await
            else {
                return;
            };
            let deadline = crate::clock::now() + CONTROL_PATIENCE;
            let message = OutboundMessage::to(format!("{topic}/answer"), answer.to_string())
                .with_correlation(correlation)
                .until(deadline);
            if outbox.publish(message).is_err() {
                warn!(
                    "an operator's request is not answered: too many messages wait for the broker"
                );
            }
        });
    }

    /// The poll loop moves, or is trying, and commands come to an end: systemd restarts us when that is not so for a while.
    fn is_alive(&self) -> bool {
        let now = crate::clock::now();
        let polls = now.saturating_duration_since(self.way.outbox.last_progress()) < self.patience;
        let answers = self.way.pulse.beats_well(now);
        if !(polls && answers) {
            error!(polls, answers, "something hangs: the watchdog is not fed");
        }
        polls && answers
    }

    /// How we are, in one line, for `systemctl status`.
    pub(super) fn status(&self) -> String {
        let (home, broker) = (self.way.pipeline.home(), &self.broker);
        let mut status = match &self.standing.away {
            None if self.standing.stood => format!("serving at {broker}"),
            None => format!("waiting for the broker at {broker}"),
            Some(why) => format!("waiting for the broker at {broker}: {why}"),
        };
        let (devices, areas) = (home.devices().len(), home.areas().len());
        // Writing to a text cannot fail.
        let _ = write!(
            status,
            "; {devices} device{} in {areas} area{}",
            plural(devices),
            plural(areas)
        );
        let providers: Vec<String> = self
            .way
            .pipeline
            .services()
            .router
            .health()
            .iter()
            .map(|p| format!("{} {}", p.name, p.state))
            .collect();
        let _ = write!(
            status,
            "; {}",
            if providers.is_empty() {
                "no model".to_owned()
            } else {
                format!("models: {}", providers.join(", "))
            }
        );
        match *self.way.journal.health().borrow() {
            Health::Failing => {
                status.push_str("; THE STORE TAKES NOTHING: commands do not survive a restart");
            }
            Health::Slow => status.push_str("; the disk is slow"),
            Health::Safe | Health::Absent => {}
        }
        if self.standing.faults > 0 {
            let _ = write!(
                status,
                "; NOT RELOADED: {} fault{} in the config, see the log",
                self.standing.faults,
                plural(self.standing.faults)
            );
        }
        status
    }

    /// A command came in: into the journal, then on its way; the broker's copy is acknowledged once ours is safe.
    fn hear(&mut self, heard: InboundCommand) {
        let InboundCommand {
            mut command,
            ack_token,
            redelivery,
            epoch,
            topic,
            payload,
        } = heard;
        let received = Received {
            topic,
            payload: payload.to_vec(),
            response_topic: Some(command.reply_to.topic.clone()),
            correlation: command.reply_to.correlation.clone(),
            id: command.id_given.then(|| command.id.clone()),
            until: self
                .way
                .journal
                .moment(command.remaining(crate::clock::now())),
        };
        let entry = self.way.journal.receive(received, epoch, redelivery);
        let seq = match &entry {
            JournalEntry::New(seq) => Some(*seq),
            JournalEntry::Pending | JournalEntry::Answered(_) => None,
        };
        match entry {
            JournalEntry::New(mark) => {
                command.seq = mark.number();
                debug!(
                    command_id = command.id,
                    seq = command.seq,
                    ?redelivery,
                    "heard"
                );
                self.begin(self.way.clone().answer(command, mark));
            }
            JournalEntry::Answered(reply) => {
                self.way.counters.commands_duplicate.increment();
                self.tell_again(*reply, command.reply_to);
            }
            JournalEntry::Pending => self.way.counters.commands_duplicate.increment(),
        }
        // Nothing to acknowledge with QoS 0. The channel has room for every token the broker waits for; without one it sends
        // the command again.
        if ack_token.is_expected() {
            let _ = self.receipts.try_send((ack_token, seq));
        }
    }
}

impl EventLoop {
    /// Takes up what an earlier life left.
    pub(super) fn inherit(&mut self, heritage: Recovered) {
        self.way.pipeline.restore_device_order(heritage.commanded);
        for untold in heritage.unsent {
            let to = ReplyTo {
                topic: untold.received.response_topic.unwrap_or_default(),
                correlation: untold.received.correlation,
            };
            let way = self.way.clone();
            self.begin(async move { way.tell(Some(untold.mark), &untold.reply, &to).await });
        }
        for unfinished in heritage.unfinished {
            self.take_up(unfinished);
        }
    }

    /// A command that an earlier life left without an answer.
    fn take_up(&mut self, unfinished: Unfinished) {
        let Unfinished {
            mark,
            received,
            left,
            sending,
            crashes,
        } = unfinished;
        let letter = Inbound {
            topic: &received.topic,
            payload: &received.payload,
            response_topic: received.response_topic.as_deref(),
            correlation: received.correlation.as_deref(),
            // Not kept: over a restart a loop goes round a few times more.
            hops: 0,
            expiry: None,
            heard_at: crate::clock::now(),
            wall_clock: None,
        };
        let way = self.way.clone();
        let mut command = match wire::decode(&letter, &self.config.mqtt.rules()) {
            Ok(command) => command,
            // It was decoded when it was heard: the rules have changed since.
            Err(rejected) => {
                let RejectedPayload {
                    refusal,
                    reply_to,
                    id,
                    text,
                } = *rejected;
                let reply = Reply::refused(id, text, &refusal);
                way.journal.answered(mark, &reply);
                return self.begin(async move { way.tell(Some(mark), &reply, &reply_to).await });
            }
        };
        command.deadline = command.received_at + left;
        command.seq = mark.number();
        info!(command_id = command.id, source = %command.source, crashes, "taking up a command from before the restart");
        if crashes >= MAX_CRASHES {
            let letter = dead_letter(&self.config.mqtt.prefix, &command, &received.payload);
            return self.begin(way.bury(command, mark, letter));
        }
        let journal = Arc::clone(&way.journal);
        match sending {
            Some(sending) => {
                self.begin(journal.attribute(mark, way.resume(command, mark, sending)));
            }
            None => self.begin(journal.attribute(mark, way.answer(command, mark))),
        }
    }

    /// Says an answer again.
    fn tell_again(&mut self, reply: Reply, to: ReplyTo) {
        let way = self.way.clone();
        self.answers
            .spawn(async move { way.tell(None, &reply, &to).await });
    }

    /// Sets a command on its way, once the home is known.
    fn begin(&mut self, answering: impl Future<Output = ()> + Send + 'static) {
        match &mut self.held {
            Some(held) => held.push(Box::pin(answering)),
            None => drop(self.answers.spawn(answering)),
        }
        if self
            .held
            .as_ref()
            .is_some_and(|held| held.len() >= MOST_AT_ONCE)
        {
            self.release();
        }
    }

    /// What was announced becomes the home, and whoever waited for it waits no longer.
    fn settle(&mut self, notify: &Notify) {
        self.told = None;
        self.refurnish();
        notify.status(&self.status());
        if self.held.is_some() && self.way.pipeline.home().devices().is_empty() {
            warn!(
                "there is no device yet: nothing can be commanded; write a home.toml, or let devices announce themselves"
            );
        }
        if self.way.outbox.is_up() {
            self.release();
        }
    }

    /// Nothing waits for devices any more.
    fn release(&mut self) {
        for answering in self.held.take().into_iter().flatten() {
            self.answers.spawn(answering);
        }
    }

    /// Lets what is in flight end, within the grace period. What still waits for a model near its end is told that we stop.
    pub(super) async fn finish(&mut self, grace: Duration) {
        self.release();
        if timeout(grace.saturating_sub(LAST_WORDS), all(&mut self.answers))
            .await
            .is_err()
        {
            self.way.pipeline.stop_waiting();
            let _ = timeout(LAST_WORDS / 2, all(&mut self.answers)).await;
        }
        self.answers.shutdown().await;
    }

    /// The devices announced up to now become part of the home; those announced no more leave it.
    pub(super) fn refurnish(&mut self) {
        let home = match self.finder.build() {
            Ok(built) => Arc::new(built.home),
            Err(clashes) => {
                let clashes = clashes
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("; ");
                if !std::mem::replace(&mut self.clashed, true) {
                    warn!(
                        clashes,
                        "the devices announced do not fit the home file: the home stays as it is"
                    );
                }
                return;
            }
        };
        self.clashed = false;
        if home.revision() == self.way.pipeline.home().revision() {
            return;
        }
        let topics = self.finder.subscriptions(&home);
        info!(
            devices = home.devices().len(),
            areas = home.areas().len(),
            topics = topics.len(),
            "devices found"
        );
        self.way.pipeline.replace_home(home);
        if let Err(e) = self.way.outbox.follow(topics) {
            warn!(error = %e, "the states of new devices cannot be followed");
        }
        drop(self.publish_health());
    }

    /// The journal fails, or works again: everybody is told, and what models said before is let go of or taken up.
    fn look_at_journal(&mut self, notify: &Notify) {
        let (health, before) = (*self.journal.0.borrow_and_update(), self.journal.1);
        self.journal.1 = health;
        if (health == Health::Failing) != (before == Health::Failing) {
            let drafts = self
                .way
                .journal
                .store()
                .and_then(|store| open_drafts(&store, &self.config.recall));
            let mut services = self.way.pipeline.services().clone();
            services.cache = Arc::new(DraftCache::new(
                &self.config.recall,
                self.config.ask.models(),
                drafts,
                Arc::clone(&self.way.counters),
            ));
            services.router.keep_spending(
                self.way
                    .journal
                    .store()
                    .and_then(|store| open_spending(&store))
                    .as_ref(),
            );
            self.renew(
                self.way
                    .pipeline
                    .with_services(services, pipeline_settings(&self.config)),
            );
        }
        drop(self.publish_health());
        notify.status(&self.status());
    }

    /// From now on commands go this way.
    pub(super) fn renew(&mut self, pipeline: Pipeline) {
        self.way.pipeline = Arc::new(pipeline);
        self.newest.send_replace(Arc::clone(&self.way.pipeline));
    }

    fn publish_health(&self) -> Option<Delivery> {
        let topic = format!("{}/health", self.config.mqtt.prefix);
        let health = self.way.pipeline.health().to_string();
        let message = OutboundMessage::to(topic, health).retained();
        // No room for health is health enough: the next minute has another.
        self.way.outbox.publish(message).ok()
    }
}

/// What comes next, once there is room for what it will say.
async fn next(outbox: &Outbox, inbox: &mut Inbox) -> Option<Incoming> {
    outbox.until_room().await;
    inbox.next().await
}

/// Until it is known whether the message arrived.
async fn arrived(delivery: &mut Option<Delivery>) {
    if let Some(delivery) = delivery {
        let _ = delivery.await;
    }
}

/// Until `due`; without one, for ever.
async fn until(due: Option<std::time::Instant>) {
    match due {
        Some(due) => time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Until every one has ended.
async fn all(answers: &mut JoinSet<()>) {
    while answers.join_next().await.is_some() {}
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}
