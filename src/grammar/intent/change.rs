//! Intents of states and values: "turn .. on", "set .. to 20", "lights off".
//!
//! In: a clause whose verb does not say what is done. Out: the intent that its state or amount
//! names.

use crate::grammar::clause::{Amount, Clause, Preposition};
use crate::grammar::intent::clause_shape::is_clear;
use crate::grammar::intent::intents::Intent;
use crate::grammar::intent::relative::step;
use crate::grammar::lexicon::standard;
use crate::grammar::part_open::{is_part, position};
use crate::grammar::sense::{StateWord, Verb};

/// Returns the intent of "turn .. on", "set .. to 20", "lights off", "brightness 50".
pub(super) fn change(clause: &Clause) -> Option<Intent> {
    let (property, amount) = (clause.property, clause.amount);
    if clause.slightly && !matches!(clause.state, Some(StateWord::Up | StateWord::Down)) {
        return None;
    }
    match (clause.state, amount) {
        (Some(StateWord::On), None) => {
            Some(property.map_or(Intent::Switch(true), |p| Intent::SetFlag(p, true)))
        }
        (Some(StateWord::Off), None) => {
            Some(property.map_or(Intent::Switch(false), |p| Intent::SetFlag(p, false)))
        }
        (Some(StateWord::On), Some(amount)) => (clause.verb != Some(Verb::Set)
            && is_clear(clause, amount))
        .then_some(Intent::OnAt(property, amount)),
        (Some(state @ (StateWord::Up | StateWord::Down)), _) => {
            step(clause, None, state == StateWord::Up, true)
        }
        (None, Some(amount)) => {
            let sure = match (clause.verb, amount, clause.preposition) {
                (_, _, Preposition::By) => false,
                // "at nine" may be a time.
                (_, Amount::Number(_), Preposition::At) => property.is_some(),
                (Some(Verb::Set), Amount::Number(_), _) => true,
                (None, Amount::Number(n), Preposition::Bare) if property.is_none() => {
                    // "kitchen light 20": a smaller number may belong to the name.
                    clause.targets.len() == 1 && n > 10.0 && !clause.ensure
                }
                (_, Amount::Number(_), link) => link == Preposition::To || property.is_some(),
                _ => true,
            };
            sure.then_some(Intent::SetValue(property, amount))
        }
        // "the awning a third out"
        (Some(StateWord::Off), Some(amount)) if property.is_none() && is_part(amount) => {
            Some(Intent::ExtendTo(amount))
        }
        (Some(state), Some(amount)) if property.is_none() => Some(Intent::SetValue(
            standard("position"),
            position(state, amount)?,
        )),
        (Some(state), None)
            if property.is_none()
                || (state == StateWord::Muted && property == standard("volume")) =>
        {
            becomes(state)
        }
        (None, None) if clause.verb == Some(Verb::Set) && property.is_none() => {
            Some(Intent::Perform)
        }
        _ => None,
    }
}

/// Returns the intent that leads to the state: "make sure the door is locked".
fn becomes(state: StateWord) -> Option<Intent> {
    Some(match state {
        StateWord::Open | StateWord::FullyOpen => Intent::Open(true),
        StateWord::Closed => Intent::Open(false),
        StateWord::Locked => Intent::Lock(true),
        StateWord::Unlocked => Intent::Lock(false),
        StateWord::Playing => Intent::Play,
        StateWord::Paused => Intent::Pause,
        StateWord::Stopped => Intent::Stop,
        StateWord::Muted => Intent::Mute(true),
        StateWord::Docked => Intent::Dock,
        StateWord::Cleaning => Intent::Clean,
        StateWord::Mowing => Intent::Mow,
        StateWord::On
        | StateWord::Off
        | StateWord::Up
        | StateWord::Down
        | StateWord::Ajar
        | StateWord::Home => return None,
    })
}
