//! A year of repeated commands in virtual time: kills, restarts, clock steps, long pauses. Each
//! occurrence is carried out once or counted as missed.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use crate::schedule::due::{Clocks, Due};
use crate::schedule::examples;
use crate::schedule::moment::HomeLocation;
use crate::schedule::recurrence::DayRule;
use crate::schedule::sun::GeoPosition;
use crate::schedule::timer::{Repeat, Task, Timer, TimerId};
use crate::schedule::timers::Timers;
use crate::vocabulary::timing::{Half, Recurrence, TimeOfDay, Weekdays};

/// Zones with their positions: summer time in the north and the south, half an hour of it, none,
/// and polar day.
const PLACES: [(&str, f64, f64); 6] = [
    ("Europe/Berlin", 52.52, 13.41),
    ("America/New_York", 40.71, -74.01),
    ("Australia/Sydney", -33.87, 151.21),
    ("Australia/Lord_Howe", -31.55, 159.08),
    ("Asia/Kolkata", 28.61, 77.21),
    ("Europe/Oslo", 69.65, 18.96),
];

const MINUTE: i64 = 60_000;

/// A gateway with one repeated command.
struct Gateway {
    timers: Timers,
    place: HomeLocation,
    wall_ms: i64,
    uptime_ms: u64,
    boot: u32,
    /// The latest wall clock that was reached.
    furthest_ms: i64,
    /// Occurrences carried out or reported as missed, and those counted as skipped.
    done: u64,
    skipped: u64,
    /// The times of the occurrences carried out, by their due time.
    by_due: BTreeMap<i64, u32>,
    /// The records on disk.
    disk: BTreeMap<TimerId, Vec<u8>>,
}

impl Gateway {
    fn now(&self) -> Clocks {
        let wall = Timestamp::from_millisecond(self.wall_ms).unwrap();
        let uptime = Duration::from_millis(self.uptime_ms);
        Clocks::new(wall, uptime, self.boot.to_string())
    }

    fn pass(&mut self, ms: i64) {
        self.wall_ms += ms;
        self.uptime_ms += ms.unsigned_abs();
        self.furthest_ms = self.furthest_ms.max(self.wall_ms);
    }

    /// Writes the records that have changed, or only the first of them.
    fn write(&mut self, most: usize) {
        for id in self.timers.take_changed().into_iter().take(most) {
            let timers = self.timers.record(id);
            if timers.is_empty() {
                self.disk.remove(&id);
            } else {
                self.disk.insert(id, serde_json::to_vec(&timers).unwrap());
            }
        }
    }

    /// Hands out due timers. With `most` the gateway ends after this number of writes, before
    /// anything is done.
    fn fire(&mut self, most: Option<usize>) {
        let now = self.now();
        let due = self.timers.take_due(&now, &self.place);
        self.write(most.unwrap_or(usize::MAX));
        for (timer, late) in &due {
            let wall = timer.due.wall().unwrap().as_millisecond();
            assert!(late.is_some(), "an unknown time");
            assert!(wall <= self.wall_ms, "early");
            if most.is_some() {
                continue;
            }
            self.done += 1;
            self.skipped += u64::from(timer.skipped);
            *self.by_due.entry(wall).or_default() += 1;
            self.timers.forget(timer.id);
        }
        if most.is_some() {
            self.restart();
        }
        self.write(usize::MAX);
    }

    /// Starts again from the records on disk.
    fn restart(&mut self) {
        let read = |record: &Vec<u8>| serde_json::from_slice::<Vec<Timer>>(record).unwrap();
        self.timers = Timers::restored(self.disk.values().flat_map(read).collect());
        self.boot += 1;
        self.uptime_ms = 1000;
    }
}

fn gateway(place: usize, rule: DayRule) -> (Gateway, i64) {
    let (zone, latitude, longitude) = PLACES[place];
    let place = HomeLocation {
        zone: TimeZone::get(zone).unwrap(),
        position: Some(GeoPosition {
            latitude,
            longitude,
        }),
    };
    let start: Timestamp = "2026-01-01T12:00Z".parse().unwrap();
    let first = rule.next_after(start, &place).unwrap().as_millisecond();
    let mut timers = Timers::default();
    let timer = Timer {
        task: Task::Signal { name: None },
        repeat: Some(Repeat::new(
            Recurrence::Days {
                days: rule.days,
                time: rule.time,
            },
            None,
        )),
        ..examples::timer("a", "d", Due::At { wall_ms: first })
    };
    timers
        .add(timer, &Clocks::new(start, Duration::ZERO, "0".to_owned()))
        .unwrap();
    let wall_ms = start.as_millisecond();
    let mut gateway = Gateway {
        timers,
        place,
        wall_ms,
        uptime_ms: 1000,
        boot: 0,
        furthest_ms: wall_ms,
        done: 0,
        skipped: 0,
        by_due: BTreeMap::new(),
        disk: BTreeMap::new(),
    };
    gateway.write(usize::MAX);
    (gateway, wall_ms)
}

/// Returns the number of occurrences between two moments.
fn expected(rule: DayRule, from_ms: i64, to_ms: i64, place: &HomeLocation) -> u64 {
    let to = Timestamp::from_millisecond(to_ms).unwrap();
    let mut at = Timestamp::from_millisecond(from_ms).unwrap();
    let mut count = 0;
    while let Ok(next) = rule.next_after(at, place) {
        if next > to {
            break;
        }
        at = next;
        count += 1;
    }
    count
}

fn rules() -> impl Strategy<Value = DayRule> {
    let clock = (0_u8..24, 0_u8..60).prop_map(|(hour, minute)| TimeOfDay::Clock {
        hour,
        minute,
        half: Half::Exact,
    });
    let night = (0_u8..60).prop_map(|minute| TimeOfDay::Clock {
        hour: 2,
        minute,
        half: Half::Exact,
    });
    let time = prop_oneof![
        clock,
        night,
        (-90_i16..90).prop_map(TimeOfDay::Sunset),
        (-90_i16..90).prop_map(TimeOfDay::Sunrise),
    ];
    let days = prop_oneof![
        Just(Weekdays::ALL),
        Just(Weekdays::WORKDAYS),
        Just(Weekdays::WEEKENDS),
        (1_u8..8).prop_map(Weekdays::one),
    ];
    (days, time).prop_map(|(days, time)| DayRule { days, time })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Checks that, over a year with every type of interruption, no occurrence is lost, duplicated
    /// or early.
    #[test]
    fn every_occurrence_of_a_year_is_carried_out_once_or_counted_as_missed(
        place in 0..PLACES.len(),
        rule in rules(),
        events in proptest::collection::vec((0_u8..10, 1_i64..2880), 40..120),
    ) {
        let (mut gateway, start) = gateway(place, rule);
        for (kind, minutes) in events {
            match kind {
                // The clock is set back or forward, by less than a week.
                0 => {
                    let lowest = gateway.furthest_ms - 6 * 24 * 60 * MINUTE;
                    gateway.wall_ms = (gateway.wall_ms - minutes * MINUTE).max(lowest);
                }
                1 => {
                    gateway.wall_ms += minutes * MINUTE;
                    gateway.furthest_ms = gateway.furthest_ms.max(gateway.wall_ms);
                }
                // It is down for a while.
                2 => {
                    gateway.restart();
                    gateway.pass(minutes * 5 * MINUTE);
                }
                3 => gateway.fire(Some(usize::try_from(minutes % 3).unwrap())),
                _ => {}
            }
            // It runs: it wakes when something is due, as the task that fires timers does.
            let until = gateway.wall_ms + minutes * MINUTE;
            while gateway.wall_ms < until {
                gateway.fire(None);
                let most = Duration::from_hours(10_000);
                let wait = gateway.timers.next_wait(&gateway.now(), most).unwrap();
                let wait = i64::try_from(wait.as_millis()).unwrap().max(1);
                gateway.pass(wait.min(until - gateway.wall_ms));
            }
            gateway.fire(None);
        }
        // To the end of the year, and to the furthest time that the clock has shown.
        let end = gateway.furthest_ms.max(start + 365 * 24 * 60 * MINUTE);
        gateway.pass(end - gateway.wall_ms);
        gateway.fire(None);
        let expected = expected(rule, start, gateway.furthest_ms, &gateway.place);
        prop_assert_eq!(gateway.done + gateway.skipped, expected);
        prop_assert!(gateway.by_due.values().all(|times| *times == 1), "twice");
    }
}

#[test]
fn an_interval_has_one_occurrence_after_a_long_pause_and_then_goes_on() {
    let place = HomeLocation {
        zone: TimeZone::UTC,
        position: None,
    };
    let rule = DayRule {
        days: Weekdays::ALL,
        time: TimeOfDay::Sunset(0),
    };
    let (template, start) = gateway(0, rule);
    let mut timer = template.timers.waiting().next().unwrap().clone();
    let at = |ms: i64, uptime: u64| {
        let wall = Timestamp::from_millisecond(start + ms).unwrap();
        Clocks::new(wall, Duration::from_secs(uptime), "b".to_owned())
    };
    let hour = Duration::from_hours(1);
    timer.due = Due::after(hour, &at(0, 0));
    let hourly = Recurrence::Interval {
        seconds: 3600,
        until: None,
    };
    timer.repeat = Some(Repeat::new(hourly, Some(start + 12 * 60 * MINUTE)));
    let mut timers = Timers::default();
    timers.add(timer, &at(0, 0)).unwrap();
    // Five and a half hours later: the fifth occurrence, and four before it.
    let late = at(330 * MINUTE, 330 * 60);
    let due = timers.take_due(&late, &place);
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].0.skipped, 4);
    assert_eq!(due[0].1, Some(Duration::from_mins(30)));
    // While it is being carried out, the next one waits.
    let meanwhile = at(365 * MINUTE, 365 * 60);
    assert!(timers.take_due(&meanwhile, &place).is_empty());
    assert_eq!(timers.next_wait(&meanwhile, hour), None);
    timers.forget(due[0].0.id);
    let next = timers.take_due(&meanwhile, &place);
    assert_eq!(next[0].1, Some(Duration::from_mins(5)));
    timers.forget(next[0].0.id);
    // After the end nothing waits, and what would have been later does not count.
    let after = at(20 * 60 * MINUTE, 20 * 3600);
    let last = timers.take_due(&after, &place);
    assert_eq!(last[0].0.skipped, 5);
    assert_eq!(timers.waiting().count(), 0);
}
