//! Outages of the broker: the time from its return to the first command served.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::caller::Caller;
use crate::house;
use crate::say;
use crate::stage::{Broker, Daemon};

/// The longest time to the first command.
const MAX_RECOVERY: Duration = Duration::from_millis(2500);

/// How long the first command may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Pause between two commands.
const PACE: Duration = Duration::from_millis(50);

/// Has `times` outages of each length in seconds; true if the program is back in time after each.
pub(crate) async fn outages(program: &Path, lengths: &[u64], times: usize) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(folder.path()).await;
    std::fs::write(folder.path().join("home.toml"), house::HOME).unwrap();
    let settings = format!(
        "home = \"home.toml\"\n[mqtt]\nhost = \"127.0.0.1\"\nport = {}\n[store]\npath = \
         \"store\"\n[discovery]\nhomeassistant = \"homeassistant\"\nzigbee2mqtt = []\ntasmota = false\n",
        broker.port
    );
    std::fs::write(folder.path().join("sayso.toml"), settings).unwrap();
    let mut daemon = Daemon::start(program, folder.path());
    let caller = Caller::new("outage", broker.port);
    let first = caller.ask("first", "turn on the red lamp", PATIENCE).await;
    assert!(first.is_some(), "the program serves");
    say("  outage s   times   median ms   worst ms");
    let mut is_well = true;
    for &length in lengths {
        let mut recoveries = Vec::new();
        for n in 0..times {
            broker.down(true).await;
            sleep(Duration::from_secs(length)).await;
            broker.up().await;
            let id = format!("outage-{length}-{n}");
            recoveries.push(recovery(&caller, &id).await);
            sleep(Duration::from_secs(1)).await;
        }
        recoveries.sort_unstable();
        let worst = recoveries.last().copied().unwrap_or(PATIENCE);
        is_well &= worst <= MAX_RECOVERY;
        say(&format!(
            "  {length:>8}   {times:>5}   {:>9.0}   {:>8.0}",
            recoveries[recoveries.len() / 2].as_secs_f64() * 1e3,
            worst.as_secs_f64() * 1e3
        ));
    }
    daemon.stop().await;
    is_well
}

/// Sends commands until the first is served; returns how long that took.
async fn recovery(caller: &Caller, id: &str) -> Duration {
    let back = Instant::now();
    for n in 0.. {
        let text = "turn on the red lamp";
        caller.send(&json!({"id": format!("{id}-{n}"), "text": text, "ttl": "20s"}));
        let is_its = |reply: &serde_json::Value| {
            reply["id"]
                .as_str()
                .is_some_and(|other| other.starts_with(id))
        };
        let reply = caller.reply(PACE, is_its).await;
        if let Some(reply) = reply {
            return reply.at.saturating_duration_since(back);
        }
        if back.elapsed() > PATIENCE {
            return PATIENCE;
        }
    }
    PATIENCE
}
