//! Settings of the connection to Redis, validated by `config`.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;
use crate::secret::address::without_credentials;

/// Address, login and names under which a node uses Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// Address, `redis://` or `rediss://`, without a password.
    pub url: String,
    /// Password of the user in the address.
    pub password: Option<Secret>,
    /// PEM file of the authority that signed the server's certificate; the system's where it is
    /// absent.
    pub authority: Option<PathBuf>,
    /// Name that all nodes with the same limits share; every key begins with it.
    pub site: String,
    /// Name of this node, unique within the site.
    pub node: String,
    /// Number of nodes that share the limits. Redis counts more where more report.
    pub nodes: u32,
    /// The longest time a command waits for one response. Requests that no command waits for have
    /// ten times as long.
    pub timeout: Duration,
}

impl RedisSettings {
    /// The default of `timeout`.
    pub const TIMEOUT: Duration = Duration::from_millis(50);

    /// Returns the address for messages, without its login and the values of its query.
    pub fn shown_url(&self) -> String {
        without_credentials(&self.url).text
    }

    /// Returns the time limit of requests that no command waits for.
    pub(super) fn background_timeout(&self) -> Duration {
        self.timeout * 10
    }
}
