//! Lights in the three schemas of Home Assistant: one topic per property ([`basic`]), one JSON
//! object ([`json`]), and templates that write the whole payload ([`template`]). [`properties`] is
//! shared by them.

use crate::home::capability::Capability;

use crate::discovery::announcement::InvalidAnnouncement;
use crate::discovery::homeassistant::config::EntityConfig;

mod basic;
mod json;
mod properties;
mod template;

/// Returns the capabilities of a light.
///
/// # Errors
/// If a topic or template cannot be used, or one is missing.
pub(super) fn light(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    match config.text("schema").as_deref() {
        Some("json") => json::light(config),
        Some("template") => template::light(config),
        _ => basic::light(config),
    }
}
