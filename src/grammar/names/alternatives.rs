//! Words that several areas share: "bedroom" where there are a master bedroom and a guest bedroom.
//!
//! In: the names of the areas and the words for places of the language. Out: senses for the words
//! that leave open which of the areas is meant. An area that is called exactly so is meant by its
//! own name.

use crate::grammar::lexicon::{PlaceWords, index};
use crate::grammar::names::area_names::SHORTEST_PART;
use crate::grammar::names::builder::Builder;
use crate::grammar::sense::{Place, Sense};

impl Builder<'_> {
    /// Returns the areas that have the words in one of their names.
    fn areas_with(&self, run: &[String]) -> Vec<u16> {
        let has_run = |name: &Vec<String>| name.windows(run.len()).any(|part| part == run);
        let areas = self.places.iter().enumerate();
        let areas = areas.filter(|(_, names)| names.iter().any(has_run));
        areas.map(|(i, _)| index(i)).collect()
    }

    fn is_area(&self, run: &[String]) -> bool {
        self.places.iter().flatten().any(|name| name == run)
    }

    /// Adds words as a sense for several areas.
    fn add_one_of(&mut self, areas: Vec<u16>, run: &[String]) {
        let same = self.names.alternatives.iter().position(|a| *a == areas);
        let next = self.names.alternatives.len();
        if same.is_none() {
            self.names.alternatives.push(areas);
        }
        self.add(Sense::Place(Place::OneOf(index(same.unwrap_or(next)))), run);
    }

    /// Adds another word for an area, which several areas may be called by: "habitación" for the
    /// area "Dormitorio", beside the "Habitación de Lucía". Returns whether there are several.
    pub(super) fn add_ambiguous(&mut self, place: &PlaceWords, meant: Option<Place>) {
        for text in &place.areas {
            let run = self.words(text);
            let mut areas = self.areas_with(&run);
            if run.is_empty() || self.is_area(&run) || areas.is_empty() {
                continue;
            }
            areas.extend(match meant {
                Some(Place::Area(area)) => Some(area).filter(|area| !areas.contains(area)),
                _ => None,
            });
            areas.sort_unstable();
            if areas.len() > 1 {
                self.add_one_of(areas, &run);
            }
        }
    }

    /// Returns whether other areas have the words in their names, so that they do not certainly mean
    /// this one.
    pub(super) fn is_of_others(&self, run: &[String], meant: Place) -> bool {
        let mut areas = self.areas_with(run).into_iter();
        !self.is_area(run) && areas.any(|area| meant != Place::Area(area))
    }

    /// Notes for each name of a device which areas have it in their names: "anna" of "Anna's lamp".
    pub(super) fn namesakes(&mut self) {
        for (area, names) in self.places.iter().enumerate() {
            for name in names {
                let runs = (0..name.len())
                    .flat_map(|from| (from + 1..=name.len()).map(move |to| from..to));
                for run in runs {
                    let Some(id) = self.ids.get(&name[run].join(" ")) else {
                        continue;
                    };
                    let areas = &mut self.names.entries[*id as usize].areas;
                    if !areas.contains(&index(area)) {
                        areas.push(index(area));
                    }
                }
            }
        }
    }

    /// Adds the words that several areas share, and no phrase has: "bedroom".
    pub(super) fn shared_words(&mut self) {
        let mut words: Vec<String> = self.places.iter().flatten().flatten().cloned().collect();
        words.sort_unstable();
        words.dedup();
        for word in words {
            let is_long = word.chars().filter(|c| c.is_alphabetic()).count() >= SHORTEST_PART;
            let run = [word];
            let areas = self.areas_with(&run);
            let is_free = is_long && !self.is_area(&run) && !self.lexicon.knows(&run[0]);
            if is_free && areas.len() > 1 {
                self.add_one_of(areas, &run);
            }
        }
    }
}
