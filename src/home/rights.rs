//! Who may command what: the source is the MQTT topic level, which the broker's ACL guards, never the payload.

use std::collections::HashMap;

use crate::home::device::Device;
use crate::vocabulary::Property;
use crate::vocabulary::slug::Slug;

/// Per source, what it may command. A source without an entry has that of `*`, and without that may command everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rights {
    /// Source → its rules.
    pub by_source: HashMap<String, Rules>,
}

/// What one source may command. Deny wins; an empty `allow` allows everything not denied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// What it may command.
    pub allow: Vec<Selector>,
    /// What it may not.
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

/// The text selects nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is not a selector: wanted `*`, `area:<id>`, `kind:<kind>`, `device:<id>` or `property:<name>`"
)]
pub struct NotASelector {
    found: String,
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// When the text is none.
    pub fn parse(text: &str) -> Result<Self, NotASelector> {
        let none = || NotASelector {
            found: text.to_owned(),
        };
        if text == "*" {
            return Ok(Self::Everything);
        }
        let (what, name) = text.split_once(':').ok_or_else(none)?;
        let slug = Slug::new(name).map_err(|_| none())?;
        match what {
            "area" => Ok(Self::Area(slug)),
            "kind" => Ok(Self::Kind(slug)),
            "device" => Ok(Self::Device(slug)),
            "property" => Ok(Self::Property(slug.as_str().into())),
            _ => Err(none()),
        }
    }

    fn covers(&self, device: &Device, property: &Property) -> bool {
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
    /// Whether `source` may command, or ask after, `property` of `device`.
    pub fn allow(&self, source: &str, device: &Device, property: &Property) -> bool {
        let Some(rules) = self
            .by_source
            .get(source)
            .or_else(|| self.by_source.get("*"))
        else {
            return true;
        };
        let covered = |set: &[Selector]| set.iter().any(|s| s.covers(device, property));
        !covered(&rules.deny) && (rules.allow.is_empty() || covered(&rules.allow))
    }
}
