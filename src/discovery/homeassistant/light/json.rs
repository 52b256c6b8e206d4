//! Lights that take and report one JSON object.

use serde_json::{Value as Json, json};

use crate::binding::color::ColorSpace;
use crate::binding::{Binding, Form, Port, Publication};
use crate::home::capability::Capability;
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::announcement::InvalidAnnouncement;
use crate::discovery::capabilities::{choice, field, setting, words};
use crate::discovery::homeassistant::config::{EntityConfig, command_template};
use crate::discovery::homeassistant::light::properties::{
    DEFAULT_BRIGHTNESS_SCALE, Ports, add_white, brightness, color, color_temperature,
};

/// Topics of a JSON light.
struct JsonLight {
    command_topic: SharedStr,
    state_topic: Option<SharedStr>,
}

pub(super) fn light(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let command_topic = config.topic("command_topic")?;
    let light = JsonLight {
        command_topic: command_topic.ok_or(InvalidAnnouncement::Missing("command_topic"))?,
        state_topic: config.topic("state_topic")?,
    };
    let modes = config.list("supported_color_modes");
    let has = |mode: &str| config.bool(mode, false) || modes.iter().any(|m| m == mode);
    let mut capabilities = vec![light.power()];
    let dimmable = config.bool("brightness", false) || modes.iter().any(|mode| mode != "onoff");
    if dimmable {
        let ports = light.ports(r#""brightness":{{ value }}"#, "brightness")?;
        let off = light.message(&json!({"state": "OFF"}));
        capabilities.push(brightness(config, ports, Some(off)));
    }
    if has("color_temp") {
        let ports = light.ports(r#""color_temp":{{ value }}"#, "color_temp")?;
        capabilities.push(color_temperature(config, ports));
    }
    if let Some((space, components)) = color_object(&has) {
        let ports = light.ports(&format!(r#""color":{{{components}}}"#), "color")?;
        let mut color = color(ports, space);
        let scale = config.number("white_scale");
        if has("white") {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "scales of lights are far below 2^53; a float cast saturates"
            )]
            let white = scale.unwrap_or(DEFAULT_BRIGHTNESS_SCALE).round() as i64;
            add_white(
                &mut color,
                &light.message(&json!({"state": "ON", "white": white})),
            );
        }
        capabilities.push(color);
    }
    let effects = config.list("effect_list");
    if config.bool("effect", !effects.is_empty()) && !effects.is_empty() {
        capabilities.push(light.effect(effects));
    }
    Ok(capabilities)
}

impl JsonLight {
    fn message(&self, payload: &Json) -> Publication {
        Publication::new(self.command_topic.clone(), payload.to_string())
    }

    fn state(&self, key: &str) -> Vec<Port> {
        let topic = self.state_topic.iter();
        topic.map(|topic| field(topic, &[key])).collect()
    }

    /// Returns the ports of a property. Its payload turns the light on as well, because most lights
    /// ignore a brightness while they are off.
    fn ports(&self, payload: &str, key: &str) -> Result<Ports, InvalidAnnouncement> {
        let text = format!(r#"{{"state":"ON",{payload}}}"#);
        Ok(Ports {
            command: Port {
                topic: self.command_topic.clone(),
                form: Form::Template(command_template(key, "", &text)?),
            },
            state: self.state(key),
        })
    }

    fn power(&self) -> Capability {
        let pairs = [("on", "ON"), ("off", "OFF")];
        let binding = Binding {
            fixed: pairs
                .map(|(word, payload)| {
                    (Value::text(word), self.message(&json!({"state": payload})))
                })
                .to_vec(),
            state: self.state("state"),
            codec: words(
                pairs
                    .map(|(word, payload)| (Value::text(word), Json::from(payload)))
                    .to_vec(),
            ),
            ..Binding::default()
        };
        setting(Property::Power, choice(&["on", "off"]), binding)
    }

    fn effect(&self, effects: Vec<String>) -> Capability {
        let mut fixed = Vec::new();
        let mut pairs = Vec::new();
        for effect in &effects {
            let message = self.message(&json!({"state": "ON", "effect": effect}));
            fixed.push((Value::text(effect), message));
            pairs.push((Value::text(effect), Json::from(effect.as_str())));
        }
        let binding = Binding {
            fixed,
            state: self.state("effect"),
            codec: words(pairs),
            ..Binding::default()
        };
        setting("effect".into(), Domain::Choice(effects), binding)
    }
}

/// Returns the color space and the content of the `color` object. White channels are turned off by
/// a color.
fn color_object(has: &dyn Fn(&str) -> bool) -> Option<(ColorSpace, &'static str)> {
    const RGB: &str = r#""r":{{ value[0] }},"g":{{ value[1] }},"b":{{ value[2] }}"#;
    const RGBW: &str = r#""r":{{ value[0] }},"g":{{ value[1] }},"b":{{ value[2] }},"w":0"#;
    const RGBWW: &str = r#""r":{{ value[0] }},"g":{{ value[1] }},"b":{{ value[2] }},"c":0,"w":0"#;
    const HS: &str = r#""h":{{ value[0] }},"s":{{ value[1] }}"#;
    const XY: &str = r#""x":{{ value[0] }},"y":{{ value[1] }}"#;
    const MODES: [(&str, ColorSpace, &str); 5] = [
        ("rgb", ColorSpace::Rgb, RGB),
        ("rgbw", ColorSpace::Rgb, RGBW),
        ("rgbww", ColorSpace::Rgb, RGBWW),
        ("hs", ColorSpace::HueSaturation, HS),
        ("xy", ColorSpace::Xy, XY),
    ];
    let supported = MODES.into_iter().find(|(mode, ..)| has(mode))?;
    Some((supported.1, supported.2))
}
