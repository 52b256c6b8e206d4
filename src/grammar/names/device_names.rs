//! Names of devices: which forms of a name are added, and their plurals.
//!
//! In: one device and its area. Out: senses in the names under construction, and the device's place
//! and nouns. The forms themselves are made in `name_forms`.

use crate::grammar::lexicon::index;
use crate::grammar::names::builder::Builder;
use crate::grammar::names::{Name, Referent, is_fixed};
use crate::grammar::sense::Sense;
use crate::grammar::tokens::words;
use crate::home::Home;
use crate::home::device::Device;
use crate::vocabulary::Domain;

impl Builder<'_> {
    pub(super) fn device(&mut self, i: usize, device: &Device, home: &Home) {
        let area = device
            .area
            .as_ref()
            .and_then(|id| home.areas().iter().position(|a| a.id == *id));
        let floor = area
            .and_then(|a| home.areas()[a].floor.as_ref())
            .and_then(|f| self.names.floors.iter().position(|known| known == f));
        let mut thing = Referent {
            area: area.map(index),
            floor: floor.map(index),
            nouns: 0,
        };
        let is_pressed = matches!(device.kind.as_str(), "scene" | "script" | "button");
        for name in std::iter::once(&device.name).chain(&device.aliases) {
            let run = self.name(name);
            thing.nouns |= self.nouns_in(&run);
            if area.is_none() {
                self.add_front(i, &run);
            }
            if let Some(form) = self.without_reading(&run, device) {
                self.add_name(i, &form, false);
            }
            self.add_side(i, &run);
            let last = run.last().filter(|_| is_pressed);
            // "the night" does not name the scene "movie night".
            let says_little =
                |form: &[String]| form.len() == 1 && run.len() > 1 && form.first() == last;
            for (form, whole) in self.forms(&run, area) {
                if says_little(&form) || self.hides_others((i, is_pressed), &form) {
                    continue;
                }
                let plural = self
                    .plural(&form)
                    .filter(|_| !whole && !self.begins_with_area(&form));
                self.add_name(i, &form, whole);
                if let Some(id) = plural.and_then(|plural| self.add_name(i, &plural, false)) {
                    self.names.entries[id].many = true;
                }
            }
        }
        self.names.referents.push(thing);
        for capability in &device.capabilities {
            self.property(&capability.property);
            match &capability.domain {
                Domain::Choice(options) if !is_fixed(&capability.property) => {
                    for option in options {
                        let is_word = matches!(option.as_str(), "on" | "off")
                            || (!capability.settable && self.is_open_or_closed(option));
                        if !is_word {
                            self.option(option);
                        }
                    }
                }
                Domain::Number { unit, .. } if !self.names.units.contains(unit) => self.unit(unit),
                _ => {}
            }
        }
    }

    /// Adds the side in the name as a name of its own.
    fn add_side(&mut self, device: usize, run: &[String]) {
        for side in self.side_alone(run).to_vec() {
            if let Some(id) = self.add_name(device, &[side], false) {
                self.names.entries[id].is_side = true;
            }
        }
    }

    /// Adds a form of a device's name, and returns its index in `Names::entries`.
    fn add_name(&mut self, device: usize, form: &[String], whole: bool) -> Option<usize> {
        let device = u32::try_from(device).ok()?;
        let next = u32::try_from(self.names.entries.len()).unwrap_or(u32::MAX);
        let id = *self.ids.entry(form.join(" ")).or_insert(next);
        if id == next {
            self.names.entries.push(Name::default());
            self.add(Sense::Name(id, None), form);
        }
        let here = &mut self.names.entries[id as usize].devices;
        match here.iter_mut().find(|(d, _)| *d == device) {
            Some((_, known)) => *known |= whole,
            None => here.push((device, whole)),
        }
        Some(id as usize)
    }

    /// Returns the plural of a name: "bedside lamp" → "bedside lamps".
    pub(super) fn plural(&self, run: &[String]) -> Option<Vec<String>> {
        let mut form = run.to_vec();
        if self.lexicon.grammar.head_first && run.len() > 1 {
            // "lampes de chevet"
            let (noun, many) = self.noun_at_end(&run[..1])?;
            let plural = self.lexicon.nouns[usize::from(noun)].many.first();
            form[0].clone_from(plural.filter(|_| !many)?);
            return Some(form);
        }
        let ending = self.lexicon.grammar.plural.as_str();
        let last = form.last_mut()?;
        match self.noun_at_end(run) {
            Some((noun, many)) if run.len() > 1 => last.clone_from(
                self.lexicon.nouns[usize::from(noun)]
                    .many
                    .first()
                    .filter(|_| !many)?,
            ),
            None if run.len() == 1 && !ending.is_empty() => {
                let double = ending.starts_with('e') && last.ends_with('e');
                last.push_str(&ending[usize::from(double)..]);
            }
            _ => return None,
        }
        Some(form)
    }

    /// Returns the name of a sensor without the reading in it: "freezer" for "freezer temperature".
    fn without_reading(&self, run: &[String], device: &Device) -> Option<Vec<String>> {
        if device.kind.as_str() != "sensor" {
            return None;
        }
        let input: Vec<&str> = run.iter().map(String::as_str).collect();
        let of_device = |sense| match sense {
            Sense::Property(p) => device
                .capability(&self.names.properties[usize::from(p)])
                .is_some(),
            _ => false,
        };
        if let [word] = input[..]
            && self.lexicon.spelling.compounds()
        {
            // "Kühlschranktemperatur"
            let mut ends = word.char_indices().map(|(at, _)| at).skip(3);
            let is_reading = |at: &usize| {
                let end = [&word[*at..]];
                let mut senses = self.lexicon.senses(&end);
                senses.any(|(words, sense)| words == 1 && of_device(sense))
            };
            let thing = [word[..ends.find(is_reading)?].to_owned()];
            return self.stands_alone(&thing).then(|| thing.to_vec());
        }
        let is_reading = |from: usize, length: usize| {
            let mut senses = self.lexicon.senses(&input[from..]);
            senses.any(|(words, sense)| words == length && of_device(sense))
        };
        let rest = if self.lexicon.grammar.head_first {
            let length = (1..run.len()).find(|&length| is_reading(0, length))?;
            let joins = self.lexicon.grammar.joins.iter().map(|join| words(join));
            let joins: Vec<&str> = joins.flatten().collect();
            let rest = &run[length..];
            let linking = rest
                .iter()
                .take_while(|word| joins.contains(&word.as_str()));
            &rest[linking.count()..]
        } else {
            let from = (1..run.len()).find(|&from| is_reading(from, run.len() - from))?;
            &run[..from]
        };
        self.stands_alone(rest).then(|| rest.to_vec())
    }
}
