//! How a pipeline is made: at the start, with its optional parts, and after a reload.
//!
//! Commands in progress keep the pipeline they began with; the state is shared.

use std::sync::Arc;

use crate::home::Home;
use crate::pipeline::handle::{Pipeline, StreamFn};
use crate::pipeline::publish::PublishFn;
use crate::pipeline::replica::Replica;
use crate::pipeline::services::Services;
use crate::pipeline::settings::PipelineSettings;
use crate::pipeline::shared::Shared;

impl Pipeline {
    /// Makes a pipeline that hands messages to `publish`.
    pub fn new(
        services: Services,
        settings: PipelineSettings,
        home: Arc<Home>,
        publish: PublishFn,
    ) -> Self {
        let pipeline = Self {
            services,
            settings,
            stream: None,
            shared: Arc::new(Shared::new(home, publish)),
            replica: None,
        };
        pipeline.restore_timers();
        pipeline
    }

    /// Sends long answers in pieces as well.
    #[must_use]
    pub fn with_stream(self, stream: StreamFn) -> Self {
        Self {
            stream: Some(stream),
            ..self
        }
    }

    /// Publishes the progress of commands and timers for the other node of a pair.
    #[must_use]
    pub fn with_replica(self, replica: Arc<dyn Replica>) -> Self {
        Self {
            replica: Some(replica),
            ..self
        }
    }

    /// Makes a pipeline with other services and settings that shares the state of this one.
    #[must_use]
    pub fn with_services(&self, services: Services, settings: PipelineSettings) -> Self {
        Self {
            services,
            settings,
            stream: self.stream.clone(),
            shared: Arc::clone(&self.shared),
            replica: self.replica.clone(),
        }
    }
}
