//! The text the demo prints.

use std::io::{self, Write};

use crate::client::{Client, Effects, Message, Reply};
use crate::reason::LocalReading;
use crate::scripted_model::ScriptedModel;

/// Characters of a payload that are printed.
const PAYLOAD_WIDTH: usize = 110;

/// Writes a line to standard output.
pub(crate) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Prints the last state of every device.
pub(crate) fn devices(client: &Client) -> io::Result<()> {
    for (topic, payload) in &client.states {
        line(&format!("  {topic:<34} {}", shortened(payload)))?;
    }
    Ok(())
}

/// Prints the replies to commands, the requests to models, the messages to devices, and their new
/// states.
pub(crate) fn effects(
    effects: &Effects,
    models: &[ScriptedModel],
    reading: &LocalReading,
) -> io::Result<()> {
    let several = effects.replies.len() > 1;
    for (reply, took) in &effects.replies {
        let sentence = if several {
            format!("   ({})", reply.text)
        } else {
            String::new()
        };
        line(&format!(
            "  {:<8} {}{sentence}",
            reply.outcome, reply.speech
        ))?;
        line(&format!(
            "           {}, {:.1} ms in sayso, {:.1} ms with both ways over MQTT",
            understood_by(reply),
            reply.ms,
            took.as_secs_f64() * 1000.0
        ))?;
        if let Some(why) = &reply.why {
            let after = match reply.retry_after {
                Some(seconds) => format!(", retry after {seconds:.1} s"),
                None => String::new(),
            };
            line(&format!("  why      {why}{after}"))?;
        }
        let by_model = !matches!(reply.via.as_str(), "local" | "cache" | "none");
        if by_model && let Some(reason) = reading.reason(&reply.text) {
            line(&format!(
                "  model    sayso asks a model here. The local reading: {reason}"
            ))?;
        }
    }
    for model in models {
        let statuses: Vec<String> = model.take_statuses().iter().map(u16::to_string).collect();
        if !statuses.is_empty() {
            line(&format!(
                "  request  {} answered {}",
                model.name,
                statuses.join(", ")
            ))?;
        }
    }
    for Message { topic, payload, .. } in &effects.sent {
        line(&format!("  sent     {topic}  {}", shortened(payload)))?;
    }
    for (topic, payload) in &effects.states {
        line(&format!("  state    {topic}  {}", shortened(payload)))?;
    }
    line("")
}

/// A message of another MQTT client, as one line.
pub(crate) fn foreign_message(message: &Message) -> String {
    format!(
        "  received {}  {}\n",
        message.topic,
        shortened(&message.payload)
    )
}

fn understood_by(reply: &Reply) -> String {
    match reply.via.as_str() {
        "local" => "understood locally, without a model".to_owned(),
        "cache" => "from the cache, without a model".to_owned(),
        "none" => "not understood".to_owned(),
        model => format!("understood by the scripted model `{model}`"),
    }
}

fn shortened(payload: &str) -> String {
    if payload.chars().count() <= PAYLOAD_WIDTH {
        return payload.to_owned();
    }
    payload.chars().take(PAYLOAD_WIDTH).chain(['…']).collect()
}
