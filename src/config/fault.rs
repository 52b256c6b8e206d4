//! Faults in the config files. All of them are reported at once.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use crate::secret::address::without_credentials;

/// One fault in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// File with the fault.
    pub file: PathBuf,
    /// Line, counted from 1, if known.
    pub line: Option<usize>,
    /// Path of the key, such as `device.kitchen_light.area`; empty for the file as a whole.
    pub key: String,
    /// Value as it was typed; `None` if there is none, or if it may be a secret.
    pub found: Option<String>,
    /// Expected value, or how to correct the fault.
    pub expected: String,
    /// True if the file exists but may not be read, which has an exit code of its own.
    pub permission_denied: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        match &self.found {
            Some(found) => write!(f, "found {found}, expected {}", self.expected),
            None => f.write_str(&self.expected),
        }
    }
}

/// All faults, in the order of the files. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Sorts the faults by line within each file; returns `None` if there are none.
    pub(super) fn of(mut faults: Vec<Fault>) -> Option<Self> {
        let order: Vec<PathBuf> = faults.iter().map(|f| f.file.clone()).collect();
        faults.sort_by_key(|fault| {
            (
                order.iter().position(|file| *file == fault.file),
                fault.line,
            )
        });
        faults.dedup();
        for fault in &mut faults {
            // An address in any key may have a login.
            fault.expected = without_credentials(&fault.expected).text;
            fault.found = fault
                .found
                .take()
                .map(|found| without_credentials(&found).text);
        }
        (!faults.is_empty()).then_some(Self(faults))
    }

    /// Returns an iterator over the faults.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.0.iter()
    }

    /// Returns true if every fault is a file that may not be read.
    pub fn only_permission_denied(&self) -> bool {
        self.0.iter().all(|fault| fault.permission_denied)
    }
}

impl fmt::Display for Faults {
    /// Writes one fault per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.0.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl Error for Faults {}

/// Returns the known word that `typed` most likely stands for. Up to a third of its letters may be
/// wrong.
pub(super) fn nearest<'w>(
    typed: &str,
    known: impl IntoIterator<Item = &'w str>,
) -> Option<&'w str> {
    let (distance, word) = known
        .into_iter()
        .map(|word| (distance(typed, word), word))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= word.chars().count().max(3) / 3).then_some(word)
}

/// Returns `, did you mean ..?` if a known word is similar, otherwise an empty text.
pub(super) fn hint<'w>(typed: &str, known: impl IntoIterator<Item = &'w str>) -> String {
    nearest(typed, known).map_or_else(String::new, |word| format!(", did you mean `{word}`?"))
}

/// Returns the number of letters to insert, remove, change or swap with their neighbour (optimal
/// string alignment).
pub(super) fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, &y) in b.iter().enumerate() {
            row[j + 1] = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_is_found_and_an_unrelated_one_is_not() {
        let known = ["host", "port", "prefix", "keep_alive"];
        assert_eq!(nearest("prot", known), Some("port"));
        assert_eq!(nearest("keepalive", known), Some("keep_alive"));
        assert_eq!(nearest("hosts", known), Some("host"));
        assert_eq!(nearest("zzz", known), None);
    }

    #[test]
    fn a_fault_reads_as_a_sentence() {
        let fault = Fault {
            file: "sayso.toml".into(),
            line: Some(3),
            key: "mqtt.port".into(),
            found: Some("99999".into()),
            expected: "a whole number from 1 to 65535".into(),
            permission_denied: false,
        };
        assert_eq!(
            fault.to_string(),
            "sayso.toml:3: mqtt.port: found 99999, expected a whole number from 1 to 65535"
        );
    }
}
