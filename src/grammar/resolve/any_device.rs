//! Questions about any device: "is a light on", "is anything open".
//!
//! In: the clauses of a sentence. Out: the same clauses, where such a question is about all devices
//! of the noun.

use crate::grammar::clause::{Clause, Determiner, Head, QuestionType};
use crate::grammar::resolve::Resolver;

impl Resolver<'_> {
    /// Makes a question about a state one for any device where its target leaves open which one:
    /// "is a light on", "brennt Licht", "is anything off". "Are lights off" may be short for "are
    /// the lights off".
    pub(in crate::grammar) fn ask_for_any(&self, clauses: &mut [Clause]) {
        for clause in clauses {
            self.make_any(clause);
        }
    }

    fn make_any(&self, clause: &mut Clause) {
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
