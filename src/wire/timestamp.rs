//! The timestamp of a command: RFC 3339, or Unix seconds or milliseconds. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use crate::clock::EARLIEST_BELIEVABLE;

/// A number above this is milliseconds: as seconds it would be the year 5138, as milliseconds it is
/// 1973.
const MILLISECONDS_FROM: f64 = 1e11;

/// Returns whether the clock can be compared with the clocks of other machines.
pub(super) fn is_believable(clock: SystemTime) -> bool {
    clock >= UNIX_EPOCH + EARLIEST_BELIEVABLE
}

/// Converts seconds or milliseconds since 1970; returns `None` for a negative number or one beyond
/// the calendar.
pub(super) fn from_unix(number: f64) -> Option<SystemTime> {
    let seconds = if number > MILLISECONDS_FROM {
        number / 1e3
    } else {
        number
    };
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// Parses an RFC 3339 text such as `2026-11-23T18:05:00.5+01:00`, from 1970 on.
pub(super) fn from_rfc3339(text: &str) -> Option<SystemTime> {
    // jiff also accepts forms of ISO 8601 without separators or seconds.
    let has_seconds = text.as_bytes().get(16) == Some(&b':');
    let is_midnight_of_the_next_day = text.get(11..13) == Some("24");
    if !has_seconds || is_midnight_of_the_next_day {
        return None;
    }
    let timestamp: Timestamp = text.parse().ok()?;
    let time = SystemTime::from(timestamp);
    (time >= UNIX_EPOCH).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn rfc_3339_is_parsed_in_every_zone() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0.0),
            ("2000-02-29T12:00:00Z", 951_825_600.0),
            ("2026-11-23T18:05:00Z", 1_795_457_100.0),
            ("2026-11-23T19:05:00+01:00", 1_795_457_100.0),
            ("2026-11-23t13:35:00.25-04:30", 1_795_457_100.25),
            ("2026-11-23 18:05:00z", 1_795_457_100.0),
        ] {
            assert_eq!(from_rfc3339(text), Some(at(seconds)), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_timestamp_is_refused() {
        for text in [
            "",
            "now",
            "2026-11-23",
            "2026-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T18:05:00",
            "2026-11-23T18:05:00.Z",
        ] {
            assert_eq!(from_rfc3339(text), None, "{text}");
        }
        assert_eq!(from_rfc3339("2026-11-23T18:05:00ü"), None);
        assert_eq!(from_unix(-1.0), None);
        assert_eq!(from_unix(f64::INFINITY), None);
        assert_eq!(from_unix(f64::NAN), None);
    }

    #[test]
    fn seconds_and_milliseconds_are_distinguished() {
        assert_eq!(from_unix(1_795_457_100.0), Some(at(1_795_457_100.0)));
        assert_eq!(from_unix(1_795_457_100_000.0), Some(at(1_795_457_100.0)));
    }

    #[test]
    fn a_clock_before_2025_was_never_set() {
        assert!(!is_believable(UNIX_EPOCH));
        assert!(!is_believable(
            from_rfc3339("2024-12-31T23:59:59Z").unwrap()
        ));
        assert!(is_believable(from_rfc3339("2025-01-01T00:00:00Z").unwrap()));
    }
}
