//! The timestamp of a command: RFC 3339, or Unix seconds or milliseconds. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A number above this is milliseconds: as seconds it would be the year 5138, as milliseconds it is 1973.
const MILLISECONDS_FROM: f64 = 1e11;

/// Seconds from 1970 to 2025-01-01T00:00Z. An earlier clock was never set: a gateway without a battery starts in 1970.
const BELIEVABLE: u64 = 1_735_689_600;

/// Returns whether the clock can be compared with the clocks of other machines.
pub(super) fn is_believable(clock: SystemTime) -> bool {
    clock >= UNIX_EPOCH + Duration::from_secs(BELIEVABLE)
}

/// Converts seconds or milliseconds since 1970; returns `None` for a negative number or one beyond the calendar.
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
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let digits = rest
        .strip_prefix('.')
        .map_or(0, |r| r.bytes().take_while(u8::is_ascii_digit).count());
    let (fraction, zone) = match (rest.starts_with('.'), digits) {
        (true, 0) => return None,
        (true, n) => (
            format!("0{}", rest.get(..=n)?).parse::<f64>().ok()?,
            rest.get(n + 1..)?,
        ),
        (false, _) => (0.0, rest),
    };
    // 60 is a leap second.
    let fits = (1970..=9999).contains(&year)
        && (1..=days_in(year, month)?).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !fits {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
        - offset(zone)?;
    let whole = Duration::from_secs(u64::try_from(seconds).ok()?);
    UNIX_EPOCH
        .checked_add(whole)?
        .checked_add(Duration::try_from_secs_f64(fraction).ok()?)
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = if let Some(rest) = zone.strip_prefix('+') {
        (1, rest)
    } else {
        (-1, zone.strip_prefix('-')?)
    };
    let [hours, minutes] = numbers(rest, ':', [2, 2])?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut out = [0; N];
    let mut parts = text.split(separator);
    for (number, width) in out.iter_mut().zip(widths) {
        let part = parts
            .next()
            .filter(|p| p.len() == width && p.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

fn days_in(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Days of the Gregorian calendar, with years that begin in March so that the leap day is the last.
/// Source: Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
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
