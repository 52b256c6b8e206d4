//! A month in virtual time: each provider fails in each way for an hour, a day and a week. Every
//! request is answered by another provider meanwhile, and the provider is used again within its
//! stated time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sayso::testing::provider::Settings;
use sayso::testing::router::settings::RouterSettings;
use sayso::testing::router::{ProviderState, Router};

use crate::endpoint::{Endpoint, Script};
use crate::failover::{ask, asking, pass, provider};

const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// The ways to fail, each with the longest time until the provider is used again after it has
/// recovered: the longest rest, the longest open time of the breaker with its jitter, or the
/// longest time a provider is disabled.
fn ways_to_fail() -> [(&'static str, Script, Duration); 15] {
    let breaker = MINUTE * 6;
    [
        ("reset", Script::reset(), breaker),
        ("cut", Script::truncate(), breaker),
        ("500", Script::error(500, "server_error"), breaker),
        (
            "503 for an hour",
            Script::error(503, "overloaded").header("retry-after", "3600"),
            HOUR,
        ),
        (
            "503 for a year",
            Script::error(503, "overloaded").header("retry-after", "31536000"),
            HOUR,
        ),
        ("429", Script::error(429, "rate_limit_exceeded"), MINUTE),
        (
            "429 for a year",
            Script::error(429, "rate_limit_exceeded").header("retry-after", "31536000"),
            HOUR,
        ),
        ("401", Script::error(401, "invalid_api_key"), HOUR),
        ("402", Script::error(402, "billing"), HOUR),
        ("404", Script::error(404, "model_not_found"), HOUR),
        (
            "403 of a proxy",
            Script::status(403, "<html>Just a moment...</html>"),
            breaker,
        ),
        ("400", Script::error(400, "invalid"), MINUTE),
        ("prose", Script::says("Sure, I turned it on!"), breaker),
        ("hang", Script::hang_before_headers(), breaker),
        ("hang in the body", Script::hang_in_body(), breaker),
    ]
}

/// A hang takes real time, so it is met four times in each period.
fn step(name: &str, period: Duration) -> Duration {
    if name.starts_with("hang") {
        return period / 4;
    }
    match period {
        HOUR => MINUTE * 10,
        DAY => HOUR,
        _ => HOUR * 4,
    }
}

/// Returns the router after a reload: of the same settings, of others of its own, or of another
/// order.
fn reloaded(router: &Router, providers: &[Settings], reloads: u32) -> Router {
    let mut providers = providers.to_vec();
    if reloads % 3 == 2 {
        // One more provider, which is never needed.
        providers.push(provider("third", "http://127.0.0.1:9".to_owned()));
    }
    let settings = RouterSettings {
        providers,
        longest_pause: Duration::from_millis(500),
        patience: Duration::from_secs(u64::from(5 + reloads % 2)),
        ..RouterSettings::default()
    };
    let renewed = router.renewed(settings).unwrap();
    renewed.apply_settings();
    renewed
}

/// The figures of a failure.
#[derive(Default)]
struct Figures {
    /// Requests until the provider was used again.
    requests: u32,
    /// Calls of the failing provider.
    failed: u64,
    /// The longest time from the recovery to the next use.
    longest: Duration,
}

/// Fails the first of two providers for `period`, with reloads meanwhile.
async fn fail_and_recover(
    name: &str,
    failure: Script,
    period: Duration,
    latest: Duration,
) -> Figures {
    let is_failing = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&is_failing);
    let first = Endpoint::answering(move |_, _| {
        if flag.load(Ordering::Relaxed) {
            failure.clone()
        } else {
            Script::turns_on("lamp")
        }
    })
    .await;
    let second = Endpoint::start([Script::turns_on("lamp")]).await;
    let providers = [
        provider("first", first.url()),
        provider("second", second.url()),
    ];
    let (mut router, _) = asking(providers.to_vec());
    let (mut requests, mut passed) = (0, Duration::ZERO);
    while passed < period {
        let answer = ask(&router).await;
        let by = answer.map(|answer| answer.provider.to_string());
        assert_eq!(by.as_deref(), Ok("second"), "{name} after {passed:?}");
        requests += 1;
        if requests % 5 == 0 {
            router = reloaded(&router, &providers, requests / 5);
        }
        pass(step(name, period)).await;
        passed += step(name, period);
    }
    is_failing.store(false, Ordering::Relaxed);
    let failed = first.requests() as u64;
    let mut waited = Duration::ZERO;
    loop {
        let answer = ask(&router).await.unwrap();
        requests += 1;
        if &*answer.provider == "first" {
            break;
        }
        assert!(
            waited <= latest,
            "{name} for {period:?}: not used after {waited:?}"
        );
        pass(MINUTE).await;
        waited += MINUTE;
    }
    ask(&router).await.unwrap();
    assert_eq!(router.health()[0].state, ProviderState::Up, "{name}");
    Figures {
        requests,
        failed,
        longest: waited,
    }
}

#[tokio::test]
async fn every_provider_is_used_again_within_its_stated_time() {
    let mut requests = 0;
    println!("failure            failed calls  used again after, at most   stated");
    for (name, failure, latest) in ways_to_fail() {
        let mut sum = Figures::default();
        for period in [HOUR, DAY, DAY * 7] {
            let one = fail_and_recover(name, failure.clone(), period, latest).await;
            sum.requests += one.requests;
            sum.failed += one.failed;
            sum.longest = sum.longest.max(one.longest);
        }
        println!(
            "{name:<18} {:>12}  {:>20} min {:>8} min",
            sum.failed,
            sum.longest.as_secs() / 60,
            latest.as_secs() / 60
        );
        assert!(sum.failed > 0, "{name} never failed");
        requests += sum.requests;
    }
    println!("{requests} requests, all answered");
}
