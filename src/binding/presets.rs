//! Bindings of the ecosystems that `home.toml` can name without topics: `Zigbee2MQTT`, Tasmota, and
//! sayso's own format.

use crate::binding::codec::{Codec, Scale, percent_to, words};
use crate::binding::ports::{Binding, Form, Port, PowerOn};
use crate::binding::publication::Publication;
use crate::vocabulary::Property;

/// Returns the binding of a `Zigbee2MQTT` device: one JSON object at `<base>/<name>/set`, the state
/// at `<base>/<name>`. `field` replaces the usual key. Source: its device pages, November 2026.
pub fn zigbee2mqtt(base: &str, name: &str, property: &Property, field: Option<&str>) -> Binding {
    use Property as P;
    let (key, words, scale): (&str, _, _) = match property {
        P::Power => ("state", words(&[("on", "ON"), ("off", "OFF")]), Scale::Same),
        P::Brightness => ("brightness", vec![], percent_to(254.0)),
        P::Color => ("color.hex", vec![], Scale::Hex),
        P::ColorTemp => ("color_temp", vec![], Scale::Mired),
        P::Lock => (
            "state",
            words(&[("locked", "LOCK"), ("unlocked", "UNLOCK")]),
            Scale::Same,
        ),
        P::Temperature => ("occupied_heating_setpoint", vec![], Scale::Same),
        P::HvacMode => ("system_mode", vec![], Scale::Same),
        other => (other.name(), vec![], Scale::Same),
    };
    let path: Vec<String> = field.unwrap_or(key).split('.').map(str::to_owned).collect();
    // A colour is sent as hex, but reported as hue and saturation or as x and y.
    let mut reported = path.clone();
    reported.pop_if(|last| last == "hex");
    let set = format!("{base}/{name}/set");
    let state_command =
        |word: &str| Publication::new(set.as_str(), format!(r#"{{"state":"{word}"}}"#));
    let moves = matches!(property, P::Position | P::Tilt);
    let toggles = matches!(property, P::Power) && field.is_none();
    // Many bulbs ignore a colour while they are off.
    let needs_power = matches!(property, P::Color | P::ColorTemp);
    Binding {
        stop: moves.then(|| state_command("STOP")),
        toggle: toggles.then(|| state_command("TOGGLE")),
        power_on: needs_power.then_some(PowerOn::Before),
        command: Some(Port {
            topic: set.into(),
            form: Form::Field(path),
        }),
        state: vec![Port {
            topic: format!("{base}/{name}").into(),
            form: Form::Field(reported),
        }],
        codec: Codec { words, scale },
        ..Binding::default()
    }
}

/// Returns the binding of a Tasmota device: `cmnd/<topic>/<Command>`, answered on
/// `stat/<topic>/RESULT` and reported regularly on `tele/<topic>/STATE`. `field` replaces the name
/// of the command. Source: Tasmota's command list, November 2026.
pub fn tasmota(topic: &str, property: &Property, field: Option<&str>) -> Binding {
    use Property as P;
    let (command, words, scale): (&str, _, _) = match property {
        P::Power => ("POWER", words(&[("on", "ON"), ("off", "OFF")]), Scale::Same),
        P::Brightness => ("Dimmer", vec![], percent_to(100.0)),
        P::Color => ("Color", vec![], Scale::Hex),
        P::ColorTemp => ("CT", vec![], Scale::Mired),
        P::Position => ("ShutterPosition", vec![], percent_to(100.0)),
        P::Tilt => ("ShutterTilt", vec![], Scale::Same),
        P::Temperature => ("ThermostatSet", vec![], Scale::Same),
        P::Speed => ("FanSpeed", vec![], percent_to(3.0)),
        P::Volume => ("I2SVol", vec![], percent_to(100.0)),
        other => (other.name(), vec![], Scale::Same),
    };
    let command = field.unwrap_or(command);
    let reported = if matches!(property, P::Position) && field.is_none() {
        vec!["Shutter1".to_owned(), "Position".to_owned()]
    } else {
        vec![command.to_owned()]
    };
    let state_port = |prefix: &str, last: &str| Port {
        topic: format!("{prefix}/{topic}/{last}").into(),
        form: Form::Field(reported.clone()),
    };
    let publication =
        |command: &str, payload: &str| Publication::new(format!("cmnd/{topic}/{command}"), payload);
    let moves = matches!(property, P::Position | P::Tilt);
    Binding {
        stop: moves.then(|| publication("ShutterStop", "")),
        toggle: matches!(property, P::Power).then(|| publication(command, "TOGGLE")),
        state: vec![state_port("stat", "RESULT"), state_port("tele", "STATE")],
        command: Some(Port {
            topic: format!("cmnd/{topic}/{command}").into(),
            form: Form::Raw,
        }),
        codec: Codec { words, scale },
        ..Binding::default()
    }
}

/// Returns the binding of a device that uses sayso's own format: it is commanded on
/// `<prefix>/action/<device>` and may report its state as one JSON object of property and value on
/// `<prefix>/state/<device>`.
pub fn own(prefix: &str, device: &str, property: &Property) -> Binding {
    Binding {
        state: vec![Port {
            topic: format!("{prefix}/state/{device}").into(),
            form: Form::Field(vec![property.name().to_owned()]),
        }],
        ..Binding::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::Decoded;
    use crate::vocabulary::Value;
    use serde_json::json;

    fn z2m(property: &str) -> Binding {
        zigbee2mqtt("zigbee2mqtt", "Kitchen", &property.into(), None)
    }

    fn encoded(binding: &Binding, value: &Value) -> (String, String) {
        let publication = binding.encode(value).unwrap();
        (publication.topic.to_string(), publication.payload)
    }

    fn value(value: Value) -> Decoded {
        Decoded::Value(value)
    }

    #[test]
    fn zigbee2mqtt_receives_the_keys_it_documents() {
        let to = |payload: &str| ("zigbee2mqtt/Kitchen/set".to_owned(), payload.to_owned());
        for (property, value, payload) in [
            ("power", Value::text("on"), r#"{"state":"ON"}"#),
            ("brightness", Value::Number(40.0), r#"{"brightness":102}"#),
            ("brightness", Value::Number(0.1), r#"{"brightness":1}"#),
            ("color_temp", Value::Number(4000.0), r#"{"color_temp":250}"#),
            (
                "color",
                Value::text("red"),
                r##"{"color":{"hex":"#ff0000"}}"##,
            ),
            ("lock", Value::text("unlocked"), r#"{"state":"UNLOCK"}"#),
            ("position", Value::Number(0.0), r#"{"position":0}"#),
        ] {
            assert_eq!(encoded(&z2m(property), &value), to(payload));
        }
    }

    #[test]
    fn tasmota_receives_the_commands_it_documents() {
        let binding = tasmota("plug", &Property::Power, None);
        assert_eq!(
            encoded(&binding, &Value::text("off")),
            ("cmnd/plug/POWER".into(), "OFF".into())
        );
        assert_eq!(
            binding.decode("stat/plug/RESULT", &json!({"POWER": "ON"})),
            Some(value(Value::text("on")))
        );
        assert_eq!(
            binding.decode("tele/plug/STATE", &json!({"POWER": "OFF", "Uptime": 3})),
            Some(value(Value::text("off")))
        );
    }

    #[test]
    fn reported_state_is_decoded_to_the_vocabulary() {
        let reported = json!({"state": "ON", "brightness": 127, "color_temp": 370});
        let decoded = |property: &str| z2m(property).decode("zigbee2mqtt/Kitchen", &reported);
        assert_eq!(decoded("power"), Some(value(Value::text("on"))));
        assert_eq!(decoded("brightness"), Some(value(Value::Number(50.0))));
        assert_eq!(decoded("color_temp"), Some(value(Value::Number(2703.0))));
        assert_eq!(
            z2m("brightness").decode("zigbee2mqtt/Other", &reported),
            None
        );
        let red = json!({"color": {"x": 0.64, "y": 0.33, "hue": 0, "saturation": 100}});
        assert_eq!(
            z2m("color").decode("zigbee2mqtt/Kitchen", &red),
            Some(value(Value::text("#ff0000")))
        );
    }

    #[test]
    fn every_percentage_survives_encoding_and_decoding() {
        let binding = z2m("brightness");
        for percent in 0..=100 {
            let value = Value::Number(f64::from(percent));
            let wire = binding.codec.to_wire(&value).unwrap();
            assert_eq!(binding.codec.value_on_wire(&wire), Some(value));
        }
    }
}
