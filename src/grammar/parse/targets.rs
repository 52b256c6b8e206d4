//! Names, nouns and places: single, in lists, and as exceptions.

use crate::grammar::clause::{Determiner, Head, Target};
use crate::grammar::parse::Parser;
use crate::grammar::sense::{Indefinite, Place, Sense, StateWord, Verb};

impl Parser<'_> {
    pub(super) fn place(&mut self, at: usize, place: Place) -> Option<()> {
        if self.pending.preposition.is_some() {
            return None;
        }
        let all = std::mem::take(&mut self.pending.all);
        let before_a_name = matches!(
            self.after(at),
            Some(Sense::Noun(..) | Sense::Name(..) | Sense::Possessive)
        );
        let after_in = std::mem::take(&mut self.pending.after_in);
        self.pending.of_property = false;
        let joined = std::mem::take(&mut self.joined);
        if before_a_name && after_in && self.awaits_state() && !self.grammar.place_after_verb {
            return None;
        }
        if before_a_name && (!after_in || (self.now.targets.is_empty() && !self.excepting)) {
            // "kitchen lights", "in the kitchen the lights ..".
            self.joined = joined;
            self.pending.all = all;
            self.pending.places.push(place);
            return Some(());
        }
        if self.excepting {
            return self.place_excepted(place, after_in, joined);
        }
        if self.now.targets.is_empty() && !after_in && self.is_verb_like_property(at) {
            return None;
        }
        match self.now.targets.last_mut() {
            Some(target) if joined => {
                // "lights in the kitchen and the hall" is certain, "kitchen lights and the hall" is
                // not.
                target.places.push(place);
                (target.trailing_place || target.head == Head::Area).then_some(())
            }
            Some(target) => {
                let alone = target.places.is_empty();
                target.trailing_place = true;
                target.places.push(place);
                alone.then_some(())
            }
            None if after_in
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
                    ..Target::new(Head::Area)
                });
                Some(())
            }
        }
    }

    /// Returns whether the property before the place may be a verb: "gas the greenhouse" is not
    /// "the gas of the greenhouse".
    fn is_verb_like_property(&self, at: usize) -> bool {
        let article_before = at
            .checked_sub(1)
            .is_some_and(|before| self.senses[before].is_article());
        self.now.property.is_some()
            && self.now.verb.is_none()
            && self.now.question.is_none()
            && article_before
    }

    /// Adds a place to the exceptions: "except the kitchen", "except the tv in the kitchen", "except
    /// those in the kitchen and in the hall".
    fn place_excepted(&mut self, place: Place, after_in: bool, joined: bool) -> Option<()> {
        let is_of_last = |last: &&mut Target| after_in && !(joined && last.places.is_empty());
        if let Some(target) = self.now.except.last_mut().filter(is_of_last) {
            let alone = target.places.is_empty();
            target.places.push(place);
            return (alone || joined).then_some(());
        }
        self.now.except.push(Target {
            places: vec![place],
            ..Target::new(Head::Area)
        });
        Some(())
    }

    /// Turns places that are not followed by a noun into targets.
    pub(super) fn flush_places(&mut self) {
        let places = std::mem::take(&mut self.pending.places);
        if !places.is_empty() {
            self.now.targets.push(Target {
                places,
                ..Target::new(Head::Area)
            });
        }
    }

    /// Returns whether an article precedes the colour: "the blue light".
    fn is_certain_one(&self, at: usize) -> bool {
        let before = at.checked_sub(2).and_then(|before| self.senses.get(before));
        !before.is_some_and(|sense| {
            sense.is_filler() || matches!(sense, Sense::Ensure | Sense::Polite)
        })
    }

    pub(super) fn target(&mut self, at: usize, sense: Sense) -> Option<()> {
        let head = match sense {
            Sense::Name(id, noun) => Head::Name(id, noun),
            Sense::Noun(noun, many) => Head::Noun(noun, many),
            Sense::It => Head::It,
            _ => Head::Them,
        };
        match self.last {
            Some(Sense::Color(_) | Sense::White(_) | Sense::Hex(_)) if !self.pending.after_in => {
                return self.colored_target(at, head);
            }
            // "the brighter lamp" selects a lamp.
            Some(Sense::Comparative(_)) if self.now.verb.is_none() && !self.pending.after_in => {
                return None;
            }
            // "half the lights", "the brightest lamp" select devices and give no amount.
            Some(Sense::Level(_)) if self.now.verb.is_some() => return None,
            _ => {}
        }
        let beside = matches!(self.last, Some(Sense::Name(..) | Sense::Noun(..)));
        if self.pending.preposition.is_some() || (self.pending.or) {
            return None;
        }
        if beside && !self.pending.after_in {
            return self.merge(head);
        }
        let joined = std::mem::take(&mut self.joined);
        let after_in = std::mem::take(&mut self.pending.after_in);
        self.pending.of_property = false;
        if after_in && !joined && self.follows_a_name(at) && self.is_owned_by(head) {
            return Some(());
        }
        if after_in && self.awaits_state() {
            return None;
        }
        if joined && !self.excepting && self.shares_noun() {
            return self.places_before(head);
        }
        if !after_in && !joined && self.has_value() && self.closed && self.is_complete() {
            // "hall light off kitchen light on"
            let places = std::mem::take(&mut self.pending.places);
            self.next_of_same()?;
            self.pending.places = places;
        }
        if !after_in && !joined && self.is_resumed_by(head) {
            return Some(());
        }
        if !self.now.targets.is_empty() && (after_in || !joined) && !self.excepting {
            // "turn on the lamp the fan", "the lamp on the desk".
            return None;
        }
        let mut target = Target::new(head);
        target.determiner = self.determiner(at);
        target.all = std::mem::take(&mut self.pending.all);
        target.both = std::mem::take(&mut self.pending.both);
        target.places = std::mem::take(&mut self.pending.places);
        if self.excepting {
            self.now.except.push(target);
        } else {
            self.now.targets.push(target);
        }
        Some(())
    }

    /// Returns whether the words before are a name or a noun and "of".
    fn follows_a_name(&self, at: usize) -> bool {
        let is_link =
            |sense: &&Sense| sense.is_filler() || sense.is_article() || **sense == Sense::In;
        let before = self.senses[..at].iter().rev().find(|s| !is_link(s));
        matches!(before, Some(Sense::Name(..) | Sense::Noun(..))) && self.pending.places.is_empty()
    }

    /// Takes the name behind "of" as the owner of the target before it: "the lamp of Anna".
    fn is_owned_by(&mut self, head: Head) -> bool {
        let targets = if self.excepting {
            &mut self.now.except
        } else {
            &mut *self.now.targets
        };
        let (Some(target), Head::Name(owner, None)) = (targets.last_mut(), head) else {
            return false;
        };
        let is_free = target.owner.is_none() && target.places.is_empty();
        if is_free {
            target.owner = Some(owner);
        }
        is_free
    }

    fn has_value(&self) -> bool {
        let is_switched = matches!(self.now.state, Some(StateWord::On | StateWord::Off));
        is_switched || self.now.amount.is_some()
    }

    /// Returns whether the pronoun stands for a target that was named before the verb: "the oven,
    /// turn it off".
    fn is_resumed_by(&self, head: Head) -> bool {
        matches!(head, Head::It | Head::Them)
            && matches!(self.last, Some(Sense::Verb(_)))
            && self.now.targets.len() == 1
    }

    /// Returns how the words before a name or noun determine it. An article before "in" or before
    /// the place behind it belongs to the place: "ist in der Küche Licht an".
    fn determiner(&self, at: usize) -> Determiner {
        let mut found = Determiner::Bare;
        let mut of_place = false;
        for sense in self.senses[..at].iter().rev() {
            match sense {
                Sense::Filler | Sense::Hesitation | Sense::Still => {}
                Sense::In if of_place => return Determiner::Bare,
                Sense::Place(_) if found == Determiner::Bare => of_place = true,
                Sense::Indefinite(which) if found == Determiner::Bare => {
                    found = match which {
                        Indefinite::One => Determiner::Indefinite(true),
                        Indefinite::Some => Determiner::Indefinite(false),
                        Indefinite::Pointing => Determiner::Pointing,
                    };
                }
                Sense::Article if found == Determiner::Bare => found = Determiner::Definite,
                Sense::All | Sense::Any | Sense::Both | Sense::Possessive => {
                    return Determiner::Definite;
                }
                _ => break,
            }
            if found != Determiner::Bare && !of_place {
                break;
            }
        }
        found
    }

    /// Adds a target after a colour. "the red lamp" selects a lamp, which is not supported; "i want
    /// blue lights" asks for the colour.
    fn colored_target(&mut self, at: usize, head: Head) -> Option<()> {
        let is_wish = (self.now.ensure || self.polite)
            && self.now.verb.is_none()
            && self.now.targets.is_empty()
            && matches!(head, Head::Noun(..))
            && !self.is_certain_one(at);
        if !is_wish {
            return None;
        }
        self.now.targets.push(Target {
            places: std::mem::take(&mut self.pending.places),
            ..Target::new(head)
        });
        Some(())
    }

    /// Returns whether the clause has only a verb that needs a state, so that "on" is the state.
    pub(super) fn awaits_state(&self) -> bool {
        let clause = &self.now;
        matches!(clause.verb, Some(Verb::Turn | Verb::Set))
            && clause.targets.is_empty()
            && clause.property.is_none()
            && clause.state.is_none()
            && clause.amount.is_none()
    }

    pub(super) fn shares_noun(&self) -> bool {
        !self.pending.places.is_empty()
            && self
                .now
                .targets
                .last()
                .is_some_and(|target| target.head == Head::Area)
    }

    /// Gives the places before the noun that noun as well: "kitchen and hall lights".
    pub(super) fn places_before(&mut self, head: Head) -> Option<()> {
        let last = self.now.targets.last_mut()?;
        last.head = head;
        last.places.append(&mut self.pending.places);
        last.all |= std::mem::take(&mut self.pending.all);
        Some(())
    }

    /// Merges a name and an adjacent noun to one target: "movie scene", "the switch coffee
    /// machine".
    pub(super) fn merge(&mut self, head: Head) -> Option<()> {
        let last = if self.excepting {
            self.now.except.last_mut()
        } else {
            self.now.targets.last_mut()
        };
        let target = last?;
        match (target.head, head) {
            // The noun may be a name as well: "bedside lamp", in a home with a "Lamp".
            (Head::Name(..), Head::Noun(noun, many) | Head::Name(_, Some((noun, many))))
                if target.extra_noun.is_none() =>
            {
                target.extra_noun = Some(noun);
                target.extra_is_plural = many;
            }
            (Head::Noun(noun, false), Head::Name(..)) if target.extra_noun.is_none() => {
                target.extra_noun = Some(noun);
                target.head = head;
            }
            // "the sprinkler valve" is both.
            (Head::Noun(first, false), Head::Noun(noun, many))
                if target.extra_noun.is_none() && first != noun =>
            {
                target.extra_noun = Some(noun);
                target.head = Head::Noun(first, many);
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
                    | Sense::Name(..)
                    | Sense::Property(_)
                    | Sense::Status
                    | Sense::SetAt
                    | Sense::Mode
            )
        )
    }

    /// Returns the next sense that is neither filler nor article nor quantifier.
    pub(super) fn after(&self, at: usize) -> Option<Sense> {
        self.senses[at + 1..].iter().copied().find(|s| {
            !matches!(
                s,
                Sense::Filler
                    | Sense::Hesitation
                    | Sense::Still
                    | Sense::Polite
                    | Sense::Article
                    | Sense::Indefinite(_)
                    | Sense::All
                    | Sense::Both
                    | Sense::Any
            )
        })
    }
}
