//! Replies that do not reach their topic. A client can cause them as often as it likes: they are
//! counted, and written to the log at most once a minute for each topic.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tracing::warn;

use crate::telemetry::log_limit::{LimitedLine, LogLimit};

/// The reason why a reply does not reach its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ReplyFault {
    /// The broker refuses the reply to a command.
    Refused,
    /// The answer to an operator's request has no room in the outbox.
    Unanswered,
}

/// The faults that were counted, shared by all commands.
#[derive(Debug, Clone, Default)]
pub(super) struct ReplyFaults(Arc<Mutex<LogLimit<ReplyFault>>>);

impl ReplyFaults {
    /// Reports a fault: at once, or with a count when a minute has passed since the last report of
    /// the same.
    pub(super) fn note(&self, fault: ReplyFault, topic: &str, why: Option<&str>, now: Instant) {
        if let Some(line) = self.line(fault, topic, now) {
            write(&line, why);
        }
    }

    fn line(
        &self,
        fault: ReplyFault,
        topic: &str,
        now: Instant,
    ) -> Option<LimitedLine<ReplyFault>> {
        self.0.lock().note(fault, topic, now)
    }

    /// Writes the counts of faults whose minute has passed; to be called from time to time.
    pub(super) fn report_counted(&self, now: Instant) {
        let lines = self.0.lock().take_due(now);
        for line in &lines {
            write(line, None);
        }
    }
}

fn write(line: &LimitedLine<ReplyFault>, why: Option<&str>) {
    let (topic, count) = (line.subject.as_str(), line.count);
    match line.kind {
        ReplyFault::Refused => warn!(topic, why, count, "the broker refuses a reply"),
        ReplyFault::Unanswered => warn!(
            topic,
            count, "an operator's request is not answered: too many messages wait for the broker"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[test]
    fn a_flood_of_refused_replies_of_many_commands_is_one_line() {
        let faults = ReplyFaults::default();
        let begun = now();
        let lines = (0..1000).filter_map(|_| {
            let of_command = faults.clone();
            of_command.line(ReplyFault::Refused, "sayso/reply/kids", begun)
        });
        assert_eq!(lines.count(), 1);
    }
}
