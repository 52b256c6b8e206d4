//! The headers of a request, and times as those of an answer tell them: seconds, milliseconds, dates, and Go's durations. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::provider::{Settings, UnsendableKey};

/// The longest wait believed: a day. A server that says more is out for the day.
const LONGEST: Duration = Duration::from_hours(24);

/// The headers of every request: what the operator wrote over what the API wants, and the key. `usual` is the header the
/// key goes in unless the operator says another; in `authorization` it is a bearer's.
pub(super) fn outgoing(
    settings: &Settings,
    usual: &HeaderName,
) -> Result<HeaderMap, UnsendableKey> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in &settings.headers {
        headers.insert(name, value.clone());
    }
    if let Some(key) = &settings.key {
        let name = settings.key_header.as_ref().unwrap_or(usual);
        let key = if *name == AUTHORIZATION {
            format!("Bearer {}", key.expose())
        } else {
            key.expose().to_owned()
        };
        let mut key = HeaderValue::from_str(&key).map_err(|_| UnsendableKey)?;
        key.set_sensitive(true);
        headers.insert(name, key);
    }
    Ok(headers)
}

/// A header as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// When the server asks to be tried again: `retry-after-ms` first, then `retry-after` as seconds or as a date (RFC 9110, 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let ms = text(headers, "retry-after-ms").and_then(|t| seconds(t, 1000.0));
    ms.or_else(|| {
        let value = text(headers, "retry-after")?;
        seconds(value, 1.0).or_else(|| {
            date(value).map(|at| at.duration_since(now).unwrap_or_default().min(LONGEST))
        })
    })
}

fn seconds(text: &str, parts: f64) -> Option<Duration> {
    let n: f64 = text.parse().ok()?;
    (n.is_finite() && n >= 0.0).then(|| {
        Duration::try_from_secs_f64(n / parts)
            .unwrap_or(LONGEST)
            .min(LONGEST)
    })
}

/// A duration as Go writes it: `120ms`, `1s`, `6m0s`, `1h2m3.5s`.
pub(super) fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let n: f64 = rest[..unit_at].parse().ok()?;
        rest = &rest[unit_at..];
        let unit_end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let scale = match &rest[..unit_end] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        sum += n * scale;
        rest = &rest[unit_end..];
    }
    Duration::try_from_secs_f64(sum)
        .ok()
        .map(|d| d.min(LONGEST))
}

/// The server's clock, as it tells it with any answer.
pub(super) fn date_of(headers: &HeaderMap) -> Option<SystemTime> {
    date(text(headers, "date")?)
}

/// In what time it is the moment that a header tells as RFC 3339: by the server's own clock, for ours may not be set yet.
pub(super) fn until(headers: &HeaderMap, name: &str) -> Option<Duration> {
    let then = rfc3339(text(headers, name)?)?;
    let now = date_of(headers)?;
    Some(then.duration_since(now).unwrap_or_default().min(LONGEST))
}

/// `2026-11-23T19:00:07Z`, with or without a fraction, which is dropped: a moment in UTC (RFC 3339).
fn rfc3339(text: &str) -> Option<SystemTime> {
    let (day, clock) = text.strip_suffix(['Z', 'z'])?.split_once(['T', 't'])?;
    let clock = clock.split_once('.').map_or(clock, |(whole, _)| whole);
    let mut day = day.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (day.next()??, day.next()??, day.next()??);
    if !(1..=12).contains(&month) {
        return None;
    }
    moment((year, month, day), clock)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`: the one form of date a server may send (RFC 9110, 5.6.7).
fn date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = text.split_once(", ")?;
    let mut words = rest.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = u64::try_from(MONTHS.iter().position(|m| *m == month)?).ok()? + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let clock = words.next()?;
    if words.next() != Some("GMT") {
        return None;
    }
    moment((year, month, day), clock)
}

/// The moment of a day, its month from 1 to 12, and of a clock such as `08:49:37`, in UTC.
fn moment((year, month, day): (u64, u64, u64), clock: &str) -> Option<SystemTime> {
    let mut clock = clock.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, secs) = (clock.next()??, clock.next()??, clock.next()??);
    if !(1970..=9999).contains(&year)
        || !(1..=31).contains(&day)
        || hours > 23
        || minutes > 59
        || secs > 60
    {
        return None;
    }
    let since_epoch =
        days_since_epoch(year, month, day) * 86_400 + hours * 3600 + minutes * 60 + secs;
    Some(UNIX_EPOCH + Duration::from_secs(since_epoch))
}

/// Days from 1970-01-01. The year is taken to begin in March, so that the leap day is its last.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            reqwest::header::HeaderName::from_static(name),
            value.parse().unwrap(),
        )])
    }

    #[test]
    fn go_durations_are_sums() {
        for (text, ms) in [
            ("12ms", 12),
            ("1s", 1000),
            ("6m0s", 360_000),
            ("1h2m3.5s", 3_723_500),
            ("0s", 0),
        ] {
            assert_eq!(go_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "s", "1x", "-1s", "1s2", "1..2s"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn retry_after_is_seconds_milliseconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
        let wait = |headers: &HeaderMap| retry_after(headers, now);
        assert_eq!(
            wait(&with("retry-after", "1.5")),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(
            wait(&with("retry-after-ms", "120")),
            Some(Duration::from_millis(120))
        );
        assert_eq!(
            wait(&with("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            wait(&with("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT")),
            Some(Duration::ZERO),
            "a date gone by"
        );
        assert_eq!(wait(&with("retry-after", "1e300")), Some(LONGEST));
        for nonsense in [
            "soon",
            "-3",
            "nan",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
        ] {
            assert_eq!(wait(&with("retry-after", nonsense)), None, "{nonsense}");
        }
        assert_eq!(wait(&HeaderMap::new()), None);
    }

    #[test]
    fn a_reset_is_told_by_the_servers_own_clock() {
        let mut headers = with("reset", "2026-11-23T19:00:07.25Z");
        assert_eq!(until(&headers, "reset"), None, "no clock");
        headers.insert("date", "Mon, 23 Nov 2026 18:59:30 GMT".parse().unwrap());
        assert_eq!(until(&headers, "reset"), Some(Duration::from_secs(37)));
        for nonsense in [
            "2026-11-23 19:00:07",
            "2026-13-23T19:00:07Z",
            "2026-11-23T25:00:07Z",
            "2026-11Z",
            "TZ",
            "",
        ] {
            headers.insert("reset", nonsense.parse().unwrap());
            assert_eq!(until(&headers, "reset"), None, "{nonsense}");
        }
    }

    #[test]
    fn dates_count_leap_days() {
        let days = |y, m, d| days_since_epoch(y, m, d);
        assert_eq!(
            (
                days(1970, 1, 1),
                days(2000, 2, 29),
                days(2000, 3, 1),
                days(2026, 11, 23)
            ),
            (0, 11_016, 11_017, 20_780)
        );
    }
}
