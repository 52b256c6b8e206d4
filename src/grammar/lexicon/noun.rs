//! Nouns of a language, with the kinds and classes of devices they mean.

use serde::Deserialize;

/// A noun for devices of certain kinds or classes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "traits of a noun, each by itself, as the file has them"
)]
pub(in crate::grammar) struct Noun {
    pub(in crate::grammar) one: Vec<String>,
    pub(in crate::grammar) many: Vec<String>,
    /// Kinds that match regardless of the device's name.
    pub(in crate::grammar) kinds: Vec<String>,
    /// Kinds that match only with the noun in the device's name.
    pub(in crate::grammar) named: Vec<String>,
    /// Device classes of Home Assistant: `blind` of `cover`.
    pub(in crate::grammar) classes: Vec<String>,
    /// Whether a device without a class matches only with the noun in its name.
    pub(in crate::grammar) strict: bool,
    /// Singular forms that mean all devices of a place: "the light in the kitchen".
    pub(in crate::grammar) collective: Vec<String>,
    /// Whether devices with the noun in their name exclude the others.
    pub(in crate::grammar) narrow: bool,
    /// Device classes that are preferred where several devices fit: `speaker` for "the music".
    pub(in crate::grammar) prefers: Vec<String>,
    /// Whether the noun is what is played, and no device: "the music" is on while it plays.
    pub(in crate::grammar) medium: bool,
    /// Whether the noun may be left out at the end of a name.
    pub(in crate::grammar) drops: bool,
    /// The HVAC mode "on" stands for when a climate device is called by this noun.
    pub(in crate::grammar) mode: Option<String>,
    /// Whether the noun is too general to prefer a device with it in the name: "the heating" may be
    /// the thermostat or the "bedroom heating".
    pub(in crate::grammar) vague: bool,
    /// Whether the noun means every device: "everything".
    pub(in crate::grammar) everything: bool,
    /// Whether the noun has a meaning only in questions: "is anything on".
    pub(in crate::grammar) asked: bool,
}

impl Noun {
    pub(super) fn words(&self) -> impl Iterator<Item = &String> {
        self.one.iter().chain(&self.many)
    }

    pub(super) fn words_mut(&mut self) -> impl Iterator<Item = &mut String> {
        self.one.iter_mut().chain(&mut self.many)
    }
}
