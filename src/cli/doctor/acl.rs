//! Publish permissions. A broker checks a `QoS` 2 message when it arrives and delivers it when it
//! is released; the probe never releases its messages. MQTT 5 allows a broker to deliver at once
//! (section 4.3.3), so a message to the probe itself first shows that this broker waits.

use std::collections::BTreeSet;
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::PubRecReason;

use crate::home::Home;

use crate::cli::doctor::finding::DoctorReport;
use crate::cli::doctor::probe::{ProbeError, ProbeSession};
use crate::cli::doctor::route::Route;

/// Unreleased messages on one connection. Mosquitto accepts 20.
const MAX_UNRELEASED: usize = 16;

/// Maximum number of topics that are tested.
const MAX_TOPICS: usize = 64;

/// Topics of sayso below the prefix. The first one is used to find out how the broker treats `QoS`
/// 2.
const OWN: [&str; 7] = [
    "reply/doctor",
    "reply/doctor/stream",
    "reply/doctor/event",
    "status",
    "health",
    "control/doctor/answer",
    "dead",
];

/// Longest time a broker that delivers at once takes for it.
const DELIVERY_TIME: Duration = Duration::from_millis(300);

/// Tests every topic that sayso publishes to, without delivering a message.
pub(super) async fn check(route: &Route<'_>, home: &Home, report: &mut DoctorReport) {
    if let Err(error) = check_topics(route, home, report).await {
        report.warn(
            "acl",
            format!("publish permissions could not be tested: {error}"),
            "see the broker's log",
        );
    }
}

async fn check_topics(
    route: &Route<'_>,
    home: &Home,
    report: &mut DoctorReport,
) -> Result<(), ProbeError> {
    let prefix = &route.settings.prefix;
    let own: Vec<String> = OWN
        .iter()
        .map(|topic| format!("{prefix}/{topic}"))
        .collect();
    let devices: BTreeSet<String> = home.command_topics().collect();
    let test = self_test(route, &own[0]).await?;
    if test.replies_unreadable {
        // mosquitto confirms a subscription that is not allowed, so only a message shows this.
        report.warn(
            "acl",
            format!(
                "the broker does not deliver replies below `{prefix}/reply/` to this login: \
                `sayso say` and `sayso cache` cannot work with it"
            ),
            format!(
                "allow it in the broker's access list (mosquitto: `topic readwrite \
                {prefix}/#`), or use another login with --username"
            ),
        );
    }
    if !test.waits_for_release {
        let todo = "allow sayso's login to read `$SYS/broker/version` (mosquitto: `topic read \
            $SYS/broker/version`), which identifies a mosquitto; nothing to do if devices react to \
            commands";
        report.warn(
            "acl",
            "publish permissions could not be tested without sending messages to devices",
            todo,
        );
        return Ok(());
    }
    let mut forbidden = Vec::new();
    let topics: Vec<String> = own
        .into_iter()
        .chain(devices.iter().take(MAX_TOPICS).cloned())
        .collect();
    for some in topics.chunks(MAX_UNRELEASED) {
        forbidden.extend(not_allowed(route, some).await?);
    }
    if forbidden.is_empty() {
        report.ok(
            "acl",
            format!(
                "sayso may publish its status, replies, answers and dead letters, and to {} \
                device topics (tested without delivery)",
                devices.len().min(MAX_TOPICS)
            ),
        );
    }
    report_forbidden(forbidden, report);
    Ok(())
}

fn report_forbidden(forbidden: Vec<String>, report: &mut DoctorReport) {
    for topic in forbidden {
        let todo = format!(
            "allow it for sayso's login in the broker's access list (mosquitto: `topic write \
             {topic}`), and reload the broker"
        );
        report.fault(
            "acl",
            format!("the broker does not allow sayso to publish to `{topic}`"),
            todo,
        );
    }
}

/// The broker's treatment of a message of the probe to itself.
struct SelfTest {
    /// The broker keeps a `QoS` 2 message until it is released.
    waits_for_release: bool,
    /// The broker accepts a reply but does not deliver it to this login.
    replies_unreadable: bool,
}

/// Sends a message to the probe itself, and releases it. A broker that hides the message is known
/// by its name.
async fn self_test(route: &Route<'_>, reply: &str) -> Result<SelfTest, ProbeError> {
    let mut connection = route.open("-waits", ProbeSession::None).await?;
    let limits = connection.connack.properties.as_ref();
    if limits
        .and_then(|limits| limits.max_qos)
        .is_some_and(|max_qos| max_qos < 2)
    {
        connection.close().await;
        return Ok(SelfTest {
            waits_for_release: false,
            replies_unreadable: false,
        });
    }
    let version = "$SYS/broker/version".to_owned();
    connection
        .subscribe(&[reply.to_owned(), version.clone()])
        .await?;
    connection.drain(DELIVERY_TIME).await?;
    let is_mosquitto = connection
        .received
        .iter()
        .any(|message| message.topic == version && message.payload.starts_with(b"mosquitto"));
    connection.received.clear();
    let (reason, pkid) = connection.offer_qos2(reply).await?;
    if !is_accepted(reason) {
        connection.close().await;
        return Ok(SelfTest {
            waits_for_release: is_mosquitto,
            replies_unreadable: false,
        });
    }
    connection.drain(DELIVERY_TIME).await?;
    let came_early = connection
        .received
        .iter()
        .any(|message| message.topic == reply);
    connection.release(pkid).await?;
    connection.drain(DELIVERY_TIME).await?;
    let came = connection
        .received
        .iter()
        .any(|message| message.topic == reply);
    connection.close().await;
    Ok(SelfTest {
        waits_for_release: !came_early && (came || is_mosquitto),
        replies_unreadable: !came,
    })
}

/// Returns the topics to which the broker does not allow to publish.
async fn not_allowed(route: &Route<'_>, topics: &[String]) -> Result<Vec<String>, ProbeError> {
    let mut connection = route.open("-rights", ProbeSession::None).await?;
    let mut refused = Vec::new();
    for topic in topics {
        let (reason, _) = connection.offer_qos2(topic).await?;
        if !is_accepted(reason) {
            refused.push(topic.clone());
        }
    }
    connection.close().await;
    Ok(refused)
}

fn is_accepted(reason: PubRecReason) -> bool {
    matches!(
        reason,
        PubRecReason::Success | PubRecReason::NoMatchingSubscribers
    )
}
