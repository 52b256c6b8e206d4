//! What operators see: the log and the counters.

pub mod log;
pub mod tally;
