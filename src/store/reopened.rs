//! Opening a store again in the same process, although something of its failed predecessor may
//! still hold it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::store::{Settings, Store, StoreError, open};

/// Opens a store that has failed in this process; returns it with whether it is a copy, because the
/// failed one still held it: sled 0.34.7 may wait for ever when it is closed, and a thread that
/// waits keeps the lock.
///
/// # Errors
/// When it cannot be opened, as [`open`].
pub(super) fn open_again(settings: &Settings, path: &Path) -> Result<(Store, bool), StoreError> {
    match open(settings, path) {
        Err(StoreError::InUse { .. }) if is_held_here(path) => {
            detach(path).map_err(|source| StoreError::Unusable {
                path: path.to_owned(),
                source,
            })?;
            Ok((open(settings, path)?, true))
        }
        result => Ok((result?, false)),
    }
}

/// Returns whether this process holds the lock of the store. Only for its own is the file of the
/// store replaced.
fn is_held_here(path: &Path) -> bool {
    let (Ok(path), Ok(files)) = (
        path.join("db").canonicalize(),
        fs::read_dir("/proc/self/fd"),
    ) else {
        return false;
    };
    files.flatten().any(|file| {
        let number = file.file_name();
        let description = || fs::read_to_string(Path::new("/proc/self/fdinfo").join(&number));
        fs::read_link(file.path()).is_ok_and(|target| target == path)
            && description().is_ok_and(|text| text.contains("FLOCK"))
    })
}

/// Replaces the file of the store by a copy, which nobody has locked. The failed store keeps the
/// one it has open, so that nothing it may still write reaches the copy. A file that is written to
/// meanwhile looks as after a power cut, which sled can read.
fn detach(path: &Path) -> io::Result<()> {
    let (file, copy) = (path.join("db"), path.join("db.copy"));
    let copied = fs::copy(&file, &copy)
        .and_then(|_| File::open(&copy)?.sync_all())
        .and_then(|()| fs::rename(&copy, &file));
    if copied.is_err() {
        // Without it there is more room.
        let _ = fs::remove_file(&copy);
    }
    copied
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::MetadataExt;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_store_that_is_still_held_here_is_opened_from_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let held = open(&Settings::default(), &path).unwrap();
        held.db.insert("k", "v").unwrap();
        held.sync().unwrap();
        let (store, was_copied) = open_again(&Settings::default(), &path).unwrap();
        assert!(was_copied);
        assert_eq!(store.db.get("k").unwrap().as_deref(), Some(b"v".as_slice()));
        // What the one left behind still writes has no effect.
        held.db.insert("k", "late").unwrap();
        held.sync().unwrap();
        drop(held);
        drop(store);
        let store = open(&Settings::default(), &path).unwrap();
        assert_eq!(store.db.get("k").unwrap().as_deref(), Some(b"v".as_slice()));
    }

    #[test]
    fn a_store_of_another_process_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(open(&Settings::default(), &path).unwrap());
        let mut other = Command::new("flock")
            .arg(path.join("db"))
            .args(["sh", "-c", "echo locked; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = other.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let file = || fs::metadata(path.join("db")).unwrap().ino();
        let before = file();
        let opened = open_again(&Settings::default(), &path);
        // `wait` closes its input, which ends it.
        other.wait().unwrap();
        assert!(
            matches!(opened, Err(StoreError::InUse { .. })),
            "{opened:?}"
        );
        assert_eq!(file(), before, "it was not copied");
    }
}
