//! Questions that wait for an answer of the speaker: "Unlock the front door?".
//!
//! At most one question is open in each conversation, for 30 s. A "yes" must never confirm another
//! question than the last one that the speaker received. Therefore a question raised by an older
//! command never replaces one of a newer command, and for a moment after an open question was
//! replaced an answer is not accepted: the question is asked again. Pure.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::command::Source;
use crate::pipeline::conversation::Conversation;
use crate::vocabulary::action::Draft;
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::speech::CONFIRMATION_WINDOW;

/// The time after a replaced question in which an answer may still be meant for the earlier one:
/// longer than people take to react to a question.
const REACTION_TIME: Duration = Duration::from_millis(1500);

/// The most conversations remembered. Past it one is forgotten: without an open question rather
/// than with one, of the source with the most rather than of another, and then the oldest.
const MAX_CONVERSATIONS: usize = 256;

/// A question and the draft it is about.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    /// The draft to execute after a "yes", or with the choices to select from.
    pub(super) draft: Draft,
    /// The sentence that was sent to the speaker.
    pub(super) text: String,
    /// The text of the command that raised it, shortened.
    pub(super) command: SharedStr,
}

/// An open question as it applies to a command of its conversation.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OpenQuestion {
    /// The command may answer it.
    Current(Question),
    /// It replaced another question moments ago: an answer is not accepted yet.
    JustReplaced(Question),
}

/// Open questions by conversation. Their moments are those of a clock that continues while the
/// machine is suspended: a door is not opened by an answer to the question of an hour ago.
#[derive(Debug, Default)]
pub(super) struct PendingConfirmations {
    conversations: HashMap<Conversation, ConversationQuestions>,
}

#[derive(Debug)]
struct ConversationQuestions {
    /// The newest command of the conversation.
    newest_seq: u64,
    newest_at: Instant,
    open: Option<Raised>,
    /// The question that was open before the current one, and was not answered.
    withdrawn: Option<Raised>,
}

#[derive(Debug, Clone)]
struct Raised {
    question: Question,
    seq: u64,
    at: Instant,
    /// Answers before this moment may be meant for another question.
    accepts_from: Instant,
}

impl Raised {
    fn is_open(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < CONFIRMATION_WINDOW
    }
}

impl PendingConfirmations {
    /// Opens a question that the command `seq` raised. Returns false, and opens nothing, where the
    /// open question belongs to a newer command.
    pub(super) fn ask(
        &mut self,
        conversation: &Conversation,
        question: Question,
        seq: u64,
        now: Instant,
    ) -> bool {
        let slot = self.slot(conversation, seq, now);
        if slot
            .open
            .as_ref()
            .is_some_and(|open| open.seq > seq && open.is_open(now))
        {
            return false;
        }
        let earlier = slot.open.take().or(slot.withdrawn.take());
        let replaces = earlier.is_some_and(|earlier| {
            earlier.is_open(now)
                && earlier.question.draft != question.draft
                && take_the_same_answers(&earlier.question.draft, &question.draft)
        });
        // Where a newer command was sent meanwhile, the speaker does not expect this question.
        let unexpected = slot.newest_seq > seq;
        let accepts_from = if replaces || unexpected {
            now + REACTION_TIME
        } else {
            now
        };
        slot.open = Some(Raised {
            question,
            seq,
            at: now,
            accepts_from,
        });
        true
    }

    /// Returns the question that the command `seq` may answer, and leaves it open.
    pub(super) fn peek(
        &self,
        conversation: &Conversation,
        seq: u64,
        now: Instant,
    ) -> Option<OpenQuestion> {
        let open = self.conversations.get(conversation)?.open.as_ref()?;
        if open.seq > seq || !open.is_open(now) {
            return None;
        }
        let question = open.question.clone();
        Some(if now < open.accepts_from {
            OpenQuestion::JustReplaced(question)
        } else {
            OpenQuestion::Current(question)
        })
    }

    /// Closes the question that the command `seq` answered.
    pub(super) fn close(&mut self, conversation: &Conversation, seq: u64, now: Instant) {
        self.slot(conversation, seq, now).open = None;
    }

    /// Asks the open question of the source again, as of now.
    pub(super) fn renew(&mut self, conversation: &Conversation, now: Instant) {
        if let Some(open) = self
            .conversations
            .get_mut(conversation)
            .and_then(|slot| slot.open.as_mut())
        {
            open.at = now;
            open.accepts_from = now;
        }
    }

    /// Withdraws the open question, because the command `seq` is something else than an answer: a
    /// later "yes" must not be taken for one.
    pub(super) fn withdraw(&mut self, conversation: &Conversation, seq: u64, now: Instant) {
        if !self.conversations.contains_key(conversation) {
            return;
        }
        let slot = self.slot(conversation, seq, now);
        if slot.open.as_ref().is_some_and(|open| open.seq <= seq) {
            slot.withdrawn = slot.open.take();
        }
    }

    /// Notes a command that may raise a question late, after an answer of a model.
    pub(super) fn note_command(&mut self, conversation: &Conversation, seq: u64, now: Instant) {
        self.slot(conversation, seq, now);
    }

    /// Closes the questions whose draft `keep` rejects.
    pub(super) fn retain(&mut self, keep: impl Fn(&Draft) -> bool) {
        for slot in self.conversations.values_mut() {
            if slot
                .open
                .as_ref()
                .is_some_and(|open| !keep(&open.question.draft))
            {
                slot.open = None;
            }
        }
    }

    fn slot(
        &mut self,
        conversation: &Conversation,
        seq: u64,
        now: Instant,
    ) -> &mut ConversationQuestions {
        if !self.conversations.contains_key(conversation)
            && self.conversations.len() >= MAX_CONVERSATIONS
        {
            self.forget_oldest(now);
        }
        let slot =
            self.conversations
                .entry(conversation.clone())
                .or_insert(ConversationQuestions {
                    newest_seq: seq,
                    newest_at: now,
                    open: None,
                    withdrawn: None,
                });
        slot.newest_seq = slot.newest_seq.max(seq);
        slot.newest_at = now;
        slot
    }

    fn forget_oldest(&mut self, now: Instant) {
        self.conversations.retain(|_, slot| {
            now.saturating_duration_since(slot.newest_at) < CONFIRMATION_WINDOW * 2
        });
        if self.conversations.len() < MAX_CONVERSATIONS {
            return;
        }
        let mut of_source: HashMap<&Source, usize> = HashMap::new();
        for conversation in self.conversations.keys() {
            *of_source.entry(&conversation.source).or_default() += 1;
        }
        let first = self
            .conversations
            .iter()
            .min_by_key(|(conversation, slot)| {
                let others = of_source.get(&conversation.source).copied();
                (slot.open.is_some(), Reverse(others), slot.newest_at)
            });
        if let Some(conversation) = first.map(|(conversation, _)| conversation.clone()) {
            self.conversations.remove(&conversation);
        }
    }
}

/// Returns whether an answer to one question may be meant for the other. A "yes" selects none of
/// several choices, and a choice confirms nothing.
fn take_the_same_answers(earlier: &Draft, later: &Draft) -> bool {
    let selects = |draft: &Draft| draft.choices.len() > 1;
    let confirms = |draft: &Draft| draft.choices.is_empty() && draft.question.is_none();
    !(selects(earlier) && confirms(later) || confirms(earlier) && selects(later))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;
    use crate::vocabulary::action::Choice;

    fn question(text: &str) -> Question {
        Question {
            draft: Draft {
                speech: Some(text.to_owned()),
                ..Draft::default()
            },
            text: text.to_owned(),
            command: SharedStr::from("a command"),
        }
    }

    fn conversation(source: &str, context: Option<&str>) -> Conversation {
        Conversation {
            source: Source::new(source),
            context: context.map(str::to_owned),
        }
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_question_is_open_for_its_own_source_and_for_30_seconds() {
        let start = now();
        let (cli, panel) = (conversation("cli", None), conversation("panel", None));
        let mut pending = PendingConfirmations::default();
        assert!(pending.ask(&cli, question("door"), 1, start));
        assert_eq!(pending.peek(&panel, 2, start), None);
        let current = Some(OpenQuestion::Current(question("door")));
        assert_eq!(pending.peek(&cli, 2, start + seconds(29)), current);
        assert_eq!(pending.peek(&cli, 2, start + CONFIRMATION_WINDOW), None);
        pending.close(&cli, 2, start);
        assert_eq!(pending.peek(&cli, 2, start), None);
    }

    #[test]
    fn a_question_of_an_older_command_does_not_replace_one_of_a_newer_command() {
        let start = now();
        let panel = conversation("panel", None);
        let mut pending = PendingConfirmations::default();
        assert!(pending.ask(&panel, question("garage"), 2, start + seconds(1)));
        assert!(!pending.ask(&panel, question("back door"), 1, start + seconds(3)));
        let open = pending.peek(&panel, 3, start + seconds(4));
        assert_eq!(open, Some(OpenQuestion::Current(question("garage"))));
    }

    #[test]
    fn an_answer_right_after_a_replaced_question_is_not_accepted() {
        let start = now();
        let panel = conversation("panel", None);
        let mut pending = PendingConfirmations::default();
        pending.ask(&panel, question("door"), 1, start);
        pending.withdraw(&panel, 2, start + seconds(5));
        pending.ask(&panel, question("garage"), 2, start + seconds(5));
        let early = pending.peek(&panel, 3, start + seconds(6));
        assert_eq!(early, Some(OpenQuestion::JustReplaced(question("garage"))));
        pending.renew(&panel, start + seconds(6));
        let renewed = pending.peek(&panel, 4, start + seconds(6));
        assert_eq!(renewed, Some(OpenQuestion::Current(question("garage"))));
    }

    #[test]
    fn a_yes_after_a_question_with_choices_is_accepted_at_once() {
        let start = now();
        let panel = conversation("panel", None);
        let mut which = question("which one");
        let choice = Choice {
            names: Vec::new(),
            places: Vec::new(),
            actions: Vec::new(),
            left_out: Vec::new(),
        };
        which.draft.choices = vec![choice.clone(), choice];
        let mut pending = PendingConfirmations::default();
        pending.ask(&panel, which.clone(), 1, start);
        pending.withdraw(&panel, 2, start);
        pending.ask(&panel, question("garage"), 2, start);
        let open = pending.peek(&panel, 3, start);
        assert_eq!(open, Some(OpenQuestion::Current(question("garage"))));
        pending.withdraw(&panel, 3, start);
        which.draft.choices.pop();
        pending.ask(&panel, which.clone(), 3, start);
        let open = pending.peek(&panel, 4, start);
        assert_eq!(open, Some(OpenQuestion::JustReplaced(which)));
    }

    #[test]
    fn a_late_question_of_an_older_command_is_not_confirmed_by_an_answer_in_flight() {
        let start = now();
        let panel = conversation("panel", None);
        let mut pending = PendingConfirmations::default();
        pending.note_command(&panel, 1, start);
        pending.ask(&panel, question("garage"), 2, start + seconds(1));
        pending.close(&panel, 3, start + seconds(2));
        assert!(pending.ask(&panel, question("back door"), 1, start + seconds(3)));
        let early = pending.peek(&panel, 4, start + seconds(3));
        assert_eq!(
            early,
            Some(OpenQuestion::JustReplaced(question("back door")))
        );
    }

    #[test]
    fn a_repeated_question_is_answered_at_once() {
        let start = now();
        let panel = conversation("panel", None);
        let mut pending = PendingConfirmations::default();
        pending.ask(&panel, question("door"), 1, start);
        pending.withdraw(&panel, 2, start + seconds(1));
        pending.ask(&panel, question("door"), 2, start + seconds(1));
        let open = pending.peek(&panel, 3, start + seconds(1));
        assert_eq!(open, Some(OpenQuestion::Current(question("door"))));
    }

    #[test]
    fn the_number_of_conversations_is_bounded() {
        let start = now();
        let mut pending = PendingConfirmations::default();
        for n in 0..2 * MAX_CONVERSATIONS as u64 {
            pending.ask(
                &conversation(&n.to_string(), None),
                question("door"),
                n,
                start,
            );
        }
        assert_eq!(pending.conversations.len(), MAX_CONVERSATIONS);
    }

    #[test]
    fn another_conversation_of_the_source_does_not_answer() {
        let start = now();
        let (alice, bob) = (
            conversation("panel", Some("alice")),
            conversation("panel", Some("bob")),
        );
        let mut pending = PendingConfirmations::default();
        pending.ask(&alice, question("door"), 1, start);
        assert_eq!(pending.peek(&bob, 2, start), None);
        pending.withdraw(&bob, 2, start);
        let open = pending.peek(&alice, 3, start);
        assert_eq!(open, Some(OpenQuestion::Current(question("door"))));
    }

    #[test]
    fn a_source_with_many_conversations_takes_no_question_of_another() {
        let start = now();
        let mut pending = PendingConfirmations::default();
        let panel = conversation("panel", None);
        pending.ask(&panel, question("door"), 0, start);
        for n in 1..2 * MAX_CONVERSATIONS as u64 {
            let one = conversation("flood", Some(&n.to_string()));
            pending.ask(&one, question("gate"), n, start);
        }
        let open = pending.peek(&panel, u64::MAX, start);
        assert_eq!(open, Some(OpenQuestion::Current(question("door"))));
    }
}
