//! `sayso watch`: shows the commands of all sources and their replies, with reasons, as they
//! happen.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use serde_json::{Value as Json, json};
use tokio::time::{sleep, timeout};

use crate::command::reply::{ConfirmationEvent, Reply};
use crate::mqtt::Settings;

use crate::cli::broker::{BrokerOptions, BrokerUnreachable};
use crate::cli::exit::{Exit, Failure};
use crate::cli::runtime;
use crate::cli::{broker, reply_text};

/// Maximum number of characters shown of a command.
const MAX_TEXT: usize = 200;

/// Pause before each attempt to connect again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  sayso watch
  sayso watch --json | jq 'select(.reply.outcome == \"refused\")'

Shows `<prefix>/command/+`, `<prefix>/reply/+` and `<prefix>/reply/+/event`, which contain the \
commands of the household: allow these topics only to operators. Ctrl-C ends it. Replies to other \
topics are not shown. After a lost connection it connects again and says so.

Exit codes: 0 ended by the user or by --count, 1 the broker does not allow it, 75 no broker, 77 a \
file may not be read, \
78 the config is wrong.";

/// Arguments of `sayso watch`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Watch {
    #[command(flatten)]
    broker: BrokerOptions,
    /// End after this number of replies
    #[arg(long)]
    count: Option<usize>,
    /// Print each message as a JSON object on one line
    #[arg(long)]
    json: bool,
}

/// Prints commands and replies until the user ends the program.
pub(super) fn watch(arguments: &Watch, out: &mut impl Write) -> Result<Exit, Failure> {
    let settings = arguments.broker.config(false)?.mqtt;
    let runtime = runtime::create()?;
    let watched = runtime.block_on(watch_on(arguments, &settings, out));
    match watched {
        Ok(()) => Ok(Exit::Done),
        Err(WatchError::Broker(error)) => Err(error.explained(&settings, &runtime)),
        Err(WatchError::Output(error)) => Err(error.into()),
    }
}

/// Shows messages, also after a lost connection. Only the first connection may fail.
async fn watch_on(
    arguments: &Watch,
    settings: &Settings,
    out: &mut impl Write,
) -> Result<(), WatchError> {
    let broker = broker::address(settings);
    let mut watcher = Watcher::connect(arguments, settings).await?;
    if !arguments.json {
        writeln!(out, "Watching commands at {broker}. Ctrl-C ends it.")?;
        out.flush()?;
    }
    let mut replies = 0;
    loop {
        let lost = match watcher.run(arguments, &mut replies, out).await {
            Err(WatchError::Broker(lost)) => lost,
            ended => return ended,
        };
        note(
            arguments,
            out,
            &format!("The connection to {broker} is lost, trying again: {lost}"),
        )?;
        watcher = loop {
            sleep(RECONNECT_PAUSE).await;
            match Watcher::connect(arguments, settings).await {
                Ok(watcher) => break watcher,
                Err(BrokerUnreachable::Unreachable { .. } | BrokerUnreachable::Silent { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        };
        note(
            arguments,
            out,
            &format!("Connected to {broker} again. What happened meanwhile is not shown."),
        )?;
    }
}

/// Says something about the connection: beside JSON on standard error.
fn note(arguments: &Watch, out: &mut impl Write, text: &str) -> io::Result<()> {
    if arguments.json {
        return writeln!(io::stderr(), "{text}");
    }
    writeln!(out, "{text}")?;
    out.flush()
}

/// Reason why the messages can no longer be shown.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Broker(#[from] BrokerUnreachable),
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Connection that receives commands and replies.
struct Watcher<'a> {
    settings: &'a Settings,
    /// Kept so that the connection stays open.
    _client: AsyncClient,
    events: EventLoop,
}

impl<'a> Watcher<'a> {
    async fn connect(arguments: &Watch, settings: &'a Settings) -> Result<Self, BrokerUnreachable> {
        let time_limit = arguments.broker.timeout;
        let (client, events) = broker::client(settings, "watch", time_limit)?;
        let topics = ["command/+", "reply/+", "reply/+/event"]
            .map(|topic| format!("{}/{topic}", settings.prefix));
        let filters = topics
            .clone()
            .map(|topic| Filter::new(topic, QoS::AtLeastOnce));
        client
            .try_subscribe_many(filters)
            .expect("the queue of a new client is empty");
        let mut watcher = Self {
            settings,
            _client: client,
            events,
        };
        let Ok(codes) = timeout(time_limit, watcher.subscribed()).await else {
            return Err(BrokerUnreachable::Silent {
                broker: broker::address(settings),
                timeout: time_limit,
            });
        };
        for (topic, code) in topics.iter().zip(codes?) {
            if !matches!(code, SubscribeReasonCode::Success(_)) {
                let why = format!("{code:?}");
                return Err(BrokerUnreachable::read_not_allowed(settings, topic, &why));
            }
        }
        Ok(watcher)
    }

    async fn next(&mut self) -> Result<Event, BrokerUnreachable> {
        let event = self.events.poll().await;
        event.map_err(|error| BrokerUnreachable::of(&broker::address(self.settings), error))
    }

    async fn subscribed(&mut self) -> Result<Vec<SubscribeReasonCode>, BrokerUnreachable> {
        loop {
            if let Event::Incoming(Packet::SubAck(ack)) = self.next().await? {
                return Ok(ack.return_codes);
            }
        }
    }

    /// Shows messages until enough replies were shown, or the connection is lost.
    async fn run(
        &mut self,
        arguments: &Watch,
        replies: &mut usize,
        out: &mut impl Write,
    ) -> Result<(), WatchError> {
        while arguments.count != Some(*replies) {
            let Event::Incoming(Packet::Publish(message)) = self.next().await? else {
                continue;
            };
            if let Some(message) = WatchedMessage::parse(&message, &self.settings.prefix) {
                *replies += usize::from(matches!(message, WatchedMessage::Reply { .. }));
                if arguments.json {
                    writeln!(out, "{}", message.json())?;
                } else {
                    message.print(out)?;
                }
                out.flush()?;
            }
        }
        Ok(())
    }
}

/// A message that is shown.
enum WatchedMessage {
    Command {
        source: String,
        text: String,
    },
    Reply {
        source: String,
        reply: Box<Reply>,
    },
    Confirmation {
        source: String,
        event: ConfirmationEvent,
    },
}

impl WatchedMessage {
    /// Parses a message; `None` for retained messages and for replies that cannot be parsed.
    fn parse(message: &Publish, prefix: &str) -> Option<Self> {
        let topic = std::str::from_utf8(&message.topic).ok()?;
        let below = topic.strip_prefix(prefix)?.strip_prefix('/')?;
        if message.retain {
            return None;
        }
        if let Some(source) = below.strip_prefix("command/") {
            return Some(Self::Command {
                source: source.to_owned(),
                text: text(&message.payload),
            });
        }
        let below = below.strip_prefix("reply/")?;
        if let Some(source) = below.strip_suffix("/event") {
            return Some(Self::Confirmation {
                source: source.to_owned(),
                event: serde_json::from_slice(&message.payload).ok()?,
            });
        }
        let source = below.to_owned();
        let reply = serde_json::from_slice(&message.payload).ok()?;
        Some(Self::Reply { source, reply })
    }

    fn json(&self) -> Json {
        match self {
            Self::Command { source, text } => json!({"source": source, "command": text}),
            Self::Reply { source, reply } => json!({"source": source, "reply": reply}),
            Self::Confirmation { source, event } => json!({"source": source, "event": event}),
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Command { source, text } => writeln!(out, "{source} → {text}"),
            Self::Reply { source, reply } => {
                let outcome = reply.outcome.name();
                let mark = reply_text::mark(reply.outcome);
                write!(out, "{source} {mark} {outcome}: {}", reply.speech)?;
                let why = reply
                    .why
                    .as_ref()
                    .map_or_else(String::new, |why| format!("why {why}, "));
                writeln!(out, "  [{why}via {}, {:.1} ms]", reply.via, reply.ms)?;
                for done in &reply.actions {
                    write!(out, "    {}", reply_text::action(done))?;
                    match &done.why {
                        Some(why) => writeln!(out, " — not done: {why}")?,
                        None => writeln!(out)?,
                    }
                }
                Ok(())
            }
            Self::Confirmation { source, event } => {
                let mark = match (event.is_confirmed(), event.is_moving()) {
                    (true, _) => '✓',
                    (false, true) => '…',
                    (false, false) => '✗',
                };
                write!(out, "{source} {mark} {}", event.event)?;
                for report in event.devices.iter().filter(|report| !report.confirmed) {
                    write!(out, ", {} {}: ", report.device, report.property.name())?;
                    match &report.reported {
                        Some(value) => write!(out, "reports {}", printable(&value.to_string()))?,
                        None => write!(out, "reports nothing")?,
                    }
                }
                writeln!(out, "  [{} ms]", event.ms)
            }
        }
    }
}

/// Returns the text of a command, which is JSON with a key `text` or plain text, on one line.
fn text(payload: &[u8]) -> String {
    let json = serde_json::from_slice::<Json>(payload).ok();
    let text = match json.as_ref().and_then(|json| json["text"].as_str()) {
        Some(text) => text.to_owned(),
        None => String::from_utf8_lossy(payload).into_owned(),
    };
    printable(&text)
}

/// Returns the beginning of a text on one line.
fn printable(text: &str) -> String {
    text.chars()
        .take(MAX_TEXT)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn a_command_is_shown_as_text_on_one_line() {
        assert_eq!(text(b"lights on"), "lights on");
        assert_eq!(text(br#"{"text": "lights on", "id": "7"}"#), "lights on");
        assert_eq!(text(b"lights\x1b[31m\non"), "lights [31m on");
        assert_eq!(text("x".repeat(1000).as_bytes()).len(), super::MAX_TEXT);
    }
}
