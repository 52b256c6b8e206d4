//! The identity of a received command, equal on both nodes of a pair.

use std::fmt;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Identity of a command. It survives a takeover: the broker sends a command again with the same
/// packet identifier.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandIdentity {
    digest: u128,
    /// Whether the client has named the command, by an id or correlation data.
    is_named: bool,
}

impl CommandIdentity {
    /// Bytes of the text form.
    pub(super) const TEXT: usize = 33;

    /// Returns the identity of a command that its client has named.
    pub fn named(topic: &str, name: &[u8], payload: &[u8]) -> Self {
        Self::of(true, topic, name, payload)
    }

    /// Returns the identity of a command by the packet identifier with which it is delivered.
    pub fn numbered(topic: &str, pkid: u16, payload: &[u8]) -> Self {
        Self::of(false, topic, &pkid.to_be_bytes(), payload)
    }

    fn of(is_named: bool, topic: &str, name: &[u8], payload: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in [topic.as_bytes(), name, payload] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let digest = context.finish();
        let mut bytes = [0; 16];
        for (byte, part) in bytes.iter_mut().zip(digest.as_ref()) {
            *byte = *part;
        }
        Self {
            digest: u128::from_be_bytes(bytes),
            is_named,
        }
    }

    /// Parses the text form; returns `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (is_named, digits) = match text.split_at_checked(1)? {
            ("n", digits) => (true, digits),
            ("p", digits) => (false, digits),
            _ => return None,
        };
        let is_hex = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let digest = u128::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
        Some(Self { digest, is_named })
    }

    /// Returns whether an equal identity means the same command at any time, and not only while
    /// the broker waits for its acknowledgement.
    pub fn is_named(self) -> bool {
        self.is_named
    }
}

impl fmt::Display for CommandIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = if self.is_named { 'n' } else { 'p' };
        write!(f, "{origin}{:032x}", self.digest)
    }
}

impl fmt::Debug for CommandIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for CommandIdentity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CommandIdentity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not the identity of a command"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        let named = CommandIdentity::named("s/command/a", b"1", b"on");
        let numbered = CommandIdentity::numbered("s/command/a", 1, b"on");
        assert_ne!(named, numbered);
        for identity in [named, numbered] {
            assert_eq!(
                CommandIdentity::parse(&identity.to_string()),
                Some(identity)
            );
        }
        for text in ["", "n", "x00", "p0", "näääääääääääääääää"] {
            assert_eq!(CommandIdentity::parse(text), None, "{text}");
        }
    }

    #[test]
    fn parts_of_an_identity_are_not_confused() {
        let one = CommandIdentity::named("ab", b"c", b"d");
        let other = CommandIdentity::named("a", b"bc", b"d");
        assert_ne!(one, other);
    }
}
