//! One message to the broker, and what the connection must know of it: deadline, device, whether it
//! may be delivered twice.
//!
//! It does not know queues or connections. A message is built by its sender, and may be shortened
//! when the broker does not accept its size.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::clock::suspended;
use crate::command::ReplyTo;
use crate::pair::CommandIdentity;
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::topic::Topic;
use crate::wire;

/// The longest correlation data in bytes: its length is encoded in two bytes (MQTT 5, section
/// 1.5.6).
const MAX_CORRELATION: usize = 65_535;

/// Bytes to which a reply is shortened that the broker refused.
const SHORT_REPLY: usize = 512;

/// One message to the broker, sent with `QoS` 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundMessage {
    topic: SharedStr,
    payload: Bytes,
    /// The MQTT 5 correlation data of the request this answers.
    correlation: Option<Vec<u8>>,
    is_retained: bool,
    /// Whether a payload that is too large for the broker may be shortened, as an encoded reply.
    is_reply: bool,
    /// The message is not sent after this; its remaining time is also its MQTT message expiry, in
    /// whole seconds, at least 1.
    pub(super) deadline: Option<Instant>,
    /// Total time for which the machine had been suspended when the deadline was set.
    pub(super) suspended: Duration,
    /// The device the message commands, and the sequence number of the command. Of messages for one
    /// device that were in flight when a connection broke, only those of the newest command are
    /// sent again: the device may have received them all, and must not receive an older one after a
    /// newer one.
    target: Option<(SharedStr, u64)>,
    /// Whether the message may be delivered twice: then it is sent again after a broken connection.
    is_repeatable: bool,
    /// Number of times the command behind this message has passed through sayso, this time
    /// included; 0 for other messages.
    hops: u8,
    /// The command it answers, in a pair.
    identity: Option<CommandIdentity>,
}

impl OutboundMessage {
    /// Creates a message that is not retained, may be repeated and has no deadline.
    pub fn to(topic: impl Into<SharedStr>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            correlation: None,
            is_retained: false,
            is_reply: false,
            deadline: None,
            suspended: Duration::ZERO,
            target: None,
            is_repeatable: true,
            hops: 0,
            identity: None,
        }
    }

    /// Creates the message of an encoded reply. It is shortened if the broker does not accept its
    /// size.
    pub fn reply(payload: impl Into<Bytes>, to: &ReplyTo) -> Self {
        Self {
            is_reply: true,
            ..Self::to(to.topic.as_str(), payload).with_correlation(to.correlation.clone())
        }
    }

    /// Sets the correlation data.
    #[must_use]
    pub fn with_correlation(self, correlation: Option<Vec<u8>>) -> Self {
        Self {
            correlation,
            ..self
        }
    }

    /// Asks the broker to keep the message for later subscribers.
    #[must_use]
    pub fn retained(self) -> Self {
        Self {
            is_retained: true,
            ..self
        }
    }

    /// Sets the deadline. The time in which the machine is suspended counts.
    #[must_use]
    pub fn until(self, deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            suspended: suspended(),
            ..self
        }
    }

    /// Makes it a message of command number `seq` to `device`.
    #[must_use]
    pub fn for_device(self, device: impl Into<SharedStr>, seq: u64) -> Self {
        Self {
            target: Some((device.into(), seq)),
            ..self
        }
    }

    /// Sets whether it may be delivered twice.
    #[must_use]
    pub fn repeatable(self, is_repeatable: bool) -> Self {
        Self {
            is_repeatable,
            ..self
        }
    }

    /// Sets how often the command behind it has passed through sayso.
    #[must_use]
    pub fn with_hops(self, hops: u8) -> Self {
        Self { hops, ..self }
    }

    /// Sets the command it answers, for the other node of a pair.
    #[must_use]
    pub fn answering(self, identity: Option<CommandIdentity>) -> Self {
        Self { identity, ..self }
    }

    /// Returns the command it answers.
    pub(super) fn identity(&self) -> Option<CommandIdentity> {
        self.identity
    }

    /// Returns the topic it is published on.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns the topic as a packet has it, which is not copied.
    pub(super) fn topic_bytes(&self) -> Bytes {
        self.topic.clone().into()
    }

    /// Returns the payload, which may have been shortened for the broker.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Returns the correlation data.
    pub(super) fn correlation(&self) -> Option<&[u8]> {
        self.correlation.as_deref()
    }

    /// Returns whether the broker is asked to keep it.
    pub(super) fn is_retained(&self) -> bool {
        self.is_retained
    }

    /// Returns whether it may be delivered twice.
    pub(super) fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }

    /// Returns the moment after which it is not sent, or `None` if it never expires.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns the device and the command's sequence number.
    pub(super) fn target(&self) -> Option<(&str, u64)> {
        let (device, seq) = self.target.as_ref()?;
        Some((device.as_str(), *seq))
    }

    /// Returns how often the command behind it has passed through sayso.
    pub(super) fn hops(&self) -> u8 {
        self.hops
    }

    /// Returns the bytes of its variable parts.
    pub(super) fn bytes(&self) -> usize {
        let correlation = self.correlation.as_ref().map_or(0, Vec::len);
        self.topic.len() + self.payload.len() + correlation
    }

    /// Shortens a reply by at least `excess` bytes; returns whether that was possible.
    pub(super) fn shorten(&mut self, excess: usize) -> bool {
        let max_bytes = self.payload.len().saturating_sub(excess);
        let shorter = if self.is_reply {
            wire::shorten_reply(&self.payload, max_bytes)
        } else {
            None
        };
        let Some(payload) = shorter else {
            return false;
        };
        self.payload = payload.into();
        true
    }

    /// Shortens a long reply to a few hundred bytes; returns whether it was long, and a reply. The
    /// broker may have refused it for its length, with a limit that it does not announce.
    pub(super) fn shorten_refused(&mut self) -> bool {
        let excess = self.payload.len().saturating_sub(SHORT_REPLY);
        excess > 0 && self.shorten(excess)
    }

    /// Returns why it can never be sent.
    pub(super) fn fault(&self) -> Option<String> {
        if let Err(error) = Topic::check(&self.topic) {
            return Some(error.to_string());
        }
        let correlation = self.correlation.as_ref().map_or(0, Vec::len);
        (correlation > MAX_CORRELATION)
            .then(|| "its correlation data is longer than 65535 bytes".to_owned())
    }
}
