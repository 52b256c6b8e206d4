//! Answers, whole and in parts, and errors of every API, in the form their own servers send them.

use sayso::testing::provider::ApiSpec;
use serde_json::{Value as Json, json};

/// The APIs the scripted endpoint serves. A new API needs its form here before the tests compile
/// its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    OpenAi,
    Responses,
    Anthropic,
    Gemini,
    Ollama,
}

impl Api {
    /// The form of an API of the program.
    pub(crate) fn of(spec: &ApiSpec) -> Self {
        match spec.name {
            "openai" => Self::OpenAi,
            "responses" => Self::Responses,
            "anthropic" => Self::Anthropic,
            "gemini" => Self::Gemini,
            "ollama" => Self::Ollama,
            other => panic!("the scripted endpoint does not serve the API `{other}`"),
        }
    }
}

/// The form of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    api: Api,
    pub(crate) in_pieces: bool,
}

/// Letters to a piece.
const PIECE: usize = 8;

/// The path of an API at the scripted endpoint.
pub(crate) fn root(spec: &ApiSpec) -> &'static str {
    match Api::of(spec) {
        Api::OpenAi | Api::Responses | Api::Anthropic => "/v1",
        Api::Gemini => "/v1beta",
        Api::Ollama => "",
    }
}

impl Dialect {
    /// The language of a request, by its head in lower case and its body.
    pub(crate) fn of(head: &str, body: &str) -> Self {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let asked = || serde_json::from_str::<Json>(body).is_ok_and(|body| body["stream"] == true);
        let (api, in_pieces) = match path {
            _ if path.ends_with("/responses") => (Api::Responses, asked()),
            _ if path.ends_with("/messages") => (Api::Anthropic, asked()),
            _ if path.contains(":generatecontent") => (Api::Gemini, false),
            _ if path.contains(":streamgeneratecontent") => (Api::Gemini, true),
            _ if path.ends_with("/api/chat") => (Api::Ollama, asked()),
            _ => (Api::OpenAi, asked()),
        };
        Self { api, in_pieces }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match (self.in_pieces, self.api) {
            (false, _) => "application/json",
            (true, Api::Ollama) => "application/x-ndjson",
            (true, _) => "text/event-stream",
        }
    }

    /// An answer of this text, with 100 tokens in and 20 out: one frame, or several.
    pub(crate) fn says(self, text: &str) -> Vec<String> {
        if !self.in_pieces {
            return vec![self.whole(&json!(text), None)];
        }
        let letters: Vec<char> = text.chars().collect();
        let pieces = letters
            .chunks(PIECE)
            .map(|piece| piece.iter().collect::<String>());
        let mut frames = self.begin();
        frames.extend(pieces.map(|piece| self.piece(&piece)));
        frames.extend(self.end(None));
        frames
    }

    /// The model will not answer.
    pub(crate) fn refuses(self) -> Vec<String> {
        if !self.in_pieces {
            return vec![self.whole(&Json::Null, Some(()))];
        }
        let mut frames = self.begin();
        frames.extend(self.end(Some(())));
        frames
    }

    fn whole(self, text: &Json, refused: Option<()>) -> String {
        let refused = refused.is_some();
        let body = match self.api {
            Api::OpenAi => {
                let refusal = if refused {
                    json!("I can't help with that.")
                } else {
                    Json::Null
                };
                json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": text, "refusal": refusal}, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}})
            }
            Api::Responses => response(text, refused),
            Api::Anthropic => {
                let content = if refused {
                    json!([])
                } else {
                    json!([{"type": "text", "text": text}])
                };
                json!({"type": "message", "role": "assistant", "content": content, "stop_reason": if refused { "refusal" } else { "end_turn" },
                    "usage": {"input_tokens": 100, "output_tokens": 20}})
            }
            Api::Gemini => {
                let usage = json!({"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120});
                let content = json!({"role": "model", "parts": [{"text": text}]});
                let answer = if refused {
                    json!({"finishReason": "SAFETY", "index": 0})
                } else {
                    json!({"content": content, "finishReason": "STOP", "index": 0})
                };
                json!({"candidates": [answer], "usageMetadata": usage})
            }
            // Its models know no refusal but in words.
            Api::Ollama => {
                json!({"message": {"role": "assistant", "content": if refused { json!("I can't help with that.") } else { text.clone() }},
                "done": true, "done_reason": "stop", "prompt_eval_count": 100, "eval_count": 20})
            }
        };
        body.to_string()
    }

    fn begin(self) -> Vec<String> {
        match self.api {
            Api::Anthropic => vec![
                event(
                    &json!({"type": "message_start", "message": {"type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 100, "output_tokens": 1}}}),
                ),
                event(
                    &json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
                ),
                event(&json!({"type": "ping"})),
            ],
            Api::OpenAi => vec![event(&chunk(
                &json!({"role": "assistant", "content": ""}),
                &Json::Null,
            ))],
            Api::Responses => vec![event(
                &json!({"type": "response.created", "response": {"status": "in_progress", "error": null}}),
            )],
            Api::Gemini | Api::Ollama => Vec::new(),
        }
    }

    fn piece(self, text: &str) -> String {
        match self.api {
            Api::OpenAi => event(&chunk(&json!({"content": text}), &Json::Null)),
            Api::Responses => event(
                &json!({"type": "response.output_text.delta", "output_index": 0, "delta": text}),
            ),
            Api::Anthropic => event(
                &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
            ),
            Api::Gemini => format!(
                "data: {}\r\n\r\n",
                json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}]})
            ),
            Api::Ollama => format!(
                "{}\n",
                json!({"message": {"role": "assistant", "content": text}, "done": false})
            ),
        }
    }

    fn end(self, refused: Option<()>) -> Vec<String> {
        let refused = refused.is_some();
        match self.api {
            Api::OpenAi => {
                let delta = if refused {
                    json!({"refusal": "I can't help with that."})
                } else {
                    json!({})
                };
                let usage = json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}});
                vec![
                    event(&chunk(&delta, &json!("stop"))),
                    event(&usage),
                    "data: [DONE]\n\n".to_owned(),
                ]
            }
            Api::Responses => {
                // The text came in the parts; the last event repeats it, which is left out here.
                let whole = response(&Json::String(String::new()), refused);
                vec![event(
                    &json!({"type": "response.completed", "response": whole}),
                )]
            }
            Api::Anthropic => {
                let reason = if refused { "refusal" } else { "end_turn" };
                vec![
                    event(&json!({"type": "content_block_stop", "index": 0})),
                    event(
                        &json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 20}}),
                    ),
                    event(&json!({"type": "message_stop"})),
                ]
            }
            Api::Gemini => {
                let usage = json!({"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120});
                let reason = if refused { "SAFETY" } else { "STOP" };
                vec![format!(
                    "data: {}\r\n\r\n",
                    json!({"candidates": [{"finishReason": reason, "index": 0}], "usageMetadata": usage})
                )]
            }
            Api::Ollama => {
                let text = if refused {
                    "I can't help with that."
                } else {
                    ""
                };
                vec![format!(
                    "{}\n",
                    json!({"message": {"role": "assistant", "content": text}, "done": true, "done_reason": "stop", "prompt_eval_count": 100, "eval_count": 20})
                )]
            }
        }
    }

    /// The body of an error.
    pub(crate) fn fault(self, status: u16, code: &str) -> String {
        let body = match self.api {
            Api::OpenAi | Api::Responses => {
                json!({"error": {"message": "as scripted", "type": "as_scripted", "param": null, "code": code}})
            }
            Api::Anthropic => {
                json!({"type": "error", "error": {"type": code, "message": "as scripted"}, "request_id": "req_EX1"})
            }
            Api::Gemini => {
                json!({"error": {"code": status, "message": "as scripted", "status": code}})
            }
            Api::Ollama => json!({"error": "as scripted"}),
        };
        body.to_string()
    }
}

fn response(text: &Json, refused: bool) -> Json {
    let content = if refused {
        json!({"type": "refusal", "refusal": "I can't help with that."})
    } else {
        json!({"type": "output_text", "text": text})
    };
    json!({"status": "completed", "error": null, "output": [{"type": "message", "content": [content]}],
        "usage": {"input_tokens": 100, "output_tokens": 20}})
}

fn event(data: &Json) -> String {
    match data["type"].as_str() {
        Some(kind) => format!("event: {kind}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
    }
}

fn chunk(delta: &Json, finish: &Json) -> Json {
    json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": null})
}
