//! The only room that knows MQTT and pipeline both: build, spawn, serve, drain. Reads top to bottom in the order it happens.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

mod pulse;
mod reload;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{self, MissedTickBehavior, timeout};
use tracing::{error, info, warn};

use crate::command::ReplyTo;
use crate::command::reply::Reply;
use crate::config::{Config, Place};
use crate::discovery::finder::Finder;
use crate::interpret::RecallSettings;
use crate::interpret::admit::Admit;
use crate::interpret::ask::Ask;
use crate::interpret::compose::Composer;
use crate::interpret::recall::Recall;
use crate::local::Local;
use crate::mqtt::inbox::{Heard, Inbox, Incoming, Receipt};
use crate::mqtt::outbox::{Delivery, Outbox, Outgoing};
use crate::mqtt::wire::{self, Letter};
use crate::pipeline::{Deliver, Parcel, Pipeline, Rooms, Speak, Undelivered};
use crate::store::drafts::{Drafts, Limits};
use crate::store::journal::{self, Entry, Journal, Received, Unfinished};
use crate::store::{self, Store, StoreError};
use crate::systemd::Notify;
use crate::telemetry::log::Log;
use crate::telemetry::metrics::Page;
use crate::telemetry::scrape::{Address, Scrape};
use crate::telemetry::tally::Tally;
use pulse::Pulse;

/// Commands being worked on at once. The most of them wait for models; past it the inbox fills and answers `busy`.
const MOST_AT_ONCE: usize = 512;

/// How often health is published.
const HEALTH_EVERY: Duration = Duration::from_mins(1);

/// How long the answer to an operator may wait for the broker.
const CONTROL_PATIENCE: Duration = Duration::from_secs(30);

/// How long systemd waits for the broker before it is told that we serve without one.
const BROKER_PATIENCE: Duration = Duration::from_secs(20);

/// Of the grace period, what is kept for the last replies and the word "offline".
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another daemon is running on the same store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A language file does not do.
    #[error(transparent)]
    Language(#[from] crate::local::LanguageError),
    /// The connection cannot be set up: a certificate does not do, for example.
    #[error(transparent)]
    Connection(#[from] crate::mqtt::SetupError),
    /// The client for the providers cannot be set up.
    #[error(transparent)]
    Providers(#[from] crate::provider::http::Unfit),
}

/// What the daemon is told from outside.
#[derive(Debug)]
pub enum Told {
    /// To stop. That nobody is left to say so means the same.
    Stop,
    /// To read these files anew.
    Reload(Box<Place>),
}

/// Who stands outside: who starts it, watches it, tells it, and reads its log.
#[derive(Debug)]
pub struct Outside {
    /// Who hears how it is.
    pub notify: Notify,
    /// Who tells it what to do.
    pub told: mpsc::Receiver<Told>,
    /// The log, whose filter a reload may change.
    pub log: Log,
}

/// Serves until it is told to stop, then drains. Blocks at the start while the store is opened.
///
/// # Errors
/// When something cannot be set up that no patience mends. A broker or provider that is away is no error: it is waited for.
pub async fn run(config: Config, outside: Outside) -> Result<(), DaemonError> {
    let Outside { notify, mut told, log } = outside;
    let tally = Arc::new(Tally::default());

    // What survives a restart.
    let store = open_store(&config.store)?;
    let (journal, unfinished) = open_journal(store.clone());
    let journal = Arc::new(journal);
    let drafts = store.as_deref().and_then(|store| open_drafts(store, &config.recall));

    // The way of a command, and its two ends.
    let finder = Finder::new(config.discovery.clone(), Arc::clone(&config.home), &config.mqtt.prefix);
    let (connection, mut inbox, outbox) = crate::mqtt::connect(&config.mqtt, finder.topics(&config.home), Arc::clone(&tally))?;
    let pipeline = Arc::new(pipeline(&config, drafts, Arc::clone(&journal), Arc::clone(&tally), deliver(&outbox))?.speaking(speak(&outbox)));
    let broker = format!("{}:{}", config.mqtt.host, config.mqtt.port);
    info!(version = env!("CARGO_PKG_VERSION"), broker, devices = config.home.devices().len(), providers = config.ask.providers.len(), "starting");

    // What runs beside it.
    let mut beside = JoinSet::new();
    beside.spawn(connection.run());
    beside.spawn(keep_synced(Arc::clone(&journal)));
    let (receipts, to_acknowledge) = mpsc::channel(4096);
    beside.spawn(acknowledge(Arc::clone(&journal), outbox.clone(), to_acknowledge));

    let pulse = Pulse::default();
    let (newest, shown) = watch::channel(Arc::clone(&pipeline));
    if let Some(scrape) = open_scrape(config.metrics.as_ref()).await {
        beside.spawn(scrape.serve(pages(shown, outbox.clone(), pulse.clone())));
    }

    let mut desk = Desk {
        pipeline,
        newest,
        journal,
        tally,
        outbox,
        receipts,
        answers: JoinSet::new(),
        held: (!config.discovery.is_off()).then(Vec::new),
        told: None,
        finder,
        clashed: false,
        broker,
        standing: Standing::default(),
        pulse,
        patience: config.mqtt.keep_alive * 4,
        store,
        log,
        config,
    };
    for command in unfinished {
        desk.take_up(command);
    }
    desk.serve(&mut inbox, &notify, &mut told).await;

    // Stopping, in this order.
    notify.stopping();
    info!(in_flight = desk.answers.len(), "stopping");
    inbox.close(); //                                          take no more commands; those that wait are still answered
    while let Some(incoming) = inbox.next().await {
        desk.take(incoming, &notify).await;
    }
    desk.finish(desk.config.daemon.grace).await; //                 finish those in flight
    desk.journal.synced().await; //                            so that the last of them can be acknowledged
    desk.outbox.close(LAST_WORDS).await; //                    drain publishes, say "offline" by hand, disconnect
    desk.journal.close().await; //                             flush the store
    beside.shutdown().await;
    info!("stopped");
    Ok(())
}

/// The way of a command as the config wants it; with `deliver` at its end.
///
/// # Errors
/// When a language file or a provider's settings cannot be used.
pub fn pipeline(config: &Config, drafts: Option<Drafts>, journal: Arc<Journal>, tally: Arc<Tally>, deliver: Deliver) -> Result<Pipeline, DaemonError> {
    let rooms = Rooms {
        local: Arc::new(Local::new(&config.local)?),
        recall: Arc::new(Recall::new(&config.recall, &config.ask.family(), drafts, Arc::clone(&tally))),
        admit: Arc::new(Admit::new(config.admit)),
        composer: Arc::new(Composer::default()),
        ask: Arc::new(Ask::new(config.ask.clone(), Arc::clone(&tally))?),
        journal,
        tally,
    };
    Ok(Pipeline::new(rooms, Arc::clone(&config.home), config.daemon.order, config.ask.deadline, deliver))
}

/// Opens the store, or says why there is none: commands are served all the same.
fn open_store(settings: &store::Settings) -> Result<Option<Arc<Store>>, StoreError> {
    let Some(path) = settings.path.as_deref() else {
        info!("no store is configured: nothing survives a restart (set `store.path`)");
        return Ok(None);
    };
    match store::open(settings, path) {
        Ok(store) => {
            match &store.set_aside {
                Some(aside) => warn!(aside = %aside.display(), "the store could not be read: put aside, begun anew"),
                None if store.lost => warn!(path = %path.display(), "the store held nothing that could be read: begun anew"),
                None => {}
            }
            Ok(Some(Arc::new(store)))
        }
        Err(e @ StoreError::InUse { .. }) => Err(e),
        Err(e) => {
            error!(error = %Chain(&e), "serving without a store: commands do not survive a restart");
            Ok(None)
        }
    }
}

fn open_journal(store: Option<Arc<Store>>) -> (Journal, Vec<Unfinished>) {
    match Journal::open(store) {
        Ok((journal, unfinished, unreadable)) => {
            if unreadable > 0 {
                warn!(unreadable, "records of the journal could not be read and were dropped");
            }
            (journal, unfinished)
        }
        Err(e) => {
            error!(error = %e, "the journal cannot be read: commands do not survive a restart");
            (Journal::in_memory(), Vec::new())
        }
    }
}

fn open_drafts(store: &Store, settings: &RecallSettings) -> Option<Drafts> {
    let limits = Limits { entries: settings.disk_entries, bytes: settings.disk_bytes };
    Drafts::open(&store.db, limits, SystemTime::now()).inspect_err(|e| warn!(error = %e, "what models said before cannot be read: they are asked again")).ok()
}

/// Metrics that cannot be served are said, and no reason not to serve commands.
async fn open_scrape(address: Option<&Address>) -> Option<Scrape> {
    let address = address?;
    Scrape::open(address).await.inspect_err(|e| error!(error = %e, ?address, "metrics are not served: mend `metrics.listen`")).ok()
}

/// Writes the page of metrics, whenever somebody asks for it.
fn pages(pipeline: watch::Receiver<Arc<Pipeline>>, outbox: Outbox, pulse: Pulse) -> impl Fn() -> String + Send + Sync {
    move || {
        let mut page = Page::default();
        page.gauge("sayso_broker_connected", "1 while the broker is there and the subscriptions stand.", u8::from(outbox.is_up()));
        page.gauge("sayso_outbox_waiting_messages", "Messages that wait for the broker.", outbox.waiting());
        page.gauge("sayso_commands_in_flight", "Commands being answered.", pulse.count());
        pipeline.borrow().metrics(&mut page);
        page.process();
        page.text()
    }
}

/// Ties the pipeline's parcels to the outbox.
fn deliver(outbox: &Outbox) -> Deliver {
    let outbox = outbox.clone();
    Box::new(move |parcel: Parcel| {
        let Parcel { publication, subject, deadline, repeatable } = parcel;
        let message = Outgoing {
            topic: publication.topic,
            payload: publication.payload.into(),
            correlation: None,
            retain: false,
            subject: Some(subject.into()),
            deadline: Some(deadline),
            repeatable,
        };
        let queued = outbox.publish(message);
        Box::pin(async move {
            use crate::mqtt::outbox::Undelivered as Lost;
            queued.map_err(|_| Undelivered::Full)?.await.map_err(|lost| match lost {
                Lost::Late | Lost::Closed => Undelivered::Late,
                Lost::Refused { .. } => Undelivered::Refused,
                Lost::Superseded => Undelivered::Superseded,
                Lost::Uncertain => Undelivered::Uncertain,
            })
        })
    })
}

/// Keeps what is in the journal on disk.
async fn keep_synced(journal: Arc<Journal>) {
    journal.keep_synced().await;
}

/// Ties the pieces of long answers to the outbox. One there is no room for is left out: its number shows that, and the reply
/// has it all.
fn speak(outbox: &Outbox) -> Speak {
    let outbox = outbox.clone();
    Arc::new(move |piece, to| {
        let (topic, payload) = wire::encode_piece(&piece, to);
        let correlation = to.correlation.clone();
        let message = Outgoing { topic, payload: payload.into(), correlation, retain: false, subject: None, deadline: None, repeatable: true };
        drop(outbox.publish(message));
    })
}

/// Acknowledges what is in the journal, synced, in the order it was received; many at a time.
async fn acknowledge(journal: Arc<Journal>, outbox: Outbox, mut receipts: mpsc::Receiver<Receipt>) {
    let mut ready = Vec::new();
    while receipts.recv_many(&mut ready, 1024).await > 0 {
        journal.synced_in_time().await;
        for receipt in ready.drain(..) {
            outbox.acknowledge(receipt);
        }
    }
}

/// A command on its way to its reply.
type Answering = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is to be told of how we are.
#[derive(Debug, Default)]
struct Standing {
    /// Why the broker is away, while it is.
    away: Option<String>,
    /// True once a connection has stood.
    stood: bool,
    /// True once systemd was told that we serve.
    ready: bool,
    /// How many faults the last reload found; what was read before holds then.
    faults: usize,
}

/// Where commands come in and replies go out.
struct Desk {
    pipeline: Arc<Pipeline>,
    /// Whoever shows the pipeline's counts shows those of the newest.
    newest: watch::Sender<Arc<Pipeline>>,
    journal: Arc<Journal>,
    tally: Arc<Tally>,
    outbox: Outbox,
    receipts: mpsc::Sender<Receipt>,
    /// The commands in flight.
    answers: JoinSet<()>,
    /// Until the broker has told which devices there are, commands wait here: in half a home they would be misunderstood.
    held: Option<Vec<Answering>>,
    /// Ends when the broker has acknowledged what was said to it after the subscriptions: it has then told all it keeps.
    told: Option<Delivery>,
    /// Who hears of devices.
    finder: Finder,
    /// True while what is announced does not fit what is declared, and that was told.
    clashed: bool,
    /// The broker's address, for the log.
    broker: String,
    standing: Standing,
    /// Whether commands come to an end.
    pulse: Pulse,
    /// The longest silence of a connection that is well.
    patience: Duration,
    store: Option<Arc<Store>>,
    log: Log,
    /// What holds now.
    config: Config,
}

impl Desk {
    async fn serve(&mut self, inbox: &mut Inbox, notify: &Notify, told: &mut mpsc::Receiver<Told>) {
        let mut health = time::interval(HEALTH_EVERY);
        let mut alive = time::interval(notify.watchdog_every().unwrap_or(HEALTH_EVERY));
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unready = Some(Box::pin(time::sleep(BROKER_PATIENCE)));
        loop {
            let due = self.finder.due();
            // In this order: what waits in the inbox was said before the broker's acknowledgement came.
            tokio::select! {
                biased;
                told = told.recv() => match told {
                    Some(Told::Reload(place)) => self.reload(&place, notify),
                    Some(Told::Stop) | None => return,
                },
                _ = alive.tick() => if self.is_alive() { notify.watchdog() },
                _ = health.tick() => {
                    self.pipeline.sweep();
                    drop(self.publish_health());
                    notify.status(&self.status());
                }
                Some(ended) = self.answers.join_next() => if let Err(e) = ended { error!(error = %e, "a command ended without an answer") },
                Some(incoming) = inbox.next(), if self.answers.len() < MOST_AT_ONCE => {
                    if self.take(incoming, notify).await {
                        unready = None;
                    }
                }
                () = arrived(&mut self.told), if self.told.is_some() => self.settle(notify),
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
    async fn take(&mut self, incoming: Incoming, notify: &Notify) -> bool {
        match incoming {
            Incoming::Command(heard) => self.hear(*heard).await,
            Incoming::Control { topic, payload, correlation } => self.control(topic, payload, correlation),
            Incoming::State { topic, payload, .. } if self.finder.listens(&topic) => {
                self.finder.hear(&topic, &payload, time::Instant::now().into_std());
            }
            Incoming::State { topic, payload, .. } => self.pipeline.observe(&topic, &payload),
            Incoming::Up { session_present } => {
                info!(session_present, "connected to the broker, serving");
                if self.standing.stood && !session_present {
                    warn!("the broker has forgotten our session: what was said while the connection was away is lost");
                }
                (self.standing.stood, self.standing.ready, self.standing.away) = (true, true, None);
                notify.ready(&self.status());
                let health = self.publish_health();
                if self.held.is_some() {
                    self.finder.expect(time::Instant::now().into_std());
                    self.told = health;
                }
                return true;
            }
            Incoming::Down { why } => {
                warn!(why, broker = self.broker, "the broker is away, trying again");
                self.standing.away = Some(why);
                notify.status(&self.status());
            }
        }
        false
    }

    /// An operator asks something; the answer goes out below the topic it was asked on, which the same access rule guards.
    fn control(&mut self, topic: String, payload: Bytes, correlation: Option<Vec<u8>>) {
        let (pipeline, outbox) = (Arc::clone(&self.pipeline), self.outbox.clone());
        self.answers.spawn(async move {
            let who = topic.rsplit('/').next().unwrap_or_default().to_owned();
            // It may read all of the disk's tier; commands do not wait for that.
            let Ok(answer) = tokio::task::spawn_blocking(move || pipeline.control(&who, &payload)).await else { return };
            let deadline = Some(time::Instant::now().into_std() + CONTROL_PATIENCE);
            let topic = format!("{topic}/answer");
            let message = Outgoing { topic, payload: answer.to_string().into(), correlation, retain: false, subject: None, deadline, repeatable: true };
            if outbox.publish(message).is_err() {
                warn!("an operator's request is not answered: too many messages wait for the broker");
            }
        });
    }

    /// The poll loop moves, or is trying, and commands come to an end: systemd restarts us when that is not so for a while.
    fn is_alive(&self) -> bool {
        let now = time::Instant::now().into_std();
        let polls = now.saturating_duration_since(self.outbox.last_progress()) < self.patience;
        let answers = self.pulse.beats_well(now);
        if !(polls && answers) {
            error!(polls, answers, "something hangs: the watchdog is not fed");
        }
        polls && answers
    }

    /// How we are, in one line, for `systemctl status`.
    fn status(&self) -> String {
        let (home, broker) = (self.pipeline.home(), &self.broker);
        let mut status = match &self.standing.away {
            None if self.standing.stood => format!("serving at {broker}"),
            None => format!("waiting for the broker at {broker}"),
            Some(why) => format!("waiting for the broker at {broker}: {why}"),
        };
        let (devices, areas) = (home.devices().len(), home.areas().len());
        // Writing to a text cannot fail.
        let _ = write!(status, "; {devices} device{} in {areas} area{}", plural(devices), plural(areas));
        let providers: Vec<String> = self.pipeline.rooms().ask.health().iter().map(|p| format!("{} {}", p.name, p.state)).collect();
        let _ = write!(status, "; {}", if providers.is_empty() { "no model".to_owned() } else { format!("models: {}", providers.join(", ")) });
        if self.standing.faults > 0 {
            let _ = write!(status, "; NOT RELOADED: {} fault{} in the config, see the log", self.standing.faults, plural(self.standing.faults));
        }
        status
    }

    /// A command came in: into the journal, then on its way; the broker's copy is acknowledged once ours is safe.
    async fn hear(&mut self, heard: Heard) {
        let Heard { command, receipt, redelivered, epoch, topic, payload } = heard;
        let received = Received {
            topic,
            payload: payload.to_vec(),
            response_topic: Some(command.reply_to.topic.clone()),
            correlation: command.reply_to.correlation.clone(),
            id: command.id_given.then(|| command.id.clone()),
            until: journal::unix_ms(command.left(time::Instant::now().into_std())),
        };
        match self.journal.receive(received, epoch, redelivered) {
            Entry::New(mark) => {
                let (pipeline, outbox, pulse) = (Arc::clone(&self.pipeline), self.outbox.clone(), self.pulse.clone());
                self.begin(async move {
                    let beat = pulse.begin(command.deadline);
                    let reply = pipeline.answer(&command, Some(mark)).await;
                    drop(beat);
                    send(&outbox, &reply, &command.reply_to).await;
                });
            }
            Entry::Answered(reply) => {
                self.tally.duplicate();
                let outbox = self.outbox.clone();
                self.answers.spawn(async move { send(&outbox, &reply, &command.reply_to).await });
            }
            Entry::Pending => self.tally.duplicate(),
        }
        // Full only while the disk is slower than the broker: then the broker must wait as well.
        let _ = self.receipts.send(receipt).await;
    }
}

impl Desk {
    /// A command that an earlier life left without an answer.
    fn take_up(&mut self, unfinished: Unfinished) {
        let Unfinished { mark, received, sending } = unfinished;
        let left = journal::left_until(received.until).unwrap_or_default();
        let letter = Letter {
            topic: &received.topic,
            payload: &received.payload,
            response_topic: received.response_topic.as_deref(),
            correlation: received.correlation.as_deref(),
            expiry: None,
            heard_at: time::Instant::now().into_std(),
            wall_clock: None,
            turn: 0,
        };
        // It was decoded when it was heard; where the rules have changed since, there is nobody to tell.
        let Ok(mut command) = wire::decode(&letter, &self.config.mqtt.rules()) else { return };
        command.deadline = command.heard_at + left;
        info!(command_id = command.id, source = %command.source, "taking up a command from before the restart");
        let (pipeline, outbox, pulse) = (Arc::clone(&self.pipeline), self.outbox.clone(), self.pulse.clone());
        self.begin(async move {
            let beat = pulse.begin(command.deadline);
            let reply = match sending {
                Some(sending) => pipeline.resume(&command, mark, sending).await,
                None => pipeline.answer(&command, Some(mark)).await,
            };
            drop(beat);
            send(&outbox, &reply, &command.reply_to).await;
        });
    }

    /// Sets a command on its way, once the home is known.
    fn begin(&mut self, answering: impl Future<Output = ()> + Send + 'static) {
        match &mut self.held {
            Some(held) => held.push(Box::pin(answering)),
            None => drop(self.answers.spawn(answering)),
        }
        if self.held.as_ref().is_some_and(|held| held.len() >= MOST_AT_ONCE) {
            self.release();
        }
    }

    /// What was announced becomes the home, and whoever waited for it waits no longer.
    fn settle(&mut self, notify: &Notify) {
        self.told = None;
        self.refurnish();
        notify.status(&self.status());
        if self.held.is_some() && self.pipeline.home().devices().is_empty() {
            warn!("there is no device yet: nothing can be commanded; write a home.toml, or let devices announce themselves");
        }
        if self.outbox.is_up() {
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
    async fn finish(&mut self, grace: Duration) {
        self.release();
        if timeout(grace.saturating_sub(LAST_WORDS), all(&mut self.answers)).await.is_err() {
            self.pipeline.close();
            let _ = timeout(LAST_WORDS / 2, all(&mut self.answers)).await;
        }
        self.answers.shutdown().await;
    }

    /// The devices announced up to now become part of the home; those announced no more leave it.
    fn refurnish(&mut self) {
        let home = match self.finder.home() {
            Ok(home) => Arc::new(home),
            Err(clashes) => {
                let clashes = clashes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                if !std::mem::replace(&mut self.clashed, true) {
                    warn!(clashes, "the devices announced do not fit the home file: the home stays as it is");
                }
                return;
            }
        };
        self.clashed = false;
        if home.revision() == self.pipeline.home().revision() {
            return;
        }
        let topics = self.finder.topics(&home);
        info!(devices = home.devices().len(), areas = home.areas().len(), topics = topics.len(), "devices found");
        self.pipeline.furnish(home);
        if let Err(e) = self.outbox.follow(topics) {
            warn!(error = %e, "the states of new devices cannot be followed");
        }
        drop(self.publish_health());
    }

    fn publish_health(&self) -> Option<Delivery> {
        let message = Outgoing {
            topic: format!("{}/health", self.config.mqtt.prefix),
            payload: self.pipeline.health().to_string().into(),
            correlation: None,
            retain: true,
            subject: None,
            deadline: None,
            repeatable: true,
        };
        // No room for health is health enough: the next minute has another.
        self.outbox.publish(message).ok()
    }
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

/// Hands a reply to the broker; waits for room rather than lose it.
async fn send(outbox: &Outbox, reply: &Reply, to: &ReplyTo) {
    while outbox.reply(reply, to, None).is_err() {
        time::sleep(Duration::from_millis(50)).await;
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// An error with all its causes, in one line.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let causes = std::iter::successors(Some(self.0), |error| error.source());
        f.write_str(&causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
    }
}
