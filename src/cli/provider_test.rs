//! The test of providers, for `sayso providers` and `sayso doctor`: one request to each, with a
//! prompt about a lamp that does not exist.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use serde_json::{Value as Json, json};

use crate::command::phrase::Phrase;
use crate::home::Home;
use crate::home::device::{Device, Kind};
use crate::home::rights::Rights;
use crate::prompt::Composer;
use crate::prompt::answer::read;
use crate::prompt::aptitude::{AptitudeScore, is_required, questions};
use crate::provider::http::{Endpoint, InvalidEndpoint, Probe, Trust};
use crate::provider::model_size::stated_in;
use crate::provider::price::{Money, cost};
use crate::provider::{Allowance, Prompt, ProviderError, Remaining, Settings, Usage};
use crate::vocabulary::action::Op;
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Property, Value};

/// Command of the test. Every usable model understands it.
const TEST_COMMAND: &str = "turn on the lamp";

/// Difference of clocks above which commands with a time stamp are misjudged.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(30);

/// Sends a request to each provider, all in parallel.
pub(super) async fn test(wanted: &[Settings]) -> Result<Vec<ProviderFinding<'_>>, InvalidEndpoint> {
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

/// Gives the aptitude test to a model whose name states that it is small; `None` where it needs
/// none or does not answer.
pub(super) async fn aptitude(settings: &Settings) -> Option<AptitudeScore> {
    let is_small = stated_in(&settings.model).is_some_and(is_required);
    if !is_small || !settings.may_need_aptitude_test() {
        return None;
    }
    let endpoint = Endpoint::new(settings, Trust::default()).ok()?;
    let mut answers = Vec::new();
    for question in questions() {
        let answer = endpoint.call(&question, settings.timeouts.total).await;
        answers.push(match answer {
            Ok(completion) => Some(completion.body),
            Err(ProviderError::Truncated { .. } | ProviderError::Malformed { .. }) => None,
            Err(_) => return None,
        });
    }
    Some(AptitudeScore::of(&answers))
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
    pub(super) settings: &'a Settings,
    /// Usage, with the reason if the answer cannot be used; or why there is no answer.
    pub(super) result: Result<(Usage, Option<String>), String>,
    pub(super) first_byte: Option<Duration>,
    pub(super) total: Duration,
    pub(super) left: Option<Remaining>,
    /// Result of the aptitude test, where it was made.
    pub(super) aptitude: Option<AptitudeScore>,
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
            aptitude: None,
            clock_off,
        }
    }

    pub(super) fn is_good(&self) -> bool {
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

    pub(super) fn cost(&self) -> Option<Money> {
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

    pub(super) fn json(&self) -> Json {
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
            "aptitude": self.aptitude.map(|score| json!({"right": score.right, "of": score.of, "passed": score.passes()})),
            "left": left,
            "clock": self.clock(),
        })
    }
}

/// Returns a cure for errors that do not contain one.
fn advice(error: &ProviderError) -> &'static str {
    match error {
        ProviderError::ServerError { status, .. } => server_advice(*status),
        ProviderError::Limited { .. } => {
            ": the key is valid, but its rate limit is reached: wait, or set `requests_per_minute` \
             below the limit"
        }
        ProviderError::Truncated { .. } => {
            ": raise `max_output_tokens`, or lower `reasoning_effort`"
        }
        ProviderError::Malformed { .. } => ": check that `base_url` and `api` are right",
        ProviderError::Rejected { .. } => {
            ": correct what the message names; `api`, `api_version`, `structure` and `headers` \
             determine the request"
        }
        ProviderError::Denied { .. } => {
            ": the key may lack a right, or a filter blocks requests: see the message"
        }
        ProviderError::Filtered { .. } | ProviderError::Declined { .. } => ": use another model",
        ProviderError::Unreachable { .. }
        | ProviderError::CutOff { .. }
        | ProviderError::Unusable { .. } => "",
    }
}

fn server_advice(status: u16) -> &'static str {
    match status {
        // The cause names the remedy.
        403..=405 | 407 | 511 => "",
        200 => ": see the log of its server, and check that `base_url` and `api` are right",
        400 => ": try again, or use another `structure` or another model",
        _ => ": the provider has a problem: wait, or see its status page",
    }
}

/// Returns the time in whole milliseconds.
pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
