//! Names of areas and floors, the words of them that mean the whole, and other words for places:
//! "bedroom" for the "master bedroom", "upstairs" for the first floor.
//!
//! In: the areas of the home and the words for places of the language. Out: senses in the names
//! under construction.

use crate::grammar::lexicon::{PlaceWords, index};
use crate::grammar::names::builder::Builder;
use crate::grammar::sense::{Place, Sense};
use crate::home::Home;
use crate::home::device::{Area, Device};

/// Longest name of an area, in words, of which single words mean the area.
const MOST_AREA_WORDS: usize = 4;

/// Shortest word of an area's name, in letters, that means the area.
pub(super) const SHORTEST_PART: usize = 4;

impl Builder<'_> {
    pub(super) fn areas(&mut self, home: &Home) {
        for (i, area) in home.areas().iter().enumerate() {
            let spoken = area.id.spoken();
            let all = std::iter::once(area.name.as_str())
                .chain(area.aliases.iter().map(String::as_str))
                .chain([spoken.as_str()]);
            let runs: Vec<Vec<String>> = all
                .map(|name| self.words(name))
                .filter(|run| !run.is_empty())
                .collect();
            for run in &runs {
                self.add(Sense::Place(Place::Area(index(i))), run);
                self.add(Sense::Place(Place::Area(index(i))), &[run.concat()]);
            }
            self.places.push(runs);
            let Some(floor) = &area.floor else { continue };
            if !self.names.floors.contains(floor) {
                let run = self.words(floor);
                self.add(
                    Sense::Place(Place::Floor(index(self.names.floors.len()))),
                    &run,
                );
                self.names.floors.push(floor.clone());
            }
        }
    }

    /// Adds the words of an area's name that no other area, no device elsewhere and no phrase has:
    /// "bedroom" for the "master bedroom".
    pub(super) fn parts_of_areas(&mut self, home: &Home) {
        let called = |device: &'_ Device| (device.area.clone(), self.name(&device.name));
        let devices: Vec<_> = home.devices().iter().map(called).collect();
        let elsewhere = |area: &Area, word: &String| {
            let mut others = devices
                .iter()
                .filter(|(at, _)| at.as_ref() != Some(&area.id));
            others.any(|(_, name)| name.contains(word))
        };
        let mut parts: Vec<(usize, String)> = Vec::new();
        for (i, area) in home.areas().iter().enumerate() {
            let name = self.words(&area.name);
            let is_owned = name.iter().any(|word| word == "'s");
            if name.len() < 2 || name.len() > MOST_AREA_WORDS || is_owned {
                continue;
            }
            for word in name {
                let is_long = word.chars().filter(|c| c.is_alphabetic()).count() >= SHORTEST_PART;
                let of_area = |(other, names): (usize, &Vec<Vec<String>>)| {
                    other != i && names.iter().flatten().any(|named| *named == word)
                };
                let is_shared = self.places.iter().enumerate().any(of_area);
                if is_long && !is_shared && !self.lexicon.knows(&word) && !elsewhere(area, &word) {
                    parts.push((i, word));
                }
            }
        }
        for (area, word) in parts {
            self.add(Sense::Place(Place::Area(index(area))), &[word]);
        }
    }

    /// Adds other words for places: "upstairs" for the floor "First floor", "outside" for the
    /// garden.
    pub(super) fn spoken_places(&mut self, home: &Home) {
        let lexicon = self.lexicon;
        for place in &lexicon.places {
            let meant = self.meant_place(place, home);
            self.add_ambiguous(place, meant);
            let Some(meant) = meant else { continue };
            for text in place.said.iter().chain(&place.areas) {
                let run = self.words(text);
                if !self.is_of_others(&run, meant) {
                    self.add(Sense::Place(meant), &run);
                }
            }
        }
    }

    /// Returns the only place of the home that the words may mean.
    fn meant_place(&mut self, place: &PlaceWords, home: &Home) -> Option<Place> {
        let runs = |builder: &Self, texts: &[String]| -> Vec<Vec<String>> {
            texts.iter().map(|text| builder.words(text)).collect()
        };
        let only = |found: Vec<usize>| match found.as_slice() {
            [single] => Some(index(*single)),
            _ => None,
        };
        let areas = runs(self, &place.areas);
        let is_called = |names: &Vec<Vec<String>>| names.iter().any(|name| areas.contains(name));
        let found = self.places.iter().enumerate();
        let found = found.filter(|(_, names)| is_called(names)).map(|(i, _)| i);
        if let Some(area) = only(found.collect()) {
            return Some(Place::Area(area));
        }
        let floors = runs(self, &place.floors);
        let found = self.names.floors.iter().enumerate();
        let found = found.filter(|(_, name)| floors.contains(&self.words(name)));
        if let Some(floor) = only(found.map(|(i, _)| i).collect()) {
            return Some(Place::Floor(floor));
        }
        let devices = self.marked(&runs(self, &place.marks).concat(), home);
        if devices.is_empty() {
            return None;
        }
        self.names.fronts.push(devices);
        Some(Place::Front(index(self.names.fronts.len() - 1)))
    }

    /// Returns the devices that have one of the words in their name or in that of their area.
    fn marked(&self, marks: &[String], home: &Home) -> Vec<u32> {
        let compounds = self.lexicon.spelling.compounds();
        let is_mark = |word: &String| {
            let begins = |mark: &String| word == mark || (compounds && word.starts_with(mark));
            marks.iter().any(begins)
        };
        let is_marked = |device: &Device| {
            let area = device.area.as_ref().and_then(|id| home.area(id));
            let area = area.map(|area| &area.name);
            let names = std::iter::once(&device.name).chain(&device.aliases);
            let mut words = names.chain(area).flat_map(|name| self.words(name));
            words.any(|word| is_mark(&word))
        };
        let devices = home.devices().iter().enumerate();
        let devices = devices.filter(|(_, device)| is_marked(device));
        devices.filter_map(|(i, _)| u32::try_from(i).ok()).collect()
    }
}
