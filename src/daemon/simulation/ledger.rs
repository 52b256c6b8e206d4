//! The record of a history, and the checks over it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::daemon::simulation::trace;

/// Time after its deadline at which a message may still leave: the daemon's clocks count in
/// milliseconds.
const SLACK: Duration = Duration::from_millis(50);

/// Time after a reply in which a power cut may take it from the disk.
const UNSYNCED: Duration = Duration::from_secs(8);

/// The cause of a reply after which a client may send its command again, as a new one.
pub(super) const PUT_OFF: &str = "nobody_answered";

/// The meaning of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SentKind {
    /// A level that the grammar understands.
    Level,
    /// A level that a model understands.
    ModelLevel,
    Toggle,
    /// A dial a bit further.
    Relative,
    /// A button: never twice.
    Press,
    /// The state of a device.
    Query,
}

/// A command.
#[derive(Debug)]
pub(super) struct SentText {
    pub(super) kind: SentKind,
    pub(super) at: Instant,
    pub(super) ttl: Duration,
    /// Time and outcome, or cause, of each answer.
    pub(super) answers: Vec<(Instant, String)>,
    /// Sent more than once by its sender.
    pub(super) is_repeated: bool,
}

/// A message that a device received.
#[derive(Debug, Clone)]
pub(super) struct DeviceMessage {
    pub(super) device: String,
    /// The number of the command.
    pub(super) n: usize,
    pub(super) value: String,
    /// Time at which the daemon handed it to the connection.
    pub(super) left: Instant,
}

/// All that happened.
#[derive(Debug, Default)]
pub(super) struct SimulatedLedger {
    pub(super) sent: Vec<SentText>,
    /// In the order of their arrival at the broker.
    pub(super) received: Vec<DeviceMessage>,
    /// Presses of the chime sent without an id, and received.
    pub(super) chimes: (usize, usize),
    /// The ids of the replies to them: each command gets one of its own.
    pub(super) chime_replies: BTreeSet<String>,
    pub(super) power_cuts: Vec<Instant>,
    pub(super) faults: BTreeMap<&'static str, usize>,
    /// Faults that no command shows.
    pub(super) other: Vec<String>,
}

impl SimulatedLedger {
    pub(super) fn fault(&mut self, name: &'static str) {
        trace(|| name.to_owned());
        *self.faults.entry(name).or_default() += 1;
    }

    /// Returns whether each command has a reply.
    pub(super) fn is_answered(&self) -> bool {
        self.sent.iter().all(|sent| !sent.answers.is_empty())
            && self.chime_replies.len() >= self.chimes.0
    }

    /// Returns everything that is wrong.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings = self.other.clone();
        for (n, sent) in self.sent.iter().enumerate() {
            let received: Vec<_> = self.received.iter().filter(|one| one.n == n).collect();
            for finding in self.of_command(sent, &received) {
                findings.push(format!("c{n}: {finding}: {sent:?}, received {received:?}"));
            }
        }
        for device in self
            .received
            .iter()
            .map(|one| &one.device)
            .collect::<BTreeSet<_>>()
        {
            findings.extend(self.out_of_order(device));
        }
        let (chimes, heard) = self.chimes;
        if heard > chimes {
            findings.push(format!("{chimes} presses without an id, {heard} received"));
        }
        let replies = self.chime_replies.len();
        if replies < chimes {
            findings.push(format!(
                "{chimes} presses without an id, {replies} answered"
            ));
        }
        findings
    }

    fn of_command(&self, sent: &SentText, received: &[&DeviceMessage]) -> Vec<&'static str> {
        let mut findings = Vec::new();
        let mut find = |is_wrong: bool, finding| findings.extend(is_wrong.then_some(finding));
        let ends = sent.answers.iter().map(|(_, end)| end.as_str());
        // Only the last answer to a command that was put off counts.
        let ends: Vec<&str> = match ends.clone().rposition(|end| end == PUT_OFF) {
            Some(at) if at + 1 < sent.answers.len() => ends.skip(at + 1).collect(),
            _ => ends.collect(),
        };
        let first = ends.first().copied();
        let ends: BTreeSet<&str> = ends.into_iter().collect();
        let may_be_lost = sent.answers.iter().any(|(at, _)| {
            let mut cuts = self.power_cuts.iter();
            cuts.any(|cut| *cut >= *at && *cut <= *at + UNSYNCED)
        });
        find(ends.is_empty(), "no reply");
        find(ends.len() > 1 && !may_be_lost, "answered in two ways");
        let is_once = sent.kind == SentKind::Press;
        find(is_once && received.len() > 1, "done twice");
        let has_other_value = received.iter().any(|one| one.value != received[0].value);
        find(has_other_value, "done again with another value");
        let deadline = sent.at + sent.ttl + SLACK;
        find(
            received.iter().any(|one| one.left > deadline),
            "left too late",
        );
        let is_denied = first.is_some_and(|end| {
            !["done", "answered", "uncertain", "superseded", "dead"].contains(&end)
        });
        find(is_denied && !received.is_empty(), "refused, and done");
        let is_lost = sent.kind != SentKind::Query && ends.contains("done") && received.is_empty();
        find(is_lost, "answered `done`, and not done");
        findings
    }

    /// Returns whether the power failed between the two messages, before the first had a reply: it
    /// leaves before anything of it is on disk, and the next run carries out both commands again,
    /// from the older one on.
    fn was_forgotten(&self, earlier: &DeviceMessage, one: &DeviceMessage) -> bool {
        let answered = self.sent[earlier.n].answers.first().map(|(at, _)| *at);
        let mut between = self
            .power_cuts
            .iter()
            .filter(|cut| (earlier.left..=one.left).contains(cut));
        between.any(|cut| answered.is_none_or(|at| at > *cut))
    }

    /// Returns the messages that a device received behind one of a later command. After a crash a
    /// series of messages may be sent again, in its order.
    fn out_of_order(&self, device: &str) -> Vec<String> {
        let of_device = self.received.iter().filter(|one| one.device == device);
        let all: Vec<&DeviceMessage> = of_device.collect();
        let mut findings = Vec::new();
        for (i, one) in all.iter().enumerate() {
            let is_repeated = all[..i].iter().any(|other| other.n == one.n);
            let wrong = all[..i].iter().find(|earlier| {
                let is_again = is_repeated && all[i..].iter().any(|other| other.n == earlier.n);
                let is_later = earlier.n > one.n && !self.sent[one.n].is_repeated;
                is_later && !is_again && !self.was_forgotten(earlier, one)
            });
            if let Some(earlier) = wrong {
                findings.push(format!(
                    "{device} received c{} behind c{}: {:?} {:?}",
                    one.n, earlier.n, self.sent[one.n], self.sent[earlier.n]
                ));
            }
        }
        findings
    }
}
