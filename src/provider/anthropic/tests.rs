//! Against the facts of the API: requests, bodies, errors and headers as the official SDK meets them.

use std::time::Duration;

use crate::provider::anthropic::*;
use crate::provider::fixture::{
    assert_answers_are_taken, assert_errors_are_cut, assert_sent_as_captured, body, load, settings,
};
use crate::provider::{Disposition, Usage};

fn anthropic(effort: Option<&str>) -> Anthropic {
    let settings = Settings {
        reasoning_effort: effort.map(str::to_owned),
        ..settings(Api::Anthropic, "claude-haiku-5-5")
    };
    Anthropic::new(&settings).unwrap()
}

#[test]
fn the_request_is_the_one_the_official_sdk_sends() {
    let captured = load("anthropic/request.json");
    assert_sent_as_captured(&anthropic(None), &captured);
    let schema = &captured["body"]["output_config"]["format"]["schema"];
    assert_eq!(body(&anthropic(None), schema), captured["body"]);
}

#[test]
fn thinking_is_off_unless_asked_for() {
    let sent = |effort| body(&anthropic(effort), &json!({}));
    assert_eq!(
        (
            &sent(None)["thinking"]["type"],
            &sent(None)["output_config"]["effort"]
        ),
        (&json!("disabled"), &json!("low"))
    );
    assert_eq!(sent(Some("none"))["thinking"]["type"], "disabled");
    assert_eq!(sent(Some("none"))["output_config"].get("effort"), None);
    assert_eq!(sent(Some("high")).get("thinking"), None);
    assert_eq!(sent(Some("high"))["output_config"]["effort"], "high");
}

#[test]
fn a_model_not_known_is_told_nothing_it_may_not_know() {
    let settings = Settings {
        structure: Structure::Json,
        ..settings(Api::Anthropic, "claude-opus-9")
    };
    let sent = body(&Anthropic::new(&settings).unwrap(), &json!({}));
    for unknown in ["thinking", "output_config", "temperature"] {
        assert_eq!(sent.get(unknown), None, "{unknown}");
    }
}

#[test]
fn the_operator_may_ask_for_another_version() {
    let mut settings = settings(Api::Anthropic, "m");
    settings
        .headers
        .insert(VERSION_HEADER, HeaderValue::from_static("2023-06-01"));
    let request = Anthropic::new(&settings)
        .unwrap()
        .encode(&crate::provider::fixture::prompt(&json!({})));
    assert_eq!(request.headers[VERSION_HEADER], "2023-06-01");
}

#[test]
fn every_known_answer_is_taken_for_what_it_is() {
    assert_answers_are_taken(&anthropic(None), "anthropic/responses.json", 6);
}

#[test]
fn every_known_error_is_cut_by_what_to_do_next() {
    assert_errors_are_cut(&anthropic(None), "anthropic/errors.json", 16);
}

#[test]
fn input_is_counted_with_what_was_read_from_and_written_to_the_cache() {
    let mut answer = load("anthropic/responses.json")[0]["body"].clone();
    answer["usage"]["cache_creation_input_tokens"] = json!(200);
    let usage = anthropic(None)
        .decode(answer.to_string().as_bytes())
        .unwrap()
        .usage;
    assert_eq!(
        usage,
        Usage {
            input: 1718,
            cached: 1500,
            written: 200,
            output: 34
        }
    );
}

#[test]
fn an_answer_that_is_none_is_malformed_or_the_error_it_hides() {
    let decode = |body: &str| anthropic(None).decode(body.as_bytes()).unwrap_err();
    let block = |content: &str, reason: &str| {
        format!(r#"{{"content":[{content}],"stop_reason":{reason}}}"#)
    };
    let tool = r#"{"type":"tool_use","input":{}}"#;
    let two = block(&format!("{tool},{tool}"), r#""tool_use""#);
    let empty = block(r#"{"type":"text","text":" "}"#, r#""end_turn""#);
    let endless = block(r#"{"type":"text","text":"{}"}"#, "null");
    let paused = block(r#"{"type":"text","text":"{}"}"#, r#""pause_turn""#);
    for body in [
        "",
        "{}",
        "<html>",
        &two,
        &empty,
        &endless,
        &paused,
        r#"{"error":{"type":"new_error"}}"#,
    ] {
        assert!(
            matches!(decode(body), ProviderError::Malformed { .. }),
            "{body}"
        );
    }
    let hidden = |kind: &str| {
        decode(&format!(
            r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}}}}"#
        ))
        .disposition()
    };
    assert_eq!(
        hidden("overloaded_error"),
        Disposition::Retry { after: None }
    );
    assert_eq!(hidden("rate_limit_error"), Disposition::Next { rest: None });
    assert_eq!(hidden("authentication_error"), Disposition::Bench);
}

#[test]
fn a_block_of_a_kind_not_yet_known_is_passed_over() {
    let body = r#"{"content":[{"type":"novelty","x":1},{"type":"text","text":"{}"}],"stop_reason":"end_turn"}"#;
    assert_eq!(anthropic(None).decode(body.as_bytes()).unwrap().body, "{}");
}

#[test]
fn what_is_left_of_the_limits_is_read_by_the_servers_clock() {
    let errors = load("anthropic/errors.json");
    let limited = errors
        .as_array()
        .unwrap()
        .iter()
        .find(|error| error["name"] == "429")
        .unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in limited["headers"].as_object().unwrap() {
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.as_str().unwrap().parse().unwrap(),
        );
    }
    assert_eq!(
        anthropic(None).remaining(&headers),
        Remaining::default(),
        "without a clock"
    );
    headers.insert(
        "date",
        HeaderValue::from_static("Mon, 23 Nov 2026 19:00:00 GMT"),
    );
    let remaining = anthropic(None).remaining(&headers);
    let seven = Duration::from_secs(7);
    assert_eq!(
        remaining.requests,
        Some(Allowance {
            left: 0,
            limit: Some(50),
            reset: seven
        })
    );
    assert_eq!(
        remaining.tokens,
        Some(Allowance {
            left: 10_000,
            limit: Some(60_000),
            reset: seven
        })
    );
    headers.remove("retry-after");
    assert_eq!(
        anthropic(None).fault(429, &headers, b"", SystemTime::UNIX_EPOCH),
        ProviderError::Limited {
            retry_after: Some(seven)
        }
    );
}
