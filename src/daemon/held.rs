//! What waits until the home is known. What a broker kept for us comes in whatever order it kept it; where a source told when it
//! spoke, its commands go in that order.

use std::collections::HashMap;

use crate::command::{Command, Source};
use crate::store::journal::Mark;

use super::desk::Answering;

/// One that waits.
pub(super) enum Held {
    /// A command that tells when it was spoken, and may have been kept by the broker.
    Spoken(Box<Spoken>),
    /// Anything else: it keeps its place.
    Other(Answering),
}

/// A command, and its place in the journal.
pub(super) struct Spoken {
    pub(super) command: Command,
    pub(super) mark: Mark,
}

/// The commands of each source in the order they were spoken, at the places and with the turns that they had among them.
pub(super) fn in_order(held: Vec<Held>) -> Vec<Held> {
    let mut places: HashMap<Source, Vec<usize>> = HashMap::new();
    for (at, held) in held.iter().enumerate() {
        if let Held::Spoken(spoken) = held {
            places.entry(spoken.command.source.clone()).or_default().push(at);
        }
    }
    let mut line: Vec<Option<Held>> = held.into_iter().map(Some).collect();
    for places in places.into_values() {
        let take = |at: &usize| if let Some(Held::Spoken(spoken)) = line.get_mut(*at)?.take() { Some(spoken) } else { None };
        let mut spoken: Vec<Box<Spoken>> = places.iter().filter_map(take).collect();
        let mut turns: Vec<u64> = spoken.iter().map(|spoken| spoken.command.turn).collect();
        turns.sort_unstable();
        spoken.sort_by_key(|spoken| spoken.command.said_at);
        for ((at, turn), mut spoken) in places.into_iter().zip(turns).zip(spoken) {
            spoken.command.turn = turn;
            if let Some(place) = line.get_mut(at) {
                *place = Some(Held::Spoken(spoken));
            }
        }
    }
    line.into_iter().flatten().collect()
}
