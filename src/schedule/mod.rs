//! Commands that are carried out later: due times, the sun, and the set of waiting timers.
//!
//! Pure: it knows neither the store nor the broker, and clocks are arguments. `pipeline::timed`
//! stores the timers and fires them.

pub mod moment;
pub mod recurrence;
pub mod sun;
pub mod timer;
#[cfg(test)]
mod year;
