//! The command line: the daemon and the tools around it. One module per subcommand.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::cli::arguments::FileArguments;
use crate::cli::exit::{Exit, Failure};
use crate::cli::plural::count;
use crate::config::{Faults, Scope};

mod arguments;
mod broker;
mod bundle;
mod cache;
mod chat;
mod check;
mod doctor;
mod exit;
mod file_error;
mod hidden_input;
mod home;
mod init;
mod language;
mod plural;
mod provider_test;
mod providers;
mod redaction;
mod reply_text;
mod request;
mod run;
mod runtime;
mod say;
mod state_file;
mod takeover;
mod timers;
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

The config is --config FILE, or $SAYSO_CONFIG, or ./sayso.toml, or /etc/sayso/sayso.toml. Without \
a config the defaults \
apply: a broker on localhost:1883, the home in ./home.toml if it exists, and no language model.

Exit codes:
  0   done                              75  no answer in time: try again
  1   refused, unclear or failed        77  a file may not be read
  2   wrong usage                       78  the config is wrong
  70  an internal error of sayso";

const RUN: &str = "\
SIGTERM and SIGINT stop the daemon: it finishes the commands in flight, within [daemon] grace. \
SIGHUP reloads config, home and \
keys. If they have faults, all of them are logged and the daemon continues with the old config.

Exit codes: 0 stopped, 1 the store is in use by another process, 77 a file may not be read, 78 the \
config is wrong. A restart \
does not help with the last two.";

/// Plain-language commands in, structured MQTT device actions out.
#[derive(Debug, Parser)]
#[command(name = "sayso", bin_name = "sayso", after_help = EXAMPLES, max_term_width = 110, arg_required_else_help = true, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<ToolCommand>,
    /// Print the version
    #[arg(short = 'V', long)]
    version: bool,
    /// With --version: also print commit, target, compiler and all crates
    #[arg(long, requires = "version")]
    verbose: bool,
}

/// Returns the definition of the command line, for the manual pages.
#[doc(hidden)]
pub fn line() -> clap::Command {
    CommandLine::command()
}

#[derive(Debug, Subcommand)]
enum ToolCommand {
    /// Run the daemon: receive commands from the broker until it is stopped
    #[command(after_help = RUN)]
    Run(FileArguments),
    /// Check the config and the home: report all faults, or a summary
    Check(check::Check),
    /// Check files, broker, permissions, devices, models and disk, with a cure for each problem
    Doctor(doctor::Doctor),
    /// Test each configured model with one request: answer, latency and cost
    Providers(providers::Providers),
    /// Send one command to the running daemon, over the broker, and print its reply
    Say(say::SayArguments),
    /// Show or clear the answer cache of the running daemon
    Cache(cache::Cache),
    /// List, add or cancel the commands that wait for their time
    Timers(timers::TimersArguments),
    /// List the languages of commands, and add or remove sentence templates
    Language(language::LanguageArguments),
    /// Let the other node of a pair lead, before an upgrade for example
    Takeover(takeover::TakeoverArguments),
    /// Show all devices, their source, their properties and an example command for each
    Home(home::HomeArguments),
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

fn run_line(line: CommandLine, out: &mut impl Write) -> Result<Exit, Failure> {
    let Some(command) = line.command else {
        version::print(line.verbose, out)?;
        return Ok(Exit::Done);
    };
    match command {
        ToolCommand::Run(files) => run::run(&files.location(Scope::Everything)),
        ToolCommand::Doctor(doctor) => doctor::doctor(&doctor, out),
        ToolCommand::Providers(providers) => providers::providers(&providers, out),
        ToolCommand::Check(check) => check::check(&check, out),
        ToolCommand::Cache(cache) => cache::cache(&cache, out),
        ToolCommand::Timers(timers) => timers::timers(&timers, out),
        ToolCommand::Language(language) => language::language(&language, out),
        ToolCommand::Takeover(takeover) => takeover::takeover(&takeover, out),
        ToolCommand::Say(say) => say::say(&say, out),
        ToolCommand::Home(home) => home::home(&home, out),
        ToolCommand::Try(try_) => try_::try_(&try_, out),
        ToolCommand::Init(init) => init::init(&init, out),
        ToolCommand::Chat(chat) => chat::chat(&chat, out),
        ToolCommand::Watch(watch) => watch::watch(&watch, out),
        ToolCommand::Bundle(bundle) => bundle::bundle(&bundle, out),
        ToolCommand::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), "sayso", &mut script);
            out.write_all(&script)?;
            Ok(Exit::Done)
        }
    }
}

/// Returns true if the reader of the output has closed it, as in `sayso try | head`, which is not
/// an error.
fn is_broken_pipe(failure: &Failure) -> bool {
    failure
        .error
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        CommandLine::command().debug_assert();
    }
}
