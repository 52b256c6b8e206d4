//! Targets called by the name of a device, or by a part of it: "the bedside lamp".
//!
//! In: a target whose head is a name. Out: the device called so, a group of them, or a question
//! where several in reach have the name. A noun without a name is resolved in `noun`.

use smallvec::SmallVec;

use crate::grammar::clause::{Head, QuestionType, Target};
use crate::grammar::intent::{Intent, RelativeChange};
use crate::grammar::lexicon::standard;
use crate::grammar::resolve::{ClauseIntent, Resolution, Resolver};
use crate::grammar::sense::{Place, StateWord};

impl Resolver<'_> {
    pub(super) fn called(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        id: u32,
    ) -> Option<Resolution> {
        let mut found = self.devices_named(request, target, id);
        if self.names.entries[id as usize].is_side {
            found.retain(|d| self.is_like_previous(request, *d));
        }
        if self.are_only_read(request, &found) {
            return self.measured_there(request, target, &found);
        }
        if matches!(request.intent, Intent::Query(..))
            && self.able(request, &found, None).is_empty()
        {
            let others = self.others_named(request, target, id);
            if !others.is_empty() {
                found = others.into();
            }
        }
        let contacts = self.contacts_named(request, target, (id, &found));
        if !contacts.is_empty() {
            found = contacts.into();
        }
        let locks = self.locks_named(request, target, (id, &found));
        if !locks.is_empty() {
            found = locks.into();
        }
        let mode = match target.head {
            Head::Name(_, Some((noun, _))) => self.mode(noun),
            _ => found.first().and_then(|&d| self.mode_in_name(d)),
        };
        if let [single] = found.as_slice() {
            if let Some(all) = self.whole_class(request, target, *single) {
                return Some(all);
            }
            return self
                .each_of(request, &[*single], mode)
                .filter(|_| !target.both);
        }
        let able = self.able(request, &found, mode);
        if (self.names.entries[id as usize].many || target.extra_is_plural) && !target.both {
            return self.group(request, Some(target), &found, mode);
        }
        if target.all || target.both {
            return (!target.both || able.len() == 2)
                .then(|| self.each_of(request, &able, mode))
                .flatten();
        }
        match self.nearest(request, Some(target), able).as_slice() {
            [] => None,
            [single] => self.each_of(request, &[*single], mode),
            several => Some(Resolution::AskWhich(several.to_vec())),
        }
    }

    /// Returns whether the device is of the kind of those before it: "close the left blind and open
    /// the right" is about two blinds, though a lamp may be on the right as well.
    fn is_like_previous(&self, request: &ClauseIntent<'_>, device: u32) -> bool {
        let nouns = |d: u32| self.names.referents[d as usize].nouns;
        let is_like = |&before: &u32| {
            let is_of_kind = self.device(before).kind == self.device(device).kind;
            before != device
                && is_of_kind
                && (nouns(before) & nouns(device) != 0 || nouns(before) == nouns(device))
        };
        request.before.is_empty() || request.before.iter().any(is_like)
    }

    fn devices_named(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        id: u32,
    ) -> SmallVec<[u32; 4]> {
        let called = &self.names.entries[id as usize].devices;
        let fits = |&&(device, _): &&(u32, bool)| {
            self.inside(request, Some(target), device)
                && target.extra_noun.is_none_or(|noun| self.is_a(noun, device))
        };
        let here: SmallVec<[(u32, bool); 4]> = called.iter().filter(fits).copied().collect();
        let whole = here.iter().any(|(_, whole)| *whole);
        here.into_iter()
            .filter(|(_, is_whole)| !whole || *is_whole)
            .map(|(device, _)| device)
            .collect()
    }

    /// Returns the devices of a longer name that can do it, where those called so cannot: "is the
    /// front door closed" with a lock "Front door" and a "Front door sensor".
    pub(super) fn others_named(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        id: u32,
    ) -> Vec<u32> {
        let called = &self.names.entries[id as usize].devices;
        let fits = |d: u32| self.inside(request, Some(target), d);
        let others = called.iter().filter(|(d, whole)| !whole && fits(*d));
        let others: Vec<u32> = others.map(|(d, _)| *d).collect();
        self.able(request, &others, None)
    }

    pub(super) fn none_called(&self, request: &ClauseIntent<'_>, target: &Target, id: u32) -> bool {
        self.devices_named(request, target, id).is_empty()
    }

    /// Resolves a name that is a noun as well, where the devices called so are elsewhere and others
    /// in the area of the command have it in their names: "the shutter" in the living room, with
    /// one called "Shutter" in the study.
    pub(super) fn named_elsewhere(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
    ) -> Option<Resolution> {
        let Head::Name(id, Some((noun, false))) = target.head else {
            return None;
        };
        let is_plain = target.extra_noun.is_none() && !target.all && !target.both;
        if !is_plain || self.here.is_none() || Self::place_is_named(request, Some(target)) {
            return None;
        }
        let is_here = |d: u32| self.names.is_at(d, Place::Here, self.here);
        let called = self.devices_named(request, target, id);
        if called.iter().any(|&d| is_here(d)) {
            return None;
        }
        let near = self.with_noun(request, target, noun);
        // "The heating" is that of the room, whatever it is called.
        let is_of_room = self.mode(noun).is_some();
        let is_called_so = |&d: &u32| is_here(d) && (self.has_noun(noun, d) || is_of_room);
        let near: Vec<u32> = near.into_iter().filter(is_called_so).collect();
        let near = self.able(request, &near, self.mode(noun));
        let called = self.able(request, &called, self.mode(noun));
        let asks = !near.is_empty() && !called.is_empty();
        asks.then(|| Resolution::AskWhich([called, near].concat()))
    }

    /// Returns whether all of the devices are sensors, and the clause changes something.
    fn are_only_read(&self, request: &ClauseIntent<'_>, devices: &[u32]) -> bool {
        let is_sensor =
            |&d: &u32| matches!(self.device(d).kind.as_str(), "sensor" | "binary_sensor");
        let changes = matches!(request.intent, Intent::Change(_) | Intent::SetValue(..));
        !devices.is_empty() && changes && devices.iter().all(is_sensor)
    }

    /// Resolves "raise the temperature of the attic" where a sensor is called so: to the device of
    /// its area that sets the property the sensor measures.
    fn measured_there(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        sensors: &[u32],
    ) -> Option<Resolution> {
        let [sensor] = sensors else { return None };
        let [reading] = self.device(*sensor).capabilities.as_slice() else {
            return None;
        };
        let property = standard(reading.property.name())?;
        let area = self.names.referents[*sensor as usize].area?;
        let intent = match request.intent {
            Intent::Change(change) => Intent::Change(RelativeChange {
                property: Some(property),
                vertical: false,
                ..change
            }),
            Intent::SetValue(_, amount) => Intent::SetValue(Some(property), amount),
            _ => return None,
        };
        let meant = ClauseIntent { intent, ..*request };
        let place = Target {
            places: vec![Place::Area(area)],
            ..Target::new(Head::Area)
        };
        (target.extra_noun.is_none() && target.places.is_empty())
            .then(|| self.implied(&meant, Some(&place)))?
    }

    /// Resolves "is any garage door open" and "which garage doors are open" to all doors of the
    /// garage, where one of them is called "Garage door".
    fn whole_class(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        device: u32,
    ) -> Option<Resolution> {
        let clause = request.clause;
        let asks_for_class = clause.state.is_some()
            && match clause.question? {
                QuestionType::YesNo => clause.any || target.all,
                QuestionType::Open => matches!(
                    clause.state?,
                    StateWord::Open | StateWord::Closed | StateWord::Locked | StateWord::Unlocked
                ),
            };
        let referent = &self.names.referents[device as usize];
        let area = referent.area;
        if !asks_for_class || area.is_none() {
            return None;
        }
        let noun = referent.noun_indexes().next()?;
        let class: Vec<u32> = self
            .device_indices()
            .filter(|&d| self.names.referents[d as usize].area == area && self.is_a(noun, d))
            .collect();
        let able = self.able(request, &class, None);
        if able.len() < 2 || !able.contains(&device) {
            return None;
        }
        self.each_of(request, &able, None)
    }

    /// Returns "every kitchen light" as all lights of the kitchen, where one of them is called
    /// "Kitchen light".
    pub(super) fn class_by_name(&self, target: &Target) -> Option<(u16, Target)> {
        let Head::Name(id, _) = target.head else {
            return None;
        };
        let is_bare = target.places.is_empty() && target.owner.is_none();
        let is_plain = is_bare && target.extra_noun.is_none() && !target.both;
        if !target.all || !is_plain {
            return None;
        }
        let entry = &self.names.entries[id as usize];
        let (place, noun) = entry.place.zip(entry.noun)?;
        let are_members = entry.devices.iter().all(|(d, _)| self.is_a(noun, *d));
        let class = || Target {
            head: Head::Noun(noun, true),
            places: vec![place],
            ..target.clone()
        };
        are_members.then(|| (noun, class()))
    }

    /// Returns the HVAC mode "on" stands for, from the nouns in the name: "bedroom heating".
    fn mode_in_name(&self, device: u32) -> Option<&str> {
        let mut nouns = self.names.referents[device as usize].noun_indexes();
        nouns.find_map(|noun| self.mode(noun))
    }
}
