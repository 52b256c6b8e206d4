//! The public items of the library: everything that another crate can reach.

use std::collections::BTreeSet;

use crate::{SourceFile, after_visibility, identifier};

/// Words that begin an item, except re-exports.
const ITEMS: [&str; 10] = [
    "fn ", "const ", "async ", "unsafe ", "struct ", "enum ", "trait ", "type ", "static ",
    "union ",
];

/// Public items that are reachable from the root of the crate: those of public modules, also of
/// modules hidden from the documentation, each re-exported name, and the public methods of a
/// re-exported type whose module is private.
pub fn public_items(files: &[SourceFile]) -> usize {
    let public = public_modules(files);
    let is_public = |file: &&SourceFile| public.contains(&file.module);
    let mut count = 0;
    let mut names = BTreeSet::new();
    for file in files.iter().filter(is_public) {
        count += file
            .text
            .lines()
            .filter(|line| is_public_item(line))
            .count();
        names.extend(reexports(file));
    }
    for (module, name) in &names {
        let private = files.iter().filter(|file| !is_public(file));
        let of_module = private.filter(|file| file.module.first() == Some(module));
        let methods: usize = of_module.map(|file| public_methods(&file.text, name)).sum();
        count += 1 + methods;
    }
    count
}

fn is_public_item(line: &str) -> bool {
    let line = line.trim_start();
    let item = after_visibility(line);
    line.starts_with("pub ") && ITEMS.iter().any(|start| item.starts_with(start))
}

/// The modules reached from `lib.rs` by `pub mod`.
fn public_modules(files: &[SourceFile]) -> BTreeSet<Vec<String>> {
    let mut public = BTreeSet::new();
    let mut open = vec![Vec::new()];
    while let Some(module) = open.pop() {
        let Some(file) = files.iter().find(|file| file.module == module) else {
            continue;
        };
        for line in file.text.lines() {
            if let Some(rest) = line.strip_prefix("pub mod ") {
                let mut child = module.clone();
                child.push(identifier(rest).to_owned());
                open.push(child);
            }
        }
        public.insert(module);
    }
    public
}

/// The re-exported names of a file, each with the top-level module it comes from.
fn reexports(file: &SourceFile) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for statement in file.text.split(';') {
        let Some((_, path)) = statement.rsplit_once("pub use ") else {
            continue;
        };
        let path = path.trim();
        let own = file.module.first().map_or("", String::as_str);
        let module = path.strip_prefix("crate::").map_or(own, identifier);
        let (_, names) = path.rsplit_once("::").unwrap_or(("", path));
        let names = match path.split_once('{') {
            Some((_, group)) => group.trim_end_matches(['}', ' ', '\n']),
            None => names,
        };
        let names = names
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        found.extend(names.map(|name| {
            let last = name.rsplit("::").next().unwrap_or(name);
            (module.to_owned(), identifier(last).to_owned())
        }));
    }
    found
}

/// The public functions and constants in the inherent implementations of a type.
fn public_methods(text: &str, name: &str) -> usize {
    let mut in_implementation = false;
    let mut count = 0;
    for line in text.lines() {
        if line.starts_with("impl") {
            in_implementation = implemented_type(line) == Some(name);
        } else if line == "}" {
            in_implementation = false;
        } else if in_implementation && line.starts_with("    pub ") && is_public_item(line) {
            count += 1;
        }
    }
    count
}

/// The type of an inherent implementation such as `impl<'a> Name<'a> {`.
fn implemented_type(line: &str) -> Option<&str> {
    if line.contains(" for ") {
        return None;
    }
    let rest = line.strip_prefix("impl")?;
    let rest = match rest.strip_prefix('<') {
        Some(generics) => generics.split_once("> ")?.1,
        None => rest.trim_start(),
    };
    Some(identifier(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(module: &[&str], text: &str) -> SourceFile {
        SourceFile {
            path: "x".into(),
            module: module.iter().map(|part| (*part).to_owned()).collect(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn private_modules_do_not_count_and_hidden_ones_do() {
        let files = [
            file(&[], "pub mod a;\nmod b;\n#[doc(hidden)]\npub mod c;\n"),
            file(
                &["a"],
                "pub fn f() {}\npub(crate) fn g() {}\nimpl X {\n    pub const fn h() {}\n}\n",
            ),
            file(&["b"], "pub fn f() {}\n"),
            file(&["c"], "pub fn f() {}\n"),
        ];
        assert_eq!(public_items(&files), 3);
    }

    #[test]
    fn a_reexported_type_counts_with_its_methods() {
        let private = "pub struct X;\nimpl<'a> X<'a> {\n    pub fn f() {}\n    fn g() {}\n}\n\
                       impl Y {\n    pub fn h() {}\n}\nimpl Clone for X {\n    pub fn i() {}\n}\n";
        let files = [
            file(&[], "mod a;\npub mod c;\n"),
            file(&["a"], private),
            file(
                &["c"],
                "pub mod a {\n    pub use crate::a::{\n        X, f,\n    };\n    pub use crate::a::g;\n}\n",
            ),
        ];
        assert_eq!(public_items(&files), 4);
    }
}
