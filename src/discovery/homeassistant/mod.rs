//! Home Assistant's MQTT discovery: `<prefix>/<component>/[<node>/]<object>/config` for one entity,
//! `<prefix>/device/<object>/config` for all of a device at once.

use serde_json::{Map, Value as Json};

use crate::binding::{Form, Port};
use crate::home::availability::{Availability, AvailabilityMode};
use crate::home::capability::Capability;
use crate::home::device::{Device, Kind, Members};
use crate::vocabulary::slug::Slug;

use crate::discovery::homeassistant::config::{Config, expand, text_of};
use crate::discovery::{Found, Malformed, Message, Origin, names};

mod abbreviations;
mod climate;
mod config;
mod light;
mod moving;
mod simple;

/// The longest announcement taken, in bytes. A device with 60 components has about 40,000.
const LONGEST: usize = 512 * 1024;

/// The most components of one device: a gateway that tells all it has as one device has some hundred.
const MOST_COMPONENTS: usize = 1_024;

/// Reads what was announced on `topic`, below the discovery prefix.
///
/// # Errors
/// When the payload is no entity or device that could be used.
pub fn read(prefix: &str, topic: &str, payload: &[u8]) -> Result<Message, Malformed> {
    let Some(path) = topic
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|rest| rest.strip_suffix("/config"))
    else {
        return Ok(Message::Ignored("not a discovery topic"));
    };
    let levels: Vec<&str> = path.split('/').collect();
    let ([component, object] | [component, _, object]) = levels[..] else {
        return Ok(Message::Ignored("not a discovery topic"));
    };
    if component != "device" && !COMPONENTS.contains(&component) {
        return Ok(Message::Ignored(
            "a component that is neither told nor asked anything",
        ));
    }
    if payload.trim_ascii().is_empty() {
        return Ok(Message::Removed);
    }
    if payload.len() > LONGEST {
        return Err(Malformed::TooLong {
            found: payload.len(),
            most: LONGEST,
        });
    }
    let object_of = serde_json::from_slice::<Map<String, Json>>(payload)
        .map_err(|e| Malformed::NotJson(e.to_string()))?;
    if component == "device" {
        return device(expand(object_of), object);
    }
    let mut entity = expand(object_of);
    let body = Body::of(entity.remove("device"), &entity, topic);
    Ok(
        match found(component, &Config::new(entity), &body, object)? {
            Some(found) => Message::Announced(vec![found]),
            None => Message::Ignored("for maintenance, not for people"),
        },
    )
}

/// The components that become devices or parts of them.
const COMPONENTS: [&str; 18] = [
    "light",
    "switch",
    "cover",
    "valve",
    "lock",
    "climate",
    "water_heater",
    "fan",
    "humidifier",
    "vacuum",
    "lawn_mower",
    "siren",
    "select",
    "number",
    "button",
    "scene",
    "sensor",
    "binary_sensor",
];

/// The physical device an entity belongs to.
struct Body {
    unique: String,
    name: Option<String>,
    area: Option<String>,
}

impl Body {
    /// From the `device` key; an entity without one is a device of its own.
    fn of(device: Option<Json>, entity: &Map<String, Json>, topic: &str) -> Self {
        let short = if let Some(Json::Object(map)) = device {
            map
        } else {
            Map::new()
        };
        let long: Map<String, Json> = short
            .into_iter()
            .map(|(key, value)| (abbreviations::device(&key).to_owned(), value))
            .collect();
        let text = |key: &str| {
            long.get(key)
                .and_then(text_of)
                .and_then(|t| names::clean(&t))
        };
        let unique = identity(&long)
            .or_else(|| entity.get("unique_id").and_then(text_of))
            .unwrap_or_else(|| topic.to_owned());
        Self {
            unique: names::address(&unique),
            name: text("name"),
            area: text("suggested_area"),
        }
    }
}

/// The first identifier, or the first connection (`["mac", "02:5b:26:a8:dc:12"]`). A MAC address wins over other identifiers,
/// because other origins know it as well.
fn identity(device: &Map<String, Json>) -> Option<String> {
    let connections = device
        .get("connections")
        .and_then(Json::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mac = connections
        .iter()
        .find_map(|pair| match pair.as_array()?.as_slice() {
            [kind, address] if kind == "mac" => text_of(address),
            _ => None,
        });
    let identifier = match device.get("identifiers") {
        Some(Json::Array(list)) => list.iter().find_map(text_of),
        Some(one) => text_of(one),
        None => None,
    };
    mac.or(identifier).filter(|text| !text.trim().is_empty())
}

/// All components of one device. What cannot be used does not spoil the rest.
fn device(mut announced: Map<String, Json>, object: &str) -> Result<Message, Malformed> {
    let Some(Json::Object(components)) = announced.remove("components") else {
        return Err(Malformed::Missing("components"));
    };
    if components.len() > MOST_COMPONENTS {
        return Err(Malformed::TooMany {
            found: components.len(),
            most: MOST_COMPONENTS,
        });
    }
    let mut body = Body::of(announced.remove("device"), &announced, object);
    body.name = body.name.or_else(|| names::clean(object));
    let base = announced.get("~").cloned();
    let (mut all, mut spoiled) = (Vec::new(), None);
    for (id, component) in components {
        let Json::Object(mut own) = component else {
            continue;
        };
        if let (Some(base), false) = (&base, own.contains_key("~")) {
            own.insert("~".to_owned(), base.clone());
        }
        let mut entity = expand(own);
        let Some(platform) = entity.get("platform").and_then(text_of) else {
            continue;
        };
        // A component with nothing but its platform is removed.
        if entity.keys().all(|key| key == "platform" || key == "~")
            || !COMPONENTS.contains(&platform.as_str())
        {
            continue;
        }
        for (key, value) in &announced {
            if key.ends_with("topic")
                || key.starts_with("availability")
                || matches!(
                    key.as_str(),
                    "encoding" | "payload_available" | "payload_not_available"
                )
            {
                entity.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        match found(&platform, &Config::new(entity), &body, &id) {
            Ok(found) => all.extend(found),
            Err(error) => spoiled = Some(error),
        }
    }
    match (all.is_empty(), spoiled) {
        (true, Some(error)) => Err(error),
        (true, None) => Ok(Message::Ignored(
            "no component that is told or asked anything",
        )),
        (false, _) => Ok(Message::Announced(all)),
    }
}

/// One entity, unless it is of no interest to people.
fn found(
    component: &str,
    config: &Config,
    body: &Body,
    object: &str,
) -> Result<Option<Found>, Malformed> {
    let category = config.text("entity_category");
    let class = config.text("device_class");
    let battery =
        matches!(component, "sensor" | "binary_sensor") && class.as_deref() == Some("battery");
    let maintenance = matches!(
        class.as_deref(),
        Some("restart" | "identify" | "update" | "firmware")
    );
    if maintenance || (category.is_some() && !battery) || !config.flag("enabled_by_default", true) {
        return Ok(None);
    }
    let called = body.name.as_deref().unwrap_or_default();
    let capabilities = capabilities(component, config, called)?;
    let useful =
        |c: &Capability| !c.settable || c.binding.command.is_some() || !c.binding.fixed.is_empty();
    if !capabilities.iter().all(useful) {
        return Err(Malformed::Missing("command_topic"));
    }
    let name = full_name(component, config, body, object);
    let provisional = |text: &str| names::slug(text).or_else(|| Slug::new(component).ok());
    let (Some(id), Ok(kind)) = (provisional(&name), Slug::new(component)) else {
        return Err(Malformed::Missing("name"));
    };
    let mut device = Device {
        id,
        name,
        aliases: Vec::new(),
        area: None,
        kind: Kind::new(kind),
        class: class.and_then(|c| names::clean(&c)),
        capabilities,
        availability: availability(config)?,
        risks: Vec::new(),
        members: Members::NONE,
        bridge_id: None,
    };
    device.apply_default_guards();
    let (called, suggested_area) = (body.name.clone(), body.area.clone());
    Ok(Some(Found {
        device,
        origin: Origin::HomeAssistant,
        unique: body.unique.clone(),
        called,
        suggested_area,
        members: Vec::new(),
    }))
}

/// Where it is told whether the entity can be reached: one topic, or a list of them.
fn availability(config: &Config) -> Result<Availability, Malformed> {
    /// Topics one entity may have.
    const MOST: usize = 8;
    let mode = match config.text("availability_mode").as_deref() {
        Some("all") => AvailabilityMode::All,
        Some("any") => AvailabilityMode::Any,
        _ => AvailabilityMode::Latest,
    };
    let words = |config: &Config| {
        [
            config.wire("payload_available", "online"),
            config.wire("payload_not_available", "offline"),
        ]
    };
    let mut told = vec![(
        config.hears("availability_topic", "availability_template")?,
        words(config),
    )];
    for each in config
        .get("availability")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .take(MOST)
    {
        let each = Config::new(expand(each.as_object().cloned().unwrap_or_default()));
        told.push((each.hears("topic", "value_template")?, words(&each)));
    }
    // A bridge may tell the bare word or a JSON object: where nothing is said of a template, it is heard in both.
    for (ports, _) in &mut told {
        let objects: Vec<Port> = ports
            .iter()
            .filter(|port| port.form == Form::Raw)
            .map(|port| crate::discovery::field(&port.topic, &["state"]))
            .collect();
        ports.extend(objects);
    }
    told.retain(|(ports, _)| !ports.is_empty());
    Ok(crate::discovery::availability(told, mode))
}

fn capabilities(
    component: &str,
    config: &Config,
    device: &str,
) -> Result<Vec<Capability>, Malformed> {
    match component {
        "light" => light::light(config),
        "switch" => simple::switch(config, device),
        "siren" => simple::siren(config),
        "cover" => moving::cover(config),
        "valve" => moving::valve(config),
        "lock" => moving::lock(config),
        "vacuum" => moving::vacuum(config),
        "lawn_mower" => moving::mower(config),
        "climate" => climate::climate(config),
        "water_heater" => climate::water_heater(config),
        "humidifier" => climate::humidifier(config),
        "fan" => climate::fan(config),
        "select" => simple::select(config, device),
        "number" => simple::numeric(config, device),
        "button" => simple::button(config),
        "scene" => simple::scene(config),
        "sensor" => simple::sensor(config, device),
        _ => simple::binary_sensor(config, device),
    }
}

/// What people call the entity. Home Assistant puts the device's name before the entity's; here only where that says more.
fn full_name(component: &str, config: &Config, body: &Body, object: &str) -> String {
    let own = config.text("name").and_then(|name| names::clean(&name));
    match (own, &body.name) {
        (None, Some(device)) => device.clone(),
        (None, None) => {
            names::clean(&object.replace('_', " ")).unwrap_or_else(|| component.to_owned())
        }
        (Some(own), None) => own,
        (Some(own), Some(device)) => {
            let (small, small_device) = (own.to_lowercase(), device.to_lowercase());
            let says_nothing = small == component.replace('_', " ")
                || matches!(
                    small.as_str(),
                    "switch" | "light" | "relay" | "main" | "state"
                );
            let area_only = body
                .area
                .as_ref()
                .is_some_and(|area| area.to_lowercase() == small_device);
            if says_nothing || small_device.contains(&small) {
                device.clone()
            } else if small.contains(&small_device) || area_only {
                own
            } else {
                names::clean(&format!("{device} {own}")).unwrap_or(own)
            }
        }
    }
}
