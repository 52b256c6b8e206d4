//! Keys and passwords. A [`Secret`] has no `Display`, `Deref` or `Serialize`, and its `Debug` hides
//! the value: the only access is `expose()`, which is easy to search for.

pub mod address;
pub mod plain_text;

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Permission of the group and of other users to write a file.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A secret text, never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Creates a secret without surrounding white space; `None` if nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// Reads a secret from a file, such as a systemd credential. Owner, mode and content are those
    /// of one open file, so the file cannot be exchanged between the check and the reading.
    ///
    /// # Errors
    /// If the file cannot be read, is not UTF-8, is empty or has several lines, or if another user
    /// may write it.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        check_type(&metadata)?;
        if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(io::Error::other(
                "other users may write it: `chmod 600` it, and create a new key if it may have \
                 been exchanged",
            ));
        }
        if !is_trusted_owner(&metadata, path) {
            return Err(io::Error::other(format!(
                "it belongs to another user (id {}), who may exchange it: `chown` it to root or to \
                 the user that runs sayso",
                metadata.uid()
            )));
        }
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = plain_text::decode(bytes).map_err(|error| invalid(error.to_string()))?;
        let secret = Self::new(&text).ok_or_else(|| {
            invalid("the file is empty: write the secret into it, on one line".to_owned())
        })?;
        let lines = secret.0.lines().count();
        if lines > 1 {
            return Err(invalid(format!(
                "it has {lines} lines: leave only the secret, on one line"
            )));
        }
        if secret.0.chars().any(char::is_control) {
            return Err(invalid(
                "it has a control character in it: write the secret again, on one line".to_owned(),
            ));
        }
        Ok(secret)
    }

    /// Returns the secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Rejects folders and devices, whose permissions say nothing about a text in them. Pipes are
/// allowed: a shell passes the output of a command in one.
///
/// # Errors
/// With the type of the file.
pub fn check_type(file: &Metadata) -> io::Result<()> {
    let kind = file.file_type();
    if kind.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a folder: name a file in it",
        ));
    }
    if kind.is_char_device() || kind.is_block_device() || kind.is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a device and not a regular file: name a file",
        ));
    }
    Ok(())
}

/// Returns true if the file belongs to root or to the user of this process. For root the owner of
/// the folder is trusted as well, because that user can replace the file in any case.
fn is_trusted_owner(file: &Metadata, path: &Path) -> bool {
    let user = rustix::process::geteuid();
    if file.uid() == 0 || file.uid() == user.as_raw() {
        return true;
    }
    let folder = path.parent().map(|folder| {
        if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        }
    });
    let owner = folder
        .and_then(|folder| folder.metadata().ok())
        .map(|folder| folder.uid());
    user.is_root() && owner == Some(file.uid())
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn debug_output_hides_the_secret() {
        let secret = Secret::new(" sk-123\n").unwrap();
        assert_eq!(secret.expose(), "sk-123");
        assert!(!format!("{secret:?}").contains("123"));
        assert!(Secret::new(" \n").is_none());
    }

    #[test]
    fn a_secret_that_other_users_may_write_is_rejected() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "sk-123").unwrap();
        let read_with = |mode| {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            Secret::from_file(file.path())
        };
        assert_eq!(read_with(0o600).unwrap().expose(), "sk-123");
        for mode in [0o602, 0o620, 0o666] {
            let error = read_with(mode).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{mode:o}: {error}");
        }
    }

    #[test]
    fn a_folder_and_a_device_are_no_secret_and_need_no_other_permissions() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        for (path, expected) in [
            (folder.path(), "it is a folder"),
            (Path::new("/dev/null"), "not a regular file"),
        ] {
            let error = Secret::from_file(path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("chmod"), "{error}");
        }
    }

    #[test]
    fn a_secret_of_another_user_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "sk-123").unwrap();
        // Only root can give a file away.
        if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
            let error = Secret::from_file(&path).unwrap_err().to_string();
            assert!(error.contains("id 12345"), "{error}");
        }
    }

    #[test]
    fn a_secret_is_one_line_of_text() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |content: &[u8]| {
            fs::write(file.path(), content).unwrap();
            fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
            Secret::from_file(file.path()).map_err(|error| error.to_string())
        };
        assert_eq!(read(b"sk-123\n\n").unwrap().expose(), "sk-123");
        for (content, expected) in [
            (&b"sk-123\nsk-456\n"[..], "it has 2 lines"),
            (b"s\0k\0-\0", "UTF-16"),
            (b"sk-\xfc", "not UTF-8"),
            (b"sk-\x1b[A", "control character"),
            (b" \n", "empty"),
        ] {
            let error = read(content).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("456") && !error.contains("123"), "{error}");
        }
    }
}
