//! Who may read and write the files: the config, the home, and above all the secrets.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use toml::Table;

use crate::config::{CREDENTIALS_FOLDER, ConfigLocation};

use crate::cli::doctor::finding::Report;

/// Others may write.
const WRITTEN_BY_OTHERS: u32 = 0o002;
/// Others may read.
const READ_BY_OTHERS: u32 = 0o004;
/// Where systemd keeps what it handed to the running service when it started that.
const HANDED_OVER: &str = "/run/credentials/sayso.service";
/// A folder in which only the owner of a file may take it away (`/tmp`).
const STICKY: u32 = 0o1000;

/// Looks at every file the config names. A config that cannot be read is told by whoever reads it.
pub(super) fn look(place: &ConfigLocation, report: &mut Report) {
    let Some(path) = place.config() else { return };
    let text = fs::read_to_string(&path).unwrap_or_default();
    let Ok(config) = text.parse::<Table>() else {
        return;
    };
    let beside = path.parent().map(Path::to_owned).unwrap_or_default();
    let before = report.ailments();
    folder(&beside, report);
    let home = config
        .get("home")
        .and_then(toml::Value::as_str)
        .unwrap_or("home.toml");
    for path in [path, beside.join(home)] {
        if mode(&path).is_some_and(|mode| mode & 0o020 != 0) {
            report.warn(
                "files",
                format!("`{}` may be written by its group", path.display()),
                format!("chmod g-w '{}'", path.display()),
            );
        }
    }
    let secrets = secrets(&config);
    for (key, name) in &secrets {
        if let Some(path) = place.existing(&beside, name) {
            secret(key, &path, report);
            if is_outdated(Path::new(HANDED_OVER), &path) {
                let found = format!(
                    "`{}` ({key}) is not what the running sayso was given when it started",
                    path.display()
                );
                report.warn("secrets", found, "systemctl restart sayso: it loses no command. A reload would hand over the old one");
            }
        }
    }
    if report.ailments() == before {
        report.ok(
            "files",
            format!(
                "nobody else may write the config, nor read the {} secrets it names",
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

fn folder(folder: &Path, report: &mut Report) {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    if mode(folder).is_some_and(|mode| mode & WRITTEN_BY_OTHERS != 0 && mode & STICKY == 0) {
        let found = format!(
            "anybody may put files into `{}`, and so replace the config",
            folder.display()
        );
        report.fault("files", found, format!("chmod o-w '{}'", folder.display()));
    }
}

/// The keys that name secrets, and what they name.
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

/// True where the running service has another secret than lies in the folder it was taken from, or has none of that name. Where nothing
/// runs, or we may not look, there is nothing to tell.
fn is_outdated(handed_over: &Path, path: &Path) -> bool {
    let from_there = path
        .parent()
        .is_some_and(|folder| folder.ends_with(CREDENTIALS_FOLDER));
    let (Some(name), true) = (
        path.file_name(),
        from_there && fs::read_dir(handed_over).is_ok(),
    ) else {
        return false;
    };
    let given = fs::read(handed_over.join(format!("key_{}", name.display()))).ok();
    fs::read(path).is_ok_and(|now| Some(now) != given)
}

fn secret(key: &str, path: &PathBuf, report: &mut Report) {
    let Ok(file) = fs::metadata(path) else { return };
    let (mode, shown) = (file.mode(), path.display());
    // What systemd hands over is its own affair.
    if mode & WRITTEN_BY_OTHERS != 0 {
        report.fault(
            "secrets",
            format!("anybody may write `{shown}` ({key})"),
            format!("chmod 600 '{shown}', and make a new key: this one may have been exchanged"),
        );
    } else if mode & READ_BY_OTHERS != 0 {
        report.fault(
            "secrets",
            format!("anybody on this machine can read `{shown}` ({key})"),
            format!("chmod 600 '{shown}', and make a new key if others use this machine"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_changed_after_the_start_is_told_and_no_other() {
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
