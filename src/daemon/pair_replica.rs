//! The commands of a leader in progress, and the messages about them to the other node.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value as Json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use crate::command::ReplyTo;
use crate::command::reply::Reply;
use crate::delivery::Undelivered;
use crate::mqtt::inbox::AckToken;
use crate::mqtt::outbound_message::OutboundMessage;
use crate::mqtt::outbox::Outbox;
use crate::pair::{CommandIdentity, Pair, PairMark};
use crate::pipeline::Replica;
use crate::schedule::timer::TimerId;
use crate::store::journal::{PlannedPublish, Seq};

/// Commands that are begun while the broker has no reply to them. After a takeover only these can
/// be uncertain. Each takes two round trips to the broker, so that this number keeps the broker
/// busy.
const MAX_BEGUN: usize = 8;

/// Longest time a command waits because too many others are in progress: it would wait longer only
/// if the disk or the broker hangs, and then an action that needs no disk should not wait for those
/// that do.
const ADMISSION_TIMEOUT: Duration = Duration::from_secs(2);

/// The commands in progress of the node that leads. In a pair the broker's copy of a command is
/// acknowledged after its reply, so that the broker holds all that is unfinished.
pub(super) struct PairReplica {
    pub(super) pair: Arc<Pair>,
    outbox: Outbox,
    commands: Mutex<TrackedCommands>,
    /// Has a permit for each command that may be begun.
    admission: Arc<Semaphore>,
}

#[derive(Default)]
struct TrackedCommands {
    by_seq: HashMap<u64, TrackedCommand>,
    by_identity: HashMap<CommandIdentity, u64>,
}

struct TrackedCommand {
    identity: CommandIdentity,
    /// One for each time it was received.
    ack_tokens: Vec<AckToken>,
    /// Whether an earlier leader may have begun it.
    is_doubtful: bool,
    /// Held from before its first action until the broker has its reply.
    permit: Option<OwnedSemaphorePermit>,
}

impl TrackedCommands {
    fn has_doubtful(&self) -> bool {
        self.by_seq.values().any(|tracked| tracked.is_doubtful)
    }
}

impl PairReplica {
    pub(super) fn new(pair: Arc<Pair>, outbox: Outbox) -> Self {
        Self {
            pair,
            outbox,
            commands: Mutex::default(),
            admission: Arc::new(Semaphore::new(MAX_BEGUN)),
        }
    }

    /// Notes a command whose acknowledgement waits for its reply, if there is one.
    pub(super) fn track(&self, seq: Seq, identity: CommandIdentity, token: Option<AckToken>) {
        let mut commands = self.commands.lock();
        commands.by_identity.insert(identity, seq.number());
        let tracked = TrackedCommand {
            identity,
            ack_tokens: token.into_iter().collect(),
            is_doubtful: false,
            permit: None,
        };
        commands.by_seq.insert(seq.number(), tracked);
    }

    /// Notes that an earlier leader may have begun a command.
    pub(super) fn doubt(&self, seq: Seq) {
        if let Some(tracked) = self.commands.lock().by_seq.get_mut(&seq.number()) {
            tracked.is_doubtful = true;
        }
    }

    /// Lets another copy of a command wait for the same reply; gives the token back if the command
    /// is not in progress.
    pub(super) fn attach(
        &self,
        identity: CommandIdentity,
        token: AckToken,
    ) -> Result<(), AckToken> {
        let mut commands = self.commands.lock();
        let seq = commands.by_identity.get(&identity).copied();
        match seq.and_then(|seq| commands.by_seq.get_mut(&seq)) {
            Some(tracked) => {
                tracked.ack_tokens.push(token);
                Ok(())
            }
            None => Err(token),
        }
    }

    /// Returns the identity of a command in progress.
    pub(super) fn identity(&self, seq: u64) -> Option<CommandIdentity> {
        let commands = self.commands.lock();
        commands.by_seq.get(&seq).map(|tracked| tracked.identity)
    }

    /// Acknowledges a command to the broker, which has its reply.
    pub(super) fn finish(&self, seq: Seq) {
        let mut commands = self.commands.lock();
        let Some(tracked) = commands.by_seq.remove(&seq.number()) else {
            return;
        };
        if commands.by_identity.get(&tracked.identity) == Some(&seq.number()) {
            commands.by_identity.remove(&tracked.identity);
        }
        let has_doubtful = commands.has_doubtful();
        drop(commands);
        for token in tracked.ack_tokens {
            self.acknowledge(token);
        }
        if tracked.is_doubtful && !has_doubtful {
            self.pair.note_informed();
        }
    }

    /// Returns whether a command is in progress that an earlier leader may have begun.
    pub(super) fn has_doubtful(&self) -> bool {
        self.commands.lock().has_doubtful()
    }

    /// Acknowledges a command that needs no reply from this node.
    pub(super) fn acknowledge(&self, token: AckToken) {
        if token.is_expected() {
            self.outbox.acknowledge(token);
        }
    }

    /// Sends a reply that needs no processing, and then acknowledges its command.
    pub(super) async fn answer(
        &self,
        reply: &Reply,
        reply_to: &ReplyTo,
        identity: CommandIdentity,
        token: AckToken,
    ) {
        let delivery = self
            .outbox
            .queue_reply(reply.to_json().into(), reply_to, Some(identity))
            .await;
        if matches!(delivery.await, Ok(()) | Err(Undelivered::Refused { .. })) {
            self.acknowledge(token);
        }
    }

    /// Forgets all commands: this node does not lead any more, and the broker sends them again.
    pub(super) fn clear(&self) {
        *self.commands.lock() = TrackedCommands::default();
    }

    /// Returns the message of a mark.
    pub(super) fn message(&self, mark: &PairMark) -> OutboundMessage {
        // It consists of texts and numbers.
        let payload = serde_json::to_vec(mark).unwrap_or_default();
        OutboundMessage::to(self.pair.topic("mark"), payload)
    }
}

impl Replica for PairReplica {
    fn try_admit(&self, seq: u64) -> bool {
        let mut commands = self.commands.lock();
        // What is not tracked is a timer, which is no command of the broker.
        let Some(tracked) = commands.by_seq.get_mut(&seq) else {
            return true;
        };
        if tracked.permit.is_none() {
            tracked.permit = Arc::clone(&self.admission).try_acquire_owned().ok();
        }
        tracked.permit.is_some()
    }

    fn admitted(&self, seq: u64, since: Instant) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if self.try_admit(seq) {
                return;
            }
            let permit = Arc::clone(&self.admission).acquire_owned();
            if let Ok(Ok(permit)) = timeout_at((since + ADMISSION_TIMEOUT).into(), permit).await
                && let Some(tracked) = self.commands.lock().by_seq.get_mut(&seq)
            {
                tracked.permit = Some(permit);
            }
        })
    }

    fn begun(&self, seq: u64, planned: Vec<PlannedPublish>) -> bool {
        // The record of a timer is its mark.
        let Some(command) = self.identity(seq) else {
            return true;
        };
        let mark = PairMark::Begun {
            command,
            devices: planned_devices(&planned),
            plan: serde_json::to_value(planned).unwrap_or(Json::Null),
        };
        self.outbox.publish(self.message(&mark)).is_ok()
    }

    fn may_have_begun(&self, seq: u64) -> bool {
        let commands = self.commands.lock();
        commands
            .by_seq
            .get(&seq)
            .is_some_and(|tracked| tracked.is_doubtful)
    }

    fn timer(&self, id: TimerId, record: Option<&[u8]>) -> bool {
        let topic = self.pair.topic(&format!("timer/{id}"));
        let payload = record.unwrap_or_default().to_vec();
        let message = OutboundMessage::to(topic, payload).retained();
        self.outbox.publish(message).is_ok()
    }
}

/// Returns the devices that these messages reach.
pub(super) fn planned_devices(planned: &[PlannedPublish]) -> Vec<String> {
    let devices = planned
        .iter()
        .map(|publish| publish.action.device.to_string());
    let mut devices: Vec<String> = devices.collect();
    devices.sort_unstable();
    devices.dedup();
    devices
}
