//! The only room that knows MQTT and pipeline both: build, spawn, serve, drain. Reads top to bottom in the order it happens.

mod event_loop;
mod in_flight;
mod liveness;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

mod reload;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::cache::DraftCache;
use crate::cache::disk::{DiskLimits, Drafts};
use crate::cache::settings::CacheSettings;
use crate::config::{Config, ConfigLocation};
use crate::daemon::event_loop::{EventLoop, Parts};
use crate::daemon::in_flight::CommandTask;
use crate::daemon::liveness::Liveness;
use crate::discovery::finder::Finder;
use crate::grammar::LocalGrammar;
use crate::mqtt::inbox::AckToken;
use crate::mqtt::outbox::{OutboundMessage, Outbox, Undelivered};
use crate::pipeline::admission::Admission;
use crate::pipeline::{OutboundAction, Pipeline, PipelineSettings, PublishFn, Services, StreamFn};
use crate::prompt::Composer;
use crate::router::Router;
use crate::store;
use crate::store::journal::{Journal, Recovered, Seq};
use crate::store::spending::Spending;
use crate::store::{Store, StoreError};
use crate::systemd::Notify;
use crate::telemetry::counters::Counters;
use crate::telemetry::log::Log;
use crate::telemetry::metrics;
use crate::telemetry::metrics::Page;
use crate::telemetry::scrape::{MetricsAddress, Scrape};
use crate::wire;

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
    Language(#[from] crate::grammar::LanguageError),
    /// The connection cannot be set up: a certificate does not do, for example.
    #[error(transparent)]
    Connection(#[from] crate::mqtt::SetupError),
    /// The client for the providers cannot be set up.
    #[error(transparent)]
    Providers(#[from] crate::provider::http::InvalidEndpoint),
}

/// What the daemon is told from outside.
#[derive(Debug)]
pub enum DaemonSignal {
    /// To stop. That nobody is left to say so means the same.
    Stop,
    /// To read these files anew.
    Reload(Box<ConfigLocation>),
}

/// Who stands outside: who starts it, watches it, tells it, and reads its log.
#[derive(Debug)]
pub struct Handles {
    /// Who hears how it is.
    pub notify: Notify,
    /// Who tells it what to do.
    pub told: mpsc::Receiver<DaemonSignal>,
    /// The log, whose filter a reload may change.
    pub log: Log,
}

/// Serves until it is told to stop, then drains. Blocks at the start while the store is opened.
///
/// # Errors
/// When something cannot be set up that no patience mends. A broker or provider that is away is no error: it is waited for.
#[expect(
    clippy::too_many_lines,
    reason = "the parts of the daemon, built in the order of their dependencies"
)]
pub async fn run(config: Config, outside: Handles) -> Result<(), DaemonError> {
    let Handles {
        notify,
        mut told,
        log,
    } = outside;
    let counters = Arc::new(Counters::default());

    // What survives a restart.
    let reading = store::reading(config.store.path.as_deref());
    let store = open_store(&config.store)?;
    let (journal, heritage) = open_journal(store, &config);
    let journal = Arc::new(journal);
    let drafts = journal
        .store()
        .and_then(|store| open_drafts(&store, &config.recall));
    drop(reading);
    info!(remembered = journal.counts().0, "the journal is open");

    // The way of a command, and its two ends.
    let finder = Finder::new(
        config.discovery.clone(),
        Arc::clone(&config.home),
        &config.mqtt.prefix,
    );
    let (connection, mut inbox, outbox) = crate::mqtt::connect(
        &config.mqtt,
        finder.subscriptions(&config.home),
        Arc::clone(&counters),
    )?;
    let pipeline = Arc::new(
        pipeline(
            &config,
            drafts,
            Arc::clone(&journal),
            Arc::clone(&counters),
            publish_fn(&outbox),
        )?
        .with_stream(stream_fn(&outbox)),
    );
    let broker = format!("{}:{}", config.mqtt.host, config.mqtt.port);
    info!(
        version = env!("CARGO_PKG_VERSION"),
        broker,
        devices = config.home.devices().len(),
        providers = config.ask.providers.len(),
        "starting"
    );

    // What runs beside it.
    let mut beside = JoinSet::new();
    beside.spawn(connection.run());
    beside.spawn(keep_synced(Arc::clone(&journal)));
    let (receipts, to_acknowledge) = mpsc::channel(4096);
    beside.spawn(acknowledge(
        Arc::clone(&journal),
        outbox.clone(),
        to_acknowledge,
    ));

    let pulse = Liveness::default();
    let (newest, shown) = watch::channel(Arc::clone(&pipeline));
    beside.spawn(look_out(shown.clone()));
    if let Some(scrape) = open_scrape(config.metrics.as_ref()).await {
        beside.spawn(scrape.serve(pages(shown, outbox.clone(), pulse.clone())));
    }

    let way = CommandTask {
        pipeline,
        journal,
        outbox,
        counters,
        pulse,
    };
    let mut desk = EventLoop::new(
        way,
        Parts {
            receipts,
            newest,
            finder,
            log,
            broker,
        },
        config,
    );
    desk.inherit(heritage);
    desk.serve(&mut inbox, &notify, &mut told).await;

    // Stopping, in this order.
    notify.stopping();
    info!(in_flight = desk.in_flight(), "stopping");
    inbox.close(); //                                          take no more commands; those that wait are still answered
    while let Some(incoming) = inbox.next().await {
        desk.take(incoming, &notify);
    }
    desk.finish(desk.config.daemon.grace).await; //                 finish those in flight
    desk.way.journal.synced().await; //                            so that the last of them can be acknowledged
    desk.way.outbox.close(LAST_WORDS).await; //                    drain publishes, say "offline" by hand, disconnect
    desk.way.journal.close().await; //                             flush the store
    beside.shutdown().await;
    info!("stopped");
    Ok(())
}

/// The way of a command as the config wants it; with `publish` at its end.
///
/// # Errors
/// When a language file or a provider's settings cannot be used.
pub fn pipeline(
    config: &Config,
    drafts: Option<Drafts>,
    journal: Arc<Journal>,
    counters: Arc<Counters>,
    publish: PublishFn,
) -> Result<Pipeline, DaemonError> {
    let ask = Router::new(config.ask.clone(), Arc::clone(&counters))?;
    ask.keep_spending(
        journal
            .store()
            .and_then(|store| open_spending(&store))
            .as_ref(),
    );
    let services = Services {
        grammar: Arc::new(LocalGrammar::new(&config.local)?),
        cache: Arc::new(DraftCache::new(
            &config.recall,
            config.ask.models(),
            drafts,
            Arc::clone(&counters),
        )),
        admission: Arc::new(Admission::new(config.admit)),
        composer: Arc::new(Composer::default()),
        router: Arc::new(ask),
        journal,
        counters,
    };
    Ok(Pipeline::new(
        services,
        pipeline_settings(config),
        Arc::clone(&config.home),
        publish,
    ))
}

fn pipeline_settings(config: &Config) -> PipelineSettings {
    PipelineSettings {
        order: config.daemon.order,
        model_timeout: config.ask.deadline,
    }
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
                Some(aside) => {
                    warn!(aside = %aside.display(), "the store could not be read: put aside, begun anew");
                }
                None if store.lost => {
                    warn!(path = %path.display(), "the store held nothing that could be read: begun anew");
                }
                None => {}
            }
            Ok(Some(Arc::new(store)))
        }
        Err(e @ StoreError::InUse { .. }) => Err(e),
        Err(e) => {
            error!(error = %ErrorChain(&e), "serving without a store: commands do not survive a restart");
            Ok(None)
        }
    }
}

fn open_journal(store: Option<Arc<Store>>, config: &Config) -> (Journal, Recovered) {
    let keep = config.mqtt.ttl;
    let Some(store) = store else {
        let settings = config.store.clone();
        let waiting = settings
            .path
            .clone()
            .map(|path| Journal::waiting(settings, path, keep));
        return (
            waiting.unwrap_or_else(|| Journal::in_memory(keep)),
            Recovered::default(),
        );
    };
    match Journal::open(Some(store), keep) {
        Ok((journal, heritage)) => {
            if heritage.unreadable > 0 {
                warn!(
                    unreadable = heritage.unreadable,
                    "records of the journal could not be read and were dropped"
                );
            }
            if heritage.missing > 0 {
                warn!(
                    missing_writes = heritage.missing,
                    "the store is damaged: what was written last is lost, and commands of then are not taken up"
                );
            }
            (journal, heritage)
        }
        Err(e) => {
            error!(error = %e, "the journal cannot be read: commands do not survive a restart");
            (Journal::in_memory(keep), Recovered::default())
        }
    }
}

fn open_drafts(store: &Store, settings: &CacheSettings) -> Option<Drafts> {
    let limits = DiskLimits {
        entries: settings.disk_entries,
        bytes: settings.disk_bytes,
    };
    Drafts::open(&store.db, limits, SystemTime::now())
        .inspect_err(
            |e| warn!(error = %e, "what models said before cannot be read: they are asked again"),
        )
        .ok()
}

fn open_spending(store: &Store) -> Option<Spending> {
    Spending::open(store)
        .inspect_err(
            |e| warn!(error = %e, "what was spent before cannot be read: it is counted anew"),
        )
        .ok()
}

/// Metrics that cannot be served are said, and no reason not to serve commands.
async fn open_scrape(address: Option<&MetricsAddress>) -> Option<Scrape> {
    let address = address?;
    Scrape::open(address)
        .await
        .inspect_err(
            |e| error!(error = %e, ?address, "metrics are not served: mend `metrics.listen`"),
        )
        .ok()
}

/// Looks after the providers that are away, of whichever pipeline is the newest.
async fn look_out(mut pipeline: watch::Receiver<Arc<Pipeline>>) {
    loop {
        let ask = Arc::clone(&pipeline.borrow_and_update().services().router);
        tokio::select! {
            () = ask.probe_providers() => {}
            renewed = pipeline.changed() => if renewed.is_err() { return },
        }
    }
}

/// Writes the page of metrics, whenever somebody asks for it.
fn pages(
    pipeline: watch::Receiver<Arc<Pipeline>>,
    outbox: Outbox,
    pulse: Liveness,
) -> impl Fn() -> String + Send + Sync {
    move || {
        let mut page = Page::default();
        page.set(&metrics::BROKER_CONNECTED, u8::from(outbox.is_up()));
        page.set(&metrics::OUTBOX_MESSAGES, outbox.waiting());
        page.set(&metrics::COMMANDS_IN_FLIGHT, pulse.count());
        let tasks = tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks();
        page.set(&metrics::TASKS, tasks);
        pipeline.borrow().metrics(&mut page);
        page.process();
        page.text()
    }
}

/// Ties the pipeline's parcels to the outbox.
fn publish_fn(outbox: &Outbox) -> PublishFn {
    let outbox = outbox.clone();
    Box::new(move |parcel: OutboundAction| {
        let message = OutboundMessage::to(parcel.publication.topic, parcel.publication.payload)
            .for_device(parcel.device, parcel.seq)
            .until(parcel.deadline)
            .repeatable(parcel.repeatable)
            .with_hops(parcel.hops);
        let queued = outbox.publish(message);
        Box::pin(async move { queued.map_err(|_| Undelivered::Full)?.await })
    })
}

/// Keeps what is in the journal on disk.
async fn keep_synced(journal: Arc<Journal>) {
    journal.keep_synced().await;
}

/// Ties the pieces of long answers to the outbox. One there is no room for is left out: its number shows that, and the reply
/// has it all.
fn stream_fn(outbox: &Outbox) -> StreamFn {
    let outbox = outbox.clone();
    Arc::new(move |piece, to| {
        let (topic, payload) = wire::encode_piece(&piece, to);
        let message = OutboundMessage::to(topic, payload).with_correlation(to.correlation.clone());
        drop(outbox.publish(message));
    })
}

/// Acknowledges what is in the journal, synced, in the order it was received; many at a time.
async fn acknowledge(
    journal: Arc<Journal>,
    outbox: Outbox,
    mut receipts: mpsc::Receiver<(AckToken, Option<Seq>)>,
) {
    let mut ready = Vec::new();
    while receipts.recv_many(&mut ready, 1024).await > 0 {
        journal.synced_in_time().await;
        for (token, seq) in ready.drain(..) {
            outbox.acknowledge(token);
            if let Some(seq) = seq {
                journal.acknowledged(seq);
            }
        }
    }
}

/// An error with all its causes, in one line.
struct ErrorChain<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let causes = std::iter::successors(Some(self.0), |error| error.source());
        f.write_str(
            &causes
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(": "),
        )
    }
}
