//! `sayso chat`: a prompt for commands to the running daemon, with line editing and history.

use std::io::Write;

use clap::Args;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::cli::broker;
use crate::cli::broker::BrokerOptions;
use crate::cli::exit::{Exit, Failure};
use crate::cli::request::check_connection;
use crate::cli::say::Speaker;

const EXAMPLES: &str = "\
Examples:
  sayso chat
  sayso chat --area kitchen --stream

Every line is sent as one command. The arrow keys edit the line and recall earlier ones; Ctrl-D \
ends the \
prompt. Nothing is written to a history file.

Exit codes: 0 ended by the user, 75 no broker, 77 a file may not be read, 78 the config is wrong.";

/// Arguments of `sayso chat`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Chat {
    #[command(flatten)]
    broker: BrokerOptions,
    #[command(flatten)]
    speaker: Speaker,
}

/// Reads commands until the end of the input and prints the reply to each.
pub(super) fn chat(arguments: &Chat, out: &mut impl Write) -> Result<Exit, Failure> {
    let settings = arguments.broker.config(false)?.mqtt;
    check_connection(&settings, arguments.broker.timeout)?;
    let mut editor = DefaultEditor::new().map_err(|error| Failure::new(Exit::Internal, error))?;
    writeln!(
        out,
        "Connected to {} as source `{}`. Type a command, or Ctrl-D to end.",
        broker::address(&settings),
        arguments.speaker.source
    )?;
    loop {
        out.flush()?;
        let line = match editor.readline("> ") {
            Ok(line) => line,
            // Ctrl-C discards the line, as in a shell.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(Exit::Done),
            Err(error) => return Err(Failure::new(Exit::Failed, error)),
        };
        let text = line.trim();
        if text.is_empty() {
            continue;
        }
        // Only a full memory makes this fail, and then the line is missing from the history.
        let _ = editor.add_history_entry(text);
        // One failed command does not end the prompt.
        if let Err(stop) = arguments
            .speaker
            .say(text, arguments.broker.timeout, &settings, out)
        {
            writeln!(out, "{}", stop.error)?;
        }
    }
}
