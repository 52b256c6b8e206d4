//! Durations and sizes with a unit, such as `5s` and `8MiB`.

use std::time::Duration;

const DURATIONS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];
const SIZES: [(&str, u64); 4] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("B", 1),
];

/// Parses a whole number followed by `ms`, `s`, `m`, `h` or `d`.
///
/// ```
/// # use std::time::Duration;
/// # use sayso::testing::config::units::duration;
/// assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
/// assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
/// assert_eq!(duration("5"), None);
/// ```
pub fn duration(text: &str) -> Option<Duration> {
    parse(text, &DURATIONS).map(Duration::from_millis)
}

/// Parses a whole number followed by `B`, `KiB`, `MiB` or `GiB`, and returns it in bytes.
pub fn size(text: &str) -> Option<u64> {
    parse(text, &SIZES)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, each) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*each)
}

/// Formats a duration in the largest unit in which it is a whole number.
pub fn show_duration(duration: Duration) -> String {
    format_in(
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        &DURATIONS,
        "s",
    )
}

/// Formats a number of bytes in the largest unit in which it is a whole number.
pub fn show_size(bytes: u64) -> String {
    format_in(bytes, &SIZES, "B")
}

/// Formats an amount in its largest unit that gives a whole number. Zero is whole in every unit,
/// and gets `unit_of_zero`.
fn format_in(amount: u64, units: &[(&str, u64)], unit_of_zero: &str) -> String {
    let whole = units
        .iter()
        .filter(|(_, each)| amount > 0 && amount.is_multiple_of(*each));
    match whole.max_by_key(|(_, each)| *each) {
        Some((name, each)) => format!("{}{name}", amount / each),
        None => format!("{amount}{unit_of_zero}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatted_values_can_be_parsed() {
        for text in ["500ms", "5s", "2m", "1h", "30d", "90s", "0s"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        for text in ["100B", "8MiB", "1GiB", "3KiB", "0B"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
    }

    #[test]
    fn values_without_unit_or_too_large_are_rejected() {
        for text in [
            "5",
            "",
            "s",
            "-5s",
            "1.5s",
            "5 parsecs",
            "99999999999999999999s",
            "999999999999999999d",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(size("8MB"), None);
    }
}
