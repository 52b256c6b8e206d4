//! `Zigbee2MQTT`: `<base>/bridge/devices` lists all devices with the features they expose,
//! `<base>/bridge/groups` all groups. Both lists are complete: a device that is missing in a list
//! no longer exists.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::binding;
use crate::binding::{Binding, Form, Port, Publication};
use crate::home::availability::{Availability, AvailabilityMode};
use crate::home::capability::Capability;
use crate::home::device::{Device, Kind, Members};
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Property, Value};

use crate::discovery::announcement::{
    AnnouncedDevice, Announcement, InvalidAnnouncement, InvalidComponent, Origin,
};
use crate::discovery::capabilities::{availability, choice, field, setting};
use crate::discovery::names;
use crate::discovery::zigbee2mqtt::expose::{DeviceAddress, Expose};

mod expose;
mod features;
mod unused;

/// Longest list accepted, in bytes. 200 devices with 300 exposed features each have about
/// 4,000,000.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Largest number of capabilities of one device. There are devices with 200 settings; the rest is
/// left out.
const MAX_CAPABILITIES: usize = 48;

/// Largest number of scenes of one device or group.
const MAX_SCENES: usize = 64;

/// One entry of `bridge/devices`.
#[derive(Debug, Deserialize)]
struct BridgeDevice {
    ieee_address: String,
    friendly_name: String,
    #[serde(default)]
    disabled: bool,
    definition: Option<Definition>,
    #[serde(default)]
    endpoints: Json,
}

#[derive(Debug, Deserialize)]
struct Definition {
    #[serde(default)]
    exposes: Vec<Json>,
}

/// A scene stored in a device or group.
#[derive(Debug, Deserialize)]
struct Scene {
    id: u64,
    name: Option<String>,
}

/// Names of a physical device or group.
struct DeviceNames {
    /// Identity for all ecosystems.
    unique: String,
    /// Name as people say it.
    name: String,
}

/// Parses `<base>/bridge/devices`. A device that cannot be read does not affect the others.
///
/// # Errors
/// If the payload is no list.
pub fn parse_devices(base: &str, payload: &[u8]) -> Result<Announcement, InvalidAnnouncement> {
    let mut announced = Vec::new();
    let mut invalid = Vec::new();
    for entry in parse_list(payload)? {
        let component = unused::name_of(&entry);
        let fault = unused::fault(base, &entry);
        let device = serde_json::from_value::<BridgeDevice>(entry);
        let error = match device {
            Ok(device) => {
                announced.extend(devices_of(base, &device));
                fault
            }
            Err(error) => Some(InvalidAnnouncement::NotJson(error.to_string())),
        };
        invalid.extend(error.map(|error| InvalidComponent { component, error }));
    }
    Ok(if invalid.is_empty() {
        Announcement::Announced(announced)
    } else {
        Announcement::Partial(announced, invalid)
    })
}

fn parse_list(payload: &[u8]) -> Result<Vec<Json>, InvalidAnnouncement> {
    if payload.len() > MAX_BYTES {
        return Err(InvalidAnnouncement::TooLong {
            found: payload.len(),
            most: MAX_BYTES,
        });
    }
    // A retained message is cleared by an empty payload: there are no devices any more.
    if payload.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(payload).map_err(|e| InvalidAnnouncement::NotJson(e.to_string()))
}

/// Returns the devices a physical device is to people: one per lamp, switch or valve on it, one for
/// its other features, and its scenes.
fn devices_of(base: &str, device: &BridgeDevice) -> Vec<AnnouncedDevice> {
    let Some(definition) = device.definition.as_ref().filter(|_| !device.disabled) else {
        return Vec::new();
    };
    if !names::is_topic(&format!("{base}/{}", device.friendly_name)) {
        return Vec::new();
    }
    let address = DeviceAddress {
        base,
        name: &device.friendly_name,
    };
    let body = DeviceNames {
        unique: names::address(&device.ieee_address),
        name: spoken_name(&device.friendly_name),
    };
    let exposes = definition.exposes.iter();
    let parsed = exposes.filter_map(|e| serde_json::from_value::<Expose>(e.clone()).ok());
    let shown = parsed.filter(|e| e.category.as_deref() != Some("config"));
    let (mut mains, mut others): (Vec<Expose>, Vec<Expose>) = shown.partition(Expose::is_main);
    mains.extend(Expose::take_separate_fan(&mut others));
    if mains.is_empty() {
        mains.extend(Expose::take_alarm(&mut others));
    }
    let mut announced = main_devices(address, &body, &mains);
    let mut readings = Vec::new();
    let endpoints: Vec<Option<String>> = announced.iter().map(|(name, _)| name.clone()).collect();
    for (main, capability) in standalone(address, &others, &endpoints) {
        match main {
            Some(main) => add(&mut announced[main].1.device.capabilities, capability),
            None => add(&mut readings, capability),
        }
    }
    let mut all: Vec<AnnouncedDevice> = announced.into_iter().map(|(_, device)| device).collect();
    all.extend(announced_device(&body, &body.name, "sensor", readings));
    all.extend(scenes_of_device(address, &body, &device.endpoints));
    for announced in &mut all {
        announced.device.bridge_id = Some(body.unique.clone());
        announced.device.availability = device_availability(base, &device.friendly_name);
    }
    all
}

/// Returns the capabilities of features that stand alone, each with the index of the main device
/// whose endpoint it has.
fn standalone(
    address: DeviceAddress<'_>,
    others: &[Expose],
    endpoints: &[Option<String>],
) -> Vec<(Option<usize>, Capability)> {
    let main_of = |expose: &Expose| {
        let mut mains = endpoints.iter();
        mains.position(|main| main.is_some() && main.as_deref() == expose.endpoint())
    };
    let shown = || others.iter().filter(|expose| expose.is_for_people());
    let is_alone = |expose: &Expose| {
        let same = |other: &&Expose| other.name == expose.name && main_of(other) == main_of(expose);
        shown().filter(same).count() == 1
    };
    let mut placed = Vec::new();
    for expose in shown() {
        let capability = expose.standalone(address, is_alone(expose));
        placed.extend(capability.map(|capability| (main_of(expose), capability)));
    }
    placed
}

/// Returns the main devices, each with its endpoint where several are of one type.
fn main_devices(
    address: DeviceAddress<'_>,
    body: &DeviceNames,
    mains: &[Expose],
) -> Vec<(Option<String>, AnnouncedDevice)> {
    let mut announced = Vec::new();
    for main in mains {
        let is_only = mains.iter().filter(|other| other.kind == main.kind).count() == 1;
        let endpoint = main.endpoint().filter(|_| !is_only);
        let name = match endpoint {
            Some(endpoint) => format!("{} {}", body.name, spoken_endpoint(endpoint)),
            None => body.name.clone(),
        };
        let kind = match main.kind.as_str() {
            "composite" | "binary" => "siren",
            kind => kind,
        };
        let mut device = announced_device(body, &name, kind, main.capabilities(address));
        if let (Some(endpoint), Some(announced)) = (endpoint, &mut device) {
            // People also use the name that they see in the bridge: "dimmer l1".
            let written = format!("{} {}", body.name, endpoint.replace('_', " "));
            if written != name {
                announced.device.aliases.push(written);
            }
        }
        announced.extend(device.map(|device| (endpoint.map(str::to_owned), device)));
    }
    announced
}

/// Returns the scenes stored in the endpoints of a device.
fn scenes_of_device(
    address: DeviceAddress<'_>,
    body: &DeviceNames,
    endpoints: &Json,
) -> Vec<AnnouncedDevice> {
    let Some(endpoints) = endpoints.as_object() else {
        return Vec::new();
    };
    let with_scenes: Vec<(&String, Vec<Scene>)> = endpoints
        .iter()
        .map(|(endpoint, content)| (endpoint, parse_scenes(content.get("scenes"))))
        .filter(|(_, scenes)| !scenes.is_empty())
        .collect();
    let mut announced = Vec::new();
    for (endpoint, scenes) in &with_scenes {
        let topic = if with_scenes.len() == 1 {
            format!("{}/set", address.state_topic())
        } else {
            format!("{}/{endpoint}/set", address.state_topic())
        };
        if names::is_topic(&topic) {
            announced.extend(
                scenes
                    .iter()
                    .filter_map(|scene| recall(body, &topic, scene)),
            );
        }
    }
    announced
}

fn parse_scenes(scenes: Option<&Json>) -> Vec<Scene> {
    let list = scenes.and_then(Json::as_array).into_iter().flatten();
    let parsed = list.filter_map(|scene| serde_json::from_value(scene.clone()).ok());
    parsed.take(MAX_SCENES).collect()
}

/// Returns the scene as a device that is activated.
fn recall(body: &DeviceNames, topic: &str, scene: &Scene) -> Option<AnnouncedDevice> {
    let name = match &scene.name {
        Some(name) => name.clone(),
        None => format!("{} scene {}", body.name, scene.id),
    };
    let message = Publication::new(topic, format!(r#"{{"scene_recall":{}}}"#, scene.id));
    let binding = Binding {
        fixed: vec![(Value::text("activated"), message)],
        ..Binding::default()
    };
    let activate = setting(Property::Scene, choice(&["activated"]), binding);
    announced_device(body, &name, "scene", vec![activate])
}

/// Returns the availability of a device or group: that of the bridge, and its own if the bridge
/// checks it. Older bridges publish a bare word, newer ones a JSON object.
fn device_availability(base: &str, name: &str) -> Availability {
    let topics = [
        format!("{base}/bridge/state"),
        format!("{base}/{name}/availability"),
    ];
    let sources = topics.map(|topic| {
        let object = field(&topic, &["state"]);
        let word = Port {
            topic: topic.into(),
            form: Form::Raw,
        };
        (
            vec![word, object],
            [Json::from("online"), Json::from("offline")],
        )
    });
    availability(sources.to_vec(), AvailabilityMode::All)
}

/// Adds a capability, unless there is one of the same property or there are too many.
fn add(capabilities: &mut Vec<Capability>, capability: Capability) {
    let is_known = capabilities
        .iter()
        .any(|c| c.property == capability.property);
    if !is_known && capabilities.len() < MAX_CAPABILITIES {
        capabilities.push(capability);
    }
}

fn announced_device(
    body: &DeviceNames,
    name: &str,
    kind: &str,
    capabilities: Vec<Capability>,
) -> Option<AnnouncedDevice> {
    if capabilities.is_empty() {
        return None;
    }
    let name = names::clean(name)?;
    let kind = Slug::new(kind).ok()?;
    let id = names::slug(&name).unwrap_or_else(|| kind.clone());
    let mut device = Device {
        name,
        capabilities,
        ..Device::new(id, Kind::new(kind))
    };
    device.apply_default_guards();
    Some(AnnouncedDevice {
        device,
        origin: Origin::Zigbee2mqtt,
        unique: body.unique.clone(),
        physical_name: names::clean(&body.name),
        suggested_area: None,
        limitations: Vec::new(),
    })
}

/// Returns a friendly name as people say it: `kitchen/ceiling_lamp` → `kitchen ceiling lamp`.
fn spoken_name(friendly: &str) -> String {
    names::clean(&friendly.replace(['/', '_'], " ")).unwrap_or_else(|| "device".to_owned())
}

/// Returns an endpoint as people say it: `l1` → `1`, `left` → `left`, `switch_1` → `1`.
fn spoken_endpoint(endpoint: &str) -> String {
    let number = endpoint
        .strip_prefix('l')
        .or_else(|| endpoint.strip_prefix("switch_"));
    match number {
        Some(number) if number.parse::<u32>().is_ok() => number.to_owned(),
        _ => endpoint.replace('_', " "),
    }
}

/// One entry of `bridge/groups`.
#[derive(Debug, Deserialize)]
struct ListedGroup {
    id: u64,
    friendly_name: String,
    #[serde(default)]
    members: Vec<Member>,
    #[serde(default)]
    scenes: Json,
}

#[derive(Debug, Deserialize)]
struct Member {
    ieee_address: String,
}

/// Properties a group can have if one of its members has them.
const GROUP_PROPERTIES: [Property; 6] = [
    Property::Power,
    Property::Brightness,
    Property::ColorTemp,
    Property::Color,
    Property::Position,
    Property::Lock,
];

/// Parses `<base>/bridge/groups`. A group has the abilities of its members, which the registry
/// knows.
///
/// # Errors
/// If the payload is no list.
pub fn parse_groups(base: &str, payload: &[u8]) -> Result<Announcement, InvalidAnnouncement> {
    let mut announced = Vec::new();
    for entry in parse_list(payload)? {
        let Ok(group) = serde_json::from_value::<ListedGroup>(entry) else {
            continue;
        };
        let has_topic = names::is_topic(&format!("{base}/{}", group.friendly_name));
        if has_topic && !group.members.is_empty() {
            announced.extend(devices_of_group(base, &group));
        }
    }
    Ok(Announcement::Announced(announced))
}

fn devices_of_group(base: &str, group: &ListedGroup) -> Vec<AnnouncedDevice> {
    let body = DeviceNames {
        unique: group_identity(base, group.id),
        name: spoken_name(&group.friendly_name),
    };
    let ids = group.members.iter();
    let members = Members {
        ids: ids.map(|m| names::address(&m.ieee_address)).collect(),
        complete: true,
    };
    let capabilities = GROUP_PROPERTIES.iter().map(|property| {
        let binding = binding::zigbee2mqtt(base, &group.friendly_name, property, None);
        let domain = Capability::standard(property.clone()).domain;
        setting(property.clone(), domain, binding)
    });
    let mut all = Vec::new();
    all.extend(announced_device(
        &body,
        &body.name,
        "light",
        capabilities.collect(),
    ));
    let topic = format!("{base}/{}/set", group.friendly_name);
    let scenes = parse_scenes(Some(&group.scenes));
    all.extend(
        scenes
            .iter()
            .filter_map(|scene| recall(&body, &topic, scene)),
    );
    for announced in &mut all {
        announced.device.members = members.clone();
        announced.device.bridge_id = Some(group.id.to_string());
        announced.device.availability = device_availability(base, &group.friendly_name);
    }
    all
}

/// Returns the identifier `Zigbee2MQTT` gives a group in announcements to Home Assistant: the
/// character codes of the base topic, and the group's number.
fn group_identity(base: &str, id: u64) -> String {
    let mut unique = String::new();
    for byte in base.bytes() {
        let _ = write!(unique, "{byte}");
    }
    let _ = write!(unique, "_{id}");
    unique
}
