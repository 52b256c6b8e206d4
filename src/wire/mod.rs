//! Payload formats: a message on a command topic becomes a [`Command`], a [`Reply`] becomes a
//! payload. Pure.
//!
//! Knows the topics of sayso itself and the limits on messages of clients; knows nothing of
//! connections.

mod payload;
pub mod timestamp;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::RwLock;

use crate::command::reply::{ConfirmationEvent, Piece, Refusal, Reply};
use crate::command::{Command, ReplyTo, Source, cut};
use crate::vocabulary::shared_str::SharedStr;
use crate::vocabulary::topic::{MAX_LEVELS, Topic};

use crate::wire::payload::CommandPayload;
pub use crate::wire::payload::{MAX_PAYLOAD, MAX_TTL};

/// The longest MQTT 5 correlation data in bytes. It is kept with the command until the reply is
/// delivered; clients use a counter or a UUID.
pub const MAX_CORRELATION: usize = 256;

/// The longest MQTT 5 response topic in bytes.
pub const MAX_REPLY_TOPIC: usize = 512;

/// The user property that counts how often a command has passed through sayso.
pub(super) const HOPS: &str = "sayso-hops";

/// Number of times a command may have passed through sayso before it is refused. A device may be
/// another sayso; one whose devices lead back to this one would circulate for ever.
pub const MAX_HOPS: u8 = 4;

/// The longest source name in bytes. It is a key of quotas and duplicates.
const MAX_SOURCE: usize = 128;

/// Characters of an unreadable payload that the reply quotes.
const QUOTED_CHARS: usize = 200;

/// Bytes of the text and of the speech that a shortened reply keeps.
const SHORT_TEXT: usize = 200;

/// The settings that decide how a message on a command topic is read.
#[derive(Debug, Clone)]
pub struct WireRules {
    /// First levels of sayso's own topics.
    pub prefix: String,
    /// Allowed beginnings of response topics, in addition to `<prefix>/reply/`.
    pub reply_prefixes: Vec<String>,
    /// Topics of devices, on which no reply may be published.
    pub devices: DeviceTopics,
    /// Time to live of a command that does not name one.
    pub ttl: Duration,
}

/// The topics of the devices, shared by those who learn them and those who read commands. A reply
/// on one of them would command a device without the permission gate, or look like its state.
#[derive(Debug, Clone, Default)]
pub struct DeviceTopics(Arc<RwLock<HashSet<SharedStr>>>);

impl DeviceTopics {
    /// Replaces the topics.
    pub fn replace(&self, topics: HashSet<SharedStr>) {
        *self.0.write() = topics;
    }

    /// Returns whether a reply on `topic`, a piece of it or an event would be published on the
    /// topic of a device.
    fn are_reached_by(&self, topic: &str) -> bool {
        let topics = self.0.read();
        let own = ["", "/stream", "/event"];
        !topics.is_empty()
            && own
                .iter()
                .any(|end| topics.contains(&*[topic, end].concat()))
    }
}

/// One message on a command topic, as received.
#[derive(Debug, Clone, Copy)]
pub struct Inbound<'a> {
    /// `<prefix>/command/<source>`.
    pub topic: &'a str,
    /// UTF-8 text, or a JSON object.
    pub payload: &'a [u8],
    /// The MQTT 5 response topic.
    pub response_topic: Option<&'a str>,
    /// The MQTT 5 correlation data.
    pub correlation: Option<&'a [u8]>,
    /// The remaining MQTT 5 message expiry interval.
    pub expiry: Option<Duration>,
    /// Number of times the command has passed through this or another sayso.
    pub hops: u8,
    /// Time at which the message was received.
    pub heard_at: Instant,
    /// The wall clock; `None` if it is known to be wrong. A time before 2025 is not believed
    /// either.
    pub wall_clock: Option<SystemTime>,
}

/// A message that is not a command, with everything needed to reply.
#[derive(Debug, Clone, PartialEq)]
pub struct RejectedPayload {
    /// The reason.
    pub refusal: Refusal,
    /// Topic and correlation data of the reply.
    pub reply_to: ReplyTo,
    /// The id from the payload if it could be read, else a generated one.
    pub id: SharedStr,
    /// The text from the payload if it could be read, else the beginning of the payload.
    pub text: SharedStr,
}

/// Returns the topic filter of commands.
pub(super) fn command_filter(prefix: &str) -> String {
    format!("{prefix}/command/+")
}

/// Returns the topic filter of operators' requests. They have a topic of their own so that the
/// broker's access list can withhold it from clients that only send commands.
pub(super) fn control_filter(prefix: &str) -> String {
    format!("{prefix}/control/+")
}

/// Parses a command.
///
/// # Errors
/// When the payload is not a command, a field exceeds its limit, or the response topic is not
/// allowed.
pub fn decode(inbound: &Inbound<'_>, rules: &WireRules) -> Result<Command, Box<RejectedPayload>> {
    let source = rules.source(inbound.topic);
    let mut fields = CommandPayload::default();
    let parsed = fields.read(inbound.payload);
    let (reply_to, reply_allowed) = rules.reply_to(inbound, source.unwrap_or_default());
    let id_given = fields.id.is_some();
    let id = fields.id.take().unwrap_or_else(generated_id);
    let named = match source {
        Some(_) => Ok(()),
        None => Err(format!(
            "the topic names no source of at most {MAX_SOURCE} bytes"
        )),
    };
    let checked = parsed
        .and(named)
        .and(reply_allowed)
        .and_then(|()| check_hops(inbound.hops));
    if let Err(why) = checked {
        let text = if fields.text.is_empty() {
            quoted(inbound.payload).into()
        } else {
            fields.text
        };
        return Err(Box::new(RejectedPayload {
            refusal: Refusal::Malformed { why },
            reply_to,
            id,
            text,
        }));
    }
    Ok(Command {
        id,
        id_given,
        deadline: inbound.heard_at + time_to_live(&fields, inbound, rules.ttl),
        is_dated: fields.ts.is_some(),
        text: fields.text,
        source: Source::new(source.unwrap_or_default()),
        area: fields.area,
        language: fields.language,
        context: fields.context,
        received_at: inbound.heard_at,
        suspended: crate::clock::suspended(),
        dry_run: fields.dry_run,
        stream: fields.stream,
        reply_to,
        hops: inbound.hops,
        seq: 0,
    })
}

/// Shortens an encoded reply to at most `max_bytes`: first the list of actions is left out, then
/// the texts are cut, and at last only the id, the outcome and the cause are left. Returns `None`
/// if the payload is not a reply, or does not fit even so.
pub fn shorten_reply(payload: &[u8], max_bytes: usize) -> Option<Vec<u8>> {
    let mut reply: Reply = serde_json::from_slice(payload).ok()?;
    reply.actions.clear();
    let without_actions = reply.to_json();
    if without_actions.len() <= max_bytes {
        return Some(without_actions);
    }
    let mut text = reply.text.to_string();
    cut(&mut text, SHORT_TEXT);
    reply.text = text.into();
    let excess = reply.to_json().len().saturating_sub(max_bytes);
    let speech_bytes = reply.speech.len().saturating_sub(excess).max(SHORT_TEXT);
    cut(&mut reply.speech, speech_bytes);
    for _ in 0..2 {
        let encoded = reply.to_json();
        if encoded.len() <= max_bytes {
            return Some(encoded);
        }
        // Escaped characters take more room than they have bytes.
        cut(&mut reply.speech, SHORT_TEXT);
        reply.text = SharedStr::default();
    }
    let mut least = serde_json::json!({"id": reply.id, "outcome": reply.outcome});
    let without_cause = least.to_string();
    if let Some(why) = &reply.why {
        least["why"] = serde_json::json!(why);
    }
    let mut shortest = [least.to_string(), without_cause].into_iter();
    let fitting = shortest.find(|encoded| encoded.len() <= max_bytes);
    fitting.map(String::into_bytes)
}

/// Encodes a piece of a streamed answer; returns its topic and payload.
pub fn encode_piece(piece: &Piece, to: &ReplyTo) -> (String, Vec<u8>) {
    (
        format!("{}/stream", to.topic),
        serde_json::to_vec(piece).unwrap_or_default(),
    )
}

/// Encodes the event after a reply; returns its topic and payload.
pub fn encode_event(event: &ConfirmationEvent, to: &ReplyTo) -> (String, Vec<u8>) {
    (
        format!("{}/event", to.topic),
        serde_json::to_vec(event).unwrap_or_default(),
    )
}

impl WireRules {
    /// Returns the level after `<prefix>/command/`.
    pub fn source<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let source = topic
            .strip_prefix(self.prefix.as_str())?
            .strip_prefix("/command/")?;
        let is_short = (1..=MAX_SOURCE).contains(&source.len());
        (is_short && !source.contains('/')).then_some(source)
    }

    /// Returns where the reply goes, and an error if the message asks for something that is not
    /// allowed.
    fn reply_to(&self, inbound: &Inbound<'_>, source: &str) -> (ReplyTo, Result<(), String>) {
        let own = [self.prefix.as_str(), "/reply/", source].concat();
        let asked_topic = inbound
            .response_topic
            .map(|asked| self.check_reply_topic(asked, &own));
        let (topic, mut allowed) = match asked_topic {
            None => (own, Ok(())),
            Some(Ok(asked)) => (asked, Ok(())),
            Some(Err(why)) => (own, Err(why)),
        };
        let correlation = inbound.correlation.unwrap_or_default();
        let is_short = correlation.len() <= MAX_CORRELATION;
        if !is_short {
            allowed = allowed.and(Err(format!(
                "its correlation data has {} bytes, at most {MAX_CORRELATION} are accepted",
                correlation.len()
            )));
        }
        let reply_to = ReplyTo {
            topic,
            correlation: inbound.correlation.filter(|_| is_short).map(<[u8]>::to_vec),
        };
        (reply_to, allowed)
    }

    /// Returns `asked` if a client of the own reply topic `own` may have its replies there.
    fn check_reply_topic(&self, asked: &str, own: &str) -> Result<String, String> {
        if asked.len() > MAX_REPLY_TOPIC {
            return Err(format!(
                "its reply topic has {} bytes, at most {MAX_REPLY_TOPIC} are accepted",
                asked.len()
            ));
        }
        // The reply topic of another source is not allowed: the client may not publish there
        // itself.
        let is_own = asked
            .strip_prefix(own)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let has_prefix = |p: &String| !p.is_empty() && asked.starts_with(p.as_str());
        let is_known = is_own || self.reply_prefixes.iter().any(has_prefix);
        let below = asked
            .strip_prefix(&self.prefix)
            .and_then(|rest| rest.strip_prefix('/'));
        let is_input = below.is_some_and(|rest| !rest.starts_with("reply/"));
        let shown: String = asked.chars().take(80).collect();
        if self.devices.are_reached_by(asked) {
            return Err(format!(
                "reply topic `{shown}` is the topic of a device: use `{own}` or one below it"
            ));
        }
        if !is_known || is_input || asked.contains(['+', '#']) {
            return Err(format!(
                "reply topic `{shown}` is not allowed: use `{own}` or one below it, or add its \
                 beginning to `mqtt.reply_prefixes`"
            ));
        }
        // Streamed pieces and events go one level deeper.
        if asked.split('/').count() >= MAX_LEVELS {
            return Err(format!(
                "its reply topic has {MAX_LEVELS} levels or more, and brokers disconnect for that"
            ));
        }
        match Topic::new(asked) {
            Ok(_) => Ok(asked.to_owned()),
            Err(error) => Err(format!("its reply topic cannot be used: {error}")),
        }
    }
}

fn check_hops(hops: u8) -> Result<(), String> {
    if hops < MAX_HOPS {
        return Ok(());
    }
    Err(format!(
        "it has passed through sayso {hops} times: the command topic of a device leads back to a \
         command topic"
    ))
}

/// Returns how long after its receipt a command may still be acted on: the least of its own
/// request, of the message expiry, and of the rest since its own timestamp, where the clocks can be
/// compared.
fn time_to_live(fields: &CommandPayload, inbound: &Inbound<'_>, default: Duration) -> Duration {
    let ttl = fields.ttl.unwrap_or(default).min(MAX_TTL);
    let clock = inbound
        .wall_clock
        .filter(|clock| timestamp::is_believable(*clock));
    let age = match (clock, fields.ts) {
        // A moment in the future comes from a clock that is ahead: the command counts as sent now.
        (Some(now), Some(ts)) => now.duration_since(ts).unwrap_or_default(),
        _ => Duration::ZERO,
    };
    ttl.saturating_sub(age)
        .min(inbound.expiry.unwrap_or(Duration::MAX))
}

fn generated_id() -> SharedStr {
    format!("{:08x}", rand::random::<u32>()).into()
}

fn quoted(payload: &[u8]) -> String {
    let head = payload.get(..QUOTED_CHARS * 4).unwrap_or(payload);
    String::from_utf8_lossy(head)
        .chars()
        .take(QUOTED_CHARS)
        .collect()
}

#[cfg(test)]
mod tests;
