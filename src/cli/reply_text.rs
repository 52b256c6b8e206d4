//! A reply as text for people.

use std::io::{self, Write};

use crate::command::reply::{ActionReport, Outcome, Reply};

use crate::cli::exit::Exit;

/// Prints outcome and speech of a reply, then each action. `printed` is the speech that was printed
/// already.
pub(super) fn print(reply: &Reply, printed: &str, out: &mut impl Write) -> io::Result<()> {
    let outcome = reply.outcome.name();
    if printed == reply.speech || reply.speech.is_empty() {
        writeln!(out, "{} {outcome}", mark(reply.outcome))?;
    } else {
        writeln!(out, "{} {outcome}: {}", mark(reply.outcome), reply.speech)?;
    }
    for done in &reply.actions {
        print_action(done, out)?;
    }
    if let Some(seconds) = reply.retry_after {
        writeln!(out, "  try again in {} s", seconds.ceil())?;
    }
    match reply.via.as_str() {
        "none" => writeln!(out, "  not understood, {:.1} ms", reply.ms),
        "local" => writeln!(out, "  understood locally, {:.1} ms", reply.ms),
        via => writeln!(out, "  understood by {via}, {:.1} ms", reply.ms),
    }
}

/// Returns the mark of an outcome.
pub(super) fn mark(outcome: Outcome) -> char {
    match outcome {
        Outcome::Done | Outcome::Answered => '✓',
        Outcome::Unclear => '?',
        Outcome::Refused | Outcome::Failed => '✗',
    }
}

fn print_action(done: &ActionReport, out: &mut impl Write) -> io::Result<()> {
    write!(out, "  {}", action(done))?;
    if let Some(why) = &done.why {
        write!(out, " — not done: {why}")?;
    }
    writeln!(out)?;
    for message in done.publish.iter().flatten() {
        writeln!(out, "    {} {}", message.topic, message.payload)?;
    }
    Ok(())
}

/// Returns an action as `kitchen_light: set brightness 40`.
pub(super) fn action(done: &ActionReport) -> String {
    let action = &done.action;
    let op = serde_json::to_value(action.op).ok();
    let op = op.as_ref().and_then(|op| op.as_str()).unwrap_or_default();
    let value = action
        .value
        .as_ref()
        .map_or_else(String::new, |value| format!(" {value}"));
    format!("{}: {op} {}{value}", action.device, action.property)
}

/// Returns the exit code for a reply.
pub(super) fn exit(reply: &Reply) -> Exit {
    match reply.outcome {
        Outcome::Done | Outcome::Answered => Exit::Done,
        Outcome::Unclear | Outcome::Refused | Outcome::Failed => Exit::Failed,
    }
}
