//! Tasmota's own discovery: `tasmota/discovery/<mac>/config`, one message per device with all its relays, lights and shutters.
//! Source: Tasmota's `SetOption19 0` message and command list, November 2026.

use serde::Deserialize;
use serde_json::Value as Json;

use crate::binding::{Binding, Codec, Form, Port, Publication, Scale};
use crate::home::availability::{Availability, AvailabilityMode};
use crate::home::capability::Capability;
use crate::home::device::{Device, Kind};
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::{
    Found, Malformed, Message, Origin, choice, field, names, number, setting, whole_percent,
};

/// Where all Tasmota devices announce themselves.
pub const PREFIX: &str = "tasmota/discovery";

/// The longest announcement taken, in bytes. Real ones have under 1,500.
const LONGEST: usize = 64 * 1024;

/// Outputs of one device.
const MOST_OUTPUTS: usize = 32;

#[derive(Debug, Deserialize)]
struct Announced {
    mac: String,
    /// The topic.
    t: String,
    /// The full topic, with `%prefix%` and `%topic%` in it.
    ft: String,
    /// The three prefixes: command, answer, telemetry.
    tp: [String; 3],
    /// The device's name.
    #[serde(default)]
    dn: Option<String>,
    /// Its word for being reached.
    #[serde(default)]
    onln: Option<String>,
    /// Its last will.
    #[serde(default)]
    ofln: Option<String>,
    /// The outputs' names.
    #[serde(default, rename = "fn")]
    names: Vec<Option<String>>,
    /// What each output is: 1 a relay, 2 a light, 3 half of a shutter.
    #[serde(default)]
    rl: Vec<u8>,
    /// The words for off and on.
    #[serde(default)]
    state: Vec<String>,
    /// Set options.
    #[serde(default)]
    so: serde_json::Map<String, Json>,
    /// The kind of light: 1 white, 2 two whites, 3 colour, 4 colour and white, 5 colour and two whites.
    #[serde(default)]
    lt_st: u8,
    /// Set for a fan controller.
    #[serde(default, rename = "if")]
    fan: u8,
    /// Shutter options: bit 0 is inverted.
    #[serde(default)]
    sho: Vec<u32>,
    /// Shutter tilt: from, to, and how long it takes; 0 for none.
    #[serde(default)]
    sht: Vec<[f64; 3]>,
}

/// Reads a message below [`PREFIX`].
///
/// # Errors
/// When the payload is no announcement.
pub fn read(topic: &str, payload: &[u8]) -> Result<Message, Malformed> {
    let Some(rest) = topic
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_prefix('/'))
    else {
        return Ok(Message::Ignored("not a discovery topic"));
    };
    match rest.split_once('/') {
        Some((_, "config")) => {}
        Some((_, "sensors")) => return Ok(Message::Ignored("sensors are not read")),
        _ => return Ok(Message::Ignored("not a discovery topic")),
    }
    if payload.trim_ascii().is_empty() {
        return Ok(Message::Removed);
    }
    if payload.len() > LONGEST {
        return Err(Malformed::TooLong {
            found: payload.len(),
            most: LONGEST,
        });
    }
    let announced: Announced =
        serde_json::from_slice(payload).map_err(|e| Malformed::NotJson(e.to_string()))?;
    if !names::is_topic(&announced.topic(0)) {
        return Err(Malformed::BadTopic {
            key: "t".to_owned(),
        });
    }
    let found = announced.parts();
    Ok(if found.is_empty() {
        Message::Ignored("no relay, light or shutter")
    } else {
        Message::Announced(found)
    })
}

impl Announced {
    /// The device's topic with one of the prefixes, without a slash at its end.
    fn topic(&self, prefix: usize) -> String {
        let topic = self
            .ft
            .replace("%prefix%", &self.tp[prefix])
            .replace("%topic%", &self.t);
        topic.trim_end_matches('/').to_owned()
    }

    fn option(&self, number: &str) -> bool {
        self.so
            .get(number)
            .is_some_and(|value| value.as_f64().is_some_and(|n| n != 0.0))
    }

    fn command(&self, name: &str) -> Port {
        Port {
            topic: format!("{}/{name}", self.topic(0)),
            form: Form::Raw,
        }
    }

    fn says(&self, name: &str, payload: &str) -> Publication {
        Publication::new(format!("{}/{name}", self.topic(0)), payload)
    }

    /// Where a value is heard: in the answer to a command, and in the regular report.
    fn heard(&self, answer: &str, keys: &[&str]) -> Vec<Port> {
        // With SetOption4 the answer has the command's name.
        let last = if self.option("4") { answer } else { "RESULT" };
        vec![
            field(&format!("{}/{last}", self.topic(1)), keys),
            field(&format!("{}/STATE", self.topic(2)), keys),
        ]
    }

    fn parts(&self) -> Vec<Found> {
        let outputs: Vec<(usize, u8)> = self
            .rl
            .iter()
            .take(MOST_OUTPUTS)
            .copied()
            .enumerate()
            .filter(|(_, kind)| *kind != 0)
            .collect();
        let lights: Vec<usize> = outputs
            .iter()
            .filter(|(_, kind)| *kind == 2)
            .map(|(index, _)| *index)
            .collect();
        let mut found = Vec::new();
        if self.fan == 1 {
            found.extend(self.named(self.device_name(), "fan", vec![self.fan_speed()]));
        }
        for (index, kind) in &outputs {
            let power = if outputs.len() == 1 {
                "POWER".to_owned()
            } else {
                format!("POWER{}", index + 1)
            };
            found.extend(match kind {
                // A fan controller's first relay is its lamp, the others switch its speeds.
                1 if self.fan == 1 && *index == 0 => self.named(
                    self.device_name().map(|name| format!("{name} light")),
                    "light",
                    vec![self.power(&power)],
                ),
                1 if self.fan == 1 => None,
                1 => self.found(
                    *index,
                    if self.option("30") { "light" } else { "switch" },
                    vec![self.power(&power)],
                ),
                2 => self.found(
                    *index,
                    "light",
                    self.light(&power, lights.iter().position(|i| i == index), lights.len()),
                ),
                _ => None,
            });
        }
        let halves: Vec<usize> = outputs
            .iter()
            .filter(|(_, kind)| *kind == 3)
            .map(|(index, _)| *index)
            .collect();
        for (shutter, pair) in halves.chunks_exact(2).enumerate() {
            found.extend(self.found(pair[0], "cover", self.shutter(shutter)));
        }
        found
    }

    fn found(&self, index: usize, kind: &str, capabilities: Vec<Capability>) -> Option<Found> {
        let called = self.device_name();
        let own = self
            .names
            .get(index)
            .and_then(|name| names::clean(name.as_deref()?));
        let numbered = || {
            called.as_ref().map(|name| {
                if index == 0 {
                    name.clone()
                } else {
                    format!("{name} {}", index + 1)
                }
            })
        };
        self.named(own.or_else(numbered), kind, capabilities)
    }

    fn device_name(&self) -> Option<String> {
        self.dn.as_deref().and_then(names::clean)
    }

    fn named(
        &self,
        name: Option<String>,
        kind: &str,
        capabilities: Vec<Capability>,
    ) -> Option<Found> {
        let called = self.device_name();
        let name = name.or_else(|| names::clean(&self.t))?;
        let id = names::slug(&name).or_else(|| Slug::new(kind).ok())?;
        let mut device = Device {
            name,
            capabilities,
            availability: self.availability(),
            ..Device::new(id, Kind::new(Slug::new(kind).ok()?))
        };
        device.apply_default_guards();
        let unique = names::address(&self.mac);
        Some(Found {
            device,
            origin: Origin::Tasmota,
            unique,
            called,
            suggested_area: None,
            members: Vec::new(),
        })
    }

    /// Its last will.
    fn availability(&self) -> Availability {
        let word =
            |text: &Option<String>, usual: &str| Json::from(text.as_deref().unwrap_or(usual));
        let port = Port {
            topic: format!("{}/LWT", self.topic(2)),
            form: Form::Raw,
        };
        crate::discovery::availability(
            vec![(
                vec![port],
                [word(&self.onln, "Online"), word(&self.ofln, "Offline")],
            )],
            AvailabilityMode::All,
        )
    }

    fn power(&self, command: &str) -> Capability {
        let word = |index: usize, usual: &str| {
            self.state
                .get(index)
                .filter(|w| names::is_option(w))
                .map_or_else(|| usual.to_owned(), Clone::clone)
        };
        // Tasmota takes ON and OFF always, and tells what it was set to tell.
        let fixed = ["on", "off"]
            .map(|word| (Value::text(word), self.says(command, &word.to_uppercase())))
            .to_vec();
        let codec = Codec {
            words: vec![
                (Value::text("on"), word(1, "ON").into()),
                (Value::text("off"), word(0, "OFF").into()),
            ],
            scale: Scale::MappedOnly,
        };
        let toggle = Some(self.says(command, "TOGGLE"));
        setting(
            Property::Power,
            choice(&["on", "off"]),
            Binding {
                fixed,
                codec,
                toggle,
                state: self.heard(command, &[command]),
                ..Binding::default()
            },
        )
    }

    fn light(&self, power: &str, nth: Option<usize>, lights: usize) -> Vec<Capability> {
        // Several lights on one device are single channels, dimmed each by its own command.
        let dimmer = if lights > 1 {
            format!("Channel{}", nth.unwrap_or(0) + 1)
        } else {
            "Dimmer".to_owned()
        };
        let binding = Binding {
            command: Some(self.command(&dimmer)),
            state: self.heard(&dimmer.to_uppercase(), &[&dimmer]),
            ..Binding::default()
        };
        let mut capabilities = vec![
            self.power(power),
            setting(Property::Brightness, whole_percent(), binding),
        ];
        if lights > 1 {
            return capabilities;
        }
        if matches!(self.lt_st, 2 | 5) {
            // SetOption82 narrows the range to that of Alexa.
            let (min, max) = if self.option("82") {
                (2632.0, 5000.0)
            } else {
                (2000.0, 6536.0)
            };
            let codec = Codec {
                words: Vec::new(),
                scale: Scale::Mired,
            };
            let binding = Binding {
                command: Some(self.command("CT")),
                state: self.heard("CT", &["CT"]),
                codec,
                ..Binding::default()
            };
            capabilities.push(setting(Property::ColorTemp, number(min, max, "K"), binding));
        }
        if self.lt_st >= 3 {
            let codec = Codec {
                words: Vec::new(),
                scale: Scale::Hex,
            };
            let binding = Binding {
                command: Some(self.command("Color")),
                state: self.heard("COLOR", &["Color"]),
                codec,
                ..Binding::default()
            };
            capabilities.push(setting(Property::Color, Domain::Color, binding));
        }
        capabilities
    }

    fn fan_speed(&self) -> Capability {
        let codec = Codec {
            words: Vec::new(),
            scale: Scale::Linear {
                from: (0.0, 100.0),
                to: (0.0, 3.0),
            },
        };
        let binding = Binding {
            command: Some(self.command("FanSpeed")),
            state: self.heard("FANSPEED", &["FanSpeed"]),
            codec,
            ..Binding::default()
        };
        setting(Property::Speed, whole_percent(), binding)
    }

    fn shutter(&self, index: usize) -> Vec<Capability> {
        let number_of = index + 1;
        let key = format!("Shutter{number_of}");
        let stop = Some(self.says(&format!("ShutterStop{number_of}"), ""));
        let heard = |what: &str| {
            let last = if self.option("4") {
                "SHUTTERPOSITION"
            } else {
                "RESULT"
            };
            vec![
                field(&format!("{}/{last}", self.topic(1)), &[&key, what]),
                field(&format!("{}/SENSOR", self.topic(2)), &[&key, what]),
            ]
        };
        let inverted = self.sho.get(index).is_some_and(|options| options & 1 != 0);
        let range = if inverted { (100.0, 0.0) } else { (0.0, 100.0) };
        let linear = |to| Codec {
            words: Vec::new(),
            scale: Scale::Linear {
                from: (0.0, 100.0),
                to,
            },
        };
        let position = Binding {
            command: Some(self.command(&format!("ShutterPosition{number_of}"))),
            state: heard("Position"),
            codec: linear(range),
            stop: stop.clone(),
            ..Binding::default()
        };
        let mut capabilities = vec![setting(Property::Position, whole_percent(), position)];
        if let Some([from, to, _]) = self
            .sht
            .get(index)
            .copied()
            .filter(|[from, to, takes]| *takes > 0.0 && from < to)
        {
            let command = Some(self.command(&format!("ShutterTilt{number_of}")));
            let tilt = Binding {
                command,
                state: heard("Tilt"),
                codec: linear((from, to)),
                stop,
                ..Binding::default()
            };
            capabilities.push(setting(Property::Tilt, whole_percent(), tilt));
        }
        capabilities
    }
}
