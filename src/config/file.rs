//! A TOML file that is read key by key. A value that does not fit is reported with its line, and
//! reading continues. Keys that were never read are reported as unknown. (A derived `Deserialize`
//! with `deny_unknown_fields` would stop at the first fault of each file.)

use std::cell::RefCell;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use toml::Spanned;
use toml::de::DeTable;

use crate::config::fault::Fault;
use crate::config::syntax;
use crate::secret::address::without_credentials;
use crate::secret::check_type;
use crate::secret::plain_text::{NotUtf8, decode};

/// Text of a file and the faults found in it so far.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    text: String,
    pub(super) faults: RefCell<Vec<Fault>>,
}

impl File {
    /// Reads a file. A file that cannot be read, or that every user may write, is empty and has a
    /// fault. `named_by` states where the file was named, and the remedy if it does not exist.
    pub(super) fn open(path: &Path, named_by: &str) -> Self {
        let file = Self {
            path: path.to_owned(),
            text: String::new(),
            faults: RefCell::default(),
        };
        match read(path).map(decode) {
            Ok(Ok(text)) => Self { text, ..file },
            Ok(Err(error)) => {
                file.report_encoding(&error);
                file
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                file.report_file(format!("there is no such file: {named_by}"), false);
                file
            }
            Err(error) => {
                let permission_denied = error.kind() == io::ErrorKind::PermissionDenied;
                let cure = if permission_denied { RUN_AS_ROOT } else { "" };
                file.report_file(format!("cannot be read: {error}{cure}"), permission_denied);
                file
            }
        }
    }

    /// Returns an empty file, for which every default applies.
    pub(super) fn absent() -> Self {
        Self {
            path: PathBuf::new(),
            text: String::new(),
            faults: RefCell::default(),
        }
    }

    fn report_file(&self, expected: String, permission_denied: bool) {
        let fault = Fault {
            file: self.path.clone(),
            line: None,
            key: String::new(),
            found: None,
            expected,
            permission_denied,
        };
        self.faults.borrow_mut().push(fault);
    }

    fn report_encoding(&self, error: &NotUtf8) {
        self.report_file(error.to_string(), false);
        if let (Some(fault), NotUtf8::Byte { line, .. }) =
            (self.faults.borrow_mut().last_mut(), error)
        {
            fault.line = Some(*line);
        }
    }

    /// Returns the tables of the file. If the text is not TOML, each error is a fault and there are
    /// no tables: the text after a forgotten quote would be misread.
    pub(super) fn parse(&self) -> Spanned<DeTable<'_>> {
        let (tables, errors) = DeTable::parse_recoverable(&self.text);
        let tables = if errors.is_empty() {
            tables
        } else {
            Spanned::new(0..0, DeTable::new())
        };
        for error in errors {
            self.report_syntax(&error);
        }
        tables
    }

    /// Reports an error of the parser. Of several in one line, and of keys of a table that is
    /// defined a second time, the first says what to do.
    fn report_syntax(&self, error: &toml::de::Error) {
        let line = error.span().map(|span| self.line(span.start));
        let message = error.message().lines().next().unwrap_or("cannot be parsed");
        let is_duplicate = message == "duplicate key";
        let earlier = line.filter(|_| is_duplicate);
        let earlier = earlier.and_then(|line| self.first_definition(line));
        let is_said = {
            let faults = self.faults.borrow();
            let same_line = faults.last().is_some_and(|last| last.line == line);
            same_line || (is_duplicate && earlier.is_none() && !faults.is_empty())
        };
        if is_said {
            return;
        }
        let remedy = || line.and_then(|line| syntax::remedy(&self.text, line));
        let expected = match earlier {
            Some(earlier) => earlier,
            None if is_duplicate => format!("not TOML: {message}"),
            None => format!(
                "not TOML: {}",
                remedy().unwrap_or_else(|| message.to_owned())
            ),
        };
        self.faults.borrow_mut().push(Fault {
            file: self.path.clone(),
            line,
            key: String::new(),
            found: None,
            expected,
            permission_denied: false,
        });
    }

    /// Returns a message for a table or key that is defined a second time in `line`: where the
    /// first definition is.
    fn first_definition(&self, line: usize) -> Option<String> {
        let earlier: Vec<&str> = self.text.lines().take(line).map(str::trim).collect();
        let (second, earlier) = earlier.split_last()?;
        if let Some(header) = header(second) {
            let first = earlier
                .iter()
                .position(|line| self::header(line) == Some(header))?
                + 1;
            return Some(format!(
                "`{header}` is already in line {first}: move the lines below this heading to that \
                 table"
            ));
        }
        let key = key(second)?;
        // A key belongs to the table whose heading is the last one above it.
        let table = earlier
            .iter()
            .rposition(|line| header(line).is_some())
            .map_or(0, |n| n + 1);
        let first = earlier[table..]
            .iter()
            .position(|line| self::key(line) == Some(key))?;
        Some(format!(
            "`{key}` is already set in line {}: keep one of the two lines",
            table + first + 1
        ))
    }

    /// Takes the faults found so far.
    pub(super) fn take_faults(&self) -> Vec<Fault> {
        self.faults.take()
    }

    /// Returns true while no fault was found.
    pub(super) fn has_no_faults(&self) -> bool {
        self.faults.borrow().is_empty()
    }

    pub(super) fn line(&self, at: usize) -> usize {
        1 + self
            .text
            .char_indices()
            .take_while(|(here, _)| *here < at)
            .filter(|(_, c)| *c == '\n')
            .count()
    }

    /// Returns the text of a value as it was typed, shortened to one line.
    pub(super) fn typed(&self, span: Range<usize>) -> String {
        let text = self.text.get(span).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let is_whole = line.len() == text.len();
        // Before it is shortened: the end shows where a password ends.
        let line = without_credentials(line).text;
        let short: String = line.chars().take(60).collect();
        if short.len() < line.len() || !is_whole {
            format!("`{short}..`")
        } else {
            format!("`{short}`")
        }
    }
}

/// Returns the heading of a table, such as `[mqtt]`, if the line is one.
fn header(line: &str) -> Option<&str> {
    if !line.starts_with('[') || line.starts_with("[[") {
        return None;
    }
    Some(&line[..=line.find(']')?])
}

/// Returns the key of a line `key = value`.
fn key(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    Some(key.trim()).filter(|key| !key.starts_with('#'))
}

/// Cure for a file that the user may not read.
pub(super) const RUN_AS_ROOT: &str = ": run this as root (sudo), or as the user that sayso runs as";

/// Reads a file that not every user may write. Mode and content are those of one open file, so it
/// cannot be exchanged between the check and the reading.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    check_type(&metadata)?;
    if metadata.permissions().mode() & 0o002 != 0 {
        return Err(io::Error::other(
            "every user may write it: correct that with `chmod o-w`",
        ));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
