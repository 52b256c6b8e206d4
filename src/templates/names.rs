//! The names of one home as the slots `{name}`, `{area}` and `{floor}` take them.

use std::collections::BTreeMap;

use crate::home::Home;
use crate::templates::demand::{NameEdges, SlotEdge};
use crate::templates::normalize::normalize;

/// Names in alphabetical order, each with the things that have it.
#[derive(Debug, Default)]
pub(super) struct NameList {
    names: Vec<(String, Vec<usize>)>,
    edges: NameEdges,
}

impl NameList {
    fn new(names: impl Iterator<Item = (String, usize)>, spaces: Spaces) -> Self {
        let mut sorted: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (name, thing) in names {
            let name = spaces.apply(normalize(&name));
            let things = sorted.entry(name).or_default();
            if !things.contains(&thing) {
                things.push(thing);
            }
        }
        sorted.remove("");
        let mut list = Self::default();
        for name in sorted.keys() {
            list.edges.add(name);
        }
        list.names = sorted.into_iter().collect();
        list
    }

    /// Returns the lengths of all names with which `text` begins, in bytes, shortest first.
    pub(super) fn prefixes<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        let mut candidates = &self.names[..];
        let mut ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
        std::iter::from_fn(move || {
            loop {
                let end = ends.next()?;
                let prefix = &text[..end];
                let first = candidates.partition_point(|(name, _)| name.as_str() < prefix);
                candidates = &candidates[first..];
                let count = candidates.partition_point(|(name, _)| name.starts_with(prefix));
                candidates = &candidates[..count];
                let (name, _) = candidates.first()?;
                if name == prefix {
                    return Some(end);
                }
            }
        })
    }

    /// Returns the things with exactly this name.
    pub(super) fn things(&self, name: &str) -> &[usize] {
        let at = self
            .names
            .binary_search_by(|(known, _)| known.as_str().cmp(name));
        at.map_or(&[], |at| &self.names[at].1)
    }
}

/// Significance of white space in a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spaces {
    Count,
    Ignored,
}

impl Spaces {
    /// Returns the text as it is compared in such a language.
    pub(super) fn apply(self, text: String) -> String {
        match self {
            Self::Count => text,
            Self::Ignored => text.split(' ').collect(),
        }
    }
}

/// The names of the home of one revision.
#[derive(Debug)]
pub(super) struct HomeNames {
    pub(super) revision: u64,
    pub(super) spaces: Spaces,
    /// Positions in `home.devices()`.
    pub(super) devices: NameList,
    /// Positions in `home.areas()`.
    pub(super) areas: NameList,
    /// Positions of the areas on the floor.
    pub(super) floors: NameList,
}

impl HomeNames {
    pub(super) fn new(home: &Home, spaces: Spaces) -> Self {
        let devices = home.devices().iter().enumerate().flat_map(|(at, device)| {
            let names = std::iter::once(&device.name).chain(&device.aliases);
            names.map(move |name| (name.clone(), at))
        });
        let areas = home.areas().iter().enumerate().flat_map(|(at, area)| {
            let names = area.names();
            names.map(move |name| (name.clone(), at))
        });
        let floors = home.areas().iter().enumerate();
        let floors = floors.filter_map(|(at, area)| Some((area.floor.clone()?, at)));
        Self {
            revision: home.revision(),
            spaces,
            devices: NameList::new(devices, spaces),
            areas: NameList::new(areas, spaces),
            floors: NameList::new(floors, spaces),
        }
    }

    /// Returns a home with these names of devices and of areas.
    #[cfg(test)]
    pub(super) fn of_texts(devices: &[&str], areas: &[&str]) -> Self {
        let list = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned());
            NameList::new(names.zip(0..), Spaces::Count)
        };
        Self {
            revision: 0,
            spaces: Spaces::Count,
            devices: list(devices),
            areas: list(areas),
            floors: NameList::default(),
        }
    }

    /// Returns the letters at the edges of the names of devices, of areas and of floors.
    pub(super) fn edges(&self) -> [(SlotEdge, NameEdges); 3] {
        [
            (SlotEdge::Name, self.devices.edges),
            (SlotEdge::Area, self.areas.edges),
            (SlotEdge::Floor, self.floors.edges),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_that_begin_a_text_are_found() {
        let names = ["Lamp", "Lamp two", "Lampion", "Oven"].map(str::to_owned);
        let list = NameList::new(names.into_iter().zip(0..), Spaces::Count);
        let found: Vec<_> = list.prefixes("lamp two on").collect();
        assert_eq!(found, [4, 8]);
        assert_eq!(list.things("lamp two"), [1]);
        assert_eq!(list.prefixes("x").count(), 0);
    }
}
