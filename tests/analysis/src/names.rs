//! Type names that are defined more than once, or say nothing.

use std::collections::BTreeMap;

use crate::{SourceFile, after_visibility, identifier};

/// Words that begin the definition of a type.
const KEYWORDS: [&str; 5] = ["struct ", "enum ", "trait ", "type ", "union "];

/// Type names with more than one definition, and the paths of the files that have one.
///
/// Two kinds are left out: `Settings`, which each module has for its own, and the request and
/// response types of the provider APIs, which are alike by purpose.
pub fn duplicates(files: &[SourceFile]) -> BTreeMap<String, Vec<String>> {
    let mut definitions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        for name in definitions_of(&file.text) {
            let path = file.path.display().to_string();
            definitions.entry(name.to_owned()).or_default().push(path);
        }
    }
    definitions.retain(|name, paths| {
        let is_symmetric = paths.iter().all(|path| path.starts_with("provider/"));
        paths.len() > 1 && name != "Settings" && !is_symmetric
    });
    definitions
}

/// Ends of type names that say nothing. `CONTRIBUTING.md` forbids them.
const EMPTY_WORDS: [&str; 5] = ["Manager", "Handler", "Context", "Info", "Data"];

/// Type names that end in a word that says nothing, with the path of the file.
pub fn empty(files: &[SourceFile]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for name in definitions_of(&file.text) {
            if EMPTY_WORDS.iter().any(|word| name.ends_with(word)) {
                found.push(format!("{}: {name}", file.path.display()));
            }
        }
    }
    found
}

/// Items of modules and functions. Associated types of an `impl` or `trait` are none: they follow
/// its indentation.
fn definitions_of(text: &str) -> impl Iterator<Item = &str> {
    let mut in_implementation = false;
    text.lines().filter_map(move |line| {
        if !line.starts_with([' ', '}']) {
            let item = after_visibility(line);
            in_implementation = ["impl", "unsafe impl", "trait "]
                .iter()
                .any(|start| item.starts_with(start));
        }
        let item = after_visibility(line);
        let is_associated = in_implementation && item.starts_with("type ");
        let keyword = KEYWORDS
            .iter()
            .find(|keyword| item.starts_with(**keyword))?;
        let name = identifier(&item[keyword.len()..]);
        let is_name = name.starts_with(char::is_uppercase);
        (is_name && !is_associated).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile {
            path: path.into(),
            module: Vec::new(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_name_defined_twice_is_found() {
        let files = [
            file("a.rs", "pub struct Name(u8);\nstruct Settings;\n"),
            file("b.rs", "fn f() {\n    enum Name {}\n}\nstruct Settings;\n"),
        ];
        let found: Vec<_> = duplicates(&files).into_iter().collect();
        assert_eq!(
            found,
            [(
                "Name".to_owned(),
                vec!["a.rs".to_owned(), "b.rs".to_owned()]
            )]
        );
    }

    #[test]
    fn a_name_that_says_nothing_is_found() {
        let files = [file("a.rs", "struct GateContext;\nstruct Contexts;\n")];
        assert_eq!(empty(&files), ["a.rs: GateContext"]);
    }

    #[test]
    fn associated_types_and_providers_are_left_out() {
        let files = [
            file("a.rs", "impl Iterator for A {\n    type Item = u8;\n}\n"),
            file("b.rs", "impl Iterator for B {\n    type Item = u8;\n}\n"),
            file("provider/a.rs", "struct Request;"),
            file("provider/b.rs", "struct Request;"),
        ];
        assert!(duplicates(&files).is_empty());
    }
}
