//! Identifiers, names and areas for devices that were announced: no two alike, and none of the operator's taken.

use std::collections::{HashMap, HashSet};

use crate::home::device::{Area, Device};
use crate::vocabulary::slug::Slug;

use crate::discovery::names;

/// What is taken already.
pub(super) struct Tags {
    areas: Vec<Area>,
    /// Everything an area is called, in lower case.
    area_by_name: HashMap<String, Slug>,
    area_ids: HashSet<String>,
    ids: HashSet<String>,
    /// The number to try next behind an identifier or name, so that a thousand of one name do not each try all.
    next: HashMap<String, usize>,
    names: HashSet<(Option<Slug>, String)>,
}

impl Tags {
    pub(super) fn new(areas: Vec<Area>, devices: &[Device]) -> Self {
        let called = |area: &Area| {
            std::iter::once(area.id.as_str())
                .chain([area.name.as_str()])
                .chain(area.aliases.iter().map(String::as_str))
                .map(str::to_lowercase)
                .collect::<Vec<_>>()
        };
        let area_by_name = areas
            .iter()
            .flat_map(|area| called(area).into_iter().map(|name| (name, area.id.clone())))
            .collect();
        let ids = devices.iter().map(|d| d.id.as_str().to_owned()).collect();
        let spoken = |d: &Device| {
            std::iter::once(&d.name)
                .chain(&d.aliases)
                .map(|n| (d.area.clone(), n.to_lowercase()))
                .collect::<Vec<_>>()
        };
        let area_ids = areas.iter().map(|a| a.id.as_str().to_owned()).collect();
        Self {
            areas,
            area_by_name,
            area_ids,
            ids,
            next: HashMap::new(),
            names: devices.iter().flat_map(spoken).collect(),
        }
    }

    pub(super) fn areas(self) -> Vec<Area> {
        self.areas
    }

    /// The device with an identifier and a name of its own, in its area.
    pub(super) fn tag(&mut self, mut device: Device, area: Option<&str>) -> Device {
        device.area = area.and_then(|name| self.area(name));
        let base = names::slug(&device.name).unwrap_or_else(|| device.id.clone());
        device.id = fresh(&mut self.ids, &mut self.next, &base);
        device.name = self.name(&device.name, device.area.as_ref());
        let place = device.area.clone();
        device
            .aliases
            .retain(|alias| self.names.insert((place.clone(), alias.to_lowercase())));
        device
    }

    /// Puts a declared device that stands nowhere into the area, unless something there is called the same.
    pub(super) fn place(&mut self, device: &mut Device, area: Option<&str>) {
        if device.area.is_some() {
            return;
        }
        let Some(area) = area.and_then(|name| self.area(name)) else {
            return;
        };
        let names = || {
            std::iter::once(&device.name)
                .chain(&device.aliases)
                .map(|name| (Some(area.clone()), name.to_lowercase()))
        };
        if !names().any(|name| self.names.contains(&name)) {
            self.names.extend(names());
            device.area = Some(area);
        }
    }

    fn area(&mut self, name: &str) -> Option<Slug> {
        if let Some(id) = self.area_by_name.get(&name.to_lowercase()) {
            return Some(id.clone());
        }
        let base = names::slug(name).or_else(|| Slug::new("area").ok())?;
        let id = fresh(&mut self.area_ids, &mut self.next, &base);
        self.areas.push(Area {
            id: id.clone(),
            name: name.to_owned(),
            aliases: Vec::new(),
            floor: None,
        });
        self.area_by_name.insert(name.to_lowercase(), id.clone());
        Some(id)
    }

    fn name(&mut self, wanted: &str, area: Option<&Slug>) -> String {
        let mut name = wanted.to_owned();
        while !self.names.insert((area.cloned(), name.to_lowercase())) {
            // A name with a space cannot be an identifier, so both may count in one map.
            let key = format!(
                "{} {}",
                area.map_or("", Slug::as_str),
                wanted.to_lowercase()
            );
            let number = self.next.entry(key).or_insert(1);
            *number += 1;
            name = format!("{wanted} {number}");
        }
        name
    }
}

/// The identifier, with a number behind it where it is taken.
fn fresh(taken: &mut HashSet<String>, next: &mut HashMap<String, usize>, base: &Slug) -> Slug {
    if taken.insert(base.as_str().to_owned()) {
        return base.clone();
    }
    let number = next.entry(stem(base)).or_insert(1);
    loop {
        *number += 1;
        match numbered(base, *number) {
            Some(id) if taken.insert(id.as_str().to_owned()) => return id,
            _ => {}
        }
    }
}

/// What has room for a number.
fn stem(base: &Slug) -> String {
    base.as_str().chars().take(50).collect()
}

/// The identifier of the `nth` of several that would be called the same.
pub(super) fn numbered(base: &Slug, nth: usize) -> Option<Slug> {
    if nth < 2 {
        Some(base.clone())
    } else {
        Slug::new(&format!("{}_{nth}", stem(base))).ok()
    }
}
