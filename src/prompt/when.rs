//! The time or the condition of a model's draft, in a notation that is short in a prompt:
//! `in 10 min`, `at fri 18:30`, `every weekdays sunset-30`, `when kitchen_window.window = open`.
//! Pure.

use crate::vocabulary::condition::{Condition, ConditionMode, ExpectedState, StateTest};
use crate::vocabulary::timing::{
    Day, Half, Recurrence, Span, TimeOfDay, TimePoint, Timing, Weekdays,
};
use crate::vocabulary::{Property, Value};

/// The longest text that is read, in bytes.
const LONGEST: usize = 256;

/// Between a time or a state and how long the command lasts then.
const FOR_A_WHILE: &str = " for ";

/// The most states of one condition.
const MOST_TESTS: usize = 4;

/// The most minutes before or after sunrise and sunset.
const MOST_MINUTES: i16 = 720;

/// Time, condition and duration of a draft.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct DraftTime {
    /// The time.
    pub(super) timing: Option<Timing>,
    /// The states.
    pub(super) condition: Option<Condition>,
    /// The time after which it is taken back.
    pub(super) lasting: Option<Span>,
}

impl DraftTime {
    fn at(timing: Timing) -> Self {
        Self {
            timing: Some(timing),
            ..Self::default()
        }
    }

    /// Returns the same with its end, or `None` where it has one already or happens at once.
    fn for_a_while(self, span: Span) -> Option<Self> {
        let is_now = |condition: &Condition| condition.mode == ConditionMode::Now;
        match (&self.timing, &self.condition) {
            (None, Some(condition)) if is_now(condition) => Some(Self {
                timing: Some(Timing::For(span)),
                ..self
            }),
            (None, Some(_)) | (Some(Timing::After(_) | Timing::At(_) | Timing::Every(_)), None) => {
                Some(Self {
                    lasting: Some(span),
                    ..self
                })
            }
            _ => None,
        }
    }
}

/// Reads the notation. Returns `None` for anything else, so that a command that is meant for later
/// is never done at once.
pub(super) fn when(text: &str) -> Option<DraftTime> {
    if text.len() > LONGEST || !text.is_ascii() {
        return None;
    }
    let text = text.trim();
    let end = text.to_ascii_lowercase().rfind(FOR_A_WHILE);
    if let Some(end) = end
        && let Some(span) = span(&text[end + FOR_A_WHILE.len()..].to_ascii_lowercase())
    {
        return start(text[..end].trim())?.for_a_while(span);
    }
    start(text)
}

/// Reads the notation without an end.
fn start(text: &str) -> Option<DraftTime> {
    let plain = text.to_ascii_lowercase();
    if matches!(plain.as_str(), "" | "now" | "null") {
        return Some(DraftTime::default());
    }
    let (word, rest) = plain.split_once(' ')?;
    let rest = rest.trim();
    // Values of a device may have capital letters.
    let states = text[word.len()..].trim();
    Some(match word {
        "in" => DraftTime::at(Timing::After(span(rest)?)),
        "for" => DraftTime::at(Timing::For(span(rest)?)),
        "at" => DraftTime::at(Timing::At(point(rest)?)),
        "until" => DraftTime::at(Timing::Until(point(rest)?)),
        "every" => DraftTime::at(Timing::Every(recurrence(rest)?)),
        "if" => on_states(ConditionMode::Now, states)?,
        "when" => on_states(ConditionMode::Once, states)?,
        "whenever" => on_states(ConditionMode::Always, states)?,
        _ => return None,
    })
}

/// Reads `10 min`, `2 h` or `3 d`.
fn span(text: &str) -> Option<Span> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let count: u32 = text[..digits].parse().ok()?;
    let seconds = match text[digits..].trim() {
        "s" | "sec" | "second" | "seconds" => count,
        "m" | "min" | "minute" | "minutes" => count.checked_mul(60)?,
        "h" | "hour" | "hours" => count.checked_mul(3600)?,
        "d" | "day" | "days" => {
            let days = u16::try_from(count).ok().filter(|days| *days > 0)?;
            return Some(Span { days, seconds: 0 });
        }
        _ => return None,
    };
    (seconds > 0).then_some(Span { days: 0, seconds })
}

/// Reads `18:30`, `tomorrow 7:00`, `fri sunset` or `sunset-30`.
fn point(text: &str) -> Option<TimePoint> {
    let Some((day, time)) = text.split_once(' ') else {
        let time = time_of_day(text)?;
        return Some(TimePoint {
            day: Day::Next,
            time,
        });
    };
    let day = match day {
        "today" => Day::In(0),
        "tomorrow" => Day::In(1),
        name => Day::Weekday(weekday(name)?),
    };
    let time = time_of_day(time.trim())?;
    Some(TimePoint { day, time })
}

fn time_of_day(text: &str) -> Option<TimeOfDay> {
    if let Some(offset) = text.strip_prefix("sunrise") {
        return minutes(offset).map(TimeOfDay::Sunrise);
    }
    if let Some(offset) = text.strip_prefix("sunset") {
        return minutes(offset).map(TimeOfDay::Sunset);
    }
    let (hour, minute) = text.split_once(':')?;
    let is_clock = hour.len() <= 2 && minute.len() == 2;
    let (hour, minute): (u8, u8) = (hour.parse().ok()?, minute.parse().ok()?);
    (is_clock && hour < 24 && minute < 60).then_some(TimeOfDay::Clock {
        hour,
        minute,
        half: Half::Exact,
    })
}

/// Reads an offset in minutes: nothing, `-30` or `+15`.
fn minutes(text: &str) -> Option<i16> {
    if text.is_empty() {
        return Some(0);
    }
    let is_signed = text.starts_with(['+', '-']);
    let offset: i16 = text.parse().ok()?;
    (is_signed && offset.abs() <= MOST_MINUTES).then_some(offset)
}

fn weekday(name: &str) -> Option<u8> {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let at = days.iter().position(|day| *day == name)?;
    u8::try_from(at + 1).ok()
}

/// Reads `day 7:00`, `weekdays 7:00`, `mon,wed sunset` or `2 h`.
fn recurrence(text: &str) -> Option<Recurrence> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let Span { days: 0, seconds } = span(text)? else {
            return None;
        };
        return Some(Recurrence::Interval {
            seconds,
            until: None,
        });
    }
    let (days, time) = text.split_once(' ')?;
    let days = match days {
        "day" => Weekdays::ALL,
        "weekdays" => Weekdays::WORKDAYS,
        "weekends" => Weekdays::WEEKENDS,
        list => {
            let mut days = Weekdays::default();
            for name in list.split(',') {
                days = days.and(Weekdays::one(weekday(name)?));
            }
            days
        }
    };
    let time = time_of_day(time.trim())?;
    Some(Recurrence::Days { days, time })
}

/// Reads states that are joined by `and` or by `or`.
fn on_states(mode: ConditionMode, text: &str) -> Option<DraftTime> {
    let any = text.contains(" or ");
    let separator = if any { " or " } else { " and " };
    let parts: Vec<&str> = text.split(separator).collect();
    let is_mixed = any && text.contains(" and ");
    if is_mixed || parts.len() > MOST_TESTS {
        return None;
    }
    let tests = parts.into_iter().map(state).collect::<Option<Vec<_>>>()?;
    Some(DraftTime {
        condition: Some(Condition {
            mode,
            tests,
            any,
            until: None,
        }),
        ..DraftTime::default()
    })
}

/// Reads `dark`, `light`, or `device.property`, then `=`, `above` or `below`, and a value.
fn state(text: &str) -> Option<StateTest> {
    match text.trim() {
        "dark" => return Some(StateTest::Dark(true)),
        "light" => return Some(StateTest::Dark(false)),
        _ => {}
    }
    let text = text.replace(" above ", " > ").replace(" below ", " < ");
    let sign = text.find(['=', '>', '<'])?;
    let (device, property) = text[..sign].trim().split_once('.')?;
    let value = text[sign + 1..].trim().trim_matches('"');
    let is_word = |word: &str| !word.is_empty() && !word.contains(char::is_whitespace);
    if !is_word(device) || !is_word(property) || value.is_empty() {
        return None;
    }
    let number = value.parse::<f64>().ok().filter(|n| n.is_finite());
    let is = match &text[sign..=sign] {
        ">" => ExpectedState::Above(number?),
        "<" => ExpectedState::Below(number?),
        _ => ExpectedState::Equal(match (number, value) {
            (Some(number), _) => Value::Number(number),
            (None, "true") => Value::Flag(true),
            (None, "false") => Value::Flag(false),
            (None, word) => Value::text(word),
        }),
    };
    Some(StateTest::Device {
        device: device.to_owned(),
        property: Property::from(property),
        is,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(text: &str) -> Timing {
        when(text).unwrap().timing.unwrap()
    }

    fn clock(hour: u8, minute: u8) -> TimeOfDay {
        TimeOfDay::Clock {
            hour,
            minute,
            half: Half::Exact,
        }
    }

    #[test]
    fn times_are_read() {
        let ten_minutes = Span {
            days: 0,
            seconds: 600,
        };
        assert_eq!(timing("in 10 min"), Timing::After(ten_minutes));
        assert_eq!(timing("For 10m"), Timing::For(ten_minutes));
        let friday = TimePoint {
            day: Day::Weekday(5),
            time: clock(18, 30),
        };
        assert_eq!(timing("at fri 18:30"), Timing::At(friday));
        let dusk = TimePoint {
            day: Day::Next,
            time: TimeOfDay::Sunset(-30),
        };
        assert_eq!(timing("until sunset-30"), Timing::Until(dusk));
        let workdays = Recurrence::Days {
            days: Weekdays::WORKDAYS,
            time: clock(7, 0),
        };
        assert_eq!(timing("every weekdays 7:00"), Timing::Every(workdays));
        let hours = Recurrence::Interval {
            seconds: 7200,
            until: None,
        };
        assert_eq!(timing("every 2 h"), Timing::Every(hours));
        for text in [
            "at 18:30 for 10 min",
            "whenever window.window = open for 10 m",
        ] {
            assert_eq!(when(text).unwrap().lasting, Some(ten_minutes), "{text}");
        }
        let now = when("if dark for 10 min").unwrap();
        assert_eq!(
            (now.timing, now.lasting),
            (Some(Timing::For(ten_minutes)), None)
        );
        for text in [
            "for 10 min for 10 min",
            "until 22:00 for 10 min",
            "now for 10 min",
        ] {
            assert_eq!(when(text), None, "{text}");
        }
        assert_eq!(when("now"), Some(DraftTime::default()));
    }

    #[test]
    fn states_are_read() {
        let condition = |text: &str| when(text).unwrap().condition.unwrap();
        let rule = condition("whenever window.window = open or hall.temperature below 18.5");
        assert_eq!((rule.mode, rule.any), (ConditionMode::Always, true));
        assert!(
            matches!(&rule.tests[0], StateTest::Device { device, is, .. }
            if device == "window" && *is == ExpectedState::Equal(Value::text("open")))
        );
        assert!(matches!(
            &rule.tests[1],
            StateTest::Device { is: ExpectedState::Below(n), .. } if (n - 18.5).abs() < 1e-9
        ));
        let now = condition("if dark and lamp.power=off");
        assert_eq!((now.mode, now.any), (ConditionMode::Now, false));
        assert_eq!(now.tests[0], StateTest::Dark(true));
    }

    #[test]
    fn anything_else_is_no_time() {
        for text in [
            "later",
            "in a while",
            "in 0 min",
            "in 99999999999 h",
            "at 25:00",
            "at 7",
            "at noon 7:00",
            "at sunset-9999",
            "every xyz 7:00",
            "every 1 d",
            "if window",
            "if a.b = c and d.e = f or g.h = i",
            "if a.b > warm",
            "when a.b = 1 and a.b = 2 and a.b = 3 and a.b = 4 and a.b = 5",
            "unless dark",
            "um 7 Uhr früh",
        ] {
            assert_eq!(when(text), None, "{text}");
        }
    }
}
