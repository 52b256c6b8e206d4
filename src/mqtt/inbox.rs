//! What came in, in the order it came: commands, states of devices, and the connection's ups and downs.
//! The poll loop puts it here and never waits; what does not fit is turned away at once.

use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::clock::now;
use crate::command::{Command, Source};

/// States that may wait. A house of 200 devices tells some thousand retained ones in one breath at start.
const STATES: usize = 4096;

/// Bytes of states that may wait. `Zigbee2MQTT`'s list of devices alone can have 1 MB.
const STATE_BYTES: usize = 8 << 20;

/// Requests of operators that may wait, and the longest, in bytes: people type them.
const CONTROLS: usize = 16;
const LARGEST_CONTROL: usize = 4 << 10;

/// The shortest time after which a speaker is told to try again.
const SOONEST_RETRY: Duration = Duration::from_secs(1);

/// The longest time after which a speaker is told to try again.
const LATEST_RETRY: Duration = Duration::from_mins(1);

/// One thing heard.
#[derive(Debug)]
pub enum Incoming {
    /// A command. It waits to be acknowledged.
    Command(Box<InboundCommand>),
    /// A request of an operator.
    Control {
        /// Where it was heard: the last level says by whom.
        topic: String,
        /// What is wanted.
        payload: Bytes,
        /// What the answer is to be marked with.
        correlation: Option<Vec<u8>>,
    },
    /// A message on a state topic.
    State {
        /// Where it was heard.
        topic: String,
        /// What it says.
        payload: Bytes,
        /// True where the broker had kept it: it tells how things are, not that they changed.
        retained: bool,
    },
    /// The broker is there and the subscriptions stand. Commands it had kept may come before this.
    Up {
        /// False where the broker had forgotten the session: what it held for us is gone.
        session_present: bool,
    },
    /// The broker is not there, or not any more. Told once, not for each attempt.
    Down {
        /// Why, in words.
        why: String,
    },
}

/// A command as it was heard.
#[derive(Debug)]
pub struct InboundCommand {
    /// What was understood of it so far.
    pub command: Command,
    /// To be handed to [`Outbox::acknowledge`](crate::mqtt::outbox::Outbox::acknowledge) once the command cannot be lost.
    pub receipt: AckToken,
    /// True where it may have been heard before: the broker says so, or the connection is a few seconds old.
    pub redelivered: bool,
    /// The connection it was heard on: 1 is the first, each new one counts up.
    pub epoch: u64,
    /// Where it was heard.
    pub topic: String,
    /// What was sent, for the journal.
    pub payload: Bytes,
}

/// The right to acknowledge one message, once, on the connection it came by. The broker sends it again where it is never used.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an unacknowledged message holds back the acknowledgements of later ones"]
pub struct AckToken {
    pub(super) epoch: u64,
    /// The MQTT packet id; 0 where there is nothing to acknowledge (`QoS` 0).
    pub(super) pkid: u16,
}

/// The reading end. Dropping it, or [`Inbox::close`], stops the intake of commands.
#[derive(Debug)]
pub struct Inbox(Arc<InboxSender>);

/// The writing end, held by the poll loop.
#[derive(Debug)]
pub(super) struct InboxSender {
    line: Mutex<InboxQueue>,
    wake: Notify,
    most_commands: usize,
}

#[derive(Debug, Default)]
struct InboxQueue {
    waiting: VecDeque<Incoming>,
    commands: usize,
    controls: usize,
    states: usize,
    state_bytes: usize,
    last_taken: Option<Instant>,
    /// Seconds from one command taken to the next while more were waiting, smoothed.
    pace: Option<f64>,
    /// The reader wants no more commands.
    closed: bool,
    /// Nothing will come any more.
    ended: bool,
}

/// Why a command was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// The line is full.
    Busy {
        /// When there should be room.
        retry_after: Duration,
    },
    /// sayso is stopping.
    Closed,
}

pub(super) fn inbox(most_commands: NonZeroUsize) -> (Arc<InboxSender>, Inbox) {
    let intake = Arc::new(InboxSender {
        line: Mutex::default(),
        wake: Notify::new(),
        most_commands: most_commands.get(),
    });
    (Arc::clone(&intake), Inbox(intake))
}

impl Inbox {
    /// The next thing heard; `None` once the connection has ended, or the inbox is closed, and nothing waits any more.
    /// A call that is dropped loses nothing.
    pub async fn next(&mut self) -> Option<Incoming> {
        loop {
            {
                let mut line = self.0.line();
                if let Some(incoming) = line.take(now()) {
                    return Some(incoming);
                }
                if line.ended || line.closed {
                    return None;
                }
            }
            self.0.wake.notified().await;
        }
    }

    /// Stops the intake: what waits can still be read, later commands stay with the broker, unacknowledged, until the next start.
    pub fn close(&mut self) {
        self.0.line().closed = true;
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.close();
    }
}

impl InboxSender {
    fn line(&self) -> MutexGuard<'_, InboxQueue> {
        self.line.lock()
    }

    /// Puts a command in line; hands back the one that is to be turned away, where one is. In a full line that is this one, or
    /// the last of a source that has more there: who floods the line does not keep the others out.
    pub(super) fn command(
        &self,
        heard: Box<InboundCommand>,
    ) -> Result<(), (Rejected, Box<InboundCommand>)> {
        let mut line = self.line();
        if line.closed {
            return Err((Rejected::Closed, heard));
        }
        if line.commands >= self.most_commands {
            let busy = Rejected::Busy {
                retry_after: line.retry_after(now()),
            };
            let Some(at) = line.last_of_the_greediest(&heard.command.source) else {
                return Err((busy, heard));
            };
            let Some(Incoming::Command(other)) = line.waiting.remove(at) else {
                return Err((busy, heard));
            };
            line.waiting.push_back(Incoming::Command(heard));
            return Err((busy, other));
        }
        line.commands += 1;
        line.waiting.push_back(Incoming::Command(heard));
        drop(line);
        self.wake.notify_one();
        Ok(())
    }

    /// Whether so many commands wait that whoever takes them out should have a turn before more are put in.
    pub(super) fn is_half_full(&self) -> bool {
        2 * self.line().commands >= self.most_commands
    }

    /// Puts a request in line; false where it did not fit and is dropped.
    pub(super) fn control(
        &self,
        topic: String,
        payload: Bytes,
        correlation: Option<Vec<u8>>,
    ) -> bool {
        let mut line = self.line();
        if line.closed || line.controls >= CONTROLS || payload.len() > LARGEST_CONTROL {
            return false;
        }
        line.controls += 1;
        line.waiting.push_back(Incoming::Control {
            topic,
            payload,
            correlation,
        });
        drop(line);
        self.wake.notify_one();
        true
    }

    /// Puts a state in line; false where it did not fit and is dropped.
    pub(super) fn state(&self, topic: String, payload: Bytes, retained: bool) -> bool {
        let mut line = self.line();
        // One message always fits an empty line, however large it is.
        let fits = line.states == 0
            || (line.states < STATES && line.state_bytes + payload.len() <= STATE_BYTES);
        if line.closed || !fits {
            return line.closed;
        }
        line.states += 1;
        line.state_bytes += payload.len();
        line.waiting.push_back(Incoming::State {
            topic,
            payload,
            retained,
        });
        drop(line);
        self.wake.notify_one();
        true
    }

    /// Tells that the connection came or went.
    pub(super) fn link(&self, news: Incoming) {
        let mut line = self.line();
        // A connection that flaps while nobody reads would fill the memory: then the last news are enough.
        if matches!(
            line.waiting.back(),
            Some(Incoming::Up { .. } | Incoming::Down { .. })
        ) {
            line.waiting.pop_back();
        }
        line.waiting.push_back(news);
        drop(line);
        self.wake.notify_one();
    }

    /// Tells that nothing will come any more.
    pub(super) fn end(&self) {
        self.line().ended = true;
        self.wake.notify_one();
    }
}

impl InboxQueue {
    fn take(&mut self, now: Instant) -> Option<Incoming> {
        let incoming = self.waiting.pop_front()?;
        match &incoming {
            Incoming::Command(_) => {
                let gap = self
                    .last_taken
                    .replace(now)
                    .map(|last| now.saturating_duration_since(last).as_secs_f64());
                self.commands -= 1;
                if self.commands > 0 {
                    self.pace = gap
                        .map(|gap| self.pace.map_or(gap, |pace| 0.8 * pace + 0.2 * gap))
                        .or(self.pace);
                }
            }
            Incoming::Control { .. } => self.controls -= 1,
            Incoming::State { payload, .. } => {
                self.states -= 1;
                self.state_bytes -= payload.len();
            }
            Incoming::Up { .. } | Incoming::Down { .. } => {}
        }
        Some(incoming)
    }

    /// Where the last command stands of the source that has the most in line, if one more of `source` would still be fewer.
    fn last_of_the_greediest(&self, source: &Source) -> Option<usize> {
        let mut counts: HashMap<&Source, (usize, usize)> = HashMap::new();
        for (at, waiting) in self.waiting.iter().enumerate() {
            if let Incoming::Command(heard) = waiting {
                let (count, last) = counts.entry(&heard.command.source).or_default();
                (*count, *last) = (*count + 1, at);
            }
        }
        let own = counts.get(source).map_or(0, |(count, _)| *count);
        counts
            .into_values()
            .max()
            .filter(|(count, _)| own + 1 < *count)
            .map(|(_, last)| last)
    }

    /// When half of the line will be gone: who comes then finds room, even where others come too.
    /// While the pace is unknown, the age of the oldest in line is the best that can be said.
    fn retry_after(&self, now: Instant) -> Duration {
        let oldest = self.waiting.iter().find_map(|w| {
            if let Incoming::Command(heard) = w {
                Some(heard.command.heard_at)
            } else {
                None
            }
        });
        let age = oldest
            .map(|at| now.saturating_duration_since(at))
            .unwrap_or_default();
        let commands = u32::try_from(self.commands).unwrap_or(u32::MAX);
        let by_pace = self
            .pace
            .and_then(|pace| Duration::try_from_secs_f64(pace * f64::from(commands) / 2.0).ok());
        by_pace.unwrap_or(age).clamp(SOONEST_RETRY, LATEST_RETRY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::ReplyTo;

    fn heard(text: &str) -> Box<InboundCommand> {
        let command = Command {
            id: text.to_owned(),
            id_given: false,
            text: text.to_owned(),
            source: Source::new("hall"),
            area: None,
            language: None,
            heard_at: now(),
            deadline: now(),
            dry_run: false,
            stream: None,
            reply_to: ReplyTo {
                topic: String::new(),
                correlation: None,
            },
            hops: 0,
            turn: 0,
        };
        Box::new(InboundCommand {
            command,
            receipt: AckToken { epoch: 1, pkid: 1 },
            redelivered: false,
            epoch: 1,
            topic: String::new(),
            payload: Bytes::new(),
        })
    }

    fn line(most: usize) -> (Arc<InboxSender>, Inbox) {
        inbox(NonZeroUsize::new(most).unwrap())
    }

    fn state(intake: &InboxSender, bytes: usize) -> bool {
        intake.state("t".to_owned(), Bytes::from(vec![0; bytes]), false)
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_line_tells_when_half_of_it_will_be_gone() {
        let (intake, mut inbox) = line(4);
        for i in 0..4 {
            intake.command(heard(&i.to_string())).unwrap();
        }
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(10)).await;
            assert!(matches!(inbox.next().await, Some(Incoming::Command(_))));
            intake.command(heard("more")).unwrap();
        }
        let (turned, _) = intake.command(heard("one too many")).unwrap_err();
        assert_eq!(
            turned,
            Rejected::Busy {
                retry_after: Duration::from_secs(20)
            }
        );
    }

    fn of(source: &str, text: &str) -> Box<InboundCommand> {
        let mut heard = heard(text);
        heard.command.source = Source::new(source);
        heard
    }

    #[tokio::test]
    async fn who_floods_the_line_makes_room_for_who_does_not() {
        let (intake, mut inbox) = line(4);
        for text in ["1", "2", "3", "4"] {
            intake.command(of("loud", text)).unwrap();
        }
        let turned = |result: Result<(), (Rejected, Box<InboundCommand>)>| {
            result.unwrap_err().1.command.text
        };
        assert_eq!(turned(intake.command(of("loud", "5"))), "5");
        assert_eq!(turned(intake.command(of("quiet", "a"))), "4");
        assert_eq!(turned(intake.command(of("quiet", "b"))), "3");
        assert_eq!(
            turned(intake.command(of("quiet", "c"))),
            "c",
            "an equal share is enough"
        );
        inbox.close();
        let mut taken = Vec::new();
        while let Some(Incoming::Command(heard)) = inbox.next().await {
            taken.push(heard.command.text);
        }
        assert_eq!(taken, ["1", "2", "a", "b"]);
    }

    #[tokio::test]
    async fn states_do_not_take_the_room_of_commands_nor_grow_without_end() {
        let (intake, mut inbox) = line(1);
        assert!(state(&intake, STATE_BYTES + 1), "one always fits");
        assert!(!state(&intake, 1));
        assert!(matches!(inbox.next().await, Some(Incoming::State { .. })));
        let taken = (0..STATES + 10).filter(|_| state(&intake, 1)).count();
        assert_eq!(taken, STATES);
        assert!(intake.command(heard("still room")).is_ok());
    }

    #[tokio::test]
    async fn a_closed_inbox_gives_what_waits_and_takes_no_more() {
        let (intake, mut inbox) = line(4);
        intake.command(heard("before")).unwrap();
        inbox.close();
        assert_eq!(
            intake.command(heard("after")).unwrap_err().0,
            Rejected::Closed
        );
        assert!(
            matches!(inbox.next().await, Some(Incoming::Command(h)) if h.command.text == "before")
        );
        assert!(inbox.next().await.is_none());
    }

    #[tokio::test]
    async fn a_flapping_connection_leaves_only_its_last_news() {
        let (intake, mut inbox) = line(4);
        for _ in 0..1000 {
            intake.link(Incoming::Up {
                session_present: true,
            });
            intake.link(Incoming::Down {
                why: "gone".to_owned(),
            });
        }
        intake.end();
        assert!(matches!(inbox.next().await, Some(Incoming::Down { .. })));
        assert!(inbox.next().await.is_none());
    }
}
