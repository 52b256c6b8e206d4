//! Lights whose templates write the whole payload. The template for "on" reads the other properties
//! that are set from variables.

use crate::binding::color::ColorSpace;
use crate::binding::{Binding, Form, Port, Publication};
use crate::home::capability::Capability;
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::announcement::InvalidAnnouncement;
use crate::discovery::capabilities::{choice, setting, words};
use crate::discovery::homeassistant::config::{EntityConfig, parse, render_each, state_template};
use crate::discovery::homeassistant::light::properties::{
    Ports, brightness, color, color_temperature,
};

/// Variables the templates for on and off may use, which are not defined unless they are set.
const VARIABLES: [&str; 11] = [
    "value",
    "brightness",
    "color_temp",
    "red",
    "green",
    "blue",
    "hue",
    "sat",
    "flash",
    "transition",
    "effect",
];

/// Topics and templates of a template light.
struct TemplateLight<'a> {
    config: &'a EntityConfig,
    command_topic: SharedStr,
    state_topic: Option<SharedStr>,
    on: &'a str,
    off: &'a str,
}

pub(super) fn light(config: &EntityConfig) -> Result<Vec<Capability>, InvalidAnnouncement> {
    let missing = InvalidAnnouncement::Missing;
    let command_topic = config.topic("command_topic")?;
    let on = config.template_text("command_on_template")?;
    let off = config.template_text("command_off_template")?;
    let light = TemplateLight {
        config,
        command_topic: command_topic.ok_or(missing("command_topic"))?,
        state_topic: config.topic("state_topic")?,
        on: on.ok_or(missing("command_on_template"))?,
        off: off.ok_or(missing("command_off_template"))?,
    };
    let power = light.power()?;
    let off = power.binding.encode(&Value::text("off"));
    let mut capabilities = vec![power];
    if let Some(ports) = light.ports("brightness_template", "brightness")? {
        capabilities.push(brightness(config, ports, off));
    }
    if let Some(ports) = light.ports("color_temp_template", "color_temp")? {
        capabilities.push(color_temperature(config, ports));
    }
    capabilities.extend(light.color()?);
    capabilities.extend(light.effect()?);
    Ok(capabilities)
}

impl TemplateLight<'_> {
    /// Returns the port of a command with these variables set. The others are not defined, as in
    /// Home Assistant.
    fn command(&self, key: &str, set: &str, text: &str) -> Result<Port, InvalidAnnouncement> {
        let template = parse(key, &format!("{set}{text}"), &VARIABLES)?;
        Ok(Port {
            topic: self.command_topic.clone(),
            form: Form::Template(template),
        })
    }

    fn turn_on(&self, set: &str) -> Result<Port, InvalidAnnouncement> {
        let set = format!("{{% set state = 'on' %}}{set}");
        self.command("command_on_template", &set, self.on)
    }

    fn state(&self, template_key: &str) -> Result<Vec<Port>, InvalidAnnouncement> {
        let form = self.config.state_form(template_key)?;
        let topic = self.state_topic.iter();
        Ok(topic
            .map(|topic| Port {
                topic: topic.clone(),
                form: form.clone(),
            })
            .collect())
    }

    fn power(&self) -> Result<Capability, InvalidAnnouncement> {
        let set = "{% set state = 'off' %}";
        let off = self.command("command_off_template", set, self.off)?;
        let mut fixed = render_each(self.turn_on("")?, &[(Value::text("on"), "on".into())]);
        fixed.extend(render_each(off, &[(Value::text("off"), "off".into())]));
        let reported = if self.config.has("state_template") {
            self.state("state_template")?
        } else {
            Vec::new()
        };
        let pairs = ["on", "off"].map(|word| (Value::text(word), word.into()));
        let binding = Binding {
            fixed,
            state: reported,
            codec: words(pairs.to_vec()),
            ..Binding::default()
        };
        Ok(setting(Property::Power, choice(&["on", "off"]), binding))
    }

    /// Returns the ports of a property that has a template for its state and is used by the
    /// template for on.
    fn ports(&self, state_key: &str, name: &str) -> Result<Option<Ports>, InvalidAnnouncement> {
        if !self.config.has(state_key) || !self.on.contains(name) {
            return Ok(None);
        }
        Ok(Some(Ports {
            command: self.turn_on(&format!("{{% set {name} = value %}}"))?,
            state: self.state(state_key)?,
        }))
    }

    fn color(&self) -> Result<Option<Capability>, InvalidAnnouncement> {
        let red = self.config.template_text("red_template")?;
        let green = self.config.template_text("green_template")?;
        let blue = self.config.template_text("blue_template")?;
        let (Some(red), Some(green), Some(blue)) = (red, green, blue) else {
            return Ok(None);
        };
        if !self.on.contains("red") {
            return Ok(None);
        }
        let mixed = state_template("red_template", &format!("{red},{green},{blue}"))?;
        let topic = self.state_topic.iter();
        let state = topic
            .map(|topic| Port {
                topic: topic.clone(),
                form: Form::Template(mixed.clone()),
            })
            .collect();
        let set = "{% set red = value[0] %}{% set green = value[1] %}{% set blue = value[2] %}";
        let command = self.turn_on(set)?;
        Ok(Some(color(Ports { command, state }, ColorSpace::Rgb)))
    }

    fn effect(&self) -> Result<Option<Capability>, InvalidAnnouncement> {
        let effects = self.config.list("effect_list");
        let reported = if self.config.has("effect_template") {
            self.state("effect_template")?
        } else {
            Vec::new()
        };
        if effects.is_empty() || !self.on.contains("effect") {
            return Ok(None);
        }
        let pairs: Vec<_> = effects
            .iter()
            .map(|effect| (Value::text(effect), effect.as_str().into()))
            .collect();
        let fixed: Vec<(Value, Publication)> =
            render_each(self.turn_on("{% set effect = value %}")?, &pairs);
        let binding = Binding {
            fixed,
            state: reported,
            codec: words(pairs),
            ..Binding::default()
        };
        Ok(Some(setting(
            "effect".into(),
            Domain::Choice(effects),
            binding,
        )))
    }
}
