//! The headers of a request, and the times stated in those of an answer: seconds, milliseconds,
//! dates and Go durations. Pure.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::provider::api::UnsendableKey;
use crate::provider::spec::{ApiVersion, Settings};

/// The longest wait that is believed. A service that asks for more is tried again after this.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Returns the headers of every request: the API's own, the operator's in their place, and the key.
pub(super) fn outgoing(settings: &Settings) -> Result<HeaderMap, UnsendableKey> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(ApiVersion::InHeader(name, number)) = &settings.api.version {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(number),
        );
    }
    for (name, value) in &settings.headers {
        headers.insert(name, value.clone());
    }
    if let Some(key) = &settings.key {
        let usual = HeaderName::from_static(settings.api.key_header);
        let name = settings.key_header.clone().unwrap_or(usual);
        let key = if name == AUTHORIZATION {
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

/// Returns a header as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Returns the wait the server asks for: `retry-after-ms` first, then `retry-after` as seconds or
/// as a date (RFC 9110, 10.2.3). A date is compared with the server's own clock where it sent it,
/// otherwise with `now`. Zero is a wait of no time, and so is a date that has passed.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if let Some(wait) = text(headers, "retry-after-ms").and_then(|text| seconds(text, 1000.0)) {
        return Some(wait);
    }
    let value = text(headers, "retry-after")?;
    if let Some(wait) = seconds(value, 1.0) {
        return Some(wait);
    }
    let at = date(value)?;
    let clock = date_of(headers).unwrap_or(now);
    let wait = at.duration_since(clock).unwrap_or_default();
    Some(wait.min(LONGEST_WAIT))
}

fn seconds(text: &str, per_second: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    if number.is_nan() {
        return None;
    }
    let seconds = (number / per_second).clamp(0.0, LONGEST_WAIT.as_secs_f64());
    Some(Duration::from_secs_f64(seconds))
}

/// Returns a duration as Go writes it: `120ms`, `1s`, `6m0s`, `1h2m3.5s`.
pub(super) fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..unit_at].parse().ok()?;
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
        sum += number * scale;
        rest = &rest[unit_end..];
    }
    let duration = Duration::try_from_secs_f64(sum).ok()?;
    Some(duration.min(LONGEST_WAIT))
}

/// Returns the server's clock, as it states it with any answer.
pub(super) fn date_of(headers: &HeaderMap) -> Option<SystemTime> {
    date(text(headers, "date")?)
}

/// Returns the time until the RFC 3339 moment in a header, by the server's own clock: this
/// machine's may not be set yet.
pub(super) fn until(headers: &HeaderMap, name: &str) -> Option<Duration> {
    let at: Timestamp = text(headers, name)?.parse().ok()?;
    let clock = date_of(headers)?;
    let wait = SystemTime::from(at)
        .duration_since(clock)
        .unwrap_or_default();
    Some(wait.min(LONGEST_WAIT))
}

/// Reads a date in each of the forms that must be accepted (RFC 9110, 5.6.7):
/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and
/// `Sun Nov  6 08:49:37 1994`.
fn date(text: &str) -> Option<SystemTime> {
    let words: Vec<&str> = text
        .split([' ', '-'])
        .filter(|word| !word.is_empty())
        .collect();
    let ([weekday, day, month, year, time, "GMT"] | [weekday, month, day, time, year]) = words[..]
    else {
        return None;
    };
    let weekday = weekday.get(..3)?;
    // A year of two digits is of the last century from 1970, when these clocks begin.
    let century = match year.parse::<u8>() {
        Ok(0..70) => "20",
        Ok(70..100) => "19",
        _ => "",
    };
    let text = format!("{weekday}, {day} {month} {century}{year} {time} +0000");
    let moment = rfc2822::parse(&text).ok()?;
    Some(SystemTime::from(moment.timestamp()))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn go_durations_are_sums() {
        for (text, ms) in [
            ("12ms", 12),
            ("1s", 1000),
            ("6m0s", 360_000),
            ("59m2.5s", 3_542_500),
            ("9h", 3_600_000),
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
        for (value, seconds) in [
            ("1.5", 1.5),
            ("0", 0.0),
            ("-3", 0.0),
            ("1e300", 3600.0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 7.0),
            ("Sun, 06 Nov 1994 08:49:00 GMT", 0.0),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 7.0),
            ("Sunday, 06-Nov-94 08:49:00 GMT", 0.0),
            ("Sun Nov  6 08:49:37 1994", 7.0),
            ("Wed Nov 16 08:49:37 1994", 3600.0),
            ("Sun, 06 Nov 2094 08:49:00 GMT", 3600.0),
        ] {
            let expected = Some(Duration::from_secs_f64(seconds));
            let headers = with("retry-after", value);
            if value.ends_with("2094 08:49:00 GMT") {
                // The day of the week does not match, as on a server whose clock is wrong: the date
                // is not believed.
                assert!(wait(&headers).is_none_or(|w| Some(w) == expected));
                continue;
            }
            assert_eq!(wait(&headers), expected, "{value}");
        }
        assert_eq!(
            wait(&with("retry-after-ms", "120")),
            Some(Duration::from_millis(120))
        );
        for nonsense in [
            "soon",
            "nan",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sunday, 06-Nov-94 08:49:37 CET",
            "Sun Nov  6 08:49:37",
            "Sun Nov 66 08:49:37 1994",
        ] {
            assert_eq!(wait(&with("retry-after", nonsense)), None, "{nonsense}");
        }
        assert_eq!(wait(&HeaderMap::new()), None);
    }

    #[test]
    fn a_date_is_compared_with_the_clock_of_the_server() {
        let mut headers = with("retry-after", "Wed, 01 Jan 2031 00:00:02 GMT");
        headers.insert("date", "Wed, 01 Jan 2031 00:00:00 GMT".parse().unwrap());
        for ours in [0, 1_600_000_000, 4_000_000_000] {
            let now = UNIX_EPOCH + Duration::from_secs(ours);
            assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(2)));
        }
    }

    #[test]
    fn a_reset_is_measured_by_the_clock_of_the_server() {
        let mut headers = with("reset", "2026-11-23T19:00:07.25Z");
        assert_eq!(until(&headers, "reset"), None, "no clock");
        headers.insert("date", "Mon, 23 Nov 2026 18:59:30 GMT".parse().unwrap());
        assert_eq!(
            until(&headers, "reset"),
            Some(Duration::from_millis(37_250))
        );
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
}
