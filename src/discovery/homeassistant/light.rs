//! Lights, in the three schemas they are announced in: one topic per property (`basic`), one JSON object (`json`),
//! and templates that write everything (`template`).

use serde_json::{Map, Value as Json, json};

use crate::binding::color::ColorSpace;
use crate::binding::{Binding, Codec, Form, Port, Publication, Scale};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::homeassistant::config::{Config, template};
use crate::discovery::homeassistant::simple::{ON_OFF, percent, switched};
use crate::discovery::{Malformed, field, number, setting};

pub(super) fn light(config: &Config) -> Result<Vec<Capability>, Malformed> {
    match config.text("schema").as_deref() {
        Some("json") => in_json(config),
        Some("template") => in_templates(config),
        _ => basic(config),
    }
}

/// Which spaces of colour an announcement may use, in the order we prefer them: the key's stem and its parts' names.
const SPACES: [(ColorSpace, &str, &[&str]); 3] = [
    (ColorSpace::Rgb, "rgb", &["red", "green", "blue"]),
    (ColorSpace::HueSaturation, "hs", &["hue", "sat"]),
    (ColorSpace::Xy, "xy", &["x", "y"]),
];

fn basic(config: &Config) -> Result<Vec<Capability>, Malformed> {
    let ports = [
        ["command_topic", "command_template"],
        ["state_topic", "state_value_template"],
    ];
    let power = switched(config, Property::Power, ["on", "off"], ports, &ON_OFF)?;
    let off = power.binding.encode(&Value::text("off"));
    let mut capabilities = vec![power];
    if let Some(command) =
        config.tells("brightness_command_topic", "brightness_command_template")?
    {
        let state = config.hears("brightness_state_topic", "brightness_value_template")?;
        capabilities.push(brightness(config, command, state, off));
    }
    if let Some(command) =
        config.tells("color_temp_command_topic", "color_temp_command_template")?
    {
        capabilities.push(color_temp(
            config,
            command,
            config.hears("color_temp_state_topic", "color_temp_value_template")?,
        ));
    }
    for (space, stem, parts) in SPACES {
        let key = |end: &str| format!("{stem}_{end}");
        let Some(topic) = config.topic(&key("command_topic"))? else {
            continue;
        };
        let set = |(index, name): (usize, &&str)| format!("{{% set {name} = value[{index}] %}}");
        let names = parts
            .iter()
            .enumerate()
            .map(set)
            .collect::<Vec<_>>()
            .concat();
        let text = config
            .source(&key("command_template"))?
            .unwrap_or("{{ value }}");
        let form = Form::Template(template(
            &key("command_template"),
            &format!("{names}{{% set value = value | join(',') %}}{text}"),
        )?);
        let state = config.hears(&key("state_topic"), &key("value_template"))?;
        capabilities.push(color(Port { topic, form }, state, space));
        break;
    }
    let effects = config.list("effect_list");
    if !effects.is_empty() && config.get("effect_command_topic").is_some() {
        let binding = config.options(
            &effects,
            ["effect_command_topic", "effect_command_template"],
            ["effect_state_topic", "effect_value_template"],
        )?;
        capabilities.push(setting("effect".into(), Domain::Choice(effects), binding));
    }
    Ok(capabilities)
}

fn brightness(
    config: &Config,
    command: Port,
    state: Vec<Port>,
    off: Option<Publication>,
) -> Capability {
    let top = config
        .number("brightness_scale")
        .filter(|top| *top > 0.0)
        .unwrap_or(255.0);
    let codec = Codec {
        words: Vec::new(),
        scale: Scale::Linear {
            from: (0.0, 100.0),
            to: (0.0, top),
        },
    };
    // Not every light takes a brightness of 0 for off.
    let fixed = off
        .map(|off| (Value::Number(0.0), off))
        .into_iter()
        .collect();
    setting(
        Property::Brightness,
        percent(),
        Binding {
            command: Some(command),
            state,
            codec,
            fixed,
            ..Binding::default()
        },
    )
}

fn color_temp(config: &Config, command: Port, state: Vec<Port>) -> Capability {
    let kelvin = |key: &str| config.number(key).filter(|k| *k > 0.0);
    let mired = |key: &str| kelvin(key).map(|mired| (1e6 / mired).round());
    // Two unfit limits are none: the range of Home Assistant's defaults.
    let limits = (
        kelvin("min_kelvin")
            .or_else(|| mired("max_mireds"))
            .unwrap_or(2000.0),
        kelvin("max_kelvin")
            .or_else(|| mired("min_mireds"))
            .unwrap_or(6535.0),
    );
    let (min, max) = if limits.0 < limits.1 {
        limits
    } else {
        (2000.0, 6535.0)
    };
    let scale = if config.flag("color_temp_kelvin", false) {
        Scale::Linear {
            from: (0.0, 1.0),
            to: (0.0, 1.0),
        }
    } else {
        Scale::Mired
    };
    let binding = Binding {
        command: Some(command),
        state,
        codec: Codec {
            words: Vec::new(),
            scale,
        },
        ..Binding::default()
    };
    setting(Property::ColorTemp, number(min, max, "K"), binding)
}

fn color(command: Port, state: Vec<Port>, space: ColorSpace) -> Capability {
    let codec = Codec {
        words: Vec::new(),
        scale: Scale::Components(space),
    };
    setting(
        Property::Color,
        Domain::Color,
        Binding {
            command: Some(command),
            state,
            codec,
            ..Binding::default()
        },
    )
}

/// A payload that turns the light on with something more: most lights ignore a brightness while they are off.
fn lit(topic: &str, more: &str) -> Result<Port, Malformed> {
    let form = Form::Template(template(
        "command_template",
        &format!(r#"{{"state":"ON",{more}}}"#),
    )?);
    Ok(Port {
        topic: topic.to_owned(),
        form,
    })
}

fn in_json(config: &Config) -> Result<Vec<Capability>, Malformed> {
    let Some(topic) = config.topic("command_topic")? else {
        return Err(Malformed::Missing("command_topic"));
    };
    let told = config.topic("state_topic")?;
    let hears = |key: &str| told.iter().map(|t| field(t, &[key])).collect::<Vec<_>>();
    let says = |state: &str| Publication::new(topic.as_str(), json!({"state": state}).to_string());
    let modes = config.list("supported_color_modes");
    let has = |flag: &str| config.flag(flag, false) || modes.iter().any(|m| m == flag);
    let words = [("on", "ON"), ("off", "OFF")];
    let power = Binding {
        fixed: words
            .map(|(ours, theirs)| (Value::text(ours), says(theirs)))
            .to_vec(),
        state: hears("state"),
        codec: Codec {
            words: words
                .map(|(ours, theirs)| (Value::text(ours), Json::from(theirs)))
                .to_vec(),
            scale: Scale::MappedOnly,
        },
        ..Binding::default()
    };
    let mut capabilities = vec![setting(
        Property::Power,
        crate::discovery::choice(&["on", "off"]),
        power,
    )];
    if config.flag("brightness", false) || modes.iter().any(|mode| mode != "onoff") {
        capabilities.push(brightness(
            config,
            lit(&topic, r#""brightness":{{ value }}"#)?,
            hears("brightness"),
            Some(says("OFF")),
        ));
    }
    if has("color_temp") {
        capabilities.push(color_temp(
            config,
            lit(&topic, r#""color_temp":{{ value }}"#)?,
            hears("color_temp"),
        ));
    }
    if let Some((space, parts)) = json_color(&has) {
        capabilities.push(color(
            lit(&topic, &format!(r#""color":{{{parts}}}"#))?,
            hears("color"),
            space,
        ));
    }
    let effects = config.list("effect_list");
    if config.flag("effect", !effects.is_empty()) && !effects.is_empty() {
        let state_and = |effect: &String| {
            Map::from_iter([
                ("state".to_owned(), "ON".into()),
                ("effect".to_owned(), effect.as_str().into()),
            ])
        };
        let message = |effect: &String| {
            (
                Value::text(effect),
                Publication::new(topic.as_str(), Json::Object(state_and(effect)).to_string()),
            )
        };
        let codec = Codec {
            words: effects
                .iter()
                .map(|e| (Value::text(e), Json::from(e.as_str())))
                .collect(),
            scale: Scale::MappedOnly,
        };
        let binding = Binding {
            fixed: effects.iter().map(message).collect(),
            state: hears("effect"),
            codec,
            ..Binding::default()
        };
        capabilities.push(setting("effect".into(), Domain::Choice(effects), binding));
    }
    Ok(capabilities)
}

/// The space and the inside of the `color` object. White channels are put out: a colour that was asked for is that colour.
fn json_color(has: &dyn Fn(&str) -> bool) -> Option<(ColorSpace, &'static str)> {
    const RGB: &str = r#""r":{{ value[0] }},"g":{{ value[1] }},"b":{{ value[2] }}"#;
    const RGBW: &str = r#""r":{{ value[0] }},"g":{{ value[1] }},"b":{{ value[2] }},"w":0"#;
    const RGBWW: &str = r#""r":{{ value[0] }},"g":{{ value[1] }},"b":{{ value[2] }},"c":0,"w":0"#;
    const KINDS: [(&str, ColorSpace, &str); 5] = [
        ("rgb", ColorSpace::Rgb, RGB),
        ("rgbw", ColorSpace::Rgb, RGBW),
        ("rgbww", ColorSpace::Rgb, RGBWW),
        (
            "hs",
            ColorSpace::HueSaturation,
            r#""h":{{ value[0] }},"s":{{ value[1] }}"#,
        ),
        (
            "xy",
            ColorSpace::Xy,
            r#""x":{{ value[0] }},"y":{{ value[1] }}"#,
        ),
    ];
    KINDS
        .into_iter()
        .find(|(mode, ..)| has(mode))
        .map(|(_, space, parts)| (space, parts))
}

/// The template for `on` knows what else is wanted by the names that are set in it.
fn in_templates(config: &Config) -> Result<Vec<Capability>, Malformed> {
    let Some(topic) = config.topic("command_topic")? else {
        return Err(Malformed::Missing("command_topic"));
    };
    let on = config
        .source("command_on_template")?
        .ok_or(Malformed::Missing("command_on_template"))?;
    let told = config.topic("state_topic")?;
    let hears = |key: &str| {
        let port = |topic: &String| {
            Ok(Port {
                topic: topic.clone(),
                form: config.template(key)?.map_or(Form::Raw, Form::Template),
            })
        };
        told.iter().map(port).collect::<Result<Vec<_>, Malformed>>()
    };
    let setting_of = |names: &str| {
        Ok(Port {
            topic: topic.clone(),
            form: Form::Template(template(
                "command_on_template",
                &format!("{{% set state = 'on' %}}{names}{on}"),
            )?),
        })
    };
    let power = Codec {
        words: ["on", "off"]
            .map(|word| (Value::text(word), Json::from(word)))
            .to_vec(),
        scale: Scale::MappedOnly,
    };
    let off_text = config
        .source("command_off_template")?
        .ok_or(Malformed::Missing("command_off_template"))?;
    let off = Port {
        topic: topic.clone(),
        form: Form::Template(template(
            "command_off_template",
            &format!("{{% set state = 'off' %}}{off_text}"),
        )?),
    };
    let message = |word: &str, port: Port| {
        let binding = Binding {
            command: Some(port),
            codec: power.clone(),
            ..Binding::default()
        };
        binding
            .encode(&Value::text(word))
            .map(|message| (Value::text(word), message))
    };
    let fixed: Vec<_> = message("on", setting_of("")?)
        .into_iter()
        .chain(message("off", off))
        .collect();
    let turned_off = fixed
        .iter()
        .find(|(value, _)| *value == Value::text("off"))
        .map(|(_, message)| message.clone());
    let state = if config.get("state_template").is_some() {
        hears("state_template")?
    } else {
        Vec::new()
    };
    let binding = Binding {
        fixed,
        state,
        codec: power,
        ..Binding::default()
    };
    let mut capabilities = vec![setting(
        Property::Power,
        crate::discovery::choice(&["on", "off"]),
        binding,
    )];
    if config.get("brightness_template").is_some() && on.contains("brightness") {
        capabilities.push(brightness(
            config,
            setting_of("{% set brightness = value %}")?,
            hears("brightness_template")?,
            turned_off,
        ));
    }
    if config.get("color_temp_template").is_some() && on.contains("color_temp") {
        capabilities.push(color_temp(
            config,
            setting_of("{% set color_temp = value %}")?,
            hears("color_temp_template")?,
        ));
    }
    if let [Some(red), Some(green), Some(blue)] =
        ["red_template", "green_template", "blue_template"]
            .map(|key| config.source(key).ok().flatten())
        && on.contains("red")
    {
        let names = "{% set red = value[0] %}{% set green = value[1] %}{% set blue = value[2] %}";
        let mixed = template("red_template", &format!("{red},{green},{blue}"))?;
        let state = told
            .iter()
            .map(|t| Port {
                topic: t.clone(),
                form: Form::Template(mixed.clone()),
            })
            .collect();
        capabilities.push(color(setting_of(names)?, state, ColorSpace::Rgb));
    }
    Ok(capabilities)
}
