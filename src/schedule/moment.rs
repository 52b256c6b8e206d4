//! The due time of a command, from the time that its sentence names and the time and place at which
//! it was spoken. Pure.
//!
//! Times of the clock that do not exist are moved behind the gap, and of those that exist twice the
//! first one counts ("compatible" in RFC 5545). A day is a calendar day; a delay is never civil.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan, Zoned};

use crate::schedule::sun::{GeoPosition, SunEvent, sun};
use crate::vocabulary::timing::{Day, Half, Span, TimeOfDay, TimePoint};

/// The longest time from now to a due time, in days.
pub const MOST_DAYS: i64 = 31;

/// Location of the home, for the time zone and the times of the sun.
#[derive(Debug, Clone, PartialEq)]
pub struct HomeLocation {
    /// The time zone.
    pub zone: TimeZone,
    /// The position, for sunrise and sunset.
    pub position: Option<GeoPosition>,
}

impl Default for HomeLocation {
    fn default() -> Self {
        Self {
            zone: TimeZone::system(),
            position: None,
        }
    }
}

/// The reason why a sentence has no due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFault {
    /// It is over already.
    Past,
    /// It is further away than [`MOST_DAYS`].
    TooFar,
    /// It may be in the morning or in the afternoon.
    Ambiguous,
    /// The position of the home is not configured.
    NoPosition,
    /// The sun does not rise or set on that day.
    NoSun,
    /// The clock of the gateway is not set.
    ClockUnset,
    /// It is repeated after less than a minute.
    TooOften,
}

/// Returns the time after a delay.
///
/// # Errors
/// Where it is too far away.
pub fn after(span: Span, now: &Zoned) -> Result<Zoned, TimeFault> {
    let days = i64::from(span.days);
    let seconds = SignedDuration::from_secs(i64::from(span.seconds));
    let due = now
        .checked_add(days.days())
        .and_then(|due| due.checked_add(seconds))
        .map_err(|_| TimeFault::TooFar)?;
    within(due, now)
}

/// Returns the next time that a moment means.
///
/// # Errors
/// Where it is over, too far away, uncertain, or not defined at this place.
pub fn next(moment: TimePoint, now: &Zoned, place: &HomeLocation) -> Result<Zoned, TimeFault> {
    let now = now.with_time_zone(place.zone.clone());
    let today = now.date();
    let due = match moment.day {
        Day::Next => {
            let days = [Some(today), today.tomorrow().ok(), in_days(today, 2)];
            let mut last = TimeFault::Past;
            let mut found = None;
            for day in days.into_iter().flatten() {
                match first_after(day, moment.time, &now, place) {
                    Ok(due) => {
                        found = Some(due);
                        break;
                    }
                    Err(fault) => last = fault,
                }
            }
            found.ok_or(last)?
        }
        Day::In(0) => first_after(today, moment.time, &now, place)?,
        Day::In(days) => {
            let day = in_days(today, i64::from(days)).ok_or(TimeFault::TooFar)?;
            certain_on(day, moment.time, place)?
        }
        Day::Weekday(weekday) => match later_today(weekday, moment.time, &now, place)? {
            Some(due) => due,
            None => certain_on(next_weekday(weekday, today)?, moment.time, place)?,
        },
        Day::NextWeekday(weekday) => certain_on(next_weekday(weekday, today)?, moment.time, place)?,
    };
    within(due, &now)
}

/// Returns the first day after today that is such a day of the week.
fn next_weekday(weekday: u8, today: Date) -> Result<Date, TimeFault> {
    let own = i64::from(today.weekday().to_monday_one_offset());
    let days = match (i64::from(weekday) - own).rem_euclid(7) {
        0 => 7,
        days => days,
    };
    in_days(today, days).ok_or(TimeFault::TooFar)
}

/// Returns the time today, if today is that day of the week and the time is still to come. "Monday
/// at nine", spoken on a Monday at ten, may mean this evening.
fn later_today(
    weekday: u8,
    time: TimeOfDay,
    now: &Zoned,
    place: &HomeLocation,
) -> Result<Option<Zoned>, TimeFault> {
    let today = now.date();
    if i64::from(weekday) != i64::from(today.weekday().to_monday_one_offset()) {
        return Ok(None);
    }
    let due = certain_on(today, time, place)?;
    if due > *now {
        return Ok(Some(due));
    }
    match first_after(today, time, now, place) {
        Ok(_) => Err(TimeFault::Ambiguous),
        Err(_) => Ok(None),
    }
}

fn within(due: Zoned, now: &Zoned) -> Result<Zoned, TimeFault> {
    let most = SignedDuration::from_hours(24 * MOST_DAYS);
    if due.duration_since(now) > most {
        return Err(TimeFault::TooFar);
    }
    Ok(due)
}

pub(super) fn in_days(day: Date, days: i64) -> Option<Date> {
    day.checked_add(days.days()).ok()
}

fn civil(day: Date, hour: u8, minute: u8, zone: &TimeZone) -> Result<Zoned, TimeFault> {
    let (Ok(hour), Ok(minute)) = (i8::try_from(hour), i8::try_from(minute)) else {
        return Err(TimeFault::Past);
    };
    let time = Time::new(hour, minute, 0, 0).map_err(|_| TimeFault::Past)?;
    day.to_datetime(time)
        .to_zoned(zone.clone())
        .map_err(|_| TimeFault::Past)
}

fn by_sun(
    event: SunEvent,
    minutes: i16,
    day: Date,
    place: &HomeLocation,
) -> Result<Zoned, TimeFault> {
    let position = place.position.ok_or(TimeFault::NoPosition)?;
    let at = sun(event, day, &place.zone, position).ok_or(TimeFault::NoSun)?;
    let due = at
        .checked_add(SignedDuration::from_mins(i64::from(minutes)))
        .map_err(|_| TimeFault::TooFar)?;
    Ok(due.to_zoned(place.zone.clone()))
}

/// Returns the first time on a day that is after `now`.
fn first_after(
    day: Date,
    time: TimeOfDay,
    now: &Zoned,
    place: &HomeLocation,
) -> Result<Zoned, TimeFault> {
    let candidates = match time {
        TimeOfDay::Sunrise(minutes) => vec![by_sun(SunEvent::Rise, minutes, day, place)?],
        TimeOfDay::Sunset(minutes) => vec![by_sun(SunEvent::Set, minutes, day, place)?],
        TimeOfDay::Clock { hour, minute, half } => match half {
            Half::Exact => vec![civil(day, hour, minute, &place.zone)?],
            Half::Either => {
                let morning = hour % 12;
                vec![
                    civil(day, morning, minute, &place.zone)?,
                    civil(day, morning + 12, minute, &place.zone)?,
                ]
            }
        },
    };
    let mut later = candidates.into_iter().filter(|due| due > now);
    later.next().ok_or(TimeFault::Past)
}

/// Returns the time on another day than today. "Tomorrow at three" may be in the afternoon;
/// "tomorrow at seven" is in the morning, and "tomorrow at twelve" at noon.
pub(super) fn certain_on(
    day: Date,
    time: TimeOfDay,
    place: &HomeLocation,
) -> Result<Zoned, TimeFault> {
    match time {
        TimeOfDay::Sunrise(minutes) => by_sun(SunEvent::Rise, minutes, day, place),
        TimeOfDay::Sunset(minutes) => by_sun(SunEvent::Set, minutes, day, place),
        TimeOfDay::Clock { hour, minute, half } => {
            if half == Half::Either && hour < 6 {
                return Err(TimeFault::Ambiguous);
            }
            civil(day, hour, minute, &place.zone)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(zone: &str) -> HomeLocation {
        HomeLocation {
            zone: TimeZone::get(zone).unwrap(),
            position: Some(GeoPosition {
                latitude: 52.52,
                longitude: 13.41,
            }),
        }
    }

    fn now(text: &str) -> Zoned {
        text.parse().unwrap()
    }

    fn clock(day: Day, hour: u8, minute: u8, half: Half) -> TimePoint {
        let time = TimeOfDay::Clock { hour, minute, half };
        TimePoint { day, time }
    }

    fn due(moment: TimePoint, at: &str) -> Result<String, TimeFault> {
        let found = next(moment, &now(at), &place("Europe/Berlin"))?;
        Ok(found.strftime("%F %H:%M").to_string())
    }

    #[test]
    fn a_day_of_the_week_may_be_today_unless_it_is_the_next_one() {
        // A Monday.
        let morning = "2026-11-30T08:00[Europe/Berlin]";
        let nine = |day, half| clock(day, 9, 0, half);
        let today = Ok("2026-11-30 09:00".to_owned());
        let in_a_week = Ok("2026-12-07 09:00".to_owned());
        assert_eq!(due(nine(Day::Weekday(1), Half::Exact), morning), today);
        assert_eq!(due(nine(Day::Weekday(1), Half::Either), morning), today);
        assert_eq!(
            due(nine(Day::NextWeekday(1), Half::Exact), morning),
            in_a_week
        );
        let ten = "2026-11-30T10:00[Europe/Berlin]";
        assert_eq!(due(nine(Day::Weekday(1), Half::Exact), ten), in_a_week);
        let or_this_evening = due(nine(Day::Weekday(1), Half::Either), ten);
        assert_eq!(or_this_evening, Err(TimeFault::Ambiguous));
        let late = "2026-11-30T22:00[Europe/Berlin]";
        assert_eq!(due(nine(Day::Weekday(1), Half::Either), late), in_a_week);
        let tomorrow = due(nine(Day::NextWeekday(2), Half::Exact), morning);
        assert_eq!(tomorrow, Ok("2026-12-01 09:00".to_owned()));
    }

    #[test]
    fn a_time_of_the_clock_is_the_next_one() {
        let evening = "2026-11-28T21:30[Europe/Berlin]";
        let morning = "2026-11-28T08:00[Europe/Berlin]";
        let nine = clock(Day::Next, 9, 0, Half::Either);
        assert_eq!(due(nine, evening).unwrap(), "2026-11-29 09:00");
        assert_eq!(due(nine, morning).unwrap(), "2026-11-28 09:00");
        assert_eq!(
            due(nine, "2026-11-28T10:00[Europe/Berlin]").unwrap(),
            "2026-11-28 21:00"
        );
        let tomorrow = |hour| clock(Day::In(1), hour, 0, Half::Either);
        assert_eq!(due(tomorrow(7), evening).unwrap(), "2026-11-29 07:00");
        assert_eq!(due(tomorrow(12), evening).unwrap(), "2026-11-29 12:00");
        assert_eq!(due(tomorrow(3), evening), Err(TimeFault::Ambiguous));
        let today = clock(Day::In(0), 8, 0, Half::Exact);
        assert_eq!(due(today, evening), Err(TimeFault::Past));
        let saturday = clock(Day::Weekday(6), 18, 30, Half::Exact);
        assert_eq!(due(saturday, evening).unwrap(), "2026-12-05 18:30");
    }

    #[test]
    fn times_in_a_gap_are_behind_it_and_the_first_of_two_counts() {
        let gap = clock(Day::Next, 2, 30, Half::Exact);
        assert_eq!(
            due(gap, "2026-03-29T01:00[Europe/Berlin]").unwrap(),
            "2026-03-29 03:30"
        );
        let place = place("Europe/Berlin");
        let fold = next(gap, &now("2026-10-25T01:00[Europe/Berlin]"), &place).unwrap();
        assert_eq!(fold.offset().seconds(), 7200);
        // Between the two, the second one is not taken for the next occurrence.
        let between = now("2026-10-25T02:45+02:00[Europe/Berlin]");
        let after = next(gap, &between, &place).unwrap();
        assert_eq!(after.date().to_string(), "2026-10-26");
    }

    #[test]
    fn a_delay_is_never_civil_and_a_day_is() {
        let start = now("2026-03-28T12:00[Europe/Berlin]");
        let hours = Span {
            days: 0,
            seconds: 86_400,
        };
        let day = Span {
            days: 1,
            seconds: 0,
        };
        assert_eq!(after(hours, &start).unwrap().hour(), 13);
        assert_eq!(after(day, &start).unwrap().hour(), 12);
        let far = Span {
            days: 32,
            seconds: 0,
        };
        assert_eq!(after(far, &start), Err(TimeFault::TooFar));
    }

    #[test]
    fn the_sun_needs_a_position_and_a_horizon() {
        let sunset = TimePoint {
            day: Day::Next,
            time: TimeOfDay::Sunset(-30),
        };
        let at = "2026-06-21T12:00[Europe/Berlin]";
        assert!(due(sunset, at).unwrap().starts_with("2026-06-21 21:0"));
        let nowhere = HomeLocation {
            position: None,
            ..place("Europe/Berlin")
        };
        assert_eq!(next(sunset, &now(at), &nowhere), Err(TimeFault::NoPosition));
        let north = HomeLocation {
            position: Some(GeoPosition {
                latitude: 69.65,
                longitude: 18.96,
            }),
            ..place("Europe/Oslo")
        };
        assert_eq!(next(sunset, &now(at), &north), Err(TimeFault::NoSun));
    }

    proptest! {
        /// Checks a year in five zones: a due time is never in the past, never more than two days
        /// away without a named day, and shows the wall clock that was named, except in a gap.
        #[test]
        fn the_next_time_is_soon_and_what_was_named(
            zone in 0_usize..5, minute_of_year in 0_i64..525_600, hour in 0_u8..24, minute in 0_u8..60,
        ) {
            let zones = [
                "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata",
                "America/Santiago",
            ];
            let place = place(zones[zone]);
            let start = jiff::civil::date(2026, 1, 1).to_zoned(place.zone.clone()).unwrap();
            let now = start.checked_add(SignedDuration::from_mins(minute_of_year)).unwrap();
            let due = next(clock(Day::Next, hour, minute, Half::Exact), &now, &place).unwrap();
            prop_assert!(due > now);
            prop_assert!(due.duration_since(&now) <= SignedDuration::from_hours(49));
            let shown = (due.hour(), due.minute());
            let named = (i8::try_from(hour).unwrap(), i8::try_from(minute).unwrap());
            if shown != named {
                let earlier = due.checked_sub(SignedDuration::from_hours(2)).unwrap();
                prop_assert!(earlier.offset() != due.offset(), "not in a gap: {due}");
            }
        }
    }
}
