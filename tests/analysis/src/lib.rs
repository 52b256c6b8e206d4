//! Measurements of source code that a test can hold to a limit: import cycles, duplicated type
//! names, function lengths and the words of doc comments.
//!
//! The text is scanned, not parsed: it must be formatted by rustfmt. Inline test modules are left
//! out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub mod functions;
pub mod imports;
pub mod names;
pub mod prose;
pub mod surface;

/// One file of the library, without its tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path below `src`.
    pub path: PathBuf,
    /// The module path, such as `["home", "device"]`; empty for `lib.rs`.
    pub module: Vec<String>,
    /// The code.
    pub text: String,
}

/// Reads all modules below `folder`, in order of their paths. Test modules and `main.rs` are left
/// out.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn read(folder: &Path) -> io::Result<Vec<SourceFile>> {
    let mut paths = Vec::new();
    find(folder, &mut paths)?;
    paths.sort();
    let mut files = Vec::new();
    let mut tests = Vec::new();
    for path in paths {
        let relative = path.strip_prefix(folder).unwrap_or(&path).to_owned();
        if relative == Path::new("main.rs") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let module = module(&relative);
        tests.extend(test_modules(&text).map(|name| child(&module, name)));
        files.push(SourceFile {
            text: without_tests(&text),
            path: relative,
            module,
        });
    }
    files.retain(|file| !tests.iter().any(|test| file.module.starts_with(test)));
    Ok(files)
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

/// `home/permit/mod.rs` as `["home", "permit"]`.
fn module(path: &Path) -> Vec<String> {
    let parts = path
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect::<Vec<_>>();
    match parts.split_last() {
        Some((last, folders)) if last == "mod" || last == "lib" => folders.to_vec(),
        _ => parts,
    }
}

fn child(module: &[String], name: &str) -> Vec<String> {
    let mut path = module.to_vec();
    path.push(name.to_owned());
    path
}

/// The names in `#[cfg(test)] mod name;`.
fn test_modules(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().zip(text.lines().skip(1));
    lines.filter_map(|(attribute, declaration)| {
        let is_test = attribute.trim() == "#[cfg(test)]";
        let name = after_visibility(declaration)
            .strip_prefix("mod ")?
            .strip_suffix(';')?;
        is_test.then_some(name)
    })
}

/// The text without items at the top level that are marked `#[cfg(test)]`.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut in_test = false;
    for line in text.lines() {
        if line == "#[cfg(test)]" {
            in_test = true;
            continue;
        }
        if !in_test {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        // The item ends with its closing brace, or with the semicolon of an item without a body.
        let is_attribute = line.starts_with("#[") || line.starts_with("//");
        if !is_attribute && (line == "}" || (!line.starts_with(' ') && line.ends_with([';', '}'])))
        {
            in_test = false;
        }
    }
    kept
}

/// The line without indentation and `pub`, `pub(crate)` and the like.
pub(crate) fn after_visibility(line: &str) -> &str {
    let line = line.trim_start();
    let Some(rest) = line.strip_prefix("pub") else {
        return line;
    };
    let rest = if rest.starts_with('(') {
        rest.split_once(')').map_or(rest, |(_, rest)| rest)
    } else {
        rest
    };
    rest.strip_prefix(' ').unwrap_or(line)
}

/// The first identifier of a text.
pub(crate) fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_module() {
        for (path, parts) in [
            ("lib.rs", &[][..]),
            ("secret.rs", &["secret"]),
            ("home/mod.rs", &["home"]),
            ("home/permit/say.rs", &["home", "permit", "say"]),
        ] {
            assert_eq!(module(Path::new(path)), parts, "{path}");
        }
    }

    #[test]
    fn test_items_are_left_out() {
        let text = "use a;\n#[cfg(test)]\nmod tests {\n    fn f() {}\n}\nfn g() {}\n#[cfg(test)]\nmod model_test;\n";
        assert_eq!(without_tests(text), "use a;\nfn g() {}\n");
        assert_eq!(test_modules(text).collect::<Vec<_>>(), ["model_test"]);
    }
}
