//! Intents of verbs that say what is done: "lock", "dim", "start".
//!
//! In: a clause and its verb. Out: the intent, or `None` where the rest of the clause does not fit
//! the verb.

use crate::grammar::clause::{Amount, Clause, Preposition};
use crate::grammar::intent::change::change;
use crate::grammar::intent::clause_shape::{has_no_value, has_object, is_bare};
use crate::grammar::intent::intents::Intent;
use crate::grammar::intent::relative::{opening, step};
use crate::grammar::lexicon::standard;
use crate::grammar::part_open::is_part;
use crate::grammar::sense::{Level, StateWord, Verb};

/// Returns the intent of verbs that change a value: `Some(None)` if the clause does not fit such a
/// verb, `None` for all other verbs.
#[expect(
    clippy::option_option,
    reason = "not such a verb, and such a verb without meaning, are different"
)]
pub(super) fn step_verb(clause: &Clause, verb: Verb) -> Option<Option<Intent>> {
    let intent = match verb {
        Verb::Raise | Verb::Lower => step(clause, None, verb == Verb::Raise, true),
        Verb::Increase | Verb::Decrease => step(clause, None, verb == Verb::Increase, false),
        Verb::Dim | Verb::Darken | Verb::Brighten => step(
            clause,
            standard("brightness"),
            verb == Verb::Brighten,
            false,
        ),
        Verb::Hasten | Verb::Slow if has_object(clause) => {
            step(clause, standard("speed"), verb == Verb::Hasten, false)
        }
        // "cool" alone is not a command.
        Verb::Warm | Verb::Cool if !has_object(clause) && clause.property.is_none() => None,
        Verb::Warm | Verb::Cool => step(clause, standard("temperature"), verb == Verb::Warm, false),
        _ => return None,
    };
    Some(intent)
}

/// Returns the intent of all verbs that do not change a value.
pub(super) fn verb_intent(clause: &Clause, verb: Verb) -> Option<Intent> {
    match verb {
        Verb::Turn | Verb::Set => change(clause),
        Verb::On | Verb::TurnUp => switched(clause, StateWord::On),
        Verb::Off => switched(clause, StateWord::Off),
        Verb::Open => opening(clause, true),
        Verb::Close if clause.state == Some(StateWord::Off) => change(&Clause {
            verb: Some(Verb::Turn),
            ..clause.clone()
        }),
        Verb::Close => opening(clause, false),
        Verb::Enlighten if clause.targets.is_empty() => {
            let is_on = clause.state == Some(StateWord::On) && clause.amount.is_none();
            (is_bare(clause) || is_on).then_some(Intent::Switch(true))
        }
        Verb::Illuminate if !clause.targets.is_empty() => switched(clause, StateWord::On),
        Verb::LockUp if is_bare(clause) => Some(Intent::Lock(true)),
        Verb::Lock => {
            let is_up = clause.state == Some(StateWord::Up) && has_no_value(clause);
            (is_bare(clause) || is_up).then_some(Intent::Lock(true))
        }
        Verb::Mute | Verb::Unmute if clause.property == standard("volume") => {
            let nothing_else =
                !clause.slightly && clause.amount.is_none() && clause.state.is_none();
            nothing_else.then(|| simple(verb))?
        }
        Verb::Send if has_no_value(clause) => match clause.state {
            Some(StateWord::Docked) => Some(Intent::Dock),
            // "tell the robot to clean"
            Some(StateWord::Cleaning) => Some(Intent::Clean),
            Some(StateWord::Mowing) => Some(Intent::Mow),
            _ => None,
        },
        Verb::Extend if clause.state.is_none() && clause.property.is_none() => extending(clause),
        // "start netflix on the tv"
        Verb::Start | Verb::Perform | Verb::Play
            if matches!(clause.amount, Some(Amount::Choice(_))) && clause.state.is_none() =>
        {
            change(&Clause {
                verb: Some(Verb::Set),
                ..clause.clone()
            })
        }
        // "stop cleaning"
        Verb::Stop | Verb::Pause
            if matches!(clause.state, Some(StateWord::Cleaning | StateWord::Mowing)) =>
        {
            has_no_value(clause).then(|| simple(verb))?
        }
        _ if is_bare(clause) => simple(verb),
        _ => None,
    }
}

/// Returns the intent of "extend the awning", "extend the awning to a third".
fn extending(clause: &Clause) -> Option<Intent> {
    if clause.slightly || clause.preposition == Preposition::By {
        return None;
    }
    match clause.amount {
        None | Some(Amount::Level(Level::Full)) => Some(Intent::Extend(true)),
        Some(amount) => is_part(amount).then_some(Intent::ExtendTo(amount)),
    }
}

/// Returns the intent of verbs that include the state: "activate", "kill".
fn switched(clause: &Clause, state: StateWord) -> Option<Intent> {
    let agrees = clause.state.is_none_or(|named| named == state);
    agrees.then(|| {
        change(&Clause {
            verb: None,
            state: Some(state),
            ..clause.clone()
        })
    })?
}

/// Returns the intent of verbs that need neither state nor amount.
fn simple(verb: Verb) -> Option<Intent> {
    Some(match verb {
        Verb::Shut => Intent::Shut,
        Verb::Toggle => Intent::Toggle,
        Verb::Extend => Intent::Extend(true),
        Verb::Retract => Intent::Extend(false),
        Verb::Unlock => Intent::Lock(false),
        Verb::Stop => Intent::Stop,
        Verb::Start | Verb::Perform => Intent::Start,
        Verb::Pause => Intent::Pause,
        Verb::Play => Intent::Play,
        Verb::Next => Intent::Skip(true),
        Verb::Previous => Intent::Skip(false),
        Verb::Mute => Intent::Mute(true),
        Verb::Unmute => Intent::Mute(false),
        Verb::Dock => Intent::Dock,
        Verb::Locate => Intent::Locate,
        Verb::Clean => Intent::Clean,
        Verb::Mow => Intent::Mow,
        Verb::Press => Intent::Press,
        Verb::PutOn | Verb::Water => Intent::Switch(true),
        Verb::TakeOff | Verb::StopWater => Intent::Switch(false),
        Verb::Arm => Intent::Arm(true),
        Verb::Disarm => Intent::Arm(false),
        _ => return None,
    })
}
