//! Against the facts of the API: requests, bodies, errors and headers as the official SDK meets them.

use crate::provider::fixture::{
    assert_answers_are_taken, assert_errors_are_cut, assert_sent_as_captured, body, load, settings,
};
use crate::provider::gemini::*;
use crate::provider::{Disposition, Usage};

fn gemini(model: &str, effort: Option<&str>) -> Gemini {
    Gemini::new(&Settings {
        reasoning_effort: effort.map(str::to_owned),
        ..settings(Api::Gemini, model)
    })
    .unwrap()
}

fn latest() -> Gemini {
    gemini("gemini-flash-lite-latest", None)
}

#[test]
fn the_request_is_the_one_the_official_sdk_sends() {
    let mut captured = load("gemini/request.json");
    assert_sent_as_captured(&latest(), &captured);
    // The SDK writes this one name in the other of the two spellings that the API takes.
    captured["body"]["generationConfig"]["thinkingConfig"] = json!({"thinkingLevel": "MINIMAL"});
    let schema = captured["body"]["generationConfig"]["responseJsonSchema"].clone();
    assert_eq!(body(&latest(), &schema), captured["body"]);
}

#[test]
fn a_model_thinks_as_little_as_it_can_unless_asked_to() {
    let level = |model, effort| {
        body(&gemini(model, effort), &json!({}))["generationConfig"]["thinkingConfig"]["thinkingLevel"].clone()
    };
    assert_eq!(
        level("models/gemini-3.5-flash-lite", Some("none")),
        "MINIMAL"
    );
    assert_eq!(level("gemini-3.5-flash-lite", Some("high")), "HIGH");
    assert_eq!(
        level("gemini-2.5-flash-lite", None),
        Json::Null,
        "it does not know levels"
    );
}

#[test]
fn the_form_of_the_answer_is_asked_for_as_set_up() {
    let config = |structure| {
        body(
            &Gemini::new(&Settings {
                structure,
                ..settings(Api::Gemini, "m")
            })
            .unwrap(),
            &json!({}),
        )["generationConfig"]
            .clone()
    };
    assert_eq!(
        config(Structure::Json)["responseMimeType"],
        "application/json"
    );
    assert_eq!(config(Structure::Json).get("responseJsonSchema"), None);
    assert_eq!(config(Structure::None).get("responseMimeType"), None);
}

#[test]
fn every_known_answer_is_taken_for_what_it_is() {
    assert_answers_are_taken(&latest(), "gemini/responses.json", 9);
}

#[test]
fn every_known_error_is_cut_by_what_to_do_next() {
    assert_errors_are_cut(&latest(), "gemini/errors.json", 12);
}

#[test]
fn thoughts_are_counted_with_the_answer() {
    let answers = load("gemini/responses.json");
    let thoughtful = answers
        .as_array()
        .unwrap()
        .iter()
        .find(|answer| answer["name"] == "ok_json_thought_part_first")
        .unwrap();
    let usage = latest()
        .decode(thoughtful["body"].to_string().as_bytes())
        .unwrap()
        .usage;
    assert_eq!(
        usage,
        Usage {
            input: 1490,
            cached: 1024,
            written: 0,
            output: 42
        }
    );
}

#[test]
fn an_answer_that_is_none_is_malformed_or_the_error_it_hides() {
    let decode = |body: &str| latest().decode(body.as_bytes()).unwrap_err();
    let parts = |parts: &str, reason: &str| {
        format!(r#"{{"candidates":[{{"content":{{"parts":[{parts}]}},"finishReason":{reason}}}]}}"#)
    };
    let call = r#"{"functionCall":{"args":{}}}"#;
    let two = parts(&format!("{call},{call}"), r#""STOP""#);
    let thought = parts(r#"{"text":"{}","thought":true}"#, r#""STOP""#);
    let endless = parts(r#"{"text":"{}"}"#, "null");
    for body in [
        "",
        "{}",
        "<html>",
        &two,
        &thought,
        &endless,
        r#"{"error":{"message":"oops"}}"#,
    ] {
        assert!(
            matches!(decode(body), ProviderError::Malformed { .. }),
            "{body}"
        );
    }
    let limited =
        r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"3s"}]}}"#;
    assert_eq!(
        decode(limited).disposition(),
        Disposition::Next {
            rest: Some(std::time::Duration::from_secs(3))
        }
    );
}
