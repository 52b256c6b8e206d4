//! Questions about any device: "is a light on", "is anything open".
//!
//! In: the clauses of a sentence. Out: the same clauses, where such a question is about all devices
//! of the noun.

use crate::grammar::clause::{Clause, Determiner, Head, QuestionType, Target};
use crate::grammar::lexicon::{Noun, index};
use crate::grammar::resolve::Resolver;
use crate::grammar::sense::StateWord;

impl Resolver<'_> {
    /// Makes "what is on in the kitchen", which names no device, a question about all devices.
    fn name_everything(&self, clause: &mut Clause) {
        let asks_for_state = clause.question == Some(QuestionType::Open)
            && clause.targets.is_empty()
            && clause.property.is_none()
            && clause.amount.is_none()
            && matches!(clause.state, Some(StateWord::On | StateWord::Open));
        if !asks_for_state {
            return;
        }
        let everything = |noun: &Noun| noun.everything && noun.asked;
        if let Some(noun) = self.names.nouns.iter().position(everything) {
            clause.any = true;
            clause.targets.push(Target {
                all: true,
                ..Target::new(Head::Noun(index(noun), false))
            });
        }
    }

    /// Makes a question about a state one for any device where its target leaves open which one:
    /// "is a light on", "brennt Licht", "is anything off". "Are lights off" may be short for "are
    /// the lights off".
    pub(in crate::grammar) fn ask_for_any(&self, clauses: &mut [Clause]) {
        for clause in clauses {
            self.make_any(clause);
        }
    }

    fn make_any(&self, clause: &mut Clause) {
        self.name_everything(clause);
        let [target] = clause.targets.as_mut_slice() else {
            return;
        };
        let (Some(QuestionType::YesNo), Some(state)) = (clause.question, clause.state) else {
            return;
        };
        let is_any = match (target.head, target.determiner) {
            (Head::Noun(noun, false), _) if self.names.nouns[usize::from(noun)].everything => {
                self.names.nouns[usize::from(noun)].asked
            }
            (Head::Noun(..) | Head::Name(..), Determiner::Indefinite(_)) => true,
            (Head::Noun(..), Determiner::Bare) => state.is_active(),
            _ => false,
        };
        if is_any && !target.all && !target.both && !clause.either {
            target.all = true;
            clause.any = true;
        }
    }
}
