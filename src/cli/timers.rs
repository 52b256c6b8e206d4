//! `sayso timers`: lists, adds and cancels the commands that wait for their time, over the broker.

use std::io::Write;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::command::reply::Outcome;
use crate::mqtt::Settings;

use crate::cli::arguments::source;
use crate::cli::broker::BrokerOptions;
use crate::cli::exit::{Exit, Failure};
use crate::cli::reply_text;
use crate::cli::request::{rejection, send_control};
use crate::cli::say::Speaker;

const EXAMPLES: &str = "\
Examples:
  sayso timers list
  sayso timers add \"turn off the heater in twenty minutes\"
  sayso timers cancel 7
  sayso timers cancel --all
  sayso timers --source operator --username operator --password-file operator.key list

`list` and `cancel` are requests on <prefix>/control/<source>, answered on \
<prefix>/control/<source>/answer, and \
reach the timers of all sources. `add` is a command of the source; one that would be done at once is refused.

Exit codes: 0 done, 1 the daemon refused, 75 no broker or no answer in time, 77 a file may not be \
read, \
78 the config is wrong.";

/// Arguments of `sayso timers`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TimersArguments {
    #[command(subcommand)]
    action: TimersAction,
    #[command(flatten)]
    broker: BrokerOptions,
    /// Source of the request: the last level of the topic
    #[arg(long, global = true, default_value = "cli", value_parser = source)]
    source: String,
    /// Print the answer as JSON, as it was received
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum TimersAction {
    /// Show the timers of all sources
    List,
    /// Give a command with a time at which it begins
    Add {
        /// The command, such as "turn off the heater in twenty minutes"
        text: String,
    },
    /// Cancel one timer, or all (--all)
    #[command(override_usage = "sayso timers cancel <NUMBER>\n       sayso timers cancel --all")]
    Cancel {
        /// The number of the timer; or --all
        #[arg(
            required_unless_present = "all",
            conflicts_with = "all",
            value_name = "NUMBER or --all"
        )]
        number: Option<u64>,
        /// Cancel every timer
        #[arg(long)]
        all: bool,
    },
}

/// Gives a command, unless it would be done at once. A dry run shows that.
fn add(
    speaker: &mut Speaker,
    text: &str,
    timeout: Duration,
    settings: &Settings,
    out: &mut impl Write,
) -> Result<Exit, Failure> {
    let reply = speaker.rehearse(text, timeout, settings)?;
    match reply.outcome {
        Outcome::Done | Outcome::Answered if reply.scheduled.is_none() => {
            let reason = "nothing was done: the command has no time at which it begins; give one, \
                such as \"turn off the heater in twenty minutes\" or \"every day at seven\", or \
                use `sayso say`";
            Err(Failure::new(Exit::Failed, reason))
        }
        // A question is asked by the command itself.
        Outcome::Done | Outcome::Answered | Outcome::Unclear => {
            speaker.say(text, timeout, settings, out)
        }
        Outcome::Refused | Outcome::Failed => {
            reply_text::print(&reply, "", out)?;
            Ok(reply_text::exit(&reply))
        }
    }
}

/// Sends the request and prints the answer.
pub(super) fn timers(arguments: &TimersArguments, out: &mut impl Write) -> Result<Exit, Failure> {
    let settings = arguments.broker.config(false)?.mqtt;
    let timeout = arguments.broker.timeout;
    let payload = match &arguments.action {
        TimersAction::List => json!({"timers": "list"}),
        TimersAction::Cancel { number, .. } => json!({"timers": "cancel", "timer": number}),
        TimersAction::Add { text } => {
            let mut speaker = Speaker::cli();
            speaker.source.clone_from(&arguments.source);
            return add(&mut speaker, text, timeout, &settings, out);
        }
    };
    let answer = send_control(&settings, timeout, &arguments.source, &payload)?;
    let is_ok = answer["ok"] == true;
    if arguments.json {
        writeln!(out, "{answer}")?;
    } else if let Some(timers) = answer["timers"].as_array() {
        for timer in timers {
            let text = |key: &str| timer[key].as_str().unwrap_or("-").to_owned();
            let (number, due, source) = (text("timer"), text("due"), text("source"));
            writeln!(out, "{number:>4}  {due}  {source}  {}", text("text"))?;
        }
        if timers.is_empty() {
            writeln!(out, "no timers")?;
        }
    } else if is_ok {
        writeln!(out, "✓ cancelled: {}", answer["cancelled"])?;
    } else {
        writeln!(out, "{}", rejection(&answer))?;
    }
    Ok(if is_ok { Exit::Done } else { Exit::Failed })
}
