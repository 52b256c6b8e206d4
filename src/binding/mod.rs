//! The way to a device: topics, payloads, and the translation between the vocabulary's values and the device's own.
//! Pure data, so that what comes from `home.toml` and what comes from discovery are one and the same.

pub mod color;
pub mod jinja;
pub mod template;
pub mod template_sandbox;
use serde_json::{Map, Value as Json};

use crate::binding::color::{Space, rgb};
use crate::binding::template::{Template, plain};
use crate::vocabulary::{Property, Value};

/// A message to a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Publication {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: String,
}

impl Publication {
    /// A message.
    pub fn new(topic: impl Into<String>, payload: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
        }
    }
}

/// How one capability is told its device, and heard from it. The default is none: `sayso/action/<device>` then.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Binding {
    /// Where a value is sent, and in what form.
    pub command: Option<Port>,
    /// Where the state is heard: often one topic, for Tasmota two.
    pub state: Vec<Port>,
    /// The device's own values.
    pub codec: Codec,
    /// Values that have a whole message of their own: what is told on several topics, or told and heard in other words.
    /// Looked up before `command`.
    pub fixed: Vec<(Value, Publication)>,
    /// What stops it where it is, for what moves.
    pub stop: Option<Publication>,
    /// What toggles it, used only while its state is unknown.
    pub toggle: Option<Publication>,
}

/// A topic, and the form of the payload there.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// The topic.
    pub topic: String,
    /// The form.
    pub form: Form,
}

/// The form of a payload.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// The value alone.
    Raw,
    /// A JSON object with the value under these keys: `["color", "hex"]`.
    Field(Vec<String>),
    /// A template.
    Template(Template),
}

/// The translation between the vocabulary's value and the device's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Codec {
    /// Values with a wire value of their own: `on` ↔ `"ON"`. Looked up first. Several wire values may stand for one
    /// value: the first is sent, all are understood.
    pub words: Vec<(Value, Json)>,
    /// What happens to the rest.
    pub scale: Scale,
}

/// The translation of values that have no word of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Scale {
    /// As it is.
    #[default]
    Same,
    /// From the first range to the second, rounded to whole numbers on the wire: `[0, 100] → [0, 254]`.
    Linear {
        /// The vocabulary's range.
        from: (f64, f64),
        /// The device's.
        to: (f64, f64),
    },
    /// Kelvin ↔ mired (10⁶ / K).
    Mired,
    /// °C ↔ °F.
    Fahrenheit {
        /// What the device counts in, in °F: 0.1, 0.5 or 1.
        grain: f64,
    },
    /// Nothing: there are the words and no more.
    Nothing,
    /// A colour as a list of numbers.
    Parts(Space),
    /// A colour as `#rrggbb`.
    Hex,
    /// A colour as `r,g,b`, each 0–255.
    Rgb,
}

impl Codec {
    /// The device's value for ours.
    pub fn to_wire(&self, value: &Value) -> Option<Json> {
        if let Some((_, wire)) = self.words.iter().find(|(ours, _)| ours == value) {
            return Some(wire.clone());
        }
        match (self.scale, value) {
            (Scale::Same, other) => serde_json::to_value(other).ok(),
            (Scale::Linear { from, to }, Value::Number(n)) => whole(stretch(*n, from, to)),
            (Scale::Mired, Value::Number(kelvin)) if *kelvin > 0.0 => whole(1e6 / kelvin),
            (Scale::Fahrenheit { grain }, Value::Number(celsius)) => {
                tenth(((celsius * 1.8 + 32.0) / grain).round() * grain)
            }
            (Scale::Parts(space), Value::Text(color)) => Some(space.parts(rgb(color)?)),
            (Scale::Hex, Value::Text(color)) => Some(Json::String(
                rgb(color).map(|[r, g, b]| format!("#{r:02x}{g:02x}{b:02x}"))?,
            )),
            (Scale::Rgb, Value::Text(color)) => Some(Json::String(
                rgb(color).map(|[r, g, b]| format!("{r},{g},{b}"))?,
            )),
            _ => None,
        }
    }

    /// Our value for the device's.
    pub fn from_wire(&self, wire: &Json) -> Option<Value> {
        if let Some((ours, _)) = self
            .words
            .iter()
            .find(|(_, theirs)| same_on_wire(theirs, wire))
        {
            return Some(ours.clone());
        }
        match self.scale {
            Scale::Same => match wire {
                Json::Bool(b) => Some(Value::Flag(*b)),
                Json::Number(n) => n.as_f64().map(Value::Number),
                Json::String(text) => Some(
                    text.trim()
                        .parse()
                        .ok()
                        .filter(|n: &f64| n.is_finite())
                        .map_or_else(|| Value::text(text), Value::Number),
                ),
                _ => None,
            },
            Scale::Linear { from, to } => {
                number(wire).map(|n| Value::Number(stretch(n, to, from).round()))
            }
            Scale::Mired => number(wire)
                .filter(|n| *n > 0.0)
                .map(|mired| Value::Number((1e6 / mired).round())),
            Scale::Fahrenheit { .. } => {
                number(wire).map(|n| Value::Number((((n - 32.0) / 1.8) * 10.0).round() / 10.0))
            }
            Scale::Nothing => None,
            Scale::Hex | Scale::Rgb => color::heard(wire, Space::Rgb).map(spelled),
            Scale::Parts(space) => color::heard(wire, space).map(spelled),
        }
    }
}

fn whole(n: f64) -> Option<Json> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "device ranges are far below 2^53; a float cast saturates"
    )]
    n.is_finite().then(|| Json::from(n.round() as i64))
}

fn tenth(n: f64) -> Option<Json> {
    let tenths = (n * 10.0).round();
    if tenths % 10.0 == 0.0 {
        whole(tenths / 10.0)
    } else {
        Some(Json::from(tenths / 10.0))
    }
}

fn spelled([r, g, b]: [u8; 3]) -> Value {
    Value::Text(format!("#{r:02x}{g:02x}{b:02x}"))
}

fn stretch(n: f64, from: (f64, f64), to: (f64, f64)) -> f64 {
    let span = from.1 - from.0;
    if span == 0.0 {
        to.0
    } else {
        to.0 + (n - from.0) / span * (to.1 - to.0)
    }
}

fn number(wire: &Json) -> Option<f64> {
    wire.as_f64()
        .or_else(|| wire.as_str()?.trim().parse().ok())
        .filter(|n| n.is_finite())
}

/// A word on the wire may come in another case, or as a string where a number or boolean was declared.
fn same_on_wire(declared: &Json, heard: &Json) -> bool {
    declared == heard || plain(declared).eq_ignore_ascii_case(&plain(heard))
}

impl Binding {
    /// The message that makes the capability `value`; `None` where the device has no such value.
    pub fn encode(&self, value: &Value) -> Option<Publication> {
        if let Some((_, message)) = self.fixed.iter().find(|(ours, _)| ours == value) {
            return Some(message.clone());
        }
        let port = self.command.as_ref()?;
        let wire = self.codec.to_wire(value)?;
        let payload = match &port.form {
            Form::Raw => plain(&wire),
            Form::Field(path) => path
                .iter()
                .rev()
                .fold(wire, |inner, key| {
                    Json::Object(Map::from_iter([(key.clone(), inner)]))
                })
                .to_string(),
            Form::Template(template) => template.fill(&wire)?,
        };
        Some(Publication::new(port.topic.as_str(), payload))
    }

    /// The value heard on `topic`, where the payload tells it.
    pub fn decode(&self, topic: &str, heard: &Json) -> Option<Value> {
        let ports = self.state.iter().filter(|port| port.topic == topic);
        ports.into_iter().find_map(|port| match &port.form {
            Form::Raw => self.codec.from_wire(heard),
            Form::Field(path) => self
                .codec
                .from_wire(path.iter().try_fold(heard, |json, key| json.get(key))?),
            Form::Template(template) => {
                self.codec.from_wire(&Json::String(template.render(heard)?))
            }
        })
    }
}

fn words(pairs: &[(&str, &str)]) -> Vec<(Value, Json)> {
    pairs
        .iter()
        .map(|(ours, theirs)| (Value::text(ours), Json::from(*theirs)))
        .collect()
}

/// `Zigbee2MQTT`: one JSON object at `<base>/<name>/set`, the state at `<base>/<name>`.
/// `field` overrides the key. Source: its device pages, November 2026.
pub fn zigbee2mqtt(base: &str, name: &str, property: &Property, field: Option<&str>) -> Binding {
    use Property as P;
    let linear = |max| Scale::Linear {
        from: (0.0, 100.0),
        to: (0.0, max),
    };
    let (key, words, scale): (&str, _, _) = match property {
        P::Power => ("state", words(&[("on", "ON"), ("off", "OFF")]), Scale::Same),
        P::Brightness => ("brightness", vec![], linear(254.0)),
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
    // A colour is taken as hex, but told as hue and saturation or as x and y.
    let mut told = path.clone();
    told.pop_if(|last| last == "hex");
    let set = format!("{base}/{name}/set");
    let state = |word: &str| {
        Some(Publication::new(
            set.as_str(),
            format!(r#"{{"state":"{word}"}}"#),
        ))
    };
    Binding {
        stop: if matches!(property, P::Position | P::Tilt) {
            state("STOP")
        } else {
            None
        },
        toggle: if matches!(property, P::Power) && field.is_none() {
            state("TOGGLE")
        } else {
            None
        },
        command: Some(Port {
            topic: set,
            form: Form::Field(path.clone()),
        }),
        state: vec![Port {
            topic: format!("{base}/{name}"),
            form: Form::Field(told),
        }],
        codec: Codec { words, scale },
        fixed: Vec::new(),
    }
}

/// Tasmota: `cmnd/<topic>/<Command>`, answered on `stat/<topic>/RESULT` and told regularly on `tele/<topic>/STATE`.
/// `field` overrides the command's name. Source: Tasmota's command list, November 2026.
pub fn tasmota(topic: &str, property: &Property, field: Option<&str>) -> Binding {
    use Property as P;
    let whole = |top| Scale::Linear {
        from: (0.0, 100.0),
        to: (0.0, top),
    };
    let (command, words, scale): (&str, _, _) = match property {
        P::Power => ("POWER", words(&[("on", "ON"), ("off", "OFF")]), Scale::Same),
        P::Brightness => ("Dimmer", vec![], whole(100.0)),
        P::Color => ("Color", vec![], Scale::Hex),
        P::ColorTemp => ("CT", vec![], Scale::Mired),
        P::Position => ("ShutterPosition", vec![], whole(100.0)),
        P::Tilt => ("ShutterTilt", vec![], Scale::Same),
        P::Temperature => ("ThermostatSet", vec![], Scale::Same),
        P::Speed => ("FanSpeed", vec![], whole(3.0)),
        P::Volume => ("I2SVol", vec![], whole(100.0)),
        other => (other.name(), vec![], Scale::Same),
    };
    let command = field.unwrap_or(command);
    let told = if matches!(property, P::Position) && field.is_none() {
        vec!["Shutter1".to_owned(), "Position".to_owned()]
    } else {
        vec![command.to_owned()]
    };
    let hear = |kind: &str, last: &str| Port {
        topic: format!("{kind}/{topic}/{last}"),
        form: Form::Field(told.clone()),
    };
    let tell = |command: &str, payload: &str| {
        Some(Publication::new(format!("cmnd/{topic}/{command}"), payload))
    };
    Binding {
        stop: if matches!(property, P::Position | P::Tilt) {
            tell("ShutterStop", "")
        } else {
            None
        },
        toggle: if matches!(property, P::Power) {
            tell(command, "TOGGLE")
        } else {
            None
        },
        state: vec![hear("stat", "RESULT"), hear("tele", "STATE")],
        command: Some(Port {
            topic: format!("cmnd/{topic}/{command}"),
            form: Form::Raw,
        }),
        codec: Codec { words, scale },
        fixed: Vec::new(),
    }
}

/// A device that speaks sayso's own words: it listens on `<prefix>/action/<device>` and may tell its state as one JSON
/// object of property → value on `<prefix>/state/<device>`.
pub fn own(prefix: &str, device: &str, property: &Property) -> Binding {
    let form = Form::Field(vec![property.name().to_owned()]);
    Binding {
        state: vec![Port {
            topic: format!("{prefix}/state/{device}"),
            form,
        }],
        ..Binding::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn z2m(property: &str) -> Binding {
        zigbee2mqtt("zigbee2mqtt", "Kitchen", &property.into(), None)
    }

    fn sends(link: &Binding, value: &Value) -> (String, String) {
        let p = link.encode(value).unwrap();
        (p.topic, p.payload)
    }

    #[test]
    fn zigbee2mqtt_hears_what_it_expects() {
        let to = |payload: &str| ("zigbee2mqtt/Kitchen/set".to_owned(), payload.to_owned());
        assert_eq!(
            sends(&z2m("power"), &Value::text("on")),
            to(r#"{"state":"ON"}"#)
        );
        assert_eq!(
            sends(&z2m("brightness"), &Value::Number(40.0)),
            to(r#"{"brightness":102}"#)
        );
        assert_eq!(
            sends(&z2m("color_temp"), &Value::Number(4000.0)),
            to(r#"{"color_temp":250}"#)
        );
        assert_eq!(
            sends(&z2m("color"), &Value::text("red")),
            to(r##"{"color":{"hex":"#ff0000"}}"##)
        );
        assert_eq!(
            sends(&z2m("lock"), &Value::text("unlocked")),
            to(r#"{"state":"UNLOCK"}"#)
        );
        assert_eq!(
            sends(&z2m("position"), &Value::Number(0.0)),
            to(r#"{"position":0}"#)
        );
    }

    #[test]
    fn tasmota_hears_what_it_expects() {
        let link = tasmota("plug", &Property::Power, None);
        assert_eq!(
            sends(&link, &Value::text("off")),
            ("cmnd/plug/POWER".into(), "OFF".into())
        );
        assert_eq!(
            link.decode("stat/plug/RESULT", &json!({"POWER": "ON"})),
            Some(Value::text("on"))
        );
        assert_eq!(
            link.decode("tele/plug/STATE", &json!({"POWER": "OFF", "Uptime": 3})),
            Some(Value::text("off"))
        );
    }

    #[test]
    fn state_comes_back_in_our_words() {
        let heard = json!({"state": "ON", "brightness": 127, "color_temp": 370});
        assert_eq!(
            z2m("power").decode("zigbee2mqtt/Kitchen", &heard),
            Some(Value::text("on"))
        );
        assert_eq!(
            z2m("brightness").decode("zigbee2mqtt/Kitchen", &heard),
            Some(Value::Number(50.0))
        );
        assert_eq!(
            z2m("color_temp").decode("zigbee2mqtt/Kitchen", &heard),
            Some(Value::Number(2703.0))
        );
        assert_eq!(z2m("brightness").decode("zigbee2mqtt/Other", &heard), None);
        assert_eq!(
            z2m("brightness").decode("zigbee2mqtt/Kitchen", &json!({"brightness": null})),
            None
        );
        let red = json!({"color": {"x": 0.64, "y": 0.33, "hue": 0, "saturation": 100}});
        assert_eq!(
            z2m("color").decode("zigbee2mqtt/Kitchen", &red),
            Some(Value::text("#ff0000"))
        );
    }

    #[test]
    fn a_value_with_a_message_of_its_own_is_sent_so() {
        let dock = Publication::new("mower/dock", "home");
        let link = Binding {
            fixed: vec![(Value::text("docked"), dock.clone())],
            ..Binding::default()
        };
        assert_eq!(link.encode(&Value::text("docked")), Some(dock));
        assert_eq!(link.encode(&Value::text("mowing")), None);
    }

    #[test]
    fn fahrenheit_is_told_on_the_devices_grain() {
        let codec = Codec {
            words: vec![],
            scale: Scale::Fahrenheit { grain: 0.1 },
        };
        assert_eq!(codec.to_wire(&Value::Number(20.0)), Some(json!(68)));
        assert_eq!(codec.to_wire(&Value::Number(21.5)), Some(json!(70.7)));
        assert_eq!(codec.from_wire(&json!("70.7")), Some(Value::Number(21.5)));
        let whole = Codec {
            words: vec![],
            scale: Scale::Fahrenheit { grain: 1.0 },
        };
        assert_eq!(whole.to_wire(&Value::Number(21.5)), Some(json!(71)));
    }

    #[test]
    fn every_percent_survives_the_way_to_zigbee_and_back() {
        let link = z2m("brightness");
        for percent in 0..=100 {
            let value = Value::Number(f64::from(percent));
            let wire = link.codec.to_wire(&value).unwrap();
            assert_eq!(link.codec.from_wire(&wire), Some(value));
        }
    }
}
