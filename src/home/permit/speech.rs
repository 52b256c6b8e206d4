//! The sentences of a reply about a plan, in the language of the command.

use std::borrow::Cow;
use std::time::Duration;

use smallvec::{SmallVec, smallvec};

use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::home::is_no_state;
use crate::home::permit::denied::Denied;
use crate::home::permit::device_name::the_device;
use crate::home::permit::plan::{PlanSpeech, Step};
use crate::home::permit::request::PermitRequest;
use crate::home::permit::resolved::Resolved;
use crate::home::permit::target::Unchanged;
use crate::home::state::{Known, Observation};
use crate::vocabulary::action::{Op, StateQuery, Unfit};
use crate::vocabulary::speech::{Speech, capitalized, fill, fill_into};
use crate::vocabulary::{Domain, Property, Value};

/// The most devices listed in an answer: "which lights are on" asks for all, but nobody listens to
/// more.
const MOST_LISTED: usize = 12;

/// The age below which a state needs no mention of its age.
const FRESH: Duration = Duration::from_mins(1);

/// Between two sentences.
const SEPARATOR: &str = ". ";

/// Certainty with which a value is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Certainty {
    /// The device reported it.
    Reported,
    /// The device was commanded to it and will report it, but has not yet.
    Unconfirmed,
    /// The device was commanded to it and reports no state.
    Assumed,
}

/// The state of one device that was asked about.
struct Finding {
    device: String,
    /// The name within a sentence, with its article.
    the_device: String,
    property: String,
    value: String,
    /// Whether the state is the one asked about, where the question names one.
    matches: Option<bool>,
    certainty: Certainty,
    age: Duration,
}

/// Collects changes and findings, and phrases them. Devices with the same change share one
/// sentence.
pub(super) struct SpeechBuilder<'a> {
    speech: &'a Speech,
    context: PermitRequest<'a>,
    done: Groups<'a>,
    findings: Vec<Finding>,
    /// Sentences about devices whose state is no value, or has expired.
    unrecognized: Vec<String>,
    /// Devices that have not reported a state.
    unheard: Vec<String>,
    /// Devices that were commanded while offline.
    commanded_offline: Vec<String>,
    /// Devices that were asked about while offline.
    offline: Vec<String>,
    /// The actions not done, by sentence.
    skipped: Groups<'a>,
}

/// Names of devices by the text they share, in the order of first use.
#[derive(Default)]
struct Groups<'a>(SmallVec<[Group<'a>; 1]>);

/// A text, and the names of the devices that share it.
type Group<'a> = (Cow<'a, str>, SmallVec<[&'a str; 1]>);

impl<'a> Groups<'a> {
    fn add(&mut self, text: impl Into<Cow<'a, str>>, device: &'a Device) {
        let text = text.into();
        match self.0.iter_mut().find(|(known, _)| *known == text) {
            Some((_, devices)) if devices.contains(&device.name.as_str()) => {}
            Some((_, devices)) => devices.push(&device.name),
            None => self.0.push((text, smallvec![device.name.as_str()])),
        }
    }
}

impl<'a> SpeechBuilder<'a> {
    pub(super) fn new(context: PermitRequest<'a>) -> Self {
        Self {
            speech: context.speech,
            context,
            done: Groups::default(),
            findings: Vec::new(),
            unrecognized: Vec::new(),
            unheard: Vec::new(),
            commanded_offline: Vec::new(),
            offline: Vec::new(),
            skipped: Groups::default(),
        }
    }

    /// Adds a change that will be published.
    pub(super) fn add_change(&mut self, resolved: &Resolved<'a>, value: Option<&Value>) {
        let change = change_in_words(self.speech, resolved, value);
        self.done.add(change, resolved.device);
        // The command is published all the same: the report may be wrong, and the device may be
        // back at any moment.
        if resolved.is_offline {
            let name = the_device(self.speech, resolved.device);
            push_once(&mut self.commanded_offline, name);
        }
    }

    /// Adds a relative change that changes nothing.
    pub(super) fn add_unchanged(&mut self, device: &'a Device, why: Unchanged) {
        let form = match why {
            Unchanged::Off => &self.speech.left_out.off,
            Unchanged::AtLimit => &self.speech.left_out.at_limit,
        };
        self.skipped.add(form, device);
    }

    /// Adds a device that a collective phrase cannot command.
    pub(super) fn add_left_out(&mut self, device: &'a Device, denied: &Denied) {
        let forms = &self.speech.left_out;
        let form = match denied {
            Denied::NotAllowed { .. } => &forms.not_allowed,
            Denied::Never { .. } => &forms.never,
            Denied::StateUnknown { .. } | Denied::TwoTargets { .. } => &forms.unknown,
            Denied::OutOfRange { .. } => &forms.out_of_range,
            Denied::NotAnnounced { .. } => &forms.not_announced,
            _ => &forms.incapable,
        };
        self.skipped.add(form, device);
    }

    /// Adds a device that a collective phrase means and that cannot do it.
    pub(super) fn add_unfit(&mut self, device: &'a Device, why: Unfit) {
        let forms = &self.speech.left_out;
        let form = match why {
            Unfit::Incapable => &forms.incapable,
            Unfit::OutOfRange => &forms.out_of_range,
            Unfit::NotIncluded => &forms.not_included,
        };
        self.skipped.add(form, device);
    }

    /// Adds the answer to a question about one device. `query` is the form of a question about
    /// several.
    pub(super) fn add_answer(&mut self, resolved: &Resolved<'_>, query: Option<&StateQuery>) {
        let device = resolved.device;
        if resolved.is_offline {
            push_once(&mut self.offline, the_device(self.speech, device));
        }
        if is_level_of_off(resolved) {
            let finding = self.off(device);
            self.findings.push(finding);
            return;
        }
        let Some(seen) = resolved.seen else {
            match resolved.expired {
                Some(seen) => self.unrecognized.push(self.stale(device, seen)),
                None => push_once(&mut self.unheard, the_device(self.speech, device)),
            }
            return;
        };
        match &seen.known {
            Known::Unrecognized(payload) => {
                let sentence = self.unrecognized(resolved, payload, seen);
                self.unrecognized.push(sentence);
            }
            Known::Reported(value) | Known::Commanded(value) => {
                let finding = self.finding(resolved, seen, value, query);
                self.findings.push(finding);
            }
        }
    }

    /// Returns whether the reply answers anything, or has a sentence about something that was not
    /// changed.
    pub(super) fn answers_something(&self) -> bool {
        let answers = [&self.unheard, &self.unrecognized];
        !self.findings.is_empty()
            || answers.iter().any(|list| !list.is_empty())
            || self.skipped.0.iter().any(|(form, _)| {
                *form == self.speech.left_out.off || *form == self.speech.left_out.at_limit
            })
    }

    /// Returns the whole text.
    pub(super) fn text(&self, query: Option<&StateQuery>) -> PlanSpeech {
        let speech = self.speech;
        let mut text = String::new();
        for (what, devices) in &self.done.0 {
            let devices = speech.list(devices);
            begin_sentence(&mut text);
            fill_into(
                &mut text,
                &speech.done,
                &[("devices", &devices), ("what", what)],
            );
        }
        let changes = text.len();
        for sentence in self.answers(query).iter().chain(&self.unrecognized) {
            add_sentence(&mut text, sentence);
        }
        let forms = [
            (&speech.answer.unheard, &self.unheard),
            (&speech.state.offline, &self.offline),
            (&speech.away, &self.commanded_offline),
        ];
        for (form, devices) in forms {
            if !devices.is_empty() {
                let devices = speech.list(devices);
                let places = [("devices", &*devices), ("the_devices", &devices)];
                add_sentence(&mut text, &speech.begun(&fill(form, &places)));
            }
        }
        for (form, devices) in &self.skipped.0 {
            let devices = speech.list_up_to(devices, MOST_LISTED);
            let places = [("devices", &*devices), ("source", self.context.source)];
            add_sentence(&mut text, &capitalized(&fill(form, &places)));
        }
        if !text.is_empty() {
            text.push('.');
        }
        PlanSpeech { text, changes }
    }

    fn unrecognized(&self, resolved: &Resolved<'_>, payload: &str, seen: &Observation) -> String {
        let form = if is_no_state(payload) {
            &self.speech.state.unknown
        } else {
            &self.speech.state.reports
        };
        let word: String = payload.to_lowercase().chars().take(40).collect();
        let places = [
            ("device", resolved.device.name.as_str()),
            ("the_device", &the_device(self.speech, resolved.device)),
            ("value", self.speech.value(&word)),
            ("ago", &self.ago(self.age(seen))),
        ];
        self.speech.begun(&fill(form, &places))
    }

    fn stale(&self, device: &Device, seen: &Observation) -> String {
        let places = [
            ("device", device.name.as_str()),
            ("the_device", &the_device(self.speech, device)),
            ("ago", &self.ago(self.age(seen))),
        ];
        self.speech.begun(&fill(&self.speech.state.stale, &places))
    }

    fn finding(
        &self,
        resolved: &Resolved<'_>,
        seen: &Observation,
        value: &Value,
        query: Option<&StateQuery>,
    ) -> Finding {
        let Resolved {
            device,
            capability,
            action,
            ..
        } = *resolved;
        let property = &capability.property;
        let wanted = action.wanted(query);
        let certainty = match seen.known {
            Known::Commanded(_) if capability.binding.state.is_empty() => Certainty::Assumed,
            Known::Commanded(_) => Certainty::Unconfirmed,
            _ => Certainty::Reported,
        };
        Finding {
            device: device.name.clone(),
            the_device: the_device(self.speech, device),
            property: self.speech.property(reading_name(device, capability)),
            value: self.state_in_words(resolved, value, query),
            matches: wanted.map(|wanted| is_so(property, &wanted, value)),
            certainty,
            age: self.age(seen),
        }
    }

    /// Returns that the device is off, which tells more than the level it would have.
    fn off(&self, device: &Device) -> Finding {
        Finding {
            device: device.name.clone(),
            the_device: the_device(self.speech, device),
            property: String::new(),
            value: self.speech.value("off").to_owned(),
            matches: None,
            certainty: Certainty::Reported,
            age: Duration::ZERO,
        }
    }

    /// Returns a reported state in the words of the answer. A flag that is not the power of its
    /// device has words of its own.
    fn state_in_words(
        &self,
        resolved: &Resolved<'_>,
        value: &Value,
        query: Option<&StateQuery>,
    ) -> String {
        let speech = self.speech;
        let capability = resolved.capability;
        let property = &capability.property;
        let of_flag = |word: &str| speech.value(word).to_owned();
        let plain = value_in_words(speech, property, value, unit(capability));
        match (property, value, query.map(StateQuery::word)) {
            (Property::Mute, value, _) => {
                let muted = is_so(property, &Value::text("on"), value);
                of_flag(if muted { "muted" } else { "unmuted" })
            }
            (Property::Custom(_), Value::Flag(open), Some("open" | "closed")) => {
                of_flag(if *open { "open" } else { "closed" })
            }
            (Property::Custom(name), Value::Flag(_), _)
                if resolved.device.capabilities.len() > 1 =>
            {
                let name = speech.property(name);
                fill(&speech.becomes, &[("property", &name), ("value", &plain)])
            }
            _ => plain.into_owned(),
        }
    }

    fn age(&self, seen: &Observation) -> Duration {
        self.context.now.saturating_duration_since(seen.at)
    }

    fn answers(&self, query: Option<&StateQuery>) -> Vec<String> {
        if self.findings.is_empty() {
            return Vec::new();
        }
        let devices = self.findings.len() + self.unheard.len() + self.unrecognized.len();
        match query {
            Some(query)
                if devices > 1
                    || matches!(query, StateQuery::Which(_) | StateQuery::HowMany(_)) =>
            {
                let mut sentences = self.summaries(query);
                sentences.extend(self.not_confirmed());
                sentences
            }
            _ => self.findings.iter().map(|found| self.one(found)).collect(),
        }
    }

    /// Returns the sentence that keeps a summary from stating a mere command as fact, or `None` if
    /// every state was reported.
    fn not_confirmed(&self) -> Option<String> {
        let devices: Vec<String> = self
            .findings
            .iter()
            .filter(|found| found.certainty == Certainty::Unconfirmed)
            .map(|found| found.device.clone())
            .collect();
        if devices.is_empty() {
            return None;
        }
        let devices = self.speech.list(&devices);
        Some(fill(
            &self.speech.state.unconfirmed,
            &[("devices", &devices)],
        ))
    }

    fn one(&self, found: &Finding) -> String {
        let answers = &self.speech.answer;
        let is_number = found
            .value
            .starts_with(|c: char| c.is_ascii_digit() || c == '-');
        let form = match (found.certainty, found.matches) {
            (Certainty::Unconfirmed, _) => &self.speech.state.commanded,
            (Certainty::Assumed, _) => &self.speech.state.assumed,
            (_, Some(true)) => &answers.yes,
            (_, Some(false)) => &answers.no,
            (_, None) if is_number => &answers.reading,
            (_, None) => &answers.is,
        };
        let places = [
            ("device", found.device.as_str()),
            ("the_device", &found.the_device),
            ("property", &found.property),
            ("value", &found.value),
            ("ago", &self.ago(found.age)),
        ];
        self.speech.begun(&fill(form, &places))
    }

    /// Returns the sentences about several devices: one for each state where "the light" is in
    /// several, "On: Hall lamp. Off: Desk lamp", which is neither a yes nor a no.
    fn summaries(&self, query: &StateQuery) -> Vec<String> {
        let first = self.findings.first().map(|found| found.matches);
        let differ = self
            .findings
            .iter()
            .any(|found| Some(found.matches) != first);
        let by_state = match query {
            StateQuery::Each(_) if differ => true,
            // A device without a report may be the exception: no "yes, all" then.
            StateQuery::All(_) | StateQuery::Each(_) => {
                let is_one_unknown = !self.unheard.is_empty() || !self.unrecognized.is_empty();
                is_one_unknown
                    && self
                        .findings
                        .iter()
                        .all(|found| found.matches == Some(true))
            }
            _ => false,
        };
        if !by_state {
            return vec![self.summary(query)];
        }
        let mut states: Vec<&str> = Vec::new();
        for found in &self.findings {
            if !states.contains(&found.value.as_str()) {
                states.push(&found.value);
            }
        }
        states
            .into_iter()
            .map(|state| self.in_state(state))
            .collect()
    }

    /// Returns the sentence about the devices in a state: "On: Hall lamp and Desk lamp".
    fn in_state(&self, state: &str) -> String {
        let found = || self.findings.iter().filter(|found| found.value == state);
        let names: Vec<String> = found().map(|found| found.device.clone()).collect();
        let oldest = found().map(|found| found.age).max().unwrap_or_default();
        let places = [
            ("value", state),
            ("devices", &self.speech.list_up_to(&names, MOST_LISTED)),
            ("ago", &self.ago(oldest)),
        ];
        capitalized(&fill(&self.speech.answer.which, &places))
    }

    /// Returns one sentence about several devices: "On: Hall lamp and Desk lamp".
    fn summary(&self, query: &StateQuery) -> String {
        let answers = &self.speech.answer;
        let (so, not): (Vec<&Finding>, Vec<&Finding>) = self
            .findings
            .iter()
            .partition(|found| found.matches == Some(true));
        let all_known = self.unrecognized.is_empty();
        let form = match query {
            StateQuery::All(_) | StateQuery::Each(_) if not.is_empty() && all_known => &answers.all,
            StateQuery::All(_) | StateQuery::Each(_) if not.is_empty() => &answers.some,
            StateQuery::All(_) | StateQuery::Each(_) => &answers.not_all,
            _ if so.is_empty() => &answers.none,
            StateQuery::Which(_) => &answers.which,
            StateQuery::HowMany(_) => &answers.count,
            StateQuery::Any(_) => &answers.some,
        };
        let subset = match query {
            StateQuery::All(_) | StateQuery::Each(_) if !not.is_empty() => &not,
            _ => &so,
        };
        let names: Vec<String> = subset.iter().map(|found| found.device.clone()).collect();
        let oldest = self.findings.iter().map(|found| found.age).max();
        let places = [
            (
                "devices",
                self.speech.list_up_to(&names, MOST_LISTED).into_owned(),
            ),
            ("value", self.speech.value(query.word()).to_owned()),
            ("count", so.len().to_string()),
            ("total", self.findings.len().to_string()),
            ("ago", self.ago(oldest.unwrap_or_default())),
        ];
        capitalized(&fill(
            form,
            &places.each_ref().map(|(k, v)| (*k, v.as_str())),
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

/// Ends the sentence before the next one. The full stop of the last one is added at the end.
fn begin_sentence(text: &mut String) {
    if !text.is_empty() {
        text.push_str(SEPARATOR);
    }
}

fn add_sentence(text: &mut String, sentence: &str) {
    begin_sentence(text);
    text.push_str(sentence);
}

fn push_once<T: PartialEq>(names: &mut Vec<T>, name: T) {
    if !names.contains(&name) {
        names.push(name);
    }
}

/// Returns whether a state counts as the one asked about: a cover that is half open is open.
pub fn is_so(property: &Property, wanted: &Value, found: &Value) -> bool {
    match (property, wanted, found) {
        (Property::Position, Value::Number(wanted), Value::Number(found)) if *wanted >= 100.0 => {
            *found > 0.0
        }
        // Heating in any mode but "off" is on.
        (Property::HvacMode, Value::Text(wanted), Value::Text(found)) if wanted == "on" => {
            found != "off"
        }
        (_, Value::Number(a), Value::Number(b)) => (a - b).abs() < 0.5,
        (_, Value::Text(word), Value::Flag(flag)) => {
            matches!(word.as_str(), "on" | "open" | "home") == *flag
        }
        _ => wanted == found,
    }
}

/// Returns the name of a reading. The target temperature of a thermostat is not the temperature of
/// the room.
fn reading_name<'c>(device: &Device, capability: &'c Capability) -> &'c str {
    let is_set = capability.settable;
    match (&capability.property, device.kind.as_str()) {
        (Property::Temperature, "climate" | "water_heater") if is_set => "target_temperature",
        (Property::Humidity, "climate" | "humidifier") if is_set => "target_humidity",
        (property, _) => property.name(),
    }
}

fn unit(capability: &Capability) -> &str {
    if let Domain::Number { unit, .. } = &capability.domain {
        unit
    } else {
        ""
    }
}

fn value_in_words<'a>(
    speech: &'a Speech,
    property: &Property,
    value: &Value,
    unit: &str,
) -> Cow<'a, str> {
    match (property, value) {
        (Property::Position, Value::Number(n)) if *n <= 0.0 => speech.value("closed").into(),
        (Property::Position, Value::Number(n)) if *n >= 100.0 => speech.value("open").into(),
        (Property::Position, Value::Number(n)) => {
            fill(&speech.part_open, &[("value", &speech.number(*n))]).into()
        }
        (Property::Color, Value::Text(color)) if color.starts_with('#') => {
            let name = crate::binding::color::common_name(color);
            word_for(speech, name.unwrap_or(color))
        }
        (_, Value::Text(word)) => word_for(speech, word),
        (property, Value::Flag(flag)) => speech.value(property.flag_word(*flag)).into(),
        (_, Value::Number(n)) if unit.is_empty() => speech.number(*n).into(),
        (_, Value::Number(n)) => format!("{} {unit}", speech.number(*n)).into(),
    }
}

/// Returns the word for a value, which is the device's own word if the language has none.
fn word_for<'a>(speech: &'a Speech, word: &str) -> Cow<'a, str> {
    match speech.values.get(word) {
        Some(known) => known.into(),
        None => word.to_owned().into(),
    }
}

/// Returns a change in words: `brightness 40 %`, `on`, `closed`.
fn change_in_words<'a>(
    speech: &'a Speech,
    resolved: &Resolved<'_>,
    value: Option<&Value>,
) -> Cow<'a, str> {
    let unit = unit(resolved.capability);
    in_words(
        speech,
        (&resolved.action.property, resolved.action.op),
        value,
        unit,
    )
}

fn in_words<'a>(
    speech: &'a Speech,
    (property, op): (&Property, Op),
    value: Option<&Value>,
    unit: &str,
) -> Cow<'a, str> {
    let name = || speech.property(property.name());
    let of = |form: &str| fill(form, &[("property", &name())]).into();
    match (property, op, value) {
        (_, Op::Stop, _) => speech.stopped.as_str().into(),
        (Property::Press, ..) => speech.pressed.as_str().into(),
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
        ) => value_in_words(speech, property, value, unit),
        (property, _, Some(value)) => {
            let value = value_in_words(speech, property, value, unit);
            let places = [("property", &*name()), ("value", &value)];
            fill(&speech.becomes, &places).into()
        }
        (_, Op::Toggle, None) => of(&speech.toggled),
        (_, Op::Increase, None) => of(&speech.up),
        (_, Op::Decrease, None) => of(&speech.down),
        (_, _, None) => name().into(),
    }
}

/// Returns a change with its device, for the question before a risky action:
/// `Unlock the front door`.
pub(super) fn announced_change(
    speech: &Speech,
    resolved: &Resolved<'_>,
    value: Option<&Value>,
) -> String {
    let value_name = match value {
        Some(Value::Text(word)) => word.as_str(),
        Some(Value::Number(n)) if *n <= 0.0 => "closed",
        Some(Value::Number(n)) if *n >= 100.0 => "open",
        _ => "",
    };
    let key = format!("{}={value_name}", resolved.action.property);
    if let Some(form) = speech.ask.get(&key) {
        let places = [
            ("device", resolved.device.name.as_str()),
            ("the_device", &the_device(speech, resolved.device)),
        ];
        return fill(form, &places);
    }
    let change = change_in_words(speech, resolved, value);
    let places = [
        ("devices", resolved.device.name.as_str()),
        ("what", &change),
    ];
    fill(&speech.done, &places)
}

/// Describes changes of several devices, those with the same change in one phrase.
pub(super) fn changes_in_words(speech: &Speech, steps: &[(&Device, &Step)]) -> Vec<String> {
    let mut groups = Groups::default();
    for (device, step) in steps {
        let property = &step.action.property;
        let unit = device.capability(property).map_or("", unit);
        let subject = (property, step.action.op);
        let change = in_words(speech, subject, step.target_value.as_ref(), unit);
        groups.add(change, device);
    }
    let phrase = |(change, devices): &Group<'_>| {
        let devices = speech.list_up_to(devices, MOST_LISTED);
        fill(&speech.done, &[("devices", &devices), ("what", change)])
    };
    groups.0.iter().map(phrase).collect()
}

/// Returns the question before risky changes: `Unlock the front door? Say yes within 30 s`.
pub(super) fn confirm(speech: &Speech, changes: &[String]) -> String {
    speech.confirmation(&speech.list(changes))
}

/// Returns whether a question for a level is about a device that is off: "how bright is the lamp".
fn is_level_of_off(resolved: &Resolved<'_>) -> bool {
    let is_level = matches!(
        resolved.capability.property,
        Property::Brightness | Property::Speed
    );
    is_level && resolved.is_off && resolved.action.value.is_none()
}
