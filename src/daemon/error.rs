//! The reasons the daemon cannot run.

use crate::store::StoreError;

/// The reason the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Another process uses the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A language file is invalid.
    #[error(transparent)]
    Language(#[from] crate::grammar::LanguageError),
    /// The broker connection cannot be set up, for example because of a certificate.
    #[error(transparent)]
    Connection(#[from] crate::mqtt::SetupError),
    /// The HTTP client for the providers cannot be set up.
    #[error(transparent)]
    Providers(#[from] crate::provider::http::InvalidEndpoint),
    /// The connection to Redis cannot be set up.
    #[error("redis: {0}")]
    Redis(#[from] crate::redis::RedisFault),
}
