//! The risk of a message, judged over every device that it can move.

use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::binding::Publication;
use crate::home::Home;
use crate::home::capability::{Capability, Risk};
use crate::home::device::Device;
use crate::home::permit::denied::Denied;
use crate::home::permit::request::PermitRequest;
use crate::home::permit::resolved::Resolved;
use crate::home::reach::Reached;
use crate::home::state::{Observation, State};
use crate::vocabulary::action::{Action, Op};
use crate::vocabulary::{Property, Value};

/// The age up to which a reported position may show that a movement closes. Older reports prove
/// nothing.
const RECENT: Duration = Duration::from_mins(10);

/// A message and the action it carries out.
#[derive(Clone, Copy)]
pub(super) struct ProposedMessage<'a> {
    pub(super) action: &'a Action,
    pub(super) value: Option<&'a Value>,
    pub(super) publication: &'a Publication,
}

impl Home {
    /// Returns the highest risk among all devices that the message can move.
    ///
    /// # Errors
    /// When the source may not command one of them, or one of them is never to be commanded.
    pub(super) fn judge(
        &self,
        resolved: &Resolved<'_>,
        message: ProposedMessage<'_>,
        state: &State,
        context: PermitRequest<'_>,
    ) -> Result<Risk, Denied> {
        let Resolved {
            device, capability, ..
        } = *resolved;
        let mut worst = direction_risk(device, capability, message, state, context.now);
        // A risk that the operator chose for the target temperature holds for the target that the
        // mode selects.
        if capability.property != resolved.action.property
            && let Some(named) = device.capability(&resolved.action.property)
        {
            worst = worst.max(direction_risk(device, named, message, state, context.now));
        }
        if worst == Risk::Never {
            return Err(never(device, &message.action.property));
        }
        let Some(&position) = self.by_id.get(&device.id) else {
            return Ok(worst);
        };
        let reached = self
            .reach
            .reached(&self.devices, position, message.publication);
        for reached in reached {
            worst = worst.max(self.judge_reached(reached, message, state, context)?);
        }
        Ok(worst)
    }

    /// Judges one device that the message moves beside the commanded one.
    fn judge_reached(
        &self,
        reached: Reached,
        message: ProposedMessage<'_>,
        state: &State,
        context: PermitRequest<'_>,
    ) -> Result<Risk, Denied> {
        let device = &self.devices[reached.device];
        let allow = |property: &Property| {
            if self.rights().allow(context.source, device, property) {
                return Ok(());
            }
            Err(Denied::NotAllowed {
                source_name: context.source.to_owned(),
                device: device.into(),
            })
        };
        let same = device
            .capability(&message.action.property)
            .filter(|capability| !reached.possible && sends_the_same(capability, message));
        if let Some(capability) = same {
            allow(&capability.property)?;
            let risk = direction_risk(device, capability, message, state, context.now);
            return match risk {
                Risk::Never => Err(never(device, &capability.property)),
                risk => Ok(risk),
            };
        }
        // The message may do anything to this device.
        let mut worst = Risk::Auto;
        for capability in device.capabilities.iter().filter(|c| c.settable) {
            allow(&capability.property)?;
            worst = worst.max(capability.guard.worst());
            if worst == Risk::Never {
                return Err(never(device, &capability.property));
            }
        }
        Ok(worst)
    }
}

fn never(device: &Device, property: &Property) -> Denied {
    Denied::Never {
        device: device.into(),
        property: property.clone(),
    }
}

/// Returns whether the capability would be commanded with the same payload, so that the message
/// means the same to it.
fn sends_the_same(capability: &Capability, message: ProposedMessage<'_>) -> bool {
    let own = match message.value {
        Some(value) => capability.binding.encode(value),
        None if message.action.op == Op::Stop => capability.binding.stop.clone(),
        None => None,
    };
    let parse =
        |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned()));
    own.is_some_and(|own| parse(&own.payload) == parse(&message.publication.payload))
}

/// Returns whether setting a property to `value` opens, unlocks or disarms something, whatever its
/// present state is. A change of unknown direction counts as one that does.
pub fn is_opening(device: &Device, property: &Property, op: Op, value: Option<&Value>) -> bool {
    let alarm = device.kind.as_str() == "alarm_control_panel";
    match (property, value) {
        (Property::Lock, Some(Value::Text(word))) => word != "locked",
        (Property::Power, Some(Value::Text(word))) => (word == "off") == alarm,
        (Property::Position | Property::Tilt, Some(Value::Number(to))) => *to > 0.0,
        // "Stop" must work at once: something may be in the way of the gate.
        (_, None) => op != Op::Stop,
        _ => true,
    }
}

/// Returns the risk of setting a capability to a value.
fn direction_risk(
    device: &Device,
    capability: &Capability,
    message: ProposedMessage<'_>,
    state: &State,
    now: Instant,
) -> Risk {
    let property = &capability.property;
    let closes = match (property, message.value) {
        (Property::Position | Property::Tilt, Some(Value::Number(to))) => {
            certainly_closes(device, property, *to, state, now)
        }
        _ => false,
    };
    if !closes && is_opening(device, property, message.action.op, message.value) {
        capability.guard.opening
    } else {
        capability.guard.otherwise
    }
}

/// Returns whether moving to `to` certainly closes. Only a recent report of a device that is online
/// proves that: a state that was merely commanded, has expired, or was reported before the device
/// went offline may be wrong, and never lowers a risk.
fn certainly_closes(
    device: &Device,
    property: &Property,
    to: f64,
    state: &State,
    now: Instant,
) -> bool {
    let recent = state
        .current(&device.id, property, now)
        .filter(|seen| now.saturating_duration_since(seen.at) <= RECENT)
        .filter(|_| !state.is_offline(device));
    let reported = recent
        .and_then(Observation::reported)
        .and_then(Value::number);
    reported.is_some_and(|reported| to < reported)
}
