//! What the tests of every API share: one prompt, one provider, and the checks that hold for all.
//! The files below `tests/fixtures/provider` are requests of the official SDKs, and answers and errors of the APIs in
//! the shape those SDKs take them in, each with what it must be taken for.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value as Json, json};

use crate::provider::{
    Api, Completion, Disposition, Prompt, Provider, ProviderError, Settings, Structure, Timeouts,
};
use crate::secret::Secret;

/// Where the fixtures stand.
pub(super) fn path(name: &str) -> String {
    format!(
        "{}/tests/fixtures/provider/{name}",
        env!("CARGO_MANIFEST_DIR")
    )
}

pub(super) fn load(name: &str) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap()
}

/// The answer that every good fixture gives.
pub(super) fn payload() -> Json {
    json!({"actions": [{"device": "lamp.kitchen", "action": "set", "value": 30}], "clarify": null})
}

pub(super) fn settings(api: Api, model: &str) -> Settings {
    Settings {
        name: "main".into(),
        api,
        base_url: "https://models.example/v1".into(),
        model: model.into(),
        key: Secret::new("KEY"),
        key_header: None,
        headers: HeaderMap::new(),
        structure: Structure::Schema,
        reasoning_effort: None,
        max_output_tokens: 256,
        requests_per_minute: None,
        tokens_per_minute: None,
        concurrency: NonZeroUsize::MIN,
        timeouts: Timeouts::default(),
        prices: None,
        weight: None,
        probe: false,
        spend: crate::provider::price::Limits::default(),
    }
}

/// The prompt that was put when the requests were captured.
pub(super) fn prompt(schema: &Json) -> Prompt {
    Prompt {
        prefix: "REGISTRY (static)\nlamp.kitchen: on off set(0-100)\nlock.front: lock unlock"
            .into(),
        prefix_key: "gw-1:reg-9f2c".into(),
        phrase: "kitchen lamp to 30".into(),
        schema: Arc::new(schema.clone()),
        max_output_tokens: 8192,
    }
}

/// The body of what asks about `schema`.
pub(super) fn body(provider: &dyn Provider, schema: &Json) -> Json {
    serde_json::from_slice(&provider.encode(&prompt(schema)).body).unwrap()
}

/// Asserts that a request goes where the captured one went, with its headers.
pub(super) fn assert_sent_as_captured(provider: &dyn Provider, captured: &Json) {
    let request = provider.encode(&prompt(&json!({})));
    let path = captured["path"].as_str().unwrap();
    assert_eq!(path.strip_prefix("/v1").unwrap_or(path), request.path);
    for (name, value) in captured["headers"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, value)| *value != "*/*")
    {
        assert_eq!(
            request.headers[name.as_str()].to_str().unwrap(),
            value.as_str().unwrap()
        );
    }
    assert!(
        !format!("{request:?}").contains("KEY"),
        "the key does not show in a log"
    );
}

/// Asserts that an answer was taken for what it is.
pub(super) fn assert_taken(name: &str, decoded: &Result<Completion, ProviderError>, expect: &str) {
    match expect {
        "actions" => assert_eq!(
            serde_json::from_str::<Json>(&decoded.as_ref().unwrap().body).unwrap(),
            payload(),
            "{name}"
        ),
        "truncated" => assert_eq!(*decoded, Err(ProviderError::Truncated), "{name}"),
        "refused" => assert_eq!(*decoded, Err(ProviderError::Declined), "{name}"),
        "retryable_failure" => {
            let error = decoded.as_ref().expect_err(name);
            assert_eq!(
                error.disposition(),
                Disposition::Retry { after: None },
                "{name}: {error}"
            );
        }
        other => panic!("{name}: {other}"),
    }
}

/// Asserts that every known answer, at least so many, is taken for what it is.
pub(super) fn assert_answers_are_taken(provider: &dyn Provider, file: &str, least: usize) {
    let answers = load(file);
    let answers = answers.as_array().unwrap();
    assert!(answers.len() >= least);
    for answer in answers {
        let decoded = provider.decode(answer["body"].to_string().as_bytes());
        assert_taken(
            answer["name"].as_str().unwrap(),
            &decoded,
            answer["expect"].as_str().unwrap(),
        );
    }
}

/// Asserts that every known error, at least so many, is cut by what to do next.
pub(super) fn assert_errors_are_cut(provider: &dyn Provider, file: &str, least: usize) {
    let errors = load(file);
    let errors = errors.as_array().unwrap();
    assert!(errors.len() >= least);
    // Sun, 06 Nov 1994 08:49:30 GMT
    let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
    for error in errors {
        let mut headers = HeaderMap::new();
        for (name, value) in error["headers"].as_object().unwrap() {
            let value = value
                .as_str()
                .unwrap()
                .replace("HTTP-DATE+7s", "Sun, 06 Nov 1994 08:49:37 GMT");
            headers.insert(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        let body = error["raw"]
            .as_str()
            .map_or_else(|| error["body"].to_string(), str::to_owned);
        let status = u16::try_from(error["status"].as_u64().unwrap()).unwrap();
        let fault = provider.fault(status, &headers, body.as_bytes(), now);
        let wait = error["wait_s"].as_f64().map(Duration::from_secs_f64);
        let act = match error["act"].as_str().unwrap() {
            "retry_same" => Disposition::Retry { after: wait },
            "cool_key_failover" => Disposition::Next { rest: wait },
            "dead_key" => Disposition::Bench,
            "fatal_request" => Disposition::GiveUp,
            other => panic!("{other}"),
        };
        assert_eq!(fault.disposition(), act, "{}: {fault}", error["name"]);
    }
}

/// What an answer in pieces comes to, and all the pieces, where its bytes come in these.
pub(super) fn streamed<'a>(
    provider: &dyn Provider,
    bytes: impl IntoIterator<Item = &'a [u8]>,
) -> (Result<Completion, ProviderError>, String) {
    let mut stream = provider.stream();
    let pieces: String = bytes
        .into_iter()
        .flat_map(|bytes| stream.push(bytes))
        .collect();
    (stream.finish(), pieces)
}

/// One provider of each API.
pub(super) fn each() -> [(&'static str, Box<dyn Provider>); 4] {
    let url = reqwest::Url::parse("https://api.openai.com/v1").unwrap();
    [
        (
            "openai",
            Box::new(
                crate::provider::openai::OpenAi::new(&settings(Api::OpenAi, "m"), &url).unwrap(),
            ),
        ),
        (
            "anthropic",
            Box::new(
                crate::provider::anthropic::Anthropic::new(&settings(Api::Anthropic, "m")).unwrap(),
            ),
        ),
        (
            "gemini",
            Box::new(crate::provider::gemini::Gemini::new(&settings(Api::Gemini, "m")).unwrap()),
        ),
        (
            "ollama",
            Box::new(crate::provider::ollama::Ollama::new(&settings(Api::Ollama, "m")).unwrap()),
        ),
    ]
}

/// Every known stream: its name, its API, its bytes, and what it must be taken for.
pub(super) fn streams() -> Vec<(String, String, Vec<u8>, String)> {
    let index = load("stream/index.json");
    let text = |stream: &Json, key: &str| stream[key].as_str().unwrap().to_owned();
    let streams = index.as_array().unwrap().iter().map(|stream| {
        let file = text(stream, "file");
        let bytes = std::fs::read(path(&format!("stream/{file}"))).unwrap();
        (file, text(stream, "api"), bytes, text(stream, "expect"))
    });
    streams.collect()
}
