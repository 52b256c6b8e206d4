//! A client of the broker for one errand, and what may keep it from there.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::{AsyncClient, ConnectionError, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};

use crate::config::units;
use crate::mqtt::Settings;
use crate::mqtt::tls::{TlsError, client_config};

use crate::cli::Exit;

/// Why there is no talking with the broker.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerUnreachable {
    #[error(
        "cannot reach the broker at {broker} ({why}); is it running, and are `mqtt.host` and `mqtt.port` right?"
    )]
    Unreachable {
        broker: String,
        why: Box<ConnectionError>,
    },
    #[error(
        "the broker at {broker} does not let us in ({why}); see `mqtt.username` and `mqtt.password_file`"
    )]
    Forbidden { broker: String, why: String },
    #[error("the broker at {broker} does not answer within {}", units::show_duration(*.timeout))]
    Silent { broker: String, timeout: Duration },
    #[error("TLS cannot be set up")]
    Tls(#[source] TlsError),
}

impl BrokerUnreachable {
    pub(super) fn of(broker: &str, error: ConnectionError) -> Self {
        match error {
            ConnectionError::ConnectionRefused(why) => Self::Forbidden {
                broker: broker.to_owned(),
                why: format!("{why:?}"),
            },
            error => Self::Unreachable {
                broker: broker.to_owned(),
                why: Box::new(error),
            },
        }
    }

    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Silent { .. } | Self::Unreachable { .. } => Exit::Again,
            Self::Forbidden { .. } => Exit::Failed,
            Self::Tls(_) => Exit::Config,
        }
    }
}

/// Where it is, for people.
pub(super) fn address(broker: &Settings) -> String {
    format!("{}:{}", broker.host, broker.port)
}

/// A client under a name of its own, so that it never takes the daemon's place.
pub(super) fn client(
    broker: &Settings,
    errand: &str,
    timeout: Duration,
) -> Result<(AsyncClient, EventLoop), BrokerUnreachable> {
    let name = format!("sayso-{errand}-{:016x}", rand::random::<u64>());
    let mut options = MqttOptions::new(name, broker.host.as_str(), broker.port);
    options
        .set_keep_alive(Duration::from_secs(30))
        .set_clean_start(true)
        .set_max_packet_size(Some(4 << 20));
    options.set_connection_timeout(timeout.as_secs().max(1));
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    if let Some(login) = &broker.login {
        options.set_credentials(
            login.username.as_str(),
            login.password.as_ref().map_or("", |p| p.expose()),
        );
    }
    if let Some(settings) = &broker.tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(
            Arc::new(client_config(settings).map_err(BrokerUnreachable::Tls)?),
        )));
    }
    Ok(AsyncClient::new(options, 8))
}
