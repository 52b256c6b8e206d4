//! The times of a command that is repeated. Pure.
//!
//! A day has at most one occurrence: in a gap it is behind it, and of two equal times the first one
//! counts. A day on which the sun does not rise or set has none.

use jiff::{SignedDuration, Timestamp};

use crate::schedule::moment::{HomeLocation, TimeFault, certain_on, in_days};
use crate::vocabulary::timing::{TimeOfDay, Weekdays};

/// The shortest interval, in seconds.
pub const SHORTEST_INTERVAL: u32 = 60;

/// The most days without an occurrence: a year of polar day or night.
const MOST_DAYS_WITHOUT: i64 = 400;

/// The most occurrences that are counted one by one.
const MOST_COUNTED: u32 = 1000;

/// Days of the week with a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayRule {
    /// Days of the week on which it occurs.
    pub days: Weekdays,
    /// The time of each day.
    pub time: TimeOfDay,
}

impl DayRule {
    /// Returns the first occurrence after a time.
    ///
    /// # Errors
    /// Where there is none within a year, the hour is uncertain, or the position is missing.
    pub fn next_after(
        self,
        after: Timestamp,
        place: &HomeLocation,
    ) -> Result<Timestamp, TimeFault> {
        let today = after.to_zoned(place.zone.clone()).date();
        // An offset to the sun may lead to the day after.
        let first = today.yesterday().map_err(|_| TimeFault::TooFar)?;
        for days in 0..MOST_DAYS_WITHOUT {
            let day = in_days(first, days).ok_or(TimeFault::TooFar)?;
            let weekday = day.weekday().to_monday_one_offset();
            if !u8::try_from(weekday).is_ok_and(|day| self.days.contains(day)) {
                continue;
            }
            match certain_on(day, self.time, place) {
                Ok(due) if due.timestamp() > after => return Ok(due.timestamp()),
                Ok(_) | Err(TimeFault::NoSun) => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(TimeFault::NoSun)
    }

    /// Returns the last occurrence from `due` to `now`, and the number of those before it, which
    /// were skipped. `due` is an occurrence that is not after `now`.
    pub fn latest(self, due: Timestamp, now: Timestamp, place: &HomeLocation) -> (Timestamp, u32) {
        let (mut latest, mut skipped) = (due, 0);
        while let Ok(next) = self.next_after(latest, place) {
            if next > now {
                break;
            }
            latest = next;
            skipped += 1;
            if skipped == MOST_COUNTED {
                let week = SignedDuration::from_hours(24 * 8);
                let near = now.checked_sub(week).unwrap_or(now);
                let next = self.next_after(near.max(latest), place);
                latest = next.ok().filter(|at| *at <= now).unwrap_or(latest);
            }
        }
        (latest, skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::sun::GeoPosition;
    use crate::vocabulary::timing::Half;
    use jiff::tz::TimeZone;

    fn place(zone: &str, latitude: f64, longitude: f64) -> HomeLocation {
        HomeLocation {
            zone: TimeZone::get(zone).unwrap(),
            position: Some(GeoPosition {
                latitude,
                longitude,
            }),
        }
    }

    fn clock(hour: u8, minute: u8) -> TimeOfDay {
        TimeOfDay::Clock {
            hour,
            minute,
            half: Half::Exact,
        }
    }

    /// Returns all occurrences of 2026, in the wall clock of the place.
    fn of_year(rule: DayRule, place: &HomeLocation) -> Vec<String> {
        let mut at: Timestamp = "2025-12-31T12:00Z".parse().unwrap();
        let mut found = Vec::new();
        while let Ok(next) = rule.next_after(at, place) {
            let local = next.to_zoned(place.zone.clone());
            if local.year() > 2026 {
                break;
            }
            assert!(next > at, "{next} is not after {at}");
            if local.year() == 2026 {
                found.push(local.strftime("%F %a %H:%M").to_string());
            }
            at = next;
        }
        found
    }

    #[test]
    fn every_day_has_one_occurrence_also_in_gaps_and_folds() {
        let zones = [
            (
                "Europe/Berlin",
                "2026-03-29 Sun 03:30",
                "2026-10-25 Sun 02:30",
            ),
            (
                "America/New_York",
                "2026-03-08 Sun 03:30",
                "2026-11-01 Sun 02:30",
            ),
            (
                "Australia/Sydney",
                "2026-10-04 Sun 03:30",
                "2026-04-05 Sun 02:30",
            ),
            (
                "Asia/Kolkata",
                "2026-03-29 Sun 02:30",
                "2026-10-25 Sun 02:30",
            ),
            (
                "Australia/Lord_Howe",
                "2026-10-04 Sun 02:30",
                "2026-04-05 Sun 02:30",
            ),
        ];
        let rule = DayRule {
            days: Weekdays::ALL,
            time: clock(2, 30),
        };
        for (zone, gap, fold) in zones {
            let found = of_year(rule, &place(zone, 0.0, 0.0));
            let days: std::collections::BTreeSet<&str> = found.iter().map(|t| &t[..10]).collect();
            assert_eq!((found.len(), days.len()), (365, 365), "{zone}");
            for special in [gap, fold] {
                assert!(found.iter().any(|t| t == special), "{zone}: {special}");
            }
        }
    }

    #[test]
    fn only_the_named_days_have_occurrences() {
        let berlin = place("Europe/Berlin", 52.52, 13.41);
        for (days, count) in [
            (Weekdays::WORKDAYS, 261),
            (Weekdays::WEEKENDS, 104),
            (Weekdays::one(1).and(Weekdays::one(5)), 104),
        ] {
            let rule = DayRule {
                days,
                time: clock(7, 0),
            };
            let found = of_year(rule, &berlin);
            assert_eq!(found.len(), count);
            assert!(found.iter().all(|t| t.ends_with("07:00")));
        }
    }

    #[test]
    fn the_sun_sets_once_a_day_except_in_polar_day_and_night() {
        let rule = |time| DayRule {
            days: Weekdays::ALL,
            time,
        };
        for (zone, latitude, longitude) in [
            ("Europe/Berlin", 52.52, 13.41),
            ("Australia/Sydney", -33.87, 151.21),
            ("Asia/Kolkata", 28.61, 77.21),
            ("Pacific/Auckland", -36.85, 174.76),
        ] {
            let place = place(zone, latitude, longitude);
            for time in [
                TimeOfDay::Sunset(0),
                TimeOfDay::Sunset(-45),
                TimeOfDay::Sunrise(30),
            ] {
                assert_eq!(of_year(rule(time), &place).len(), 365, "{zone} {time:?}");
            }
        }
        let tromso = place("Europe/Oslo", 69.65, 18.96);
        let days = of_year(rule(TimeOfDay::Sunset(0)), &tromso).len();
        assert!((210..270).contains(&days), "{days}");
    }

    #[test]
    fn of_several_missed_occurrences_only_the_last_one_is_left() {
        let berlin = place("Europe/Berlin", 52.52, 13.41);
        let rule = DayRule {
            days: Weekdays::ALL,
            time: clock(7, 0),
        };
        let due: Timestamp = "2026-11-02T06:00Z".parse().unwrap();
        let now: Timestamp = "2026-11-05T06:02Z".parse().unwrap();
        let latest: Timestamp = "2026-11-05T06:00Z".parse().unwrap();
        assert_eq!(rule.latest(due, now, &berlin), (latest, 3));
        assert_eq!(rule.latest(due, due, &berlin), (due, 0));
        let much_later: Timestamp = "2036-11-05T06:02Z".parse().unwrap();
        let (latest, skipped) = rule.latest(due, much_later, &berlin);
        assert!(
            skipped >= 1000 && latest <= much_later,
            "{latest} {skipped}"
        );
        assert!(much_later.duration_since(latest) < SignedDuration::from_hours(25));
    }
}
