//! What operators see: the log, the counters, and the page of metrics.

pub mod answers;
mod journal;
pub mod log;
pub mod metrics;
pub mod scrape;
pub mod tally;
