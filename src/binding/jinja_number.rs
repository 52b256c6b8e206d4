//! Numbers in templates, and the error of a value that is none.

use minijinja::value::Value;
use minijinja::{Error, ErrorKind};

/// Returns a number, or the number that a text is.
///
/// # Errors
/// If it is neither, or not finite.
pub(super) fn number(value: &Value) -> Result<f64, Error> {
    let found = match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => f64::try_from(value.clone()).ok(),
    };
    found
        .filter(|n: &f64| n.is_finite())
        .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "not a number"))
}

/// Returns the error of an operation that has no result.
pub(super) fn invalid(why: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}
