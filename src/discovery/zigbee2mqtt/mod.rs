//! `Zigbee2MQTT`: `<base>/bridge/devices` lists what there is and what each device exposes, `<base>/bridge/groups` the groups.
//! Both lists are whole: what is missing in the next one is gone.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::binding;
use crate::binding::{Binding, Form, Port, Publication};
use crate::home::availability::{Availability, AvailabilityMode};
use crate::home::capability::Capability;
use crate::home::device::{Device, Kind};
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Property, Value};

use crate::discovery::zigbee2mqtt::exposes::{At, Expose};
use crate::discovery::{Found, Malformed, Message, Origin, choice, names, setting};

mod exposes;

/// The longest list taken, in bytes. 200 devices with 300 exposes each have about 4,000,000.
const LONGEST: usize = 16 * 1024 * 1024;

/// Capabilities of one device, beyond which the rest is left out: there are devices with 200 settings.
const MOST_CAPABILITIES: usize = 48;

#[derive(Debug, Deserialize)]
struct Listed {
    ieee_address: String,
    friendly_name: String,
    #[serde(default)]
    disabled: bool,
    definition: Option<Definition>,
}

#[derive(Debug, Deserialize)]
struct Definition {
    #[serde(default)]
    exposes: Vec<Json>,
}

/// Reads `<base>/bridge/devices`. A device that cannot be read does not spoil the others.
///
/// # Errors
/// When the payload is no list.
pub fn devices(base: &str, payload: &[u8]) -> Result<Message, Malformed> {
    let listed = list(payload)?
        .into_iter()
        .filter_map(|entry| serde_json::from_value::<Listed>(entry).ok());
    Ok(Message::Announced(
        listed.flat_map(|device| parts(base, &device)).collect(),
    ))
}

fn list(payload: &[u8]) -> Result<Vec<Json>, Malformed> {
    if payload.len() > LONGEST {
        return Err(Malformed::TooLong {
            found: payload.len(),
            most: LONGEST,
        });
    }
    // An empty payload is how retained messages are cleared: there is nothing any more.
    if payload.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(payload).map_err(|e| Malformed::NotJson(e.to_string()))
}

/// What a physical device is to people: one thing per lamp, switch or valve on it, and one for everything else it tells.
fn parts(base: &str, device: &Listed) -> Vec<Found> {
    let Some(definition) = device.definition.as_ref().filter(|_| !device.disabled) else {
        return Vec::new();
    };
    if !names::is_topic(&format!("{base}/{}", device.friendly_name)) {
        return Vec::new();
    }
    let at = At {
        base,
        name: &device.friendly_name,
    };
    let exposes = definition
        .exposes
        .iter()
        .filter_map(|e| serde_json::from_value::<Expose>(e.clone()).ok());
    let (mut mains, mut rest): (Vec<_>, Vec<_>) = exposes
        .filter(|e| e.category.as_deref() != Some("config"))
        .partition(is_main);
    mains.extend(Expose::loose_fan(&mut rest));
    let called = spoken(&device.friendly_name);
    let unique = names::address(&device.ieee_address);
    let mut found: Vec<(Option<String>, Found)> = Vec::new();
    for main in &mains {
        let alone = mains.iter().filter(|other| other.kind == main.kind).count() == 1;
        let part = main.part().filter(|_| !alone);
        let name = part.map_or_else(
            || called.clone(),
            |part| format!("{called} {}", endpoint(part)),
        );
        let kind = if main.kind == "composite" {
            "siren"
        } else {
            &main.kind
        };
        let one = whole(&unique, &called, &name, kind, main.capabilities(at));
        found.extend(one.map(|one| (part.map(str::to_owned), one)));
    }
    let mut others = Vec::new();
    for expose in &rest {
        let Some(capability) = interesting(expose).then(|| expose.alone(at)).flatten() else {
            continue;
        };
        let own = found
            .iter_mut()
            .find(|(part, _)| part.is_some() && part.as_deref() == expose.part());
        put(
            own.map_or(&mut others, |(_, found)| &mut found.device.capabilities),
            capability,
        );
    }
    let told = whole(&unique, &called, &called, "sensor", others);
    let mut all: Vec<Found> = found
        .into_iter()
        .map(|(_, found)| found)
        .chain(told)
        .collect();
    for found in &mut all {
        found.device.availability = availability(base, Some(&device.friendly_name));
    }
    all
}

/// The bridge's word on itself, and on the device where it watches that. Older ones tell a bare word, others a JSON object.
fn availability(base: &str, name: Option<&str>) -> Availability {
    let told = |topic: String| {
        let ports = vec![
            Port {
                topic: topic.clone(),
                form: Form::Raw,
            },
            crate::discovery::field(&topic, &["state"]),
        ];
        (ports, [Json::from("online"), Json::from("offline")])
    };
    let topics = std::iter::once(format!("{base}/bridge/state"))
        .chain(name.map(|name| format!("{base}/{name}/availability")));
    crate::discovery::availability(topics.map(told).collect(), AvailabilityMode::All)
}

fn put(capabilities: &mut Vec<Capability>, capability: Capability) {
    if capabilities.len() < MOST_CAPABILITIES
        && !capabilities
            .iter()
            .any(|c| c.property == capability.property)
    {
        capabilities.push(capability);
    }
}

/// A group of features that is a thing by itself. A "switch" such as `window_detection` is a setting of another thing.
fn is_main(expose: &Expose) -> bool {
    match expose.kind.as_str() {
        "light" | "cover" | "lock" | "climate" | "fan" => true,
        "composite" => expose.name.as_deref() == Some("warning"),
        "switch" => expose
            .feature("state")
            .and_then(Expose::key)
            .is_some_and(|key| key.starts_with("state")),
        _ => false,
    }
}

/// What people ask for: not what is of use to maintenance, and not the presses of a button, which are over when told.
fn interesting(expose: &Expose) -> bool {
    let name = expose.name.as_deref().unwrap_or_default();
    let battery = matches!(name, "battery" | "battery_low");
    let quiet = matches!(
        name,
        "identify" | "action" | "linkquality" | "update_available"
    ) || name.starts_with("action_");
    !quiet && !is_installers(name) && (battery || expose.category.as_deref() != Some("diagnostic"))
}

/// What is set once, by whoever installs the device, and would do harm when it was said by mistake.
fn is_installers(name: &str) -> bool {
    const BEGINNINGS: [&str; 8] = [
        "factory_reset",
        "calibration",
        "motor_",
        "device_",
        "transmit_power",
        "reset_",
        "border",
        "set_upper_limit",
    ];
    BEGINNINGS.iter().any(|start| name.starts_with(start))
        || name.ends_with("calibration")
        || name.ends_with("calibrations")
}

fn whole(
    unique: &str,
    called: &str,
    name: &str,
    kind: &str,
    capabilities: Vec<Capability>,
) -> Option<Found> {
    if capabilities.is_empty() {
        return None;
    }
    let name = names::clean(name)?;
    let id = names::slug(&name).or_else(|| Slug::new(kind).ok())?;
    let mut device = Device {
        name,
        capabilities,
        ..Device::new(id, Kind::new(Slug::new(kind).ok()?))
    };
    device.apply_default_guards();
    let (unique, called) = (unique.to_owned(), names::clean(called));
    Some(Found {
        device,
        origin: Origin::Zigbee2mqtt,
        unique,
        called,
        suggested_area: None,
        members: Vec::new(),
    })
}

/// `kitchen/ceiling_lamp` → `kitchen ceiling lamp`.
fn spoken(friendly: &str) -> String {
    names::clean(&friendly.replace(['/', '_'], " ")).unwrap_or_else(|| "device".to_owned())
}

/// `l1` → `1`, `left` → `left`, `switch_1` → `1`.
fn endpoint(part: &str) -> String {
    let number = part
        .strip_prefix('l')
        .or_else(|| part.strip_prefix("switch_"))
        .filter(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
    number.map_or_else(|| part.replace('_', " "), str::to_owned)
}

#[derive(Debug, Deserialize)]
struct Group {
    id: u64,
    friendly_name: String,
    #[serde(default)]
    members: Vec<Member>,
    #[serde(default)]
    scenes: Vec<Scene>,
}

#[derive(Debug, Deserialize)]
struct Member {
    ieee_address: String,
}

#[derive(Debug, Deserialize)]
struct Scene {
    id: u64,
    name: Option<String>,
}

/// What a group can be told, if a member can do it.
const GROUP: [Property; 6] = [
    Property::Power,
    Property::Brightness,
    Property::ColorTemp,
    Property::Color,
    Property::Position,
    Property::Lock,
];

/// Reads `<base>/bridge/groups`. A group can do what any of its members can; which that is, the registry knows.
///
/// # Errors
/// When the payload is no list.
pub fn groups(base: &str, payload: &[u8]) -> Result<Message, Malformed> {
    let listed = list(payload)?
        .into_iter()
        .filter_map(|entry| serde_json::from_value::<Group>(entry).ok());
    let usable = listed.filter(|group| {
        !group.members.is_empty() && names::is_topic(&format!("{base}/{}", group.friendly_name))
    });
    Ok(Message::Announced(
        usable.flat_map(|group| group_parts(base, &group)).collect(),
    ))
}

fn group_parts(base: &str, group: &Group) -> Vec<Found> {
    // Zigbee2MQTT names a group to Home Assistant by the character codes of its base topic and the group's number.
    let mut unique = String::new();
    for byte in base.bytes() {
        let _ = write!(unique, "{byte}");
    }
    let _ = write!(unique, "_{}", group.id);
    let called = spoken(&group.friendly_name);
    let capabilities = GROUP.iter().map(|property| {
        let binding = binding::zigbee2mqtt(base, &group.friendly_name, property, None);
        setting(
            property.clone(),
            Capability::standard(property.clone()).domain,
            binding,
        )
    });
    let mut all: Vec<Found> = whole(&unique, &called, &called, "light", capabilities.collect())
        .into_iter()
        .collect();
    for found in &mut all {
        found.members = group
            .members
            .iter()
            .map(|m| names::address(&m.ieee_address))
            .collect();
        found.device.availability = availability(base, None);
    }
    let topic = format!("{base}/{}/set", group.friendly_name);
    for scene in &group.scenes {
        let name = scene
            .name
            .clone()
            .unwrap_or_else(|| format!("{called} scene {}", scene.id));
        let message = Publication::new(
            topic.as_str(),
            format!(r#"{{"scene_recall":{}}}"#, scene.id),
        );
        let binding = Binding {
            fixed: vec![(Value::text("activated"), message)],
            ..Binding::default()
        };
        all.extend(whole(
            &unique,
            &called,
            &name,
            "scene",
            vec![setting(Property::Scene, choice(&["activated"]), binding)],
        ));
    }
    all
}
