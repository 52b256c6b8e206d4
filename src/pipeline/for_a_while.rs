//! Commands for a while: "for ten minutes", "until nine". They are carried out now, and taken back
//! at their end.
//!
//! The states before are noted in a timer that is on disk before a device changes. It does not know
//! how a timer fires: `pipeline::firing` executes the actions that are computed here.

use std::time::Duration;

use crate::command::reply::Refusal;
use crate::home::permit::Plan;
use crate::pipeline::dialogue::Earlier;
use crate::pipeline::due_time::DueTime;
use crate::pipeline::handle::Pipeline;
use crate::pipeline::interpretation::{Interpretation, Request};
use crate::pipeline::reply::{Handled, Success};
use crate::pipeline::timed::with_timer;
use crate::schedule::timer::Task;
use crate::store::journal::Seq;
use crate::vocabulary::action::{Action, Draft, Op};
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::speech::{Speech, fill};
use crate::vocabulary::{Property, Value};

/// The longest wait for the disk before a device is changed for a while: the change does not wait
/// for a disk that hangs.
const MAX_WRITE_BEFORE: Duration = Duration::from_secs(1);

impl Pipeline {
    /// Carries a command out now, and waits to take it back.
    pub(super) async fn do_for_a_while(
        &self,
        request: &Request<'_>,
        interpretation: &Interpretation,
        due: DueTime,
        seq: Option<Seq>,
    ) -> Handled {
        let handled = Handled::understood(interpretation);
        let plan = match self.permit(request, interpretation) {
            Ok(plan) => plan,
            Err(refusal) => return handled.with_result(Err(refusal)),
        };
        let earlier = self.states_before(&plan);
        let speech = self.services.grammar.speech(request.phrase);
        // A command that is processed again has noted the states before it.
        let known = self.timer_of(request.command).map(|timer| Ok(timer.task));
        let revert = known.unwrap_or_else(|| self.revert(request, &earlier, speech));
        let revert = match revert {
            Ok(revert) => revert,
            Err(refusal) => return handled.with_result(Err(refusal)),
        };
        let time = self.time_in_words(speech, &due);
        let places = [("what", plan.speech()), ("time", time.as_str())];
        let sentence = format!("{}.", fill(&speech.time.back, &places));
        if request.command.dry_run {
            let reports = self.rehearse(request, interpretation);
            return handled
                .with_actions(reports)
                .with_result(Ok(Success::Done(sentence)));
        }
        // It is on disk before the device changes, so that a crash leaves nothing switched on.
        let (command, text) = (request.command, interpretation.text(request.command));
        let (timer, scheduled) = match self.enter_timer(command, text, revert, &due) {
            Ok(entered) => entered,
            Err(refusal) => return handled.with_result(Err(refusal)),
        };
        if !self.shared.timers().hold(timer) {
            // An earlier run has carried out both, and the states may have changed since.
            return handled.with_result(Err(Refusal::Undelivered));
        }
        let is_written = self.write_timers_within(MAX_WRITE_BEFORE).await;
        let durability = interpretation.durability();
        let dispatch = self.dispatch(request.command, seq, &plan, durability);
        let dispatched = if is_written {
            dispatch.await
        } else {
            tokio::join!(dispatch, self.store_changes()).0
        };
        let handled = handled
            .with_dispatched(plan, &dispatched, request.home, speech)
            .with_earlier(earlier);
        if dispatched.refusal.is_some() {
            self.forget_timer(timer).await;
            return handled;
        }
        self.shared.timers().release(timer);
        self.shared.timers_changed.notify_one();
        with_timer(handled, speech, sentence, scheduled)
    }

    /// Refuses a command for later that could not be taken back after its time.
    pub(super) fn check_end(
        &self,
        request: &Request<'_>,
        draft: &Draft,
        plan: &Plan,
    ) -> Result<(), Refusal> {
        if draft.lasting.is_none() {
            return Ok(());
        }
        let speech = self.services.grammar.speech(request.phrase);
        let earlier = self.states_before(plan);
        self.revert(request, &earlier, speech).map(drop)
    }

    /// Returns the actions that end "for ten minutes".
    pub(super) fn revert(
        &self,
        request: &Request<'_>,
        earlier: &[Earlier],
        speech: &Speech,
    ) -> Result<Task, Refusal> {
        let mut actions: Vec<Action> = Vec::new();
        let mut expected: Vec<Action> = Vec::new();
        let name = |action: &Action| match request.home.device(&action.device) {
            Some(device) => device.name.clone(),
            None => action.device.to_string(),
        };
        for state in earlier {
            let set = |property: &Property, value: Value| Action {
                device: state.action.device.clone(),
                property: property.clone(),
                op: Op::Set,
                value: Some(value),
            };
            let property = &state.action.property;
            let Some(became) = state.became.clone() else {
                let why = speech.time.no_end.clone();
                return Err(Refusal::NotPermitted { why });
            };
            let before = before_or_opposite(state, &became);
            let was_off = is_level(property) && state.power == Some(Value::text("off"));
            let back = match before {
                _ if was_off => set(&Property::Power, Value::text("off")),
                Some(before) => set(property, before),
                None => {
                    let devices = name(&state.action);
                    let why = fill(&speech.time.unknown_before, &[("devices", &devices)]);
                    return Err(Refusal::NotPermitted { why });
                }
            };
            expected.push(set(property, became));
            if !actions.contains(&back) {
                actions.push(back);
            }
        }
        let off: Vec<SharedStr> = actions
            .iter()
            .filter(|a| a.property == Property::Power && a.value == Some(Value::text("off")))
            .map(|a| a.device.clone())
            .collect();
        actions.retain(|a| a.property == Property::Power || !off.contains(&a.device));
        if actions.is_empty() {
            let why = speech.time.no_end.clone();
            return Err(Refusal::NotPermitted { why });
        }
        let draft = Draft {
            actions: actions.clone(),
            ..Draft::default()
        };
        self.refuse_opening(request, &draft)?;
        Ok(Task::Revert { actions, expected })
    }
}

/// Returns the value that ends a change: the value before, or the opposite where the end is plain.
fn before_or_opposite(state: &Earlier, became: &Value) -> Option<Value> {
    let ends = |word: &'static str| Some(Value::text(word));
    match (&state.action.property, became) {
        (Property::Power, Value::Text(word)) if word == "on" => ends("off"),
        (Property::Power, Value::Text(word)) if word == "off" => ends("on"),
        (Property::Lock, Value::Text(word)) if word == "unlocked" => ends("locked"),
        (Property::Position, Value::Number(to)) if *to >= 100.0 && state.before.is_none() => {
            Some(Value::Number(0.0))
        }
        _ => state.before.clone(),
    }
}

/// Returns whether setting a property switches a lamp on.
fn is_level(property: &Property) -> bool {
    matches!(
        property,
        Property::Brightness | Property::Color | Property::ColorTemp
    )
}
