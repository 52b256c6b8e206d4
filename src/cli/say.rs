//! `sayso say`: one command to the running daemon, over the broker like any other client, and its reply.

use std::io::Write;

use clap::Args;
use serde_json::json;

use crate::command::reply::{Piece, Reply};

use crate::cli::conversation;
use crate::cli::conversation::{Channel, Question};
use crate::cli::{Exit, Stop, answer, source};

const EXAMPLES: &str = "\
Examples:
  sayso say \"turn off the kitchen light\"
  sayso say --area bedroom \"lights off\"
  sayso say --dry-run --json \"lock up\" | jq .actions
  sayso say --stream \"what is a heat pump?\"
  sayso say --host broker.local --port 1883 \"is the back door locked?\"

Exit codes: 0 done or answered, 1 refused, unclear or failed, 75 no broker or no reply in time, \
78 the config is wrong.";

/// The arguments of `sayso say`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Say {
    /// What to say
    text: String,
    #[command(flatten)]
    way: Channel,
    /// Who says it: the last level of the command topic
    #[arg(long, default_value = "cli", value_parser = source)]
    source: String,
    /// Where it is said: what "here" is
    #[arg(long)]
    area: Option<String>,
    /// An id: the same command with the same id is done once
    #[arg(long)]
    id: Option<String>,
    /// Ask what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Tell the answer piece by piece while it comes, whatever was said
    #[arg(long)]
    stream: bool,
    /// Print the reply as it came, as JSON; with --stream, each piece as well, on a line of its own
    #[arg(long)]
    json: bool,
}

/// Says it, waits for the reply, prints it.
pub(super) fn say(arguments: &Say, out: &mut impl Write) -> Result<Exit, Stop> {
    let mut payload =
        json!({"text": arguments.text, "ttl": format!("{}ms", arguments.way.timeout.as_millis())});
    let given = [
        ("area", arguments.area.clone().map(Into::into)),
        ("id", arguments.id.clone().map(Into::into)),
        ("dry_run", arguments.dry_run.then(|| true.into())),
        ("stream", arguments.stream.then(|| true.into())),
    ];
    for (key, value) in given {
        if let Some(value) = value {
            payload[key] = value;
        }
    }
    let source = &arguments.source;
    let question = Question {
        topic: format!("command/{source}"),
        answer: format!("reply/{source}"),
        payload: payload.to_string(),
    };
    let mut telling = ReplyPrinter {
        out,
        json: arguments.json,
        stream: arguments.stream,
        told: String::new(),
        broken: None,
    };
    let payload = conversation::ask(&arguments.way, &question, &mut |piece| telling.hear(piece));
    let told = telling.end()?;
    let payload = payload?;
    let reply: Reply = serde_json::from_slice(&payload)
        .map_err(|error| Stop::new(Exit::Failed, format!("the reply cannot be read: {error}")))?;
    if arguments.json {
        out.write_all(&payload)?;
        writeln!(out)?;
    } else {
        answer::print(&reply, &told, out)?;
    }
    Ok(answer::exit(&reply))
}

/// Prints the pieces of an answer as they come.
struct ReplyPrinter<'a, W> {
    out: &'a mut W,
    json: bool,
    stream: bool,
    /// What was printed of the present answer.
    told: String,
    broken: Option<std::io::Error>,
}

impl<W: Write> ReplyPrinter<'_, W> {
    fn hear(&mut self, payload: &[u8]) {
        if self.broken.is_none() {
            self.broken = self.print(payload).err();
        }
    }

    fn print(&mut self, payload: &[u8]) -> std::io::Result<()> {
        if self.json && self.stream {
            self.out.write_all(payload)?;
            return writeln!(self.out);
        }
        let Some(piece) = serde_json::from_slice::<Piece>(payload)
            .ok()
            .filter(|_| !self.json)
        else {
            return Ok(());
        };
        if piece.cut && !self.told.is_empty() {
            self.told.clear();
            writeln!(self.out, " [broken off]")?;
        }
        self.told.push_str(&piece.text);
        write!(self.out, "{}", piece.text)?;
        self.out.flush()
    }

    /// Ends the line; what was told of the answer.
    fn end(mut self) -> std::io::Result<String> {
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        if !self.told.is_empty() {
            writeln!(self.out)?;
        }
        Ok(self.told)
    }
}
