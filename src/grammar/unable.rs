//! The devices "everything" stands for, and the members of a group that cannot do it.

use crate::grammar::intent::{Intent, QueryFocus, RelativeChange};
use crate::grammar::lexicon::standard;
use crate::grammar::sense::StateWord;
use crate::vocabulary::action::Unfit;
use crate::vocabulary::{Property, Value};

/// A device by its index, with the reason and the reported value that leaves nothing to do.
pub(super) type Unable = (u32, Unfit, Option<(Property, Value)>);

/// Returns the kinds of devices "everything" means with this intent, or `None` if it has no meaning
/// with it. An empty list stands for all kinds but those that protect the home.
pub(super) fn everything_means(intent: Intent) -> Option<&'static [&'static str]> {
    let brightness = standard("brightness");
    match intent {
        // "everything off", "is everything off", "what is on"
        Intent::Switch(_)
        | Intent::Shut
        | Intent::Query(
            None,
            Some(
                QueryFocus::Is(StateWord::On | StateWord::Off)
                | QueryFocus::Of(StateWord::On | StateWord::Off),
            ),
        ) => Some(&[]),
        // "is anything open", "is everything closed"
        Intent::Query(
            None,
            Some(
                QueryFocus::Is(StateWord::Open | StateWord::Closed)
                | QueryFocus::Of(StateWord::Open | StateWord::Closed),
            ),
        ) => Some(&["cover", "binary_sensor", "sensor", "valve"]),
        // "close everything" includes garage doors and gates.
        Intent::Open(false) => Some(&["cover"]),
        Intent::Change(RelativeChange { property, .. }) if property == brightness => {
            Some(&["light"])
        }
        // "dim everything to ten percent"
        Intent::SetValue(property, _) if property == brightness => Some(&["light"]),
        Intent::Pause
        | Intent::Mute(true)
        | Intent::Query(None, Some(QueryFocus::Is(StateWord::Playing | StateWord::Paused))) => {
            Some(&["media_player"])
        }
        _ => None,
    }
}
