//! A reply as a person reads it.

use std::io::{self, Write};

use crate::command::reply::{ActionReport, Outcome, Reply, Via};

use crate::cli::Exit;

/// Prints a reply: the outcome and what to say, then each action. `told` is what was printed of its speech already.
pub(super) fn print(reply: &Reply, told: &str, out: &mut impl Write) -> io::Result<()> {
    let mark = match reply.outcome {
        Outcome::Done | Outcome::Answered => '✓',
        Outcome::Unclear => '?',
        Outcome::Refused | Outcome::Failed => '✗',
    };
    let speech = if told == reply.speech {
        ""
    } else {
        &reply.speech
    };
    writeln!(
        out,
        "{mark} {}{}{speech}",
        reply.outcome.name(),
        if speech.is_empty() { "" } else { ": " }
    )?;
    for done in &reply.actions {
        print_action(done, out)?;
    }
    if let Some(seconds) = reply.retry_after {
        writeln!(out, "  try again in {} s", seconds.ceil())?;
    }
    let via = match &reply.via {
        Via::None => "nobody",
        via => via.as_str(),
    };
    writeln!(out, "  understood by {via}, {:.1} ms", reply.ms)
}

fn print_action(done: &ActionReport, out: &mut impl Write) -> io::Result<()> {
    let action = &done.action;
    let op = serde_json::to_value(action.op).ok();
    let op = op.as_ref().and_then(|op| op.as_str()).unwrap_or_default();
    write!(out, "  {}: {op} {}", action.device, action.property)?;
    if let Some(value) = &action.value {
        write!(out, " {value}")?;
    }
    if let Some(why) = &done.why {
        write!(out, " — not done: {why}")?;
    }
    writeln!(out)?;
    for message in done.publish.iter().flatten() {
        writeln!(out, "    {} {}", message.topic, message.payload)?;
    }
    Ok(())
}

/// How a program ends that was given this reply.
pub(super) fn exit(reply: &Reply) -> Exit {
    match reply.outcome {
        Outcome::Done | Outcome::Answered => Exit::Done,
        Outcome::Unclear | Outcome::Refused | Outcome::Failed => Exit::Failed,
    }
}
