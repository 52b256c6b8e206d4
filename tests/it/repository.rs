//! The files for contributors: the pages are short, say each fact once, and name files that exist.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(crate::REPOSITORY)
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The names of all pages in the root and in `docs`.
fn pages() -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["", "docs"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if Path::new(&name)
                .extension()
                .is_some_and(|extension| extension == "md")
            {
                names.push(Path::new(folder).join(name).display().to_string());
            }
        }
    }
    assert!(names.len() >= 10, "{names:?}");
    names
}

/// The texts in backticks outside of code blocks.
fn code_spans(page: &str) -> Vec<&str> {
    let prose = page.split("```").step_by(2);
    prose
        .flat_map(|text| text.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn the_readme_has_at_most_200_lines() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 200, "{lines} lines");
}

#[test]
fn refusals_are_listed_on_one_page_only() {
    let pages = pages();
    let listing: Vec<&String> = pages
        .iter()
        .filter(|name| read(name).contains("| `not_permitted` |"))
        .collect();
    assert_eq!(listing, ["docs/troubles.md"]);
}

#[test]
fn every_module_has_a_row_in_the_architecture() {
    let page = read("ARCHITECTURE.md");
    let mut modules = 0;
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        if matches!(module, "lib" | "main") {
            continue;
        }
        modules += 1;
        let is_listed = page
            .lines()
            .any(|line| line.starts_with('|') && line.contains(&format!("`{module}`")));
        assert!(is_listed, "ARCHITECTURE.md has no row for `{module}`");
    }
    assert!(modules >= 15, "only {modules} modules");
}

#[test]
fn files_named_for_contributors_exist() {
    let mut named = 0;
    for name in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let page = read(name);
        for span in code_spans(&page) {
            let is_path = span.contains('/') && !span.contains([' ', '<', ':', '*', '$']);
            if !is_path {
                continue;
            }
            named += 1;
            let exists = ["", "src"]
                .iter()
                .any(|folder| root().join(folder).join(span).exists());
            assert!(exists, "{name}: `{span}` does not exist");
        }
    }
    assert!(named >= 30, "only {named} paths");
}
