//! The draft that restores the states before a command. Pure.
//!
//! Only known states are restored. Nothing is opened, unlocked or disarmed: a report may be wrong,
//! and the one who says "undo" may not be the one who locked up. A blind, an awning or another
//! cover that is no door and needs no confirmation is the exception: it may be opened again.

use crate::home::Home;
use crate::home::capability::Risk;
use crate::home::device::Device;
use crate::pipeline::dialogue::Earlier;
use crate::vocabulary::action::{Action, Op};
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::speech::{Speech, fill};
use crate::vocabulary::{Property, Value};

/// The actions that restore earlier states, and the devices that are left as they are.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Restoration {
    pub(super) actions: Vec<Action>,
    /// Devices whose earlier state is not known.
    pub(super) unknown: Vec<String>,
    /// Devices that would be opened, unlocked or disarmed.
    pub(super) unsafe_devices: Vec<String>,
    /// Devices that were commanded by another command since.
    pub(super) changed: Vec<String>,
}

impl Restoration {
    /// Computes the restoration. `is_changed` returns whether a device was commanded since.
    pub(super) fn of(
        earlier: &[Earlier],
        home: &Home,
        is_changed: impl Fn(&Device) -> bool,
    ) -> Self {
        let mut found = Self::default();
        for state in earlier {
            let Some(device) = home.device(&state.action.device) else {
                continue;
            };
            if is_changed(device) {
                push_once(&mut found.changed, device);
                continue;
            }
            match restoring(state, device) {
                Ok(action) if found.actions.contains(&action) => {}
                Ok(action) => found.actions.push(action),
                Err(Obstacle::Unknown) => push_once(&mut found.unknown, device),
                Err(Obstacle::Unsafe) => push_once(&mut found.unsafe_devices, device),
            }
        }
        // A lamp that was off is switched off; its level would switch it on again.
        let off: Vec<SharedStr> = found
            .actions
            .iter()
            .filter(|a| a.property == Property::Power && a.value == Some(Value::text("off")))
            .map(|a| a.device.clone())
            .collect();
        found
            .actions
            .retain(|a| a.property == Property::Power || !off.contains(&a.device));
        found
    }

    /// Returns the sentences about devices that are left as they are.
    pub(super) fn note(&self, speech: &Speech) -> Option<String> {
        let forms = &speech.dialogue;
        let sentences: Vec<String> = [
            (&forms.undo_unknown, &self.unknown),
            (&forms.undo_unsafe, &self.unsafe_devices),
            (&forms.undo_changed, &self.changed),
        ]
        .into_iter()
        .filter(|(_, devices)| !devices.is_empty())
        .map(|(form, devices)| fill(form, &[("devices", &speech.list(devices))]))
        .collect();
        (!sentences.is_empty()).then(|| sentences.join(". "))
    }
}

/// The reason why a state is not restored.
enum Obstacle {
    Unknown,
    Unsafe,
}

fn push_once(names: &mut Vec<String>, device: &Device) {
    if !names.contains(&device.name) {
        names.push(device.name.clone());
    }
}

fn restoring(state: &Earlier, device: &Device) -> Result<Action, Obstacle> {
    let set = |property: Property, value: Value| Action {
        device: (&device.id).into(),
        property,
        op: Op::Set,
        value: Some(value),
    };
    let is_level = matches!(
        state.action.property,
        Property::Brightness | Property::Speed | Property::Color | Property::ColorTemp
    );
    if is_level && state.power == Some(Value::text("off")) {
        return Ok(set(Property::Power, Value::text("off")));
    }
    let before = state.before.clone().ok_or(Obstacle::Unknown)?;
    let opens = match (&state.action.property, &before) {
        (Property::Lock, Value::Text(word)) => word != "locked",
        (Property::Power, Value::Text(word)) => {
            let disarms = device.kind.as_str() == "alarm_control_panel" && word == "off";
            let asks = device.capability(&Property::Power);
            let asks = asks.is_some_and(|power| power.guard.opening != Risk::Auto);
            disarms || (asks && device.is_entrance() && word == "on")
        }
        (Property::Position | Property::Tilt, Value::Number(before)) => {
            let became = state.became.as_ref().and_then(Value::number);
            let guarded = device
                .capability(&state.action.property)
                .is_none_or(|capability| capability.guard.opening != Risk::Auto);
            // A blind or an awning lets nobody in, and no water out.
            let is_harmless = device.kind.as_str() == "cover" && !device.is_door() && !guarded;
            !is_harmless && became.is_none_or(|became| *before > became)
        }
        _ => false,
    };
    if opens {
        return Err(Obstacle::Unsafe);
    }
    Ok(set(state.action.property.clone(), before))
}
