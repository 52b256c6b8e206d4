//! Places that were said earlier in a sentence, as data for its later parts: "in the bedroom turn
//! off the lamp and turn off the tv". What they mean there is decided in `resolve`.

use crate::grammar::sense::Place;

/// How the places before a part of a sentence were said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum SaidHow {
    /// Beside one device: "the lamp in the bedroom".
    #[default]
    Beside,
    /// In the name of a device: "the bedroom tv".
    InName,
    /// Before everything, so that they certainly hold: "in the bedroom ..".
    First,
    /// In a condition, which says nothing about a group in the command.
    InCondition,
}

/// The places said before a part of a sentence.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SaidPlaces {
    pub(super) places: Vec<Place>,
    pub(super) how: SaidHow,
}

impl SaidPlaces {
    /// Returns the area in which something was said to be.
    pub(super) fn area(area: u16) -> Self {
        Self {
            places: vec![Place::Area(area)],
            ..Self::default()
        }
    }

    /// Returns the place of the device in a condition.
    pub(super) fn of_condition(place: Place) -> Self {
        Self {
            places: vec![place],
            how: SaidHow::InCondition,
        }
    }

    /// Notes the places of one part. Those before everything hold until the end.
    pub(super) fn note(&mut self, places: &[Place], how: SaidHow) {
        let is_area = !places.is_empty() && !places.contains(&Place::House);
        if is_area && (self.how != SaidHow::First || how == SaidHow::First) {
            self.places = places.to_vec();
            self.how = how;
        }
    }
}
