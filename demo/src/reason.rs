//! The reason why sayso asks a model about a sentence: the local grammar's own explanation, for the
//! demo's home.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use sayso::testing::command::phrase::Phrase;
use sayso::testing::config::{Config, ConfigLocation};
use sayso::testing::discovery::finder::Finder;
use sayso::testing::grammar::LocalGrammar;
use sayso::testing::home::Home;

use crate::{DemoError, announce};

/// The local grammar and the home, as the daemon has them.
pub(crate) struct LocalReading {
    grammar: LocalGrammar,
    home: Home,
}

impl LocalReading {
    /// Reads the daemon's configuration file and the announcements of the house.
    pub(crate) fn new(config: &Path) -> Result<Self, DemoError> {
        let config = Config::load(&ConfigLocation::at(config.to_owned()))?;
        let mut finder = Finder::new(
            config.discovery.clone(),
            Arc::clone(&config.home),
            &config.mqtt.prefix,
        );
        for (topic, payload) in announce::all() {
            finder.receive(&topic, payload.to_string().as_bytes(), now());
        }
        let built = finder
            .build()
            .map_err(|conflicts| format!("the demo's home has conflicts: {conflicts:?}"))?;
        Ok(Self {
            grammar: LocalGrammar::new(&config.local)?,
            home: built.home,
        })
    }

    /// Why the grammar does not understand `sentence`; `None` if it does.
    pub(crate) fn reason(&self, sentence: &str) -> Option<String> {
        let phrase = Phrase::new(sentence, None, None);
        let explanation = self.grammar.explain(&phrase, &self.home)?;
        explanation.verdict.err()
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
