//! What is spoken of → devices. One, a group, or several of which only the speaker knows which is meant.

use crate::grammar::clause::{Amount, Clause, QueryVerb, Target, What};
use crate::grammar::effect::{Effect, Effects};
use crate::grammar::intent::{Intent, StepSize};
use crate::grammar::lexicon::standard;
use crate::grammar::names::Names;
use crate::grammar::sense::{Act, Place, State};
use crate::home::Home;
use crate::home::device::Device;
use crate::vocabulary::{Domain, Property};

/// The devices that are spoken of, with what is to be done to each.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Resolution {
    /// These, sure.
    These(Vec<(u32, Vec<Effect>)>),
    /// One of these: ask which.
    Which(Vec<u32>),
    /// Those of one area: ask where.
    Where(Vec<u32>),
}

/// Kinds that "everything off" does not mean: they guard, or have no off.
const NOT_EVERYTHING: [&str; 11] = [
    "alarm_control_panel",
    "siren",
    "lock",
    "scene",
    "script",
    "button",
    "vacuum",
    "lawn_mower",
    "climate",
    "valve",
    "sensor",
];

/// Finds what is spoken of in one home.
pub(super) struct Resolver<'a> {
    pub(super) home: &'a Home,
    pub(super) names: &'a Names,
    pub(super) deeds: Effects<'a>,
    /// The area the command was said in.
    pub(super) here: Option<u16>,
}

/// A wish, and where and of whom it is.
pub(super) struct Sought<'a> {
    pub(super) clause: &'a Clause,
    pub(super) wish: Intent,
    /// What the clause before did something to.
    pub(super) before: &'a [u32],
}

impl Resolver<'_> {
    /// What the clause speaks of. `None` where that is nothing, or not sure.
    pub(super) fn all(&self, sought: &Sought<'_>) -> Option<Vec<Resolution>> {
        let clause = sought.clause;
        if clause
            .places
            .iter()
            .chain(clause.targets.iter().flat_map(|t| &t.places))
            .any(|p| *p == Place::Here)
            && self.here.is_none()
        {
            return None;
        }
        if clause.targets.is_empty() {
            let same = self
                .before_again(sought)
                .filter(|_| clause.places.is_empty() && clause.act != Some(Act::LockUp));
            return Some(vec![same.or_else(|| self.implied(sought, None))?]);
        }
        clause
            .targets
            .iter()
            .map(|target| self.target(sought, target))
            .collect()
    }

    fn target(&self, sought: &Sought<'_>, target: &Target) -> Option<Resolution> {
        if let Some(found) = self.its_fan(sought, target) {
            return Some(found);
        }
        if !target.maybe.is_empty() {
            let near = Target {
                places: target.maybe.clone(),
                maybe: Vec::new(),
                ..target.clone()
            };
            if let Some(found) = self.target(sought, &near) {
                return Some(found);
            }
        }
        let is_group =
            target.all || matches!(target.what, What::Noun(_, true)) || self.is_everything(target);
        if !(is_group || sought.clause.except.is_empty()) {
            return None;
        }
        match target.what {
            What::It if sought.before.is_empty() && self.is_of_a_place(sought, target) => {
                self.implied(sought, Some(target))
            }
            What::It | What::Them if sought.before.is_empty() => None,
            What::It if sought.before.len() > 1 && sought.clause.targets.len() > 1 => None,
            What::It | What::Them => self.before_again(sought),
            What::Room => self.implied(sought, Some(target)),
            What::Noun(noun, many) => self.noun(sought, target, (noun, many)),
            What::Called(_, Some((noun, _))) if target.all => {
                self.noun(sought, target, (noun, true))
            }
            What::Called(id, noun) => self.called(sought, target, id).or_else(|| {
                self.noun(sought, target, noun?)
                    .filter(|_| self.none_called(sought, target, id))
            }),
        }
    }

    /// "set the ac fan to high": not a fan, but how that of the ac blows.
    fn its_fan(&self, sought: &Sought<'_>, target: &Target) -> Option<Resolution> {
        let is_fan = |noun: u16| {
            self.names.nouns[usize::from(noun)]
                .kinds
                .iter()
                .any(|kind| kind == "fan")
        };
        target.also.filter(|&noun| is_fan(noun))?;
        let Intent::Put(None, amount @ Amount::Choice(_)) = sought.wish else {
            return None;
        };
        let its = Sought {
            wish: Intent::Put(standard("fan_mode"), amount),
            ..*sought
        };
        self.target(
            &its,
            &Target {
                also: None,
                ..target.clone()
            },
        )
    }

    /// "make it brighter in here", "make it 21 degrees": what nothing was said of before is how it is there.
    fn is_of_a_place(&self, sought: &Sought<'_>, target: &Target) -> bool {
        let clause = sought.clause;
        let place_is_known = self.here.is_some() || Self::place_is_said(sought, Some(target));
        let measured = matches!(clause.amount, Some(Amount::Measured(..)));
        let tells = match clause.act {
            Some(Act::Set) => {
                let colored = clause.amount.is_some_and(Amount::is_color)
                    && Self::place_is_said(sought, Some(target));
                (clause.more.is_some() && place_is_known) || measured || colored
            }
            // "turn it down to 19 degrees"
            Some(Act::Turn) => measured,
            Some(Act::Warm | Act::Cool | Act::Brighten | Act::Dim) => place_is_known,
            // "i want it warmer"
            None => clause.ensure && ((clause.more.is_some() && place_is_known) || measured),
            _ => false,
        };
        tells && clause.targets.len() == 1
    }

    /// What is to be done to the device. What is called a mode can be a scene, and nothing else.
    pub(super) fn deeds(
        &self,
        sought: &Sought<'_>,
        device: u32,
        mode: Option<&str>,
    ) -> Option<Vec<Effect>> {
        let device = self.device(device);
        let as_mode =
            sought.clause.mode && sought.clause.amount.is_none() && sought.clause.ask.is_none();
        let deeds = self.deeds.of(sought.wish, device, mode)?;
        (!as_mode || matches!(device.kind.as_str(), "scene" | "script")).then_some(deeds)
    }

    fn is_everything(&self, target: &Target) -> bool {
        matches!(target.what, What::Noun(noun, _) if self.names.nouns[usize::from(noun)].everything)
    }

    fn device(&self, device: u32) -> &Device {
        &self.home.devices()[device as usize]
    }

    fn everyone(&self) -> impl Iterator<Item = u32> {
        (0..self.home.devices().len()).filter_map(|i| u32::try_from(i).ok())
    }

    /// Whether the device is where the phrase says.
    fn inside(&self, sought: &Sought<'_>, target: Option<&Target>, device: u32) -> bool {
        let at_one = |places: &[Place]| {
            places.is_empty()
                || places
                    .iter()
                    .any(|&place| self.names.is_at(device, place, self.here))
        };
        at_one(&sought.clause.places) && target.is_none_or(|target| at_one(&target.places))
    }

    fn place_is_said(sought: &Sought<'_>, target: Option<&Target>) -> bool {
        !sought.clause.places.is_empty() || target.is_some_and(|target| !target.places.is_empty())
    }

    /// The devices again that the clause before was about, as far as they can do this too.
    fn before_again(&self, sought: &Sought<'_>) -> Option<Resolution> {
        let able: Vec<_> = sought
            .before
            .iter()
            .filter_map(|&d| Some((d, self.deeds(sought, d, None)?)))
            .collect();
        (!able.is_empty()).then_some(Resolution::These(able))
    }

    fn named_here(&self, sought: &Sought<'_>, target: &Target, id: u32) -> Vec<u32> {
        let called = &self.names.called[id as usize].devices;
        let fits = |&&(device, _): &&(u32, bool)| {
            self.inside(sought, Some(target), device)
                && target.also.is_none_or(|noun| self.is_a(noun, device))
        };
        let here: Vec<(u32, bool)> = called.iter().filter(fits).copied().collect();
        let whole = here.iter().any(|(_, whole)| *whole);
        here.into_iter()
            .filter(|(_, is_whole)| !whole || *is_whole)
            .map(|(device, _)| device)
            .collect()
    }

    fn none_called(&self, sought: &Sought<'_>, target: &Target, id: u32) -> bool {
        self.named_here(sought, target, id).is_empty()
    }

    fn called(&self, sought: &Sought<'_>, target: &Target, id: u32) -> Option<Resolution> {
        let found = self.named_here(sought, target, id);
        let mode = match target.what {
            What::Called(_, Some((noun, _))) => self.mode(noun),
            _ => found.first().and_then(|&d| self.mode_in_name(d)),
        };
        if let [single] = found.as_slice() {
            return self
                .these(sought, &[*single], mode)
                .filter(|_| !target.both);
        }
        let able = self.able(sought, &found, mode);
        if (self.names.called[id as usize].many || target.many) && !target.both {
            return self.group(sought, Some(target), able, mode);
        }
        if target.all || target.both {
            return (!target.both || able.len() == 2)
                .then(|| self.these(sought, &able, mode))
                .flatten();
        }
        match self.nearest(sought, Some(target), able).as_slice() {
            [] => None,
            [single] => self.these(sought, &[*single], mode),
            several => Some(Resolution::Which(several.to_vec())),
        }
    }

    fn mode(&self, noun: u16) -> Option<&str> {
        self.names.nouns[usize::from(noun)].mode.as_deref()
    }

    /// What "on" means for the "bedroom heating".
    fn mode_in_name(&self, device: u32) -> Option<&str> {
        let nouns = (0..self.names.nouns.len()).filter_map(|noun| u16::try_from(noun).ok());
        nouns
            .filter(|&noun| self.has_noun(noun, device))
            .find_map(|noun| self.mode(noun))
    }

    /// Those of the devices that can do what is wished.
    fn able(&self, sought: &Sought<'_>, devices: &[u32], mode: Option<&str>) -> Vec<u32> {
        devices
            .iter()
            .copied()
            .filter(|&d| self.deeds(sought, d, mode).is_some())
            .collect()
    }

    /// Those in the area where it was said, if there are any and no place was said.
    fn nearest(&self, sought: &Sought<'_>, target: Option<&Target>, devices: Vec<u32>) -> Vec<u32> {
        if self.here.is_none() || Self::place_is_said(sought, target) {
            return devices;
        }
        let here: Vec<u32> = devices
            .iter()
            .copied()
            .filter(|&d| self.names.is_at(d, Place::Here, self.here))
            .collect();
        if here.is_empty() { devices } else { here }
    }

    /// All of these; `None` where one of them cannot, or there is none.
    fn these(
        &self,
        sought: &Sought<'_>,
        devices: &[u32],
        mode: Option<&str>,
    ) -> Option<Resolution> {
        let done: Option<Vec<_>> = devices
            .iter()
            .map(|&d| Some((d, self.deeds(sought, d, mode)?)))
            .collect();
        done.filter(|done| !done.is_empty()).map(Resolution::These)
    }

    fn noun(
        &self,
        sought: &Sought<'_>,
        target: &Target,
        (noun, many): (u16, bool),
    ) -> Option<Resolution> {
        let meant = &self.names.nouns[usize::from(noun)];
        if meant.everything && !matches!(sought.wish, Intent::Switch(_) | Intent::Open(false)) {
            return None;
        }
        // "set the scene", "press the button": those have names.
        if meant
            .kinds
            .iter()
            .any(|kind| matches!(kind.as_str(), "scene" | "script" | "button"))
            && !target.all
        {
            return None;
        }
        let mode = self.mode(noun);
        let telling = self.telling(noun);
        let is_both = |d: u32| {
            target
                .also
                .is_none_or(|also| also == noun || self.is_a(also, d))
        };
        let mut fits: Vec<u32> = self
            .everyone()
            .filter(|&d| {
                self.fits(noun, d, telling) && self.inside(sought, Some(target), d) && is_both(d)
            })
            .collect();
        // A cover that nothing says is a blind is one only where no other is.
        let surely = |d: u32| {
            self.has_noun(noun, d)
                || self
                    .device(d)
                    .class
                    .as_ref()
                    .is_some_and(|class| meant.classes.contains(class))
        };
        if (meant.narrow || !meant.classes.is_empty()) && fits.iter().any(|&d| surely(d)) {
            fits.retain(|&d| surely(d));
        }
        let asks_which =
            sought.clause.ask == Some(QueryVerb::What) && sought.clause.state.is_some();
        if many || target.all || target.both || meant.everything || asks_which {
            let meant = self
                .without_exceptions(sought, fits)
                .filter(|_| !self.excepts_where_unsure(sought, target))?;
            let able = self.able(sought, &meant, mode);
            if sought.wish == Intent::Open(true) && able.len() < meant.len() {
                // Of "the doors" only the garage's can open: that is not what was meant.
                return None;
            }
            return self.group(sought, Some(target), able, mode);
        }
        let able = self.able(sought, &fits, mode);
        // "set the thermostat to 100": not the sauna, because it alone goes that high.
        let too_much =
            |d: &u32| !able.contains(d) && self.device(*d).can(&Property::Temperature).is_some();
        if matches!(
            sought.wish,
            Intent::Put(
                _,
                Amount::Number(_) | Amount::Measured(..) | Amount::Choice(_)
            )
        ) && fits.iter().any(too_much)
        {
            return None;
        }
        if !matches!(sought.wish, Intent::Open(_)) || able.is_empty() {
            fits = able;
        }
        let fits = self.nearest(sought, Some(target), fits);
        if fits.len() < 2 {
            return self.these(sought, &fits, mode);
        }
        let so_named: Vec<u32> = fits
            .iter()
            .copied()
            .filter(|&d| self.has_noun(noun, d))
            .collect();
        let of_a_place = Self::place_is_said(sought, Some(target))
            || fits
                .iter()
                .all(|&d| self.names.is_at(d, Place::Here, self.here));
        match so_named.as_slice() {
            [single] if meant.collective.is_empty() && !meant.vague => {
                self.these(sought, &[*single], mode)
            }
            _ if !meant.collective.is_empty() && of_a_place => self.these(sought, &fits, mode),
            _ => Some(Resolution::Which(fits)),
        }
    }

    fn has_noun(&self, noun: u16, device: u32) -> bool {
        self.names.things[device as usize].nouns & (1 << noun) != 0
    }

    /// The nouns that tell sorts of one kind apart: "curtain" of a cover.
    fn telling(&self, noun: u16) -> u128 {
        let kinds = &self.names.nouns[usize::from(noun)].kinds;
        let tells = |other: &crate::grammar::lexicon::Noun| {
            other.named.iter().any(|k| kinds.contains(k))
                || (!other.classes.is_empty() && other.kinds.iter().any(|k| kinds.contains(k)))
        };
        self.names
            .nouns
            .iter()
            .enumerate()
            .filter(|(_, other)| tells(other))
            .fold(0, |bits, (i, _)| bits | 1 << i)
    }

    fn is_a(&self, noun: u16, device: u32) -> bool {
        self.fits(noun, device, self.telling(noun))
    }

    fn fits(&self, noun: u16, device: u32, telling: u128) -> bool {
        let meant = &self.names.nouns[usize::from(noun)];
        let device_is = self.device(device);
        let kind = device_is.kind.as_str();
        if meant.everything {
            return !NOT_EVERYTHING.contains(&kind)
                && device_is
                    .class
                    .as_deref()
                    .is_none_or(|c| !matches!(c, "garage" | "gate" | "door"));
        }
        let so_named = self.has_noun(noun, device);
        if let Some(mode) = meant
            .mode
            .as_deref()
            .filter(|_| kind == "climate" && !so_named)
        {
            // What only heats is no air conditioner, unless its name says so.
            let has = |options: &[String]| {
                options
                    .iter()
                    .any(|option| option == mode || matches!(option.as_str(), "auto" | "heat_cool"))
            };
            let modes = device_is.can(&Property::HvacMode).map(|c| matches!(&c.takes, Domain::Choice(options) if options.is_empty() || has(options)));
            if !modes.unwrap_or(mode != "cool") {
                return false;
            }
        }
        if !meant.kinds.iter().any(|k| k == kind) {
            return so_named && meant.named.iter().any(|k| k == kind);
        }
        match &device_is.class {
            _ if so_named => true,
            // A pool's heater is no boiler.
            _ if meant.classes.is_empty() => !meant.strict,
            Some(class) => meant.classes.contains(class),
            None => !meant.strict && self.names.things[device as usize].nouns & telling == 0,
        }
    }

    /// A group: of the place that was said, of where it was said, of everywhere if all of them are meant; else it is asked where.
    fn group(
        &self,
        sought: &Sought<'_>,
        target: Option<&Target>,
        able: Vec<u32>,
        mode: Option<&str>,
    ) -> Option<Resolution> {
        let (all, both) = target.map_or((false, false), |t| (t.all, t.both));
        let locks = matches!(sought.wish, Intent::Lock(true));
        let near = if locks {
            able
        } else {
            self.nearest(sought, target, able)
        };
        if both {
            return if near.len() == 2 {
                self.these(sought, &near, mode)
            } else {
                None
            };
        }
        let first = near.first().map(|&d| self.names.things[d as usize].area);
        let one_place = near
            .iter()
            .all(|&d| Some(self.names.things[d as usize].area) == first);
        let sure = all
            || locks
            || one_place
            || Self::place_is_said(sought, target)
            || matches!(sought.wish, Intent::Query(..))
            || !sought.clause.except.is_empty();
        let sure = sure || target.is_some_and(|t| self.is_everything(t));
        if sure || near.is_empty() {
            self.these(sought, &near, mode)
        } else {
            Some(Resolution::Where(near))
        }
    }

    /// "everything off except the tv in the living room", where that is the only tv: all of the home, or of the living room?
    fn excepts_where_unsure(&self, sought: &Sought<'_>, target: &Target) -> bool {
        let placed = sought
            .clause
            .except
            .iter()
            .filter(|except| !except.places.is_empty());
        let only_one = |except: &Target| matches!(except.what, What::Called(id, _) if self.names.called[id as usize].devices.len() == 1);
        !Self::place_is_said(sought, Some(target)) && placed.into_iter().any(only_one)
    }

    /// `None` where an exception is of nothing that is there.
    fn without_exceptions(&self, sought: &Sought<'_>, mut devices: Vec<u32>) -> Option<Vec<u32>> {
        for except in &sought.clause.except {
            let before = devices.len();
            let at = |d: u32| {
                except.places.is_empty()
                    || except
                        .places
                        .iter()
                        .any(|&place| self.names.is_at(d, place, self.here))
            };
            match except.what {
                What::Room => devices.retain(|&d| !at(d)),
                What::Noun(noun, _) => devices.retain(|&d| !(at(d) && self.is_a(noun, d))),
                What::Called(id, noun) => {
                    let called = &self.names.called[id as usize].devices;
                    let whole = called.iter().any(|(d, whole)| *whole && at(*d));
                    let is_meant = |d: u32| {
                        called
                            .iter()
                            .any(|(c, is_whole)| *c == d && (*is_whole || !whole))
                            || (!whole && noun.is_some_and(|(n, _)| self.is_a(n, d)))
                    };
                    devices.retain(|&d| !(at(d) && is_meant(d)));
                }
                What::It | What::Them => return None,
            }
            if devices.len() == before {
                return None;
            }
        }
        Some(devices)
    }

    /// No thing is named: the property, or the verb, says what kind it must be.
    fn implied(&self, sought: &Sought<'_>, target: Option<&Target>) -> Option<Resolution> {
        let meant = ResolvedTarget::by(sought, self.names)?;
        let clause = sought.clause;
        let said = target.is_some()
            || !clause.places.is_empty()
            || self.here.is_some()
            || clause.property.is_some()
            || clause.more.is_some();
        let verb = clause.act.is_some() && !matches!(sought.wish, Intent::StepSize(_));
        if !(said || verb) && matches!(sought.wish, Intent::StepSize(_) | Intent::Put(..)) {
            return None;
        }
        let fits = |&d: &u32| meant.fits(self.device(d)) && self.inside(sought, target, d);
        let able = self.able(
            sought,
            &self.everyone().filter(fits).collect::<Vec<_>>(),
            None,
        );
        if meant.group {
            return self.group(sought, target, able, None);
        }
        let mut near = self.nearest(sought, target, able);
        if near
            .iter()
            .any(|&d| self.device(d).kind.as_str() != "water_heater")
        {
            // "the temperature" is a room's, where it can be.
            near.retain(|&d| self.device(d).kind.as_str() != "water_heater");
        }
        let of_a_place = Self::place_is_said(sought, target)
            || near
                .iter()
                .all(|&d| self.names.is_at(d, Place::Here, self.here));
        if of_a_place
            && matches!(sought.wish, Intent::Query(..))
            && near
                .iter()
                .any(|&d| self.device(d).kind.as_str() == "sensor")
        {
            near.retain(|&d| self.device(d).kind.as_str() == "sensor");
        }
        if near.len() > 1 {
            Some(Resolution::Which(near))
        } else {
            self.these(sought, &near, None)
        }
    }
}

/// The kind of device a clause means that names none.
struct ResolvedTarget {
    kinds: &'static [&'static str],
    /// Of any kind, with this property.
    declared: Option<Property>,
    /// All of a place, or one.
    group: bool,
}

impl ResolvedTarget {
    fn by(sought: &Sought<'_>, names: &Names) -> Option<Self> {
        let one = |kinds| {
            Some(Self {
                kinds,
                declared: None,
                group: false,
            })
        };
        let group = |kinds| {
            Some(Self {
                kinds,
                declared: None,
                group: true,
            })
        };
        let clause = sought.clause;
        let only_house =
            clause.targets.is_empty() && clause.places.iter().all(|p| *p == Place::House);
        let kelvin = |unit: u16| names.units[usize::from(unit)] == "K";
        let property = match sought.wish {
            Intent::Switch(true)
                if matches!(clause.act, Some(Act::Illuminate | Act::Enlighten)) =>
            {
                return group(&["light"]);
            }
            Intent::Put(None, Amount::Measured(_, unit)) if kelvin(unit) => {
                Some(&Property::ColorTemp)
            }
            Intent::Put(Some(p), _)
            | Intent::OnAt(Some(p), _)
            | Intent::Flag(p, _)
            | Intent::Query(Some(p), _) => names.properties.get(usize::from(p)),
            Intent::StepSize(StepSize {
                property: None,
                by: Some(Amount::Measured(_, unit)),
                ..
            }) if names.units[usize::from(unit)].starts_with('°') => Some(&Property::Temperature),
            Intent::StepSize(step) => step
                .property
                .and_then(|p| names.properties.get(usize::from(p))),
            Intent::Put(None, Amount::Color(_) | Amount::Hex(_) | Amount::White(_)) => {
                Some(&Property::Color)
            }
            Intent::Put(None, Amount::Measured(_, unit))
                if names.units[usize::from(unit)].starts_with('°') =>
            {
                Some(&Property::Temperature)
            }
            Intent::Lock(true)
                if only_house && (clause.act == Some(Act::LockUp) || !clause.places.is_empty()) =>
            {
                return group(&["lock"]);
            }
            Intent::Stop | Intent::Pause if only_house && clause.state == Some(State::Cleaning) => {
                return one(&["vacuum"]);
            }
            Intent::Skip(_) | Intent::Mute(_) | Intent::Pause | Intent::Play
                if clause.targets.is_empty() =>
            {
                return one(&["media_player"]);
            }
            Intent::Clean if only_house => return one(&["vacuum"]),
            Intent::Mow if only_house => return one(&["lawn_mower"]),
            _ => None,
        }?;
        if matches!(sought.wish, Intent::Query(..)) {
            return Some(Self {
                kinds: &[],
                declared: Some(property.clone()),
                group: false,
            });
        }
        match property {
            Property::Brightness | Property::Color | Property::ColorTemp => group(&["light"]),
            Property::Temperature => one(&["climate", "water_heater"]),
            Property::HvacMode | Property::Preset => one(&["climate"]),
            Property::FanMode => one(&["climate", "fan"]),
            Property::Volume | Property::Source | Property::Mute | Property::Playback => {
                one(&["media_player"])
            }
            Property::Tilt => group(&["cover"]),
            Property::Speed => one(&["fan"]),
            Property::Humidity => one(&["humidifier"]),
            Property::Custom(_) => Some(Self {
                kinds: &[],
                declared: Some(property.clone()),
                group: false,
            }),
            _ => None,
        }
    }

    fn fits(&self, device: &Device) -> bool {
        match &self.declared {
            Some(property) => {
                device.can(property).is_some()
                    || device
                        .can(&Property::Custom(format!("current_{property}").into()))
                        .is_some()
            }
            None => self.kinds.contains(&device.kind.as_str()),
        }
    }
}
