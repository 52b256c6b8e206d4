//! Times, recurrences and lengths of time in words of the speaker's language.
//!
//! It decides nothing: due times and rules go in, parts of sentences come out.

use std::time::Duration;

use jiff::{Timestamp, Zoned};

use crate::command::reply::{Refusal, Scheduled};
use crate::home::permit::Plan;
use crate::pipeline::condition_speech::{condition_in_words, missing_devices};
use crate::pipeline::due_time::{DueTime, at_wall};
use crate::pipeline::handle::Pipeline;
use crate::schedule::due::{Due, Wait};
use crate::schedule::moment::{HomeLocation, MOST_DAYS, TimeFault};
use crate::vocabulary::condition::{Condition, ConditionMode};
use crate::vocabulary::speech::{Speech, fill, sentence};
use crate::vocabulary::timing::{Recurrence, Span, TimeOfDay, Timing, Weekdays};

impl Pipeline {
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

pub(super) fn fault_in_words(fault: TimeFault, timing: &Timing, speech: &Speech) -> Refusal {
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
