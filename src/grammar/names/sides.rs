//! Names with a side: "left" of "Blind left", which is spoken before or behind the noun and, in some
//! languages, in other forms: "linker Rollladen" for "Rollladen links".
//!
//! In: the words of a name and the area of the device. Out: other orders and forms of it that still
//! say the side. A side alone is a name of all devices on it: "the left one".

use crate::grammar::names::builder::Builder;
use crate::grammar::sides::SideWord;

impl Builder<'_> {
    /// Returns the forms of a name with a side in it.
    pub(super) fn sided(&self, run: &[String], area: Option<usize>) -> Vec<Vec<String>> {
        let Some((at, side)) = self.side_in(run) else {
            return Vec::new();
        };
        let rest = [&run[..at], &run[at + 1..]].concat();
        let places = area.map_or(&[][..], |a| self.places[a].as_slice());
        let bare = places.iter().filter_map(|place| without(&rest, place));
        let rests: Vec<Vec<String>> = std::iter::once(rest.clone())
            .chain(bare)
            .map(|rest| self.unjoined(&rest))
            .filter(|rest| !rest.is_empty())
            .collect();
        let mut forms = Vec::new();
        for word in self.lexicon.sides.forms(side) {
            let word = std::slice::from_ref(word);
            for rest in &rests {
                forms.push([word, rest].concat());
                forms.push([rest, word].concat());
            }
        }
        forms.retain(|form| form != run);
        forms
    }

    /// Returns the words for the side alone, if the name has one on the left or on the right. The
    /// words for front and back have too many other meanings.
    pub(super) fn side_alone(&self, run: &[String]) -> &[String] {
        match self.side_in(run) {
            Some((_, side @ (SideWord::Left | SideWord::Right))) if run.len() > 1 => {
                self.lexicon.sides.forms(side)
            }
            _ => &[],
        }
    }

    /// Returns the place and the side of the only word for a side in the name.
    fn side_in(&self, run: &[String]) -> Option<(usize, SideWord)> {
        let mut found = run.iter().enumerate().filter_map(|(at, word)| {
            let side = self.lexicon.sides.of(word)?;
            Some((at, side))
        });
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }
}

/// Returns a name without the area at its start or end, if anything is left.
fn without(name: &[String], area: &[String]) -> Option<Vec<String>> {
    let rest = name
        .strip_prefix(area)
        .or_else(|| name.strip_suffix(area))?;
    (!rest.is_empty()).then(|| rest.to_vec())
}
