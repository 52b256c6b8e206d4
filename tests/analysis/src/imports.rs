//! The import graph of modules, and its cycles.

use std::collections::{BTreeMap, BTreeSet};

use crate::SourceFile;

/// A module path, such as `["home", "device"]`.
type ModulePath = Vec<String>;
/// The modules each module imports from.
type Graph = BTreeMap<ModulePath, BTreeSet<ModulePath>>;

/// Groups of modules that import each other, directly or through others. Each is sorted.
pub fn cycles(files: &[SourceFile]) -> Vec<Vec<String>> {
    let graph = graph(files);
    let reachable: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> = graph
        .keys()
        .map(|module| (module, reachable(&graph, module)))
        .collect();
    let mut cycles = BTreeSet::new();
    for (module, targets) in &reachable {
        let group: Vec<String> = targets
            .iter()
            .filter(|target| reachable[*target].contains(module))
            .map(|target| target.join("::"))
            .collect();
        if group.len() > 1 {
            cycles.insert(group);
        }
    }
    cycles.into_iter().collect()
}

/// The modules one file imports from, `lib.rs` and itself excluded.
pub fn imports(file: &SourceFile, files: &[SourceFile]) -> BTreeSet<ModulePath> {
    let modules: BTreeSet<&ModulePath> = files.iter().map(|file| &file.module).collect();
    let mut imports = BTreeSet::new();
    for path in paths(&code(&file.text)) {
        let Some(absolute) = absolute(&path, &file.module, &modules) else {
            continue;
        };
        let longest = (1..=absolute.len())
            .rev()
            .map(|length| absolute[..length].to_vec())
            .find(|prefix| modules.contains(prefix));
        imports.extend(longest);
    }
    imports.remove(&file.module);
    imports
}

fn graph(files: &[SourceFile]) -> Graph {
    files
        .iter()
        .filter(|file| !file.module.is_empty())
        .map(|file| (file.module.clone(), imports(file, files)))
        .collect()
}

fn reachable<'a>(graph: &'a Graph, from: &ModulePath) -> BTreeSet<&'a ModulePath> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&ModulePath> = graph[from].iter().collect();
    while let Some(module) = open.pop() {
        if found.insert(module) {
            open.extend(&graph[module]);
        }
    }
    found
}

/// The text without line comments and without visibilities such as `pub(in crate::home)`.
fn code(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        let line = match line.find("//") {
            // Two slashes in a string, as in a URL, follow a colon.
            Some(start) if !line[..start].ends_with(':') => &line[..start],
            _ => line,
        };
        let is_restricted = line.trim_start().starts_with("pub(in ");
        let code_only = match line.split_once(')') {
            Some((_, rest)) if is_restricted => rest,
            _ => line,
        };
        code.push_str(code_only);
        code.push('\n');
    }
    code
}

/// Every path of at least two segments in the code, with groups in braces expanded.
fn paths(code: &str) -> Vec<ModulePath> {
    let mut paths = Vec::new();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = code;
    while let Some(start) = rest.find(is_word) {
        let is_continued = rest[..start].ends_with("::");
        let text = &rest[start..];
        let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
        if !is_continued && text[end..].starts_with("::") {
            rest = expand(text, &mut Vec::new(), &mut paths);
        } else {
            rest = &text[end..];
        }
    }
    paths
}

/// Reads one path, such as `a::{b, c::d}`, into `paths`; returns the text behind it.
fn expand<'a>(text: &'a str, before: &mut ModulePath, paths: &mut Vec<ModulePath>) -> &'a str {
    let name = crate::identifier(text);
    let mut rest = &text[name.len()..];
    before.push(name.to_owned());
    match rest.strip_prefix("::") {
        Some(group) if group.starts_with('{') => {
            rest = group[1..].trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                let remaining = expand(rest, before, paths);
                if remaining.len() == rest.len() {
                    break; // no path: the text is none that rustfmt writes
                }
                rest = remaining.trim_start_matches([',', ' ', '\n']);
            }
            rest = rest.strip_prefix('}').unwrap_or(rest);
        }
        Some(next) if next.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
            rest = expand(next, before, paths);
        }
        _ => paths.push(before.clone()),
    }
    before.pop();
    rest
}

/// The path from the root of the crate; `None` for a path of another crate or of a type.
fn absolute(
    path: &[String],
    module: &[String],
    modules: &BTreeSet<&ModulePath>,
) -> Option<ModulePath> {
    let (first, rest) = path.split_first()?;
    let mut base = module.to_vec();
    match first.as_str() {
        "crate" => return Some(rest.to_vec()),
        "self" => {}
        "super" => {
            base.pop();
        }
        name => {
            base.push(name.to_owned());
            if !modules.contains(&base) {
                return None;
            }
        }
    }
    let mut rest = rest;
    while rest.first().is_some_and(|name| name == "super") {
        base.pop();
        rest = &rest[1..];
    }
    base.extend_from_slice(rest);
    Some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(module: &str, text: &str) -> SourceFile {
        SourceFile {
            path: module.into(),
            module: module.split("::").map(str::to_owned).collect(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn two_modules_that_import_each_other_are_a_cycle() {
        let files = [
            file("a", "use crate::b::{self, X};"),
            file("b", "mod c;\nfn f() { crate::a::g() }"),
            file("b::c", "use super::X;\nuse std::fmt;"),
        ];
        assert_eq!(cycles(&files), [["a", "b"]]);
    }

    #[test]
    fn a_parent_and_a_child_that_use_each_other_are_a_cycle() {
        let parent = file("b", "mod c;\nuse c::{X,\n    Y};");
        let child = file("b::c", "use super::Z;");
        assert_eq!(cycles(&[parent.clone(), child]), [["b", "b::c"]]);
        let innocent = file(
            "b::c",
            "pub(in crate::b) fn f() {}\n// use super::Z;\nuse serde::Deserialize;",
        );
        assert!(cycles(&[parent, innocent]).is_empty());
    }

    #[test]
    fn groups_are_expanded() {
        let paths = paths("use crate::a::{b::{C, D}, e};");
        let joined: Vec<String> = paths.iter().map(|path| path.join("::")).collect();
        assert_eq!(joined, ["crate::a::b::C", "crate::a::b::D", "crate::a::e"]);
    }
}
