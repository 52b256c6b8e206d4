//! Many commands at once, and models that are all down, through the real program and a real broker.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::Instant;

use crate::broker::Broker;
use crate::endpoint::{Endpoint, Script};
use crate::listener::Message;
use crate::scene::{PATIENCE, Scene, Stage};

/// Nobody is kept from asking by a quota of his own.
const NO_QUOTA: &str = "[limits]\nper_minute = 100000\nburst = 100000\n";

/// Token limit of a provider per minute, and the tokens the endpoints count for each call.
const TOKENS: usize = 20_000;
const TOKENS_OF_A_CALL: usize = 120;

/// The replies to `count` commands with ids that begin with `name`.
async fn replies(stage: &mut Stage, name: &str, count: usize) -> Vec<Json> {
    let until = Instant::now() + 2 * PATIENCE;
    loop {
        let heard = stage.listener.so_far();
        let replies: Vec<Json> = heard
            .iter()
            .filter(|m| m.topic == "sayso/reply/test")
            .map(Message::json)
            .filter(|r| r["id"].as_str().unwrap().starts_with(name))
            .collect();
        if replies.len() == count {
            return replies;
        }
        assert!(
            replies.len() < count && Instant::now() < until,
            "{} of {count} replies",
            replies.len()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn say_all(stage: &mut Stage, name: &str, count: usize, text: impl Fn(usize) -> String) {
    for n in 0..count {
        stage
            .listener
            .publish(
                "sayso/command/test",
                json!({"text": text(n), "id": format!("{name}-{n}")}).to_string(),
            )
            .await;
    }
}

/// A broker that keeps every message for the listener, which also receives the commands.
async fn patient_broker() -> Broker {
    Broker::mosquitto_with(|_| "persistence false\nmax_queued_messages 0\n".to_owned()).await
}

/// The most bytes that were resident at once.
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn a_thousand_equal_commands_at_once_cost_one_call() {
    let model =
        Endpoint::start([Script::turns_on("radio").after(Duration::from_millis(1500))]).await;
    let mut stage = Scene::new()
        .with("[local]\nuse = \"never\"")
        .endpoint(&model)
        .start_with(patient_broker().await)
        .await;
    say_all(&mut stage, "same", 1000, |_| {
        "give me some music please".to_owned()
    })
    .await;
    let replies = replies(&mut stage, "same", 1000).await;
    let of = |what: &str| {
        replies
            .iter()
            .filter(|reply| reply["outcome"] == what || reply["why"] == what)
            .count()
    };
    let (done, superseded) = (of("done"), of("superseded"));
    println!(
        "1,000 equal commands at once: {} model call, {done} done, {superseded} superseded",
        model.requests()
    );
    assert_eq!(model.requests(), 1);
    let other = replies.iter().find(|reply| reply["outcome"] != "done");
    assert_eq!(done, 1000, "{other:?}");
}

#[tokio::test]
async fn equal_questions_share_one_call_in_little_memory() {
    let model = Endpoint::start([Script::tells("Yes.").after(Duration::from_secs(2))]).await;
    let mut stage = Scene::new()
        .with("[local]\nuse = \"never\"")
        .with(NO_QUOTA)
        .endpoint(&model)
        .start_with(patient_broker().await)
        .await;
    say_all(&mut stage, "same", 1300, |_| "is it nice out".to_owned()).await;
    let replies = replies(&mut stage, "same", 1300).await;
    let of = |code: &str| {
        let codes = |reply: &&Json| reply["outcome"] == code || reply["why"] == code;
        replies.iter().filter(codes).count()
    };
    let (answered, busy) = (of("answered"), of("busy"));
    let peak = peak_memory(stage.daemon.id());
    println!("1,300 equal questions at once: {answered} answered, {busy} busy, {peak} bytes");
    assert_eq!((model.requests(), answered + busy), (1, 1300));
    assert!(answered >= 1000, "{answered} answered");
    assert!(peak <= 96 << 20, "{peak} bytes");
}

#[tokio::test]
async fn a_busy_provider_is_not_forgotten_when_another_that_was_busy_is_over_its_limit() {
    let slow = |after| Script::tells("Yes.").after(Duration::from_millis(after));
    let (limited, other) = (
        Endpoint::start([slow(300)]).await,
        Endpoint::start([slow(900)]).await,
    );
    let table = |name: &str, url: String, more: &str| {
        format!(
            "\n[[provider]]\nname = \"{name}\"\nbase_url = \"{url}\"\nmodel = \"m\"\nkey_file = \"key\"\nconcurrency = 1\n{more}\n"
        )
    };
    let first = table("limited", limited.url(), "requests_per_minute = 1");
    let mut stage = Scene::new()
        .with("[local]\nuse = \"never\"")
        .with(NO_QUOTA)
        .provider(&first)
        .provider(&table("other", other.url(), ""))
        .start()
        .await;
    // One for each provider, and one that finds both of them busy. The first to have room has no
    // calls left for a minute.
    say_all(&mut stage, "q", 3, |n| format!("what is three times {n}")).await;
    for reply in replies(&mut stage, "q", 3).await {
        assert_eq!(reply["outcome"], "answered", "{reply}");
    }
    assert_eq!((limited.requests(), other.requests()), (1, 2));
}

#[tokio::test]
async fn a_thousand_different_commands_keep_to_the_limits_of_a_provider() {
    let [by_requests, by_tokens, other] =
        [(); 3].map(|()| Endpoint::start([Script::tells("Yes.")]));
    let (by_requests, by_tokens, other) = tokio::join!(by_requests, by_tokens, other);
    let table = |name: &str, url: String, more: &str| {
        format!(
            "\n[[provider]]\nname = \"{name}\"\nbase_url = \"{url}\"\nmodel = \"m\"\nkey_file = \"key\"\n{more}\n"
        )
    };
    let mut stage = Scene::new()
        .with("[local]\nuse = \"never\"")
        .with(NO_QUOTA)
        .provider(&table(
            "by-requests",
            by_requests.url(),
            "requests_per_minute = 50",
        ))
        .provider(&table(
            "by-tokens",
            by_tokens.url(),
            &format!("max_output_tokens = 100\ntokens_per_minute = {TOKENS}"),
        ))
        .provider(&table("other", other.url(), ""))
        .start()
        .await;
    let begun = Instant::now();
    for batch in 0..20 {
        let name = format!("b{batch}.");
        say_all(&mut stage, &name, 50, |n| {
            format!("what is {batch} times {n}")
        })
        .await;
        for reply in replies(&mut stage, &name, 50).await {
            assert_eq!(reply["outcome"], "answered", "{reply}");
        }
    }
    let (took, requests, tokens) = (
        begun.elapsed(),
        by_requests.requests(),
        by_tokens.requests() * TOKENS_OF_A_CALL,
    );
    println!(
        "1,000 different commands in {took:.1?}: at 50 requests/min {requests} requests, at {TOKENS} tokens/min {tokens} tokens, {} calls to another",
        other.requests()
    );
    assert_eq!(requests + by_tokens.requests() + other.requests(), 1000);
    assert!(
        took < Duration::from_mins(1),
        "too slow to see the first minute alone"
    );
    assert_eq!(requests, 50);
    // A call is made while the most it may need is available; a failed call counts as if it had
    // used that.
    assert!(
        tokens <= TOKENS && 4 * tokens > 3 * TOKENS,
        "{tokens} tokens"
    );
}

#[tokio::test]
async fn while_all_models_are_down_the_house_works_and_when_they_come_back_so_do_they() {
    let mut scripts = vec![Script::fault(500, "server_error"); 8];
    scripts.push(Script::turns_on("radio"));
    let (one, two) = (
        Endpoint::start(scripts.clone()).await,
        Endpoint::start(scripts).await,
    );
    let mut stage = Scene::new()
        .with(NO_QUOTA)
        .endpoint(&one)
        .endpoint(&two)
        .start()
        .await;
    let begun = Instant::now();
    for n in 0..8 {
        let reply = stage.say(&format!("give me music number {n}")).await;
        if reply["outcome"] == "done" {
            break;
        }
        assert_eq!(
            (&reply["outcome"], &reply["why"]),
            (&json!("failed"), &json!("nobody_answered")),
            "{reply}"
        );
        assert!(
            reply["speech"].as_str().unwrap().contains("language model"),
            "{reply}"
        );
        let known = stage.say("turn on the kitchen light").await;
        assert_eq!(
            (&known["outcome"], &known["via"]),
            (&json!("done"), &json!("local")),
            "{known}"
        );
    }
    let calls = one.requests() + two.requests();
    println!(
        "all down: {calls} calls for 8 questions in {:.1?}; allowed {} for the breakers and the retry budget",
        begun.elapsed(),
        2 * 3 + 30
    );
    assert!(calls <= 2 * 3 + 30, "{calls}");
    // They come back: the next question that a breaker lets through is answered.
    let until = Instant::now() + PATIENCE;
    loop {
        let reply = stage
            .say(&format!("some music at {:?}", begun.elapsed()))
            .await;
        if reply["outcome"] == "done" {
            break;
        }
        assert!(Instant::now() < until, "{reply}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
