//! A bound on the commands that wait for a model: by number for those that make a request, by bytes
//! for those that share the request of an equal one, and for both by their bytes in the journal.
//!
//! Each of them holds a place in the daemon's event loop, and its record takes room in the journal.
//! The bounds stay well below the number of places and the room, so that commands that need no
//! model are always taken in.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::command::{Command, Source};
use crate::store::journal::MAX_OPEN_BYTES;

/// The most commands of all sources that make a request.
pub(super) const MAX_REQUESTERS: usize = 256;

/// The most commands of one source that make a request.
const MAX_REQUESTERS_PER_SOURCE: usize = 64;

/// Bytes of a command that shares a request, in addition to its texts: its task and its entries in
/// tables. Source: measured, 6.5 KiB in a release build.
const FOLLOWER_BYTES: usize = 8 << 10;

/// The most bytes of all commands that share requests: some 1,530 short ones.
const MAX_FOLLOWER_BYTES: usize = 12 << 20;

/// The most bytes of the commands of one source that share requests: some 1,270 short ones.
const MAX_FOLLOWER_BYTES_PER_SOURCE: usize = 10 << 20;

/// The most bytes of all their records in the journal: half of its room for commands without a
/// reply.
const MAX_RECORDED_BYTES: usize = MAX_OPEN_BYTES / 2;

/// The most bytes of the records of one source.
const MAX_RECORDED_BYTES_PER_SOURCE: usize = MAX_OPEN_BYTES / 3;

/// The commands that wait for a model, by source.
#[derive(Debug, Default)]
pub(super) struct ModelWaiters(Mutex<WaiterCounts>);

#[derive(Debug, Default)]
struct WaiterCounts {
    total: Waiting,
    by_source: HashMap<Source, Waiting>,
}

/// The places in use.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    requesters: usize,
    follower_bytes: usize,
    recorded_bytes: usize,
}

/// The most places of all sources.
const MAX_WAITING: Waiting = Waiting {
    requesters: MAX_REQUESTERS,
    follower_bytes: MAX_FOLLOWER_BYTES,
    recorded_bytes: MAX_RECORDED_BYTES,
};

/// The most places of one source.
const MAX_WAITING_PER_SOURCE: Waiting = Waiting {
    requesters: MAX_REQUESTERS_PER_SOURCE,
    follower_bytes: MAX_FOLLOWER_BYTES_PER_SOURCE,
    recorded_bytes: MAX_RECORDED_BYTES_PER_SOURCE,
};

impl Waiting {
    fn plus(self, more: Self) -> Self {
        Self {
            requesters: self.requesters + more.requesters,
            follower_bytes: self.follower_bytes + more.follower_bytes,
            recorded_bytes: self.recorded_bytes + more.recorded_bytes,
        }
    }

    fn minus(self, less: Self) -> Self {
        Self {
            requesters: self.requesters - less.requesters,
            follower_bytes: self.follower_bytes - less.follower_bytes,
            recorded_bytes: self.recorded_bytes - less.recorded_bytes,
        }
    }

    fn is_within(self, most: Self) -> bool {
        self.requesters <= most.requesters
            && self.follower_bytes <= most.follower_bytes
            && self.recorded_bytes <= most.recorded_bytes
    }
}

/// The place of one waiting command; dropping it frees the place.
pub(super) struct WaiterPlace<'a> {
    waiters: &'a ModelWaiters,
    source: &'a Source,
    taken: Waiting,
}

impl ModelWaiters {
    /// Takes a place for a command that makes a request, or shares one in flight. Returns `None`
    /// where its source or all sources together have none left. `recorded_bytes` are those of its
    /// record in the journal.
    pub(super) fn enter<'a>(
        &'a self,
        command: &'a Command,
        shares: bool,
        recorded_bytes: usize,
    ) -> Option<WaiterPlace<'a>> {
        let taken = Waiting {
            requesters: usize::from(!shares),
            follower_bytes: if shares { follower_bytes(command) } else { 0 },
            recorded_bytes,
        };
        let source = &command.source;
        let mut counts = self.0.lock();
        let known = counts.by_source.get(source).copied().unwrap_or_default();
        let (total, of_source) = (counts.total.plus(taken), known.plus(taken));
        let is_free = total.is_within(MAX_WAITING) && of_source.is_within(MAX_WAITING_PER_SOURCE);
        if !is_free {
            return None;
        }
        counts.total = total;
        counts.by_source.insert(source.clone(), of_source);
        Some(WaiterPlace {
            waiters: self,
            source,
            taken,
        })
    }
}

fn follower_bytes(command: &Command) -> usize {
    // The text is kept twice: as received, and as a phrase.
    let texts = 2 * command.text.len() + command.id.len() + command.reply_to.topic.len();
    FOLLOWER_BYTES + texts + command.reply_to.correlation.as_ref().map_or(0, Vec::len)
}

impl Drop for WaiterPlace<'_> {
    fn drop(&mut self) {
        let mut counts = self.waiters.0.lock();
        counts.total = counts.total.minus(self.taken);
        let Some(of_source) = counts.by_source.get_mut(self.source) else {
            return;
        };
        *of_source = of_source.minus(self.taken);
        if *of_source == Waiting::default() {
            counts.by_source.remove(self.source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::ReplyTo;

    fn command(source: &str, text: &str) -> Command {
        Command {
            id: "a".into(),
            reply_to: ReplyTo {
                topic: "sayso/reply/a".to_owned(),
                correlation: None,
            },
            ..Command::for_test(source, text)
        }
    }

    #[test]
    fn one_source_leaves_places_for_others_and_frees_its_own() {
        let waiters = ModelWaiters::default();
        let (panel, phone) = (command("panel", "lamp on"), command("phone", "lamp on"));
        for (shares, least) in [(false, MAX_REQUESTERS_PER_SOURCE), (true, 1000)] {
            let mut places: Vec<_> =
                std::iter::from_fn(|| waiters.enter(&panel, shares, 300)).collect();
            assert!(places.len() >= least, "{} places", places.len());
            assert!(waiters.enter(&phone, shares, 300).is_some());
            places.pop();
            assert!(waiters.enter(&panel, shares, 300).is_some());
            drop(places);
            assert!(waiters.0.lock().by_source.is_empty());
            assert_eq!(waiters.0.lock().total, Waiting::default());
        }
    }

    #[test]
    fn many_sources_share_one_bound() {
        let waiters = ModelWaiters::default();
        let commands: Vec<Command> = (0..2 * MAX_REQUESTERS)
            .map(|n| command(&n.to_string(), "lamp on"))
            .collect();
        let places: Vec<_> = commands
            .iter()
            .filter_map(|command| waiters.enter(command, false, 300))
            .collect();
        assert_eq!(places.len(), MAX_REQUESTERS);
    }

    #[test]
    fn commands_that_share_a_request_are_bounded_in_bytes() {
        let waiters = ModelWaiters::default();
        let long = "lamp on ".repeat(2000);
        let commands: Vec<Command> = (0..2000).map(|n| command(&n.to_string(), &long)).collect();
        let places: Vec<_> = commands
            .iter()
            .filter_map(|command| waiters.enter(command, true, 300))
            .collect();
        assert!(places.len() * (FOLLOWER_BYTES + 2 * long.len()) <= MAX_FOLLOWER_BYTES);
        assert!(places.len() > 100, "{} places", places.len());
    }

    #[test]
    fn long_commands_leave_room_in_the_journal_for_others() {
        for shares in [false, true] {
            let waiters = ModelWaiters::default();
            let commands: Vec<Command> = (0..400)
                .map(|n| command(&(n % 50).to_string(), "lamp on"))
                .collect();
            let places: Vec<_> = commands
                .iter()
                .filter_map(|command| waiters.enter(command, shares, 17 << 10))
                .collect();
            assert!(places.len() * (17 << 10) <= MAX_OPEN_BYTES / 2);
            assert!(places.len() > 60, "{} places", places.len());
        }
    }
}
