//! The way to the broker, step by step: name, TCP and TLS.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rumqttc::v5::mqttbytes::v5::ConnectReturnCode;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::mqtt;
use crate::mqtt::tls::client_config;

use crate::cli::doctor::finding::{DoctorFinding, DoctorReport};
use crate::cli::doctor::probe::{
    ANSWER_TIMEOUT, ProbeConnection, ProbeError, ProbeSession, ProbeStream,
};
use crate::cli::doctor::tls;

/// Address of the broker, TLS settings and client id of the probe.
pub(super) struct Route<'a> {
    pub(super) settings: &'a mqtt::Settings,
    addresses: Vec<SocketAddr>,
    tls: Option<Arc<ClientConfig>>,
    /// Client id of the probe, which no other client has.
    pub(super) id: String,
}

impl<'a> Route<'a> {
    pub(super) async fn resolve(
        settings: &'a mqtt::Settings,
        report: &mut DoctorReport,
    ) -> Option<Self> {
        let config = match settings.tls.as_ref().map(client_config).transpose() {
            Ok(config) => config.map(Arc::new),
            Err(error) => {
                let cause = std::error::Error::source(&error)
                    .map_or_else(String::new, |cause| format!(": {cause}"));
                report.fault(
                    "tls",
                    format!("TLS cannot be set up: {error}{cause}"),
                    "correct `mqtt.tls`: PEM files, and the key must belong to the certificate",
                );
                return None;
            }
        };
        let id = format!(
            "{}-doctor-{:08x}",
            settings.client_id,
            rand::random::<u32>()
        );
        let mut route = Self {
            settings,
            addresses: Vec::new(),
            tls: config,
            id,
        };
        match route.lookup().await {
            Ok(addresses) => route.addresses = addresses,
            Err(finding) => {
                report.add(finding);
                return None;
            }
        }
        match route.connect().await {
            Ok(stream) => report.ok(
                "broker",
                format!(
                    "{} answers at {}",
                    route.at(),
                    stream
                        .peer_addr()
                        .map_or_else(|_| route.at(), |at| at.ip().to_string())
                ),
            ),
            Err(finding) => {
                report.add(finding);
                return None;
            }
        }
        route.check_tls(report).await.then_some(route)
    }

    pub(super) fn at(&self) -> String {
        format!("{}:{}", self.settings.host, self.settings.port)
    }

    async fn lookup(&self) -> Result<Vec<SocketAddr>, DoctorFinding> {
        let (host, port) = (self.settings.host.as_str(), self.settings.port);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let fault = |found: String, todo: &str| DoctorFinding::fault("dns", found, todo);
        match timeout(ANSWER_TIMEOUT, lookup_host((host, port))).await {
            Ok(Ok(found)) => {
                let found: Vec<SocketAddr> = found.collect();
                if found.is_empty() {
                    Err(fault(
                        format!("the name {host} has no address"),
                        "correct `mqtt.host`, or use the IP address",
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
                    format!("the name {host} cannot be resolved at the moment"),
                    "is this machine on the network? See /etc/resolv.conf; an address in \
                     `mqtt.host` needs no DNS",
                ))
            }
            Ok(Err(_)) => Err(fault(
                format!("there is no host with the name {host}"),
                "correct `mqtt.host`, the DNS of this machine or /etc/hosts; `.local` names need \
                 libnss-mdns",
            )),
            Err(_) => Err(fault(
                format!(
                    "resolving {host} took longer than {} s",
                    ANSWER_TIMEOUT.as_secs()
                ),
                "the DNS server cannot be reached: see /etc/resolv.conf",
            )),
        }
    }

    async fn connect(&self) -> Result<TcpStream, DoctorFinding> {
        let mut last = None;
        for address in &self.addresses {
            match timeout(ANSWER_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = Some(error.kind()),
                Err(_) => last = last.or(Some(ErrorKind::TimedOut)),
            }
        }
        let at = self.at();
        let fault = |found: String, todo: &str| Err(DoctorFinding::fault("broker", found, todo));
        match last.unwrap_or(ErrorKind::TimedOut) {
            ErrorKind::ConnectionRefused => fault(
                format!("nobody listens at {at}"),
                "start the broker (`systemctl status mosquitto`), or correct `mqtt.host` and \
                 `mqtt.port`; mosquitto without a `listener` line serves its own machine only",
            ),
            ErrorKind::TimedOut => fault(
                format!("no answer from {at}"),
                "check that the broker's machine is on, and that no firewall blocks the port",
            ),
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => fault(
                format!("no route to {at}"),
                "is this machine on the network? `ip route`",
            ),
            other => fault(
                format!("cannot connect to {at}: {other}"),
                "correct `mqtt.host` and `mqtt.port`",
            ),
        }
    }

    /// Checks the TLS handshake and the validity of the certificate.
    async fn check_tls(&self, report: &mut DoctorReport) -> bool {
        let Some(config) = &self.tls else {
            if !self
                .addresses
                .iter()
                .all(|address| address.ip().is_loopback())
            {
                report.warn(
                    "tls",
                    "the connection to the broker is not encrypted: the password can be read on \
                     the network",
                    "enable TLS on the broker, and add [mqtt.tls]",
                );
            }
            return true;
        };
        if let Err(error) = self.handshake(Arc::clone(config)).await {
            report.add(if self.accepts_plain_mqtt().await {
                self.plain_mqtt_finding()
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
                "the certificate of the broker or of its authority expires within 14 days",
                "renew it on the broker",
            );
        } else {
            report.ok(
                "tls",
                format!(
                    "the certificate is valid for {} for at least two weeks, and \
                its authority is trusted",
                    self.settings.host
                ),
            );
        }
        true
    }

    async fn handshake(
        &self,
        config: Arc<ClientConfig>,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, DoctorFinding> {
        let stream = self.connect().await?;
        let host = self.settings.host.clone();
        let name = ServerName::try_from(host.clone()).map_err(|_| {
            DoctorFinding::fault(
                "tls",
                format!("`{host}` is not a name that a certificate can have"),
                "correct `mqtt.host`",
            )
        })?;
        match timeout(
            ANSWER_TIMEOUT,
            TlsConnector::from(config).connect(name, stream),
        )
        .await
        {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(tls::within(&error).map_or_else(
                || {
                    DoctorFinding::fault(
                        "tls",
                        format!("{} ended the TLS handshake: {error}", self.at()),
                        "check that this port uses TLS: `openssl s_client -connect HOST:PORT`",
                    )
                },
                |error| tls::finding(error, &host),
            )),
            Err(_) => Err(DoctorFinding::fault(
                "tls",
                format!("{} does not answer the TLS handshake", self.at()),
                "check that this port uses TLS",
            )),
        }
    }

    pub(super) async fn stream(&self) -> Result<Box<dyn ProbeStream>, ProbeError> {
        let error = |_| ProbeError::Closed;
        Ok(match &self.tls {
            Some(config) => Box::new(self.handshake(Arc::clone(config)).await.map_err(error)?),
            None => Box::new(self.connect().await.map_err(error)?),
        })
    }

    /// Opens a connection. `role` makes its client id different from the others.
    pub(super) async fn open(
        &self,
        role: &str,
        session: ProbeSession,
    ) -> Result<ProbeConnection, ProbeError> {
        ProbeConnection::begin(
            self.stream().await?,
            self.settings,
            &format!("{}{role}", self.id),
            session,
        )
        .await
    }

    /// Returns the finding for an error of the connection.
    pub(super) async fn explain(&self, error: ProbeError) -> DoctorFinding {
        let at = self.at();
        match error {
            ProbeError::Refused(code) => self.refused(code),
            ProbeError::Io(error) if tls::within(&error).is_some() => tls::within(&error)
                .map_or_else(
                    || DoctorFinding::fault("tls", "", ""),
                    |error| tls::finding(error, &self.settings.host),
                ),
            ProbeError::Closed | ProbeError::Io(_) | ProbeError::Silent | ProbeError::NoMqtt(_)
                if self.tls.is_none() && self.uses_tls().await =>
            {
                DoctorFinding::fault(
                    "tls",
                    format!("{at} expects TLS, which is not configured"),
                    "add [mqtt.tls], with `ca` if the broker has an authority of your own",
                )
            }
            ProbeError::Closed if self.tls.is_some() => DoctorFinding::fault(
                "tls",
                format!("{at} closed the connection after the TLS handshake"),
                "it may require a client certificate: `mqtt.tls.cert` and `mqtt.tls.key`",
            ),
            ProbeError::Closed => DoctorFinding::fault(
                "broker",
                format!("{at} closes the connection without an answer"),
                "check that it is an MQTT 5 broker (mosquitto 1.6 or newer); its log shows the \
                 reason",
            ),
            ProbeError::NoMqtt(_) => DoctorFinding::fault(
                "broker",
                format!("{at}: {error}"),
                "correct `mqtt.port`: usually 1883, or 8883 with TLS",
            ),
            error => {
                DoctorFinding::fault("broker", format!("{at}: {error}"), "see the broker's log")
            }
        }
    }

    /// Returns true if the port accepts MQTT without TLS. No password is sent.
    async fn accepts_plain_mqtt(&self) -> bool {
        let Ok(stream) = self.connect().await else {
            return false;
        };
        let anonymous = mqtt::Settings {
            login: None,
            ..self.settings.clone()
        };
        matches!(
            ProbeConnection::begin(Box::new(stream), &anonymous, &self.id, ProbeSession::None)
                .await,
            Ok(_) | Err(ProbeError::Refused(_))
        )
    }

    fn plain_mqtt_finding(&self) -> DoctorFinding {
        let todo = "use its TLS port (usually 8883) in `mqtt.port`, or remove [mqtt.tls]";
        DoctorFinding::fault("tls", format!("{} uses MQTT without TLS", self.at()), todo)
    }

    /// Returns true if the port answers a TLS handshake with a certificate.
    async fn uses_tls(&self) -> bool {
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
            ANSWER_TIMEOUT,
            TlsConnector::from(Arc::new(config)).connect(name, stream),
        )
        .await
        {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => tls::within(&error).is_some_and(tls::shows_certificate),
            Err(_) => false,
        }
    }

    fn refused(&self, code: ConnectReturnCode) -> DoctorFinding {
        let (found, todo) = match (code, &self.settings.login) {
            (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized, None) => (
                "the broker accepts no client without user name".to_owned(),
                "set `mqtt.username` and `mqtt.password_file`; `mosquitto_passwd` creates the user \
                 on the broker",
            ),
            (
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
                Some(login),
            ) if login.password.is_none() => (
                format!(
                    "the broker does not accept `{}` without a password",
                    login.username
                ),
                "set `mqtt.password_file` to the file with the password",
            ),
            (
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
                Some(login),
            ) => (
                format!(
                    "the broker rejects the password of `{}`, or does not know the user",
                    login.username
                ),
                "write the right password into the file of `mqtt.password_file`; on the broker use \
                 `mosquitto_passwd`, then reload it",
            ),
            (
                ConnectReturnCode::UnsupportedProtocolVersion
                | ConnectReturnCode::RefusedProtocolVersion,
                _,
            ) => (
                "the broker does not support MQTT 5".to_owned(),
                "update it: mosquitto supports MQTT 5 since 1.6",
            ),
            (ConnectReturnCode::BadClientId | ConnectReturnCode::ClientIdentifierNotValid, _) => (
                format!("the broker rejects client ids such as `{}`", self.id),
                "set `mqtt.client_id` to an id its rules allow (mosquitto: `clientid_prefixes`)",
            ),
            (
                ConnectReturnCode::ServerBusy
                | ConnectReturnCode::ServerUnavailable
                | ConnectReturnCode::QuotaExceeded
                | ConnectReturnCode::ConnectionRateExceeded,
                _,
            ) => (
                "the broker accepts no more clients at the moment".to_owned(),
                "raise its limit (mosquitto: `max_connections`), or find out which clients are \
                 connected",
            ),
            (code, _) => (
                format!("the broker rejects the connection: {code:?}"),
                "see the broker's log",
            ),
        };
        DoctorFinding::fault("login", found, todo)
    }
}
