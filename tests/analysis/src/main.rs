//! Prints the measurements of one tree: `sayso-analysis FOLDER [--list]`, where the folder holds
//! `src` and `README.md`.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use sayso_analysis::{functions, imports, names, prose, surface};

/// The limits of style: columns of a line and lines of a function.
const WIDTH: usize = 100;
const FUNCTION: usize = 60;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(
        arguments
            .next()
            .ok_or("usage: sayso-analysis FOLDER [--list]")?,
    );
    let with_list = arguments.any(|argument| argument == "--list");
    let files = sayso_analysis::read(&folder.join("src"))?;
    let readme = fs::read_to_string(folder.join("README.md"))?;

    let lines: Vec<&str> = files.iter().flat_map(|file| file.text.lines()).collect();
    let long_lines = lines
        .iter()
        .filter(|line| line.chars().count() > WIDTH)
        .count();
    let long_functions = functions::longer_than(FUNCTION, &files);
    let duplicates = names::duplicates(&files);
    let cycles = imports::cycles(&files);
    let docs = prose::doc_lines(&files);

    let mut out = io::stdout().lock();
    let figures = [
        (
            lines.len(),
            "lines of code and comments in src, without tests",
        ),
        (long_lines, "lines over 100 columns"),
        (long_functions.len(), "functions over 60 lines"),
        (duplicates.len(), "duplicated type names"),
        (cycles.len(), "import cycles"),
        (
            prose::per_thousand(&docs, &prose::VAGUE),
            "of 1,000 doc lines contain \"what\"",
        ),
        (
            prose::per_thousand(&docs, &prose::SPEECH),
            "of 1,000 doc lines contain \"told\", \"heard\" or \"said\"",
        ),
        (
            prose::without_verb(&files).len(),
            "docs of functions that do not begin with a verb",
        ),
        (surface::public_items(&files), "public items of the library"),
        (readme.lines().count(), "lines of README.md"),
    ];
    for (number, what) in figures {
        writeln!(out, "{number:>6}  {what}")?;
    }
    if with_list {
        for function in long_functions {
            writeln!(out, "function: {function}")?;
        }
        for (name, paths) in duplicates {
            writeln!(out, "type name: {name}: {}", paths.join(", "))?;
        }
        for cycle in cycles {
            writeln!(out, "cycle: {}", cycle.join(", "))?;
        }
    }
    Ok(())
}
