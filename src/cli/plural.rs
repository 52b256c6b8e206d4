//! Numbers with their nouns.

/// Returns a number with its noun: `1 device`, `3 devices`.
pub(super) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
