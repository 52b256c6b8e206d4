//! The state file of `sayso try`: assumed states of devices.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::binding::Decoded;
use crate::home::Home;
use crate::home::capability::Capability;
use crate::home::state::{Report, State};
use crate::vocabulary::{Domain, Property, Value};

use crate::cli::file_error::reason;

/// Device → property → value.
type StateValues = BTreeMap<String, BTreeMap<String, Value>>;

/// Reads a state file: device → property → value, as JSON or TOML.
pub(super) fn read(path: &Path, home: &Home, now: Instant) -> Result<State, Box<dyn Error>> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("cannot read `{}`: {}", path.display(), reason(&error)))?;
    let values = parse(&text).map_err(|error| {
        format!(
            "`{}` is not a state such as {{\"lamp\": {{\"power\": \"on\"}}}}: {error}",
            path.display()
        )
    })?;
    let mut state = State::default();
    let mut faults = Vec::new();
    for (name, properties) in values {
        let Some(device) = home.device(&name) else {
            faults.push(format!("there is no device `{name}`"));
            continue;
        };
        for (property, value) in properties {
            let property = Property::from(property);
            let Some(capability) = device.capability(&property) else {
                faults.push(format!("`{name}` has no {property}"));
                continue;
            };
            match plausible(capability, value) {
                Ok(value) => {
                    let report = Report {
                        device: device.id.clone(),
                        property,
                        decoded: Decoded::Value(value),
                        expire_after: None,
                        reverts: None,
                    };
                    state.report(report, now);
                }
                Err(value) => faults.push(format!("`{name}` cannot have {property} {value}")),
            }
        }
    }
    if faults.is_empty() {
        Ok(state)
    } else {
        Err(format!("`{}`: {}", path.display(), faults.join("; ")).into())
    }
}

fn parse(text: &str) -> Result<StateValues, Box<dyn Error>> {
    if text.trim_start().starts_with('{') {
        Ok(serde_json::from_str(text)?)
    } else {
        Ok(toml::from_str(text)?)
    }
}

/// Returns the value as the device would report it. Devices may report values outside their range.
fn plausible(capability: &Capability, value: Value) -> Result<Value, Value> {
    match (&capability.domain, value) {
        (Domain::Choice(words), Value::Flag(flag)) if words.iter().any(|w| w == "on") => {
            Ok(Value::text(if flag { "on" } else { "off" }))
        }
        (Domain::Choice(words), Value::Text(text)) if words.iter().any(|w| text == **w) => {
            Ok(Value::Text(text))
        }
        (Domain::Number { .. }, Value::Number(n)) if n.is_finite() => Ok(Value::Number(n)),
        (Domain::Boolean, Value::Flag(flag)) => Ok(Value::Flag(flag)),
        (Domain::Color, Value::Text(text)) => Ok(Value::Text(text)),
        (_, value) => Err(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::device::{Device, Kind};
    use crate::home::rights::Rights;
    use crate::home::state::Observation;
    use crate::vocabulary::slug::Slug;

    fn state(text: &str) -> Result<State, Box<dyn Error>> {
        let lamp = Device::new(
            Slug::new("lamp").unwrap(),
            Kind::new(Slug::new("light").unwrap()),
        );
        let home = Home::new(vec![], vec![lamp], Rights::default(), "sayso").unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        read(file.path(), &home, crate::clock::now())
    }

    #[test]
    fn json_and_toml_give_the_same_state() {
        for text in [
            r#"{"lamp": {"power": true, "brightness": 40}}"#,
            "[lamp]\npower = \"on\"\nbrightness = 40",
        ] {
            let state = state(text).unwrap();
            let of = |property: Property| {
                state
                    .get(&Slug::new("lamp").unwrap(), &property)
                    .and_then(Observation::value)
                    .cloned()
                    .unwrap()
            };
            assert_eq!(
                (of(Property::Power), of(Property::Brightness)),
                (Value::text("on"), Value::Number(40.0))
            );
        }
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let error = state(r#"{"lamp": {"power": 3, "volume": 1}, "ghost": {}}"#)
            .unwrap_err()
            .to_string();
        for part in ["cannot have power 3", "has no volume", "no device `ghost`"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
