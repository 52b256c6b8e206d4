//! Tasks that run beside the event loop.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::error;

use crate::config::Config;
use crate::daemon::in_flight::CommandTask;
use crate::daemon::timers::TimerTask;
use crate::mqtt::inbox::AckToken;
use crate::mqtt::outbox::Outbox;
use crate::pair::PairReport;
use crate::pipeline::Pipeline;
use crate::store::journal::{Journal, Seq};
use crate::telemetry::gateway::GatewayNames;
use crate::telemetry::metrics::{self, Page};
use crate::telemetry::scrape::{MetricsAddress, Scrape};

/// The most commands that wait for their acknowledgement to the broker: as many as MQTT has packet
/// identifiers, because one that is never acknowledged would hold back all later ones.
const MAX_ACK_TOKENS: usize = 65_535;

/// The most commands that are taken from the channel at once.
const MAX_ACK_BATCH: usize = 1024;

/// Number of waiting commands from which finished ones are acknowledged at once instead of together
/// after the next sync: without acknowledgements the broker would soon hold back the next commands.
const EARLY_ACKS: usize = 8;

/// The tasks in the background, and the channels to them.
pub(super) struct Background {
    pub(super) tasks: JoinSet<()>,
    /// Takes the commands to acknowledge to the broker once the journal has them on disk.
    pub(super) ack_tokens: mpsc::Sender<(AckToken, Option<Seq>)>,
    /// Takes each new pipeline.
    pub(super) newest_pipeline: watch::Sender<Arc<Pipeline>>,
}

impl Background {
    /// Starts the connections to the broker, the journal's syncs, the acknowledgements, the probes
    /// of providers, the connection to Redis and the metrics endpoint.
    pub(super) async fn start(
        connection: impl Future<Output = ()> + Send + 'static,
        task: &CommandTask,
        config: &Config,
    ) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        tasks.spawn(keep_synced(Arc::clone(&task.journal)));
        let (ack_tokens, to_acknowledge) = mpsc::channel(MAX_ACK_TOKENS);
        let journal = Arc::clone(&task.journal);
        tasks.spawn(acknowledge(journal, task.outbox.clone(), to_acknowledge));
        let (newest_pipeline, newest) = watch::channel(Arc::clone(&task.pipeline));
        tasks.spawn(probe_providers(newest.clone()));
        let timers = TimerTask {
            pipeline: newest.clone(),
            outbox: task.outbox.clone(),
            topic: task.timers_topic.to_string(),
        };
        tasks.spawn(timers.run());
        if let Some(redis) = task.pipeline.services().router.redis().cloned() {
            tasks.spawn(async move { redis.run().await });
        }
        if let Some(server) = open_metrics(config.metrics.as_ref()).await {
            let page = metrics_page(newest, task.clone(), config.log.names.clone());
            tasks.spawn(server.serve(page));
        }
        Self {
            tasks,
            ack_tokens,
            newest_pipeline,
        }
    }
}

/// Keeps the journal synced to the disk.
async fn keep_synced(journal: Arc<Journal>) {
    journal.keep_synced().await;
}

/// Acknowledges the commands that need no copy at the broker any more, in the order of receipt:
/// those that the journal has on disk, and finished ones.
async fn acknowledge(
    journal: Arc<Journal>,
    outbox: Outbox,
    mut tokens: mpsc::Receiver<(AckToken, Option<Seq>)>,
) {
    let mut received = Vec::new();
    let mut waiting: VecDeque<(AckToken, Option<Seq>, u64)> = VecDeque::new();
    let mut is_open = true;
    while is_open || !waiting.is_empty() {
        let first = waiting.front().map(|(_, seq, changes)| (*seq, *changes));
        let is_early = waiting.len() >= EARLY_ACKS;
        tokio::select! {
            biased;
            count = tokens.recv_many(&mut received, MAX_ACK_BATCH), if is_open => {
                is_open = count > 0;
                let changes = journal.changes();
                let entries = received.drain(..).map(|(token, seq)| (token, seq, changes));
                waiting.extend(entries);
            }
            () = kept(&journal, first, is_early), if first.is_some() => {
                while let Some((token, seq, _)) = waiting
                    .pop_front_if(|(_, seq, changes)| journal.is_kept(*seq, *changes))
                {
                    outbox.acknowledge(token);
                    if let Some(seq) = seq {
                        journal.note_ack_sent(seq);
                    }
                }
            }
        }
    }
}

async fn kept(journal: &Journal, first: Option<(Option<Seq>, u64)>, is_early: bool) {
    if let Some((seq, changes)) = first {
        journal.wait_until_kept(seq, changes, is_early).await;
    }
}

/// Probes the providers that are unavailable and tests small models, those of the newest pipeline.
async fn probe_providers(mut pipeline: watch::Receiver<Arc<Pipeline>>) {
    loop {
        let current = Arc::clone(&pipeline.borrow_and_update());
        tokio::select! {
            () = current.services().router.probe_providers() => {}
            () = current.run_aptitude_tests() => {}
            replaced = pipeline.changed() => {
                if replaced.is_err() {
                    return;
                }
            }
        }
    }
}

/// Opens the metrics endpoint. One that cannot be opened is logged; commands are served all the
/// same.
async fn open_metrics(address: Option<&MetricsAddress>) -> Option<Scrape> {
    let address = address?;
    match Scrape::open(address).await {
        Ok(server) => Some(server),
        Err(error) => {
            error!(%error, ?address, "metrics are not served: correct `metrics.listen`");
            None
        }
    }
}

fn pair_metrics(report: &PairReport, page: &mut Page) {
    let other = report.other.as_ref();
    page.set(&metrics::PAIR_LEADER, u8::from(report.leads));
    page.set(&metrics::PAIR_EPOCH, report.epoch);
    let is_online = other.is_some_and(|other| other.online);
    page.set(&metrics::PAIR_OTHER_ONLINE, u8::from(is_online));
    let differences = other.map_or(0, |other| other.differences.len());
    page.set(&metrics::PAIR_DIFFERENCES, differences);
    if let Some(behind) = other.and_then(|other| other.behind_ms) {
        let seconds = Duration::from_millis(behind).as_secs_f64();
        page.set(&metrics::PAIR_OTHER_BEHIND, seconds);
    }
}

/// Returns the function that writes the metrics page.
fn metrics_page(
    pipeline: watch::Receiver<Arc<Pipeline>>,
    task: CommandTask,
    names: GatewayNames,
) -> impl Fn() -> String + Send + Sync {
    move || {
        let mut page = Page::default();
        let labels: Vec<_> = names.fields().collect();
        if !labels.is_empty() {
            page.family(&metrics::NODE_INFO);
            page.sample(metrics::NODE_INFO.name, &labels, 1);
        }
        page.set(&metrics::BROKER_CONNECTED, u8::from(task.outbox.is_up()));
        page.set(&metrics::OUTBOX_MESSAGES, task.outbox.waiting());
        page.set(&metrics::COMMANDS_IN_FLIGHT, task.liveness.count());
        if let Some(replica) = &task.replica {
            pair_metrics(&replica.pair.report(), &mut page);
        }
        let tasks = tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks();
        page.set(&metrics::TASKS, tasks);
        pipeline.borrow().metrics(&mut page);
        page.process();
        page.text()
    }
}
