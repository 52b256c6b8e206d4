//! A TOML file as somebody typed it. Each key is asked for by name, with what is wanted there; what is found wrong is
//! noted with its line, and reading goes on. What nobody asked for is unknown. (A derived shape with
//! `deny_unknown_fields` would stop at the first fault of each file.)

use std::cell::RefCell;
use std::fs;
use std::io;
use std::ops::{Range, RangeInclusive};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::fault::{Fault, hint};
use crate::config::units;

/// The text of a file, and what was found wrong with it so far.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    text: String,
    faults: RefCell<Vec<Fault>>,
}

impl File {
    /// Reads a file; one that cannot be read, or that anybody may write, is a fault, and empty. `named` says who wants it, and what to
    /// do where it is not there.
    pub(super) fn open(path: &Path, named: &str) -> Self {
        let file = Self {
            path: path.to_owned(),
            text: String::new(),
            faults: RefCell::default(),
        };
        match read(path) {
            Ok(text) => Self { text, ..file },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                file.note_all(format!("there is no such file: {named}"), false);
                file
            }
            Err(error) => {
                file.note_all(
                    format!("cannot be read: {error}"),
                    error.kind() == io::ErrorKind::PermissionDenied,
                );
                file
            }
        }
    }

    /// A file that is not there: every default holds.
    pub(super) fn absent() -> Self {
        Self {
            path: PathBuf::new(),
            text: String::new(),
            faults: RefCell::default(),
        }
    }

    fn note_all(&self, wanted: String, forbidden: bool) {
        let fault = Fault {
            file: self.path.clone(),
            line: None,
            key: String::new(),
            found: None,
            wanted,
            forbidden,
        };
        self.faults.borrow_mut().push(fault);
    }

    /// The tables in it. Where the text is not TOML, each place is a fault, and there are none: what stands
    /// after a forgotten quote would only be misread.
    pub(super) fn parse(&self) -> Spanned<DeTable<'_>> {
        let (tables, errors) = DeTable::parse_recoverable(&self.text);
        let tables = if errors.is_empty() {
            tables
        } else {
            Spanned::new(0..0, DeTable::new())
        };
        for error in errors {
            let line = error.span().map(|span| self.line(span.start));
            let wanted = format!(
                "not TOML: {}",
                error.message().lines().next().unwrap_or("cannot be parsed")
            );
            let fault = Fault {
                file: self.path.clone(),
                line,
                key: String::new(),
                found: None,
                wanted,
                forbidden: false,
            };
            self.faults.borrow_mut().push(fault);
        }
        tables
    }

    /// Takes what was found wrong.
    pub(super) fn take_faults(&self) -> Vec<Fault> {
        self.faults.take()
    }

    /// True while nothing was found wrong.
    pub(super) fn is_sound(&self) -> bool {
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

    /// The text of a value as it was typed, cut to one short line.
    fn typed(&self, span: Range<usize>) -> String {
        let text = self.text.get(span).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let short: String = line.chars().take(60).collect();
        if short.len() < text.len() {
            format!("`{short}..`")
        } else {
            format!("`{short}`")
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let text = fs::read_to_string(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o002 != 0 {
        return Err(io::Error::other(
            "anybody may write it; take that away with `chmod o-w`",
        ));
    }
    Ok(text)
}

/// One table of a file. Dropped, it reports the keys nobody asked for.
#[derive(Debug)]
pub(super) struct Table<'f> {
    file: &'f File,
    entries: Option<&'f DeTable<'f>>,
    /// The way to it: `mqtt.tls`; empty for the file itself.
    path: String,
    at: usize,
    asked: RefCell<Vec<&'f str>>,
}

impl<'f> Table<'f> {
    /// The file itself.
    pub(super) fn root(file: &'f File, tables: &'f Spanned<DeTable<'f>>) -> Self {
        Self {
            file,
            entries: Some(tables.get_ref()),
            path: String::new(),
            at: 0,
            asked: RefCell::default(),
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
        self.asked.borrow_mut().push(key);
        self.peek(key)
    }

    fn peek(&self, key: &str) -> Option<&'f Spanned<DeValue<'f>>> {
        self.entries?
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| value)
    }

    /// True where the table was written, if only as a heading.
    pub(super) fn exists(&self) -> bool {
        self.entries.is_some()
    }

    /// True where the key was written.
    pub(super) fn has(&self, key: &str) -> bool {
        self.peek(key).is_some()
    }

    /// Takes every key as known: the table as a whole is wrong already.
    pub(super) fn allow_all(&self) {
        self.asked.borrow_mut().extend(
            self.entries
                .into_iter()
                .flatten()
                .map(|(name, _)| name.get_ref().as_ref()),
        );
    }

    /// Takes `key` as known, whatever stands there.
    pub(super) fn allow(&self, key: &'f str) {
        self.asked.borrow_mut().push(key);
    }

    fn note(&self, path: String, at: usize, found: Option<Range<usize>>, wanted: String) {
        let found = found.map(|span| self.file.typed(span));
        let fault = Fault {
            file: self.file.path.clone(),
            line: Some(self.file.line(at)),
            key: path,
            found,
            wanted,
            forbidden: false,
        };
        self.file.faults.borrow_mut().push(fault);
    }

    /// Notes that what stands under `key` is not what was wanted.
    pub(super) fn wrong(&self, key: &str, wanted: impl Into<String>) {
        match self.peek(key) {
            Some(value) => self.note(
                self.below(key),
                value.span().start,
                Some(value.span()),
                wanted.into(),
            ),
            None => self.say(key, wanted),
        }
    }

    /// Notes something to do about `key`, without repeating what stands there.
    pub(super) fn say(&self, key: &str, what: impl Into<String>) {
        let at = self.peek(key).map_or(self.at, |value| value.span().start);
        self.note(self.below(key), at, None, what.into());
    }

    /// Notes that the file `key` names cannot be read.
    pub(super) fn unreadable(&self, key: &str, error: &io::Error) {
        self.say(key, format!("the file cannot be read: {error}"));
        if let Some(fault) = self.file.faults.borrow_mut().last_mut() {
            fault.forbidden = error.kind() == io::ErrorKind::PermissionDenied;
        }
    }

    /// Notes something to do about another file, which this table leads to.
    pub(super) fn elsewhere(
        &self,
        file: PathBuf,
        line: Option<usize>,
        wanted: String,
        forbidden: bool,
    ) {
        let fault = Fault {
            file,
            line,
            key: String::new(),
            found: None,
            wanted,
            forbidden,
        };
        self.file.faults.borrow_mut().push(fault);
    }

    /// Notes something to do about the table as a whole.
    pub(super) fn say_here(&self, what: impl Into<String>) {
        self.note(self.path.clone(), self.at, None, what.into());
    }

    fn read<T>(
        &self,
        key: &'f str,
        wanted: impl FnOnce() -> String,
        parse: impl FnOnce(&DeValue<'f>) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let read = parse(value.get_ref());
        if read.is_none() {
            self.wrong(key, wanted());
        }
        read
    }

    /// The table under `key`; one with nothing in it where there is none.
    pub(super) fn table(&self, key: &'f str) -> Table<'f> {
        let value = self.get(key);
        let entries = value.and_then(|v| v.get_ref().as_table());
        if value.is_some() && entries.is_none() {
            self.wrong(key, format!("a table, such as [{}]", self.below(key)));
        }
        let at = value.map_or(self.at, |v| v.span().start);
        Table {
            file: self.file,
            entries,
            path: self.below(key),
            at,
            asked: RefCell::default(),
        }
    }

    /// The tables below `key` by their names, in the order they were written.
    pub(super) fn tables(&self, key: &'f str) -> Vec<(&'f str, Table<'f>)> {
        let all = self.table(key);
        let mut named: Vec<_> = all.entries.into_iter().flatten().collect();
        named.sort_by_key(|(name, _)| name.span().start);
        let named = named.into_iter().map(|(name, _)| name.get_ref().as_ref());
        named.map(|name| (name, all.table(name))).collect()
    }

    /// The tables of `[[key]]`, in order.
    pub(super) fn list(&self, key: &'f str) -> Vec<Table<'f>> {
        let wanted = || format!("tables, each under [[{key}]]");
        let Some(items) = self
            .read(key, wanted, |v| v.as_array().map(|_| ()))
            .and_then(|()| self.peek(key)?.get_ref().as_array())
        else {
            return Vec::new();
        };
        let tables = items.iter().enumerate().filter_map(|(n, item)| {
            let (path, at) = (format!("{}[{}]", self.below(key), n + 1), item.span().start);
            let entries = item.get_ref().as_table();
            if entries.is_none() {
                self.note(path.clone(), at, Some(item.span()), wanted());
            }
            entries.map(|entries| Table {
                file: self.file,
                entries: Some(entries),
                path,
                at,
                asked: RefCell::default(),
            })
        });
        tables.collect()
    }

    /// A text that `accept` takes, which says what it wants where it does not.
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
        accept(&text).map_err(|wanted| self.wrong(key, wanted)).ok()
    }

    /// A text that is not blank.
    pub(super) fn text(&self, key: &'f str) -> Option<String> {
        self.text_as(key, |text| {
            if text.trim().is_empty() {
                Err("a text that is not empty")
            } else {
                Ok(text.trim().to_owned())
            }
        })
    }

    /// What people call something: 1 to 64 letters, one line.
    pub(super) fn name(&self, key: &'f str) -> Option<String> {
        self.text_as(key, name)
    }

    /// The texts of a list, each taken by `accept`.
    pub(super) fn texts_as<T, E: Into<String>>(
        &self,
        key: &'f str,
        accept: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let wanted = || "a list of texts, such as [\"a\", \"b\"]".to_owned();
        self.read(key, wanted, |v| v.as_array().map(|_| ()))?;
        let items = self.peek(key)?.get_ref().as_array()?;
        let read = items.iter().enumerate().filter_map(|(n, item)| {
            let taken = item
                .get_ref()
                .as_str()
                .ok_or_else(|| "a text in quotes".to_owned())
                .and_then(|text| accept(text).map_err(Into::into));
            taken
                .map_err(|wanted| {
                    self.note(
                        format!("{}[{}]", self.below(key), n + 1),
                        item.span().start,
                        Some(item.span()),
                        wanted,
                    );
                })
                .ok()
        });
        Some(read.collect())
    }

    /// Other names.
    pub(super) fn names(&self, key: &'f str) -> Vec<String> {
        self.texts_as(key, name).unwrap_or_default()
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(&self, key: &'f str, words: &[(&str, T)]) -> Option<T> {
        let typed = self
            .peek(key)
            .and_then(|value| value.get_ref().as_str())
            .unwrap_or_default();
        let wanted = || {
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
        self.read(key, wanted, |v| {
            words
                .iter()
                .find(|(word, _)| Some(*word) == v.as_str())
                .map(|(_, meaning)| *meaning)
        })
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &'f str) -> Option<bool> {
        self.read(key, || "true or false".to_owned(), DeValue::as_bool)
    }

    /// A whole number in `range`.
    pub(super) fn whole(&self, key: &'f str, range: RangeInclusive<u32>) -> Option<u32> {
        let wanted = || format!("a whole number from {} to {}", range.start(), range.end());
        self.read(key, wanted, |v| {
            integer(v)
                .and_then(|n| u32::try_from(n).ok())
                .filter(|n| range.contains(n))
        })
    }

    /// A finite number that `accept` takes.
    pub(super) fn number(
        &self,
        key: &'f str,
        wanted: &str,
        accept: impl FnOnce(f64) -> bool,
    ) -> Option<f64> {
        self.read(
            key,
            || wanted.to_owned(),
            |v| number(v).filter(|n| accept(*n)),
        )
    }

    /// Two finite numbers that `accept` takes.
    pub(super) fn pair(
        &self,
        key: &'f str,
        wanted: &str,
        accept: impl FnOnce(f64, f64) -> bool,
    ) -> Option<(f64, f64)> {
        self.read(
            key,
            || wanted.to_owned(),
            |v| match &v.as_array()?[..] {
                [a, b] => Some((number(a.get_ref())?, number(b.get_ref())?))
                    .filter(|(a, b)| accept(*a, *b)),
                _ => None,
            },
        )
    }

    /// A duration in `range`, both ends included.
    pub(super) fn duration(
        &self,
        key: &'f str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let show = units::show_duration;
        let wanted = || {
            format!(
                "a duration from \"{}\" to \"{}\"",
                show(*range.start()),
                show(*range.end())
            )
        };
        self.read(key, wanted, |v| {
            v.as_str()
                .and_then(units::duration)
                .filter(|d| range.contains(d))
        })
    }

    /// A number of bytes in `range`, both ends included.
    pub(super) fn size(&self, key: &'f str, range: RangeInclusive<u64>) -> Option<u64> {
        let wanted = || {
            format!(
                "a size from \"{}\" to \"{}\"",
                units::show_size(*range.start()),
                units::show_size(*range.end())
            )
        };
        self.read(key, wanted, |v| {
            v.as_str()
                .and_then(units::size)
                .filter(|n| range.contains(n))
        })
    }

    /// Every key of the table with its value as JSON, in the order written: for tables whose keys are words of a device.
    pub(super) fn pairs(&self) -> Vec<(&'f str, serde_json::Value)> {
        let mut entries: Vec<_> = self.entries.into_iter().flatten().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let pairs = entries.into_iter().filter_map(|(name, value)| {
            let key = name.get_ref().as_ref();
            self.asked.borrow_mut().push(key);
            let read = json(value.get_ref());
            if read.is_none() {
                self.wrong(key, "a text, a number, true, false, or a list of these");
            }
            Some((key, read?))
        });
        pairs.collect()
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        let asked = self.asked.borrow();
        for (name, _) in self.entries.into_iter().flatten() {
            let key = name.get_ref().as_ref();
            if !asked.contains(&key) {
                self.note(
                    self.below(key),
                    name.span().start,
                    None,
                    format!("unknown key{}", hint(key, asked.iter().copied())),
                );
            }
        }
    }
}

fn name(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let fits =
        !text.is_empty() && text.chars().count() <= 64 && !text.chars().any(char::is_control);
    if fits {
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
