//! Commands that are carried out later: due times, the sun, and the set of waiting timers.
//!
//! Pure: it knows neither the store nor the broker, and clocks are arguments. `pipeline::timed`
//! stores the timers and fires them.

pub mod due;
#[cfg(test)]
mod examples;
pub mod grace;
pub mod moment;
mod occurrence;
pub mod recurrence;
pub mod sun;
pub mod timer;
pub mod timers;
#[cfg(test)]
mod year;
