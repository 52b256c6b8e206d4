//! Expressions of time: "in ten minutes", "tomorrow at half past nine", "until sunset".
//!
//! An expression is cut out of the sentence (`cut`), and the rest must be a complete command
//! (`timed_command`). A sentence with two expressions, or one whose rest is not fully explained,
//! has no meaning.
//!
//! The other files read one sort of expression each, at one word of a sentence, and return what
//! they read with its end. In: the words of a sentence and the words of a language. Out: a
//! [`Timing`](crate::vocabulary::timing::Timing). Nothing here knows what time it is now, nor the
//! limits of delays.

mod clock_time;
mod cut;
mod day;
mod duration;
mod expression;
mod moment;
mod reader;
mod recurrence;
mod sun;
mod timed_command;

pub(super) use crate::grammar::time::cut::{Cut, around_time, cuts};
pub(super) use crate::grammar::time::reader::TimeReader;
