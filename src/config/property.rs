//! One property of one device: its values and its topics.

use serde_json::Value as Json;

use crate::binding;
use crate::binding::template::Template;
use crate::binding::{Binding, Form, Port, Scale};
use crate::home::capability::{Capability, Risk};
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Domain, Property, Value};

use crate::config::table::Table;
use crate::config::topics::topic;

/// Protocol by which a device is reached.
#[derive(Debug)]
pub(super) enum BindingKey {
    /// `Zigbee2MQTT`: commands on `<base>/<name>/set`.
    Zigbee2Mqtt {
        /// Base topic.
        base: String,
        /// Friendly name of the device.
        name: String,
    },
    /// Tasmota: commands on `cmnd/<topic>/..`.
    Tasmota(String),
    /// sayso's own protocol: actions on `<prefix>/action/<device>`.
    Own,
}

/// Protocol and topics of one device.
pub(super) struct BindingKind<'a> {
    pub(super) binding: BindingKey,
    pub(super) prefix: &'a str,
    pub(super) device: &'a Slug,
}

impl BindingKind<'_> {
    fn link(&self, property: &Property, field: Option<&str>) -> Binding {
        match &self.binding {
            BindingKey::Zigbee2Mqtt { base, name } => {
                binding::zigbee2mqtt(base, name, property, field)
            }
            BindingKey::Tasmota(topic) => binding::tasmota(topic, property, field),
            BindingKey::Own => {
                let mut link = binding::own(self.prefix, self.device.as_str(), property);
                for port in &mut link.state {
                    port.form = field.map_or(port.form.clone(), inside);
                }
                link
            }
        }
    }
}

/// Returns the form of a value below a JSON key, or below nested keys such as `color.hex`.
fn inside(field: &str) -> Form {
    Form::Field(field.split('.').map(str::to_owned).collect())
}

/// Reads one property. Without a table of its own it has the `default` capability. Faults of a
/// property without table are reported to the table of its `device`.
pub(super) fn read(
    table: Option<&Table<'_>>,
    default: Capability,
    binding: &BindingKind<'_>,
    device: &Table<'_>,
) -> (Capability, Option<Risk>) {
    let mut capability = default;
    let Some(table) = table else {
        capability.binding = binding.link(&capability.property, None);
        if capability.domain == Domain::Choice(Vec::new()) {
            let what = format!(
                "the device's own words are missing: write options = [\"..\"] under \
                 [device.{}.property.{}]",
                binding.device, capability.property
            );
            device.report("can", what);
        }
        return (capability, None);
    };
    capability.domain = takes(table, &capability);
    capability.step = step(table, &capability);
    capability.settable = table.flag("settable").unwrap_or(true);
    capability.binding = link(table, &capability, binding);
    let risk = table.one_of("risk", &Risk::NAMED);
    (capability, risk)
}

/// The keys of a property that say which values it takes.
struct ValueKeys {
    options: Option<Vec<String>>,
    range: Option<(f64, f64)>,
    boolean: Option<bool>,
    unit: Option<String>,
    step: Option<f64>,
}

impl ValueKeys {
    fn read(table: &Table<'_>, default: &Domain) -> Self {
        let options = table.texts_as("options", |text| {
            if text.trim().is_empty() {
                Err("a word")
            } else {
                Ok(text.trim().to_owned())
            }
        });
        let range = table.pair(
            "range",
            "two numbers, the smaller first, such as [0, 40]",
            |min, max| min < max,
        );
        let boolean = table.flag("boolean");
        let unit = table.text_as("unit", |text| {
            if text.chars().count() <= 16 {
                Ok(text.to_owned())
            } else {
                Err("a unit of at most 16 letters")
            }
        });
        let default_range = if let Domain::Number { min, max, .. } = default {
            Some((*min, *max))
        } else {
            None
        };
        let span = range
            .or(default_range)
            .map_or(f64::INFINITY, |(min, max)| max - min);
        let step = table.number(
            "step",
            "a number above 0 and no larger than the range",
            |n| n > 0.0 && n <= span,
        );
        Self {
            options,
            range,
            boolean,
            unit,
            step,
        }
    }

    /// Returns the numbers that a property takes whose default is `min` to `max` in `default_unit`.
    fn number(
        self,
        table: &Table<'_>,
        property: &Property,
        (min, max): (f64, f64),
        default_unit: &str,
    ) -> Domain {
        let (min, max) = self
            .range
            .filter(|r| is_allowed_range(table, property, *r))
            .unwrap_or((min, max));
        if property.is_standard() && self.unit.as_ref().is_some_and(|u| u != default_unit) {
            table.reject(
                "unit",
                format!(
                    "\"{default_unit}\": {property} has that unit everywhere; \
                use `scale` to convert to the unit of the device"
                ),
            );
        }
        Domain::Number {
            min,
            max,
            step: self.step,
            unit: self.unit.unwrap_or_else(|| default_unit.to_owned()),
        }
    }
}

fn takes(table: &Table<'_>, capability: &Capability) -> Domain {
    let property = &capability.property;
    let default = &capability.domain;
    let keys = ValueKeys::read(table, default);
    let written: Vec<&str> = ["range", "options", "boolean"]
        .into_iter()
        .filter(|key| table.has(key))
        .collect();
    if let [_, second, ..] = written[..] {
        table.report(
            second,
            "a property has one type of value: write only one of `range`, `options` and `boolean`",
        );
        return default.clone();
    }
    if written.is_empty() && !property.is_standard() {
        table.report_table(format!(
            "the values of {property} are missing: write range = [0, 100], \
            options = [\"..\"] or boolean = true"
        ));
    }
    match (written.first().copied(), default) {
        (Some("boolean"), _) if keys.boolean == Some(false) => {
            table.report("boolean", "write boolean = true, or leave it out");
        }
        (Some("boolean"), _) if !property.is_standard() => return Domain::Boolean,
        (Some("options"), Domain::Choice(words)) => {
            return choice(table, property, words, keys.options);
        }
        (Some("options"), _) if !property.is_standard() => {
            return choice(table, property, &[], keys.options);
        }
        (Some("range") | None, Domain::Number { min, max, unit, .. }) => {
            return keys.number(table, property, (*min, *max), unit);
        }
        (None, _) => {}
        (Some(key), _) => table.report(
            key,
            format!("{property} has no such values: remove `{key}`"),
        ),
    }
    default.clone()
}

/// Checks a range: percentages stay within 0 to 100, because `scale` converts to the range of the
/// device.
fn is_allowed_range(table: &Table<'_>, property: &Property, (min, max): (f64, f64)) -> bool {
    let is_valid = !property.is_percentage() || (min >= 0.0 && max <= 100.0);
    if !is_valid {
        table.reject(
            "range",
            format!(
                "a part of [0, 100]: {property} is in percent; use scale = \
            [{min}, {max}] to convert to the range of the device"
            ),
        );
    }
    is_valid
}

fn choice(
    table: &Table<'_>,
    property: &Property,
    words: &[String],
    options: Option<Vec<String>>,
) -> Domain {
    let Some(options) = options else {
        return Domain::Choice(words.to_vec());
    };
    let lower: Vec<String> = options.iter().map(|o| o.to_lowercase()).collect();
    if options.is_empty() {
        table.reject("options", "at least one word");
    } else if let Some(twice) = lower
        .iter()
        .enumerate()
        .find(|(n, word)| lower[..*n].contains(word))
        .map(|(_, word)| word)
    {
        table.reject(
            "options",
            format!("each word once, `{twice}` is there twice"),
        );
    }
    // Standard words have a fixed meaning, except those that every device defines itself.
    let free = property.has_own_options();
    if let Some(strange) = options.iter().find(|o| !free && !words.contains(o)) {
        table.reject(
            "options",
            format!(
                "some of {}, not `{strange}`; use `payloads` to map them to the words of the \
                 device",
                words.join(", ")
            ),
        );
    }
    Domain::Choice(options)
}

fn step(table: &Table<'_>, capability: &Capability) -> f64 {
    let Domain::Number { min, max, .. } = capability.domain else {
        if table.has("step_by") {
            table.number("step_by", "a number", |_| true);
            table.report(
                "step_by",
                format!(
                    "{} cannot be increased or decreased: remove `step_by`",
                    capability.property
                ),
            );
        }
        return capability.step;
    };
    let default = if capability.property.is_standard() {
        capability.step.min(max - min)
    } else {
        (max - min) / 10.0
    };
    table
        .number(
            "step_by",
            "a number above 0 and no larger than the range",
            |n| n > 0.0 && n <= max - min,
        )
        .unwrap_or(default)
}

fn link(table: &Table<'_>, capability: &Capability, binding: &BindingKind<'_>) -> Binding {
    let field = table.text_as("field", |text| {
        let is_valid = !text.is_empty() && text.split('.').all(|key| !key.is_empty());
        if is_valid {
            Ok(text.to_owned())
        } else {
            Err("a key of the payload, or keys within keys such as \"color.hex\"")
        }
    });
    let mut link = binding.link(&capability.property, field.as_deref());
    let form = field.as_deref().map_or(Form::Raw, inside);
    let template = |key, variables: &[&str]| {
        table.text_as(key, |text| {
            let template = Template::parse_using(text, variables);
            template.map_err(|error| format!("a template: {error}"))
        })
    };
    if let Some(topic) = table.text_as("command_topic", topic) {
        link.command = Some(Port {
            topic: topic.into(),
            form: form.clone(),
        });
        (link.stop, link.toggle) = (None, None);
    }
    if let Some(topic) = table.text_as("state_topic", topic) {
        let topic = topic.into();
        link.state = vec![Port { topic, form }];
    }
    if let Some(template) = template("command_template", &["value"]) {
        match &mut link.command {
            Some(port) => port.form = Form::Template(template),
            None => table.report(
                "command_template",
                "a template needs a `command_topic` as well",
            ),
        }
    }
    if let Some(template) = template("value_template", &["value", "value_json"]) {
        for port in &mut link.state {
            port.form = Form::Template(template.clone());
        }
    }
    scale(table, capability, &mut link);
    payloads(&table.table("payloads"), capability, &mut link);
    if !capability.settable {
        (link.command, link.stop, link.toggle) = (None, None, None);
    }
    link
}

fn scale(table: &Table<'_>, capability: &Capability, link: &mut Binding) {
    if !table.has("scale") {
        return;
    }
    let words = [
        ("mired", Scale::Mired),
        ("hex", Scale::Hex),
        ("rgb", Scale::Rgb),
    ];
    link.codec.scale = match capability.domain {
        Domain::Number { min, max, .. } if capability.property != Property::ColorTemp => {
            let device = table.pair(
                "scale",
                "the device's own two numbers, such as [0, 254]",
                |low, high| (low - high).abs() > f64::EPSILON,
            );
            device.map_or(Scale::Same, |to| Scale::Linear {
                from: (min, max),
                to,
            })
        }
        Domain::Number { .. } => table.one_of("scale", &words[..1]).unwrap_or_default(),
        Domain::Color => table.one_of("scale", &words[1..]).unwrap_or_default(),
        _ => {
            table.mark_known("scale");
            table.report(
                "scale",
                format!("{} is not a number: use `payloads`", capability.property),
            );
            Scale::Same
        }
    };
}

fn payloads(table: &Table<'_>, capability: &Capability, link: &mut Binding) {
    if table.exists() && link.command.is_none() && link.state.is_empty() {
        table.report_table("payloads need a `command_topic` or a `state_topic` as well");
    }
    let mut words: Vec<(Value, Json)> = Vec::new();
    for (key, wire) in table.pairs() {
        let wires = if let Json::Array(several) = wire {
            several
        } else {
            vec![wire]
        };
        if let Some(value) = value_of(key, capability) {
            words.extend(wires.into_iter().map(|wire| (value.clone(), wire)));
            continue;
        }
        let message = wires.first().and_then(|wire| {
            let mut bare = link.clone();
            bare.codec.words = vec![(Value::text(key), wire.clone())];
            bare.encode(&Value::text(key))
        });
        match key {
            "stop" | "toggle" if message.is_none() => {
                table.report(key, "it needs a `command_topic` as well");
            }
            "stop" => link.stop = message,
            "toggle" => link.toggle = message,
            _ => table.report(
                key,
                format!(
                    "{} has no such value; its values are {}",
                    capability.property,
                    known(capability)
                ),
            ),
        }
    }
    link.codec
        .words
        .retain(|(value, _)| !words.iter().any(|(ours, _)| ours == value));
    // A number that has words of its own takes only those, unless `scale` says how to send the
    // others.
    let is_number = matches!(capability.domain, Domain::Number { .. });
    if is_number && !words.is_empty() && link.codec.scale == Scale::Same {
        link.codec.scale = Scale::ReportedOnly;
    }
    words.append(&mut link.codec.words);
    link.codec.words = words;
}

/// Returns the value that a key of `payloads` stands for.
fn value_of(key: &str, capability: &Capability) -> Option<Value> {
    match &capability.domain {
        Domain::Choice(words) => words
            .iter()
            .find(|word| *word == key)
            .map(|word| Value::text(word)),
        Domain::Boolean => [
            ("true", true),
            ("on", true),
            ("false", false),
            ("off", false),
        ]
        .iter()
        .find(|(word, _)| *word == key)
        .map(|(_, flag)| Value::Flag(*flag)),
        // The permission gate plans a trigger with this word.
        Domain::Trigger => (key == "press").then(|| Value::text("PRESS")),
        Domain::Color => binding::color::rgb(key).map(|_| Value::text(key)),
        Domain::Number { min, max, .. } => match (key, &capability.property) {
            ("closed", Property::Position | Property::Tilt) => Some(Value::Number(*min)),
            ("open", Property::Position | Property::Tilt) => Some(Value::Number(*max)),
            _ => key
                .parse()
                .ok()
                .filter(|n| min <= n && n <= max)
                .map(Value::Number),
        },
    }
}

fn known(capability: &Capability) -> String {
    let words = match &capability.domain {
        Domain::Choice(words) => words.join(", "),
        Domain::Boolean => "true, false".to_owned(),
        Domain::Trigger => return "press".to_owned(),
        Domain::Color => return "the names of colours".to_owned(),
        Domain::Number { .. }
            if matches!(capability.property, Property::Position | Property::Tilt) =>
        {
            "open, closed, numbers of its range".to_owned()
        }
        Domain::Number { .. } => "numbers of its range".to_owned(),
    };
    format!("{words}; and stop, toggle")
}
