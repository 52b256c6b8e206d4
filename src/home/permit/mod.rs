//! The one gate to the devices. A [`Draft`] goes in, whoever made it; a [`Plan`] comes out, or why not.
//! Nothing else can make a `Plan`: its fields are private to this file. All or nothing: one action that may not be
//! done stops the others of its command.

pub mod speech;
use std::time::Instant;

use serde_json::json;

use crate::binding::Publication;
use crate::home::Home;
use crate::home::capability::{Capability, Risk};
use crate::home::device::Device;
use crate::home::state::{Observation, State};
use crate::vocabulary::action::{Action, Draft, Op};
use crate::vocabulary::slug::Slug;
use crate::vocabulary::speech::{Speech, fill};
use crate::vocabulary::{Domain, Property, Value};

/// The most actions one command may have. A home of 100 lamps can still be turned off at once;
/// a model gone wild cannot flood the broker.
pub const MOST_ACTIONS: usize = 256;

/// Who asks, and what is known while the gate decides.
#[derive(Debug, Clone, Copy)]
pub struct PermitContext<'a> {
    /// The source, for its rights.
    pub source: &'a str,
    /// The command's id, for devices that have no binding of their own.
    pub command: &'a str,
    /// True once the same source said yes to exactly this draft.
    pub confirmed: bool,
    /// The moment, for how old a state is.
    pub now: Instant,
    /// The words of the language it was asked in.
    pub speech: &'a Speech,
}

/// What will be done: checked, absolute where it can be, with the very messages.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    steps: Vec<Step>,
    answers: Vec<Action>,
    speech: String,
}

/// One message to one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    device: Slug,
    action: Action,
    becomes: Option<Value>,
    publish: Publication,
    repeatable: bool,
}

impl Step {
    /// The device it is for: what must be in order is what a device hears.
    pub fn device(&self) -> &Slug {
        &self.device
    }

    /// What was understood.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// The value the device will have; `None` where that is not known (the next track).
    pub fn becomes(&self) -> Option<&Value> {
        self.becomes.as_ref()
    }

    /// The message.
    pub fn publish(&self) -> &Publication {
        &self.publish
    }

    /// True where hearing it twice does no harm.
    pub fn repeatable(&self) -> bool {
        self.repeatable
    }
}

impl Plan {
    /// What to send, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The questions about state it answers.
    pub fn answers(&self) -> &[Action] {
        &self.answers
    }

    /// What to tell the speaker once it is done.
    pub fn speech(&self) -> &str {
        &self.speech
    }
}

/// Why a draft may not be done. `Display` is for the log; the speaker hears [`Denied::sentence`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Denied {
    /// The draft does nothing and says nothing.
    #[error("nothing to do")]
    Nothing,
    /// More actions than [`MOST_ACTIONS`].
    #[error("{count} actions at once")]
    TooMany {
        /// How many there were.
        count: usize,
    },
    /// There is no such device.
    #[error("no device `{device}`")]
    UnknownDevice {
        /// The name given.
        device: String,
    },
    /// The device has no such property, or it cannot be set, or not in that way.
    #[error("{device} cannot do that with its {property}: {lack:?}")]
    NotCapable {
        /// The device's name.
        device: String,
        /// The property.
        property: Property,
        /// What is missing.
        lack: MissingState,
    },
    /// The value is not one the device takes.
    #[error("{device} does not take {property} {value}")]
    OutOfRange {
        /// The device's name.
        device: String,
        /// The property.
        property: Property,
        /// The value found.
        value: String,
        /// The values it takes.
        takes: Box<Domain>,
    },
    /// The source may not.
    #[error("{source_name} may not command {device}")]
    NotAllowed {
        /// Who asked.
        source_name: String,
        /// The device's name.
        device: String,
    },
    /// The operator said never.
    #[error("{device} ({property}) is never to be commanded")]
    Never {
        /// The device's name.
        device: String,
        /// The property.
        property: Property,
    },
    /// Two actions of one command want different things of one property.
    #[error("two different things of {device} ({property})")]
    Contradiction {
        /// The device's name.
        device: String,
        /// The property.
        property: Property,
    },
    /// A toggle or a relative change of something whose state nobody has told.
    #[error("the present {property} of {device} is not known")]
    StateUnknown {
        /// The device's name.
        device: String,
        /// The property.
        property: Property,
    },
    /// It wants a yes first.
    #[error("{question}")]
    Unconfirmed {
        /// What to ask.
        question: String,
    },
}

/// What a device lacks for what was asked of it.
#[derive(Debug, Clone, PartialEq)]
pub enum MissingState {
    /// The property.
    Property,
    /// It can be read only.
    Setting,
    /// A value was not said.
    Value,
    /// It has no more or less.
    Steps,
    /// It has no opposite.
    Opposite,
    /// It cannot be stopped.
    Stop,
    /// It cannot be toggled while its state is unknown.
    Toggle,
    /// There is no way to tell it this.
    Way(Option<Value>),
}

impl Denied {
    /// What the speaker hears, in his language.
    pub fn sentence(&self, speech: &Speech) -> String {
        let say = &speech.denied;
        let of = |form: &str, device: &str, property: &Property| {
            fill(
                form,
                &[
                    ("device", device),
                    ("property", &speech.property(property.name())),
                ],
            )
        };
        match self {
            Self::Nothing => say.nothing.clone(),
            Self::TooMany { count } => fill(
                &say.too_many,
                &[
                    ("count", &count.to_string()),
                    ("most", &MOST_ACTIONS.to_string()),
                ],
            ),
            Self::UnknownDevice { device } => fill(&say.unknown_device, &[("device", device)]),
            Self::NotCapable {
                device,
                property,
                lack,
            } => match lack {
                MissingState::Property => of(&say.lacks, device, property),
                MissingState::Setting => of(&say.read_only, device, property),
                MissingState::Value => of(&say.wants_value, device, property),
                MissingState::Steps => of(&say.no_steps, device, property),
                MissingState::Opposite => of(&say.no_opposite, device, property),
                MissingState::Stop => of(&say.no_stop, device, property),
                MissingState::Toggle => of(&say.no_toggle, device, property),
                MissingState::Way(value) => {
                    let value = value.as_ref().map(ToString::to_string).unwrap_or_default();
                    fill(
                        &say.no_way,
                        &[
                            ("device", device),
                            ("property", &speech.property(property.name())),
                            ("value", speech.value(&value)),
                        ],
                    )
                }
            },
            Self::OutOfRange {
                device,
                property,
                value,
                takes,
            } => {
                let places = [
                    ("device", device.as_str()),
                    ("property", &speech.property(property.name())),
                    ("value", value),
                    ("wanted", &speech::takes(speech, takes)),
                ];
                fill(&say.out_of_range, &places)
            }
            Self::NotAllowed {
                source_name,
                device,
            } => fill(
                &say.not_allowed,
                &[("source", source_name), ("device", device)],
            ),
            Self::Never { device, property } => of(&say.never, device, property),
            Self::Contradiction { device, property } => of(&say.contradiction, device, property),
            Self::StateUnknown { device, property } => of(&say.state_unknown, device, property),
            Self::Unconfirmed { question } => question.clone(),
        }
    }
}

/// An action whose device and capability exist and may be commanded by the one who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resolved<'a> {
    pub(super) device: &'a Device,
    pub(super) capability: &'a Capability,
    pub(super) action: &'a Action,
    /// What is known of its present value.
    pub(super) seen: Option<&'a Observation>,
}

impl Resolved<'_> {
    /// True of a device without a binding: it takes relative changes and toggles as they are.
    fn speaks_our_words(&self) -> bool {
        let link = &self.capability.link;
        link.command.is_none() && link.stop.is_none() && link.fixed.is_empty()
    }
}

impl Home {
    /// Checks every action of `draft` and turns it into the very messages to send.
    ///
    /// # Errors
    /// When any action names what does not exist, cannot be done, is out of range, is not allowed for the source,
    /// contradicts another, or wants a yes that has not been given.
    pub fn permit(
        &self,
        draft: &Draft,
        state: &State,
        asker: PermitContext<'_>,
    ) -> Result<Plan, Denied> {
        if draft.actions.len() > MOST_ACTIONS {
            return Err(Denied::TooMany {
                count: draft.actions.len(),
            });
        }
        if draft.actions.is_empty() && draft.speech.is_none() {
            return Err(Denied::Nothing);
        }
        contradictions(self, &draft.actions)?;
        let mut plan = Plan::default();
        let mut said = speech::SpeechBuilder::new(asker.speech);
        let mut unconfirmed = Vec::new();
        for action in &draft.actions {
            let meant = self.meant(action, state, asker.source)?;
            if action.op == Op::Query {
                said.answer(&meant, draft.asked.as_ref(), asker.now);
                plan.answers.push(action.clone());
                continue;
            }
            let becomes = absolute(&meant)?;
            let step = self.step(&meant, becomes.clone(), asker.command)?;
            match risk(&meant, becomes.as_ref()).max(self.under_other_names(&step, asker.source)?) {
                Risk::Never => {
                    return Err(Denied::Never {
                        device: meant.device.name.clone(),
                        property: action.property.clone(),
                    });
                }
                Risk::Confirm if !asker.confirmed => {
                    unconfirmed.push(speech::intent(asker.speech, &meant, becomes.as_ref()));
                }
                Risk::Auto | Risk::Confirm => {}
            }
            said.done(&meant, becomes.as_ref());
            if meant.device.is_away(state) {
                said.away(meant.device);
            }
            plan.steps.push(step);
        }
        if !unconfirmed.is_empty() {
            return Err(Denied::Unconfirmed {
                question: speech::confirm(asker.speech, &unconfirmed),
            });
        }
        let speech = draft
            .speech
            .clone()
            .unwrap_or_else(|| said.sentence(draft.asked.as_ref()));
        // It was told all the same: who says that it is away may be wrong, and it may be back any moment.
        plan.speech = [Some(speech), said.missing()]
            .into_iter()
            .flatten()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        Ok(plan)
    }

    fn meant<'a>(
        &'a self,
        action: &'a Action,
        state: &'a State,
        source: &str,
    ) -> Result<Resolved<'a>, Denied> {
        let device = self
            .device(&action.device)
            .ok_or_else(|| Denied::UnknownDevice {
                device: action.device.chars().take(80).collect(),
            })?;
        if !self.rights().allow(source, device, &action.property) {
            return Err(Denied::NotAllowed {
                source_name: source.to_owned(),
                device: device.name.clone(),
            });
        }
        let not = |lack| Denied::NotCapable {
            device: device.name.clone(),
            property: action.property.clone(),
            lack,
        };
        let capability = device
            .can(&action.property)
            .ok_or_else(|| not(MissingState::Property))?;
        if action.op != Op::Query && !capability.settable {
            return Err(not(MissingState::Setting));
        }
        Ok(Resolved {
            device,
            capability,
            action,
            seen: state.of(&device.id, &action.property),
        })
    }

    /// The risk the step's topic has where other devices are commanded on it as well: a stranger may announce a lamp that is
    /// switched on by what opens the door. Whoever may not command those may not do it under this name either.
    fn under_other_names(&self, step: &Step, source: &str) -> Result<Risk, Denied> {
        let mut worst = Risk::Auto;
        for &(d, c) in self.shared.get(&step.publish.topic).into_iter().flatten() {
            let (device, capability) = (&self.devices[d], &self.devices[d].capabilities[c]);
            if device.id == step.device || !capability.settable {
                continue;
            }
            if !self.rights().allow(source, device, &capability.property) {
                return Err(Denied::NotAllowed {
                    source_name: source.to_owned(),
                    device: device.name.clone(),
                });
            }
            worst = worst
                .max(capability.guard.opening)
                .max(capability.guard.otherwise);
        }
        Ok(worst)
    }

    fn step(
        &self,
        meant: &Resolved<'_>,
        becomes: Option<Value>,
        command: &str,
    ) -> Result<Step, Denied> {
        let Resolved {
            device,
            capability,
            action,
            ..
        } = *meant;
        let link = &capability.link;
        let not = |lack| Denied::NotCapable {
            device: device.name.clone(),
            property: action.property.clone(),
            lack,
        };
        let publish = if meant.speaks_our_words() {
            let (op, value) = if becomes.is_some() {
                (Op::Set, becomes.as_ref())
            } else {
                (action.op, action.value.as_ref())
            };
            let payload =
                json!({"property": action.property, "op": op, "value": value, "command": command});
            Publication::new(self.action_topic(&device.id), payload.to_string())
        } else {
            match (action.op, &becomes) {
                (Op::Stop, _) => link.stop.clone().ok_or_else(|| not(MissingState::Stop))?,
                (Op::Toggle, None) => link
                    .toggle
                    .clone()
                    .ok_or_else(|| not(MissingState::Toggle))?,
                (_, Some(value)) => link
                    .encode(value)
                    .ok_or_else(|| not(MissingState::Way(Some(value.clone()))))?,
                (_, None) => link
                    .encode(&Value::text("PRESS"))
                    .ok_or_else(|| not(MissingState::Way(None)))?,
            }
        };
        let repeatable = action.op == Op::Stop
            || becomes
                .as_ref()
                .is_some_and(|value| !is_momentary(&action.property, value));
        Ok(Step {
            device: device.id.clone(),
            action: action.clone(),
            becomes,
            publish,
            repeatable,
        })
    }
}

/// Values that do something each time they are said, so that saying them twice is not saying them once.
fn is_momentary(property: &Property, value: &Value) -> bool {
    match property {
        Property::Press | Property::Script => true,
        Property::Playback => {
            matches!(value, Value::Text(word) if word == "next" || word == "previous")
        }
        Property::Vacuum => *value == Value::text("located"),
        _ => false,
    }
}

fn contradictions(home: &Home, actions: &[Action]) -> Result<(), Denied> {
    let changes: Vec<_> = actions.iter().filter(|a| a.op != Op::Query).collect();
    let mut first = std::collections::HashMap::new();
    for action in changes {
        let known = first
            .entry((action.device.as_str(), &action.property))
            .or_insert(action);
        if !std::ptr::eq(*known, action) && **known != *action {
            let device = home
                .device(&action.device)
                .map_or_else(|| action.device.clone(), |d| d.name.clone());
            return Err(Denied::Contradiction {
                device,
                property: action.property.clone(),
            });
        }
    }
    Ok(())
}

/// The value the action comes to; `None` for what has none (stop, press, a toggle left to the device).
fn absolute(meant: &Resolved<'_>) -> Result<Option<Value>, Denied> {
    let Resolved {
        device,
        capability,
        action,
        seen,
    } = *meant;
    let unknown = || Denied::StateUnknown {
        device: device.name.clone(),
        property: action.property.clone(),
    };
    let not = |lack| Denied::NotCapable {
        device: device.name.clone(),
        property: action.property.clone(),
        lack,
    };
    let own = meant.speaks_our_words();
    match action.op {
        Op::Set if capability.takes == Domain::Trigger => Ok(None),
        Op::Set => {
            let value = action
                .value
                .as_ref()
                .ok_or_else(|| not(MissingState::Value))?;
            within(device, capability, value).map(Some)
        }
        Op::Toggle => match (&capability.takes, seen.map(|s| &s.value)) {
            (_, Some(now)) => other(&capability.takes, now)
                .map(Some)
                .ok_or_else(|| not(MissingState::Opposite)),
            (_, None) if own || capability.link.toggle.is_some() => Ok(None),
            (_, None) => Err(unknown()),
        },
        Op::Increase | Op::Decrease => {
            let Domain::Number {
                min, max, ref unit, ..
            } = capability.takes
            else {
                return Err(not(MissingState::Steps));
            };
            let by = match &action.value {
                None => capability.step,
                Some(by) => in_number(by, unit)
                    .filter(|n| *n > 0.0)
                    .ok_or_else(|| out_of_range(device, capability, by))?,
            };
            let Some(now) = seen.and_then(|s| s.value.number()) else {
                return if own { Ok(None) } else { Err(unknown()) };
            };
            let to = if action.op == Op::Increase {
                now + by
            } else {
                now - by
            };
            within(device, capability, &Value::Number(to.clamp(min, max))).map(Some)
        }
        Op::Stop | Op::Query => Ok(None),
    }
}

fn other(takes: &Domain, now: &Value) -> Option<Value> {
    match (takes, now) {
        (Domain::Choice(words), Value::Text(word)) if words.len() == 2 => {
            words.iter().find(|w| *w != word).map(|w| Value::text(w))
        }
        (Domain::Boolean, Value::Flag(flag)) => Some(Value::Flag(!flag)),
        (Domain::Number { min, max, .. }, Value::Number(n)) => {
            Some(Value::Number(if n > min { *min } else { *max }))
        }
        _ => None,
    }
}

fn out_of_range(device: &Device, capability: &Capability, value: &Value) -> Denied {
    Denied::OutOfRange {
        device: device.name.clone(),
        property: capability.property.clone(),
        value: value.to_string().chars().take(80).collect(),
        takes: Box::new(capability.takes.clone()),
    }
}

/// The value as the capability takes it: a number on its grain, a word in its own case.
fn within(device: &Device, capability: &Capability, value: &Value) -> Result<Value, Denied> {
    let fits = match (&capability.takes, value) {
        (
            Domain::Number {
                min,
                max,
                step,
                unit,
            },
            value,
        ) => in_number(value, unit)
            .filter(|n| n >= min && n <= max)
            .map(|n| {
                let grain = step.filter(|s| *s > 0.0);
                let on_grain =
                    grain.map_or(n, |s| (min + ((n - min) / s).round() * s).clamp(*min, *max));
                Value::Number((on_grain * 1e6).round() / 1e6)
            }),
        // A step called "3" is a word all the same.
        (Domain::Choice(words), Value::Number(n)) => words
            .iter()
            .find(|w| **w == n.to_string())
            .map(|w| Value::text(w)),
        (Domain::Choice(words), Value::Text(text)) => words
            .iter()
            .find(|w| w.eq_ignore_ascii_case(text))
            .map(|w| Value::text(w)),
        (Domain::Choice(words), Value::Flag(flag)) => {
            let word = if *flag { "on" } else { "off" };
            words.iter().any(|w| w == word).then(|| Value::text(word))
        }
        (Domain::Boolean, Value::Flag(flag)) => Some(Value::Flag(*flag)),
        (Domain::Boolean, Value::Text(text)) => match text.as_str() {
            "on" | "true" => Some(Value::Flag(true)),
            "off" | "false" => Some(Value::Flag(false)),
            _ => None,
        },
        (Domain::Color, Value::Text(text)) => {
            let name = text.to_ascii_lowercase();
            let plain = name.strip_prefix('#').map_or_else(
                || name.bytes().all(|b| b.is_ascii_lowercase()),
                |hex| hex.len() == 6,
            );
            (plain && crate::binding::color::rgb(&name).is_some()).then_some(Value::Text(name))
        }
        _ => None,
    };
    fits.ok_or_else(|| out_of_range(device, capability, value))
}

/// A number, or a text that is one, in no other unit than the capability's own: "40 %".
fn in_number(value: &Value, unit: &str) -> Option<f64> {
    let number = match value {
        Value::Number(n) => Some(*n),
        Value::Text(text) => {
            let text = text.trim();
            text.strip_suffix(unit)
                .unwrap_or(text)
                .trim_end()
                .parse()
                .ok()
        }
        Value::Flag(_) => None,
    };
    number.filter(|n| n.is_finite())
}

/// The risk of this very change. What is already as wanted, or of unknown direction, is judged as if it opened.
fn risk(meant: &Resolved<'_>, becomes: Option<&Value>) -> Risk {
    let Resolved {
        device,
        capability,
        seen,
        ..
    } = *meant;
    let alarm = device.kind.as_str() == "alarm_control_panel";
    let opens = match (&capability.property, becomes) {
        (Property::Lock, Some(Value::Text(word))) => word != "locked",
        (Property::Power, Some(Value::Text(word))) => (word == "off") == alarm,
        (Property::Position | Property::Tilt, Some(Value::Number(to))) => {
            let now = seen.and_then(|s| s.value.number());
            *to > 0.0 && now.is_none_or(|now| *to > now)
        }
        // Whoever says stop means now: something may be in the way of the gate.
        (_, None) if meant.action.op == Op::Stop => false,
        // Toggling what nobody knows may open it.
        _ => true,
    };
    if opens {
        capability.guard.opening
    } else {
        capability.guard.otherwise
    }
}

#[cfg(test)]
mod tests;
