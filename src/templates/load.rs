//! From folders to compiled languages: files are found, read within bounds, and compiled. A fault
//! is reported with its file and, where it is known, its line.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::templates::compile::{self, CompileError, CompiledLanguage};
use crate::templates::format::LanguageFile;

/// Largest file that is read, in bytes. The largest published language has 500 KB.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// Most custom files of one language.
const MAX_CUSTOM_FILES: usize = 200;

/// The reason why templates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The folder or a file cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file is not one of sentence templates, or exceeds a bound.
    #[error("`{}`{}: {reason}", .path.display(), line_text(*.line))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, if it is known.
        line: Option<usize>,
        /// The reason, with the template at fault.
        reason: String,
    },
}

fn line_text(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}

/// The folders in which templates are looked for. A folder that does not exist has no languages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TemplateFolders {
    /// The published languages: `<code>.json`.
    pub published: Option<PathBuf>,
    /// The sentences of the user: `<code>/*.yaml`.
    pub custom: Option<PathBuf>,
}

/// The files of one language.
#[derive(Debug, Clone, Default)]
pub(super) struct LanguagePaths {
    /// The published file.
    published: Option<PathBuf>,
    /// The folder of the user's own files.
    pub(super) custom: Option<PathBuf>,
}

impl LanguagePaths {
    /// Returns the published file without the user's own.
    pub(super) fn published_only(&self) -> Self {
        Self {
            published: self.published.clone(),
            custom: None,
        }
    }
}

/// Lists the installed languages by their code in lower case.
///
/// # Errors
/// If a folder exists and cannot be read.
pub(super) fn installed(
    folders: &TemplateFolders,
) -> Result<BTreeMap<String, LanguagePaths>, TemplateError> {
    let mut languages: BTreeMap<String, LanguagePaths> = BTreeMap::new();
    for path in listing(folders.published.as_deref())? {
        if has_extension(&path, &["json"])
            && let Some(code) = path.file_stem().and_then(|stem| stem.to_str())
        {
            languages.entry(code.to_lowercase()).or_default().published = Some(path.clone());
        }
    }
    for path in listing(folders.custom.as_deref())? {
        if path.is_dir()
            && let Some(code) = path.file_name().and_then(|name| name.to_str())
        {
            languages.entry(code.to_lowercase()).or_default().custom = Some(path.clone());
        }
    }
    Ok(languages)
}

/// Reads and compiles the files of a language.
///
/// # Errors
/// If a file cannot be read, is malformed, or exceeds a bound.
pub(super) fn load(paths: &LanguagePaths) -> Result<CompiledLanguage, TemplateError> {
    let mut sources = Vec::from_iter(paths.published.clone());
    let custom = listing(paths.custom.as_deref())?;
    let custom = custom
        .into_iter()
        .filter(|path| has_extension(path, &["yaml", "yml"]));
    sources.extend(custom.take(MAX_CUSTOM_FILES));
    let files = sources.iter().map(|path| parse(path));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    compile::compile(&files).map_err(|error| located(&sources, &error))
}

/// Returns the error with the file and line in which the template at fault stands.
fn located(sources: &[PathBuf], error: &CompileError) -> TemplateError {
    let origin = error.template();
    let line_in = |path: &PathBuf| {
        let text = read(path).ok()?;
        let before = text.split_once(origin)?.0;
        Some(1 + before.matches('\n').count())
    };
    let found = sources
        .iter()
        .rev()
        .find_map(|path| Some((path, line_in(path)?)));
    let path = found.map(|(path, _)| path).or(sources.last());
    TemplateError::Invalid {
        path: path.cloned().unwrap_or_default(),
        line: found.map(|(_, line)| line),
        reason: error.to_string(),
    }
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| extensions.contains(&extension))
}

/// Returns the sorted paths in a folder; none if it does not exist.
fn listing(folder: Option<&Path>) -> Result<Vec<PathBuf>, TemplateError> {
    let Some(folder) = folder else {
        return Ok(Vec::new());
    };
    let entries = match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(TemplateError::Unreadable {
                path: folder.to_owned(),
                source,
            });
        }
    };
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String, TemplateError> {
    let unreadable = |source| TemplateError::Unreadable {
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE_BYTES {
        return Err(TemplateError::Invalid {
            path: path.to_owned(),
            line: None,
            reason: "the file is larger than 8 MiB".to_owned(),
        });
    }
    fs::read_to_string(path).map_err(unreadable)
}

fn parse(path: &Path) -> Result<LanguageFile, TemplateError> {
    let text = read(path)?;
    let invalid = |line: Option<usize>, reason: String| TemplateError::Invalid {
        path: path.to_owned(),
        line,
        reason,
    };
    if has_extension(path, &["json"]) {
        return serde_json::from_str(&text)
            .map_err(|error| invalid(Some(error.line()), error.to_string()));
    }
    serde_saphyr::from_str(&text).map_err(|error| {
        let line = error
            .location()
            .and_then(|place| usize::try_from(place.line()).ok());
        let reason = error.to_string();
        invalid(line, reason.lines().next().unwrap_or_default().to_owned())
    })
}
