//! The last command of a source, as data for sentences that refer to it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::grammar::names::Names;
use crate::grammar::said_places::SaidPlaces;
use crate::grammar::sense::{Place, Sense};
use crate::home::Home;
use crate::vocabulary::action::ActionList;

/// Things that a sentence may refer to without naming them: the last command of its source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Antecedents {
    /// The actions of the last command.
    pub actions: ActionList,
    /// Whether the last command named several devices one by one, so that "it" is none of them.
    pub is_list: bool,
    /// Whether the last command set a timer.
    pub is_timed: bool,
    /// The device that a question offered beside the one that was chosen.
    pub other: Option<String>,
}

/// Senses without references, and the devices that a pronoun among them means.
pub(super) type Referents<'s> = (Cow<'s, [Sense]>, Cow<'s, [u32]>);

/// The last command as it applies to a home.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// Devices of the last command.
    pub(super) devices: Vec<u32>,
    /// Whether the devices were named one by one.
    pub(super) is_list: bool,
    /// The other one of two.
    pub(super) other: Option<u32>,
    /// The area of all its devices.
    pub(super) area: Option<u16>,
    /// The places said before, which hold for this sentence.
    pub(super) said: SaidPlaces,
}

/// Returns the index of the device in the home.
pub(super) fn index_of(home: &Home, id: &str) -> Option<u32> {
    let position = home.devices().iter().position(|d| d.id.as_str() == id)?;
    u32::try_from(position).ok()
}

impl Remembered {
    /// Finds the devices of the last command in the present home.
    pub(super) fn of(antecedents: &Antecedents, home: &Home, names: &Names) -> Self {
        let index = |id: &str| index_of(home, id);
        let ids: BTreeSet<&str> = antecedents
            .actions
            .iter()
            .map(|a| a.device.as_str())
            .collect();
        let devices: Vec<u32> = ids.into_iter().filter_map(index).collect();
        let mut areas = devices.iter().map(|&d| names.referents[d as usize].area);
        let first = areas.next().flatten();
        let area = first.filter(|_| areas.all(|area| area == first));
        let other = match &antecedents.other {
            Some(id) => index(id),
            None => other_of_two(antecedents, home, names, &devices),
        };
        Self {
            is_list: antecedents.is_list && devices.len() > 1,
            devices,
            other,
            area,
            said: SaidPlaces::default(),
        }
    }

    /// Replaces references to the last command by senses that the parser knows. Returns `None` for
    /// a reference without a referent.
    pub(super) fn resolve<'s>(&'s self, senses: &'s [Sense]) -> Option<Referents<'s>> {
        let has = |wanted: Sense| senses.contains(&wanted);
        let is_other = has(Sense::Other);
        if !is_other && !has(Sense::Place(Place::There)) {
            return Some((Cow::Borrowed(senses), Cow::Borrowed(&self.devices)));
        }
        if is_other && (has(Sense::It) || has(Sense::Them)) {
            return None;
        }
        let before = if is_other {
            Cow::Owned(vec![self.other?])
        } else {
            Cow::Borrowed(self.devices.as_slice())
        };
        let resolved: Option<Vec<Sense>> = senses
            .iter()
            .map(|sense| match sense {
                Sense::Other => Some(Sense::It),
                Sense::Place(Place::There) => self.area.map(|area| Sense::Place(Place::Area(area))),
                sense => Some(*sense),
            })
            .collect();
        Some((Cow::Owned(resolved?), before))
    }
}

/// Returns the second device of a kind in an area that has exactly two with the same property.
fn other_of_two(
    antecedents: &Antecedents,
    home: &Home,
    names: &Names,
    devices: &[u32],
) -> Option<u32> {
    let [one] = devices else {
        return None;
    };
    let own = &home.devices()[*one as usize];
    let property = &antecedents.actions.first()?.property;
    let area = names.referents[*one as usize].area?;
    let alike: Vec<u32> = (0..home.devices().len())
        .filter_map(|i| u32::try_from(i).ok())
        .filter(|&d| {
            let device = &home.devices()[d as usize];
            d != *one
                && names.referents[d as usize].area == Some(area)
                && device.kind == own.kind
                && device.class == own.class
                && device.capability(property).is_some()
        })
        .collect();
    match alike.as_slice() {
        [other] => Some(*other),
        _ => None,
    }
}
