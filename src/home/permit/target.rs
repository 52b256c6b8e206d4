//! The value that an action leads to: relative changes and toggles are made absolute from the
//! state.

use crate::binding::color::rgb;
use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::home::permit::denied::{Denied, Unsupported};
use crate::home::permit::resolved::Resolved;
use crate::home::state::Observation;
use crate::vocabulary::action::Op;
use crate::vocabulary::{Domain, Property, Value};

/// The result of an action.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TargetValue {
    /// The property will have this value.
    Value(Value),
    /// The resulting value is not known: a stop, a button, or a toggle left to the device.
    Unspecified,
    /// Nothing changes, for this reason.
    Unchanged(Unchanged),
}

/// The reason why a relative change does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unchanged {
    /// The device is off, and a relative change does not switch it on.
    Off,
    /// The value is at its limit already.
    AtLimit,
}

/// The lowest brightness that "darker" leads to, in percent: 0 % would switch the lamp off.
const DIMMEST: f64 = 1.0;

/// Returns the result of an action.
pub(super) fn target(resolved: &Resolved<'_>) -> Result<TargetValue, Denied> {
    let Resolved {
        device,
        capability,
        action,
        ..
    } = *resolved;
    match action.op {
        Op::Set if capability.domain == Domain::Trigger => Ok(TargetValue::Unspecified),
        Op::Set => {
            let value = action
                .value
                .as_ref()
                .ok_or_else(|| resolved.lacks(Unsupported::Value))?;
            within(device, capability, value).map(TargetValue::Value)
        }
        Op::Toggle => toggled(resolved),
        Op::Increase | Op::Decrease => changed(resolved),
        Op::Stop | Op::Query => Ok(TargetValue::Unspecified),
    }
}

fn toggled(resolved: &Resolved<'_>) -> Result<TargetValue, Denied> {
    let capability = resolved.capability;
    let Some(now) = resolved.seen.and_then(Observation::value) else {
        let can_toggle = resolved.uses_own_format() || capability.binding.toggle.is_some();
        return if can_toggle {
            Ok(TargetValue::Unspecified)
        } else {
            Err(state_unknown(resolved))
        };
    };
    opposite(&capability.domain, now)
        .map(TargetValue::Value)
        .ok_or_else(|| resolved.lacks(Unsupported::Opposite))
}

/// Makes a relative change absolute. It never goes the other way at the end of the range, and never
/// switches on a device that is off.
fn changed(resolved: &Resolved<'_>) -> Result<TargetValue, Denied> {
    let Resolved {
        device,
        capability,
        action,
        ..
    } = *resolved;
    let Domain::Number {
        min,
        max,
        step,
        ref unit,
    } = capability.domain
    else {
        return Err(resolved.lacks(Unsupported::Steps));
    };
    let by = match &action.value {
        None => capability.step,
        Some(by) => in_number(by, unit)
            .filter(|n| *n > 0.0)
            .ok_or_else(|| out_of_range(device, capability, by))?,
    };
    let by = by.max(step.unwrap_or(0.0));
    let starts = matches!(
        action.property,
        Property::Brightness | Property::Speed | Property::ColorTemp
    );
    if starts && resolved.is_off {
        return Ok(TargetValue::Unchanged(Unchanged::Off));
    }
    let known = resolved.seen.and_then(Observation::value);
    let Some(now) = known.and_then(Value::number) else {
        return if resolved.uses_own_format() {
            Ok(TargetValue::Unspecified)
        } else {
            Err(state_unknown(resolved))
        };
    };
    let lowest = match action.property {
        Property::Brightness => min.max(DIMMEST.min(max)),
        _ => min,
    };
    let up = action.op == Op::Increase;
    // A device may report a value outside its range.
    let to = if up {
        (now + by).min(max).max(lowest)
    } else {
        (now - by).max(lowest).min(max)
    };
    let moves = |to: f64| if up { to > now } else { to < now };
    if !moves(to) {
        return Ok(TargetValue::Unchanged(Unchanged::AtLimit));
    }
    match within(device, capability, &Value::Number(to))? {
        Value::Number(to) if !moves(to) => Ok(TargetValue::Unchanged(Unchanged::AtLimit)),
        value => Ok(TargetValue::Value(value)),
    }
}

fn state_unknown(resolved: &Resolved<'_>) -> Denied {
    Denied::StateUnknown {
        device: resolved.device.into(),
        property: resolved.action.property.clone(),
    }
}

fn opposite(domain: &Domain, now: &Value) -> Option<Value> {
    match (domain, now) {
        (Domain::Choice(words), Value::Text(word)) if words.len() == 2 => {
            words.iter().find(|w| word != *w).map(|w| Value::text(w))
        }
        (Domain::Boolean, Value::Flag(flag)) => Some(Value::Flag(!flag)),
        (Domain::Number { min, max, .. }, Value::Number(n)) => {
            Some(Value::Number(if n > min { *min } else { *max }))
        }
        _ => None,
    }
}

fn out_of_range(device: &Device, capability: &Capability, value: &Value) -> Denied {
    Denied::OutOfRange {
        device: device.into(),
        property: capability.property.clone(),
        value: value.to_string().chars().take(80).collect(),
        takes: Box::new(capability.domain.clone()),
    }
}

/// Returns the value as the capability takes it: a number at its resolution, a word in its own
/// case.
fn within(device: &Device, capability: &Capability, value: &Value) -> Result<Value, Denied> {
    let fits = match (&capability.domain, value) {
        (Domain::Number { .. }, value) => number_within(capability, value),
        // An option called "3" is a word all the same.
        (Domain::Choice(words), Value::Number(n)) => words
            .iter()
            .find(|w| **w == n.to_string())
            .map(|w| Value::text(w)),
        (Domain::Choice(words), Value::Text(text)) => words
            .iter()
            .find(|w| w.eq_ignore_ascii_case(text))
            .map(|w| {
                if text == w {
                    value.clone()
                } else {
                    Value::text(w)
                }
            }),
        (Domain::Choice(words), Value::Flag(flag)) => {
            let word = if *flag { "on" } else { "off" };
            words.iter().any(|w| w == word).then(|| Value::text(word))
        }
        (Domain::Boolean, Value::Flag(flag)) => Some(Value::Flag(*flag)),
        (Domain::Boolean, Value::Text(text)) => match text.as_str() {
            "on" | "true" => Some(Value::Flag(true)),
            "off" | "false" => Some(Value::Flag(false)),
            _ => None,
        },
        (Domain::Color, Value::Text(text)) => {
            let name = text.to_ascii_lowercase();
            rgb(&name).map(|_| Value::Text(name.into()))
        }
        _ => None,
    };
    fits.ok_or_else(|| out_of_range(device, capability, value))
}

fn number_within(capability: &Capability, value: &Value) -> Option<Value> {
    let Domain::Number {
        min,
        max,
        step,
        ref unit,
    } = capability.domain
    else {
        return None;
    };
    let number = in_number(value, unit).filter(|n| *n >= min && *n <= max)?;
    let step = step.filter(|s| *s > 0.0);
    let mut rounded = match step {
        Some(step) => (min + ((number - min) / step).round() * step).clamp(min, max),
        None => number,
    };
    // A level above 0 % must not be rounded to "off".
    if capability.property == Property::Brightness && number > 0.0 && rounded == 0.0 {
        rounded = step.unwrap_or(DIMMEST).min(max);
    }
    Some(Value::Number((rounded * 1e6).round() / 1e6))
}

/// Reads a number, or a text that is one, in no other unit than the capability's own: "40 %".
fn in_number(value: &Value, unit: &str) -> Option<f64> {
    let number = match value {
        Value::Number(n) => Some(*n),
        Value::Text(text) => {
            let text = text.trim();
            text.strip_suffix(unit)
                .unwrap_or(text)
                .trim_end()
                .parse()
                .ok()
        }
        Value::Flag(_) => None,
    };
    number.filter(|n| n.is_finite())
}
