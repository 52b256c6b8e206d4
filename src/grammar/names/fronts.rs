//! The words beside the noun of a name: "scullery" of "scullery light", which serve as a place for
//! a device without an area, and "bedside" of several devices of one kind.
//!
//! In: the words of a name. Out: these words, and the devices that have them.

use crate::grammar::lexicon::index;
use crate::grammar::names::builder::Builder;
use crate::grammar::sense::{Place, Sense};
use crate::home::Home;

impl Builder<'_> {
    pub(super) fn fronts(&mut self, home: &Home) {
        let head_first = self.lexicon.grammar.head_first;
        for (i, device) in home.devices().iter().enumerate() {
            for name in std::iter::once(&device.name).chain(&device.aliases) {
                let mut run = self.name(name);
                let is_front = run.pop().is_some() && !run.is_empty();
                // The first word is the noun in these languages: "luz del ..".
                let is_whole = run.len() > 1 && self.unjoined(&run).len() == run.len();
                if is_front && (is_whole || !head_first) {
                    let whose = self.fronts.entry(run).or_default();
                    whose.extend((!whose.contains(&i)).then_some(i));
                }
            }
        }
        let kind = |i: usize| &home.devices()[i].kind;
        self.fronts
            .retain(|_, whose| whose.len() > 1 && whose.iter().all(|&i| kind(i) == kind(whose[0])));
    }

    /// Returns whether several devices of one kind have these words before the last word of the
    /// name.
    pub(super) fn is_shared(&self, front: &[String]) -> bool {
        self.fronts.contains_key(front)
    }

    /// Adds the words beside the noun of a name as a place, for a device without an area.
    pub(super) fn add_front(&mut self, device: usize, run: &[String]) {
        let Some(front) = self.front(run) else {
            return;
        };
        let Ok(device) = u32::try_from(device) else {
            return;
        };
        let next = index(self.names.fronts.len());
        let id = *self.front_ids.entry(front.clone()).or_insert(next);
        if id == next {
            self.names.fronts.push(Vec::new());
            self.add(Sense::Place(Place::Front(id)), &front);
        }
        let devices = &mut self.names.fronts[usize::from(id)];
        if !devices.contains(&device) {
            devices.push(device);
        }
    }

    /// Adds the devices whose names have the words of a front and others beside them: "bedroom left
    /// lamp" is in the "bedroom" of "bedroom light".
    pub(super) fn complete_fronts(&mut self, home: &Home) {
        if self.front_ids.is_empty() {
            return;
        }
        let at_end = self.lexicon.grammar.head_first;
        let fronts: Vec<(Vec<String>, u16)> = self
            .front_ids
            .iter()
            .map(|(front, id)| (front.clone(), *id))
            .collect();
        for (i, device) in home.devices().iter().enumerate() {
            let Ok(index) = u32::try_from(i) else { return };
            if self.names.referents[i].area.is_some() {
                continue;
            }
            for name in std::iter::once(&device.name).chain(&device.aliases) {
                let run = self.name(name);
                for (front, id) in &fronts {
                    let is_longer = run.len() > front.len();
                    let has_front = if at_end {
                        run.ends_with(front)
                    } else {
                        run.starts_with(front)
                    };
                    let devices = &mut self.names.fronts[usize::from(*id)];
                    if is_longer && has_front && !devices.contains(&index) {
                        devices.push(index);
                    }
                }
            }
        }
    }

    /// Returns the words beside the noun of a name: "scullery" of "scullery light", "cuisine" of
    /// "lumière de la cuisine".
    fn front(&self, run: &[String]) -> Option<Vec<String>> {
        let front = if self.lexicon.grammar.head_first {
            let (first, rest) = run.split_first()?;
            self.noun_at_end(std::slice::from_ref(first))?;
            let is_link = |word: &&String| {
                let word = [word.as_str()];
                let mut senses = self.lexicon.senses(&word);
                senses.any(|(_, sense)| sense.is_article() || sense == Sense::In)
            };
            let links = rest.iter().take_while(is_link).count();
            &rest[links..]
        } else {
            self.noun_at_end(run)?;
            &run[..run.len() - 1]
        };
        let is_owner = front.iter().any(|word| word == "'s");
        (self.stands_alone(front) && !is_owner).then(|| front.to_vec())
    }
}
