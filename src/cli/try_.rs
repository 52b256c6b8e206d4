//! `sayso try`: what commands would do in this home, without a broker. Nothing is published.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use tokio::runtime::Runtime;

use crate::clock::now;
use crate::command::phrase::Phrase;
use crate::command::reply::{Refusal, Reply};
use crate::command::{Command, ReplyTo, Source};
use crate::config::{Config, ConfigLocation, Scope};
use crate::daemon;
use crate::grammar::When;
use crate::home::state::State;
use crate::mqtt::outbox::Undelivered;
use crate::pipeline::{Pipeline, PublishFn};
use crate::store::journal::Journal;

use crate::cli::{Exit, Files, Stop, known, source};

/// How long a model may take over one line.
const PATIENCE: Duration = Duration::from_mins(1);

const EXAMPLES: &str = "\
Examples:
  sayso try --local-only \"turn off the kitchen light\"
  sayso try --local-only --explain \"turn the lamp on tomorrow\"
  sayso try --local-only --home home.toml --area kitchen < commands.txt
  echo '{\"text\": \"brighter\", \"id\": \"7\", \"area\": \"kitchen\"}' | sayso try --state state.json

A line of the input is a text, or a JSON object with \"text\" and optionally \"id\", \"area\", \
\"language\". For each there is one line of output, in order, a JSON object:
  id        the id given, or the number of the line
  outcome   done (it would be), answered, unclear (a question), refused, failed
  speech    what the speaker would hear
  via       who understood it: local, a provider's name, or none
  actions   each with device, property, op, value as understood, and `publish`,
            the messages it comes to, or `why` there is none

The state file is JSON or TOML: {\"lamp\": {\"power\": \"on\", \"brightness\": 40}}";

/// A home that is known by its announcements alone is empty without a broker.
const NOTHING_DECLARED: &str = "sayso: no device is declared in the home file; with those announced on the broker: `sayso home`, and `sayso say --dry-run \"..\"`";

/// The arguments of `sayso try`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Try {
    /// Commands; without any they are read from standard input, one a line
    text: Vec<String>,
    /// The home, in place of the config's
    #[arg(long, value_name = "FILE")]
    home: Option<PathBuf>,
    /// What the devices are taken to have said of themselves (JSON or TOML) [default: nothing is known]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The language of the commands, such as `en` [default: the config's]
    #[arg(long, value_name = "CODE")]
    language: Option<String>,
    /// Ask no model: only the local reading
    #[arg(long)]
    local_only: bool,
    /// Tell, for people, what each word was taken for, and why nothing was understood
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    files: Files,
    /// Where commands are said that do not tell: what "here" is
    #[arg(long)]
    area: Option<String>,
    /// Who says them, for the rights of sources
    #[arg(long, default_value = "cli", value_parser = source)]
    source: String,
}

/// One line of the input as JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TryLine {
    text: String,
    id: Option<TryId>,
    area: Option<String>,
    language: Option<String>,
}

/// An id as scripts write it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TryId {
    Number(u64),
    Text(String),
}

/// Reads the commands and prints a reply to each.
pub(super) fn try_(arguments: &Try, out: &mut impl Write) -> Result<Exit, Stop> {
    let needs = if arguments.local_only {
        Scope::Home
    } else {
        Scope::Everything
    };
    let place = ConfigLocation {
        home: arguments.home.clone(),
        ..arguments.files.place(needs)
    };
    let config = Config::load(&place)?;
    if config.home.devices().is_empty() {
        let _ = writeln!(io::stderr(), "{NOTHING_DECLARED}");
    }
    let trial = TrialRun::new(arguments, config)?;
    // A person at a terminal, or a program that talks back and forth, wants each reply at once: whenever no further line
    // is waiting, what there is goes out.
    let mut out = io::BufWriter::new(out);
    for (n, text) in arguments.text.iter().enumerate() {
        trial.answer(&mut out, n + 1, text.as_bytes())?;
    }
    if arguments.text.is_empty() {
        let mut input = io::BufReader::with_capacity(1 << 16, io::stdin().lock());
        let (mut line, mut n) = (Vec::new(), 0);
        while {
            line.clear();
            input.read_until(b'\n', &mut line)? > 0
        } {
            n += 1;
            trial.answer(&mut out, n, line.trim_ascii_end())?;
            if !input.buffer().contains(&b'\n') || io::stdout().is_terminal() {
                out.flush()?;
            }
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// A home to try commands in: the very way a command goes in the daemon, as a dry run.
struct TrialRun<'a> {
    arguments: &'a Try,
    pipeline: Pipeline,
    runtime: Runtime,
}

impl<'a> TrialRun<'a> {
    fn new(arguments: &'a Try, mut config: Config) -> Result<Self, Stop> {
        let state = match &arguments.state {
            Some(path) => known::read(path, &config.home, now())
                .map_err(|error| Stop::new(Exit::Failed, error))?,
            None => State::default(),
        };
        if let Some(area) = arguments
            .area
            .as_ref()
            .filter(|area| config.home.area_named(area).is_none())
        {
            return Err(Stop::new(
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
        // The gate of a dry run sends nothing, so nothing comes here.
        let deliver: PublishFn =
            Box::new(|_| Box::pin(std::future::ready(Err(Undelivered::Closed))));
        let pipeline = daemon::pipeline(
            &config,
            None,
            Arc::new(Journal::in_memory(config.mqtt.ttl)),
            Arc::default(),
            deliver,
        );
        let pipeline = pipeline.map_err(|error| Stop::new(Exit::Config, error))?;
        pipeline.set_state(state);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Stop::new(Exit::Internal, error))?;
        Ok(Self {
            arguments,
            pipeline,
            runtime,
        })
    }

    fn answer(&self, out: &mut impl Write, number: usize, line: &[u8]) -> io::Result<()> {
        let reply = match read(line) {
            Ok(line) if self.arguments.explain => return self.explain(out, number, line),
            Ok(line) => self
                .runtime
                .block_on(self.pipeline.answer(&self.command(number, line), None)),
            Err(why) => Reply::refused(
                number.to_string(),
                String::from_utf8_lossy(line).into_owned(),
                &Refusal::Malformed { why },
            ),
        };
        serde_json::to_writer(&mut *out, &reply)?;
        out.write_all(b"\n")
    }

    /// The phrase, what each word was taken for, and what would come of it.
    fn explain(&self, out: &mut impl Write, number: usize, line: TryLine) -> io::Result<()> {
        let command = self.command(number, line);
        writeln!(out, "{}", command.text)?;
        match self.pipeline.explain(&Phrase::of(&command)) {
            Some(explanation) => writeln!(out, "{explanation}")?,
            None => writeln!(
                out,
                "  not understood: there is no language `{}`",
                command.language.as_deref().unwrap_or_default()
            )?,
        }
        let reply = self.runtime.block_on(self.pipeline.answer(&command, None));
        writeln!(out, "  {}: {}\n", reply.outcome.name(), reply.speech)
    }

    fn command(&self, number: usize, line: TryLine) -> Command {
        let id = match line.id {
            Some(TryId::Text(id)) => id,
            Some(TryId::Number(id)) => id.to_string(),
            None => number.to_string(),
        };
        Command {
            id,
            id_given: true,
            text: line.text,
            source: Source::new(&self.arguments.source),
            area: line.area.or_else(|| self.arguments.area.clone()),
            language: line.language,
            received_at: now(),
            deadline: now() + PATIENCE,
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

/// A line as a command, by the rules of the payload on a command topic.
fn read(line: &[u8]) -> Result<TryLine, String> {
    let text = std::str::from_utf8(line)
        .map_err(|_| "it is not UTF-8".to_owned())?
        .trim();
    let line = if text.starts_with('{') {
        serde_json::from_str(text).map_err(|error| format!("as JSON: {error}"))?
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
    fn what_is_no_command_says_why() {
        for (line, why) in [
            (&b""[..], "empty"),
            (b"\xff", "UTF-8"),
            (b"{\"txet\": 1}", "txet"),
            (b"{\"text\": \" \"}", "empty"),
            (b"{", "JSON"),
        ] {
            let said = read(line).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
