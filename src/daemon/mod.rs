//! The daemon: builds all parts, serves until it receives the signal to stop, then drains. It is
//! the only module that knows both MQTT and the pipeline. [`run`] reads in the order in which
//! things happen.

mod assembly;
mod background;
mod command_intake;
mod error;
mod event_loop;
mod home_adoption;
mod home_builder;
mod in_flight;
mod liveness;
pub(crate) mod memory;
mod pair;
mod pair_commands;
mod pair_node;
mod pair_replica;
mod recovery;
mod reload;
mod reply_faults;
mod service_status;
mod signal;
#[cfg(test)]
mod simulation;
mod storage;
mod timers;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{info, warn};

pub use crate::daemon::assembly::pipeline;
pub use crate::daemon::error::DaemonError;
pub use crate::daemon::signal::DaemonSignal;

use crate::config::Config;
use crate::daemon::assembly::{publish_fn, stream_fn};
use crate::daemon::background::Background;
use crate::daemon::event_loop::{EventLoop, Parts};
use crate::daemon::home_builder::HomeBuilder;
use crate::daemon::in_flight::{CommandTask, ReportWaits};
use crate::daemon::liveness::Liveness;
use crate::daemon::pair_node::PairNode;
use crate::daemon::pair_replica::PairReplica;
use crate::daemon::reply_faults::ReplyFaults;
use crate::daemon::signal::CLOSING_TIME;
use crate::daemon::storage::Storage;
use crate::discovery::finder::Finder;
use crate::mqtt::inbox::Inbox;
use crate::mqtt::outbox::Outbox;
use crate::mqtt::{MqttLink, PairConnections};
use crate::pair::{Pair, PairSettings};
use crate::pipeline::{Pipeline, Replica};
use crate::systemd::Notify;
use crate::telemetry::counters::Counters;
use crate::telemetry::log::Log;

/// Time for which a pair remembers a command after its time is over: the clocks of its sender and
/// of this machine may differ.
const REMEMBERED_LONGER: Duration = Duration::from_secs(10);

/// The connections of the daemon to the process that starts it.
#[derive(Debug)]
pub struct Handles {
    /// The service manager.
    pub notify: Notify,
    /// Requests to the daemon.
    pub signals: mpsc::Receiver<DaemonSignal>,
    /// The log, whose filter a reload may change.
    pub log: Log,
}

/// Serves until it receives the signal to stop, then drains. Blocks at the start while the store is
/// opened.
///
/// # Errors
/// When something cannot be set up that waiting does not fix. A broker or provider that is offline
/// is not an error.
pub async fn run(config: Config, handles: Handles) -> Result<(), DaemonError> {
    let counters = Arc::new(Counters::default());
    let storage = Storage::open(&config)?;
    if let Some(settings) = config.pair.clone() {
        return Box::pin(serve_in_pair(config, handles, storage, counters, settings)).await;
    }
    let finder = finder(&config);
    let topics = finder.subscriptions(&config.home);
    let (connection, inbox, outbox) =
        crate::mqtt::connect(&config.mqtt, topics, Arc::clone(&counters))?;
    let ends = BrokerEnds {
        connection: connection.run(),
        inbox,
        outbox,
        counters,
        pair: None,
    };
    Box::pin(serve(config, handles, storage, finder, ends)).await
}

/// The ends of a connection to the broker, and the future that runs it.
struct BrokerEnds<F> {
    connection: F,
    inbox: Inbox,
    outbox: Outbox,
    counters: Arc<Counters>,
    /// The part of a node of a pair.
    pair: Option<PairNode>,
}

/// Returns the registry of announced devices, still empty.
fn finder(config: &Config) -> Finder {
    let home = Arc::clone(&config.home);
    Finder::new(config.discovery.clone(), home, &config.mqtt.prefix)
}

/// Builds the pipeline between the inbox and the outbox, and serves until it is stopped.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    config: Config,
    handles: Handles,
    storage: Storage,
    finder: Finder,
    ends: BrokerEnds<F>,
) -> Result<(), DaemonError> {
    let Handles {
        notify,
        mut signals,
        log,
    } = handles;
    let Storage {
        journal,
        recovered,
        drafts,
    } = storage;
    let BrokerEnds {
        connection,
        mut inbox,
        outbox,
        counters,
        pair,
    } = ends;
    let pipeline = pipeline(
        &config,
        drafts,
        Arc::clone(&journal),
        Arc::clone(&counters),
        publish_fn(&outbox),
    )?;
    let replica = pair.as_ref().map(|node| Arc::clone(&node.replica));
    let pipeline = attached(pipeline, &outbox, replica.as_ref());
    let broker = format!("{}:{}", config.mqtt.host, config.mqtt.port);
    log_start(&config, &broker);

    let task = CommandTask {
        pipeline,
        journal,
        outbox,
        counters,
        liveness: Liveness::default(),
        report_waits: ReportWaits::default(),
        reply_faults: ReplyFaults::default(),
        timers_topic: format!("{}/timers", config.mqtt.prefix).into(),
        replica,
    };
    let mut background = Background::start(connection, &task, &config).await;
    let parts = Parts {
        ack_tokens: background.ack_tokens.clone(),
        newest_pipeline: background.newest_pipeline.clone(),
        homes: HomeBuilder::new(config.discovery.clone(), finder),
        log,
        broker,
        pair,
    };
    let mut event_loop = EventLoop::new(task, parts, config);
    event_loop.protect_devices();
    event_loop.recover(recovered);
    event_loop.serve(&mut inbox, &notify, &mut signals).await;
    drain(event_loop, inbox, &notify).await;
    background.tasks.shutdown().await;
    info!("stopped");
    Ok(())
}

/// Attaches the pipeline to the outbox, and to the other node of a pair.
fn attached(
    pipeline: Pipeline,
    outbox: &Outbox,
    replica: Option<&Arc<PairReplica>>,
) -> Arc<Pipeline> {
    let pipeline = pipeline.with_stream(stream_fn(outbox));
    Arc::new(match replica {
        Some(replica) => pipeline.with_replica(Arc::clone(replica) as Arc<dyn Replica>),
        None => pipeline,
    })
}

/// Serves as a node of a pair.
async fn serve_in_pair(
    config: Config,
    handles: Handles,
    storage: Storage,
    counters: Arc<Counters>,
    settings: PairSettings,
) -> Result<(), DaemonError> {
    let finder = finder(&config);
    let topics = finder.subscriptions(&config.home);
    let mqtt = &config.mqtt;
    let pair = Pair::new(&settings, &mqtt.prefix, mqtt.ttl + REMEMBERED_LONGER);
    let log = storage.open_progress(&config, &pair);
    let connections = crate::mqtt::connect_pair(mqtt, &pair, log, topics, &counters)?;
    let ends = pair_ends(connections, pair, counters);
    Box::pin(serve(config, handles, storage, finder, ends)).await
}

/// Joins the two connections of a node of a pair.
fn pair_ends<L: MqttLink + Send + 'static>(
    connections: PairConnections<L>,
    pair: Arc<Pair>,
    counters: Arc<Counters>,
) -> BrokerEnds<impl Future<Output = ()> + Send + 'static> {
    let PairConnections {
        leader,
        observer,
        inbox,
        outbox,
        observer_outbox,
    } = connections;
    BrokerEnds {
        connection: async move {
            tokio::join!(leader.run(), observer.run());
        },
        inbox,
        pair: Some(PairNode::new(pair, outbox.clone(), observer_outbox)),
        outbox,
        counters,
    }
}

fn log_start(config: &Config, broker: &str) {
    info!(
        version = env!("CARGO_PKG_VERSION"),
        broker,
        devices = config.home.devices().len(),
        providers = config.ask.providers.len(),
        "starting"
    );
}

/// Ends the service: answers the commands that were received, publishes the waiting messages and
/// `offline` and closes the store. Every step is bounded, even if the disk, the broker or a model
/// hangs.
async fn drain(mut event_loop: EventLoop, mut inbox: Inbox, notify: &Notify) {
    notify.stopping();
    info!(in_flight = event_loop.in_flight(), "stopping");
    inbox.close();
    while let Some(incoming) = inbox.next().await {
        event_loop.take(incoming, notify);
    }
    let grace = event_loop.config.daemon.grace;
    event_loop.finish(grace).await;
    let CommandTask {
        journal,
        outbox,
        pipeline,
        ..
    } = &event_loop.task;
    if let Some(redis) = pipeline.services().router.redis() {
        redis.flush(CLOSING_TIME / 4).await;
    }
    pipeline.services().cache.flush();
    // The last commands can be acknowledged to the broker once they are synced.
    let synced = timeout(CLOSING_TIME, journal.wait_until_synced()).await;
    outbox.close(CLOSING_TIME).await;
    if let Some(node) = &event_loop.pair {
        node.leave(CLOSING_TIME).await;
    }
    let closed = timeout(CLOSING_TIME, journal.close()).await;
    if synced.is_err() || closed.is_err() {
        warn!(
            "the disk is too slow to write the journal before the end: the broker sends the last \
             commands again"
        );
    }
}
