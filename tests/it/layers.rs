//! The architecture, enforced: a module imports only from lower layers, modules do not import each
//! other in a circle, and each type name exists once.

use std::path::Path;

use sayso_analysis::{SourceFile, functions, imports, names, prose};

/// The layers, lowest first. Modules of one layer do not import each other.
const LAYERS: [&[&str]; 11] = [
    &["clock"],
    &[
        "vocabulary",
        "delivery",
        "telemetry",
        "secret",
        "systemd",
        "backoff",
    ],
    &["binding", "provider"],
    &["home", "command"],
    &[
        "wire",
        "store",
        "redis",
        "pair",
        "discovery",
        "prompt",
        "templates",
        "schedule",
    ],
    &["mqtt", "cache", "router", "grammar"],
    &["pipeline"],
    &["config"],
    &["daemon"],
    &["cli"],
    &["testing"],
];
/// The longest function, in lines of code.
const FUNCTION_LINES: usize = 60;

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

fn sources() -> Vec<SourceFile> {
    let folder = Path::new(crate::REPOSITORY).join("src");
    let files = sayso_analysis::read(&folder).unwrap();
    assert!(files.len() > 100, "only {} files below src", files.len());
    files
}

#[test]
fn a_module_imports_only_from_lower_layers() {
    let files = sources();
    let mut violations = Vec::new();
    for file in &files {
        let Some(module) = file.module.first() else {
            continue;
        };
        let own = layer(module).unwrap_or_else(|| panic!("add `{module}` to LAYERS"));
        for import in imports::imports(file, &files) {
            let imported = &import[0];
            let is_lower = layer(imported).is_some_and(|imported| imported < own);
            if imported != module && !is_lower {
                let path = file.path.display();
                violations.push(format!("{path} imports crate::{}", import.join("::")));
            }
        }
    }
    assert!(
        violations.is_empty(),
        "imports from a higher or the same layer:\n{}",
        violations.join("\n")
    );
}

#[test]
fn the_pipeline_imports_nothing_of_mqtt() {
    let files = sources();
    let is_pipeline = |file: &&SourceFile| file.module.first().is_some_and(|m| m == "pipeline");
    let pipeline: Vec<&SourceFile> = files.iter().filter(is_pipeline).collect();
    assert!(pipeline.len() > 20, "only {} files", pipeline.len());
    for file in pipeline {
        for import in imports::imports(file, &files) {
            assert_ne!(import[0], "mqtt", "{}", file.path.display());
        }
    }
}

#[test]
fn modules_do_not_import_each_other_in_a_circle() {
    let cycles: Vec<String> = imports::cycles(&sources())
        .iter()
        .map(|cycle| cycle.join(", "))
        .collect();
    assert!(cycles.is_empty(), "import cycles:\n{}", cycles.join("\n"));
}

#[test]
fn a_type_name_is_defined_once() {
    let duplicates = names::duplicates(&sources());
    assert!(
        duplicates.is_empty(),
        "duplicated type names: {duplicates:#?}"
    );
}

#[test]
fn a_type_name_ends_in_a_word_with_a_meaning() {
    let empty = names::empty(&sources());
    assert!(empty.is_empty(), "type names that say nothing: {empty:#?}");
}

#[test]
fn the_doc_of_a_function_begins_with_a_verb() {
    let others = prose::without_verb(&sources());
    assert!(others.is_empty(), "without a verb: {others:#?}");
}

#[test]
fn functions_fit_on_a_screen() {
    let long = functions::longer_than(FUNCTION_LINES, &sources());
    assert!(
        long.is_empty(),
        "functions over {FUNCTION_LINES} lines: {long:#?}"
    );
}
