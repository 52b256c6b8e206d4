//! The progress of commands as both nodes of a pair see it on the broker: begun, answered, and the
//! newest command of each device. Pure; bounded in count, bytes and age.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value as Json;

use crate::pair::identity::CommandIdentity;
use crate::pair::mark::KnownCommand;

/// The most commands that are remembered.
const MAX_COMMANDS: usize = 8192;

/// The most bytes of plans and replies that are remembered.
const MAX_BYTES: usize = 8 << 20;

/// The longest plan that is remembered in bytes; a command with a longer one is uncertain after a
/// takeover.
pub(super) const MAX_PLAN: usize = 256 << 10;

/// The longest reply that is remembered, to be repeated for a client that sends its command again.
pub(super) const MAX_REPLY: usize = 16 << 10;

/// Bytes of an entry in addition to its texts.
const OVERHEAD: usize = 128;

/// The most timers that are remembered, and the longest record of one in bytes.
const MAX_TIMERS: usize = 512;
pub(super) const MAX_TIMER: usize = 96 << 10;

/// The rule for a command that the broker sends again after a takeover.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// No node has begun its actions.
    New,
    /// Its actions were begun, and no reply was seen: they may have been published.
    Begun {
        /// The planned messages; `Null` if they are not known.
        plan: Json,
        /// The devices that a newer command has reached since.
        overtaken: Vec<String>,
    },
    /// It was answered.
    Answered {
        /// The devices that its actions reached.
        devices: Vec<String>,
        /// The reply, unless it is too long.
        reply: Option<Bytes>,
    },
}

/// The progress of the commands of the last minutes.
#[derive(Debug)]
pub struct PairMemory {
    keep: Duration,
    commands: HashMap<CommandIdentity, KnownProgress>,
    /// Oldest first; an entry whose number is not that of the command is obsolete.
    order: VecDeque<(Instant, u64, CommandIdentity)>,
    /// The newest command of each device.
    newest: HashMap<String, CommandIdentity>,
    timers: BTreeMap<u64, Bytes>,
    next: u64,
    /// The position of the next command that the other node has seen; they are learned newest
    /// first.
    next_learned: i64,
    /// The position of the next command of the journal.
    next_recalled: i64,
    bytes: usize,
}

#[derive(Debug)]
struct KnownProgress {
    number: u64,
    /// Its position in the order in which commands were begun.
    position: i64,
    devices: Vec<String>,
    plan: Json,
    is_answered: bool,
    reply: Option<Bytes>,
    /// Whether it is known from the journal of this node alone.
    is_recalled: bool,
    bytes: usize,
}

impl PairMemory {
    /// Creates an empty memory that keeps each command for this time.
    pub fn new(keep: Duration) -> Self {
        Self {
            keep,
            commands: HashMap::new(),
            order: VecDeque::new(),
            newest: HashMap::new(),
            timers: BTreeMap::new(),
            next: 0,
            next_learned: -1,
            next_recalled: i64::MIN,
            bytes: 0,
        }
    }

    /// Notes that the actions of a command follow. `bytes` is the size of the mark.
    pub fn begun(
        &mut self,
        identity: CommandIdentity,
        (devices, plan): (Vec<String>, Json),
        bytes: usize,
        now: Instant,
    ) {
        let plan = if bytes > MAX_PLAN { Json::Null } else { plan };
        for device in &devices {
            self.newest.insert(device.clone(), identity);
        }
        let bytes = OVERHEAD + bytes.min(MAX_PLAN);
        self.remember(
            identity,
            KnownProgress {
                number: 0,
                position: self.next_position(),
                devices,
                plan,
                is_answered: false,
                reply: None,
                is_recalled: false,
                bytes,
            },
            now,
        );
    }

    /// Notes the reply to a command. Its plan is of no more use.
    pub fn answered(&mut self, identity: CommandIdentity, reply: &[u8], now: Instant) {
        let reply = (reply.len() <= MAX_REPLY).then(|| Bytes::copy_from_slice(reply));
        self.finished(identity, reply, now);
    }

    /// Notes that a command was answered, with its reply unless that is too long.
    pub(super) fn finished(
        &mut self,
        identity: CommandIdentity,
        reply: Option<Bytes>,
        now: Instant,
    ) {
        let (devices, position) = match self.commands.get_mut(&identity) {
            Some(known) => (std::mem::take(&mut known.devices), known.position),
            None => (Vec::new(), self.next_position()),
        };
        let names: usize = devices.iter().map(String::len).sum();
        let bytes = OVERHEAD + names + reply.as_ref().map_or(0, Bytes::len);
        self.remember(
            identity,
            KnownProgress {
                number: 0,
                position,
                devices,
                plan: Json::Null,
                is_answered: true,
                reply,
                is_recalled: false,
                bytes,
            },
            now,
        );
    }

    /// Returns the position of a command that is begun now.
    fn next_position(&self) -> i64 {
        i64::try_from(self.next).unwrap_or(i64::MAX)
    }

    fn remember(&mut self, identity: CommandIdentity, known: KnownProgress, now: Instant) {
        self.next += 1;
        let number = self.next;
        self.bytes += known.bytes;
        let before = self
            .commands
            .insert(identity, KnownProgress { number, ..known });
        self.bytes -= before.map_or(0, |before| before.bytes);
        self.order.push_back((now, number, identity));
        self.forget_old(now);
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((since, number, identity)) = self.order.front().copied() {
            let is_current = self
                .commands
                .get(&identity)
                .is_some_and(|known| known.number == number);
            let is_over = now.saturating_duration_since(since) > self.keep;
            let is_full = self.commands.len() > MAX_COMMANDS || self.bytes > MAX_BYTES;
            if is_current && !is_over && !is_full {
                return;
            }
            self.order.pop_front();
            if is_current && let Some(known) = self.commands.remove(&identity) {
                self.bytes -= known.bytes;
                for device in &known.devices {
                    if self.newest.get(device) == Some(&identity) {
                        self.newest.remove(device);
                    }
                }
            }
        }
    }

    /// Returns how far a command has come.
    pub fn progress(&self, identity: CommandIdentity) -> Progress {
        let Some(known) = self.commands.get(&identity) else {
            return Progress::New;
        };
        if known.is_answered {
            return Progress::Answered {
                devices: known.devices.clone(),
                reply: known.reply.clone(),
            };
        }
        let is_overtaken = |device: &&String| self.newest.get(*device) != Some(&identity);
        Progress::Begun {
            plan: known.plan.clone(),
            overtaken: known.devices.iter().filter(is_overtaken).cloned().collect(),
        }
    }

    /// Returns the progress of all commands, in the order in which they were begun.
    pub fn snapshot(&self) -> Vec<KnownCommand> {
        let mut known: Vec<_> = self.commands.iter().collect();
        known.sort_unstable_by_key(|(_, known)| known.position);
        known
            .into_iter()
            .map(|(identity, known)| KnownCommand {
                command: *identity,
                devices: known.devices.clone(),
                plan: known.plan.clone(),
                is_answered: known.is_answered,
            })
            .collect()
    }

    /// Takes over the progress of a command from the other node, unless it is known here. They come
    /// newest first.
    pub fn learn(&mut self, learned: KnownCommand, now: Instant) {
        let identity = learned.command;
        let known = self.commands.get(&identity);
        let adds_nothing = known.is_some_and(|known| known.is_answered || !learned.is_answered);
        if known.is_none_or(|known| known.is_recalled) {
            for device in &learned.devices {
                let newest = self.newest.get(device);
                let newest = newest.and_then(|newest| self.commands.get(newest));
                // Progress that this node has seen is newer, and that of its journal is older.
                if newest.is_none_or(|newest| newest.is_recalled) {
                    self.newest.insert(device.clone(), identity);
                }
            }
        }
        let position = match self.commands.get(&identity) {
            Some(known) if !known.is_recalled => known.position,
            _ => {
                self.next_learned -= 1;
                self.next_learned
            }
        };
        if let Some(known) = self.commands.get_mut(&identity)
            && adds_nothing
        {
            known.is_recalled = false;
            known.position = position;
            return;
        }
        let plan_bytes = learned.plan.to_string().len();
        let names: usize = learned.devices.iter().map(String::len).sum();
        self.remember(
            identity,
            KnownProgress {
                number: 0,
                position,
                devices: learned.devices,
                plan: learned.plan,
                is_answered: learned.is_answered,
                reply: None,
                is_recalled: false,
                bytes: OVERHEAD + names + plan_bytes,
            },
            now,
        );
    }

    /// Notes a command that the journal of this node has from an earlier run, with its reply if the
    /// broker has it. They come oldest first. Progress that this node has seen is newer.
    pub fn recall(&mut self, recalled: KnownCommand, reply: Option<&[u8]>, now: Instant) {
        let identity = recalled.command;
        let is_seen = |known: &KnownProgress| !known.is_recalled;
        if let Some(known) = self.commands.get(&identity).filter(|known| is_seen(known)) {
            if let Some(reply) = reply.filter(|_| known.reply.is_none()) {
                self.answered(identity, reply, now);
            }
            return;
        }
        let seen: Vec<(String, CommandIdentity)> = (recalled.devices.iter())
            .filter_map(|device| self.newest.get_key_value(device))
            .filter(|(_, newest)| self.commands.get(newest).is_some_and(is_seen))
            .map(|(device, newest)| (device.clone(), *newest))
            .collect();
        let bytes = recalled.plan.to_string().len();
        self.begun(identity, (recalled.devices, recalled.plan), bytes, now);
        if let Some(reply) = reply {
            self.answered(identity, reply, now);
        }
        self.newest.extend(seen);
        if let Some(known) = self.commands.get_mut(&identity) {
            known.is_recalled = true;
            known.position = self.next_recalled;
            self.next_recalled += 1;
        }
    }

    /// Forgets the commands that clients did not name: the broker has lost the session, and begins
    /// to count its packets again.
    pub fn forget_numbered(&mut self) {
        let bytes = &mut self.bytes;
        self.commands.retain(|identity, known| {
            if !identity.is_named() {
                *bytes -= known.bytes;
            }
            identity.is_named()
        });
        let commands = &self.commands;
        self.newest
            .retain(|_, identity| commands.contains_key(identity));
    }

    /// Notes the record of a timer; an empty one removes it.
    pub fn timer(&mut self, id: u64, record: &[u8]) {
        if record.is_empty() {
            self.timers.remove(&id);
        } else if record.len() <= MAX_TIMER
            && (self.timers.len() < MAX_TIMERS || self.timers.contains_key(&id))
        {
            self.timers.insert(id, Bytes::copy_from_slice(record));
        }
    }

    /// Returns the records of all timers, by their numbers.
    pub fn timers(&self) -> Vec<Vec<u8>> {
        self.timers.values().map(|record| record.to_vec()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEEP: Duration = Duration::from_mins(1);

    fn identity(n: u16) -> CommandIdentity {
        CommandIdentity::numbered("s/command/a", n, b"on")
    }

    fn begin(memory: &mut PairMemory, n: u16, device: &str, now: Instant) {
        let plan = (vec![device.to_owned()], json!([n]));
        memory.begun(identity(n), plan, 10, now);
    }

    #[test]
    fn a_command_is_new_then_begun_then_answered() {
        let now = crate::clock::now();
        let mut memory = PairMemory::new(KEEP);
        assert_eq!(memory.progress(identity(1)), Progress::New);
        begin(&mut memory, 1, "lamp", now);
        let begun = Progress::Begun {
            plan: json!([1]),
            overtaken: vec![],
        };
        assert_eq!(memory.progress(identity(1)), begun);
        memory.answered(identity(1), b"{}", now);
        let answered = Progress::Answered {
            devices: vec!["lamp".to_owned()],
            reply: Some(Bytes::from_static(b"{}")),
        };
        assert_eq!(memory.progress(identity(1)), answered);
    }

    #[test]
    fn a_newer_command_overtakes_an_older_one_on_its_device_alone() {
        let now = crate::clock::now();
        let mut memory = PairMemory::new(KEEP);
        begin(&mut memory, 1, "lamp", now);
        begin(&mut memory, 2, "blind", now);
        begin(&mut memory, 3, "lamp", now);
        memory.answered(identity(3), b"{}", now);
        let overtaken = |n| match memory.progress(identity(n)) {
            Progress::Begun { overtaken, .. } => overtaken,
            other => panic!("{other:?}"),
        };
        assert_eq!(overtaken(1), ["lamp"]);
        assert!(overtaken(2).is_empty());
    }

    #[test]
    fn old_commands_and_commands_above_the_limit_are_forgotten() {
        let start = crate::clock::now();
        let mut memory = PairMemory::new(KEEP);
        begin(&mut memory, 1, "lamp", start);
        begin(&mut memory, 2, "lamp", start + KEEP * 2);
        assert_eq!(memory.progress(identity(1)), Progress::New);
        assert_ne!(memory.progress(identity(2)), Progress::New);
        for n in 0..u16::MAX {
            memory.answered(identity(n), &[b'x'; 2000], start + KEEP * 2);
        }
        assert!(memory.commands.len() <= MAX_COMMANDS && memory.bytes <= MAX_BYTES);
        assert!(memory.order.len() <= MAX_COMMANDS + 1 && memory.newest.is_empty());
        assert_eq!(memory.progress(identity(2)), Progress::New);
    }

    #[test]
    fn a_node_that_starts_learns_the_progress_from_the_other() {
        let now = crate::clock::now();
        let mut old = PairMemory::new(KEEP);
        begin(&mut old, 1, "lamp", now);
        begin(&mut old, 2, "lamp", now);
        begin(&mut old, 3, "blind", now);
        old.answered(identity(3), b"{}", now);
        let mut new = PairMemory::new(KEEP);
        // In the order in which they were begun, the newest of a device first.
        for command in old.snapshot().into_iter().rev() {
            new.learn(command, now);
        }
        let overtaken = |n| match new.progress(identity(n)) {
            Progress::Begun { overtaken, .. } => overtaken,
            other => panic!("{other:?}"),
        };
        assert_eq!(overtaken(1), ["lamp"]);
        assert!(overtaken(2).is_empty());
        assert!(matches!(
            new.progress(identity(3)),
            Progress::Answered { .. }
        ));
    }

    #[test]
    fn a_journal_is_older_than_the_knowledge_of_the_other_node() {
        let now = crate::clock::now();
        let mut other = PairMemory::new(KEEP);
        for n in 1..=4 {
            begin(&mut other, n, "lamp", now);
        }
        other.answered(identity(1), b"{}", now);
        let mut new = PairMemory::new(KEEP);
        for n in 1..=2 {
            let recalled = KnownCommand {
                command: identity(n),
                devices: vec!["lamp".to_owned()],
                plan: json!([n]),
                is_answered: false,
            };
            new.recall(recalled, (n == 1).then_some(b"{}"), now);
        }
        assert!(matches!(
            new.progress(identity(1)),
            Progress::Answered { reply: Some(_), .. }
        ));
        for command in other.snapshot().into_iter().rev() {
            new.learn(command, now);
        }
        let overtaken = |n| match new.progress(identity(n)) {
            Progress::Begun { overtaken, .. } => overtaken,
            other => panic!("{other:?}"),
        };
        assert_eq!(overtaken(2), ["lamp"]);
        assert_eq!(overtaken(3), ["lamp"]);
        assert!(overtaken(4).is_empty(), "it is the newest");
        let order: Vec<_> = new.snapshot().into_iter().map(|one| one.command).collect();
        assert_eq!(order, [1, 2, 3, 4].map(identity), "as they were begun");
    }

    #[test]
    fn a_journal_that_is_read_later_does_not_undo_what_was_seen() {
        let now = crate::clock::now();
        let mut memory = PairMemory::new(KEEP);
        for n in 1..=3 {
            begin(&mut memory, n, "lamp", now);
        }
        memory.answered(identity(2), b"{}", now);
        for n in 0..=2 {
            let recalled = KnownCommand {
                command: identity(n),
                devices: vec!["lamp".to_owned()],
                plan: json!([n]),
                is_answered: false,
            };
            memory.recall(recalled, (n == 1).then_some(b"{}"), now);
        }
        let overtaken = |n| match memory.progress(identity(n)) {
            Progress::Begun { overtaken, .. } => overtaken,
            other => panic!("{other:?}"),
        };
        assert_eq!(overtaken(0), ["lamp"]);
        assert!(overtaken(3).is_empty(), "it is the newest");
        for n in 1..=2 {
            let progress = memory.progress(identity(n));
            assert!(matches!(progress, Progress::Answered { .. }), "{n}");
        }
        let order: Vec<_> = memory.snapshot().into_iter().map(|c| c.command).collect();
        assert_eq!(order, [0, 1, 2, 3].map(identity), "as they were begun");
    }

    #[test]
    fn a_lost_session_leaves_only_named_commands() {
        let now = crate::clock::now();
        let mut memory = PairMemory::new(KEEP);
        let named = CommandIdentity::named("s/command/a", b"7", b"on");
        memory.answered(named, b"{}", now);
        begin(&mut memory, 1, "lamp", now);
        memory.forget_numbered();
        assert_eq!(memory.progress(identity(1)), Progress::New);
        assert_ne!(memory.progress(named), Progress::New);
        assert_eq!(memory.commands.len(), 1);
        begin(&mut memory, 1, "lamp", now + KEEP * 2);
        assert_eq!(memory.commands.len(), 1, "the named one is too old");
    }

    #[test]
    fn timers_are_replaced_and_removed() {
        let mut memory = PairMemory::new(KEEP);
        memory.timer(1, b"a");
        memory.timer(2, b"b");
        memory.timer(1, b"c");
        memory.timer(2, b"");
        assert_eq!(memory.timers(), [b"c".to_vec()]);
        memory.timer(3, &vec![b'x'; MAX_TIMER + 1]);
        assert_eq!(memory.timers().len(), 1);
    }
}
