//! `sayso say`: sends one command to the running daemon and prints its reply.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::command::reply::{Piece, Reply};
use crate::mqtt::Settings;

use crate::cli::arguments::source;
use crate::cli::broker::BrokerOptions;
use crate::cli::exit::{Exit, Failure};
use crate::cli::reply_text;
use crate::cli::request;
use crate::cli::request::BrokerRequest;

/// Longest wait for the answer that shows whether a daemon is running.
const SERVED_TIMEOUT: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  sayso say \"turn off the kitchen light\"
  sayso say --area bedroom \"lights off\"
  sayso say --dry-run --json \"lock up\" | jq .actions
  sayso say --stream \"what is a heat pump?\"
  sayso say --host broker.local --username phone --password-file phone.key \"is the back door \
  locked?\"

Exit codes: 0 done or answered, 1 refused, unclear or failed, 75 no broker or no reply in time, \
77 a file may not be read, 78 the config is wrong.";

/// Arguments of `sayso say`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SayArguments {
    /// The command, such as "turn off the kitchen light"
    text: String,
    #[command(flatten)]
    broker: BrokerOptions,
    #[command(flatten)]
    speaker: Speaker,
    /// Identifier of the command: a second command with the same identifier is not done again
    #[arg(long)]
    id: Option<String>,
    /// Print the reply as JSON, as it was received; with --stream also each piece, on a line of its
    /// own
    #[arg(long)]
    json: bool,
}

/// Options that say who gives a command, where and how.
#[derive(Debug, Args)]
pub(super) struct Speaker {
    /// Source of the command: the last level of the command topic
    #[arg(long, default_value = "cli", value_parser = source)]
    pub(super) source: String,
    /// Area in which the command is given: the meaning of "here"
    #[arg(long)]
    area: Option<String>,
    /// Report what would be done, without doing it
    #[arg(long)]
    dry_run: bool,
    /// Print the answer piece by piece while a model generates it
    #[arg(long)]
    stream: bool,
}

impl SayArguments {
    fn print(&self, payload: &[u8], printed: &str, out: &mut impl Write) -> Result<Exit, Failure> {
        let reply = parse(payload)?;
        if self.json {
            out.write_all(payload)?;
            writeln!(out)?;
        } else {
            reply_text::print(&reply, printed, out)?;
        }
        Ok(reply_text::exit(&reply))
    }
}

impl Speaker {
    /// Returns the options of a command without any.
    pub(super) fn cli() -> Self {
        Self {
            source: "cli".to_owned(),
            area: None,
            dry_run: false,
            stream: false,
        }
    }

    /// Returns true if a daemon answers. It gets a dry run, so nothing is done.
    pub(super) fn is_served(&self, settings: &Settings) -> bool {
        let speaker = Self {
            source: self.source.clone(),
            area: None,
            dry_run: true,
            stream: false,
        };
        let request = speaker.request("help", None, SERVED_TIMEOUT);
        request::send(settings, SERVED_TIMEOUT, &request, &mut |_| {}).is_ok()
    }

    /// Returns the request for one command.
    fn request(&self, text: &str, id: Option<&str>, timeout: Duration) -> BrokerRequest {
        let mut payload = json!({"text": text, "ttl": format!("{}ms", timeout.as_millis())});
        if let Some(area) = &self.area {
            payload["area"] = area.as_str().into();
        }
        if let Some(id) = id {
            payload["id"] = id.into();
        }
        if self.dry_run {
            payload["dry_run"] = true.into();
        }
        if self.stream {
            payload["stream"] = true.into();
        }
        BrokerRequest {
            topic: format!("command/{}", self.source),
            answer_topic: format!("reply/{}", self.source),
            payload: payload.to_string(),
        }
    }

    /// Returns the reply to a command without doing it.
    pub(super) fn rehearse(
        &self,
        text: &str,
        timeout: Duration,
        settings: &Settings,
    ) -> Result<Reply, Failure> {
        let rehearsal = Self {
            source: self.source.clone(),
            area: self.area.clone(),
            dry_run: true,
            stream: false,
        };
        let request = rehearsal.request(text, None, timeout);
        parse(&request::send(settings, timeout, &request, &mut |_| {})?)
    }

    /// Sends one command and prints its reply for people.
    pub(super) fn say(
        &self,
        text: &str,
        timeout: Duration,
        settings: &Settings,
        out: &mut impl Write,
    ) -> Result<Exit, Failure> {
        let request = self.request(text, None, timeout);
        let mut pieces = PiecePrinter::new(out, false, self.stream);
        let answer = request::send(settings, timeout, &request, &mut |piece| {
            pieces.print(piece);
        });
        let printed = pieces.finish()?;
        let reply = parse(&answer?)?;
        reply_text::print(&reply, &printed, out)?;
        Ok(reply_text::exit(&reply))
    }
}

/// Sends the command, waits for the reply and prints it.
pub(super) fn say(arguments: &SayArguments, out: &mut impl Write) -> Result<Exit, Failure> {
    let (broker, speaker) = (&arguments.broker, &arguments.speaker);
    let settings = broker.config(false)?.mqtt;
    let request = speaker.request(&arguments.text, arguments.id.as_deref(), broker.timeout);
    let mut pieces = PiecePrinter::new(out, arguments.json, speaker.stream);
    let answer = request::send(&settings, broker.timeout, &request, &mut |piece| {
        pieces.print(piece);
    });
    let printed = pieces.finish()?;
    arguments.print(&answer?, &printed, out)
}

fn parse(payload: &[u8]) -> Result<Reply, Failure> {
    serde_json::from_slice(payload)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot parse the reply: {error}")))
}

/// Printer for the pieces of an answer.
struct PiecePrinter<'a, W> {
    out: &'a mut W,
    json: bool,
    stream: bool,
    /// Text printed of the present answer.
    printed: String,
    /// First error of the output; nothing is printed after it.
    error: Option<io::Error>,
}

impl<'a, W: Write> PiecePrinter<'a, W> {
    fn new(out: &'a mut W, json: bool, stream: bool) -> Self {
        Self {
            out,
            json,
            stream,
            printed: String::new(),
            error: None,
        }
    }

    fn print(&mut self, payload: &[u8]) {
        if self.error.is_none() {
            self.error = self.try_print(payload).err();
        }
    }

    fn try_print(&mut self, payload: &[u8]) -> io::Result<()> {
        if self.json {
            if self.stream {
                self.out.write_all(payload)?;
                writeln!(self.out)?;
            }
            return Ok(());
        }
        let Ok(piece) = serde_json::from_slice::<Piece>(payload) else {
            return Ok(());
        };
        if piece.cut && !self.printed.is_empty() {
            self.printed.clear();
            writeln!(self.out, " [interrupted]")?;
        }
        self.printed.push_str(&piece.text);
        write!(self.out, "{}", piece.text)?;
        self.out.flush()
    }

    /// Ends the line and returns the text printed of the answer.
    fn finish(mut self) -> io::Result<String> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        if !self.printed.is_empty() {
            writeln!(self.out)?;
        }
        Ok(self.printed)
    }
}
