//! The contents of `home.toml`: floors, areas and devices.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use crate::home::capability::{Capability, Risk};
use crate::home::device::{Area, Device, Kind, Members};
use crate::home::entrance::{classes, normalized_class};
use crate::home::rights::Rights;
use crate::home::{Home, HomeConflict};
use crate::schedule::moment::HomeLocation;
use crate::schedule::sun::GeoPosition;
use crate::vocabulary::Property;
use crate::vocabulary::slug::{InvalidSlug, Slug};

use crate::config::fault::hint;
use crate::config::property;
use crate::config::property::{BindingKey, BindingKind};
use crate::config::rights::KINDS;
use crate::config::table::Table;
use crate::config::topics::{OwnTopics, loops, topic, topic_prefix};

/// Reads the position and the time zone. Without a zone that of the machine holds.
pub(super) fn location(root: &Table<'_>) -> HomeLocation {
    let table = root.table("home");
    let latitude = table.number("latitude", "a number of degrees from -90 to 90", |n| {
        n.abs() <= 90.0
    });
    let longitude = table.number("longitude", "a number of degrees from -180 to 180", |n| {
        n.abs() <= 180.0
    });
    let zone = table.text_as("time_zone", |name| {
        TimeZone::get(name).map_err(|_| "a time zone such as \"Europe/Berlin\"")
    });
    if table.has("latitude") != table.has("longitude") {
        table.report_table("`latitude` and `longitude` belong together");
    }
    let position = match (latitude, longitude) {
        (Some(latitude), Some(longitude)) => Some(GeoPosition {
            latitude,
            longitude,
        }),
        _ => None,
    };
    HomeLocation {
        zone: zone.unwrap_or_else(TimeZone::system),
        position,
    }
}

/// Default base topic of `Zigbee2MQTT`.
const ZIGBEE2MQTT: &str = "zigbee2mqtt";

/// Kinds without standard capabilities, which are known only when the device announces them.
const ANNOUNCED_KINDS: [&str; 4] = ["sensor", "binary_sensor", "number", "select"];

/// Reads a home. Faults are reported to its file; if there are any, the returned home must not be
/// used.
pub(super) fn read(root: &Table<'_>, rights: Rights, own: OwnTopics<'_>) -> Home {
    let prefix = own.prefix;
    let areas = areas(root);
    let base = root
        .table("zigbee2mqtt")
        .text_as("base", topic_prefix)
        .unwrap_or_else(|| ZIGBEE2MQTT.to_owned());
    let mut tables = HashMap::new();
    let mut devices = Vec::new();
    let written = root.tables("device");
    let known: Vec<&str> = written.iter().map(|(name, _)| *name).collect();
    for (name, table) in &written {
        let reader = Reader {
            table,
            areas: &areas,
            known: &known,
            base: &base,
            prefix,
        };
        let device = slug(name, table).and_then(|id| reader.device(&id));
        if let Some(device) = device {
            tables.insert(device.id.clone(), table);
            devices.push(device);
        }
    }
    let home = match Home::new(areas, devices, rights, prefix) {
        Ok(home) => home,
        Err(clashes) => {
            for clash in clashes {
                let (HomeConflict::SameId(id)
                | HomeConflict::SameName { second: id, .. }
                | HomeConflict::NoSuchArea { device: id, .. }) = &clash;
                tables
                    .get(id)
                    .copied()
                    .unwrap_or(root)
                    .report_table(clash.to_string());
            }
            Home::empty(prefix)
        }
    };
    for device in home.devices() {
        for fault in loops(device, &home, own) {
            let table = tables.get(&device.id).copied();
            table.unwrap_or(root).report_table(fault);
        }
    }
    home
}

fn slug(name: &str, table: &Table<'_>) -> Option<Slug> {
    let not = |error: InvalidSlug| {
        table.mark_all_known();
        table.report_table(error.to_string());
    };
    Slug::new(name).map_err(not).ok()
}

/// Returns the default name of an identifier: `kitchen_light` → `Kitchen light`.
fn default_name(id: &Slug) -> String {
    let spoken = id.spoken();
    let mut letters = spoken.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn areas(root: &Table<'_>) -> Vec<Area> {
    let floors: Vec<(Slug, String)> = root
        .tables("floor")
        .into_iter()
        .filter_map(|(name, table)| {
            let spoken = table.name("name");
            slug(name, &table).map(|id| (id.clone(), spoken.unwrap_or_else(|| id.spoken())))
        })
        .collect();
    let mut areas: Vec<Area> = Vec::new();
    for (name, table) in root.tables("area") {
        let spoken = table.name("name");
        let aliases = table.names("aliases");
        let floor = table.text_as("floor", |text| floor(text, &floors));
        let Some(id) = slug(name, &table) else {
            continue;
        };
        let area = Area {
            name: spoken.unwrap_or_else(|| default_name(&id)),
            id,
            aliases,
            floor,
        };
        if let Some((other, word)) = areas
            .iter()
            .find_map(|other| Some((other, shared_name(other, &area)?)))
        {
            table.report_table(format!(
                "the areas `{}` and `{}` are both called `{word}`: give one another name",
                other.id, area.id
            ));
        }
        areas.push(area);
    }
    areas
}

/// Finds a floor by identifier or name. If no floor is declared, any text is accepted as a name.
fn floor(text: &str, floors: &[(Slug, String)]) -> Result<String, String> {
    let known = floors
        .iter()
        .find(|(id, name)| id.as_str() == text || name.eq_ignore_ascii_case(text))
        .map(|(_, name)| name.clone());
    let free = (floors.is_empty() && !text.trim().is_empty()).then(|| text.trim().to_owned());
    known.or(free).ok_or_else(|| {
        format!(
            "the name of a floor under [floor.<id>]{}",
            hint(text, floors.iter().map(|(id, _)| id.as_str()))
        )
    })
}

fn is_ieee_address(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Returns a name that two areas have in common.
fn shared_name(a: &Area, b: &Area) -> Option<String> {
    let names = |area: &Area| {
        area.aliases
            .iter()
            .chain([&area.name])
            .map(|n| n.to_lowercase())
            .chain([area.id.as_str().to_owned()])
            .collect::<Vec<_>>()
    };
    let theirs = names(b);
    names(a).into_iter().find(|name| theirs.contains(name))
}

/// Reader of one device table.
struct Reader<'a, 'f> {
    table: &'a Table<'f>,
    areas: &'a [Area],
    /// Identifiers of all devices of the file.
    known: &'a [&'a str],
    /// Base topic of `Zigbee2MQTT`.
    base: &'a str,
    /// Prefix of sayso's own topics.
    prefix: &'a str,
}

impl Reader<'_, '_> {
    /// Reads the device. All keys are read before the function returns, so that all faults are
    /// reported.
    fn device(&self, id: &Slug) -> Option<Device> {
        let table = self.table;
        let kind = table.text_as("kind", |text| {
            Slug::new(text).map(Kind::new).map_err(|_| "a kind such as \"light\", \"cover\", \"switch\", or a word of your own: a-z, 0-9 and _")
        });
        if !table.has("kind") {
            table.report(
                "kind",
                "missing: the kind of the device, such as \"light\" or \"switch\"",
            );
        }
        let mut device = Device::new(
            id.clone(),
            kind.clone().unwrap_or_else(|| Kind::new(id.clone())),
        );
        device.name = table.name("name").unwrap_or_else(|| default_name(id));
        device.aliases = table.names("aliases");
        device.area = self.area();
        device.class = self.class(&device.kind);
        device.announced = table.text("announced");
        device.members = self.members(id);
        let binding = BindingKind {
            binding: self.binding(),
            prefix: self.prefix,
            device: id,
        };
        let (capabilities, risks): (Vec<_>, Vec<_>) = self
            .capabilities(&device.kind, &binding)
            .into_iter()
            .unzip();
        let own = capabilities
            .iter()
            .zip(risks)
            .filter_map(|(capability, risk)| Some((Some(capability.property.clone()), risk?)));
        device.risks = own
            .chain(table.one_of("risk", &Risk::NAMED).map(|risk| (None, risk)))
            .collect();
        device.capabilities = capabilities;
        device.apply_default_guards();
        device.apply_operator_risks();
        let is_announced = |kind: &Kind| ANNOUNCED_KINDS.contains(&kind.as_str());
        if let Some(kind) =
            kind.filter(|kind| device.capabilities.is_empty() && !is_announced(kind))
        {
            let near = hint(kind.as_str(), KINDS);
            table.report_table(format!(
                "a {kind} has no properties of its own: list them with can = [\"power\"], or \
                 declare [device.{id}.property.<name>]{near}"
            ));
            return None;
        }
        Some(device)
    }

    /// Reads the devices that move with this one. A list of the operator's is complete.
    fn members(&self, id: &Slug) -> Members {
        let member = |text: &str| {
            if text == id.as_str() {
                return Err("another device: a group is not a member of itself".to_owned());
            }
            if self.known.contains(&text) || is_ieee_address(text) {
                return Ok(text.to_owned());
            }
            Err(format!(
                "the identifier of a device under [device.<id>], or the address of a Zigbee \
                 device such as \"0x00158d0001a2b3c4\"{}",
                hint(text, self.known.iter().copied())
            ))
        };
        let ids = self.table.texts_as("members", member).unwrap_or_default();
        Members {
            ids,
            complete: true,
        }
    }

    /// Reads the device class. A kind with known classes takes no other word: with a misspelt one a
    /// garage door would be any cover.
    fn class(&self, kind: &Kind) -> Option<String> {
        self.table.text_as("class", |text| {
            let class = normalized_class(text);
            if class.is_empty() {
                return Err("a text that is not empty".to_owned());
            }
            let Some(known) = classes(kind.as_str()).filter(|known| !known.contains(&&*class))
            else {
                return Ok(class);
            };
            let words: Vec<String> = known.iter().map(|word| format!("\"{word}\"")).collect();
            let near = hint(&class, known.iter().copied());
            Err(format!(
                "a class of a {kind}: one of {}{near}",
                words.join(", ")
            ))
        })
    }

    fn area(&self) -> Option<Slug> {
        self.table.text_as("area", |text| {
            let known = self
                .areas
                .iter()
                .find(|area| area.id.as_str() == text)
                .map(|area| area.id.clone());
            known.ok_or_else(|| {
                let called = |area: &&Area| area.name.to_lowercase() == text.trim().to_lowercase();
                let near = match self.areas.iter().find(called) {
                    Some(area) => format!(", did you mean `{}`?", area.id),
                    None => hint(text, self.areas.iter().map(|a| a.id.as_str())),
                };
                format!("the identifier of an area under [area.<id>]{near}")
            })
        })
    }

    fn binding(&self) -> BindingKey {
        let zigbee = self.table.text_as("zigbee2mqtt", topic);
        let tasmota = self.table.text_as("tasmota", topic);
        if self.table.has("zigbee2mqtt") && self.table.has("tasmota") {
            self.table.report(
                "tasmota",
                "a device has one binding: write `zigbee2mqtt` or `tasmota`, not both",
            );
        }
        match (zigbee, tasmota) {
            (Some(name), _) => BindingKey::Zigbee2Mqtt {
                base: self.base.to_owned(),
                name,
            },
            (None, Some(topic)) => BindingKey::Tasmota(topic),
            (None, None) => BindingKey::Own,
        }
    }

    /// Reads the capabilities, each with the risk configured for it.
    fn capabilities(
        &self,
        kind: &Kind,
        binding: &BindingKind<'_>,
    ) -> Vec<(Capability, Option<Risk>)> {
        let written = self.table.tables("property");
        let declared = |name: &str| written.iter().any(|(n, _)| *n == name);
        let known = || {
            Property::standard()
                .map(|p| p.name().to_owned())
                .collect::<Vec<_>>()
        };
        let can = self.table.texts_as("can", |text| {
            let property = Property::from(text);
            if property.is_standard() || declared(text) {
                return Ok(property);
            }
            let near = hint(text, known().iter().map(String::as_str));
            Err(format!(
                "a property such as \"power\" or \"brightness\", or one declared under \
                [device.{}.property.{text}]{near}",
                binding.device
            ))
        });
        let mut properties: Vec<Property> = can.unwrap_or_else(|| kind.default_properties());
        properties.extend(
            written
                .iter()
                .filter_map(|(name, table)| slug(name, table))
                .map(|name| Property::from(name.as_str())),
        );
        let mut seen = Vec::new();
        properties.retain(|p| !seen.contains(p) && (seen.push(p.clone()), true).1);
        let refined = properties.into_iter().map(|property| {
            let table = written
                .iter()
                .find(|(name, _)| *name == property.name())
                .map(|(_, table)| table);
            property::read(table, kind.capability(property), binding, self.table)
        });
        refined.collect()
    }
}
