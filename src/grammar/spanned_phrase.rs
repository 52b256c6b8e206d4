//! A phrase with its spans in a home, found once for all that is asked about the phrase.

use std::sync::Arc;

use crate::command::phrase::Phrase;
use crate::grammar::antecedents::{Antecedents, Remembered};
use crate::grammar::follow_up::refers;
use crate::grammar::follow_up_place::may_be_about_last;
use crate::grammar::interpreter::Interpreter;
use crate::grammar::lexicon::Lexicon;
use crate::grammar::names::Names;
use crate::grammar::spans::Spans;
use crate::home::Home;
use crate::vocabulary::action::Draft;

/// A phrase with its spans in a home.
#[derive(Debug)]
pub struct SpannedPhrase<'a> {
    pub(super) phrase: &'a Phrase,
    pub(super) home: &'a Home,
    /// `None` where no language file reads the phrase.
    pub(super) read: Option<ReadPhrase<'a>>,
}

/// The spans of a phrase in its language.
#[derive(Debug)]
pub(super) struct ReadPhrase<'a> {
    lexicon: &'a Lexicon,
    names: Arc<Names>,
    /// The area the command was given in.
    here: Option<u16>,
    spans: Spans,
    /// Whether every word is in a span with a sense.
    is_known: bool,
}

impl<'a> ReadPhrase<'a> {
    /// Finds the spans of a phrase that was spoken in the area `here`.
    pub(super) fn new(
        phrase: &Phrase,
        lexicon: &'a Lexicon,
        names: Arc<Names>,
        here: Option<u16>,
    ) -> Self {
        let plain = lexicon.spelling.plain(phrase.text());
        let tried = Spans::try_of(&plain, lexicon, &names);
        let is_known = tried.error.is_none();
        let spans = tried.spans;
        Self {
            lexicon,
            names,
            here,
            spans,
            is_known,
        }
    }

    /// Returns the spans, if every word is known.
    fn known(&self) -> Option<&Spans> {
        self.is_known.then_some(&self.spans)
    }
}

impl SpannedPhrase<'_> {
    /// Returns whether the phrase refers to an earlier command.
    pub fn refers_back(&self) -> bool {
        self.read.as_ref().is_some_and(|read| {
            let sentence = (self.phrase.text(), &read.spans);
            refers(read.lexicon, &read.names, sentence)
        })
    }

    /// Returns the draft of the grammar alone, without sentence templates.
    pub(super) fn draft(&self) -> Option<Draft> {
        let read = self.read.as_ref()?;
        let text = self.phrase.text();
        let interpreter = self.interpreter(read, Remembered::default());
        let now = read.known().and_then(|spans| interpreter.draft_of(spans));
        let draft = now.or_else(|| interpreter.draft_in_time(text));
        draft.or_else(|| interpreter.conditional_or_compared(text))
    }

    /// Returns the draft of a phrase that may refer to the last command of its source, without
    /// sentence templates.
    pub(super) fn draft_after(&self, last: &Antecedents) -> Option<Draft> {
        let read = self.read.as_ref()?;
        let text = self.phrase.text();
        let without_last = self.interpreter(read, Remembered::default());
        let sentence = (text, &read.spans);
        let alone = if may_be_about_last(read.lexicon, &read.names, sentence) {
            None
        } else {
            without_last.draft_alone(text, read.known())
        };
        let draft = alone.or_else(|| {
            let remembered = Remembered::of(last, self.home, &read.names);
            let interpreter = self.interpreter(read, remembered);
            let stopped = interpreter.stopped(text, &last.actions);
            stopped.or_else(|| interpreter.draft_after_with_time(text))
        });
        // What a condition names is nearer than the last command, so that a pronoun is uncertain.
        draft.or_else(|| without_last.conditional_or_compared(text))
    }

    fn interpreter<'r>(
        &'r self,
        read: &'r ReadPhrase<'_>,
        remembered: Remembered,
    ) -> Interpreter<'r> {
        Interpreter {
            lexicon: read.lexicon,
            names: &read.names,
            home: self.home,
            here: read.here,
            remembered,
            phrase: self.phrase.text(),
        }
    }
}
