//! The circumstances in which the gate decides.

use std::time::Instant;

use crate::vocabulary::speech::Speech;

/// The request to the gate: who commands, and the circumstances in which it decides.
#[derive(Debug, Clone, Copy)]
pub struct PermitRequest<'a> {
    /// The source of the command, which determines its rights.
    pub source: &'a str,
    /// The identifier of the command, for devices without a binding.
    pub command: &'a str,
    /// True once the same source has confirmed exactly this draft.
    pub confirmed: bool,
    /// The present time, for the age of a state.
    pub now: Instant,
    /// The sentences of the language of the command.
    pub speech: &'a Speech,
}
