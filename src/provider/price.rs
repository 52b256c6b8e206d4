//! Prices of tokens. Pure, in whole numbers: one dollar per million tokens is 1000 billionths per
//! token.

use std::fmt;
use std::ops::{Add, AddAssign};

use crate::provider::message::Usage;

/// Money, in billionths of a dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Money(pub u64);

impl Money {
    /// Returns an amount in dollars to the nearest billionth; negative amounts are zero.
    pub fn dollars(amount: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, and 18 billion dollars are enough"
        )]
        Self((amount * 1e9).round() as u64)
    }

    /// Returns the amount in dollars.
    pub fn in_dollars(self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact up to nine million dollars"
        )]
        let billionths = self.0 as f64;
        billionths / 1e9
    }

    fn times(self, tokens: u64) -> Self {
        Self(self.0.saturating_mul(tokens))
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "${}.{:06}",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000 / 1000
        )
    }
}

/// The prices of one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prices {
    /// In a prompt.
    pub input: Money,
    /// In a prompt, read from the provider's cache.
    pub cached: Money,
    /// In a prompt, written to the provider's cache.
    pub written: Money,
    /// In an answer, reasoning included.
    pub output: Money,
}

impl Prices {
    /// The prices of a local model.
    pub const FREE: Self = Self {
        input: Money(0),
        cached: Money(0),
        written: Money(0),
        output: Money(0),
    };

    /// Returns prices from thousandths of a dollar per million tokens, which are billionths per
    /// token, in the order of the fields.
    pub(super) const fn per_million([input, cached, written, output]: [u64; 4]) -> Self {
        Self {
            input: Money(input),
            cached: Money(cached),
            written: Money(written),
            output: Money(output),
        }
    }

    /// Returns prices from dollars per million tokens, as providers list them. Cached and written
    /// tokens cost as much as other input where they have no price of their own.
    pub fn listed(input: f64, cached: Option<f64>, written: Option<f64>, output: f64) -> Self {
        let each = |price: f64| Money::dollars(price / 1e6);
        Self {
            input: each(input),
            cached: each(cached.unwrap_or(input)),
            written: each(written.unwrap_or(input)),
            output: each(output),
        }
    }
}

/// Spending limits; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// In a day of UTC.
    pub per_day: Option<Money>,
    /// In a month of UTC.
    pub per_month: Option<Money>,
}

/// Returns the cost of a call.
///
/// ```
/// # use sayso::testing::provider::{Usage, price::{cost, Prices}};
/// let prices = Prices::listed(0.1, Some(0.01), Some(0.125), 0.5);
/// let usage = Usage { input: 2_000, cached: 1_500, written: 100, output: 40 };
/// // 400 plain ones at 100, 1500 cached at 10, 100 written at 125, and 40 of the answer at 500.
/// assert_eq!(cost(usage, &prices).0, 40_000 + 15_000 + 12_500 + 20_000);
/// ```
pub fn cost(usage: Usage, prices: &Prices) -> Money {
    let plain = usage
        .input
        .saturating_sub(usage.cached)
        .saturating_sub(usage.written);
    prices.input.times(plain)
        + prices.cached.times(usage.cached)
        + prices.written.times(usage.written)
        + prices.output.times(usage.output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_price_is_exact_to_the_billionth() {
        let prices = Prices::listed(0.1, Some(0.075), None, 2.5);
        assert_eq!(prices, Prices::per_million([100, 75, 100, 2500]));
        assert_eq!(Money::dollars(-1.0), Money(0));
    }

    #[test]
    fn a_million_tokens_cost_the_list_price() {
        let prices = Prices::listed(0.3, Some(0.03), None, 2.5);
        let all = |input, cached, output| {
            cost(
                Usage {
                    input,
                    cached,
                    output,
                    ..Usage::default()
                },
                &prices,
            )
        };
        assert_eq!(all(1_000_000, 0, 0), Money::dollars(0.3));
        assert_eq!(all(1_000_000, 1_000_000, 0), Money::dollars(0.03));
        assert_eq!(all(0, 0, 1_000_000), Money::dollars(2.5));
        assert_eq!(
            cost(
                Usage {
                    input: 5,
                    output: 5,
                    ..Usage::default()
                },
                &Prices::FREE
            ),
            Money(0)
        );
    }

    #[test]
    fn absurd_counts_do_not_overflow() {
        let usage = Usage {
            input: 1,
            cached: u64::MAX,
            written: u64::MAX,
            output: u64::MAX,
        };
        assert_eq!(
            cost(usage, &Prices::listed(1.0, None, None, 1.0)),
            Money(u64::MAX)
        );
    }

    #[test]
    fn money_is_shown_in_dollars() {
        assert_eq!(Money(1_234_567_890).to_string(), "$1.234567");
        assert!((Money(1_500_000_000).in_dollars() - 1.5).abs() < 1e-12);
        assert_eq!(Money::dollars(0.000_05).to_string(), "$0.000050");
    }
}
