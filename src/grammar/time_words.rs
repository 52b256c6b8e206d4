//! Words of one language for times, from its file.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use crate::grammar::day_part::{DayPart, PartHours};
use crate::grammar::tokens::words;

/// Words of one language for times.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TimeWords {
    /// Before a delay: "in".
    pub(super) after: Vec<String>,
    /// Behind a delay: "from now".
    pub(super) after_behind: Vec<String>,
    /// Before a duration: "for".
    pub(super) r#for: Vec<String>,
    /// Behind a duration: "lang".
    pub(super) for_behind: Vec<String>,
    /// Before a time of the clock: "at".
    pub(super) at: Vec<String>,
    /// Before a time of the clock: words of `after`, "après" and "na", and words of `for`, "pour"
    /// and "voor". A time behind the latter has no meaning.
    pub(super) before_clock: [Vec<String>; 2],
    /// Before the end of a duration: "until".
    pub(super) until: Vec<String>,
    /// Seconds, minutes, hours and days.
    pub(super) seconds: Vec<String>,
    pub(super) minutes: Vec<String>,
    pub(super) hours: Vec<String>,
    pub(super) days: Vec<String>,
    /// Durations of fixed form, in seconds: "half an hour".
    pub(super) durations: BTreeMap<String, u32>,
    /// Behind a unit: "and a half".
    pub(super) and_a_half: Vec<String>,
    /// Between the parts of a duration: "and".
    pub(super) and: Vec<String>,
    /// Behind an hour: "o'clock".
    pub(super) o_clock: Vec<String>,
    /// Whether a number is a time only with such a word.
    pub(super) needs_o_clock: bool,
    /// Before an hour: "half past", "quarter past", "quarter to".
    pub(super) half_past: Vec<String>,
    pub(super) quarter_past: Vec<String>,
    pub(super) quarter_to: Vec<String>,
    /// Before an hour, where it is not certain which half hour is meant: "half".
    pub(super) unclear_half: Vec<String>,
    /// Before the next hour: "halb".
    pub(super) half_before: Vec<String>,
    /// Between minutes and hour: "past", "to".
    pub(super) past: Vec<String>,
    pub(super) to: Vec<String>,
    /// Between minutes and the next half hour: "vor halb", "nach halb".
    pub(super) before_half: Vec<String>,
    pub(super) past_half: Vec<String>,
    /// Behind an hour: "et demie", "et quart", "moins le quart".
    pub(super) half_behind: Vec<String>,
    pub(super) quarter_behind: Vec<String>,
    pub(super) quarter_less_behind: Vec<String>,
    /// Between an hour and minutes: "y", "menos".
    pub(super) plus: Vec<String>,
    pub(super) minus: Vec<String>,
    /// Whether twelve is noon in writing and before "o'clock": "12 Uhr".
    pub(super) noon_is_twelve: bool,
    /// Whether an hour of the clock may stand without a preposition and looks like a length: "8
    /// uur" is at eight o'clock, or for eight hours.
    pub(super) length_may_be_clock: bool,
    pub(super) noon: Vec<String>,
    pub(super) midnight: Vec<String>,
    /// Behind a time: "sharp".
    pub(super) sharp: Vec<String>,
    /// Behind or before a time: in the morning, behind midnight, in the afternoon, in the evening,
    /// and "pm".
    pub(super) morning: Vec<String>,
    pub(super) small_hours: Vec<String>,
    pub(super) afternoon: Vec<String>,
    pub(super) evening: Vec<String>,
    pub(super) second_half: Vec<String>,
    /// Behind the name of a weekday or joined with it only: "montagabend".
    pub(super) of_day: BTreeMap<DayPart, Vec<String>>,
    /// The hours of these parts of the day.
    pub(super) part_hours: PartHours,
    /// Behind a time of the clock that begins with twelve: words for the one at noon, "pm", and for
    /// the one at midnight, "am".
    pub(super) twelve: [Vec<String>; 2],
    /// The same of today: "this evening".
    pub(super) this_morning: Vec<String>,
    pub(super) this_afternoon: Vec<String>,
    pub(super) this_evening: Vec<String>,
    /// The night that is next: "tonight"; hours up to five are after midnight.
    pub(super) tonight: Vec<String>,
    /// The same of tomorrow: "tomorrow morning".
    pub(super) tomorrow_morning: Vec<String>,
    pub(super) tomorrow_afternoon: Vec<String>,
    pub(super) tomorrow_evening: Vec<String>,
    /// "tomorrow night": its small hours are on the next day, or on the one behind it.
    pub(super) tomorrow_night: Vec<String>,
    pub(super) today: Vec<String>,
    pub(super) tomorrow: Vec<String>,
    pub(super) after_tomorrow: Vec<String>,
    /// Monday to Sunday, each with its preposition: "on monday".
    pub(super) weekdays: Vec<Vec<String>>,
    /// The same, and not today: "next monday".
    pub(super) next_weekdays: Vec<Vec<String>>,
    /// "at sunrise", "at sunset".
    pub(super) at_sunrise: Vec<String>,
    pub(super) at_sunset: Vec<String>,
    /// "sunrise", "sunset", as in "until sunset".
    pub(super) sunrise: Vec<String>,
    pub(super) sunset: Vec<String>,
    /// Of every day, of its mornings, evenings or nights: "every day", "every evening".
    pub(super) every_day: Vec<String>,
    pub(super) every_morning: Vec<String>,
    pub(super) every_afternoon: Vec<String>,
    pub(super) every_evening: Vec<String>,
    pub(super) every_night: Vec<String>,
    /// Of Monday to Friday, and of Saturday and Sunday.
    pub(super) workdays: Vec<String>,
    pub(super) weekends: Vec<String>,
    /// Of every Monday to Sunday: "on mondays".
    pub(super) weekly: Vec<Vec<String>>,
    /// The names of the days behind one of these: "on mondays and fridays".
    pub(super) day_names: Vec<Vec<String>>,
    /// Before an interval: "every".
    pub(super) every: Vec<String>,
    /// Intervals of fixed form, in seconds: "every hour".
    pub(super) intervals: BTreeMap<String, u32>,
    /// At night; hours up to five are in the morning.
    pub(super) night: Vec<String>,
    /// The start of a request to leave something on for a while, "keep", with the verb that
    /// switches it on.
    pub(super) keep: BTreeMap<String, String>,
    /// Its end, "laufen", with its replacement; if there are such words, the sentence must end with
    /// one of them.
    pub(super) keep_end: BTreeMap<String, String>,
    /// Words for the present: "now", "immediately". They are fillers as well.
    pub(super) now: Vec<String>,
    /// Between a duration and sunrise or sunset.
    pub(super) before: Vec<String>,
    pub(super) behind: Vec<String>,
    /// The first words of all phrases above.
    #[serde(skip)]
    firsts: HashSet<Box<str>>,
}

impl TimeWords {
    /// Returns the phrases in the form in which they are compared, the longest first.
    pub(super) fn normalized(mut self, plain: impl Fn(&str) -> String) -> Self {
        let joined = |text: &str| words(&plain(text)).join(" ");
        // Not among the lists: no expression begins with one of these.
        let mut now = std::mem::take(&mut self.now);
        let sort = |list: &mut Vec<String>| {
            for text in list.iter_mut() {
                *text = joined(text);
            }
            list.sort_by_key(|text| std::cmp::Reverse(text.split(' ').count()));
        };
        self.lists().chain([&mut now]).for_each(sort);
        self.part_lists().for_each(sort);
        self.now = now;
        for phrases in [&mut self.keep, &mut self.keep_end] {
            *phrases = std::mem::take(phrases)
                .into_iter()
                .map(|(text, instead)| (joined(&text), joined(&instead)))
                .collect();
        }
        for lengths in [&mut self.durations, &mut self.intervals] {
            *lengths = std::mem::take(lengths)
                .into_iter()
                .map(|(text, seconds)| (joined(&text), seconds))
                .collect();
        }
        let mut firsts = HashSet::new();
        let lengths = self.durations.keys().chain(self.intervals.keys());
        firsts.extend(lengths.map(|text| first_word(text)));
        for list in self.lists() {
            firsts.extend(list.iter().map(|text| first_word(text)));
        }
        for list in self.part_lists() {
            firsts.extend(list.iter().map(|text| first_word(text)));
        }
        firsts.extend(self.joined_days());
        self.firsts = firsts;
        self
    }

    /// Returns the names of days with a part of the day: "montagabend".
    fn joined_days(&self) -> impl Iterator<Item = Box<str>> {
        let lists = [&self.weekdays, &self.next_weekdays, &self.weekly];
        let days = lists.into_iter().flatten().flatten();
        let days = days.filter(|day| !day.contains(' '));
        days.flat_map(|day| {
            let parts = self.of_day.values().flatten();
            parts.map(move |part| format!("{day}{part}").into_boxed_str())
        })
    }

    /// Returns whether an expression may begin with this word, numbers aside.
    pub(super) fn may_begin(&self, word: &str) -> bool {
        self.firsts.contains(word)
    }

    fn lists(&mut self) -> impl Iterator<Item = &mut Vec<String>> {
        [
            &mut self.after,
            &mut self.after_behind,
            &mut self.r#for,
            &mut self.for_behind,
            &mut self.at,
            &mut self.until,
            &mut self.seconds,
            &mut self.minutes,
            &mut self.hours,
            &mut self.days,
            &mut self.and_a_half,
            &mut self.and,
            &mut self.o_clock,
            &mut self.half_past,
            &mut self.quarter_past,
            &mut self.quarter_to,
            &mut self.unclear_half,
            &mut self.half_before,
            &mut self.past,
            &mut self.to,
            &mut self.before_half,
            &mut self.past_half,
            &mut self.half_behind,
            &mut self.quarter_behind,
            &mut self.quarter_less_behind,
            &mut self.plus,
            &mut self.minus,
            &mut self.noon,
            &mut self.midnight,
            &mut self.sharp,
            &mut self.today,
            &mut self.tomorrow,
            &mut self.after_tomorrow,
            &mut self.at_sunrise,
            &mut self.at_sunset,
            &mut self.sunrise,
            &mut self.sunset,
            &mut self.every_day,
            &mut self.workdays,
            &mut self.weekends,
            &mut self.every,
            &mut self.before,
            &mut self.behind,
        ]
        .into_iter()
        .chain(self.before_clock.iter_mut().chain(&mut self.twelve))
        .chain(self.weekdays.iter_mut().chain(&mut self.next_weekdays))
        .chain(&mut self.weekly)
        .chain(&mut self.day_names)
    }

    /// Returns the lists for parts of the day.
    fn part_lists(&mut self) -> impl Iterator<Item = &mut Vec<String>> {
        [
            &mut self.morning,
            &mut self.small_hours,
            &mut self.afternoon,
            &mut self.evening,
            &mut self.second_half,
            &mut self.this_morning,
            &mut self.this_afternoon,
            &mut self.this_evening,
            &mut self.tonight,
            &mut self.tomorrow_morning,
            &mut self.tomorrow_afternoon,
            &mut self.tomorrow_evening,
            &mut self.tomorrow_night,
            &mut self.night,
            &mut self.every_morning,
            &mut self.every_afternoon,
            &mut self.every_evening,
            &mut self.every_night,
        ]
        .into_iter()
        .chain(self.of_day.values_mut())
    }
}

fn first_word(text: &str) -> Box<str> {
    text.split(' ').next().unwrap_or_default().into()
}
