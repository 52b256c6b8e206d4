//! Of whom and where: names, nouns and places, alone, in lists, and excepted.

use crate::grammar::clause::{Target, What};
use crate::grammar::parse::Parser;
use crate::grammar::sense::{Act, Place, Sense};

impl Parser<'_> {
    pub(super) fn place(&mut self, at: usize, place: Place) -> Option<()> {
        if self.pending.link.is_some() {
            return None;
        }
        let all = std::mem::take(&mut self.pending.all);
        let before_a_name = matches!(
            self.after(at),
            Some(Sense::Noun(..) | Sense::Called(..) | Sense::Possessive)
        );
        let said_in = std::mem::take(&mut self.pending.place);
        self.pending.of_property = false;
        let joined = std::mem::take(&mut self.joined);
        if before_a_name && said_in && self.only_turned() && !self.grammar.place_after_verb {
            return None;
        }
        if before_a_name && (!said_in || (self.now.targets.is_empty() && !self.excepting)) {
            // "kitchen lights", "in the kitchen the lights ..".
            self.joined = joined;
            self.pending.all = all;
            self.pending.rooms.push(place);
            return Some(());
        }
        if self.excepting {
            return self.place_excepted(place, said_in);
        }
        match self.now.targets.last_mut() {
            Some(target) if joined => {
                // "lights in the kitchen and the hall"; but "kitchen lights and the hall" says nothing sure.
                target.places.push(place);
                (target.trailing || target.what == What::Room).then_some(())
            }
            Some(target) => {
                let alone = target.places.is_empty();
                target.trailing = true;
                target.places.push(place);
                alone.then_some(())
            }
            None if said_in
                || matches!(place, Place::House | Place::Here)
                || self.now.property.is_some() =>
            {
                self.now.places.push(place);
                Some(())
            }
            None => {
                self.now.targets.push(Target {
                    places: vec![place],
                    all,
                    ..Target::new(What::Room)
                });
                Some(())
            }
        }
    }

    /// "except the kitchen", "except the tv in the kitchen".
    pub(super) fn place_excepted(&mut self, place: Place, said_in: bool) -> Option<()> {
        if let Some(target) = self.now.except.last_mut().filter(|_| said_in) {
            let alone = target.places.is_empty();
            target.places.push(place);
            return alone.then_some(());
        }
        self.now.except.push(Target {
            places: vec![place],
            ..Target::new(What::Room)
        });
        Some(())
    }

    /// Places that waited for a name, and got none, are what is spoken of.
    pub(super) fn flush_rooms(&mut self) {
        let rooms = std::mem::take(&mut self.pending.rooms);
        if !rooms.is_empty() {
            self.now.targets.push(Target {
                places: rooms,
                ..Target::new(What::Room)
            });
        }
    }

    /// "the blue light": an article before the colour.
    fn is_certain_one(&self, at: usize) -> bool {
        let before = at.checked_sub(2).and_then(|before| self.senses.get(before));
        !matches!(before, Some(Sense::Ensure | Sense::Polite | Sense::Skip))
    }

    pub(super) fn target(&mut self, at: usize, sense: Sense) -> Option<()> {
        let what = match sense {
            Sense::Called(id, noun) => What::Called(id, noun),
            Sense::Noun(noun, many) => What::Noun(noun, many),
            Sense::It => What::It,
            _ => What::Them,
        };
        // "the red lamp" says which, and not that it shall be red; but "i want blue lights" wishes that.
        if matches!(
            self.last,
            Some(Sense::Color(_) | Sense::White(_) | Sense::Hex(_))
        ) && !self.pending.place
        {
            let wished = (self.now.ensure || self.polite)
                && self.now.act.is_none()
                && self.now.targets.is_empty()
                && matches!(what, What::Noun(..))
                && !self.is_certain_one(at);
            return wished.then(|| {
                self.now.targets.push(Target {
                    places: std::mem::take(&mut self.pending.rooms),
                    ..Target::new(what)
                });
            });
        }
        // "the brighter lamp" says which as well.
        if matches!(self.last, Some(Sense::More(_)))
            && self.now.act.is_none()
            && !self.pending.place
        {
            return None;
        }
        // "half the lights", "the brightest lamp": which of them, and not how much.
        if matches!(self.last, Some(Sense::Level(_))) && self.now.act.is_some() {
            return None;
        }
        let beside = matches!(self.last, Some(Sense::Called(..) | Sense::Noun(..)));
        if self.pending.link.is_some() || (self.pending.or) {
            return None;
        }
        if beside && !self.pending.place {
            return self.merge(what);
        }
        let joined = std::mem::take(&mut self.joined);
        let said_in = std::mem::take(&mut self.pending.place);
        self.pending.of_property = false;
        if said_in && self.only_turned() {
            return None;
        }
        if joined && !self.excepting && self.shares_noun() {
            return self.rooms_before(what);
        }
        if !self.now.targets.is_empty() && (said_in || !joined) && !self.excepting {
            // "turn on the lamp the fan", "the lamp on the desk".
            return None;
        }
        let mut target = Target::new(what);
        target.all = std::mem::take(&mut self.pending.all);
        target.both = std::mem::take(&mut self.pending.both);
        target.places = std::mem::take(&mut self.pending.rooms);
        if self.excepting {
            self.now.except.push(target);
        } else {
            self.now.targets.push(target);
        }
        Some(())
    }

    /// "turn on the lamp": here "on" is what it shall be, and not where.
    pub(super) fn only_turned(&self) -> bool {
        let clause = &self.now;
        matches!(clause.act, Some(Act::Turn | Act::Set))
            && clause.targets.is_empty()
            && clause.property.is_none()
            && clause.state.is_none()
            && clause.amount.is_none()
    }

    pub(super) fn shares_noun(&self) -> bool {
        !self.pending.rooms.is_empty()
            && self
                .now
                .targets
                .last()
                .is_some_and(|target| target.what == What::Room)
    }

    /// "kitchen and hall lights": the rooms before share the noun of the last.
    pub(super) fn rooms_before(&mut self, what: What) -> Option<()> {
        let last = self.now.targets.last_mut()?;
        last.what = what;
        last.places.append(&mut self.pending.rooms);
        last.all |= std::mem::take(&mut self.pending.all);
        Some(())
    }

    /// "movie scene", "the switch coffee machine": a name and a noun are one thing.
    pub(super) fn merge(&mut self, what: What) -> Option<()> {
        let list = if self.excepting {
            &mut self.now.except
        } else {
            &mut self.now.targets
        };
        let target = list.last_mut()?;
        match (target.what, what) {
            // Of the nouns some are names as well: "bedside lamp", where another is called "Lamp".
            (What::Called(..), What::Noun(noun, many) | What::Called(_, Some((noun, many))))
                if target.also.is_none() =>
            {
                target.also = Some(noun);
                target.many = many;
            }
            (What::Noun(noun, false), What::Called(..)) if target.also.is_none() => {
                target.also = Some(noun);
                target.what = what;
            }
            // "the sprinkler valve" is both.
            (What::Noun(first, false), What::Noun(noun, many))
                if target.also.is_none() && first != noun =>
            {
                target.also = Some(noun);
                target.what = What::Noun(first, many);
            }
            _ => return None,
        }
        Some(())
    }

    pub(super) fn names_follow(&self, at: usize) -> bool {
        matches!(
            self.after(at),
            Some(
                Sense::Noun(..)
                    | Sense::Called(..)
                    | Sense::Property(_)
                    | Sense::Status
                    | Sense::Mode
            )
        )
    }

    /// The next sense that says something.
    pub(super) fn after(&self, at: usize) -> Option<Sense> {
        self.senses[at + 1..].iter().copied().find(|s| {
            !matches!(
                s,
                Sense::Skip
                    | Sense::Polite
                    | Sense::Article
                    | Sense::All
                    | Sense::Both
                    | Sense::Any
            )
        })
    }
}
