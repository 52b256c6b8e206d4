//! Values that several sections have in common: counts, secrets and spend limits.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;

use crate::provider::price::{Limits, Money};
use crate::secret::Secret;

use crate::config::folders::Folders;
use crate::config::table::Table;

/// Reads a whole number in `range`, which must not include zero.
pub(super) fn count<'f>(
    table: &Table<'f>,
    key: &'f str,
    range: RangeInclusive<u32>,
) -> Option<NonZeroUsize> {
    let number = table.whole(key, range)?;
    NonZeroUsize::new(number as usize)
}

/// Returns whether a text is a name of 1 to `most` letters, digits, `-`, `_` and `.`.
pub(super) fn is_plain_name(text: &str, most: usize) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=most).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Rejects keys that would hold a secret: the config file is copied, shown and backed up.
pub(super) fn reject_inline_secrets<'f>(table: &Table<'f>, keys: &[&'f str], instead: &str) {
    for key in keys {
        if table.has(key) {
            table.report(
                key,
                format!(
                    "a secret must not be in this file: put it into a file of its own and name \
                    that file with `{instead}`"
                ),
            );
            table.mark_known(key);
        }
    }
}

/// Reads the secret from the file named by `key`, if it is `needed`. The value of the key is never
/// repeated in a message, because it may be the secret itself.
pub(super) fn secret<'f>(
    table: &Table<'f>,
    key: &'f str,
    folders: &Folders<'_>,
    needed: bool,
) -> Option<Secret> {
    let name = table.text(key)?;
    if !needed {
        return None;
    }
    let Some(path) = folders.existing(&name) else {
        match folders.permission_error(&name) {
            Some(error) => table.report_unreadable(key, &error),
            None => table.report(key, absence(&name, folders)),
        }
        return None;
    };
    match Secret::from_file(&path) {
        Ok(secret) => Some(secret),
        Err(error) => {
            table.report_unreadable(key, &error);
            None
        }
    }
}

/// Returns why there is no file of this name, which may be the secret itself: only a path is
/// repeated.
fn absence(name: &str, folders: &Folders<'_>) -> String {
    if let Some(error) = folders.type_error(name) {
        return error.to_string();
    }
    if name.starts_with(['~', '$']) {
        return "`~` and variables have no meaning here: write the whole path".to_owned();
    }
    if name.starts_with('/') {
        return format!("there is no file `{name}`: create it, or correct the path");
    }
    format!("there is no such file in {}", folders.searched())
}

/// Returns what is wrong with a key of an API, which would be sent as it is.
pub(super) fn key_fault(key: &Secret) -> Option<&'static str> {
    let key = key.expose();
    // The sign at the end of some keys has nothing behind it.
    let named = key.split_once('=').filter(|(_, rest)| rest.len() > 2);
    let name = named.map_or("", |(name, _)| name);
    let is_variable = |c: char| c.is_ascii_uppercase() || c == '_';
    if key.starts_with(['"', '\'']) {
        Some("the key in the file is in quotes: remove them")
    } else if name.len() > 2 && name.chars().all(is_variable) {
        Some("the file has a name and `=` before the key: leave only the key")
    } else if key.starts_with("Bearer ") {
        Some("the file has `Bearer` before the key: leave only the key")
    } else if !key.chars().all(|c| c.is_ascii_graphic()) {
        Some(
            "the key in the file has a space, or a letter that keys do not have, such as a long \
             dash: copy it again",
        )
    } else {
        None
    }
}

/// Reads the spend limits of a day and a month, in dollars.
pub(super) fn spend(table: &Table<'_>) -> Limits {
    let dollars = |key| {
        let amount = table.number(key, "a number of dollars from 0 to 1000000", |n| {
            (0.0..=1e6).contains(&n)
        });
        amount.map(Money::dollars)
    };
    Limits {
        per_day: dollars("spend_per_day"),
        per_month: dollars("spend_per_month"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_only_the_key() {
        let fault = |text| key_fault(&Secret::new(text).unwrap()).unwrap_or_default();
        assert_eq!(fault("sk-abc_1=="), "");
        assert_eq!(fault("QUJD=="), "");
        assert!(fault("\"sk-abc\"").contains("in quotes"));
        assert!(fault("OPENAI_API_KEY=sk-abc").contains("before the key"));
        assert!(fault("Bearer sk-abc").contains("`Bearer`"));
        assert!(fault("sk\u{2013}abc").contains("long dash"));
        assert!(fault("sk abc").contains("a space"));
    }
}
