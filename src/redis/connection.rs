//! One multiplexed connection. The only file that uses the crate `redis`; without the feature of
//! that name no connection can be opened, and `config` rejects the settings of one.

#[cfg(feature = "redis")]
use std::fs;
#[cfg(feature = "redis")]
use std::time::Duration;

#[cfg(feature = "redis")]
use ::redis::aio::MultiplexedConnection;
#[cfg(feature = "redis")]
use ::redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisError, Script,
    TlsCertificates, Value,
};

use crate::redis::settings::RedisSettings;

/// Time limit of a new connection, its login included.
#[cfg(feature = "redis")]
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether this build can connect to Redis.
pub(super) const IS_SUPPORTED: bool = cfg!(feature = "redis");

/// Reasons why a request to Redis has no result, by the reaction to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisFault {
    /// No response in time: the connection is suspect.
    #[error("no response in time")]
    TimedOut,
    /// The connection cannot be made or was lost.
    #[error("{0}")]
    Lost(String),
    /// The server rejected the request; the connection works.
    #[error("{0}")]
    Rejected(String),
    /// The settings cannot be used.
    #[error("{0}")]
    Unusable(String),
}

/// A script that Redis keeps under its hash.
#[derive(Debug)]
pub(super) struct LuaScript {
    #[cfg(feature = "redis")]
    script: Script,
}

impl LuaScript {
    #[cfg_attr(
        not(feature = "redis"),
        expect(unused_variables, reason = "nothing runs it")
    )]
    pub(super) fn new(code: &str) -> Self {
        Self {
            #[cfg(feature = "redis")]
            script: Script::new(code),
        }
    }
}

/// A response of Redis.
#[cfg_attr(
    not(feature = "redis"),
    expect(dead_code, reason = "without the feature nothing is received")
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RedisReply {
    /// No value.
    Nil,
    /// An integer, such as a count or the result of a script.
    Number(i64),
    /// A text, or the word of a status.
    Bytes(Vec<u8>),
    /// Several responses.
    List(Vec<RedisReply>),
}

/// A connection that many requests use at the same time.
#[derive(Clone)]
pub(super) struct RedisConnection {
    #[cfg(feature = "redis")]
    connection: MultiplexedConnection,
}

#[cfg(feature = "redis")]
impl RedisConnection {
    /// Connects and logs in.
    pub(super) async fn open(settings: &RedisSettings) -> Result<Self, RedisFault> {
        let client = client(settings)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(settings.background_timeout()));
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| fault(&error))?;
        Ok(Self { connection })
    }

    /// Sends one command.
    pub(super) async fn command(&self, words: &[&[u8]]) -> Result<RedisReply, RedisFault> {
        let mut command = ::redis::Cmd::new();
        for word in words {
            command.arg(*word);
        }
        let mut connection = self.connection.clone();
        let sent = command.query_async::<Value>(&mut connection).await;
        sent.map(reply).map_err(|error| fault(&error))
    }

    /// Runs a script, and loads it where Redis does not have it.
    pub(super) async fn run(
        &self,
        script: &LuaScript,
        keys: &[String],
        arguments: &[String],
    ) -> Result<RedisReply, RedisFault> {
        let mut call = script.script.prepare_invoke();
        for key in keys {
            call.key(key);
        }
        for argument in arguments {
            call.arg(argument);
        }
        let mut connection = self.connection.clone();
        let sent = call.invoke_async::<Value>(&mut connection).await;
        sent.map(reply).map_err(|error| fault(&error))
    }
}

#[cfg(not(feature = "redis"))]
impl RedisConnection {
    pub(super) async fn open(settings: &RedisSettings) -> Result<Self, RedisFault> {
        Err(unsupported(&settings.shown_url()))
    }

    pub(super) async fn command(&self, _: &[&[u8]]) -> Result<RedisReply, RedisFault> {
        Err(unsupported(""))
    }

    pub(super) async fn run(
        &self,
        _: &LuaScript,
        _: &[String],
        _: &[String],
    ) -> Result<RedisReply, RedisFault> {
        Err(unsupported(""))
    }
}

#[cfg(not(feature = "redis"))]
fn unsupported(url: &str) -> RedisFault {
    RedisFault::Unusable(format!("{url}: this build has no support for Redis"))
}

/// Returns the fault of settings that no connection can be made with, without connecting.
#[cfg(feature = "redis")]
pub(super) fn check(settings: &RedisSettings) -> Result<(), RedisFault> {
    client(settings).map(drop)
}

#[cfg(not(feature = "redis"))]
pub(super) fn check(settings: &RedisSettings) -> Result<(), RedisFault> {
    Err(unsupported(&settings.shown_url()))
}

#[cfg(feature = "redis")]
fn client(settings: &RedisSettings) -> Result<Client, RedisFault> {
    let unusable = |error: RedisError| RedisFault::Unusable(error.to_string());
    let mut info = settings
        .url
        .as_str()
        .into_connection_info()
        .map_err(unusable)?;
    if let Some(password) = &settings.password {
        let login = info
            .redis_settings()
            .clone()
            .set_password(password.expose());
        info = info.set_redis_settings(login);
    }
    if !settings.url.starts_with("rediss://") {
        return Client::open(info).map_err(unusable);
    }
    let root_cert = match &settings.authority {
        None => None,
        Some(path) => Some(
            fs::read(path)
                .map_err(|error| RedisFault::Unusable(format!("{}: {error}", path.display())))?,
        ),
    };
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert,
    };
    Client::build_with_tls(info, certificates).map_err(unusable)
}

#[cfg(feature = "redis")]
fn reply(value: Value) -> RedisReply {
    match value {
        Value::Int(number) => RedisReply::Number(number),
        Value::BulkString(bytes) => RedisReply::Bytes(bytes),
        Value::SimpleString(text) => RedisReply::Bytes(text.into_bytes()),
        Value::Okay => RedisReply::Bytes(b"OK".to_vec()),
        Value::Array(values) => RedisReply::List(values.into_iter().map(reply).collect()),
        _ => RedisReply::Nil,
    }
}

#[cfg(feature = "redis")]
fn fault(error: &RedisError) -> RedisFault {
    if error.is_timeout() {
        return RedisFault::TimedOut;
    }
    // A server that loads its data, or has become a replica, is not the one to ask: a new
    // connection finds the primary.
    let is_elsewhere = matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN"));
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension if !is_elsewhere => {
            RedisFault::Rejected(error.to_string())
        }
        _ => RedisFault::Lost(error.to_string()),
    }
}
