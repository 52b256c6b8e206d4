//! Asking models that misbehave: whatever the first does, the speaker gets one answer, in time.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use sayso::testing::command::Source;
use sayso::testing::command::phrase::Phrase;
use sayso::testing::command::reply::Refusal;
use sayso::testing::home::Home;
use sayso::testing::prompt::Composer;
use sayso::testing::provider::price::{Limits, Money, Prices};
use sayso::testing::provider::{AptitudeTest, Prompt, Settings, Structure, Timeouts, openai};
use sayso::testing::router::settings::{ProviderOrder, RouterSettings};
use sayso::testing::router::{ProviderState, Requester, RoutedAnswer, Router};
use sayso::testing::secret::Secret;
use sayso::testing::telemetry::counters::Counters;
use sayso::testing::vocabulary::action::Draft;
use serde_json::json;
use tokio::time::Instant;

use crate::endpoint::{Endpoint, Script};

/// A provider at `base_url` whose patience is short enough for a test.
pub(crate) fn provider(name: &str, base_url: String) -> Settings {
    let ms = Duration::from_millis;
    Settings {
        name: name.to_owned(),
        api: &openai::SPEC,
        base_url,
        model: "scripted".to_owned(),
        key: Secret::new("sk-scripted"),
        key_header: None,
        headers: HeaderMap::new(),
        structure: Structure::Schema,
        reasoning_effort: None,
        max_output_tokens: 500,
        requests_per_minute: None,
        tokens_per_minute: None,
        concurrency: NonZeroUsize::new(4).unwrap(),
        timeouts: Timeouts {
            connect: ms(500),
            first_byte: ms(300),
            between_bytes: ms(200),
            total: ms(1000),
        },
        prices: None,
        weight: None,
        spend: Limits::default(),
        probe: false,
        is_small: false,
        trusted: true,
        aptitude_test: AptitudeTest::Never,
    }
}

/// Those who are asked, in this order.
pub(crate) fn asking(providers: Vec<Settings>) -> (Router, Arc<Counters>) {
    let counters = Arc::<Counters>::default();
    let settings = RouterSettings {
        providers,
        longest_pause: Duration::from_millis(500),
        ..RouterSettings::default()
    };
    (
        Router::new(settings, Arc::clone(&counters)).unwrap(),
        counters,
    )
}

pub(crate) fn prompt() -> Prompt {
    Composer::default().compose(
        &Phrase::new("lamp on", None, None),
        &Home::empty("sayso"),
        "panel",
    )
}

pub(crate) async fn ask(ask: &Router) -> Result<RoutedAnswer<Draft>, Refusal> {
    ask.complete(
        &prompt(),
        within(Duration::from_secs(10)),
        Requester::default(),
        read_draft,
    )
    .await
}

/// Reads a draft as the daemon does.
pub(crate) fn read_draft(text: &str) -> Result<Draft, String> {
    sayso::testing::prompt::answer::read(text).map_err(|error| error.to_string())
}

fn within(time: Duration) -> std::time::Instant {
    Instant::now().into_std() + time
}

/// Asks a provider that does `bad`, and a good one after it. The good one must answer, once.
/// Returns the calls of the bad one.
async fn second_answers_after(bad: Script) -> usize {
    let (first, second) = (
        Endpoint::start([bad]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let (asked, counters) = asking(vec![
        provider("first", first.url()),
        provider("second", second.url()),
    ]);
    let answer = ask(&asked).await.unwrap();
    assert_eq!(
        (&*answer.provider, answer.answer.actions[0].device.as_str()),
        ("second", "lamp")
    );
    assert_eq!(second.requests(), 1);
    assert_eq!(counters.provider_failovers.value(), 1);
    first.requests()
}

#[tokio::test]
async fn a_provider_in_trouble_is_tried_again_and_then_left() {
    assert_eq!(
        second_answers_after(Script::error(500, "server_error")).await,
        2
    );
    assert_eq!(
        second_answers_after(Script::status(502, "<html>Bad Gateway</html>")).await,
        2
    );
}

#[tokio::test]
async fn a_text_that_a_filter_refuses_is_declined_and_the_next_one_is_not() {
    let flagged = json!({"error": {
        "message": "m requires moderation. Your input was flagged",
        "code": 403,
        "metadata": {"reasons": ["violence"], "flagged_input": "kill the lights"},
    }});
    let only = Endpoint::start([
        Script::status(403, flagged.to_string()),
        Script::turns_on("lamp"),
    ])
    .await;
    let (asked, _) = asking(vec![provider("only", only.url())]);
    assert!(matches!(ask(&asked).await, Err(Refusal::Declined)));
    assert!(ask(&asked).await.is_ok());
    assert_eq!(only.requests(), 2);
}

/// The key of [`provider`] as programs write it within JSON.
const ESCAPED_KEYS: [&str; 3] = [
    r"sk\u002dscripted",
    r"\u0073\u006B-scripted",
    r"sk\\u002dscripted",
];

#[tokio::test]
async fn a_key_that_a_server_escapes_is_not_repeated() {
    for key in ESCAPED_KEYS {
        for status in [200, 302, 400, 401, 403, 404, 429, 500] {
            let error = format!(r#"{{"error":{{"message":"the key {key} is bad"}}}}"#);
            let only = Endpoint::start([Script::status(status, error)]).await;
            let (asked, _) = asking(vec![provider("only", only.url())]);
            let refusal = ask(&asked).await.unwrap_err();
            let shown = format!("{refusal:?} {:?}", asked.health());
            for part in ["scripted is bad", key] {
                assert!(!shown.contains(part), "{status}: {shown}");
            }
        }
        let speech = format!(r#"{{"actions":[],"question":null,"speech":"It is {key}."}}"#);
        let only = Endpoint::start([Script::says(&speech)]).await;
        let (asked, _) = asking(vec![provider("only", only.url())]);
        let answer = ask(&asked).await.unwrap().answer;
        assert_eq!(answer.speech.as_deref(), Some("It is (key)."));
    }
}

#[tokio::test]
async fn a_denial_without_a_cause_does_not_disable_the_provider() {
    let denied = Script::status(403, r#"{"error":{"message":"Request blocked","code":403}}"#);
    let only = Endpoint::start([denied, Script::turns_on("lamp")]).await;
    let (asked, _) = asking(vec![provider("only", only.url())]);
    assert!(ask(&asked).await.is_err());
    assert_eq!(asked.health()[0].state, ProviderState::Up);
    assert!(ask(&asked).await.is_ok());
}

#[tokio::test]
async fn a_denial_that_a_free_probe_confirms_disables_the_provider() {
    let denied = || Script::status(403, r#"{"error":{"message":"Request blocked","code":403}}"#);
    let only = Endpoint::start([denied(), denied()]).await;
    let (asked, _) = asking(vec![Settings {
        probe: true,
        ..provider("only", only.url())
    }]);
    assert!(ask(&asked).await.is_err());
    let disabled = async {
        while asked.health()[0].state != ProviderState::Disabled {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = disabled => {}
        () = asked.probe_providers() => {}
        () = tokio::time::sleep(Duration::from_secs(5)) => panic!("{:?}", asked.health()),
    }
}

#[tokio::test]
async fn an_error_body_that_trickles_is_not_awaited() {
    let words = json!({"error": {"message": "x".repeat(400)}}).to_string();
    let slow = Script::status(400, words).drip(Duration::from_millis(50));
    let only = Endpoint::start([slow]).await;
    let (asked, _) = asking(vec![Settings {
        timeouts: Timeouts::HOSTED,
        ..provider("only", only.url())
    }]);
    let begun = Instant::now();
    let refusal = ask(&asked).await;
    assert!(
        matches!(refusal, Err(Refusal::NotUnderstood { .. })),
        "{refusal:?}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn an_answer_that_missed_the_schema_by_chance_is_asked_for_again() {
    let missed = json!({"error": {
        "message": "Failed to generate JSON.",
        "type": "invalid_request_error",
        "code": "json_validate_failed",
    }});
    for bad in [
        Script::status(400, missed.to_string()),
        Script::status(498, r#"{"error":{"message":"capacity exceeded"}}"#),
    ] {
        let only = Endpoint::start([bad, Script::turns_on("lamp")]).await;
        let (asked, _) = asking(vec![provider("only", only.url())]);
        assert!(ask(&asked).await.is_ok());
        assert_eq!(only.requests(), 2);
    }
}

#[tokio::test]
async fn a_rate_limit_moves_on_at_once() {
    assert_eq!(
        second_answers_after(Script::error(429, "rate_limit_exceeded").header("retry-after", "30"))
            .await,
        1
    );
}

#[tokio::test]
async fn a_hang_before_the_headers_moves_on() {
    assert_eq!(second_answers_after(Script::hang_before_headers()).await, 2);
}

#[tokio::test]
async fn a_hang_between_bytes_moves_on() {
    assert_eq!(second_answers_after(Script::hang_in_body()).await, 2);
}

#[tokio::test]
async fn a_drip_without_end_is_cut_at_the_total_time() {
    assert_eq!(
        second_answers_after(Script::turns_on("lamp").drip(Duration::from_millis(50))).await,
        2
    );
}

#[tokio::test]
async fn a_reset_moves_on() {
    assert_eq!(second_answers_after(Script::reset()).await, 2);
}

#[tokio::test]
async fn a_cut_answer_moves_on() {
    assert_eq!(second_answers_after(Script::truncate()).await, 2);
}

#[tokio::test]
async fn an_answer_cut_at_the_token_limit_moves_on_at_once() {
    let cut = Script::completion(&json!({"content": "{\"actions\":["}), "length");
    assert_eq!(second_answers_after(cut).await, 1);
}

#[tokio::test]
async fn garbage_moves_on() {
    assert_eq!(
        second_answers_after(Script::status(200, vec![0, 159, 146, 150])).await,
        1
    );
    assert_eq!(
        second_answers_after(Script::says("Sure, I turned it on!")).await,
        1
    );
    assert_eq!(
        second_answers_after(Script::says(r#"{"actions":[],"topic":"home/door/set"}"#)).await,
        1
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    assert_eq!(
        second_answers_after(Script::status(307, "").header("location", "http://127.0.0.1:1/"))
            .await,
        1
    );
}

#[tokio::test]
async fn a_body_without_end_is_read_to_one_mebibyte() {
    let (first, second) = (
        Endpoint::start([Script::endless()]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let (asked, _) = asking(vec![
        provider("first", first.url()),
        provider("second", second.url()),
    ]);
    assert_eq!(&*ask(&asked).await.unwrap().provider, "second");
    // The rest is what the sockets' buffers took, at two attempts.
    assert!(first.sent() < 24 << 20, "{} bytes", first.sent());
}

#[tokio::test]
async fn a_refusal_is_not_carried_to_the_next() {
    let refusal = Script::completion(
        &json!({"content": null, "refusal": "I can't help with that."}),
        "stop",
    );
    let (first, second) = (
        Endpoint::start([refusal]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let (asked, _) = asking(vec![
        provider("first", first.url()),
        provider("second", second.url()),
    ]);
    assert_eq!(ask(&asked).await, Err(Refusal::Declined));
    assert_eq!((first.requests(), second.requests()), (1, 0));
}

#[tokio::test]
async fn a_rejected_request_is_sent_to_every_other_provider_once() {
    let first = Endpoint::start([Script::error(400, "invalid_json_schema")]).await;
    let second = Endpoint::start([Script::error(413, "rate_limit_exceeded")]).await;
    let third = Endpoint::start([Script::turns_on("lamp")]).await;
    let (asked, _) = asking(vec![
        provider("first", first.url()),
        provider("second", second.url()),
        provider("third", third.url()),
    ]);
    for questions in 1..=5 {
        assert_eq!(&*ask(&asked).await.unwrap().provider, "third");
        assert_eq!(
            (first.requests(), second.requests()),
            (questions, questions)
        );
    }
    let (rejected, _) = asking(vec![provider("first", first.url())]);
    let failed = ask(&rejected).await;
    assert!(
        matches!(failed, Err(Refusal::NotUnderstood { .. })),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_refused_key_is_not_used_again() {
    let (first, second) = (
        Endpoint::start([Script::error(401, "invalid_api_key")]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let (asked, _) = asking(vec![
        provider("first", first.url()),
        provider("second", second.url()),
    ]);
    for _ in 0..3 {
        assert_eq!(&*ask(&asked).await.unwrap().provider, "second");
    }
    assert_eq!((first.requests(), second.requests()), (1, 3));
    let health = asked.health();
    assert_eq!(
        (health[0].state, health[1].state),
        (ProviderState::Disabled, ProviderState::Up)
    );
    assert!(
        health[0]
            .why
            .as_ref()
            .unwrap()
            .contains("correct its key file"),
        "{:?}",
        health[0].why
    );
}

#[tokio::test]
async fn a_lone_provider_is_tried_again_after_a_500() {
    let only =
        Endpoint::start([Script::error(500, "server_error"), Script::turns_on("lamp")]).await;
    let (asked, counters) = asking(vec![provider("only", only.url())]);
    assert_eq!(&*ask(&asked).await.unwrap().provider, "only");
    assert_eq!((only.requests(), counters.provider_retries.value()), (2, 1));
}

#[tokio::test]
async fn a_short_rate_limit_of_a_lone_provider_is_waited_for() {
    let limited = Script::error(429, "rate_limit_exceeded").header("retry-after-ms", "200");
    let only = Endpoint::start([limited, Script::turns_on("lamp")]).await;
    let (asked, _) = asking(vec![provider("only", only.url())]);
    let begun = Instant::now();
    ask(&asked).await.unwrap();
    assert!(
        begun.elapsed() >= Duration::from_millis(200),
        "asked again after {:?}",
        begun.elapsed()
    );
    assert_eq!(only.requests(), 2);
}

#[tokio::test]
async fn where_all_rest_only_rate_limits_are_respected() {
    let limited =
        Endpoint::start([Script::error(429, "rate_limit_exceeded").header("retry-after", "30")])
            .await;
    let overloaded =
        Endpoint::start([Script::error(503, "overloaded").header("retry-after", "20")]).await;
    let (asked, _) = asking(vec![
        provider("limited", limited.url()),
        provider("overloaded", overloaded.url()),
    ]);
    for _ in 0..2 {
        let begun = Instant::now();
        let Err(Refusal::NobodyAnswered { retry_after, .. }) = ask(&asked).await else {
            panic!("somebody answered")
        };
        assert_eq!(retry_after, None, "the next command calls one at once");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
    assert_eq!(
        (limited.requests(), overloaded.requests()),
        (1, 2),
        "a pause after an error is cut short where no other provider is left"
    );
    assert_eq!(
        asked.health().iter().map(|h| h.state).collect::<Vec<_>>(),
        [ProviderState::Resting, ProviderState::Resting]
    );
}

#[tokio::test]
async fn a_call_cut_off_by_its_command_does_not_count_against_the_provider() {
    let slow = || Script::turns_on("lamp").after(Duration::from_millis(700));
    let only = Endpoint::start([slow(), slow(), slow(), slow(), Script::turns_on("lamp")]).await;
    let (asked, _) = asking(vec![Settings {
        timeouts: Timeouts {
            first_byte: Duration::from_secs(3),
            total: Duration::from_secs(3),
            ..provider("only", only.url()).timeouts
        },
        ..provider("only", only.url())
    }]);
    for _ in 0..4 {
        let end = within(Duration::from_millis(400));
        let refusal = asked
            .complete(&prompt(), end, Requester::default(), read_draft)
            .await;
        assert!(matches!(refusal, Err(Refusal::NobodyAnswered { .. })));
    }
    let health = asked.health().remove(0);
    assert_eq!((health.state, health.failures), (ProviderState::Up, 0));
    assert!(ask(&asked).await.is_ok());
}

#[tokio::test]
async fn a_provider_slower_than_the_time_left_is_called_last() {
    let pause = Duration::from_millis(700);
    let slow = Endpoint::start([Script::turns_on("lamp").after(pause)]).await;
    let quick = Endpoint::start([Script::turns_on("lamp")]).await;
    let (asked, _) = asking(vec![
        Settings {
            timeouts: Timeouts::HOSTED,
            ..provider("slow", slow.url())
        },
        provider("quick", quick.url()),
    ]);
    for _ in 0..3 {
        assert_eq!(&*ask(&asked).await.unwrap().provider, "slow");
    }
    let end = within(Duration::from_millis(600));
    let answer = asked
        .complete(&prompt(), end, Requester::default(), read_draft)
        .await;
    assert_eq!(
        answer.map(|answer| answer.provider.to_string()),
        Ok("quick".to_owned())
    );
    assert_eq!(slow.requests(), 3);
}

/// Asks on behalf of this source.
async fn ask_for(
    asked: &Router,
    source: &str,
    time: Duration,
) -> Result<RoutedAnswer<Draft>, Refusal> {
    let requester = Requester {
        source: Some(Source::new(source)),
        ..Requester::default()
    };
    asked
        .complete(&prompt(), within(time), requester, read_draft)
        .await
}

/// A provider that answers one call at a time, each after `pause`.
async fn one_at_a_time(pause: Duration) -> (Endpoint, Router) {
    let only = Endpoint::start([Script::turns_on("lamp").after(pause)]).await;
    let (asked, _) = asking(vec![Settings {
        concurrency: NonZeroUsize::MIN,
        timeouts: Timeouts::HOSTED,
        ..provider("only", only.url())
    }]);
    (only, asked)
}

#[tokio::test]
async fn a_source_waits_for_no_more_than_one_call_of_another() {
    let (only, asked) = one_at_a_time(Duration::from_millis(300)).await;
    let long = Duration::from_secs(10);
    let guest = async {
        let all = (0..5).map(|_| ask_for(&asked, "guest", long));
        futures_util::future::join_all(all).await
    };
    let owner = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let answer = ask_for(&asked, "owner", long).await;
        (answer, only.requests())
    };
    let (of_guest, (of_owner, calls)) = tokio::join!(guest, owner);
    assert!(of_guest.iter().all(Result::is_ok) && of_owner.is_ok());
    assert!(calls <= 3, "the owner was served after {calls} calls");
}

#[tokio::test]
async fn a_command_that_finds_no_slot_in_time_is_told_that_all_are_busy() {
    let (_only, asked) = one_at_a_time(Duration::from_millis(1500)).await;
    let (of_guest, of_owner) = tokio::join!(
        ask_for(&asked, "guest", Duration::from_secs(10)),
        ask_for(&asked, "owner", Duration::from_millis(800)),
    );
    assert!(of_guest.is_ok());
    let Err(Refusal::Busy { retry_after }) = of_owner else {
        panic!("{of_owner:?}");
    };
    assert!(retry_after <= Duration::from_secs(2), "{retry_after:?}");
}

#[tokio::test]
async fn a_hang_does_not_outlast_the_deadline() {
    let only = Endpoint::start([Script::hang_before_headers()]).await;
    let slow = Settings {
        timeouts: Timeouts::default(),
        ..provider("only", only.url())
    };
    let (asked, _) = asking(vec![slow]);
    let begun = Instant::now();
    let answer = asked
        .complete(
            &prompt(),
            within(Duration::from_millis(700)),
            Requester::default(),
            read_draft,
        )
        .await;
    assert!(
        matches!(answer, Err(Refusal::NobodyAnswered { .. })),
        "{answer:?}"
    );
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        asked
            .complete(
                &prompt(),
                within(Duration::from_millis(100)),
                Requester::default(),
                read_draft
            )
            .await,
        Err(Refusal::TooLate)
    );
}

#[tokio::test]
async fn a_slow_failure_is_not_repeated_while_another_has_yet_to_be_asked() {
    let (first, second) = (
        Endpoint::start([Script::hang_before_headers()]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let patient = Settings {
        timeouts: Timeouts::default(),
        ..provider("first", first.url())
    };
    let (asked, _) = asking(vec![patient, provider("second", second.url())]);
    let answer = asked
        .complete(
            &prompt(),
            within(Duration::from_secs(4)),
            Requester::default(),
            read_draft,
        )
        .await
        .unwrap();
    assert_eq!((&*answer.provider, first.requests()), ("second", 1));
}

/// Lets `time` pass in an instant, for what is measured on tokio's clock.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_failing_provider_is_left_alone_until_a_probe_succeeds() {
    let mut scripts = vec![Script::error(500, "server_error"); 3];
    scripts.push(Script::turns_on("lamp"));
    let (first, second) = (
        Endpoint::start(scripts).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let (asked, _) = asking(vec![
        provider("first", first.url()),
        provider("second", second.url()),
    ]);
    for _ in 0..4 {
        assert_eq!(&*ask(&asked).await.unwrap().provider, "second");
    }
    assert_eq!(
        first.requests(),
        3,
        "open after three failures, and then not asked"
    );
    assert_eq!(asked.health()[0].state, ProviderState::Open);
    pass(Duration::from_secs(13)).await;
    for state in [ProviderState::HalfOpen, ProviderState::Up] {
        assert_eq!(&*ask(&asked).await.unwrap().provider, "first");
        assert_eq!(asked.health()[0].state, state);
    }
    assert_eq!(second.requests(), 4);
}

#[tokio::test]
async fn a_probe_given_up_makes_room_for_the_next() {
    let mut scripts = vec![Script::error(500, "server_error"); 3];
    scripts.extend([Script::hang_before_headers(), Script::turns_on("lamp")]);
    let (first, second) = (
        Endpoint::start(scripts).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let (asked, _) = asking(vec![
        provider("first", first.url()),
        provider("second", second.url()),
    ]);
    for _ in 0..2 {
        ask(&asked).await.unwrap();
    }
    pass(Duration::from_secs(13)).await;
    assert!(
        tokio::time::timeout(Duration::from_millis(100), ask(&asked))
            .await
            .is_err()
    );
    assert_eq!(&*ask(&asked).await.unwrap().provider, "first");
}

#[tokio::test]
async fn an_open_breaker_does_not_silence_the_last_provider() {
    let mut scripts = vec![Script::error(500, "server_error"); 3];
    scripts.push(Script::turns_on("lamp"));
    let only = Endpoint::start(scripts).await;
    let (asked, _) = asking(vec![provider("only", only.url())]);
    for _ in 0..2 {
        assert!(ask(&asked).await.is_err());
        if asked.health()[0].state == ProviderState::Open {
            break;
        }
    }
    assert_eq!(asked.health()[0].state, ProviderState::Open);
    assert_eq!(&*ask(&asked).await.unwrap().provider, "only");
}

#[tokio::test]
async fn no_more_calls_at_once_than_allowed() {
    let only = Endpoint::start([Script::turns_on("lamp").after(Duration::from_millis(50))]).await;
    let (asked, _) = asking(vec![Settings {
        concurrency: NonZeroUsize::MIN,
        ..provider("only", only.url())
    }]);
    let answers = futures_util::future::join_all((0..5).map(|_| ask(&asked))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!((only.requests(), only.most_at_once()), (5, 1));
}

#[tokio::test]
async fn a_question_given_up_makes_room_for_the_next() {
    let only = Endpoint::start([Script::hang_before_headers(), Script::turns_on("lamp")]).await;
    let (asked, _) = asking(vec![Settings {
        concurrency: NonZeroUsize::MIN,
        ..provider("only", only.url())
    }]);
    let given_up = tokio::time::timeout(Duration::from_millis(100), ask(&asked)).await;
    assert!(given_up.is_err());
    ask(&asked).await.unwrap();
    let health = &asked.health()[0];
    assert_eq!(
        (health.in_flight, health.failures),
        (0, 0),
        "giving up is not the provider's failure"
    );
}

/// As `provider`, but it may be silent for longer than the patience of [`impatient`].
fn patient(name: &str, base_url: String) -> Settings {
    let s = Duration::from_secs;
    Settings {
        timeouts: Timeouts {
            connect: s(1),
            first_byte: s(4),
            between_bytes: s(4),
            total: s(6),
        },
        ..provider(name, base_url)
    }
}

/// Those who are asked; whoever is silent for 200 ms is waited for by the way only.
fn impatient(providers: Vec<Settings>) -> (Router, Arc<Counters>) {
    let counters = Arc::<Counters>::default();
    let settings = RouterSettings {
        providers,
        patience: Duration::from_millis(200),
        ..RouterSettings::default()
    };
    (
        Router::new(settings, Arc::clone(&counters)).unwrap(),
        counters,
    )
}

#[tokio::test]
async fn a_silent_provider_holds_only_the_first_up_and_only_for_a_moment() {
    let (silent, good) = (
        Endpoint::start([Script::hang_before_headers()]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let (asked, _) = impatient(vec![
        patient("silent", silent.url()),
        patient("good", good.url()),
    ]);
    let question = |n: u64| {
        let asked = &asked;
        async move {
            tokio::time::sleep(Duration::from_millis(20 * n)).await;
            let begun = Instant::now();
            assert_eq!(&*ask(asked).await.unwrap().provider, "good");
            begun.elapsed()
        }
    };
    let mut times = futures_util::future::join_all((0..50).map(question)).await;
    times.sort_unstable();
    assert!(silent.requests() <= 4, "asked {} times", silent.requests());
    assert!(
        times[25] < Duration::from_millis(100),
        "the median took {:?}",
        times[25]
    );
    assert!(
        times[49] < Duration::from_millis(1200),
        "the slowest took {:?}",
        times[49]
    );
    assert_eq!(asked.health()[0].state, ProviderState::Stalled);
}

#[tokio::test]
async fn a_slow_model_alone_is_waited_for() {
    let slow = Endpoint::start([Script::turns_on("lamp").after(Duration::from_millis(800))]).await;
    let (asked, _) = impatient(vec![Settings {
        concurrency: NonZeroUsize::MIN,
        ..patient("slow", slow.url())
    }]);
    let (one, two) = tokio::join!(ask(&asked), ask(&asked));
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    assert_eq!(
        (slow.requests(), slow.most_at_once()),
        (2, 1),
        "nothing is asked twice, and nothing beside another"
    );
}

#[tokio::test]
async fn a_model_that_has_shown_to_be_slow_is_given_its_time() {
    let slow = Endpoint::start([Script::turns_on("lamp").after(Duration::from_millis(600))]).await;
    let quick = Endpoint::start([Script::turns_on("lamp")]).await;
    let (asked, counters) = impatient(vec![
        patient("slow", slow.url()),
        patient("quick", quick.url()),
    ]);
    assert_eq!(&*ask(&asked).await.unwrap().provider, "quick");
    tokio::time::sleep(Duration::from_millis(700)).await;
    let health = &asked.health()[0];
    assert_eq!(
        (
            health.state,
            health.calls,
            health.failures,
            health.in_flight
        ),
        (ProviderState::Up, 1, 0, 0),
        "the call was let end, and counts for it"
    );
    assert_eq!(&*ask(&asked).await.unwrap().provider, "slow");
    assert_eq!(
        (quick.requests(), counters.provider_failovers.value()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_provider_on_trial_holds_nobody_up() {
    let mut scripts = vec![Script::error(500, "server_error"); 3];
    scripts.push(Script::hang_before_headers());
    let (first, second) = (
        Endpoint::start(scripts).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let (asked, _) = asking(vec![
        patient("first", first.url()),
        patient("second", second.url()),
    ]);
    for _ in 0..2 {
        ask(&asked).await.unwrap();
    }
    pass(Duration::from_secs(13)).await;
    let begun = Instant::now();
    assert_eq!(&*ask(&asked).await.unwrap().provider, "second");
    assert!(
        begun.elapsed() < Duration::from_millis(1500),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(first.requests(), 4);
}

#[tokio::test]
async fn while_all_are_down_they_are_not_stormed() {
    let (first, second) = (
        Endpoint::start([Script::error(500, "server_error")]).await,
        Endpoint::start([Script::error(503, "overloaded")]).await,
    );
    let (asked, _) = asking(vec![
        provider("first", first.url()),
        provider("second", second.url()),
    ]);
    for _ in 0..100 {
        assert!(matches!(
            ask(&asked).await,
            Err(Refusal::NobodyAnswered { .. })
        ));
    }
    let calls = first.requests() + second.requests();
    let free_of_budget = 2 * 3;
    let budget = 30 + 100 / 5;
    let retries = asked.retries();
    println!(
        "all down: 100 questions cost {calls} calls, {} of them of the retry budget of {}",
        retries.spent, retries.most
    );
    assert!(
        calls <= free_of_budget + budget,
        "100 questions cost {calls} calls"
    );
    assert!(
        retries.spent <= retries.most && usize::try_from(retries.most).unwrap() == budget,
        "{retries:?}"
    );
}

#[tokio::test]
async fn what_is_known_of_a_provider_outlives_a_reload_that_does_not_change_it() {
    let mut scripts = vec![Script::error(500, "server_error"); 3];
    scripts.push(Script::turns_on("lamp"));
    let (failing, limited, other) = (
        Endpoint::start(scripts).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let settings = [
        Settings {
            prices: Some(Prices {
                input: Money(1),
                cached: Money(1),
                written: Money(1),
                output: Money(1),
            }),
            ..provider("limited", limited.url())
        },
        provider("failing", failing.url()),
        provider("other", other.url()),
    ];
    let settings = settings.map(|one| {
        if one.name == "limited" {
            Settings {
                requests_per_minute: NonZeroU32::new(1),
                ..one
            }
        } else {
            one
        }
    });
    let (asked, _) = asking(settings.to_vec());
    for expected in ["limited", "other", "other"] {
        assert_eq!(&*ask(&asked).await.unwrap().provider, expected);
    }
    let before = asked.health();
    let reordered = [1, 0, 2].map(|n| settings[n].clone()).to_vec();
    let again = asked
        .renewed(RouterSettings {
            providers: reordered,
            patience: Duration::from_secs(1),
            ..RouterSettings::default()
        })
        .unwrap();
    assert_eq!(
        [1, 0, 2]
            .map(|n| again.health()[n].clone())
            .to_vec()
            .iter()
            .map(|h| (h.calls, h.failures, h.mean_ms))
            .collect::<Vec<_>>(),
        before
            .iter()
            .map(|h| (h.calls, h.failures, h.mean_ms))
            .collect::<Vec<_>>()
    );
    assert_eq!(again.health()[0].state, ProviderState::Open);
    assert_eq!(again.retries(), asked.retries());
    assert_eq!(&*ask(&again).await.unwrap().provider, "other");
    assert_eq!(
        (failing.requests(), limited.requests()),
        (3, 1),
        "neither open breaker nor limit is forgotten"
    );
    // Of what has changed only what was spent is known.
    let changed = settings.map(|one| Settings {
        key: Secret::new("sk-another"),
        ..one
    });
    let renewed = again
        .renewed(RouterSettings {
            providers: changed.to_vec(),
            ..RouterSettings::default()
        })
        .unwrap();
    renewed.apply_settings();
    assert!(
        renewed
            .health()
            .iter()
            .all(|health| (health.state, health.calls) == (ProviderState::Up, 0))
    );
    assert_eq!(renewed.health()[0].spent_today, Some(1.2e-7));
    assert_eq!(&*ask(&renewed).await.unwrap().provider, "limited");
}

#[tokio::test]
async fn who_asks_for_a_long_pause_is_not_waited_for_while_another_is_ready() {
    let overloaded = Script::error(503, "overloaded").header("retry-after", "2");
    let (first, second) = (
        Endpoint::start([overloaded]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let (asked, _) = asking(vec![
        provider("first", first.url()),
        provider("second", second.url()),
    ]);
    assert_eq!(&*ask(&asked).await.unwrap().provider, "second");
    assert_eq!(first.requests(), 1, "it was waited for");
}

#[tokio::test]
async fn the_key_goes_to_the_provider_and_the_phrase_alone_in_its_message() {
    let only = Endpoint::start([Script::turns_on("lamp")]).await;
    let (asked, _) = asking(vec![provider("only", only.url())]);
    let answer = ask(&asked).await.unwrap();
    assert_eq!((answer.usage.input, answer.usage.output), (100, 20));
    assert!(only.heads()[0].starts_with("post /v1/chat/completions http/1.1\r\n"));
    assert!(only.heads()[0].contains("authorization: bearer sk-scripted\r\n"));
    assert_eq!(
        only.bodies()[0]["messages"][1]["content"],
        "command: lamp on"
    );
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_the_start() {
    let only = Endpoint::start([Script::turns_on("lamp")]).await;
    for base_url in ["", "localhost:8080/v1", "ftp://localhost/v1", "http://"] {
        let wrong = Settings {
            base_url: base_url.to_owned(),
            ..provider("wrong", only.url())
        };
        let settings = RouterSettings {
            providers: vec![wrong],
            attempts: NonZeroU32::MIN,
            ..RouterSettings::default()
        };
        let error = Router::new(settings, Arc::default())
            .err()
            .unwrap()
            .to_string();
        assert!(error.starts_with("provider `wrong`: `base_url`"), "{error}");
    }
    let (nobody, _) = asking(Vec::new());
    assert_eq!(ask(&nobody).await, Err(Refusal::NoModel));
}

#[tokio::test]
async fn the_fastest_is_asked_first_and_a_slow_one_is_tried_again_some_time() {
    let slow = Endpoint::start([Script::turns_on("lamp").after(Duration::from_millis(300))]).await;
    let quick = Endpoint::start([Script::turns_on("lamp")]).await;
    let providers = vec![patient("slow", slow.url()), patient("quick", quick.url())];
    let settings = RouterSettings {
        providers,
        order: ProviderOrder::Fastest,
        ..RouterSettings::default()
    };
    let asked = Router::new(settings, Arc::default()).unwrap();
    for expected in ["slow", "quick", "quick", "quick"] {
        assert_eq!(
            &*ask(&asked).await.unwrap().provider,
            expected,
            "each is tried once, then the faster is asked"
        );
    }
    pass(Duration::from_mins(20)).await;
    ask(&asked).await.unwrap();
    pass(Duration::from_mins(20)).await;
    ask(&asked).await.unwrap();
    assert_eq!(slow.requests() + quick.requests(), 6);
}

#[tokio::test]
async fn those_alike_share_the_work_by_their_weights() {
    let (one, three) = (
        Endpoint::start([Script::turns_on("lamp")]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let weighed = |name, endpoint: &Endpoint, weight| Settings {
        weight: NonZeroU32::new(weight),
        ..provider(name, endpoint.url())
    };
    let (asked, _) = asking(vec![weighed("one", &one, 1), weighed("three", &three, 3)]);
    for _ in 0..200 {
        ask(&asked).await.unwrap();
    }
    assert_eq!(one.requests() + three.requests(), 200);
    // 50 are expected; 25 or 75 are four standard deviations away.
    assert!(
        (25..=75).contains(&one.requests()),
        "{} of 200",
        one.requests()
    );
}

#[tokio::test]
async fn few_questions_are_hedged_and_only_late_ones() {
    let mut scripts = vec![Script::turns_on("lamp"); 40];
    scripts.push(Script::turns_on("lamp").after(Duration::from_millis(1500)));
    let (first, second) = (
        Endpoint::start(scripts).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let settings = RouterSettings {
        providers: vec![
            patient("first", first.url()),
            patient("second", second.url()),
        ],
        hedge: true,
        ..RouterSettings::default()
    };
    let asked = Router::new(settings, Arc::default()).unwrap();
    for _ in 0..40 {
        ask(&asked).await.unwrap();
    }
    let before = second.requests();
    let begun = Instant::now();
    ask(&asked).await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_millis(1400),
        "it was not waited for: {:?}",
        begun.elapsed()
    );
    assert!(
        second.requests() - before == 1 && before <= 2,
        "{before} before"
    );
}

#[tokio::test]
async fn a_provider_that_bears_more_is_given_more_and_one_that_does_not_less() {
    let only = Endpoint::start([Script::turns_on("lamp").after(Duration::from_millis(20))]).await;
    let (asked, _) = asking(vec![Settings {
        concurrency: NonZeroUsize::new(8).unwrap(),
        ..provider("only", only.url())
    }]);
    futures_util::future::join_all((0..60).map(|_| ask(&asked))).await;
    assert_eq!((only.most_at_once(), asked.health()[0].concurrency), (8, 8));
    let busy = Endpoint::start([Script::error(503, "overloaded")]).await;
    let (asked, _) = asking(vec![provider("busy", busy.url())]);
    for _ in 0..4 {
        let _ = ask(&asked).await;
    }
    assert_eq!(
        (asked.health()[0].concurrency, asked.health()[0].in_flight),
        (1, 0),
        "fewer, and never none"
    );
}

#[tokio::test]
async fn a_burst_waits_for_the_probe_of_the_only_provider() {
    let mut scripts = vec![Script::error(500, "server_error"); 3];
    scripts.push(Script::turns_on("lamp").after(Duration::from_millis(100)));
    let only = Endpoint::start(scripts).await;
    let (asked, _) = asking(vec![provider("only", only.url())]);
    for _ in 0..2 {
        let _ = ask(&asked).await;
    }
    assert_eq!(asked.health()[0].state, ProviderState::Open);
    pass(Duration::from_secs(13)).await;
    let answers = futures_util::future::join_all((0..40).map(|_| ask(&asked))).await;
    let failed: Vec<_> = answers.iter().filter(|answer| answer.is_err()).collect();
    assert!(
        failed.is_empty(),
        "{} of 40 failed: {:?}",
        failed.len(),
        failed[0]
    );
}

#[tokio::test]
async fn a_disabled_provider_is_tried_again_after_a_minute_doubling() {
    let mut scripts = vec![Script::error(401, "invalid_api_key"); 2];
    scripts.push(Script::turns_on("lamp"));
    let first = Endpoint::start(scripts).await;
    let second = Endpoint::start([Script::turns_on("lamp")]).await;
    let (asked, _) = asking(vec![
        provider("first", first.url()),
        provider("second", second.url()),
    ]);
    for (wait, by, calls) in [
        (0, "second", 1),
        (58, "second", 1),
        (3, "second", 2),
        (118, "second", 2),
        (3, "first", 3),
        (0, "first", 4),
    ] {
        pass(Duration::from_secs(wait)).await;
        assert_eq!(&*ask(&asked).await.unwrap().provider, by, "after {wait} s");
        assert_eq!(first.requests(), calls, "after {wait} s");
    }
    assert_eq!(asked.health()[0].state, ProviderState::Up);
}

#[tokio::test]
async fn health_says_what_to_correct_and_when_the_next_try_is() {
    let first = Endpoint::start([Script::error(401, "invalid_api_key")]).await;
    let second = Endpoint::start([Script::turns_on("lamp")]).await;
    let (asked, _) = asking(vec![
        provider("first", first.url()),
        provider("second", second.url()),
    ]);
    ask(&asked).await.unwrap();
    let health = &asked.health()[0];
    let next_try = health.retry_after.unwrap();
    assert!((40.0..=60.0).contains(&next_try), "{next_try}");
    let why = health.why.as_ref().unwrap();
    assert!(why.contains("correct its key file"), "{why}");
}

/// Each command calls the only provider although it is not available. That does not lengthen the
/// time until it is used again beside others.
#[tokio::test]
async fn the_commands_of_an_outage_do_not_lengthen_it() {
    for (failure, longest) in [
        (Script::error(401, "invalid_api_key"), 60.0),
        (Script::error(404, "model_not_found"), 60.0),
        (Script::error(500, "server_error"), 12.0),
        (Script::reset(), 12.0),
    ] {
        let only = Endpoint::start([failure]).await;
        let (asked, _) = asking(vec![provider("only", only.url())]);
        for _ in 0..8 {
            ask(&asked).await.unwrap_err();
        }
        let health = &asked.health()[0];
        assert!(only.requests() >= 8, "{} calls", only.requests());
        let next_try = health.retry_after.unwrap_or_default();
        assert!(next_try <= longest, "{next_try} s: {:?}", health.why);
    }
}

#[tokio::test]
async fn a_reset_calls_a_provider_again_at_once() {
    for bad in [
        Script::error(401, "invalid_api_key"),
        Script::error(429, "rate_limit_exceeded").header("retry-after", "600"),
        Script::error(503, "overloaded").header("retry-after", "600"),
    ] {
        let first = Endpoint::start([bad, Script::turns_on("lamp")]).await;
        let second = Endpoint::start([Script::turns_on("lamp")]).await;
        let (asked, _) = asking(vec![
            provider("first", first.url()),
            provider("second", second.url()),
        ]);
        for _ in 0..2 {
            assert_eq!(&*ask(&asked).await.unwrap().provider, "second");
        }
        assert_eq!(asked.reset(Some("nobody")), Vec::<String>::new());
        assert_eq!(asked.reset(None), ["first", "second"]);
        assert_eq!(&*ask(&asked).await.unwrap().provider, "first");
    }
}

#[tokio::test]
async fn an_only_provider_that_was_disabled_or_asked_for_a_pause_is_called_by_the_next_command() {
    for bad in [
        Script::error(401, "invalid_api_key"),
        Script::error(403, "forbidden"),
        Script::error(404, "model_not_found"),
        Script::status(301, ""),
        Script::error(503, "overloaded").header("retry-after", "3600"),
    ] {
        let only = Endpoint::start([bad.clone(), Script::turns_on("lamp")]).await;
        let (asked, _) = asking(vec![provider("only", only.url())]);
        assert!(ask(&asked).await.is_err(), "{bad:?}");
        assert_eq!(&*ask(&asked).await.unwrap().provider, "only", "{bad:?}");
        assert_eq!(asked.health()[0].state, ProviderState::Up, "{bad:?}");
    }
}

#[tokio::test]
async fn a_retry_after_of_zero_in_the_past_or_by_another_clock_is_a_short_pause() {
    for (name, date, retry_after) in [
        ("zero", None, "0"),
        ("negative", None, "-5"),
        ("past", None, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (
            "other clock",
            Some("Wed, 01 Jan 2031 00:00:00 GMT"),
            "Wed, 01 Jan 2031 00:00:01 GMT",
        ),
    ] {
        let mut limited =
            Script::error(429, "rate_limit_exceeded").header("retry-after", retry_after);
        if let Some(date) = date {
            limited = limited.header("date", date);
        }
        let only = Endpoint::start([limited, Script::turns_on("lamp")]).await;
        let (asked, _) = asking(vec![provider("only", only.url())]);
        let begun = Instant::now();
        ask(&asked)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(begun.elapsed() < Duration::from_secs(3), "{name}");
    }
}

#[tokio::test]
async fn a_reload_ends_a_pause_but_not_a_rate_limit() {
    let resting = Endpoint::start([
        Script::error(503, "overloaded").header("retry-after", "3600"),
        Script::turns_on("lamp"),
    ])
    .await;
    let limited = Endpoint::start([
        Script::error(429, "rate_limit_exceeded").header("retry-after", "600"),
        Script::turns_on("lamp"),
    ])
    .await;
    let last = Endpoint::start([Script::turns_on("lamp")]).await;
    let providers = vec![
        provider("limited", limited.url()),
        provider("resting", resting.url()),
        provider("last", last.url()),
    ];
    let (asked, _) = asking(providers.clone());
    assert_eq!(&*ask(&asked).await.unwrap().provider, "last");
    let renewed = asked
        .renewed(RouterSettings {
            providers,
            ..RouterSettings::default()
        })
        .unwrap();
    renewed.apply_settings();
    assert_eq!(&*ask(&renewed).await.unwrap().provider, "resting");
}

#[tokio::test]
async fn the_words_of_a_server_error_are_kept() {
    let words = r#"{"error":{"message":"Input should be 'text' or 'json_object'"}}"#;
    let only = Endpoint::start([Script::status(500, words)]).await;
    let (asked, _) = asking(vec![provider("only", only.url())]);
    let Err(Refusal::NobodyAnswered { why, .. }) = ask(&asked).await else {
        panic!("answered")
    };
    assert!(why.contains("Input should be 'text'"), "{why}");
}

/// The configurations of `docs/models.md` for services that speak Chat Completions with headers or
/// paths of their own.
#[tokio::test]
async fn azure_and_openrouter_get_their_paths_and_headers() {
    let fake = Endpoint::start([Script::turns_on("lamp")]).await;
    let root = fake.url().replace("/v1", "");
    let azure = Settings {
        key_header: Some("api-key".parse().unwrap()),
        model: "my-deployment".to_owned(),
        ..provider("azure", format!("{root}/openai/v1"))
    };
    let mut openrouter = provider("openrouter", format!("{root}/api/v1"));
    for (name, value) in [
        ("http-referer", "https://home.example"),
        ("x-title", "sayso"),
    ] {
        let name: reqwest::header::HeaderName = name.parse().unwrap();
        openrouter.headers.insert(name, value.parse().unwrap());
    }
    for (settings, path, headers) in [
        (
            azure,
            "/openai/v1/chat/completions",
            vec!["api-key: sk-scripted"],
        ),
        (
            openrouter,
            "/api/v1/chat/completions",
            vec![
                "authorization: bearer sk-scripted",
                "http-referer: https://home.example",
                "x-title: sayso",
            ],
        ),
    ] {
        let (asked, _) = asking(vec![settings]);
        ask(&asked).await.unwrap();
        let head = fake.heads().pop().unwrap();
        assert!(
            head.starts_with(&format!("post {path} http/1.1\r\n")),
            "{head}"
        );
        for header in headers {
            assert!(head.contains(&format!("{header}\r\n")), "{head}");
        }
        let body = fake.bodies().pop().unwrap();
        assert_eq!(body.get("max_completion_tokens"), None, "{body}");
    }
}
