//! The values before and after a command is understood, and the rule that decides whether a model's
//! draft needs a confirmation because it does not fit the phrase.

use std::sync::Arc;

use crate::cache::Key;
use crate::command::Command;
use crate::command::phrase::Phrase;
use crate::command::reply::Via;
use crate::grammar::LocalGrammar;
use crate::home::Home;
use crate::prompt::{is_related, states_numbers};
use crate::router::RoutedAnswer;
use crate::store::journal::Durability;
use crate::vocabulary::action::{Action, Draft, Op, StateQuery};
use crate::vocabulary::shared_str::SharedStr;

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
/// where a small model made it, does something that the words of the phrase do not support.
pub(super) fn is_doubtful(
    answer: &RoutedAnswer<Draft>,
    request: &Request<'_>,
    grammar: &LocalGrammar,
) -> bool {
    let Request { phrase, home, .. } = *request;
    !is_related(phrase, home, acting(answer)) || is_unsupported(answer, request, grammar)
}

/// Returns whether a draft for a phrase that refers to earlier commands is doubtful. Its devices
/// may be named in these.
pub(super) fn is_doubtful_after(
    answer: &RoutedAnswer<Draft>,
    request: &Request<'_>,
    earlier: &[String],
    grammar: &LocalGrammar,
) -> bool {
    let Request { phrase, home, .. } = *request;
    let said = format!("{} {}", earlier.join(" "), phrase.text());
    let said = Phrase::new(&said, phrase.area(), phrase.language());
    !is_related(&said, home, acting(answer)) || is_unsupported(answer, request, grammar)
}

/// Returns the devices that a draft changes.
fn acting(answer: &RoutedAnswer<Draft>) -> impl Iterator<Item = &str> {
    let actions = answer.answer.actions.iter();
    let acting = actions.filter(|action| action.op != Op::Query);
    acting.map(|action| action.device.as_str())
}

fn is_unsupported(
    answer: &RoutedAnswer<Draft>,
    request: &Request<'_>,
    grammar: &LocalGrammar,
) -> bool {
    let Request { phrase, home, .. } = *request;
    let actions = &answer.answer.actions;
    if !answer.is_small {
        return false;
    }
    let supported = grammar.supports(phrase, home, actions);
    !supported.unwrap_or_else(|| states_numbers(phrase, actions))
}

impl Interpretation {
    pub(super) fn new(draft: Draft, via: Via) -> Self {
        // Only the grammar knows how the devices were named.
        let is_list = via == Via::Local && draft.lists_devices();
        let reference = Reference {
            is_list,
            state_query: draft.state_query.clone().map(Box::new),
            ..Reference::default()
        };
        Self {
            draft,
            via,
            model_draft: None,
            confirmed: false,
            is_doubtful: false,
            reference,
        }
    }

    /// Returns the text of the command that was interpreted: of the one that raised the question,
    /// where it is an answer.
    pub(super) fn text<'a>(&'a self, command: &'a Command) -> &'a str {
        self.reference.asked_by.as_deref().unwrap_or(&command.text)
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
    /// True where several devices were named one by one.
    pub(super) is_list: bool,
    /// The form of a question about several devices: the answer names some of them.
    pub(super) state_query: Option<Box<StateQuery>>,
    /// The text of the command that raised the question, where this is the answer to one.
    pub(super) asked_by: Option<SharedStr>,
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
