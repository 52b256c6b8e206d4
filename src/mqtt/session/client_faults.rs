//! Log lines that clients can cause as often as they like: they are counted, and written at most
//! once a minute for each topic or source.

use std::borrow::Cow;

use tracing::warn;

use crate::mqtt::inbox::{ControlRejected, MAX_CONTROL_BYTES, MAX_CONTROLS};
use crate::telemetry::log_limit::LimitedLine;
use crate::wire::MAX_CORRELATION;

/// A fault of a client, or a message that could not be delivered because of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ClientFault {
    /// An operator's request with the retain flag.
    ControlRetained,
    /// An operator's request, or its correlation data, is too long.
    ControlTooLong,
    /// More operators' requests than may wait.
    ControlTooMany,
    /// A command with the retain flag.
    CommandRetained,
    /// A command for which the queue has no room.
    Busy,
    /// A message that does not fit into a packet of the broker.
    TooLarge,
    /// The broker refuses a message because of its content.
    RefusedContent,
    /// The broker refuses a message because of its topic.
    RefusedTopic,
}

impl From<ControlRejected> for ClientFault {
    fn from(rejected: ControlRejected) -> Self {
        match rejected {
            ControlRejected::TooLong => Self::ControlTooLong,
            ControlRejected::TooMany => Self::ControlTooMany,
        }
    }
}

impl ClientFault {
    fn message(self) -> Cow<'static, str> {
        let text = match self {
            Self::ControlTooLong => {
                return Cow::Owned(format!(
                    "dropped an operator's request: it has more than {MAX_CONTROL_BYTES} bytes, or \
                     correlation data of more than {MAX_CORRELATION}"
                ));
            }
            Self::ControlTooMany => {
                return Cow::Owned(format!(
                    "dropped an operator's request: {MAX_CONTROLS} wait already, repeat it after \
                     their answers"
                ));
            }
            Self::ControlRetained => {
                "dropped an operator's request: publish it without the retain flag"
            }
            Self::CommandRetained => {
                "dropped a retained command: publish commands without the retain flag"
            }
            Self::Busy => {
                "commands are refused with busy: the queue is full, and this source has most \
                 commands in it"
            }
            Self::TooLarge => "a message is too large for the broker",
            Self::RefusedContent => {
                "the broker refuses a message: it may be longer than the broker's limit"
            }
            Self::RefusedTopic => {
                "the broker refuses a message: allow it in the broker's access list"
            }
        };
        Cow::Borrowed(text)
    }

    /// Writes a line, with the reason of the broker if there is one.
    pub(super) fn write(line: &LimitedLine<Self>, why: Option<&str>) {
        let (subject, count) = (line.subject.as_str(), line.count);
        let message = line.kind.message();
        if line.kind == Self::Busy {
            warn!(source = subject, count, "{message}");
        } else {
            warn!(topic = subject, why, count, "{message}");
        }
    }
}
