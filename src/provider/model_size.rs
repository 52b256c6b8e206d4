//! The number of parameters of a model, as its name or its server's listing states it. Pure.

use serde_json::Value as Json;

/// Returns the parameters that a model's name states, as in `qwen2.5-0.5b-instruct-q4_k_m.gguf`,
/// `llama3.2:1b` or `mixtral-8x7b`: the largest number before a `b` or `m`.
pub fn stated_in(name: &str) -> Option<u64> {
    let letters: Vec<char> = name.chars().collect();
    let is_digit = |at: Option<&char>| at.is_some_and(char::is_ascii_digit);
    let spaced: String = letters
        .iter()
        .enumerate()
        .map(|(at, &letter)| {
            let before = at.checked_sub(1).and_then(|at| letters.get(at));
            let is_inside = is_digit(before) && is_digit(letters.get(at + 1));
            match letter {
                '.' | '_' if is_inside => '.',
                letter if letter.is_ascii_alphanumeric() => letter,
                _ => ' ',
            }
        })
        .collect();
    spaced.split(' ').filter_map(parameters).max()
}

/// Returns the parameters of one word: `0.5b`, `135M`, `8x7b`, or `e2b` (effective parameters).
fn parameters(word: &str) -> Option<u64> {
    let word = word.to_ascii_lowercase();
    let (number, unit) = match (word.strip_suffix('b'), word.strip_suffix('m')) {
        (Some(number), _) => (number, 1e9),
        (None, Some(number)) => (number, 1e6),
        (None, None) => return None,
    };
    let number = number.strip_prefix('e').unwrap_or(number);
    let (experts, number) = number.split_once('x').unwrap_or(("1", number));
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !is_plain(experts) || !is_plain(number) {
        return None;
    }
    let parameters = experts.parse::<f64>().ok()? * number.parse::<f64>().ok()? * unit;
    whole(parameters)
}

/// Returns a count that is at least a million and below a quadrillion.
fn whole(parameters: f64) -> Option<u64> {
    let is_possible = (1e6..1e15).contains(&parameters);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    is_possible.then_some(parameters as u64)
}

/// Returns the parameters of `model` by the list of models of its server: llama.cpp's `/v1/models`
/// (`meta.n_params`), Ollama's `/api/tags` (`details.parameter_size`). A server with one model uses
/// that one for any requested name; then also the name it is listed by may state the size.
pub fn listed_in(listing: &Json, model: &str) -> Option<u64> {
    let lists = ["data", "models"].map(|key| listing.get(key).and_then(Json::as_array));
    lists.into_iter().flatten().find_map(|list| {
        let mut entries = list.iter();
        let own = entries.find(|entry| is_named(entry, model));
        let entry = match list.as_slice() {
            [only] => own.unwrap_or(only),
            _ => own?,
        };
        size_of(entry)
    })
}

/// Returns the names of an entry of a list.
fn names(entry: &Json) -> impl Iterator<Item = &str> {
    let keys = ["id", "name", "model"].into_iter();
    keys.filter_map(|key| entry.get(key)?.as_str())
}

fn is_named(entry: &Json, model: &str) -> bool {
    let latest = format!("{model}:latest");
    names(entry).any(|name| name == model || name == latest)
}

fn size_of(entry: &Json) -> Option<u64> {
    let counted = entry.pointer("/meta/n_params").and_then(Json::as_f64);
    let stated = entry
        .pointer("/details/parameter_size")
        .and_then(Json::as_str);
    counted
        .and_then(whole)
        .or_else(|| parameters(stated?))
        .or_else(|| names(entry).find_map(stated_in))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_state_sizes_in_the_usual_forms() {
        for (name, parameters) in [
            ("SmolLM2-135M-Instruct", Some(135_000_000)),
            ("smollm2-135m-instruct-q4_1.gguf", Some(135_000_000)),
            ("Qwen/Qwen2.5-Coder-0.5B-Instruct", Some(500_000_000)),
            ("/models/qwen2.5-1.5b.gguf", Some(1_500_000_000)),
            ("qwen2.5-7b-instruct-1m", Some(7_000_000_000)),
            ("qwen2-0_5b-instruct-q5_k_m.gguf", Some(500_000_000)),
            ("tinyllama-1.1b.Q4_K_M.gguf", Some(1_100_000_000)),
            ("SmolLM2-135M.Q4_K_M.gguf", Some(135_000_000)),
            ("llama3.2:1b", Some(1_000_000_000)),
            ("qwen3:4b", Some(4_000_000_000)),
            ("gemma3n:e2b", Some(2_000_000_000)),
            ("qwen/qwen3-30b-a3b", Some(30_000_000_000)),
            ("mixtral-8x7b", Some(56_000_000_000)),
            ("phi-3-mini-128k-instruct-4bit", None),
            ("gpt-6-luna", None),
            ("scripted", None),
            ("model", None),
            ("m", None),
            ("b", None),
            ("..b", None),
            ("1e999b", None),
            ("999999999999999999999b", None),
        ] {
            assert_eq!(stated_in(name), parameters, "{name}");
        }
    }

    #[test]
    fn listings_of_servers_state_sizes() {
        let llama_cpp = json!({"object": "list",
            "models": [{"name": "smol.gguf", "details": {"parameter_size": ""}}],
            "data": [{"id": "smol.gguf", "meta": {"n_params": 134_515_008_u64}}]});
        assert_eq!(listed_in(&llama_cpp, "anything"), Some(134_515_008));
        let ollama = json!({"models": [
            {"name": "llama3.1:latest", "details": {"parameter_size": "8.0B"}},
            {"name": "qwen2.5:0.5b", "details": {"parameter_size": "494.03M"}}]});
        assert_eq!(listed_in(&ollama, "qwen2.5:0.5b"), Some(494_030_000));
        assert_eq!(listed_in(&ollama, "llama3.1"), Some(8_000_000_000));
        assert_eq!(listed_in(&ollama, "other"), None);
        let named = json!({"data": [{"id": "/srv/SmolLM2-360M.gguf"}]});
        assert_eq!(listed_in(&named, "default"), Some(360_000_000));
        for nothing in [
            json!({"data": []}),
            json!([]),
            json!(null),
            json!({"data": [null]}),
            json!({"data": [{"id": "m", "meta": {"n_params": -1}}]}),
            json!({"choices": [{"message": {"content": "0.5b"}}]}),
        ] {
            assert_eq!(listed_in(&nothing, "m"), None, "{nothing}");
        }
    }
}
