//! A key or password. It has no `Display`, `Deref` or `Serialize`, and its `Debug` tells nothing:
//! whoever wants it must write `expose()`, which is easy to find.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// A secret text, never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// A secret from its text, less white space around it; `None` where nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// Reads a secret from a file, such as a systemd credential.
    ///
    /// # Errors
    /// When the file cannot be read, is not UTF-8, or is empty.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        Self::new(&fs::read_to_string(path)?).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the file is empty"))
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_tell_itself() {
        let secret = Secret::new(" sk-123\n").unwrap();
        assert_eq!(secret.expose(), "sk-123");
        assert!(!format!("{secret:?}").contains("123"));
        assert!(Secret::new(" \n").is_none());
    }
}
