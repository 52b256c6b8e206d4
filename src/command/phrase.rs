//! The canonical form of a command's text. The local grammar, the cache keys and the prompts use
//! it.

use crate::command::Command;

/// A canonical text (lower case, single spaces, plain quotes, no closing punctuation) with the area
/// and the language of its command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Phrase {
    text: String,
    area: Option<String>,
    language: Option<String>,
}

impl Phrase {
    /// Returns the phrase of a command.
    pub fn of(command: &Command) -> Self {
        Self::new(
            &command.text,
            command.area.as_deref(),
            command.language.as_deref(),
        )
    }

    /// Makes a phrase from a text sent from `area` in `language`.
    pub fn new(text: &str, area: Option<&str>, language: Option<&str>) -> Self {
        let normalized = |text: Option<&str>| {
            text.map(|t| t.trim().to_lowercase())
                .filter(|t| !t.is_empty())
        };
        Self {
            text: canonical(text),
            area: normalized(area),
            language: normalized(language),
        }
    }

    /// Returns the canonical text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the area that "here" means.
    pub fn area(&self) -> Option<&str> {
        self.area.as_deref()
    }

    /// Returns the two-letter code of the language, where the command names one.
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }
}

/// Writes a text in lower case, with runs of white space and control characters as one space,
/// typographic quotes and dashes as plain ones, and without `.`, `!` or white space at the end. A
/// question mark stays: "lights on?" is not "lights on".
fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        push_word(&mut out, word);
    }
    let length = out.trim_end_matches(['.', '!', ' ', ',', ';']).len();
    out.truncate(length);
    out
}

/// Appends a word in lower case, with plain quotes and dashes.
fn push_word(out: &mut String, word: &str) {
    if word.is_ascii() && !word.contains('`') {
        // Nearly all text; many times quicker than the general way.
        let begin = out.len();
        out.push_str(word);
        out[begin..].make_ascii_lowercase();
        return;
    }
    for c in word.chars() {
        match c {
            '’' | '‘' | '`' | '´' => out.push('\''),
            '“' | '”' | '„' | '«' | '»' => out.push('"'),
            '–' | '—' | '‐' | '‑' => out.push('-'),
            c => out.extend(c.to_lowercase()),
        }
    }
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
