//! The bytes a command costs the disk in the steady state, when old commands expire as fast as new
//! ones arrive.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::load::Load;
use crate::stage::{Stage, written};
use crate::{BenchError, say};

/// Commands per second.
const PACES: [u32; 3] = [1, 10, 100];

/// The warm-up, somewhat longer than a command is remembered, and the time measured after it.
const WARM: u32 = 75;
const MEASURED: u32 = 60;

/// The sentences, and how they are understood.
const SAID: [(&str, &str); 2] = [
    ("understood at home", "turn on the lamp"),
    ("recalled", "make it a little less gloomy in here"),
];

/// Measures each rate and type of command with a store of its own, all at the same time.
pub(crate) async fn bytes(stage: &Stage) -> Result<(), BenchError> {
    let mut measured = JoinSet::new();
    for pace in PACES {
        for (n, (_, text)) in SAID.into_iter().enumerate() {
            let prefix = format!("wear{pace}-{n}");
            let program = stage.sayso(&prefix, true)?;
            let mut load = Load::connect(&format!("load-{prefix}"), stage.port, &[&prefix])?;
            measured.spawn(async move {
                load.ready(&prefix).await?;
                load.paced(&prefix, text, 1, 1).await?;
                load.paced(&prefix, text, pace, pace * WARM).await?;
                let before = written(&program)?;
                let arrived = load
                    .paced(&prefix, text, pace, pace * MEASURED)
                    .await?
                    .len();
                sleep(Duration::from_secs(1)).await;
                Ok::<_, BenchError>((
                    pace,
                    n,
                    (written(&program)? - before) / u64::from(pace * MEASURED),
                    arrived,
                ))
            });
        }
    }
    let mut rows = Vec::new();
    while let Some(row) = measured.join_next().await {
        rows.push(row??);
    }
    rows.sort_unstable();
    say("bytes written to the disk for one command, by the kernel's count");
    for pace in PACES {
        let mut line = format!("  at {pace:>3}/s");
        for (_, n, each, arrived) in rows.iter().filter(|row| row.0 == pace) {
            // Writing to a `String` does not fail.
            let _ = write!(
                line,
                "   {} {each:>6} ({arrived} of {} acted)",
                SAID[*n].0,
                pace * MEASURED
            );
        }
        say(&line);
    }
    Ok(())
}
