//! Figures from measured times.

use std::time::Duration;

/// Milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Milliseconds of CPU time for 1,000 of `count` commands.
pub(crate) fn per_thousand(cpu: Duration, count: u32) -> f64 {
    ms(cpu) * 1000.0 / f64::from(count)
}

/// The nearest-rank quantile of sorted values; zero of none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index far below 2^53, clamped"
)]
pub(crate) fn quantile(sorted: &[Duration], q: f64) -> Duration {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.clamp(1, sorted.len().max(1)) - 1)
        .copied()
        .unwrap_or_default()
}
