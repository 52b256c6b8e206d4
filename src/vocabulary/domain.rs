//! The sets of values that properties take.

/// The values a capability takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Domain {
    /// One of these words.
    Choice(Vec<String>),
    /// A number from `min` to `max`, both included, in `unit`.
    Number {
        /// The smallest value.
        min: f64,
        /// The largest value.
        max: f64,
        /// The resolution: values are `min` plus a multiple of it. `None` allows any value.
        step: Option<f64>,
        /// The unit, such as `%`, `°C`, `K` or `l/min`; empty for a count.
        unit: String,
    },
    /// A CSS colour name or `#rrggbb`.
    Color,
    /// `true` or `false`.
    Boolean,
    /// No value, as for a button.
    Trigger,
}

impl Domain {
    /// Creates a choice of `words`.
    pub(crate) fn words(words: &[&str]) -> Self {
        Self::Choice(words.iter().map(|&w| w.to_owned()).collect())
    }

    /// Creates the domain of the numbers from `min` to `max`, in any resolution.
    pub(crate) fn number(min: f64, max: f64, unit: &str) -> Self {
        Self::Number {
            min,
            max,
            step: None,
            unit: unit.to_owned(),
        }
    }
}
