//! Names of entities as people say them.

use crate::discovery::homeassistant::config::EntityConfig;
use crate::discovery::homeassistant::physical_device::PhysicalDevice;
use crate::discovery::names;

/// Names of entities that add nothing to the name of their device, like the name of their
/// component.
const GENERIC_NAMES: [&str; 5] = ["switch", "light", "relay", "main", "state"];

/// Returns the name people use for the entity. Home Assistant puts the device's name before the
/// entity's; here that is done only where the entity's own name is not enough.
pub(super) fn full_name(
    component: &str,
    config: &EntityConfig,
    body: &PhysicalDevice,
    object: &str,
) -> String {
    let own = config.text("name").and_then(|name| names::clean(&name));
    let (own, device) = match (own, &body.name) {
        (Some(own), Some(device)) => (own, device),
        (Some(own), None) => return own,
        (None, Some(device)) => return device.clone(),
        (None, None) => {
            let id = config.text("object_id");
            let text = id.unwrap_or_else(|| object.to_owned()).replace('_', " ");
            return names::clean(&text).unwrap_or_else(|| component.to_owned());
        }
    };
    let own_lower = own.to_lowercase();
    let device_lower = device.to_lowercase();
    let is_generic =
        own_lower == component.replace('_', " ") || GENERIC_NAMES.contains(&own_lower.as_str());
    if is_generic || device_lower.contains(&own_lower) {
        return device.clone();
    }
    // A device called like its area adds nothing that the area does not say.
    let area = body.area.as_ref().map(|area| area.to_lowercase());
    if own_lower.contains(&device_lower) || area.as_ref() == Some(&device_lower) {
        return own;
    }
    names::clean(&format!("{device} {own}")).unwrap_or(own)
}
