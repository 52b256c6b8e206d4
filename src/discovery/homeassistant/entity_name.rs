//! Names of entities as people say them.

use crate::discovery::homeassistant::config::EntityConfig;
use crate::discovery::homeassistant::physical_device::PhysicalDevice;
use crate::discovery::names;

/// Names of entities that add nothing to the name of their device, like the name of their
/// component.
const GENERIC_NAMES: [&str; 5] = ["switch", "light", "relay", "main", "state"];

/// The names of one entity.
pub(super) struct EntityName {
    /// Name that people use.
    pub(super) name: String,
    /// Name in Home Assistant, with the device's before the entity's, if `name` is shorter because
    /// the entity's name adds nothing to the device's.
    pub(super) long: Option<String>,
}

impl EntityName {
    fn only(name: String) -> Self {
        Self { name, long: None }
    }
}

/// Returns the names of the entity. Home Assistant puts the device's name before the entity's; here
/// that is done only where the entity's own name is not enough.
pub(super) fn entity_name(
    component: &str,
    config: &EntityConfig,
    body: &PhysicalDevice,
    object: &str,
) -> EntityName {
    let own = config.text("name").and_then(|name| names::clean(&name));
    let (own, device) = match (own, &body.name) {
        (Some(own), Some(device)) => (own, device),
        (Some(own), None) => return EntityName::only(own),
        (None, Some(device)) => return EntityName::only(device.clone()),
        (None, None) => {
            let id = config.text("object_id");
            let text = id.unwrap_or_else(|| object.to_owned()).replace('_', " ");
            return EntityName::only(names::clean(&text).unwrap_or_else(|| component.to_owned()));
        }
    };
    let own_lower = own.to_lowercase();
    let device_lower = device.to_lowercase();
    let is_generic =
        own_lower == component.replace('_', " ") || GENERIC_NAMES.contains(&own_lower.as_str());
    let long = names::clean(&format!("{device} {own}"));
    if is_generic || device_lower.contains(&own_lower) {
        return EntityName {
            name: device.clone(),
            long: long.filter(|_| own_lower != device_lower),
        };
    }
    // A device called like its area adds nothing that the area does not say.
    let area = body.area.as_ref().map(|area| area.to_lowercase());
    if own_lower.contains(&device_lower) || area.as_ref() == Some(&device_lower) {
        return EntityName::only(own);
    }
    EntityName::only(long.unwrap_or(own))
}
