//! `sayso providers`, through the real binary: what each model is worth, and what mends it where it
//! is worth nothing.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::AsyncWriteExt;

use crate::broker::Broker;
use crate::daemon::Place;
use crate::endpoint::{Endpoint, Script};
use crate::scene::Scene;

const ANSWER: &str = r#"{"actions":[{"device":"lamp","op":"set","property":"power","value":"on"}],"question":null,"speech":null}"#;

/// A `[[provider]]` table.
fn provider(name: &str, api: &str, url: &str) -> String {
    format!(
        "[[provider]]\nname = \"{name}\"\napi = \"{api}\"\nbase_url = \"{url}\"\nmodel = \"gpt-6-luna\"\nkey_file = \"key\"\n\
         [provider.timeouts]\ntotal = \"1s\"\nconnect = \"1s\"\n"
    )
}

/// A folder whose broker and home are no use: they are not asked for here.
fn place(providers: &[String]) -> Place {
    let place = Place::new(
        &format!(
            "[mqtt]\nport = 0\npassword_file = \"absent\"\n{}",
            providers.concat()
        ),
        "this is no home",
    );
    std::fs::write(place.path().join("key"), "sk-test-0123456789\n").unwrap();
    place
}

async fn run(place: &Place, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::from(place.sayso());
    command
        .arg("providers")
        .args(arguments)
        .arg("--config")
        .arg(place.config())
        .stdin(Stdio::null());
    tokio::time::timeout(Duration::from_secs(30), command.output())
        .await
        .unwrap()
        .unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The same answer in each API's own form.
fn answers() -> [(&'static str, Json); 4] {
    [
        (
            "openai",
            json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 600}}}),
        ),
        (
            "anthropic",
            json!({"type": "message", "role": "assistant", "content": [{"type": "text", "text": ANSWER}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 400, "cache_read_input_tokens": 600, "output_tokens": 20}}),
        ),
        (
            "gemini",
            json!({"candidates": [{"content": {"role": "model", "parts": [{"text": ANSWER}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 1000, "cachedContentTokenCount": 600, "candidatesTokenCount": 20}}),
        ),
        (
            "ollama",
            json!({"message": {"role": "assistant", "content": ANSWER}, "done": true, "done_reason": "stop", "prompt_eval_count": 1000, "eval_count": 20}),
        ),
    ]
}

#[tokio::test]
async fn a_model_of_each_api_that_serves_is_told_with_what_it_takes() {
    let mut endpoints = Vec::new();
    let mut tables = Vec::new();
    for (api, body) in answers() {
        let script = Script::status(200, body.to_string()).after(Duration::from_millis(20));
        let script = script
            .header("x-ratelimit-limit-requests", "60")
            .header("x-ratelimit-remaining-requests", "59")
            .header("x-ratelimit-reset-requests", "1s");
        let endpoint = Endpoint::start([script]).await;
        tables.push(provider(api, api, &endpoint.url()));
        endpoints.push(endpoint);
    }
    let place = place(&tables);
    let output = run(&place, &[]).await;
    let text = printed(&output);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        text.matches("✓ key accepted; first byte after").count(),
        4,
        "{text}"
    );
    assert!(
        text.contains("1000 tokens in, 600 of them cached, 20 out: $0.000056"),
        "{text}"
    );
    assert!(
        text.contains("20 out: price unknown, set `prices`") && text.contains("out: free"),
        "{text}"
    );
    assert!(
        text.contains("left: 59 of 60 requests, reset in 1000 ms"),
        "{text}"
    );
    assert!(text.ends_with("4 of 4 can be used\n"), "{text}");
    for endpoint in &endpoints {
        assert_eq!(endpoint.requests(), 1, "each is called once");
    }
    assert!(!text.contains("sk-test"));

    let found: Json =
        serde_json::from_slice(&run(&place, &["openai", "--json"]).await.stdout).unwrap();
    let only = &found.as_array().unwrap()[..];
    let [only] = only else { panic!("{found}") };
    assert_eq!(
        (&only["name"], &only["understands"], &only["key_accepted"]),
        (&json!("openai"), &json!(true), &json!(true))
    );
    assert_eq!(
        only["tokens"],
        json!({"in": 1000, "cached": 600, "written": 0, "out": 20})
    );
    assert!((only["dollars"].as_f64().unwrap() - 0.000_056).abs() < 1e-9);
    assert!(
        only["first_byte_ms"].as_u64().unwrap() >= 20 && only["ms"].as_u64().unwrap() >= 20,
        "{only}"
    );
    assert_eq!(
        only["left"]["requests"],
        json!({"left": 59, "limit": 60, "reset_ms": 1000})
    );
}

#[tokio::test]
async fn one_that_does_not_serve_is_told_with_what_mends_it() {
    let wrong_action = ANSWER.replace("\"lamp\"", "\"door\"");
    let cases = [
        (
            Script::error(401, "invalid_api_key"),
            "the key was refused: correct its key file",
        ),
        (
            Script::error(429, "insufficient_quota"),
            "no credit left: see its billing page",
        ),
        (
            Script::error(404, "model_not_found"),
            "no such model or address: correct `model` (`gpt-6-luna`)",
        ),
        (
            Script::error(429, "rate_limit_exceeded").header("retry-after", "7"),
            "the key is valid, but its rate limit is reached",
        ),
        (
            Script::error(500, "server_error"),
            "the provider has a problem",
        ),
        (Script::error(400, "invalid_json_schema"), "`structure`"),
        (
            Script::status(404, "404 page not found"),
            "or `base_url` is wrong (after",
        ),
        (
            Script::status(511, "<html>Login</html>"),
            "sign in there with a browser (after",
        ),
        (
            Script::status(
                200,
                r#"{"error":"Unexpected endpoint or method. (POST /x)"}"#,
            ),
            "correct `model` (`gpt-6-luna`) or `base_url`",
        ),
        (
            Script::status(
                400,
                r#"{"error":{"message":"gpt-6-luna is not a valid model ID","code":400}}"#,
            ),
            "correct `model` (`gpt-6-luna`) or `base_url`",
        ),
        (
            Script::status(
                400,
                r#"{"error":{"message":"m","code":"json_validate_failed"}}"#,
            ),
            "try again",
        ),
        (
            Script::status(302, ""),
            "it redirects elsewhere: correct `base_url`",
        ),
        (
            Script::status(200, "<html>Welcome</html>"),
            "check that `base_url` and `api` are right",
        ),
        (
            Script::says("Sure, the lamp is on!"),
            "its answer cannot be used",
        ),
        (
            Script::says(&wrong_action),
            "it does not understand \"turn on the lamp\"",
        ),
        (
            Script::completion(&json!({"role": "assistant", "content": "{"}), "length"),
            "raise `max_output_tokens`",
        ),
        (Script::hang_before_headers(), "no answer within 1.0 s"),
    ];
    for (script, words) in cases {
        let endpoint = Endpoint::start([script]).await;
        let output = run(&place(&[provider("only", "openai", &endpoint.url())]), &[]).await;
        let text = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{words}: {text}");
        assert!(
            text.contains(words) && text.contains("0 of 1 can be used"),
            "{words}: {text}"
        );
        assert_eq!(endpoint.requests(), 1, "{words}: asked once, not again");
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_told_with_what_stands_between() {
    // A server of plain HTTP complains at once of what a TLS client says.
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = plain.local_addr().unwrap();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        std::future::pending::<()>().await;
    });
    let cases = [
        (
            "http://127.0.0.1:1/v1".to_owned(),
            vec!["nothing listens at 127.0.0.1:1: start the server there"],
        ),
        (format!("https://{at}/v1"), vec!["does not speak TLS"]),
        // Whether the resolver knows that there is no such name, or cannot ask, depends on the
        // machine.
        (
            "http://nowhere.invalid/v1".to_owned(),
            vec![
                "there is no host nowhere.invalid",
                "the name nowhere.invalid cannot be looked up now",
                "no connection to nowhere.invalid in time",
            ],
        ),
    ];
    for (url, words) in cases {
        let output = run(&place(&[provider("only", "openai", &url)]), &[]).await;
        let text = printed(&output);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            words.iter().any(|words| text.contains(words)),
            "{url}: {text}"
        );
    }
}

/// A certificate that signed itself and is good for so many days.
fn certificate(folder: &Path, days: i32) {
    std::fs::write(folder.join("ext"), "subjectAltName=DNS:localhost\n").unwrap();
    let request = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out csr.pem -subj /CN=a-stranger-to-all";
    let sign =
        format!("x509 -req -days {days} -in csr.pem -signkey key.pem -extfile ext -out cert.pem");
    for line in [request, &sign] {
        let done = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "openssl {line}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

#[tokio::test]
async fn a_certificate_out_of_its_time_points_to_the_clock_and_a_strange_one_to_its_authority() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: there is no openssl to make certificates with");
        return;
    }
    for (days, words) in [
        (-1, "this machine's clock is wrong (see `timedatectl`)"),
        (1, "an authority this machine does not know"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        certificate(folder.path(), days);
        let path = folder.path().display();
        // Any server that speaks TLS will do: it does not come to speaking.
        let server = Broker::mosquitto_with(|_| {
            format!("certfile {path}/cert.pem\nkeyfile {path}/key.pem\n")
        })
        .await;
        let url = format!("https://localhost:{}/v1", server.port());
        let text = printed(&run(&place(&[provider("only", "openai", &url)]), &[]).await);
        assert!(text.contains(words), "{days}: {text}");
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_told() {
    let good = Script::turns_on("lamp").header("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let endpoint = Endpoint::start([good]).await;
    let output = run(&place(&[provider("only", "openai", &endpoint.url())]), &[]).await;
    let text = printed(&output);
    assert!(output.status.success());
    assert!(
        text.contains("this machine's clock is")
            && text.contains("ahead of the server's: see `timedatectl`"),
        "{text}"
    );
}

#[tokio::test]
async fn without_providers_or_with_a_wrong_name_it_says_so() {
    let none = run(&place(&[]), &[]).await;
    assert!(none.status.success() && printed(&none).contains("add a [[provider]]"));
    let wrong = run(
        &place(&[provider("only", "openai", "http://127.0.0.1:1/v1")]),
        &["other"],
    )
    .await;
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&wrong.stderr)
            .contains("there is no provider `other`; the config has: only")
    );
    let keyless = place(&[provider("only", "openai", "http://127.0.0.1:1/v1")]);
    std::fs::remove_file(keyless.path().join("key")).unwrap();
    let keyless = run(&keyless, &[]).await;
    assert_eq!(keyless.status.code(), Some(78));
    assert!(
        String::from_utf8_lossy(&keyless.stderr)
            .contains("provider[1].key_file: there is no such file"),
        "{}",
        String::from_utf8_lossy(&keyless.stderr)
    );
}

#[tokio::test]
async fn the_log_names_the_cause_of_a_lost_command_once() {
    let only = Endpoint::start([Script::error(529, "overloaded_error")]).await;
    let mut stage = Scene::new().endpoint(&only).start().await;
    for n in 0..2 {
        let reply = stage.say(&format!("some music for {n} guests")).await;
        assert_eq!(reply["why"], "nobody_answered", "{reply}");
    }
    let log = stage.daemon.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("a request failed because no provider answered"))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(
        lines[0].contains("status 529: overloaded_error") && lines[0].contains("model1"),
        "{log}"
    );
}

#[tokio::test]
async fn a_reset_makes_the_daemon_call_a_disabled_provider_again() {
    let first = Endpoint::start([
        Script::error(401, "invalid_api_key"),
        Script::turns_on("radio"),
    ])
    .await;
    let second = Endpoint::start([Script::turns_on("radio")]).await;
    let mut stage = Scene::new()
        .endpoint(&first)
        .endpoint(&second)
        .start()
        .await;
    for n in 0..2 {
        let reply = stage.say(&format!("some music for {n} guests")).await;
        assert_eq!(reply["via"], "model2", "{reply}");
    }
    assert_eq!(first.requests(), 1, "it is disabled");
    let unknown = run(&stage.place, &["--reset", "nobody"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        printed(&unknown).contains("nobody"),
        "{}",
        printed(&unknown)
    );
    let output = run(&stage.place, &["--reset", "model1"]).await;
    assert_eq!(printed(&output), "✓ reset: model1\n");
    let reply = stage.say("some music at last").await;
    assert_eq!(reply["via"], "model1", "{reply}");
    assert!(output.status.success());
    let all = run(&stage.place, &["--reset"]).await;
    assert_eq!(printed(&all), "✓ reset: all providers\n");
}
