//! Carries out the timers that are due.
//!
//! A timer is marked as started, on disk, before its first message is published, and as finished
//! once the broker has the messages; it is removed once its event has been delivered. After a crash
//! between the first two, messages that are harmless twice are published again, and the others are
//! reported as uncertain; after one behind them only the event is repeated. A disk that hangs is
//! waited for only two seconds: after a crash the timer is then carried out again.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tracing::{info, warn};

use crate::clock::{ClockSteps, now, suspended};
use crate::command::phrase::Phrase;
use crate::command::reply::Refusal;
use crate::command::{Command, ReplyTo};
use crate::home::Home;
use crate::home::permit::{Denied, Plan, Step};
use crate::home::state::Observation;
use crate::pipeline::handle::Pipeline;
use crate::pipeline::interpretation::Request;
use crate::pipeline::time_speech::rfc3339_at;
use crate::pipeline::timed::opens;
use crate::schedule::grace::{Grace, is_late};
use crate::schedule::timer::{StartState, Task, Timer, TimerId};
use crate::store::journal::Durability;
use crate::vocabulary::action::{Action, Draft, Op, TargetScope};
use crate::vocabulary::speech::{Speech, fill, sentence};
use crate::vocabulary::timing::Timing;
use crate::vocabulary::{Property, Value};

/// The longest time without a look at the wall clock, while a timer waits for it.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(20);

/// The longest time without a look at the wall clock where the kernel reports its steps: the two
/// clocks hardly drift apart.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);

/// The difference of two levels that is the rounding of a device.
const ROUNDING: f64 = 2.0;

/// The message about a timer that was due.
#[derive(Debug)]
pub struct TimerEvent {
    /// The number of the timer.
    pub id: TimerId,
    /// The address of the command that set it.
    pub reply_to: ReplyTo,
    /// The message.
    pub payload: Json,
    /// The reason why the timer was not carried out, if it was not.
    undone: Option<String>,
}

/// What became of a timer that was due, as it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimerOutcome {
    /// It was carried out on time.
    Fired,
    /// It was carried out late.
    Late,
    /// Nothing was left to do: the devices were changed meanwhile.
    Dropped,
    /// It was not carried out because it was too late.
    Missed,
    /// It could not be carried out.
    Failed,
}

impl TimerOutcome {
    /// Returns the outcome of a timer that was carried out.
    fn fired(late: Option<Duration>) -> Self {
        if is_late(late) {
            Self::Late
        } else {
            Self::Fired
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Late => "late",
            Self::Dropped => "dropped",
            Self::Missed => "missed",
            Self::Failed => "failed",
        }
    }
}

/// The timer that takes an occurrence back.
struct OccurrenceEnd {
    id: TimerId,
    /// Whether it ended an earlier occurrence as well.
    was_known: bool,
}

impl Pipeline {
    /// Waits until a timer is due, the set of timers has changed or the wall clock was set. Without
    /// notices of the clock it is looked at from time to time.
    pub async fn until_due(&self, steps: Option<&ClockSteps>) {
        let mut started = self.shared.timers_started.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let _ = started.wait_for(|started| *started).await;
        let clocks = self.clocks();
        let most = if steps.is_some() {
            LONGEST_SLEEP
        } else {
            LOOK_AT_CLOCK
        };
        let wait = self.shared.timers().next_wait(&clocks, most);
        let changed = self.shared.timers_changed.notified();
        let Some(wait) = wait else {
            return changed.await;
        };
        let step = async {
            match steps {
                Some(steps) => steps.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = changed => {}
            () = step => {}
        }
    }

    /// Returns whether timers fire here: not at the standby of a pair.
    pub fn fires_timers(&self) -> bool {
        *self.shared.timers_started.borrow()
    }

    /// Takes the timers that are due.
    pub fn take_due(&self) -> Vec<(Timer, Option<Duration>)> {
        if !self.fires_timers() {
            return Vec::new();
        }
        let clocks = self.clocks();
        let place = &self.services.location;
        self.shared.timers().take_due(&clocks, place)
    }

    /// Carries out a timer that is due, and returns the message about it, or `None` where the other
    /// node of a pair has taken the lead meanwhile: it carries the timer out, and reports it.
    /// `late` is how late it is, where that is known.
    pub async fn fire(&self, timer: Timer, late: Option<Duration>) -> Option<TimerEvent> {
        if let Some(payload) = timer.event {
            // It was carried out before a crash, and its event may not have been delivered.
            return Some(TimerEvent {
                id: timer.id,
                reply_to: timer.reply_to,
                payload,
                undone: None,
            });
        }
        // The lead may be lost and taken again meanwhile.
        let stops = self.shared.timer_stops.load(Relaxed);
        let event = self.carry_out(timer, late).await;
        if !self.fires_timers() || self.shared.timer_stops.load(Relaxed) != stops {
            return None;
        }
        info!(
            timer = event.id,
            command_id = event.payload["id"].as_str(),
            event = event.payload["event"].as_str(),
            "timer due"
        );
        if self.replica.is_none() {
            self.log_undone(&event);
        }
        let payload = event.payload.clone();
        self.shared.timers().mark_finished(event.id, payload);
        self.write_due_timers().await;
        Some(event)
    }

    /// Notes that the broker has an event. In a pair only this proves that the timer was this
    /// node's to carry out.
    pub fn note_delivered(&self, event: &TimerEvent) {
        if self.replica.is_some() {
            self.log_undone(event);
        }
    }

    fn log_undone(&self, event: &TimerEvent) {
        let Some(why) = &event.undone else {
            return;
        };
        self.services.counters.timers_missed.increment();
        warn!(
            timer = event.id,
            command_id = event.payload["id"].as_str(),
            why,
            "a timer was not carried out"
        );
    }

    async fn carry_out(&self, timer: Timer, late: Option<Duration>) -> TimerEvent {
        let home = self.home();
        let phrase = Phrase::new(&timer.text, None, timer.language.as_deref());
        let speech = self.services.grammar.speech(&phrase);
        if let Some(event) = self.event_without_plan(&timer, late, &home, speech) {
            return event;
        }
        // While the broker is away, the messages wait as long as the timer may be late.
        let patience = grace(timer.task.actions(), &home).longest();
        let command = self.command_of(&timer, patience);
        let request = Request {
            command: &command,
            phrase: &phrase,
            home: &home,
        };
        let actions = self.still_wanted(&timer, &home);
        if actions.is_empty() {
            return self.event(&timer, TimerOutcome::Dropped, "");
        }
        let plan = match self.permit_due(&request, &timer, actions) {
            Ok(plan) => plan,
            Err(why) => return self.not_done(&timer, TimerOutcome::Failed, &why, speech),
        };
        let end = match self.enter_end(&request, &timer, &plan) {
            Ok(end) => end,
            Err(why) => {
                let why = refusal_in_words(&why, speech);
                return self.not_done(&timer, TimerOutcome::Failed, &why, speech);
            }
        };
        let started = if plan.steps().iter().all(Step::repeatable) {
            StartState::Repeatable
        } else {
            StartState::Once
        };
        self.shared.timers().mark_started(timer.id, started);
        if !self.write_due_timers().await {
            warn!(
                timer = timer.id,
                "the disk hangs: a timer is carried out without it, and again after a crash"
            );
        }
        let dispatched = self.dispatch(&command, None, &plan, Durability::None).await;
        if let Some(refusal) = dispatched.refusal {
            self.drop_end(end);
            let why = refusal_in_words(&refusal, speech);
            return self.not_done(&timer, TimerOutcome::Failed, &why, speech);
        }
        if let Some(end) = end {
            self.shared.timers().release(end.id);
        }
        self.services.counters.timers_fired.increment();
        let what = fill(&speech.time.fired, &[("what", plan.speech())]);
        let speech = with_skipped(&what, &timer, speech);
        self.event(&timer, TimerOutcome::fired(late), &speech)
    }

    /// Returns the event of a timer that only signals, or whose command is not given any more.
    fn event_without_plan(
        &self,
        timer: &Timer,
        late: Option<Duration>,
        home: &Home,
        speech: &Speech,
    ) -> Option<TimerEvent> {
        if let Task::Signal { name } = &timer.task {
            let name = name.as_deref().unwrap_or(&speech.time.a_timer);
            let text = sentence(&fill(&speech.time.timer_done, &[("name", name)]));
            return Some(self.event(timer, TimerOutcome::fired(late), &text));
        }
        match timer.started {
            StartState::Once => {
                let why = refusal_in_words(&Refusal::Undelivered, speech);
                Some(self.not_done(timer, TimerOutcome::Failed, &why, speech))
            }
            StartState::NotStarted if !grace(timer.task.actions(), home).allows(late) => {
                let why = &speech.time.missed_late;
                Some(self.not_done(timer, TimerOutcome::Missed, why, speech))
            }
            StartState::NotStarted | StartState::Repeatable => None,
        }
    }

    /// Adds the timer that takes an occurrence back after its time, if it is only for a while. It
    /// is in the record of the occurrence, so that a crash leaves both or none.
    fn enter_end(
        &self,
        request: &Request<'_>,
        timer: &Timer,
        plan: &Plan,
    ) -> Result<Option<OccurrenceEnd>, Refusal> {
        let Task::Command {
            lasting: Some(span),
            ..
        } = &timer.task
        else {
            return Ok(None);
        };
        let due = self.due_time(request, &Timing::For(*span))?;
        let speech = self.services.grammar.speech(request.phrase);
        let known = self.shared.timers().take_revert_of(timer);
        let was_known = known.is_some();
        let ends_all = |task: &Task| {
            let ended = task.actions().iter().map(|action| &action.device);
            let ended: Vec<_> = ended.collect();
            let mut steps = plan.steps().iter();
            steps.all(|step| ended.iter().any(|id| id.as_str() == step.device().as_str()))
        };
        let task = match known.filter(ends_all) {
            Some(task) => task,
            None => self.revert(request, &self.states_before(plan), speech)?,
        };
        let now = self.clocks();
        let added = self.shared.timers().add_revert(task, due.due, timer, &now);
        let id = added.map_err(|full| self.too_many(request.command, full))?;
        Ok(Some(OccurrenceEnd { id, was_known }))
    }

    /// Forgets the end of an occurrence that was not carried out, unless it is also that of an
    /// earlier one.
    fn drop_end(&self, end: Option<OccurrenceEnd>) {
        let Some(end) = end else {
            return;
        };
        let mut timers = self.shared.timers();
        if end.was_known {
            timers.release(end.id);
        } else {
            timers.forget(end.id);
        }
    }

    /// Removes a timer whose event was delivered.
    pub async fn forget_timer(&self, id: TimerId) {
        self.shared.timers().forget(id);
        self.write_due_timers().await;
        self.shared.timers_changed.notify_one();
    }

    /// Passes the actions of a timer through the gate, as of now.
    fn permit_due(
        &self,
        request: &Request<'_>,
        timer: &Timer,
        actions: Vec<Action>,
    ) -> Result<Plan, String> {
        let (scope, confirmed, left_out) = match &timer.task {
            Task::Command {
                scope,
                confirmed,
                left_out,
                ..
            } => (*scope, *confirmed, left_out.clone()),
            Task::Revert { .. } | Task::Signal { .. } => Default::default(),
        };
        let speech = self.services.grammar.speech(request.phrase);
        let actions = same_devices(timer, request.home, actions, scope)
            .map_err(|name| fill(&speech.time.another_device, &[("device", name)]))?;
        let draft = Draft {
            actions,
            scope,
            left_out,
            ..Draft::default()
        };
        let context = self.permit_context(request, confirmed);
        let permitted = request.home.permit(&draft, &self.shared.state(), context);
        let speech = context.speech;
        let plan = permitted.map_err(|denied| match denied {
            Denied::Unconfirmed { question } => fill(
                &speech.time.unsafe_later,
                &[("what", question.trim_end_matches('?'))],
            ),
            denied => denied.sentence(speech),
        })?;
        if plan.steps().iter().any(|step| opens(step, request)) {
            let what = plan.speech().trim_end_matches('.');
            return Err(fill(&speech.time.unsafe_later, &[("what", what)]));
        }
        Ok(plan)
    }

    /// Returns the actions of a timer without those of "for ten minutes" whose device is no longer
    /// in the state that the command had left it in: somebody else has changed it.
    fn still_wanted(&self, timer: &Timer, home: &Home) -> Vec<Action> {
        let Task::Revert { actions, expected } = &timer.task else {
            return timer.task.actions().to_vec();
        };
        let state = self.shared.state();
        let is_changed = |action: &Action| {
            expected.iter().any(|expected| {
                let device = home.device(&expected.device);
                let seen = device.and_then(|d| state.current(&d.id, &expected.property, now()));
                let reported = seen.and_then(Observation::reported);
                expected.device == action.device
                    && reported.is_some_and(|value| differs(value, expected.value.as_ref()))
            })
        };
        let wanted = actions.iter().filter(|action| !is_changed(action));
        wanted.cloned().collect()
    }

    /// Returns the command as which a timer is carried out.
    fn command_of(&self, timer: &Timer, patience: Duration) -> Command {
        Command {
            id: timer.command_id.as_str().into(),
            id_given: false,
            text: timer.text.as_str().into(),
            source: timer.source.clone(),
            area: None,
            language: timer.language.clone(),
            context: None,
            received_at: now(),
            deadline: now() + patience,
            is_dated: false,
            suspended: suspended(),
            dry_run: false,
            stream: None,
            reply_to: timer.reply_to.clone(),
            hops: 0,
            seq: self.services.journal.next_number(),
        }
    }

    pub(super) fn not_done(
        &self,
        timer: &Timer,
        outcome: TimerOutcome,
        why: &str,
        speech: &Speech,
    ) -> TimerEvent {
        let places = [
            ("why", why.trim_end_matches('.')),
            ("text", timer.text.as_str()),
        ];
        let missed = fill(&speech.time.missed, &places);
        let speech = with_skipped(&missed, timer, speech);
        TimerEvent {
            undone: Some(why.to_owned()),
            ..self.event(timer, outcome, &speech)
        }
    }

    fn event(&self, timer: &Timer, outcome: TimerOutcome, speech: &str) -> TimerEvent {
        let due = timer.due.wall();
        let mut payload = json!({
            "event": outcome.as_str(),
            "id": timer.command_id,
            "timer": timer.known_as().to_string(),
            "text": timer.text,
            "due": due.map(|due| rfc3339_at(due, &self.services.location)),
            "actions": timer.task.actions(),
            "speech": speech,
        });
        if timer.skipped > 0 {
            payload["skipped"] = timer.skipped.into();
        }
        TimerEvent {
            id: timer.id,
            reply_to: timer.reply_to.clone(),
            payload,
            undone: None,
        }
    }

    /// Notes that devices were commanded: "for ten minutes" no longer ends for them.
    pub(super) fn drop_reverts(&self, is_commanded: impl Fn(&str) -> bool) {
        let clocks = self.clocks();
        let changed = self.shared.timers().commanded(is_commanded, &clocks);
        if changed.is_empty() {
            return;
        }
        self.shared.timers_changed.notify_one();
    }
}

fn refusal_in_words(refusal: &Refusal, speech: &Speech) -> String {
    match speech.refused.get(refusal.form()) {
        Some(form) => refusal.sentence_as(form),
        None => refusal.sentence(),
    }
}

/// Returns a sentence about an occurrence, with the number of those missed before it.
fn with_skipped(text: &str, timer: &Timer, speech: &Speech) -> String {
    let text = sentence(text);
    if timer.skipped == 0 {
        return text;
    }
    let count = timer.skipped.to_string();
    let skipped = sentence(&fill(&speech.time.skipped, &[("count", &count)]));
    format!("{text} {skipped}")
}

/// Returns whether a reported value is another one than the value that was set.
fn differs(reported: &Value, set: Option<&Value>) -> bool {
    match (reported, set) {
        (Value::Number(reported), Some(Value::Number(set))) => (reported - set).abs() > ROUNDING,
        (_, Some(set)) => reported != set,
        (_, None) => false,
    }
}

/// Returns how late a command may be carried out: one that lets somebody in or heats, only on time;
/// one that only switches off, within a day.
fn grace(actions: &[Action], home: &Home) -> Grace {
    let switches_off = |action: &Action| {
        let word = match &action.value {
            Some(Value::Text(word)) => word.as_str(),
            _ => "",
        };
        action.op == Op::Set && action.property == Property::Power && word == "off"
    };
    if actions.iter().all(switches_off) {
        return Grace::Day;
    }
    let is_harmful = |action: &Action| {
        let Some(device) = home.device(&action.device) else {
            return false;
        };
        let heats = device.heats_or_pumps() && !switches_off(action);
        let is_alarm = device.kind.as_str() == "alarm_control_panel";
        (device.is_entrance() && !is_alarm) || heats
    };
    if actions.iter().any(is_harmful) {
        Grace::None
    } else {
        Grace::Short
    }
}

/// Returns the actions whose device is still the physical one it was when the timer was set. For a
/// collective phrase others are omitted.
///
/// # Errors
/// With the name of a device that is another one now, where it was named or no action is left.
fn same_devices<'h>(
    timer: &Timer,
    home: &'h Home,
    actions: Vec<Action>,
    scope: TargetScope,
) -> Result<Vec<Action>, &'h str> {
    let replaced = |action: &Action| {
        let before = timer.physical.get(action.device.as_str())?;
        let device = home.device(&action.device)?;
        let is_other = device.physical.as_ref().is_some_and(|now| now != before);
        is_other.then_some(device.name.as_str())
    };
    let Some(name) = actions.iter().find_map(replaced) else {
        return Ok(actions);
    };
    let kept: Vec<Action> = actions
        .into_iter()
        .filter(|action| replaced(action).is_none())
        .collect();
    if scope > TargetScope::Named && !kept.is_empty() {
        Ok(kept)
    } else {
        Err(name)
    }
}
