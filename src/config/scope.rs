//! The part of the config that a subcommand needs.

/// Part of the config that a subcommand needs. Secrets outside this part are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// The whole config.
    #[default]
    Everything,
    /// The broker connection: an MQTT client need not be allowed to read the keys of providers.
    Broker,
    /// The broker connection without its password and keys.
    BrokerAddress,
    /// The providers and their keys.
    Models,
    /// The home and how commands are understood in it, without any secret.
    Home,
    /// The home and the providers with their keys, but not the password of the broker.
    HomeAndModels,
    /// The home and the broker connection, but not the keys of providers.
    Announced,
}

impl Scope {
    /// Returns the prefix of the keys that matter if only one section does. Faults elsewhere are
    /// then ignored, and the home is not read.
    pub(super) fn only_section(self) -> Option<&'static str> {
        match self {
            Self::Everything | Self::Home | Self::HomeAndModels | Self::Announced => None,
            Self::Broker | Self::BrokerAddress => Some("mqtt"),
            Self::Models => Some("provider"),
        }
    }

    /// Returns true if the password of the broker and the keys of its TLS connection are needed.
    pub(super) fn has_broker_secrets(self) -> bool {
        matches!(self, Self::Everything | Self::Broker | Self::Announced)
    }

    /// Returns true if the connection to Redis is needed.
    pub(super) fn has_redis_key(self) -> bool {
        matches!(self, Self::Everything)
    }

    /// Returns true if the keys of the providers are needed.
    pub(super) fn has_provider_keys(self) -> bool {
        matches!(self, Self::Everything | Self::Models | Self::HomeAndModels)
    }
}
