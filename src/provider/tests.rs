//! Tests of all APIs against recorded requests, answers, streams and errors.

use proptest::prelude::*;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value as Json, json};

use crate::provider::api::UnsendableKey;
use crate::provider::fixture::{
    RecordedStream, assert_answers, assert_classified, assert_errors, assert_sent_as_captured,
    body, decode, encoded, load, payload, prompt, response_error, settings, streamed, streams,
};
use crate::provider::headers;
use crate::provider::*;
use crate::secret::Secret;

fn at(api: &'static ApiSpec, model: &str, base_url: &str) -> Settings {
    Settings {
        base_url: base_url.to_owned(),
        ..settings(api, model)
    }
}

fn genuine(api: &'static ApiSpec) -> Settings {
    at(api, "gpt-6-luna", "https://api.openai.com/v1")
}

#[test]
fn every_api_has_a_name_of_its_own_and_complete_fixtures() {
    let streams = streams();
    for (place, spec) in APIS.iter().enumerate() {
        assert!(APIS[..place].iter().all(|other| other.name != spec.name));
        assert!(load(&format!("{}/request.json", spec.name)).is_object());
        assert_answers(spec, &format!("{}/responses.json", spec.name), 4);
        assert_errors(spec, &format!("{}/errors.json", spec.name), 4);
        let own: Vec<&RecordedStream> = streams.iter().filter(|s| s.api == *spec).collect();
        for expect in ["actions", "truncated", "retryable_failure"] {
            let found = own.iter().any(|stream| stream.expect == expect);
            assert!(found, "{}: no stream `{expect}`", spec.name);
        }
        for family in spec.families {
            let nearest = spec.family_of(family.id).unwrap();
            assert_eq!(nearest.id, family.id, "hidden by one before it");
        }
    }
}

#[test]
fn errors_of_compatible_servers_are_classified() {
    assert_errors(&openai::SPEC, "copies/errors.json", 3);
}

#[test]
fn requests_are_those_of_the_official_sdks() {
    let captured = load("responses/request.json");
    let responses = Settings {
        reasoning_effort: Some("none".into()),
        ..genuine(&responses::SPEC)
    };
    assert_sent_as_captured(&responses, &captured);
    let schema = &captured["body"]["text"]["format"]["schema"];
    assert_eq!(body(&responses, schema), captured["body"]);

    let captured = load("openai/request.json");
    let chat = genuine(&openai::SPEC);
    assert_sent_as_captured(&chat, &captured);
    let mut prompt = prompt(&captured["body"]["response_format"]["json_schema"]["schema"]);
    prompt.prefix = "REGISTRY".into();
    assert_eq!(encoded(&chat, &prompt, false).1, captured["body"]);

    let captured = load("anthropic/request.json");
    let anthropic = settings(&anthropic::SPEC, "claude-haiku-5-5");
    assert_sent_as_captured(&anthropic, &captured);
    let schema = &captured["body"]["output_config"]["format"]["schema"];
    assert_eq!(body(&anthropic, schema), captured["body"]);

    let mut captured = load("gemini/request.json");
    let gemini = settings(&gemini::SPEC, "gemini-flash-lite-latest");
    assert_sent_as_captured(&gemini, &captured);
    // The SDK writes this one name in the other of the two spellings that the API accepts.
    captured["body"]["generationConfig"]["thinkingConfig"] = json!({"thinkingLevel": "MINIMAL"});
    let schema = captured["body"]["generationConfig"]["responseJsonSchema"].clone();
    assert_eq!(body(&gemini, &schema), captured["body"]);

    let mut captured = load("ollama/request.json");
    let ollama = Settings {
        key: None,
        ..settings(&ollama::SPEC, "qwen3:4b")
    };
    assert_sent_as_captured(&ollama, &captured);
    captured["body"].as_object_mut().unwrap().remove("tools");
    captured["body"]["options"]["num_ctx"] = json!(2048);
    let schema = captured["body"]["format"].clone();
    assert_eq!(body(&ollama, &schema), captured["body"]);

    let compared = [&responses, &chat, &anthropic, &gemini, &ollama].map(|settings| settings.api);
    for spec in APIS {
        assert!(compared.contains(&spec), "{}: not compared here", spec.name);
    }
}

#[test]
fn the_operator_may_choose_the_key_header_and_add_headers() {
    let mut settings = settings(&openai::SPEC, "m");
    settings.key_header = Some(HeaderName::from_static("api-key"));
    settings
        .headers
        .insert("x-team", HeaderValue::from_static("home"));
    let headers = headers::outgoing(&settings).unwrap();
    assert_eq!(headers["api-key"], "KEY");
    assert_eq!(headers["x-team"], "home");
    assert!(headers["api-key"].is_sensitive());
    assert!(!headers.contains_key("authorization"));
    settings.key = Secret::new("K\nY");
    assert_eq!(headers::outgoing(&settings).unwrap_err(), UnsendableKey);
}

#[test]
fn the_operator_may_choose_another_version() {
    let mut settings = settings(&anthropic::SPEC, "m");
    assert_eq!(
        headers::outgoing(&settings).unwrap()["anthropic-version"],
        "2026-10-21"
    );
    settings
        .headers
        .insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    assert_eq!(
        headers::outgoing(&settings).unwrap()["anthropic-version"],
        "2023-06-01"
    );
}

#[test]
fn a_compatible_server_is_sent_only_what_all_of_them_know() {
    for url in ["http://localhost:8080/v1", "https://openrouter.ai/api/v1"] {
        let settings = Settings {
            structure: Structure::Json,
            ..at(&openai::SPEC, "gpt-6-luna", url)
        };
        let body = body(&settings, &Json::Null);
        assert_eq!(body["messages"][0]["role"], "system");
        assert!(body["messages"][0]["content"].is_string());
        assert_eq!(body["max_tokens"], 256);
        assert_eq!(body["temperature"], 0);
        assert_eq!(body["response_format"], json!({"type": "json_object"}));
        for unknown in [
            "max_completion_tokens",
            "prompt_cache_key",
            "reasoning_effort",
        ] {
            assert_eq!(body.get(unknown), None, "{unknown}");
        }
    }
    let body = body(&genuine(&openai::SPEC), &Json::Null);
    assert_eq!(body["reasoning_effort"], "none");
}

#[test]
fn models_think_as_little_as_they_can_unless_configured() {
    let with = |api, model: &str, effort: Option<&str>| {
        let settings = Settings {
            reasoning_effort: effort.map(str::to_owned),
            ..settings(api, model)
        };
        body(&settings, &json!({}))
    };
    let claude = |effort| with(&anthropic::SPEC, "claude-haiku-5-5", effort);
    assert_eq!(claude(None)["thinking"]["type"], "disabled");
    assert_eq!(claude(None)["output_config"]["effort"], "low");
    assert_eq!(claude(Some("none"))["thinking"]["type"], "disabled");
    assert_eq!(claude(Some("none"))["output_config"].get("effort"), None);
    assert_eq!(claude(Some("high")).get("thinking"), None);
    assert_eq!(claude(Some("high"))["output_config"]["effort"], "high");
    let level = |model, effort| {
        let body = with(&gemini::SPEC, model, effort);
        body["generationConfig"]["thinkingConfig"]["thinkingLevel"].clone()
    };
    assert_eq!(
        level("models/gemini-3.5-flash-lite", Some("none")),
        "MINIMAL"
    );
    assert_eq!(level("gemini-3.5-flash-lite", Some("high")), "HIGH");
    assert_eq!(level("gemini-2.5-flash-lite", None), Json::Null);
    let think = |effort| with(&ollama::SPEC, "m", effort)["think"].clone();
    assert_eq!(think(None), false);
    assert_eq!(think(Some("none")), false);
    assert_eq!(think(Some("on")), true);
    assert_eq!(think(Some("low")), "low");
}

#[test]
fn an_unknown_model_is_sent_nothing_it_may_not_know() {
    let settings = Settings {
        structure: Structure::Json,
        ..settings(&anthropic::SPEC, "claude-opus-9")
    };
    let sent = body(&settings, &json!({}));
    for unknown in ["thinking", "output_config", "temperature"] {
        assert_eq!(sent.get(unknown), None, "{unknown}");
    }
}

#[test]
fn the_structure_is_requested_as_configured() {
    let with = |api, structure| {
        let settings = Settings {
            structure,
            ..settings(api, "m")
        };
        body(&settings, &json!({"type": "object"}))
    };
    let config = |structure| with(&gemini::SPEC, structure)["generationConfig"].clone();
    assert_eq!(
        config(Structure::Json)["responseMimeType"],
        "application/json"
    );
    assert_eq!(config(Structure::Json).get("responseJsonSchema"), None);
    assert_eq!(config(Structure::None).get("responseMimeType"), None);
    assert_eq!(with(&ollama::SPEC, Structure::Json)["format"], "json");
    assert_eq!(with(&ollama::SPEC, Structure::None).get("format"), None);
    assert_eq!(
        with(&responses::SPEC, Structure::Json)["text"]["format"]["type"],
        "json_object"
    );
}

#[test]
fn a_schema_is_cut_to_what_the_api_accepts() {
    let ids: Vec<String> = (0..150).map(|n| format!("light_{n}")).collect();
    let schema = json!({"properties": {"actions": {"items": {"properties": {"device": {"enum": ids, "type": "string"}}}, "maxItems": 4}}});
    let device = |schema: &Json| {
        let actions = &schema["properties"]["actions"];
        (
            actions["items"]["properties"]["device"]["enum"].is_array(),
            actions["maxItems"].is_number(),
        )
    };
    let sent = |api| body(&settings(api, "m"), &schema);
    let openai = &sent(&openai::SPEC)["response_format"]["json_schema"]["schema"];
    assert_eq!(device(openai), (true, true));
    let gemini = &sent(&gemini::SPEC)["generationConfig"]["responseJsonSchema"];
    assert_eq!(device(gemini), (false, true));
    let anthropic = &sent(&anthropic::SPEC)["output_config"]["format"]["schema"];
    assert_eq!(device(anthropic), (false, false));
    assert_eq!(device(&sent(&ollama::SPEC)["format"]), (true, true));
}

#[test]
fn a_local_model_is_always_told_its_context_size_in_steps() {
    let size_for = |bytes: usize| {
        let mut prompt = prompt(&json!({}));
        prompt.prefix = "x".repeat(bytes).into();
        let (_, body) = encoded(&settings(&ollama::SPEC, "m"), &prompt, false);
        body["options"]["num_ctx"].as_u64().unwrap()
    };
    assert_eq!(
        [100, 5_000, 11_000, 12_000, 25_000].map(size_for),
        [2048, 2048, 4096, 8192, 16_384]
    );
}

#[test]
fn a_stream_is_requested_in_the_words_of_the_api() {
    for spec in APIS {
        let (path, whole) = encoded(&settings(spec, "m"), &prompt(&Json::Null), false);
        let (stream_path, stream) = encoded(&settings(spec, "m"), &prompt(&Json::Null), true);
        if spec.name == "gemini" {
            assert_eq!(stream_path, "/models/m:streamGenerateContent?alt=sse");
            assert_eq!(stream, whole);
        } else {
            assert_eq!(stream_path, path);
            assert_eq!(stream["stream"], true, "{}", spec.name);
            assert_ne!(whole["stream"], true, "{}", spec.name);
        }
    }
}

#[test]
fn prices_are_stated_where_they_are_known() {
    let prices = crate::provider::price::Prices::listed(0.1, Some(0.01), Some(0.2), 0.5);
    assert_eq!(anthropic::SPEC.prices("claude-haiku-5-5"), Some(prices));
    assert_eq!(openai::SPEC.prices("gpt-6-sol"), None);
    assert_eq!(
        ollama::SPEC.prices("qwen3:4b"),
        Some(crate::provider::price::Prices::FREE)
    );
    let id = |model| openai::SPEC.family_of(model).map(|family| family.id);
    assert_eq!(id("gpt-6-luna-2026-10-01"), Some("gpt-6-luna"));
    assert_eq!(id("gpt-6-sol"), Some("gpt-6"));
    assert_eq!(id("gpt-60"), None);
}

#[test]
fn the_limits_left_are_read_from_the_headers() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("limit-tokens", "200000"),
        ("remaining-tokens", "20000"),
        ("reset-tokens", "54s"),
        ("remaining-requests", "3"),
        ("reset-requests", "120ms"),
    ] {
        headers.insert(
            HeaderName::try_from(format!("x-ratelimit-{name}")).unwrap(),
            value.parse().unwrap(),
        );
    }
    let remaining = (openai::SPEC.read_limits)(&headers);
    assert_eq!(remaining.wait_for(20_000), std::time::Duration::ZERO);
    let ninth = std::time::Duration::from_secs(6);
    assert_eq!(remaining.wait_for(40_000), ninth, "comes back evenly");
    let none = (openai::SPEC.read_limits)(&HeaderMap::new());
    assert_eq!(none, Remaining::default());
}

#[test]
fn a_limit_without_retry_after_lasts_until_the_exhausted_limit_resets() {
    let errors = load("anthropic/errors.json");
    let limited = errors.as_array().unwrap().iter();
    let limited = limited
        .clone()
        .find(|error| error["name"] == "429")
        .unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in limited["headers"].as_object().unwrap() {
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            value.as_str().unwrap().parse().unwrap(),
        );
    }
    headers.remove("retry-after");
    let none = ProviderError::Limited { retry_after: None };
    let error = |headers: &HeaderMap| response_error(&anthropic::SPEC, 429, headers, b"");
    assert_eq!(error(&headers), none, "without a clock of the server");
    headers.insert(
        "date",
        HeaderValue::from_static("Mon, 23 Nov 2026 19:00:00 GMT"),
    );
    let retry_after = Some(std::time::Duration::from_secs(7));
    assert_eq!(error(&headers), ProviderError::Limited { retry_after });
}

/// Returns a chat completion with this message and reason to end.
fn chat(message: &Json, finish_reason: &Json) -> Json {
    json!({
        "choices": [{"message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 9},
    })
}

fn good_chat() -> Json {
    chat(&json!({"content": payload().to_string()}), &json!("stop"))
}

#[test]
fn any_reason_to_end_that_is_not_known_to_be_bad_is_accepted() {
    let content = json!({"content": payload().to_string()});
    for reason in [
        json!("eos_token"),
        json!("eos"),
        json!("STOP"),
        json!("unknown"),
        json!("abort"),
        json!(""),
        json!(null),
        json!(7),
    ] {
        let body = chat(&content, &reason).to_string();
        let decoded = decode(&openai::SPEC, body.as_bytes());
        assert_classified(&reason.to_string(), &decoded, "actions");
    }
    for (reason, expect) in [
        ("length", "truncated"),
        ("MAX_TOKENS", "truncated"),
        ("content_filter", "refused"),
        ("SAFETY", "refused"),
    ] {
        let body = chat(&content, &json!(reason)).to_string();
        assert_classified(reason, &decode(&openai::SPEC, body.as_bytes()), expect);
    }
    let half = chat(&json!({"content": "{\"actions\":["}), &json!("eos_token")).to_string();
    assert_classified(
        "half",
        &decode(&openai::SPEC, half.as_bytes()),
        "retryable_failure",
    );
}

#[test]
fn an_answer_that_the_server_marks_as_failed_is_no_answer() {
    let content = json!({"content": payload().to_string()});
    let mut failed = chat(&content, &json!("error"));
    let decoded = decode(&openai::SPEC, failed.to_string().as_bytes());
    assert_classified("without a cause", &decoded, "retryable_failure");
    failed["choices"][0]["error"] = json!({"code": 502, "message": "upstream failed"});
    let decoded = decode(&openai::SPEC, failed.to_string().as_bytes());
    assert_classified("with a cause", &decoded, "retryable_failure");
    for status in ["cancelled", "in_progress", "queued", "failed"] {
        let part = json!({"type": "output_text", "text": payload().to_string()});
        let message = json!({"type": "message", "role": "assistant", "content": [part]});
        let response = json!({"object": "response", "status": status, "output": [message]});
        let decoded = decode(&responses::SPEC, response.to_string().as_bytes());
        assert_classified(status, &decoded, "retryable_failure");
    }
}

#[test]
fn odd_token_counts_do_not_spoil_an_answer() {
    for usage in [
        json!(null),
        json!("n/a"),
        json!([]),
        json!({"prompt_tokens": 1151, "completion_tokens": -35}),
        json!({"prompt_tokens": 9.5, "completion_tokens": "7"}),
        json!({"prompt_tokens": null, "prompt_tokens_details": null}),
        json!({"prompt_tokens": 1e300}),
    ] {
        let mut body = good_chat();
        body["usage"] = usage.clone();
        let decoded = decode(&openai::SPEC, body.to_string().as_bytes());
        assert_classified(&usage.to_string(), &decoded, "actions");
    }
    for (spec, field) in [
        (&anthropic::SPEC, "usage"),
        (&gemini::SPEC, "usageMetadata"),
        (&ollama::SPEC, "eval_count"),
        (&responses::SPEC, "usage"),
    ] {
        let answers = load(&format!("{}/responses.json", spec.name));
        for odd in [json!(null), json!(-3.5), json!("x"), json!([])] {
            let mut body = answers[0]["body"].clone();
            body[field] = odd.clone();
            let decoded = decode(spec, body.to_string().as_bytes());
            assert_classified(&format!("{} {odd}", spec.name), &decoded, "actions");
        }
    }
}

#[test]
fn null_and_other_types_where_lists_are_expected_are_no_failure_of_the_reader() {
    let limited = br#"{"choices": null, "error": {"code": 429, "message": "slow down"}}"#;
    assert_eq!(
        decode(&openai::SPEC, limited),
        Err(ProviderError::Limited { retry_after: None })
    );
    for message in [
        json!({"content": null, "tool_calls": [{"function": {"arguments": payload()}}]}),
        json!({"content": payload().to_string(), "tool_calls": null, "refusal": null}),
        json!({"content": payload().to_string(), "tool_calls": {}, "refusal": ""}),
        json!({"content": payload(), "audio": null}),
        json!({"content": [{"type": "text", "text": payload().to_string()}]}),
        json!({"content": [{"type": "thinking", "text": "hm"}, {"text": payload().to_string()}]}),
        json!({"content": "", "function_call": {"arguments": payload().to_string()}}),
        json!({"content": "Calling it.", "tool_calls": [{"function": {"arguments": payload().to_string()}}]}),
        json!({"content": payload().to_string(), "tool_calls": [{"function": {"arguments": "not it"}}]}),
    ] {
        let body = chat(&message, &json!("tool_calls")).to_string();
        let decoded = decode(&openai::SPEC, body.as_bytes());
        assert_classified(&message.to_string(), &decoded, "actions");
    }
    for (spec, body) in [
        (&gemini::SPEC, json!({"candidates": null})),
        (
            &gemini::SPEC,
            json!({"candidates": [{"content": {"parts": null}, "finishReason": "STOP"}]}),
        ),
        (
            &anthropic::SPEC,
            json!({"type": "message", "content": null, "usage": null, "stop_reason": "end_turn"}),
        ),
        (
            &ollama::SPEC,
            json!({"message": {"content": null}, "done": true}),
        ),
        (&ollama::SPEC, json!({"message": null, "done": true})),
        (
            &responses::SPEC,
            json!({"output": null, "status": "completed"}),
        ),
    ] {
        let decoded = decode(spec, body.to_string().as_bytes());
        assert_classified(&body.to_string(), &decoded, "retryable_failure");
    }
}

#[test]
fn two_different_answers_in_one_are_not_used() {
    let other = r#"{"actions":[]}"#;
    let call = |arguments: &str| json!({"function": {"arguments": arguments}});
    for message in [
        json!({"content": other, "tool_calls": [call(&payload().to_string())]}),
        json!({"tool_calls": [call(other), call(&payload().to_string())]}),
    ] {
        let body = chat(&message, &json!("stop")).to_string();
        let error = decode(&openai::SPEC, body.as_bytes()).unwrap_err();
        assert!(matches!(error, ProviderError::Malformed { .. }), "{error}");
    }
}

#[test]
fn an_answer_is_read_in_whatever_form_it_comes() {
    let delta = json!({"choices": [{"delta": {"content": payload().to_string()}, "finish_reason": "stop"}]});
    let whole = good_chat();
    for (name, body) in [
        ("whole", whole.to_string()),
        ("indented", serde_json::to_string_pretty(&whole).unwrap()),
        ("byte order mark", format!("\u{feff}{whole}")),
        ("white space first", format!("\r\n \n{whole}\n\n")),
        ("a stream", format!("data: {delta}\n\ndata: [DONE]\n\n")),
        ("without its last blank line", format!("data: {delta}\n")),
        (
            "with more after the end",
            format!("data: {delta}\n\ndata: [DONE]\n\ndata: {delta}\n\ndata: bye\n\n"),
        ),
        (
            "without its last line end",
            format!("data: {delta}\n\ndata: [DONE]"),
        ),
        (
            "without blank lines",
            format!("data: {delta}\ndata: [DONE]\n"),
        ),
        ("a stream of a whole", format!("data: {whole}\n\n")),
        (
            "with a byte order mark",
            format!("\u{feff}data: {delta}\n\n"),
        ),
        (
            "with comments",
            format!(": ping\r\n\r\ndata: {delta}\r\n\r\n"),
        ),
        (
            "lines of JSON",
            format!("{delta}\n{{\"choices\":[],\"usage\":{{}}}}\n"),
        ),
        ("a list", format!("[{delta}]")),
    ] {
        let decoded = decode(&openai::SPEC, body.as_bytes());
        assert_classified(name, &decoded, "actions");
    }
    let empty_after_stop = format!(
        "data: {delta}\n\ndata: \
         {{\"choices\":[{{\"delta\":{{\"content\":\"\"}},\"finish_reason\":\"\"}}],\"usage\":{{\"prompt_tokens\":3,\"completion_tokens\":4}}}}\n\ndata: [DONE]\n\n"
    );
    let completion = decode(&openai::SPEC, empty_after_stop.as_bytes()).unwrap();
    assert_eq!(completion.usage.input, 3);
}

/// Errors with status 200, and the first word of the reaction to each.
const ERRORS_IN_A_200: [(&ApiSpec, &str, &str); 18] = [
    (
        &openai::SPEC,
        r#"{"error":{"message":"slow","code":"429"}}"#,
        "Rest",
    ),
    (
        &openai::SPEC,
        r#"{"error":{"message":"slow","type":"rate_limit_error"}}"#,
        "Rest",
    ),
    (
        &openai::SPEC,
        r#"{"error":{"message":"no","code":"invalid_api_key"}}"#,
        "Disable",
    ),
    (
        &openai::SPEC,
        r#"{"error":{"message":"no","code":"context_length_exceeded"}}"#,
        "Skip",
    ),
    (&openai::SPEC, r#"{"error":"oops"}"#, "Retry"),
    (
        &openai::SPEC,
        r#"{"error":{"message":"oops","code":502}}"#,
        "Retry",
    ),
    (&openai::SPEC, r#"{"error":null,"choices":[]}"#, "Unfit"),
    (&openai::SPEC, "{}", "Unfit"),
    (&openai::SPEC, "<html>", "Unfit"),
    (&openai::SPEC, "", "Retry"),
    (
        &anthropic::SPEC,
        r#"{"type":"error","error":{"type":"overloaded_error"}}"#,
        "Retry",
    ),
    (
        &anthropic::SPEC,
        r#"{"type":"error","error":{"type":"rate_limit_error"}}"#,
        "Rest",
    ),
    (
        &anthropic::SPEC,
        r#"{"type":"error","error":{"type":"authentication_error"}}"#,
        "Disable",
    ),
    (
        &gemini::SPEC,
        r#"{"error":{"code":429,"details":[{"retryDelay":"3s"}]}}"#,
        "Rest",
    ),
    (
        &gemini::SPEC,
        r#"[{"error":{"code":503,"message":"overloaded"}}]"#,
        "Retry",
    ),
    (
        &ollama::SPEC,
        r#"{"error":"model runner has stopped"}"#,
        "Retry",
    ),
    (
        &responses::SPEC,
        r#"{"status":"failed","error":{"code":"rate_limit_exceeded"}}"#,
        "Rest",
    ),
    (
        &responses::SPEC,
        "data: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"m\"}\n\n",
        "Retry",
    ),
];

#[test]
fn an_error_in_a_200_is_that_error() {
    for (spec, body, expected) in ERRORS_IN_A_200 {
        let error = decode(spec, body.as_bytes()).unwrap_err();
        let disposition = format!("{:?}", error.disposition());
        assert!(
            disposition.starts_with(expected),
            "{body}: {error} {disposition}"
        );
    }
    for spec in APIS {
        let has_error = ERRORS_IN_A_200.iter().any(|(api, ..)| *api == spec);
        assert!(has_error, "{}: no error in a 200", spec.name);
    }
}

#[test]
fn a_status_is_classified_alike_by_every_api() {
    let html = b"<html>Just a moment...</html>";
    for spec in APIS {
        for status in 300..=599 {
            let json = response_error(
                spec,
                status,
                &HeaderMap::new(),
                br#"{"error":{"message":"words"}}"#,
            );
            let page = response_error(spec, status, &HeaderMap::new(), html);
            let expected = match status {
                300..=399 | 401 | 402 | 404 => "Disable",
                403 => "Doubt",
                408 | 409 | 425 | 498 | 500.. => "Retry",
                429 => "Rest",
                _ => "Skip",
            };
            let found = format!("{:?}", json.disposition());
            assert!(found.starts_with(expected), "{status}: {found}");
            if matches!(status, 403..=405 | 500..) {
                let found = format!("{:?}", page.disposition());
                assert!(found.starts_with("Retry"), "{status} from a proxy: {found}");
            }
            if status >= 500 {
                assert!(json.to_string().contains("words"), "{json}");
            }
        }
    }
}

#[test]
fn the_words_of_servers_with_other_error_bodies_are_kept() {
    let body = br#"{"detail":"Input should be 'text' or 'json_object'"}"#;
    let error = response_error(&openai::SPEC, 500, &HeaderMap::new(), body);
    assert!(error.to_string().contains("should be 'text'"), "{error}");
    let list = br#"{"detail":[{"msg":"Input should be 'text'"}]}"#;
    let error = response_error(&openai::SPEC, 422, &HeaderMap::new(), list);
    assert!(error.to_string().contains("should be 'text'"), "{error}");
}

#[test]
fn a_setting_the_model_does_not_know_is_the_operators_to_correct() {
    let body =
        br#"{"error":{"message":"m","type":"invalid_request_error","code":"unsupported_value"}}"#;
    let error = response_error(&openai::SPEC, 400, &HeaderMap::new(), body);
    assert_eq!(error.disposition(), Disposition::Disable);
}

#[test]
fn usage_counts_cached_and_written_tokens_once() {
    let usage = |spec: &'static ApiSpec, body: &Json| {
        decode(spec, body.to_string().as_bytes()).unwrap().usage
    };
    let first = |name: &str| load(&format!("{name}/responses.json"))[0]["body"].clone();
    let expected = Usage {
        input: 1480,
        cached: 1408,
        written: 0,
        output: 27,
    };
    assert_eq!(usage(&openai::SPEC, &first("openai")), expected);
    assert_eq!(usage(&responses::SPEC, &first("responses")), expected);
    let mut claude = first("anthropic");
    claude["usage"]["cache_creation_input_tokens"] = json!(200);
    let expected = Usage {
        input: 1718,
        cached: 1500,
        written: 200,
        output: 34,
    };
    assert_eq!(usage(&anthropic::SPEC, &claude), expected);
    let gemini = load("gemini/responses.json");
    let thoughtful = gemini.as_array().unwrap().iter();
    let thoughtful = thoughtful
        .clone()
        .find(|a| a["name"] == "ok_json_thought_part_first");
    assert_eq!(
        usage(&gemini::SPEC, &thoughtful.unwrap()["body"]).output,
        42
    );
    assert_eq!(usage(&ollama::SPEC, &first("ollama")).input, 1460);
}

#[test]
fn a_failed_answer_keeps_its_token_counts() {
    let content = json!({"content": payload().to_string()});
    for reason in ["length", "content_filter"] {
        let body = chat(&content, &json!(reason)).to_string();
        let error = decode(&openai::SPEC, body.as_bytes()).unwrap_err();
        let reserved = Usage {
            input: 1000,
            output: 500,
            ..Usage::default()
        };
        let billed = error.billed(reserved).unwrap();
        assert_eq!((billed.input, billed.output), (9, 9), "{reason}");
        let mut body = chat(&content, &json!(reason));
        body["usage"] = Json::Null;
        let error = decode(&openai::SPEC, body.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.billed(reserved), Some(reserved), "{reason}");
    }
}

#[test]
fn every_recorded_stream_is_classified_however_it_is_split() {
    assert!(streams().len() >= 27);
    for stream in streams() {
        let RecordedStream {
            file,
            api,
            bytes,
            expect,
        } = &stream;
        for size in [1, 7, 1460, bytes.len()] {
            let (whole, pieces) = streamed(api, bytes.chunks(size));
            let name = format!("{file} in {size}");
            assert_classified(&name, &whole, expect);
            if let Ok(whole) = whole {
                assert_eq!(pieces, whole.body, "{name}: the parts are the whole");
            }
        }
    }
}

#[test]
fn tokens_of_a_stream_are_counted_as_those_of_a_whole_answer() {
    for (file, input, cached, output) in [
        ("openai_chat_json.sse", 1480, 1408, 27),
        ("openai_responses_json.sse", 1480, 1408, 27),
        ("anthropic_json.sse", 1518, 1500, 34),
        ("gemini_json_crlf.sse", 1490, 1024, 30),
        ("ollama_json.ndjson", 1460, 0, 28),
    ] {
        let stream = streams().into_iter().find(|s| s.file == file).unwrap();
        let usage = streamed(stream.api, [&*stream.bytes]).0.unwrap().usage;
        let expected = Usage {
            input,
            cached,
            written: 0,
            output,
        };
        assert_eq!(usage, expected, "{file}");
    }
}

/// Checks that a good stream cut anywhere before its end was marked is a failure, never a shorter
/// answer.
#[test]
fn a_stream_that_is_cut_is_never_an_answer() {
    let mut tried = 0;
    for stream in streams().iter().filter(|s| s.expect == "actions") {
        let mark = match stream.api.name {
            "openai" => "\"finish_reason\":\"",
            "responses" => "response.completed\",",
            "anthropic" => "stop_reason\":\"",
            "gemini" => "\"finishReason\"",
            _ => "\"done\":true",
        };
        let text = String::from_utf8(stream.bytes.clone()).unwrap();
        let end = text.find(mark).unwrap();
        for cut in (0..=end + mark.len()).step_by(13) {
            let (whole, _) = streamed(stream.api, [&stream.bytes[..cut]]);
            assert!(whole.is_err(), "{} at {cut}: {whole:?}", stream.file);
            tried += 1;
        }
    }
    assert!(tried > 500, "tried {tried}");
}

#[test]
fn after_an_error_nothing_is_added() {
    let error = r#"data: {"error":{"message":"slow down","code":429}}"#;
    let good = format!("data: {}", good_chat());
    let body = format!("{error}\n\n{good}\n\ndata: [DONE]\n\n");
    let (whole, pieces) = streamed(&openai::SPEC, [body.as_bytes()]);
    assert_eq!(pieces, "");
    assert_eq!(whole, Err(ProviderError::Limited { retry_after: None }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Checks that two splits at any place change nothing.
    #[test]
    fn where_a_stream_is_split_does_not_matter(a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        for RecordedStream { file, api, bytes, .. } in streams() {
            let a = a.index(bytes.len());
            let b = b.index(bytes.len());
            let pieces = [&bytes[..a.min(b)], &bytes[a.min(b)..a.max(b)], &bytes[a.max(b)..]];
            prop_assert_eq!(streamed(api, pieces), streamed(api, [&*bytes]), "{}", file);
        }
    }

    /// Checks that a stream with any three bytes changed results in an answer with a body or in an
    /// error.
    #[test]
    fn arbitrary_bytes_are_an_answer_or_an_error(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), put in any::<[u8; 3]>()) {
        let streams = streams();
        let RecordedStream { api, mut bytes, .. } = streams[file.index(streams.len())].clone();
        let at = at.index(bytes.len() - 3);
        bytes.splice(at..at + 3, put);
        let (whole, _) = streamed(api, [&*bytes]);
        prop_assert!(whole.map_or(true, |whole| !whole.body.trim().is_empty()));
    }
}
