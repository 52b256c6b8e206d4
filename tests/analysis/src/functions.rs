//! The lengths of functions.

use crate::{SourceFile, after_visibility, identifier};

/// Functions with more than `limit` lines of code between their braces, as `path: name (lines)`.
pub fn longer_than(limit: usize, files: &[SourceFile]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let lines: Vec<&str> = file.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let Some(name) = function(line) else {
                continue;
            };
            let length = length(&lines[start..]);
            if length > limit {
                found.push(format!("{}: {name} ({length})", file.path.display()));
            }
        }
    }
    found
}

/// The name, if a function begins on this line.
fn function(line: &str) -> Option<&str> {
    let mut item = after_visibility(line);
    for word in ["const ", "async ", "unsafe "] {
        item = item.strip_prefix(word).unwrap_or(item);
    }
    item.strip_prefix("fn ").map(identifier)
}

/// Lines of code up to the brace that closes the function: comments and blank lines are not
/// counted, as in clippy's `too_many_lines`.
fn length(lines: &[&str]) -> usize {
    let indentation = lines[0].len() - lines[0].trim_start().len();
    let closing = format!("{}}}", " ".repeat(indentation));
    let Some(open) = lines
        .iter()
        .position(|line| line.ends_with(['{', ';', '}']))
    else {
        return 0;
    };
    // A declaration without a body, or a body on one line.
    if !lines[open].ends_with('{') {
        return 0;
    }
    lines[open + 1..]
        .iter()
        .take_while(|line| **line != closing)
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_code_count() {
        let text = "impl A {\n    pub fn f(\n        a: u8,\n    ) {\n        // why\n\n        g();\n        h();\n    }\n}\n";
        let file = SourceFile {
            path: "a.rs".into(),
            module: Vec::new(),
            text: text.to_owned(),
        };
        assert_eq!(longer_than(1, std::slice::from_ref(&file)), ["a.rs: f (2)"]);
        assert!(longer_than(2, &[file]).is_empty());
    }
}
