//! The place that a condition names, which holds for its command: "if the bedroom window is open
//! turn off the heater".
//!
//! In: the words of a condition and of its command. Out: the place, and the draft of the command.

use crate::grammar::antecedents::Remembered;
use crate::grammar::interpreter::Interpreter;
use crate::grammar::said_places::SaidPlaces;
use crate::grammar::sense::{Place, Sense};
use crate::grammar::spans::Spans;
use crate::vocabulary::action::Draft;
use crate::vocabulary::condition::ConditionMode;

impl Interpreter<'_> {
    /// Returns the draft of the command beside a condition.
    pub(super) fn command_beside(
        &self,
        condition: &[&str],
        command: &[&str],
        mode: ConditionMode,
    ) -> Option<Draft> {
        let Some(said) = self.place_said_in(&condition.join(" ")) else {
            return self.consequence(command, mode);
        };
        let there = self.with_memory(Remembered {
            said,
            ..Remembered::default()
        });
        there.consequence(command, mode)
    }

    /// Returns the only place that a condition names.
    fn place_said_in(&self, text: &str) -> Option<SaidPlaces> {
        let spans = Spans::of(text, self.lexicon, self.names)?;
        let place = |sense: &Sense| match *sense {
            Sense::Place(Place::Area(area)) => Some(Place::Area(area)),
            Sense::Place(Place::Front(front)) => Some(Place::Front(front)),
            Sense::Name(id, _) => self.names.entries[id as usize].place,
            _ => None,
        };
        let mut places = spans.iter().flatten().filter_map(place);
        let first = places.next()?;
        places
            .all(|place| place == first)
            .then(|| SaidPlaces::of_condition(first))
    }
}
