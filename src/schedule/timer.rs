//! A command that waits for its time, and the set of all of them. Pure: clocks are arguments.
//!
//! The permitted draft waits, not the text: a name may belong to another lamp by then. A delay runs
//! by the time since the kernel started, so that setting the clock does not change it; a time of
//! the day runs by the wall clock.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::EARLIEST_BELIEVABLE;
use crate::command::{ReplyTo, Source};
use crate::schedule::moment::HomeLocation;
use crate::schedule::recurrence::DayRule;
use crate::vocabulary::action::{Action, Draft, LeftOut, TargetScope};
use crate::vocabulary::condition::{Condition, ConditionMode, StateTest};
use crate::vocabulary::slug::Slug;
use crate::vocabulary::timing::{Recurrence, Span};

/// The most timers of all sources.
pub const MAX_TIMERS: usize = 256;

/// The most timers of one source.
pub const MAX_OF_SOURCE: usize = 64;

/// The longest wait of a rule of days that is not looked into: a week, and a clock that is set back
/// by a week. Only the sun of polar regions pauses for longer.
const LONGEST_PAUSE: Duration = Duration::from_hours(14 * 24);

/// Timers of an earlier run that are remembered once they have fired: those of the commands that
/// the earlier run left without a reply are among them.
const MAX_ENDED: usize = 32;

/// The first number where the timers of an earlier run could not be read yet, so that both keep
/// their numbers.
const FIRST_UNRESTORED: TimerId = 1_000_000;

/// A timer that fires so little late is not late.
const PUNCTUAL: Duration = Duration::from_secs(2);

/// The same words for a time of the clock, this much apart, mean the same time: "in two days" ends
/// some seconds later the second time.
const SAID_AGAIN: Duration = Duration::from_mins(1);

/// The clocks at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clocks {
    /// The wall clock; `None` where it was never set.
    pub wall: Option<Timestamp>,
    /// The time since the kernel started, with suspend.
    pub uptime: Duration,
    /// The boot id of the kernel.
    pub boot: String,
}

impl Clocks {
    /// Makes the clocks from a wall clock that may not be set.
    pub fn new(wall: Timestamp, uptime: Duration, boot: String) -> Self {
        let believable = EARLIEST_BELIEVABLE.as_secs().cast_signed();
        Self {
            wall: (wall.as_second() >= believable).then_some(wall),
            uptime,
            boot,
        }
    }
}

/// The time at which a timer fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// After a delay.
    Delay {
        /// The wall clock then, in milliseconds since 1970, if the clock was set.
        wall_ms: Option<i64>,
        /// The boot in which it was set.
        boot: String,
        /// The time since that boot, in milliseconds.
        uptime_ms: u64,
    },
    /// At a time of the wall clock, in milliseconds since 1970.
    At {
        /// The time.
        wall_ms: i64,
    },
    /// Due as soon as its condition becomes true.
    State {
        /// The last moment, in milliseconds since 1970, if there is one.
        end_ms: Option<i64>,
    },
}

/// The time left until a timer fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// So long.
    For(Duration),
    /// It should have fired this long ago.
    Late(Duration),
    /// The wall clock is not set yet.
    ClockUnset,
    /// It was set while the clock was not, and the gateway has restarted since.
    Unknown,
    /// It waits for a state.
    ForState,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn between(due_ms: i64, now_ms: i64) -> Wait {
    match u64::try_from(due_ms.saturating_sub(now_ms)) {
        Ok(left) if left > 0 => Wait::For(Duration::from_millis(left)),
        _ => Wait::Late(Duration::from_millis(
            now_ms.saturating_sub(due_ms).unsigned_abs(),
        )),
    }
}

impl Due {
    /// Returns the due time of a delay.
    pub fn after(delay: Duration, now: &Clocks) -> Self {
        let wall = now.wall.map(Timestamp::as_millisecond);
        let delay_ms = millis(delay);
        let more = i64::try_from(delay_ms).unwrap_or(i64::MAX);
        Self::Delay {
            wall_ms: wall.map(|wall| wall.saturating_add(more)),
            boot: now.boot.clone(),
            uptime_ms: millis(now.uptime).saturating_add(delay_ms),
        }
    }

    /// Returns the time left.
    pub fn wait(&self, now: &Clocks) -> Wait {
        let wall_now = now.wall.map(Timestamp::as_millisecond);
        match self {
            Self::Delay {
                boot, uptime_ms, ..
            } if *boot == now.boot && !boot.is_empty() => {
                let uptime = i64::try_from(millis(now.uptime)).unwrap_or(i64::MAX);
                between(i64::try_from(*uptime_ms).unwrap_or(i64::MAX), uptime)
            }
            Self::State { .. } => Wait::ForState,
            Self::Delay { wall_ms: None, .. } => Wait::Unknown,
            Self::Delay {
                wall_ms: Some(due), ..
            }
            | Self::At { wall_ms: due } => match wall_now {
                Some(now) => between(*due, now),
                None => Wait::ClockUnset,
            },
        }
    }

    /// Returns the due time moved back by `less`, at the earliest now, or `None` for a state.
    pub fn moved_back(&self, less: Duration, now: &Clocks) -> Option<Self> {
        let Wait::For(left) = self.wait(now) else {
            return None;
        };
        let less = i64::try_from(millis(less.min(left))).unwrap_or(i64::MAX);
        match self {
            Self::At { wall_ms } => Some(Self::At {
                wall_ms: wall_ms.saturating_sub(less),
            }),
            Self::Delay {
                wall_ms,
                boot,
                uptime_ms,
            } => Some(Self::Delay {
                wall_ms: wall_ms.map(|wall| wall.saturating_sub(less)),
                boot: boot.clone(),
                uptime_ms: uptime_ms.saturating_sub(less.unsigned_abs()),
            }),
            Self::State { .. } => None,
        }
    }

    /// Returns the due time moved on by `more`, or `None` for a state.
    pub fn moved_on(&self, more: Duration) -> Option<Self> {
        let is_state = matches!(self, Self::State { .. });
        (!is_state).then(|| self.later(millis(more)))
    }

    /// Returns the due time moved on by this number of milliseconds.
    fn later(&self, more_ms: u64) -> Self {
        let more = i64::try_from(more_ms).unwrap_or(i64::MAX);
        match self {
            Self::At { wall_ms } => Self::At {
                wall_ms: wall_ms.saturating_add(more),
            },
            Self::Delay {
                wall_ms,
                boot,
                uptime_ms,
            } => Self::Delay {
                wall_ms: wall_ms.map(|wall| wall.saturating_add(more)),
                boot: boot.clone(),
                uptime_ms: uptime_ms.saturating_add(more_ms),
            },
            Self::State { end_ms } => Self::State { end_ms: *end_ms },
        }
    }

    /// Returns the time until a rule ends, or `None` where it has no end or the clock is not set.
    fn until_end(&self, now: &Clocks) -> Option<Duration> {
        let Self::State { end_ms: Some(end) } = self else {
            return None;
        };
        match between(*end, now.wall?.as_millisecond()) {
            Wait::For(left) => Some(left),
            _ => Some(Duration::ZERO),
        }
    }

    /// Returns the due time by the wall clock, where it is known.
    pub fn wall(&self) -> Option<Timestamp> {
        let wall_ms = match self {
            Self::Delay { wall_ms, .. } => (*wall_ms)?,
            Self::At { wall_ms } => *wall_ms,
            Self::State { .. } => return None,
        };
        Timestamp::from_millisecond(wall_ms).ok()
    }
}

/// The action of a timer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Execute the actions of a command.
    Command {
        /// The actions, as they were permitted when the command was given.
        actions: Vec<Action>,
        /// Extent of a collective phrase.
        scope: TargetScope,
        /// True where the speaker has confirmed it.
        confirmed: bool,
        /// The devices of the collective phrase that cannot do it, to be named when it is due; at
        /// most [`MAX_LEFT_OUT`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_out: Vec<LeftOut>,
        /// The time after which it is taken back: "for ten minutes when the door opens".
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasting: Option<Span>,
    },
    /// The end of "for ten minutes".
    Revert {
        /// The actions that restore the states before.
        actions: Vec<Action>,
        /// The states that the command set: in another one a device is left alone.
        expected: Vec<Action>,
    },
    /// A timer with nothing but a signal.
    Signal {
        /// Its name, where it has one.
        name: Option<String>,
    },
}

/// The most devices that cannot do it which one timer keeps: no sentence lists more.
const MAX_LEFT_OUT: usize = 64;

impl Task {
    /// Makes the task of a command that waits.
    pub fn of(draft: &Draft, confirmed: bool) -> Self {
        Self::Command {
            actions: draft.actions.clone(),
            scope: draft.scope,
            confirmed,
            left_out: draft.left_out.iter().take(MAX_LEFT_OUT).cloned().collect(),
            lasting: draft.lasting,
        }
    }

    /// Returns whether it only signals.
    pub fn is_signal(&self) -> bool {
        matches!(self, Self::Signal { .. })
    }

    /// Returns the actions with the values that they may result in. What is only for a while is
    /// taken back, so that any value may follow.
    pub fn effects(&self) -> Vec<Action> {
        let is_for_a_while = matches!(
            self,
            Self::Command {
                lasting: Some(_),
                ..
            }
        );
        let mut actions = self.actions().to_vec();
        if is_for_a_while {
            for action in &mut actions {
                action.value = None;
            }
        }
        actions
    }

    /// Returns the actions of a command or a revert, and none for a signal.
    pub fn actions(&self) -> &[Action] {
        match self {
            Self::Command { actions, .. } | Self::Revert { actions, .. } => actions,
            Self::Signal { .. } => &[],
        }
    }
}

/// The number of a timer.
pub type TimerId = u64;

/// Whether the messages of a timer may have been published. Set before they are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum StartState {
    /// None of them was.
    #[default]
    NotStarted,
    /// They may be published once more.
    Repeatable,
    /// They must not be published twice.
    Once,
}

/// The stored form of [`StartState`]: `null`, or whether the messages may be published twice.
mod stored_start {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::StartState;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    pub(super) fn serialize<S: Serializer>(
        started: &StartState,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let stored = match started {
            StartState::NotStarted => None,
            StartState::Repeatable => Some(true),
            StartState::Once => Some(false),
        };
        stored.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<StartState, D::Error> {
        Ok(match Option::<bool>::deserialize(deserializer)? {
            None => StartState::NotStarted,
            Some(true) => StartState::Repeatable,
            Some(false) => StartState::Once,
        })
    }
}

/// A command that waits for its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timer {
    /// The number; unique while the timer exists.
    pub id: TimerId,
    /// The source that set it, with whose rights it fires.
    pub source: Source,
    /// The id of the command that set it.
    #[serde(rename = "command")]
    pub command_id: String,
    /// The number of that command in the journal of this node.
    #[serde(default)]
    pub seq: u64,
    /// The text of that command, or of the one that raised the question it answers.
    pub text: String,
    /// The text of the answer, where a question was answered: "yes".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The language of its replies.
    pub language: Option<String>,
    /// The address of its replies.
    pub reply_to: ReplyTo,
    /// The time at which it fires.
    pub due: Due,
    /// The action.
    pub task: Task,
    /// Whether its messages may have been published.
    #[serde(default, with = "stored_start")]
    pub started: StartState,
    /// The event, once everything but its delivery is done.
    #[serde(default)]
    pub event: Option<serde_json::Value>,
    /// The recurrence, for a command that is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// The state that a rule waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// For one occurrence of a repeated command: the timer of which it is one.
    #[serde(default, rename = "of", skip_serializing_if = "Option::is_none")]
    pub occurrence_of: Option<TimerId>,
    /// The occurrences before this one that were missed.
    #[serde(default)]
    pub skipped: u32,
    /// The number of the record in which it is written, where that is not its own: a change of
    /// several timers is one write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_with: Option<TimerId>,
}

impl Timer {
    /// Returns the number of its record.
    fn record_id(&self) -> TimerId {
        self.written_with.or(self.occurrence_of).unwrap_or(self.id)
    }

    /// Returns the number under which its source knows it.
    pub fn known_as(&self) -> TimerId {
        self.occurrence_of.unwrap_or(self.id)
    }
}

/// The recurrence of a repeated command, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeat {
    /// Rule from which the next occurrence is computed.
    #[serde(rename = "rule")]
    pub recurrence: Recurrence,
    /// The last moment, in milliseconds since 1970.
    pub end_ms: Option<i64>,
    /// The last occurrence, in milliseconds since 1970.
    #[serde(default)]
    pub last_ms: Option<i64>,
}

impl Repeat {
    /// Makes a recurrence that has had no occurrence yet.
    pub fn new(recurrence: Recurrence, end_ms: Option<i64>) -> Self {
        Self {
            recurrence,
            end_ms,
            last_ms: None,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.recurrence, self.end_ms) == (other.recurrence, other.end_ms)
    }
}

/// Returns whether two timers have the same recurrence, or both are not.
fn have_same_recurrence(one: &Timer, other: &Timer) -> bool {
    match (&one.repeat, &other.repeat) {
        (Some(one), Some(other)) => one.is_same(other),
        (None, None) => true,
        _ => false,
    }
}

/// Returns whether a new timer has the due time of an earlier one. The same delay in the same words
/// is begun again, also one of some days, which ends at a time of the clock. A timer of another
/// time waits beside it. The end of "for ten minutes" is always moved: a device has one.
fn have_same_due(earlier: &Timer, new: &Timer) -> bool {
    let is_said_again = earlier.text == new.text;
    match (&earlier.due, &new.due) {
        _ if matches!(new.task, Task::Revert { .. }) => true,
        // The next time of a rule depends on the moment at which it is set.
        _ if new.repeat.is_some() => true,
        (Due::State { .. }, Due::State { .. }) => true,
        (Due::Delay { .. }, Due::Delay { .. }) => is_said_again,
        (Due::At { wall_ms: earlier }, Due::At { wall_ms: new }) => {
            let apart = earlier.abs_diff(*new);
            apart == 0 || (is_said_again && u128::from(apart) < SAID_AGAIN.as_millis())
        }
        _ => false,
    }
}

/// A command that waits for a state.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingRule {
    /// Its text.
    pub text: String,
    /// The state that it waits for.
    pub condition: Condition,
    /// The actions that it will command.
    pub actions: Vec<Action>,
}

/// One occurrence of a repeated command, and the next one.
struct Occurrence {
    due: Due,
    late: Option<Duration>,
    skipped: u32,
    next: Option<Due>,
}

/// The timers of all sources.
#[derive(Debug, Default)]
pub struct Timers {
    pending: BTreeMap<TimerId, Timer>,
    /// Timers that have been handed out to fire, and those whose command is being carried out.
    firing: BTreeMap<TimerId, Timer>,
    last: TimerId,
    /// The numbers of the records that are not on disk as they are now.
    changed: BTreeSet<TimerId>,
    /// The highest number of the earlier run.
    last_restored: TimerId,
    /// The newest timers of the earlier run that have ended since.
    ended: VecDeque<Timer>,
}

/// The reason why a timer was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooManyTimers {
    /// The source has the most it may have.
    OfSource,
    /// All sources together have.
    InTotal,
}

impl Timers {
    /// Makes the set from the timers of an earlier run.
    pub fn restored(timers: Vec<Timer>) -> Self {
        let mut restored = Self::default();
        // Occurrences that were firing are kept beside the timers that wait.
        for timer in timers.into_iter().take(3 * MAX_TIMERS) {
            restored.last = restored.last.max(timer.id);
            restored.keep_restored(timer);
        }
        restored.last_restored = restored.last;
        restored
    }

    /// Makes the set of a run that cannot read the timers of the earlier run yet.
    pub fn unrestored() -> Self {
        Self {
            last: FIRST_UNRESTORED,
            ..Self::default()
        }
    }

    fn keep_restored(&mut self, timer: Timer) {
        if timer.occurrence_of.is_some() {
            // An earlier version wrote each occurrence in a record of its own.
            self.changed.extend([timer.id, timer.record_id()]);
        }
        // The record of several timers, which is read first, is newer than one of its own.
        self.pending.entry(timer.id).or_insert(timer);
    }

    /// Adds the timers of an earlier run to those set since, under their numbers where these are
    /// free.
    pub fn add_restored(&mut self, timers: Vec<Timer>) {
        let room = MAX_TIMERS.saturating_sub(self.pending.len() + self.firing.len());
        let timers = timers.into_iter().take(room);
        let own: HashSet<TimerId> = self.ids().collect();
        if timers.clone().all(|timer| !own.contains(&timer.id)) {
            for timer in timers {
                self.last_restored = self.last_restored.max(timer.id);
                self.keep_restored(timer);
            }
            self.last = self.last.max(self.last_restored);
            return;
        }
        let mut numbers = BTreeMap::new();
        for timer in timers {
            self.last += 1;
            numbers.insert(timer.id, self.last);
            // An occurrence is newer than its repeated command, and has a higher number.
            let occurrence_of = timer
                .occurrence_of
                .map(|of| numbers.get(&of).copied().unwrap_or(of));
            let id = self.last;
            let timer = Timer {
                id,
                occurrence_of,
                written_with: None,
                ..timer
            };
            self.pending.insert(id, timer);
        }
    }

    /// Returns the numbers of all timers, also of those that are being carried out.
    pub fn ids(&self) -> impl Iterator<Item = TimerId> {
        self.pending.keys().chain(self.firing.keys()).copied()
    }

    fn with_firing(&self) -> impl Iterator<Item = &Timer> {
        self.pending.values().chain(self.firing.values())
    }

    /// Notes that these records are not on disk as they are now.
    pub fn mark_changed(&mut self, records: impl IntoIterator<Item = TimerId>) {
        self.changed.extend(records);
    }

    /// Notes that the records of all timers are to be written.
    pub fn mark_all_changed(&mut self) {
        let all: Vec<TimerId> = self.with_firing().map(Timer::record_id).collect();
        self.changed.extend(all);
    }

    /// Takes the numbers of the records that are to be written.
    pub fn take_changed(&mut self) -> BTreeSet<TimerId> {
        std::mem::take(&mut self.changed)
    }

    /// Returns the timers in a record: a repeated command with its occurrence, for example. Each
    /// record is written at once, so that a crash leaves all of a change or nothing.
    pub fn record(&self, id: TimerId) -> Vec<&Timer> {
        let mut timers: Vec<&Timer> = self
            .with_firing()
            .filter(|timer| timer.record_id() == id)
            .collect();
        timers.sort_by_key(|timer| timer.id);
        timers
    }

    /// Returns the first timer, waiting, firing or ended in this run, for which `is_it` holds.
    pub fn find(&self, is_it: impl Fn(&Timer) -> bool) -> Option<&Timer> {
        let mut all = self.with_firing().chain(&self.ended);
        all.find(|timer| timer.occurrence_of.is_none() && is_it(timer))
    }

    /// Adds a timer. One of the same source for the same actions at the same time is replaced and
    /// returned, unless it is due: it is carried out as soon as the disk allows, however soon the
    /// next one is set.
    ///
    /// # Errors
    /// When the source, or all together, have too many.
    pub fn add(
        &mut self,
        timer: Timer,
        now: &Clocks,
    ) -> Result<(TimerId, Option<TimerId>), TooManyTimers> {
        let is_due =
            |other: &Timer| other.repeat.is_none() && matches!(other.due.wait(now), Wait::Late(_));
        let is_same = |other: &Timer| {
            !is_due(other)
                && other.source == timer.source
                && other.task == timer.task
                && have_same_recurrence(other, &timer)
                && have_same_due(other, &timer)
                && other.condition == timer.condition
                && other.occurrence_of.is_none()
                && !timer.task.is_signal()
        };
        let same = self.pending.values().find(|other| is_same(other));
        let replaced = same.map(|other| other.id);
        // Written over it: a crash leaves one of the two.
        let written_with = same.map(Timer::record_id).or(timer.written_with);
        if let Some(id) = replaced {
            self.pending.remove(&id);
        }
        let of_source = self.of_source(&timer.source).count();
        if of_source >= MAX_OF_SOURCE {
            return Err(TooManyTimers::OfSource);
        }
        if self.pending.len() + self.firing.len() >= MAX_TIMERS {
            return Err(TooManyTimers::InTotal);
        }
        self.last += 1;
        let id = self.last;
        let timer = Timer {
            id,
            written_with,
            ..timer
        };
        self.changed.insert(timer.record_id());
        self.pending.insert(id, timer);
        Ok((id, replaced))
    }

    /// Takes the timer that ends an earlier occurrence of the same command, to be replaced by one
    /// that ends later: it knows the states before both.
    pub fn take_revert_of(&mut self, timer: &Timer) -> Option<Task> {
        let record = timer.record_id();
        let is_it = |other: &&Timer| {
            other.written_with == Some(record) && matches!(other.task, Task::Revert { .. })
        };
        let id = self.pending.values().find(is_it)?.id;
        self.remove(id).map(|timer| timer.task)
    }

    /// Adds the timer that ends an occurrence, in the same record. It is held.
    ///
    /// # Errors
    /// When there are too many.
    pub fn add_revert(
        &mut self,
        task: Task,
        due: Due,
        occurrence: &Timer,
        now: &Clocks,
    ) -> Result<TimerId, TooManyTimers> {
        let revert = Timer {
            due,
            task,
            started: StartState::NotStarted,
            event: None,
            repeat: None,
            condition: None,
            occurrence_of: None,
            skipped: 0,
            written_with: Some(occurrence.record_id()),
            ..occurrence.clone()
        };
        let (id, _) = self.add(revert, now)?;
        self.hold(id);
        Ok(id)
    }

    /// Keeps a timer from firing and from being changed while its command is carried out. Returns
    /// false where it does not wait any more.
    pub fn hold(&mut self, id: TimerId) -> bool {
        let Some(timer) = self.pending.remove(&id) else {
            return false;
        };
        self.firing.insert(id, timer);
        true
    }

    /// Lets a timer wait again.
    pub fn release(&mut self, id: TimerId) {
        if let Some(timer) = self.firing.remove(&id) {
            self.pending.insert(id, timer);
        }
    }

    /// Returns the timers that a source has set, the earliest first by number.
    pub fn of_source<'a>(&'a self, source: &'a Source) -> impl Iterator<Item = &'a Timer> {
        let timers = self.waiting();
        timers.filter(move |timer| timer.source == *source)
    }

    /// Returns the timers that wait, without occurrences of repeated ones.
    pub fn waiting(&self) -> impl Iterator<Item = &Timer> {
        self.pending
            .values()
            .filter(|timer| timer.occurrence_of.is_none())
    }

    /// Returns a timer.
    pub fn get(&self, id: TimerId) -> Option<&Timer> {
        self.pending.get(&id)
    }

    /// Removes a timer that has not fired yet.
    pub fn remove(&mut self, id: TimerId) -> Option<Timer> {
        let timer = self.pending.remove(&id)?;
        self.changed.insert(timer.record_id());
        Some(timer)
    }

    /// Changes the due time of a timer, and its recurrence.
    pub fn reschedule(&mut self, id: TimerId, due: Due, repeat: Option<Repeat>) {
        if let Some(timer) = self.pending.get_mut(&id) {
            timer.due = due;
            timer.repeat = repeat;
            self.changed.insert(timer.record_id());
        }
    }

    /// Returns the rules whose condition names one of the devices.
    pub fn rules_about(&self, devices: &[Slug]) -> Vec<(TimerId, Condition)> {
        let names = |condition: &Condition| {
            condition.tests.iter().any(|test| match test {
                StateTest::Device { device, .. } => devices.iter().any(|d| d.as_str() == device),
                StateTest::Dark(_) => false,
            })
        };
        let rules = self.pending.values().filter_map(|timer| {
            let condition = timer.condition.as_ref().filter(|c| names(c))?;
            Some((timer.id, condition.clone()))
        });
        rules.collect()
    }

    /// Returns all rules.
    pub fn rules(&self) -> Vec<WaitingRule> {
        let rules = self.pending.values().filter_map(|timer| {
            Some(WaitingRule {
                text: timer.text.clone(),
                condition: timer.condition.clone()?,
                actions: timer.task.effects(),
            })
        });
        rules.collect()
    }

    /// Makes a rule due whose condition became true. A rule that fires each time continues to wait;
    /// while it is being carried out it does not fire again. Returns whether it is due.
    pub fn trigger(&mut self, id: TimerId, now: &Clocks) -> bool {
        if self.has_occurrence(id) {
            return false;
        }
        let Some(rule) = self.pending.get_mut(&id) else {
            return false;
        };
        self.changed.insert(rule.record_id());
        let due = Due::after(Duration::ZERO, now);
        let is_once = rule
            .condition
            .as_ref()
            .is_none_or(|condition| condition.mode != ConditionMode::Always);
        if is_once {
            rule.due = due;
            rule.condition = None;
            return true;
        }
        let single = Timer {
            id: self.last + 1,
            due,
            condition: None,
            occurrence_of: Some(id),
            ..rule.clone()
        };
        self.last += 1;
        self.changed.insert(single.record_id());
        self.pending.insert(single.id, single);
        true
    }

    /// Adds the event about a rule that cannot fire, to be delivered. The rule waits on.
    pub fn add_event(&mut self, id: TimerId, event: serde_json::Value, now: &Clocks) {
        if self.has_occurrence(id) {
            return;
        }
        let Some(rule) = self.pending.get(&id) else {
            return;
        };
        self.last += 1;
        let single = Timer {
            id: self.last,
            due: Due::after(Duration::ZERO, now),
            condition: None,
            occurrence_of: Some(id),
            event: Some(event),
            ..rule.clone()
        };
        self.changed.insert(single.record_id());
        self.pending.insert(single.id, single);
    }

    /// Corrects the times at which delays end by the wall clock, after that was set. Returns
    /// whether there were any to correct.
    pub fn follow_clock(&mut self, now: &Clocks) -> bool {
        let Some(wall_now) = now.wall.map(Timestamp::as_millisecond) else {
            return false;
        };
        let mut is_corrected = false;
        for timer in self.pending.values_mut() {
            let Wait::For(left) = timer.due.wait(now) else {
                continue;
            };
            let record = timer.record_id();
            let Due::Delay { wall_ms, boot, .. } = &mut timer.due else {
                continue;
            };
            let left = i64::try_from(millis(left)).unwrap_or(i64::MAX);
            let ends = wall_now.saturating_add(left);
            let is_right =
                wall_ms.is_some_and(|wall| u128::from(wall.abs_diff(ends)) <= PUNCTUAL.as_millis());
            if *boot == now.boot && !is_right {
                *wall_ms = Some(ends);
                self.changed.insert(record);
                is_corrected = true;
            }
        }
        is_corrected
    }

    /// Removes the devices that another command has changed from the reverts that wait for them. A
    /// revert without a device is due at once, so that it reports itself.
    /// Returns the numbers of reverts that changed, with the rest of each.
    pub fn commanded(&mut self, is_commanded: impl Fn(&str) -> bool, now: &Clocks) -> Vec<TimerId> {
        let mut changed = Vec::new();
        for (id, timer) in &mut self.pending {
            let record = timer.record_id();
            let Task::Revert { actions, .. } = &mut timer.task else {
                continue;
            };
            let before = actions.len();
            actions.retain(|action| !is_commanded(&action.device));
            if actions.len() == before {
                continue;
            }
            if actions.is_empty() {
                timer.due = Due::after(Duration::ZERO, now);
            }
            self.changed.insert(record);
            changed.push(*id);
        }
        changed
    }

    /// Returns the time until the next timer may fire, at most `most` where one waits for the wall
    /// clock, which may be set at any time. `None` where nothing waits.
    pub fn next_wait(&self, now: &Clocks, most: Duration) -> Option<Duration> {
        let busy = self.with_occurrences();
        self.pending
            .values()
            .filter(|timer| timer.repeat.is_none() || !busy.contains(&timer.id))
            .filter_map(|timer| match (timer.due.wait(now), &timer.due) {
                (Wait::For(left), Due::Delay { boot, .. }) if *boot == now.boot => Some(left),
                (Wait::For(left), _) => Some(left.min(most)),
                (Wait::ClockUnset, _) => Some(most),
                (Wait::Late(_) | Wait::Unknown, _) => Some(Duration::ZERO),
                (Wait::ForState, due) => due.until_end(now).map(|left| left.min(most)),
            })
            .min()
    }

    /// Returns the repeated commands of which an earlier occurrence waits or is being carried out.
    fn with_occurrences(&self) -> HashSet<TimerId> {
        let all = self.firing.values().chain(self.pending.values());
        all.filter_map(|timer| timer.occurrence_of).collect()
    }

    /// Returns whether an occurrence of the timer waits or is being carried out.
    fn has_occurrence(&self, id: TimerId) -> bool {
        let mut others = self.firing.values().chain(self.pending.values());
        others.any(|other| other.occurrence_of == Some(id))
    }

    /// Takes the timers that are due, in the order of their due times, each with its lateness if
    /// that is known. They count as firing until [`Timers::forget`]. A repeated command continues
    /// to wait for its next occurrence.
    pub fn take_due(
        &mut self,
        now: &Clocks,
        place: &HomeLocation,
    ) -> Vec<(Timer, Option<Duration>)> {
        self.follow_clock(now);
        self.drop_overtaken(now);
        let mut due = Vec::new();
        let busy = self.with_occurrences();
        let ids: Vec<TimerId> = self.pending.keys().copied().collect();
        for id in ids {
            let Some(timer) = self.pending.get(&id) else {
                continue;
            };
            if timer.repeat.is_some() && busy.contains(&id) {
                continue;
            }
            let late = match timer.due.wait(now) {
                Wait::Late(late) => Some(late),
                Wait::Unknown => None,
                Wait::For(left) => {
                    if let Some(due_time) = earlier_after_step(timer, left, now, place) {
                        self.reschedule(id, due_time, timer.repeat.clone());
                    }
                    continue;
                }
                Wait::ClockUnset => continue,
                Wait::ForState => {
                    if timer.due.until_end(now) == Some(Duration::ZERO) {
                        self.remove(id);
                    }
                    continue;
                }
            };
            due.extend(self.take(id, late, now, place));
        }
        let order =
            |(timer, late): &(Timer, Option<Duration>)| (std::cmp::Reverse(*late), timer.id);
        due.sort_by_key(order);
        for (timer, _) in &due {
            self.firing.insert(timer.id, timer.clone());
        }
        due
    }

    /// Removes the occurrences that were not begun before the next one of the same command is due;
    /// they count as missed.
    fn drop_overtaken(&mut self, now: &Clocks) {
        let is_due = |id: &TimerId| {
            let timer = self.pending.get(id);
            timer.is_some_and(|timer| matches!(timer.due.wait(now), Wait::Late(_)))
        };
        let overtaken: Vec<(TimerId, TimerId, u32)> = self
            .pending
            .values()
            .filter(|timer| timer.started == StartState::NotStarted && timer.event.is_none())
            .filter_map(|timer| Some((timer.id, timer.occurrence_of?, timer.skipped)))
            .filter(|(_, parent, _)| is_due(parent))
            .collect();
        for (id, parent, skipped) in overtaken {
            self.remove(id);
            if let Some(timer) = self.pending.get_mut(&parent) {
                timer.skipped = timer.skipped.saturating_add(skipped).saturating_add(1);
            }
        }
    }

    /// Removes a timer that is due, or, if it is repeated, moves it to its next time. Returns the
    /// timer that is to be carried out.
    fn take(
        &mut self,
        id: TimerId,
        late: Option<Duration>,
        now: &Clocks,
        place: &HomeLocation,
    ) -> Option<(Timer, Option<Duration>)> {
        let timer = self.remove(id)?;
        let Some(repeat) = &timer.repeat else {
            return Some((timer, late));
        };
        let occurrence = occurrence(&timer.due, repeat, late, now, place);
        if let Some(next) = occurrence.next {
            let waiting = Timer {
                due: next,
                skipped: 0,
                repeat: Some(Repeat {
                    last_ms: occurrence.due.wall().map(Timestamp::as_millisecond),
                    ..repeat.clone()
                }),
                ..timer.clone()
            };
            self.pending.insert(id, waiting);
        }
        self.last += 1;
        let single = Timer {
            id: self.last,
            due: occurrence.due,
            repeat: None,
            occurrence_of: Some(id),
            skipped: timer.skipped.saturating_add(occurrence.skipped),
            ..timer
        };
        self.changed.insert(single.record_id());
        Some((single, occurrence.late))
    }

    /// Notes that the messages of a timer are about to be published.
    pub fn mark_started(&mut self, id: TimerId, started: StartState) {
        if let Some(timer) = self.firing.get_mut(&id) {
            timer.started = started;
            self.changed.insert(timer.record_id());
        }
    }

    /// Notes that a timer has been carried out, and the event that is still to be delivered.
    pub fn mark_finished(&mut self, id: TimerId, event: serde_json::Value) {
        if let Some(timer) = self.firing.get_mut(&id) {
            timer.event = Some(event);
            self.changed.insert(timer.record_id());
        }
    }

    /// Forgets a timer that has fired, or whose command was not carried out.
    pub fn forget(&mut self, id: TimerId) {
        let Some(timer) = self.firing.remove(&id) else {
            return;
        };
        self.changed.insert(timer.record_id());
        if id <= self.last_restored {
            self.ended.push_back(timer);
            if self.ended.len() > MAX_ENDED {
                self.ended.pop_front();
            }
        }
    }
}

/// Returns an earlier due time of a repeated command that waits for longer than a rule of days
/// allows: the wall clock was far ahead when it was computed, and has been set back.
fn earlier_after_step(
    timer: &Timer,
    left: Duration,
    now: &Clocks,
    place: &HomeLocation,
) -> Option<Due> {
    let Some(Repeat {
        recurrence: Recurrence::Days { days, time },
        ..
    }) = &timer.repeat
    else {
        return None;
    };
    if left <= LONGEST_PAUSE {
        return None;
    }
    let rule = DayRule {
        days: *days,
        time: *time,
    };
    let wall = now.wall?;
    // Not again after a step back by some days; an occurrence far ahead was of a wrong clock.
    let last = timer.repeat.as_ref().and_then(|repeat| repeat.last_ms);
    let is_near = |last: &i64| {
        let ahead = last.saturating_sub(wall.as_millisecond());
        u64::try_from(ahead).unwrap_or_default() <= millis(LONGEST_PAUSE)
    };
    let last = last
        .filter(is_near)
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let next = rule
        .next_after(wall.max(last.unwrap_or(wall)), place)
        .ok()?;
    let wall_ms = next.as_millisecond();
    (timer.due != Due::At { wall_ms }).then_some(Due::At { wall_ms })
}

/// Returns the occurrence of a repeated command that is due: the last one until now.
fn occurrence(
    due: &Due,
    repeat: &Repeat,
    late: Option<Duration>,
    now: &Clocks,
    place: &HomeLocation,
) -> Occurrence {
    let is_over = |next: &Due| match (repeat.end_ms, next.wall()) {
        (Some(end), Some(next)) => next.as_millisecond() > end,
        _ => false,
    };
    // Occurrences after the end do not count.
    let beyond = match (repeat.end_ms, now.wall) {
        (Some(end), Some(wall)) => {
            let beyond = wall.as_millisecond().saturating_sub(end);
            Duration::from_millis(u64::try_from(beyond).unwrap_or_default())
        }
        _ => Duration::ZERO,
    };
    match repeat.recurrence {
        Recurrence::Days { days, time } => {
            let rule = DayRule { days, time };
            let now_wall = now.wall.unwrap_or_default();
            let due_wall = due.wall().unwrap_or(now_wall);
            let last =
                now_wall.checked_sub(jiff::SignedDuration::try_from(beyond).unwrap_or_default());
            let last = last.unwrap_or(now_wall).max(due_wall);
            let (latest, skipped) = rule.latest(due_wall, last, place);
            let at = |at: Timestamp| Due::At {
                wall_ms: at.as_millisecond(),
            };
            let next = rule.next_after(now_wall.max(latest), place).ok().map(at);
            Occurrence {
                due: at(latest),
                late: u64::try_from(now_wall.as_millisecond() - latest.as_millisecond())
                    .ok()
                    .map(Duration::from_millis),
                skipped,
                next: next.filter(|next| !is_over(next)),
            }
        }
        Recurrence::Interval { seconds, .. } => {
            let every = u64::from(seconds.max(1)) * 1000;
            let total = millis(late.unwrap_or_default());
            let counted = total.saturating_sub(millis(beyond));
            let skipped = counted / every;
            let next = Due::after(Duration::from_millis(every - total % every), now);
            Occurrence {
                due: due.later(skipped * every),
                late: late.map(|_| Duration::from_millis(total - skipped * every)),
                skipped: u32::try_from(skipped).unwrap_or(u32::MAX),
                next: (!is_over(&next)).then_some(next),
            }
        }
    }
}

/// Limit on how late a timer may fire, by the harm of firing late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    /// Only on time: it opens or locks something, or starts something that heats.
    None,
    /// Five minutes.
    Short,
    /// A day: it switches something off.
    Day,
}

impl Grace {
    /// Returns whether a timer that is so late still fires. `None` is an unknown time.
    pub fn allows(self, late: Option<Duration>) -> bool {
        let Some(late) = late else {
            return false;
        };
        match self {
            Self::None => late <= PUNCTUAL,
            Self::Short | Self::Day => late <= self.longest(),
        }
    }

    /// Returns the time within which its messages must reach the broker.
    pub fn longest(self) -> Duration {
        match self {
            Self::None => Duration::from_mins(1),
            Self::Short => Duration::from_mins(5),
            Self::Day => Duration::from_hours(24),
        }
    }
}

/// Returns whether a delay is worth mentioning.
pub fn is_late(late: Option<Duration>) -> bool {
    late.is_none_or(|late| late > PUNCTUAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Value;
    use crate::vocabulary::action::Op;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const SET: i64 = EARLIEST_BELIEVABLE.as_secs().cast_signed() + 1_000_000;

    fn now(wall: i64, uptime: u64, boot: &str) -> Clocks {
        let wall = Timestamp::from_second(wall).unwrap();
        Clocks::new(wall, Duration::from_secs(uptime), boot.to_owned())
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn timer(source: &str, device: &str, due: Due) -> Timer {
        let action = Action {
            device: device.into(),
            property: "power".into(),
            op: Op::Set,
            value: Some(Value::text("off")),
        };
        Timer {
            id: 0,
            source: Source::new(source),
            command_id: "c".to_owned(),
            seq: 0,
            text: "t".to_owned(),
            answer: None,
            language: None,
            reply_to: ReplyTo {
                topic: "r".to_owned(),
                correlation: None,
            },
            due,
            task: Task::Command {
                actions: vec![action],
                scope: TargetScope::Named,
                confirmed: false,
                left_out: Vec::new(),
                lasting: None,
            },
            started: StartState::NotStarted,
            event: None,
            repeat: None,
            condition: None,
            occurrence_of: None,
            skipped: 0,
            written_with: None,
        }
    }

    #[test]
    fn a_delay_runs_by_uptime_and_after_a_restart_by_the_wall_clock() {
        let due = Due::after(seconds(100), &now(SET, 50, "a"));
        // The clock is set back by a day: the delay does not change.
        assert_eq!(
            due.wait(&now(SET - 86_400, 90, "a")),
            Wait::For(seconds(60))
        );
        assert_eq!(due.wait(&now(SET + 70, 5, "b")), Wait::For(seconds(30)));
        assert_eq!(due.wait(&now(1000, 5, "b")), Wait::ClockUnset);
        let unset = Due::after(seconds(100), &now(1000, 50, "a"));
        assert_eq!(unset.wait(&now(SET, 149, "a")), Wait::For(seconds(1)));
        assert_eq!(unset.wait(&now(SET, 149, "b")), Wait::Unknown);
    }

    #[test]
    fn a_delay_ends_at_another_wall_time_after_the_clock_was_set() {
        let mut timers = Timers::default();
        for (device, set) in [("fan", SET), ("lamp", 1000)] {
            let before = now(set, 50, "a");
            let due = Due::after(seconds(100), &before);
            timers.add(timer("a", device, due), &before).unwrap();
        }
        let place = HomeLocation {
            zone: jiff::tz::TimeZone::UTC,
            position: None,
        };
        let day = 86_400;
        assert!(timers.take_due(&now(SET + day, 60, "a"), &place).is_empty());
        let ends = Timestamp::from_second(SET + day + 90).ok();
        for timer in timers.waiting() {
            assert_eq!(timer.due.wall(), ends);
        }
        timers.take_changed();
        assert!(
            timers
                .take_due(&now(SET + day + 1, 61, "a"), &place)
                .is_empty()
        );
        assert!(timers.take_changed().is_empty(), "it stays as it is");
    }

    #[test]
    fn a_time_of_the_day_runs_by_the_wall_clock_and_waits_until_it_is_set() {
        let due = Due::At {
            wall_ms: SET * 1000,
        };
        assert_eq!(due.wait(&now(5, 5, "a")), Wait::ClockUnset);
        assert_eq!(due.wait(&now(SET - 60, 5, "a")), Wait::For(seconds(60)));
        assert_eq!(due.wait(&now(SET + 60, 5, "a")), Wait::Late(seconds(60)));
    }

    #[test]
    fn timers_are_bounded_by_source_and_in_total_and_duplicates_replace() {
        let mut timers = Timers::default();
        let early = now(SET - 60, 50, "a");
        let mut add = |source: &str, device: &str| {
            let due = Due::At {
                wall_ms: SET * 1000,
            };
            timers.add(timer(source, device, due), &early)
        };
        for n in 0..MAX_OF_SOURCE {
            assert!(add("a", &n.to_string()).is_ok());
        }
        assert_eq!(add("a", "x"), Err(TooManyTimers::OfSource));
        let (_, replaced) = add("a", "0").unwrap();
        assert_eq!(replaced, Some(1));
        for source in ["b", "c", "d"] {
            for n in 0..MAX_OF_SOURCE {
                assert!(add(source, &n.to_string()).is_ok());
            }
        }
        assert_eq!(add("e", "0"), Err(TooManyTimers::InTotal));
        assert_eq!(timers.pending.len(), MAX_TIMERS);
    }

    #[test]
    fn a_timer_of_another_due_time_is_not_replaced() {
        let mut timers = Timers::default();
        let mut add = |text: &str, due: Due| {
            let timer = Timer {
                text: text.to_owned(),
                ..timer("a", "0", due)
            };
            timers.add(timer, &now(SET, 50, "a")).unwrap()
        };
        let at = |seconds: i64| Due::At {
            wall_ms: (SET + seconds) * 1000,
        };
        let after = |delay: u64, since: u64| {
            let now = now(SET, 50 + since, "a");
            Due::after(seconds(delay), &now)
        };
        assert_eq!(add("at six", at(6)), (1, None));
        assert_eq!(add("at nine", at(900)), (2, None));
        assert_eq!(add("once more at six", at(6)), (3, Some(1)));
        assert_eq!(add("in ten minutes", after(600, 0)), (4, None));
        assert_eq!(add("in ten minutes", after(600, 9)), (5, Some(4)));
        assert_eq!(add("in twenty minutes", after(1200, 9)), (6, None));
        assert_eq!(add("in two days", at(172_800)), (7, None));
        assert_eq!(add("in two days", at(172_805)), (8, Some(7)));
        // The same words on another day are another time.
        assert_eq!(add("tomorrow at six", at(86_400)), (9, None));
        assert_eq!(add("tomorrow at six", at(186_400)), (10, None));
    }

    #[test]
    fn a_timer_that_is_due_is_not_replaced_by_the_next_one() {
        let mut timers = Timers::default();
        let due = |seconds| Due::At {
            wall_ms: (SET + seconds) * 1000,
        };
        let (first, _) = timers
            .add(timer("a", "0", due(2)), &now(SET, 50, "a"))
            .unwrap();
        // The disk hangs: nothing was taken meanwhile.
        let later = now(SET + 4, 54, "a");
        let (second, replaced) = timers.add(timer("a", "0", due(9)), &later).unwrap();
        assert_eq!(replaced, None);
        let place = HomeLocation {
            zone: jiff::tz::TimeZone::UTC,
            position: None,
        };
        let taken = |timers: &mut Timers, now: &Clocks| -> Vec<TimerId> {
            let due = timers.take_due(now, &place);
            due.iter().map(|(timer, _)| timer.id).collect()
        };
        assert_eq!(taken(&mut timers, &later), [first]);
        assert_eq!(taken(&mut timers, &now(SET + 9, 59, "a")), [second]);
    }

    #[test]
    fn a_revert_is_dropped_for_devices_that_were_commanded_since() {
        let mut timers = Timers::default();
        let mut revert = timer("a", "fan", Due::after(seconds(9), &now(SET, 1, "a")));
        let lamp = Action {
            device: "lamp".into(),
            ..revert.task.actions()[0].clone()
        };
        let fan = revert.task.actions()[0].clone();
        revert.task = Task::Revert {
            actions: vec![fan, lamp],
            expected: Vec::new(),
        };
        let (id, _) = timers.add(revert, &now(SET, 1, "a")).unwrap();
        let now = now(SET, 2, "a");
        assert_eq!(timers.commanded(|device| device == "fan", &now), [id]);
        assert_eq!(timers.get(id).unwrap().task.actions().len(), 1);
        assert_eq!(timers.commanded(|device| device == "lamp", &now), [id]);
        // It is due at once, without an action, for its event.
        let rest = timers.get(id).unwrap();
        assert!(rest.task.actions().is_empty());
        assert_eq!(rest.due.wait(&now), Wait::Late(Duration::ZERO));
    }

    #[test]
    fn an_occurrence_with_a_record_of_its_own_moves_to_that_of_its_command() {
        let due = || Due::At {
            wall_ms: SET * 1000,
        };
        let rule = Recurrence::Interval {
            seconds: 3600,
            until: None,
        };
        let command = Timer {
            id: 3,
            repeat: Some(Repeat::new(rule, None)),
            ..timer("a", "fan", due())
        };
        let occurrence = Timer {
            id: 5,
            occurrence_of: Some(3),
            ..timer("a", "fan", due())
        };
        // As an earlier version wrote them: without the fields that are new.
        let written = [&command, &occurrence].map(|timer| {
            let mut record = serde_json::to_value(timer).unwrap();
            record.as_object_mut().unwrap().remove("seq");
            record
        });
        let read = written.map(|record| serde_json::from_value::<Timer>(record).unwrap());
        let mut timers = Timers::restored(read.to_vec());
        assert_eq!(timers.take_changed(), BTreeSet::from([3, 5]));
        let ids: Vec<TimerId> = timers.record(3).iter().map(|timer| timer.id).collect();
        assert_eq!(ids, [3, 5]);
        assert!(timers.record(5).is_empty());
        // A crash between the two writes leaves the occurrence in both records.
        let both = [command.clone(), occurrence.clone(), occurrence];
        let again = Timers::restored(both.to_vec());
        assert_eq!(again.pending.len(), 2);
    }

    #[test]
    fn the_stored_form_of_a_timer_is_that_of_earlier_versions() {
        for (state, stored) in [
            (StartState::NotStarted, serde_json::Value::Null),
            (StartState::Repeatable, true.into()),
            (StartState::Once, false.into()),
        ] {
            let due = Due::At { wall_ms: 1 };
            let timer = Timer {
                started: state,
                occurrence_of: Some(3),
                ..timer("a", "fan", due)
            };
            let mut record = serde_json::to_value(&timer).unwrap();
            assert_eq!(record["started"], stored);
            assert_eq!(
                (&record["command"], &record["of"]),
                (&"c".into(), &3.into())
            );
            assert_eq!(
                serde_json::from_value::<Timer>(record.clone()).unwrap(),
                timer
            );
            record.as_object_mut().unwrap().remove("started");
            let without: Timer = serde_json::from_value(record).unwrap();
            assert_eq!(without.started, StartState::NotStarted);
        }
    }

    #[test]
    fn what_is_late_depends_on_the_harm() {
        let hour = Some(Duration::from_hours(1));
        assert!(Grace::Day.allows(hour) && !Grace::Short.allows(hour));
        assert!(Grace::Short.allows(Some(seconds(300))) && !Grace::None.allows(Some(seconds(3))));
        assert!(
            !Grace::Day.allows(None),
            "an unknown time is never within the grace period"
        );
    }

    proptest! {
        /// Checks that, over clock steps and restarts with and without a clock, each timer is
        /// handed out exactly once, and never early by the clock it runs by.
        #[test]
        fn every_timer_is_handed_out_exactly_once_and_never_early(
            delays in proptest::collection::vec((1_u64..5000, any::<bool>()), 1..40),
            events in proptest::collection::vec((0_u8..4, 1_u64..900), 1..60),
        ) {
            let mut timers = Timers::default();
            let (mut wall, mut uptime, mut boot) = (SET, 10_u64, 0_u32);
            let start = now(wall, uptime, "0");
            for (n, (delay, civil)) in delays.iter().enumerate() {
                let due = if *civil {
                    Due::At { wall_ms: (SET + i64::try_from(*delay).unwrap()) * 1000 }
                } else {
                    Due::after(seconds(*delay), &start)
                };
                let timer = timer(&(n / 40).to_string(), &n.to_string(), due);
                timers.add(timer, &start).unwrap();
            }
            let mut handed = BTreeSet::new();
            let far = i64::from(u16::MAX);
            for (kind, amount) in events.into_iter().chain([(0, 900), (4, 0)]) {
                let amount_signed = i64::try_from(amount).unwrap();
                match kind {
                    0 => { wall += amount_signed; uptime += amount; }
                    1 => wall -= amount_signed,
                    2 => wall += amount_signed,
                    3 => {
                        // A restart of the gateway, with the timers read from disk.
                        boot += 1;
                        uptime = 1;
                        wall += amount_signed;
                        timers = Timers::restored(timers.waiting().cloned().collect());
                    }
                    _ => { wall = SET + far; uptime += 1_000_000; }
                }
                let at = now(wall, uptime, &boot.to_string());
                for (timer, late) in timers.take_due(&at, &HomeLocation::default()) {
                    prop_assert!(late.is_some());
                    prop_assert!(!matches!(timer.due.wait(&at), Wait::For(_)), "early");
                    prop_assert!(handed.insert(timer.id), "twice");
                    timers.forget(timer.id);
                }
            }
            prop_assert_eq!(handed.len(), delays.len(), "lost");
        }
    }
}
