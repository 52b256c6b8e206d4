//! The words of doc comments.

use crate::SourceFile;

/// Words that begin a relative clause where a noun would do.
pub const VAGUE: [&str; 3] = ["what", "whatever", "what's"];
/// Words of speech, for programs that send and receive.
pub const SPEECH: [&str; 3] = ["told", "heard", "said"];

/// Lines that are doc comments.
pub fn doc_lines(files: &[SourceFile]) -> Vec<&str> {
    let lines = files.iter().flat_map(|file| file.text.lines());
    lines
        .map(str::trim_start)
        .filter(|line| line.starts_with("///") || line.starts_with("//!"))
        .collect()
}

/// Of 1,000 lines, those that contain one of `words`, rounded.
pub fn per_thousand(lines: &[&str], words: &[&str]) -> usize {
    let found = lines
        .iter()
        .filter(|line| {
            let lowercase = line.to_lowercase();
            let mut parts = lowercase.split(|c: char| !c.is_alphanumeric() && c != '\'');
            parts.any(|part| words.contains(&part))
        })
        .count();
    if lines.is_empty() {
        return 0;
    }
    (found * 1000 + lines.len() / 2) / lines.len()
}

/// Doc comments of functions that do not begin with a verb in the third person: their file, line
/// and beginning. The first word must look like one: "Returns".
pub fn without_verb(files: &[SourceFile]) -> Vec<String> {
    files.iter().flat_map(without_verb_in).collect()
}

fn without_verb_in(file: &SourceFile) -> Vec<String> {
    let mut found = Vec::new();
    let mut doc: Option<(usize, &str)> = None;
    for (at, line) in file.text.lines().map(str::trim).enumerate() {
        if let Some(text) = line.strip_prefix("///") {
            doc.get_or_insert((at + 1, text.trim()));
        } else if !line.starts_with("#[")
            && let Some((at, text)) = doc.take()
            && is_function(line)
            && !begins_with_verb(text)
        {
            found.push(format!("{}:{at}: {text}", file.path.display()));
        }
    }
    found
}

fn is_function(line: &str) -> bool {
    let words = line.split_whitespace();
    let mut rest = words.skip_while(|word| {
        word.starts_with("pub") || matches!(*word, "const" | "async" | "unsafe")
    });
    rest.next() == Some("fn")
}

fn begins_with_verb(text: &str) -> bool {
    let word = text.split([' ', ',', ':', '.']).next().unwrap_or_default();
    let mut letters = word.chars();
    letters.next().is_some_and(char::is_uppercase)
        && letters.clone().all(char::is_lowercase)
        && letters.last() == Some('s')
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_function_without_a_verb_is_found() {
        let text = "/// The name.\n#[must_use]\npub(crate) const fn name() {}\n\n\
                    /// Returns it.\nfn b() {}\n\n/// The value.\nstruct C;\n";
        let file = SourceFile {
            module: Vec::new(),
            path: PathBuf::from("a.rs"),
            text: text.to_owned(),
        };
        assert_eq!(without_verb(&[file]), ["a.rs:1: The name."]);
    }

    #[test]
    fn whole_words_are_counted() {
        let lines = [
            "/// What it is.",
            "/// A whatnot.",
            "/// Nothing.",
            "//! what",
        ];
        assert_eq!(per_thousand(&lines, &VAGUE), 500);
    }
}
