//! What the broker lets us publish. A message offered with `QoS` 2 is judged when it comes and handed on when it is released:
//! ours are never released. MQTT 5 allows a broker to hand it on at once (section 4.3.3), so one to ourselves shows first that
//! this one waits.

use std::collections::BTreeSet;
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::PubRecReason;

use crate::home::Home;

use crate::cli::doctor::broker::Route;
use crate::cli::doctor::finding::Report;
use crate::cli::doctor::wire::{ProbeFailure, ProbeSession};

/// Offers on one connection: a broker takes so many at once, mosquitto 20.
const AT_ONCE: usize = 16;

/// Topics tried, at most.
const MOST: usize = 64;

/// What we publish below the prefix, besides to devices: first a reply, by which the broker's ways are found out.
const OWN: [&str; 6] = [
    "reply/doctor",
    "reply/doctor/stream",
    "status",
    "health",
    "control/doctor/answer",
    "dead",
];

/// How long a broker that hands on at once may take for it.
const MOMENT: Duration = Duration::from_millis(300);

/// Tries each topic we publish to, and lets nothing out.
pub(super) async fn look(way: &Route<'_>, home: &Home, report: &mut Report) {
    let prefix = &way.settings.prefix;
    let own: Vec<String> = OWN
        .iter()
        .map(|topic| format!("{prefix}/{topic}"))
        .collect();
    let devices: BTreeSet<String> = home.command_topics().collect();
    let waits = match waits(way, &own[0]).await {
        Ok(waits) => waits,
        Err(broken) => {
            return report.warn(
                "acl",
                format!("what we may publish could not be tried: {broken}"),
                "see the broker's log",
            );
        }
    };
    if !waits {
        let todo = "let us read `$SYS/broker/version` (mosquitto: `topic read $SYS/broker/version`), by which a mosquitto is known; nothing, if devices obey";
        return report.warn(
            "acl",
            "what we may publish could not be tried without touching devices",
            todo,
        );
    }
    let mut forbidden = Vec::new();
    let topics: Vec<String> = own
        .into_iter()
        .chain(devices.iter().take(MOST).cloned())
        .collect();
    for some in topics.chunks(AT_ONCE) {
        match offered(way, some).await {
            Ok(refused) => forbidden.extend(refused),
            Err(broken) => {
                return report.warn(
                    "acl",
                    format!("what we may publish could not be tried: {broken}"),
                    "see the broker's log",
                );
            }
        }
    }
    if forbidden.is_empty() {
        report.ok(
            "acl",
            format!("we may publish our status, replies, answers, what is given up, and to {} device topics (tried, nothing let out)", devices.len().min(MOST)),
        );
    }
    for topic in forbidden {
        let todo = format!(
            "allow it for sayso's login in the broker's access rules (mosquitto: `topic write {topic}`), and reload the broker"
        );
        report.fault(
            "acl",
            format!("the broker forbids us to publish to `{topic}`"),
            todo,
        );
    }
}

/// True where the broker keeps an offered message until it is released: by what it does with one to ourselves, or by its name.
async fn waits(way: &Route<'_>, reply: &str) -> Result<bool, ProbeFailure> {
    let mut talk = way.talk("-waits", ProbeSession::None).await?;
    if talk
        .welcome
        .properties
        .as_ref()
        .and_then(|told| told.max_qos)
        .is_some_and(|most| most < 2)
    {
        talk.end().await;
        return Ok(false);
    }
    let version = "$SYS/broker/version".to_owned();
    talk.subscribe(&[reply.to_owned(), version.clone()]).await?;
    talk.settle(MOMENT).await?;
    let is_mosquitto = talk
        .heard
        .iter()
        .any(|message| message.topic == version && message.payload.starts_with(b"mosquitto"));
    talk.heard.clear();
    let (reason, pkid) = talk.offer(reply).await?;
    if !is_taken(reason) {
        talk.end().await;
        return Ok(is_mosquitto);
    }
    talk.settle(MOMENT).await?;
    let came_early = talk.heard.iter().any(|message| message.topic == reply);
    talk.release(pkid).await?;
    talk.settle(MOMENT).await?;
    let came = talk.heard.iter().any(|message| message.topic == reply);
    talk.end().await;
    Ok(!came_early && (came || is_mosquitto))
}

/// Those of the topics the broker does not let us publish to.
async fn offered(way: &Route<'_>, topics: &[String]) -> Result<Vec<String>, ProbeFailure> {
    let mut talk = way.talk("-rights", ProbeSession::None).await?;
    let mut refused = Vec::new();
    for topic in topics {
        let (reason, _) = talk.offer(topic).await?;
        if !is_taken(reason) {
            refused.push(topic.clone());
        }
    }
    talk.end().await;
    Ok(refused)
}

fn is_taken(reason: PubRecReason) -> bool {
    matches!(
        reason,
        PubRecReason::Success | PubRecReason::NoMatchingSubscribers
    )
}
