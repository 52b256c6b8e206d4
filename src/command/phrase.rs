//! What was said, made canonical: the text that the local reading reads, the cache keys and the model is asked.

use crate::command::Command;

/// A canonical phrase: lower case, single spaces, plain quotes, no closing punctuation; with where and in what language it was said.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Phrase {
    text: String,
    area: Option<String>,
    language: Option<String>,
}

impl Phrase {
    /// The phrase of a command.
    pub fn of(command: &Command) -> Self {
        Self::new(
            &command.text,
            command.area.as_deref(),
            command.language.as_deref(),
        )
    }

    /// A phrase said in `area`, in `language`.
    pub fn new(text: &str, area: Option<&str>, language: Option<&str>) -> Self {
        let own = |text: Option<&str>| {
            text.map(|t| t.trim().to_lowercase())
                .filter(|t| !t.is_empty())
        };
        Self {
            text: canonical(text),
            area: own(area),
            language: own(language),
        }
    }

    /// The canonical text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What "here" is.
    pub fn area(&self) -> Option<&str> {
        self.area.as_deref()
    }

    /// The language, where the command named one: a two-letter code.
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }
}

/// Lower case, runs of white space and control characters as one space, typographic quotes and dashes as plain ones,
/// and no `.`, `!` or white space at the end. A question mark stays: "lights on?" is not "lights on".
fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            gap = !out.is_empty();
            continue;
        }
        if gap {
            out.push(' ');
            gap = false;
        }
        match c {
            '’' | '‘' | '`' | '´' => out.push('\''),
            '“' | '”' | '„' | '«' | '»' => out.push('"'),
            '–' | '—' | '‐' | '‑' => out.push('-'),
            c => out.extend(c.to_lowercase()),
        }
    }
    let kept = out.trim_end_matches(['.', '!', ' ', ',', ';']).len();
    out.truncate(kept);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_differences_of_writing_are_one_phrase() {
        for text in [
            "Turn on the lamp",
            "  turn ON the\tlamp. ",
            "turn on\r\nthe lamp!!",
            "turn on the lamp .",
        ] {
            assert_eq!(canonical(text), "turn on the lamp", "{text:?}");
        }
        assert_eq!(canonical("what’s on?"), "what's on?");
        assert_eq!(canonical("  \n"), "");
    }

    proptest! {
        #[test]
        fn canonical_text_is_a_fixed_point(text in "\\PC{0,60}") {
            let once = canonical(&text);
            prop_assert_eq!(canonical(&once), once.clone());
        }
    }
}
