//! The asynchronous runtime of the tools.

use tokio::runtime::Runtime;

use crate::cli::exit::{Exit, Failure};

/// Creates the runtime of a tool: one thread.
pub(super) fn create() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Internal, error))
}
