//! The shipped files, which document every key.

use std::fs;

use crate::config::tests::{repository, without_names};

/// A shipped file. Its text shows keys behind a `#`, and describes them above.
pub(super) struct ShippedFile {
    pub(super) name: &'static str,
    text: String,
}

/// A line `key = value` of a shipped file, in force or behind a `#`.
pub(super) struct ShownKey {
    /// Path without names.
    pub(super) path: String,
    pub(super) value: String,
    /// Comment above it, also of the keys beside it, as one line.
    pub(super) comment: String,
    /// Whether it is no comment itself.
    pub(super) is_in_force: bool,
    /// Whether it is in an inline table.
    pub(super) is_inside: bool,
}

impl ShownKey {
    /// Returns the keys of an inline table, whose values have no comma.
    fn inside(&self) -> Vec<Self> {
        let Some(entries) = self.value.strip_prefix("{ ") else {
            return Vec::new();
        };
        let entries = entries.trim_end_matches('}').split(", ").filter_map(key);
        let keys = entries.map(|(key, value)| Self {
            path: format!("{}.{key}", self.path),
            value: value.trim().to_owned(),
            comment: self.comment.clone(),
            is_in_force: self.is_in_force,
            is_inside: true,
        });
        keys.collect()
    }
}

/// Type of a value, as far as its first character shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueType {
    Text,
    List,
    Table,
    Boolean,
    Number,
}

impl ValueType {
    pub(super) fn of(value: &str) -> Self {
        match value.as_bytes() {
            [b'"' | b'\'', ..] => Self::Text,
            [b'[', ..] => Self::List,
            [b'{', ..] => Self::Table,
            [b't' | b'f', ..] => Self::Boolean,
            _ => Self::Number,
        }
    }
}

impl ShippedFile {
    pub(super) fn config() -> Self {
        Self::read("sayso.toml")
    }

    pub(super) fn home() -> Self {
        Self::read("home.toml")
    }

    fn read(name: &'static str) -> Self {
        let text = fs::read_to_string(repository("config").join(name)).unwrap();
        Self { name, text }
    }

    /// Returns the text with every key and table in force.
    pub(super) fn with_every_key(&self) -> String {
        let lines = self.text.lines();
        let shown = lines.map(|line| match line.strip_prefix("# ") {
            Some(rest) if key(rest).is_some() || rest.starts_with('[') => rest,
            _ => line,
        });
        shown.collect::<Vec<_>>().join("\n")
    }

    /// Returns the keys in the order of the file.
    pub(super) fn keys(&self) -> Vec<ShownKey> {
        let mut table = String::new();
        let mut comment = String::new();
        let mut is_below_key = false;
        let mut keys = Vec::new();
        for line in self.text.lines() {
            let shown = line.strip_prefix("# ").unwrap_or(line);
            if let Some(heading) = shown.strip_prefix('[') {
                table = without_names(&heading.replace(['[', ']'], ""));
            } else if let Some((key, value)) = key(shown) {
                let path = [&table, ".", key].concat();
                let shown = ShownKey {
                    path: path.trim_start_matches('.').to_owned(),
                    value: value.to_owned(),
                    comment: comment.clone(),
                    is_in_force: line == shown,
                    is_inside: false,
                };
                keys.extend(shown.inside());
                keys.push(shown);
                is_below_key = true;
            } else {
                if is_below_key || line.is_empty() {
                    comment.clear();
                    is_below_key = false;
                }
                comment.extend([shown, " "]);
            }
        }
        assert!(keys.len() >= 40, "{}: only {}", self.name, keys.len());
        keys
    }

    /// Returns whether the file has a heading of this table, or of one below it.
    pub(super) fn has_table(&self, path: &str) -> bool {
        let is_below = |heading: &str| {
            let heading = without_names(&heading.replace(['[', ']'], ""));
            heading == path || heading.starts_with(&format!("{path}."))
        };
        let mut lines = self.text.lines().map(|line| line.trim_start_matches("# "));
        lines.any(|line| line.starts_with('[') && is_below(line))
    }

    /// Returns whether a comment describes the key, in any table.
    pub(super) fn describes(&self, path: &str) -> bool {
        let key = path.rsplit('.').next().unwrap();
        let forms = [format!("`{key}`"), format!(" {key} = ")];
        let mut comments = self.text.lines().filter(|line| line.starts_with('#'));
        comments.any(|line| forms.iter().any(|form| line.contains(form)))
    }
}

/// Returns key and value of a line `key = value`.
fn key(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(" = ")?;
    let is_key = key
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    is_key.then_some((key, value))
}
