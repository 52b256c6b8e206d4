//! Clause → intent: different wordings of one request become one value, before any device is known.
//!
//! In: a clause. Out: an [`Intent`], or `None` where the parts of the clause do not fit together.
//! Nothing here knows the home.

mod change;
mod clause_shape;
mod intents;
mod of_clause;
mod question;
mod relative;
mod verb;

pub(super) use crate::grammar::intent::intents::{Intent, QueryFocus, RelativeChange};
pub(super) use crate::grammar::intent::of_clause::intent_of;
