//! What is wrong with the files, all of it at once: one go to mend them.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file it is in.
    pub file: PathBuf,
    /// The line, counted from 1, where it can be told.
    pub line: Option<usize>,
    /// The way to the key: `device.kitchen_light.area`; empty where it is the file as a whole.
    pub key: String,
    /// What stands there, as it was typed; absent where nothing does, and for what may be secret.
    pub found: Option<String>,
    /// What was wanted, or what to do about it.
    pub wanted: String,
    /// True where the file exists and may not be read: another exit code, and another person to ask.
    pub forbidden: bool,
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
            Some(found) => write!(f, "found {found}, wanted {}", self.wanted),
            None => f.write_str(&self.wanted),
        }
    }
}

/// Everything that is wrong, in the order of the files. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// The faults, sorted by line within each file; `None` where there are none.
    pub(super) fn of(mut faults: Vec<Fault>) -> Option<Self> {
        let order: Vec<PathBuf> = faults.iter().map(|f| f.file.clone()).collect();
        faults.sort_by_key(|fault| {
            (
                order.iter().position(|file| *file == fault.file),
                fault.line,
            )
        });
        faults.dedup();
        (!faults.is_empty()).then_some(Self(faults))
    }

    /// Each of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.0.iter()
    }

    /// True where the only trouble is that a file may not be read.
    pub fn only_forbidden(&self) -> bool {
        self.0.iter().all(|fault| fault.forbidden)
    }
}

impl fmt::Display for Faults {
    /// One fault a line.
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

/// The known word somebody most likely meant by `typed`, if one is near: a third of its letters may be wrong.
pub(super) fn nearest<'w>(
    typed: &str,
    known: impl IntoIterator<Item = &'w str>,
) -> Option<&'w str> {
    let near = known
        .into_iter()
        .map(|word| (distance(typed, word), word))
        .min_by_key(|(distance, _)| *distance)?;
    let (distance, word) = near;
    (distance <= word.chars().count().max(3) / 3).then_some(word)
}

/// `, did you mean ..?` where something is near.
pub(super) fn hint<'w>(typed: &str, known: impl IntoIterator<Item = &'w str>) -> String {
    nearest(typed, known).map_or_else(String::new, |word| format!(", did you mean `{word}`?"))
}

/// Letters to insert, leave out, change or swap with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
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
    fn a_slip_finds_the_word_and_nonsense_finds_none() {
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
            wanted: "a whole number from 1 to 65535".into(),
            forbidden: false,
        };
        assert_eq!(
            fault.to_string(),
            "sayso.toml:3: mqtt.port: found 99999, wanted a whole number from 1 to 65535"
        );
    }
}
