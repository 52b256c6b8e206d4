//! Every fault × every API: who answered, after how long, and how many calls that cost. `cargo it
//! faults:: -- --nocapture` prints the table.

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use sayso::testing::command::reply::Refusal;
use sayso::testing::provider::{APIS, ApiSpec, Settings, Timeouts, openai};
use sayso::testing::router::answer_stream::AnswerStream;
use sayso::testing::router::settings::RouterSettings;
use sayso::testing::router::{ProviderState, Requester, Router};
use serde_json::Value as Json;
use tokio::time::Instant;

use crate::dialect::Api;
use crate::endpoint::{Endpoint, Script};
use crate::failover::{prompt, provider, read_draft};

/// The time each question has.
const DEADLINE: Duration = Duration::from_secs(8);

/// Questions put one after the other.
const QUESTIONS: usize = 3;

/// What a provider does to the first, and to every later question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Limited,
    LimitedFor,
    Status(u16),
    Hang,
    Stall,
    Reset,
    Malformed,
    Truncated,
    Refusal,
    WrongKey,
    NoCredit,
}

const FAULTS: [(&str, Fault); 13] = [
    ("429", Fault::Limited),
    ("429, retry-after 30 s", Fault::LimitedFor),
    ("500", Fault::Status(500)),
    ("503", Fault::Status(503)),
    ("529", Fault::Status(529)),
    ("hang before the headers", Fault::Hang),
    ("stall after 200", Fault::Stall),
    ("reset", Fault::Reset),
    ("malformed JSON", Fault::Malformed),
    ("truncated stream", Fault::Truncated),
    ("refusal", Fault::Refusal),
    ("wrong key", Fault::WrongKey),
    ("no credit", Fault::NoCredit),
];

impl Fault {
    /// How a server of this API shows it; `None` where it cannot.
    fn script(self, spec: &ApiSpec) -> Option<Script> {
        let api = Api::of(spec);
        let gemini = |status, ours, its| {
            if api == Api::Gemini {
                Script::fault(status, its)
            } else {
                Script::fault(status, ours)
            }
        };
        Some(match self {
            Self::Limited => gemini(429, "rate_limit_exceeded", "RESOURCE_EXHAUSTED"),
            Self::LimitedFor => {
                gemini(429, "rate_limit_exceeded", "RESOURCE_EXHAUSTED").header("retry-after", "30")
            }
            Self::Status(status) => gemini(status, "overloaded_error", "UNAVAILABLE"),
            Self::Hang => Script::hang_before_headers(),
            Self::Stall => Script::turns_on("lamp").stalls(),
            Self::Reset => Script::reset(),
            Self::Malformed => Script::says("{\"actions\":[{\"device\":\"lamp\""),
            Self::Truncated => Script::turns_on("lamp").cut(),
            // An Ollama model says no in words alone, which is no answer of ours.
            Self::Refusal if api == Api::Ollama => return None,
            Self::Refusal => Script::refuses(),
            Self::WrongKey if api == Api::Gemini => known(spec, "400_bad_key"),
            Self::WrongKey => Script::fault(
                401,
                if matches!(api, Api::OpenAi | Api::Responses) {
                    "invalid_api_key"
                } else {
                    "authentication_error"
                },
            ),
            Self::NoCredit => match api {
                Api::OpenAi | Api::Responses => known(spec, "429_insufficient_quota"),
                Api::Anthropic => known(spec, "402_billing"),
                Api::Gemini => known(spec, "429_per_day"),
                // Nothing is paid for it.
                Api::Ollama => return None,
            },
        })
    }

    /// The most calls it may cost for all questions: 2 attempts, until the breaker opens after
    /// three failures in a row.
    fn most_calls(self) -> usize {
        match self {
            Self::Limited | Self::LimitedFor | Self::WrongKey | Self::NoCredit => 1,
            Self::Refusal | Self::Malformed => QUESTIONS,
            _ => 3,
        }
    }
}

/// An error as the API is known to give it, from the fixtures.
fn known(spec: &ApiSpec, name: &str) -> Script {
    let folder = spec.name;
    let path = format!(
        "{}/tests/fixtures/provider/{folder}/errors.json",
        crate::REPOSITORY
    );
    let errors: Vec<Json> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    served(
        errors
            .iter()
            .find(|error| error["name"].as_str().unwrap().ends_with(name))
            .unwrap_or_else(|| panic!("no error `{name}` of {folder}")),
    )
}

/// An error of the fixtures, as its server would give it.
fn served(error: &Json) -> Script {
    let body = error["raw"]
        .as_str()
        .map_or_else(|| error["body"].to_string(), str::to_owned);
    let script = Script::status(
        u16::try_from(error["status"].as_u64().unwrap()).unwrap(),
        body,
    );
    let in_seven = httpdate(Duration::from_secs(7));
    let headers = error["headers"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| *name != "content-type");
    headers.fold(script, |script, (name, value)| {
        script.header(
            name,
            &value.as_str().unwrap().replace("HTTP-DATE+7s", &in_seven),
        )
    })
}

/// An RFC 9110 date so far ahead.
fn httpdate(ahead: Duration) -> String {
    let output = std::process::Command::new("date")
        .args([
            "-u",
            "-d",
            &format!("+{} sec", ahead.as_secs()),
            "+%a, %d %b %Y %H:%M:%S GMT",
        ])
        .env("LC_ALL", "C")
        .output();
    String::from_utf8(output.unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

/// A provider of an API with patience for a test, and one after it that always answers.
fn asking(api: &'static ApiSpec, bad: &Endpoint, good: &Endpoint) -> Router {
    let ms = Duration::from_millis;
    let timeouts = Timeouts {
        connect: ms(500),
        first_byte: ms(1200),
        between_bytes: ms(600),
        total: ms(2500),
    };
    let first = Settings {
        api,
        timeouts,
        ..provider("first", bad.url_of(api))
    };
    let second = Settings {
        timeouts,
        ..provider("second", good.url())
    };
    let settings = RouterSettings {
        providers: vec![first, second],
        patience: ms(300),
        ..RouterSettings::default()
    };
    Router::new(settings, Arc::default()).unwrap()
}

/// One line of the table.
struct Row {
    name: &'static str,
    api: &'static str,
    fault: Fault,
    in_pieces: bool,
    answered: Vec<(String, Duration)>,
    calls: usize,
    state: ProviderState,
}

async fn row(
    (name, fault): (&'static str, Fault),
    api: &'static ApiSpec,
    in_pieces: bool,
) -> Option<Row> {
    let (bad, good) = (
        Endpoint::start([fault.script(api)?]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let ask = asking(api, &bad, &good);
    let mut answered = Vec::new();
    for _ in 0..QUESTIONS {
        let begun = Instant::now();
        let said = Arc::<Mutex<Vec<String>>>::default();
        let ear = Arc::clone(&said);
        let voice = in_pieces.then(|| {
            Arc::new(AnswerStream::new(
                "c1".into(),
                Box::new(move |piece| ear.lock().unwrap().push(piece.text)),
            ))
        });
        let requester = Requester {
            stream: voice,
            ..Requester::default()
        };
        let who = match ask
            .complete(
                &prompt(),
                begun.into_std() + DEADLINE,
                requester,
                read_draft,
            )
            .await
        {
            Ok(answer) => answer.provider.to_string(),
            Err(Refusal::Declined) => "declined".to_owned(),
            Err(other) => other.to_string(),
        };
        assert!(
            said.lock().unwrap().is_empty(),
            "a deed is not told in pieces"
        );
        answered.push((who, begun.elapsed()));
    }
    Some(Row {
        name,
        api: api.name,
        fault,
        in_pieces,
        answered,
        calls: bad.requests(),
        state: ask.health()[0].state,
    })
}

#[tokio::test]
async fn every_fault_of_every_api_is_answered_in_time_by_who_still_lives() {
    let cells = FAULTS
        .into_iter()
        .flat_map(|fault| APIS.into_iter().map(move |api| (fault, api)));
    let cells =
        cells.flat_map(|(fault, api)| [false, true].map(|in_pieces| row(fault, api, in_pieces)));
    // Some at once: one after the other takes minutes, and all together measure the machine.
    let rows: Vec<Row> = futures_util::stream::iter(cells)
        .buffered(8)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert_eq!(
        rows.len(),
        2 * (FAULTS.len() * APIS.len() - 2),
        "all but the two an Ollama server cannot show"
    );
    let mut table = format!(
        "{:<24} {:<10} {:<6} {:<28} {:>24} {:>6}  then\n",
        "fault of the first", "API", "asked", "answered by", "after ms", "calls"
    );
    for row in &rows {
        let who: Vec<&str> = row.answered.iter().map(|(who, _)| who.as_str()).collect();
        let times: Vec<String> = row
            .answered
            .iter()
            .map(|(_, took)| took.as_millis().to_string())
            .collect();
        let form = if row.in_pieces { "stream" } else { "whole" };
        writeln!(
            table,
            "{:<24} {:<10} {form:<6} {:<28} {:>24} {:>6}  {}",
            row.name,
            row.api,
            who.join(", "),
            times.join(", "),
            row.calls,
            row.state
        )
        .unwrap();
    }
    println!("{table}");
    for row in &rows {
        let name = format!("{} of {}, in pieces: {}", row.name, row.api, row.in_pieces);
        let expected = if row.fault == Fault::Refusal {
            "declined"
        } else {
            "second"
        };
        for (who, took) in &row.answered {
            assert_eq!(who, expected, "{name}");
            assert!(*took < DEADLINE, "{name}: {took:?}");
        }
        assert!(
            (1..=row.fault.most_calls()).contains(&row.calls),
            "{name}: {} calls",
            row.calls
        );
    }
}

#[tokio::test]
async fn every_known_error_leads_to_the_next_right_step() {
    let mut seen = 0;
    let folders = APIS.map(|spec| (spec.name, spec));
    for (folder, api) in folders.into_iter().chain([("copies", &openai::SPEC)]) {
        let path = format!(
            "{}/tests/fixtures/provider/{folder}/errors.json",
            crate::REPOSITORY
        );
        let errors: Vec<Json> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for error in &errors {
            let name = format!("{folder}/{}", error["name"].as_str().unwrap());
            let (bad, good) = (
                Endpoint::start([served(error)]).await,
                Endpoint::start([Script::turns_on("lamp")]).await,
            );
            let ask = asking(api, &bad, &good);
            let answer = ask
                .complete(
                    &prompt(),
                    Instant::now().into_std() + DEADLINE,
                    Requester::default(),
                    read_draft,
                )
                .await;
            let (health, wait) = (&ask.health()[0], error["wait_s"].as_f64());
            let by = answer.as_ref().map(|answer| &*answer.provider);
            match error["act"].as_str().unwrap() {
                // Where it wants a long pause the other is asked first.
                "retry_same" => assert_eq!(
                    (by.ok(), bad.requests()),
                    (Some("second"), if wait.is_some() { 1 } else { 2 }),
                    "{name}"
                ),
                "cool_key_failover" => assert_eq!(
                    (by.ok(), bad.requests(), health.failures),
                    (Some("second"), 1, 1),
                    "{name}"
                ),
                "disabled" => assert_eq!(
                    (by.ok(), bad.requests(), health.state),
                    (Some("second"), 1, ProviderState::Disabled),
                    "{name}"
                ),
                // The sentence is to blame, so no other provider is asked.
                "decline" => assert_eq!(
                    (by.ok(), bad.requests(), health.state),
                    (None, 1, ProviderState::Up),
                    "{name}"
                ),
                "next_provider" | "doubt" => assert_eq!(
                    (by.ok(), bad.requests(), health.state),
                    (Some("second"), 1, ProviderState::Up),
                    "{name}"
                ),
                other => panic!("{name}: {other}"),
            }
            if let Some(wait) = wait.filter(|wait| *wait > 1.0) {
                let told = health.retry_after.unwrap_or_else(|| panic!("{name} rests"));
                assert!(
                    (told - wait).abs() <= wait * 0.1 + 1.0,
                    "{name}: rests for {told} s, was told {wait} s"
                );
            }
            seen += 1;
        }
    }
    assert!(seen >= 52, "only {seen} errors");
}

/// Statuses a server or a proxy may send.
fn statuses() -> impl Iterator<Item = u16> {
    (400..=431)
        .chain([451, 499])
        .chain(500..=511)
        .chain([520, 524, 529, 599])
}

/// Every 4xx and 5xx, from the API and from a proxy, of the first of two, the first two of three,
/// and the only provider.
#[tokio::test]
async fn no_status_keeps_a_request_from_an_untried_provider() {
    let mut table = format!(
        "{:<8} {:<6} {:>14} {:>16} {:>18}\n",
        "status", "from", "first of two", "first of three", "the only one"
    );
    for status in statuses() {
        for (from, body) in [("API", r#"{"error":{"message":"m"}}"#), ("proxy", "<html>")] {
            let bad = || Script::status(status, body).header("retry-after-ms", "100");
            let mut cells = Vec::new();
            for bad_ones in [1, 2] {
                let mut endpoints = Vec::new();
                for _ in 0..bad_ones {
                    endpoints.push(Endpoint::start([bad()]).await);
                }
                endpoints.push(Endpoint::start([Script::turns_on("lamp")]).await);
                let named = endpoints.iter().enumerate();
                let providers =
                    named.map(|(n, endpoint)| provider(&format!("p{n}"), endpoint.url()));
                let (asked, _) = crate::failover::asking(providers.collect());
                let begun = Instant::now();
                let answer = crate::failover::ask(&asked).await;
                let by = answer.map(|answer| answer.provider.to_string());
                assert_eq!(by, Ok(format!("p{bad_ones}")), "{status} from {from}");
                let counts: Vec<String> =
                    endpoints.iter().map(|e| e.requests().to_string()).collect();
                cells.push(format!(
                    "{} {} ms",
                    counts.join("+"),
                    begun.elapsed().as_millis()
                ));
            }
            // The only one fails once more often than it is called for one command, then works.
            let only = Endpoint::start([bad(), bad(), Script::turns_on("lamp")]).await;
            let (asked, _) = crate::failover::asking(vec![provider("only", only.url())]);
            let mut commands = 0;
            while crate::failover::ask(&asked).await.is_err() {
                commands += 1;
                assert!(
                    commands < 3,
                    "{status} from {from} disables the only provider"
                );
            }
            cells.push(format!("{} calls, {} failed", only.requests(), commands));
            writeln!(
                table,
                "{status:<8} {from:<6} {:>14} {:>16} {:>18}",
                cells[0], cells[1], cells[2]
            )
            .unwrap();
        }
    }
    println!("{table}");
}
