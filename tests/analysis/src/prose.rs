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

#[cfg(test)]
mod tests {
    use super::*;

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
