//! What is known of families of models, as data: what they refuse or want, and what they cost.
//! As of 23 November 2026, from the providers' model pages and the price map of litellm 1.106.2.

use crate::provider::Api;
use crate::provider::price::Prices;

/// A family of models: all ids that are `id`, or `id` with a date or revision after it.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// The API it is reached by.
    pub api: Api,
    /// How its ids begin.
    pub id: &'static str,
    /// What costs it the least time before it answers, in the words of the API; where none, nothing is sent.
    pub effort: Option<&'static str>,
    /// Thinks unless told not to.
    pub thinks: bool,
    /// Takes a mark in the prompt up to which it should be cached.
    pub marks: bool,
    /// What its tokens cost; none where the page does not say.
    pub prices: Option<Prices>,
}

const fn family(api: Api, id: &'static str, prices: [u64; 4]) -> Family {
    Family {
        api,
        id,
        effort: None,
        thinks: false,
        marks: false,
        prices: Some(Prices::per_million(prices)),
    }
}

/// Longer ids before those they begin with. The numbers: a prompt's tokens, cached ones, ones written to the cache, the
/// answer's, in thousandths of a dollar per million. Writing to Anthropic's cache is priced for an hour, as we ask for it.
/// Left out: the fivefold price of Haiku 5.5 for prompts of over 100,000 tokens, which are a hundred times those of a home.
const FAMILIES: [Family; 11] = [
    Family {
        effort: Some("none"),
        marks: true,
        ..family(Api::OpenAi, "gpt-6-luna", [100, 10, 125, 500])
    },
    Family {
        effort: Some("none"),
        marks: true,
        prices: None,
        ..family(Api::OpenAi, "gpt-6", [0; 4])
    },
    Family {
        marks: true,
        ..family(Api::OpenAi, "gpt-5.6-luna", [200, 20, 250, 1200])
    },
    family(Api::OpenAi, "gpt-5.4-nano", [200, 20, 200, 1250]),
    Family {
        effort: Some("low"),
        thinks: true,
        ..family(Api::Anthropic, "claude-haiku-5-5", [100, 10, 200, 500])
    },
    family(Api::Anthropic, "claude-haiku-4-5", [1000, 100, 2000, 5000]),
    Family {
        effort: Some("minimal"),
        thinks: true,
        ..family(Api::Gemini, "gemini-3.8-flash", [750, 75, 750, 3750])
    },
    Family {
        effort: Some("minimal"),
        thinks: true,
        ..family(Api::Gemini, "gemini-3.5-flash-lite", [300, 30, 300, 2500])
    },
    Family {
        effort: Some("minimal"),
        thinks: true,
        ..family(Api::Gemini, "gemini-3.1-flash-lite", [250, 25, 250, 1500])
    },
    family(Api::Gemini, "gemini-2.5-flash-lite", [100, 10, 100, 400]),
    Family {
        effort: Some("minimal"),
        thinks: true,
        prices: None,
        ..family(Api::Gemini, "gemini-flash", [0; 4])
    },
];

/// The family of a model, where it is known.
pub fn family_of(api: Api, model: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| {
        let rest = model.strip_prefix(family.id);
        family.api == api && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    })
}

/// What a model costs, where that is known: nothing, for one on a machine of one's own.
pub fn prices(api: Api, model: &str) -> Option<Prices> {
    match api {
        Api::Ollama => Some(Prices::FREE),
        Api::OpenAi | Api::Anthropic | Api::Gemini => family_of(api, model)?.prices,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_family_is_found() {
        let id = |api, model| family_of(api, model).map(|family| family.id);
        assert_eq!(id(Api::OpenAi, "gpt-6-luna"), Some("gpt-6-luna"));
        assert_eq!(id(Api::OpenAi, "gpt-6-luna-2026-10-01"), Some("gpt-6-luna"));
        assert_eq!(id(Api::OpenAi, "gpt-6-sol"), Some("gpt-6"));
        assert_eq!(id(Api::OpenAi, "gpt-60"), None);
        assert_eq!(
            id(Api::Gemini, "gemini-flash-lite-latest"),
            Some("gemini-flash")
        );
        assert_eq!(id(Api::Gemini, "gpt-6-luna"), None);
    }

    #[test]
    fn no_family_is_hidden_by_one_before_it() {
        for family in &FAMILIES {
            assert_eq!(family_of(family.api, family.id).unwrap().id, family.id);
        }
    }

    #[test]
    fn prices_are_told_where_they_are_known() {
        assert_eq!(
            prices(Api::Anthropic, "claude-haiku-5-5"),
            Some(Prices::listed(0.1, Some(0.01), Some(0.2), 0.5))
        );
        assert_eq!(prices(Api::OpenAi, "gpt-6-sol"), None);
        assert_eq!(prices(Api::Ollama, "qwen3:4b"), Some(Prices::FREE));
    }
}
