//! Bytes ↔ what is meant by them: a message on a command topic becomes a `Command`, a `Reply` becomes a payload. Pure.

mod payload;
pub mod timestamp;
pub mod topic;
use std::time::{Duration, Instant, SystemTime};

use crate::command::reply::{Piece, Refusal, Reply};
use crate::command::{Command, ReplyTo, Source};

use crate::wire::topic::{Filter, Topic};

use crate::wire::payload::CommandPayload;

/// The largest command, in bytes. A spoken minute is some 1 KiB.
pub const LARGEST: usize = 16 * 1024;

/// The longest time a command may be good for.
pub const LONGEST_TTL: Duration = Duration::from_hours(1);

/// The user property that counts how often what was said has gone through sayso.
pub(super) const HOPS: &str = "sayso-hops";

/// So often a command may have gone through sayso before. A device may well be another sayso; one whose own devices lead back
/// here would go on for ever.
pub const MOST_HOPS: u8 = 4;

/// The longest source, in bytes. Quotas and duplicates are kept by it, so it stays short.
const LONGEST_SOURCE: usize = 128;

/// How many characters of a payload that is no command are handed back in the reply.
const HANDED_BACK: usize = 200;

/// What decides about a letter, the same for all.
#[derive(Debug, Clone)]
pub struct WireRules {
    /// The first levels of sayso's own topics.
    pub prefix: String,
    /// Beginnings of response topics that are obeyed besides `<prefix>/reply/`.
    pub reply_prefixes: Vec<String>,
    /// How long a command is good for when it does not say.
    pub ttl: Duration,
}

/// One message on a command topic, as it came.
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
    /// What is left of the MQTT 5 message expiry.
    pub expiry: Option<Duration>,
    /// How often what is said has gone through sayso, this one or another.
    pub hops: u8,
    /// When it was heard.
    pub heard_at: Instant,
    /// What the wall clock shows; `None` where it is known to be wrong. Before 2025 it is not believed either.
    pub wall_clock: Option<SystemTime>,
    /// Its place in the order of what was heard.
    pub turn: u64,
}

/// A letter that is no command, with what a reply needs.
#[derive(Debug, Clone, PartialEq)]
pub struct RejectedPayload {
    /// What is wrong with it.
    pub refusal: Refusal,
    /// Where to say so.
    pub reply_to: ReplyTo,
    /// Its id where that could be read, or one made up here.
    pub id: String,
    /// Its text where that could be read, or the payload's beginning.
    pub text: String,
}

/// The filter commands are heard through.
pub(super) fn command_filter(prefix: &str) -> String {
    format!("{prefix}/command/+")
}

/// The filter requests of operators are heard through. Of its own, so that the broker's access list can keep it from those who
/// only speak commands.
pub(super) fn control_filter(prefix: &str) -> String {
    format!("{prefix}/control/+")
}

/// Reads a command.
///
/// # Errors
/// When the payload is no command, or asks for a reply where none may go.
pub fn decode(letter: &Inbound<'_>, rules: &WireRules) -> Result<Command, Box<RejectedPayload>> {
    let source = rules.source(letter.topic);
    let mut said = CommandPayload::default();
    let read = said.read(letter.payload);
    let (topic, allowed) = rules.reply_topic(letter, source.unwrap_or_default());
    let reply_to = ReplyTo {
        topic,
        correlation: letter.correlation.map(<[u8]>::to_vec),
    };
    let named = source
        .map(drop)
        .ok_or_else(|| format!("the topic names no source of at most {LONGEST_SOURCE} bytes"));
    let id_given = said.id.is_some();
    let id = said.id.take().unwrap_or_else(made_up_id);
    let straight = (letter.hops < MOST_HOPS)
        .then_some(())
        .ok_or_else(|| format!("it has gone through sayso {} times: the command topic of a device leads back to a command topic", letter.hops));
    if let Err(why) = read.and(named).and(allowed).and(straight) {
        let text = if said.text.is_empty() {
            beginning(letter.payload)
        } else {
            said.text
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
        deadline: letter.heard_at + good_for(&said, letter, rules.ttl),
        text: said.text,
        source: Source::new(source.unwrap_or_default()),
        area: said.area,
        language: said.language,
        heard_at: letter.heard_at,
        dry_run: said.dry_run,
        stream: said.stream,
        reply_to,
        hops: letter.hops,
        turn: letter.turn,
    })
}

/// The payload of a reply: one JSON object.
pub fn encode(reply: &Reply) -> Vec<u8> {
    // Plain data with text keys always serialises; an empty payload would still end the speaker's wait.
    serde_json::to_vec(reply).unwrap_or_default()
}

/// Where the pieces of an answer go that is to be told to `to`, and what they are there.
pub fn encode_piece(piece: &Piece, to: &ReplyTo) -> (String, Vec<u8>) {
    (
        format!("{}/stream", to.topic),
        serde_json::to_vec(piece).unwrap_or_default(),
    )
}

impl WireRules {
    /// The level after `<prefix>/command/`.
    fn source<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let source = topic
            .strip_prefix(self.prefix.as_str())?
            .strip_prefix("/command/")?;
        (1..=LONGEST_SOURCE)
            .contains(&source.len())
            .then_some(source)
            .filter(|s| !s.contains('/'))
    }

    /// Where the reply goes, and whether that is where it was asked for.
    fn reply_topic(&self, letter: &Inbound<'_>, source: &str) -> (String, Result<(), String>) {
        let own = format!("{}/reply/{source}", self.prefix);
        let Some(asked) = letter.response_topic else {
            return (own, Ok(()));
        };
        // What is said to another source is not for this one to say.
        let is_own = asked
            .strip_prefix(own.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let known = is_own
            || self
                .reply_prefixes
                .iter()
                .any(|p| !p.is_empty() && asked.starts_with(p.as_str()));
        let is_command = Filter::new(command_filter(&self.prefix)).is_ok_and(|f| f.matches(asked));
        if known && !is_command && Topic::new(asked).is_ok() {
            return (asked.to_owned(), Ok(()));
        }
        let shown: String = asked.chars().take(80).collect();
        (
            own.clone(),
            Err(format!(
                "reply topic `{shown}` is not allowed: use `{own}` or one below it, or add its beginning to `mqtt.reply_prefixes`"
            )),
        )
    }
}

/// How long after it was heard a command may still be acted on: the least of what it says, of what the broker says, and
/// of what is left since it was spoken, where clocks can be compared.
fn good_for(said: &CommandPayload, letter: &Inbound<'_>, default: Duration) -> Duration {
    let ttl = said.ttl.unwrap_or(default).min(LONGEST_TTL);
    let clock = letter
        .wall_clock
        .filter(|clock| timestamp::is_believable(*clock));
    // A moment in the future is a clock that is fast: the command is taken as said now.
    let age = clock
        .zip(said.ts)
        .and_then(|(now, ts)| now.duration_since(ts).ok())
        .unwrap_or_default();
    ttl.saturating_sub(age)
        .min(letter.expiry.unwrap_or(Duration::MAX))
}

fn made_up_id() -> String {
    format!("{:08x}", rand::random::<u32>())
}

fn beginning(payload: &[u8]) -> String {
    let head = payload.get(..HANDED_BACK * 4).unwrap_or(payload);
    String::from_utf8_lossy(head)
        .chars()
        .take(HANDED_BACK)
        .collect()
}
