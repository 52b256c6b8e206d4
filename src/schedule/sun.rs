//! Sunrise and sunset, by the low-accuracy formulas of NOAA's solar calculator: a minute or two.
//!
//! Source: <https://gml.noaa.gov/grad/solcalc/solareqns.PDF> (equation of time and declination by
//! the fractional year; zenith 90.833° for the refraction at the horizon and the size of the disc).

use std::f64::consts::TAU;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// The zenith of the sun's centre at sunrise and sunset, in degrees.
const ZENITH: f64 = 90.833;

/// A position on the earth, in degrees; north and east are positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GeoPosition {
    /// -90 to 90.
    pub latitude: f64,
    /// -180 to 180.
    pub longitude: f64,
}

/// The two events of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SunEvent {
    /// The sun comes up.
    Rise,
    /// The sun goes down.
    Set,
}

/// Returns the moment of the event on the civil day `date` of `zone`, or `None` where the sun does
/// not cross the horizon that day.
pub fn sun(
    event: SunEvent,
    date: Date,
    zone: &TimeZone,
    position: GeoPosition,
) -> Option<Timestamp> {
    let noon = date.at(12, 0, 0, 0).to_zoned(zone.clone()).ok()?;
    // The day in UTC whose solar noon is nearest to the noon of the civil day.
    let utc_date = noon.timestamp().to_zoned(TimeZone::UTC).date();
    let candidates = [utc_date.yesterday(), Ok(utc_date), utc_date.tomorrow()];
    candidates
        .into_iter()
        .flatten()
        .filter_map(|day| on_utc_day(event, day, position))
        .find(|at| at.to_zoned(zone.clone()).date() == date)
}

fn on_utc_day(event: SunEvent, date: Date, position: GeoPosition) -> Option<Timestamp> {
    let days = f64::from(date.days_in_year());
    let year = TAU / days * f64::from(date.day_of_year() - 1);
    let minutes_of_equation = 229.18
        * (0.000_075 + 0.001_868 * year.cos()
            - 0.032_077 * year.sin()
            - 0.014_615 * (2.0 * year).cos()
            - 0.040_849 * (2.0 * year).sin());
    let declination = 0.006_918 - 0.399_912 * year.cos() + 0.070_257 * year.sin()
        - 0.006_758 * (2.0 * year).cos()
        + 0.000_907 * (2.0 * year).sin()
        - 0.002_697 * (3.0 * year).cos()
        + 0.001_480 * (3.0 * year).sin();
    let latitude = position.latitude.to_radians();
    let cosine = ZENITH.to_radians().cos() / (latitude.cos() * declination.cos())
        - latitude.tan() * declination.tan();
    if !(-1.0..=1.0).contains(&cosine) {
        return None;
    }
    let hour_angle = match event {
        SunEvent::Rise => cosine.acos().to_degrees(),
        SunEvent::Set => -cosine.acos().to_degrees(),
    };
    let minutes = 720.0 - 4.0 * (position.longitude + hour_angle) - minutes_of_equation;
    let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    #[expect(clippy::cast_possible_truncation, reason = "minutes of a few days")]
    let seconds = (minutes * 60.0) as i64;
    midnight
        .checked_add(SignedDuration::from_secs(seconds))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn at(event: SunEvent, day: Date, zone: &str, latitude: f64, longitude: f64) -> Option<String> {
        let zone = TimeZone::get(zone).unwrap();
        let position = GeoPosition {
            latitude,
            longitude,
        };
        let found = sun(event, day, &zone, position)?;
        Some(found.to_zoned(zone).strftime("%F %H:%M").to_string())
    }

    /// Returns the difference in minutes of two times of one day.
    fn minutes_apart(found: &str, known: &str) -> i32 {
        let minutes = |text: &str| {
            let (hour, minute) = text[text.len() - 5..].split_once(':').unwrap();
            hour.parse::<i32>().unwrap() * 60 + minute.parse::<i32>().unwrap()
        };
        (minutes(found) - minutes(known)).abs()
    }

    #[test]
    fn sunrise_and_sunset_agree_with_the_almanac() {
        // Published times of the U.S. Naval Observatory and of NOAA's calculator.
        let cases = [
            (
                SunEvent::Rise,
                date(2026, 6, 21),
                "Europe/Berlin",
                52.52,
                13.41,
                "04:43",
            ),
            (
                SunEvent::Set,
                date(2026, 6, 21),
                "Europe/Berlin",
                52.52,
                13.41,
                "21:33",
            ),
            (
                SunEvent::Set,
                date(2026, 12, 21),
                "Europe/Berlin",
                52.52,
                13.41,
                "15:54",
            ),
            (
                SunEvent::Rise,
                date(2026, 3, 20),
                "America/New_York",
                40.71,
                -74.01,
                "06:59",
            ),
            (
                SunEvent::Set,
                date(2026, 12, 21),
                "Australia/Sydney",
                -33.87,
                151.21,
                "20:05",
            ),
            (
                SunEvent::Set,
                date(2026, 6, 21),
                "Asia/Kolkata",
                28.61,
                77.21,
                "19:22",
            ),
        ];
        for (event, day, zone, latitude, longitude, known) in cases {
            let found = at(event, day, zone, latitude, longitude).unwrap();
            assert!(found.starts_with(&day.to_string()), "{zone}: {found}");
            assert!(
                minutes_apart(&found, known) <= 4,
                "{zone}: {found}, not {known}"
            );
        }
    }

    #[test]
    fn polar_day_and_night_have_no_sunset() {
        for day in [date(2026, 6, 21), date(2026, 12, 21)] {
            assert_eq!(at(SunEvent::Set, day, "Europe/Oslo", 69.65, 18.96), None);
        }
    }
}
