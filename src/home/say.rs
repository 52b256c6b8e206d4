//! What the speaker hears about a plan, in short English sentences.

use std::time::{Duration, Instant};

use super::action::Op;
use super::capability::{Capability, Property, Takes, Value};
use super::permit::Meant;

/// Collects what was done and found, and makes sentences of it: devices with the same change share one.
#[derive(Debug, Default)]
pub(super) struct Said {
    done: Vec<(String, Vec<String>)>,
    found: Vec<String>,
}

impl Said {
    pub(super) fn done(&mut self, meant: &Meant<'_>, becomes: Option<&Value>) {
        let (what, device) = (change(meant, becomes), meant.device);
        match self.done.iter_mut().find(|(w, _)| *w == what) {
            Some((_, devices)) => devices.push(device.name.clone()),
            None => self.done.push((what, vec![device.name.clone()])),
        }
    }

    pub(super) fn answer(&mut self, meant: &Meant<'_>, now: Instant) {
        let Meant { device, capability, action, .. } = *meant;
        let Some(seen) = meant.seen else {
            self.found.push(format!("I have not heard from {} yet", device.name));
            return;
        };
        let is = value_in_words(&capability.property, &seen.value, unit(capability));
        let yes_or_no = match &action.value {
            Some(wanted) if is_so(&capability.property, wanted, &seen.value) => "Yes, ",
            Some(_) => "No, ",
            None => "",
        };
        let age = now.saturating_duration_since(seen.at);
        self.found.push(format!("{yes_or_no}{} is {is}{}", device.name, ago(age)));
    }

    pub(super) fn sentence(&self) -> String {
        let done = self.done.iter().map(|(what, devices)| format!("{}: {what}", list(devices)));
        let sentences: Vec<String> = done.chain(self.found.iter().cloned()).collect();
        if sentences.is_empty() { String::new() } else { format!("{}.", sentences.join(". ")) }
    }
}

/// A cover that is half open is open.
fn is_so(property: &Property, wanted: &Value, found: &Value) -> bool {
    match (property, wanted, found) {
        (Property::Position, Value::Number(wanted), Value::Number(found)) if *wanted >= 100.0 => *found > 0.0,
        _ => same(wanted, found),
    }
}

fn same(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Number(a), Value::Number(b)) => (a - b).abs() < 0.5,
        _ => wanted == found,
    }
}

fn unit(capability: &Capability) -> &str {
    if let Takes::Number { unit, .. } = &capability.takes { unit } else { "" }
}

fn value_in_words(property: &Property, value: &Value, unit: &str) -> String {
    match (property, value) {
        (Property::Position, Value::Number(n)) if *n <= 0.0 => "closed".to_owned(),
        (Property::Position, Value::Number(n)) if *n >= 100.0 => "open".to_owned(),
        (Property::Position, Value::Number(n)) => format!("{n} % open"),
        (_, value) if unit.is_empty() => value.to_string(),
        (_, value) => format!("{value} {unit}"),
    }
}

fn ago(age: Duration) -> String {
    match age.as_secs() {
        0..60 => String::new(),
        s @ 60..7200 => format!(" (as of {} min ago)", s / 60),
        s => format!(" (as of {} h ago)", s / 3600),
    }
}

/// `brightness 40 %`, `on`, `closed`.
fn change(meant: &Meant<'_>, becomes: Option<&Value>) -> String {
    let (action, unit) = (meant.action, unit(meant.capability));
    match (&action.property, action.op, becomes) {
        (_, Op::Stop, _) => "stopped".to_owned(),
        (Property::Press, ..) => "pressed".to_owned(),
        (
            Property::Power
            | Property::Lock
            | Property::Position
            | Property::Playback
            | Property::Vacuum
            | Property::Mower
            | Property::Scene
            | Property::Script,
            _,
            Some(value),
        ) => value_in_words(&action.property, value, unit),
        (property, _, Some(value)) => format!("{} {}", property.name().replace('_', " "), value_in_words(property, value, unit)),
        (property, Op::Toggle, None) => format!("{property} toggled"),
        (property, Op::Increase, None) => format!("{property} up"),
        (property, Op::Decrease, None) => format!("{property} down"),
        (property, _, None) => property.to_string(),
    }
}

/// `Front door: unlocked`, for the question before a risky action.
pub(super) fn intent(meant: &Meant<'_>, becomes: Option<&Value>) -> String {
    format!("{}: {}", meant.device.name, change(meant, becomes))
}

/// The question before a risky action.
pub(super) fn confirm(intents: &[String]) -> String {
    format!("{}. Shall I? Say yes within 30 s", list(intents))
}

/// The values a capability takes, in words: `0 to 100 %`.
pub(super) fn takes(takes: &Takes) -> String {
    match takes {
        Takes::Number { min, max, unit, .. } if unit.is_empty() => format!("{min} to {max}"),
        Takes::Number { min, max, unit, .. } => format!("{min} to {max} {unit}"),
        Takes::Choice(words) => words.join(", "),
        Takes::Color => "a CSS colour name or #rrggbb".to_owned(),
        Takes::Boolean => "true or false".to_owned(),
        Takes::Trigger => "no value".to_owned(),
    }
}

/// `a`, `a and b`, `a, b and c`; past five, `a, b, c and 4 more`.
pub(super) fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [some @ .., last] if names.len() <= 5 => format!("{} and {last}", some.join(", ")),
        many => format!("{} and {} more", many[..3].join(", "), many.len() - 3),
    }
}
