//! What was found, how bad it is, and what to do.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value as Json, json};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Grade {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could, or not for long.
    Warning,
    /// It does not work.
    Fault,
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at, in one word for programs.
    check: &'static str,
    grade: Grade,
    found: String,
    /// What to do about it; nothing where all is well.
    #[serde(rename = "do")]
    todo: Option<String>,
}

impl Finding {
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

/// All that was found, in the order in which it was looked at.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) fn add(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub(super) fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(Finding {
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
        self.add(Finding {
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
        self.add(Finding::fault(check, found, todo));
    }

    pub(super) fn has_fault(&self) -> bool {
        self.count(Grade::Fault) > 0
    }

    /// How many things are not as they should be, so far.
    pub(super) fn ailments(&self) -> usize {
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
        for Finding {
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
        writeln!(out, "{ok} ok, {warnings} to look at, {faults} to mend")
    }
}
