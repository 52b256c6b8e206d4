//! One announced device in the registry, with its place in the order of announcements.

use crate::discovery::announcement::AnnouncedDevice;

/// One announced device, and its place among the others.
#[derive(Debug, Clone)]
pub(super) struct RegistryEntry {
    /// Number in the order in which devices were announced for the first time. The first of a name
    /// keeps it.
    pub(super) order: u64,
    pub(super) announced: AnnouncedDevice,
}
