//! The prompt: a sentence in, what comes of it out.

use tokio::io::{AsyncBufReadExt, BufReader, stdin};

use crate::daemon::Daemon;
use crate::speaker::Speaker;
use crate::stand_in::{Mood, StandIn};
use crate::{Fault, show};

const HELP: &str = "  Type what you would say: `turn on the kitchen light`, `close all the blinds`, `is the front door locked?`,
  `set the thermostat to 21 degrees`, `start the vacuum`, `open the garage door` and then `yes`.
  The scripted models know by heart: `make the living room cosy`, `it is too dark in the bedroom`, `i need a coffee`,
  `make it as hot as a sauna`. Whatever the local reading leaves to them besides gets an excuse.

  devices      every device's last word
  fail 429     the first model is exhausted for the next request      fail 500     ... is broken for the next four
  heal         it answers again                                       quit         the end";

/// Reads sentences from the terminal until `quit`, the end of the input, or Ctrl-C.
pub(crate) async fn run(
    speaker: &mut Speaker,
    models: &[StandIn],
    daemon: &Daemon,
) -> Result<(), Fault> {
    let mut lines = BufReader::new(stdin()).lines();
    show::line(HELP)?;
    loop {
        show::prompt()?;
        let typed = loop {
            tokio::select! {
                typed = lines.next_line() => break typed?,
                heard = speaker.overhear() => match heard {
                    Some(message) => {
                        show::overheard(&message)?;
                        show::prompt()?;
                    }
                    None => return Err("the broker is gone".into()),
                },
                _ = tokio::signal::ctrl_c() => break None,
            }
        };
        let Some(typed) = typed else {
            return show::line("").map_err(Fault::from);
        };
        match typed.trim() {
            "" => {}
            "quit" | "exit" => return Ok(()),
            "help" => show::line(HELP)?,
            "devices" => {
                for (topic, payload) in &speaker.states {
                    show::line(&format!("  {topic:<34} {payload}"))?;
                }
            }
            "heal" => models.iter().for_each(StandIn::recover),
            "fail 429" => models
                .iter()
                .take(1)
                .for_each(|first| first.fail(Mood::Exhausted, 1)),
            "fail 500" => models
                .iter()
                .take(1)
                .for_each(|first| first.fail(Mood::Broken, 4)),
            sentence => match speaker.say("demo", &[sentence]).await {
                Ok(outcome) => show::outcome(&outcome, models)?,
                Err(fault) => show::line(&format!("  {fault}"))?,
            },
        }
        if daemon.has_ended() {
            return Ok(()); // stopping it says why
        }
    }
}
