//! A month in virtual time: each provider fails in each way for an hour, a day and a week. Every request is answered by
//! another provider meanwhile, and the provider is used again within its stated time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sayso::router::ProviderState;

use crate::endpoint::{Endpoint, Script};
use crate::failover::{ask, asking, pass, provider};

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

/// The ways to fail, each with the longest time until the provider is used again after it has recovered: the longest rest,
/// the longest open time of the breaker with its jitter, or the longest time a provider is disabled.
fn ways_to_fail() -> [(&'static str, Script, Duration); 13] {
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
    ]
}

#[tokio::test]
async fn every_provider_is_used_again_within_its_stated_time() {
    let periods = [
        (HOUR, MINUTE * 10),
        (HOUR * 24, HOUR),
        (HOUR * 24 * 7, HOUR * 4),
    ];
    let mut requests = 0;
    for (name, failure, latest) in ways_to_fail() {
        for (period, step) in periods {
            let is_failing = Arc::new(AtomicBool::new(true));
            let flag = Arc::clone(&is_failing);
            let failure = failure.clone();
            let first = Endpoint::answering(move |_, _| {
                if flag.load(Ordering::Relaxed) {
                    failure.clone()
                } else {
                    Script::turns_on("lamp")
                }
            })
            .await;
            let second = Endpoint::start([Script::turns_on("lamp")]).await;
            let (asked, _) = asking(vec![
                provider("first", first.url()),
                provider("second", second.url()),
            ]);
            let mut passed = Duration::ZERO;
            while passed < period {
                let answer = ask(&asked).await;
                let by = answer.map(|answer| answer.provider.to_string());
                assert_eq!(by.as_deref(), Ok("second"), "{name} after {passed:?}");
                requests += 1;
                pass(step).await;
                passed += step;
            }
            is_failing.store(false, Ordering::Relaxed);
            let mut waited = Duration::ZERO;
            loop {
                let answer = ask(&asked).await.unwrap();
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
            ask(&asked).await.unwrap();
            assert_eq!(asked.health()[0].state, ProviderState::Up, "{name}");
        }
    }
    println!("{requests} requests, all answered");
}
