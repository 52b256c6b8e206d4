//! A key or password. It has no `Display`, `Deref` or `Serialize`, and its `Debug` tells nothing:
//! whoever wants it must write `expose()`, which is easy to find.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
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
    /// When the file cannot be read, is not UTF-8, is empty, or may be written by anybody.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        if fs::metadata(path)?.permissions().mode() & 0o002 != 0 {
            return Err(io::Error::other(
                "anybody may write it; `chmod 600` it, and make a new key if it may have been exchanged",
            ));
        }
        Self::new(&fs::read_to_string(path)?)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the file is empty"))
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

    #[test]
    fn a_secret_that_anybody_may_exchange_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "sk-123").unwrap();
        let with = |mode| {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode))
                .map(|()| Secret::from_file(file.path()))
                .unwrap()
        };
        assert_eq!(with(0o600).unwrap().expose(), "sk-123");
        assert!(with(0o602).unwrap_err().to_string().contains("chmod 600"));
    }
}
