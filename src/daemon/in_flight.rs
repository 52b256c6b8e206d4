//! One command from the journal to its reply: processed, and the reply handed to the broker.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::info;

use crate::clock::now;
use crate::command::{Command, ReplyTo};
use crate::daemon::liveness::Liveness;
use crate::daemon::pair_replica::PairReplica;
use crate::daemon::reply_faults::{ReplyFault, ReplyFaults};
use crate::delivery::Undelivered;
use crate::mqtt::outbound_message::OutboundMessage;
use crate::mqtt::outbox::Outbox;
use crate::pipeline::{CommandAnswer, InProgress, Pipeline, ReportWait};
use crate::store::journal::{Journal, MAX_CRASHES, PlannedPublish, Seq};
use crate::telemetry::counters::Counters;
use crate::wire;

/// The longest wait for the broker to take a dead letter before the command is answered.
const DEAD_LETTER_TIMEOUT: Duration = Duration::from_secs(5);

/// The time after which the event that follows a reply is of no use.
const EVENT_TTL: Duration = Duration::from_secs(30);

/// Everything a command needs, as it was when the command was received.
#[derive(Clone)]
pub(super) struct CommandTask {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) journal: Arc<Journal>,
    pub(super) outbox: Outbox,
    pub(super) counters: Arc<Counters>,
    pub(super) liveness: Liveness,
    /// The commands whose devices have not reported yet.
    pub(super) report_waits: ReportWaits,
    /// The replies that did not reach their topic, for the log.
    pub(super) reply_faults: ReplyFaults,
    /// The topic of the list of timers.
    pub(super) timers_topic: Arc<str>,
    /// The messages to the other node of a pair.
    pub(super) replica: Option<Arc<PairReplica>>,
}

/// Tasks that wait for the states of devices after a command. They are not among the commands in
/// flight: neither a shutdown nor another command waits for them, and they end with the last clone.
/// Their number is bounded by the pipeline.
#[derive(Clone, Default)]
pub(super) struct ReportWaits(Arc<Mutex<JoinSet<()>>>);

impl ReportWaits {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.sweep();
        self.0.lock().spawn(task);
    }

    /// Frees the memory of tasks that have ended; to be called from time to time.
    pub(super) fn sweep(&self) {
        let mut tasks = self.0.lock();
        while tasks.try_join_next().is_some() {}
    }
}

impl CommandTask {
    /// Processes a command and sends its reply.
    pub(super) fn answer(
        self,
        command: Command,
        seq: Seq,
    ) -> impl Future<Output = ()> + Send + 'static {
        let in_progress = self.pipeline.begin(seq);
        self.process(command, seq, in_progress)
    }

    async fn process(self, command: Command, seq: Seq, in_progress: InProgress) {
        let guard = self.liveness.begin(command.deadline);
        let answer = self.pipeline.answer_in_full(&command, Some(seq));
        let CommandAnswer {
            payload,
            report_wait,
            ..
        } = answer.await;
        drop((guard, in_progress));
        let reply_to = command.into_reply_to();
        self.send_reply(Some(seq), payload, &reply_to).await;
        if let Some(report_wait) = report_wait {
            let event = publish_event(report_wait, self.outbox.clone(), reply_to);
            self.report_waits.spawn(event);
        }
    }

    /// Processes a command that an earlier run received, and may have carried out: where it is too
    /// late now, it is reported as uncertain.
    pub(super) fn answer_again(
        self,
        command: Command,
        seq: Seq,
    ) -> impl Future<Output = ()> + Send + 'static {
        let in_progress = self.pipeline.begin_again(&command, seq);
        async move {
            if command.is_late() {
                Box::pin(self.report_uncertain(command, seq)).await;
            } else {
                self.process(command, seq, in_progress).await;
            }
        }
    }

    /// Finishes a command whose messages an earlier run of the program had planned.
    pub(super) fn resume(
        self,
        command: Command,
        seq: Seq,
        planned: Vec<PlannedPublish>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let in_progress = self.pipeline.begin_planned(seq, &planned);
        async move {
            let guard = self.liveness.begin(command.deadline);
            let payload = self.pipeline.resume(&command, seq, planned).await;
            drop((guard, in_progress));
            self.send_reply(Some(seq), payload, &command.reply_to).await;
        }
    }

    /// Answers a command of which only its beginning is known.
    pub(super) async fn report_uncertain(self, command: Command, seq: Seq) {
        let payload = self.pipeline.report_uncertain(&command, seq).await;
        self.send_reply(Some(seq), payload, &command.reply_to).await;
    }

    /// Gives up a command that several runs of the program did not finish, with a dead letter.
    pub(super) async fn give_up(self, command: Command, seq: Seq, letter: OutboundMessage) {
        if let Ok(delivery) = self.outbox.publish(letter) {
            let _ = timeout(DEAD_LETTER_TIMEOUT, delivery).await;
        }
        let payload = self.pipeline.give_up(&command, seq).await;
        self.send_reply(Some(seq), payload, &command.reply_to).await;
    }

    /// Hands an encoded reply to the broker, and notes in the journal that the broker has it. Waits
    /// for room in the outbox rather than lose the reply.
    pub(super) async fn send_reply(&self, seq: Option<Seq>, payload: Vec<u8>, reply_to: &ReplyTo) {
        let topic = &reply_to.topic;
        let identity = match (&self.replica, seq) {
            (Some(replica), Some(seq)) => replica.identity(seq.number()),
            _ => None,
        };
        let payload = payload.into();
        let delivery = self.outbox.queue_reply(payload, reply_to, identity).await;
        match delivery.await {
            Ok(()) => {}
            // Sent again it would be refused again.
            Err(Undelivered::Refused { why }) => {
                let refused = ReplyFault::Refused;
                self.reply_faults.note(refused, topic, Some(&why), now());
            }
            Err(undelivered) if self.replica.is_some() => {
                info!(topic, why = %undelivered, "a reply is not delivered yet: the broker sends \
                    the command to the node that leads next");
                return;
            }
            Err(undelivered) => {
                info!(topic, why = %undelivered, "a reply is not delivered yet: the next start \
                    sends it");
                return;
            }
        }
        if let Some(seq) = seq {
            self.journal.record_reply_ack(seq);
            if let Some(replica) = &self.replica {
                // Once it is acknowledged, a later run must not take it for one without a reply.
                self.journal.hand_to_kernel().await;
                replica.finish(seq);
            }
        }
    }
}

/// Publishes whether the devices confirmed a command, once that is known. Without room in the
/// outbox the event is left out.
async fn publish_event(report_wait: ReportWait, outbox: Outbox, reply_to: ReplyTo) {
    let Some(event) = report_wait.wait().await else {
        return;
    };
    let (topic, payload) = wire::encode_event(&event, &reply_to);
    let message = OutboundMessage::to(topic, payload)
        .with_correlation(reply_to.correlation)
        .until(now() + EVENT_TTL);
    if let Ok(delivery) = outbox.publish(message) {
        let _ = delivery.await;
    }
}

/// Returns the dead letter of a command that is given up.
pub(super) fn dead_letter(prefix: &str, command: &Command, payload: &[u8]) -> OutboundMessage {
    let letter = json!({
        "id": command.id,
        "source": command.source,
        "text": command.text,
        "payload": String::from_utf8_lossy(payload),
        "attempts": MAX_CRASHES,
        "why": "sayso ended each time while it was at this command",
    });
    OutboundMessage::to(format!("{prefix}/dead"), letter.to_string())
}
