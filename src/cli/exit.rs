//! The end of a subcommand: exit codes, and the error that carries one.

use std::error::Error;
use std::io;

use crate::config::Faults;

/// Exit code of the program. The numbers are those of `sysexits.h`, which systemd shows by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done, or answered.
    Done = 0,
    /// Refused, unclear or failed.
    Failed = 1,
    /// An internal error (`EX_SOFTWARE`).
    Internal = 70,
    /// No answer: try again (`EX_TEMPFAIL`).
    Again = 75,
    /// A file may not be read (`EX_NOPERM`).
    Forbidden = 77,
    /// The config is wrong (`EX_CONFIG`); a restart does not help.
    Config = 78,
}

/// Error that ends a subcommand, with its exit code.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) error: Box<dyn Error>,
}

impl Failure {
    pub(super) fn new(exit: Exit, error: impl Into<Box<dyn Error>>) -> Self {
        Self {
            exit,
            error: error.into(),
        }
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::new(
            if faults.only_permission_denied() {
                Exit::Forbidden
            } else {
                Exit::Config
            },
            faults,
        )
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Failed, error)
    }
}
