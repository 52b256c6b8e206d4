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
    writeln!(
        out,
        "{:>6}  lines of code and comments in src, without tests",
        lines.len()
    )?;
    writeln!(out, "{long_lines:>6}  lines over {WIDTH} columns")?;
    writeln!(
        out,
        "{:>6}  functions over {FUNCTION} lines",
        long_functions.len()
    )?;
    writeln!(out, "{:>6}  duplicated type names", duplicates.len())?;
    writeln!(out, "{:>6}  import cycles", cycles.len())?;
    writeln!(
        out,
        "{:>6}  of 1,000 doc lines contain \"what\"",
        prose::per_thousand(&docs, &prose::VAGUE)
    )?;
    writeln!(
        out,
        "{:>6}  of 1,000 doc lines contain \"told\", \"heard\" or \"said\"",
        prose::per_thousand(&docs, &prose::SPEECH)
    )?;
    writeln!(
        out,
        "{:>6}  docs of functions that do not begin with a verb",
        prose::without_verb(&files).len()
    )?;
    writeln!(
        out,
        "{:>6}  public items of the library",
        surface::public_items(&files)
    )?;
    writeln!(out, "{:>6}  lines of README.md", readme.lines().count())?;
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
