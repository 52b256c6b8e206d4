//! Traffic at the broker: subscriptions, the running daemon, retained commands and announced
//! devices.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::{PubAckReason, Publish, SubscribeReasonCode};
use serde_json::Value as Json;

use crate::config::Config;
use crate::discovery::finder::{Finder, Problem};
use crate::home::Home;

use crate::cli::doctor::finding::DoctorReport;
use crate::cli::doctor::probe::{ProbeConnection, ProbeError};

/// Source of the empty command that is sent to the daemon.
const SOURCE: &str = "doctor";

/// Time for retained messages that the broker sends with a delay.
pub(super) const RETAINED_DELAY: Duration = Duration::from_millis(300);

/// Longest time the daemon takes to answer an empty command.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Changes of the status during the check that show two daemons with one client id.
const MIN_FLAPS: usize = 2;

/// Lost connections since the start of the daemon that are reported.
const MANY_DISCONNECTS: u64 = 20;

/// Lost connections since the start of the daemon after which the check looks for a second client
/// with its id.
const SUSPICIOUS_DISCONNECTS: u64 = 3;

/// Additional time to see two clients with one id disconnect each other: several times the longest
/// reconnect delay.
const FLAP_TIME: Duration = Duration::from_secs(6);

/// Maximum number of names in a finding.
const MAX_NAMES: usize = 5;

/// Subscribes, sends one empty command and reports the messages received. Returns the home as the
/// daemon would have it.
pub(super) async fn check(
    config: &Config,
    connection: &mut ProbeConnection,
    held: Option<bool>,
    report: &mut DoctorReport,
) -> Result<Arc<Home>, ProbeError> {
    let prefix = &config.mqtt.prefix;
    let mut finder = Finder::new(config.discovery.clone(), Arc::clone(&config.home), prefix);
    let mut filters = vec![
        format!("{prefix}/command/+"),
        format!("{prefix}/reply/{SOURCE}"),
        format!("{prefix}/status"),
        format!("{prefix}/health"),
    ];
    filters.extend(finder.subscriptions(&config.home));
    subscribe(connection, &filters, report).await?;

    let command_topic = format!("{prefix}/command/{SOURCE}");
    let may_send = is_success(connection.publish(&command_topic).await?);
    let status = last_message(connection, &format!("{prefix}/status"));
    if status.as_deref() == Some("online") {
        connection.listen(ANSWER_TIME).await?;
    } else {
        connection.drain(RETAINED_DELAY).await?;
    }
    let health: Option<Json> = last_message(connection, &format!("{prefix}/health"))
        .and_then(|text| serde_json::from_str(&text).ok());
    let disconnects = health
        .as_ref()
        .map_or(0, |health| count(health, "disconnected"));
    if flaps(&connection.received, prefix) > 0 || disconnects >= SUSPICIOUS_DISCONNECTS {
        // Two clients with one id disconnect each other within seconds.
        connection.listen(FLAP_TIME).await?;
    }
    let echoed = has_message(connection, &command_topic);
    let answered = has_message(connection, &format!("{prefix}/reply/{SOURCE}"));
    let served_before = health
        .as_ref()
        .is_some_and(|health| count(health, "heard") > 0);
    let commands = format!("{prefix}/command/+");
    report_commands(
        may_send,
        echoed || answered || served_before,
        &commands,
        report,
    );
    retained_commands(&connection.received, prefix, report);
    let observation = DaemonObservation {
        status,
        may_send,
        answered,
        held,
        flaps: flaps(&connection.received, prefix),
    };
    observation.report(config, health.as_ref(), report);
    let known = health
        .as_ref()
        .filter(|_| answered)
        .and_then(|health| health["home"]["devices"].as_u64());
    let home = discovered(config, &mut finder, &connection.received, report);
    report_devices(config, &home, known.unwrap_or_default(), report);
    Ok(home)
}

/// Subscribes to everything that sayso subscribes to, and reports filters that the broker rejects.
async fn subscribe(
    connection: &mut ProbeConnection,
    filters: &[String],
    report: &mut DoctorReport,
) -> Result<(), ProbeError> {
    let codes = connection.subscribe(filters).await?;
    let mut denied = Vec::new();
    for (filter, code) in filters.iter().zip(&codes) {
        if !matches!(code, SubscribeReasonCode::Success(_)) {
            denied.push(filter.as_str());
        }
    }
    if !denied.is_empty() {
        report.fault(
            "acl",
            format!(
                "the broker does not allow sayso to subscribe to {}",
                list(&denied)
            ),
            "allow them for sayso's login in the broker's access list (mosquitto: `topic read \
             <topic>`)",
        );
    }
    connection.drain(RETAINED_DELAY).await
}

fn is_success(reason: PubAckReason) -> bool {
    matches!(
        reason,
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers
    )
}

/// Returns true if a message that is not retained was received on a topic.
fn has_message(connection: &ProbeConnection, topic: &str) -> bool {
    connection
        .received
        .iter()
        .any(|message| message.topic == topic && !message.retain)
}

/// Returns a counter of the health message.
fn count(health: &Json, key: &str) -> u64 {
    health["counts"][key].as_u64().unwrap_or_default()
}

/// Returns the last message on a topic, if it is not empty.
fn last_message(connection: &ProbeConnection, topic: &str) -> Option<String> {
    let message = connection
        .received
        .iter()
        .rfind(|message| message.topic == topic)?;
    Some(String::from_utf8_lossy(&message.payload).into_owned()).filter(|text| !text.is_empty())
}

fn flaps(received: &[Publish], prefix: &str) -> usize {
    let topic = format!("{prefix}/status");
    received
        .iter()
        .filter(|message| message.topic == topic && !message.retain)
        .count()
}

fn list(names: &[&str]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(MAX_NAMES)
        .map(|name| format!("`{name}`"))
        .collect();
    let more = names.len().saturating_sub(MAX_NAMES);
    if more > 0 {
        format!("{} and {more} more", shown.join(", "))
    } else {
        shown.join(", ")
    }
}

/// Reports whether commands are received. Brokers such as mosquitto confirm a subscription that is
/// not allowed and then deliver nothing, so only a message shows it.
fn report_commands(may_send: bool, received: bool, commands: &str, report: &mut DoctorReport) {
    if received {
        report.ok("acl", format!("commands on `{commands}` are received"));
    } else if may_send {
        let todo = format!(
            "allow sayso's login to read them in the broker's access list (mosquitto: `topic read \
             {commands}`)"
        );
        report.fault(
            "acl",
            format!("the broker confirms the subscription to `{commands}` but delivers nothing"),
            todo,
        );
    } else {
        let todo = format!(
            "nothing if `sayso say` with another login is answered; otherwise allow it (mosquitto: \
             `topic read {commands}`, and `topic write {commands}` for this check)"
        );
        report.warn(
            "acl",
            "receiving commands could not be tested, because this login may not \
            send one, which is a good access list",
            todo,
        );
    }
}

/// Reports commands that were published with the retain flag.
fn retained_commands(received: &[Publish], prefix: &str, report: &mut DoctorReport) {
    let begins = format!("{prefix}/command/");
    let topics: BTreeSet<String> = received
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
        None => report.ok("retained", "there are no retained commands"),
        Some(first) => {
            let todo = format!(
                "remove each with `mosquitto_pub -r -n -t '{first}'`, and change its sender to \
                 publish without the retain flag"
            );
            report.warn(
                "retained",
                format!(
                    "there are retained commands on {}: sayso ignores them",
                    list(&left)
                ),
                todo,
            );
        }
    }
}

/// Observations about the running daemon.
struct DaemonObservation {
    /// Retained status of the daemon.
    status: Option<String>,
    /// True if this login may send commands.
    may_send: bool,
    /// True if the daemon answered the empty command.
    answered: bool,
    held: Option<bool>,
    /// Changes of the status during the check.
    flaps: usize,
}

impl DaemonObservation {
    fn report(&self, config: &Config, health: Option<&Json>, report: &mut DoctorReport) {
        let (id, prefix) = (&config.mqtt.client_id, &config.mqtt.prefix);
        self.report_flaps(id, report);
        match (self.status.as_deref(), self.answered) {
            (Some("online"), true) => self.report_answering(prefix, health, report),
            (Some("online"), false) if !self.may_send => report.warn(
                "daemon",
                format!(
                    "`{prefix}/status` is online; whether the daemon answers could not be \
                    tested with this login"
                ),
                format!(
                    "allow it in the broker's access list (mosquitto: `topic write \
                    {prefix}/command/{SOURCE}`, `topic read {prefix}/reply/{SOURCE}`)"
                ),
            ),
            (Some("online"), false) if self.flaps < MIN_FLAPS => {
                let todo = format!(
                    "check that the daemon may read `{prefix}/command/+` and write \
                     `{prefix}/reply/+`, and that this login may read `{prefix}/reply/{SOURCE}`; \
                     if so, it hangs: `systemctl restart sayso`, `journalctl -u sayso`"
                );
                report.fault(
                    "daemon",
                    format!("`{prefix}/status` is online, but the daemon does not answer"),
                    todo,
                );
            }
            (Some("online"), false) => {}
            (Some(_), _) => report.warn(
                "daemon",
                "sayso is not running",
                "`systemctl start sayso`; `journalctl -u sayso -n 50` shows why it ended",
            ),
            (None, _) => {
                let todo = format!(
                    "`systemctl enable --now sayso`; if it is running, it uses \
                    another broker or `mqtt.prefix`, or this login may not read that topic \
                    (mosquitto: `topic read {prefix}/status`)"
                );
                report.warn(
                    "daemon",
                    format!(
                        "no daemon has used this broker: there is no retained message on \
                         `{prefix}/status`"
                    ),
                    todo,
                );
            }
        }
        if let Some(health) = health.filter(|_| self.status.as_deref() == Some("online")) {
            health_problems(health, id, report);
        }
    }

    /// Reports another client with the same client id.
    fn report_flaps(&self, id: &str, report: &mut DoctorReport) {
        if self.flaps >= MIN_FLAPS {
            let todo = format!(
                "two clients use the client id `{id}`: stop one, or give it an `mqtt.client_id` \
                 and a `store.path` of its own; mosquitto logs \"Client {id} already connected\""
            );
            report.fault(
                "client_id",
                "the daemon connects and disconnects repeatedly: another client uses its client id",
                todo,
            );
        }
    }

    /// Reports a daemon that answers.
    fn report_answering(&self, prefix: &str, health: Option<&Json>, report: &mut DoctorReport) {
        let version = health
            .and_then(|health| health["version"].as_str())
            .unwrap_or("of unknown version");
        report.ok("daemon", format!("sayso {version} is running and answers"));
        if self.held == Some(false) {
            let todo = "nothing if it runs on another machine; otherwise give its config \
                with --config";
            report.warn(
                "daemon",
                format!(
                    "the daemon that answers on `{prefix}/` does not \
                use the store of this config"
                ),
                todo,
            );
        }
    }
}

/// Reports problems from the health message of the daemon.
fn health_problems(health: &Json, id: &str, report: &mut DoctorReport) {
    if health["journal"]["safe"] == false {
        report.warn(
            "daemon",
            "the daemon has no store: commands in flight are lost if it ends",
            "set `store.path`, or see the reason in its log",
        );
    }
    let lost = count(health, "disconnected");
    if lost >= MANY_DISCONNECTS {
        let todo = format!(
            "the network is unreliable, or another client uses the client id `{id}`: see the log \
             of the broker"
        );
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
                    "the daemon does not use {} at the moment ({}): {}",
                    text("name"),
                    text("state"),
                    text("why")
                ),
                "see the result of the request below",
            );
        }
    }
}

/// Reports announced devices and unusable announcements. Returns the home as the daemon would have
/// it.
fn discovered(
    config: &Config,
    finder: &mut Finder,
    received: &[Publish],
    report: &mut DoctorReport,
) -> Arc<Home> {
    if config.discovery.is_off() {
        if let Ok(built) = finder.build() {
            partly_usable(&built.problems, report);
        }
        return Arc::clone(&config.home);
    }
    let (now, mut announced) = (crate::clock::now(), 0);
    let mut unusable = Vec::new();
    for message in received
        .iter()
        .filter(|message| !message.payload.is_empty())
    {
        let topic = String::from_utf8_lossy(&message.topic);
        if finder.is_announcement(&topic) {
            announced += 1;
            if let Err(malformed) = config.discovery.parse(&topic, &message.payload) {
                unusable.push(format!("`{topic}` ({malformed})"));
            }
            finder.receive(&topic, &message.payload, now);
        }
    }
    if let Some(first) = unusable.first() {
        report.warn(
            "discovery",
            format!(
                "{} of {announced} announcements cannot be used, such as {first}",
                unusable.len()
            ),
            "update the software that announces it, or declare the device in the home file",
        );
    }
    partly_usable(finder.unusable(), report);
    bridges(config, received, report);
    match finder.build() {
        Ok(built) => {
            report_number(config, &built.home, announced, report);
            partly_usable(&built.problems, report);
            Arc::new(built.home)
        }
        Err(clashes) => {
            let clashes: Vec<String> = clashes.iter().map(ToString::to_string).collect();
            let todo = "rename one of the two; until then the home does not change";
            report.fault(
                "discovery",
                format!(
                    "the announced devices conflict with the home file: {}",
                    clashes.join("; ")
                ),
                todo,
            );
            Arc::clone(&config.home)
        }
    }
}

/// Reports announced options that are not carried out, and devices that cannot be distinguished.
/// Announcements that are not used at all are reported before.
fn partly_usable(problems: &[Problem], report: &mut DoctorReport) {
    let is_partial = |problem: &&Problem| problem.in_part || problem.topic.is_empty();
    for problem in problems.iter().filter(is_partial).take(MAX_NAMES) {
        let text = if problem.topic.is_empty() {
            problem.text.clone()
        } else {
            format!("`{}`: {}", problem.topic, problem.text)
        };
        let todo = "`sayso home` lists all of them; docs/discovery.md has every option";
        report.warn("discovery", text, todo);
    }
}

/// Reports the number of devices, if there are any.
fn report_number(config: &Config, home: &Home, announced: usize, report: &mut DoctorReport) {
    let (all, declared) = (home.devices().len(), config.home.devices().len());
    if all > 0 {
        report.ok(
            "discovery",
            format!(
                "{} devices from {announced} announcements, {all} in total",
                all - declared
            ),
        );
    }
}

/// Reports a home without devices, and devices that only the running daemon knows. `known` is their
/// number there, 0 without a daemon.
fn report_devices(config: &Config, home: &Home, known: u64, report: &mut DoctorReport) {
    let all = home.devices().len();
    if config.discovery.is_off() {
        return;
    }
    if usize::try_from(known).is_ok_and(|known| known > all) {
        let todo = "let the program that announces them set the retain flag, or declare the \
            devices in the home file; docs/discovery.md says more";
        report.warn(
            "discovery",
            format!(
                "the running daemon has {known} devices, and the home file and the retained \
                 announcements give {all}: the others were announced without the retain flag, and \
                 are unknown after its next start until they are announced again; or the home \
                 file has changed since it was read"
            ),
            todo,
        );
    } else if all == 0 {
        let todo = "declare some in the home file; or enable discovery in Zigbee2MQTT or Tasmota, \
            and allow sayso to read its topics (`topic read homeassistant/#`, `zigbee2mqtt/#`)";
        report.fault(
            "discovery",
            "there is no device at all: none declared, and none announced",
            todo,
        );
    }
}

/// Reports devices in the home file that `Zigbee2MQTT` does not have.
fn bridges(config: &Config, received: &[Publish], report: &mut DoctorReport) {
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
                    &received
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
        let unknown: Vec<&str> = names.difference(&known).copied().collect();
        if lists.is_empty() {
            let todo = "check that it is running, that its `mqtt: base_topic` is this one, and \
                that sayso may read it";
            report.warn(
                "discovery",
                format!(
                    "the home file has devices of Zigbee2MQTT, but there \
                are no announcements below `{base}/`"
                ),
                todo,
            );
        } else if !unknown.is_empty() {
            report.warn(
                "discovery",
                format!("Zigbee2MQTT has no device {}", list(&unknown)),
                "use the exact friendly name for `zigbee2mqtt =` in the home file",
            );
        }
    }
}
