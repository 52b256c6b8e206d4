//! Values of a table as the types of the settings: texts, numbers, durations, sizes and lists, each
//! checked against its range.
//!
//! It does not know which key has which meaning. A key and a range enter; a value leaves, or a
//! fault is reported and the default stands.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use crate::config::fault::hint;
use crate::config::table::Table;
use crate::config::units;

impl<'f> Table<'f> {
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
