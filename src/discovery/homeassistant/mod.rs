//! Home Assistant's MQTT discovery: `<prefix>/<component>/[<node>/]<object>/config` announces one
//! entity, `<prefix>/device/<object>/config` all entities of a device.

use serde_json::{Map, Value as Json};

use crate::home::capability::Capability;
use crate::home::device::{Device, Kind, Members};
use crate::home::entrance::normalized_class;
use crate::vocabulary::slug::Slug;

use crate::discovery::announcement::{
    AnnouncedDevice, Announcement, InvalidAnnouncement, InvalidComponent, Origin,
};
use crate::discovery::capabilities::selected_target;
use crate::discovery::homeassistant::config::{EntityConfig, expand, text_of};
use crate::discovery::homeassistant::entity_name::{EntityName, entity_name};
use crate::discovery::homeassistant::physical_device::PhysicalDevice;
use crate::discovery::names;

mod abbreviations;
mod availability;
mod climate;
mod climate_options;
mod component_options;
mod config;
mod cover;
mod entity_name;
mod fan;
mod light;
mod light_options;
mod lock;
pub mod option_support;
pub mod options;
mod physical_device;
mod simple;
mod switch;
mod vacuum;

#[cfg(test)]
mod tests;

/// Longest announcement accepted, in bytes. A device with 60 components has about 40,000.
const MAX_BYTES: usize = 512 * 1024;

/// Largest number of components of one device. A gateway that announces all it has as one device
/// has some hundred.
const MAX_COMPONENTS: usize = 1_024;

/// Component under which all entities of a device are announced at once.
const DEVICE: &str = "device";

/// Longest key of a component that is shown in a report, in characters.
const MAX_SHOWN_ID: usize = 60;

/// Options that stand beside the components of a device and hold for each that has none of its own.
const SHARED_OPTIONS: [&str; 10] = [
    "availability",
    "availability_mode",
    "availability_template",
    "availability_topic",
    "command_topic",
    "encoding",
    "payload_available",
    "payload_not_available",
    "qos",
    "state_topic",
];

/// Parses the announcement on `topic`, below the discovery prefix.
///
/// # Errors
/// If the payload is no entity or device that can be used.
pub fn parse(
    prefix: &str,
    topic: &str,
    payload: &[u8],
) -> Result<Announcement, InvalidAnnouncement> {
    let below = topic
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('/'));
    let path = below.and_then(|rest| rest.strip_suffix("/config"));
    let levels: Vec<&str> = path.unwrap_or_default().split('/').collect();
    let ([component, object] | [component, _, object]) = levels[..] else {
        return Ok(Announcement::Ignored("not a discovery topic"));
    };
    if component != DEVICE && options::options_of(component, "").is_none() {
        return Ok(Announcement::Ignored(
            "a component that is neither commanded nor asked",
        ));
    }
    if payload.trim_ascii().is_empty() {
        return Ok(Announcement::Removed);
    }
    if payload.len() > MAX_BYTES {
        return Err(InvalidAnnouncement::TooLong {
            found: payload.len(),
            most: MAX_BYTES,
        });
    }
    let content = serde_json::from_slice::<Map<String, Json>>(payload)
        .map_err(|e| InvalidAnnouncement::NotJson(e.to_string()))?;
    let mut content = expand(content, None);
    // Another topic takes over what this one announced.
    if content.get("migrate_discovery") == Some(&Json::Bool(true)) {
        return Ok(Announcement::Removed);
    }
    if component == DEVICE {
        return parse_device(content, object);
    }
    let device = content.remove("device");
    let body = PhysicalDevice::new(device, &content, topic);
    let announced = entity(component, &EntityConfig::new(content), &body, object)?;
    Ok(match announced {
        Some(announced) => Announcement::Announced(vec![announced]),
        None => Announcement::Ignored("for maintenance, not for people"),
    })
}

/// Parses all components of one device. One that cannot be used is named in the result, and does
/// not affect the others.
fn parse_device(
    mut content: Map<String, Json>,
    object: &str,
) -> Result<Announcement, InvalidAnnouncement> {
    let Some(Json::Object(components)) = content.remove("components") else {
        return Err(InvalidAnnouncement::Missing("components"));
    };
    if components.len() > MAX_COMPONENTS {
        return Err(InvalidAnnouncement::TooMany {
            found: components.len(),
            most: MAX_COMPONENTS,
        });
    }
    let mut body = PhysicalDevice::new(content.remove("device"), &content, object);
    body.name = body.name.or_else(|| names::clean(object));
    let base = content.get("~").and_then(Json::as_str).map(str::to_owned);
    let mut announced = Vec::new();
    let mut invalid = Vec::new();
    for (id, component) in components {
        let Json::Object(own) = component else {
            continue;
        };
        let mut own = expand(own, base.as_deref());
        let platform = own.get("platform").and_then(text_of).unwrap_or_default();
        let is_known = options::options_of(&platform, "").is_some();
        // A component with nothing but its platform is removed.
        if !is_known || own.keys().all(|key| key == "platform" || key == "~") {
            continue;
        }
        for key in SHARED_OPTIONS {
            if let Some(value) = content.get(key) {
                own.entry(key).or_insert_with(|| value.clone());
            }
        }
        match entity(&platform, &EntityConfig::new(own), &body, &id) {
            Ok(device) => announced.extend(device),
            Err(error) => invalid.push(InvalidComponent {
                component: id.chars().take(MAX_SHOWN_ID).collect(),
                error,
            }),
        }
    }
    if announced.is_empty() {
        let unused = Announcement::Ignored("no component that is commanded or asked");
        return invalid
            .into_iter()
            .next()
            .map_or(Ok(unused), |invalid| Err(invalid.error));
    }
    if invalid.is_empty() {
        return Ok(Announcement::Announced(announced));
    }
    Ok(Announcement::Partial(announced, invalid))
}

/// Returns one entity, unless it is of no interest to people.
fn entity(
    component: &str,
    config: &EntityConfig,
    body: &PhysicalDevice,
    object: &str,
) -> Result<Option<AnnouncedDevice>, InvalidAnnouncement> {
    let class = config.text("device_class");
    if !is_for_people(component, config, class.as_deref()) {
        return Ok(None);
    }
    config.check_payloads()?;
    let physical_name = body.name.as_deref().unwrap_or_default();
    let mut capabilities = capabilities(component, config, physical_name, object)?;
    let is_usable =
        |c: &Capability| !c.settable || c.binding.command.is_some() || !c.binding.fixed.is_empty();
    if !capabilities.iter().all(is_usable) {
        if config.has("command_topic") {
            return Err(InvalidAnnouncement::Unusable {
                option: "command_template",
                reason: "makes no message that can be sent",
            });
        }
        return Err(InvalidAnnouncement::Missing("command_topic"));
    }
    if component == "climate" {
        capabilities.extend(selected_target(&capabilities));
    }
    let EntityName { name, long } = entity_name(component, config, body, object);
    let kind = Slug::new(component).map_err(|_| InvalidAnnouncement::Missing("platform"))?;
    let mut device = Device {
        name: name.clone(),
        aliases: long.into_iter().collect(),
        class: class.and_then(|class| names::clean(&normalized_class(&class))),
        capabilities,
        availability: availability::availability(config)?,
        members: members(component, config, &body.unique),
        ..Device::new(
            names::slug(&name).unwrap_or_else(|| kind.clone()),
            Kind::new(kind),
        )
    };
    device.apply_default_guards();
    Ok(Some(AnnouncedDevice {
        device,
        origin: Origin::HomeAssistant,
        unique: body.unique.clone(),
        physical_name: body.name.clone(),
        suggested_area: body.area.clone(),
        limitations: options::limitations(component, config),
    }))
}

/// Returns the members of a group. An announcement does not list them; `Zigbee2MQTT` identifies a
/// group by the character codes of its base topic and the group's number. An announcement of a
/// scene does not state its changes either.
fn members(component: &str, config: &EntityConfig, unique: &str) -> Members {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_zigbee_group = unique
        .rsplit_once('_')
        .is_some_and(|(base, id)| is_digits(base) && is_digits(id));
    if config.has("group") || component == "scene" || is_zigbee_group {
        Members::UNKNOWN
    } else {
        Members::NONE
    }
}

/// Returns whether people command or query the entity: it is enabled, and not for maintenance. The
/// battery level can be queried although batteries are diagnostic entities.
fn is_for_people(component: &str, config: &EntityConfig, class: Option<&str>) -> bool {
    let is_sensor = matches!(component, "sensor" | "binary_sensor");
    let is_battery = is_sensor && class == Some("battery");
    let has_category = config.has("entity_category");
    let for_maintenance = matches!(class, Some("restart" | "identify" | "update" | "firmware"));
    let is_enabled = config.bool("enabled_by_default", true);
    is_enabled && !for_maintenance && (!has_category || is_battery)
}

fn capabilities(
    component: &str,
    config: &EntityConfig,
    device: &str,
    object: &str,
) -> Result<Vec<Capability>, InvalidAnnouncement> {
    match component {
        "alarm_control_panel" => lock::alarm(config),
        "binary_sensor" => simple::binary_sensor(config, device),
        "button" => simple::button(config),
        "climate" => climate::climate(config),
        "cover" => cover::cover(config, object),
        "fan" => fan::fan(config),
        "humidifier" => fan::humidifier(config),
        "lawn_mower" => vacuum::mower(config),
        "light" => light::light(config),
        "lock" => lock::lock(config),
        "number" => simple::numeric(config, device),
        "scene" => simple::scene(config),
        "select" => simple::select(config, device),
        "sensor" => simple::sensor(config, device),
        "siren" => switch::siren(config),
        "switch" => switch::switch(config, device),
        "vacuum" => vacuum::vacuum(config),
        "valve" => cover::valve(config),
        "water_heater" => climate::water_heater(config),
        _ => Err(InvalidAnnouncement::Missing("platform")),
    }
}
