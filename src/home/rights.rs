//! Rights: the devices and properties each source may command. The source is a topic level, which
//! the access rules of the broker guard; a payload never names it.

use std::collections::HashMap;

use crate::home::device::Device;
use crate::vocabulary::Property;
use crate::vocabulary::slug::Slug;

/// The rules of all sources. A source without rules has those of `*`; without those it may command
/// everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rights {
    /// The rules by source.
    pub by_source: HashMap<String, Rules>,
    /// True where "turn everything on" needs no confirmation.
    pub whole_home_at_once: bool,
}

/// The rules of one source. `deny` takes precedence; an empty `allow` allows everything that is not
/// denied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The capabilities it may command.
    pub allow: Vec<Selector>,
    /// The capabilities it may not command.
    pub deny: Vec<Selector>,
}

/// A set of capabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `*`
    Everything,
    /// `area:kitchen`
    Area(Slug),
    /// `kind:lock`
    Kind(Slug),
    /// `device:front_door`
    Device(Slug),
    /// `property:temperature`
    Property(Property),
}

/// The error for a text that is not a selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is not a selector: use `*`, `area:<id>`, `kind:<kind>`, `device:<id>` or \
     `property:<name>`"
)]
pub struct InvalidSelector {
    found: String,
}

impl Selector {
    /// Parses a selector.
    ///
    /// # Errors
    /// When the text has none of the five forms.
    pub fn parse(text: &str) -> Result<Self, InvalidSelector> {
        let invalid = || InvalidSelector {
            found: text.to_owned(),
        };
        if text == "*" {
            return Ok(Self::Everything);
        }
        let (set, name) = text.split_once(':').ok_or_else(invalid)?;
        let slug = Slug::new(name).map_err(|_| invalid())?;
        match set {
            "area" => Ok(Self::Area(slug)),
            "kind" => Ok(Self::Kind(slug)),
            "device" => Ok(Self::Device(slug)),
            "property" => Ok(Self::Property(slug.as_str().into())),
            _ => Err(invalid()),
        }
    }

    fn contains(&self, device: &Device, property: &Property) -> bool {
        match self {
            Self::Everything => true,
            Self::Area(area) => device.area.as_ref() == Some(area),
            Self::Kind(kind) => device.kind.as_str() == kind.as_str(),
            Self::Device(id) => device.id == *id,
            Self::Property(p) => p == property,
        }
    }
}

impl Rights {
    /// Returns whether `source` may set or query `property` of `device`.
    pub fn allow(&self, source: &str, device: &Device, property: &Property) -> bool {
        let rules = self
            .by_source
            .get(source)
            .or_else(|| self.by_source.get("*"));
        let Some(rules) = rules else {
            return true;
        };
        let contains = |set: &[Selector]| set.iter().any(|s| s.contains(device, property));
        !contains(&rules.deny) && (rules.allow.is_empty() || contains(&rules.allow))
    }
}
