//! `sayso bundle`: an archive with everything that a support request needs, without secrets.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::Value as Json;

use crate::config::{Config, ConfigLocation, Scope};

use crate::cli::arguments::FileArguments;
use crate::cli::exit::{Exit, Failure};
use crate::cli::file_error::unwritable;
use crate::cli::plural::count;
use crate::cli::redaction::Redaction;
use crate::cli::{doctor, version};

/// Maximum bytes of one file in the archive; of longer ones the end is kept.
const MAX_FILE_BYTES: usize = 2 << 20;

const EXAMPLES: &str = "\
Examples:
  sudo sayso bundle
  sayso bundle --output /tmp/sayso.tar

The archive contains the config and home files, the version, the findings of `sayso doctor` and \
the log of the service. \
The contents of all secret files, secrets written into the config and those in addresses are \
removed wherever they appear. Names of devices and rooms remain: look through the archive before \
you send it.

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
    let mut redaction = Redaction::default();
    add_configured_secrets(&arguments.files, &mut redaction);
    let contents = contents(&arguments.files, &mut redaction)?;
    let mut archive = Vec::new();
    for (name, text) in &contents {
        append(&mut archive, name, text.as_bytes(), now);
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
        .map_err(|error| unwritable(&path, &error))?;
    for (name, text) in &contents {
        writeln!(out, "  {name:14} {} bytes", text.len())?;
    }
    writeln!(
        out,
        "✓ {} written, with {} removed. Look through it before you send it: tar -xOf '{}'",
        path.display(),
        count(redaction.count(), "secret"),
        path.display()
    )?;
    Ok(Exit::Done)
}

/// Returns name and text of each file, without secrets. A part that cannot be collected contains
/// the reason.
fn contents(
    files: &FileArguments,
    redaction: &mut Redaction,
) -> Result<Vec<(&'static str, String)>, Failure> {
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
    let version = String::from_utf8_lossy(&version_text).into_owned();
    let config = config_text(config.as_deref(), &location, redaction);
    let home = config_text(home.as_deref(), &location, redaction);
    let mut texts = vec![
        ("version.txt", version),
        ("sayso.toml", config),
        ("home.toml", home),
        ("check.txt", check),
    ];
    texts.extend(system_texts());
    for (_, text) in &mut texts {
        *text = redaction.addresses(text);
    }
    let mut doctor = doctor::findings(files)?;
    redaction.json_addresses(&mut doctor);
    // Only now all secrets are known.
    for (_, text) in &mut texts {
        *text = redaction.text(text);
    }
    texts.insert(4, ("doctor.json", without_secrets(doctor, redaction)));
    Ok(texts)
}

fn without_secrets(mut document: Json, redaction: &mut Redaction) -> String {
    redaction.json(&mut document);
    format!("{document:#}\n")
}

/// Returns the state of the service as the system reports it.
fn system_texts() -> [(&'static str, String); 4] {
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
    [
        ("log.txt", command_output("journalctl", &log)),
        (
            "service.txt",
            command_output("systemctl", &["status", "sayso", "--no-pager"]),
        ),
        ("system.txt", command_output("uname", &["-a"])),
        ("disk.txt", command_output("df", &["-h"])),
    ]
}

fn config_text(
    path: Option<&Path>,
    location: &ConfigLocation,
    redaction: &mut Redaction,
) -> String {
    let Some(path) = path else {
        return "no config\n".to_owned();
    };
    match fs::read(path) {
        Ok(bytes) => {
            let beside = path.parent().unwrap_or(Path::new(""));
            redaction.config(&String::from_utf8_lossy(&bytes), location, beside)
        }
        Err(error) => format!("{}: {error}\n", path.display()),
    }
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

/// Adds the contents of all secret files of the config that this user may read. The others cannot
/// have been copied.
fn add_configured_secrets(files: &FileArguments, redaction: &mut Redaction) {
    for scope in [Scope::Broker, Scope::Models] {
        let Ok(config) = Config::load(&files.location(scope).of_the_service()) else {
            continue;
        };
        let password = config.mqtt.login.and_then(|login| login.password);
        let redis = config.redis.and_then(|settings| settings.password);
        let keys = config
            .ask
            .providers
            .into_iter()
            .filter_map(|provider| provider.key);
        for secret in password.into_iter().chain(redis).chain(keys) {
            redaction.add_secret(secret.expose());
        }
    }
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
    use super::*;

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
