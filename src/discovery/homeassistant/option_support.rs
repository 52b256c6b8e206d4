//! The ways in which sayso supports an option of Home Assistant, with the reasons that several
//! options share.
//!
//! It knows no component: `options` and the tables of components are written in these terms.

/// Treatment of one option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Carried out as Home Assistant documents it.
    Supported,
    /// Changes nothing about commands, states or answers, with the reason.
    Immaterial(&'static str),
    /// Not carried out unless it has one of these values. The entity is used without it, and the
    /// reason is reported.
    Rejected {
        /// Values that ask for nothing sayso does not do.
        unless: &'static [&'static str],
        /// Reason, as the end of a sentence.
        reason: &'static str,
    },
}

/// Options of one component, or of one schema of a component.
#[derive(Debug, Clone, Copy)]
pub struct ComponentOptions {
    /// Component, as it stands in the discovery topic.
    pub component: &'static str,
    /// Schema of a light, empty for other components.
    pub schema: &'static str,
    /// Options in addition to [`COMMON`].
    pub options: &'static [(&'static str, Support)],
}

pub(super) const YES: Support = Support::Supported;
pub(super) const DISPLAY: Support =
    Support::Immaterial("only changes how Home Assistant shows the entity");
pub(super) const OPTIMISTIC: Support = Support::Immaterial(
    "a commanded value always counts as not confirmed until the device reports it",
);
pub(super) const HISTORY: Support =
    Support::Immaterial("only changes how Home Assistant records or shows past values");
pub(super) const EXTRA: Support =
    Support::Immaterial("adds an argument to a command that sayso never gives");
pub(super) const RESET: Support =
    Support::Immaterial("a payload that is no value of the property makes it unknown in any case");
pub(super) const RANGE_GIVEN: Support =
    Support::Immaterial("only the start value of an entity without a state topic");

pub(super) const fn rejected(unless: &'static [&'static str], reason: &'static str) -> Support {
    Support::Rejected { unless, reason }
}

pub(super) const fn of(
    component: &'static str,
    options: &'static [(&'static str, Support)],
) -> ComponentOptions {
    ComponentOptions {
        component,
        schema: "",
        options,
    }
}

pub(super) const CODE: Support = rejected(
    &[],
    "asks for a code with each command, and sayso knows none; the state can be asked",
);
