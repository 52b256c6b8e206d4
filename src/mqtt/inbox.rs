//! The incoming queue: commands, states of devices, operators' requests and changes of the
//! connection, in the order of their arrival.
//!
//! The poll loop puts them in and never waits; entries that do not fit are rejected at once. One
//! task reads them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::clock::now;
use crate::command::reply::Reply;
use crate::command::{Command, Redelivery, ReplyTo, Source};
use crate::pair::CommandIdentity;

/// The most bytes of commands that may wait, payload and text together.
const MAX_COMMAND_BYTES: usize = 4 << 20;

/// The most states that may wait. A house of 200 devices sends about a thousand retained ones at
/// once at the start.
const MAX_STATES: usize = 4096;

/// The most bytes of states that may wait. `Zigbee2MQTT`'s list of devices alone can have 1 MB.
const MAX_STATE_BYTES: usize = 8 << 20;

/// The most operators' requests that may wait.
pub(super) const MAX_CONTROLS: usize = 16;

/// The longest operators' request in bytes: people type them.
pub const MAX_CONTROL_BYTES: usize = 4 << 10;

/// The most refused commands of a pair that may wait: as many as the broker should send without an
/// acknowledgement.
const MAX_REFUSED: usize = 256;

/// The shortest `retry_after` of a busy reply.
const MIN_RETRY: Duration = Duration::from_secs(1);

/// The longest `retry_after` of a busy reply.
const MAX_RETRY: Duration = Duration::from_mins(1);

/// Weight of the newest interval in the smoothed time between two commands.
const PACE_WEIGHT: f64 = 0.2;

/// One entry of the inbox.
#[derive(Debug)]
pub enum Incoming {
    /// A command, to be acknowledged.
    Command(Box<InboundCommand>),
    /// A command of a pair that goes no further, with the reply to it.
    Refused(Box<RefusedCommand>),
    /// An operator's request.
    Control {
        /// The topic; its last level names the operator.
        topic: String,
        /// The request.
        payload: Bytes,
        /// The correlation data of the answer.
        correlation: Option<Vec<u8>>,
    },
    /// A message on a state topic.
    State {
        /// Topic on which the state was received.
        topic: String,
        /// The state.
        payload: Bytes,
        /// Whether the broker had kept it.
        is_retained: bool,
    },
    /// The broker is connected and has acknowledged the subscriptions. Commands it had kept may
    /// come before this.
    Up {
        /// False if the broker had lost the session: the messages it held for us are gone.
        session_present: bool,
        /// Number of the connection.
        connection: u64,
    },
    /// The broker is not connected. Reported once, and again when the cause changes.
    Down {
        /// The cause, in words.
        why: String,
    },
}

/// A received command.
#[derive(Debug)]
pub struct InboundCommand {
    /// The decoded command.
    pub command: Command,
    /// For [`Outbox::acknowledge`](crate::mqtt::outbox::Outbox::acknowledge), once the command
    /// cannot be lost.
    pub ack_token: AckToken,
    /// Whether it may have been received before.
    pub redelivery: Redelivery,
    /// Number of the connection it was received on, beginning with 1.
    pub connection: u64,
    /// The topic it was received on.
    pub topic: String,
    /// The payload as received, for the journal.
    pub payload: Bytes,
    /// Its identity in a pair.
    pub identity: Option<CommandIdentity>,
}

/// A command that cannot be processed. In a pair it may have been answered by the other node.
#[derive(Debug)]
pub struct RefusedCommand {
    /// Refusal that is sent in reply.
    pub reply: Reply,
    /// The address of the reply.
    pub reply_to: ReplyTo,
    /// For [`Outbox::acknowledge`](crate::mqtt::outbox::Outbox::acknowledge).
    pub ack_token: AckToken,
    /// Whether it may have been received before.
    pub redelivery: Redelivery,
    /// Number of the connection it was received on.
    pub connection: u64,
    /// Identity by which both nodes of a pair know the command.
    pub identity: CommandIdentity,
}

impl InboundCommand {
    fn bytes(&self) -> usize {
        self.payload.len() + self.command.text.len() + self.topic.len()
    }
}

/// The right to acknowledge one message, once, on the connection it was received on. If it is not
/// used, the broker sends the message again.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an unacknowledged message holds back the acknowledgements of later ones"]
pub struct AckToken {
    pub(super) connection: u64,
    /// The MQTT packet id; 0 if there is nothing to acknowledge (`QoS` 0).
    pub(super) pkid: u16,
}

impl AckToken {
    /// Returns whether the broker waits for an acknowledgement.
    pub fn is_expected(&self) -> bool {
        self.pkid != 0
    }

    /// Returns the identifier of the packet; 0 with `QoS` 0.
    pub fn packet(&self) -> u16 {
        self.pkid
    }
}

/// The reading end. Dropping it, or [`Inbox::close`], stops the intake of commands.
#[derive(Debug)]
pub struct Inbox(Arc<InboxSender>);

/// The writing end, held by the poll loop.
#[derive(Debug)]
pub(super) struct InboxSender {
    queue: Mutex<InboxQueue>,
    wake: Notify,
    max_commands: usize,
}

#[derive(Debug, Default)]
struct InboxQueue {
    waiting: VecDeque<Incoming>,
    commands: usize,
    command_bytes: usize,
    /// The waiting commands of each source.
    by_source: SourceCounts,
    refused: usize,
    controls: usize,
    states: usize,
    state_bytes: usize,
    last_taken: Option<Instant>,
    /// Smoothed seconds between two commands taken while more were waiting.
    pace: Option<f64>,
    /// The reader takes no more commands.
    closed: bool,
    /// The poll loop has ended.
    ended: bool,
}

/// Numbers of waiting commands by source, so that no flood makes each rejection read the queue.
#[derive(Debug, Default)]
struct SourceCounts {
    counts: HashMap<Source, usize>,
    /// Number of sources that have each number of commands.
    sources: BTreeMap<usize, usize>,
}

impl SourceCounts {
    fn of(&self, source: &Source) -> usize {
        self.counts.get(source).copied().unwrap_or_default()
    }

    /// Returns the largest number.
    fn most(&self) -> usize {
        self.sources.last_key_value().map_or(0, |(count, _)| *count)
    }

    fn set(&mut self, source: &Source, count: usize) {
        let before = match count {
            0 => self.counts.remove(source),
            _ => self.counts.insert(source.clone(), count),
        };
        if count > 0 {
            *self.sources.entry(count).or_default() += 1;
        }
        if let Some(before) = before
            && let Some(sources) = self.sources.get_mut(&before)
        {
            *sources -= 1;
            if *sources == 0 {
                self.sources.remove(&before);
            }
        }
    }
}

/// Reasons to reject a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// The inbox is full.
    Busy {
        /// Time until there should be room.
        retry_after: Duration,
    },
    /// sayso is stopping.
    Closed,
}

/// Reasons to drop an operator's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ControlRejected {
    /// It is longer than [`MAX_CONTROL_BYTES`].
    TooLong,
    /// [`MAX_CONTROLS`] wait already.
    TooMany,
}

/// Creates an inbox for `max_commands` commands.
pub(super) fn inbox(max_commands: NonZeroUsize) -> (Arc<InboxSender>, Inbox) {
    let sender = Arc::new(InboxSender {
        queue: Mutex::default(),
        wake: Notify::new(),
        max_commands: max_commands.get(),
    });
    (Arc::clone(&sender), Inbox(sender))
}

impl Inbox {
    /// Returns the next entry, or `None` once the connection has ended or the inbox is closed, and
    /// nothing waits any more. Cancel safe.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.next_if(|_| true).await
    }

    /// Returns the next entry, if one waits.
    pub fn take_waiting(&mut self) -> Option<Incoming> {
        self.0.lock().take(0, now())
    }

    /// Returns the next entry that is no command. Commands keep their places, and other entries
    /// that do not fit are rejected. Cancel safe.
    pub async fn next_but_commands(&mut self) -> Option<Incoming> {
        self.next_if(|waiting| !matches!(waiting, Incoming::Command(_)))
            .await
    }

    async fn next_if(&mut self, is_wanted: impl Fn(&Incoming) -> bool) -> Option<Incoming> {
        loop {
            {
                let mut queue = self.0.lock();
                if let Some(at) = queue.waiting.iter().position(&is_wanted) {
                    return queue.take(at, now());
                }
                if queue.ended || queue.closed {
                    return None;
                }
            }
            self.0.wake.notified().await;
        }
    }

    /// Stops the intake: waiting entries can still be read; later commands stay with the broker,
    /// unacknowledged, until the next start.
    pub fn close(&mut self) {
        self.0.lock().closed = true;
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.close();
    }
}

impl InboxSender {
    fn lock(&self) -> MutexGuard<'_, InboxQueue> {
        self.queue.lock()
    }

    /// Queues a command; returns the command to reject, if there is one. In a full queue that is
    /// this one, or the newest of the source with the most waiting commands: a flood does not keep
    /// other sources out.
    pub(super) fn command(
        &self,
        command: Box<InboundCommand>,
    ) -> Result<(), (Rejected, Box<InboundCommand>)> {
        let mut queue = self.lock();
        if queue.closed {
            return Err((Rejected::Closed, command));
        }
        let is_full = queue.commands >= self.max_commands
            || queue.command_bytes + command.bytes() > MAX_COMMAND_BYTES;
        if !is_full {
            queue.push_command(command);
            drop(queue);
            self.wake.notify_one();
            return Ok(());
        }
        let busy = Rejected::Busy {
            retry_after: queue.retry_after(now()),
        };
        let displaced = queue
            .newest_of_busiest_source(&command.command.source)
            .and_then(|at| queue.remove_command(at));
        match displaced {
            // One place is free now, but a longer command may need more bytes.
            Some(other) if queue.command_bytes + command.bytes() <= MAX_COMMAND_BYTES => {
                queue.push_command(command);
                Err((busy, other))
            }
            Some(other) => {
                queue.push_command(other);
                Err((busy, command))
            }
            None => Err((busy, command)),
        }
    }

    /// Returns whether the waiting commands are so many that their reader should run before more
    /// are received.
    pub(super) fn is_half_full(&self) -> bool {
        2 * self.lock().commands >= self.max_commands
    }

    /// Queues an operator's request.
    ///
    /// # Errors
    /// When it does not fit and is dropped; with the reason.
    pub(super) fn control(
        &self,
        topic: String,
        payload: Bytes,
        correlation: Option<Vec<u8>>,
    ) -> Result<(), ControlRejected> {
        if payload.len() > MAX_CONTROL_BYTES {
            return Err(ControlRejected::TooLong);
        }
        let mut queue = self.lock();
        if queue.closed {
            // The daemon stops: the operator repeats it, and nothing is wrong with it.
            return Ok(());
        }
        if queue.controls >= MAX_CONTROLS {
            return Err(ControlRejected::TooMany);
        }
        queue.controls += 1;
        queue.waiting.push_back(Incoming::Control {
            topic,
            payload,
            correlation,
        });
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// Returns whether one more refused command of a pair may wait.
    pub(super) fn has_room_for_refused(&self) -> bool {
        self.lock().refused < MAX_REFUSED
    }

    /// Queues a refused command of a pair.
    pub(super) fn refused(&self, refused: Box<RefusedCommand>) {
        let mut queue = self.lock();
        queue.refused += 1;
        queue.waiting.push_back(Incoming::Refused(refused));
        drop(queue);
        self.wake.notify_one();
    }

    /// Queues a state; returns false if it does not fit and is dropped.
    pub(super) fn state(&self, topic: String, payload: Bytes, is_retained: bool) -> bool {
        let mut queue = self.lock();
        if queue.closed {
            return true;
        }
        // A single message always fits an empty queue, however large it is.
        let bytes = topic.len() + payload.len();
        let has_room = queue.states < MAX_STATES && queue.state_bytes + bytes <= MAX_STATE_BYTES;
        if queue.states > 0 && !has_room {
            return false;
        }
        queue.states += 1;
        queue.state_bytes += bytes;
        queue.waiting.push_back(Incoming::State {
            topic,
            payload,
            is_retained,
        });
        drop(queue);
        self.wake.notify_one();
        true
    }

    /// Queues a change of the connection.
    pub(super) fn connection(&self, news: Incoming) {
        let mut queue = self.lock();
        // Of a connection that flaps while nobody reads, the last change is enough.
        if matches!(
            queue.waiting.back(),
            Some(Incoming::Up { .. } | Incoming::Down { .. })
        ) {
            queue.waiting.pop_back();
        }
        queue.waiting.push_back(news);
        drop(queue);
        self.wake.notify_one();
    }

    /// Records that the poll loop has ended.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.wake.notify_one();
    }
}

impl InboxQueue {
    fn push_command(&mut self, command: Box<InboundCommand>) {
        self.commands += 1;
        self.command_bytes += command.bytes();
        let source = &command.command.source;
        self.by_source.set(source, self.by_source.of(source) + 1);
        self.waiting.push_back(Incoming::Command(command));
    }

    fn forget_command(&mut self, command: &InboundCommand) {
        self.commands -= 1;
        self.command_bytes -= command.bytes();
        let source = &command.command.source;
        let left = self.by_source.of(source).saturating_sub(1);
        self.by_source.set(source, left);
    }

    fn remove_command(&mut self, at: usize) -> Option<Box<InboundCommand>> {
        let Some(Incoming::Command(command)) = self.waiting.remove(at) else {
            return None;
        };
        self.forget_command(&command);
        Some(command)
    }

    fn take(&mut self, at: usize, now: Instant) -> Option<Incoming> {
        let incoming = self.waiting.remove(at)?;
        match &incoming {
            Incoming::Command(command) => {
                self.forget_command(command);
                self.measure_pace(now);
            }
            Incoming::Control { .. } => self.controls -= 1,
            Incoming::State { topic, payload, .. } => {
                self.states -= 1;
                self.state_bytes -= topic.len() + payload.len();
            }
            Incoming::Refused(_) => self.refused -= 1,
            Incoming::Up { .. } | Incoming::Down { .. } => {}
        }
        Some(incoming)
    }

    fn measure_pace(&mut self, now: Instant) {
        let last_taken = self.last_taken.replace(now);
        if self.commands == 0 {
            return;
        }
        if let Some(last) = last_taken {
            let interval = now.saturating_duration_since(last).as_secs_f64();
            let pace = self.pace.unwrap_or(interval);
            self.pace = Some(pace + PACE_WEIGHT * (interval - pace));
        }
    }

    /// Returns the position of the newest command of the source that has the most waiting commands,
    /// if `source` would still have fewer with one more.
    fn newest_of_busiest_source(&self, source: &Source) -> Option<usize> {
        let most = self.by_source.most();
        if self.by_source.of(source) + 1 >= most {
            return None;
        }
        self.waiting.iter().rposition(|waiting| match waiting {
            Incoming::Command(command) => self.by_source.of(&command.command.source) == most,
            _ => false,
        })
    }

    /// Returns when half of the queue will be gone: a client that comes then finds room, even if
    /// others come too. While the pace is unknown, the age of the oldest command is the best
    /// estimate.
    fn retry_after(&self, now: Instant) -> Duration {
        let oldest = self.waiting.iter().find_map(|waiting| match waiting {
            Incoming::Command(command) => Some(command.command.received_at),
            _ => None,
        });
        let age = oldest
            .map(|at| now.saturating_duration_since(at))
            .unwrap_or_default();
        let commands = u32::try_from(self.commands).unwrap_or(u32::MAX);
        let by_pace = self
            .pace
            .and_then(|pace| Duration::try_from_secs_f64(pace * f64::from(commands) / 2.0).ok());
        by_pace.unwrap_or(age).clamp(MIN_RETRY, MAX_RETRY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(source: &str, text: &str) -> Box<InboundCommand> {
        let command = Command::for_test(source, text);
        Box::new(InboundCommand {
            identity: None,
            command,
            ack_token: AckToken {
                connection: 1,
                pkid: 1,
            },
            redelivery: Redelivery::No,
            connection: 1,
            topic: String::new(),
            payload: Bytes::new(),
        })
    }

    fn command(text: &str) -> Box<InboundCommand> {
        from("hall", text)
    }

    fn inbox_for(max_commands: usize) -> (Arc<InboxSender>, Inbox) {
        inbox(NonZeroUsize::new(max_commands).unwrap())
    }

    fn state(sender: &InboxSender, bytes: usize) -> bool {
        sender.state(String::new(), Bytes::from(vec![0; bytes]), false)
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_inbox_says_when_half_of_it_will_be_gone() {
        let (sender, mut inbox) = inbox_for(4);
        for i in 0..4 {
            sender.command(command(&i.to_string())).unwrap();
        }
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(10)).await;
            assert!(matches!(inbox.next().await, Some(Incoming::Command(_))));
            sender.command(command("more")).unwrap();
        }
        let (rejected, _) = sender.command(command("one too many")).unwrap_err();
        assert_eq!(
            rejected,
            Rejected::Busy {
                retry_after: Duration::from_secs(20)
            }
        );
    }

    #[tokio::test]
    async fn a_source_that_floods_the_inbox_makes_room_for_another() {
        let (sender, mut inbox) = inbox_for(4);
        for text in ["1", "2", "3", "4"] {
            sender.command(from("loud", text)).unwrap();
        }
        let rejected = |command| sender.command(command).unwrap_err().1.command.text;
        assert_eq!(rejected(from("loud", "5")), "5");
        assert_eq!(rejected(from("quiet", "a")), "4");
        assert_eq!(rejected(from("quiet", "b")), "3");
        assert_eq!(
            rejected(from("quiet", "c")),
            "c",
            "an equal share is enough"
        );
        inbox.close();
        let mut taken = Vec::new();
        while let Some(Incoming::Command(command)) = inbox.next().await {
            taken.push(command.command.text);
        }
        assert_eq!(taken, ["1", "2", "a", "b"]);
    }

    #[tokio::test]
    async fn commands_are_bounded_in_bytes() {
        let (sender, mut inbox) = inbox_for(100_000);
        let long = "x".repeat(16 << 10);
        let accepted = (0..1000)
            .filter(|_| sender.command(from("loud", &long)).is_ok())
            .count();
        assert_eq!(accepted, MAX_COMMAND_BYTES / (16 << 10));
        let (_, rejected) = sender.command(from("quiet", &long)).unwrap_err();
        assert_eq!(rejected.command.source.as_str(), "loud");
        inbox.next().await.unwrap();
        assert!(sender.command(from("quiet", &long)).is_ok());
    }

    #[tokio::test]
    async fn states_are_bounded_and_do_not_take_the_room_of_commands() {
        let (sender, mut inbox) = inbox_for(1);
        assert!(state(&sender, MAX_STATE_BYTES + 1), "one always fits");
        assert!(!state(&sender, 1));
        assert!(matches!(inbox.next().await, Some(Incoming::State { .. })));
        let accepted = (0..MAX_STATES + 10).filter(|_| state(&sender, 1)).count();
        assert_eq!(accepted, MAX_STATES);
        assert!(sender.command(command("still room")).is_ok());
    }

    #[tokio::test]
    async fn states_are_read_past_commands_that_have_to_wait() {
        let (sender, mut inbox) = inbox_for(4);
        sender.command(command("first")).unwrap();
        assert!(state(&sender, 1));
        sender.command(command("second")).unwrap();
        let other = inbox.next_but_commands().await;
        assert!(matches!(other, Some(Incoming::State { .. })));
        for text in ["first", "second"] {
            let next = inbox.next().await;
            assert!(matches!(next, Some(Incoming::Command(c)) if c.command.text == text));
        }
        assert_eq!(sender.lock().commands, 0);
        assert_eq!(sender.lock().by_source.most(), 0);
    }

    #[tokio::test]
    async fn a_closed_inbox_returns_what_waits_and_accepts_no_more() {
        let (sender, mut inbox) = inbox_for(4);
        sender.command(command("before")).unwrap();
        inbox.close();
        assert_eq!(
            sender.command(command("after")).unwrap_err().0,
            Rejected::Closed
        );
        assert!(
            matches!(inbox.next().await, Some(Incoming::Command(h)) if h.command.text == "before")
        );
        assert!(inbox.next().await.is_none());
    }

    #[tokio::test]
    async fn a_flapping_connection_leaves_only_its_last_change() {
        let (sender, mut inbox) = inbox_for(4);
        for _ in 0..1000 {
            sender.connection(Incoming::Up {
                session_present: true,
                connection: 1,
            });
            sender.connection(Incoming::Down {
                why: "gone".to_owned(),
            });
        }
        sender.end();
        assert!(matches!(inbox.next().await, Some(Incoming::Down { .. })));
        assert!(inbox.next().await.is_none());
    }
}
