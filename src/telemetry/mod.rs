//! Log, counters and metrics: everything an operator can observe of the running daemon.
//!
//! This module knows nothing about commands, homes or providers; callers pass in names and numbers.

pub mod command_entry;
pub mod counters;
mod fields;
pub mod gateway;
mod journald;
pub mod log;
pub mod log_limit;
pub mod metrics;
pub mod outcomes;
pub mod scrape;
