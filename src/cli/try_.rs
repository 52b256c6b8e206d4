//! `sayso try`: shows the effect of commands in a home without a broker. Nothing is published.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use tokio::runtime::Runtime;

use crate::clock::{now, suspended};
use crate::command::phrase::Phrase;
use crate::command::reply::{Refusal, Reply};
use crate::command::{Command, ReplyTo, Source};
use crate::config::{Config, ConfigLocation, Scope};
use crate::daemon;
use crate::delivery::{Delivery, Undelivered};
use crate::grammar::When;
use crate::home::state::State;
use crate::pipeline::{Pipeline, PublishFn};
use crate::store::journal::Journal;

use crate::cli::arguments::{FileArguments, language, source};
use crate::cli::exit::{Exit, Failure};
use crate::cli::runtime;
use crate::cli::{reply_text, state_file};

/// Time limit for one command, including the model.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(1);

const EXAMPLES: &str = "\
Examples:
  sayso try --local-only \"turn off the kitchen light\"
  sayso try --local-only --explain \"turn the lamp on tomorrow\"
  sayso try --local-only --json --home home.toml --area kitchen < commands.txt
  echo '{\"text\": \"brighter\", \"id\": \"7\", \"area\": \"kitchen\"}' | sayso try --state \
  state.json

Neither the broker nor its password is used. Without arguments, commands are read from standard \
input, one per line: a text, \
or a JSON object with \"text\" and optionally \"id\", \"area\" and \"language\". The reply to a \
JSON object is a JSON object \
on one line, as is every reply with --json:
  id        the given id, or the number of the line
  outcome   done (it would be), answered, unclear (a question), refused, failed
  speech    the spoken reply
  via       what understood the command: local, the name of a provider, or none
  actions   each with device, property, op and value, and with `publish`, the messages \
that would be sent, or `why` there are none

The state file is JSON or TOML: {\"lamp\": {\"power\": \"on\", \"brightness\": 40}}

Exit codes: 0 all would be done or answered, 1 one is refused, unclear or failed, 77 a file may \
not be read, \
78 the config is wrong.";

/// Note for a home without declared devices, which is empty without a broker.
const NOTHING_DECLARED: &str = "sayso: no device is declared in the home file. For devices \
    announced on the broker use `sayso home`, and `sayso say --dry-run \"..\"`";

/// Arguments of `sayso try`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Try {
    /// Commands; without any, they are read from standard input, one per line
    text: Vec<String>,
    /// Home file to use instead of the configured one
    #[arg(long, value_name = "FILE")]
    home: Option<PathBuf>,
    /// File with the assumed state of the devices, JSON or TOML [default: unknown]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Language of the commands, such as `en` [default: the configured one]
    #[arg(long, value_name = "CODE", value_parser = language())]
    language: Option<String>,
    /// Use no model, only local understanding
    #[arg(long)]
    local_only: bool,
    /// Show what each word stands for, and why a command is not understood
    #[arg(long)]
    explain: bool,
    /// Print each reply as a JSON object on one line
    #[arg(long, conflicts_with = "explain")]
    json: bool,
    #[command(flatten)]
    files: FileArguments,
    /// Area in which the commands are given: the meaning of "here"
    #[arg(long)]
    area: Option<String>,
    /// Source of the commands, which has permissions
    #[arg(long, default_value = "cli", value_parser = source)]
    source: String,
}

/// One line of the input.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TryLine {
    text: String,
    id: Option<TryId>,
    area: Option<String>,
    language: Option<String>,
    /// True if the line was a JSON object.
    #[serde(skip)]
    is_json: bool,
}

/// Identifier of a command, as scripts write it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TryId {
    Number(u64),
    Text(String),
}

/// Reads the commands and prints a reply to each.
pub(super) fn try_(arguments: &Try, out: &mut impl Write) -> Result<Exit, Failure> {
    let config = load(arguments)?;
    if config.home.devices().is_empty() {
        let _ = writeln!(io::stderr(), "{NOTHING_DECLARED}");
    }
    let mut trial = TrialRun::new(arguments, config)?;
    let mut out = io::BufWriter::new(out);
    for (n, text) in arguments.text.iter().enumerate() {
        trial.answer(&mut out, n + 1, text.as_bytes())?;
    }
    if arguments.text.is_empty() {
        trial.answer_lines(&mut out)?;
    }
    out.flush()?;
    Ok(if trial.all_done {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// Reads the config without the broker's password. Only a model needs a secret: its key.
fn load(arguments: &Try) -> Result<Config, Failure> {
    let scope = if arguments.local_only {
        Scope::Home
    } else {
        Scope::HomeAndModels
    };
    let location = ConfigLocation {
        home: arguments.home.clone(),
        ..arguments.files.location(scope)
    };
    Config::load(&location).map_err(|faults| {
        if faults.only_permission_denied() && !arguments.local_only {
            let text = format!("{faults}\nsayso: --local-only needs no key");
            Failure::new(Exit::Forbidden, text)
        } else {
            faults.into()
        }
    })
}

/// A pipeline that treats every command as a dry run.
struct TrialRun<'a> {
    arguments: &'a Try,
    pipeline: Pipeline,
    runtime: Runtime,
    /// True while every command would have been done or answered.
    all_done: bool,
}

impl<'a> TrialRun<'a> {
    fn new(arguments: &'a Try, mut config: Config) -> Result<Self, Failure> {
        config.home = Arc::new(config.home.without_announcements());
        let state = match &arguments.state {
            Some(path) => state_file::read(path, &config.home, now())
                .map_err(|error| Failure::new(Exit::Failed, error))?,
            None => State::default(),
        };
        if let Some(area) = &arguments.area
            && config.home.area_named(area).is_none()
        {
            return Err(Failure::new(
                Exit::Failed,
                format!("the home has no area `{area}`"),
            ));
        }
        if let Some(code) = &arguments.language {
            config.local.language.clone_from(code);
        }
        if arguments.local_only {
            config.ask.providers.clear();
            config.local.when = When::First;
        }
        // A dry run publishes nothing, so this is never called.
        let publish: PublishFn = Box::new(|_| Delivery::ended(Err(Undelivered::Closed)));
        let journal = Arc::new(Journal::in_memory(config.mqtt.ttl));
        let pipeline = daemon::pipeline(&config, None, journal, Arc::default(), publish)
            .map_err(|error| Failure::new(Exit::Config, error))?;
        pipeline.set_state(state);
        Ok(Self {
            arguments,
            pipeline,
            runtime: runtime::create()?,
            all_done: true,
        })
    }

    /// Answers the lines of standard input. Whenever no further line is waiting, the replies are
    /// flushed, for people and for programs that wait for each reply.
    fn answer_lines(&mut self, out: &mut impl Write) -> io::Result<()> {
        let mut input = io::BufReader::with_capacity(1 << 16, io::stdin().lock());
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            number += 1;
            self.answer(out, number, line.trim_ascii_end())?;
            if !input.buffer().contains(&b'\n') || io::stdout().is_terminal() {
                out.flush()?;
            }
        }
    }

    fn answer(&mut self, out: &mut impl Write, number: usize, line: &[u8]) -> io::Result<()> {
        let mut as_json = self.arguments.json;
        let reply = match read(line) {
            Ok(line) if self.arguments.explain => return self.explain(out, number, line),
            Ok(line) => {
                as_json |= line.is_json;
                let command = self.command(number, line);
                self.runtime.block_on(self.pipeline.answer(&command, None))
            }
            Err(why) => {
                as_json |= line.trim_ascii_start().starts_with(b"{");
                let text = String::from_utf8_lossy(line).into_owned();
                Reply::refused(
                    number.to_string().into(),
                    text.into(),
                    &Refusal::Malformed { why },
                )
            }
        };
        self.all_done &= reply_text::exit(&reply) == Exit::Done;
        if as_json {
            serde_json::to_writer(&mut *out, &reply)?;
            return out.write_all(b"\n");
        }
        reply_text::print(&reply, "", out)
    }

    /// Prints the command, the meaning of each word, and the outcome.
    fn explain(&mut self, out: &mut impl Write, number: usize, line: TryLine) -> io::Result<()> {
        let command = self.command(number, line);
        writeln!(out, "{}", command.text)?;
        if let Some(explanation) = self.pipeline.explain(&Phrase::of(&command)) {
            writeln!(out, "{explanation}")?;
        } else {
            let language = command.language.as_deref().unwrap_or_default();
            writeln!(out, "  not understood: there is no language `{language}`")?;
        }
        let reply = self.runtime.block_on(self.pipeline.answer(&command, None));
        self.all_done &= reply_text::exit(&reply) == Exit::Done;
        writeln!(out, "  {}: {}\n", reply.outcome.name(), reply.speech)
    }

    fn command(&self, number: usize, line: TryLine) -> Command {
        let id = match line.id {
            Some(TryId::Text(id)) => id,
            Some(TryId::Number(id)) => id.to_string(),
            None => number.to_string(),
        };
        Command {
            id: id.into(),
            id_given: true,
            text: line.text.into(),
            source: Source::new(&self.arguments.source),
            area: line.area.or_else(|| self.arguments.area.clone()),
            language: line.language,
            context: None,
            received_at: now(),
            deadline: now() + COMMAND_TIMEOUT,
            is_dated: false,
            suspended: suspended(),
            dry_run: true,
            stream: None,
            reply_to: ReplyTo {
                topic: String::new(),
                correlation: None,
            },
            hops: 0,
            seq: 0,
        }
    }
}

/// Parses a line by the rules for the payload on a command topic.
fn read(line: &[u8]) -> Result<TryLine, String> {
    let text = std::str::from_utf8(line)
        .map_err(|_| "it is not UTF-8".to_owned())?
        .trim();
    let line = if text.starts_with('{') {
        let line = serde_json::from_str(text).map_err(|error| format!("as JSON: {error}"))?;
        TryLine {
            is_json: true,
            ..line
        }
    } else {
        TryLine {
            text: text.to_owned(),
            ..TryLine::default()
        }
    };
    match &line.id {
        _ if line.text.trim().is_empty() => Err("the text is empty".to_owned()),
        Some(TryId::Text(id)) if !(1..=128).contains(&id.chars().count()) => {
            Err("an id has 1 to 128 letters".to_owned())
        }
        _ => Ok(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_text_or_json() {
        assert_eq!(read(b" lights on ").unwrap().text, "lights on");
        let line = read(br#"{"text": "on", "id": 7, "area": "kitchen"}"#).unwrap();
        assert!(matches!(line.id, Some(TryId::Number(7))));
        assert_eq!(line.area.as_deref(), Some("kitchen"));
    }

    #[test]
    fn a_malformed_line_is_rejected_with_the_reason() {
        for (line, why) in [
            (&b""[..], "empty"),
            (b"\xff", "UTF-8"),
            (b"{\"txet\": 1}", "txet"),
            (b"{\"text\": \" \"}", "empty"),
            (b"{", "JSON"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
