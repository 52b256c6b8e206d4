//! The physical device an entity belongs to.

use serde_json::{Map, Value as Json};

use crate::discovery::homeassistant::abbreviations;
use crate::discovery::homeassistant::config::text_of;
use crate::discovery::names;

/// The physical device an entity belongs to.
pub(super) struct PhysicalDevice {
    pub(super) unique: String,
    pub(super) name: Option<String>,
    pub(super) area: Option<String>,
}

impl PhysicalDevice {
    /// Reads the option `device`. An entity without one is a device by itself.
    pub(super) fn new(device: Option<Json>, entity: &Map<String, Json>, topic: &str) -> Self {
        let mut options = Map::new();
        if let Some(Json::Object(short)) = device {
            for (key, value) in short {
                options.insert(abbreviations::device(&key).to_owned(), value);
            }
        }
        let text = |key: &str| names::clean(&text_of(options.get(key)?)?);
        let unique = identity(&options)
            .or_else(|| entity.get("unique_id").and_then(text_of))
            .unwrap_or_else(|| topic.to_owned());
        Self {
            unique: names::address(&unique),
            name: text("name"),
            area: text("suggested_area"),
        }
    }
}

/// Returns the identity of a device. Addresses come first, because other ecosystems know them as
/// well: a MAC address among the connections (`["mac", "02:5b:26:a8:dc:12"]`), then an identifier
/// that is one, then the first identifier.
fn identity(device: &Map<String, Json>) -> Option<String> {
    let list = |key: &str| match device.get(key) {
        Some(Json::Array(list)) => list.clone(),
        Some(single) => vec![single.clone()],
        None => Vec::new(),
    };
    for connection in list("connections") {
        let pair = connection.as_array().map(Vec::as_slice);
        if let Some([kind, address]) = pair
            && (kind == "mac" || kind == "zigbee")
            && let Some(address) = text_of(address)
        {
            return Some(address);
        }
    }
    let identifiers: Vec<String> = list("identifiers").iter().filter_map(text_of).collect();
    let address = identifiers.iter().find(|text| names::is_address(text));
    let first = identifiers.iter().find(|text| !text.trim().is_empty());
    address.or(first).cloned()
}
