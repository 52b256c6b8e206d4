//! `sayso providers`: tests each configured model with one request.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use clap::Args;
use futures_util::future::join_all;
use serde_json::{Value as Json, json};

use crate::command::phrase::Phrase;
use crate::config::{Config, Scope};
use crate::home::Home;
use crate::home::device::{Device, Kind};
use crate::home::rights::Rights;
use crate::prompt::Composer;
use crate::prompt::answer::read;
use crate::provider::http::{Endpoint, InvalidEndpoint, Probe, Trust};
use crate::provider::price::{Money, cost};
use crate::provider::{Allowance, Prompt, ProviderError, Remaining, Settings, Usage};
use crate::vocabulary::action::Op;
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Property, Value};

use crate::cli::arguments::source;
use crate::cli::broker;
use crate::cli::broker::BrokerOptions;
use crate::cli::exit::{Exit, Failure};
use crate::cli::request;
use crate::cli::request::BrokerRequest;

const EXAMPLES: &str = "\
Examples:
  sayso providers
  sayso providers at-home hosted
  sayso providers --json | jq '.[] | select(.answers | not)'
  sayso providers --reset

Each provider gets one request to turn on a lamp that does not exist, with the same prompt, key, time limits and structured \
output as the daemon uses: about 1,300 tokens. Nothing is done. The time to the first byte includes the connection.

Exit codes: 0 all answer correctly, 1 one does not, 77 a key file may not be read, 78 the config is wrong.";

/// Command of the test. Every usable model understands it.
const TEST_COMMAND: &str = "turn on the lamp";

/// Difference of clocks above which commands with a time stamp are misjudged.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(30);

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
    let found = broker::runtime()?
        .block_on(ask(&wanted))
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
    let mut exit = Exit::Done;
    for name in names {
        let topic = format!("control/{}", arguments.source);
        let request = BrokerRequest {
            answer_topic: format!("{topic}/answer"),
            topic,
            payload: json!({"providers": "reset", "name": name}).to_string(),
        };
        let payload = request::send(&settings, arguments.broker.timeout, &request, &mut |_| {})?;
        let answer: Json = serde_json::from_slice(&payload).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot parse the answer: {error}"))
        })?;
        let is_ok = answer["ok"] == true;
        if arguments.json {
            writeln!(out, "{answer}")?;
        } else if is_ok {
            writeln!(out, "✓ reset: {}", name.unwrap_or("all providers"))?;
        } else {
            let why = answer["why"].as_str();
            writeln!(out, "✗ {}", why.unwrap_or("the daemon gave no reason"))?;
        }
        if !is_ok {
            exit = Exit::Failed;
        }
    }
    Ok(exit)
}

/// Sends a request to each provider, all in parallel.
pub(super) async fn ask(wanted: &[Settings]) -> Result<Vec<ProviderFinding<'_>>, InvalidEndpoint> {
    let trust = Trust::default();
    let endpoints = wanted
        .iter()
        .map(|settings| Endpoint::new(settings, trust.clone()))
        .collect::<Result<Vec<_>, InvalidEndpoint>>()?;
    let prompt = test_prompt();
    let probes = join_all(endpoints.iter().map(|endpoint| endpoint.probe(&prompt))).await;
    Ok(wanted
        .iter()
        .zip(&endpoints)
        .zip(probes)
        .map(|((settings, endpoint), probe)| ProviderFinding::of(settings, endpoint, probe))
        .collect())
}

/// Returns the prompt for the test command in a home with one lamp.
fn test_prompt() -> Prompt {
    let slug = |text| Slug::new(text).expect("a plain word is an identifier");
    let lamp = Device::new(slug("lamp"), Kind::new(slug("light")));
    let home = Home::new(Vec::new(), vec![lamp], Rights::default(), "sayso")
        .expect("one lamp clashes with nothing");
    Composer::default().compose(&Phrase::new(TEST_COMMAND, None, None), &home, "cli")
}

/// Returns why an answer cannot be used; `None` if it turns on the lamp.
fn fault_of(answer: &str) -> Option<String> {
    let draft = match read(answer) {
        Ok(draft) => draft,
        Err(error) => {
            return Some(format!(
                "its answer cannot be used: {error}; try another `structure`, or another model"
            ));
        }
    };
    let on = |value: &Option<Value>| {
        matches!(value, Some(Value::Flag(true))) || *value == Some(Value::text("on"))
    };
    let right = matches!(&draft.actions[..], [only] if only.device == "lamp" && only.property == Property::Power && only.op == Op::Set && on(&only.value));
    (!right).then(|| format!("it does not understand \"{TEST_COMMAND}\": use another model"))
}

/// Result of the test of one provider.
pub(super) struct ProviderFinding<'a> {
    settings: &'a Settings,
    /// Usage, with the reason if the answer cannot be used; or why there is no answer.
    result: Result<(Usage, Option<String>), String>,
    first_byte: Option<Duration>,
    total: Duration,
    left: Option<Remaining>,
    /// Difference between the clocks of this machine and the server, and whether this one is ahead.
    clock_off: Option<(Duration, bool)>,
}

impl<'a> ProviderFinding<'a> {
    fn of(settings: &'a Settings, endpoint: &Endpoint, probe: Probe) -> Self {
        let result = match probe.answer {
            Ok(completion) => Ok((completion.usage, fault_of(&completion.body))),
            Err(error) => Err(format!("{error}{}", advice(&error))),
        };
        let off = probe
            .clock
            .map(|theirs| match SystemTime::now().duration_since(theirs) {
                Ok(ahead) => (ahead, true),
                Err(behind) => (behind.duration(), false),
            });
        let clock_off = off.filter(|(off, _)| *off > MAX_CLOCK_DIFFERENCE + probe.total);
        Self {
            settings,
            result,
            first_byte: probe.first_byte,
            total: probe.total,
            left: endpoint.remaining(),
            clock_off,
        }
    }

    fn is_good(&self) -> bool {
        matches!(self.result, Ok((_, None)))
    }

    /// Returns the name of the provider.
    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Returns the latency, or why the provider cannot be used.
    pub(super) fn verdict(&self) -> Result<Duration, &str> {
        match &self.result {
            Ok((_, None)) => Ok(self.total),
            Ok((_, Some(why))) | Err(why) => Err(why),
        }
    }

    fn cost(&self) -> Option<Money> {
        Some(cost(
            self.result.as_ref().ok()?.0,
            self.settings.prices.as_ref()?,
        ))
    }

    /// Returns the difference between the clocks, if it is too large.
    pub(super) fn clock(&self) -> Option<String> {
        let (off, ahead) = self.clock_off?;
        let side = if ahead { "ahead of" } else { "behind" };
        Some(format!(
            "this machine's clock is {} s {side} the server's: see `timedatectl`",
            off.as_secs()
        ))
    }

    fn json(&self) -> Json {
        let allowance =
            |a: &Allowance| json!({"left": a.left, "limit": a.limit, "reset_ms": ms(a.reset)});
        let left = self.left.map(|left| json!({"requests": left.requests.as_ref().map(allowance), "tokens": left.tokens.as_ref().map(allowance)}));
        let (usage, wrong) = match &self.result {
            Ok((usage, wrong)) => (Some(usage), wrong.clone()),
            Err(why) => (None, Some(why.clone())),
        };
        json!({
            "name": self.settings.name,
            "model": self.settings.model,
            "base_url": self.settings.base_url,
            "answers": self.result.is_ok(),
            "understands": self.is_good(),
            "why": wrong,
            "key_accepted": usage.and(self.settings.key.as_ref()).map(|_| true),
            "first_byte_ms": self.first_byte.map(ms),
            "ms": ms(self.total),
            "tokens": usage.map(|u| json!({"in": u.input, "cached": u.cached, "written": u.written, "out": u.output})),
            "dollars": self.cost().map(Money::in_dollars),
            "left": left,
            "clock": self.clock(),
        })
    }
}

/// Returns a cure for errors that do not contain one.
fn advice(error: &ProviderError) -> &'static str {
    match error {
        ProviderError::ServerError { .. } => {
            ": the provider has a problem: wait, or see its status page"
        }
        ProviderError::Limited { .. } => {
            ": the key is valid, but its rate limit is reached: wait, or set `requests_per_minute` below the limit"
        }
        ProviderError::Truncated { .. } => {
            ": raise `max_output_tokens`, or lower `reasoning_effort`"
        }
        ProviderError::Malformed { .. } => ": check that `base_url` and `api` are right",
        ProviderError::Rejected { .. } => {
            ": correct what the message names; `api`, `api_version`, `structure` and `headers` determine the request"
        }
        ProviderError::Declined { .. } => ": use another model",
        ProviderError::Unreachable { .. } | ProviderError::Unusable { .. } => "",
    }
}

fn print(found: &[ProviderFinding<'_>], out: &mut impl Write) -> io::Result<()> {
    if found.is_empty() {
        return writeln!(
            out,
            "no provider is configured: only locally understood commands are done; add a [[provider]] to use a model"
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

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the time in whole milliseconds.
fn rounded(time: Duration) -> String {
    format!("{} ms", ms(time))
}
