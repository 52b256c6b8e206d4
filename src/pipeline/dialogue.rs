//! Memory of the last commands of each source, for sentences that refer to them. Pure.
//!
//! A source may hold several conversations, which the field `context` of a command distinguishes. A
//! sentence refers to the last command of its conversation, for five minutes; `undo` reaches back
//! ten. Nothing can refer to a command that failed: "it" would be the device that was not
//! understood.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::command::Command;
use crate::command::reply::{Outcome, Via};
use crate::pipeline::conversation::Conversation;
use crate::vocabulary::Value;
use crate::vocabulary::action::{Action, ActionList};
use crate::vocabulary::shared_str::SharedStr;

/// The time for which a command can be referred to.
pub(super) const REFERABLE_FOR: Duration = Duration::from_mins(5);

/// The time for which a command can be undone.
pub(super) const UNDOABLE_FOR: Duration = Duration::from_mins(10);

/// The most commands remembered in one conversation.
const MAX_TURNS: usize = 8;

/// The most conversations remembered; past it the least recent one is forgotten.
const MAX_CONVERSATIONS: usize = 256;

/// The most bytes of a text that are remembered.
const MAX_TEXT: usize = 400;

/// The state of one property before a command.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Earlier {
    /// The action that the command made.
    pub(super) action: Action,
    /// The value that the command set, where it is known.
    pub(super) became: Option<Value>,
    /// The value before the command, where it was known.
    pub(super) before: Option<Value>,
    /// The power of the device before the command, where it has one and it was known.
    pub(super) power: Option<Value>,
}

/// The part that a command has in the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TurnResult {
    /// It changed devices, or asked about them.
    Acted,
    /// It restored the state before an earlier command.
    Restored,
    /// It was refused, or ended with a question.
    Failed,
}

/// One command and its result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Turn {
    pub(super) seq: u64,
    pub(super) at: Instant,
    pub(super) part: TurnResult,
    /// The text of the command, shortened.
    pub(super) text: SharedStr,
    /// The sentence of the reply.
    pub(super) speech: String,
    pub(super) via: Via,
    /// The actions that were done.
    pub(super) actions: ActionList,
    /// Whether the actions are for several devices that were named one by one.
    pub(super) is_list: bool,
    /// The device that was offered beside the chosen one.
    pub(super) other: Option<String>,
    /// The states before the command.
    pub(super) earlier: Vec<Earlier>,
    /// The number of the timer that it set.
    pub(super) timer: Option<String>,
    /// True once it has been undone.
    pub(super) undone: bool,
}

/// The conversations by source and context.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    conversations: HashMap<Conversation, History>,
}

#[derive(Debug, Default)]
struct History {
    turns: VecDeque<Turn>,
    /// Sequence numbers of commands whose result is not known yet.
    pending: BTreeSet<u64>,
    used_at: Option<Instant>,
}

/// Returns a text in one line, as a model is shown it.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns at most [`MAX_TEXT`] bytes of a text.
pub(super) fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// Returns the same of a shared text, which is copied only if it is longer.
pub(super) fn shortened_shared(text: &SharedStr) -> SharedStr {
    if text.len() <= MAX_TEXT {
        text.clone()
    } else {
        shortened(text).into()
    }
}

impl Turn {
    /// Returns whether the outcome of a command leaves something to refer to.
    pub(super) fn part_of(outcome: Outcome, actions: &[Action]) -> TurnResult {
        match outcome {
            Outcome::Done | Outcome::Answered if !actions.is_empty() => TurnResult::Acted,
            _ => TurnResult::Failed,
        }
    }
}

impl Dialogue {
    /// Notes a command whose result is not known yet.
    pub(super) fn begin(&mut self, command: &Command, now: Instant) {
        let key = Conversation::of(command);
        if !self.conversations.contains_key(&key) && self.conversations.len() >= MAX_CONVERSATIONS {
            self.forget_one(now);
        }
        let history = self.conversations.entry(key).or_default();
        history.pending.insert(command.seq);
        history.used_at = Some(now);
    }

    /// Notes that the result of a command is known, or will never be.
    pub(super) fn end(&mut self, command: &Command) {
        if let Some(history) = self.conversations.get_mut(&Conversation::of(command)) {
            history.pending.remove(&command.seq);
        }
    }

    /// Returns whether an earlier command of the conversation has no result yet.
    pub(super) fn has_earlier(&self, command: &Command) -> bool {
        let history = self.conversations.get(&Conversation::of(command));
        history.is_some_and(|history| history.pending.range(..command.seq).next().is_some())
    }

    /// Remembers a command with its result.
    pub(super) fn remember(&mut self, command: &Command, turn: Turn) {
        let now = turn.at;
        let Some(history) = self.conversations.get_mut(&Conversation::of(command)) else {
            return;
        };
        history
            .turns
            .retain(|old| now.saturating_duration_since(old.at) < UNDOABLE_FOR);
        // Commands may end in another order than they were received in.
        let at = history.turns.partition_point(|old| old.seq < turn.seq);
        history.turns.insert(at, turn);
        while history.turns.len() > MAX_TURNS {
            history.turns.pop_front();
        }
        history.used_at = Some(now);
    }

    /// Returns the commands before this one, the last one first.
    fn turns(&self, command: &Command) -> impl Iterator<Item = &Turn> {
        let history = self.conversations.get(&Conversation::of(command));
        let turns = history
            .into_iter()
            .flat_map(|history| history.turns.iter().rev());
        turns.filter(|turn| turn.seq < command.seq)
    }

    /// Returns the command before this one, successful or not.
    pub(super) fn last(&self, command: &Command, now: Instant) -> Option<&Turn> {
        let last = self.turns(command).next()?;
        (now.saturating_duration_since(last.at) < REFERABLE_FOR).then_some(last)
    }

    /// Returns the command that a sentence refers to: the last one, if it did something.
    pub(super) fn referent(&self, command: &Command, now: Instant) -> Option<&Turn> {
        let last = self.last(command, now)?;
        (last.part != TurnResult::Failed && !last.actions.is_empty()).then_some(last)
    }

    /// Returns the command that `undo` means: the last one that acted and was not undone yet.
    pub(super) fn undoable(&self, command: &Command, now: Instant) -> Option<&Turn> {
        let mut turns = self.turns(command);
        let fresh = |turn: &&Turn| now.saturating_duration_since(turn.at) < UNDOABLE_FOR;
        turns
            .find(|turn| {
                let changes = !turn.earlier.is_empty();
                turn.part == TurnResult::Failed
                    || (turn.part == TurnResult::Acted && changes && !turn.undone)
            })
            .filter(fresh)
            .filter(|turn| turn.part == TurnResult::Acted)
    }

    /// Returns the commands after `seq` that were undone or undid something: they left the devices
    /// as the command `seq` had left them.
    pub(super) fn reverted_since(&self, command: &Command, seq: u64) -> BTreeSet<u64> {
        self.turns(command)
            .filter(|turn| turn.seq > seq && (turn.undone || turn.part == TurnResult::Restored))
            .map(|turn| turn.seq)
            .collect()
    }

    /// Notes that a command was undone.
    pub(super) fn mark_undone(&mut self, command: &Command, seq: u64) {
        let history = self.conversations.get_mut(&Conversation::of(command));
        let turns = history.into_iter().flat_map(|history| &mut history.turns);
        for turn in turns.filter(|turn| turn.seq == seq) {
            turn.undone = true;
        }
    }

    /// Forgets everything about devices that `keep` rejects.
    pub(super) fn retain_devices(&mut self, keep: impl Fn(&str) -> bool) {
        for history in self.conversations.values_mut() {
            history.turns.retain(|turn| {
                let mut devices = turn.actions.iter().map(|action| action.device.as_str());
                devices.all(&keep)
            });
        }
    }

    /// Returns the last commands that acted, the oldest first, at most `count`.
    pub(super) fn recent(&self, command: &Command, now: Instant, count: usize) -> Vec<&Turn> {
        let mut recent: Vec<&Turn> = self
            .turns(command)
            .take_while(|turn| now.saturating_duration_since(turn.at) < REFERABLE_FOR)
            .take_while(|turn| turn.part != TurnResult::Failed)
            .take(count)
            .collect();
        recent.reverse();
        recent
    }

    fn forget_one(&mut self, now: Instant) {
        let age = |history: &History| {
            let used = history.used_at;
            used.map_or(Duration::MAX, |at| now.saturating_duration_since(at))
        };
        self.conversations
            .retain(|_, history| age(history) < UNDOABLE_FOR || !history.pending.is_empty());
        if self.conversations.len() < MAX_CONVERSATIONS {
            return;
        }
        let oldest = self
            .conversations
            .iter()
            .max_by_key(|(_, history)| age(history));
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.conversations.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;
    use crate::vocabulary::action::Op;

    fn command(seq: u64, context: Option<&str>) -> Command {
        Command {
            id: seq.to_string().into(),
            context: context.map(str::to_owned),
            seq,
            ..Command::for_test("panel", "x")
        }
    }

    fn turn(seq: u64, at: Instant, part: TurnResult) -> Turn {
        let action = Action {
            device: format!("lamp_{seq}").into(),
            property: "power".into(),
            op: Op::Set,
            value: Some(Value::text("on")),
        };
        Turn {
            seq,
            at,
            part,
            text: "x".into(),
            speech: String::new(),
            via: Via::Local,
            actions: [action.clone()].into_iter().collect(),
            is_list: false,
            other: None,
            earlier: vec![Earlier {
                action,
                became: Some(Value::text("on")),
                before: Some(Value::text("off")),
                power: Some(Value::text("off")),
            }],
            timer: None,
            undone: false,
        }
    }

    fn remembering(turns: Vec<Turn>) -> Dialogue {
        let mut dialogue = Dialogue::default();
        for turn in turns {
            let command = command(turn.seq, None);
            dialogue.begin(&command, turn.at);
            dialogue.remember(&command, turn);
            dialogue.end(&command);
        }
        dialogue
    }

    #[test]
    fn a_sentence_refers_to_the_last_command_for_five_minutes() {
        let start = now();
        let dialogue = remembering(vec![
            turn(1, start, TurnResult::Acted),
            turn(2, start, TurnResult::Acted),
        ]);
        let referent = |at| {
            dialogue
                .referent(&command(3, None), at)
                .map(|turn| turn.seq)
        };
        assert_eq!(referent(start + Duration::from_secs(299)), Some(2));
        assert_eq!(referent(start + REFERABLE_FOR), None);
        let elsewhere = dialogue.referent(&command(3, Some("phone")), start);
        assert_eq!(elsewhere, None, "another context");
    }

    #[test]
    fn a_command_that_failed_leaves_nothing_to_refer_to() {
        let start = now();
        let dialogue = remembering(vec![
            turn(1, start, TurnResult::Acted),
            turn(2, start, TurnResult::Failed),
        ]);
        let command = command(3, None);
        assert_eq!(dialogue.referent(&command, start), None);
        assert_eq!(dialogue.undoable(&command, start), None);
        assert_eq!(dialogue.last(&command, start).map(|turn| turn.seq), Some(2));
    }

    #[test]
    fn each_command_is_undone_once_and_the_last_one_first() {
        let start = now();
        let mut dialogue = remembering(vec![
            turn(1, start, TurnResult::Acted),
            turn(2, start, TurnResult::Acted),
        ]);
        let command = command(9, None);
        for expected in [Some(2), Some(1), None] {
            let found = dialogue.undoable(&command, start).map(|turn| turn.seq);
            assert_eq!(found, expected);
            if let Some(seq) = found {
                dialogue.mark_undone(&command, seq);
            }
        }
    }

    #[test]
    fn a_command_never_refers_to_a_later_one() {
        let start = now();
        let dialogue = remembering(vec![
            turn(1, start, TurnResult::Acted),
            turn(5, start, TurnResult::Acted),
        ]);
        let referent = dialogue.referent(&command(3, None), start);
        assert_eq!(referent.map(|turn| turn.seq), Some(1));
    }

    #[test]
    fn an_earlier_command_without_a_result_is_known() {
        let mut dialogue = Dialogue::default();
        dialogue.begin(&command(1, None), now());
        dialogue.begin(&command(2, None), now());
        assert!(dialogue.has_earlier(&command(2, None)));
        assert!(!dialogue.has_earlier(&command(1, None)));
        dialogue.end(&command(1, None));
        assert!(!dialogue.has_earlier(&command(2, None)));
    }

    #[test]
    fn turns_and_conversations_are_bounded() {
        let start = now();
        let mut dialogue = Dialogue::default();
        for seq in 0..3 * MAX_CONVERSATIONS as u64 {
            let command = command(seq, Some(&(seq / 2).to_string()));
            dialogue.begin(&command, start);
            dialogue.remember(&command, turn(seq, start, TurnResult::Acted));
            dialogue.end(&command);
        }
        assert!(dialogue.conversations.len() <= MAX_CONVERSATIONS);
        let many = remembering(
            (0..40)
                .map(|seq| turn(seq, start, TurnResult::Acted))
                .collect(),
        );
        let history = many.conversations.values().next().unwrap();
        assert_eq!(history.turns.len(), MAX_TURNS);
        assert!(shortened(&"ü".repeat(400)).len() <= MAX_TEXT);
    }
}
