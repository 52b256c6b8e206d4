//! An action whose device and capability exist and may be commanded by the source.

use std::time::Instant;

use crate::home::Home;
use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::home::permit::denied::{Denied, Unsupported};
use crate::home::permit::request::PermitRequest;
use crate::home::setpoint::{Setpoint, Targets, setpoint};
use crate::home::state::{Observation, State};
use crate::vocabulary::action::{Action, Draft, Op};
use crate::vocabulary::{Property, Value};

/// An action with its device, its capability and the known state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolved<'a> {
    pub(super) device: &'a Device,
    /// That of the property, or the target temperature that the mode of the device selects.
    pub(super) capability: &'a Capability,
    /// Both targets of a device whose mode does not select one. Only a query has them.
    pub(super) undecided: Option<Targets<'a>>,
    pub(super) action: &'a Action,
    /// The last observation of the property, unless it has expired.
    pub(super) seen: Option<&'a Observation>,
    /// The last observation where it has expired.
    pub(super) expired: Option<&'a Observation>,
    /// True where the device is known to be off.
    pub(super) is_off: bool,
    /// True where the device is known to be offline.
    pub(super) is_offline: bool,
}

impl<'a> Resolved<'a> {
    pub(super) fn new(
        home: &'a Home,
        (action, draft): (&'a Action, &Draft),
        state: &'a State,
        context: PermitRequest<'_>,
    ) -> Result<Self, Denied> {
        let device = home
            .device(&action.device)
            .ok_or_else(|| unknown_device(action))?;
        let allow = |property: &Property| {
            if home.rights().allow(context.source, device, property) {
                return Ok(());
            }
            Err(Denied::NotAllowed {
                source_name: context.source.to_owned(),
                device: device.into(),
            })
        };
        allow(&action.property)?;
        let lacks = |lack| not_capable(device, &action.property, lack);
        let capability = device
            .capability(&action.property)
            .ok_or_else(|| lacks(Unsupported::Property))?;
        if action.op != Op::Query && !capability.settable {
            return Err(lacks(Unsupported::Setting));
        }
        let mode = mode(device, draft, state, context);
        let (capability, undecided) = match setpoint(device, &action.property, mode) {
            Setpoint::Own => (capability, None),
            Setpoint::Selected(selected) => (selected, None),
            Setpoint::Undecided(targets) if action.op == Op::Query => (capability, Some(targets)),
            Setpoint::Undecided(_) => {
                return Err(Denied::TwoTargets {
                    device: device.into(),
                });
            }
        };
        allow(&capability.property)?;
        let seen = state.current(&device.id, &capability.property, context.now);
        Ok(Self {
            device,
            capability,
            undecided,
            action,
            seen,
            expired: match seen {
                Some(_) => None,
                None => state.get(&device.id, &capability.property),
            },
            is_off: state.is_off(device, context.now),
            is_offline: state.is_offline(device),
        })
    }

    /// Returns both targets of a device whose mode does not select one of them.
    pub(super) fn both_targets(&self, state: &'a State, now: Instant) -> Option<[Self; 2]> {
        let targets = self.undecided?;
        Some([targets.heating, targets.cooling].map(|capability| Self {
            capability,
            undecided: None,
            seen: state.current(&self.device.id, &capability.property, now),
            ..*self
        }))
    }

    /// Returns true for a device without a binding, which accepts relative changes and toggles as
    /// they are.
    pub(super) fn uses_own_format(&self) -> bool {
        let binding = &self.capability.binding;
        binding.command.is_none() && binding.stop.is_none() && binding.fixed.is_empty()
    }

    /// Returns the refusal for a feature that the device does not support.
    pub(super) fn lacks(&self, lack: Unsupported) -> Denied {
        not_capable(self.device, &self.action.property, lack)
    }
}

/// Returns the mode that a device is set to by the same draft, or is in.
fn mode<'a>(
    device: &Device,
    draft: &'a Draft,
    state: &'a State,
    context: PermitRequest<'_>,
) -> Option<&'a Value> {
    let mut actions = draft.actions.iter();
    let set = actions.find(|action| {
        action.device == device.id.as_str()
            && action.property == Property::HvacMode
            && action.op == Op::Set
    });
    set.and_then(|action| action.value.as_ref()).or_else(|| {
        let seen = state.current(&device.id, &Property::HvacMode, context.now);
        seen.and_then(Observation::value)
    })
}

/// Returns the refusal of an action whose device does not exist.
pub(super) fn unknown_device(action: &Action) -> Denied {
    Denied::UnknownDevice {
        device: action.device.chars().take(80).collect(),
    }
}

fn not_capable(device: &Device, property: &Property, lack: Unsupported) -> Denied {
    Denied::NotCapable {
        device: device.into(),
        property: property.clone(),
        lack,
    }
}
