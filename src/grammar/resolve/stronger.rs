//! "Plus fort", which is said of a light as well as of sound: after a command for lights it is about
//! them.
//!
//! In: a request without a target, and the devices of the command before. Out: those, if they are
//! lights and the words may be about light.

use crate::grammar::intent::{Intent, RelativeChange};
use crate::grammar::lexicon::standard;
use crate::grammar::resolve::{ClauseIntent, Resolution, Resolver};
use crate::grammar::sense::{Comparative, Sense};

impl Resolver<'_> {
    /// Resolves a change of the volume that may be one of the light of the last command.
    pub(super) fn stronger_light(&self, request: &ClauseIntent<'_>) -> Option<Resolution> {
        let Intent::Change(change) = request.intent else {
            return None;
        };
        let is_loudness = matches!(
            request.clause.comparative,
            Some(Comparative::Louder | Comparative::Quieter)
        );
        let is_light = |&d: &u32| self.device(d).kind.as_str() == "light";
        let is_after_lights = !request.before.is_empty() && request.before.iter().all(is_light);
        let is_bare = is_loudness
            && request.clause.property.is_none()
            && request.clause.places.is_empty()
            && request.clause.targets.is_empty();
        if !is_bare || !is_after_lights || !self.says_strength() {
            return None;
        }
        let brighter = ClauseIntent {
            intent: Intent::Change(RelativeChange {
                property: standard("brightness"),
                ..change
            }),
            ..*request
        };
        self.repeat_previous(&brighter)
    }

    /// Returns whether the phrase has a word that is said of sound and of other things: "fort".
    fn says_strength(&self) -> bool {
        let lexicon = self.effects.lexicon;
        let plain = lexicon.spelling.plain(self.phrase);
        let input = lexicon.words(&plain);
        let means = |at: usize, wanted: [Comparative; 2]| {
            let mut senses = lexicon.senses(&input[at..]);
            senses.any(|(_, sense)| matches!(sense, Sense::Comparative(c) if wanted.contains(&c)))
        };
        (0..input.len()).any(|at| {
            means(at, [Comparative::Louder, Comparative::Quieter])
                && means(at, [Comparative::Faster, Comparative::Slower])
        })
    }
}
