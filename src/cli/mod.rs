//! What an operator types: the daemon, and the tools around it.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::environment::Environment;
use crate::config::{ConfigLocation, Faults, Scope, units};

mod answer;
mod broker;
mod cache;
mod check;
mod conversation;
mod doctor;
mod home;
mod known;
mod providers;
mod run;
mod say;
mod try_;
mod version;

const EXAMPLES: &str = "\
Examples:
  sayso check                              what is wrong with the config, all at once
  sayso try \"turn off the kitchen light\"   what a sentence would do, without a broker
  sayso doctor                             what an operator can get wrong, and the cure
  sayso providers                          does each model answer, how fast, for how much
  sayso home                               what announces itself, and how to speak to it
  sayso run                                the daemon (systemd does this)
  sayso say \"turn off the kitchen light\"   to the running daemon
  sayso cache show \"make it cosy\"          what is kept of a phrase

The config is looked for in this order: --config FILE, $SAYSO_CONFIG, /etc/sayso/sayso.toml. Without any, defaults hold: \
a broker on localhost:1883, the home in ./home.toml if there is one, no language model.

Exit codes:
  0   done                              75  nobody answered in time: try again
  1   refused, unclear or failed        77  a file may not be read
  2   wrong usage                       78  the config is wrong
  70  a fault of sayso itself";

const RUN: &str = "\
SIGTERM or SIGINT ends it: commands under way are finished, within [daemon] grace. SIGHUP reads config, home and keys anew; where \
something is wrong it tells every fault, and goes on with what it had.

Exit codes: 0 stopped, 1 the store is taken by another, 77 a file may not be read, 78 the config is wrong; a restart cures neither of the \
last two.";

/// Plain-language commands in, structured MQTT device actions out.
#[derive(Debug, Parser)]
#[command(name = "sayso", bin_name = "sayso", after_help = EXAMPLES, max_term_width = 110, arg_required_else_help = true, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print the version
    #[arg(short = 'V', long)]
    version: bool,
    /// With --version: also commit, target, compiler and every crate it is built of
    #[arg(long, requires = "version")]
    verbose: bool,
}

/// The command line as it is declared, for manual pages.
pub fn line() -> clap::Command {
    CommandLine::command()
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: listen for commands on the broker until stopped
    #[command(after_help = RUN)]
    Run(Files),
    /// Check the config and the home: tell everything that is wrong, or what is set up
    Check(check::Check),
    /// Look at everything an operator can get wrong: files, broker, rights, devices, models, disk
    Doctor(doctor::Doctor),
    /// Ask each configured model once: does it answer, how fast, for how much?
    Providers(providers::Providers),
    /// Say one command to the running daemon, over the broker, and print its reply
    Say(say::Say),
    /// Look at, or clear, what the running daemon keeps of what models said
    Cache(cache::Cache),
    /// Show what is known of the home, from where, what it can do and how to say it
    Home(home::Home),
    /// Show what commands would do: no broker, nothing is published
    Try(try_::Try),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  sayso completions bash > /etc/bash_completion.d/sayso")]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Where the config is.
#[derive(Debug, Args)]
struct Files {
    /// The config file.
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        help = "The config file [default: $SAYSO_CONFIG, then /etc/sayso/sayso.toml]"
    )]
    config: Option<PathBuf>,
}

/// How the program ends. The numbers are those of `sysexits.h`, which systemd knows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// Done, or answered.
    Done = 0,
    /// Refused, unclear or failed.
    Failed = 1,
    /// A fault of sayso itself (`EX_SOFTWARE`).
    Internal = 70,
    /// Nobody answered: try again (`EX_TEMPFAIL`).
    Again = 75,
    /// A file may not be read (`EX_NOPERM`).
    Forbidden = 77,
    /// The config is wrong (`EX_CONFIG`): no restart cures that.
    Config = 78,
}

/// Why a command of the command line ended early.
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

/// Does what the arguments say.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(usage) => {
            // Where even that cannot be printed, the exit code is all there is.
            let _ = usage.print();
            return u8::try_from(usage.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    // Keys are in our memory: no core is written of it, and no other process of this user may look into it.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    // A second start (in one process) leaves the first in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut out = io::stdout().lock();
    let ended = run_line(line, &mut out).and_then(|exit| Ok(out.flush().map(|()| exit)?));
    let exit = match ended {
        Ok(exit) => exit,
        Err(stop) if is_broken_pipe(&stop) => Exit::Done,
        Err(stop) => {
            // Where standard error is closed, the exit code is all there is.
            let _ = complain(&mut io::stderr().lock(), &*stop.error);
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
        Command::Run(files) => run::run(&files.place(Scope::Everything)),
        Command::Doctor(doctor) => doctor::doctor(&doctor, out),
        Command::Providers(providers) => providers::providers(&providers, out),
        Command::Check(check) => check::check(&check, out),
        Command::Cache(cache) => cache::cache(&cache, out),
        Command::Say(say) => say::say(&say, out),
        Command::Home(home) => home::home(&home, out),
        Command::Try(try_) => try_::try_(&try_, out),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), "sayso", &mut script);
            out.write_all(&script)?;
            Ok(Exit::Done)
        }
    }
}

impl Files {
    fn place(&self, needs: Scope) -> ConfigLocation {
        ConfigLocation {
            config: self.config.clone(),
            home: None,
            needs,
            environment: Environment::read(),
        }
    }
}

/// Who reads our output has had enough (`sayso try | head`): no error.
fn is_broken_pipe(stop: &Stop) -> bool {
    stop.error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The error and what caused it; each fault of a config on a line of its own.
fn complain(to: &mut impl Write, error: &(dyn Error + 'static)) -> io::Result<()> {
    if let Some(faults) = error.downcast_ref::<Faults>() {
        writeln!(to, "{faults}")?;
        let count = faults.iter().len();
        return writeln!(
            to,
            "sayso: {count} {} to mend",
            if count == 1 { "fault" } else { "faults" }
        );
    }
    write!(to, "sayso: {error}")?;
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(to, ": {error}")?;
        cause = error.source();
    }
    writeln!(to)
}

/// A duration from an argument: `500ms`, `10s`.
fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text)
        .filter(|d| !d.is_zero() && *d <= Duration::from_hours(1))
        .ok_or_else(|| "wanted a duration up to an hour, such as 10s or 500ms".to_owned())
}

/// A source from an argument: one level of a topic.
fn source(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && !text.contains(['/', '+', '#', '\0']);
    fits.then(|| text.to_owned())
        .ok_or_else(|| "wanted one level of a topic, without `/`, `+` and `#`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_declared_without_contradiction() {
        CommandLine::command().debug_assert();
    }
}
