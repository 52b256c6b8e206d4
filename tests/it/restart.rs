//! The broker restarts under load: nothing is lost, nothing is doubled, and each device hears
//! everything in order.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::broker::Broker;
use crate::listener::{Listener, Message};
use crate::scene::{PATIENCE, Scene};

const HOME: &str = r#"
[device.alpha]
kind = "counter"
[device.alpha.property.level]
range = [0, 100000]
command_topic = "alpha/set"

[device.beta]
kind = "counter"
[device.beta.property.level]
range = [0, 100000]
command_topic = "beta/set"
"#;

/// So many commands, and after so many the broker restarts.
const COMMANDS: u32 = 300;
const RESTARTS: [u32; 3] = [60, 150, 240];

/// Sends all commands while the broker restarts, and checks their outcomes.
async fn holds(forget: bool) {
    let mut broker = Broker::mosquitto_with(|_| {
        format!(
            "persistence {}\nautosave_interval 0\nset_tcp_nodelay true\n",
            !forget
        )
    })
    .await;
    let port = broker.port();
    let mut listener = Listener::connect(port);
    listener.subscribe("+/set").await;
    listener.subscribe("sayso/reply/#").await;
    let mut speaker = Listener::connect(port);
    speaker.subscribe("listener/none").await;
    let place = Scene::new().home(HOME).place(port);
    let daemon = crate::daemon::Daemon::start(&place);
    daemon.says("connected to the broker", PATIENCE).await;
    let so_many = AtomicU32::new(0);
    let said = async {
        for n in 1..=COMMANDS {
            so_many.store(n, Ordering::Relaxed);
            let device = if n % 2 == 0 { "alpha" } else { "beta" };
            let command = json!({"text": format!("set the {device} level to {n}"), "id": format!("c{n}"), "ttl": "60s"}).to_string();
            speaker.publish_surely("sayso/command/load", &command).await;
        }
    };
    let restarted = async {
        for at in RESTARTS {
            while so_many.load(Ordering::Relaxed) < at {
                sleep(Duration::from_millis(2)).await;
            }
            broker.restart().await;
        }
    };
    tokio::join!(said, restarted);
    let replies = |listener: &Listener| -> HashSet<String> {
        let replies = listener
            .so_far()
            .into_iter()
            .filter(|m| m.topic.starts_with("sayso/reply/"))
            .map(|m| m.json());
        let settled = |r: &serde_json::Value| r["outcome"] == "done" || r["why"] == "superseded";
        replies
            .filter(settled)
            .filter_map(|r| r["id"].as_str().map(str::to_owned))
            .collect()
    };
    // A broker without its sessions accepts commands before sayso has subscribed; those are lost
    // before they reach sayso.
    let done = |listener: &Listener| {
        if forget {
            replies(listener).contains("last")
        } else {
            replies(listener).len() == COMMANDS as usize
        }
    };
    let end = Instant::now() + PATIENCE;
    while !done(&listener) {
        assert!(
            Instant::now() < end,
            "only {} of {COMMANDS} answered\n{}",
            replies(&listener).len(),
            daemon.log()
        );
        if forget {
            speaker.publish_surely("sayso/command/load", &json!({"text": format!("set the alpha level to {}", COMMANDS + 1), "id": "last"}).to_string()).await;
        }
        sleep(Duration::from_millis(50)).await;
    }
    check(&listener.heard().await, &daemon.log(), forget);
}

/// Each device received all its messages, in order and once; each command was processed once.
fn check(messages: &[Message], log: &str, forget: bool) {
    let mut heard: HashMap<String, Vec<u32>> = HashMap::new();
    for message in messages.iter().filter(|m| m.topic.ends_with("/set")) {
        let (levels, level) = (
            heard.entry(message.topic.clone()).or_default(),
            message.text().parse().unwrap(),
        );
        // The listener's own connection broke as well: redeliveries of the broker to it are not
        // messages of sayso.
        if !(message.dup && levels.contains(&level)) {
            levels.push(level);
        }
    }
    for (device, levels) in &heard {
        assert!(levels.is_sorted(), "{device} heard {levels:?}");
        // A message in flight when the connection broke is sent again: an absolute value, which is
        // harmless.
        let again = levels.len() - levels.iter().collect::<HashSet<_>>().len();
        println!(
            "{device} heard {} levels, {again} of them twice",
            levels.len()
        );
        assert!(
            again <= RESTARTS.len(),
            "{device} heard {again} twice: {levels:?}"
        );
    }
    if !forget {
        let levels: HashSet<u32> = heard.into_values().flatten().collect();
        let superseded = (1..=COMMANDS)
            .filter(|n| {
                log.contains(&format!(
                    "command_id=\"c{n}\" source=load outcome=\"refused\""
                ))
            })
            .collect::<HashSet<_>>();
        println!("{} superseded", superseded.len());
        assert_eq!(
            levels.union(&superseded).count(),
            COMMANDS as usize,
            "every level was heard, or a newer one in its place"
        );
    }
    for n in 1..=COMMANDS {
        let worked = log.matches(&format!("command_id=\"c{n}\" source=")).count();
        assert!(
            worked == 1 || (forget && worked == 0),
            "c{n} was worked on {worked} times"
        );
    }
}

#[tokio::test]
async fn a_restart_of_the_broker_loses_doubles_and_reorders_nothing() {
    holds(false).await;
}

#[tokio::test]
async fn a_broker_that_forgets_its_sessions_is_served_again_in_order_and_nothing_twice() {
    holds(true).await;
}
