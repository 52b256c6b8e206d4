//! The command line: the daemon and the tools around it. One module per subcommand.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::environment::Environment;
use crate::config::{ConfigLocation, Faults, Scope, units};

mod broker;
mod bundle;
mod cache;
mod chat;
mod check;
mod doctor;
mod home;
mod init;
mod providers;
mod reply_text;
mod request;
mod run;
mod say;
mod state_file;
mod try_;
mod version;
mod watch;

const EXAMPLES: &str = "\
Examples:
  sayso init                               create the config, step by step
  sayso check                              find all faults in the config
  sayso try \"turn off the kitchen light\"   show the effect of a command, without a broker
  sayso doctor                             check files, broker, permissions, devices and models
  sayso providers                          test each model: answer, latency and cost
  sayso home                               show all devices and how to command them
  sayso run                                run the daemon (systemd does this)
  sayso say \"turn off the kitchen light\"   send a command to the daemon
  sayso chat                               send commands from a prompt
  sayso watch                              show commands and replies as they happen
  sayso cache show \"make it cosy\"          show the cached answer for a phrase
  sayso bundle                             create an archive for a support request

The config is --config FILE, or $SAYSO_CONFIG, or ./sayso.toml, or /etc/sayso/sayso.toml. Without a config the defaults \
apply: a broker on localhost:1883, the home in ./home.toml if it exists, and no language model.

Exit codes:
  0   done                              75  no answer in time: try again
  1   refused, unclear or failed        77  a file may not be read
  2   wrong usage                       78  the config is wrong
  70  an internal error of sayso";

const RUN: &str = "\
SIGTERM and SIGINT stop the daemon: it finishes the commands in flight, within [daemon] grace. SIGHUP reloads config, home and \
keys. If they have faults, all of them are logged and the daemon continues with the old config.

Exit codes: 0 stopped, 1 the store is in use by another process, 77 a file may not be read, 78 the config is wrong. A restart \
does not help with the last two.";

/// Plain-language commands in, structured MQTT device actions out.
#[derive(Debug, Parser)]
#[command(name = "sayso", bin_name = "sayso", after_help = EXAMPLES, max_term_width = 110, arg_required_else_help = true, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print the version
    #[arg(short = 'V', long)]
    version: bool,
    /// With --version: also print commit, target, compiler and all crates
    #[arg(long, requires = "version")]
    verbose: bool,
}

/// Returns the definition of the command line, for the manual pages.
pub fn line() -> clap::Command {
    CommandLine::command()
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: receive commands from the broker until it is stopped
    #[command(after_help = RUN)]
    Run(Files),
    /// Check the config and the home: report all faults, or a summary
    Check(check::Check),
    /// Check files, broker, permissions, devices, models and disk, with a cure for each problem
    Doctor(doctor::Doctor),
    /// Test each configured model with one request: answer, latency and cost
    Providers(providers::Providers),
    /// Send one command to the running daemon, over the broker, and print its reply
    Say(say::Say),
    /// Show or clear the answer cache of the running daemon
    Cache(cache::Cache),
    /// Show all devices, their source, their properties and an example command for each
    Home(home::Home),
    /// Show the effect of commands without a broker; nothing is published
    Try(try_::Try),
    /// Create the config step by step: ask, test, write both files and do one command
    Init(init::Init),
    /// Send commands to the running daemon from a prompt with history
    Chat(chat::Chat),
    /// Show commands and their replies, with reasons, as they happen
    Watch(watch::Watch),
    /// Create an archive for a support request, without secrets
    Bundle(bundle::Bundle),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  sayso completions bash > /etc/bash_completion.d/sayso")]
    Completions {
        /// Name of the shell
        shell: Shell,
    },
}

/// Options for the location of the config.
#[derive(Debug, Clone, Default, Args)]
struct Files {
    /// Config file.
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        help = "Config file [default: $SAYSO_CONFIG, ./sayso.toml or /etc/sayso/sayso.toml]"
    )]
    config: Option<PathBuf>,
}

/// Exit code of the program. The numbers are those of `sysexits.h`, which systemd shows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// Done, or answered.
    Done = 0,
    /// Refused, unclear or failed.
    Failed = 1,
    /// An internal error (`EX_SOFTWARE`).
    Internal = 70,
    /// No answer: try again (`EX_TEMPFAIL`).
    Again = 75,
    /// A file may not be read (`EX_NOPERM`).
    Forbidden = 77,
    /// The config is wrong (`EX_CONFIG`); a restart does not help.
    Config = 78,
}

/// Error that ends a subcommand, with its exit code.
#[derive(Debug)]
struct Stop {
    exit: Exit,
    error: Box<dyn Error>,
}

impl Stop {
    fn new(exit: Exit, error: impl Into<Box<dyn Error>>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }
}

impl From<Faults> for Stop {
    fn from(faults: Faults) -> Self {
        Self::new(
            if faults.only_permission_denied() {
                Exit::Forbidden
            } else {
                Exit::Config
            },
            faults,
        )
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Failed, error)
    }
}

/// Runs the program with the given arguments.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(usage) => {
            // If that cannot be printed, the exit code is the only message.
            let _ = usage.print();
            return u8::try_from(usage.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    // The memory contains keys: no core dump, and no access by other processes of the same user.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    // In a test the provider may be installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut out = io::stdout().lock();
    let ended = run_line(line, &mut out).and_then(|exit| Ok(out.flush().map(|()| exit)?));
    let exit = match ended {
        Ok(exit) => exit,
        Err(stop) if is_broken_pipe(&stop) => Exit::Done,
        Err(stop) => {
            // If standard error is closed, the exit code is the only message.
            let _ = print_error(&mut io::stderr().lock(), &*stop.error);
            stop.exit
        }
    };
    ExitCode::from(exit as u8)
}

fn run_line(line: CommandLine, out: &mut impl Write) -> Result<Exit, Stop> {
    let Some(command) = line.command else {
        version::print(line.verbose, out)?;
        return Ok(Exit::Done);
    };
    match command {
        Command::Run(files) => run::run(&files.location(Scope::Everything)),
        Command::Doctor(doctor) => doctor::doctor(&doctor, out),
        Command::Providers(providers) => providers::providers(&providers, out),
        Command::Check(check) => check::check(&check, out),
        Command::Cache(cache) => cache::cache(&cache, out),
        Command::Say(say) => say::say(&say, out),
        Command::Home(home) => home::home(&home, out),
        Command::Try(try_) => try_::try_(&try_, out),
        Command::Init(init) => init::init(&init, out),
        Command::Chat(chat) => chat::chat(&chat, out),
        Command::Watch(watch) => watch::watch(&watch, out),
        Command::Bundle(bundle) => bundle::bundle(&bundle, out),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), "sayso", &mut script);
            out.write_all(&script)?;
            Ok(Exit::Done)
        }
    }
}

impl Files {
    fn location(&self, needs: Scope) -> ConfigLocation {
        ConfigLocation {
            config: self.config.clone(),
            home: None,
            needs,
            environment: Environment::read(),
        }
    }
}

/// Returns true if the reader of the output has closed it, as in `sayso try | head`, which is not an error.
fn is_broken_pipe(stop: &Stop) -> bool {
    stop.error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints an error with its causes; each fault of a config is on a line of its own.
fn print_error(to: &mut impl Write, error: &(dyn Error + 'static)) -> io::Result<()> {
    if let Some(faults) = error.downcast_ref::<Faults>() {
        writeln!(to, "{faults}")?;
        return writeln!(to, "sayso: {}", count(faults.iter().len(), "fault"));
    }
    write!(to, "sayso: {error}")?;
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(to, ": {error}")?;
        cause = error.source();
    }
    writeln!(to)
}

/// Returns a number with its noun: `1 device`, `3 devices`.
fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Parser for the codes of the shipped languages, which shells complete. Other codes are accepted, because a config may
/// add languages.
fn language() -> impl TypedValueParser<Value = String> {
    LanguageParser
}

/// See [`language`].
#[derive(Debug, Clone)]
struct LanguageParser;

impl TypedValueParser for LanguageParser {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(
            ["de", "en", "es", "fr", "nl"]
                .into_iter()
                .map(PossibleValue::new),
        ))
    }
}

/// Parses a duration such as `500ms` or `10s`.
fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text)
        .filter(|d| !d.is_zero() && *d <= Duration::from_hours(1))
        .ok_or_else(|| "expected a duration of at most one hour, such as 10s or 500ms".to_owned())
}

/// Parses a source: one level of a topic.
fn source(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['/', '+', '#', '\0']) {
        Err("expected one level of a topic, without `/`, `+` and `#`".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        CommandLine::command().debug_assert();
    }
}
