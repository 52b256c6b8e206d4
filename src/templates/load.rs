//! From folders to compiled languages: files are found, read within bounds, and compiled. A fault
//! is reported with its file and, where it is known, its line.
//!
//! The compiled form is kept in a folder, if there is one: `<code>.compiled`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::templates::compile::{self, CompileError, CompiledLanguage};
use crate::templates::format::LanguageFile;
use crate::templates::stored;

/// Largest file that is read, in bytes. The largest published language has 500 KB.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// Largest compiled form that is read or written, in bytes. The largest published language needs
/// 3 MB.
const MAX_COMPILED_BYTES: u64 = 16 << 20;

/// Extension of the files with a compiled form.
const COMPILED: &str = "compiled";

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
    /// The folder for compiled forms, which is created when one is written.
    pub compiled: Option<PathBuf>,
}

/// The files of one language.
#[derive(Debug, Clone, Default)]
pub struct LanguagePaths {
    /// The published file.
    published: Option<PathBuf>,
    /// The folder of the user's own files.
    pub(super) custom: Option<PathBuf>,
    /// The file with the compiled form.
    compiled: Option<PathBuf>,
}

impl LanguagePaths {
    /// Returns the published file, if it is installed.
    pub fn published(&self) -> Option<&Path> {
        self.published.as_deref()
    }

    /// Returns whether the user has sentences of this language.
    pub fn has_custom(&self) -> bool {
        self.custom.is_some()
    }

    /// Returns the published file without the user's own.
    pub(super) fn published_only(&self) -> Self {
        Self {
            published: self.published.clone(),
            custom: None,
            compiled: None,
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

/// Sets the file of each language for its compiled form, and removes those of languages that are
/// not installed any more.
pub(super) fn keep_compiled(languages: &mut BTreeMap<String, LanguagePaths>, folder: &Path) {
    for path in listing(Some(folder)).unwrap_or_default() {
        let code = path.file_stem().and_then(|stem| stem.to_str());
        let is_used = code.is_some_and(|code| languages.contains_key(code));
        if has_extension(&path, &[COMPILED, "new"]) && !is_used {
            // A file that cannot be removed does no harm.
            let _ = fs::remove_file(path);
        }
    }
    for (code, paths) in languages {
        paths.compiled = Some(folder.join(code).with_extension(COMPILED));
    }
}

/// Reads and compiles the files of a language, or reads its compiled form.
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
    let texts = sources.iter().map(|path| read(path));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let key = stored::key(texts.iter().map(String::as_str));
    if let Some(language) = paths.compiled.as_deref().and_then(|file| recall(file, key)) {
        return Ok(language);
    }
    let files = sources.iter().zip(&texts);
    let files = files.map(|(path, text)| parse(path, text));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    let language = compile::compile(&files).map_err(|error| located(&sources, &error))?;
    if let Some(file) = &paths.compiled {
        let kept = keep(file, &stored::encode(&language, key));
        if let Err(error) = kept {
            tracing::debug!(file = %file.display(), %error, "the compiled templates are not kept");
        }
    }
    Ok(language)
}

/// Reads the compiled form with this key from a file.
fn recall(file: &Path, key: u64) -> Option<CompiledLanguage> {
    let size = fs::metadata(file).ok()?.len();
    if size > MAX_COMPILED_BYTES {
        return None;
    }
    stored::decode(&fs::read(file).ok()?, key)
}

/// Writes the compiled form to a file as a whole.
fn keep(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if bytes.len() as u64 > MAX_COMPILED_BYTES {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = file.with_extension("new");
    fs::write(&new, bytes)?;
    fs::rename(new, file)
}

/// Reads and compiles one file alone.
///
/// # Errors
/// If it cannot be read, is malformed, or exceeds a bound.
pub(super) fn check(path: &Path) -> Result<(), TemplateError> {
    let file = parse(path, &read(path)?)?;
    if file.intents.is_empty() {
        return Err(TemplateError::Invalid {
            path: path.to_owned(),
            line: None,
            reason: "it has no `intents`, so it is no file of sentence templates".to_owned(),
        });
    }
    let sources = [path.to_owned()];
    let compiled = compile::compile(&[file]);
    compiled
        .map(drop)
        .map_err(|error| located(&sources, &error))
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

fn parse(path: &Path, text: &str) -> Result<LanguageFile, TemplateError> {
    let invalid = |line: Option<usize>, reason: String| TemplateError::Invalid {
        path: path.to_owned(),
        line,
        reason,
    };
    if has_extension(path, &["json"]) {
        return serde_json::from_str(text)
            .map_err(|error| invalid(Some(error.line()), error.to_string()));
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let line = error
            .location()
            .and_then(|place| usize::try_from(place.line()).ok());
        let reason = error.to_string();
        invalid(line, reason.lines().next().unwrap_or_default().to_owned())
    })
}
