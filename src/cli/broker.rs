//! Connections of the command-line tools to the broker, and the reasons why one fails.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rumqttc::v5::{AsyncClient, ConnectionError, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, TlsConfiguration, Transport};
use tokio::runtime::Runtime;

use crate::config::{Config, Scope, broker_host, units};
use crate::mqtt::tls::{TlsError, client_config};
use crate::mqtt::{Login, Settings};
use crate::secret::Secret;

use crate::cli::arguments::{FileArguments, duration};
use crate::cli::doctor;
use crate::cli::exit::{Exit, Failure};
use crate::cli::file_error::unreadable;

/// Options of all subcommands that connect to the broker.
#[derive(Debug, Args)]
pub(super) struct BrokerOptions {
    #[command(flatten)]
    pub(super) files: FileArguments,
    /// Longest time to wait for the broker and for an answer; a command is not acted on after that
    #[arg(long, global = true, default_value = "10s", value_parser = duration)]
    pub(super) timeout: Duration,
    /// Host of the broker, in place of the configured one
    #[arg(long, global = true)]
    host: Option<String>,
    /// Port of the broker, in place of the configured one
    #[arg(long, global = true)]
    port: Option<u16>,
    /// User name for the broker, in place of the configured one
    #[arg(long, global = true, value_name = "NAME")]
    username: Option<String>,
    /// File with the password of --username
    #[arg(long, global = true, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
}

impl BrokerOptions {
    /// Reads the config and applies the options to it. With `home` the devices are read as well.
    pub(super) fn config(&self, home: bool) -> Result<Config, Failure> {
        // With a login of its own, the user need not be allowed to read the configured password.
        let scope = match (home, self.username.is_some()) {
            (true, false) => Scope::Announced,
            (true, true) => Scope::Home,
            (false, false) => Scope::Broker,
            (false, true) => Scope::BrokerAddress,
        };
        let mut config = Config::load(&self.files.location(scope))?;
        if let Some(host) = &self.host {
            config.mqtt.host = broker_host(host).map_err(|expected| {
                Failure::new(Exit::Failed, format!("--host: expected {expected}"))
            })?;
        }
        config.mqtt.port = self.port.unwrap_or(config.mqtt.port);
        if let Some(username) = &self.username {
            config.mqtt.login = Some(Login {
                username: username.clone(),
                password: self.password()?,
            });
        }
        Ok(config)
    }

    fn password(&self) -> Result<Option<Secret>, Failure> {
        let Some(path) = &self.password_file else {
            return Ok(None);
        };
        let secret =
            Secret::from_file(path).map_err(|error| unreadable("--password-file", path, &error))?;
        Ok(Some(secret))
    }
}

/// Reason why a tool cannot use the broker.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerUnreachable {
    #[error(
        "cannot reach the broker at {broker} ({why}): is it running, and are `mqtt.host` and \
         `mqtt.port` right?"
    )]
    Unreachable {
        broker: String,
        why: Box<ConnectionError>,
    },
    #[error(
        "the broker at {broker} rejects the login ({why}): see `mqtt.username` and \
         `mqtt.password_file`"
    )]
    LoginRejected { broker: String, why: String },
    /// Subscribing or publishing is not allowed; with the complete message.
    #[error("{0}")]
    NotAllowed(String),
    #[error("the broker at {broker} does not answer within {}: `sayso doctor` shows \
        why", units::show_duration(*.timeout))]
    Silent { broker: String, timeout: Duration },
    #[error("TLS cannot be set up")]
    Tls(#[source] TlsError),
}

impl BrokerUnreachable {
    /// Classifies an error of the MQTT client.
    pub(super) fn of(broker: &str, error: ConnectionError) -> Self {
        match error {
            ConnectionError::ConnectionRefused(why) => Self::LoginRejected {
                broker: broker.to_owned(),
                why: format!("{why:?}"),
            },
            error => Self::Unreachable {
                broker: broker.to_owned(),
                why: Box::new(error),
            },
        }
    }

    /// Returns the error that the login may not subscribe to a topic.
    pub(super) fn read_not_allowed(settings: &Settings, topic: &str, why: &str) -> Self {
        Self::not_allowed(settings, ("subscribe to", "read"), topic, why)
    }

    /// Returns the error that the login may not publish to a topic.
    pub(super) fn write_not_allowed(settings: &Settings, topic: &str, why: &str) -> Self {
        Self::not_allowed(settings, ("publish to", "write"), topic, why)
    }

    fn not_allowed(
        settings: &Settings,
        (verb, access): (&'static str, &'static str),
        topic: &str,
        why: &str,
    ) -> Self {
        let login = match &settings.login {
            Some(login) => format!("`{}`", login.username),
            None => "without user name".to_owned(),
        };
        Self::NotAllowed(format!(
            "the broker at {} accepts the login {login} but does not allow it to {verb} `{topic}` \
             ({why}): allow it in the broker's access list (mosquitto: `topic {access} {topic}`), \
             or give another login with --username and --password-file",
            address(settings)
        ))
    }

    /// Returns the exit code.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Silent { .. } | Self::Unreachable { .. } => Exit::Again,
            Self::LoginRejected { .. } | Self::NotAllowed(_) => Exit::Failed,
            Self::Tls(_) => Exit::Config,
        }
    }

    /// Returns the error to print. If the connection itself failed, other than by a timeout, it is
    /// diagnosed step by step, as `sayso doctor` does.
    pub(super) fn explained(self, settings: &Settings, runtime: &Runtime) -> Failure {
        let exit = self.exit();
        // After a timeout the time of the caller is used up; a diagnosis would take several seconds
        // more.
        if matches!(self, Self::NotAllowed(_) | Self::Silent { .. }) {
            return Failure::new(exit, self);
        }
        match runtime.block_on(doctor::diagnose(settings)) {
            Some(diagnosis) => Failure::new(exit, diagnosis),
            None => Failure::new(exit, self),
        }
    }
}

/// Returns host and port, for messages.
pub(super) fn address(broker: &Settings) -> String {
    format!("{}:{}", broker.host, broker.port)
}

/// Creates a client with a random client id, so that it never takes over the session of the daemon.
pub(super) fn client(
    broker: &Settings,
    tool: &str,
    timeout: Duration,
) -> Result<(AsyncClient, EventLoop), BrokerUnreachable> {
    let id = format!("sayso-{tool}-{:016x}", rand::random::<u64>());
    let mut options = MqttOptions::new(id, broker.host.as_str(), broker.port);
    options
        .set_keep_alive(Duration::from_secs(30))
        .set_clean_start(true)
        .set_max_packet_size(Some(4 << 20));
    options.set_connection_timeout(timeout.as_secs().max(1));
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    if let Some(login) = &broker.login {
        let password = login.password.as_ref().map_or("", Secret::expose);
        options.set_credentials(login.username.as_str(), password);
    }
    if let Some(settings) = &broker.tls {
        let tls = client_config(settings).map_err(BrokerUnreachable::Tls)?;
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(
            Arc::new(tls),
        )));
    }
    Ok(AsyncClient::new(options, 8))
}
