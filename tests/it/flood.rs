//! More commands than can be served: memory stays flat, a rejected client learns when to retry, and clients that do not flood are
//! served.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::broker::Broker;
use crate::daemon::Daemon;
use crate::listener::{Listener, Message};
use crate::scene::{PATIENCE, Scene};

/// For how long, and how often the quiet source says something.
const FLOOD: Duration = Duration::from_secs(3);
const QUIET_EVERY: Duration = Duration::from_millis(250);

/// Says as much as goes, without an acknowledgement that would hold it back; and counts.
async fn flood(port: u16, said: Arc<AtomicUsize>) {
    let mut options = MqttOptions::new("loud", "127.0.0.1", port);
    options.set_max_packet_size(Some(1 << 20));
    let (client, mut events) = AsyncClient::new(options, 100);
    let mut polling = JoinSet::new();
    polling.spawn(async move { while events.poll().await.is_ok() {} });
    for n in 1.. {
        let command =
            json!({"text": "turn on the kitchen light", "id": format!("loud-{n}")}).to_string();
        if client
            .publish("sayso/command/loud", QoS::AtMostOnce, false, command)
            .await
            .is_err()
        {
            return;
        }
        said.store(n, Ordering::Relaxed);
    }
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

#[tokio::test]
async fn a_flood_is_turned_away_memory_stays_flat_and_a_quiet_source_is_served() {
    let broker = Broker::mosquitto_with(|_| {
        "persistence false\nmax_queued_messages 0\nset_tcp_nodelay true\n".to_owned()
    })
    .await;
    let port = broker.port();
    let place = Scene::new().place(port);
    let config = fs::read_to_string(place.config())
        .unwrap()
        .replace("[mqtt]\n", "[mqtt]\nqueue = 32\n");
    fs::write(place.config(), config).unwrap();
    let (mut loud, mut quiet) = (Listener::connect(port), Listener::connect(port));
    loud.subscribe("sayso/reply/loud").await;
    quiet.subscribe("sayso/reply/quiet").await;
    let daemon = Daemon::start(&place);
    daemon.says("connected to the broker", PATIENCE).await;
    let mut flooding = JoinSet::new();
    let flooded = Arc::new(AtomicUsize::new(0));
    flooding.spawn(flood(port, Arc::clone(&flooded)));
    sleep(Duration::from_secs(1)).await;
    let (early, end, mut said) = (resident(&daemon), Instant::now() + FLOOD, 0);
    while Instant::now() < end {
        quiet
            .publish(
                "sayso/command/quiet",
                json!({"text": "close the bedroom blind", "id": format!("quiet-{said}")})
                    .to_string(),
            )
            .await;
        said += 1;
        sleep(QUIET_EVERY).await;
    }
    let late = resident(&daemon);
    flooding.shutdown().await;
    let patience = Instant::now() + PATIENCE;
    while replies(&quiet, "quiet").len() < said && Instant::now() < patience {
        sleep(Duration::from_millis(50)).await;
    }
    let served: Vec<_> = replies(&quiet, "quiet").iter().map(Message::json).collect();
    assert!(
        served.len() >= said && served.iter().all(|reply| reply["outcome"] == "done"),
        "{} of {said}: {served:?}",
        served.len()
    );

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
    let flooded = flooded.load(Ordering::Relaxed);
    println!(
        "{flooded} in the flood, {done} done, {} told to come again; {said} of the quiet source served; {early} bytes resident early, {late} late",
        waits.len()
    );
    assert!(flooded > 10 * done && done > 0, "{done} of {flooded} done");
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
        "sayso/command/loud",
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
