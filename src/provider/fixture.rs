//! Fixtures of every API and the checks that hold for all of them. Below `tests/fixtures/provider`
//! are requests of the official SDKs, and answers, streams and errors in the shape those SDKs
//! accept, each with how it must be classified.

use std::num::NonZeroUsize;
use std::time::{Duration, UNIX_EPOCH};

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value as Json, json};

use crate::provider::headers;
use crate::provider::redact::Redact;
use crate::provider::status::ErrorSource;
use crate::provider::stream::AnswerReader;
use crate::provider::{
    ApiSpec, AptitudeTest, Completion, Disposition, Prompt, ProviderError, Settings, Structure,
    Timeouts,
};
use crate::secret::Secret;

/// Returns the path of a fixture.
pub(super) fn path(name: &str) -> String {
    format!(
        "{}/tests/fixtures/provider/{name}",
        env!("CARGO_MANIFEST_DIR")
    )
}

pub(super) fn load(name: &str) -> Json {
    let text = std::fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    serde_json::from_str(&text).unwrap()
}

/// Returns the answer that every good fixture gives.
pub(super) fn payload() -> Json {
    json!({"actions": [{"device": "lamp.kitchen", "action": "set", "value": 30}], "clarify": null})
}

pub(super) fn settings(api: &'static ApiSpec, model: &str) -> Settings {
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
        is_small: false,
        trusted: true,
        aptitude_test: AptitudeTest::Never,
        spend: crate::provider::price::Limits::default(),
    }
}

/// Returns the prompt that was sent when the requests were captured.
pub(super) fn prompt(schema: &Json) -> Prompt {
    Prompt {
        prefix: "REGISTRY (static)\nlamp.kitchen: on off set(0-100)\nlock.front: lock unlock"
            .into(),
        prefix_key: "gw-1:reg-9f2c".into(),
        phrase: "kitchen lamp to 30".into(),
        schema: schema.clone().into(),
        max_output_tokens: 8192,
        narrow: None,
    }
}

/// Returns the path and body of the request for `prompt` by these settings.
pub(super) fn encoded(settings: &Settings, prompt: &Prompt, stream: bool) -> (String, Json) {
    let url = Url::parse(&settings.base_url).unwrap();
    let request = (settings.api.build)(settings, &url)
        .unwrap()
        .encode(prompt, stream);
    (request.path, serde_json::from_slice(&request.body).unwrap())
}

/// Returns the body of the request with `schema`.
pub(super) fn body(settings: &Settings, schema: &Json) -> Json {
    encoded(settings, &prompt(schema), false).1
}

/// Asserts that a request has the path and headers of the captured one.
pub(super) fn assert_sent_as_captured(settings: &Settings, captured: &Json) {
    let (path, _) = encoded(settings, &prompt(&json!({})), false);
    let expected = captured["path"].as_str().unwrap();
    assert_eq!(expected.strip_prefix("/v1").unwrap_or(expected), path);
    let headers = headers::outgoing(settings).unwrap();
    for (name, value) in captured["headers"].as_object().unwrap() {
        if value != "*/*" {
            assert_eq!(
                headers[name.as_str()].to_str().unwrap(),
                value.as_str().unwrap()
            );
        }
    }
    assert!(
        !format!("{headers:?}").contains("KEY"),
        "the key does not show in a log"
    );
}

/// Returns the classification of an answer.
pub(super) fn decode(api: &'static ApiSpec, body: &[u8]) -> Result<Completion, ProviderError> {
    streamed(api, [body]).0
}

/// Asserts that an answer was classified as the fixture says.
pub(super) fn assert_classified(
    name: &str,
    decoded: &Result<Completion, ProviderError>,
    expect: &str,
) {
    match (expect, decoded) {
        ("actions", Ok(completion)) => {
            let body: Json = serde_json::from_str(&completion.body).unwrap();
            assert_eq!(body["actions"][0]["value"], 30, "{name}: {body}");
        }
        ("truncated", Err(ProviderError::Truncated { .. }))
        | ("refused", Err(ProviderError::Declined { .. })) => {}
        ("retryable_failure", Err(error)) => assert!(
            matches!(
                error.disposition(),
                Disposition::Retry { .. } | Disposition::Unfit | Disposition::Rest { .. }
            ),
            "{name}: {error}"
        ),
        _ => panic!("{name}: {expect}, but {decoded:?}"),
    }
}

/// Asserts that every answer in `file`, at least `least`, is classified as it says.
pub(super) fn assert_answers(api: &'static ApiSpec, file: &str, least: usize) {
    let answers = load(file);
    let answers = answers.as_array().unwrap();
    assert!(answers.len() >= least, "{file}");
    for answer in answers {
        let decoded = decode(api, answer["body"].to_string().as_bytes());
        let name = answer["name"].as_str().unwrap();
        assert_classified(name, &decoded, answer["expect"].as_str().unwrap());
    }
}

/// Returns the error of a response of this API.
pub(super) fn response_error(
    api: &'static ApiSpec,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> ProviderError {
    let origin = ErrorSource {
        spec: api,
        model: "m",
    };
    // Sun, 06 Nov 1994 08:49:30 GMT
    let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
    origin.of_response(status, headers, body, now)
}

/// Asserts that every error in `file`, at least `least`, is classified as it says.
pub(super) fn assert_errors(api: &'static ApiSpec, file: &str, least: usize) {
    let errors = load(file);
    let errors = errors.as_array().unwrap();
    assert!(errors.len() >= least, "{file}");
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
        let found = response_error(api, status, &headers, body.as_bytes());
        let wait = error["wait_s"].as_f64().map(Duration::from_secs_f64);
        let expected = match error["act"].as_str().unwrap() {
            "retry_same" => Disposition::Retry { after: wait },
            "cool_key_failover" => Disposition::Rest { rest: wait },
            "disabled" => Disposition::Disable,
            "next_provider" => Disposition::Skip,
            "doubt" => Disposition::Doubt,
            "decline" => Disposition::GiveUp,
            other => panic!("{other}"),
        };
        assert_eq!(found.disposition(), expected, "{}: {found}", error["name"]);
    }
}

/// Returns the result of an answer whose bytes come in these chunks, and all the parts passed on.
pub(super) fn streamed<'a>(
    api: &'static ApiSpec,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Result<Completion, ProviderError>, String) {
    let redact = Redact::new(None);
    let origin = ErrorSource {
        spec: api,
        model: "m",
    };
    let mut reader = AnswerReader::new(origin, &redact);
    let mut pieces = String::new();
    for chunk in chunks {
        pieces.push_str(&reader.push(chunk));
    }
    (reader.finish(), pieces)
}

/// A recorded stream, with the API that sent it and the result that is expected of it.
#[derive(Debug, Clone)]
pub(super) struct RecordedStream {
    pub(super) file: String,
    pub(super) api: &'static ApiSpec,
    pub(super) bytes: Vec<u8>,
    pub(super) expect: String,
}

/// Returns every recorded stream.
pub(super) fn streams() -> Vec<RecordedStream> {
    let index = load("stream/index.json");
    let text = |stream: &Json, key: &str| stream[key].as_str().unwrap().to_owned();
    let streams = index.as_array().unwrap().iter().map(|stream| {
        let file = text(stream, "file");
        let api = text(stream, "api");
        RecordedStream {
            bytes: std::fs::read(path(&format!("stream/{file}"))).unwrap(),
            api: crate::provider::APIS
                .into_iter()
                .find(|spec| spec.name == api)
                .unwrap_or_else(|| panic!("{file}: no API `{api}`")),
            expect: text(stream, "expect"),
            file,
        }
    });
    streams.collect()
}
