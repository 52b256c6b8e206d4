//! Numbers with their nouns in the output of the tools, in the singular or plural.

/// Returns a number with its noun: `1 device`, `3 devices`.
pub(super) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
