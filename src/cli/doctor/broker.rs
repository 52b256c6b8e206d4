//! Connection to the broker, step by step: name, TCP, TLS, login, session. The first step that
//! fails is reported; the checks after it cannot run.

use rumqttc::v5::mqttbytes::v5::ConnAckProperties;

use crate::config::Config;
use crate::mqtt;

use crate::cli::doctor::finding::{DoctorFinding, DoctorReport};
use crate::cli::doctor::probe::ProbeSession;
use crate::cli::doctor::route::Route;
use crate::cli::doctor::{acl, pair, tls, traffic};

/// Checks the connection, the traffic and the permissions. `held` is whether a daemon on this
/// machine has the store open.
pub(super) async fn check(config: &Config, held: Option<bool>, report: &mut DoctorReport) {
    let settings = &config.mqtt;
    if let Some(clock) = tls::clock() {
        report.fault("clock", clock, tls::SET_CLOCK);
    }
    let Some(route) = Route::resolve(settings, report).await else {
        return;
    };
    let mut connection = match route.open("", ProbeSession::Kept).await {
        Ok(connection) => connection,
        Err(error) => return report.add(route.explain(error).await),
    };
    let login = settings.login.as_ref().map_or_else(
        || "without user name".to_owned(),
        |login| format!("as {}", login.username),
    );
    report.ok("login", format!("the broker accepts the login {login}"));
    limits(connection.connack.properties.as_ref(), settings, report);
    match traffic::check(config, &mut connection, held, report).await {
        Ok(home) => {
            connection.close().await;
            acl::check(&route, &home, report).await;
        }
        Err(error) => report.add(route.explain(error).await),
    }
    session(&route, report).await;
    pair::check(config, &route, report).await;
}

/// Returns the first fault of the connection to a broker, with its cure; `None` if a client can
/// connect and log in.
pub(super) async fn first_fault(settings: &mqtt::Settings) -> Option<DoctorFinding> {
    let mut report = DoctorReport::default();
    if let Some(clock) = tls::clock() {
        report.fault("clock", clock, tls::SET_CLOCK);
    }
    if let Some(route) = Route::resolve(settings, &mut report).await {
        match route.open("", ProbeSession::None).await {
            Ok(connection) => connection.close().await,
            Err(error) => report.add(route.explain(error).await),
        }
    }
    report.into_first_fault()
}

/// Checks that the broker keeps a session after a lost connection.
async fn session(route: &Route<'_>, report: &mut DoctorReport) {
    match route.open("", ProbeSession::Last).await {
        Ok(connection) => {
            if connection.connack.session_present {
                report.ok(
                    "session",
                    "the broker keeps the session while the connection is lost",
                );
            } else {
                let todo = "let it keep sessions of MQTT 5 clients (mosquitto does; see \
                    `persistent_client_expiration`)";
                report.fault(
                    "session",
                    "the broker keeps no session: commands sent while the \
                    connection is lost are lost",
                    todo,
                );
            }
            connection.close().await;
        }
        Err(error) => report.add(route.explain(error).await),
    }
}

/// Reports limits that the broker announces in its CONNACK.
fn limits(
    properties: Option<&ConnAckProperties>,
    settings: &mqtt::Settings,
    report: &mut DoctorReport,
) {
    let Some(limits) = properties else { return };
    if limits.retain_available == Some(0) {
        let todo = "allow retained messages (mosquitto: `retain_available true`)";
        report.fault(
            "broker",
            "the broker keeps no retained messages: discovery, states and `status` do not work",
            todo,
        );
    }
    if limits.max_qos == Some(0) {
        report.fault(
            "broker",
            "the broker does not support QoS 1: commands and actions may be lost",
            "allow it (mosquitto: `max_qos 2`)",
        );
    }
    if limits.wildcard_subscription_available == Some(0) {
        report.fault(
            "broker",
            "the broker does not support subscriptions with `+` and `#`",
            "allow them: sayso subscribes to `<prefix>/command/+`",
        );
    }
    if let Some(most) = limits.max_packet_size.filter(|most| *most < 64 << 10) {
        report.warn(
            "broker",
            format!("the broker rejects packets of more than {most} bytes"),
            "raise the limit (mosquitto: `max_packet_size`): long replies are rejected",
        );
    }
    if let Some(kept) = limits
        .session_expiry_interval
        .filter(|kept| u64::from(*kept) < 30.min(settings.ttl.as_secs()))
    {
        let todo = format!(
            "configure it to keep them for `mqtt.ttl`, {} s",
            settings.ttl.as_secs()
        );
        report.warn(
            "session",
            format!("the broker keeps sessions for {kept} s only"),
            todo,
        );
    }
}
