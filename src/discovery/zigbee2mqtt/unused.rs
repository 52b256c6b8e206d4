//! Entries in the list of a bridge that give no device, and why. Pure.

use serde_json::Value as Json;

use crate::discovery::announcement::InvalidAnnouncement;
use crate::discovery::names;

/// Longest name of a device that is shown in a report, in characters.
const MAX_SHOWN_NAME: usize = 60;

/// Returns the name of an entry, for a report.
pub(super) fn name_of(entry: &Json) -> String {
    let keys = ["friendly_name", "ieee_address"];
    let name = keys.iter().find_map(|key| entry.get(key)?.as_str());
    let name = name.unwrap_or("without a name");
    name.chars().take(MAX_SHOWN_NAME).collect()
}

/// Returns the reason why an entry gives no device at all, if there is one. The bridge's own radio
/// is no device to people.
pub(super) fn fault(base: &str, entry: &Json) -> Option<InvalidAnnouncement> {
    let is_radio = entry["type"] == "Coordinator";
    if entry["disabled"] == true && !is_radio {
        return Some(InvalidAnnouncement::Unusable {
            option: "disabled",
            reason: "is set in Zigbee2MQTT",
        });
    }
    let name = entry["friendly_name"].as_str();
    if let Some(name) = name
        && !names::is_topic(&format!("{base}/{name}"))
    {
        return Some(InvalidAnnouncement::BadTopic {
            key: "friendly_name".to_owned(),
        });
    }
    if entry["definition"].is_null() && !is_radio {
        return Some(InvalidAnnouncement::Unusable {
            option: "definition",
            reason: "is missing: Zigbee2MQTT does not support the device, or has not \
                     interviewed it yet",
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn devices_that_are_not_used_are_named_with_the_reason() {
        let why = |entry: Json| {
            let fault = fault("zigbee2mqtt", &entry).map(|fault| fault.to_string());
            (name_of(&entry), fault.unwrap_or_default())
        };
        let (name, reason) = why(json!({"friendly_name": "Old lamp", "disabled": true}));
        assert_eq!(name, "Old lamp");
        assert!(reason.starts_with("`disabled` is set"), "{reason}");
        let (name, reason) = why(json!({"ieee_address": "0x1", "definition": null}));
        assert_eq!(name, "0x1");
        assert!(reason.starts_with("`definition` is missing"), "{reason}");
        let (_, reason) = why(json!({"friendly_name": "a/#", "definition": {}}));
        assert!(reason.contains("friendly_name"), "{reason}");
        for used in [
            json!({"friendly_name": "Radio", "type": "Coordinator", "definition": null}),
            json!({"friendly_name": "Remote", "definition": {"exposes": []}}),
        ] {
            assert_eq!(why(used).1, "");
        }
    }
}
