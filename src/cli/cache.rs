//! `sayso cache`: shows and clears the answer cache of the running daemon, over the broker.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use crate::cache::Tiers;
use crate::cli::arguments::source;
use crate::cli::broker::BrokerOptions;
use crate::cli::exit::{Exit, Failure};
use crate::cli::request::{rejection, send_control};

const EXAMPLES: &str = "\
Examples:
  sayso cache stats
  sayso cache show \"make the living room cosy\"
  sayso cache show --said-by kids_tablet --area nursery \"lights off\"
  sayso cache clear \"make the living room cosy\"
  sayso cache clear --all
  sayso cache --source operator --username operator --password-file operator.key stats

Only the daemon can open the store, so the request is sent to it on <prefix>/control/<source> and \
answered on \
<prefix>/control/<source>/answer. The login must be allowed to write the first and to read the \
second.

Exit codes: 0 done, 1 the daemon refused, 75 no broker or no answer in time, 77 a file may not be \
read, \
78 the config is wrong.";

/// Arguments of `sayso cache`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Cache {
    #[command(subcommand)]
    action: CacheAction,
    #[command(flatten)]
    broker: BrokerOptions,
    /// Source of the request: the last level of the control topic
    #[arg(long, global = true, default_value = "cli", value_parser = source)]
    source: String,
    /// Print the answer as JSON, as it was received
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum CacheAction {
    /// Show the size of the cache, its hits and its misses
    Stats,
    /// Show the entries for a phrase, and whether they would be used
    Show {
        /// The phrase, as it is given in a command
        text: String,
        /// Source that gives the phrase: entries depend on its permissions [default: --source]
        #[arg(long, value_parser = source)]
        said_by: Option<String>,
        /// Area in which the phrase is given
        #[arg(long)]
        area: Option<String>,
        /// Language of the phrase
        #[arg(long)]
        language: Option<String>,
    },
    /// Remove a phrase, for all sources and areas, or everything (--all)
    #[command(override_usage = "sayso cache clear <TEXT>\n       sayso cache clear --all")]
    Clear {
        /// The phrase, as it is given in a command; or --all
        #[arg(
            required_unless_present = "all",
            conflicts_with = "all",
            value_name = "TEXT or --all"
        )]
        text: Option<String>,
        /// Remove every entry
        #[arg(long)]
        all: bool,
    },
}

/// Sends the request and prints the answer.
pub(super) fn cache(arguments: &Cache, out: &mut impl Write) -> Result<Exit, Failure> {
    let payload = match &arguments.action {
        CacheAction::Stats => json!({"cache": "stats"}),
        CacheAction::Show {
            text,
            said_by,
            area,
            language,
        } => {
            json!({"cache": "show", "text": text, "source": said_by, "area": area, "language": language})
        }
        CacheAction::Clear { text, .. } => json!({"cache": "clear", "text": text}),
    };
    let settings = arguments.broker.config(false)?.mqtt;
    let timeout = arguments.broker.timeout;
    let answer = send_control(&settings, timeout, &arguments.source, &payload)?;
    let is_ok = answer["ok"] == true;
    if arguments.json {
        writeln!(out, "{answer}")?;
    } else if is_ok {
        match arguments.action {
            CacheAction::Stats => print_stats(&answer["cache"], out)?,
            CacheAction::Show { .. } => print_entries(&answer, out)?,
            CacheAction::Clear { .. } => writeln!(out, "✓ removed: {}", answer["removed"])?,
        }
    } else {
        writeln!(out, "{}", rejection(&answer))?;
    }
    Ok(if is_ok { Exit::Done } else { Exit::Failed })
}

fn print_stats(cache: &Json, out: &mut impl Write) -> io::Result<()> {
    for (name, ()) in Tiers::default().named() {
        let tier = &cache[name];
        writeln!(
            out,
            "{name:8} {} of {} entries, {} of {} bytes",
            tier["entries"], tier["most_entries"], tier["bytes"], tier["most_bytes"]
        )?;
    }
    writeln!(
        out,
        "{:8} {} hits, {} misses",
        "lookups", cache["hits"], cache["misses"]
    )
}

fn print_entries(answer: &Json, out: &mut impl Write) -> io::Result<()> {
    let mark = if answer["used"] == true { '✓' } else { '✗' };
    writeln!(
        out,
        "\"{}\" from {}",
        text(&answer["phrase"]),
        text(&answer["source"])
    )?;
    writeln!(out, "{mark} {}", text(&answer["why"]))?;
    for entry in answer["kept"].as_array().into_iter().flatten() {
        let unused = match entry["unused"].as_str() {
            Some(why) => format!("; not used: {why}"),
            None => String::new(),
        };
        writeln!(
            out,
            "  in {}, expires in {} s{unused}",
            text(&entry["tier"]),
            entry["good_for"]
        )?;
        writeln!(out, "    {}", entry["draft"])?;
    }
    Ok(())
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}
