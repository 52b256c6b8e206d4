//! One command from the journal to the speaker: worked on, answered, and the answer handed to the broker.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{self, timeout};
use tracing::{info, warn};

use crate::command::reply::Reply;
use crate::command::{Command, ReplyTo};
use crate::mqtt::outbox::{OutboundMessage, Outbox, Undelivered};
use crate::pipeline::Pipeline;
use crate::store::journal::{Journal, MAX_CRASHES, PlannedPublish, Seq};
use crate::telemetry::counters::Counters;

use crate::daemon::liveness::Liveness;

/// How long a dead letter may take to be taken by the broker, before its command is answered all the same.
const BURIAL: Duration = Duration::from_secs(5);

/// What a command needs on its way, as it was when the command came.
#[derive(Clone)]
pub(super) struct CommandTask {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) journal: Arc<Journal>,
    pub(super) outbox: Outbox,
    pub(super) counters: Arc<Counters>,
    /// Whether commands come to an end.
    pub(super) pulse: Liveness,
}

impl CommandTask {
    /// A command just heard.
    pub(super) async fn answer(self, command: Command, mark: Seq) {
        let beat = self.pulse.begin(command.deadline);
        let reply = self.pipeline.answer(&command, Some(mark)).await;
        drop(beat);
        self.tell(Some(mark), &reply, &command.reply_to).await;
    }

    /// A command of an earlier life, that had come to send this.
    pub(super) async fn resume(self, command: Command, mark: Seq, sending: Vec<PlannedPublish>) {
        let beat = self.pulse.begin(command.deadline);
        let reply = self.pipeline.resume(&command, mark, sending).await;
        drop(beat);
        self.tell(Some(mark), &reply, &command.reply_to).await;
    }

    /// A command that was begun in too many lives: it goes where somebody can look at it.
    pub(super) async fn bury(self, command: Command, mark: Seq, letter: OutboundMessage) {
        if let Ok(delivery) = self.outbox.publish(letter) {
            let _ = timeout(BURIAL, delivery).await;
        }
        let reply = self.pipeline.give_up(&command, mark).await;
        self.tell(Some(mark), &reply, &command.reply_to).await;
    }

    /// Hands a reply to the broker, and writes down when the broker has it; waits for room rather than lose it.
    pub(super) async fn tell(&self, mark: Option<Seq>, reply: &Reply, to: &ReplyTo) {
        let delivery = loop {
            match self.outbox.reply(reply, to) {
                Ok(delivery) => break delivery,
                Err(_) => time::sleep(Duration::from_millis(50)).await,
            }
        };
        match delivery.await {
            Ok(()) => {}
            // Said again it would be refused again.
            Err(Undelivered::Refused { why }) => {
                warn!(topic = to.topic, why, "the broker refuses a reply");
            }
            Err(why) => {
                return info!(topic = to.topic, %why, "a reply is not told yet: the next start tells it");
            }
        }
        if let Some(mark) = mark {
            self.journal.reply_acked(mark);
        }
    }
}

/// What is written of a command that was begun in too many lives.
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
