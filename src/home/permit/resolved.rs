//! An action whose device and capability exist and may be commanded by the source.

use crate::home::Home;
use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::home::permit::context::PermitContext;
use crate::home::permit::denied::{Denied, Unsupported};
use crate::home::state::{Observation, State};
use crate::vocabulary::Property;
use crate::vocabulary::action::{Action, Op};

/// An action with its device, its capability and the known state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolved<'a> {
    pub(super) device: &'a Device,
    pub(super) capability: &'a Capability,
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
        action: &'a Action,
        state: &'a State,
        context: PermitContext<'_>,
    ) -> Result<Self, Denied> {
        let device = home
            .device(&action.device)
            .ok_or_else(|| Denied::UnknownDevice {
                device: action.device.chars().take(80).collect(),
            })?;
        if !home
            .rights()
            .allow(context.source, device, &action.property)
        {
            return Err(Denied::NotAllowed {
                source_name: context.source.to_owned(),
                device: device.name.clone(),
            });
        }
        let lacks = |lack| not_capable(device, &action.property, lack);
        let capability = device
            .capability(&action.property)
            .ok_or_else(|| lacks(Unsupported::Property))?;
        if action.op != Op::Query && !capability.settable {
            return Err(lacks(Unsupported::Setting));
        }
        let seen = state.current(&device.id, &action.property, context.now);
        Ok(Self {
            device,
            capability,
            action,
            seen,
            expired: match seen {
                Some(_) => None,
                None => state.get(&device.id, &action.property),
            },
            is_off: state.is_off(device, context.now),
            is_offline: state.is_offline(device),
        })
    }

    /// True for a device without a binding: it takes relative changes and toggles as they are.
    pub(super) fn uses_own_format(&self) -> bool {
        let binding = &self.capability.binding;
        binding.command.is_none() && binding.stop.is_none() && binding.fixed.is_empty()
    }

    /// Returns the refusal for a feature that the device does not support.
    pub(super) fn lacks(&self, lack: Unsupported) -> Denied {
        not_capable(self.device, &self.action.property, lack)
    }
}

fn not_capable(device: &Device, property: &Property, lack: Unsupported) -> Denied {
    Denied::NotCapable {
        device: device.name.clone(),
        property: property.clone(),
        lack,
    }
}
