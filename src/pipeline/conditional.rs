//! Commands with a condition: one for now is looked at and answered; one for later is a rule, which
//! waits for a state that a device reports.
//!
//! A rule fires only when a device reports a change into the state. The first report after a start
//! or an interruption, a retained one, and an unknown or expired state never fire it.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::now;
use crate::command::reply::{Refusal, Scheduled};
use crate::home::Home;
use crate::home::permit::is_so;
use crate::home::state::Observation;
use crate::pipeline::due_time::DueTime;
use crate::pipeline::handle::Pipeline;
use crate::pipeline::interpretation::{Interpretation, Request};
use crate::pipeline::reply::{Handled, Success};
use crate::pipeline::time_speech::{lasting_in_words, scheduled_in_words, with_replaced};
use crate::schedule::due::Due;
use crate::schedule::moment;
use crate::schedule::sun::{SunEvent, sun};
use crate::schedule::timer::Task;
use crate::schedule::timers::rules::WaitingRule;
use crate::store::journal::Seq;
use crate::vocabulary::action::{Action, Draft, Op};
use crate::vocabulary::condition::{Condition, ConditionMode, ExpectedState, StateTest};
use crate::vocabulary::slug::Slug;
use crate::vocabulary::speech::{fill, sentence};
use crate::vocabulary::timing::Timing;
use crate::vocabulary::{Property, Value};

impl Pipeline {
    /// Handles a command with a condition.
    pub(super) async fn handle_conditional(
        &self,
        request: &Request<'_>,
        interpretation: Interpretation,
        condition: Condition,
        seq: Option<Seq>,
    ) -> Handled {
        let handled = Handled::understood(&interpretation).with_actions(Vec::new());
        // Whoever may not read a state may not act on it either.
        let found = match self.states_asked_about(request, &condition) {
            Ok(found) => found,
            Err(refusal) => return handled.with_result(Err(refusal)),
        };
        if condition.mode != ConditionMode::Now {
            let rule = self.add_rule(request, &interpretation, condition, &found);
            return match rule.await {
                Ok((text, scheduled)) => handled
                    .with_scheduled(scheduled)
                    .with_result(Ok(Success::Done(text))),
                Err(refusal) => handled.with_result(Err(refusal)),
            };
        }
        let forms = &self.services.grammar.speech(request.phrase).condition;
        let form = match self.holds(&condition, request.home) {
            Some(true) => {
                let now = Interpretation {
                    draft: Draft {
                        condition: None,
                        ..interpretation.draft
                    },
                    model_draft: None,
                    ..interpretation
                };
                let Some(timing) = now.draft.timing.clone() else {
                    return self.permit_and_dispatch(request, &now, seq).await;
                };
                return self.handle_timed(request, &now, &timing, seq).await;
            }
            Some(false) => &forms.not_so,
            None => &forms.unknown,
        };
        let found = match condition.tests.as_slice() {
            [StateTest::Dark(dark)] if self.holds(&condition, request.home) == Some(false) => {
                sentence(if *dark { &forms.light } else { &forms.dark })
            }
            _ => found,
        };
        let text = sentence(fill(form, &[("state", &found)]).trim());
        handled.with_result(Ok(Success::Answered(text)))
    }

    /// Asks the gate for the states of a condition, as a question of its source would. Returns the
    /// answer.
    fn states_asked_about(
        &self,
        request: &Request<'_>,
        condition: &Condition,
    ) -> Result<String, Refusal> {
        let query = |test: &StateTest| match test {
            StateTest::Device {
                device,
                property,
                is,
            } => Some(Action {
                device: device.as_str().into(),
                property: property.clone(),
                op: Op::Query,
                value: match is {
                    ExpectedState::Equal(value) => Some(value.clone()),
                    ExpectedState::Above(_) | ExpectedState::Below(_) => None,
                },
            }),
            StateTest::Dark(_) => None,
        };
        let actions: Vec<Action> = condition.tests.iter().filter_map(query).collect();
        if actions.is_empty() {
            return Ok(String::new());
        }
        let draft = Draft {
            actions,
            ..Draft::default()
        };
        let context = self.permit_context(request, false);
        let permitted = request.home.permit(&draft, &self.shared.state(), context);
        match permitted {
            Ok(plan) => Ok(plan.speech().to_owned()),
            Err(denied) => Err(Refusal::NotPermitted {
                why: denied.sentence(context.speech),
            }),
        }
    }

    /// Stores a rule. Returns the sentence about it.
    async fn add_rule(
        &self,
        request: &Request<'_>,
        interpretation: &Interpretation,
        condition: Condition,
        found: &str,
    ) -> Result<(String, Scheduled), Refusal> {
        let speech = self.services.grammar.speech(request.phrase);
        let forms = &speech.condition;
        let not_permitted = |why: String| Refusal::NotPermitted { why };
        if let Some(device) = without_report(&condition, request.home) {
            let why = fill(&forms.no_report, &[("device", &device)]);
            return Err(not_permitted(why));
        }
        let is_so_now = self.holds(&condition, request.home) == Some(true);
        let is_known = self.timer_of(request.command).is_some();
        if condition.mode == ConditionMode::Once && is_so_now && !is_known {
            let why = fill(&forms.already, &[("state", found.trim_end_matches('.'))]);
            return Err(not_permitted(why));
        }
        let plan = self.permit_later(request, interpretation)?;
        self.check_end(request, &interpretation.draft, &plan)?;
        let task = Task::of(&interpretation.draft, interpretation.confirmed);
        let own = WaitingRule {
            text: request.command.text.to_string(),
            condition: condition.clone(),
            actions: task.effects(),
        };
        if let Some(other) = self.loops_with(&own, request.home) {
            let why = fill(&forms.r#loop, &[("text", &other)]);
            return Err(not_permitted(why));
        }
        let end_ms = match condition.until {
            Some(until) => Some(self.end_of_rule(request, until)?),
            None => None,
        };
        let due = DueTime {
            due: Due::State { end_ms },
            wall: None,
            wait: Duration::ZERO,
            repeat: None,
            condition: Some(condition),
        };
        let rule = self.due_in_words(speech, &due);
        let rule = lasting_in_words(speech, interpretation.draft.lasting, rule);
        let text = scheduled_in_words(speech, &plan, &rule);
        let known = due.condition.as_ref();
        let holds = known.and_then(|condition| self.holds(condition, request.home));
        let said = interpretation.text(request.command);
        let scheduled = self.add_timer(request.command, said, task, due).await?;
        let text = with_replaced(speech, text, &scheduled);
        let id = scheduled.id.as_ref().and_then(|id| id.parse().ok());
        if let (Some(id), Some(holds)) = (id, holds) {
            // From here on a change counts.
            self.shared.rule_states().begin(id, holds);
        }
        Ok((text, scheduled))
    }

    fn end_of_rule(
        &self,
        request: &Request<'_>,
        until: crate::vocabulary::timing::TimePoint,
    ) -> Result<i64, Refusal> {
        let end = self.due_time(request, &Timing::Until(until))?;
        let end = end.wall.map(|at| at.timestamp().as_millisecond());
        end.ok_or_else(|| Refusal::NotPermitted {
            why: self
                .services
                .grammar
                .speech(request.phrase)
                .time
                .clock_unset
                .clone(),
        })
    }

    /// Returns whether a condition is true; `None` where that is not known.
    pub(super) fn holds(&self, condition: &Condition, home: &Home) -> Option<bool> {
        let mut is_unknown = false;
        for test in &condition.tests {
            match self.test_holds(test, home) {
                Some(holds) if holds == condition.any => return Some(holds),
                Some(_) => {}
                None => is_unknown = true,
            }
        }
        (!is_unknown).then_some(!condition.any)
    }

    fn test_holds(&self, test: &StateTest, home: &Home) -> Option<bool> {
        let (device, property, is) = match test {
            StateTest::Dark(dark) => return Some(self.is_dark()? == *dark),
            StateTest::Device {
                device,
                property,
                is,
            } => (home.device(device)?, property, is),
        };
        let state = self.shared.state();
        if state.is_offline(device) {
            return None;
        }
        let seen = state.current(&device.id, property, now())?;
        let value = Observation::reported(seen)?;
        match (is, value) {
            (ExpectedState::Equal(wanted), value) => Some(is_so(property, wanted, value)),
            (ExpectedState::Above(limit), Value::Number(n)) => Some(n > limit),
            (ExpectedState::Below(limit), Value::Number(n)) => Some(n < limit),
            _ => None,
        }
    }

    /// Returns whether the sun is below the horizon; `None` without a clock, a position or a
    /// sunset on that day.
    fn is_dark(&self) -> Option<bool> {
        let at: Timestamp = self.clocks().wall?;
        let place: &moment::HomeLocation = &self.services.location;
        let position = place.position?;
        let day = at.to_zoned(place.zone.clone()).date();
        let rise = sun(SunEvent::Rise, day, &place.zone, position)?;
        let set = sun(SunEvent::Set, day, &place.zone, position)?;
        Some(if rise < set {
            at < rise || at >= set
        } else {
            at >= set && at < rise
        })
    }

    /// Notes the report of devices, and lets the rules fire that became true. After a retained
    /// message no rule fires: it may be old.
    pub(super) fn follow_rules(&self, devices: &[Slug], is_retained: bool) {
        let concerned = self.shared.timers().rules_about(devices);
        if concerned.is_empty() {
            return;
        }
        let home = self.home();
        let clocks = self.clocks();
        let mut is_due = false;
        for (id, condition) in concerned {
            let Some(holds) = self.holds(&condition, &home) else {
                continue;
            };
            let mut states = self.shared.rule_states();
            let fires = states.became_true(id, holds, is_retained, now());
            drop(states);
            if fires {
                is_due |= self.shared.timers().trigger(id, &clocks);
            }
        }
        if is_due {
            self.shared.timers_changed.notify_one();
        }
    }

    /// Forgets which conditions were true, because reports may have been missed: the next report
    /// fires no rule.
    pub fn forget_rule_states(&self) {
        self.shared.rule_states().clear();
    }

    /// Returns the text of a rule that could set off the new one, if the new one could set that
    /// off: the two, or several, would never end.
    fn loops_with(&self, own: &WaitingRule, home: &Home) -> Option<String> {
        let rules = self.shared.timers().rules();
        let mut open: Vec<&WaitingRule> = vec![own];
        let mut seen: Vec<&str> = Vec::new();
        while let Some(cause) = open.pop() {
            if sets_off(&cause.actions, &own.condition, home) {
                return Some(cause.text.clone());
            }
            for rule in &rules {
                let is_new = !seen.contains(&rule.text.as_str());
                if is_new && sets_off(&cause.actions, &rule.condition, home) {
                    seen.push(&rule.text);
                    open.push(rule);
                }
            }
        }
        None
    }
}

/// Returns the name of a device of the condition that reports no state.
fn without_report(condition: &Condition, home: &Home) -> Option<String> {
    condition.tests.iter().find_map(|test| {
        let StateTest::Device {
            device, property, ..
        } = test
        else {
            return None;
        };
        let device = home.device(device)?;
        let capability = device.capability(property);
        let reports = capability.is_some_and(|capability| !capability.binding.state.is_empty());
        (!reports).then(|| device.name.clone())
    })
}

/// Returns whether actions could make a condition true: they command one of its devices, or one
/// that moves together with it. A reading that no command sets, such as a temperature, is not set
/// off, and neither is a state by another value of the same property: "when the light turns on,
/// turn it off" ends.
fn sets_off(actions: &[Action], condition: &Condition, home: &Home) -> bool {
    condition.tests.iter().any(|test| {
        let StateTest::Device {
            device,
            property,
            is,
        } = test
        else {
            return false;
        };
        let is_ended = |action: &Action| {
            action.device == *device
                && action.property == *property
                && action.op == Op::Set
                && action
                    .value
                    .as_ref()
                    .is_some_and(|value| !fits(property, is, value))
        };
        let tested = home.device(device);
        let capability = tested.and_then(|device| device.capability(property));
        let is_settable = capability.is_some_and(|capability| capability.settable);
        is_settable
            && actions.iter().any(|action| {
                let is_its_own = action.device == *device;
                (is_its_own || home.moves_together(&action.device, device)) && !is_ended(action)
            })
    })
}

/// Returns whether a value of a property is the state of a condition.
fn fits(property: &Property, is: &ExpectedState, value: &Value) -> bool {
    match (is, value) {
        (ExpectedState::Equal(wanted), value) => is_so(property, wanted, value),
        (ExpectedState::Above(limit), Value::Number(n)) => n > limit,
        (ExpectedState::Below(limit), Value::Number(n)) => n < limit,
        // A value of another type is not understood, and may be the state.
        (ExpectedState::Above(_) | ExpectedState::Below(_), _) => true,
    }
}
