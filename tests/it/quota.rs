//! Limits on providers: ours and theirs. Reaching one moves on to the next provider before a call
//! is wasted.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sayso::testing::command::reply::Refusal;
use sayso::testing::provider::price::{Limits, Money, Prices};
use sayso::testing::provider::{Settings, Timeouts};
use sayso::testing::store;
use sayso::testing::store::spending::Spending;
use serde_json::json;
use tokio::time::Instant;

use crate::endpoint::{Endpoint, Script};
use crate::failover::{ask, asking, pass, prompt, provider};
use crate::scene::Scene;

fn n(n: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(n)
}

#[tokio::test]
async fn past_the_requests_of_a_minute_the_next_provider_is_asked() {
    let (first, second) = (
        Endpoint::start([Script::turns_on("lamp")]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let limited = Settings {
        requests_per_minute: n(2),
        ..provider("first", first.url())
    };
    let (asked, _) = asking(vec![limited, provider("second", second.url())]);
    for expected in ["first", "first", "second", "second"] {
        assert_eq!(&*ask(&asked).await.unwrap().provider, expected);
    }
    assert_eq!((first.requests(), second.requests()), (2, 2));
}

#[tokio::test]
async fn with_nobody_left_it_says_when_the_next_is_allowed() {
    let only = Endpoint::start([Script::turns_on("lamp")]).await;
    let (asked, _) = asking(vec![Settings {
        requests_per_minute: n(1),
        ..provider("only", only.url())
    }]);
    ask(&asked).await.unwrap();
    let Err(Refusal::NobodyAnswered {
        retry_after: Some(wait),
        ..
    }) = ask(&asked).await
    else {
        panic!("let through")
    };
    assert!((55..=60).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(only.requests(), 1);
}

#[tokio::test]
async fn tokens_not_used_are_given_back() {
    let only = Endpoint::start([Script::turns_on("lamp")]).await;
    // Room for one reservation, and for the 120 tokens each call uses by the provider's count.
    let reserved =
        u32::try_from((prompt().prefix.len() + prompt().phrase.len()).div_ceil(3) + 500 + 5 * 120)
            .unwrap();
    let (asked, _) = asking(vec![Settings {
        tokens_per_minute: n(reserved),
        ..provider("only", only.url())
    }]);
    for _ in 0..5 {
        ask(&asked).await.unwrap();
    }
    assert_eq!(only.requests(), 5);
}

#[tokio::test]
async fn tokens_of_a_provider_that_does_not_count_stay_used() {
    let uncounted =
        r#"{"choices":[{"message":{"content":"{\"actions\":[]}"},"finish_reason":"stop"}]}"#;
    let (first, second) = (
        Endpoint::start([Script::status(200, uncounted)]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let limited = Settings {
        tokens_per_minute: n(1000),
        ..provider("first", first.url())
    };
    let (asked, _) = asking(vec![limited, provider("second", second.url())]);
    for expected in ["first", "second"] {
        assert_eq!(&*ask(&asked).await.unwrap().provider, expected);
    }
}

#[tokio::test]
async fn in_no_minute_of_five_are_the_limits_passed_and_nearly_all_of_them_is_used() {
    const REQUESTS: usize = 40;
    const TOKENS: usize = 12_000;
    let counting = || async {
        let calls = Arc::<Mutex<Vec<Instant>>>::default();
        let calls_at_fake = Arc::clone(&calls);
        let endpoint = Endpoint::answering(move |_, _| {
            calls_at_fake.lock().unwrap().push(Instant::now());
            Script::turns_on("lamp")
        });
        (endpoint.await, calls)
    };
    let ((by_requests, requests), (by_tokens, calls), (other, _)) =
        (counting().await, counting().await, counting().await);
    let first = Settings {
        requests_per_minute: n(40),
        ..provider("by requests", by_requests.url())
    };
    let second = Settings {
        tokens_per_minute: n(12_000),
        max_output_tokens: 100,
        ..provider("by tokens", by_tokens.url())
    };
    let (asked, _) = asking(vec![first, second, provider("other", other.url())]);
    let begun = Instant::now();
    for _ in 0..1000 {
        ask(&asked).await.unwrap();
        pass(Duration::from_millis(300)).await;
    }
    let (took, requests, calls) = (
        begun.elapsed(),
        requests.lock().unwrap().clone(),
        calls.lock().unwrap().clone(),
    );
    let most = |calls: &[Instant]| {
        calls
            .iter()
            .map(|begin| {
                calls
                    .iter()
                    .filter(|at| *at >= begin && **at < *begin + Duration::from_mins(1))
                    .count()
            })
            .max()
    };
    let (most_requests, most_tokens, tokens) = (
        most(&requests).unwrap(),
        120 * most(&calls).unwrap(),
        120 * calls.len(),
    );
    println!(
        "1,000 questions in {took:.0?}, counted at the fake: at most {most_requests} requests of {REQUESTS} in a minute, {} in all; at most {most_tokens} tokens of {TOKENS}, {tokens} in all",
        requests.len()
    );
    assert!(most_requests <= REQUESTS && most_tokens <= TOKENS);
    // The time in which a minute's worth is used up passes before each next one.
    assert!(
        requests.len() >= 4 * REQUESTS && tokens > 3 * TOKENS,
        "they are made use of"
    );
}

#[tokio::test]
async fn the_providers_own_count_is_believed() {
    let spent = Script::turns_on("lamp")
        .header("x-ratelimit-remaining-requests", "0")
        .header("x-ratelimit-reset-requests", "6m0s");
    let (first, second) = (
        Endpoint::start([spent]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let (asked, _) = asking(vec![
        provider("first", first.url()),
        provider("second", second.url()),
    ]);
    for expected in ["first", "second"] {
        assert_eq!(&*ask(&asked).await.unwrap().provider, expected);
    }
    assert_eq!(first.requests(), 1);
}

#[tokio::test]
async fn the_last_provider_is_called_beyond_the_limit_it_stated() {
    let spent = || {
        Script::turns_on("lamp")
            .header("x-ratelimit-remaining-requests", "0")
            .header("x-ratelimit-reset-requests", "6m0s")
    };
    let limited = Script::error(429, "rate_limit_exceeded").header("retry-after", "360");
    let only = Endpoint::start([spent(), spent(), limited, spent()]).await;
    let (asked, _) = asking(vec![provider("only", only.url())]);
    for _ in 0..2 {
        assert_eq!(&*ask(&asked).await.unwrap().provider, "only");
    }
    for _ in 0..2 {
        assert!(matches!(
            ask(&asked).await,
            Err(Refusal::NobodyAnswered { retry_after: Some(wait), .. }) if wait.as_secs() > 300
        ));
    }
    assert_eq!(only.requests(), 3, "its own refusal is respected");
}

#[tokio::test]
async fn a_rest_ends_when_the_provider_said() {
    let limited = Script::error(429, "rate_limit_exceeded").header("retry-after", "7");
    let (first, second) = (
        Endpoint::start([limited, Script::turns_on("lamp")]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let (asked, _) = asking(vec![
        provider("first", first.url()),
        provider("second", second.url()),
    ]);
    assert_eq!(&*ask(&asked).await.unwrap().provider, "second");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(5)).await;
    tokio::time::resume();
    assert_eq!(
        &*ask(&asked).await.unwrap().provider,
        "second",
        "still resting"
    );
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    assert_eq!(&*ask(&asked).await.unwrap().provider, "first");
}

/// A provider at which 120 tokens, 100 in and 20 out, cost 300 billionths of a dollar.
fn paid(name: &str, endpoint: &Endpoint, most: Option<Money>) -> Settings {
    let prices = Prices {
        input: Money(1),
        cached: Money(1),
        written: Money(1),
        output: Money(10),
    };
    Settings {
        prices: Some(prices),
        max_output_tokens: 20,
        spend: Limits {
            per_day: most,
            per_month: None,
        },
        ..provider(name, endpoint.url())
    }
}

/// What a call of [`paid`] may cost at most: more than it does, for the prompt is counted
/// cautiously.
fn at_most() -> u64 {
    u64::try_from((prompt().prefix.len() + prompt().phrase.len()).div_ceil(3)).unwrap() + 200
}

#[tokio::test]
async fn what_may_be_spent_is_spent_and_then_the_next_is_asked() {
    let (first, second) = (
        Endpoint::start([Script::turns_on("lamp")]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let most = Money(at_most() + 2 * 300);
    let (asked, _) = asking(vec![
        paid("first", &first, Some(most)),
        provider("second", second.url()),
    ]);
    let mut who = Vec::new();
    for _ in 0..12 {
        who.push(ask(&asked).await.unwrap().provider.to_string());
    }
    let turned = who.iter().position(|who| who == "second").unwrap();
    assert!(
        (3..12).contains(&turned) && who[turned..].iter().all(|who| who == "second"),
        "{who:?}"
    );
    let spent = asked.health()[0].spent_today.unwrap();
    assert!(
        spent <= most.in_dollars(),
        "{spent} of {}",
        most.in_dollars()
    );
    assert!(
        (spent - 3e-7 * f64::from(u32::try_from(first.requests()).unwrap())).abs() < 1e-12,
        "300 billionths for each of {} calls",
        first.requests()
    );
}

#[tokio::test]
async fn with_nothing_left_to_spend_it_says_until_when_also_after_a_restart() {
    let (only, folder) = (
        Endpoint::start([Script::turns_on("lamp")]).await,
        tempfile::tempdir().unwrap(),
    );
    let most = Money(at_most());
    let open = || store::open(&store::Settings::default(), &folder.path().join("store")).unwrap();
    for life in 0..2 {
        let store = open();
        let (asked, _) = asking(vec![paid("only", &only, Some(most))]);
        asked.keep_spending(Some(&Spending::open(&store).unwrap()));
        if life == 0 {
            ask(&asked).await.unwrap();
        }
        let Err(Refusal::OverBudget { retry_after }) = ask(&asked).await else {
            panic!("spent more than may be spent")
        };
        assert!(retry_after <= Duration::from_hours(24), "{retry_after:?}");
        assert!(asked.spent().0 > 2.9e-7, "{:?}", asked.spent());
        store.sync().unwrap();
    }
    assert_eq!(only.requests(), 1);
}

#[tokio::test]
async fn what_calls_in_flight_reserved_is_waited_for() {
    let pause = Duration::from_millis(300);
    let only = Endpoint::start([Script::turns_on("lamp").after(pause)]).await;
    let most = Money(at_most() * 3 / 2);
    let (asked, _) = asking(vec![Settings {
        timeouts: Timeouts::HOSTED,
        ..paid("only", &only, Some(most))
    }]);
    let (first, second) = tokio::join!(ask(&asked), ask(&asked));
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
}

#[tokio::test]
async fn tokens_that_calls_in_flight_reserved_are_waited_for() {
    let pause = Duration::from_millis(300);
    let only = Endpoint::start([Script::turns_on("lamp").after(pause)]).await;
    let for_one = u32::try_from(at_most()).unwrap() + 300;
    let (asked, _) = asking(vec![Settings {
        tokens_per_minute: n(for_one + 600),
        timeouts: Timeouts::HOSTED,
        ..provider("only", only.url())
    }]);
    ask(&asked).await.unwrap();
    let (second, third) = tokio::join!(ask(&asked), ask(&asked));
    assert!(second.is_ok() && third.is_ok(), "{second:?} {third:?}");
}

#[tokio::test]
async fn the_limit_of_all_stops_all_that_cost_something() {
    let (first, second, free) = (
        Endpoint::start([Script::turns_on("lamp")]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let providers = vec![
        paid("first", &first, None),
        paid("second", &second, None),
        Settings {
            prices: Some(Prices::FREE),
            ..provider("free", free.url())
        },
    ];
    let settings = sayso::testing::router::settings::RouterSettings {
        providers,
        spend: Limits {
            per_day: None,
            per_month: Some(Money(at_most())),
        },
        ..sayso::testing::router::settings::RouterSettings::default()
    };
    let asked = sayso::testing::router::Router::new(settings, std::sync::Arc::default()).unwrap();
    for expected in ["first", "free", "free"] {
        assert_eq!(&*ask(&asked).await.unwrap().provider, expected);
    }
    assert_eq!(second.requests(), 0);
}

/// Every way in which an answer is paid for and cannot be used: with its token counts, or without.
fn paid_failures() -> Vec<(&'static str, Script)> {
    let message = json!({"role": "assistant", "content": "{\"actions\": [{\"device\": \"la"});
    let prose = json!({"role": "assistant", "content": "Sure, I turned it on!"});
    vec![
        ("truncated", Script::completion(&message, "length")),
        ("filtered", Script::completion(&message, "content_filter")),
        ("prose", Script::completion(&prose, "stop")),
        ("hang", Script::hang_in_body()),
    ]
}

#[tokio::test]
async fn answers_that_cannot_be_used_count_against_the_spend_limit() {
    for (name, failure) in paid_failures() {
        let only = Endpoint::start([failure]).await;
        let most = Money(at_most() + 2 * 300);
        let (asked, _) = asking(vec![paid("only", &only, Some(most))]);
        let mut refusal = None;
        for _ in 0..12 {
            let end = ask(&asked).await.expect_err(name);
            if matches!(end, Refusal::OverBudget { .. }) {
                refusal = Some(end);
                break;
            }
        }
        assert!(refusal.is_some(), "{name}: {} calls", only.requests());
        let spent = asked.health()[0].spent_today.unwrap();
        println!(
            "{name}: {} calls, {spent} of {}",
            only.requests(),
            most.in_dollars()
        );
        assert!(only.requests() <= 4, "{name}: {} calls", only.requests());
        assert!(
            spent <= most.in_dollars() + Money(at_most()).in_dollars(),
            "{name}: {spent}"
        );
    }
}

#[tokio::test]
async fn the_daemon_stops_at_the_limit_when_each_answer_is_truncated() {
    let message = json!({"role": "assistant", "content": "{\"actions\": ["});
    let model = Endpoint::start([Script::completion(&message, "length")]).await;
    // An answer costs 20 tokens of output: two cents. One more may cost some 60 cents at most.
    let table = format!(
        "\n[[provider]]\nname = \"paid\"\nbase_url = \"{}\"\nmodel = \"m\"\nkey_file = \"key\"\nsmall = false\nmax_output_tokens = 600\n\
         prices = {{ in = 0.0, out = 1000.0 }}\nspend_per_day = 0.65\n",
        model.url()
    );
    let mut stage = Scene::new().provider(&table).start().await;
    let mut whys = Vec::new();
    for n in 0..12 {
        let reply = stage.say(&format!("make it nice for {n} guests")).await;
        whys.push(reply["why"].as_str().unwrap_or_default().to_owned());
        if reply["why"] == "over_budget" {
            break;
        }
    }
    let (last, before) = whys.split_last().unwrap();
    assert_eq!(last, "over_budget", "{whys:?}");
    assert!(!before.is_empty() && before.iter().all(|why| why != "over_budget"));
    assert!(
        (2..=4).contains(&model.requests()),
        "{} calls",
        model.requests()
    );
}
