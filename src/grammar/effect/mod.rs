//! Intent × device → effects (property, operation, value).
//!
//! The result is `None` where the device cannot do it or the meaning is not certain. In: an intent
//! and one device. Out: its effects on the device. Which devices are meant, and where they are, is
//! not known here.

mod amount;
mod asked_state;
mod capabilities;
mod device_effects;
mod effects;
mod query;

pub(super) use crate::grammar::effect::asked_state::{PRESENCE, asked_state};
pub(super) use crate::grammar::effect::capabilities::{is_number_of_step, is_robot, measured};
pub(super) use crate::grammar::effect::device_effects::{DeviceEffects, Effect};
pub(super) use crate::grammar::effect::effects::Effects;
