//! What goes on at the broker: whether we hear, who answers, what lies about, and which devices there are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::{PubAckReason, Publish, SubscribeReasonCode};
use serde_json::Value as Json;

use crate::config::Config;
use crate::discovery::finder::Finder;
use crate::home::Home;

use crate::cli::doctor::finding::Report;
use crate::cli::doctor::wire::{ProbeError, ProbeFailure};

/// The source the daemon hears an empty command of.
const SOURCE: &str = "doctor";

/// For what a broker keeps, beyond the moment it says it is done.
const MOMENT: Duration = Duration::from_millis(300);

/// For how long the daemon may think about an empty command.
const ANSWER: Duration = Duration::from_secs(2);

/// Changes between online and offline while we look, from which on two are fighting over one client id.
const FLAPS: usize = 2;

/// Lost connections in one life of a daemon that are worth a word.
const LOST: u64 = 20;

/// What is named in a finding, at most.
const SHOWN: usize = 5;

/// Listens, says one empty command, and tells what it heard. Gives the home as a daemon would have it.
pub(super) async fn look(
    config: &Config,
    talk: &mut ProbeError,
    held: Option<bool>,
    report: &mut Report,
) -> Result<Arc<Home>, ProbeFailure> {
    let prefix = &config.mqtt.prefix;
    let mut finder = Finder::new(config.discovery.clone(), Arc::clone(&config.home), prefix);
    let own = ["status", "health"].map(|topic| format!("{prefix}/{topic}"));
    let (commands, replies) = (
        format!("{prefix}/command/+"),
        format!("{prefix}/reply/{SOURCE}"),
    );
    let filters: Vec<String> = [commands.clone(), replies.clone()]
        .into_iter()
        .chain(own)
        .chain(finder.topics(&config.home))
        .collect();
    let answers = talk.subscribe(&filters).await?;
    let denied: Vec<&str> = filters
        .iter()
        .zip(&answers)
        .filter(|(_, code)| !matches!(code, SubscribeReasonCode::Success(_)))
        .map(|(f, _)| f.as_str())
        .collect();
    if !denied.is_empty() {
        let todo = "allow them for sayso's login in the broker's access rules (mosquitto: `topic read <topic>`)";
        report.fault(
            "acl",
            format!("the broker forbids us to subscribe to {}", some(&denied)),
            todo,
        );
    }
    talk.settle(MOMENT).await?;

    let topic = format!("{prefix}/command/{SOURCE}");
    let said = talk.publish(&topic).await?;
    let online = retained(talk, &format!("{prefix}/status"));
    if online.as_deref() == Some("online") {
        talk.listen(ANSWER).await?;
    } else {
        talk.settle(MOMENT).await?;
    }
    let health = retained(talk, &format!("{prefix}/health"))
        .and_then(|text| serde_json::from_str::<Json>(&text).ok());
    let echoed = talk
        .heard
        .iter()
        .any(|message| message.topic == topic && !message.retain);
    let answered = talk.heard.iter().any(|message| message.topic == replies);
    let before = health
        .as_ref()
        .and_then(|health| health["counts"]["heard"].as_u64())
        .unwrap_or_default();
    hears(said, echoed || answered || before > 0, &commands, report);
    left_about(&talk.heard, prefix, report);
    let watch = TrafficWatch {
        online,
        answered,
        held,
        flaps: flaps(&talk.heard, prefix),
    };
    watch.tell(config, health.as_ref(), report);
    Ok(found(config, &mut finder, &talk.heard, report))
}

/// The last retained message on a topic; a later one that is not takes its place.
fn retained(talk: &ProbeError, topic: &str) -> Option<String> {
    let message = talk.heard.iter().rfind(|message| message.topic == topic)?;
    Some(String::from_utf8_lossy(&message.payload).into_owned()).filter(|text| !text.is_empty())
}

fn flaps(heard: &[Publish], prefix: &str) -> usize {
    let topic = format!("{prefix}/status");
    heard
        .iter()
        .filter(|message| message.topic == topic && !message.retain)
        .count()
}

fn some(names: &[&str]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = names.len().saturating_sub(SHOWN);
    if more > 0 {
        format!("{} and {more} more", shown.join(", "))
    } else {
        shown.join(", ")
    }
}

/// A broker such as mosquitto says yes to a subscription, and then hands over nothing: only a message tells.
fn hears(said: PubAckReason, heard: bool, commands: &str, report: &mut Report) {
    if heard {
        report.ok("acl", format!("commands on `{commands}` are heard"));
    } else if matches!(
        said,
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers
    ) {
        let todo = format!(
            "allow sayso's login to read them in the broker's access rules (mosquitto: `topic read {commands}`)"
        );
        report.fault(
            "acl",
            format!(
                "the broker takes our subscription to `{commands}`, and hands us nothing of it"
            ),
            todo,
        );
    } else {
        let todo = format!(
            "nothing, if `sayso say` from another login is answered; else: `topic read {commands}`"
        );
        report.warn("acl", "whether commands are heard could not be tried: we may not say one ourselves, which is as it should be", todo);
    }
}

/// Commands somebody published with the retain flag.
fn left_about(heard: &[Publish], prefix: &str, report: &mut Report) {
    let begins = format!("{prefix}/command/");
    let topics: BTreeSet<String> = heard
        .iter()
        .filter(|m| m.retain && !m.payload.is_empty())
        .map(|m| String::from_utf8_lossy(&m.topic).into_owned())
        .collect();
    let left: Vec<&str> = topics
        .iter()
        .filter(|topic| topic.starts_with(&begins))
        .map(String::as_str)
        .collect();
    match left.first() {
        None => report.ok("retained", "no retained command lies about"),
        Some(first) => {
            let todo = format!(
                "take each away with `mosquitto_pub -r -n -t '{first}'`, and have its sender publish without the retain flag"
            );
            report.warn(
                "retained",
                format!(
                    "retained commands lie on {}: they are never done",
                    some(&left)
                ),
                todo,
            );
        }
    }
}

/// What shows whether a daemon runs.
struct TrafficWatch {
    online: Option<String>,
    answered: bool,
    held: Option<bool>,
    flaps: usize,
}

impl TrafficWatch {
    fn tell(&self, config: &Config, health: Option<&Json>, report: &mut Report) {
        let (id, prefix) = (&config.mqtt.client_id, &config.mqtt.prefix);
        if self.flaps >= FLAPS {
            let todo = format!(
                "two clients are called `{id}`: stop one, or give it an `mqtt.client_id` (and a `store.path`) of its own; mosquitto logs \"Client {id} already connected\""
            );
            report.fault(
                "client_id",
                "a daemon comes and goes while we look: the broker throws it off, again and again",
                todo,
            );
        }
        match (self.online.as_deref(), self.answered) {
            (Some("online"), true) => {
                let version = health
                    .and_then(|health| health["version"].as_str())
                    .unwrap_or("of unknown version");
                report.ok("daemon", format!("sayso {version} runs and answers"));
                if self.held == Some(false) {
                    let todo = "nothing, if it runs elsewhere; else name its config with --config";
                    report.warn("daemon", format!("a daemon answers on `{prefix}/`, and it does not use the store of this config"), todo);
                }
            }
            (Some("online"), false) if self.flaps < FLAPS => {
                let todo = format!(
                    "may it read `{prefix}/command/+` and write `{prefix}/reply/+`, and may we read that? If so it hangs: `systemctl restart sayso`, `journalctl -u sayso`"
                );
                report.fault(
                    "daemon",
                    format!("`{prefix}/status` says online, and nobody answers"),
                    todo,
                );
            }
            (Some("online"), false) => {}
            (Some(_), _) => report.warn(
                "daemon",
                "sayso is not running",
                "`systemctl start sayso`; `journalctl -u sayso -n 50` tells why it ended",
            ),
            (None, _) => {
                let todo = "`systemctl enable --now sayso`; if it runs, it is with another broker or `mqtt.prefix`, or we may not read that topic";
                report.warn(
                    "daemon",
                    format!(
                        "no sayso has ever been here: nothing is retained on `{prefix}/status`"
                    ),
                    todo,
                );
            }
        }
        if let Some(health) = health.filter(|_| self.online.as_deref() == Some("online")) {
            ails(health, id, report);
        }
    }
}

/// What the daemon says of itself.
fn ails(health: &Json, id: &str, report: &mut Report) {
    if health["journal"]["safe"] == false {
        report.warn(
            "daemon",
            "the daemon runs without a store: a command under way is lost with it",
            "set `store.path`, or see its log for why the store cannot be opened",
        );
    }
    let lost = health["counts"]["disconnected"]
        .as_u64()
        .unwrap_or_default();
    if lost >= LOST {
        let todo =
            format!("a bad line, or another client called `{id}`: the broker's log tells which");
        report.warn(
            "client_id",
            format!("the daemon has lost its connection {lost} times since it started"),
            todo,
        );
    }
    for provider in health["providers"].as_array().into_iter().flatten() {
        let text = |key: &str| provider[key].as_str().unwrap_or_default();
        if !matches!(text("state"), "up" | "") {
            report.warn(
                "models",
                format!(
                    "the daemon leaves {} out for now ({}): {}",
                    text("name"),
                    text("state"),
                    text("why")
                ),
                "see below what it says to us",
            );
        }
    }
}

/// The devices announced, and announcements that cannot be used.
fn found(
    config: &Config,
    finder: &mut Finder,
    heard: &[Publish],
    report: &mut Report,
) -> Arc<Home> {
    if config.discovery.is_off() {
        return Arc::clone(&config.home);
    }
    let (now, mut announced) = (crate::clock::now(), 0);
    let mut useless = Vec::new();
    for message in heard.iter().filter(|message| !message.payload.is_empty()) {
        let topic = String::from_utf8_lossy(&message.topic);
        if finder.listens(&topic) {
            announced += 1;
            if let Err(malformed) = config.discovery.read(&topic, &message.payload) {
                useless.push(format!("`{topic}` ({malformed})"));
            }
            finder.hear(&topic, &message.payload, now);
        }
    }
    if let Some(first) = useless.first() {
        report.warn(
            "discovery",
            format!(
                "{} of {announced} announcements cannot be used, such as {first}",
                useless.len()
            ),
            "update what announces it, or declare the device in the home file",
        );
    }
    bridges(config, heard, report);
    match finder.home() {
        Ok(home) => {
            devices(config, &home, announced, report);
            Arc::new(home)
        }
        Err(clashes) => {
            let clashes: Vec<String> = clashes.iter().map(ToString::to_string).collect();
            let todo = "rename one of the two; until then the home stays as it was";
            report.fault(
                "discovery",
                format!(
                    "what is announced does not fit the home file: {}",
                    clashes.join("; ")
                ),
                todo,
            );
            Arc::clone(&config.home)
        }
    }
}

fn devices(config: &Config, home: &Home, announced: usize, report: &mut Report) {
    let (all, declared) = (home.devices().len(), config.home.devices().len());
    if all > 0 {
        report.ok(
            "discovery",
            format!(
                "{} devices found by {announced} announcements, {all} in all",
                all - declared
            ),
        );
    } else {
        let todo = "declare some in the home file; or is discovery on in Zigbee2MQTT or Tasmota, and may we read those topics (`topic read homeassistant/#`, `zigbee2mqtt/#`)?";
        report.fault(
            "discovery",
            format!("there is no device at all: none declared, and {announced} announcements"),
            todo,
        );
    }
}

/// Devices that the home file says `Zigbee2MQTT` has, and it does not.
fn bridges(config: &Config, heard: &[Publish], report: &mut Report) {
    let topics: Vec<String> = config.home.command_topics().collect();
    for base in &config.discovery.zigbee2mqtt {
        let names: BTreeSet<&str> = topics
            .iter()
            .filter_map(|topic| {
                topic
                    .strip_prefix(base.as_str())?
                    .strip_prefix('/')?
                    .strip_suffix("/set")
            })
            .collect();
        if names.is_empty() {
            continue;
        }
        let lists: Vec<Json> = ["devices", "groups"]
            .iter()
            .filter_map(|list| {
                let topic = format!("{base}/bridge/{list}");
                serde_json::from_slice(
                    &heard
                        .iter()
                        .rfind(|message| message.topic == topic)?
                        .payload,
                )
                .ok()
            })
            .collect();
        let known: BTreeSet<&str> = lists
            .iter()
            .filter_map(Json::as_array)
            .flatten()
            .filter_map(|entry| entry["friendly_name"].as_str())
            .collect();
        let strange: Vec<&str> = names.difference(&known).copied().collect();
        if lists.is_empty() {
            let todo = "is it running, is its `mqtt: base_topic` this one, and may we read it?";
            report.warn("discovery", format!("the home file has devices of Zigbee2MQTT, and it has announced nothing below `{base}/`"), todo);
        } else if !strange.is_empty() {
            report.warn(
                "discovery",
                format!("Zigbee2MQTT does not know {}", some(&strange)),
                "write its friendly name, letter by letter, under `zigbee2mqtt =` in the home file",
            );
        }
    }
}
