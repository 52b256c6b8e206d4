//! Commands with a time: they are checked now, stored, and carried out when they are due.
//!
//! The gate decides twice: when the command is given, so that the speaker learns at once that
//! something is not allowed, and when it is due, with the rights, the home and the state of then.
//! Nothing is opened or unlocked at a later time unless the operator set its risk to `auto`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Zoned};

use crate::clock::{uptime, wall};
use crate::command::Command;
use crate::command::phrase::Phrase;
use crate::command::reply::{ActionReport, Refusal, Scheduled};
use crate::home::capability::Risk;
use crate::home::permit::{Denied, PermitRequest, Plan, Step, is_opening};
use crate::pipeline::condition_speech::{condition_in_words, missing_devices};
use crate::pipeline::dialogue::{Earlier, shortened};
use crate::pipeline::handle::Pipeline;
use crate::pipeline::interpretation::{Interpretation, Request};
use crate::pipeline::reply::{Handled, Success};
use crate::schedule::due::{Clocks, Due, Wait};
use crate::schedule::moment::{self, HomeLocation, MOST_DAYS, TimeFault};
use crate::schedule::recurrence::{DayRule, SHORTEST_INTERVAL};
use crate::schedule::timer::{Repeat, StartState, Task, Timer, TimerId};
use crate::schedule::timers::TooManyTimers;
use crate::store::journal::Seq;
use crate::vocabulary::action::{Action, Draft, Op, TargetScope};
use crate::vocabulary::condition::{Condition, ConditionMode};
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::speech::{Speech, fill, sentence};
use crate::vocabulary::timing::{Recurrence, Span, TimeOfDay, TimePoint, Timing, Weekdays};
use crate::vocabulary::{Property, Value};

/// The longest wait for the disk before a device is changed for a while: the change does not wait
/// for a disk that hangs.
const MAX_WRITE_BEFORE: Duration = Duration::from_secs(1);

/// A due time, with the wall clock where it is known.
pub(super) struct DueTime {
    pub(super) due: Due,
    pub(super) wall: Option<Zoned>,
    /// The time from now.
    pub(super) wait: Duration,
    /// The recurrence, where it is the first one of several.
    pub(super) repeat: Option<Repeat>,
    /// The state to wait for, where it is no time.
    pub(super) condition: Option<Condition>,
}

impl Pipeline {
    /// Returns all clocks.
    pub(super) fn clocks(&self) -> Clocks {
        let boot = self.services.boot.to_string();
        let wall = Timestamp::try_from(wall()).unwrap_or(Timestamp::UNIX_EPOCH);
        Clocks::new(wall, uptime(), boot)
    }

    /// Handles a command with a time.
    pub(super) async fn handle_timed(
        &self,
        request: &Request<'_>,
        interpretation: &Interpretation,
        timing: &Timing,
        seq: Option<Seq>,
    ) -> Handled {
        let handled = Handled::understood(interpretation);
        let is_now = matches!(timing, Timing::For(_) | Timing::Until(_));
        let due = match self.due_time_of(request, timing) {
            Ok(due) => due,
            Err(refusal) => return handled.with_result(Err(refusal)),
        };
        if is_now {
            return self.do_for_a_while(request, interpretation, due, seq).await;
        }
        let handled = handled.with_actions(Vec::new());
        let plan = match self.permit_later(request, interpretation) {
            Ok(plan) => plan,
            Err(refusal) => return handled.with_result(Err(refusal)),
        };
        if let Err(refusal) = self.check_end(request, &interpretation.draft, &plan) {
            return handled.with_result(Err(refusal));
        }
        let task = Task::of(&interpretation.draft, interpretation.confirmed);
        let speech = self.services.grammar.speech(request.phrase);
        let time = self.due_in_words(speech, &due);
        let time = lasting_in_words(speech, interpretation.draft.lasting, time);
        let sentence = scheduled_in_words(speech, &plan, &time);
        let text = interpretation.text(request.command);
        match self.add_timer(request.command, text, task, due).await {
            Ok(scheduled) => with_timer(handled, speech, sentence, scheduled),
            Err(refusal) => handled.with_result(Err(refusal)),
        }
    }

    /// Carries a command out now, and waits to take it back.
    async fn do_for_a_while(
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

    /// Passes a draft for later through the gate, as of now.
    pub(super) fn permit_later(
        &self,
        request: &Request<'_>,
        interpretation: &Interpretation,
    ) -> Result<Plan, Refusal> {
        if interpretation.draft.question.is_none() {
            self.refuse_opening(request, &interpretation.draft)?;
        }
        self.permit(request, interpretation)
    }

    /// Refuses a draft that would open, unlock or disarm something at a later time.
    fn refuse_opening(&self, request: &Request<'_>, draft: &Draft) -> Result<(), Refusal> {
        let context = PermitRequest {
            confirmed: true,
            ..self.permit_context(request, true)
        };
        let now_draft = draft.for_now();
        let state = self.shared.state();
        let Ok(plan) = request.home.permit(&now_draft, &state, context) else {
            // The gate says why below.
            return Ok(());
        };
        let unconfirmed = PermitRequest {
            confirmed: false,
            ..context
        };
        let asks = request.home.permit(&now_draft, &state, unconfirmed);
        drop(state);
        let must_be_confirmed = matches!(asks, Err(Denied::Unconfirmed { .. }));
        let opens = plan.steps().iter().any(|step| opens(step, request));
        let is_own_choice = draft.scope == TargetScope::Everything
            || plan.steps().iter().any(|step| asks_always(step, request));
        if !opens && (!must_be_confirmed || is_own_choice) {
            return Ok(());
        }
        let speech = context.speech;
        let what = plan.speech().trim_end_matches('.');
        Err(Refusal::NotPermitted {
            why: fill(&speech.time.unsafe_later, &[("what", what)]),
        })
    }

    /// Stores a timer, so that it survives the same events as a command.
    /// `text` is that of the command, or of the one whose question it answers.
    pub(super) async fn add_timer(
        &self,
        command: &Command,
        text: &str,
        task: Task,
        due: DueTime,
    ) -> Result<Scheduled, Refusal> {
        if command.dry_run {
            return Ok(scheduled(&task, &due));
        }
        let (_, scheduled) = self.enter_timer(command, text, task, &due)?;
        self.store_changes().await;
        Ok(scheduled)
    }

    /// Adds a timer to the set, to be written. A command that is processed again after a crash or
    /// a takeover has the timer that it set then.
    fn enter_timer(
        &self,
        command: &Command,
        text: &str,
        task: Task,
        due: &DueTime,
    ) -> Result<(TimerId, Scheduled), Refusal> {
        let scheduled = scheduled(&task, due);
        if let Some(known) = self.timer_of(command) {
            let id = Some(known.id.to_string());
            return Ok((known.id, Scheduled { id, ..scheduled }));
        }
        let timer = Timer {
            id: 0,
            source: command.source.clone(),
            command_id: command.id.to_string(),
            seq: command.seq,
            text: shortened(text).to_owned(),
            answer: (*text != *command.text).then(|| shortened(&command.text).to_owned()),
            language: command.language.clone(),
            reply_to: command.reply_to.clone(),
            due: due.due.clone(),
            task,
            started: StartState::NotStarted,
            event: None,
            repeat: due.repeat.clone(),
            condition: due.condition.clone(),
            occurrence_of: None,
            skipped: 0,
            written_with: None,
        };
        let added = self.shared.timers().add(timer, &self.clocks());
        let (id, replaced) = added.map_err(|full| self.too_many(command, full))?;
        let scheduled = Scheduled {
            id: Some(id.to_string()),
            replaced: replaced.map(|id| id.to_string()),
            ..scheduled
        };
        Ok((id, scheduled))
    }

    pub(super) fn too_many(&self, command: &Command, full: TooManyTimers) -> Refusal {
        let speech = self.services.grammar.speech(&Phrase::of(command));
        let count = match full {
            TooManyTimers::OfSource => crate::schedule::timers::MAX_OF_SOURCE,
            TooManyTimers::InTotal => crate::schedule::timers::MAX_TIMERS,
        };
        let count = count.to_string();
        Refusal::NotPermitted {
            why: fill(&speech.time.too_many, &[("count", &count)]),
        }
    }

    /// Returns the timer that this command has set, where it is processed again: after a crash it
    /// has the same number in the journal, after a takeover the name that its source gave it.
    pub(super) fn timer_of(&self, command: &Command) -> Option<Timer> {
        let is_in_pair = self.replica.is_some();
        let text = shortened(&command.text);
        let is_of = |timer: &Timer| {
            let is_same_command = if is_in_pair {
                command.id_given && command.id == timer.command_id
            } else {
                command.seq > 0 && timer.seq == command.seq
            };
            let said = timer.answer.as_deref().unwrap_or(&timer.text);
            is_same_command && timer.source == command.source && said == text
        };
        self.shared.timers().find(is_of).cloned()
    }

    /// Returns the due time of a command that sets a timer, also where it has set it already.
    pub(super) fn due_time_of(
        &self,
        request: &Request<'_>,
        timing: &Timing,
    ) -> Result<DueTime, Refusal> {
        match self.timer_of(request.command) {
            Some(timer) => Ok(self.due_of(&timer)),
            None => self.due_time(request, timing),
        }
    }

    /// Returns the due time of a command.
    pub(super) fn due_time(
        &self,
        request: &Request<'_>,
        timing: &Timing,
    ) -> Result<DueTime, Refusal> {
        let speech = self.services.grammar.speech(request.phrase);
        let clocks = self.clocks();
        let location = &self.services.location;
        due_time(timing, &clocks, location).map_err(|fault| fault_in_words(fault, timing, speech))
    }

    /// Returns a due time in words, with the recurrence of a repeated command: "every day at 07:00,
    /// the next time tomorrow at 07:00".
    pub(super) fn due_in_words(&self, speech: &Speech, due: &DueTime) -> String {
        if let Some(condition) = &due.condition {
            return self.rule_in_words(speech, condition, &due.due);
        }
        let next = self.time_in_words(speech, due);
        let Some(repeat) = &due.repeat else {
            return next;
        };
        let end = repeat.end_ms.and_then(|end| self.end_in_words(speech, end));
        let every = recurrence_in_words(speech, repeat.recurrence, end.as_deref());
        let places = [("every", every.as_str()), ("time", next.as_str())];
        fill(&speech.time.repeated, &places)
    }

    fn rule_in_words(&self, speech: &Speech, condition: &Condition, due: &Due) -> String {
        let state = condition_in_words(condition, &self.home(), speech);
        let form = match condition.mode {
            ConditionMode::Always => &speech.condition.always,
            ConditionMode::Once | ConditionMode::Now => &speech.condition.once,
        };
        let mut rule = fill(form, &[("state", &state)]);
        for device in missing_devices(condition, &self.home()) {
            let gone = fill(&speech.condition.gone, &[("device", device)]);
            rule = format!("{rule}; {gone}");
        }
        let Due::State { end_ms: Some(end) } = due else {
            return rule;
        };
        match self.end_in_words(speech, *end) {
            Some(end) => fill(&speech.condition.ends, &[("rule", &rule), ("time", &end)]),
            None => rule,
        }
    }

    /// Returns the end of a rule in words.
    fn end_in_words(&self, speech: &Speech, end_ms: i64) -> Option<String> {
        let end = Timestamp::from_millisecond(end_ms).ok()?;
        let end = end.to_zoned(self.services.location.zone.clone());
        Some(self.time_in_words(speech, &at_wall(end, &Zoned::now())))
    }

    /// Returns a due time in words: "at 21:05", "tomorrow at 07:00".
    pub(super) fn time_in_words(&self, speech: &Speech, due: &DueTime) -> String {
        let forms = &speech.time;
        let clocks = self.clocks();
        let Some(at) = &due.wall else {
            return duration_in_words(speech, due.wait);
        };
        let Some(wall) = clocks.wall else {
            return match due.due.wait(&clocks) {
                // The time left is not known before the clock is set.
                Wait::ClockUnset => on_date(speech, at),
                _ => duration_in_words(speech, due.wait),
            };
        };
        let today = wall.to_zoned(at.time_zone().clone()).date();
        let format = if due.wait < Duration::from_mins(10) && at.second() != 0 {
            "%H:%M:%S"
        } else {
            "%H:%M"
        };
        let time = at.strftime(format).to_string();
        let date = at.strftime("%F").to_string();
        let form = if at.date() == today {
            &forms.at
        } else if today.tomorrow().is_ok_and(|day| day == at.date()) {
            &forms.tomorrow
        } else {
            &forms.on
        };
        fill(form, &[("time", &time), ("date", &date)])
    }
}

/// Returns a time in words, with its date.
fn on_date(speech: &Speech, at: &Zoned) -> String {
    let time = at.strftime("%H:%M").to_string();
    let date = at.strftime("%F").to_string();
    fill(&speech.time.on, &[("time", &time), ("date", &date)])
}

/// Returns a timer that is set, without its number.
fn scheduled(task: &Task, due: &DueTime) -> Scheduled {
    let actions = task.actions().iter().cloned();
    Scheduled {
        id: None,
        due: due.wall.as_ref().map(rfc3339),
        seconds: due.condition.is_none().then_some(due.wait.as_secs()),
        repeats: due.repeat.as_ref().map(|repeat| repeat.recurrence),
        condition: due.condition.clone(),
        actions: actions.map(ActionReport::from).collect(),
        replaced: None,
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

/// Returns the due time of a command, by the clocks and the place.
pub(super) fn due_time(
    timing: &Timing,
    clocks: &Clocks,
    location: &HomeLocation,
) -> Result<DueTime, TimeFault> {
    let wall = clocks.wall.map(|at| at.to_zoned(location.zone.clone()));
    match timing {
        Timing::After(Span { days: 0, seconds }) | Timing::For(Span { days: 0, seconds }) => {
            let wait = Duration::from_secs(u64::from(*seconds));
            let longest = Duration::from_hours(24 * MOST_DAYS.unsigned_abs());
            if wait > longest {
                return Err(TimeFault::TooFar);
            }
            let due = Due::after(wait, clocks);
            let at = due.wall().map(|at| at.to_zoned(location.zone.clone()));
            Ok(DueTime {
                due,
                wall: at,
                wait,
                repeat: None,
                condition: None,
            })
        }
        Timing::Every(recurrence) => first_of(*recurrence, clocks, location),
        Timing::After(span) | Timing::For(span) => {
            let now = wall.ok_or(TimeFault::ClockUnset)?;
            Ok(at_wall(moment::after(*span, &now)?, &now))
        }
        Timing::At(point) | Timing::Until(point) => {
            let now = wall.ok_or(TimeFault::ClockUnset)?;
            Ok(at_wall(moment::next(*point, &now, location)?, &now))
        }
    }
}

/// Returns the first due time of a repeated command.
fn first_of(
    recurrence: Recurrence,
    clocks: &Clocks,
    location: &HomeLocation,
) -> Result<DueTime, TimeFault> {
    let wall = clocks.wall.map(|at| at.to_zoned(location.zone.clone()));
    let end_of = |until: TimePoint| {
        let now = wall.clone().ok_or(TimeFault::ClockUnset)?;
        moment::next(until, &now, location)
    };
    match recurrence {
        Recurrence::Days { days, time } => {
            let now = wall.ok_or(TimeFault::ClockUnset)?;
            let next = DayRule { days, time }.next_after(now.timestamp(), location)?;
            let at = next.to_zoned(location.zone.clone());
            Ok(DueTime {
                repeat: Some(Repeat::new(recurrence, None)),
                ..at_wall(at, &now)
            })
        }
        Recurrence::Interval { seconds, until } => {
            if seconds < SHORTEST_INTERVAL {
                return Err(TimeFault::TooOften);
            }
            let delay = Span { days: 0, seconds };
            let first = due_time(&Timing::After(delay), clocks, location)?;
            let end = until.map(end_of).transpose()?;
            if let (Some(end), Some(first)) = (&end, &first.wall)
                && end < first
            {
                return Err(TimeFault::Past);
            }
            let end_ms = end.map(|end| end.timestamp().as_millisecond());
            Ok(DueTime {
                repeat: Some(Repeat::new(recurrence, end_ms)),
                ..first
            })
        }
    }
}

fn at_wall(at: Zoned, now: &Zoned) -> DueTime {
    let wait = at.duration_since(now).max(SignedDuration::ZERO);
    DueTime {
        due: Due::At {
            wall_ms: at.timestamp().as_millisecond(),
        },
        wait: wait.unsigned_abs(),
        wall: Some(at),
        repeat: None,
        condition: None,
    }
}

fn fault_in_words(fault: TimeFault, timing: &Timing, speech: &Speech) -> Refusal {
    let forms = &speech.time;
    let why = match fault {
        TimeFault::Past => forms.past.clone(),
        TimeFault::TooFar => fill(&forms.too_far, &[("days", &MOST_DAYS.to_string())]),
        TimeFault::NoPosition => forms.no_position.clone(),
        TimeFault::NoSun => forms.no_sun.clone(),
        TimeFault::ClockUnset => forms.clock_unset.clone(),
        TimeFault::TooOften => forms.too_often.clone(),
        TimeFault::Ambiguous => {
            let time = match timing {
                Timing::At(point) | Timing::Until(point) => clock_in_words(point.time),
                Timing::Every(Recurrence::Days { time, .. }) => clock_in_words(*time),
                Timing::Every(_) | Timing::After(_) | Timing::For(_) => String::new(),
            };
            let question = fill(&forms.ambiguous, &[("time", &time)]);
            return Refusal::Unclear { question };
        }
    };
    Refusal::NotPermitted { why }
}

fn clock_in_words(time: TimeOfDay) -> String {
    match time {
        TimeOfDay::Clock { hour, minute, .. } => format!("{hour}:{minute:02}"),
        TimeOfDay::Sunrise(_) | TimeOfDay::Sunset(_) => String::new(),
    }
}

/// Returns a time, a recurrence or a rule with how long the command lasts then.
pub(super) fn lasting_in_words(speech: &Speech, lasting: Option<Span>, time: String) -> String {
    let Some(Span { days, seconds }) = lasting else {
        return time;
    };
    let seconds = u64::from(days) * 86_400 + u64::from(seconds);
    let span = duration_in_words(speech, Duration::from_secs(seconds));
    let places = [("time", time.as_str()), ("span", span.as_str())];
    fill(&speech.time.lasting, &places)
}

/// Returns the sentences of a command for later, with its time, recurrence or rule. Those about
/// devices that are left out follow.
pub(super) fn scheduled_in_words(speech: &Speech, plan: &Plan, time: &str) -> String {
    let (what, rest) = match plan.changes_and_notes() {
        ("", notes) => (notes.trim_end_matches('.'), ""),
        parts => parts,
    };
    let sentence = fill(&speech.time.scheduled, &[("what", what), ("time", time)]);
    format!("{sentence}. {rest}").trim_end().to_owned()
}

/// Returns the result of a command that has set a timer.
fn with_timer(handled: Handled, speech: &Speech, text: String, scheduled: Scheduled) -> Handled {
    let text = with_replaced(speech, text, &scheduled);
    handled
        .with_scheduled(scheduled)
        .with_result(Ok(Success::Done(text)))
}

/// Returns the text of a reply about a timer, with the sentence about the one that it replaces.
pub(super) fn with_replaced(speech: &Speech, text: String, scheduled: &Scheduled) -> String {
    match scheduled.replaced {
        Some(_) => format!("{text} {}", sentence(&speech.time.replaced)),
        None => text,
    }
}

/// Returns the recurrence of a repeated command in words: "on weekdays at 07:00", "every 2 h".
fn recurrence_in_words(speech: &Speech, recurrence: Recurrence, end: Option<&str>) -> String {
    let forms = &speech.time;
    match recurrence {
        Recurrence::Days { days, time } => {
            let days = days_in_words(speech, days);
            let time = time_of_day_in_words(speech, time);
            fill(&forms.on_days_at, &[("days", &days), ("time", &time)])
        }
        Recurrence::Interval { seconds, .. } => {
            let span = duration_in_words(speech, Duration::from_secs(u64::from(seconds)));
            let every = fill(&forms.interval, &[("span", &span)]);
            match end {
                Some(end) => fill(&forms.ends, &[("every", &every), ("time", end)]),
                None => every,
            }
        }
    }
}

fn days_in_words(speech: &Speech, days: Weekdays) -> String {
    let forms = &speech.time;
    match days {
        Weekdays::ALL => forms.every_day.clone(),
        Weekdays::WORKDAYS => forms.workdays.clone(),
        Weekdays::WEEKENDS => forms.weekends.clone(),
        days => {
            let names = [
                &forms.monday,
                &forms.tuesday,
                &forms.wednesday,
                &forms.thursday,
                &forms.friday,
                &forms.saturday,
                &forms.sunday,
            ];
            let of = |day: u8| names.get(usize::from(day) - 1).map(|name| (*name).clone());
            let listed: Vec<String> = days.days().filter_map(of).collect();
            fill(&forms.on_days, &[("days", &speech.list(&listed))])
        }
    }
}

fn time_of_day_in_words(speech: &Speech, time: TimeOfDay) -> String {
    let forms = &speech.time;
    let (minutes, exact, before, after) = match time {
        TimeOfDay::Clock { hour, minute, .. } => {
            let time = format!("{hour:02}:{minute:02}");
            return fill(&forms.at, &[("time", &time)]);
        }
        TimeOfDay::Sunrise(minutes) => (
            minutes,
            &forms.at_sunrise,
            &forms.before_sunrise,
            &forms.after_sunrise,
        ),
        TimeOfDay::Sunset(minutes) => (
            minutes,
            &forms.at_sunset,
            &forms.before_sunset,
            &forms.after_sunset,
        ),
    };
    let span = Duration::from_secs(60 * u64::from(minutes.unsigned_abs()));
    let span = duration_in_words(speech, span);
    let form = match minutes {
        0 => exact,
        ..0 => before,
        _ => after,
    };
    fill(form, &[("span", &span)])
}

/// Returns a length of time in words: `45 s`, `20 min`, `2 h 5 min`.
pub(super) fn duration_in_words(speech: &Speech, duration: Duration) -> String {
    let seconds = duration.as_secs();
    let forms = &speech.time;
    let (hours, minutes) = (seconds / 3600, seconds % 3600 / 60);
    if seconds < 120 {
        return fill(&forms.seconds, &[("count", &seconds.to_string())]);
    }
    if hours == 0 {
        return fill(&forms.minutes, &[("count", &minutes.to_string())]);
    }
    if minutes == 0 {
        return fill(&forms.full_hours, &[("count", &hours.to_string())]);
    }
    let places = [
        ("count", hours.to_string()),
        ("minutes", minutes.to_string()),
    ];
    let places = places.each_ref().map(|(name, text)| (*name, text.as_str()));
    fill(&forms.hours, &places)
}

/// Returns a time as RFC 3339, with its offset.
pub(super) fn rfc3339(at: &Zoned) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// Returns a time as RFC 3339 in the zone of the home.
pub(super) fn rfc3339_at(at: Timestamp, location: &HomeLocation) -> String {
    rfc3339(&at.to_zoned(location.zone.clone()))
}

/// Returns whether a step opens, unlocks or disarms something that the operator has not set to
/// `auto`. The present state proves nothing about a later one.
pub(super) fn opens(step: &Step, request: &Request<'_>) -> bool {
    let Some(device) = request.home.device(step.device().as_str()) else {
        return true;
    };
    let property = &step.action().property;
    let Some(capability) = device.capability(property) else {
        return true;
    };
    capability.guard.opening != Risk::Auto
        && is_opening(device, property, step.action().op, step.target_value())
}

/// Returns whether the operator requires a confirmation of every change of a capability.
fn asks_always(step: &Step, request: &Request<'_>) -> bool {
    let device = request.home.device(step.device().as_str());
    let capability = device.and_then(|device| device.capability(&step.action().property));
    capability.is_some_and(|capability| capability.guard.otherwise == Risk::Confirm)
}
