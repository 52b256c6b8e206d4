//! `sayso cache`: what the running daemon keeps of what models said, looked at and cleared over the broker.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use crate::cli::conversation;
use crate::cli::conversation::{Channel, Question};
use crate::cli::{Exit, Stop, source};

const EXAMPLES: &str = "\
Examples:
  sayso cache stats
  sayso cache show \"make the living room cosy\"
  sayso cache show --said-by kids_tablet --area nursery \"lights off\"
  sayso cache clear \"make the living room cosy\"
  sayso cache clear --all

The daemon is asked on <prefix>/control/<source> and answers on <prefix>/control/<source>/answer: the broker's access \
list must let you write the one and read the other.

Exit codes: 0 done, 1 the daemon would not, 75 no broker or no answer in time, 78 the config is wrong.";

/// The arguments of `sayso cache`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Cache {
    #[command(subcommand)]
    what: CacheAction,
    #[command(flatten)]
    way: Channel,
    /// Who asks: the last level of the control topic
    #[arg(long, global = true, default_value = "cli", value_parser = source)]
    source: String,
    /// Print the answer as it came, as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum CacheAction {
    /// How much is kept, and how often it was of use
    Stats,
    /// What is kept for a phrase, and whether it would be used
    Show {
        /// The phrase, as it is said
        text: String,
        /// Who says it: what a source may command decides what is kept for it [default: --source]
        #[arg(long, value_parser = source)]
        said_by: Option<String>,
        /// Where it is said
        #[arg(long)]
        area: Option<String>,
        /// The language it is said to be in
        #[arg(long)]
        language: Option<String>,
    },
    /// Forget a phrase, wherever and by whomever it was said, or everything
    Clear {
        /// The phrase, as it is said
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        text: Option<String>,
        /// Everything
        #[arg(long)]
        all: bool,
    },
}

/// Asks the daemon, and prints what it answers.
pub(super) fn cache(arguments: &Cache, out: &mut impl Write) -> Result<Exit, Stop> {
    let request = match &arguments.what {
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
    let topic = format!("control/{}", arguments.source);
    let question = Question {
        answer: format!("{topic}/answer"),
        topic,
        payload: request.to_string(),
    };
    let payload = conversation::ask(&arguments.way, &question, &mut |_| {})?;
    let answer: Json = serde_json::from_slice(&payload)
        .map_err(|error| Stop::new(Exit::Failed, format!("the answer cannot be read: {error}")))?;
    if arguments.json {
        writeln!(out, "{answer}")?;
    } else if answer["ok"] == true {
        match arguments.what {
            CacheAction::Stats => print_stats(&answer["cache"], out)?,
            CacheAction::Show { .. } => print_traces(&answer, out)?,
            CacheAction::Clear { .. } => writeln!(out, "✓ forgotten: {}", answer["removed"])?,
        }
    } else {
        writeln!(
            out,
            "✗ {}",
            answer["why"]
                .as_str()
                .unwrap_or("the daemon does not say why")
        )?;
    }
    Ok(if answer["ok"] == true {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn print_stats(cache: &Json, out: &mut impl Write) -> io::Result<()> {
    for name in ["memory", "disk"] {
        let tier = &cache[name];
        writeln!(
            out,
            "{name:8} {} of {} entries, {} of {} bytes",
            tier["entries"], tier["most_entries"], tier["bytes"], tier["most_bytes"]
        )?;
    }
    writeln!(
        out,
        "{:8} {} times instead of a model, {} times not there",
        "used", cache["hits"], cache["misses"]
    )
}

fn print_traces(answer: &Json, out: &mut impl Write) -> io::Result<()> {
    let mark = if answer["used"] == true { '✓' } else { '✗' };
    writeln!(
        out,
        "\"{}\" said by {}",
        text(&answer["phrase"]),
        text(&answer["source"])
    )?;
    writeln!(out, "{mark} {}", text(&answer["why"]))?;
    for kept in answer["kept"].as_array().into_iter().flatten() {
        let unused = kept["unused"]
            .as_str()
            .map_or_else(String::new, |why| format!("; not this one: {why}"));
        writeln!(
            out,
            "  in {}, good for {} s{unused}",
            text(&kept["tier"]),
            kept["good_for"]
        )?;
        writeln!(out, "    {}", kept["draft"])?;
    }
    Ok(())
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}
