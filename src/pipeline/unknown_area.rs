//! The refusal of a command from an area that the home does not have.
//!
//! Pure. A request and its interpretation enter; a refusal leaves, or nothing.

use crate::command::phrase::Phrase;
use crate::command::reply::{Refusal, Via};
use crate::home::Home;
use crate::pipeline::interpretation::{Interpretation, Request};
use crate::vocabulary::action::TargetScope;

/// The most areas that a refusal names.
const MOST_AREAS: usize = 8;

/// Returns the refusal of a command for a group of devices from an area that the home does not
/// have, unless it names another place: "all the lights" would mean those of the whole home. A home
/// without areas is one place.
pub(super) fn unknown_area(
    request: &Request<'_>,
    interpretation: &Interpretation,
) -> Option<Refusal> {
    let Request { phrase, home, .. } = *request;
    let area = phrase.area().filter(|_| !home.areas().is_empty())?;
    let is_of_group = interpretation.draft.scope != TargetScope::Named
        || (interpretation.via != Via::Local && interpretation.draft.lists_devices());
    if home.area_named(area).is_some() || !is_of_group || names_place(phrase, home) {
        return None;
    }
    let shown: String = area.chars().take(40).collect();
    let known = home.areas().iter().take(MOST_AREAS);
    let known: Vec<String> = known.map(|area| format!("`{}`", area.id)).collect();
    let more = if home.areas().len() > MOST_AREAS {
        ", .."
    } else {
        ""
    };
    Some(Refusal::Malformed {
        why: format!(
            "`area` is \"{shown}\", which the home does not have, wanted one of {}{more}",
            known.join(", ")
        ),
    })
}

/// Returns whether the phrase contains the name of an area or a floor.
fn names_place(phrase: &Phrase, home: &Home) -> bool {
    let areas = home.areas().iter();
    let mut places = areas.flat_map(|area| area.names().chain(&area.floor));
    let text = phrase.text().to_lowercase();
    places.any(|place| text.contains(&place.to_lowercase()))
}
