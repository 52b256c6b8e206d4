//! The way to the broker, step by step: name, connection, TLS, login, session. The first step that fails is told; what lies
//! behind it cannot be seen.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rumqttc::v5::mqttbytes::v5::{ConnAckProperties, ConnectReturnCode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::Config;
use crate::mqtt;
use crate::mqtt::tls::client_config;

use crate::cli::doctor::finding::{Finding, Report};
use crate::cli::doctor::wire::{ProbeError, ProbeFailure, ProbeSession, ProbeStream};
use crate::cli::doctor::{PATIENCE, acl, tls, traffic};

/// The way to the broker, found.
pub(super) struct Route<'a> {
    pub(super) settings: &'a mqtt::Settings,
    addresses: Vec<SocketAddr>,
    tls: Option<Arc<ClientConfig>>,
    /// Our client id: no other client has it.
    pub(super) id: String,
}

/// Looks at the way, and at what is found at its end. `held` is whether a daemon on this machine holds the store.
pub(super) async fn look(config: &Config, held: Option<bool>, report: &mut Report) {
    let settings = &config.mqtt;
    if let Some(clock) = tls::clock() {
        report.fault("clock", clock, tls::SET_CLOCK);
    }
    let Some(way) = Route::find(settings, report).await else {
        return;
    };
    let mut talk = match way.talk("", ProbeSession::Kept).await {
        Ok(talk) => talk,
        Err(broken) => return report.add(way.why(broken).await),
    };
    let login = settings.login.as_ref().map_or_else(
        || "without a login".to_owned(),
        |login| format!("as {}", login.username),
    );
    report.ok("login", format!("the broker lets us in {login}"));
    limits(talk.welcome.properties.as_ref(), settings, report);
    match traffic::look(config, &mut talk, held, report).await {
        Ok(home) => {
            talk.end().await;
            acl::look(&way, &home, report).await;
        }
        Err(broken) => report.add(way.why(broken).await),
    }
    kept(&way, report).await;
}

/// A session is kept where it is there again.
async fn kept(way: &Route<'_>, report: &mut Report) {
    match way.talk("", ProbeSession::Last).await {
        Ok(talk) => {
            if talk.welcome.session_present {
                report.ok(
                    "session",
                    "the broker keeps our session while the connection is away",
                );
            } else {
                let todo = "let it keep sessions of MQTT 5 clients (mosquitto does; see `persistent_client_expiration`)";
                report.fault("session", "the broker keeps no session: what is said while the connection is away is lost", todo);
            }
            talk.end().await;
        }
        Err(broken) => report.add(way.why(broken).await),
    }
}

/// What the broker says it cannot do.
fn limits(properties: Option<&ConnAckProperties>, settings: &mqtt::Settings, report: &mut Report) {
    let Some(told) = properties else { return };
    if told.retain_available == Some(0) {
        let todo = "allow retained messages (mosquitto: `retain_available true`)";
        report.fault("broker", "the broker keeps no retained messages: nobody can be found, no state and no `status` is kept", todo);
    }
    if told.max_qos == Some(0) {
        report.fault(
            "broker",
            "the broker takes no QoS 1: commands and actions may be lost",
            "allow it (mosquitto: `max_qos 2`)",
        );
    }
    if told.wildcard_subscription_available == Some(0) {
        report.fault(
            "broker",
            "the broker takes no subscriptions with `+` and `#`",
            "allow them: commands are heard on `<prefix>/command/+`",
        );
    }
    if let Some(most) = told.max_packet_size.filter(|most| *most < 64 << 10) {
        report.warn(
            "broker",
            format!("the broker takes no packet above {most} bytes"),
            "raise it (mosquitto: `max_packet_size`): long replies are refused",
        );
    }
    if let Some(kept) = told
        .session_expiry_interval
        .filter(|kept| u64::from(*kept) < 30.min(settings.ttl.as_secs()))
    {
        let todo = format!(
            "let it keep them for `mqtt.ttl`, {} s",
            settings.ttl.as_secs()
        );
        report.warn(
            "session",
            format!("the broker keeps sessions for {kept} s only"),
            todo,
        );
    }
}

impl<'a> Route<'a> {
    async fn find(settings: &'a mqtt::Settings, report: &mut Report) -> Option<Self> {
        let config = match settings.tls.as_ref().map(client_config).transpose() {
            Ok(config) => config.map(Arc::new),
            Err(error) => {
                let cause = std::error::Error::source(&error)
                    .map_or_else(String::new, |cause| format!(": {cause}"));
                report.fault(
                    "tls",
                    format!("TLS cannot be set up: {error}{cause}"),
                    "mend `mqtt.tls`: PEM files, the key that of the certificate",
                );
                return None;
            }
        };
        let id = format!(
            "{}-doctor-{:08x}",
            settings.client_id,
            rand::random::<u32>()
        );
        let mut way = Self {
            settings,
            addresses: Vec::new(),
            tls: config,
            id,
        };
        match way.look_up().await {
            Ok(addresses) => way.addresses = addresses,
            Err(finding) => {
                report.add(finding);
                return None;
            }
        }
        match way.connect().await {
            Ok(stream) => report.ok(
                "broker",
                format!(
                    "{} answers at {}",
                    way.at(),
                    stream
                        .peer_addr()
                        .map_or_else(|_| way.at(), |at| at.ip().to_string())
                ),
            ),
            Err(finding) => {
                report.add(finding);
                return None;
            }
        }
        way.encrypt(report).await.then_some(way)
    }

    fn at(&self) -> String {
        format!("{}:{}", self.settings.host, self.settings.port)
    }

    async fn look_up(&self) -> Result<Vec<SocketAddr>, Finding> {
        let (host, port) = (self.settings.host.as_str(), self.settings.port);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let fault = |found: String, todo: &str| Finding::fault("dns", found, todo);
        match timeout(PATIENCE, lookup_host((host, port))).await {
            Ok(Ok(found)) => {
                let found: Vec<SocketAddr> = found.collect();
                if found.is_empty() {
                    Err(fault(
                        format!("the name {host} has no address"),
                        "mend `mqtt.host`, or write the address itself",
                    ))
                } else {
                    Ok(found)
                }
            }
            Ok(Err(error))
                if ["Temporary failure", "Try again"]
                    .iter()
                    .any(|words| error.to_string().contains(words)) =>
            {
                Err(fault(
                    format!("the name {host} cannot be looked up now"),
                    "is this machine on the network? See /etc/resolv.conf; an address in `mqtt.host` needs no DNS",
                ))
            }
            Ok(Err(_)) => Err(fault(
                format!("there is no name {host}"),
                "mend `mqtt.host`, or this machine's DNS or /etc/hosts; `.local` names want libnss-mdns",
            )),
            Err(_) => Err(fault(
                format!("nobody looked up {host} within {} s", PATIENCE.as_secs()),
                "the DNS server is out of reach: see /etc/resolv.conf",
            )),
        }
    }

    async fn connect(&self) -> Result<TcpStream, Finding> {
        let mut last = None;
        for address in &self.addresses {
            match timeout(PATIENCE, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = Some(error.kind()),
                Err(_) => last = last.or(Some(ErrorKind::TimedOut)),
            }
        }
        let at = self.at();
        let fault = |found: String, todo: &str| Err(Finding::fault("broker", found, todo));
        match last.unwrap_or(ErrorKind::TimedOut) {
            ErrorKind::ConnectionRefused => fault(
                format!("nobody listens at {at}"),
                "start the broker (`systemctl status mosquitto`), or mend `mqtt.host` and `mqtt.port`; mosquitto without a `listener` line serves its own machine only",
            ),
            ErrorKind::TimedOut => fault(
                format!("no answer from {at}"),
                "is the broker's machine on, and does a firewall stand between?",
            ),
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => fault(
                format!("no route to {at}"),
                "is this machine on the network? `ip route`",
            ),
            other => fault(
                format!("cannot connect to {at}: {other}"),
                "mend `mqtt.host` and `mqtt.port`",
            ),
        }
    }

    /// Whether TLS stands where it is wanted.
    async fn encrypt(&self, report: &mut Report) -> bool {
        let Some(config) = &self.tls else {
            if !self
                .addresses
                .iter()
                .all(|address| address.ip().is_loopback())
            {
                report.warn(
                    "tls",
                    "the way to the broker is not encrypted: who listens on the network learns the password",
                    "have the broker speak TLS, and add [mqtt.tls]",
                );
            }
            return true;
        };
        if let Err(error) = self.handshake(Arc::clone(config)).await {
            report.add(if self.speaks_plainly().await {
                self.plain()
            } else {
                error
            });
            return false;
        }
        if self
            .handshake(Arc::new(tls::ahead(config, tls::SOON)))
            .await
            .is_err()
        {
            report.warn(
                "tls",
                "the broker's certificate, or its authority's, runs out within 14 days",
                "renew it on the broker",
            );
        } else {
            report.ok("tls", format!("the certificate is for {}, by an authority we trust, and good for two weeks at least", self.settings.host));
        }
        true
    }

    async fn handshake(
        &self,
        config: Arc<ClientConfig>,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Finding> {
        let stream = self.connect().await?;
        let host = self.settings.host.clone();
        let name = ServerName::try_from(host.clone()).map_err(|_| {
            Finding::fault(
                "tls",
                format!("`{host}` is no name a certificate can be for"),
                "mend `mqtt.host`",
            )
        })?;
        match timeout(PATIENCE, TlsConnector::from(config).connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(tls::within(&error).map_or_else(
                || {
                    Finding::fault(
                        "tls",
                        format!("{} ends the TLS handshake: {error}", self.at()),
                        "does it speak TLS at this port? `openssl s_client -connect HOST:PORT`",
                    )
                },
                |error| tls::finding(error, &host),
            )),
            Err(_) => Err(Finding::fault(
                "tls",
                format!("{} does not answer the TLS handshake", self.at()),
                "does it speak TLS at this port?",
            )),
        }
    }

    async fn stream(&self) -> Result<Box<dyn ProbeStream>, ProbeFailure> {
        let broken = |_| ProbeFailure::Closed;
        Ok(match &self.tls {
            Some(config) => Box::new(self.handshake(Arc::clone(config)).await.map_err(broken)?),
            None => Box::new(self.connect().await.map_err(broken)?),
        })
    }

    /// A conversation of its own; `role` tells it from the others.
    pub(super) async fn talk(
        &self,
        role: &str,
        session: ProbeSession,
    ) -> Result<ProbeError, ProbeFailure> {
        ProbeError::begin(
            self.stream().await?,
            self.settings,
            &format!("{}{role}", self.id),
            session,
        )
        .await
    }

    /// What a broken conversation means.
    async fn why(&self, broken: ProbeFailure) -> Finding {
        let at = self.at();
        match broken {
            ProbeFailure::Refused(code) => self.refused(code),
            ProbeFailure::Io(error) if tls::within(&error).is_some() => tls::within(&error)
                .map_or_else(
                    || Finding::fault("tls", "", ""),
                    |error| tls::finding(error, &self.settings.host),
                ),
            ProbeFailure::Closed
            | ProbeFailure::Io(_)
            | ProbeFailure::Silent
            | ProbeFailure::NoMqtt(_)
                if self.tls.is_none() && self.speaks_tls().await =>
            {
                Finding::fault(
                    "tls",
                    format!("{at} speaks TLS, and we do not"),
                    "add [mqtt.tls], with `ca` where the broker's authority is your own",
                )
            }
            ProbeFailure::Closed if self.tls.is_some() => Finding::fault(
                "tls",
                format!("{at} closed the connection after the TLS handshake"),
                "it may want a certificate of ours: `mqtt.tls.cert` and `mqtt.tls.key`",
            ),
            ProbeFailure::Closed => Finding::fault(
                "broker",
                format!("{at} closes the connection without a word"),
                "is it an MQTT 5 broker (mosquitto 1.6 and newer)? Its log says why",
            ),
            ProbeFailure::NoMqtt(_) => Finding::fault(
                "broker",
                format!("{at}: {broken}"),
                "mend `mqtt.port`: 1883 is usual, 8883 with TLS",
            ),
            broken => Finding::fault("broker", format!("{at}: {broken}"), "see the broker's log"),
        }
    }

    /// True where MQTT is spoken without TLS. No password is said on the way.
    async fn speaks_plainly(&self) -> bool {
        let Ok(stream) = self.connect().await else {
            return false;
        };
        let stranger = mqtt::Settings {
            login: None,
            ..self.settings.clone()
        };
        matches!(
            ProbeError::begin(Box::new(stream), &stranger, &self.id, ProbeSession::None).await,
            Ok(_) | Err(ProbeFailure::Refused(_))
        )
    }

    fn plain(&self) -> Finding {
        let todo = "use its TLS port (usually 8883) in `mqtt.port`, or leave [mqtt.tls] out";
        Finding::fault(
            "tls",
            format!("{} speaks MQTT without TLS", self.at()),
            todo,
        )
    }

    /// True where a TLS handshake gets a certificate for an answer.
    async fn speaks_tls(&self) -> bool {
        let Ok(config) = client_config(&mqtt::Tls::default()) else {
            return false;
        };
        let (Ok(stream), Ok(name)) = (
            self.connect().await,
            ServerName::try_from(self.settings.host.clone()),
        ) else {
            return false;
        };
        match timeout(
            PATIENCE,
            TlsConnector::from(Arc::new(config)).connect(name, stream),
        )
        .await
        {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => tls::within(&error).is_some_and(tls::shows_certificate),
            Err(_) => false,
        }
    }

    fn refused(&self, code: ConnectReturnCode) -> Finding {
        let (found, todo) = match (code, &self.settings.login) {
            (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized, None) => (
                "the broker lets nobody in without a login".to_owned(),
                "set `mqtt.username` and `mqtt.password_file`; mosquitto_passwd makes the login on the broker",
            ),
            (
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
                Some(login),
            ) if login.password.is_none() => (
                format!(
                    "the broker does not let `{}` in without a password",
                    login.username
                ),
                "name the file of the password with `mqtt.password_file`",
            ),
            (
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
                Some(login),
            ) => (
                format!(
                    "the broker does not take the password of `{}`, or does not know the name",
                    login.username
                ),
                "write the right one into the file of `mqtt.password_file`; on the broker: `mosquitto_passwd`, then reload it",
            ),
            (
                ConnectReturnCode::UnsupportedProtocolVersion
                | ConnectReturnCode::RefusedProtocolVersion,
                _,
            ) => (
                "the broker does not speak MQTT 5".to_owned(),
                "update it: mosquitto does from 1.6 on",
            ),
            (ConnectReturnCode::BadClientId | ConnectReturnCode::ClientIdentifierNotValid, _) => (
                format!("the broker does not take client ids such as `{}`", self.id),
                "its rules ask for others: set `mqtt.client_id` to one they allow (mosquitto: `clientid_prefixes`)",
            ),
            (
                ConnectReturnCode::ServerBusy
                | ConnectReturnCode::ServerUnavailable
                | ConnectReturnCode::QuotaExceeded
                | ConnectReturnCode::ConnectionRateExceeded,
                _,
            ) => (
                "the broker takes no more clients now".to_owned(),
                "raise its limit (mosquitto: `max_connections`), or find out who holds so many",
            ),
            (code, _) => (
                format!("the broker refuses us: {code:?}"),
                "see the broker's log",
            ),
        };
        Finding::fault("login", found, todo)
    }
}
