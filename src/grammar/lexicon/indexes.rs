//! Indexes of properties and other entries, in the width that senses use.

use crate::vocabulary::Property;

/// Returns the index of a property in the vocabulary.
pub(in crate::grammar) fn standard(name: &str) -> Option<u16> {
    Property::standard()
        .position(|p| p.name() == name)
        .map(index)
}

/// Converts an index to the width used in [`Sense`]; entries after the 65,535th are unreachable.
pub(in crate::grammar) fn index(i: usize) -> u16 {
    u16::try_from(i).unwrap_or(u16::MAX)
}
