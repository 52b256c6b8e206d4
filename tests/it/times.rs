//! The phrasebooks of times: a sentence has exactly the expected command and time, or no meaning.

use std::collections::BTreeMap;
use std::fs;

use sayso::testing::command::phrase::Phrase;
use sayso::testing::grammar::timer_request::{TimeShift, TimerRequest};
use sayso::testing::grammar::{LocalGrammar, Settings};
use sayso::testing::home::Home;
use sayso::testing::vocabulary::action::Draft;
use sayso::testing::vocabulary::timing::{
    Day, Half, Recurrence, TimeOfDay, TimePoint, Timing, Weekdays,
};
use serde::Deserialize;

use crate::dialogue::home;
use crate::phrasebook::folder;

/// The share of exact readings that the sentences must have that were kept aside, in percent.
const LEAST_EXACT: usize = 95;

/// Every third sentence was kept aside while the words were written.
const ASIDE: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimedLine {
    text: String,
    /// `in 600`, `for 600`, `at +1 7:00?`, `until sunset`; `-` for no meaning.
    time: String,
    /// The actions, as `device property=value`.
    expect: String,
}

fn point(point: TimePoint) -> String {
    let day = match point.day {
        Day::Next => String::new(),
        Day::In(days) => format!("+{days} "),
        Day::Weekday(day) => format!("w{day} "),
        Day::NextWeekday(day) => format!("n{day} "),
    };
    format!("{day}{}", time_of_day(point.time))
}

/// `every 12345 7:00?` for workdays, `each 7200 until 10:00?` for an interval in seconds.
fn rule(rule: Recurrence) -> String {
    match rule {
        Recurrence::Days { days, time } => {
            let days = match days {
                Weekdays::ALL => "day".to_owned(),
                days => days.days().map(|day| day.to_string()).collect(),
            };
            format!("every {days} {}", time_of_day(time))
        }
        Recurrence::Interval { seconds, until } => match until {
            Some(end) => format!("each {seconds} until {}", point(end)),
            None => format!("each {seconds}"),
        },
    }
}

fn time_of_day(time: TimeOfDay) -> String {
    let sun = |name: &str, minutes: i16| match minutes {
        0 => name.to_owned(),
        minutes => format!("{name}{minutes:+}"),
    };
    match time {
        TimeOfDay::Sunrise(minutes) => sun("sunrise", minutes),
        TimeOfDay::Sunset(minutes) => sun("sunset", minutes),
        TimeOfDay::Clock { hour, minute, half } => {
            let mark = if half == Half::Either { "?" } else { "" };
            format!("{hour}:{minute:02}{mark}")
        }
    }
}

fn written(timing: &Timing) -> String {
    let span = |span: &sayso::testing::vocabulary::timing::Span| match span.days {
        0 => span.seconds.to_string(),
        days => format!("{days}d"),
    };
    match timing {
        Timing::After(time) => format!("in {}", span(time)),
        Timing::For(time) => format!("for {}", span(time)),
        Timing::At(time) => format!("at {}", point(*time)),
        Timing::Until(time) => format!("until {}", point(*time)),
        Timing::Every(every) => rule(*every),
    }
}

fn actions(draft: &Draft) -> String {
    let mut actions: Vec<String> = draft
        .actions
        .iter()
        .map(|action| {
            let value = serde_json::to_value(&action.value).unwrap();
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            let value = value.strip_suffix(".0").unwrap_or(&value).to_owned();
            format!("{} {}={value}", action.device, action.property.name())
        })
        .collect();
    actions.sort();
    actions.join(", ")
}

fn reading(local: &LocalGrammar, home: &Home, language: &str, text: &str) -> (String, String) {
    let phrase = Phrase::new(text, None, Some(language));
    let Some(draft) = local.draft(&phrase, home).filter(|d| d.question.is_none()) else {
        return ("-".to_owned(), String::new());
    };
    let time = draft
        .timing
        .as_ref()
        .map_or_else(|| "now".to_owned(), written);
    let lasting = draft.lasting.map(|span| written(&Timing::For(span)));
    let time = [Some(time), lasting].into_iter().flatten();
    let time: Vec<String> = time.collect();
    (time.join(", "), actions(&draft))
}

#[test]
fn times_are_understood_as_meant_in_every_language() {
    let local = LocalGrammar::new(&Settings::default()).unwrap();
    let mut faults = Vec::new();
    for (language, least) in [
        ("en", 400),
        ("de", 150),
        ("es", 150),
        ("fr", 150),
        ("nl", 150),
    ] {
        let read = |name: String| fs::read_to_string(folder().join("times").join(name)).unwrap();
        let text = read(format!("{language}.jsonl"))
            + &read(format!("{language}.repeated.jsonl"))
            + &read(format!("{language}.parts.jsonl"));
        let home = home(language);
        let mut tally: BTreeMap<(bool, &str), usize> = BTreeMap::new();
        for (n, line) in text.lines().enumerate() {
            let line: TimedLine = serde_json::from_str(line).expect(line);
            let (time, actions) = reading(&local, &home, language, &line.text);
            let is_aside = n % ASIDE == 0;
            let verdict = if (&time, &actions) == (&line.time, &line.expect) {
                "exact"
            } else if time == "-" {
                "silent"
            } else {
                "wrong"
            };
            *tally.entry((is_aside, verdict)).or_default() += 1;
            if verdict != "exact" {
                faults.push(format!(
                    "{language} {verdict}: {:?}: {time} [{actions}], not {} [{}]",
                    line.text, line.time, line.expect
                ));
            }
        }
        let count = |verdict| tally.get(&(true, verdict)).copied().unwrap_or(0);
        let aside = count("exact") + count("silent") + count("wrong");
        println!("{language}: {tally:?}");
        let all: usize = tally.values().sum();
        assert!(
            all >= least,
            "{language}: the phrasebook has shrunk to {all}"
        );
        assert!(
            count("exact") * 100 >= aside * LEAST_EXACT,
            "{language}: {tally:?}\n{}",
            faults.join("\n")
        );
    }
    let wrong: Vec<&String> = faults.iter().filter(|f| f.contains(" wrong: ")).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("{}", faults.join("\n"));
}

#[test]
fn requests_about_timers_are_understood_in_every_language() {
    let local = LocalGrammar::new(&Settings::default()).unwrap();
    let book = fs::read_to_string(folder().join("times/timers.txt")).unwrap();
    let lines = book.lines().filter(|line| !line.starts_with('#'));
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in lines {
        let (language, rest) = line.split_once(' ').unwrap();
        let (text, expected) = rest.split_once(" | ").unwrap();
        let request = local.timer_request(&Phrase::new(text, None, Some(language)));
        let found = match request {
            Some(TimerRequest::Set(Timing::After(span), name)) => {
                format!("{} {}", span.seconds, name.unwrap_or_default())
            }
            Some(TimerRequest::Set(Timing::At(at), name)) => {
                format!("at {} {}", point(at), name.unwrap_or_default())
            }
            Some(TimerRequest::ChangeBy(span, shift)) => {
                let sign = if shift == TimeShift::Later { "+" } else { "-" };
                format!("{sign}{}", span.seconds)
            }
            Some(TimerRequest::Cancel(Some(words))) => format!("cancel {words}"),
            Some(TimerRequest::Left(words)) => format!("left {}", words.unwrap_or_default()),
            Some(TimerRequest::List) => "list".to_owned(),
            Some(TimerRequest::CancelAll) => "cancel all".to_owned(),
            Some(other) => format!("{other:?}"),
            None => "-".to_owned(),
        };
        count += 1;
        if found.trim_end() != expected {
            wrong.push(format!("{language}: {text}: {found}, not {expected}"));
        }
    }
    assert!(count > 50 && wrong.is_empty(), "{count}, {wrong:#?}");
}
