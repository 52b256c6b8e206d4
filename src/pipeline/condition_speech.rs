//! Conditions in words, for replies and lists. Pure.

use crate::home::Home;
use crate::vocabulary::condition::{Condition, ExpectedState, StateTest};
use crate::vocabulary::speech::{Speech, fill};
use crate::vocabulary::{Domain, Property, Value};

/// Returns a condition in words: "Kitchen window: open".
pub(super) fn condition_in_words(condition: &Condition, home: &Home, speech: &Speech) -> String {
    let forms = &speech.condition;
    let test = |test: &StateTest| match test {
        StateTest::Dark(true) => forms.dark.clone(),
        StateTest::Dark(false) => forms.light.clone(),
        StateTest::Device {
            device,
            property,
            is,
        } => {
            let name = home.device(device).map_or(device.as_str(), |d| &d.name);
            let what = state_in_words(is, device, property, home, speech);
            fill(&speech.done, &[("devices", name), ("what", &what)])
        }
    };
    let tests: Vec<String> = condition.tests.iter().map(test).collect();
    match tests.as_slice() {
        [front @ .., last] if condition.any && !front.is_empty() => {
            format!("{} {} {last}", front.join(", "), speech.or)
        }
        tests => speech.list(tests).into_owned(),
    }
}

fn state_in_words(
    is: &ExpectedState,
    device: &str,
    property: &Property,
    home: &Home,
    speech: &Speech,
) -> String {
    let forms = &speech.condition;
    let device = home.device(device);
    let capability = device.and_then(|device| device.capability(property));
    let unit = match capability.map(|capability| &capability.domain) {
        Some(Domain::Number { unit, .. }) => unit.as_str(),
        _ => "",
    };
    let number = |n: f64| format!("{} {unit}", speech.number(n)).trim().to_owned();
    let (form, limit) = match is {
        ExpectedState::Above(limit) => (&forms.above, *limit),
        ExpectedState::Below(limit) => (&forms.below, *limit),
        ExpectedState::Equal(Value::Number(n)) if *property == Property::Position => {
            return match *n {
                n if n <= 0.0 => speech.value("closed").to_owned(),
                n if n >= 100.0 => speech.value("open").to_owned(),
                n => fill(&speech.part_open, &[("value", &speech.number(n))]),
            };
        }
        ExpectedState::Equal(Value::Number(n)) => return number(*n),
        ExpectedState::Equal(Value::Text(word)) => return speech.value(word).to_owned(),
        ExpectedState::Equal(Value::Flag(flag)) => {
            return speech.value(property.flag_word(*flag)).to_owned();
        }
    };
    let name = speech.property(property.name());
    fill(form, &[("property", &name), ("value", &number(limit))])
}

/// Returns the devices of a condition that the home does not have.
pub(super) fn missing_devices<'a>(condition: &'a Condition, home: &Home) -> Vec<&'a str> {
    let device = |test: &'a StateTest| match test {
        StateTest::Device { device, .. } => Some(device.as_str()),
        StateTest::Dark(_) => None,
    };
    let devices = condition.tests.iter().filter_map(device);
    devices.filter(|id| home.device(id).is_none()).collect()
}
