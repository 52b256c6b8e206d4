//! What holds for several APIs at once.

use proptest::prelude::*;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use crate::provider::fixture::{
    assert_errors_are_cut, assert_taken, each, prompt, settings, streamed, streams,
};
use crate::provider::openai::OpenAi;
use crate::provider::*;

fn copy(settings: &Settings) -> OpenAi {
    OpenAi::new(settings, &Url::parse("http://localhost:8080/v1").unwrap()).unwrap()
}

#[test]
fn errors_of_llama_cpp_and_vllm_are_cut_by_what_to_do_next() {
    assert_errors_are_cut(&copy(&settings(Api::OpenAi, "m")), "copies/errors.json", 3);
}

#[test]
fn the_operator_says_how_the_key_travels_and_what_goes_along() {
    let mut settings = settings(Api::OpenAi, "m");
    settings.key_header = Some(HeaderName::from_static("api-key"));
    settings
        .headers
        .insert("x-team", HeaderValue::from_static("home"));
    let headers = copy(&settings).encode(&prompt(&Json::Null)).headers;
    assert_eq!(
        (&headers["api-key"], &headers["x-team"]),
        (
            &HeaderValue::from_static("KEY"),
            &HeaderValue::from_static("home")
        )
    );
    assert!(headers["api-key"].is_sensitive());
    assert!(!headers.contains_key("authorization"));
}

#[test]
fn only_the_service_itself_is_told_what_suits_the_family() {
    let settings = settings(Api::OpenAi, "gpt-6-luna");
    let body = |url: &str| {
        let provider = OpenAi::new(&settings, &Url::parse(url).unwrap()).unwrap();
        serde_json::from_slice::<Json>(&provider.encode(&prompt(&Json::Null)).body).unwrap()
    };
    assert_eq!(
        body("https://api.openai.com/v1")["reasoning_effort"],
        "none"
    );
    assert_eq!(body("http://localhost/v1").get("reasoning_effort"), None);
    assert!(body("http://localhost/v1")["messages"][0]["content"].is_string());
}

fn of(api: &str) -> Box<dyn Provider> {
    each().into_iter().find(|(name, _)| *name == api).unwrap().1
}

#[test]
fn every_known_stream_is_taken_for_what_it_is_however_it_is_split() {
    assert!(streams().len() >= 23);
    for (file, api, bytes, expect) in streams() {
        for size in [1, 7, 1460, bytes.len()] {
            let (whole, pieces) = streamed(&*of(&api), bytes.chunks(size));
            let name = format!("{file} in {size}");
            if expect == "retryable_failure" {
                let error = whole.as_ref().expect_err(&name);
                assert!(
                    matches!(error.disposition(), Disposition::Retry { .. }),
                    "{name}: {error}"
                );
            } else {
                assert_taken(&name, &whole, &expect);
            }
            if let Ok(whole) = whole {
                assert_eq!(pieces, whole.body, "{name}: the pieces are the whole");
            }
        }
    }
}

#[test]
fn tokens_of_a_stream_are_counted_as_those_of_a_whole_answer() {
    let usage = |file: &str| {
        let (_, api, bytes, _) = streams()
            .into_iter()
            .find(|(name, ..)| name == file)
            .unwrap();
        streamed(&*of(&api), [&*bytes]).0.unwrap().usage
    };
    assert_eq!(
        usage("openai_chat_json.sse"),
        Usage {
            input: 1480,
            cached: 1408,
            written: 0,
            output: 27
        }
    );
    assert_eq!(
        usage("anthropic_json.sse"),
        Usage {
            input: 1518,
            cached: 1500,
            written: 0,
            output: 34
        }
    );
    assert_eq!(
        usage("gemini_json_crlf.sse"),
        Usage {
            input: 1490,
            cached: 1024,
            written: 0,
            output: 30
        }
    );
    assert_eq!(
        usage("ollama_json.ndjson"),
        Usage {
            input: 1460,
            cached: 0,
            written: 0,
            output: 28
        }
    );
}

/// A good stream cut anywhere before the end was marked is a failure, never a shorter answer.
#[test]
fn a_stream_that_is_cut_is_never_an_answer() {
    let marks = [
        ("openai", "\"finish_reason\":\""),
        ("anthropic", "message_stop\"}"),
        ("gemini", "\"finishReason\""),
        ("ollama", "\"done\":true"),
    ];
    let mut tried = 0;
    for (file, api, bytes, _) in streams()
        .into_iter()
        .filter(|(_, _, _, expect)| expect == "actions")
    {
        let mark = marks.iter().find(|(name, _)| *name == api).unwrap().1;
        let end = String::from_utf8(bytes.clone())
            .unwrap()
            .find(mark)
            .unwrap();
        for cut in (0..=end + mark.len()).step_by(13) {
            let (whole, _) = streamed(&*of(&api), [&bytes[..cut]]);
            assert!(
                matches!(whole, Err(ProviderError::Malformed { .. })),
                "{file} at {cut}: {whole:?}"
            );
            tried += 1;
        }
    }
    assert!(tried > 500, "tried {tried}");
}

#[test]
fn after_an_error_nothing_is_added() {
    let api = of("openai");
    let mut stream = api.stream();
    assert!(!stream.is_over());
    let error = r#"data: {"error":{"message":"slow down","code":429}}"#;
    let good = r#"data: {"choices":[{"delta":{"content":"{}"},"finish_reason":"stop"}]}"#;
    assert_eq!(
        stream.push(format!("{error}\n\n{good}\n\ndata: [DONE]\n\n").as_bytes()),
        Vec::<String>::new()
    );
    assert!(stream.is_over());
    assert_eq!(
        stream.finish(),
        Err(ProviderError::Limited { retry_after: None })
    );
}

#[test]
fn a_copy_may_leave_out_the_last_word() {
    let said =
        "data: {\"choices\":[{\"delta\":{\"content\":\"{}\"},\"finish_reason\":\"stop\"}]}\n\n";
    assert_eq!(
        streamed(&*of("openai"), [said.as_bytes()]).0.unwrap().body,
        "{}"
    );
}

#[test]
fn a_stream_is_asked_for_in_the_words_of_the_api() {
    for (name, api) in each() {
        let (whole, stream) = (
            api.encode(&prompt(&Json::Null)),
            api.encode_stream(&prompt(&Json::Null)),
        );
        let sent = |request: &HttpRequest| serde_json::from_slice::<Json>(&request.body).unwrap();
        if name == "gemini" {
            assert_eq!(
                (stream.path.as_str(), sent(&stream)),
                ("/models/m:streamGenerateContent?alt=sse", sent(&whole))
            );
        } else {
            assert_eq!(
                (&stream.path, &sent(&stream)["stream"]),
                (&whole.path, &Json::Bool(true)),
                "{name}"
            );
            assert_ne!(sent(&whole)["stream"], true, "{name}");
        }
    }
    assert_eq!(
        serde_json::from_slice::<Json>(&of("openai").encode_stream(&prompt(&Json::Null)).body)
            .unwrap()["stream_options"]["include_usage"],
        true
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Two splits at any place change nothing.
    #[test]
    fn where_a_stream_is_split_does_not_matter(a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        for (file, api, bytes, _) in streams() {
            let (a, b) = (a.index(bytes.len()), b.index(bytes.len()));
            let pieces = [&bytes[..a.min(b)], &bytes[a.min(b)..a.max(b)], &bytes[a.max(b)..]];
            prop_assert_eq!(streamed(&*of(&api), pieces), streamed(&*of(&api), [&*bytes]), "{}", file);
        }
    }

    /// Whatever a server sends, it is an answer or an error.
    #[test]
    fn nonsense_is_no_catastrophe(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), put in any::<[u8; 3]>()) {
        let streams = streams();
        let (_, api, mut bytes, _) = streams[file.index(streams.len())].clone();
        let at = at.index(bytes.len() - 3);
        bytes.splice(at..at + 3, put);
        let (whole, _) = streamed(&*of(&api), [&*bytes]);
        prop_assert!(whole.map_or(true, |whole| !whole.body.trim().is_empty()));
    }
}
