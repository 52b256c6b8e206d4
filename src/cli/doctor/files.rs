//! Permissions of the config, the home file and the secrets.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use toml::Table;

use crate::config::{CREDENTIALS_FOLDER, ConfigLocation};

use crate::secret::check_type;

use crate::cli::doctor::finding::DoctorReport;

/// Permission of other users to write.
const WRITTEN_BY_OTHERS: u32 = 0o002;
/// Permission of other users to read.
const READ_BY_OTHERS: u32 = 0o004;
/// Folder with the credentials that systemd gave to the running service when it started.
const SERVICE_CREDENTIALS: &str = "/run/credentials/sayso.service";
/// Flag of folders such as `/tmp`, in which only the owner of a file may remove it.
const STICKY: u32 = 0o1000;

/// Checks every file that the config names. A config that cannot be read is reported when it is
/// loaded.
pub(super) fn check(place: &ConfigLocation, report: &mut DoctorReport) {
    let Some(path) = place.config() else { return };
    let text = fs::read_to_string(&path).unwrap_or_default();
    let Ok(config) = text.parse::<Table>() else {
        return;
    };
    let beside = path.parent().map(Path::to_owned).unwrap_or_default();
    let before = report.problems();
    folder(&beside, report);
    let home = config
        .get("home")
        .and_then(toml::Value::as_str)
        .unwrap_or("home.toml");
    for path in [path, beside.join(home)] {
        if path.is_file() && mode(&path).is_some_and(|mode| mode & 0o020 != 0) {
            report.warn(
                "files",
                format!("the group of `{}` may write it", path.display()),
                format!("chmod g-w '{}'", path.display()),
            );
        }
    }
    let secrets = secrets(&config);
    for (key, name) in &secrets {
        if let Some(path) = place.existing(&beside, name) {
            secret(key, &path, report);
            if is_outdated(Path::new(SERVICE_CREDENTIALS), &path) {
                let found = format!(
                    "`{}` ({key}) differs from the one that the running sayso got when it started",
                    path.display()
                );
                report.warn(
                    "secrets",
                    found,
                    "systemctl restart sayso (no command is lost); a reload would keep the old one",
                );
            }
        }
    }
    if report.problems() == before {
        report.ok(
            "files",
            format!(
                "other users may neither write the config nor read its secrets ({})",
                secrets.len()
            ),
        );
    }
}

fn mode(path: &Path) -> Option<u32> {
    fs::metadata(path)
        .ok()
        .map(|file| file.permissions().mode())
}

fn folder(folder: &Path, report: &mut DoctorReport) {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    if mode(folder).is_some_and(|mode| mode & WRITTEN_BY_OTHERS != 0 && mode & STICKY == 0) {
        let found = format!(
            "every user may create files in `{}`, and so replace the config",
            folder.display()
        );
        report.fault("files", found, format!("chmod o-w '{}'", folder.display()));
    }
}

/// Returns the keys that name secret files, with the names.
fn secrets(config: &Table) -> Vec<(String, String)> {
    let text = |table: Option<&toml::Value>, key: &str| {
        table.and_then(|table| table.get(key)?.as_str().map(str::to_owned))
    };
    let mqtt = config.get("mqtt");
    let providers = config
        .get("provider")
        .and_then(toml::Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let password = text(mqtt, "password_file").map(|name| ("mqtt.password_file".to_owned(), name));
    let key = text(mqtt.and_then(|mqtt| mqtt.get("tls")), "key")
        .map(|name| ("mqtt.tls.key".to_owned(), name));
    let models = providers.iter().filter_map(|provider| {
        Some((
            format!("key_file of {}", provider.get("name")?.as_str()?),
            text(Some(provider), "key_file")?,
        ))
    });
    password.into_iter().chain(key).chain(models).collect()
}

/// Returns true if the running service got another secret than the one in the credentials folder,
/// or none of that name. Returns false if no service is running, or if its credentials may not be
/// read.
fn is_outdated(service_credentials: &Path, path: &Path) -> bool {
    let from_there = path
        .parent()
        .is_some_and(|folder| folder.ends_with(CREDENTIALS_FOLDER));
    let (Some(name), true) = (
        path.file_name(),
        from_there && fs::read_dir(service_credentials).is_ok(),
    ) else {
        return false;
    };
    let current = fs::read(service_credentials.join(format!("key_{}", name.display()))).ok();
    fs::read(path).is_ok_and(|now| Some(now) != current)
}

fn secret(key: &str, path: &PathBuf, report: &mut DoctorReport) {
    let Ok(file) = fs::metadata(path) else { return };
    if check_type(&file).is_err() {
        return;
    }
    let (mode, shown) = (file.mode(), path.display());
    if mode & 0o022 != 0 {
        report.fault(
            "secrets",
            format!("other users may write `{shown}` ({key})"),
            format!("chmod 600 '{shown}', and create a new key: this one may have been exchanged"),
        );
    } else if mode & READ_BY_OTHERS != 0 {
        report.fault(
            "secrets",
            format!("every user of this machine can read `{shown}` ({key})"),
            format!("chmod 600 '{shown}', and create a new key if other people use this machine"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_secret_changed_after_the_start_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let (source, handed) = (
            folder.path().join("credentials"),
            folder.path().join("handed"),
        );
        fs::create_dir(&source).unwrap();
        let key = source.join("cloud.key");
        fs::write(&key, "sk-new").unwrap();
        assert!(!is_outdated(&handed, &key), "nothing runs");
        fs::create_dir(&handed).unwrap();
        assert!(is_outdated(&handed, &key), "it came later");
        fs::write(handed.join("key_cloud.key"), "sk-old").unwrap();
        assert!(is_outdated(&handed, &key));
        fs::write(handed.join("key_cloud.key"), "sk-new").unwrap();
        assert!(!is_outdated(&handed, &key));
        let beside = folder.path().join("cloud.key");
        fs::write(&beside, "sk-beside").unwrap();
        assert!(
            !is_outdated(&handed, &beside),
            "a file beside the config is read at each reload"
        );
    }
}
