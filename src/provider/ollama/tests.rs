//! Against the facts of the API: requests, bodies and errors as the official library meets them.

use serde_json::json;

use crate::provider::fixture::{
    assert_answers_are_taken, assert_errors_are_cut, assert_sent_as_captured, body, load, prompt,
    settings,
};
use crate::provider::ollama::*;
use crate::provider::{Api, Usage};

fn ollama(effort: Option<&str>, structure: Structure) -> Ollama {
    let effort = effort.map(str::to_owned);
    Ollama::new(&Settings {
        key: None,
        reasoning_effort: effort,
        structure,
        ..settings(Api::Ollama, "qwen3:4b")
    })
    .unwrap()
}

fn usual() -> Ollama {
    ollama(None, Structure::Schema)
}

#[test]
fn the_request_is_the_one_the_official_library_sends_with_the_schema_told_as_well() {
    let mut captured = load("ollama/request.json");
    assert_sent_as_captured(&usual(), &captured);
    let schema = captured["body"]["format"].clone();
    let told = format!(
        "{}\n\nAnswer with JSON of this schema:\n{schema}",
        captured["body"]["messages"][0]["content"].as_str().unwrap()
    );
    captured["body"]["messages"][0]["content"] = told.into();
    captured["body"].as_object_mut().unwrap().remove("tools");
    assert_eq!(body(&usual(), &schema), captured["body"]);
}

#[test]
fn thinking_is_off_unless_asked_for() {
    let think = |effort| body(&ollama(effort, Structure::Schema), &json!({}))["think"].clone();
    assert_eq!(
        (
            think(None),
            think(Some("none")),
            think(Some("on")),
            think(Some("low"))
        ),
        (json!(false), json!(false), json!(true), json!("low"))
    );
}

#[test]
fn without_a_schema_none_is_told() {
    let sent = |structure| body(&ollama(None, structure), &json!({"type": "object"}));
    assert_eq!(sent(Structure::Json)["format"], "json");
    assert_eq!(sent(Structure::None).get("format"), None);
    assert!(
        !sent(Structure::None)["messages"][0]["content"]
            .as_str()
            .unwrap()
            .contains("schema")
    );
}

#[test]
fn a_long_prompt_is_given_room_in_steps() {
    let room_for = |bytes: usize| {
        let long = Prompt {
            prefix: "x".repeat(bytes).into(),
            ..prompt(&json!({}))
        };
        serde_json::from_slice::<Json>(&usual().encode(&long).body).unwrap()["options"]["num_ctx"]
            .as_u64()
    };
    assert_eq!((room_for(100), room_for(11_000)), (None, None));
    assert_eq!(
        (room_for(12_000), room_for(20_000), room_for(25_000)),
        (Some(8192), Some(8192), Some(16_384))
    );
}

#[test]
fn every_known_answer_is_taken_for_what_it_is() {
    assert_answers_are_taken(&usual(), "ollama/responses.json", 4);
}

#[test]
fn every_known_error_is_cut_by_what_to_do_next() {
    assert_errors_are_cut(&usual(), "ollama/errors.json", 4);
}

#[test]
fn tokens_are_counted() {
    let answer = load("ollama/responses.json")[0]["body"].to_string();
    assert_eq!(
        usual().decode(answer.as_bytes()).unwrap().usage,
        Usage {
            input: 1460,
            output: 28,
            ..Usage::default()
        }
    );
}

#[test]
fn an_answer_that_is_none_is_malformed() {
    let part = r#"{"message":{"role":"assistant","content":"{}"},"done":false}"#;
    let unloaded = r#"{"message":{"content":"{}"},"done":true,"done_reason":"unload"}"#;
    for body in [
        "",
        "{}",
        "<html>",
        part,
        unloaded,
        r#"{"error":"model runner has stopped"}"#,
        r#"{"message":{"content":" "},"done":true}"#,
    ] {
        let error = usual().decode(body.as_bytes()).unwrap_err();
        assert!(
            matches!(error, ProviderError::Malformed { .. }),
            "{body}: {error}"
        );
    }
}

#[test]
fn an_older_version_gives_no_reason_and_is_believed() {
    assert_eq!(
        usual()
            .decode(br#"{"message":{"content":"{}"},"done":true}"#)
            .unwrap()
            .body,
        "{}"
    );
}
