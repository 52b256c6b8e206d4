//! What the speaker hears about a plan, in short sentences of the language's own words.

use std::time::{Duration, Instant};

use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::home::permit::Resolved;
use crate::vocabulary::action::{Asked, Op};
use crate::vocabulary::speech::{Speech, fill};
use crate::vocabulary::{Domain, Property, Value};

/// The most devices an answer lists: "which lights are on" wants them all, and nobody listens to more.
const MOST_LISTED: usize = 12;

/// Younger than this, how old a state is does not matter to anybody.
const FRESH: Duration = Duration::from_mins(1);

/// What is known of one device that was asked about.
struct ExplainedTarget {
    device: String,
    property: String,
    value: String,
    /// Whether it is as was asked, where that was asked.
    so: Option<bool>,
    age: Duration,
}

/// Collects what was done and found, and makes sentences of it: devices with the same change share one.
pub(super) struct SpeechBuilder<'a> {
    speech: &'a Speech,
    done: Vec<(String, Vec<String>)>,
    found: Vec<ExplainedTarget>,
    unheard: Vec<String>,
    away: Vec<String>,
}

impl<'a> SpeechBuilder<'a> {
    pub(super) fn new(speech: &'a Speech) -> Self {
        Self {
            speech,
            done: Vec::new(),
            found: Vec::new(),
            unheard: Vec::new(),
            away: Vec::new(),
        }
    }

    pub(super) fn done(&mut self, meant: &Resolved<'_>, becomes: Option<&Value>) {
        let (what, device) = (change(self.speech, meant, becomes), meant.device);
        match self.done.iter_mut().find(|(w, _)| *w == what) {
            Some((_, devices)) => devices.push(device.name.clone()),
            None => self.done.push((what, vec![device.name.clone()])),
        }
    }

    /// The device was told, and is known not to be reached at present.
    pub(super) fn away(&mut self, device: &Device) {
        if !self.away.contains(&device.name) {
            self.away.push(device.name.clone());
        }
    }

    /// Who may not have heard it.
    pub(super) fn missing(&self) -> Option<String> {
        (!self.away.is_empty()).then(|| {
            format!(
                "{}.",
                fill(
                    &self.speech.away,
                    &[("devices", &self.speech.list(&self.away))]
                )
            )
        })
    }

    /// What the answer is to a question about one device; `asked` is the value asked about, where the question is about several.
    pub(super) fn answer(&mut self, meant: &Resolved<'_>, asked: Option<&Asked>, now: Instant) {
        let Resolved {
            device,
            capability,
            action,
            ..
        } = *meant;
        let Some(seen) = meant.seen else {
            self.unheard.push(device.name.clone());
            return;
        };
        let wanted = asked
            .map(|asked| asked.value(&capability.property))
            .or_else(|| action.value.clone());
        self.found.push(ExplainedTarget {
            device: device.name.clone(),
            property: self.speech.property(capability.property.name()),
            value: value_in_words(
                self.speech,
                &capability.property,
                &seen.value,
                unit(capability),
            ),
            so: wanted.map(|wanted| is_so(&capability.property, &wanted, &seen.value)),
            age: now.saturating_duration_since(seen.at),
        });
    }

    pub(super) fn sentence(&self, asked: Option<&Asked>) -> String {
        let done = self.done.iter().map(|(what, devices)| {
            fill(
                &self.speech.done,
                &[("devices", &self.speech.list(devices)), ("what", what)],
            )
        });
        let mut sentences: Vec<String> = done.chain(self.answers(asked)).collect();
        if !self.unheard.is_empty() {
            sentences.push(fill(
                &self.speech.answer.unheard,
                &[("devices", &self.speech.list(&self.unheard))],
            ));
        }
        if sentences.is_empty() {
            String::new()
        } else {
            format!("{}.", sentences.join(". "))
        }
    }

    fn answers(&self, asked: Option<&Asked>) -> Vec<String> {
        if self.found.is_empty() {
            return Vec::new();
        }
        let value = asked
            .map(|asked| self.speech.value(asked.word()).to_owned())
            .unwrap_or_default();
        match asked {
            Some(asked)
                if self.found.len() + self.unheard.len() > 1 || !matches!(asked, Asked::All(_)) =>
            {
                vec![self.summary(asked, &value)]
            }
            _ => self.found.iter().map(|found| self.one(found)).collect(),
        }
    }

    fn one(&self, found: &ExplainedTarget) -> String {
        let form = match found.so {
            Some(true) => &self.speech.answer.yes,
            Some(false) => &self.speech.answer.no,
            None if found
                .value
                .starts_with(|c: char| c.is_ascii_digit() || c == '-') =>
            {
                &self.speech.answer.reading
            }
            None => &self.speech.answer.is,
        };
        let ago = self.ago(found.age);
        fill(
            form,
            &[
                ("device", &found.device),
                ("property", &found.property),
                ("value", &found.value),
                ("ago", &ago),
            ],
        )
    }

    /// One sentence about several devices: "On: Hall lamp and Desk lamp".
    fn summary(&self, asked: &Asked, value: &str) -> String {
        let answers = &self.speech.answer;
        let (so, not): (Vec<&ExplainedTarget>, Vec<&ExplainedTarget>) =
            self.found.iter().partition(|found| found.so == Some(true));
        let names = |found: &[&ExplainedTarget]| {
            self.speech.list_up_to(
                &found.iter().map(|f| f.device.clone()).collect::<Vec<_>>(),
                MOST_LISTED,
            )
        };
        let form = match asked {
            Asked::All(_) if not.is_empty() => &answers.all,
            Asked::All(_) => &answers.not_all,
            _ if so.is_empty() => &answers.none,
            Asked::Which(_) => &answers.which,
            Asked::HowMany(_) => &answers.count,
            Asked::Any(_) => &answers.some,
        };
        let devices = if matches!(asked, Asked::All(_)) {
            names(&not)
        } else {
            names(&so)
        };
        let oldest = self
            .found
            .iter()
            .map(|found| found.age)
            .max()
            .unwrap_or_default();
        let (count, total, ago) = (
            so.len().to_string(),
            self.found.len().to_string(),
            self.ago(oldest),
        );
        capital(&fill(
            form,
            &[
                ("devices", &devices),
                ("value", value),
                ("count", &count),
                ("total", &total),
                ("ago", &ago),
            ],
        ))
    }

    fn ago(&self, age: Duration) -> String {
        let (form, count) = match age.as_secs() {
            _ if age < FRESH => return String::new(),
            seconds @ 0..7200 => (&self.speech.answer.minutes_ago, seconds / 60),
            seconds => (&self.speech.answer.hours_ago, seconds / 3600),
        };
        fill(form, &[("count", &count.to_string())])
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// A cover that is half open is open.
fn is_so(property: &Property, wanted: &Value, found: &Value) -> bool {
    match (property, wanted, found) {
        (Property::Position, Value::Number(wanted), Value::Number(found)) if *wanted >= 100.0 => {
            *found > 0.0
        }
        // Heating that is not off is on.
        (Property::HvacMode, Value::Text(wanted), Value::Text(found)) if wanted == "on" => {
            found != "off"
        }
        _ => same(wanted, found),
    }
}

fn same(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Number(a), Value::Number(b)) => (a - b).abs() < 0.5,
        (Value::Text(word), Value::Flag(flag)) => (word == "on") == *flag,
        _ => wanted == found,
    }
}

fn unit(capability: &Capability) -> &str {
    if let Domain::Number { unit, .. } = &capability.takes {
        unit
    } else {
        ""
    }
}

fn value_in_words(speech: &Speech, property: &Property, value: &Value, unit: &str) -> String {
    match (property, value) {
        (Property::Position, Value::Number(n)) if *n <= 0.0 => speech.value("closed").to_owned(),
        (Property::Position, Value::Number(n)) if *n >= 100.0 => speech.value("open").to_owned(),
        (Property::Position, Value::Number(n)) => {
            fill(&speech.part_open, &[("value", &n.to_string())])
        }
        (_, Value::Text(word)) => speech.value(word).to_owned(),
        (_, Value::Flag(flag)) => speech.value(if *flag { "on" } else { "off" }).to_owned(),
        (_, value) if unit.is_empty() => value.to_string(),
        (_, value) => format!("{value} {unit}"),
    }
}

/// `brightness 40 %`, `on`, `closed`.
fn change(speech: &Speech, meant: &Resolved<'_>, becomes: Option<&Value>) -> String {
    let (action, unit) = (meant.action, unit(meant.capability));
    let name = speech.property(action.property.name());
    let of = |form: &str| fill(form, &[("property", &name)]);
    match (&action.property, action.op, becomes) {
        (_, Op::Stop, _) => speech.stopped.clone(),
        (Property::Press, ..) => speech.pressed.clone(),
        (
            Property::Power
            | Property::Lock
            | Property::Position
            | Property::Playback
            | Property::Vacuum
            | Property::Mower
            | Property::Scene
            | Property::Script,
            _,
            Some(value),
        ) => value_in_words(speech, &action.property, value, unit),
        (property, _, Some(value)) => fill(
            &speech.becomes,
            &[
                ("property", &name),
                ("value", &value_in_words(speech, property, value, unit)),
            ],
        ),
        (_, Op::Toggle, None) => of(&speech.toggled),
        (_, Op::Increase, None) => of(&speech.up),
        (_, Op::Decrease, None) => of(&speech.down),
        (_, _, None) => name,
    }
}

/// `Front door: unlocked`, for the question before a risky action.
pub(super) fn intent(speech: &Speech, meant: &Resolved<'_>, becomes: Option<&Value>) -> String {
    fill(
        &speech.done,
        &[
            ("devices", &meant.device.name),
            ("what", &change(speech, meant, becomes)),
        ],
    )
}

/// The question before a risky action.
pub(super) fn confirm(speech: &Speech, intents: &[String]) -> String {
    fill(&speech.confirm, &[("what", &speech.list(intents))])
}

/// The values a capability takes, in words: `0 to 100 %`.
pub(super) fn takes(speech: &Speech, takes: &Domain) -> String {
    match takes {
        Domain::Number { min, max, unit, .. } => {
            let range = fill(
                &speech.range,
                &[("min", &min.to_string()), ("max", &max.to_string())],
            );
            if unit.is_empty() {
                range
            } else {
                format!("{range} {unit}")
            }
        }
        Domain::Choice(words) => words
            .iter()
            .map(|word| speech.value(word))
            .collect::<Vec<_>>()
            .join(", "),
        Domain::Color => speech.a_color.clone(),
        Domain::Boolean => format!("{}, {}", speech.value("on"), speech.value("off")),
        Domain::Trigger => speech.no_value.clone(),
    }
}
