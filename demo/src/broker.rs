//! An MQTT 5 broker inside the demo, on loopback, in memory.

use std::net::{Ipv4Addr, SocketAddr};

use mqtt5::broker::config::{BrokerConfig, StorageBackend, StorageConfig};
use mqtt5::broker::server::MqttBroker;
use tokio::task::JoinSet;

use crate::DemoError;

/// Starts the broker on `port`, or on a free one for 0; returns the port.
pub(crate) async fn start(port: u16, tasks: &mut JoinSet<()>) -> Result<u16, DemoError> {
    let storage = StorageConfig {
        backend: StorageBackend::Memory,
        ..StorageConfig::default()
    };
    let mut config = BrokerConfig::default()
        .with_bind_address(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .with_storage(storage);
    config.sys_topics_enabled = false;
    let mut broker = MqttBroker::with_config(config)
        .await
        .map_err(|error| format!("cannot start a broker on port {port}: {error}"))?;
    let address = broker.local_addr().ok_or("the broker has no address")?;
    let mut ready = broker.ready_receiver();
    tasks.spawn(async move {
        // An error shows as a lost connection at its clients.
        let _ = broker.run().await;
    });
    ready.wait_for(|ready| *ready).await?;
    Ok(address.port())
}
