//! Nouns for what is played: "is music on" asks whether a player plays, and "all music off" is not
//! for televisions.
//!
//! In: a request about such a noun. Out: the same for what plays, if it differs.

use crate::grammar::clause::Target;
use crate::grammar::intent::{Intent, QueryFocus};
use crate::grammar::resolve::{ClauseIntent, Resolution, Resolver};
use crate::grammar::sense::StateWord;

impl Resolver<'_> {
    /// Resolves a question whether the medium is on: by the playback of players that report it.
    pub(super) fn medium(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        noun: u16,
    ) -> Option<Resolution> {
        let asked = match request.intent {
            Intent::Query(None, Some(QueryFocus::Is(StateWord::On))) => {
                QueryFocus::Is(StateWord::Playing)
            }
            Intent::Query(None, Some(QueryFocus::Of(StateWord::On))) => {
                QueryFocus::Of(StateWord::Playing)
            }
            _ => return None,
        };
        let plays = ClauseIntent {
            intent: Intent::Query(None, Some(asked)),
            ..*request
        };
        self.noun(&plays, target, (noun, true))
    }

    /// Returns the devices of a group that plays the medium, where it is switched off: without
    /// those that are for another one.
    pub(super) fn playing_medium(
        &self,
        request: &ClauseIntent<'_>,
        noun: u16,
        devices: Vec<u32>,
    ) -> Vec<u32> {
        let is_medium = self.names.nouns[usize::from(noun)].medium;
        if !is_medium || request.intent != Intent::Switch(false) {
            return devices;
        }
        let (other, playing): (Vec<u32>, Vec<u32>) = self
            .preferred(noun, devices)
            .into_iter()
            .partition(|&d| self.is_named_for_another(noun, d));
        if playing.is_empty() { other } else { playing }
    }

    /// Returns whether a player without a class is called something that plays another medium, as a
    /// television.
    fn is_named_for_another(&self, noun: u16, device: u32) -> bool {
        let classes = &self.names.nouns[usize::from(noun)].prefers;
        let is_other = |named: u16| {
            let own = &self.names.nouns[usize::from(named)].classes;
            !own.is_empty() && !own.iter().any(|class| classes.contains(class))
        };
        let mut named = self.names.referents[device as usize].noun_indexes();
        self.device(device).class.is_none() && named.any(is_other)
    }
}
