//! A command before and after it is understood.

use std::sync::Arc;

use crate::cache::Key;
use crate::command::Command;
use crate::command::phrase::Phrase;
use crate::command::reply::Via;
use crate::home::Home;
use crate::prompt::{is_related, states_numbers};
use crate::router::RoutedAnswer;
use crate::store::journal::Durability;
use crate::vocabulary::action::{Action, Draft, Op};

/// A command on its way to being understood.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) command: &'a Command,
    pub(super) phrase: &'a Phrase,
    /// The home at the moment the command was started.
    pub(super) home: &'a Home,
}

/// A command as it was understood. The permission gate has not seen it yet.
pub(super) struct Interpretation {
    pub(super) draft: Draft,
    pub(super) via: Via,
    /// The cache key and the model's name, where a model made the draft.
    pub(super) model_draft: Option<(Key, Arc<str>)>,
    /// True where the speaker has confirmed this draft.
    pub(super) confirmed: bool,
    /// Whether the draft is of a model that is not trusted, and has something that the phrase
    /// does not have: it is asked back.
    pub(super) is_doubtful: bool,
    /// Its role in the conversation.
    pub(super) reference: Reference,
}

/// Returns whether a draft acts on devices that share no word, kind or area with the phrase, or,
/// where a small model made it, sets numbers that the phrase does not state.
pub(super) fn is_doubtful(answer: &RoutedAnswer<Draft>, request: &Request<'_>) -> bool {
    let Request { phrase, home, .. } = *request;
    let actions = &answer.answer.actions;
    let acting = actions.iter().filter(|action| action.op != Op::Query);
    let devices = acting.map(|action| action.device.as_str());
    !is_related(phrase, home, devices) || (answer.is_small && !states_numbers(phrase, actions))
}

impl Interpretation {
    pub(super) fn new(draft: Draft, via: Via) -> Self {
        Self {
            draft,
            via,
            model_draft: None,
            confirmed: false,
            is_doubtful: false,
            reference: Reference::default(),
        }
    }

    /// Returns how durable the plan has to be before it is published: a model may answer
    /// differently a second time, and a confirmation is valid once.
    pub(super) fn durability(&self) -> Durability {
        if self.confirmed {
            Durability::Disk
        } else if matches!(self.via, Via::Provider(_)) {
            Durability::Kernel
        } else {
            Durability::None
        }
    }
}

/// The role of a command in the conversation, beside its actions.
#[derive(Debug, Default, Clone)]
pub(super) struct Reference {
    /// The device that was offered beside the chosen one.
    pub(super) other: Option<String>,
    /// The command that is undone.
    pub(super) undoes: Option<u64>,
    /// True where all actions restore earlier states.
    pub(super) restores: bool,
    /// The actions that later commands refer to, if not all of them.
    pub(super) meant: Option<Vec<Action>>,
    /// A sentence to add to the reply.
    pub(super) note: Option<String>,
    /// True for an answer about the conversation, which is no part of it.
    pub(super) is_aside: bool,
}
