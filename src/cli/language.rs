//! `sayso language`: lists the languages of commands, and adds or removes sentence templates.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::cli::arguments::FileArguments;
use crate::cli::exit::{Exit, Failure};
use crate::cli::file_error::reason;
use crate::config::{Config, Scope};
use crate::grammar::built_in_languages;
use crate::templates::{TemplateError, TemplateFolders, Templates};

const EXAMPLES: &str = "\
Examples:
  sayso language list
  sayso language add pl.json                      one language
  sayso language add intents/data                 every <code>.json of a folder
  sayso language add custom_sentences/pl          your own sentences, as YAML
  sayso language remove pl

Templates are copied to [local] templates, your own sentences to `custom_sentences/<code>` beside \
the config. Each file is compiled before it is copied. A running daemon reads them after SIGHUP: \
systemctl reload sayso.

Exit codes: 0 done, 1 nothing was changed, 77 a file or folder may not be read or written, 78 the \
config is wrong.";

/// Arguments of `sayso language`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LanguageArguments {
    #[command(subcommand)]
    action: LanguageAction,
    #[command(flatten)]
    files: FileArguments,
}

#[derive(Debug, Subcommand)]
enum LanguageAction {
    /// Show the languages and how each is understood
    List,
    /// Check templates and copy them to the folder of templates
    Add {
        /// File <code>.json, folder of such files, or folder <code> with *.yaml
        path: PathBuf,
    },
    /// Remove the templates of a language
    Remove {
        /// Code of the language, such as `pl`
        name: String,
    },
}

/// Carries out the arguments.
pub(super) fn language(
    arguments: &LanguageArguments,
    out: &mut impl Write,
) -> Result<Exit, Failure> {
    let config = Config::load(&arguments.files.location(Scope::Home))?;
    let folders = &config.local.templates;
    match &arguments.action {
        LanguageAction::List => list(folders, &config.local.language, out),
        LanguageAction::Add { path } => add(path, folders, &custom_folder(&config), out),
        LanguageAction::Remove { name } => remove(name, folders, &config.local.language, out),
    }
}

/// Returns the folder of the user's own sentences, which need not exist.
fn custom_folder(config: &Config) -> PathBuf {
    let beside = config.files.config.as_deref().and_then(Path::parent);
    beside.unwrap_or(Path::new("")).join("custom_sentences")
}

fn list(folders: &TemplateFolders, default: &str, out: &mut impl Write) -> Result<Exit, Failure> {
    let installed = Templates::installed_files(folders).map_err(unusable)?;
    let own = built_in_languages().map(str::to_owned);
    let mut codes: Vec<String> = own.chain(installed.keys().cloned()).collect();
    codes.sort();
    codes.dedup();
    writeln!(out, "{:8} grammar  templates  own sentences", "language")?;
    for code in &codes {
        let is_built_in = built_in_languages().any(|built_in| built_in == code);
        let files = installed.get(code);
        let has = |is: bool| if is { "yes" } else { "-" };
        let line = format!(
            "{code:8} {:7}  {:9}  {:3}{}",
            has(is_built_in),
            has(files.is_some_and(|files| files.published().is_some())),
            has(files.iter().any(|files| files.has_custom())),
            if code == default { "  default" } else { "" }
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    if installed.is_empty() {
        let folder = folders.published.as_deref().unwrap_or(Path::new(""));
        writeln!(
            out,
            "\nno templates are installed in `{}`: see docs/templates.md",
            folder.display()
        )?;
    }
    Ok(Exit::Done)
}

/// Copies templates after a check of all of them.
fn add(
    path: &Path,
    folders: &TemplateFolders,
    custom: &Path,
    out: &mut impl Write,
) -> Result<Exit, Failure> {
    let copies = copies(path, folders, custom)?;
    for (from, _) in &copies {
        Templates::check(from).map_err(unusable)?;
    }
    for (from, to) in &copies {
        copy(from, to).map_err(|error| not_written(to, &error))?;
        writeln!(out, "✓ {}", to.display())?;
    }
    writeln!(out, "a running daemon reads them after SIGHUP")?;
    Ok(Exit::Done)
}

/// Returns the files below `path` with their destinations.
fn copies(
    path: &Path,
    folders: &TemplateFolders,
    custom: &Path,
) -> Result<Vec<(PathBuf, PathBuf)>, Failure> {
    let refused = |reason: &str| {
        let reason = format!("`{}` {reason}", path.display());
        Failure::new(Exit::Failed, reason)
    };
    let published = folders.published.as_deref().unwrap_or(Path::new(""));
    let extension = |path: &Path| path.extension().and_then(|e| e.to_str()).map(str::to_owned);
    let files = if path.is_dir() {
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = entries.map_err(|error| not_read(path, &error))?;
        let mut files: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        files.sort();
        files
    } else {
        fs::metadata(path).map_err(|error| not_read(path, &error))?;
        vec![path.to_owned()]
    };
    let mut copies = Vec::new();
    for file in files {
        let to = match extension(&file).as_deref() {
            Some("json") => published.to_owned(),
            Some("yaml" | "yml") => {
                let code = file.canonicalize().ok();
                let code = code
                    .as_deref()
                    .and_then(Path::parent)
                    .and_then(Path::file_name);
                custom.join(code.unwrap_or_default())
            }
            _ => continue,
        };
        let code = match extension(&file).as_deref() {
            Some("json") => file.file_stem(),
            _ => to.file_name(),
        };
        if !code.and_then(|code| code.to_str()).is_some_and(is_code) {
            return Err(refused(
                "does not name its language: call the file `<code>.json`, such as `pl.json`, or \
                 put YAML into a folder `pl`",
            ));
        }
        let name = file.file_name().unwrap_or_default();
        copies.push((file.clone(), to.join(name)));
    }
    if copies.is_empty() {
        return Err(refused(
            "has no sentence templates: expected `<code>.json`, a folder of such files, or a \
             folder `<code>` with *.yaml",
        ));
    }
    Ok(copies)
}

/// Returns whether the text is a code such as `pl` or `pt-BR`.
fn is_code(text: &str) -> bool {
    let (language, region) = text.split_once(['-', '_']).unwrap_or((text, "x"));
    let is_region = (1..=4).contains(&region.len());
    let is_plain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric());
    (2..=3).contains(&language.len()) && is_region && is_plain(language) && is_plain(region)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    // The daemon never reads a half-written file.
    let new = to.with_extension("new");
    fs::copy(from, &new)?;
    fs::rename(new, to)
}

fn remove(
    name: &str,
    folders: &TemplateFolders,
    default: &str,
    out: &mut impl Write,
) -> Result<Exit, Failure> {
    let installed = Templates::installed_files(folders).map_err(unusable)?;
    let code = name.to_lowercase();
    let file = installed.get(&code).and_then(|files| files.published());
    let Some(file) = file else {
        let shown = |folder: &Option<PathBuf>| match folder {
            Some(folder) => format!("`{}`", folder.display()),
            None => "a folder, which is not configured".to_owned(),
        };
        let reason = format!(
            "there are no templates of `{name}` to remove in {}: see `sayso language list`; remove \
             your own sentences, in {}, yourself",
            shown(&folders.published),
            shown(&folders.custom)
        );
        return Err(Failure::new(Exit::Failed, reason));
    };
    let is_built_in = built_in_languages().any(|built_in| built_in == code);
    if default.to_lowercase() == code && !is_built_in {
        let reason =
            format!("`{name}` is the language of the home: set another `[local] language` first");
        return Err(Failure::new(Exit::Failed, reason));
    }
    fs::remove_file(file).map_err(|error| not_written(file, &error))?;
    writeln!(out, "✓ removed {}", file.display())?;
    Ok(Exit::Done)
}

fn unusable(error: TemplateError) -> Failure {
    let exit = match &error {
        TemplateError::Unreadable { source, .. }
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            Exit::Forbidden
        }
        _ => Exit::Failed,
    };
    Failure::new(exit, error)
}

fn not_read(path: &Path, error: &io::Error) -> Failure {
    io_failure(path, error, "read")
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    io_failure(path, error, "change")
}

fn io_failure(path: &Path, error: &io::Error, verb: &str) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::Forbidden,
        _ => Exit::Failed,
    };
    let path = path.display();
    Failure::new(exit, format!("cannot {verb} `{path}`: {}", reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_short() {
        for code in ["pl", "pt-BR", "zh_TW", "gsw", "de-CH"] {
            assert!(is_code(code), "{code}");
        }
        for other in [
            "",
            "p",
            "polish",
            "pl-",
            "pl/x",
            "..",
            "package",
            "pl-BRASIL",
        ] {
            assert!(!is_code(other), "{other}");
        }
    }
}
