//! Identifiers of devices, areas and floors, as used in topics, configuration keys and replies.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::vocabulary::shared_str::SharedStr;

/// The longest identifier, in bytes. It is used as an MQTT topic level and as a key of the store.
const LONGEST: usize = 64;

/// A valid identifier: 1 to 64 of `a-z`, `0-9`, `_`, safe as a topic level, a TOML key and a word
/// in a prompt.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(Arc<str>);

/// The error for a text that is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not an identifier: use 1 to 64 of a-z, 0-9 and _")]
pub struct InvalidSlug {
    found: String,
}

impl Slug {
    /// Creates an identifier from `text`, unchanged.
    ///
    /// # Errors
    /// When it is empty, longer than 64 bytes or has other characters than `a-z`, `0-9`, `_`.
    pub fn new(text: &str) -> Result<Self, InvalidSlug> {
        let fits = !text.is_empty()
            && text.len() <= LONGEST
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(InvalidSlug {
                found: text.chars().take(80).collect(),
            })
        }
    }

    /// Returns the identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the identifier with spaces: `kitchen_light` → `kitchen light`.
    pub fn spoken(&self) -> String {
        self.0.replace('_', " ")
    }
}

impl Borrow<str> for Slug {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Slug {
    type Error = InvalidSlug;
    fn try_from(text: String) -> Result<Self, InvalidSlug> {
        Self::new(&text)
    }
}

impl From<&Slug> for SharedStr {
    fn from(slug: &Slug) -> Self {
        Arc::clone(&slug.0).into()
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0.as_ref().to_owned()
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_lowercase_ascii_and_short() {
        assert!(Slug::new("lamp_2").is_ok());
        for bad in ["", "Lamp", "a b", "a/b", "ü", "+", "#", &"x".repeat(65)] {
            assert!(Slug::new(bad).is_err(), "{bad:?}");
        }
    }
}
