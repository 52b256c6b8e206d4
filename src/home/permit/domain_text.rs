//! The values a property takes, in words.

use crate::vocabulary::Domain;
use crate::vocabulary::speech::{Speech, fill};

/// Returns the values of a domain in words: `0 to 100 %`.
pub(super) fn domain_text(speech: &Speech, domain: &Domain) -> String {
    match domain {
        Domain::Number { min, max, unit, .. } => {
            let (min, max) = (min.to_string(), max.to_string());
            let range = fill(&speech.range, &[("min", &min), ("max", &max)]);
            format!("{range} {unit}").trim_end().to_owned()
        }
        Domain::Choice(words) => {
            let words: Vec<&str> = words.iter().map(|word| speech.value(word)).collect();
            words.join(", ")
        }
        Domain::Color => speech.a_color.clone(),
        Domain::Boolean => format!("{}, {}", speech.value("on"), speech.value("off")),
        Domain::Trigger => speech.no_value.clone(),
    }
}
