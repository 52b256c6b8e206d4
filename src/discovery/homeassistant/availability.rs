//! Availability of an entity in every form Home Assistant documents: one topic, a list of topics,
//! or a single object.

use serde_json::{Map, Value as Json};

use crate::binding::{Form, Port};
use crate::home::availability::{Availability, AvailabilityMode};

use crate::discovery::announcement::InvalidAnnouncement;
use crate::discovery::capabilities;
use crate::discovery::homeassistant::config::EntityConfig;

/// Largest number of availability topics of one entity.
const MAX_TOPICS: usize = 8;

/// Reads the availability options of an entity.
///
/// # Errors
/// If a topic or template cannot be used.
pub(super) fn availability(config: &EntityConfig) -> Result<Availability, InvalidAnnouncement> {
    let mode = match config.text("availability_mode").as_deref() {
        Some("all") => AvailabilityMode::All,
        Some("any") => AvailabilityMode::Any,
        _ => AvailabilityMode::Latest,
    };
    let mut sources = vec![source(
        config,
        "availability_topic",
        "availability_template",
    )?];
    for entry in entries(config.get("availability")) {
        sources.push(source(
            &EntityConfig::new(entry),
            "topic",
            "value_template",
        )?);
    }
    sources.retain(|(ports, _)| !ports.is_empty());
    Ok(capabilities::availability(sources, mode))
}

/// Returns the entries of the option `availability`, which may be a list or a single object. An
/// entry may be the topic alone.
fn entries(option: Option<&Json>) -> Vec<Map<String, Json>> {
    let list = match option {
        Some(Json::Array(list)) => list.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    };
    let mut entries = Vec::new();
    for entry in list.iter().take(MAX_TOPICS) {
        match entry {
            Json::Object(object) => entries.push(object.clone()),
            Json::String(_) => {
                entries.push(Map::from_iter([("topic".to_owned(), entry.clone())]));
            }
            _ => {}
        }
    }
    entries
}

/// Returns the ports of one availability topic, with the payloads for available and not available.
fn source(
    config: &EntityConfig,
    topic_key: &str,
    template_key: &str,
) -> Result<(Vec<Port>, [Json; 2]), InvalidAnnouncement> {
    config.check_payloads()?;
    let payloads = [
        config.payload("payload_available", "online"),
        config.payload("payload_not_available", "offline"),
    ];
    let mut ports = config.state(topic_key, template_key)?;
    // Zigbee2MQTT publishes the bare word or a JSON object, whatever its announcement says.
    if let [port] = ports.as_slice()
        && port.form == Form::Raw
    {
        ports.push(capabilities::field(&port.topic.clone(), &["state"]));
    }
    Ok((ports, payloads))
}
