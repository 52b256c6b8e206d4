//! The meaning of `home.toml`: floors, areas and devices.

use std::collections::HashMap;

use crate::home::capability::{Capability, Risk};
use crate::home::device::{Area, Device, Kind};
use crate::home::rights::Rights;
use crate::home::{Home, HomeConflict};
use crate::vocabulary::Property;
use crate::vocabulary::slug::{NotASlug, Slug};

use crate::config::fault::hint;
use crate::config::file::Table;
use crate::config::property;
use crate::config::property::{BindingKey, BindingKind};
use crate::config::topics::{level_or_topic, loops, topic};

/// Where `Zigbee2MQTT` speaks unless told otherwise.
const ZIGBEE2MQTT: &str = "zigbee2mqtt";

/// Kinds that can do nothing by themselves until one of them announces what it can.
const TOLD: [&str; 4] = ["sensor", "binary_sensor", "number", "select"];

/// The risks an operator may choose.
pub(super) const RISKS: [(&str, Risk); 3] = [
    ("auto", Risk::Auto),
    ("confirm", Risk::Confirm),
    ("never", Risk::Never),
];

/// Reads a home. What is wrong with it is noted in its file; what is given back is then not to be used.
pub(super) fn read(root: &Table<'_>, rights: Rights, prefix: &str) -> Home {
    let areas = areas(root);
    let base = root
        .table("zigbee2mqtt")
        .text_as("base", level_or_topic)
        .unwrap_or_else(|| ZIGBEE2MQTT.to_owned());
    let mut tables = HashMap::new();
    let mut devices = Vec::new();
    for (name, table) in root.tables("device") {
        let reader = Reader {
            table: &table,
            areas: &areas,
            base: &base,
            prefix,
        };
        let device = slug(name, &table).and_then(|id| reader.device(&id));
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
                tables.get(id).unwrap_or(root).say_here(clash.to_string());
            }
            Home::empty(prefix)
        }
    };
    for device in home.devices() {
        for fault in loops(device, &home, prefix) {
            tables.get(&device.id).unwrap_or(root).say_here(fault);
        }
    }
    home
}

fn slug(name: &str, table: &Table<'_>) -> Option<Slug> {
    let not = |error: NotASlug| {
        table.allow_all();
        table.say_here(error.to_string());
    };
    Slug::new(name).map_err(not).ok()
}

/// `kitchen_light` → `Kitchen light`.
fn called(id: &Slug) -> String {
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
        let (spoken, aliases) = (table.name("name"), table.names("aliases"));
        let floor = table.text_as("floor", |text| floor(text, &floors));
        let Some(id) = slug(name, &table) else {
            continue;
        };
        let area = Area {
            name: spoken.unwrap_or_else(|| called(&id)),
            id,
            aliases,
            floor,
        };
        if let Some((other, word)) = areas
            .iter()
            .find_map(|other| Some((other, shared(other, &area)?)))
        {
            table.say_here(format!(
                "the areas `{}` and `{}` are both called `{word}`: give one another name",
                other.id, area.id
            ));
        }
        areas.push(area);
    }
    areas
}

/// A floor by its identifier or name where floors are declared; any word where none is.
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

/// A name two areas have in common.
fn shared(a: &Area, b: &Area) -> Option<String> {
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

/// One device's table, and what it may refer to.
struct Reader<'a, 'f> {
    table: &'a Table<'f>,
    areas: &'a [Area],
    /// The first levels of `Zigbee2MQTT`'s topics.
    base: &'a str,
    /// The first levels of sayso's own.
    prefix: &'a str,
}

impl Reader<'_, '_> {
    /// Every key is read before anything is missed, so that all faults are told.
    fn device(&self, id: &Slug) -> Option<Device> {
        let table = self.table;
        let kind = table.text_as("kind", |text| {
            Slug::new(text).map(Kind::new).map_err(|_| "a kind such as \"light\", \"cover\", \"switch\", or a word of your own: a-z, 0-9 and _")
        });
        if !table.has("kind") {
            table.say(
                "kind",
                "missing: what the device is, such as \"light\" or \"switch\"",
            );
        }
        let mut device = Device::new(
            id.clone(),
            kind.clone().unwrap_or_else(|| Kind::new(id.clone())),
        );
        device.name = table.name("name").unwrap_or_else(|| called(id));
        device.aliases = table.names("aliases");
        device.area = self.area();
        device.class = table.text("class");
        let way = BindingKind {
            binding: self.binding(),
            prefix: self.prefix,
            device: id,
        };
        let (capabilities, risks): (Vec<_>, Vec<_>) =
            self.capabilities(&device.kind, &way).into_iter().unzip();
        let own = capabilities
            .iter()
            .zip(risks)
            .filter_map(|(capability, risk)| Some((Some(capability.property.clone()), risk?)));
        device.risks = own
            .chain(table.one_of("risk", &RISKS).map(|risk| (None, risk)))
            .collect();
        device.capabilities = capabilities;
        device.guard_entrances();
        device.obey_risks();
        let waits = |kind: &Kind| TOLD.contains(&kind.as_str());
        if let Some(kind) = kind.filter(|kind| device.capabilities.is_empty() && !waits(kind)) {
            let what = format!(
                "a {kind} can do nothing by itself: say what it can with can = [\"power\"], or declare [device.{id}.property.<name>]"
            );
            table.say_here(what);
            return None;
        }
        Some(device)
    }

    fn area(&self) -> Option<Slug> {
        self.table.text_as("area", |text| {
            let known = self
                .areas
                .iter()
                .find(|area| area.id.as_str() == text)
                .map(|area| area.id.clone());
            known.ok_or_else(|| {
                format!(
                    "the identifier of an area under [area.<id>]{}",
                    hint(text, self.areas.iter().map(|a| a.id.as_str()))
                )
            })
        })
    }

    fn binding(&self) -> BindingKey {
        let (zigbee, tasmota) = (
            self.table.text_as("zigbee2mqtt", topic),
            self.table.text_as("tasmota", topic),
        );
        if self.table.has("zigbee2mqtt") && self.table.has("tasmota") {
            self.table.say(
                "tasmota",
                "a device is reached in one way: write `zigbee2mqtt` or `tasmota`, not both",
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

    /// What it can do, each with the operator's word on its risk.
    fn capabilities(&self, kind: &Kind, way: &BindingKind<'_>) -> Vec<(Capability, Option<Risk>)> {
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
            Err(format!("a property such as \"power\" or \"brightness\", or one declared under [device.{}.property.{text}]{near}", way.device))
        });
        let mut properties: Vec<Property> = can.unwrap_or_else(|| kind.usual().to_vec());
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
            property::read(table, kind.capability(property), way, self.table)
        });
        refined.collect()
    }
}
