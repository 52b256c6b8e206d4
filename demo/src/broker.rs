//! An MQTT 5 broker inside the demo, on loopback only: nothing to install, nothing left behind.

use std::net::{Ipv4Addr, SocketAddr};

use mqtt5::broker::config::{BrokerConfig, StorageBackend, StorageConfig};
use mqtt5::broker::server::MqttBroker;
use tokio::task::JoinSet;

use crate::Fault;

/// Starts the broker on `port` (0: any free one) and gives the port it listens on.
pub(crate) async fn start(port: u16, tasks: &mut JoinSet<()>) -> Result<u16, Fault> {
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
        .map_err(|error| format!("no broker on port {port}: {error}"))?;
    let address = broker.local_addr().ok_or("the broker has no address")?;
    let mut ready = broker.ready_receiver();
    tasks.spawn(async move {
        // It ends with the program; what goes wrong before that shows at its clients.
        let _ = broker.run().await;
    });
    ready.wait_for(|ready| *ready).await?;
    Ok(address.port())
}
