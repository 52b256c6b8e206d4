//! `sayso providers`: tests each configured model with one request.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};

use crate::config::{Config, Scope};
use crate::prompt::aptitude::AptitudeScore;
use crate::provider::http::InvalidEndpoint;
use crate::provider::price::Money;
use crate::provider::{Allowance, Settings};

use crate::cli::arguments::source;
use crate::cli::broker::BrokerOptions;
use crate::cli::exit::{Exit, Failure};
use crate::cli::provider_test::{ProviderFinding, aptitude, ms, test};
use crate::cli::request::{rejection, send_control};
use crate::cli::runtime;

const EXAMPLES: &str = "\
Examples:
  sayso providers
  sayso providers at-home hosted
  sayso providers --json | jq '.[] | select(.answers | not)'
  sayso providers --reset

Each provider gets one request to turn on a lamp that does not exist, with the same prompt, key, \
time limits and structured \
output as the daemon uses: about 1,300 tokens. A model whose name states fewer than 4 billion \
parameters also gets the aptitude test, eight questions. Nothing is done. The time to the first byte \
includes the connection.

Exit codes: 0 all answer correctly, 1 one does not, 77 a key file may not be read, 78 the config \
is wrong.";

/// Arguments of `sayso providers`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Providers {
    /// Names of providers to test [default: all]
    names: Vec<String>,
    #[command(flatten)]
    broker: BrokerOptions,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// Make the running daemon call them again at once, whatever prevents that
    #[arg(long)]
    reset: bool,
    /// With --reset: the source of the request, which is the last level of the control topic
    #[arg(long, default_value = "cli", value_parser = source)]
    source: String,
}

/// Tests the providers in parallel and prints the results in the order of the config.
pub(super) fn providers(arguments: &Providers, out: &mut impl Write) -> Result<Exit, Failure> {
    if arguments.reset {
        return reset(arguments, out);
    }
    let all = Config::load(&arguments.broker.files.location(Scope::Models))?
        .ask
        .providers;
    if let Some(unknown) = arguments
        .names
        .iter()
        .find(|name| all.iter().all(|provider| provider.name != **name))
    {
        let known = all
            .iter()
            .map(|provider| provider.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(Failure::new(
            Exit::Failed,
            format!("there is no provider `{unknown}`; the config has: {known}"),
        ));
    }
    let wanted: Vec<Settings> = all
        .into_iter()
        .filter(|p| arguments.names.is_empty() || arguments.names.contains(&p.name))
        .collect();
    let tested = async {
        let mut found = test(&wanted).await?;
        for finding in found.iter_mut().filter(|finding| finding.is_good()) {
            finding.aptitude = aptitude(finding.settings).await;
        }
        Ok::<_, InvalidEndpoint>(found)
    };
    let found = runtime::create()?
        .block_on(tested)
        .map_err(|error| Failure::new(Exit::Config, error))?;
    if arguments.json {
        let found: Vec<Json> = found.iter().map(ProviderFinding::json).collect();
        writeln!(out, "{}", Json::from(found))?;
    } else {
        print(&found, out)?;
    }
    Ok(if found.iter().all(ProviderFinding::is_good) {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// Makes the running daemon call providers again: those named, or all.
fn reset(arguments: &Providers, out: &mut impl Write) -> Result<Exit, Failure> {
    let names = arguments.names.iter().map(|name| Some(name.as_str()));
    let mut names: Vec<Option<&str>> = names.collect();
    if names.is_empty() {
        names.push(None);
    }
    let settings = arguments.broker.config(false)?.mqtt;
    let timeout = arguments.broker.timeout;
    let mut exit = Exit::Done;
    for name in names {
        let payload = json!({"providers": "reset", "name": name});
        let answer = send_control(&settings, timeout, &arguments.source, &payload)?;
        let is_ok = answer["ok"] == true;
        if arguments.json {
            writeln!(out, "{answer}")?;
        } else if is_ok {
            writeln!(out, "✓ reset: {}", name.unwrap_or("all providers"))?;
        } else {
            writeln!(out, "{}", rejection(&answer))?;
        }
        if !is_ok {
            exit = Exit::Failed;
        }
    }
    Ok(exit)
}

fn print(found: &[ProviderFinding<'_>], out: &mut impl Write) -> io::Result<()> {
    if found.is_empty() {
        return writeln!(
            out,
            "no provider is configured: only locally understood commands are done; add a \
             [[provider]] to use a model"
        );
    }
    for finding in found {
        print_one(finding, out)?;
    }
    let good = found.iter().filter(|finding| finding.is_good()).count();
    writeln!(out, "{good} of {} can be used", found.len())
}

fn print_one(finding: &ProviderFinding<'_>, out: &mut impl Write) -> io::Result<()> {
    let Settings {
        name,
        model,
        base_url,
        key,
        ..
    } = finding.settings;
    writeln!(out, "{name}: {model} at {base_url}")?;
    let total = rounded(finding.total);
    match &finding.result {
        Err(why) => writeln!(out, "  ✗ {why} (after {total})")?,
        Ok((usage, wrong)) => {
            if let Some(wrong) = wrong {
                writeln!(out, "  ✗ {wrong}")?;
            }
            let key = if key.is_some() {
                "key accepted"
            } else {
                "no key needed"
            };
            let mark = if wrong.is_some() { ' ' } else { '✓' };
            writeln!(
                out,
                "  {mark} {key}; first byte after {}, all after {total}",
                rounded(finding.first_byte.unwrap_or(finding.total))
            )?;
            let cost = match finding.cost() {
                Some(Money(0)) => "free".to_owned(),
                Some(cost) => format!("{cost}"),
                None => "price unknown, set `prices`".to_owned(),
            };
            writeln!(
                out,
                "    {} tokens in, {} of them cached, {} out: {cost}",
                usage.input, usage.cached, usage.output
            )?;
        }
    }
    print_aptitude(finding, out)?;
    let left = finding.left.unwrap_or_default();
    for (what, allowance) in [("requests", left.requests), ("tokens", left.tokens)] {
        if let Some(Allowance { left, limit, reset }) = allowance {
            let of = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
            writeln!(
                out,
                "    left: {left}{of} {what}, reset in {}",
                rounded(reset)
            )?;
        }
    }
    finding
        .clock()
        .map_or(Ok(()), |clock| writeln!(out, "  ! {clock}"))
}

fn print_aptitude(finding: &ProviderFinding<'_>, out: &mut impl Write) -> io::Result<()> {
    let Some(score) = finding.aptitude else {
        return Ok(());
    };
    let AptitudeScore { right, of } = score;
    let (mark, result) = if score.passes() {
        ('✓', "its actions are executed")
    } else {
        (
            '!',
            "its actions are asked back; use a larger model, or set `trusted = true`",
        )
    };
    writeln!(
        out,
        "  {mark} aptitude test: {right} of {of} right, {result}"
    )
}

fn rounded(time: Duration) -> String {
    format!("{} ms", ms(time))
}
