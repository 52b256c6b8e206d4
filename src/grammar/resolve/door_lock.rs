//! Doors known only by their lock: "sluit de voordeur" locks it, and "is it closed" is answered
//! with the state of the lock.
//!
//! In: a request about one device. Out: the request for its lock, where the device is one that
//! reports nothing about a door.

use crate::grammar::clause::{Head, Target};
use crate::grammar::effect::asked_state;
use crate::grammar::intent::{Intent, QueryFocus};
use crate::grammar::resolve::{ClauseIntent, Resolver};
use crate::grammar::sense::StateWord;

impl Resolver<'_> {
    /// Returns the intent for the lock of a door: in most languages, to close a door of that name
    /// is to lock it. To open it is not to unlock it. A group of doors is more than its locks.
    pub(super) fn intent_for_lock(&self, request: &ClauseIntent<'_>, device: u32) -> Intent {
        let intent = request.intent;
        let device = self.device(device);
        let is_one = |target: &Target| {
            let is_plural = matches!(target.head, Head::Noun(_, true));
            !target.all && !target.both && !is_plural && !self.is_everything(target)
        };
        let targets = &request.clause.targets;
        if device.kind.as_str() != "lock" || !targets.iter().all(is_one) {
            return intent;
        }
        let is_named = |target: &Target| matches!(target.head, Head::Name(..));
        let locks_by_closing = self.effects.lexicon.grammar.close_is_lock;
        match intent {
            Intent::Open(false) if locks_by_closing && targets.iter().all(is_named) => {
                Intent::Lock(true)
            }
            Intent::Query(None, Some(QueryFocus::Is(state)))
                if matches!(state, StateWord::Open | StateWord::Closed)
                    && asked_state(device, state).is_none() =>
            {
                Intent::Query(None, Some(QueryFocus::Of(StateWord::Locked)))
            }
            _ => intent,
        }
    }

    /// Returns the contacts of a longer name, where those called so are locks: whether a door is
    /// open is for its contact to say.
    pub(super) fn contacts_named(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        (id, called): (u32, &[u32]),
    ) -> Vec<u32> {
        let is_by_lock = |&d: &u32| self.intent_for_lock(request, d) != request.intent;
        let is_question = matches!(request.intent, Intent::Query(..));
        if !is_question || called.is_empty() || !called.iter().all(is_by_lock) {
            return Vec::new();
        }
        let mut others = self.others_named(request, target, id);
        others.retain(|d| !is_by_lock(d));
        others
    }

    /// Returns the locks of a longer name, where those called so are sensors: "lock the front
    /// door" with a contact "Front door" and a "Front door lock".
    pub(super) fn locks_named(
        &self,
        request: &ClauseIntent<'_>,
        target: &Target,
        (id, called): (u32, &[u32]),
    ) -> Vec<u32> {
        let is_sensor =
            |&d: &u32| matches!(self.device(d).kind.as_str(), "sensor" | "binary_sensor");
        if !matches!(request.intent, Intent::Lock(_))
            || called.is_empty()
            || !called.iter().all(is_sensor)
        {
            return Vec::new();
        }
        self.others_named(request, target, id)
    }
}
