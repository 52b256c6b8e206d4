//! The question which player is meant, answered by the reports of the players: "next song" is for
//! the one that plays.

use std::time::Instant;

use crate::clock::now;
use crate::home::Home;
use crate::home::state::State;
use crate::pipeline::handle::Pipeline;
use crate::pipeline::interpretation::Interpretation;
use crate::vocabulary::action::{Choice, Draft, Op};
use crate::vocabulary::{Property, Value};

impl Pipeline {
    /// Replaces a question about several players by the choice of the only one that plays, or of
    /// the only paused one if the command resumes playback.
    pub(super) fn choose_player(
        &self,
        interpretation: Interpretation,
        home: &Home,
    ) -> Interpretation {
        let draft = &interpretation.draft;
        if draft.question.is_none() || draft.choices.len() < 2 {
            return interpretation;
        }
        let chosen = only_active(&draft.choices, home, &self.shared.state(), now());
        let Some(choice) = chosen.cloned() else {
            return interpretation;
        };
        let draft = Draft {
            actions: choice.actions,
            left_out: choice.left_out,
            timing: draft.timing.clone(),
            condition: draft.condition.clone(),
            lasting: draft.lasting,
            ..Draft::default()
        };
        Interpretation {
            draft,
            ..interpretation
        }
    }
}

/// Returns the only choice whose player is active, if all choices are about players.
fn only_active<'c>(
    choices: &'c [Choice],
    home: &Home,
    state: &State,
    at: Instant,
) -> Option<&'c Choice> {
    if !choices.iter().all(is_about_a_player) {
        return None;
    }
    let is_active = |choice: &&Choice| {
        let Some(action) = choice.actions.first() else {
            return false;
        };
        let resumes =
            action.property == Property::Playback && action.value == Some(Value::text("playing"));
        // A player that was sent to the next song plays.
        let active: &[&str] = if resumes {
            &["paused"]
        } else {
            &["playing", "next", "previous"]
        };
        let device = home.device(&action.device);
        let seen = device.and_then(|d| state.current(&d.id, &Property::Playback, at));
        let value = seen.and_then(|seen| seen.value()).map(Value::to_string);
        value.is_some_and(|value| active.contains(&value.as_str()))
    };
    let mut active = choices.iter().filter(is_active);
    let only = active.next()?;
    active.next().is_none().then_some(only)
}

/// Returns whether a choice changes only the playback or volume of one player.
fn is_about_a_player(choice: &Choice) -> bool {
    let Some(first) = choice.actions.first() else {
        return false;
    };
    let is_heard = |property: &Property| {
        matches!(
            property,
            Property::Playback | Property::Volume | Property::Mute
        )
    };
    choice.actions.iter().all(|action| {
        is_heard(&action.property) && action.op != Op::Query && action.device == first.device
    })
}
