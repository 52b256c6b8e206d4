//! `sayso init`: asks for broker, devices and model, tests each answer, writes both files and does
//! one command.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Args;

use crate::config::{CREDENTIALS_FOLDER, Config, ConfigLocation, Scope};
use crate::grammar::built_in_languages;
use crate::provider::APIS;
use crate::secret::Secret;
use crate::templates::Templates;

use crate::cli::arguments::FileArguments;
use crate::cli::exit::{Exit, Failure};
use crate::cli::file_error::unwritable;
use crate::cli::hidden_input::HiddenInput;
use crate::cli::home::{gather, home_file};
use crate::cli::plural::count;
use crate::cli::runtime;
use crate::cli::say::Speaker;
use crate::cli::{doctor, provider_test};

/// Longest wait for the broker while announcements are collected.
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);

/// Attempts to reach a daemon that is started for the first command.
const START_ATTEMPTS: u32 = 50;

/// Pause between two attempts.
const START_PAUSE: Duration = Duration::from_millis(200);

/// Name of the config until all questions are answered.
const UNFINISHED: &str = "sayso.toml.unfinished";

/// Number of devices for which an area is asked. Further ones can be assigned in the home file.
const MAX_AREA_QUESTIONS: usize = 20;

const EXAMPLES: &str = "\
Examples:
  sudo sayso init
  sayso init --folder ./my-home

The questions have defaults in brackets; Enter accepts them. Existing files are not changed unless \
--force is given. \
Passwords and keys are written to files of their own in the folder credentials, which only the \
owner may read.

Exit codes: 0 the first command was done, 1 it was not, or the questions were not answered, 75 no \
broker, \
77 a file may not be written, 78 the config is wrong.";

/// Arguments of `sayso init`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Init {
    /// Folder for the files [default: /etc/sayso for root, otherwise the current folder]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Replace existing files
    #[arg(long)]
    force: bool,
}

/// Asks, tests and writes the files, then does one command.
pub(super) fn init(arguments: &Init, out: &mut impl Write) -> Result<Exit, Failure> {
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None if rustix::process::geteuid().is_root() => PathBuf::from("/etc/sayso"),
        None => PathBuf::from("."),
    };
    let mut setup = Setup {
        files: FileArguments {
            config: Some(folder.join(UNFINISHED)),
        },
        home: String::new(),
        folder,
        force: arguments.force,
        out,
    };
    setup.check_files()?;
    setup.broker()?;
    setup.devices()?;
    setup.model()?;
    setup.finish()?;
    setup.first_command()
}

/// State of the set-up.
struct Setup<'a, W> {
    folder: PathBuf,
    /// The config: until all questions are answered it has a name of its own, so that an
    /// interrupted set-up can be repeated.
    files: FileArguments,
    /// The text of the home file.
    home: String,
    force: bool,
    out: &'a mut W,
}

impl<W: Write> Setup<'_, W> {
    /// Refuses to replace existing files.
    fn check_files(&mut self) -> Result<(), Failure> {
        for name in ["sayso.toml", "home.toml"] {
            let path = self.folder.join(name);
            let is_used = fs::read_to_string(&path).is_ok_and(|text| has_settings(&text));
            if is_used && !self.force {
                return Err(Failure::new(
                    Exit::Failed,
                    format!(
                        "`{}` exists: give another --folder, or --force to replace it",
                        path.display()
                    ),
                ));
            }
        }
        fs::create_dir_all(self.folder.join(CREDENTIALS_FOLDER))
            .map_err(|error| unwritable(&self.folder, &error))
    }

    /// Asks for the broker until a client can log in, and writes its section.
    fn broker(&mut self) -> Result<(), Failure> {
        writeln!(self.out, "1. The MQTT broker")?;
        loop {
            let host = self.ask("   Host", "localhost")?;
            let tls = self.confirm("   TLS", false)?;
            let port = self.ask("   Port", if tls { "8883" } else { "1883" })?;
            let ca = if tls {
                self.ask("   CA file (none: authorities of the system)", "none")?
            } else {
                "none".to_owned()
            };
            let username = self.ask("   User name", "none")?;
            let mut text = format!("[mqtt]\nhost = {}\nport = {port}\n", quoted(&host));
            if username != "none" {
                let password = self.ask_secret("   Password")?;
                self.write_secret("mqtt-password", &password)?;
                text.extend([
                    "username = ",
                    &quoted(&username),
                    "\npassword_file = \"mqtt-password\"\n",
                ]);
            }
            if tls {
                text += "\n[mqtt.tls]\n";
                if ca != "none" {
                    text.extend(["ca = ", &quoted(&ca), "\n"]);
                }
            }
            self.write(UNFINISHED, &text)?;
            let fault = match Config::load(&self.files.location(Scope::Broker)) {
                Ok(config) => runtime::create()?
                    .block_on(doctor::diagnose(&config.mqtt))
                    .map(|fault| fault.to_string()),
                Err(faults) => Some(faults.to_string()),
            };
            match fault {
                None => {
                    writeln!(self.out, "   ✓ the broker accepts the login\n")?;
                    return Ok(());
                }
                Some(fault) => writeln!(self.out, "   ✗ {fault}\n   Please answer again.")?,
            }
        }
    }

    /// Collects the announced devices and writes the home file.
    fn devices(&mut self) -> Result<(), Failure> {
        writeln!(self.out, "2. Devices (collecting announcements ..)")?;
        let config = Config::load(&self.files.location(Scope::Announced))?;
        let known = gather::gather(&config, BROKER_TIMEOUT)?;
        let mark = if known.home.devices().is_empty() {
            '✗'
        } else {
            '✓'
        };
        writeln!(self.out, "   {mark} {}", known.summary())?;
        let mut text = Vec::new();
        home_file::write(&known, &mut text)?;
        let mut text = String::from_utf8_lossy(&text).into_owned();
        let without_area: Vec<_> = known
            .home
            .devices()
            .iter()
            .filter(|device| device.area.is_none())
            .collect();
        if !without_area.is_empty()
            && self.confirm("   Assign rooms to the devices without one", true)?
        {
            let mut areas: Vec<String> = known
                .home
                .areas()
                .iter()
                .map(|area| area.id.to_string())
                .collect();
            for device in without_area.into_iter().take(MAX_AREA_QUESTIONS) {
                let room = self.ask(&format!("   Room of {}", device.name), "none")?;
                let Some(area) = area_id(&room) else { continue };
                let heading = format!("[device.{}]\n", device.id);
                text = text.replace(&heading, &format!("{heading}area = \"{area}\"\n"));
                if !areas.contains(&area) {
                    text.extend(["[area.", &area, "]\nname = ", &quoted(&room), "\n\n"]);
                    areas.push(area);
                }
            }
        }
        self.home = text;
        writeln!(self.out)?;
        Ok(())
    }

    /// Asks for language and model, writes them and tests the model.
    fn model(&mut self) -> Result<(), Failure> {
        writeln!(self.out, "3. Language and model")?;
        let language = self.language()?;
        self.append(&format!("\n[local]\nlanguage = {}\n", quoted(&language)))?;
        let with_broker = fs::read_to_string(self.folder.join(UNFINISHED))?;
        let names: Vec<&str> = ["none"]
            .into_iter()
            .chain(APIS.iter().map(|spec| spec.name))
            .collect();
        loop {
            let api = self.ask_one_of("   Model provider", &names, "none")?;
            if api == "none" {
                writeln!(self.out, "   Only locally understood commands are done.\n")?;
                return Ok(());
            }
            let mut text = format!("\n[[provider]]\nname = {0}\napi = {0}\n", quoted(&api));
            if APIS.iter().any(|spec| spec.name == api && spec.is_local) {
                let model = self.ask("   Name of the installed model", "qwen3:4b")?;
                text.extend(["model = ", &quoted(&model), "\n"]);
            } else {
                let key = self.ask_secret("   API key")?;
                self.write_secret(&format!("{api}-key"), &key)?;
                text.extend(["key_file = \"", &api, "-key\"\n"]);
            }
            self.append(&text)?;
            match self.test_model() {
                Ok(()) => return Ok(()),
                Err(why) => writeln!(self.out, "   ✗ {why}\n   Please answer again.")?,
            }
            self.write(UNFINISHED, &with_broker)?;
        }
    }

    /// Asks for the language until it is one that is understood.
    fn language(&mut self) -> Result<String, Failure> {
        let built_in: Vec<&str> = built_in_languages().collect();
        let config = Config::load(&self.files.location(Scope::Broker))?;
        let installed = Templates::installed_files(&config.local.templates).unwrap_or_default();
        let mut codes: Vec<&str> = installed.keys().map(String::as_str).collect();
        codes.retain(|code| !built_in.contains(code));
        let codes = [built_in, codes].concat();
        self.ask_one_of("   Language of commands", &codes, "en")
    }

    fn test_model(&mut self) -> Result<(), String> {
        let config = Config::load(&self.files.location(Scope::Models))
            .map_err(|faults| faults.to_string())?;
        let runtime = runtime::create().map_err(|stop| stop.error.to_string())?;
        let found = runtime
            .block_on(provider_test::test(&config.ask.providers))
            .map_err(|error| error.to_string())?;
        for finding in &found {
            let latency = finding.verdict().map_err(str::to_owned)?;
            writeln!(
                self.out,
                "   ✓ {} answered after {} ms\n",
                finding.name(),
                latency.as_millis()
            )
            .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Writes both files under their names.
    fn finish(&mut self) -> Result<(), Failure> {
        let home = std::mem::take(&mut self.home);
        self.write("home.toml", &home)?;
        let config = self.folder.join("sayso.toml");
        fs::rename(self.folder.join(UNFINISHED), &config)
            .map_err(|error| unwritable(&config, &error))?;
        self.files.config = Some(config);
        Ok(())
    }

    /// Asks for a command and sends it to the daemon, which is started for it if it is not running.
    fn first_command(&mut self) -> Result<Exit, Failure> {
        let config = Config::load(&self.files.location(Scope::Everything))?;
        writeln!(
            self.out,
            "✓ written: {} and {} with {}\n\n4. The first command",
            self.folder.join("sayso.toml").display(),
            self.folder.join("home.toml").display(),
            count(config.home.devices().len(), "device")
        )?;
        let text = self.ask("   Command", "what can you do")?;
        let speaker = Speaker::cli();
        let daemon = RunningDaemon::start_if_needed(&config, &self.files)?;
        let sent = speaker.say(&text, BROKER_TIMEOUT, &config.mqtt, self.out);
        if daemon.0.is_some() {
            let config = self.folder.join("sayso.toml");
            let start = if config == Path::new(crate::config::SYSTEM_CONFIG) {
                "systemctl enable --now sayso".to_owned()
            } else {
                format!("sayso run --config '{}'", config.display())
            };
            writeln!(
                self.out,
                "The daemon was started for this command only. Start it with: {start}"
            )?;
        }
        sent
    }

    /// Asks for a text; an empty line gives the default.
    fn ask(&mut self, question: &str, default: &str) -> Result<String, Failure> {
        write!(self.out, "{question} [{default}]: ")?;
        self.out.flush()?;
        let answer = read_line()?;
        Ok(if answer.is_empty() {
            default.to_owned()
        } else {
            answer
        })
    }

    fn confirm(&mut self, question: &str, default: bool) -> Result<bool, Failure> {
        let default = if default { "y" } else { "n" };
        loop {
            let answer = self.ask(&format!("{question} (y/n)"), default)?;
            match answer.to_lowercase().as_str() {
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => writeln!(self.out, "   ✗ `{answer}` is neither y nor n")?,
            }
        }
    }

    /// Asks until the answer is one of `words`.
    fn ask_one_of(
        &mut self,
        question: &str,
        words: &[&str],
        default: &str,
    ) -> Result<String, Failure> {
        loop {
            let answer = self.ask(&format!("{question} ({})", words.join(" ")), default)?;
            if words.contains(&answer.as_str()) {
                return Ok(answer);
            }
            writeln!(self.out, "   ✗ `{answer}` is none of: {}", words.join(" "))?;
        }
    }

    /// Asks for a secret until one is given.
    fn ask_secret(&mut self, question: &str) -> Result<Secret, Failure> {
        loop {
            let answer = if let Some(hidden) = HiddenInput::begin() {
                write!(self.out, "{question} (hidden while you type): ")?;
                self.out.flush()?;
                let answer = hidden.read_line();
                drop(hidden);
                // The line break that ended the answer was not shown either.
                writeln!(self.out)?;
                answer.map_err(|_| unanswered())
            } else {
                write!(self.out, "{question}: ")?;
                self.out.flush()?;
                read_line()
            };
            if let Some(secret) = Secret::new(&answer?) {
                return Ok(secret);
            }
            writeln!(self.out, "   ✗ it is empty: type it, or end with Ctrl-C")?;
        }
    }

    fn write(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(|error| unwritable(&path, &error))
    }

    fn append(&mut self, text: &str) -> Result<(), Failure> {
        let before = fs::read_to_string(self.folder.join(UNFINISHED))?;
        self.write(UNFINISHED, &(before + text))
    }

    /// Writes a secret to a file that only its owner may read.
    fn write_secret(&mut self, name: &str, secret: &Secret) -> Result<(), Failure> {
        let path = self.folder.join(CREDENTIALS_FOLDER).join(name);
        // The mode applies only to a new file.
        let _ = fs::remove_file(&path);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| writeln!(file, "{}", secret.expose()))
            .map_err(|error| unwritable(&path, &error))
    }
}

/// Reads one line of the input.
///
/// # Errors
/// If the input ends, because then nobody answers.
fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(unanswered());
    }
    Ok(line.trim().to_owned())
}

fn unanswered() -> Failure {
    Failure::new(
        Exit::Failed,
        "the input ended before all questions were answered",
    )
}

/// Returns true if a config contains more than comments. The package installs files with comments
/// only.
fn has_settings(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| {
        let is_heading = line.starts_with('[') && !line.starts_with("[[");
        !line.is_empty() && !line.starts_with('#') && !is_heading
    })
}

/// Returns the identifier of a room; `None` for no room.
fn area_id(room: &str) -> Option<String> {
    let id: String = room
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(64)
        .collect();
    let is_named = room != "none" && id.chars().any(|c| c != '_');
    is_named.then_some(id)
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A daemon started for the first command; it is stopped when the value is dropped.
struct RunningDaemon(Option<Child>);

impl RunningDaemon {
    /// Starts a daemon unless one answers already.
    fn start_if_needed(config: &Config, files: &FileArguments) -> Result<Self, Failure> {
        let is_served = || Speaker::cli().is_served(&config.mqtt);
        if is_served() {
            return Ok(Self(None));
        }
        let location: ConfigLocation = files.location(Scope::Everything);
        let program = std::env::current_exe()?;
        let child = Command::new(program)
            .arg("run")
            .arg("--config")
            .arg(location.config().unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let daemon = Self(Some(child));
        // Each attempt takes up to two seconds while nothing answers.
        for _ in 0..START_ATTEMPTS {
            if is_served() {
                return Ok(daemon);
            }
            // The timer is made inside the runtime, which it needs.
            runtime::create()?.block_on(async {
                tokio::time::sleep(START_PAUSE).await;
            });
        }
        Err(Failure::new(
            Exit::Failed,
            "the daemon does not start: `sayso doctor` shows why",
        ))
    }
}

impl Drop for RunningDaemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let pid = rustix::process::Pid::from_child(child);
            // If it has ended already, there is nothing to stop.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_of_comments_and_headings_may_be_replaced() {
        assert!(!has_settings("# host\n[mqtt]\n\n# port = 1883\n"));
        assert!(has_settings("[mqtt]\nhost = \"broker\"\n"));
        assert!(has_settings("[[provider]]\n"));
    }

    #[test]
    fn a_room_gets_an_identifier() {
        assert_eq!(area_id("Living room").as_deref(), Some("living_room"));
        assert_eq!(area_id("none"), None);
        assert_eq!(area_id("??"), None);
    }
}
