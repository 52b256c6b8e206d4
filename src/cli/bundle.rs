//! `sayso bundle`: an archive with everything that a support request needs, without secrets.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::config::{Config, Scope, is_secret_header};

use crate::cli::arguments::FileArguments;
use crate::cli::exit::{Exit, Failure};
use crate::cli::plural::count;
use crate::cli::{doctor, version};

/// Maximum bytes of one file in the archive; of longer ones the end is kept.
const MAX_FILE_BYTES: usize = 2 << 20;

/// Replacement for a secret.
const REDACTED: &str = "[secret removed]";

/// Keys whose values are removed from configs, should a secret have been written there, besides
/// the headers of secrets.
const SECRET_KEYS: [&str; 4] = ["password", "key", "api_key", "token"];

const EXAMPLES: &str = "\
Examples:
  sudo sayso bundle
  sayso bundle --output /tmp/sayso.tar

The archive contains the config and home files, the version, the findings of `sayso doctor` and \
the log of the service. \
The contents of all secret files are removed wherever they appear. Names of devices and rooms \
remain: look through the \
archive before you send it.

Exit codes: 0 written, 1 it cannot be written.";

/// Arguments of `sayso bundle`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Bundle {
    #[command(flatten)]
    files: FileArguments,
    /// Archive to write [default: sayso-bundle-<time>.tar in the current folder]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Collects the files, removes the secrets and writes the archive.
pub(super) fn bundle(arguments: &Bundle, out: &mut impl Write) -> Result<Exit, Failure> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let path = match &arguments.output {
        Some(path) => path.clone(),
        None => PathBuf::from(format!("sayso-bundle-{now}.tar")),
    };
    let contents = contents(&arguments.files)?;
    let secrets = secrets(&arguments.files);
    let mut archive = Vec::new();
    for (name, text) in &contents {
        append(&mut archive, name, redacted(text, &secrets).as_bytes(), now);
    }
    // Two empty blocks end a tar archive.
    archive.extend([0; 1024]);
    // Log and config are private even without secrets.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(&archive))
        .map_err(|error| Failure::new(Exit::Failed, format!("`{}`: {error}", path.display())))?;
    for (name, text) in &contents {
        writeln!(out, "  {name:14} {} bytes", text.len())?;
    }
    writeln!(
        out,
        "✓ {} written, with {} removed. Look through it before you send it: tar -xOf '{}'",
        path.display(),
        count(secrets.len(), "secret"),
        path.display()
    )?;
    Ok(Exit::Done)
}

/// Returns name and text of each file. A part that cannot be collected contains the reason.
fn contents(files: &FileArguments) -> Result<Vec<(&'static str, String)>, Failure> {
    let location = files.location(Scope::Everything).of_the_service();
    let config = location.config();
    let home = config
        .as_deref()
        .map(|path| path.with_file_name("home.toml"));
    let check = match Config::load(&location) {
        Ok(_) => "no faults\n".to_owned(),
        Err(faults) => format!("{faults}\n"),
    };
    let mut version_text = Vec::new();
    version::print(true, &mut version_text)?;
    let doctor = doctor::findings(files)?;
    let log = [
        "-u",
        "sayso",
        "-u",
        "sayso-failed",
        "-n",
        "5000",
        "-o",
        "short-iso",
        "--no-pager",
    ];
    Ok(vec![
        (
            "version.txt",
            String::from_utf8_lossy(&version_text).into_owned(),
        ),
        ("sayso.toml", config_text(config.as_deref())),
        ("home.toml", config_text(home.as_deref())),
        ("check.txt", check),
        ("doctor.json", format!("{doctor:#}\n")),
        ("log.txt", command_output("journalctl", &log)),
        (
            "service.txt",
            command_output("systemctl", &["status", "sayso", "--no-pager"]),
        ),
        ("system.txt", command_output("uname", &["-a"])),
        ("disk.txt", command_output("df", &["-h"])),
    ])
}

fn config_text(path: Option<&Path>) -> String {
    let Some(path) = path else {
        return "no config\n".to_owned();
    };
    match fs::read_to_string(path) {
        Ok(text) => without_secret_values(&text),
        Err(error) => format!("{}: {error}\n", path.display()),
    }
}

/// Returns a config without the values of keys that may hold a secret.
fn without_secret_values(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for line in text.lines() {
        let is_secret = line.split_once('=').is_some_and(|(key, _)| {
            let key = key
                .trim()
                .trim_start_matches('#')
                .trim()
                .trim_matches('"')
                .to_lowercase();
            SECRET_KEYS.contains(&key.as_str()) || is_secret_header(&key)
        });
        // `key` in [mqtt.tls] is a path, but it is not needed for support.
        match line.split_once('=') {
            Some((key, _)) if is_secret => {
                clean.extend([key, "= \"", REDACTED, "\""]);
            }
            _ if line.trim_start().starts_with("headers") => clean.push_str("# headers removed"),
            _ => clean.push_str(line),
        }
        clean.push('\n');
    }
    clean
}

/// Returns the output of a program of the system, or why it could not be run.
fn command_output(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) => {
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            let start = text.ceil_char_boundary(text.len().saturating_sub(MAX_FILE_BYTES));
            text.split_off(start)
        }
        Err(error) => format!("{program}: {error}\n"),
    }
}

/// Returns the contents of all secret files of the config that this user may read. The others
/// cannot have been copied.
fn secrets(files: &FileArguments) -> BTreeSet<String> {
    let mut secrets = BTreeSet::new();
    for scope in [Scope::Broker, Scope::Models] {
        let Ok(config) = Config::load(&files.location(scope).of_the_service()) else {
            continue;
        };
        let password = config.mqtt.login.and_then(|login| login.password);
        let keys = config
            .ask
            .providers
            .into_iter()
            .filter_map(|provider| provider.key);
        for secret in password.into_iter().chain(keys) {
            secrets.insert(secret.expose().to_owned());
        }
    }
    secrets
}

fn redacted(text: &str, secrets: &BTreeSet<String>) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| {
        text.replace(secret, REDACTED)
    })
}

/// Appends a file to a tar archive (POSIX.1-1988 ustar).
fn append(archive: &mut Vec<u8>, name: &str, content: &[u8], modified: u64) {
    let mut header = [0; 512];
    let fields: [(usize, String); 8] = [
        (0, format!("sayso-bundle/{name}")),
        (100, "0000600\0".to_owned()),
        (108, "0000000\0".to_owned()),
        (116, "0000000\0".to_owned()),
        (124, format!("{:011o}\0", content.len())),
        (136, format!("{modified:011o}\0")),
        // The checksum is computed with spaces in its own field.
        (148, "        0".to_owned()),
        (257, "ustar\x0000".to_owned()),
    ];
    for (offset, field) in fields {
        header[offset..offset + field.len()].copy_from_slice(field.as_bytes());
    }
    let checksum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{checksum:06o}\0 ").as_bytes());
    archive.extend(header);
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

#[cfg(test)]
mod tests {
    use crate::provider::APIS;

    use super::*;

    #[test]
    fn values_of_secret_keys_are_removed_and_paths_of_key_files_remain() {
        let text =
            "[mqtt]\npassword = \"hunter2\"\n# api_key = \"sk-1\"\nkey_file = \"cloud.key\"\n";
        let clean = without_secret_values(text);
        assert!(
            !clean.contains("hunter2") && !clean.contains("sk-1"),
            "{clean}"
        );
        assert!(clean.contains("key_file = \"cloud.key\""), "{clean}");
    }

    #[test]
    fn values_of_every_key_header_are_removed() {
        let others = ["api-key", "proxy-authorization"];
        for header in APIS.map(|spec| spec.key_header).into_iter().chain(others) {
            let clean =
                without_secret_values(&format!("[provider.headers]\n{header} = \"sk-1\"\n"));
            assert!(!clean.contains("sk-1"), "{clean}");
        }
    }

    #[test]
    fn the_archive_can_be_read_by_tar() {
        let mut archive = Vec::new();
        append(&mut archive, "a.txt", b"first", 1_700_000_000);
        append(&mut archive, "b.txt", &[b'x'; 1000], 1_700_000_000);
        archive.extend([0; 1024]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.tar");
        fs::write(&path, &archive).unwrap();
        let listed = Command::new("tar").arg("-tf").arg(&path).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&listed.stdout),
            "sayso-bundle/a.txt\nsayso-bundle/b.txt\n"
        );
        let content = Command::new("tar")
            .arg("-xOf")
            .arg(&path)
            .arg("sayso-bundle/a.txt")
            .output();
        assert_eq!(content.unwrap().stdout, b"first");
    }
}
