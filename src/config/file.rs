//! A TOML file that is read key by key. A value that does not fit is reported with its line, and
//! reading continues. Keys that were never read are reported as unknown. (A derived `Deserialize`
//! with `deny_unknown_fields` would stop at the first fault of each file.)

use std::cell::RefCell;
use std::fs;
use std::io;
use std::io::Read;
use std::ops::{Range, RangeInclusive};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::fault::{Fault, hint};
use crate::config::{syntax, units};
use crate::secret::address::without_credentials;
use crate::secret::check_type;
use crate::secret::plain_text::{NotUtf8, decode};

/// Text of a file and the faults found in it so far.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    text: String,
    faults: RefCell<Vec<Fault>>,
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

    fn line(&self, at: usize) -> usize {
        1 + self
            .text
            .char_indices()
            .take_while(|(here, _)| *here < at)
            .filter(|(_, c)| *c == '\n')
            .count()
    }

    /// Returns the text of a value as it was typed, shortened to one line.
    fn typed(&self, span: Range<usize>) -> String {
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
const RUN_AS_ROOT: &str = ": run this as root (sudo), or as the user that sayso runs as";

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

/// One table of a file. When it is dropped, keys that were not read are reported as unknown.
#[derive(Debug)]
pub(super) struct Table<'f> {
    file: &'f File,
    entries: Option<&'f DeTable<'f>>,
    /// Path of the table, such as `mqtt.tls`; empty for the file itself.
    path: String,
    at: usize,
    known: RefCell<Vec<&'f str>>,
}

impl<'f> Table<'f> {
    /// Returns the top-level table of a file.
    pub(super) fn root(file: &'f File, tables: &'f Spanned<DeTable<'f>>) -> Self {
        Self {
            file,
            entries: Some(tables.get_ref()),
            path: String::new(),
            at: 0,
            known: RefCell::default(),
        }
    }

    fn below(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn get(&self, key: &'f str) -> Option<&'f Spanned<DeValue<'f>>> {
        #[cfg(test)]
        read_keys::record(self.below(key));
        self.known.borrow_mut().push(key);
        self.peek(key)
    }

    fn peek(&self, key: &str) -> Option<&'f Spanned<DeValue<'f>>> {
        self.entries?
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| value)
    }

    /// Returns true if the table exists, even if it is empty.
    pub(super) fn exists(&self) -> bool {
        self.entries.is_some()
    }

    /// Returns true if the key exists.
    pub(super) fn has(&self, key: &str) -> bool {
        #[cfg(test)]
        read_keys::record(self.below(key));
        self.peek(key).is_some()
    }

    /// Returns true if the key exists and its value is a table.
    pub(super) fn has_table(&self, key: &str) -> bool {
        self.peek(key)
            .is_some_and(|value| value.get_ref().is_table())
    }

    /// Marks every key as known, so that none is reported as unknown.
    pub(super) fn mark_all_known(&self) {
        self.known.borrow_mut().extend(
            self.entries
                .into_iter()
                .flatten()
                .map(|(name, _)| name.get_ref().as_ref()),
        );
    }

    /// Marks `key` as known, with any value.
    pub(super) fn mark_known(&self, key: &'f str) {
        self.known.borrow_mut().push(key);
    }

    fn push(&self, path: String, at: usize, found: Option<Range<usize>>, expected: String) {
        let found = found.map(|span| self.file.typed(span));
        let fault = Fault {
            file: self.file.path.clone(),
            line: Some(self.file.line(at)),
            key: path,
            found,
            expected,
            permission_denied: false,
        };
        self.file.faults.borrow_mut().push(fault);
    }

    /// Reports that the value of `key` is not as expected.
    pub(super) fn reject(&self, key: &str, expected: impl Into<String>) {
        match self.peek(key) {
            Some(value) => self.push(
                self.below(key),
                value.span().start,
                Some(value.span()),
                expected.into(),
            ),
            None => self.report(key, expected),
        }
    }

    /// Reports a fault of `key` without repeating its value.
    pub(super) fn report(&self, key: &str, what: impl Into<String>) {
        let at = self.peek(key).map_or(self.at, |value| value.span().start);
        self.push(self.below(key), at, None, what.into());
    }

    /// Reports that the file named by `key` cannot be read.
    pub(super) fn report_unreadable(&self, key: &str, error: &io::Error) {
        let permission_denied = error.kind() == io::ErrorKind::PermissionDenied;
        let cure = if permission_denied { RUN_AS_ROOT } else { "" };
        self.report(key, format!("the file cannot be read: {error}{cure}"));
        if let Some(fault) = self.file.faults.borrow_mut().last_mut() {
            fault.permission_denied = permission_denied;
        }
    }

    /// Reports a fault of another file, to which this table refers.
    pub(super) fn report_other_file(
        &self,
        file: PathBuf,
        line: Option<usize>,
        expected: String,
        permission_denied: bool,
    ) {
        let fault = Fault {
            file,
            line,
            key: String::new(),
            found: None,
            expected,
            permission_denied,
        };
        self.file.faults.borrow_mut().push(fault);
    }

    /// Reports a fault of the table as a whole.
    pub(super) fn report_table(&self, what: impl Into<String>) {
        self.push(self.path.clone(), self.at, None, what.into());
    }

    fn read<T>(
        &self,
        key: &'f str,
        expected: impl FnOnce() -> String,
        parse: impl FnOnce(&DeValue<'f>) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let read = parse(value.get_ref());
        if read.is_none() {
            self.reject(key, expected());
        }
        read
    }

    /// Returns the table under `key`, or an empty one if there is none.
    pub(super) fn table(&self, key: &'f str) -> Table<'f> {
        // A table of `[[provider]]` has no heading that could be written.
        let expected = if self.path.contains('[') {
            format!("a table, such as {key} = {{ .. }}")
        } else {
            format!("a table, such as [{}]", self.below(key))
        };
        self.table_as(key, expected)
    }

    fn table_as(&self, key: &'f str, expected: String) -> Table<'f> {
        let value = self.get(key);
        let entries = value.and_then(|v| v.get_ref().as_table());
        if value.is_some() && entries.is_none() {
            self.reject(key, expected);
        }
        let at = value.map_or(self.at, |v| v.span().start);
        Table {
            file: self.file,
            entries,
            path: self.below(key),
            at,
            known: RefCell::default(),
        }
    }

    /// Returns the tables below `key` with their names, in the order of the file.
    pub(super) fn tables(&self, key: &'f str) -> Vec<(&'f str, Table<'f>)> {
        let expected = format!("tables, each under [{}.<name>]", self.below(key));
        let all = self.table_as(key, expected);
        let mut named: Vec<_> = all.entries.into_iter().flatten().collect();
        named.sort_by_key(|(name, _)| name.span().start);
        let named = named.into_iter().map(|(name, _)| name.get_ref().as_ref());
        named.map(|name| (name, all.table(name))).collect()
    }

    /// Returns the tables of `[[key]]`, in the order of the file.
    pub(super) fn list(&self, key: &'f str) -> Vec<Table<'f>> {
        let expected = || format!("tables, each under [[{key}]]");
        let Some(items) = self
            .read(key, expected, |v| v.as_array().map(|_| ()))
            .and_then(|()| self.peek(key)?.get_ref().as_array())
        else {
            return Vec::new();
        };
        let tables = items.iter().enumerate().filter_map(|(n, item)| {
            let (path, at) = (format!("{}[{}]", self.below(key), n + 1), item.span().start);
            let entries = item.get_ref().as_table();
            if entries.is_none() {
                self.push(path.clone(), at, Some(item.span()), expected());
            }
            entries.map(|entries| Table {
                file: self.file,
                entries: Some(entries),
                path,
                at,
                known: RefCell::default(),
            })
        });
        tables.collect()
    }

    /// Reads a text. `accept` returns the value, or a description of the values it accepts.
    pub(super) fn text_as<T, E: Into<String>>(
        &self,
        key: &'f str,
        accept: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.read(
            key,
            || "a text in quotes".to_owned(),
            |v| v.as_str().map(str::to_owned),
        )?;
        accept(&text)
            .map_err(|expected| self.reject(key, expected))
            .ok()
    }

    /// Reads a text that is not blank.
    pub(super) fn text(&self, key: &'f str) -> Option<String> {
        self.text_as(key, |text| {
            if text.trim().is_empty() {
                Err("a text that is not empty")
            } else {
                Ok(text.trim().to_owned())
            }
        })
    }

    /// Reads a name: 1 to 64 letters on one line.
    pub(super) fn name(&self, key: &'f str) -> Option<String> {
        self.text_as(key, name)
    }

    /// Reads a list of texts, each of which `accept` converts.
    pub(super) fn texts_as<T, E: Into<String>>(
        &self,
        key: &'f str,
        accept: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let expected = || "a list of texts, such as [\"a\", \"b\"]".to_owned();
        self.read(key, expected, |v| v.as_array().map(|_| ()))?;
        let items = self.peek(key)?.get_ref().as_array()?;
        let read = items.iter().enumerate().filter_map(|(n, item)| {
            let taken = item
                .get_ref()
                .as_str()
                .ok_or_else(|| "a text in quotes".to_owned())
                .and_then(|text| accept(text).map_err(Into::into));
            taken
                .map_err(|expected| {
                    self.push(
                        format!("{}[{}]", self.below(key), n + 1),
                        item.span().start,
                        Some(item.span()),
                        expected,
                    );
                })
                .ok()
        });
        Some(read.collect())
    }

    /// Reads a list of names.
    pub(super) fn names(&self, key: &'f str) -> Vec<String> {
        self.texts_as(key, name).unwrap_or_default()
    }

    /// Reads one of the given words.
    pub(super) fn one_of<T: Copy>(&self, key: &'f str, words: &[(&str, T)]) -> Option<T> {
        let typed = self
            .peek(key)
            .and_then(|value| value.get_ref().as_str())
            .unwrap_or_default();
        let expected = || {
            let all: Vec<String> = words
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect();
            let choice = if words.len() > 1 { "one of " } else { "" };
            format!(
                "{choice}{}{}",
                all.join(", "),
                hint(typed, words.iter().map(|(word, _)| *word))
            )
        };
        self.read(key, expected, |v| {
            words
                .iter()
                .find(|(word, _)| Some(*word) == v.as_str())
                .map(|(_, meaning)| *meaning)
        })
    }

    /// Reads `true` or `false`.
    pub(super) fn flag(&self, key: &'f str) -> Option<bool> {
        self.read(key, || "true or false".to_owned(), DeValue::as_bool)
    }

    /// Reads a whole number in `range`.
    pub(super) fn whole(&self, key: &'f str, range: RangeInclusive<u32>) -> Option<u32> {
        let expected = || format!("a whole number from {} to {}", range.start(), range.end());
        self.read(key, expected, |v| {
            integer(v)
                .and_then(|n| u32::try_from(n).ok())
                .filter(|n| range.contains(n))
        })
    }

    /// Reads a finite number for which `accept` is true.
    pub(super) fn number(
        &self,
        key: &'f str,
        expected: &str,
        accept: impl FnOnce(f64) -> bool,
    ) -> Option<f64> {
        self.read(
            key,
            || expected.to_owned(),
            |v| number(v).filter(|n| accept(*n)),
        )
    }

    /// Reads two finite numbers for which `accept` is true.
    pub(super) fn pair(
        &self,
        key: &'f str,
        expected: &str,
        accept: impl FnOnce(f64, f64) -> bool,
    ) -> Option<(f64, f64)> {
        self.read(
            key,
            || expected.to_owned(),
            |v| match &v.as_array()?[..] {
                [a, b] => Some((number(a.get_ref())?, number(b.get_ref())?))
                    .filter(|(a, b)| accept(*a, *b)),
                _ => None,
            },
        )
    }

    /// Reads a duration in `range`, both ends included.
    pub(super) fn duration(
        &self,
        key: &'f str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let show = units::show_duration;
        let expected = || {
            format!(
                "a duration from \"{}\" to \"{}\"",
                show(*range.start()),
                show(*range.end())
            )
        };
        self.read(key, expected, |v| {
            v.as_str()
                .and_then(units::duration)
                .filter(|d| range.contains(d))
        })
    }

    /// Reads a number of bytes in `range`, both ends included.
    pub(super) fn size(&self, key: &'f str, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = || {
            format!(
                "a size from \"{}\" to \"{}\"",
                units::show_size(*range.start()),
                units::show_size(*range.end())
            )
        };
        self.read(key, expected, |v| {
            v.as_str()
                .and_then(units::size)
                .filter(|n| range.contains(n))
        })
    }

    /// Returns every key of the table with its value as JSON, in the order of the file, for tables
    /// whose keys are free.
    pub(super) fn pairs(&self) -> Vec<(&'f str, serde_json::Value)> {
        let mut entries: Vec<_> = self.entries.into_iter().flatten().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let pairs = entries.into_iter().filter_map(|(name, value)| {
            let key = name.get_ref().as_ref();
            self.known.borrow_mut().push(key);
            let read = json(value.get_ref());
            if read.is_none() {
                self.reject(key, "a text, a number, true, false, or a list of these");
            }
            Some((key, read?))
        });
        pairs.collect()
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        let known = self.known.borrow();
        for (name, _) in self.entries.into_iter().flatten() {
            let key = name.get_ref().as_ref();
            if !known.contains(&key) {
                self.push(
                    self.below(key),
                    name.span().start,
                    None,
                    format!("unknown key{}", hint(key, known.iter().copied())),
                );
            }
        }
    }
}

fn name(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let is_valid =
        !text.is_empty() && text.chars().count() <= 64 && !text.chars().any(char::is_control);
    if is_valid {
        Ok(text.to_owned())
    } else {
        Err("a name of 1 to 64 letters on one line")
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    value
        .as_integer()
        .and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok())
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    let float = || {
        value
            .as_float()
            .and_then(|n| n.as_str().parse::<f64>().ok())
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "device ranges are far below 2^53"
    )]
    integer(value)
        .map(|n| n as f64)
        .or_else(float)
        .filter(|n| n.is_finite())
}

fn json(value: &DeValue<'_>) -> Option<serde_json::Value> {
    match value {
        DeValue::String(text) => Some(text.as_ref().into()),
        DeValue::Boolean(flag) => Some((*flag).into()),
        DeValue::Integer(_) => integer(value).map(Into::into),
        DeValue::Float(_) => number(value).map(Into::into),
        DeValue::Array(items) => items
            .iter()
            .map(|item| json(item.get_ref()))
            .collect::<Option<Vec<_>>>()
            .map(Into::into),
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

#[cfg(test)]
pub(super) mod read_keys {
    //! The keys that were read or looked for on this thread, so that tests know all there are.

    use std::cell::RefCell;
    use std::collections::BTreeSet;

    thread_local! {
        static PATHS: RefCell<BTreeSet<String>> = RefCell::default();
    }

    pub(super) fn record(path: String) {
        PATHS.with_borrow_mut(|paths| paths.insert(path));
    }

    /// Takes the paths recorded so far, such as `provider[1].timeouts.total`.
    pub(in crate::config) fn take() -> BTreeSet<String> {
        PATHS.take()
    }
}
