//! Findings of the checks, with severity and cure.

use std::error::Error;
use std::fmt;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value as Json, json};

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Grade {
    /// No problem.
    Ok,
    /// It works, but not as well as it could, or not for long.
    Warning,
    /// It does not work.
    Fault,
}

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DoctorFinding {
    /// Name of the check, for programs.
    check: &'static str,
    grade: Grade,
    found: String,
    /// Cure; `None` if there is no problem.
    #[serde(rename = "do")]
    todo: Option<String>,
}

impl DoctorFinding {
    pub(super) fn fault(
        check: &'static str,
        found: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self {
            check,
            grade: Grade::Fault,
            found: found.into(),
            todo: Some(todo.into()),
        }
    }
}

impl fmt::Display for DoctorFinding {
    /// Writes the finding, and its cure on a second line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.found)?;
        match &self.todo {
            Some(todo) => write!(f, "\n       → {todo}"),
            None => Ok(()),
        }
    }
}

impl Error for DoctorFinding {}

/// All findings, in the order of the checks.
#[derive(Debug, Default)]
pub(super) struct DoctorReport(Vec<DoctorFinding>);

impl DoctorReport {
    pub(super) fn add(&mut self, finding: DoctorFinding) {
        self.0.push(finding);
    }

    pub(super) fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(DoctorFinding {
            check,
            grade: Grade::Ok,
            found: found.into(),
            todo: None,
        });
    }

    pub(super) fn warn(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        todo: impl Into<String>,
    ) {
        self.add(DoctorFinding {
            check,
            grade: Grade::Warning,
            found: found.into(),
            todo: Some(todo.into()),
        });
    }

    pub(super) fn fault(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        todo: impl Into<String>,
    ) {
        self.add(DoctorFinding::fault(check, found, todo));
    }

    /// Returns the first finding that is a fault; warnings do not count.
    pub(super) fn into_first_fault(self) -> Option<DoctorFinding> {
        self.0
            .into_iter()
            .find(|finding| finding.grade == Grade::Fault)
    }

    /// Returns all faults as text, with their cures.
    pub(super) fn fault_texts(&self) -> Vec<String> {
        let faults = self
            .0
            .iter()
            .filter(|finding| finding.grade == Grade::Fault);
        faults.map(ToString::to_string).collect()
    }

    pub(super) fn has_fault(&self) -> bool {
        self.count(Grade::Fault) > 0
    }

    /// Returns the number of warnings and faults so far.
    pub(super) fn problems(&self) -> usize {
        self.0.len() - self.count(Grade::Ok)
    }

    fn count(&self, grade: Grade) -> usize {
        self.0
            .iter()
            .filter(|finding| finding.grade == grade)
            .count()
    }

    pub(super) fn json(&self) -> Json {
        let counts = json!({"ok": self.count(Grade::Ok), "warning": self.count(Grade::Warning), "fault": self.count(Grade::Fault)});
        json!({"version": env!("CARGO_PKG_VERSION"), "findings": self.0, "counts": counts})
    }

    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        for DoctorFinding {
            check,
            grade,
            found,
            todo,
        } in &self.0
        {
            let mark = match grade {
                Grade::Ok => "ok     ",
                Grade::Warning => "warning",
                Grade::Fault => "FAULT  ",
            };
            writeln!(out, "{mark}  {check:11} {found}")?;
            if let Some(todo) = todo {
                writeln!(out, "{:21}→ {todo}", "")?;
            }
        }
        let (ok, warnings, faults) = (
            self.count(Grade::Ok),
            self.count(Grade::Warning),
            self.count(Grade::Fault),
        );
        writeln!(
            out,
            "{ok} ok, {warnings} {}, {faults} {}",
            if warnings == 1 { "warning" } else { "warnings" },
            if faults == 1 { "fault" } else { "faults" }
        )
    }
}
