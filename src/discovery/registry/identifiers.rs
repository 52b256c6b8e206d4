//! Identifiers and areas of announced devices. No two identifiers are alike, and none of the
//! operator's is taken.

use std::collections::{HashMap, HashSet};

use crate::home::device::{Area, Device};
use crate::vocabulary::slug::Slug;

use crate::discovery::names;

/// Longest part of an identifier before a number.
const MAX_STEM_CHARS: usize = 50;

/// Identifiers and areas that are taken.
pub(super) struct Identifiers {
    areas: Vec<Area>,
    /// Areas by their identifiers, names and aliases in lower case.
    area_by_name: HashMap<String, Slug>,
    area_ids: HashSet<String>,
    device_ids: HashSet<String>,
    /// Number to try next for an identifier, so that a thousand of one name do not each try all.
    next: HashMap<String, usize>,
    /// Names and aliases of devices in each area, in lower case.
    names: HashSet<(Option<Slug>, String)>,
}

impl Identifiers {
    pub(super) fn new(areas: Vec<Area>, devices: &[Device]) -> Self {
        let mut area_by_name = HashMap::new();
        for area in &areas {
            let names = [area.id.as_str(), area.name.as_str()].into_iter();
            for name in names.chain(area.aliases.iter().map(String::as_str)) {
                area_by_name.insert(name.to_lowercase(), area.id.clone());
            }
        }
        let area_ids = areas.iter().map(|a| a.id.as_str().to_owned()).collect();
        let device_ids = devices.iter().map(|d| d.id.as_str().to_owned()).collect();
        Self {
            areas,
            area_by_name,
            area_ids,
            device_ids,
            next: HashMap::new(),
            names: devices
                .iter()
                .flat_map(|d| names_in(d, d.area.as_ref()))
                .collect(),
        }
    }

    pub(super) fn areas(self) -> Vec<Area> {
        self.areas
    }

    /// Puts the device into the area and gives it an identifier of its own. Its name is kept, even
    /// if another device has it; an alias that another device has is dropped.
    pub(super) fn assign(&mut self, mut device: Device, area: Option<&str>) -> Device {
        device.area = area.and_then(|name| self.area(name));
        let base = names::slug(&device.name).unwrap_or_else(|| device.id.clone());
        device.id = unused(&mut self.device_ids, &mut self.next, &base);
        let area = device.area.clone();
        self.names
            .insert((area.clone(), device.name.to_lowercase()));
        let names = &mut self.names;
        device
            .aliases
            .retain(|alias| names.insert((area.clone(), alias.to_lowercase())));
        device
    }

    /// Puts a declared device without an area into this one, unless another device there has its
    /// name.
    pub(super) fn place(&mut self, device: &mut Device, area: Option<&str>) {
        if device.area.is_some() {
            return;
        }
        let Some(area) = area.and_then(|name| self.area(name)) else {
            return;
        };
        let names = names_in(device, Some(&area));
        if !names.iter().any(|name| self.names.contains(name)) {
            self.names.extend(names);
            device.area = Some(area);
        }
    }

    fn area(&mut self, name: &str) -> Option<Slug> {
        if let Some(id) = self.area_by_name.get(&name.to_lowercase()) {
            return Some(id.clone());
        }
        let base = names::slug(name).or_else(|| Slug::new("area").ok())?;
        let id = unused(&mut self.area_ids, &mut self.next, &base);
        self.areas.push(Area {
            id: id.clone(),
            name: name.to_owned(),
            aliases: Vec::new(),
            floor: None,
        });
        self.area_by_name.insert(name.to_lowercase(), id.clone());
        Some(id)
    }
}

fn names_in(device: &Device, area: Option<&Slug>) -> Vec<(Option<Slug>, String)> {
    let names = std::iter::once(&device.name).chain(&device.aliases);
    names
        .map(|name| (area.cloned(), name.to_lowercase()))
        .collect()
}

/// Returns the identifier, with a number behind it if it is taken.
fn unused(taken: &mut HashSet<String>, next: &mut HashMap<String, usize>, base: &Slug) -> Slug {
    if taken.insert(base.as_str().to_owned()) {
        return base.clone();
    }
    let stem: String = base.as_str().chars().take(MAX_STEM_CHARS).collect();
    let number = next.entry(stem.clone()).or_insert(1);
    loop {
        *number += 1;
        if let Ok(id) = Slug::new(&format!("{stem}_{number}"))
            && taken.insert(id.as_str().to_owned())
        {
            return id;
        }
    }
}
