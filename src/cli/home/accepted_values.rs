//! The values a property takes, in words.

use crate::vocabulary::Domain;

/// Returns the values of a domain; of a property that is only read, its unit.
pub(super) fn accepted_values(takes: &Domain, settable: bool) -> String {
    match takes {
        Domain::Number { unit, .. } if !settable => {
            if unit.is_empty() { "a number" } else { unit }.to_owned()
        }
        Domain::Number { min, max, unit, .. } => {
            format!("{min} to {max} {unit}").trim_end().to_owned()
        }
        Domain::Choice(words) if words.len() > 6 => {
            format!("{} and {} more", words[..6].join(", "), words.len() - 6)
        }
        Domain::Choice(words) => words.join(", "),
        Domain::Color => "any colour".to_owned(),
        Domain::Boolean => "true, false".to_owned(),
        Domain::Trigger => "pressed".to_owned(),
    }
}
