//! Folders in which the files named by a config are looked up.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::secret::check_type;

use crate::config::environment::Environment;
use crate::config::scope::Scope;

/// Folder beside the config from which systemd takes credentials; the command-line tools look there
/// as well.
pub const CREDENTIALS_FOLDER: &str = "credentials";

/// Folders in which relative names are looked up.
#[derive(Debug)]
pub(super) struct Folders<'a> {
    /// Folder of the config file, or the current folder if there is none.
    pub(super) beside: PathBuf,
    /// Part of the config that is needed.
    pub(super) needs: Scope,
    pub(super) environment: &'a Environment,
}

impl Folders<'_> {
    /// Returns the file of this name, if it exists in one of the folders.
    pub(super) fn existing(&self, name: &str) -> Option<PathBuf> {
        candidates(self.environment, &self.beside, name).find(|path| path.is_file())
    }

    /// Returns the error of a name that is that of a folder or a device.
    pub(super) fn type_error(&self, name: &str) -> Option<io::Error> {
        candidates(self.environment, &self.beside, name)
            .filter_map(|path| fs::metadata(path).ok())
            .find_map(|metadata| check_type(&metadata).err())
    }

    /// Returns the error if a folder that may contain the file cannot be searched.
    pub(super) fn permission_error(&self, name: &str) -> Option<io::Error> {
        candidates(self.environment, &self.beside, name)
            .filter_map(|path| fs::metadata(path).err())
            .find(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Returns the searched folders, for a message.
    pub(super) fn searched(&self) -> String {
        let beside = if self.beside.as_os_str().is_empty() {
            "the current folder".to_owned()
        } else {
            format!("`{}`", self.beside.display())
        };
        let Some(credentials) = &self.environment.credentials else {
            return format!("{beside} or its folder `{CREDENTIALS_FOLDER}`");
        };
        format!(
            "`{}` or {beside}; a file added to its folder `{CREDENTIALS_FOLDER}` is available \
             after the next start: systemctl restart sayso",
            credentials.display()
        )
    }
}

/// Returns the paths at which a file named in the config may be: an absolute name as it is, a
/// relative one among the credentials of systemd, beside the config, and in its credentials folder.
pub(super) fn candidates(
    environment: &Environment,
    beside: &Path,
    name: &str,
) -> impl Iterator<Item = PathBuf> {
    let mut paths = Vec::new();
    if let Some(folder) = &environment.credentials {
        paths.push(folder.join(name));
        // `LoadCredential=key:/etc/sayso/credentials` passes on a whole folder, each file as
        // `key_<name>`.
        paths.push(folder.join(format!("key_{name}")));
    }
    paths.push(beside.join(name));
    // The service itself may not read the folder from which systemd takes the credentials.
    if environment.credentials.is_none() {
        paths.push(beside.join(CREDENTIALS_FOLDER).join(name));
    }
    paths.into_iter()
}
