//! More commands than can be served: memory stays flat, a rejected client learns when to retry, and
//! clients that do not flood are served.

use std::fs;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::broker::Broker;
use crate::daemon::{Daemon, Place};
use crate::listener::{Listener, Message};
use crate::scene::{PATIENCE, Scene};

/// Waves of the flood.
const WAVES: usize = 2;

/// Commands in each wave: many more than may be worked on at once (1024) together with the inbox.
const WAVE: usize = 3000;

/// Commands of the quiet source in each wave.
const QUIET: usize = 2;

const FLOODING: &str = "sayso/command/loud";

/// Sends one wave. The daemon is stopped until all of it is at the broker, behind which every
/// acknowledgement for the daemon then waits: so it is more than can be served on any machine.
/// Waits for the answer to the last command.
async fn wave(number: usize, daemon: &Daemon, loud: &mut Listener, quiet: &mut Listener) {
    let command = |id: String| json!({"text": "turn on the kitchen light", "id": id}).to_string();
    daemon.signal("STOP");
    for n in 0..WAVE {
        loud.publish_at_most_once(FLOODING, command(format!("loud-{number}-{n}")))
            .await;
        if n % (WAVE / QUIET) == WAVE / QUIET / 2 {
            let text = json!({"text": "close the bedroom blind"}).to_string();
            quiet.publish("sayso/command/quiet", text).await;
        }
    }
    let last = format!("last-{number}");
    loud.publish_surely(FLOODING, &command(last.clone())).await;
    daemon.signal("CONT");
    loud.wait_for(|m| m.json()["id"] == last, 4 * PATIENCE)
        .await
        .expect("each wave is answered to its end");
}

fn resident(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// The replies to a source.
fn replies(listener: &Listener, source: &str) -> Vec<Message> {
    listener
        .so_far()
        .into_iter()
        .filter(|m| m.topic == format!("sayso/reply/{source}"))
        .collect()
}

/// The smallest inbox.
fn place(port: u16) -> Place {
    let place = Scene::new().place(port);
    let config = fs::read_to_string(place.config())
        .unwrap()
        .replace("[mqtt]\n", "[mqtt]\nqueue = 32\n");
    fs::write(place.config(), config).unwrap();
    place
}

#[tokio::test]
async fn a_flood_is_turned_away_memory_stays_flat_and_a_quiet_source_is_served() {
    let broker = Broker::mosquitto_with(|_| {
        "persistence false\nmax_queued_messages 0\nset_tcp_nodelay true\n".to_owned()
    })
    .await;
    let port = broker.port();
    let place = place(port);
    let (mut loud, mut quiet) = (Listener::connect(port), Listener::connect(port));
    loud.subscribe("sayso/reply/loud").await;
    quiet.subscribe("sayso/reply/quiet").await;
    let daemon = Daemon::start(&place);
    daemon.says("connected to the broker", PATIENCE).await;

    wave(0, &daemon, &mut loud, &mut quiet).await;
    let early = resident(&daemon);
    for number in 1..WAVES {
        wave(number, &daemon, &mut loud, &mut quiet).await;
    }
    let late = resident(&daemon);
    for _ in 0..WAVES * QUIET {
        let reply = quiet.expect("sayso/reply/quiet", PATIENCE).await.json();
        assert_eq!(reply["outcome"], "done", "{reply}");
    }

    let answers: Vec<_> = replies(&loud, "loud").iter().map(Message::json).collect();
    let waits: Vec<f64> = answers
        .iter()
        .filter(|reply| reply["why"] == "busy")
        .map(|reply| reply["retry_after"].as_f64().unwrap())
        .collect();
    let done = answers
        .iter()
        .filter(|reply| reply["outcome"] == "done")
        .count();
    let flooded = WAVES * WAVE;
    println!(
        "{flooded} in the flood, {done} done, {} rejected with an answer; {early} bytes resident after \
         the first wave, {late} after the last",
        waits.len()
    );
    assert!(flooded > 2 * done && done > 0, "{done} of {flooded} done");
    assert!(
        !waits.is_empty() && waits.iter().all(|wait| (1.0..=60.0).contains(wait)),
        "{waits:?}"
    );
    assert!(late < early + (16 << 20), "{early} bytes became {late}");

    // A client that retries when it was asked to is served.
    sleep(Duration::from_secs_f64(
        waits.last().copied().unwrap_or_default(),
    ))
    .await;
    loud.publish(
        FLOODING,
        json!({"text": "turn on the kitchen light", "id": "again"}).to_string(),
    )
    .await;
    let again = loud
        .wait_for(
            |m| m.topic == "sayso/reply/loud" && m.json()["id"] == "again",
            PATIENCE,
        )
        .await
        .expect("an answer")
        .json();
    assert_eq!(again["outcome"], "done", "{again}");
}
