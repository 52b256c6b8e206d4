//! The parts a command is processed with. A reload replaces some of them; the others are shared.

use std::sync::Arc;

use crate::cache::DraftCache;
use crate::command::phrase::Phrase;
use crate::command::reply::Refusal;
use crate::grammar::{LocalGrammar, When};
use crate::home::Home;
use crate::pipeline::admission::Admission;
use crate::prompt::Composer;
use crate::router::Router;
use crate::schedule::moment::HomeLocation;
use crate::store::journal::Journal;
use crate::telemetry::counters::Counters;

/// The parts a command is processed with.
#[derive(Clone)]
pub struct Services {
    /// Understands everyday commands without a network.
    pub grammar: Arc<LocalGrammar>,
    /// Drafts kept from earlier answers of models.
    pub cache: Arc<DraftCache>,
    /// The quota of model requests of each source.
    pub admission: Arc<Admission>,
    /// Writes prompts.
    pub composer: Arc<Composer>,
    /// Sends prompts to the providers.
    pub router: Arc<Router>,
    /// Commands received, actions about to be published, and replies.
    pub journal: Arc<Journal>,
    /// Counters of events.
    pub counters: Arc<Counters>,
    /// The position and the time zone of the home.
    pub location: Arc<HomeLocation>,
    /// The boot id of the kernel; empty where it is not known.
    pub boot: Arc<str>,
}

impl Services {
    /// Returns the refusal of a phrase that was not understood locally while no model is
    /// configured.
    pub(super) fn no_model(&self, phrase: &Phrase, home: &Home) -> Refusal {
        if self.grammar.when() == When::Never {
            return Refusal::NoModel;
        }
        if let Some(language) = phrase.language()
            && let Some(known) = self.grammar.unknown_language(phrase)
        {
            return Refusal::UnknownLanguage {
                language: language.to_owned(),
                known,
            };
        }
        match self.grammar.reason(phrase, home) {
            Some(cause) => Refusal::Misunderstood(cause),
            None => Refusal::NoModel,
        }
    }
}
