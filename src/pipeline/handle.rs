//! The handle of a pipeline: services and settings of its own, and the state it shares with the
//! pipelines before and after a reload.

use std::sync::Arc;

use crate::command::ReplyTo;
use crate::command::reply::Piece;
use crate::pipeline::replica::Replica;
use crate::pipeline::services::Services;
use crate::pipeline::settings::PipelineSettings;
use crate::pipeline::shared::Shared;

/// Sends a piece of a long answer at once.
pub type StreamFn = Arc<dyn Fn(Piece, &ReplyTo) + Send + Sync>;

/// Processes commands. After a reload another pipeline takes its place and shares its state;
/// commands in progress finish with the services they started with.
pub struct Pipeline {
    pub(super) services: Services,
    pub(super) settings: PipelineSettings,
    /// Sends long answers in pieces, where that is possible.
    pub(super) stream: Option<StreamFn>,
    pub(super) shared: Arc<Shared>,
    /// The other node of a pair, if there is one.
    pub(super) replica: Option<Arc<dyn Replica>>,
}
