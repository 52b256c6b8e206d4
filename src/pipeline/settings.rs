//! Settings of the pipeline, validated by `config`.

use std::time::Duration;

/// The order in which commands are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommandOrder {
    /// Commands for one device reach it in the order of receipt; others do not wait.
    #[default]
    Device,
    /// Each command of a source also waits for the one before it.
    Source,
}

/// Settings of the pipeline that a reload may change.
#[derive(Debug, Clone, Copy)]
pub struct PipelineSettings {
    /// The order in which commands are executed.
    pub order: CommandOrder,
    /// The longest time a command waits for a model.
    pub model_timeout: Duration,
    /// Whether the states that devices report after a command are compared with the commanded ones.
    pub awaits_reports: bool,
}
