//! A table of a configuration file, and the keys of it that are known.
//!
//! It does not know which keys there are: whoever reads a key marks it as known, and the others are
//! reported when the table is dropped.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::fault::{Fault, hint};
use crate::config::file::{File, RUN_AS_ROOT};

/// One table of a file. When it is dropped, keys that were not read are reported as unknown.
#[derive(Debug)]
pub(super) struct Table<'f> {
    file: &'f File,
    pub(super) entries: Option<&'f DeTable<'f>>,
    /// Path of the table, such as `mqtt.tls`; empty for the file itself.
    path: String,
    at: usize,
    pub(super) known: RefCell<Vec<&'f str>>,
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

    pub(super) fn below(&self, name: &str) -> String {
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

    pub(super) fn peek(&self, key: &str) -> Option<&'f Spanned<DeValue<'f>>> {
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

    pub(super) fn push(
        &self,
        path: String,
        at: usize,
        found: Option<Range<usize>>,
        expected: String,
    ) {
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

    pub(super) fn read<T>(
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
