//! Values of properties.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::vocabulary::shared_str::SharedStr;

/// A value of a property in a draft, a reply or the state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// The value of a boolean property.
    Flag(bool),
    /// A finite number.
    Number(f64),
    /// A word of the vocabulary, or one of the device's options.
    Text(SharedStr),
}

impl Value {
    /// Creates a word.
    pub fn text(word: &str) -> Self {
        Self::Text(word.into())
    }

    /// Returns whether it is this word.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Text(text) if text == word)
    }

    /// Returns the number, or `None` for a word or a flag.
    pub fn number(&self) -> Option<f64> {
        if let Self::Number(n) = self {
            Some(*n)
        } else {
            None
        }
    }
}

impl Serialize for Value {
    /// Serializes whole numbers without a fraction: `40`, not `40.0`.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Flag(b) => serializer.serialize_bool(*b),
            Self::Text(t) => serializer.serialize_str(t),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole and below 2^53, checked by the guard"
            )]
            Self::Number(n) if n.fract() == 0.0 && n.abs() < 9e15 => {
                serializer.serialize_i64(*n as i64)
            }
            Self::Number(n) => serializer.serialize_f64(*n),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(b) => b.fmt(f),
            Self::Number(n) => n.fmt(f),
            Self::Text(t) => f.write_str(t),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_serialized_without_a_fraction() {
        let json = |v: Value| serde_json::to_string(&v).unwrap();
        assert_eq!(json(Value::Number(40.0)), "40");
        assert_eq!(json(Value::Number(21.5)), "21.5");
        assert_eq!(json(Value::Flag(true)), "true");
    }
}
