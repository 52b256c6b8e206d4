//! Values of properties: a flag, a number, or a word.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::vocabulary::shared_str::SharedStr;

/// A value of a property in a draft, a reply or the state.
#[derive(Debug, Clone, PartialEq)]
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

    /// Returns whether it is a text equal to `word`.
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

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl Visitor<'_> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a boolean, a number or a string")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    #[expect(clippy::cast_precision_loss, reason = "every number is a float here")]
    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "every number is a float here")]
    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::text(text))
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
