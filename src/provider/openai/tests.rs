//! Against the facts of the API: requests, bodies, errors and headers as the official SDK meets them.

use std::sync::Arc;

use crate::provider::fixture;
use crate::provider::fixture::assert_errors_are_cut;
use crate::provider::openai::*;
use crate::provider::{Disposition, Usage};
use crate::secret::Secret;

const ANSWER: &str = r#"{"actions":[{"device":"kitchen_lamp","op":"set","property":"brightness","value":30}],"question":null,"speech":null}"#;

fn fixtures(name: &str) -> Json {
    let path = format!(
        "{}/tests/fixtures/provider/openai/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn settings(structure: Structure) -> Settings {
    let usual = fixture::settings(crate::provider::Api::OpenAi, "gpt-6-luna");
    Settings {
        base_url: "https://api.openai.com/v1".into(),
        structure,
        reasoning_effort: Some("none".into()),
        ..usual
    }
}

fn at(base_url: &str, structure: Structure) -> OpenAi {
    OpenAi::new(&settings(structure), &Url::parse(base_url).unwrap()).unwrap()
}

fn genuine() -> OpenAi {
    at("https://api.openai.com/v1", Structure::Schema)
}

fn prompt() -> Prompt {
    Prompt {
        prefix: "REGISTRY".into(),
        prefix_key: "gw-1:reg-9f2c".into(),
        phrase: "kitchen lamp to 30".into(),
        schema: Arc::new(json!({"type": "object"})),
        max_output_tokens: 8192,
    }
}

fn body(provider: &OpenAi) -> Json {
    serde_json::from_slice(&provider.encode(&prompt()).body).unwrap()
}

#[test]
fn the_request_is_the_one_the_official_sdk_sends() {
    let captured = fixtures("request");
    let request = genuine().encode(&prompt());
    assert_eq!(format!("/v1{}", request.path), captured["path"]);
    for (name, value) in captured["headers"].as_object().unwrap() {
        assert_eq!(
            request.headers[name.as_str()].to_str().unwrap(),
            value.as_str().unwrap()
        );
    }
    assert_eq!(body(&genuine()), captured["body"]);
}

#[test]
fn a_server_of_ones_own_is_sent_what_all_copies_know() {
    let body = body(&at("http://localhost:8080/v1", Structure::Json));
    assert_eq!(body["messages"][0]["role"], "system");
    assert_eq!(
        (&body["max_tokens"], &body["temperature"]),
        (&json!(256), &json!(0))
    );
    assert_eq!(body["response_format"], json!({"type": "json_object"}));
    for unknown in ["max_completion_tokens", "prompt_cache_key"] {
        assert_eq!(body.get(unknown), None);
    }
}

#[test]
fn the_key_does_not_show_in_a_log() {
    assert!(!format!("{:?} {:?}", genuine(), genuine().encode(&prompt())).contains("KEY"));
    let broken = Settings {
        key: Secret::new("K\nY"),
        ..settings(Structure::None)
    };
    assert_eq!(
        OpenAi::new(&broken, &Url::parse("http://localhost").unwrap()).unwrap_err(),
        UnsendableKey
    );
}

#[test]
fn every_known_answer_is_taken_for_what_it_is() {
    let answers = fixtures("responses");
    let answers = answers.as_array().unwrap();
    assert!(answers.len() >= 9);
    for answer in answers {
        let decoded = genuine().decode(answer["body"].to_string().as_bytes());
        let name = &answer["name"];
        match answer["expect"].as_str().unwrap() {
            "actions" => assert_eq!(decoded.unwrap().body, ANSWER, "{name}"),
            "truncated" => assert_eq!(decoded, Err(ProviderError::Truncated), "{name}"),
            "refused" => assert_eq!(decoded, Err(ProviderError::Declined), "{name}"),
            "retryable_failure" => assert!(
                matches!(decoded, Err(ProviderError::Malformed { .. })),
                "{name}: {decoded:?}"
            ),
            other => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn usage_counts_cached_tokens_once() {
    let answers = fixtures("responses");
    let first = genuine()
        .decode(answers[0]["body"].to_string().as_bytes())
        .unwrap();
    assert_eq!(
        first.usage,
        Usage {
            input: 1480,
            cached: 1408,
            written: 0,
            output: 27
        }
    );
}

#[test]
fn an_answer_that_is_none_is_malformed_or_the_error_it_hides() {
    let decode = |body: &str| genuine().decode(body.as_bytes()).unwrap_err();
    let choice = |message: &str| {
        format!(r#"{{"choices":[{{"message":{message},"finish_reason":"stop"}}]}}"#)
    };
    let cut = fixtures("responses")[0]["body"].to_string();
    let two = r#"{"tool_calls":[{"function":{"arguments":"{}"}},{"function":{"arguments":"{}"}}]}"#;
    for body in [
        "",
        "{}",
        "<html>",
        "\u{0}\u{1}",
        &cut[..200],
        r#"{"choices":[]}"#,
        &choice(two),
        r#"{"error":{"message":"oops"}}"#,
        r#"{"error":"oops"}"#,
    ] {
        assert!(
            matches!(decode(body), ProviderError::Malformed { .. }),
            "{body}"
        );
    }
    assert_eq!(
        decode(r#"{"error":{"message":"slow down","code":429}}"#),
        ProviderError::Limited { retry_after: None }
    );
}

#[test]
fn the_ways_in_which_copies_differ_are_understood() {
    let choice = |message: &str| {
        format!(r#"{{"choices":[{{"message":{message},"finish_reason":null}}],"usage":null}}"#)
    };
    let parts = choice(
        r#"{"content":[{"type":"text","text":"{\"a\""},{"type":"text","text":":1}"}],"tool_calls":null}"#,
    );
    let object = choice(r#"{"content":"","tool_calls":[{"function":{"arguments":{"a":1}}}]}"#);
    for body in [parts, object] {
        assert_eq!(
            genuine().decode(body.as_bytes()).unwrap().body,
            r#"{"a":1}"#
        );
    }
}

#[test]
fn every_known_error_is_cut_by_what_to_do_next() {
    assert_errors_are_cut(&genuine(), "openai/errors.json", 17);
}

#[test]
fn a_setting_the_model_does_not_know_is_the_operators_to_mend() {
    let body = br#"{"error":{"message":"Unsupported value: 'reasoning_effort'","type":"invalid_request_error","code":"unsupported_value"}}"#;
    assert_eq!(
        genuine()
            .fault(400, &HeaderMap::new(), body, UNIX_EPOCH)
            .disposition(),
        Disposition::Bench
    );
    assert_eq!(
        genuine()
            .fault(301, &HeaderMap::new(), b"", UNIX_EPOCH)
            .disposition(),
        Disposition::Bench
    );
}

#[test]
fn what_is_left_of_the_limits_is_read_from_the_headers() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("limit-tokens", "200000"),
        ("remaining-tokens", "20000"),
        ("reset-tokens", "54s"),
        ("remaining-requests", "3"),
        ("reset-requests", "120ms"),
    ] {
        headers.insert(
            reqwest::header::HeaderName::try_from(format!("x-ratelimit-{name}")).unwrap(),
            value.parse().unwrap(),
        );
    }
    let remaining = genuine().remaining(&headers);
    assert_eq!(remaining.wait_for(20_000), Duration::ZERO);
    assert_eq!(
        remaining.wait_for(40_000),
        Duration::from_secs(6),
        "a ninth of what is missing"
    );
    assert_eq!(genuine().remaining(&HeaderMap::new()), Remaining::default());
}
