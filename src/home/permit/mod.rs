//! The permission gate: it turns a [`Draft`] from any origin into a [`Plan`], or returns the reason
//! for the refusal.
//!
//! A message is published, under any name, group, scene, topic or value, only if every device it
//! could move may be moved that way by this source at this risk. Nothing else can make a `Plan`,
//! whose fields are private to this module. A refused action refuses the whole draft, except in a
//! collective phrase ("all the lights"), where the others are executed and the reply names the
//! omitted devices.

mod denied;
mod device_name;
mod domain_text;
mod plan;
mod request;
mod resolved;
mod risk;
mod speech;
mod target;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use serde_json::json;
use smallvec::{SmallVec, smallvec};

pub use crate::home::permit::denied::{Denied, Unsupported};
pub use crate::home::permit::device_name::the_device;
use crate::home::permit::plan::PlanSpeech;
pub use crate::home::permit::plan::{MOST_ACTIONS, Plan, Step};
pub use crate::home::permit::request::PermitRequest;
pub use crate::home::permit::risk::is_opening;
pub use crate::home::permit::speech::is_so;

use crate::binding::{PowerOn, Publication};
use crate::home::Home;
use crate::home::capability::Risk;
use crate::home::permit::resolved::{Resolved, unknown_device};
use crate::home::permit::risk::ProposedMessage;
use crate::home::permit::speech::SpeechBuilder;
use crate::home::permit::target::{TargetValue, target};
use crate::home::state::{Observation, State};
use crate::vocabulary::action::{Action, Draft, Op, TargetScope};
use crate::vocabulary::{Property, Value};

impl Home {
    /// Checks every action of `draft` and turns it into the messages to publish.
    ///
    /// # Errors
    /// When an action names something that does not exist, is not supported, is out of range, is
    /// not allowed for the source, contradicts another action, or must be confirmed first.
    pub fn permit(
        &self,
        draft: &Draft,
        state: &State,
        context: PermitRequest<'_>,
    ) -> Result<Plan, Denied> {
        if draft.actions.len() > MOST_ACTIONS {
            return Err(Denied::TooMany {
                count: draft.actions.len(),
            });
        }
        if draft.timing.is_some() || draft.condition.is_some() {
            // A command for later must not be carried out now, nor one whose condition was not
            // looked at.
            return Err(Denied::Nothing);
        }
        if draft.actions.is_empty() {
            return spoken(draft);
        }
        let actions = distinct(self, &draft.actions)?;
        let mut gate = Gate {
            home: self,
            draft,
            state,
            context,
            plan: Plan {
                steps: Vec::with_capacity(actions.len()),
                ..Plan::default()
            },
            speech: SpeechBuilder::new(context),
            unconfirmed: Vec::new(),
            first_denied: None,
        };
        for action in actions {
            if let Err(denied) = gate.admit(action) {
                gate.leave_out(action, denied)?;
            }
        }
        gate.name_left_out();
        gate.finish()
    }

    fn step(
        &self,
        resolved: &Resolved<'_>,
        target_value: Option<Value>,
        command: &str,
    ) -> Result<Step, Denied> {
        let Resolved {
            device,
            capability,
            action,
            ..
        } = *resolved;
        let binding = &capability.binding;
        let publication = if resolved.uses_own_format() {
            if let Some(source) = &device.announced {
                // Only the announcement says how to command it. Nobody receives the own format.
                return Err(Denied::NotAnnounced {
                    device: device.into(),
                    source_name: source.clone(),
                });
            }
            let (op, value) = match &target_value {
                Some(value) => (Op::Set, Some(value)),
                None => (action.op, action.value.as_ref()),
            };
            let payload =
                json!({"property": action.property, "op": op, "value": value, "command": command});
            Publication::new(self.action_topic(&device.id), payload.to_string())
        } else {
            let (publication, lack) = match (action.op, &target_value) {
                (Op::Stop, _) => (binding.stop.clone(), Unsupported::Stop),
                (Op::Toggle, None) => (binding.toggle.clone(), Unsupported::Toggle),
                (_, Some(value)) => (
                    binding.encode(value),
                    Unsupported::Encoding(Some(value.clone())),
                ),
                (_, None) => (
                    binding.encode(&Value::text("PRESS")),
                    Unsupported::Encoding(None),
                ),
            };
            publication.ok_or_else(|| resolved.lacks(lack))?
        };
        let is_absolute = target_value
            .as_ref()
            .is_some_and(|value| !is_momentary(&action.property, value));
        Ok(Step {
            device: device.id.clone(),
            action: Action {
                property: capability.property.clone(),
                ..action.clone()
            },
            repeatable: action.op == Op::Stop || is_absolute,
            target_value,
            publication,
        })
    }
}

/// Answers a draft without actions.
fn spoken(draft: &Draft) -> Result<Plan, Denied> {
    let text = draft.speech.clone().ok_or(Denied::Nothing)?;
    Ok(Plan {
        steps: Vec::new(),
        speech: PlanSpeech { text, changes: 0 },
    })
}

/// The gate at work on one draft.
struct Gate<'a> {
    home: &'a Home,
    draft: &'a Draft,
    state: &'a State,
    context: PermitRequest<'a>,
    plan: Plan,
    speech: SpeechBuilder<'a>,
    /// The changes that must be confirmed, in words.
    unconfirmed: Vec<String>,
    first_denied: Option<Denied>,
}

impl<'a> Gate<'a> {
    /// Adds an action to the plan, or an answer to the reply.
    fn admit(&mut self, action: &'a Action) -> Result<(), Denied> {
        let context = self.context;
        let resolved = Resolved::new(self.home, (action, self.draft), self.state, context)?;
        if action.op == Op::Query {
            let query = self.draft.state_query.as_ref();
            match resolved.both_targets(self.state, context.now) {
                Some(targets) => targets
                    .iter()
                    .for_each(|t| self.speech.add_answer(t, query)),
                None => self.speech.add_answer(&resolved, query),
            }
            return Ok(());
        }
        let value = match target(&resolved)? {
            TargetValue::Value(value) => Some(value),
            TargetValue::Unspecified => None,
            TargetValue::Unchanged(why) => {
                self.speech.add_unchanged(resolved.device, why);
                return Ok(());
            }
        };
        let step = self.home.step(&resolved, value, context.command)?;
        self.check_contradiction(&resolved, &step)?;
        let message = ProposedMessage {
            action: &step.action,
            value: step.target_value.as_ref(),
            publication: &step.publication,
        };
        let risk = self.home.judge(&resolved, message, self.state, context)?;
        if risk == Risk::Confirm && !context.confirmed {
            let change = speech::announced_change(context.speech, &resolved, message.value);
            self.unconfirmed.push(change);
        }
        let power = self.power_on(&resolved, step.target_value.as_ref())?;
        self.speech
            .add_change(&resolved, step.target_value.as_ref());
        match power {
            Some((PowerOn::Before, power)) => self.plan.steps.extend([power, step]),
            Some((PowerOn::After, power)) => self.plan.steps.extend([step, power]),
            None => self.plan.steps.push(step),
        }
        Ok(())
    }

    /// Refuses two values for one target temperature, of which one was named by the property that
    /// the mode selects.
    fn check_contradiction(&self, resolved: &Resolved<'_>, step: &Step) -> Result<(), Denied> {
        let is_other = |planned: &Step| {
            planned.device == step.device
                && planned.action.property == step.action.property
                && planned.target_value != step.target_value
        };
        if self.plan.steps.iter().any(is_other) {
            return Err(Denied::Contradiction {
                device: resolved.device.into(),
                property: step.action.property.clone(),
            });
        }
        Ok(())
    }

    /// Returns the step that turns the device on, for a value that does not do so by itself. It is
    /// not taken if the device is known to be on, for relative changes, which turn nothing on, and
    /// if the draft sets the power as well.
    fn power_on(
        &mut self,
        resolved: &Resolved<'_>,
        value: Option<&Value>,
    ) -> Result<Option<(PowerOn, Step)>, Denied> {
        let device = resolved.device;
        let Some(order) = resolved.capability.binding.power_on else {
            return Ok(None);
        };
        let is_on = self
            .state
            .current(&device.id, &Property::Power, self.context.now)
            .and_then(Observation::value)
            .is_some_and(|value| value.is_word("on"));
        let is_commanded = self.draft.actions.iter().any(|action| {
            action.device == device.id.as_str() && action.property == Property::Power
        });
        let turns_off = value.and_then(Value::number) == Some(0.0);
        let can_turn_on = device
            .capability(&Property::Power)
            .is_some_and(|power| power.settable);
        if resolved.action.op != Op::Set || is_on || is_commanded || turns_off || !can_turn_on {
            return Ok(None);
        }
        let action = Action {
            device: (&device.id).into(),
            property: Property::Power,
            op: Op::Set,
            value: Some(Value::text("on")),
        };
        let power = Resolved::new(self.home, (&action, self.draft), self.state, self.context)?;
        let step = self
            .home
            .step(&power, action.value.clone(), self.context.command)?;
        let message = ProposedMessage {
            action: &action,
            value: step.target_value.as_ref(),
            publication: &step.publication,
        };
        let risk = self.home.judge(&power, message, self.state, self.context)?;
        if risk == Risk::Confirm && !self.context.confirmed {
            let change = speech::announced_change(self.context.speech, &power, message.value);
            self.unconfirmed.push(change);
        }
        Ok(Some((order, step)))
    }

    /// Leaves an action of a collective phrase out; refuses the draft otherwise.
    fn leave_out(&mut self, action: &Action, denied: Denied) -> Result<(), Denied> {
        let device = self.home.device(&action.device);
        let (Some(device), true) = (device, self.draft.scope > TargetScope::Named) else {
            return Err(denied);
        };
        self.speech.add_left_out(device, &denied);
        self.first_denied.get_or_insert(denied);
        Ok(())
    }

    /// Names the devices that the phrase means and that cannot do it, except those that report the
    /// wanted state already.
    fn name_left_out(&mut self) {
        for left in &self.draft.left_out {
            let Some(device) = self.home.device(&left.device) else {
                continue;
            };
            let is_so = left.unless.as_ref().map(|(property, value)| {
                let seen = self.state.current(&device.id, property, self.context.now);
                let reported = seen.and_then(Observation::value);
                reported.is_some_and(|reported| reported == value)
            });
            if is_so != Some(true) {
                self.speech.add_unfit(device, left.why);
            }
        }
    }

    fn finish(mut self) -> Result<Plan, Denied> {
        if self.plan.steps.is_empty()
            && !self.speech.answers_something()
            && let Some(denied) = self.first_denied
        {
            return Err(denied);
        }
        self.ask_for_whole_home();
        if !self.unconfirmed.is_empty() {
            return Err(Denied::Unconfirmed {
                question: speech::confirm(self.context.speech, &self.unconfirmed),
            });
        }
        self.plan.speech = self.speech.text(self.draft.state_query.as_ref());
        Ok(self.plan)
    }

    /// Adds the devices that "everything" switches on to the changes to confirm, if it reaches
    /// beyond one area or heats, pumps or moves doors.
    fn ask_for_whole_home(&mut self) {
        let asks = !self.home.rights().whole_home_at_once && !self.context.confirmed;
        if !asks || self.draft.scope != TargetScope::Everything {
            return;
        }
        let devices = self
            .plan
            .steps
            .iter()
            .filter_map(|step| Some((step, self.home.device(step.device.as_str())?)));
        let (mut areas, mut risky) = (HashSet::new(), false);
        let mut names = Vec::new();
        for (step, device) in devices {
            let starts = starts_something(step);
            if starts {
                // Without an area nothing says that two devices are in one.
                let place = device.area.as_ref().unwrap_or(&device.id);
                areas.insert(place.clone());
            }
            let is_risky = device.is_door() || (starts && device.heats_or_pumps());
            risky |= is_risky;
            if starts || is_risky {
                names.push((device, step));
            }
        }
        if areas.len() > 1 || risky {
            let speech = self.context.speech;
            let changes = speech::changes_in_words(speech, &names);
            self.unconfirmed = changes;
        }
    }
}

/// Returns whether a step starts, opens or heats something.
fn starts_something(step: &Step) -> bool {
    match (&step.action.property, &step.target_value) {
        // A relative change turns nothing on.
        (Property::Brightness, _) if step.action.op != Op::Set => false,
        (_, None) => step.action.op != Op::Stop,
        (Property::Position | Property::Speed | Property::Brightness, Some(Value::Number(n))) => {
            *n > 0.0
        }
        (_, Some(Value::Text(word))) => !matches!(
            word.as_str(),
            "off" | "locked" | "stopped" | "paused" | "docked"
        ),
        (_, Some(Value::Flag(flag))) => *flag,
        (_, Some(Value::Number(_))) => true,
    }
}

/// Returns whether setting this value does something each time, so that it must not be repeated.
fn is_momentary(property: &Property, value: &Value) -> bool {
    match property {
        Property::Press | Property::Script => true,
        Property::Playback => value.is_word("next") || value.is_word("previous"),
        Property::Vacuum => value.is_word("located"),
        _ => false,
    }
}

/// Returns the actions without repetitions, which small models write: a second press would stop the
/// garage door that the first one opened. The same action at another time is another draft.
///
/// # Errors
/// When one property is set to two values.
fn distinct<'a>(home: &Home, actions: &'a [Action]) -> Result<DistinctActions<'a>, Denied> {
    if let [only] = actions {
        return Ok(smallvec![only]);
    }
    let mut distinct = DistinctActions::new();
    let mut changes = HashMap::new();
    for action in actions {
        if action.op == Op::Query {
            if !distinct.contains(&action) {
                distinct.push(action);
            }
            continue;
        }
        match changes.entry((action.device.as_str(), &action.property)) {
            Entry::Vacant(place) => {
                place.insert(action);
                distinct.push(action);
            }
            Entry::Occupied(first) if *first.get() == action => {}
            Entry::Occupied(_) => {
                let device = home
                    .device(&action.device)
                    .ok_or_else(|| unknown_device(action))?;
                return Err(Denied::Contradiction {
                    device: device.into(),
                    property: action.property.clone(),
                });
            }
        }
    }
    Ok(distinct)
}

/// The different actions of a draft, in order.
type DistinctActions<'a> = SmallVec<[&'a Action; 1]>;

#[cfg(test)]
mod breach_tests;
#[cfg(test)]
mod tests;
