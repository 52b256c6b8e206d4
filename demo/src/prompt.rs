//! The interactive prompt: reads a line, sends it as a command, and prints the reply and its
//! effects.

use crate::client::Client;
use crate::daemon::Daemon;
use crate::editor::{Editor, Typed};
use crate::input::Input;
use crate::reason::LocalReading;
use crate::scripted_model::{self, ScriptedModel};
use crate::{DemoError, output};

/// The requests that fail after `fail 500` and other server errors: more than sayso tries one model
/// for one command.
const FAILURES: usize = 4;

/// Reads lines until `quit`, Ctrl-D or Ctrl-C, the end of a pipe, or until the daemon ends.
pub(crate) async fn run(
    mut editor: Editor,
    client: &mut Client,
    models: &[ScriptedModel],
    daemon: &Daemon,
    reading: &LocalReading,
) -> Result<(), DemoError> {
    if editor.is_terminal() {
        output::line(&help())?;
    }
    while !daemon.has_ended() {
        let Some(line) = next_line(&mut editor, client).await? else {
            break;
        };
        editor.echo(&line)?;
        match Input::parse(&line) {
            Input::Empty => {}
            Input::Quit => break,
            Input::Help => output::line(&help())?,
            Input::Devices => output::devices(client)?,
            Input::Fail(status) => output::line(&fail(models, status))?,
            Input::Heal => output::line(&heal(models))?,
            Input::Unclear(advice) => output::line(&format!("  {advice}"))?,
            Input::Sentence(sentence) => match client.send("demo", &[&sentence]).await {
                Ok(effects) => output::effects(&effects, models, reading)?,
                Err(error) => output::line(&format!("  {error}"))?,
            },
        }
    }
    Ok(())
}

/// The next line typed, `None` at the end. Meanwhile commands of other MQTT clients are printed
/// above the prompt.
async fn next_line(editor: &mut Editor, client: &mut Client) -> Result<Option<String>, DemoError> {
    loop {
        tokio::select! {
            typed = editor.line() => match typed {
                Typed::Line(line) => return Ok(Some(line)),
                Typed::End => return Ok(None),
            },
            message = client.next_foreign_message() => match message {
                Some(message) => editor.print(output::foreign_message(&message))?,
                None => return Err("the connection to the broker is closed".into()),
            },
        }
    }
}

/// Makes the first model fail with `status`; returns the confirmation.
fn fail(models: &[ScriptedModel], status: u16) -> String {
    let Some(first) = models.first() else {
        return "  there is no model".to_owned();
    };
    let times = if status < 500 { 1 } else { FAILURES };
    first.fail(status, times);
    let requests = if times == 1 {
        "the next request".to_owned()
    } else {
        format!("the next {times} requests")
    };
    format!(
        "  {} answers {requests} with {status}. Now type a sentence for a model that you have not \
         used before: a repeated one is answered from the cache.",
        first.name
    )
}

/// Makes all models answer again; returns the confirmation.
fn heal(models: &[ScriptedModel]) -> String {
    for model in models {
        model.recover();
    }
    "  The models answer again. After failures sayso may still avoid the first one for some seconds."
        .to_owned()
}

fn help() -> String {
    let known: Vec<String> = scripted_model::sentences()
        .map(|sentence| format!("    {sentence}"))
        .collect();
    format!(
        "Type a command in plain English. These are understood without a model:
    turn on the kitchen light
    close all the blinds
    is the front door locked?
    set the thermostat to 21 degrees
    open the garage door        (then answer: yes)
For other sentences sayso asks a model. In this demo the models are scripts, which know only:
{}
Commands of the demo itself:
    devices      print the last state of every device
    fail 429     let the first model fail with this HTTP status (400 to 599)
    heal         let it answer again
    help, quit",
        known.join("\n")
    )
}
