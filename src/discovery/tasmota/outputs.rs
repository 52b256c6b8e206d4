//! Capabilities of the outputs of a Tasmota device: relays, lights, shutters and the fan.

use crate::binding::template::Template;
use crate::binding::{Binding, Form, Port, PowerOn, Publication, Scale};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::announcement::AnnouncedDevice;
use crate::discovery::capabilities::{
    choice, field, linear, number, scaled, setting, whole_percent, words,
};
use crate::discovery::names;
use crate::discovery::tasmota::{DeviceConfig, MAX_OUTPUTS, TopicPrefix};

/// Types of outputs in the key `rl`.
const RELAY: u8 = 1;
const LIGHT: u8 = 2;
const SHUTTER: u8 = 3;

/// Speed at which a fan starts when it is turned on without one: the middle of three, as Home
/// Assistant does.
const DEFAULT_FAN_SPEED: &str = "2";

/// Addressing of the lights of one device.
#[derive(Debug, Clone, Copy, PartialEq)]
enum LightControl {
    /// One light with all channels.
    Whole,
    /// The colour channels of a device whose white is a light of its own.
    Color,
    /// The white channels of such a device.
    White,
    /// A single channel with this number.
    Channel(usize),
    /// A single PWM channel with this number, without the light driver (`SetOption15 0`).
    Pwm(usize),
    /// A light that can only be switched.
    Switch,
}

impl DeviceConfig {
    /// Returns the devices this one is to people: one per light, relay and shutter, and the fan.
    pub(super) fn devices(&self) -> Vec<AnnouncedDevice> {
        let outputs: Vec<(usize, u8)> = self
            .outputs
            .iter()
            .take(MAX_OUTPUTS)
            .copied()
            .enumerate()
            .filter(|(_, output)| *output != 0)
            .collect();
        let of_type = |wanted: u8| -> Vec<usize> {
            let matching = outputs.iter().filter(|(_, output)| *output == wanted);
            matching.map(|(index, _)| *index).collect()
        };
        let single = outputs.len() == 1;
        let mut devices = Vec::new();
        if self.fan == 1 {
            let capabilities = vec![self.fan_power(), self.fan_speed()];
            devices.extend(self.announced(self.device_name(), "fan", capabilities));
        }
        for index in of_type(RELAY) {
            devices.extend(self.relay(index, single));
        }
        let lights = of_type(LIGHT);
        for (nth, index) in lights.iter().enumerate() {
            let control = self.light_control(nth, lights.len());
            devices.extend(self.announced(
                self.light_name(*index),
                "light",
                self.light(*index, single, control),
            ));
        }
        for (nth, pair) in of_type(SHUTTER).chunks_exact(2).enumerate() {
            devices.extend(self.announced(self.output_name(pair[0]), "cover", self.shutter(nth)));
        }
        devices.sort_by_key(|device| device.device.kind.as_str() != "fan");
        devices
    }

    fn light_name(&self, index: usize) -> Option<String> {
        if self.fan == 1 && index == 0 {
            let of_device = self.device_name();
            let own = self.names.first().and_then(Option::as_deref);
            let own = own.and_then(names::clean).filter(|own| {
                // The name that Tasmota gives by default is no name for a lamp.
                Some(own) != of_device.as_ref() && !own.starts_with("Tasmota")
            });
            return own.or_else(|| of_device.map(|name| format!("{name} light")));
        }
        self.output_name(index)
    }

    /// Returns a relay as a switch, or as a light with `SetOption30`. The first relay of a fan
    /// controller is its lamp, the others switch the fan's speeds and are no devices.
    fn relay(&self, index: usize, single: bool) -> Option<AnnouncedDevice> {
        let power = vec![self.power(index, single)];
        if self.fan == 1 {
            if index > 0 {
                return None;
            }
            return self.announced(self.light_name(index), "light", power);
        }
        let kind = if self.has_set_option("30") {
            "light"
        } else {
            "switch"
        };
        self.announced(self.output_name(index), kind, power)
    }

    fn port(&self, command: &str) -> Port {
        Port {
            topic: format!("{}/{command}", self.topic(TopicPrefix::Command)).into(),
            form: Form::Raw,
        }
    }

    fn message(&self, command: &str, payload: &str) -> Publication {
        Publication::new(
            format!("{}/{command}", self.topic(TopicPrefix::Command)),
            payload,
        )
    }

    /// Returns where a value is reported: in the answer to a command, and in the telemetry message
    /// `report`. With `SetOption4` the answer's topic ends with the command instead of `RESULT`.
    fn reported(&self, answer: &str, report: &str, keys: &[&str]) -> Vec<Port> {
        let last = if self.has_set_option("4") {
            answer
        } else {
            "RESULT"
        };
        vec![
            field(&format!("{}/{last}", self.topic(TopicPrefix::Answer)), keys),
            field(
                &format!("{}/{report}", self.topic(TopicPrefix::Telemetry)),
                keys,
            ),
        ]
    }

    /// Returns the power of one output. A single output is `POWER` in commands, but reported as
    /// `POWER` or `POWER1`, depending on `SetOption26` and the version.
    fn power(&self, index: usize, single: bool) -> Capability {
        let numbered = format!("POWER{}", index + 1);
        let command = if single && index == 0 && !self.has_set_option("26") {
            "POWER"
        } else {
            numbered.as_str()
        };
        let mut keys = vec![command];
        if index == 0 {
            keys.extend(
                ["POWER", "POWER1"]
                    .into_iter()
                    .filter(|key| *key != command),
            );
        }
        let mut state = Vec::new();
        for key in keys {
            state.extend(self.reported(key, "STATE", &[key]));
            // The bare word is published there as well, which on this topic is told from the object
            // only by its form.
            if self.has_set_option("4") {
                state.push(Port {
                    topic: format!("{}/{key}", self.topic(TopicPrefix::Answer)).into(),
                    form: Form::Raw,
                });
            }
        }
        // Tasmota accepts ON and OFF whatever words it is set to report.
        let fixed = ["on", "off"]
            .map(|word| {
                (
                    Value::text(word),
                    self.message(command, &word.to_uppercase()),
                )
            })
            .to_vec();
        let codec = words(vec![
            (Value::text("on"), self.state_word(1, "ON").into()),
            (Value::text("off"), self.state_word(0, "OFF").into()),
        ]);
        let binding = Binding {
            fixed,
            codec,
            state,
            toggle: Some(self.message(command, "TOGGLE")),
            ..Binding::default()
        };
        setting(Property::Power, choice(&["on", "off"]), binding)
    }

    fn state_word(&self, index: usize, default: &str) -> String {
        let word = self.state.get(index).filter(|word| names::is_option(word));
        word.cloned().unwrap_or_else(|| default.to_owned())
    }

    fn light_control(&self, nth: usize, lights: usize) -> LightControl {
        let driver_off = self.set_options.contains_key("15") && !self.has_set_option("15");
        // `SetOption37` remaps channels; from 128 on it also separates white from colour.
        let separate = self.linked == 0 || self.set_option("37") >= 128.0;
        if self.channels == 0 || self.fan == 1 {
            LightControl::Switch
        } else if driver_off {
            LightControl::Pwm(nth + 1)
        } else if self.has_set_option("68") {
            LightControl::Channel(nth + 1)
        } else if separate && self.channels >= 4 && nth == 0 {
            LightControl::Color
        } else if separate && self.channels >= 4 && nth == 1 {
            LightControl::White
        } else if lights > 1 {
            LightControl::Channel(nth + 1)
        } else {
            LightControl::Whole
        }
    }

    fn light(&self, index: usize, single: bool, control: LightControl) -> Vec<Capability> {
        let mut capabilities = vec![self.power(index, single)];
        match control {
            LightControl::Switch => {}
            LightControl::Pwm(channel) => capabilities.push(self.pwm(channel)),
            LightControl::Channel(channel) => {
                let name = format!("Channel{channel}");
                capabilities.push(self.dimmer(&name, &name));
            }
            LightControl::Color => {
                capabilities.push(self.dimmer("Dimmer1", "Dimmer1"));
                capabilities.push(self.color("{{ value }}="));
            }
            LightControl::White => {
                capabilities.push(self.dimmer("Dimmer2", "Dimmer2"));
                if self.channels == 5 {
                    capabilities.push(self.color_temperature());
                }
            }
            LightControl::Whole => {
                // The microcontroller's dimmer is set by the third index and reported without one.
                let command = if self.tuya == 1 { "Dimmer3" } else { "Dimmer" };
                capabilities.push(self.dimmer(command, "Dimmer"));
                if matches!(self.channels, 2 | 5) {
                    capabilities.push(self.color_temperature());
                }
                if self.channels >= 3 {
                    capabilities.push(self.color("{{ value }}"));
                }
            }
        }
        // With SetOption20 a light that is off stays off when its brightness or colour is set.
        if self.has_set_option("20") {
            for capability in &mut capabilities[1..] {
                capability.binding.power_on = Some(PowerOn::After);
            }
        }
        capabilities
    }

    fn dimmer(&self, command: &str, key: &str) -> Capability {
        let binding = Binding {
            command: Some(self.port(command)),
            state: self.reported(&command.to_uppercase(), "STATE", &[key]),
            ..Binding::default()
        };
        setting(Property::Brightness, whole_percent(), binding)
    }

    fn pwm(&self, channel: usize) -> Capability {
        let name = format!("PWM{channel}");
        let binding = Binding {
            command: Some(self.port(&name)),
            state: self.reported(&name, "STATE", &["PWM", &name]),
            codec: linear((0.0, 1023.0)),
            ..Binding::default()
        };
        setting(Property::Brightness, whole_percent(), binding)
    }

    /// Returns the color temperature, in kelvins. `SetOption82` narrows its range to that of Alexa.
    fn color_temperature(&self) -> Capability {
        let (min, max) = if self.has_set_option("82") {
            (2632.0, 5000.0)
        } else {
            (2000.0, 6536.0)
        };
        let binding = Binding {
            command: Some(self.port("CT")),
            state: self.reported("CT", "STATE", &["CT"]),
            codec: scaled(Scale::Mired),
            ..Binding::default()
        };
        setting(Property::ColorTemp, number(min, max, "K"), binding)
    }

    /// Returns the color at the present brightness. Where `payload` ends with `=`, the channels it
    /// does not name keep their values. The state may be hexadecimal or decimal (`SetOption17`).
    fn color(&self, payload: &str) -> Capability {
        let template = Template::parse(payload).expect("both payloads of this module parse");
        let binding = Binding {
            command: Some(Port {
                form: Form::Template(template),
                ..self.port("Color2")
            }),
            state: self.reported("COLOR2", "STATE", &["Color"]),
            codec: scaled(Scale::Rgb),
            ..Binding::default()
        };
        setting(Property::Color, Domain::Color, binding)
    }

    /// Returns the power of a fan controller, which has no relay for the fan itself: speed 0 is
    /// off.
    fn fan_power(&self) -> Capability {
        let speeds = [("on", "2"), ("off", "0"), ("on", "1"), ("on", "3")];
        let fixed = vec![
            (
                Value::text("on"),
                self.message("FanSpeed", DEFAULT_FAN_SPEED),
            ),
            (Value::text("off"), self.message("FanSpeed", "0")),
        ];
        let binding = Binding {
            fixed,
            state: self.reported("FANSPEED", "STATE", &["FanSpeed"]),
            codec: words(
                speeds
                    .map(|(word, speed)| (Value::text(word), speed.into()))
                    .to_vec(),
            ),
            ..Binding::default()
        };
        setting(Property::Power, choice(&["on", "off"]), binding)
    }

    fn fan_speed(&self) -> Capability {
        let binding = Binding {
            command: Some(self.port("FanSpeed")),
            state: self.reported("FANSPEED", "STATE", &["FanSpeed"]),
            codec: linear((0.0, 3.0)),
            ..Binding::default()
        };
        setting(Property::Speed, whole_percent(), binding)
    }

    fn shutter(&self, nth: usize) -> Vec<Capability> {
        let number = nth + 1;
        let key = format!("Shutter{number}");
        let stop = Some(self.message(&format!("ShutterStop{number}"), ""));
        let options = self.shutter_options.get(nth).copied().unwrap_or(0);
        let range = if options & 1 == 1 {
            (100.0, 0.0)
        } else {
            (0.0, 100.0)
        };
        let position = Binding {
            command: Some(self.port(&format!("ShutterPosition{number}"))),
            state: self.reported("SHUTTERPOSITION", "SENSOR", &[&key, "Position"]),
            codec: linear(range),
            stop: stop.clone(),
            ..Binding::default()
        };
        let mut capabilities = vec![setting(Property::Position, whole_percent(), position)];
        let tilt = self.shutter_tilts.get(nth).copied();
        if let Some([from, to, _]) = tilt.filter(|[from, to, takes]| *takes > 0.0 && from < to) {
            let tilt = Binding {
                command: Some(self.port(&format!("ShutterTilt{number}"))),
                state: self.reported("SHUTTERPOSITION", "SENSOR", &[&key, "Tilt"]),
                codec: linear((from, to)),
                stop,
                ..Binding::default()
            };
            capabilities.push(setting(Property::Tilt, whole_percent(), tilt));
        }
        capabilities
    }
}
