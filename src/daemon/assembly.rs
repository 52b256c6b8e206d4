//! Builds the pipeline from the configuration, and connects it to the outbox.

use std::sync::Arc;

use crate::cache::DraftCache;
use crate::cache::disk::Drafts;
use crate::clock::boot_id;
use crate::config::Config;
use crate::daemon::error::DaemonError;
use crate::daemon::storage::open_spending;
use crate::delivery::{Delivery, Undelivered};
use crate::grammar::LocalGrammar;
use crate::mqtt::outbound_message::OutboundMessage;
use crate::mqtt::outbox::Outbox;
use crate::pipeline::admission::Admission;
use crate::pipeline::{OutboundAction, Pipeline, PipelineSettings, PublishFn, Services, StreamFn};
use crate::prompt::Composer;
use crate::redis::Redis;
use crate::router::Router;
use crate::store::journal::Journal;
use crate::telemetry::counters::Counters;
use crate::wire;

/// Builds a pipeline as the configuration describes it, which hands its messages to `publish`.
///
/// # Errors
/// When a language file, a provider's settings or those of Redis cannot be used.
pub fn pipeline(
    config: &Config,
    drafts: Option<Drafts>,
    journal: Arc<Journal>,
    counters: Arc<Counters>,
    publish: PublishFn,
) -> Result<Pipeline, DaemonError> {
    let redis = match &config.redis {
        Some(settings) => Some(Redis::new(settings.clone(), Arc::clone(&counters))?),
        None => None,
    };
    let redis = redis.map(Arc::new);
    let router = Router::with_redis(config.ask.clone(), Arc::clone(&counters), redis.clone())?;
    let spending = journal.store().and_then(|store| open_spending(&store));
    router.keep_spending(spending.as_ref());
    let cache = DraftCache::new(
        &config.recall,
        config.ask.models(),
        drafts,
        Arc::clone(&counters),
    )
    .with_redis(redis.as_ref());
    let services = Services {
        grammar: Arc::new(LocalGrammar::new(&config.local)?),
        cache: Arc::new(cache),
        admission: Arc::new(Admission::new(config.limits)),
        composer: Arc::new(Composer::default()),
        router: Arc::new(router),
        journal,
        counters,
        location: Arc::clone(&config.location),
        boot: boot_id(config.store.boot.as_deref()).into(),
    };
    let home = Arc::clone(&config.home);
    Ok(Pipeline::new(
        services,
        pipeline_settings(config),
        home,
        publish,
    ))
}

pub(super) fn pipeline_settings(config: &Config) -> PipelineSettings {
    PipelineSettings {
        order: config.daemon.order,
        model_timeout: config.ask.deadline,
        awaits_reports: config.replies.confirm,
    }
}

/// Returns the function with which the pipeline puts a message to a device into the outbox.
pub(super) fn publish_fn(outbox: &Outbox) -> PublishFn {
    let outbox = outbox.clone();
    Box::new(move |outbound: OutboundAction| {
        let publication = outbound.publication;
        let message = OutboundMessage::to(publication.topic, publication.payload)
            .for_device(outbound.device, outbound.seq)
            .until(outbound.deadline)
            .repeatable(outbound.repeatable)
            .with_hops(outbound.hops);
        let queued = outbox.publish(message);
        queued.unwrap_or_else(|_| Delivery::ended(Err(Undelivered::Full)))
    })
}

/// Returns the function with which the pipeline puts a piece of a long answer into the outbox. A
/// piece for which there is no room is left out: the numbers show it, and the reply is complete.
pub(super) fn stream_fn(outbox: &Outbox) -> StreamFn {
    let outbox = outbox.clone();
    Arc::new(move |piece, reply_to| {
        let (topic, payload) = wire::encode_piece(&piece, reply_to);
        let correlation = reply_to.correlation.clone();
        let message = OutboundMessage::to(topic, payload).with_correlation(correlation);
        drop(outbox.publish(message));
    })
}
