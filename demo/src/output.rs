//! What the demo prints.

use std::io::{self, Write};

use crate::speaker::{Message, Outcome, Reply};
use crate::stand_in::StandIn;

/// How much of a payload is shown.
const WIDEST: usize = 110;

/// A line on standard output.
pub(crate) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// The prompt, without a line's end.
pub(crate) fn prompt() -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "demo> ")?;
    out.flush()
}

/// What came of a sentence: the replies, what was sent, what the devices said, and which model was asked.
pub(crate) fn outcome(outcome: &Outcome, models: &[StandIn]) -> io::Result<()> {
    for (reply, took) in &outcome.replies {
        let via = who(reply);
        let beside = if outcome.replies.len() > 1 {
            format!("   ({})", reply.text)
        } else {
            String::new()
        };
        line(&format!("  {:<8} {}{beside}", reply.outcome, reply.speech))?;
        line(&format!(
            "           {via}, {:.1} ms in sayso, {:.1} ms there and back",
            reply.ms,
            took.as_secs_f64() * 1000.0
        ))?;
        let after = reply.retry_after.map_or_else(String::new, |seconds| {
            format!(", retry after {seconds:.1} s")
        });
        if let Some(why) = &reply.why {
            line(&format!("  why      {why}{after}"))?;
        }
    }
    for model in models {
        let answered = model.answered();
        if !answered.is_empty() {
            let statuses: Vec<String> = answered.iter().map(u16::to_string).collect();
            line(&format!(
                "  asked    {} answered {}",
                model.name,
                statuses.join(", ")
            ))?;
        }
    }
    for Message { topic, payload, .. } in &outcome.sent {
        line(&format!("  sent     {topic}  {}", cut(payload)))?;
    }
    for (topic, payload) in &outcome.states {
        line(&format!("  state    {topic}  {}", cut(payload)))?;
    }
    line("")
}

/// A message that somebody else caused, in place of the waiting prompt.
pub(crate) fn overheard(message: &Message) -> io::Result<()> {
    line(&format!(
        "\r  heard    {}  {}",
        message.topic,
        cut(&message.payload)
    ))
}

fn who(reply: &Reply) -> String {
    match reply.via.as_str() {
        "local" => "understood here, by the local reading".to_owned(),
        "cache" => "understood before, from the cache".to_owned(),
        "none" => "understood by nobody".to_owned(),
        model => format!("understood by `{model}`"),
    }
}

fn cut(payload: &str) -> String {
    if payload.chars().count() <= WIDEST {
        payload.to_owned()
    } else {
        payload.chars().take(WIDEST).chain("…".chars()).collect()
    }
}
