//! The poll loop: one broker connection after another, until the outbox is closed.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use rumqttc::v5::mqttbytes;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use rumqttc::v5::{ConnectionError, Event, StateError};
use tokio::pin;
use tokio::select;
use tokio::task::yield_now;
use tokio::time::sleep_until;

use crate::clock::now;

use crate::mqtt::link::{BrokerLink, MqttLink};
use crate::mqtt::session::{Loss, Session};

/// The longest first pause before connecting again. Doubled for each attempt that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause for a broker in the same house: one client more or less costs it nothing, and
/// the house waits.
const MAX_LOCAL_PAUSE: Duration = Duration::from_secs(2);

/// The longest pause for a broker elsewhere, which may serve many clients.
const MAX_REMOTE_PAUSE: Duration = Duration::from_secs(30);

/// After a connection of this age the next pause is short again.
const STEADY: Duration = Duration::from_secs(30);

/// The connection to the broker. Nothing is opened before [`Connection::run`].
pub struct Connection<L = BrokerLink> {
    link: L,
    session: Session,
    max_pause: Duration,
}

/// Causes for the end of one connection.
enum End {
    /// It is lost, or could not be made.
    Lost(Loss),
    /// The outbox is closed.
    Closed,
}

impl<L: MqttLink> Connection<L> {
    pub(super) fn new(link: L, session: Session, host: &str) -> Self {
        let max_pause = if is_local(host) {
            MAX_LOCAL_PAUSE
        } else {
            MAX_REMOTE_PAUSE
        };
        Self {
            link,
            session,
            max_pause,
        }
    }

    /// Connects, and connects again whenever the connection is lost, until the outbox is closed.
    /// Dropping the future ends the connection without DISCONNECT; the broker then publishes the
    /// last will.
    pub async fn run(mut self) {
        let mut attempt = 0;
        while self.is_admitted().await
            && let End::Lost(loss) = self.connection().await
        {
            let is_steady = self.session.age(now()) >= STEADY;
            attempt = if is_steady { 0 } else { attempt + 1 };
            self.reset(&loss);
            // The connection of a pair's leader waits until the pair admits it again.
            let is_admitted_later = self.session.leader_of().is_some();
            if !is_admitted_later && self.pause(pause(attempt, self.max_pause)).await {
                return;
            }
        }
    }

    /// Waits until the connection may be made: at once, or for the leader of a pair when this node
    /// may lead. Returns false if the outbox was closed meanwhile.
    async fn is_admitted(&mut self) -> bool {
        let Some(mut gate) = self.session.leader_of().map(|pair| pair.gate()) else {
            return true;
        };
        loop {
            let now = now();
            self.session.send_pending(now);
            if self.session.is_over(now) {
                return false;
            }
            if *gate.borrow_and_update() {
                return true;
            }
            let next_run = self.session.next_run(now, self.max_pause).into();
            select! {
                _ = gate.changed() => {}
                () = self.session.wake() => {}
                () = sleep_until(next_run) => {}
            }
        }
    }

    /// Runs one connection, from connecting to its end.
    async fn connection(&mut self) -> End {
        loop {
            // The link misses a ping after two keep-alives, but waits without a bound while it
            // writes.
            let patience = self.link.keep_alive() * 2;
            let polled = {
                let poll = self.link.poll();
                pin!(poll);
                loop {
                    // The poll is kept, not started again, so that nothing half written is ever
                    // dropped. Mostly it is ready, and nothing else is looked at.
                    select! {
                        biased;
                        event = &mut poll => break event,
                        () = self.session.wake() => {}
                        () = until_next_run(&self.session, patience) => {}
                    }
                    if let Some(end) = proceed(&mut self.session, patience) {
                        return end;
                    }
                }
            };
            match polled {
                Ok(event) => self.process(event),
                Err(error) => return End::Lost(loss(&error)),
            }
            if let Some(end) = proceed(&mut self.session, patience) {
                return end;
            }
            if self.session.is_half_full() {
                yield_now().await;
            }
        }
    }

    /// Processes an event and those that came with it. A burst is read from the socket in one go:
    /// the reader of the inbox must run before the inbox is full.
    fn process(&mut self, first: Event) {
        let now = now();
        let mut next = Some(first);
        while let Some(event) = next {
            self.session.on(event, now);
            next = if self.session.is_half_full() {
                None
            } else {
                self.link.next_ready()
            };
        }
    }

    /// Processes the packets read before the connection broke, and clears rumqttc's state: which
    /// messages are sent again, and in which order, is decided in [`Session::lost`].
    fn reset(&mut self, loss: &Loss) {
        for event in self.link.clear() {
            self.session.on(event, now());
        }
        if *loss == Loss::NoRetain {
            self.link.stop_retaining();
            self.session.stop_retaining();
        }
        self.session.lost(loss, now());
    }

    /// Waits before the next attempt; returns whether the outbox was closed meanwhile.
    async fn pause(&mut self, pause: Duration) -> bool {
        let until = now() + pause;
        loop {
            let now = now();
            self.session.send_pending(now);
            if self.session.is_over(now) {
                return true;
            }
            if now >= until {
                return false;
            }
            let next_run = self.session.next_run(now, self.max_pause).min(until).into();
            select! {
                () = self.session.wake() => {}
                () = sleep_until(next_run) => {}
            }
        }
    }
}

/// Waits until the loop must run again, with or without an event.
async fn until_next_run(session: &Session, patience: Duration) {
    sleep_until(session.next_run(now(), patience).into()).await;
}

/// Sends the messages that may be sent, and returns whether the connection ends.
fn proceed(session: &mut Session, patience: Duration) -> Option<End> {
    let now = now();
    session.send_pending(now);
    if session.is_over(now) {
        return Some(End::Closed);
    }
    session.timed_out(now, patience).map(End::Lost)
}

/// Returns a random pause before the next attempt to connect, with full jitter: after a broker's
/// restart its clients do not all come back at once. Source: AWS Architecture Blog, "Exponential
/// Backoff And Jitter", 2015.
fn pause(attempt: u32, max_pause: Duration) -> Duration {
    let longest = FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)))
        .min(max_pause);
    rand::random_range(Duration::ZERO..=longest)
}

/// Returns whether the broker is on this machine or in this network: a loopback, private or
/// link-local address, a name without a dot, or one of a local domain.
fn is_local(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => is_local_v6(ip),
        Err(_) => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            let domains = [".local", ".lan", ".home", ".internal", ".home.arpa"];
            !name.contains('.') || domains.iter().any(|domain| name.ends_with(domain))
        }
    }
}

fn is_local_v6(ip: Ipv6Addr) -> bool {
    ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
}

/// Returns the cause of an error as the operator should know it.
fn loss(error: &ConnectionError) -> Loss {
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => Loss::Failed(
            "the broker refuses the login: check `mqtt.username` and the password".to_owned(),
        ),
        ConnectionError::ConnectionRefused(ConnectReturnCode::QoSNotSupported) => {
            Loss::Failed("the broker accepts only QoS 0, and sayso needs 1".to_owned())
        }
        ConnectionError::ConnectionRefused(ConnectReturnCode::RetainNotSupported)
        | ConnectionError::MqttState(StateError::ServerDisconnect {
            reason_code: DisconnectReasonCode::RetainNotSupported,
            ..
        }) => Loss::NoRetain,
        ConnectionError::MqttState(StateError::ServerDisconnect {
            reason_code: DisconnectReasonCode::SessionTakenOver,
            ..
        }) => Loss::TakenOver,
        ConnectionError::MqttState(StateError::ServerDisconnect {
            reason_code: DisconnectReasonCode::ServerShuttingDown,
            ..
        }) => Loss::Failed("the broker shuts down".to_owned()),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
            Loss::Ended(format!("{reason_code:?}"))
        }
        // A DISCONNECT without properties is not read by rumqttc 0.25: it shows as the end of the
        // stream.
        ConnectionError::MqttState(error) if is_closed(error) => Loss::Closed,
        // A packet that is too large is no answer to a message.
        ConnectionError::MqttState(StateError::Deserialization(error))
            if !matches!(error, mqttbytes::Error::PayloadSizeLimitExceeded { .. }) =>
        {
            Loss::Unreadable(error.to_string())
        }
        ConnectionError::Timeout(_) => Loss::Failed("the broker does not answer".to_owned()),
        ConnectionError::Io(error) if error.kind() == ErrorKind::ConnectionRefused => Loss::Failed(
            "nothing listens at the broker's address: start the broker, or correct `mqtt.host` and \
             `mqtt.port`"
                .to_owned(),
        ),
        other => {
            let why = other.to_string();
            // The alert of TLS 1.3 for a client without a certificate.
            if why.contains("CertificateRequired") {
                return Loss::Failed(
                    "the broker demands a client certificate: set `cert` and `key` in `[mqtt.tls]`"
                        .to_owned(),
                );
            }
            Loss::Failed(format!("{why} (`sayso doctor` shows more)"))
        }
    }
}

fn is_closed(error: &StateError) -> bool {
    match error {
        StateError::ConnectionAborted => true,
        StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error)) => {
            error.kind() == ErrorKind::ConnectionReset || error.kind() == ErrorKind::BrokenPipe
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_in_the_house_is_retried_at_least_every_two_seconds() {
        for host in [
            "localhost",
            "127.0.0.1",
            "::1",
            "192.168.1.4",
            "10.0.0.2",
            "fd00::1",
            "mosquitto",
            "homeassistant.local",
            "nas.home.arpa.",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in ["mqtt.example.com", "8.8.8.8", "2001:db8::1"] {
            assert!(!is_local(host), "{host}");
        }
        assert!((0..99).all(|attempt| pause(attempt, MAX_LOCAL_PAUSE) <= MAX_LOCAL_PAUSE));
    }
}
